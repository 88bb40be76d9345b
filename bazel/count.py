"""Says which test targets of a Bazel run passed and which failed.

Usage: count.py <build event JSON file> <Bazel's exit code>

The last line is "N passed, N failed". Exits nonzero unless all is well.
"""

import json
import sys

# Bazel's exit codes that the counted targets explain by themselves.
_EXPLAINED = {0, 1, 3}


def count(lines, exit_code):
    """Returns (passed labels, {failed label: why})."""
    passed, failed, tests = set(), {}, set()
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the last line of a Bazel that was killed
        ident = event.get("id", {})
        if "targetConfigured" in ident:
            if "testSize" in event.get("configured", {}):
                tests.add(ident["targetConfigured"]["label"])
        elif "targetCompleted" in ident:
            label = ident["targetCompleted"]["label"]
            if not event.get("completed", {}).get("success"):
                failed.setdefault(label, "does not build")
        elif "testSummary" in ident:
            label = ident["testSummary"]["label"]
            tests.add(label)
            status = event.get("testSummary", {}).get("overallStatus", "NO_STATUS")
            if status == "PASSED":
                passed.add(label)
            else:
                # FLAKY counts as failed: a flake is a bug to be found.
                failed[label] = status.lower().replace("_", " ")
        elif "pattern" in ident or "unstructuredCommandLine" in ident:
            if "aborted" in event:
                failed["the targets asked for"] = event["aborted"].get(
                    "description", "cannot be loaded").strip()
    for label in tests - passed:
        failed.setdefault(label, "did not run")
    if exit_code == 4:
        failed["the run"] = "has no test in it"
    elif exit_code not in _EXPLAINED or (exit_code and not failed):
        failed["bazel"] = "ended with exit code %d" % exit_code
    return passed - set(failed), failed


def main():
    try:
        with open(sys.argv[1], encoding="utf-8") as events:
            passed, failed = count(events, int(sys.argv[2]))
    except FileNotFoundError:
        passed, failed = set(), {"bazel": "did not start"}
    for label in sorted(failed):
        print("FAILED %s: %s" % (label, failed[label]))
    print("%d passed, %d failed" % (len(passed), len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
