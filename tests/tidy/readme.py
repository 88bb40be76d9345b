"""What README shows as a file is that file, and the tutorial is shown whole.

A code block whose opening fence says a language and a path, as in
```proto examples/tutorial/visits.proto, is the contents of that path.
"""

import re

import tidy

_README = "README.md"
_TUTORIAL = "examples/tutorial/"

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


def rule(tree):
    violations = []
    if not tree.exists(_README):
        return violations
    shown = set()
    for line, path, block in _blocks(tree.read(_README)):
        if not path:
            continue
        shown.add(path)
        if not tree.exists(path):
            violations.append(tidy.Violation(
                _README, line, "shows %s, which does not exist" % path,
                "name a file of the tree, from its root"))
            continue
        wanted = tree.read(path).split("\n")
        for number, text in enumerate(block.split("\n")):
            if number >= len(wanted) or text != wanted[number]:
                break
        else:
            number += 1
            if len(wanted) == number:
                continue
        violations.append(tidy.Violation(
            _README, line + 1 + number,
            "is not line %d of %s" % (number + 1, path),
            "change the file, build and run it, then copy it here whole"))
    for path in tree.select("", under=_TUTORIAL):
        if path not in shown:
            violations.append(tidy.Violation(
                path, 1, "a file of the tutorial that README does not show",
                "quote it in %s: ```<language> %s" % (_README, path)))
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
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
