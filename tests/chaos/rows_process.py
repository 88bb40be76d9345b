"""Rows of threads, clocks and versions."""

import ctypes
import os
import re
import time

from processes import boot
from rows import (Skipped, expect, figures, happened, must_have_happened, row)

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p,
                         ctypes.c_void_p]
_LIBC.ptrace.restype = ctypes.c_long
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000


class StoppedThread:
    """One thread of an OS process that stands still while the others run; a
    context manager."""

    def __init__(self, tid):
        self._tid = tid

    def __enter__(self):
        self._ptrace(_SEIZE)
        self._ptrace(_INTERRUPT)
        os.waitpid(self._tid, _WALL)
        return self

    def __exit__(self, *_):
        self._ptrace(_DETACH)

    def _ptrace(self, request):
        if _LIBC.ptrace(request, self._tid, None, None) != 0:
            code = ctypes.get_errno()
            raise Skipped("ptrace cannot be used here: " + os.strerror(code))

    def stands(self):
        with open("/proc/%d/stat" % self._tid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "t"


def busy_threads(pid, seconds=1):
    """Threads of an OS process, the busiest first."""
    def used():
        times = {}
        for tid in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/schedstat" % (pid, tid)) as f:
                    times[int(tid)] = int(f.read().split()[0])
            except OSError:
                pass  # It has ended.
        return times
    before = used()
    time.sleep(seconds)
    after = used()
    return sorted((t for t in after if t in before and after[t] > before[t]),
                  key=lambda t: before[t] - after[t])


@row("F5", "one thread of a node stands still, the others run",
     "ptrace stops each of its four busiest threads in turn, for 2 s and for "
     "10 s", 8, "0 duplicates; no restart but by the fence")
def stall(t, trials):
    moved, reported = 0, 0
    for turn in range(trials):
        name, names = t.victim()
        node = t.cluster.nodes[name]
        pid = node.node_pid()
        threads = busy_threads(pid)
        tid = threads[turn // 2 % 4 % len(threads)]
        before = t.state()
        reports = node.log().count("has kept a worker")
        with StoppedThread(tid) as stopped:
            time.sleep((2, 10)[turn % 2])
            must_have_happened("threads seen standing still", stopped.stands())
        expect(node.node_pid() == pid, "the node ended when a thread of it had "
               "stood still: " + node.log()[-2000:])
        t.probe(names)
        t.probed()
        t.settle()
        moved += t.state() != before
        reported += node.log().count("has kept a worker") > reports
        expect(turn % 2 or t.state() == before, "2 s moved names")
    return {"moved": "%d of %d" % (moved, trials),
            "stalls_reported": "%d of %d" % (reported, trials), "met": True}


# --- Clocks -------------------------------------------------------------------


def _no_time_namespace():
    done = os.system("unshare -T --boottime 1000 true 2>/dev/null")
    return "" if done == 0 else "needs time namespaces (unshare -T)"


_DAYS = 86400


def _shifted(cluster, name):
    """Nodes a and b: ten days ahead, and as far behind as a host's own time
    since its boot lets them be."""
    uptime = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    offset = {cluster.node_names[0]: 10 * _DAYS,
              cluster.node_names[1]: -min(10 * _DAYS, uptime - 60)}.get(name)
    if offset is None:
        return {}
    return {"prefix": ["unshare", "-T", "--boottime", str(offset),
                       "--monotonic", str(offset)],
            "environment": {"CHAOS_BOOT_OFFSET_NS": str(offset * 10 ** 9)}}


@row("F24", "boot clocks with offsets: one node ten days ahead, one behind",
     "unshare -T --boottime --monotonic; then each of the two is killed, and "
     "stopped for 1 s", 3,
     "no effect: failover p99 at most 1,000 ms, a short stop moves nothing",
     cluster={"node_extras": _shifted}, missing=_no_time_namespace)
def boot_offset(t, trials):
    failover = []
    for name in t.cluster.node_names[:2]:
        with open("/proc/%d/timens_offsets" %
                  t.cluster.nodes[name].node_pid()) as f:
            offset = int(re.search(r"boottime\s+(-?\d+)", f.read()).group(1))
        must_have_happened("hours of offset at " + name,
                           abs(offset) // 3600)
    for _ in range(trials):
        for name in t.cluster.node_names[:2]:
            node = t.cluster.nodes[name]
            before = t.state()
            node.pause()
            time.sleep(1)
            node.resume()
            expect(t.state() == before, "a pause below F moved names")
            names = [n for n, (owner, _) in before[0].items()
                     if owner == name]
            epoch = t.cluster.members()[name]
            began = boot()
            node.kill_node()
            if names:
                t.probe(names, (name,))
                probed = t.probed()
                lost = (probed["began"] - began) / 1e6
                failover += [ms + lost
                             for ms in probed["milliseconds"].values()]
            t.cluster.await_rejoined(name, epoch)
            t.settle()
    return {"failover_ms": figures(failover),
            "met": figures(failover)["p99"] <= 1000}


@row("F22", "the wall clock jumps by an hour and by ten years, both ways",
     "clock_settime of the whole host, for 10 s each, put back after", 5,
     "0 epoch changes, timers untouched",
     opt_in="it moves the clock of the whole machine, for everybody on it")
def wall_clock(t, trials):
    before = t.state()
    for _ in range(trials):
        for jump in (3600, -3600, 3650 * _DAYS, -3650 * _DAYS):
            offset = time.time() - time.monotonic()
            try:
                time.clock_settime(time.CLOCK_REALTIME, time.time() + jump)
                must_have_happened("jumps of the wall clock", abs(
                    time.time() - time.monotonic() - offset - jump) < 1)
                time.sleep(10)
                now = t.state()
            finally:
                time.clock_settime(time.CLOCK_REALTIME,
                                   time.monotonic() + offset)
            expect(now == before, "a jump of %d s moved names" % jump)
            t.settle()
    expect(t.state() == before, "jumps of the wall clock moved names")
    return {"met": True}


@row("F39", "rolling upgrade between two wire versions",
     "two builds, mixed", 0, "0 errors",
     missing=lambda: "there is only one wire version so far")
def two_versions(t, trials):
    raise Skipped("there is only one wire version so far")
