#!/usr/bin/env bash
# The full comparison: 784-1024-1024-10 at batch 256, twenty steps, every precision, against PyTorch's own curves.
# PYTHON names a Python with torch, numpy and safetensors (default: python3); OUT is kept between runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
out=${OUT:-.build/reference}
if [ ! -e "$out/curves.json" ]; then
  "$python" -c 'import torch, numpy, safetensors' 2> /dev/null || {
    echo "compare: '$python' lacks torch, numpy or safetensors; set PYTHON to one that has them" >&2
    exit 1
  }
  echo "compare: making PyTorch's curves (minutes)"
  "$python" scripts/reference/reference.py --size full --out "$out"
fi
for optimizer in sgd adam; do
  for recipe in "64 O0" "32 O0" "16 O1" "16 O2" "bf16 O1" "bf16 O2"; do
    read -r precision level <<< "$recipe"
    .build/release/ltm train "Tests/Fixtures/mlp-small/$optimizer.ltm" --set inputs=784 --set hidden=1024 --batch 256 \
      --data "$out/batches.safetensors" --weights "$out/init.safetensors" --no-shuffle --quiet \
      --precision "$precision" --amp-level "$level" --log "$out/$optimizer.$precision.$level.jsonl"
  done
done
"$python" scripts/reference/compare.py "$out"
