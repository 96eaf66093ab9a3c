#!/usr/bin/env bash
# Installs what building ltm needs and this machine lacks. Quiet when nothing is missing.
set -euo pipefail

if ! command -v swift > /dev/null; then
  echo "setup: no 'swift' on the PATH; install Swift 6.2 or newer from https://www.swift.org/install" >&2
  exit 1
fi
headers=/usr/lib/llvm-22/include/llvm-c/Core.h
[ -e "$headers" ] && exit 0

if ! command -v apt-get > /dev/null; then
  echo "setup: LLVM 22's headers are missing ($headers); install LLVM 22 with its development files" >&2
  exit 1
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
echo "setup: installing llvm-22-dev"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends llvm-22-dev > /dev/null
[ -e "$headers" ] || { echo "setup: llvm-22-dev is installed, but $headers is not there" >&2; exit 1; }
