#!/usr/bin/env bash
# Makes .build/ltm-gpu-check.tar.xz: the command with Swift's, LLVM's and C++'s libraries inside, the samples, the CPU's
# losses, and gpu-check.sh, which checks all of it on any x86-64 Linux machine with a GPU and NVIDIA's driver.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
if [ ! -e /usr/lib/x86_64-linux-gnu/libzstd.a ]; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root=sudo
  echo "gpu-archive: installing libzstd-dev"
  $as_root apt-get update -qq
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libzstd-dev zlib1g-dev > /dev/null
fi

llvm=/usr/lib/llvm-22
scratch=.build/static
# Package.swift links these in place of the shared library.
LTM_STATIC_LLVM="$("$llvm/bin/llvm-config" --link-static --libs x86 aarch64 nvptx orcjit passes perfjitevents | sed 's/-l//g')"
export LTM_STATIC_LLVM
# Swift asks for -lstdc++: a folder that has only the static one comes first.
mkdir -p "$scratch/lib"
ln -sf "$(clang -print-file-name=libstdc++.a)" "$scratch/lib/libstdc++.a"
clang -O2 -c scripts/gpu/arc4random.c -o "$scratch/lib/arc4random.o"
swift build -c release --product ltm --static-swift-stdlib --scratch-path "$scratch" \
  -Xlinker "$PWD/$scratch/lib/arc4random.o" -Xlinker "-L$llvm/lib" -Xswiftc -use-ld=lld -Xswiftc -Xclang-linker -Xswiftc "-L$PWD/$scratch/lib" -Xswiftc -Xclang-linker -Xswiftc -static-libgcc

folder=.build/gpu-check/ltm-gpu-check
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/expected" "$folder/gpu"
strip -o "$folder/bin/ltm" "$scratch/release/ltm"
clang -O2 -w -std=gnu17 scripts/gpu/cublas.c -o "$folder/bin/cublas" -ldl
cp -r samples "$folder/samples"
rm -rf "$folder/samples/embed"
cp scripts/gpu/wide.ltm bench/models/gemm.ltm "$folder/gpu/"
cp scripts/gpu/gpu-check.sh "$folder/"

# The CPU's losses, with the flags that gave them. A run that cannot train in 16 bits ends with an error there, and must on
# the GPU.
for file in samples/*.ltm; do
  sample=$(basename "$file" .ltm)
  flags=$file
  # It names no data: the digits' rows are called x and y as its arguments are.
  [ "$sample" = mlp ] && flags="$flags --set inputs=64 --data samples/data/digits.safetensors"
  for setting in 32+O0 16+O1 16+O2 16+O3 bf16+O1 bf16+O2 bf16+O3; do
    name=$folder/expected/$sample+$setting
    echo "$flags --precision ${setting%+*} --amp-level ${setting#*+}" > "$name.flags"
    read -ra all < "$name.flags"
    status=0
    "$folder/bin/ltm" train "${all[@]}" --max-steps 20 --quiet --log "$name.log" 2> /dev/null || status=$?
    echo "$status" > "$name.status"
  done
done

archive=.build/ltm-gpu-check.tar.xz
tar -C .build/gpu-check -cf - ltm-gpu-check | xz -T0 -6 > "$archive"
glibc=$(objdump -T "$folder/bin/ltm" "$folder/bin/cublas" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
echo "gpu-archive: $archive, $(du -h "$archive" | cut -f1), needs $glibc; unpack it on a machine with a GPU and run ltm-gpu-check/gpu-check.sh"
