#!/usr/bin/env bash
# Fuzzes what reads files, by libFuzzer under the address sanitizer. SECONDS_EACH says how long each reader is given (default 60), READERS which ones.
# What it finds lies in .build/fuzz/found; the inputs that reach new code in .build/fuzz/corpus, which the next run begins with.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60}
built=.build/fuzz
fuzzer=$built/ltm-fuzz

LTM_FUZZERS=1 swift build -c release --scratch-path $built --product LTMFuzzers \
  -Xswiftc -sanitize=fuzzer,address -Xcc -fsanitize=address,fuzzer-no-link \
  -Xcc -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
swiftc -sanitize=fuzzer,address -parse-as-library -o $fuzzer $built/release/libLTMFuzzers.a \
  -lLLVM-22 -lpng16 -ljpeg

# Real files for each reader.
seeds() {
  case $1 in
    safetensors | checkpoint) find Tests -name '*.safetensors' -size -64k ;;
    index) printf '%s\n' '{"metadata": {}, "weight_map": {"a": "b.safetensors"}}' > $built/index.json; echo $built/index.json ;;
    npy | npz) find Tests -name "*.$1" -size -64k ;;
    torch) find Tests/RuntimeTests/Fixtures -name '*.pt' -o -name '*.pth' -o -name '*.ckpt' ;;
    csv | table) find Tests -name '*.csv' -size -64k ;;
    text) echo README.md ;;
    image) find Tests/EndToEndTests/Fixtures -name '*.png' -o -name '*.jp*g' ;;
    list) printf 'Tests/EndToEndTests/Fixtures/images/train/cat/a.png\tcat\n' > $built/images.list; echo $built/images.list ;;
    tokenizer) find Tests/TokenizerTests/Fixtures -name '*.json' -size -200k ;;
    onnx) find Tests/ONNXTests -name '*.onnx' -size -64k ;;
    source) find samples grammar Sources/LTMFrontEnd/Prelude -name '*.ltm' ;;
    graph) find passes Tests -name '*.ltir' -size -64k ;;
    kernel) find Tests/KernelTests/Goldens -name '*.txt' ;;
    log) printf '%s\n' '{"attempt":0,"step":1,"loss":2.5,"lr":0.1,"skipped":false}' > $built/log.jsonl; echo $built/log.jsonl ;;
    json) find Tests -name '*.json' -size -16k ;;
  esac
}

mkdir -p $built/found
failed=""
for reader in ${READERS:-safetensors index npy npz torch checkpoint csv text image list tokenizer onnx source graph kernel log table json}; do
  corpus=$built/corpus/$reader
  mkdir -p "$corpus"
  number=0
  for file in $(seeds "$reader"); do cp "$file" "$corpus/seed-$((number += 1))"; done
  # Some data of a fuzzer's process is never given back, by design, as everywhere in Swift's runtime: leaks are not looked for.
  if ! LTM_FUZZER=$reader nice -n 19 $fuzzer "$corpus" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -detect_leaks=0 -print_funcs=0 -print_final_stats=1 -artifact_prefix="$built/found/$reader-" > "$built/$reader.log" 2>&1; then
    failed="$failed $reader"
  fi
  tried=$(awk '/number_of_executed_units/ { print $2 }' "$built/$reader.log")
  covered=$(grep -o 'cov: [0-9]*' "$built/$reader.log" | tail -1 || true)
  echo "$reader: ${tried:-no} inputs, ${covered:-nothing covered}"
done
[ -z "$failed" ] || { echo "fuzz: findings in$failed: $built/found" >&2; exit 1; }
