#!/usr/bin/env bash
# Generates the Python code of protos/ beside the .proto files. `--check` fails when what is committed is stale.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
out=protos
if [ "${1:-}" = "--check" ]; then out=$(mktemp -d); trap 'rm -rf "$out"' EXIT; fi
"$python" -m grpc_tools.protoc -I protos --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" protos/mneme/v1/*.proto
# protoc writes a gRPC module for every file; those without a service say nothing.
find "$out/mneme" -name '*_pb2_grpc.py' ! -name '*_service_pb2_grpc.py' -delete
if [ "${1:-}" = "--check" ]; then
  status=0
  for f in "$out"/mneme/v1/*_pb2*; do
    cmp -s "$f" "protos/mneme/v1/$(basename "$f")" || { echo "stale: protos/mneme/v1/$(basename "$f"); run make protos"; status=1; }
  done
  for f in protos/mneme/v1/*_pb2*; do
    [ -e "$out/mneme/v1/$(basename "$f")" ] || { echo "orphan: $f; remove it"; status=1; }
  done
  exit $status
fi
