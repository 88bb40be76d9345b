#!/bin/bash
# Runs the cases that come from OTP's and Elixir's suites and says which of
# their rows passed.
#
#   bazel/otp.sh [bazel arguments...]
#
# The report has a line for each row (id, outcome, tests, rules, paths on which
# it does not apply) and one for each suite. Exits nonzero if anything failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1-} in
  -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
esac

bazel/setup.sh || exit 1

# Another bazel on PATH is likely to be one that downloads itself.
bazel=/usr/bin/bazel
[[ -x $bazel ]] || bazel=bazel

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$bazel" test --keep_going \
  --build_event_json_file="$scratch/events.json" \
  "$@" //tests/conformance/otp/... </dev/null
code=$?
if [[ ! -s $scratch/events.json ]]; then
  echo "otp.sh: bazel did not run" >&2
  exit 1
fi
/usr/bin/python3 -B tests/conformance/otp/report.py "$scratch/events.json" ||
  code=1
exit $((code != 0))
