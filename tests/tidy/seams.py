"""No clock, sleep, dice, socket or gRPC past a seam.

What reads the outside world directly cannot be simulated. seams.txt lists the
files where the outside world enters, each with what it may do and why.
"""

import re

import tidy

_LIST = "tests/tidy/seams.txt"
_ROOMS = ("node/", "client/", "cluster/", "tests/")

# kind -> (what it looks like, what to do instead)
_KINDS = {
    "clock": (
        re.compile(
            r"\bstd::chrono::(?:system|steady|high_resolution|utc|file)_clock\b"
            r"|\babsl::Now\b|\babsl::GetCurrentTimeNanos\b"
            r"|\b(?:clock_gettime|gettimeofday|timespec_get)\b"
            # time() of the C library, not a member or a function of ours.
            r"|(?<![\w.>:])(?:::|std::)?time\s*\(\s*(?:nullptr|NULL|0|&)"),
        "use clock.Boot() or clock.Wall() of the Clock handed in, see "
        "node/base/clock.h"),
    "sleep": (
        re.compile(
            r"\bstd::this_thread::sleep_(?:for|until)\b|\babsl::SleepFor\b"
            r"|(?<![\w.>])(?:usleep|nanosleep|clock_nanosleep)\s*\("
            r"|(?<![\w.>:])(?:::)?sleep\s*\("),
        "wait for an event or use a timer of the scheduler handed in, see "
        "node/base/scheduler.h; tests advance the simulated clock"),
    "dice": (
        re.compile(
            r"\bstd::(?:random_device|mt19937(?:_64)?|default_random_engine"
            r"|minstd_rand0?|knuth_b)\b"
            r"|\babsl::(?:Insecure)?BitGen\b"
            r"|(?<![\w.>:])(?:::|std::)?s?rand\s*\("
            r"|\b(?:arc4random\w*|getrandom|getentropy|RAND_bytes)\s*\("),
        "draw from the RandomSource handed in, see node/base/random.h"),
    "socket": (
        re.compile(
            r"(?<![\w.>:])(?:::)?(?:socket|socketpair|accept4?|getaddrinfo)"
            r"\s*\("),
        "go through the Transport handed in, see node/peer/transport.h"),
    "grpc": (
        re.compile(
            r'^[ \t]*#[ \t]*include[ \t]*["<](?:grpc|grpcpp|grpc\+\+)/'
            r'|^[ \t]*#[ \t]*include[ \t]*["<][^">]*\.grpc\.pb\.h'),
        "keep gRPC behind Transport, Store or the rpc part; a new place where "
        "it enters is a line in " + _LIST),
}


def _read_list(tree):
    """Returns ([(path, kinds, line number)], violations in the list)."""
    entries, violations = [], []
    if not tree.exists(_LIST):
        return entries, violations
    for number, line in enumerate(tree.read(_LIST).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("|")]
        kinds = set(fields[1].split()) if len(fields) == 3 else set()
        if not kinds or not kinds <= set(_KINDS) or not fields[2]:
            violations.append(tidy.Violation(
                _LIST, number, "not `path | what | why`",
                "what is one or more of %s; why is a sentence"
                % " ".join(sorted(_KINDS))))
            continue
        entries.append((fields[0], kinds, number))
    return entries, violations


def _covers(entry, path):
    return path.startswith(entry) if entry.endswith("/") else path == entry


def rule(tree):
    entries, violations = _read_list(tree)
    used = set()
    for path in tree.select(".h", ".cc"):
        if not path.startswith(_ROOMS):
            continue
        text = tree.read(path)
        code = tidy.strip_cpp(text).splitlines()
        for number, line in enumerate(text.splitlines(), 1):
            for kind, (pattern, cure) in _KINDS.items():
                # An include's path is a literal, blanked in the code.
                match = pattern.search(
                    line if kind == "grpc" else code[number - 1])
                if not match:
                    continue
                allowed = [entry for entry in entries
                           if kind in entry[1] and _covers(entry[0], path)]
                used.update((entry[2], kind) for entry in allowed)
                if not allowed:
                    violations.append(tidy.Violation(
                        path, number,
                        "%s past a seam: %s" % (kind, match.group(0).strip()),
                        cure))
    for entry, kinds, number in entries:
        for kind in sorted(kinds):
            if (number, kind) not in used:
                violations.append(tidy.Violation(
                    _LIST, number, "%s has no %s any more" % (entry, kind),
                    "delete it from the list"))
    return violations


_CASES = [
    ("clean code, and words that only look like it", {
        "node/base/a.cc":
            "// absl::Now() is for others; so is std::mt19937.\n"
            'const char* kText = "sleep(1) socket(2)";\n'
            "int separators = 1'000'000;\n"
            "auto now = clock.Boot();  /* rand() */\n"
            "self.time(0); runtime(x); my_socket(3); peer.accept(4);\n"
            "absl::Time time(absl::Time t);\n",
        "examples/e.cc": "auto now = absl::Now();\n",
    }, []),
    ("clocks", {
        "node/base/a.cc": "auto a = absl::Now();\n"
                          "auto b = std::chrono::steady_clock::now();\n"
                          "clock_gettime(CLOCK_BOOTTIME, &t);\n"
                          "auto c = time(nullptr);\n",
    }, ["node/base/a.cc:%d" % line for line in (1, 2, 3, 4)]),
    ("sleeps", {
        "tests/unit/a_test.cc":
            "std::this_thread::sleep_for(x);\n"
            "absl::SleepFor(absl::Seconds(1));\nusleep(3);\nsleep(1);\n",
    }, ["tests/unit/a_test.cc:%d" % line for line in (1, 2, 3, 4)]),
    ("dice", {
        "cluster/placement/p.cc":
            "std::random_device d;\nstd::mt19937_64 g;\nabsl::BitGen b;\n"
            "int r = rand();\nint s = std::rand();\n",
    }, ["cluster/placement/p.cc:%d" % line for line in (1, 2, 3, 4, 5)]),
    ("sockets and gRPC", {
        "client/c.cc": "#include <grpcpp/grpcpp.h>\n"
                       "int fd = ::socket(AF_INET, 0, 0);\n"
                       '#include "muster/core/v1/core.grpc.pb.h"\n',
    }, ["client/c.cc:1", "client/c.cc:2", "client/c.cc:3"]),
    ("the list excuses what it names, and no more", {
        _LIST: "# comment\n"
               "node/base/clock.cc | clock | the system's clocks\n"
               "tests/integration/ | grpc sleep | real processes\n",
        "node/base/clock.cc": "auto a = absl::Now();\nsleep(1);\n",
        "tests/integration/a.cc": "#include <grpcpp/grpcpp.h>\nsleep(1);\n",
    }, ["node/base/clock.cc:2"]),
    ("the list is kept short and clean", {
        _LIST: "node/base/gone.cc | clock | long ago\n"
               "node/base/b.cc | magic | what is this\n"
               "node/base/c.cc clock\n",
    }, [_LIST + ":1", _LIST + ":2", _LIST + ":3"]),
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
