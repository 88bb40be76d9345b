"""Rows of bad links: packets lost, late, twice, in another order."""

import json
import os
import subprocess
import sys
import time

from rows import expect, happened, must_have_happened, row

_TAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tap.py")

# What a link does, and whether 0 false reaps are promised under it.
_MODELS = [
    ("loss 1 %", {"loss": 0.01}, True),
    ("loss 5 %", {"loss": 0.05}, True),
    ("delay 50 +- 50 ms", {"delay_ms": [0, 100]}, True),
    ("duplication 1 %", {"duplicate": 0.01}, True),
    ("reordering 5 %", {"reorder": 0.05}, True),
    ("loss 20 %", {"loss": 0.20}, False),
]
# What the numbers of tap.py say, by what its model asks for.
_DID = {"loss": "lost", "delay_ms": "delayed", "duplicate": "duplicated",
        "reorder": "reordered"}


def _no_tun():
    return "" if os.path.exists("/dev/net/tun") else "needs /dev/net/tun"


class BadLink:
    """Puts places behind a link of this model; a context manager."""

    def __init__(self, star, places, seed, model):
        self._star, self._places = star, places
        self._process = subprocess.Popen(
            [sys.executable, "-B", _TAP, str(seed), json.dumps(model)] +
            [",".join((star.namespace(p), star.namespace("router"),
                       star.address(p), self._device(p))) for p in places],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline().strip() != "ready":
            raise AssertionError("the link was not made")
        for place in places:
            star.detour(place, self._device(place))

    @staticmethod
    def _device(place):
        return "tap-" + place

    def end(self):
        """Puts them back, and tells what it did."""
        for place in self._places:
            self._star.undo_detour(place, self._device(place))
        said, _ = self._process.communicate("")
        return json.loads(said)


@row("F13", "a bad link: loss of 1, 5, 20 %; delay 50 +- 50 ms; duplication "
     "1 %; reordering 5 %",
     "two of five nodes behind a user-space link (TUN), 20 s a model", 6,
     "0 reaps but at 20 % loss; order, at most once and honest outcomes "
     "always", missing=_no_tun)
def bad_link(t, trials):
    said, moved = {}, []
    for turn, (what, model, promised) in enumerate(_MODELS[:trials]):
        before = t.state()
        counted = t.cluster.load.ask("stats")
        places = t.rng.sample(t.cluster.node_names, 2)
        link = BadLink(t.cluster.star, places, seed=turn + 1, model=model)
        time.sleep(20)
        after = t.state()
        did = link.end()
        for key in model:
            must_have_happened("packets " + _DID[key], did[_DID[key]])
        happened("packets carried", did["packets"])
        now = t.cluster.load.ask("stats")
        calls = {s: n - counted.get(s, 0) for s, n in now.items()}
        said[what] = "%d of %d calls OK, link at most %s ms late" % (
            calls.get("OK", 0), sum(calls.values()), did["late_ms"])
        if after != before:
            moved.append(what)
            expect(not promised, "names moved at %s: %s to %s" % (
                what, before, after))
        t.settle()
    return dict(said, moved=", ".join(moved) or "nothing", met=True)
