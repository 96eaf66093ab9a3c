#!/usr/bin/env bash
# ONNX's backend node tests, all of them, counted beside ONNX Runtime; skipped where PYTHON has no onnx package.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
if ! "$python" -c 'import onnx, onnxruntime, safetensors' 2>/dev/null; then
  echo "onnx node tests: skipped, $python has no onnx, onnxruntime and safetensors (PYTHON names another)"
  exit 0
fi
folder=.build/onnx-nodes
mkdir -p "$folder"
"$python" scripts/onnx/node_tests.py "$folder"
LTM_ONNX_NODES="$PWD/$folder" swift test -c release --skip-build --filter ONNXTests.NodeTests
"$python" scripts/onnx/count.py "$folder"
