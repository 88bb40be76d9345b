"""Runs clang-tidy-19 on what Bazel compiles, with the flags it compiles with.

Usage: tidy.py [--bazel COMMAND] [target patterns...]

Without patterns: //node/... . Looks at our own sources only, with the checks
of .clang-tidy. The last line is "N passed, N failed", counted in files. Exits
nonzero if anything failed.
"""

import collections
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

_TOOL = "clang-tidy-19"
_FINDING = re.compile(r"^(.+?):(\d+):\d+: (?:warning|error): .*\[([^\[\]]+)\]$")
# Flags with a value, and flags, that are about outputs and not about the code.
_DROP_TWO = ("-o", "-MF", "-c")
_DROP = re.compile(r"^(-MD|-frandom-seed=.*|-fcolor-diagnostics|-Werror.*)$")


def compile_commands(actions):
    """Source -> arguments, one action for each of our own sources."""
    commands = {}
    for action in actions:
        arguments = action["arguments"]
        if "-c" not in arguments:
            continue
        source = arguments[arguments.index("-c") + 1]
        if source.startswith(("external/", "bazel-out/")):
            continue
        kept = []
        skip = False
        for argument in arguments:
            if skip:
                skip = False
            elif argument in _DROP_TWO:
                skip = True
            elif not _DROP.match(argument):
                kept.append(argument)
        commands.setdefault(source, kept + ["-c", source])
    return commands


def _run(command, **kwargs):
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False,
                            encoding="utf-8", errors="replace", **kwargs)
    if result.returncode != 0:
        sys.exit("%s failed" % " ".join(command))
    return result.stdout


def main(arguments):
    bazel = ["/usr/bin/bazel"]
    if arguments[:1] == ["--bazel"]:
        bazel = shlex.split(arguments[1])
        arguments = arguments[2:]
    targets = " + ".join(arguments or ["//node/..."])
    # Built first: generated headers must be there.
    _run(bazel + ["build", "--"] + (arguments or ["//node/..."]))
    listed = _run(bazel + ["aquery", "--output=jsonproto",
                           'mnemonic("CppCompile", %s)' % targets])
    root = _run(bazel + ["info", "execution_root"]).strip()
    commands = compile_commands(json.loads(listed).get("actions", []))
    database = os.path.join(root, "..", "tidy")
    os.makedirs(database, exist_ok=True)
    with open(os.path.join(database, "compile_commands.json"), "w",
              encoding="utf-8") as out:
        json.dump([{"directory": root, "file": source, "arguments": command}
                   for source, command in sorted(commands.items())], out)
    config = os.path.join(os.getcwd(), ".clang-tidy")

    def check(source):
        try:
            result = subprocess.run(
                [_TOOL, "--quiet", "-p", database, "--config-file=" + config,
                 source], cwd=root, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, check=False, encoding="utf-8",
                errors="replace")
        except FileNotFoundError:
            sys.exit("%s not found: run bazel/setup.sh" % _TOOL)
        return source, result

    failed = 0
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, result in pool.map(check, sorted(commands)):
            if result.returncode == 0:
                continue
            failed += 1
            text = result.stdout.replace(root + "/", "")
            print("FAILED %s" % source)
            print(text or result.stderr)
            for line in text.splitlines():
                match = _FINDING.match(line)
                if match:
                    counts[match.group(3).split(",")[0]] += 1
    for check_name, count in counts.most_common():
        print("%6d %s" % (count, check_name))
    print("%d passed, %d failed" % (len(commands) - failed, failed))
    return 1 if failed or not commands else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
