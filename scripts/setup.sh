#!/usr/bin/env bash
# Installs what building ltm needs and this machine lacks. Quiet when nothing is missing.
set -euo pipefail

if ! command -v swift > /dev/null; then
  echo "setup: no 'swift' on the PATH; install Swift 6.2 or newer from https://www.swift.org/install" >&2
  exit 1
fi
headers="/usr/lib/llvm-22/include/llvm-c/Core.h /usr/include/png.h /usr/include/jpeglib.h"
lacking() { for header in $headers; do [ -e "$header" ] || printf ' %s' "$header"; done; }
[ -z "$(lacking)" ] && exit 0

if ! command -v apt-get > /dev/null; then
  echo "setup: headers are missing:$(lacking); install LLVM 22, libpng and libjpeg with their development files" >&2
  exit 1
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
packages="llvm-22-dev libpng-dev libjpeg-dev"
echo "setup: installing $packages"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages > /dev/null
[ -z "$(lacking)" ] || { echo "setup: $packages are installed, but these are not there:$(lacking)" >&2; exit 1; }
