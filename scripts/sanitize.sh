#!/usr/bin/env bash
# The tests of what several threads do, under the thread sanitizer: pool, sessions, loaders, logs, ranks. FILTER names other tests.
set -euo pipefail
cd "$(dirname "$0")/.."
built=.build/sanitize
filter=${FILTER:-'RuntimeTests|RankTrainingTests|JoiningTests|ConcurrencyTests|SessionTests|GenerationTests|TrainerTests|DebuggerTests|LogTests|CurveTests|ValidationTests|CarryTests|LossTests|StoppingTests|PredictionTests'}
scripts/tools.sh
swift build -c release --sanitize=thread --scratch-path $built --build-tests
# On other processors the paths where threads meet are not seen through, and a Mutex looks like a race.
if [ "$(uname -m)" = x86_64 ]; then
  clang -shared -fPIC -O1 -o $built/mutex.so scripts/sanitize/mutex.c
  export LD_PRELOAD="$PWD/$built/mutex.so"
fi
export TSAN_OPTIONS="suppressions=$PWD/scripts/sanitize/suppressions.txt"
swift test -c release --sanitize=thread --scratch-path $built --skip-build --filter "$filter"
