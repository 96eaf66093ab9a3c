#!/usr/bin/env bash
# Makes .build/tools, a Python environment with what checks the TPU target: StableHLO's parser and reference interpreter
# (jaxlib) and XLA's CPU compiler as a PJRT plugin; and the CUDA target: NVIDIA's assembler and disassembler, which need
# no GPU. Installs what builds and runs AArch64 programs (a cross compiler, qemu-user), Open MPI, MPICH and librsvg. Quiet
# when all is there. Without Python 3.11 or newer, PyPI or apt-get, the tests that need them say that they are skipped.
# LTM_LIBTPU=1 adds libtpu, the TPU's own compiler, which is large.
set -uo pipefail
cd "$(dirname "$0")/.."
tools=.build/tools
wanted=(jax==0.10.2 jaxlib==0.10.2 numpy xla-cpu-pjrt==0.0.1
  'nvidia-cuda-nvcc-cu12==12.9.*' 'nvidia-cuda-nvdisasm==13.5.37')
[ "${LTM_LIBTPU:-0}" = 1 ] && wanted+=(libtpu==0.0.52)
stamp=$tools/${#wanted[@]}.installed

# What builds AArch64 programs and runs them on another machine.
if ! command -v qemu-aarch64 > /dev/null || ! command -v aarch64-linux-gnu-gcc > /dev/null; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  packages="qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
  echo "tools: installing $packages"
  { $as_root apt-get update -qq \
    && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } \
    > /dev/null 2>&1 || echo "tools: the installation failed; the tests on AArch64 will be skipped" >&2
fi

# What draws curves as PNG.
if ! ldconfig -p | grep -q librsvg-2.so.2; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  echo "tools: installing librsvg2-2"
  { $as_root apt-get update -qq \
    && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends librsvg2-2 fonts-dejavu-core; } \
    > /dev/null 2>&1 || echo "tools: the installation failed; no .png is drawn by the tests" >&2
fi

# What starts several processes: the launchers and libraries of Open MPI and of MPICH, side by side.
if ! command -v mpirun.openmpi > /dev/null || ! command -v mpirun.mpich > /dev/null; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  echo "tools: installing openmpi-bin mpich"
  { $as_root apt-get update -qq \
    && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openmpi-bin mpich; } \
    > /dev/null 2>&1 || echo "tools: the installation failed; the tests under a launcher of MPI will be skipped" >&2
fi

[ -e "$stamp" ] && exit 0
if ! python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
  echo "tools: no Python 3.11 with venv; the tests against StableHLO's and NVIDIA's tools will be skipped" >&2
  exit 0
fi
echo "tools: installing ${wanted[*]} into $tools"
if python3 -m venv "$tools" && "$tools/bin/pip" install -q --disable-pip-version-check "${wanted[@]}"; then
  touch "$stamp"
else
  echo "tools: the installation failed; the tests against StableHLO's and NVIDIA's tools will be skipped" >&2
fi
