#!/usr/bin/env bash
# Checks ltm on this machine's GPU, in under ten minutes: every sample trains at every opt level with the CPU's losses; fp16
# against fp32 on a wide perceptron, in time and in activations; a 4096-cubed fp16 product against cuBLAS; compute-sanitizer
# where it is. Ends with 0 when everything that ran is right, with 1 when something is wrong, with 3 when no GPU was found.
#   CHECK_STEPS=20     tries of each sample
#   CHECK_LIMIT=120    seconds that each command may take
#   CHECK_SPEED=no     leaves the timings out
#   CHECK_WIDE="--set inner=64", CHECK_GEMM=64    other sizes, to try the script itself
set -uo pipefail
cd "$(dirname "$0")"
ltm=$PWD/bin/ltm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
steps=${CHECK_STEPS:-20}
limit=${CHECK_LIMIT:-120}
failures=0

say() { printf '%-62s %s\n' "$1" "$2"; }
fail() { say "$1" "WRONG: $2"; failures=$((failures + 1)); }
# A command that hangs is a failure like others.
limited() { timeout -k 5 "$limit" "$@"; }

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

# `expected` holds for each run its flags, how it ended on the CPU, and the CPU's log.
for log in expected/*.log; do
  name=$(basename "$log" .log)
  case $name in *+16+*) tolerance=4e-3 ;; *+bf16+*) tolerance=3e-2 ;; *) tolerance=1e-4 ;; esac
  read -ra flags < "expected/$name.flags"
  limited "$ltm" train "${flags[@]}" --gpus 1 --max-steps "$steps" --quiet --log "$work/log" > "$work/out" 2>&1
  status=$?
  expected=$(cat "expected/$name.status")
  if [ "$status" != "$expected" ]; then
    fail "train ${name//+/ }" "it ended with $status, on the CPU with $expected: $(head -n 1 "$work/out")"
  elif answer=$(same_losses "$work/log" "$log" "$tolerance"); then
    say "train ${name//+/ }" "$answer"
  else
    fail "train ${name//+/ }" "$answer"
  fi
done

if command -v compute-sanitizer > /dev/null; then
  for file in expected/*+16+O2.flags; do
    read -ra flags < "$file"
    for tool in memcheck racecheck; do
      what="compute-sanitizer $tool $(basename "$file" +16+O2.flags)"
      if limited compute-sanitizer --tool "$tool" --error-exitcode 9 "$ltm" train "${flags[@]}" --gpus 1 --max-steps 2 \
        --quiet > "$work/out" 2>&1; then
        say "$what" "found nothing"
      else
        fail "$what" "$(grep -m 1 '=========' "$work/out")"
      fi
    done
  done
else
  say "compute-sanitizer" "not here"
fi

finish() {
  echo
  local end="everything that ran is right"
  [ "$failures" = 0 ] || end="$failures wrong"
  echo "gpu-check: $end; it took $SECONDS seconds"
  exit $((failures > 0))
}
[ "${CHECK_SPEED:-yes}" = no ] && finish

# A number of `ltm profile --json`: its first field of that name.
number() { sed -nE "s/^ *\"$2\": *([-+0-9.eE]+).*/\1/p" "$1" | head -n 1; }
read -ra wide_flags <<< "${CHECK_WIDE:-}"
wide() {
  limited "$ltm" profile gpu/wide.ltm --step --gpus 1 --runs 10 --json --precision "$1" --amp-level "$2" \
    "${wide_flags[@]}" > "$work/$1" 2> "$work/err" \
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

# Wanted: 70% of cuBLAS, or, on an H200, 450 TFLOP/s.
size=${CHECK_GEMM:-4096}
product="$size-cubed fp16 product"
if limited "$ltm" profile gpu/gemm.ltm --entry forward --gpus 1 --runs 30 --json --precision 16 --amp-level O2 \
  --dim M="$size" --dim N="$size" --dim K="$size" > "$work/gemm" 2> "$work/err"; then
  ours=$(number "$work/gemm" flops)
  text="$(awk -v a="$ours" 'BEGIN { printf "%.1f", a / 1e12 }') TFLOP/s"
  enough=unknown
  if theirs=$(limited bin/cublas "$size" 2> "$work/err"); then
    share=$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.0f", 100 * a / b }')
    text="$text, cuBLAS $(awk -v b="$theirs" 'BEGIN { printf "%.1f", b / 1e12 }'): $share%; wanted 70%"
    if [ "$share" -ge 70 ]; then enough=yes; else enough=no; fi
  else
    text="$text; $(head -n 1 "$work/err")"
  fi
  if [ "$enough" != yes ] && grep -q '"device": ".*H200' "$work/gemm"; then
    text="$text; wanted 450 TFLOP/s"
    if awk -v a="$ours" 'BEGIN { exit !(a >= 450e12) }'; then enough=yes; else enough=no; fi
  fi
  if [ "$enough" = no ]; then fail "$product" "$text"; else say "$product" "$text"; fi
else
  fail "$product" "$(head -n 1 "$work/err")"
fi
finish
