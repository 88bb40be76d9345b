#!/bin/bash
# Builds everything and runs all tests.
#
#   bazel/test.sh [--sanitizers | --gcc] [bazel arguments and targets...]
#
#   --sanitizers  under the address and undefined-behaviour sanitizers
#   --gcc         with g++ instead of clang
#
# Without targets: //... . The last line is "N passed, N failed", counted in
# test targets; a target that does not build counts as failed. Exits nonzero if
# anything failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=plain
config=()
arguments=()
for argument in "$@"; do
  case $argument in
    --sanitizers) name=sanitizers config=(--config=asan) ;;
    --gcc) name=gcc config=(--config=gcc) ;;
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
((targets)) || arguments+=(//...)

if ! bazel/setup.sh; then
  echo "0 passed, 1 failed"
  exit 1
fi

# Another bazel on PATH is likely to be one that downloads itself.
bazel=/usr/bin/bazel
[[ -x $bazel ]] || bazel=bazel

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$bazel" test --keep_going "${config[@]}" \
  --build_event_json_file="$scratch/events.json" \
  "${arguments[@]}" </dev/null
code=$?
/usr/bin/python3 bazel/count.py "$scratch/events.json" "$code"
