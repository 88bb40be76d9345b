"""OS processes of a nemesis run: three etcds and the nodes, each in its place.

Only what was started here is ever stopped or ended. Every process ends with the
harness (parent-death signal), whatever becomes of that.
"""

import json
import os
import re
import signal
import subprocess
import time

from rows import happened

_ENDS_WITH_US = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"]
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

# Until something that must happen counts as not happening.
PATIENCE = 60


def boot():
    """The clock that all records of a run share, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def await_true(what, condition, patience=PATIENCE, step=0.02):
    """Waits until condition() is true, and returns that."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("after %d s still not: %s" % (patience, what))
        time.sleep(step)


class Program:
    """One OS process in a place, and its log."""

    def __init__(self, star, place, arguments, log, environment=None,
                 **streams):
        self.place = place
        self.log_path = log
        self._arguments = arguments
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                _ENDS_WITH_US + star.command(place, arguments),
                **dict({"stdin": subprocess.DEVNULL, "stdout": out,
                        "stderr": out}, **streams),
                env=dict(_ENVIRONMENT, **(environment or {})))
        self._stopped = []

    @property
    def pid(self):
        return self.process.pid

    def lives(self):
        return self.process.poll() is None

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""  # Not there yet, or gone with its OS process.

    def children(self):
        """Process ids of its children that live."""
        path = "/proc/%d/task/%d/children" % (self.pid, self.pid)
        try:
            with open(path) as f:
                return [int(pid) for pid in f.read().split()]
        except FileNotFoundError:
            return []

    def signal_all(self, number):
        """To its children, then to it; those that have ended are left out."""
        for pid in self.children() + [self.pid]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """kill -9 of it and its children."""
        lived = self.lives()
        if lived:
            self.signal_all(signal.SIGKILL)
        if self.process.wait() == -signal.SIGKILL and lived:
            happened("OS processes killed with their children")

    def end(self, patience=40):
        """Asks it to end; its exit code."""
        if self.lives():
            self.process.terminate()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s did not end within %d s" % (
                self._arguments[:3], patience)) from None


def memory(pid):
    """Bytes of memory of an OS process: (now, most so far)."""
    with open("/proc/%d/status" % pid) as f:
        fields = dict(line.split(":", 1) for line in f)
    return tuple(int(fields[name].split()[0]) * 1024
                 for name in ("VmRSS", "VmHWM"))


def cpu_seconds(pid):
    """CPU time that an OS process has used so far."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    """How many file descriptors an OS process has open."""
    return len(os.listdir("/proc/%d/fd" % pid))


def is_stopped(pid):
    """Whether SIGSTOP has taken effect."""
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


class Etcd:
    """A cluster of etcd members, one a place; survives the loss of some."""

    def __init__(self, star, places, directory, tls=None, flags=()):
        self._star = star
        self._flags = list(flags)
        self._directory = directory
        self._tls = tls
        self.places = list(places)
        self.members = {}
        scheme = "https" if tls else "http"
        self._urls = {p: "%s://%s:2379" % (scheme, star.address(p))
                      for p in places}
        self._peers = {p: "http://%s:2380" % star.address(p) for p in places}
        for place in places:
            self.start(place)
        await_true("etcd has a leader", self.leader)

    def start(self, place, flags=()):
        """`flags`: what this start has beyond the usual."""
        arguments = [
            "etcd", "--name=" + place,
            "--data-dir=%s/%s.etcd" % (self._directory, place),
            "--listen-client-urls=" + self._urls[place],
            "--advertise-client-urls=" + self._urls[place],
            "--listen-peer-urls=" + self._peers[place],
            "--initial-advertise-peer-urls=" + self._peers[place],
            "--initial-cluster=" + ",".join(
                "%s=%s" % pair for pair in sorted(self._peers.items())),
            "--heartbeat-interval=100", "--election-timeout=1000",
            "--logger=zap", "--log-level=warn",
        ] + self._flags + list(flags)
        if self._tls:
            pair = self._tls.directory("etcd", place)
            arguments += ["--cert-file=%s/cert.pem" % pair,
                          "--key-file=%s/key.pem" % pair,
                          "--trusted-ca-file=%s/ca.pem" % pair,
                          "--client-cert-auth"]
        self.members[place] = Program(
            self._star, place, arguments,
            "%s/%s.log" % (self._directory, place))

    def addresses(self):
        return ",".join("%s:2379" % self._star.address(p)
                        for p in self.places)

    def ctl(self, place, *arguments, seconds=5, text=None):
        """Runs etcdctl where the member is, with `text` as its standard input;
        its standard output."""
        command = ["etcdctl", "--endpoints=" + self._urls[place]]
        if self._tls:
            pair = self._tls.directory("etcd", place)
            command += ["--cert=%s/cert.pem" % pair, "--key=%s/key.pem" % pair,
                        "--cacert=%s/ca.pem" % pair]
        done = subprocess.run(
            self._star.command(place, command + list(arguments)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            input=text, timeout=seconds, env=dict(_ENVIRONMENT, ETCDCTL_API="3"))
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def status(self, place):
        """What the member says of itself; None if it does not answer."""
        try:
            return json.loads(self.ctl(place, "endpoint", "status", "-w",
                                       "json"))[0]["Status"]
        except (RuntimeError, subprocess.TimeoutExpired, ValueError, KeyError):
            return None

    def leader(self):
        """The place whose member leads, as it and a majority say; or None."""
        said = {}
        for place in self.places:
            if self.members[place].lives():
                status = self.status(place)
                if status and status.get("leader"):
                    said[place] = status
        for place, status in said.items():
            own = status["header"]["member_id"]
            votes = sum(s["leader"] == own for s in said.values())
            if status["leader"] == own and 2 * votes > len(self.places):
                return place
        return None

    def move_leader(self):
        """Hands the leadership to another member; from where, to where."""
        old = await_true("etcd has a leader", self.leader)
        new = next(p for p in self.places
                   if p != old and self.members[p].lives())
        member = self.status(new)["header"]["member_id"]
        self.ctl(old, "move-leader", "%x" % member)
        return old, new

    def kill(self):
        for member in self.members.values():
            member.kill()


class Node(Program):
    """A node with its sentinel; `node_pid` is the node's own OS process."""

    _SERVES = re.compile(r"serves on (\d+\.\d+\.\d+\.\d+:\d+)")

    def __init__(self, name, star, arguments, log, environment):
        self.name = name
        super().__init__(star, name, arguments, log, environment)

    def node_pid(self):
        children = self.children()
        return children[0] if children else self.pid

    def kill_node(self):
        """kill -9 of the node alone: its sentinel sees it."""
        pid = self.node_pid()
        os.kill(pid, signal.SIGKILL)
        await_true("pid %d is no child any more" % pid,
                   lambda: pid not in self.children(), step=0.001)
        happened("nodes killed, their sentinels alive", pid != self.pid)

    def joined(self):
        """How often it has said that it serves."""
        return len(self._SERVES.findall(self.log()))

    def pause(self, with_sentinel=False):
        pids = [self.node_pid()] + ([self.pid] if with_sentinel else [])
        self._stopped = pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            await_true("pid %d is stopped" % pid, lambda pid=pid:
                       is_stopped(pid), step=0.001)
        happened("OS processes seen stopped", len(pids))

    def resume(self):
        for pid in self._stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self._stopped = []
