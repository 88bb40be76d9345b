"""tidy_test: a rule about the source tree that is itself tested."""

def tidy_test(name, script, data = []):
    """Makes `name`_test and `name`_self_test from a script on tidy.py.

    Args:
      name: of the rule.
      script: the Python file.
      data: further files it reads.
    """
    files = ["run.sh", "tidy.py", script] + data
    native.sh_test(
        name = name + "_test",
        size = "small",
        srcs = ["run.sh"],
        args = ["$(rootpath %s)" % script],
        data = files,
        # Reads the whole checkout, which no list of inputs describes: on the
        # real tree, and never answered from a cache.
        tags = ["external", "local", "no-cache", "tidy"],
    )
    native.sh_test(
        name = name + "_self_test",
        size = "small",
        srcs = ["run.sh"],
        args = ["$(rootpath %s)" % script, "--self-test"],
        data = files,
        tags = ["tidy"],
    )
