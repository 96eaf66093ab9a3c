#!/usr/bin/env bash
# Checks ltm on this machine's GPU, in under ten minutes: every sample trains at every opt level with the CPU's losses; fp16
# against fp32 on a wide perceptron, in time and in activations; a 4096-cubed fp16 product against cuBLAS; compute-sanitizer
# where it is. Ends with 0 when everything that ran is right, with 1 when something is wrong, with 2 when something did not
# run for want of time, with 3 when no GPU was found, with 4 when the command does not start on this system.
#   CHECK_STEPS=20     tries of each sample
#   CHECK_LIMIT=120    seconds that each command may take
#   CHECK_BUDGET=570   seconds that all of them may take
#   CHECK_SPEED=no     leaves the timings out
#   CHECK_SANITIZER=PATH, CHECK_CUBLAS=FOLDER    where compute-sanitizer and libcublas are, if they are not found
#   CHECK_RESULTS=results    keeps the report, and what each command wrote
#   CHECK_WIDE="--set inner=64", CHECK_GEMM=64    other sizes, to try the script itself
set -uo pipefail
cd "$(dirname "$0")" || exit 4
# Launches one by one would be timed.
unset CUDA_LAUNCH_BLOCKING
ltm=$PWD/bin/ltm
steps=${CHECK_STEPS:-20}
limit=${CHECK_LIMIT:-120}
budget=${CHECK_BUDGET:-570}
failures=0
unrun=0
temporary=
work=${CHECK_RESULTS:-results}
if ! mkdir -p "$work" 2> /dev/null || [ ! -w "$work" ]; then
  work=$(mktemp -d)
  temporary=$work
fi
trap '[ -z "$temporary" ] || rm -rf "$temporary"' EXIT
: > "$work/report"

tell() { printf '%s\n' "$*" | tee -a "$work/report"; }
say() { tell "$(printf '%-62s %s' "$1" "$2")"; }
fail() { say "$1" "WRONG: $2"; failures=$((failures + 1)); }
# A command that hangs is a failure like others, and no command outlasts the whole's time.
limited() {
  local left=$((budget - SECONDS))
  [ "$left" -lt "$limit" ] || left=$limit
  timeout -k 5 "$((left > 0 ? left : 1))" "$@"
}
has_time() {
  [ "$SECONDS" -lt "$budget" ] && return 0
  say "$1" "not run: the $budget seconds are over"
  unrun=$((unrun + 1))
  return 1
}
# What a command says of its end, or that it was ended.
reason() {
  case $1 in
    124 | 137) echo "it was ended after its time" ;;
    *) grep -m 1 error "$2" || head -n 1 "$2" ;;
  esac
}

if ! devices=$("$ltm" devices 2>&1); then
  tell "$devices"
  tell "gpu-check: bin/ltm does not start here; it needs x86-64 Linux, and glibc as new as it says above"
  exit 4
fi
tell "$devices"
command -v nvidia-smi > /dev/null && tell "$(timeout 20 nvidia-smi \
  --query-gpu=name,driver_version,power.limit,clocks.max.sm,persistence_mode --format=csv,noheader 2>&1 | head -n 8)"
found=$("$ltm" devices --json | tr -d '\n ')
case $found in
  *'"target":"cuda","runs":true'*) tell "" ;;
  *)
    tell ""
    tell "gpu-check: no GPU found that this can run on; the lines above say what was looked for"
    exit 3
    ;;
esac

# Compares two step logs: the losses within a tolerance, the scale and the skips exactly. Runs that diverge, as fp16 does at
# O3, multiply whatever rounding differs in: they are compared until both are far above where they began.
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
      if (rows == 1) first = b
      if (a > 4 * first && b > 4 * first) { diverged = NR - 1; exit }
      d = a - b; if (d < 0) d = -d
      m = b < 0 ? -b : b; if (m < 1) m = 1
      if (d / m > worst) worst = d / m
    }
    END {
      if (bad) exit 1
      if (rows == 0) { print "no steps"; exit 1 }
      printf "%d steps, farthest %.1e of %.0e", rows, worst, tolerance
      print diverged ? ", both diverge from step " diverged : ""
      exit !(worst <= tolerance)
    }'
}

# `expected` holds for each run its flags, how it ended on the CPU, and the CPU's log.
for log in expected/*.log; do
  name=$(basename "$log" .log)
  has_time "train ${name//+/ }" || continue
  case $name in *+16+*) tolerance=4e-3 ;; *+bf16+*) tolerance=3e-2 ;; *) tolerance=1e-4 ;; esac
  read -ra flags < "expected/$name.flags"
  rm -f "$work/$name.log"
  limited "$ltm" train "${flags[@]}" --gpus 1 --max-steps "$steps" --quiet --log "$work/$name.log" > "$work/$name.out" 2>&1
  status=$?
  expected=$(cat "expected/$name.status")
  if [ "$status" != "$expected" ]; then
    fail "train ${name//+/ }" "it ended with $status, on the CPU with $expected: $(reason "$status" "$work/$name.out")"
  elif answer=$(same_losses "$work/$name.log" "$log" "$tolerance"); then
    say "train ${name//+/ }" "$answer"
  else
    fail "train ${name//+/ }" "$answer"
  fi
done

# A number of `ltm profile --json`: its first field of that name.
number() { sed -nE "s/^ *\"$2\": *([-+0-9.eE]+).*/\1/p" "$1" | head -n 1; }
read -ra wide_flags <<< "${CHECK_WIDE:-}"
wide() {
  has_time "wide perceptron, $1 $2" || return 1
  limited "$ltm" profile gpu/wide.ltm --step --gpus 1 --runs 10 --json --precision "$1" --amp-level "$2" \
    "${wide_flags[@]}" > "$work/wide.$1" 2> "$work/wide.$1.out" \
    || { fail "wide perceptron, $1 $2" "$(reason $? "$work/wide.$1.out")"; return 1; }
}
# cuBLAS is often where the loader does not look: in a toolkit's folder, or in a Python package.
cublas_folders() {
  ls -d ${CHECK_CUBLAS:+"$CHECK_CUBLAS"} /usr/local/cuda*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib /opt/cuda/lib64
  timeout 20 python3 -c '
import glob, site
for folder in [*site.getsitepackages(), site.getusersitepackages()]:
    print(*glob.glob(folder + "/nvidia/*/lib"), sep="\n")'
}
speed() {
  if wide 32 O0 && wide 16 O2; then
    local full=$work/wide.32 half=$work/wide.16
    local ratio bytes text
    ratio=$(awk -v a="$(number "$full" seconds)" -v b="$(number "$half" seconds)" 'BEGIN { printf "%.2f", a / b }')
    bytes=$(awk -v a="$(number "$half" activations)" -v b="$(number "$full" activations)" 'BEGIN { printf "%.2f", a / b }')
    text="fp32 O0 $(number "$full" seconds) s, fp16 O2 $(number "$half" seconds) s: $ratio times as fast; wanted 3"
    if awk -v r="$ratio" 'BEGIN { exit !(r >= 3) }'; then say "wide perceptron" "$text"; else fail "wide perceptron" "$text"; fi
    if awk -v r="$bytes" 'BEGIN { exit !(r <= 0.55) }'; then
      say "its activations" "$bytes of fp32's; wanted a half"
    else
      fail "its activations" "$bytes of fp32's; wanted a half"
    fi
  fi
  # Wanted: 70% of cuBLAS, or, on an H200, 450 TFLOP/s.
  local size=${CHECK_GEMM:-4096}
  local product="$size-cubed fp16 product" ours theirs share enough=unknown
  has_time "$product" || return
  if ! limited "$ltm" profile gpu/gemm.ltm --entry forward --gpus 1 --runs 30 --json --precision 16 --amp-level O2 \
    --dim M="$size" --dim N="$size" --dim K="$size" > "$work/gemm" 2> "$work/gemm.out"; then
    fail "$product" "$(reason $? "$work/gemm.out")"
    return
  fi
  ours=$(number "$work/gemm" flops)
  text="$(awk -v a="$ours" 'BEGIN { printf "%.1f", a / 1e12 }') TFLOP/s"
  folders=$(cublas_folders 2> /dev/null | paste -sd:)
  if theirs=$(LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folders" limited bin/cublas "$size" 2> "$work/cublas.out"); then
    share=$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.0f", 100 * a / b }')
    text="$text, cuBLAS $(awk -v b="$theirs" 'BEGIN { printf "%.1f", b / 1e12 }'): $share%; wanted 70%"
    if [ "$share" -ge 70 ]; then enough=yes; else enough=no; fi
  else
    text="$text; $(head -n 1 "$work/cublas.out")"
  fi
  if [ "$enough" != yes ] && grep -q '"device": ".*H200' "$work/gemm"; then
    text="$text; wanted 450 TFLOP/s"
    if awk -v a="$ours" 'BEGIN { exit !(a >= 450e12) }'; then enough=yes; else enough=no; fi
  fi
  if [ "$enough" = no ]; then fail "$product" "$text"; else say "$product" "$text"; fi
}
[ "${CHECK_SPEED:-yes}" = no ] || speed

# The last, since nobody knows how long it takes.
sanitizer=${CHECK_SANITIZER:-$(command -v compute-sanitizer || ls -d /usr/local/cuda*/bin/compute-sanitizer \
  /opt/cuda/bin/compute-sanitizer 2> /dev/null | tail -n 1)}
if [ -n "$sanitizer" ]; then
  for tool in memcheck racecheck; do
    for file in expected/*+16+O2.flags; do
      what="compute-sanitizer $tool $(basename "$file" +16+O2.flags)"
      has_time "$what" || continue
      read -ra flags < "$file"
      out=$work/$tool.$(basename "$file" +16+O2.flags)
      limited "$sanitizer" --tool "$tool" --error-exitcode 9 "$ltm" train "${flags[@]}" --gpus 1 --max-steps 2 \
        --quiet > "$out" 2>&1
      status=$?
      case $status in
        0) say "$what" "found nothing" ;;
        124 | 137)
          say "$what" "not finished in its time"
          unrun=$((unrun + 1))
          ;;
        *) fail "$what" "$(grep -m 1 -E '=========.*([Ee]rror|[Hh]azard|[Ii]nvalid)' "$out" || head -n 1 "$out")" ;;
      esac
    done
  done
else
  say "compute-sanitizer" "not here"
fi

tell ""
end="everything that ran is right"
[ "$failures" = 0 ] || end="$failures wrong"
[ "$unrun" = 0 ] || end="$end, $unrun not run"
tell "gpu-check: $end; it took $SECONDS seconds; what each command wrote is in $work"
[ "$failures" = 0 ] || exit 1
[ "$unrun" = 0 ] || exit 2
