#!/bin/bash
# Installs what building and testing Muster needs on Debian 12 and is missing.
# Does nothing, quickly, when everything is there. Needs root or sudo only if it
# has to install.
set -euo pipefail

packages=(
  # Bazel and the rule sets it loads; bazel-bootstrap brings a JDK, not these.
  bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto
  bazel-skylib
  # Compilers.
  clang-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev g++ pkg-config
  # Libraries.
  libabsl-dev libbenchmark-dev libcli11-dev libgmock-dev libgrpc++-dev
  libgtest-dev libprotobuf-dev libprotoc-dev libspdlog-dev libssl-dev
  libyaml-cpp-dev nlohmann-json3-dev protobuf-compiler protobuf-compiler-grpc
  # What tests run: the store of a cluster, networks to break, and stock stubs of
  # another language.
  etcd-client etcd-server git iproute2 python3 python3-grpcio python3-protobuf
)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup.sh: no apt here; bazel/deps.bzl lists what Muster links against" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

echo "setup.sh: installing ${missing[*]}" >&2
as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: neither root nor sudo; install these: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" \
    </dev/null >&2
}
apt update
# Recommended packages are desktop parts and documentation of the JDK.
apt install --no-install-recommends "${missing[@]}"
