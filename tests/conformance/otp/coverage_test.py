"""Every row of OTP's and Elixir's suites is ported, or docs/otp.md says why not.

Ported: a test says OTP_CASE("<row> ...", ...). Not ported: a line of the table
under "## Cases that are not ported",

  | GS.45 | why not | what Muster does instead |

whose first column is a row, a range `GS.45 to GS.47`, or several of them
separated by commas. rows.txt knows the rows.
"""

import os
import re
import sys

# In the tree and in the runfiles alike.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, os.pardir, "tidy"))
import tidy  # pylint: disable=wrong-import-position

_HERE = "tests/conformance/otp/"
_TABLE = _HERE + "rows.txt"
_DOCS = "docs/otp.md"
_HEADING = "## Cases that are not ported"
_SHARE = 0.97

_ROW = re.compile(r"^([A-Z]+)\.(\d{2,3})$")
_CALL = re.compile(r"\bOTP_CASE\s*\(")
_STRINGS = r'((?:"[^"\n]*"\s*)+)'
_ARGUMENTS = re.compile(r"\s*" + _STRINGS + r",\s*" + _STRINGS + r"\)")


def _known(tree):
    """({row: (prefix, counts in the whole)} in order, violations)."""
    rows, violations = {}, []
    if not tree.exists(_TABLE):
        return rows, violations
    for number, line in enumerate(tree.read(_TABLE).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("|")]
        if (len(fields) != 4 or not fields[1].isdigit() or
                fields[2] not in ("whole", "-")):
            violations.append(tidy.Violation(
                _TABLE, number, "not `prefix | rows | whole or - | suite`",
                "write it like the other lines"))
            continue
        for at in range(1, int(fields[1]) + 1):
            rows["%s.%02d" % (fields[0], at)] = (fields[0],
                                                 fields[2] == "whole")
    return rows, violations


def _ported(tree, known):
    """({row: (path, line)}, violations)."""
    ported, violations = {}, []
    for path in tree.select(".cc", ".h", under="tests/"):
        text = "\n".join("" if line.lstrip().startswith(("//", "#define"))
                         else line for line in tree.read(path).split("\n"))
        for call in _CALL.finditer(text):
            line = text.count("\n", 0, call.start()) + 1
            arguments = _ARGUMENTS.match(text, call.end())
            if not arguments:
                violations.append(tidy.Violation(
                    path, line, "OTP_CASE without two literal strings",
                    'write OTP_CASE("GS.10 GS.11", "G24");'))
                continue
            rows = "".join(re.findall(r'"([^"]*)"', arguments.group(1))).split()
            if not rows:
                violations.append(tidy.Violation(
                    path, line, "OTP_CASE names no row",
                    "say which rows the test ports"))
            for row in rows:
                if row not in known:
                    violations.append(tidy.Violation(
                        path, line, "%s is no row of any suite" % row,
                        "see %s for the suites and their sizes" % _TABLE))
                ported.setdefault(row, (path, line))
    return ported, violations


def _expand(cell):
    """The rows that a first column names; None if it is not of the form."""
    rows = []
    for part in cell.split(","):
        ends = [_ROW.match(end.strip()) for end in part.split(" to ")]
        if not all(ends) or len(ends) > 2:
            return None
        first, last = ends[0], ends[-1]
        if first.group(1) != last.group(1) or int(first.group(2)) > int(
                last.group(2)):
            return None
        rows += ["%s.%02d" % (first.group(1), at) for at in range(
            int(first.group(2)), int(last.group(2)) + 1)]
    return rows


def _excused(tree, known):
    """({row: line}, line of the heading, violations)."""
    excused, violations, heading = {}, [], 1
    if not tree.exists(_DOCS):
        return excused, heading, violations
    inside = False
    for number, line in enumerate(tree.read(_DOCS).splitlines(), 1):
        if line.startswith("## "):
            inside = line.strip() == _HEADING
            heading = number if inside else heading
        if not inside or not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        # The heads of the columns and the line under them.
        if not re.match(r"[A-Z]+\.\d", cells[0]):
            continue
        rows = _expand(cells[0])
        if rows is None or len(cells) != 3 or not all(cells):
            violations.append(tidy.Violation(
                _DOCS, number, "not `| row | why not | what instead |`",
                "write it like | GS.45 | why not | what Muster does instead |"))
            continue
        for row in rows:
            if row not in known:
                violations.append(tidy.Violation(
                    _DOCS, number, "%s is no row of any suite" % row,
                    "see %s for the suites and their sizes" % _TABLE))
            elif row in excused:
                violations.append(tidy.Violation(
                    _DOCS, number, "%s is listed twice" % row,
                    "keep one of the two lines"))
            excused.setdefault(row, number)
    return excused, heading, violations


def rule(tree):
    known, violations = _known(tree)
    ported, more = _ported(tree, known)
    violations += more
    excused, heading, more = _excused(tree, known)
    violations += more
    for row, number in excused.items():
        if row in ported:
            violations.append(tidy.Violation(
                _DOCS, number, "%s is ported (%s:%d)" % ((row,) + ported[row]),
                "take its line out"))
    missing = {}
    for row, (prefix, _) in known.items():
        if row not in ported and row not in excused:
            missing.setdefault(prefix, []).append(row)
    for prefix, rows in missing.items():
        violations.append(tidy.Violation(
            _DOCS, heading,
            "%d rows of %s are neither ported nor excused: %s" % (
                len(rows), prefix, " ".join(rows)),
            "port them, or say why not under `%s`" % _HEADING))
    whole = [row for row, (_, counts) in known.items() if counts]
    done = [row for row in whole if row in ported]
    if len(done) < _SHARE * len(whole):
        violations.append(tidy.Violation(
            _TABLE, 1, "%d of %d rows of the suites marked `whole` are ported, "
            "%.1f %%" % (len(done), len(whole), 100.0 * len(done) / len(whole)),
            "port at least %.0f %%" % (100 * _SHARE)))
    return violations


_ROWS = "# prefix | rows | whole | suite\nGS | 3 | whole | a\nHX | 2 | - | b\n"
_MACRO = ("// OTP_CASE(\"GS.99\", \"an example\");\n"
          "#define OTP_CASE(rows, rules) \\\n")
_ALL = 'OTP_CASE("GS.01 GS.02", "C1");\nOTP_CASE("GS.03 "\n  "HX.01", "");\n'
_PLACE = _HERE + "a_test.cc"


def _docs(*lines):
    return "".join(line + "\n" for line in (
        "# OTP", _HEADING, "| row | why not | instead |", "| --- | --- | --- |"
    ) + lines)


_CASES = [
    ("all are ported or excused", {
        _TABLE: _ROWS, _HERE + "otp_case.h": _MACRO, _PLACE: _ALL,
        _DOCS: _docs("| HX.02 | why | that |"),
    }, []),
    ("a row may be ported twice", {
        _TABLE: _ROWS, _PLACE: _ALL + _ALL,
        _DOCS: _docs("| HX.02 | why | that |"),
    }, []),
    ("ranges and lists", {
        _TABLE: _ROWS + "HY | 4 | - | c\n", _PLACE: _ALL,
        _DOCS: _docs("| HX.02, HY.04 | why | that |",
                     "| HY.01 to HY.03 | why | that |"),
    }, []),
    ("a row in neither", {_TABLE: _ROWS, _PLACE: _ALL, _DOCS: _docs()},
     [_DOCS + ":2"]),
    ("no docs at all", {_TABLE: _ROWS, _PLACE: _ALL}, [_DOCS + ":1"]),
    ("a line under another heading does not count", {
        _TABLE: _ROWS, _PLACE: _ALL,
        _DOCS: _docs() + "## Other\n| HX.02 | why | that |\n",
    }, [_DOCS + ":2"]),
    ("a row in both", {
        _TABLE: _ROWS, _PLACE: _ALL,
        _DOCS: _docs("| HX.01 | why | that |", "| HX.02 | why | that |"),
    }, [_DOCS + ":5"]),
    ("listed twice", {
        _TABLE: _ROWS, _PLACE: _ALL,
        _DOCS: _docs("| HX.02 | why | that |", "| HX.02 | why | that |"),
    }, [_DOCS + ":6"]),
    ("no reason", {
        _TABLE: _ROWS, _PLACE: _ALL, _DOCS: _docs("| HX.02 |  | that |"),
    }, [_DOCS + ":2", _DOCS + ":5"]),
    ("a range that is none", {
        _TABLE: _ROWS, _PLACE: _ALL,
        _DOCS: _docs("| HX.02 to GS.03 | why | that |"),
    }, [_DOCS + ":2", _DOCS + ":5"]),
    ("unknown rows", {
        _TABLE: _ROWS, _PLACE: _ALL + 'OTP_CASE("GS.04 NO.01", "C1");\n',
        _DOCS: _docs("| HX.02 | why | that |", "| HX.03 | why | that |"),
    }, [_PLACE + ":4", _PLACE + ":4", _DOCS + ":6"]),
    ("no literal, no row", {
        _TABLE: _ROWS,
        _PLACE: _ALL + 'OTP_CASE(kRow, "C1");\nOTP_CASE("", "C1");\n',
        _DOCS: _docs("| HX.02 | why | that |"),
    }, [_PLACE + ":4", _PLACE + ":5"]),
    ("too few of the whole", {
        _TABLE: _ROWS, _PLACE: 'OTP_CASE("GS.01 GS.02 HX.01", "");\n',
        _DOCS: _docs("| GS.03, HX.02 | why | that |"),
    }, [_TABLE + ":1"]),
    ("a line of the table is broken", {
        _TABLE: _ROWS + "HY | many | - | c\n", _PLACE: _ALL,
        _DOCS: _docs("| HX.02 | why | that |"),
    }, [_TABLE + ":4"]),
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
