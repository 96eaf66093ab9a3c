#!/usr/bin/env bash
# Every test, in release (kernels and the interpreter are slow in debug), and the format.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh
swift format lint --strict -r Package.swift Sources Tests passes grammar bench
swift build -c release --build-tests
swift test -c release --skip-build "$@"
