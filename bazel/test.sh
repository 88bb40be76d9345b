#!/bin/bash
# Builds everything and runs all tests.
#
#   bazel/test.sh [--sanitizers | --tsan | --gcc | --planted] [bazel arguments and targets...]
#   bazel/test.sh --tidy [targets...]
#
#   --sanitizers  under the address and undefined-behaviour sanitizers
#   --tsan        under the thread sanitizer: what does not run gRPC, which it
#                 cannot see into (tag no-tsan). Without targets: node/, the
#                 test kit and the conformance suites
#   --gcc         with g++ instead of clang
#   --planted     with bugs planted, each of which its checker must find.
#                 Without targets: //tests/sim:planted_test
#   --tidy        runs clang-tidy instead. Without targets: //node/...
#
# Without targets: //... . The last line is "N passed, N failed", counted in
# test targets (--tidy: in files); a target that does not build counts as
# failed. Exits nonzero if anything failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=plain
config=()
everything=(//...)
tsan=(//tests/unit/node/... //tests/unit/testkit/... //tests/conformance/...)
arguments=()
for argument in "$@"; do
  case $argument in
    --sanitizers) name=sanitizers config=(--config=asan) ;;
    --tsan) name=tsan config=(--config=tsan) everything=("${tsan[@]}") ;;
    --gcc) name=gcc config=(--config=gcc) ;;
    --planted)
      name=planted config=(--config=planted) everything=(//tests/sim:planted_test)
      ;;
    --tidy) name=tidy ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) arguments+=("$argument") ;;
  esac
done
# Only a plain run moves bazel-bin: a reader finds there what README describes.
[[ $name == plain ]] || config+=(--experimental_convenience_symlinks=ignore)
targets=0
for argument in ${arguments[@]+"${arguments[@]}"}; do
  [[ $argument == -* ]] || targets=1
done
((targets)) || [[ $name == tidy ]] || arguments+=("${everything[@]}")

if ! bazel/setup.sh; then
  echo "0 passed, 1 failed"
  exit 1
fi

# Another bazel on PATH is likely to be one that downloads itself.
bazel=/usr/bin/bazel
[[ -x $bazel ]] || bazel=bazel

if [[ $name == tidy ]]; then
  exec /usr/bin/python3 -B bazel/tidy.py ${arguments[@]+"${arguments[@]}"}
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$bazel" test --keep_going "${config[@]}" \
  --build_event_json_file="$scratch/events.json" \
  "${arguments[@]}" </dev/null
code=$?
/usr/bin/python3 bazel/count.py "$scratch/events.json" "$code"
