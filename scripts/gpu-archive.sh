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
LTM_STATIC_LLVM="$("$llvm/bin/llvm-config" --link-static --libs x86 aarch64 nvptx orcjit passes | sed 's/-l//g')"
export LTM_STATIC_LLVM
# Swift asks for -lstdc++: a folder that has only the static one comes first.
mkdir -p "$scratch/lib"
ln -sf "$(clang -print-file-name=libstdc++.a)" "$scratch/lib/libstdc++.a"
swift build -c release --product ltm --static-swift-stdlib --scratch-path "$scratch" \
  -Xlinker "-L$llvm/lib" -Xswiftc -use-ld=lld -Xswiftc -Xclang-linker -Xswiftc "-L$PWD/$scratch/lib" -Xswiftc -Xclang-linker -Xswiftc -static-libgcc

folder=.build/gpu-check/ltm-gpu-check
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/expected" "$folder/gpu"
strip -o "$folder/bin/ltm" "$scratch/release/ltm"
clang -O2 -w -std=gnu17 scripts/gpu/cublas.c -o "$folder/bin/cublas" -ldl
cp -r samples "$folder/samples"
rm -rf "$folder/samples/embed"
cp scripts/gpu/wide.ltm bench/models/gemm.ltm "$folder/gpu/"
cp scripts/gpu/gpu-check.sh "$folder/"

# The CPU's losses. A run that cannot train in 16 bits ends with an error there, and must on the GPU.
for sample in digits norm tour; do
  for setting in 32+O0 16+O1 16+O2 16+O3 bf16+O1 bf16+O2; do
    name=$sample+$setting
    status=0
    "$folder/bin/ltm" train "samples/$sample.ltm" --precision "${setting%+*}" --amp-level "${setting#*+}" --max-steps 20 \
      --quiet --log "$folder/expected/$name.log" 2> /dev/null || status=$?
    echo "$status" > "$folder/expected/$name.status"
  done
done

archive=.build/ltm-gpu-check.tar.xz
tar -C .build/gpu-check -cf - ltm-gpu-check | xz -T0 -6 > "$archive"
echo "gpu-archive: $archive, $(du -h "$archive" | cut -f1); unpack it on a machine with a GPU and run ltm-gpu-check/gpu-check.sh"
