#!/usr/bin/env bash
# Ours and the installed peers, side by side in one sitting. See bench/README.md.
#   PEERS    the folder with the peers' virtual environments (venv-torch, venv-jax, ...); without it, ours alone
#   WORKLOADS, DTYPES, THREADS, ROUNDS, ONLY, OUT   what to run, on how many threads, how often, which peers, where results go
#   APPEND=1 adds to the results that are there; BEFORE is put before each measurement (taskset, nice, a lock)
set -euo pipefail
cd "$(dirname "$0")/.."
bench=.build/release/ltm-bench
out=${OUT:-.build/bench}
workloads=${WORKLOADS:-W1 W2 W3 W4 W5 W7 W8 W9 W10 W11 memory}
threads=${THREADS:-1 2}
rounds=${ROUNDS:-2}
mkdir -p "$out"
lines=$out/results.jsonl
[ -n "${APPEND:-}" ] || : > "$lines"

# name, environment, script, arguments
peers=(
  "torch-eager torch bench_torch.py --mode eager"
  "torch-compile torch bench_torch.py --mode compile"
  "jax jax bench_jax.py"
  "iree iree bench_iree.py"
  "onnxruntime ort bench_ort.py"
  "openvino ov bench_openvino.py"
  "tf tf bench_tf.py"
)
installed=()
for peer in "${peers[@]}"; do
  read -r name environment _ <<< "$peer"
  if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $name "* ]]; then continue; fi
  if [ -x "${PEERS:-/nonexistent}/venv-$environment/bin/python" ]; then
    installed+=("$peer")
  else
    echo "not installed, left out: $name (venv-$environment in the folder that PEERS names)" >&2
  fi
done

dtypes() {
  case $1 in
  W4 | mlp_adam) echo "f32,f16,bf16,amp-f16,o2-f16,amp-bf16,o2-bf16" ;;
  W5 | W6 | gpt_adam | cnn_sgd) echo "f32,bf16,amp-bf16,amp-f16,o2-bf16,o2-f16" ;;
  W10 | lstm_adam) echo "f32,bf16,amp-bf16,o2-bf16,o2-f16" ;;
  memory) echo "f32,o2-f16,o2-bf16" ;;
  *) echo "f32,f16,bf16" ;;
  esac
}

# One peer's lines; what goes wrong is said, and ends nothing.
peer() { # name environment script arguments...
  local name=$1 environment=$2 script=$3
  shift 3
  # shellcheck disable=SC2086
  timeout "${LIMIT:-600}" ${BEFORE:-} "$PEERS/venv-$environment/bin/python" "bench/peers/$script" "$@" \
    >> "$lines" 2>> "$out/$name.err" ||
    echo "$name ended with status $? on $*; see $out/$name.err" >&2
}

measure() { # threads workload
  local dtype=${DTYPES:-$(dtypes "$2")}
  # shellcheck disable=SC2086
  ${BEFORE:-} "$bench" measure --threads "$1" --workload "$2" --dtype "$dtype" >> "$lines"
  for each in ${installed[@]+"${installed[@]}"}; do
    # shellcheck disable=SC2086
    peer $each --threads "$1" --workload "$2" --dtype "$dtype"
  done
}

# Process start to the first training step.
start() {
  # shellcheck disable=SC2086
  ${BEFORE:-} python3 bench/peers/w8_cold.py --ours "$bench" --threads "$1" --peers "" >> "$lines"
  [ -n "${PEERS:-}" ] || return 0
  for name in torch-eager torch-compile jax tf; do
    if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $name "* ]]; then continue; fi
    # shellcheck disable=SC2086
    ${BEFORE:-} python3 bench/peers/w8_cold.py --threads "$1" --peers "$name" >> "$lines"
  done
}

# Peak memory of the MLP's step: a process for each dtype, with the C library's own way of giving memory back.
memory() { # threads
  local dtype
  for dtype in $(dtypes memory | tr , ' '); do
    "$bench" memory --threads "$1" --dtype "$dtype" >> "$lines"
    for each in ${installed[@]+"${installed[@]}"}; do
      case $each in onnxruntime* | openvino*) continue ;; esac
      # shellcheck disable=SC2086
      BENCH_DEFAULT_MALLOC=1 peer $each --threads "$1" --workload mlp_adam --dtype "$dtype" --memory
    done
  done
}

for count in $threads; do
  # shellcheck disable=SC2086
  ${BEFORE:-} "$bench" ceilings --threads "$count" >> "$lines"
  for ((round = 0; round < rounds; round++)); do
    for workload in $workloads; do
      echo "$count threads, $workload, round $((round + 1)) of $rounds" >&2
      case $workload in
      W8) [ "$round" -gt 0 ] || start "$count" ;;
      memory) [ "$round" -gt 0 ] || memory "$count" ;;
      *) measure "$count" "$workload" ;;
      esac
    done
  done
done
"$bench" report "$lines" --svg "$out/roofline.svg" | tee "$out/table.md"
echo "lines: $lines, table: $out/table.md, picture: $out/roofline.svg" >&2
