#!/usr/bin/env bash
# Checks ltm on this machine's GPU, in under ten minutes: every sample trains at every opt level with the CPU's losses; fp16
# against fp32 on a wide perceptron, in time and in activations; a 4096-cubed fp16 product against cuBLAS; compute-sanitizer
# where it is. Ends with 0 when everything that ran is right, with 1 when something is wrong, with 3 when no GPU was found.
#   CHECK_STEPS=20     tries of each sample
#   CHECK_SPEED=no     leaves the timings out
set -uo pipefail
cd "$(dirname "$0")"
ltm=$PWD/bin/ltm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
steps=${CHECK_STEPS:-20}
failures=0

say() { printf '%-62s %s\n' "$1" "$2"; }
fail() { say "$1" "WRONG: $2"; failures=$((failures + 1)); }

"$ltm" devices
if ! "$ltm" devices --json | tr -d '\n ' | grep -q '"target":"cuda","runs":true'; then
  echo
  echo "gpu-check: no GPU found that this can run on; the lines above say what was looked for"
  exit 3
fi
echo

# Compares two step logs: the losses within a tolerance, the scale and the skips exactly.
same_losses() {
  paste -d'|' "$1" "$2" | head -n "$steps" | awk -F'|' -v tolerance="$3" '
    function field(line, name) {
      if (!match(line, "\"" name "\":[^,}]*")) return "none"
      return substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
    }
    {
      a = field($1, "loss"); b = field($2, "loss"); rows++
      if (field($1, "scale") != field($2, "scale")) { print "step " NR - 1 ": another scale"; bad = 1; exit }
      if (field($1, "skipped") != field($2, "skipped")) { print "step " NR - 1 ": another skip"; bad = 1; exit }
      if (a == "null" || b == "null") { if (a != b) { print "step " NR - 1 ": " a ", cpu " b; bad = 1; exit } ; next }
      d = a - b; if (d < 0) d = -d
      m = b < 0 ? -b : b; if (m < 1) m = 1
      if (d / m > worst) worst = d / m
    }
    END {
      if (bad) exit 1
      if (rows == 0) { print "no steps"; exit 1 }
      printf "%d steps, farthest %.1e of %.0e\n", rows, worst, tolerance
      exit !(worst <= tolerance)
    }'
}

for log in expected/*.log; do
  name=$(basename "$log" .log)
  IFS=+ read -r sample precision level <<< "$name"
  case $precision in 16) tolerance=4e-3 ;; bf16) tolerance=3e-2 ;; *) tolerance=1e-4 ;; esac
  "$ltm" train "samples/$sample.ltm" --gpus 1 --precision "$precision" --amp-level "$level" --max-steps "$steps" --quiet \
    --log "$work/log" > "$work/out" 2>&1
  status=$?
  expected=$(cat "expected/$name.status")
  if [ "$status" != "$expected" ]; then
    fail "train $sample $precision $level" "it ended with $status, on the CPU with $expected: $(head -n 1 "$work/out")"
  elif answer=$(same_losses "$work/log" "$log" "$tolerance"); then
    say "train $sample $precision $level" "$answer"
  else
    fail "train $sample $precision $level" "$answer"
  fi
done

if command -v compute-sanitizer > /dev/null; then
  for sample in digits norm tour; do
    if compute-sanitizer --error-exitcode 9 "$ltm" train "samples/$sample.ltm" --gpus 1 --precision 16 --amp-level O2 \
      --max-steps 2 --quiet > "$work/out" 2>&1; then
      say "compute-sanitizer $sample" "found nothing"
    else
      fail "compute-sanitizer $sample" "$(grep -m 1 '=========' "$work/out")"
    fi
  done
else
  say "compute-sanitizer" "not here"
fi

[ "${CHECK_SPEED:-yes}" = no ] && exit $((failures > 0))

# A number of `ltm profile --json`: its first field of that name.
number() { grep -m 1 "\"$2\":" "$1" | tr -dc '0-9.eE+-'; }
wide() {
  "$ltm" profile gpu/wide.ltm --step --gpus 1 --runs 10 --json --precision "$1" --amp-level "$2" > "$work/$1" 2> "$work/err" \
    || { fail "wide perceptron, $1 $2" "$(head -n 1 "$work/err")"; return 1; }
}
if wide 32 O0 && wide 16 O2; then
  ratio=$(awk -v a="$(number "$work/32" seconds)" -v b="$(number "$work/16" seconds)" 'BEGIN { printf "%.2f", a / b }')
  bytes=$(awk -v a="$(number "$work/16" activations)" -v b="$(number "$work/32" activations)" 'BEGIN { printf "%.2f", a / b }')
  text="fp32 O0 $(number "$work/32" seconds) s, fp16 O2 $(number "$work/16" seconds) s: $ratio times as fast; wanted 3"
  if awk -v r="$ratio" 'BEGIN { exit !(r >= 3) }'; then say "wide perceptron" "$text"; else fail "wide perceptron" "$text"; fi
  if awk -v r="$bytes" 'BEGIN { exit !(r <= 0.55) }'; then
    say "its activations" "$bytes of fp32's; wanted a half"
  else
    fail "its activations" "$bytes of fp32's; wanted a half"
  fi
fi

if "$ltm" profile gpu/gemm.ltm --entry forward --gpus 1 --runs 30 --json --precision 16 --amp-level O2 --dim M=4096 \
  --dim N=4096 --dim K=4096 > "$work/gemm" 2> "$work/err"; then
  ours=$(number "$work/gemm" flops)
  if theirs=$(bin/cublas 4096 2> "$work/err"); then
    share=$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.0f", 100 * a / b }')
    text="$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.1f TFLOP/s, cuBLAS %.1f", a / 1e12, b / 1e12 }'): $share%; wanted 70%"
    if [ "$share" -ge 70 ]; then say "4096-cubed fp16 product" "$text"; else fail "4096-cubed fp16 product" "$text"; fi
  else
    say "4096-cubed fp16 product" "$(awk -v a="$ours" 'BEGIN { printf "%.1f", a / 1e12 }') TFLOP/s; $(head -n 1 "$work/err")"
  fi
else
  fail "4096-cubed fp16 product" "$(head -n 1 "$work/err")"
fi

echo
if [ "$failures" = 0 ]; then echo "gpu-check: everything that ran is right"; else echo "gpu-check: $failures wrong"; fi
exit $((failures > 0))
