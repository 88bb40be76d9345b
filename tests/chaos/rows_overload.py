"""Rows of too much work: slow consumers, storms, retries, memory."""

import os
import time

from processes import await_true, boot, memory
from rows import expect, figures, happened, must_have_happened, row

_MIB = 1 << 20


def flood(load, seconds, rate, what, timeout_ms, wait_us, size, endpoints,
          names):
    """Starts a flood (flood.h); load.finish() has its answer."""
    load.start("flood %s %s %s %d %d %d %s %s" % (
        seconds, rate, what, timeout_ms, wait_us, size, endpoints,
        " ".join(names)))


def ended(answer, *words):
    """How many ended with a status in which all these words are."""
    return sum(f["n"] for status, f in answer["ended"].items()
               if all(w in status for w in words))


def worst(answer, *words):
    """The greatest p99 of such, in ms; 0 if there are none."""
    return max([f["p99"] for status, f in answer["ended"].items()
                if all(w in status for w in words)], default=0)


def counts_by_status(answer):
    return {status: f["n"] for status, f in answer["ended"].items()}


def apart(t):
    """A name, the node that has it, and names of the same node beside it."""
    node, names = t.victim()
    while len(names) < 3:
        node, names = t.victim()
    return names[0], t.cluster.nodes[node], names[1:]


@row("F27", "slow consumer: each message takes 1 s, 1,000 a second come",
     "15 s of casts a trial to one server that sleeps in its handler", 3,
     "memory grows at most 64 MiB, refusals p99 at most 5 ms, the node's other "
     "servers answer, an order to end it is obeyed within 50 ms")
def slow_consumer(t, trials):
    grown, refused, others, killed = [], [], [], []
    load = t.cluster.another_load("flood")
    for _ in range(trials):
        name, node, beside = apart(t)
        endpoint = t.cluster.endpoint(node.name)
        pid = node.node_pid()
        before = memory(pid)[0]
        calm, _ = t.steady(3, beside, endpoint)
        flood(load, 15, 1000, "cast", 5000, 1_000_000, 100, endpoint, [name])
        time.sleep(11.5)  # The mailbox is full by now: 10,000 messages.
        busy, outcomes = t.steady(3, beside, endpoint)
        answer = load.finish()
        full = ended(answer, "MAILBOX_FULL")
        must_have_happened("casts were refused, the mailbox being full", full)
        grown.append((memory(pid)[0] - before) / _MIB)
        refused.append(worst(answer, "MAILBOX_FULL"))
        expect(set(outcomes) == {"OK"}, "others on that node failed: %s" %
               outcomes)
        others.append((calm["p99"], busy["p99"]))
        killed.append(_end_and_start(t, name))
        t.settle()
    result = {"refused_p99_ms": figures(refused), "grown_mib": round(
        max(grown), 1), "others_p99_ms_calm_busy": others[-1],
        "ended_ms": figures(killed)}
    result["met"] = (max(refused) <= 5 and max(grown) <= 64 and
                     max(killed) <= 50)
    return result


def _end_and_start(t, name):
    """Ends a child whose mailbox is full, by its supervisor, and starts it
    again; milliseconds that the end took, without those of the command."""
    index = t.cluster.names.index(name)
    tree = "tree%d" % (index - index % 25)
    began = boot()
    t.cluster.run("supervisor", "get", tree)
    command = boot() - began
    t.cluster.note("unwanted", key=name)
    began = boot()
    t.cluster.run("supervisor", "terminate-child", tree, name, "--yes")
    took = boot() - began - command
    t.cluster.run("supervisor", "restart-child", tree, name)
    t.cluster.note("wanted", key=name, session=tree)
    return max(0, took) / 1e6


@row("F28", "call storm of ten times what a server can do, deadlines 200 ms",
     "10 s of 1,000 calls a second to a server that takes 10 ms a call", 3,
     "goodput at least 80 % of the peak, 0 expired calls run, as before 2 s "
     "after")
def call_storm(t, trials):
    share, recovered, peaks = [], [], []
    load = t.cluster.another_load("flood")
    for _ in range(trials):
        name, node, _ = apart(t)
        endpoint = t.cluster.endpoint(node.name)
        flood(load, 5, 90, "call", 2000, 10_000, 0, endpoint, [name])
        peak = ended(load.finish(), "OK") / 5
        flood(load, 10, 1000, "call", 200, 10_000, 0, endpoint, [name])
        storm = load.finish()
        began = boot()
        must_have_happened("calls in the storm got no answer in time or were "
                           "refused", storm["sent"] - ended(storm, "OK"))
        # The storm may be slower than asked for: the machine is small.
        happened("calls sent in storms", storm["sent"])
        share.append(ended(storm, "OK") / 10 / peak)
        peaks.append(peak)
        # As long as a call of the time before takes.
        t.probe([name])
        t.probed()
        recovered.append((boot() - began) / 1e6)
        answer, = t.asked([name])
        expect(answer["status"] == "OK", "not answered after: %s" % answer)
        expired = t.cluster.load.ask("ask %s %s" % (endpoint, name))[0].get(
            "expired", 0)
        expect(expired == 0, "%d calls began after their caller had given up" %
               expired)
    return {"goodput_share": [round(s, 2) for s in share],
            "peak_a_second": [round(p) for p in peaks],
            "recovered_ms": figures(recovered),
            "met": min(share) >= 0.8 and max(recovered) <= 2000}


@row("F29", "retry storm: a server is down for 30 s under many clients",
     "its node, to which it is pinned, is down for 30 s; 200 clients call it "
     "twice a second each", 2,
     "what is sent again is at most 10 % of what is asked")
def retry_storm(t, trials):
    again = []
    load = t.cluster.another_load("crowd")
    pinned, node = "pinned", t.cluster.node_names[-1]
    path = t.cluster.directory + "/pinned.yaml"
    with open(path, "w") as f:
        f.write("supervisor: pinned\nintensity: 1000\nperiod: 1s\nchildren:\n"
                "  - {id: %s, type: ledger, placement: {pin: %s}}\n" % (
                    pinned, node))
    t.cluster.run("apply", "-f", path)
    t.cluster.names.append(pinned)
    t.cluster.await_running()
    clients = 200
    for _ in range(trials):
        t.cluster.nodes[node].kill()
        load.start("crowd %d 30 2 1000 %s %s" % (
            clients, t.cluster.endpoints((node,)), pinned))
        answer = load.finish(180)
        failed = answer["sent"] - ended(answer, "OK")
        must_have_happened("calls to the server that was down failed", failed)
        again.append(answer["again"] / answer["sent"])
        t.cluster.start_node(node)
        t.settle()
    t.cluster.names.remove(pinned)
    t.cluster.run("supervisor", "delete-child", "pinned", pinned, "--yes")
    return {"sent_again_share": [round(a, 3) for a in again],
            "ended": counts_by_status(answer), "met": max(again) <= 0.10}


# --- Memory -----------------------------------------------------------------

_MEMORY = "/sys/fs/cgroup/memory"


def _no_memory_cgroup():
    if os.path.exists(_MEMORY + "/memory.limit_in_bytes"):
        return ""
    return "needs the memory controller of cgroups (version 1 at %s)" % _MEMORY


class Memory:
    """A limit on the memory of an OS process; a context manager."""

    def __init__(self, pid, limit):
        self._path = "%s/muster-nemesis-%d" % (_MEMORY, os.getpid())
        os.mkdir(self._path)
        try:
            self._write("memory.limit_in_bytes", limit)
            self._write("cgroup.procs", pid)
        except OSError:
            self.__exit__()
            raise

    def _write(self, name, value):
        with open("%s/%s" % (self._path, name), "w") as f:
            f.write(str(value))

    def oom_kills(self):
        with open(self._path + "/memory.oom_control") as f:
            fields = dict(line.split() for line in f)
        return int(fields["oom_kill"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        def removed():
            try:
                os.rmdir(self._path)
                return True
            except OSError:
                return False  # Somebody is still in it.
        await_true("the cgroup is empty", removed)


@row("F36", "a node runs out of memory and is killed for it",
     "memory.limit_in_bytes 32 MiB above what it has, then casts of 64 KiB to "
     "servers that do not get on with them", 10,
     "failover p99 at most 1,000 ms, refusals before the kill in 90 %",
     missing=_no_memory_cgroup)
def out_of_memory(t, trials):
    failover, shed = [], []
    load = t.cluster.another_load("flood")
    for _ in range(trials):
        name, names = t.victim()
        node = t.cluster.nodes[name]
        joined, pid = node.joined(), node.node_pid()
        with Memory(pid, memory(pid)[0] + 32 * _MIB) as limit:
            flood(load, 8, 400, "cast", 3000, 1_000_000, 65536,
                  t.cluster.endpoint(name), names[:5])
            await_true("the node is killed", lambda: node.node_pid() != pid or
                       pid not in node.children(), step=0.002)
            began = boot()
            must_have_happened("the kernel killed a node for its memory",
                               limit.oom_kills())
            t.probe(names, (name,))
            probed = t.probed()
            lost = (probed["began"] - began) / 1e6
            failover += [ms + lost for ms in probed["milliseconds"].values()]
            shed.append(ended(load.finish(), "RESOURCE_EXHAUSTED") > 0)
            await_true("%s serves again" % name,
                       lambda: node.joined() > joined)
        t.settle()
    return {"failover_ms": figures(failover),
            "refused_before": "%d of %d" % (sum(shed), len(shed)),
            "met": figures(failover)["p99"] <= 1000 and
            sum(shed) >= 0.9 * len(shed)}
