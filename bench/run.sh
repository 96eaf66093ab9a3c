#!/usr/bin/env bash
# Ours and the installed peers, side by side in one sitting. See bench/README.md.
#   PEERS    the folder with the peers' virtual environments (venv-torch, venv-jax, ...); without it, ours alone
#   WORKLOADS, THREADS, ROUNDS, OUT   what to run, on how many threads, how often, where results go
set -euo pipefail
cd "$(dirname "$0")/.."
bench=.build/release/ltm-bench
out=${OUT:-.build/bench}
workloads=${WORKLOADS:-W1 W2 W3 W4 W7}
threads=${THREADS:-1 2}
rounds=${ROUNDS:-2}
mkdir -p "$out"
lines=$out/results.jsonl
: > "$lines"

# name, environment, script, arguments
peers=(
  "torch-eager torch bench_torch.py --mode eager"
  "torch-compile torch bench_torch.py --mode compile"
  "jax jax bench_jax.py"
  "onnxruntime ort bench_ort.py"
  "openvino ov bench_openvino.py"
  "tf tf bench_tf.py"
)
installed=()
for peer in "${peers[@]}"; do
  read -r name environment _ <<< "$peer"
  if [ -x "${PEERS:-/nonexistent}/venv-$environment/bin/python" ]; then
    installed+=("$peer")
  else
    echo "not installed, left out: $name (venv-$environment in the folder that PEERS names)" >&2
  fi
done

dtypes() {
  case $1 in
  W4) echo "f32,amp-f16,o2-f16,amp-bf16,o2-bf16" ;;
  *) echo "f32,f16,bf16" ;;
  esac
}

for count in $threads; do
  "$bench" ceilings --threads "$count" >> "$lines"
  for ((round = 0; round < rounds; round++)); do
    for workload in $workloads; do
      echo "$count threads, $workload, round $((round + 1)) of $rounds" >&2
      "$bench" measure --threads "$count" --workload "$workload" --dtype "$(dtypes "$workload")" >> "$lines"
      for peer in ${installed[@]+"${installed[@]}"}; do
        read -r name environment script arguments <<< "$peer"
        # shellcheck disable=SC2086
        timeout "${LIMIT:-600}" "$PEERS/venv-$environment/bin/python" "bench/peers/$script" ${arguments:-} --threads "$count" \
          --workload "$workload" --dtype "$(dtypes "$workload")" >> "$lines" 2>> "$out/$name.err" ||
          echo "$name on $workload ended with status $?; see $out/$name.err" >&2
      done
    done
  done
done
"$bench" report "$lines" --svg "$out/roofline.svg" | tee "$out/table.md"
echo "lines: $lines, table: $out/table.md, picture: $out/roofline.svg" >&2
