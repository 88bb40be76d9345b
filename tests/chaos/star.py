"""A small network of namespaces: places around a router, and ways to break it.

Every place is a network namespace of its own, joined to the router's namespace
by a veth pair with its own /30 and routed through it, so that two places can be
cut from each other without a trace: packets vanish in the router, as in a
network, and neither side gets an error. Needs root. Everything made here
carries the prefix of its Star and goes with close(), also after a failure.
"""

import itertools
import os
import shutil
import subprocess


def missing():
    """Why this machine cannot make a Star; empty if it can."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if shutil.which("ip", path=_PATH) is None:
        return "needs ip (Debian package iproute2)"
    name = "muster-probe-%d" % os.getpid()
    made = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.PIPE,
                          text=True, env=_ENVIRONMENT)
    if made.returncode != 0:
        return "cannot make a network namespace: " + made.stderr.strip()
    subprocess.run(["ip", "netns", "del", name], check=True, env=_ENVIRONMENT)
    return ""


_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_ENVIRONMENT = {"PATH": _PATH}
# Network namespaces are the machine's: several Stars may exist at once.
_numbers = itertools.count()


def _run(*arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=_ENVIRONMENT)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(arguments),
                                       done.stderr.strip()))
    return done.stdout


class Star:
    """Places by name; a context manager.

    The addresses are private to the namespaces: the router has no way out.
    """

    def __init__(self, places):
        self._prefix = "mu%d-%d-" % (os.getpid(), next(_numbers))
        self._places = {}
        self._made = []
        # Rules of the router by what was cut, each with its own priority.
        self._cuts = {}
        # How many there have been.
        self.cuts = 0
        self._priorities = itertools.count(100)
        try:
            self._namespace("router")
            self._in_router("/bin/sh", "-c",
                            "echo 1 > /proc/sys/net/ipv4/ip_forward")
            for place in places:
                self._add(place)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Removes the namespaces; what still runs in them must be ended."""
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "del", name], env=_ENVIRONMENT,
                           stderr=subprocess.DEVNULL)
        self._made = []

    def namespace(self, place):
        """The name of its network namespace."""
        return self._prefix + place

    def detour(self, place, device):
        """Sends what goes from and to a place through devices of this name in
        its namespace and in the router's, which somebody else has made. What
        was connected stays so."""
        router = self._prefix + "router"
        for where in self._prefix + place, router:
            _run("ip", "-n", where, "link", "set", device, "up")
        _run("ip", "-n", router, "route", "add", self.address(place) + "/32",
             "dev", device)
        _run("ip", "-n", self._prefix + place, "route", "replace", "default",
             "dev", device, "src", self.address(place))

    def undo_detour(self, place, device):
        _run("ip", "-n", self._prefix + place, "route", "replace", "default",
             "via", "10.77.%d.1" % self._places[place])
        _run("ip", "-n", self._prefix + "router", "route", "del",
             self.address(place) + "/32", "dev", device)

    def address(self, place):
        return "10.77.%d.2" % self._places[place]

    def command(self, place, arguments):
        """The arguments that run a program there; it keeps its process id."""
        return ["/usr/bin/env", "ip", "netns", "exec", self._prefix + place,
                *arguments]

    # --- Faults --------------------------------------------------------------

    def cut(self, one, other, port=None):
        """Drops what goes between two places, silently, both ways.

        With a port, only TCP to that port of `other`, and its answers."""
        key = (one, other, port)
        if key in self._cuts:
            return
        there = ["from", self.address(one), "to", self.address(other)]
        back = ["from", self.address(other), "to", self.address(one)]
        if port is not None:
            there += ["ipproto", "tcp", "dport", str(port)]
            back += ["ipproto", "tcp", "sport", str(port)]
        rules = []
        for rule in there, back:
            rules.append(["priority", str(next(self._priorities))] + rule +
                         ["blackhole"])
        self._cuts[key] = rules
        self.cuts += 1
        for rule in rules:
            self._in_router("ip", "rule", "add", *rule)

    def heal(self, one=None, other=None, port=None):
        """Takes back one cut; without arguments, all."""
        if one is None:
            keys = list(self._cuts)
        else:
            keys = [(one, other, port)]
        for key in keys:
            for rule in self._cuts.pop(key):
                self._in_router("ip", "rule", "del", *rule)

    def isolate(self, place):
        """Cuts a place from every other."""
        for other in self._places:
            if other != place:
                self.cut(place, other)

    def rejoin(self, place):
        """Takes back all cuts that a place is part of."""
        for key in list(self._cuts):
            if place in key[:2]:
                self.heal(*key)

    def sent(self, place):
        """Packets that a place has sent so far, as its interface counts."""
        return self._counter(place, "tx_packets")

    def resent(self, place):
        """TCP segments that a place has sent again so far, since nobody said
        that they had arrived."""
        text = _run("ip", "netns", "exec", self._prefix + place, "cat",
                    "/proc/net/snmp")
        names, values = [line.split() for line in text.splitlines()
                         if line.startswith("Tcp:")]
        return int(values[names.index("RetransSegs")])

    def received(self, place):
        return self._counter(place, "rx_packets")

    # --- How it is made -------------------------------------------------------

    def _counter(self, place, name):
        text = _run("ip", "-n", self._prefix + place, "-s", "-o", "link",
                    "show", "dev", "eth0")
        # "... RX: bytes packets errors ... \ 12 3 0 ... \ TX: ... \ 12 3 ..."
        parts = [part.split() for part in text.split("\\")]
        for head, values in zip(parts, parts[1:]):
            if head and head[0] == {"tx": "TX:", "rx": "RX:"}[name[:2]]:
                return int(values[head.index("packets") - 1])
        raise RuntimeError("no counters in: " + text)

    def _namespace(self, name):
        _run("ip", "netns", "add", self._prefix + name)
        self._made.append(self._prefix + name)
        _run("ip", "-n", self._prefix + name, "link", "set", "lo", "up")

    def _in_router(self, *arguments):
        _run("ip", "netns", "exec", self._prefix + "router", *arguments)

    def _add(self, place):
        number = len(self._places) + 1
        self._places[place] = number
        namespace = self._prefix + place
        router = self._prefix + "router"
        self._namespace(place)
        _run("ip", "link", "add", "eth0", "netns", namespace, "type", "veth",
             "peer", "name", "v%d" % number, "netns", router)
        for where, device, host in ((router, "v%d" % number, 1),
                                    (namespace, "eth0", 2)):
            _run("ip", "-n", where, "address", "add",
                 "10.77.%d.%d/30" % (number, host), "dev", device)
            _run("ip", "-n", where, "link", "set", device, "up")
        _run("ip", "-n", namespace, "route", "add", "default", "via",
             "10.77.%d.1" % number)
