"""A bad link: carries the packets of some places between TUN devices.

  tap.py SEED MODEL PLACE_NAMESPACE,ROUTER_NAMESPACE,ADDRESS,DEVICE...

MODEL is JSON: {"loss": share, "duplicate": share, "reorder": share,
"delay_ms": [least, most]}, each direction alike and for itself. Prints "ready"
once the devices are there, and, when its standard input ends, as JSON what it
did. A packet that is reordered waits for 30 ms more than its delay.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time

_TUNSETIFF = 0x400454ca
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    fd = os.open("/run/netns/" + namespace, os.O_RDONLY)
    try:
        if _LIBC.setns(fd, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + namespace)
    finally:
        os.close(fd)


def tun(namespace, name):
    """A device in that namespace; gone when this process ends."""
    enter(namespace)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", name.encode(),
                                            _IFF_TUN | _IFF_NO_PI))
    return fd


class Link:
    """Packets on their way. Time is time.monotonic()."""

    def __init__(self, seed, model):
        self._rng = random.Random(seed)
        self._model = model
        self._waiting = []
        self._number = 0
        self.did = {"packets": 0, "lost": 0, "duplicated": 0, "reordered": 0,
                    "delayed": 0, "not_taken": 0}
        self.late = 0.0

    def _chance(self, what):
        share = self._model.get(what, 0)
        return share > 0 and self._rng.random() < share

    def take(self, packet, out, now):
        self.did["packets"] += 1
        if self._chance("loss"):
            self.did["lost"] += 1
            return
        copies = 1
        if self._chance("duplicate"):
            self.did["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            least, most = self._model.get("delay_ms", (0, 0))
            delay = self._rng.uniform(least, most) / 1000
            self.did["delayed"] += delay > 0
            if self._chance("reorder"):
                self.did["reordered"] += 1
                delay += 0.030
            self._number += 1
            heapq.heappush(self._waiting, (now + delay, self._number, packet,
                                           out))

    def give(self, now):
        """Sends what is due; seconds until more is, at most 1."""
        while self._waiting and self._waiting[0][0] <= now:
            due, _, packet, out = heapq.heappop(self._waiting)
            self.late = max(self.late, now - due)
            try:
                os.write(out, packet)
            except OSError:  # It is full, or not up yet.
                self.did["not_taken"] += 1
        return max(0, min(1, self._waiting[0][0] - now)) if self._waiting \
            else 1


def main():
    seed, model, *places = sys.argv[1:]
    link = Link(int(seed), json.loads(model))
    there = {}
    for place in places:
        inner, router, _, device = place.split(",")
        one, other = tun(inner, device), tun(router, device)
        there[one], there[other] = other, one
    print("ready", flush=True)
    poll = select.poll()
    for fd in list(there) + [0]:
        poll.register(fd, select.POLLIN)
    while True:
        timeout = link.give(time.monotonic())
        for fd, _ in poll.poll(timeout * 1000):
            if fd == 0:
                if not os.read(0, 100):
                    print(json.dumps(dict(link.did, seed=int(seed),
                                          late_ms=round(1000 * link.late, 1))),
                          flush=True)
                    return
                continue
            now = time.monotonic()
            try:
                for _ in range(64):
                    link.take(os.read(fd, 65536), there[fd], now)
            except BlockingIOError:
                pass


if __name__ == "__main__":
    main()
