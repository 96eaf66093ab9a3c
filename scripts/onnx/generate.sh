#!/usr/bin/env bash
# Makes Sources/LTMONNX/Protobuf/onnx.pb.swift again, of the onnx.proto beside it, which is the onnx package's own.
# Needs python3 with grpcio-tools (for protoc), and network for swift-protobuf's generator at the version of Package.resolved.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(python3 -c 'import json; print(next(p["state"]["version"] for p in json.load(open("Package.resolved"))["pins"] if p["identity"] == "swift-protobuf"))')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone -q --depth 1 --branch "$version" https://github.com/apple/swift-protobuf "$work/swift-protobuf"
swift build -c release --package-path "$work/swift-protobuf" --product protoc-gen-swift
folder=Sources/LTMONNX/Protobuf
python3 -m grpc_tools.protoc --plugin=protoc-gen-swift="$work/swift-protobuf/.build/release/protoc-gen-swift" \
  --swift_opt=Visibility=Internal --swift_out="$folder" -I"$folder" onnx.proto
