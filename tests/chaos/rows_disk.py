"""Rows of disks: slow, full and failing, at the store and at a node."""

import os
import re
import shutil
import signal
import subprocess
import time

from processes import await_true, boot
from rows import (Skipped, expect, figures, happened, must_have_happened, row)


def _no_strace():
    return "" if shutil.which("strace") else \
        "needs strace (Debian package strace)"


class Strace:
    """Injects into the system calls of a running OS process; a context
    manager. Slows it, so never under a figure of that process."""

    def __init__(self, pid, inject, trace, log, only=""):
        self._log = log
        # ptrace does not care for namespaces of the network.
        self._process = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", log, "-e",
             "trace=" + trace, "-e", "inject=" + inject] +
            (["-P", only] if only else []),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        # "strace: Process 17 attached", or why not.
        said = self._process.stderr.readline()
        if "attached" not in said:
            self._process.wait()
            raise Skipped("strace cannot be used here: " + said.strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGINT)
        self._process.communicate()

    def injected(self):
        """How many system calls it has touched so far."""
        with open(self._log, errors="replace") as f:
            return len(re.findall(r"\((?:INJECTED|DELAYED)\)", f.read()))


def _slow(t, places, seconds):
    """Straces that delay each fsync of these members."""
    micros = int(seconds * 1e6)
    return [Strace(t.cluster.etcd.members[p].pid,
                   "fsync,fdatasync:delay_enter=%d" % micros,
                   "fsync,fdatasync",
                   "%s/%s-%d.strace" % (t.cluster.directory, p, boot()))
            for p in places]


def _end(straces):
    touched = 0
    for strace in straces:
        strace.__exit__()
        touched += strace.injected()
    return touched


@row("F15-disk", "the fsync of etcd's leader is slow: 5 s each",
     "strace delays each fdatasync of the leader for 15 s", 20,
     "0 duplicates, 0 needless reaps", missing=_no_strace)
def leader_disk(t, trials):
    before = t.state()
    for _ in range(trials):
        leader = await_true("etcd has a leader", t.cluster.etcd.leader)
        straces = _slow(t, [leader], 5)
        time.sleep(15)
        must_have_happened("fdatasync calls of the leader were delayed",
                           _end(straces))
        await_true("etcd has a leader", t.cluster.etcd.leader)
        t.settle()
    expect(t.state() == before, "a leader's slow disk moved names")
    return {"met": True}


@row("F20", "the store's disk is slow: each fsync takes 0.2, 0.5, 1 or 2 s",
     "strace delays each fdatasync of all members for 20 s a step", 4,
     "0 reaps and 0 restarts at 1 s and less; above, freeze and no restart",
     missing=_no_strace)
def slow_store(t, trials):
    kept, outcomes = {}, {}
    for delay in (0.2, 0.5, 1, 2)[:trials]:
        before = t.state()
        counted = t.cluster.load.ask("stats")
        straces = _slow(t, t.cluster.etcd.places, delay)
        time.sleep(20)
        must_have_happened("fdatasync calls were delayed by %s s" % delay,
                           _end(straces))
        await_true("etcd has a leader", t.cluster.etcd.leader)
        t.settle()
        kept[delay] = t.state() == before
        now = t.cluster.load.ask("stats")
        outcomes["%s s" % delay] = {
            s: n - counted.get(s, 0) for s, n in now.items()
            if n > counted.get(s, 0)}
    moved = [d for d, same in kept.items() if not same]
    expect(not [d for d in moved if d <= 1],
           "names moved although fsync took only %s s" % moved)
    return {"moved_at_s": moved or "none", "outcomes": outcomes, "met":
            not moved}


def quota(t):
    """Starts each member again with a quota that is soon full."""
    for place in t.cluster.etcd.places:
        t.cluster.etcd.members[place].kill()
        t.cluster.etcd.start(place, ["--quota-backend-bytes=%d" % (16 << 20)])
        await_true("the member is back",
                   lambda place=place: t.cluster.etcd.status(place), step=0.1)
    await_true("etcd has a leader", t.cluster.etcd.leader)


def _alarms(t):
    try:
        return t.cluster.etcd.ctl(t.cluster.etcd.places[0], "alarm", "list")
    except (RuntimeError, subprocess.TimeoutExpired):
        return ""


def _fill(t):
    """Puts until the store says that it has no room."""
    block = "x" * (1 << 20)
    for i in range(40):
        try:
            t.cluster.etcd.ctl(t.cluster.etcd.places[0], "put",
                               "/nemesis/fill%d" % i, text=block)
        except RuntimeError as why:
            if "space exceeded" in str(why):
                return
    expect(False, "the quota was never full")


def _make_room(t):
    """Deletes, compacts, defragments, disarms."""
    first = t.cluster.etcd.places[0]
    t.cluster.etcd.ctl(first, "del", "--prefix", "/nemesis/fill")
    revision = t.cluster.etcd.status(first)["header"]["revision"]
    t.cluster.etcd.ctl(first, "compact", str(revision))
    for place in t.cluster.etcd.places:
        t.cluster.etcd.ctl(place, "defrag", seconds=30)
    t.cluster.etcd.ctl(first, "alarm", "disarm")


@row("F19", "the store is full (etcd's NOSPACE alarm) for 20 s",
     "members with --quota-backend-bytes of 16 MiB, filled by etcdctl; then "
     "deleted, compacted, defragmented and disarmed", 3,
     "0 restarts, nothing acknowledged is lost, good calls at most 2,000 ms "
     "after the alarm is disarmed")
def full_store(t, trials):
    thaw, asked = [], []
    quota(t)
    t.settle()
    for _ in range(trials):
        before, counts = t.state(), t.counts()
        _fill(t)
        must_have_happened("etcd's alarm is NOSPACE", "NOSPACE" in _alarms(t))
        time.sleep(20)
        asked += [a["status"] for a in t.asked(t.cluster.names[:5])]
        _make_room(t)
        t.probe(t.cluster.names)
        thaw += t.probed()["milliseconds"].values()
        expect(t.state() == before, "a full store moved names")
        t.settle()
        now = t.counts()
        lost = [n for n in counts if now[n] < counts[n]]
        expect(not lost, "these counted less after: %s" % lost)
    return {"thaw_ms": figures(thaw), "asked_while_full": {
        s: asked.count(s) for s in sorted(set(asked))},
        "met": figures(thaw)["p99"] <= 2000}


@row("F19-EIO", "the disk of one member of the store fails",
     "strace makes each fdatasync of one member fail with EIO", 5,
     "0 restarts, 0 reaps, writes again in at most 2,500 ms",
     missing=_no_strace)
def failing_disk(t, trials):
    before = t.state()
    writes = []
    for _ in range(trials):
        place = t.rng.choice(t.cluster.etcd.places)
        member = t.cluster.etcd.members[place]
        with Strace(member.pid, "fsync,fdatasync:error=EIO", "fsync,fdatasync",
                    "%s/eio-%d.strace" % (t.cluster.directory, boot())
                    ) as strace:
            await_true("an fdatasync fails", strace.injected, step=0.01)
            began = boot()
            _await_write(t, [p for p in t.cluster.etcd.places if p != place])
            writes.append((boot() - began) / 1e6)
            must_have_happened("fdatasync calls failed", strace.injected())
            time.sleep(3)
            happened("the member ended itself", not member.lives())
        member.kill()
        t.cluster.etcd.start(place)
        await_true("the member is back",
                   lambda: t.cluster.etcd.status(place), step=0.1)
        t.settle()
    expect(t.state() == before, "a failing disk of one member moved names")
    return {"write_ms": figures(writes), "met": max(writes) <= 2500}


def _await_write(t, places):
    def written():
        for place in places:
            try:
                t.cluster.etcd.ctl(place, "--command-timeout=500ms", "put",
                                   "/nemesis/probe", str(boot()))
                return True
            except (RuntimeError, subprocess.TimeoutExpired):
                pass
        return False
    await_true("the store commits a write", written, step=0.001)


# --- A node's own disk ---------------------------------------------------------


def _small_disk(cluster, name):
    """Data directory and log of one node on a tmpfs of 256 KiB of its own,
    which nobody else sees: `ip netns exec` has made a mount namespace."""
    if name != cluster.node_names[0]:
        return {}
    where = cluster.directory + "/disk"
    os.makedirs(where, exist_ok=True)
    return {"prefix": [
        "/bin/sh", "-c", "mount -t tmpfs -o size=256k nemesis %s && "
        "exec \"$@\" 2>>%s/log" % (where, where), "sh"],
        "flags": ["--data-dir", where + "/data"], "log": where + "/log"}


@row("F21", "the disk with a node's log and data directory is full",
     "a tmpfs of 256 KiB, filled to its last byte; then the node is killed, "
     "and joins again, and cut off, and joins again", 5,
     "the node lives, serves, and joins again; what it cannot log it drops",
     cluster={"node_extras": _small_disk})
def full_disk(t, trials):
    failover, rejoin = [], []
    name = t.cluster.node_names[0]
    node = t.cluster.nodes[name]
    disk = "/proc/%d/root%s/disk" % (node.pid, t.cluster.directory)
    must_have_happened("the node's disk is its own",
                       os.stat(disk).st_dev !=
                       os.stat(t.cluster.directory).st_dev)
    for _ in range(trials):
        _fill_disk(disk)
        must_have_happened("no byte was free", os.statvfs(disk).f_bavail == 0)
        pid, names = node.node_pid(), [
            n for n, (owner, _) in t.cluster.owners().items() if owner == name]
        epoch = t.cluster.members()[name]
        if names:
            answers = t.asked(names, t.cluster.endpoint(name))
            expect(all(a["status"] == "OK" for a in answers),
                   "does not serve with a full disk: %s" % answers)
        before = os.path.getsize(disk + "/log")
        began = boot()
        node.kill_node()
        if names:
            t.probe(names, (name,))
            probed = t.probed()
            lost = (probed["began"] - began) / 1e6
            failover += [ms + lost for ms in probed["milliseconds"].values()]
        t.cluster.await_rejoined(name, epoch)
        rejoin.append((boot() - began) / 1e6)
        expect(node.node_pid() != pid and node.lives(), "it did not come back")
        t.settle()
        # It has said on stderr that it serves, and nobody could write that.
        must_have_happened("log lines were dropped",
                           os.path.getsize(disk + "/log") == before)
    return {"failover_ms": figures(failover) if failover else "no names there",
            "rejoin_ms": figures(rejoin), "met": True}


def _fill_disk(disk):
    """To the last byte of the log's last page."""
    for name, size in (("fill", 4096), ("fill", 1), ("log", 1)):
        with open("%s/%s" % (disk, name), "ab", buffering=0) as f:
            try:
                while True:
                    f.write(b"\n" * size)
            except OSError:
                pass
