"""Small rules: header guards, owners of TODOs, what g++ 12 gets wrong."""

import re

import tidy

# Files whose subject is the rules themselves.
_EXEMPT = ("tests/tidy/",)

_TEXT = (".h", ".cc", ".proto", ".bzl", ".py", ".sh", ".yaml", ".txt", ".md",
         "BUILD", "WORKSPACE", ".bazelrc")

# Assembled so that this line is not one itself.
_MARK = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
_OWNED = re.compile(r"\bTO" r"DO\([a-z][\w.-]*\): \S")

_TERNARY = re.compile(r"\?[^?:;]*:(?!:)")
_LAMBDA = re.compile(r"(?<![\w\])])\[[^\]\[]*\]\s*(?:\(|\{|mutable\b)")


def _todos(tree, path):
    for number, line in enumerate(tree.read(path).splitlines(), 1):
        if _MARK.search(line) and not _OWNED.search(line):
            yield tidy.Violation(
                path, number, "an open end that nobody owns",
                "write TO" "DO(owner): what would finish it")


def _guard(tree, path):
    name = re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
    if not name.startswith("MUSTER_"):
        name = "MUSTER_" + name
    lines = tidy.strip_cpp(tree.read(path)).splitlines()
    # The first line of code opens the guard, the next defines it.
    code = [(number, line.strip()) for number, line in enumerate(lines, 1)
            if line.strip()]
    opening = ["#ifndef " + name, "#define " + name]
    if ([line for _, line in code[:2]] != opening or
            not code[-1][1].startswith("#endif")):
        yield tidy.Violation(
            path, code[0][0] if code else 1, "no header guard of its own",
            "wrap the header in #ifndef %s ... #endif" % name)
    for number, line in code:
        if re.match(r"#\s*pragma\s+once\b", line):
            yield tidy.Violation(path, number, "#pragma once",
                                 "a header guard is enough: " + name)


def _awaits(tree, path):
    """g++ 12 destroys some temporaries of a co_await expression twice."""
    text = tidy.strip_cpp(tree.read(path))
    for match in re.finditer(r"[^;{}]*\bco_await\b[^;]*;", text):
        statement = match.group(0)
        line = text.count("\n", 0, match.start() +
                          statement.index("co_await")) + 1
        if _TERNARY.search(statement):
            yield tidy.Violation(path, line, "?: around co_await",
                                 "g++ 12 destroys its temporaries twice: use "
                                 "if and two statements")
        if _LAMBDA.search(statement[statement.index("co_await"):]):
            yield tidy.Violation(path, line, "a lambda made inside co_await",
                                 "g++ 12 destroys it twice: put it into a "
                                 "variable first")


def rule(tree):
    violations = []
    for path in tree.select(*_TEXT):
        if path.startswith(_EXEMPT):
            continue
        violations += _todos(tree, path)
        if path.endswith(".h"):
            violations += _guard(tree, path)
        if path.endswith((".h", ".cc")):
            violations += _awaits(tree, path)
    return violations


_GOOD = ("// What it offers.\n#ifndef MUSTER_NODE_A_H_\n"
         "#define MUSTER_NODE_A_H_\nint F();\n#endif  // MUSTER_NODE_A_H_\n")
_CASES = [
    ("clean", {
        "node/a.h": _GOOD,
        "cluster/muster.h": "#ifndef MUSTER_CLUSTER_MUSTER_H_\n"
                            "#define MUSTER_CLUSTER_MUSTER_H_\n#endif\n",
        "node/a.cc": "// TO" "DO(ada): remove when g++ 13 is here.\n"
                     "auto x = co_await self.Call(ref, request);\n"
                     "int y = a ? b : c;\n"
                     "auto f = [](int i) { return i; };\n"
                     "auto z = co_await std::move(table[i]);\n",
    }, []),
    ("open ends", {
        "node/a.cc": "// TO" "DO: later\n// FIX" "ME(ada): x\n",
        "docs/a.md": "TO" "DO() nothing\n",
    }, ["node/a.cc:1", "node/a.cc:2", "docs/a.md:1"]),
    ("header guards", {
        "node/a.h": "// What.\n#pragma once\nint F();\n",
        "node/b.h": _GOOD,
        "node/c.h": "int F();\n",
    }, ["node/a.h:2", "node/a.h:2", "node/b.h:2", "node/c.h:1"]),
    ("what g++ 12 gets wrong", {
        "node/a.cc": "auto x = ok ? co_await A() : B();\n"
                     "co_await self.Block(\n    [&] { return 1; });\n",
    }, ["node/a.cc:1", "node/a.cc:2"]),
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
