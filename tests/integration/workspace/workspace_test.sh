#!/bin/bash
# A workspace that is not ours uses Muster by local_repository: its .proto goes
# through muster_cc_library, and what comes out compiles, links and runs.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
muster=$(cd "$here/../../.." && pwd)
[[ -e $muster/WORKSPACE ]] || {
  echo "no checkout around $here: run with tag local" >&2
  exit 1
}
bazel=/usr/bin/bazel
[[ -x $bazel ]] || bazel=bazel

# Outside the checkout and outside the outer Bazel's output base: Bazel refuses
# a workspace in either. The inner server needs a home for the disk cache.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/muster-workspace.XXXXXX")
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
export HOME
unset TEST_TMPDIR  # a Bazel that sees it takes it for its own default
user=$scratch/user
run_bazel() {
  # Its own server and outputs: the outer one is waiting for this test.
  (cd "$user" && "$bazel" --output_user_root="$scratch/root" \
    --max_idle_secs=60 "$@" </dev/null)
}
cleanup() {
  run_bazel shutdown >/dev/null 2>&1 || true
  chmod -R u+w "$scratch" 2>/dev/null || true  # Bazel's trees are read-only
  rm -rf "$scratch"
}
trap cleanup EXIT

mkdir -p "$user/greeter"
sed "s|@MUSTER@|$muster|" "$here/user/WORKSPACE.in" >"$user/WORKSPACE"
cp "$here/user/bazelrc.in" "$user/.bazelrc"
cp "$here/user/BUILD.in" "$user/greeter/BUILD"
cp "$here/user/greeter.proto" "$here/user/greeter_main.cc" "$user/greeter/"

run_bazel build //greeter:greeter_main
output=$("$user/bazel-bin/greeter/greeter_main")
[[ $output == "greeter.v1.Greeter/Greet" ]] || {
  echo "greeter_main said: $output" >&2
  exit 1
}
echo "PASS"
