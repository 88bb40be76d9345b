"""What the tidy tests share: the tree, its files, and how they report.

A rule is a function from a Tree to Violations. `main` runs it over the checkout
or, with --self-test, over small trees with planted violations.
"""

import os
import re
import subprocess
import sys
import tempfile
from typing import NamedTuple


class Violation(NamedTuple):
    path: str
    line: int
    what: str
    cure: str

    def __str__(self):
        return "%s:%d: %s\n    cure: %s" % self


class Tree:
    """The files of one source tree, by their path from its root."""

    def __init__(self, root, paths):
        self.root = root
        self.paths = sorted(paths)

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8",
                  errors="replace") as file:
            return file.read()

    def exists(self, path):
        return os.path.exists(os.path.join(self.root, path))

    def select(self, *suffixes, under=""):
        return [path for path in self.paths
                if path.endswith(suffixes) and path.startswith(under)]


def _checkout_root():
    # Runfiles are links into the checkout, however many links away.
    here = os.path.dirname(os.path.realpath(__file__))
    root = os.path.dirname(os.path.dirname(here))
    if not os.path.exists(os.path.join(root, "WORKSPACE")):
        sys.exit("no checkout around %s: run with tag `local`" % here)
    return root


def _checkout_files(root):
    """Tracked files and new ones that are not ignored."""
    # A checkout made by another user is no reason to refuse to list it.
    git = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z",
         "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if git.returncode == 0:
        names = git.stdout.decode("utf-8", "replace").split("\0")
        return [name for name in set(names)
                if name and os.path.isfile(os.path.join(root, name))]
    # An unpacked archive.
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders
                      if name != ".git" and not name.startswith("bazel-")]
        found += [os.path.relpath(os.path.join(folder, name), root)
                  for name in names]
    return found


def strip_cpp(text):
    """C++ with comments and the insides of literals blanked, lines kept."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/'
        r'|R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)"'
        r'|"(?:\\.|[^"\\\n])*"'
        # A quote inside a number (1'000) starts no character.
        r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])*'",
        re.DOTALL)

    def blank(match):
        inside = re.sub(r"[^\n]", " ", match.group(0))
        # Keep the quotes: `""` is still an expression.
        return '"' + inside[1:-1] + '"' if match.group(0)[0] in "\"R" else inside

    return pattern.sub(blank, text)


def plant(files):
    """A temporary tree with these contents: {path: text}."""
    root = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
    return Tree(root, files)


def main(rule, cases):
    """Runs a rule.

    Args:
      rule: Tree -> list of Violation.
      cases: for --self-test, a list of (name, {path: text}, expected), where
        expected is the list of "path:line" that the rule must report.
    """
    if "--self-test" in sys.argv[1:]:
        wrong = 0
        for name, files, expected in cases:
            found = ["%s:%d" % (v.path, v.line) for v in rule(plant(files))]
            if sorted(found) == sorted(expected):
                print("ok: %s" % name)
            else:
                wrong += 1
                print("WRONG: %s\n    expected %s\n    found    %s" %
                      (name, sorted(expected), sorted(found)))
        if not any(expected for _, _, expected in cases):
            sys.exit("no case plants a violation")
        sys.exit(1 if wrong else 0)

    root = _checkout_root()
    violations = rule(Tree(root, _checkout_files(root)))
    for violation in violations:
        print(violation)
    print("%d violations" % len(violations))
    sys.exit(1 if violations else 0)
