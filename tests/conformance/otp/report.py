"""Says which rows of OTP's and Elixir's suites the last run passed.

Usage: report.py (FOLDER | FILE.xml | EVENTS.json)...
       report.py --self-test

Reads the test.xml files under a folder (bazel-testlogs), or those that a Bazel
run names in its build event file. One line for each row that was run: row,
rules, outcome, tests, and the paths on which a test does not apply, with why.
Then a line for each suite. Exits 1 if a row failed, if a test target has no
results, or if there is no row at all.
"""

import json
import os
import re
import sys
import tempfile
import urllib.parse
import xml.etree.ElementTree as ElementTree

_ROWS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows.txt")


def read_rows(text):
    """Returns {prefix: (number of rows, counts in the whole, suite)}."""
    rows = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        prefix, count, whole, suite = (f.strip() for f in line.split("|"))
        rows[prefix] = (int(count), whole == "whole", suite)
    return rows


def row_key(row):
    prefix, _, number = row.partition(".")
    return (prefix, int(number) if number.isdigit() else 0)


class Row:
    """What is known of one row."""

    def __init__(self):
        self.rules = set()
        # test -> {path: "PASS", "FAIL" or why it does not apply}; the path of
        # a test that is run on one only is "".
        self.tests = {}

    def outcome(self):
        results = [r for paths in self.tests.values() for r in paths.values()]
        if "FAIL" in results:
            return "FAIL"
        # All skipped proves nothing.
        return "PASS" if "PASS" in results else "FAIL"


def split_name(case):
    """("Suite.Test", path) of a <testcase>; of a TEST_P, path is the parameter."""
    suite = case.get("classname", "").split("/")[-1]
    name, _, path = case.get("name", "").partition("/")
    return "%s.%s" % (suite, name), path


def read_xml(text):
    """Returns ([(rows, rules, test, path, result)], whether it says failed)."""
    root = ElementTree.fromstring(text)
    found = []
    failed = False
    for case in root.iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        failed = failed or bad
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        rows = properties.get("otp_rows", "").split()
        skipped = case.find("skipped")
        result = "FAIL" if bad else "PASS"
        if not bad and skipped is not None:
            # "file:line" is the first line of GoogleTest's message.
            said = (skipped.get("message") or "skipped").strip().splitlines()
            result = said[-1]
        test, path = split_name(case)
        found.append((rows, properties.get("otp_rules", "").split(), test, path,
                      result))
    return found, failed


def collect(files):
    """Returns ({row: Row}, [what has failed without saying a row])."""
    rows, broken = {}, []
    for name, text in files:
        try:
            cases, failed = read_xml(text)
        except ElementTree.ParseError as error:
            broken.append("%s: cannot be read: %s" % (name, error))
            continue
        named = False
        for ids, rules, test, path, result in cases:
            for row in ids:
                entry = rows.setdefault(row, Row())
                entry.rules.update(rules)
                entry.tests.setdefault(test, {})[path] = result
                named = named or result == "FAIL"
        if failed and not named:
            broken.append("%s: failed in a test of no row" % name)
    return rows, broken


def print_report(rows, broken, table, out):
    """Writes the report; returns the exit code."""
    for row in sorted(rows, key=row_key):
        entry = rows[row]
        skipped = {}
        for test, paths in sorted(entry.tests.items()):
            for path, result in sorted(paths.items()):
                if result not in ("PASS", "FAIL"):
                    skipped.setdefault(result, set()).add(path or test)
        line = "%-7s %-4s  %s  [%s]" % (
            row, entry.outcome(), ", ".join(sorted(entry.tests)),
            " ".join(sorted(entry.rules, key=_rule_key)))
        for why, paths in sorted(skipped.items()):
            line += "  not applicable on %s: %s" % (", ".join(sorted(paths)), why)
        out.write(line + "\n")
        for test, paths in sorted(entry.tests.items()):
            bad = sorted(path for path, result in paths.items()
                         if result == "FAIL")
            if bad:
                out.write("        failed: %s %s\n" %
                          (test, " ".join(path for path in bad if path)))
    out.write("\n%-7s %5s %6s %6s %6s\n" %
              ("suite", "rows", "pass", "fail", "%"))
    total = passed = failed = 0
    for prefix, (count, _, suite) in table.items():
        mine = [rows[row].outcome() for row in rows
                if row.split(".")[0] == prefix]
        good = mine.count("PASS")
        out.write("%-7s %5d %6d %6d %6.1f  %s\n" % (
            prefix, count, good, len(mine) - good, 100.0 * good / count, suite))
        total += count
        passed += good
        failed += len(mine) - good
    out.write("%-7s %5d %6d %6d %6.1f\n" %
              ("all", total, passed, failed, 100.0 * passed / total))
    unknown = sorted(row for row in rows if row.split(".")[0] not in table)
    broken = broken + ["%s: no such suite" % row for row in unknown]
    for what in broken:
        out.write("FAILED %s\n" % what)
    if not rows:
        out.write("FAILED there is no result of any row\n")
    return 1 if failed or broken or not rows else 0


def _rule_key(rule):
    match = re.match(r"([A-Z]+)(\d*)", rule)
    return (match.group(1), int(match.group(2) or 0)) if match else (rule, 0)


def _files_of_events(path):
    """The test.xml files that a Bazel run made, and what did not get so far."""
    files, broken = [], []
    with open(path, encoding="utf-8") as events:
        for line in events:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the last line of a Bazel that was killed
            ident = event.get("id", {})
            if "testResult" in ident:
                label = ident["testResult"]["label"]
                outputs = event.get("testResult", {}).get("testActionOutput", [])
                for output in outputs:
                    if output.get("name") == "test.xml":
                        files.append((label, urllib.parse.unquote(
                            urllib.parse.urlparse(output["uri"]).path)))
            elif "targetCompleted" in ident:
                if not event.get("completed", {}).get("success"):
                    broken.append("%s: does not build" %
                                  ident["targetCompleted"]["label"])
    return files, broken


def _find(arguments):
    files, broken = [], []
    for argument in arguments:
        if os.path.isdir(argument):
            for folder, _, names in sorted(os.walk(argument, followlinks=True)):
                if "test.xml" in names:
                    path = os.path.join(folder, "test.xml")
                    files.append((os.path.relpath(folder, argument), path))
        elif argument.endswith(".json"):
            more, lost = _files_of_events(argument)
            files += more
            broken += lost
        else:
            files.append((argument, argument))
    return files, broken


def main(arguments):
    files, broken = _find(arguments)
    texts = []
    for name, path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append((name, file.read()))
    rows, more = collect(texts)
    with open(_ROWS, encoding="utf-8") as table:
        return print_report(rows, broken + more, read_rows(table.read()),
                            sys.stdout)


# -- Its own test ----------------------------------------------------------------


def _case(name, rows, inside="", suite="S"):
    return ('<testcase name="%s" classname="%s"><properties>'
            '<property name="otp_rows" value="%s"/>'
            '<property name="otp_rules" value="C1 P2"/></properties>%s'
            '</testcase>' % (name, suite, rows, inside))


def _xml(*cases):
    return "<testsuites><testsuite>%s</testsuite></testsuites>" % "".join(cases)


_BAD = '<failure message="x"/>'
_SKIP = '<skipped message="paths.cc:1&#x0A;needs virtual time"/>'

# name, files, exit code, what the report must say
_CASES = [
    ("passes", [("t", _xml(_case("A", "GS.01 GS.02")))], 0,
     ["GS.01   PASS  S.A  [C1 P2]", "GS.02   PASS  S.A", "GS          3      2"]),
    ("a failure fails each of its rows",
     [("t", _xml(_case("A", "GS.01 GS.02", _BAD), _case("B", "GS.02")))], 1,
     ["GS.01   FAIL", "GS.02   FAIL  S.A, S.B", "failed: S.A"]),
    ("one path fails", [("t", _xml(
        _case("A/Pid", "GS.03", suite="All/S"),
        _case("A/Grpc", "GS.03", _BAD, suite="All/S")))], 1,
     ["GS.03   FAIL  S.A", "failed: S.A Grpc"]),
    ("a path that does not apply is said", [("t", _xml(
        _case("A/Pid", "GS.03", suite="All/S"),
        _case("A/Grpc", "GS.03", _SKIP, suite="All/S")))], 0,
     ["GS.03   PASS  S.A  [C1 P2]  not applicable on Grpc: needs virtual time"]),
    ("skipped everywhere is no pass",
     [("t", _xml(_case("A/Grpc", "GS.03", _SKIP)))], 1, ["GS.03   FAIL"]),
    ("a crash has no rows and is seen", [
        ("good", _xml(_case("A", "GS.01"))),
        ("crashed", _xml('<testcase name="t"><error message="exit 1"/>'
                         '</testcase>'))], 1,
     ["FAILED crashed: failed in a test of no row"]),
    ("half a file", [("t", "<testsuites>")], 1, ["FAILED t: cannot be read"]),
    ("nothing at all", [], 1, ["no result of any row"]),
    ("tests of no row are not counted", [
        ("t", _xml(_case("A", "GS.01"), '<testcase name="B"/>'))], 0,
     ["GS          3      1"]),
    ("an unknown suite", [("t", _xml(_case("A", "NO.01")))], 1,
     ["FAILED NO.01: no such suite"]),
]


def self_test():
    wrong = 0
    table = {"GS": (3, True, "a suite")}
    for name, files, code, wanted in _CASES:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
            rows, broken = collect(files)
            got = print_report(rows, broken, table, out)
            out.seek(0)
            text = out.read()
        missing = [w for w in wanted if w not in text]
        if got == code and not missing:
            print("ok: %s" % name)
        else:
            wrong += 1
            print("WRONG: %s\n    exit %d, wanted %d\n    missing: %s\n%s" %
                  (name, got, code, missing, text))
    return 1 if wrong else 0


if __name__ == "__main__":
    if "--self-test" in sys.argv[1:]:
        sys.exit(self_test())
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
