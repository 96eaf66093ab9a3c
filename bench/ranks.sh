#!/usr/bin/env bash
# Two ranks on this machine, one thread each: ours by MPI against PyTorch's DistributedDataParallel on gloo, in turns, the best
# of three for each. PYTHON names a Python with torch and numpy, MPIRUN a launcher. Prints rows a second and the ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
launcher=${MPIRUN:-mpirun}
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
"$python" - "$data" << 'END'
import sys, numpy as np
r = np.random.default_rng(0)
np.savez(f"{sys.argv[1]}/mlp.npz", x=r.random((4096, 784), np.float32), y=r.integers(0, 10, 4096, dtype=np.int32))
t = r.integers(0, 256, (512, 128), dtype=np.int32)
np.savez(f"{sys.argv[1]}/gpt.npz", tokens=t, next=np.roll(t, -1, 1))
END
ours() { # model, flags: rows a second of the steps after the first quarter
  local rows=$1 model=$2
  shift 2
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "$launcher" -np 2 .build/release/ltm train "bench/models/$model.ltm" \
    --data "$data/$model.npz" --no-report --max-steps 60 --epochs 1000 --threads 1 --quiet --log "$data/log.jsonl" "$@" > /dev/null 2>&1
  "$python" - "$data/log.jsonl" "$rows" << 'END'
import json, statistics, sys
times = [json.loads(line)["seconds"] for line in open(sys.argv[1])][15:]
print(f"{int(sys.argv[2]) / statistics.median(times):.1f}")
END
}
for case in "mlp 256 mlp_adam f32" "mlp 256 mlp_adam o1-bf16" "gpt 8 gpt_adam f32" "gpt 8 gpt_adam o1-bf16"; do
  read -r model rows workload dtype <<< "$case"
  flags="--precision 32"
  [ "$dtype" = f32 ] || flags="--precision bf16 --amp-level O1"
  best_ours=0 best_theirs=0
  for _ in 1 2 3; do
    a=$(ours "$rows" "$model" $flags)
    b=$(cd bench/peers && "$python" ddp.py "$workload" --dtype "$dtype")
    best_ours=$(printf '%s\n' "$a" "$best_ours" | sort -g | tail -1)
    best_theirs=$(printf '%s\n' "$b" "$best_theirs" | sort -g | tail -1)
  done
  awk -v n="$workload $dtype" -v a="$best_ours" -v b="$best_theirs" \
    'BEGIN { printf "%-20s ltm %10.1f rows/s   torch DDP gloo %10.1f rows/s   %.2f\n", n, a, b, a / b }'
done
