"""Includes point to the left: between rooms, and between parts of a room."""

import re

import tidy

# Each room may include itself and the rooms before it. tests and examples
# stand side by side at the end.
_ROOMS = {"proto": 0, "node": 1, "client": 2, "cluster": 3, "tests": 4,
          "examples": 4}

# Inside these rooms, the same between parts.
_PARTS = {
    "node": ["base", "types", "process", "registry", "gen_server",
             "supervisor", "peer", "rpc", "admin"],
    "cluster": ["store", "membership", "journal", "registry", "group",
                "placement", "supervisor", "handoff", "service", "boot",
                "cli"],
}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]')


def _room(included):
    """The room that an include path belongs to, or None."""
    if included == "muster.h":
        return "cluster"
    if included.startswith(("muster/", "third_party/etcd/")):
        return "proto"
    first = included.split("/", 1)[0]
    return first if first in _ROOMS else None


def _part(path, room):
    """The part of a room, "" for a file at its top."""
    pieces = path.split("/")
    return pieces[1] if pieces[0] == room and len(pieces) > 2 else ""


def _check(path, included, quote):
    """Returns (what, cure) if `path` must not include this."""
    home = path.split("/", 1)[0]
    there = _room(included)
    if path.startswith("proto/plugin/"):
        standard = quote == "<" and "/" not in included
        if not (standard or included.startswith(
                ("google/protobuf/", "proto/plugin/"))):
            return ("the protoc plugin includes %s" % included,
                    "proto/plugin uses only protobuf and the standard library: "
                    "it is built before everything else")
        return None
    if there is None:
        return None
    if _ROOMS[there] > _ROOMS[home]:
        return ("%s includes %s, a room to its right" % (home, included),
                "declare an interface in %s/ and hand an implementation in "
                "from %s/ (order: proto node client cluster tests)"
                % (home, there))
    if home == "examples" and there == "tests":
        return ("an example includes %s" % included,
                "examples show what users can do; users have no tests/")
    if there != home or home not in _PARTS:
        return None
    order = _PARTS[home]
    mine, its = _part(path, home), _part(included, home)
    if not mine:
        return None  # node.h, muster.h: the faces show everything
    if not its:
        return ("%s/%s includes %s, which includes everything"
                % (home, mine, included),
                "include the headers of the parts that are used")
    for part in (mine, its):
        if part not in order:
            return ("%s/%s is no part of the order of %s/" % (home, part, home),
                    "give it a place in _PARTS of "
                    "tests/tidy/include_direction.py and in the README")
    if order.index(its) > order.index(mine):
        return ("%s/%s includes %s, a part to its right"
                % (home, mine, included),
                "turn the dependency round (order: %s)" % " ".join(order))
    return None


def rule(tree):
    violations = []
    for path in tree.select(".h", ".cc"):
        if path.split("/", 1)[0] not in _ROOMS:
            continue
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            match = _INCLUDE.match(line)
            wrong = match and _check(path, match.group(2), match.group(1))
            if wrong:
                violations.append(tidy.Violation(path, number, *wrong))
    return violations


_CASES = [
    ("leftwards is fine", {
        "node/rpc/a.h": '#include "node/base/clock.h"\n#include <vector>\n'
                        '#include "muster/core/v1/core.pb.h"\n'
                        '#include "absl/status/status.h"\n',
        "node/node.h": '#include "node/admin/a.h"\n',
        "cluster/boot/b.cc": '#include "cluster/store/s.h"\n'
                             '#include "client/client.h"\n',
        "cluster/muster.h": '#include "cluster/cli/c.h"\n',
        "tests/unit/t_test.cc": '#include "cluster/cli/c.h"\n',
        "proto/plugin/p.cc": '#include <string>\n'
                             '#include "google/protobuf/descriptor.h"\n',
    }, []),
    ("a room to the right", {
        "node/base/a.cc": '\n#include "cluster/store/store.h"\n',
        "client/c.h": '#include "muster.h"\n',
        "cluster/store/s.h": '#include "tests/testkit/k.h"\n',
    }, ["node/base/a.cc:2", "client/c.h:1", "cluster/store/s.h:1"]),
    ("a part to the right", {
        "node/types/t.h": '#include "node/process/p.h"\n',
        "cluster/store/s.h": '#include "cluster/boot/b.h"\n',
    }, ["node/types/t.h:1", "cluster/store/s.h:1"]),
    ("a part includes its room's face", {
        "node/rpc/r.h": '#include "node/node.h"\n',
    }, ["node/rpc/r.h:1"]),
    ("an unknown part", {
        "node/misc/m.h": '#include "node/base/clock.h"\n',
    }, ["node/misc/m.h:1"]),
    ("the plugin leans on others", {
        "proto/plugin/p.cc": '#include "absl/strings/str_cat.h"\n'
                             '#include "node/base/check.h"\n'
                             '#include <grpcpp/grpcpp.h>\n',
    }, ["proto/plugin/p.cc:1", "proto/plugin/p.cc:2", "proto/plugin/p.cc:3"]),
    ("an example leans on tests", {
        "examples/a/a.cc": '#include "tests/testkit/k.h"\n',
    }, ["examples/a/a.cc:1"]),
]

if __name__ == "__main__":
    tidy.main(rule, _CASES)
