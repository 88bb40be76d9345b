"""House macros: every C++ target of Muster itself is made by one of these.

They hold the warnings, the test defaults and nothing else, so a BUILD file
stays a list of units. Users of Muster want defs.bzl instead.
"""

# Values of --define=muster_strict that have a config_setting in //bazel.
STRICT_SETTINGS = ["clang", "gcc"]

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    # Designated initializers leave the rest at its documented default on
    # purpose; -Wextra would have every field spelled out.
    "-Wno-missing-field-initializers",
]

_CLANG = _WARNINGS + [
    "-Wthread-safety",
    "-Wthread-safety-beta",
    "-Wunused-result",
    # Dropping a [[nodiscard]] value (every absl::Status) is a bug, not a style.
    "-Werror=unused-result",
    "-Wimplicit-fallthrough",
    "-Wunreachable-code-break",
]

_GCC = _WARNINGS + [
    "-Wunused-result",
    # g++ 12 at -O2 reports these from inside std::string and absl::optional
    # in inlined code that is right; clang's checks stay on.
    "-Wno-maybe-uninitialized",
    "-Wno-restrict",
    "-Wno-array-bounds",
    "-Wno-stringop-overflow",
    "-Wno-stringop-overread",
    # Debian's Abseil compares signed with unsigned in headers that g++ sees
    # through macros of our own files.
    "-Wno-sign-compare",
    # Attributes that only clang knows (lifetimebound, thread safety).
    "-Wno-attributes",
]

HOUSE_COPTS = select({
    "//bazel:strict_clang": _CLANG,
    "//bazel:strict_gcc": _GCC,
    "//conditions:default": [],
})

# For the few small libraries in which simulations of many seeds spend their
# time: the compiler takes a fifth longer over one. Other modes have their own.
HOT_COPTS = select({
    "//bazel:fastbuild": ["-O1"],
    "//conditions:default": [],
})

def muster_library(name, copts = [], **kwargs):
    """A cc_library with the house warnings."""
    native.cc_library(name = name, copts = HOUSE_COPTS + copts, **kwargs)

def muster_binary(name, copts = [], **kwargs):
    """A cc_binary with the house warnings."""
    native.cc_binary(name = name, copts = HOUSE_COPTS + copts, **kwargs)

def muster_test(name, copts = [], deps = [], size = "small", main = True, **kwargs):
    """A cc_test with the house warnings, on GoogleTest and GoogleMock.

    Args:
      name: target name.
      copts: more compiler flags.
      deps: what the test includes; GoogleTest need not be listed.
      size: Bazel's test size. The default allows a minute: unit tests take
        milliseconds, so a hang is noticed soon.
      main: whether to link GoogleTest's main(); False if the test has its own.
      **kwargs: passed on to cc_test (tags, data, args, shard_count, ...).
    """
    native.cc_test(
        name = name,
        size = size,
        copts = HOUSE_COPTS + copts,
        deps = deps + [
            "@com_google_googletest//:gtest_main" if main else "@com_google_googletest//:gtest",
        ],
        **kwargs
    )
