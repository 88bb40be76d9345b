#!/bin/bash
# Makes the Python stubs that the clients here use, with stock tools:
# protobuf-compiler and protobuf-compiler-grpc (grpc_python_plugin).
#
#   examples/clients/python/generate.sh DIR
set -euo pipefail

[[ $# == 1 && $1 != -* ]] || {
  echo "usage: $0 DIR    (where the stubs go; made if absent)" >&2
  exit 2
}
out=$1
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../.." && pwd)
for tool in protoc grpc_python_plugin; do
  command -v "$tool" >/dev/null || {
    echo "$0: $tool not found; apt-get install protobuf-compiler" \
      "protobuf-compiler-grpc" >&2
    exit 1
  }
done

mkdir -p "$out"
# Of ours only the options, which are compiled like any import.
protoc -I"$root" -I"$root/proto" --python_out="$out" \
  muster/options/v1/options.proto
protoc -I"$root" -I"$root/proto" \
  --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
  --python_out="$out" --grpc_python_out="$out" \
  examples/counter/counter.proto \
  examples/periodic/periodic.proto \
  examples/cache/cache.proto \
  examples/session/session.proto \
  third_party/grpc/reflection/v1/reflection.proto \
  third_party/grpc/reflection/v1alpha/reflection.proto
