"""What a document shows as a file is that file; README shows the tutorial whole.

A code block whose opening fence says a language and a path, as in
```proto examples/tutorial/visits.proto, is the contents of that path. With a
region, as in ```cpp tests/docs/otp_guide_test.cc#links, it is the lines between
`// [links]` and `// [end]` there, without their common indent.
"""

import re

import tidy

_README = "README.md"
_OTP = "docs/otp.md"
_TUTORIAL = "examples/tutorial/"
_EXAMPLES = "tests/docs/"

_OPENING = re.compile(r"^(`{3,})(\S*)[ \t]*(\S*)[ \t]*$")


def _blocks(text):
    """Yields (line of the fence, path or "", contents) of each code block."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        match = _OPENING.match(lines[at])
        at += 1
        if not match:
            continue
        start = at
        while at < len(lines) and lines[at].rstrip() != match.group(1):
            at += 1
        yield start, match.group(3), "".join(
            line + "\n" for line in lines[start:at])
        at += 1


def _region(lines, name):
    """The lines of a region, or None."""
    begin = "// [%s]" % name
    found = None
    for line in lines:
        if line.strip() == begin:
            found = []
        elif found is not None and line.strip() == "// [end]":
            indent = min([len(text) - len(text.lstrip())
                          for text in found if text.strip()] or [0])
            return [text[indent:] for text in found] + [""]
        elif found is not None:
            found.append(line)
    return None


def _regions(text):
    return re.findall(r"^\s*// \[([a-z0-9_-]+)\]$", text, re.M)


def _check(tree, document, violations, shown):
    for line, target, block in _blocks(tree.read(document)):
        if not target:
            continue
        path, _, region = target.partition("#")
        shown.add(target)
        if not tree.exists(path):
            violations.append(tidy.Violation(
                document, line, "shows %s, which does not exist" % path,
                "name a file of the tree, from its root"))
            continue
        wanted = tree.read(path).split("\n")
        if region:
            wanted = _region(wanted, region)
            if wanted is None:
                violations.append(tidy.Violation(
                    document, line, "%s has no region %s" % (path, region),
                    "put it between `// [%s]` and `// [end]` there" % region))
                continue
        for number, text in enumerate(block.split("\n")):
            if number >= len(wanted) or text != wanted[number]:
                break
        else:
            number += 1
            if len(wanted) == number:
                continue
        violations.append(tidy.Violation(
            document, line + 1 + number,
            "is not line %d of %s" % (number + 1, target),
            "change the file, build and run it, then copy it here whole"))


def rule(tree):
    violations = []
    shown = set()
    for document in (_README, _OTP):
        if tree.exists(document):
            _check(tree, document, violations, shown)
    if tree.exists(_README):
        for path in tree.select("", under=_TUTORIAL):
            if path not in shown:
                violations.append(tidy.Violation(
                    path, 1, "a file of the tutorial that README does not show",
                    "quote it in %s: ```<language> %s" % (_README, path)))
    for path in tree.select(".cc", under=_EXAMPLES):
        for region in _regions(tree.read(path)):
            target = "%s#%s" % (path, region)
            if region != "end" and target not in shown:
                violations.append(tidy.Violation(
                    path, 1, "the region %s is shown nowhere" % region,
                    "quote it in %s: ```cpp %s" % (_OTP, target)))
    return violations


_CASES = [
    ("clean", {
        _README: "# x\n```\n$ ls\n```\n```proto examples/tutorial/a.proto\n"
                 "syntax;\n\nb\n```\n",
        "examples/tutorial/a.proto": "syntax;\n\nb\n",
    }, []),
    ("a line differs, one is missing, one is too many", {
        _README: "```c a.txt\none\n2\n```\n```c b.txt\none\n```\n"
                 "```c c.txt\none\ntwo\n```\n",
        "a.txt": "one\ntwo\n",
        "b.txt": "one\ntwo\n",
        "c.txt": "one\n",
    }, [_README + ":3", _README + ":7", _README + ":10"]),
    ("no such file", {_README: "text\n```yaml tree.yaml\na: 1\n```\n"},
     [_README + ":2"]),
    ("a part of the tutorial is not shown", {
        _README: "nothing\n",
        "examples/tutorial/a.py": "pass\n",
    }, ["examples/tutorial/a.py:1"]),
    ("regions", {
        _OTP: "```cpp tests/docs/a.cc#one\nf();\n  g();\n```\n"
              "```cpp tests/docs/a.cc#two\nf();\n```\n"
              "```cpp tests/docs/a.cc#none\n```\n",
        "tests/docs/a.cc": "  // [one]\n  f();\n    g();\n  // [end]\n"
                           "// [two]\nh();\n// [end]\n"
                           "// [three]\nh();\n// [end]\n",
    }, [_OTP + ":6", _OTP + ":8", "tests/docs/a.cc:1"]),
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
