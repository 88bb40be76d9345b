"""C++ is formatted as .clang-format says."""

import os
import re
import subprocess
import sys

import tidy

_TOOL = "clang-format-19"
_LINE = re.compile(r"^(.*?):(\d+):\d+: (?:error|warning): ")
# Arguments per run: far below any limit of the system.
_BATCH = 100


def rule(tree):
    paths = tree.select(".h", ".cc")
    seen = {}
    for start in range(0, len(paths), _BATCH):
        try:
            result = subprocess.run(
                [_TOOL, "--dry-run", "--Werror", "--style=file",
                 *paths[start:start + _BATCH]],
                cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                check=False, encoding="utf-8", errors="replace")
        except FileNotFoundError:
            sys.exit("%s not found: run bazel/setup.sh" % _TOOL)
        found = False
        for line in result.stderr.splitlines():
            match = _LINE.match(line)
            if match:
                found = True
                # One file, one violation: the first line shows where.
                path = os.path.normpath(match.group(1))
                seen.setdefault(path, int(match.group(2)))
        if result.returncode != 0 and not found:
            sys.exit(result.stderr)
    return [tidy.Violation(path, line, "not formatted",
                           "run %s -i %s" % (_TOOL, path))
            for path, line in sorted(seen.items())]


_STYLE = "BasedOnStyle: Google\nColumnLimit: 80\n"
_CASES = [
    ("formatted", {".clang-format": _STYLE, "a.h": "int F(int a);\n"}, []),
    ("not formatted", {
        ".clang-format": _STYLE,
        "node/a.cc": "int a;\nint  F( int a ) ;\nint   b;\n",
        "node/b.h": "int b;\n",
    }, ["node/a.cc:2"]),
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
