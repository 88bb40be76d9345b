"""Faults on real OS processes: runs rows of the fault matrix and reports.

  nemesis.py --node LEDGER_NODE --muster MUSTER --load LOAD
             --follow FOLLOW_STORE --check CHECKER
             [--rows F1,F6] [--trials N] [--smoke]
             [--report FILE.json] [--markdown FILE.md] [--strict]
             [--allow ROW,...]

Each row injects one fault many times into a cluster under load, proves that the
fault happened, and measures; afterwards the checkers read everything that nodes
and clients have recorded. Exits 1 if a row is broken: what must hold did not, or a
checker has found something. A figure that misses its target is said, and no failure,
since machines differ; with --strict it is one, as is a row that proved nothing (exit
2). What this machine cannot do is skipped, with the reason. --allow names rows that do
something to the whole machine and therefore wait to be asked.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

import cluster as cluster_module
import star
from processes import await_true, boot, is_stopped
from rows import (ROWS, Inconclusive, Skipped, Trials, expect, figures,
                  must_have_happened, row, take_evidence)
# Each registers its rows.
import rows_disk  # pylint: disable=unused-import
import rows_link  # pylint: disable=unused-import
import rows_overload  # pylint: disable=unused-import
import rows_peer  # pylint: disable=unused-import
import rows_process  # pylint: disable=unused-import

# --- Nodes ------------------------------------------------------------------


@row("F1", "crash of a node (kill -9), its sentinel lives",
     "SIGKILL to the node's OS process", 200,
     "first good call to each of its names: p99 at most 1,000 ms", smoke=3)
def crash(t, trials):
    failover, rejoin = [], []
    for _ in range(trials):
        name, names = t.victim()
        node = t.cluster.nodes[name]
        joined = node.joined()
        pid = node.node_pid()
        must_have_happened("the sentinel has a child", pid != node.pid)
        began = boot()
        node.kill_node()
        t.probe(names, (name,))
        probed = t.probed()
        lost = (probed["began"] - began) / 1e6
        failover += [ms + lost for ms in probed["milliseconds"].values()]
        await_true("%s serves again" % name, lambda: node.joined() > joined,
                   step=0.005)
        rejoin.append((boot() - began) / 1e6)
        must_have_happened("it is another OS process", node.node_pid() != pid)
        t.settle()
    return {"failover_ms": figures(failover), "rejoin_ms": figures(rejoin),
            "met": figures(failover)["p99"] <= 1000}


@row("F2", "loss of a host: node and sentinel, network cut first",
     "its network is cut, then SIGKILL to both", 50,
     "first good call to each of its names: p99 at most 5,000 ms")
def host_loss(t, trials):
    failover, rejoin = [], []
    for _ in range(trials):
        name, names = t.victim()
        node = t.cluster.nodes[name]
        began = boot()
        t.cluster.star.isolate(name)
        node.kill()
        t.probe(names, (name,))
        probed = t.probed()
        lost = (probed["began"] - began) / 1e6
        failover += [ms + lost for ms in probed["milliseconds"].values()]
        t.cluster.await_running(without=(name,))
        t.cluster.star.rejoin(name)
        began = boot()
        t.cluster.start_node(name)
        joined = t.cluster.nodes[name].joined()
        await_true("%s serves again" % name,
                   lambda: t.cluster.nodes[name].joined() > joined, step=0.005)
        rejoin.append((boot() - began) / 1e6)
        t.settle()
    return {"failover_ms": figures(failover), "rejoin_ms": figures(rejoin),
            "met": figures(failover)["p99"] <= 5000 and
            figures(rejoin)["p99"] <= 2000}


@row("F3", "node stopped for 1 s, less than F",
     "SIGSTOP, SIGCONT after 1 s", 100,
     "0 restarts, 0 epoch changes, answers at most 100 ms after SIGCONT",
     smoke=2)
def short_pause(t, trials):
    resumed = []
    for _ in range(trials):
        name, names = t.victim()
        before = t.cluster.owners(), t.cluster.members()
        node = t.cluster.nodes[name]
        node.pause()
        time.sleep(1)
        node.resume()
        t.probe(names)
        resumed += t.probed()["milliseconds"].values()
        after = t.cluster.owners(), t.cluster.members()
        expect(before == after, "a pause below F changed %s to %s" % (
            before, after))
    return {"resumed_ms": figures(resumed),
            "met": figures(resumed)["p99"] <= 100}


@row("F3b", "node stopped for 8 s, longer than F",
     "SIGSTOP, SIGCONT after 8 s", 30,
     "its names answer elsewhere in at most 5,000 ms; the old owner never acts")
def long_pause(t, trials):
    failover = []
    for _ in range(trials):
        name, names = t.victim()
        node = t.cluster.nodes[name]
        epoch = t.cluster.members()[name]
        node.pause()
        began = boot()
        t.probe(names, (name,))
        probed = t.probed()
        failover += list(probed["milliseconds"].values())
        time.sleep(max(0, 8 - (boot() - began) / 1e9))
        node.resume()
        t.cluster.await_rejoined(name, epoch)
        t.settle()
    return {"failover_ms": figures(failover),
            "met": figures(failover)["p99"] <= 5000}


def _cut_off(t, trials, seconds):
    failover, rejoin = [], []
    for _ in range(trials):
        name, names = t.victim()
        before = t.cluster.members()[name]
        sent = t.cluster.star.sent(name)
        t.cluster.star.isolate(name)
        began = boot()
        if seconds > 4:
            t.probe(names, (name,))
            failover += list(t.probed()["milliseconds"].values())
        time.sleep(max(0, seconds - (boot() - began) / 1e9))
        must_have_happened("packets were sent into the cut",
                           t.cluster.star.sent(name) > sent)
        t.cluster.star.rejoin(name)
        healed = boot()
        if seconds > 4:
            t.cluster.await_rejoined(name, before)
            rejoin.append((boot() - healed) / 1e6)
        else:
            expect(t.cluster.members()[name] == before,
                   "a short cut ended a membership")
        t.settle()
    result = {"met": True}
    if failover:
        result = {"failover_ms": figures(failover),
                  "rejoin_ms": figures(rejoin),
                  "met": figures(failover)["p99"] <= 5000 and
                  figures(rejoin)["p99"] <= 2000}
    return result


@row("F6-2s", "node cut from everything for 2 s",
     "the router drops its packets both ways", 50, "nothing moves")
def cut_2s(t, trials):
    owners = t.cluster.owners()
    result = _cut_off(t, trials, 2)
    expect(t.cluster.owners() == owners, "a short cut moved names")
    return result


@row("F6-10s", "node cut from everything for 10 s",
     "the router drops its packets both ways", 50,
     "failover p99 at most 5,000 ms, rejoined at most 2,000 ms after the heal",
     smoke=1)
def cut_10s(t, trials):
    return _cut_off(t, trials, 10)


@row("F6-60s", "node cut from everything for 60 s",
     "the router drops its packets both ways", 10,
     "failover p99 at most 5,000 ms, rejoined at most 2,000 ms after the heal")
def cut_60s(t, trials):
    return _cut_off(t, trials, 60)


@row("F8", "node cut from its peers, the store reachable",
     "the router drops packets between it and every other node for 6 s", 50,
     "0 takeovers")
def cut_from_peers(t, trials):
    for _ in range(trials):
        name, _ = t.victim()
        before = t.cluster.owners(), t.cluster.members()
        sent = t.cluster.star.sent(name)
        for other in t.cluster.node_names:
            if other != name:
                t.cluster.star.cut(name, other)
        time.sleep(6)
        must_have_happened("packets were sent into the cut",
                           t.cluster.star.sent(name) > sent)
        after = t.cluster.owners(), t.cluster.members()
        t.cluster.star.heal()
        expect(before == after, "a cut between peers moved names")
        t.settle()
    return {"met": True}


@row("F10", "two nodes cut from each other; both see a third",
     "the router drops packets between the two for 6 s", 50,
     "0 takeovers, no call past its deadline")
def cut_pair(t, trials):
    asked = []
    for _ in range(trials):
        one, other = t.rng.sample(t.cluster.node_names, 2)
        before = t.state()
        theirs = [n for n, (node, _) in before[0].items() if node == other]
        t.cluster.star.cut(one, other)
        time.sleep(6)
        # One is asked for what the other has: it may not know, and says so.
        answers = t.asked(theirs[:5], t.cluster.endpoint(one))
        after = t.state()
        t.cluster.star.heal()
        expect(before == after, "a cut between two peers moved names")
        dishonest = [a for a in answers if a["milliseconds"] > 5500]
        expect(not dishonest, "no answer past its deadline: %s" % dishonest)
        asked += answers
        t.settle()
    return {"answers": count_by(a["status"] for a in asked),
            "answer_ms": figures([a["milliseconds"] for a in asked]),
            "met": True}


def count_by(values):
    """How often each occurs."""
    values = list(values)
    return {v: values.count(v) for v in sorted(set(values))}


@row("F12", "2/3 split; the store's majority on either side",
     "the router drops packets between two sides, each with two or "
     "three nodes and one or two etcds", 30,
     "failover of the minority's names p99 at most 6,000 ms")
def split(t, trials):
    failover = []
    etcds = t.cluster.etcd.places
    for _ in range(trials):
        nodes = list(t.cluster.node_names)
        t.rng.shuffle(nodes)
        # The side with two members keeps the store.
        lone = t.rng.choice(etcds)
        minority = nodes[:t.rng.choice((2, 3))] + [lone]
        majority = [p for p in nodes + etcds if p not in minority]
        owned = [n for n, (node, _) in t.cluster.owners().items()
                 if node in minority]
        for one in minority:
            for other in majority + [cluster_module.CLIENTS]:
                t.cluster.star.cut(one, other)
        if owned:
            t.probe(owned, minority)
            failover += list(t.probed()["milliseconds"].values())
        t.cluster.star.heal()
        t.settle()
    return {"failover_ms": figures(failover),
            "met": figures(failover)["p99"] <= 6000}


# --- The store --------------------------------------------------------------


@row("F7", "node cut from the store, peers reachable",
     "the router drops packets between it and every etcd for 8 s", 50,
     "once frozen, refusal p99 at most 50 ms; failover p99 at most 5,000 ms")
def cut_from_store(t, trials):
    refused, failover = [], []
    for _ in range(trials):
        name, names = t.victim()
        before = t.cluster.members()[name]
        for member in t.cluster.etcd.places:
            t.cluster.star.cut(name, member)
        began = boot()
        # F - g after its last heartbeat it is frozen, R after it taken over.
        time.sleep(3.1)
        answers = t.cluster.load.ask("ask %s %s" % (
            t.cluster.endpoints((name,)), " ".join(names)))
        frozen = [a for a in answers if "FROZEN" in a["status"]]
        refused += [a["milliseconds"] for a in frozen]
        t.probe(names, (name,))
        probed = t.probed()
        lost = (probed["began"] - began) / 1e6
        failover += [ms + lost for ms in probed["milliseconds"].values()]
        t.cluster.star.heal()
        t.cluster.await_rejoined(name, before)
        t.settle()
    must_have_happened("a frozen server was asked", refused)
    return {"refused_ms": figures(refused), "failover_ms": figures(failover),
            "met": figures(refused)["p99"] <= 50 and
            figures(failover)["p99"] <= 5000}


def await_write(t):
    """Until the store commits a write, through any member that lives."""
    def written():
        for place, member in t.cluster.etcd.members.items():
            if member.lives():
                try:
                    t.cluster.etcd.ctl(place, "--command-timeout=500ms", "put",
                                       "/nemesis/probe", str(boot()))
                    return True
                except (RuntimeError, subprocess.TimeoutExpired):
                    pass
        return False
    await_true("the store commits a write", written, step=0.001)


@row("F14", "etcd's leader killed, or moved gracefully",
     "SIGKILL to the leader, and `etcdctl move-leader`, in turn", 50,
     "0 restarts, writes again in at most 2,500 ms", smoke=2)
def leader_change(t, trials):
    before = t.cluster.owners(), t.cluster.members()
    writes = []
    for i in range(trials):
        began = boot()
        if i % 2:
            old, new = t.cluster.etcd.move_leader()
            must_have_happened("the leader has changed", old != new)
        else:
            old = await_true("etcd has a leader", t.cluster.etcd.leader)
            began = boot()
            t.cluster.etcd.members[old].kill()
        await_write(t)
        writes.append((boot() - began) / 1e6)
        if i % 2 == 0:
            t.cluster.etcd.start(old)
            await_true("the member is back",
                       lambda: t.cluster.etcd.status(old), step=0.1)
        time.sleep(2)
    after = t.cluster.owners(), t.cluster.members()
    expect(before == after, "a change of etcd's leader moved names")
    return {"write_ms": figures(writes),
            "met": figures(writes)["p99"] <= 2500}


@row("F15", "etcd's leader stopped for 10 s",
     "SIGSTOP, SIGCONT after 10 s", 20,
     "0 duplicates, 0 needless reaps")
def leader_pause(t, trials):
    before = t.cluster.owners(), t.cluster.members()
    ids = {p: t.cluster.etcd.status(p)["header"]["member_id"]
           for p in t.cluster.etcd.places}
    for _ in range(trials):
        old = await_true("etcd has a leader", t.cluster.etcd.leader)
        pid = t.cluster.etcd.members[old].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await_true("the leader is stopped", lambda: is_stopped(pid))
            time.sleep(10)
            other = next(p for p in t.cluster.etcd.places if p != old)
            status = t.cluster.etcd.status(other)
            must_have_happened("etcd has another leader", status is not None and
                               status.get("leader") not in (None, 0, ids[old]))
        finally:
            os.kill(pid, signal.SIGCONT)
        await_true("etcd has a leader", t.cluster.etcd.leader)
        time.sleep(2)
    after = t.cluster.owners(), t.cluster.members()
    expect(before == after, "a stopped leader of etcd moved names")
    return {"met": True}


@row("G13", "etcd away for 60 s: all members killed, then started",
     "SIGKILL to all members, started again on their data", 3,
     "0 restarts, 0 takeovers, thaw p99 at most 2,000 ms, no state lost")
def store_away(t, trials):
    thaw = []
    for _ in range(trials):
        before = t.cluster.owners(), t.cluster.members()
        counts = t.counts()
        for member in t.cluster.etcd.members.values():
            member.kill()
        time.sleep(60)
        for place in t.cluster.etcd.places:
            t.cluster.etcd.start(place)
        await_true("etcd has a leader", t.cluster.etcd.leader)
        t.probe(t.cluster.names)
        thaw += list(t.probed()["milliseconds"].values())
        after = t.cluster.owners(), t.cluster.members()
        expect(before == after, "an outage of the store moved names")
        t.settle()
        now = t.counts()
        lost = [n for n in counts if now[n] < counts[n]]
        expect(not lost, "these counted less after an outage: %s" % lost)
    return {"thaw_ms": figures(thaw), "met": figures(thaw)["p99"] <= 2000}


# --- Everything at once -----------------------------------------------------


@row("F37", "all nodes and the store restart at once",
     "SIGKILL to all nodes, sentinels and etcds, then all are started", 10,
     "full service at most 10,000 ms after the start")
def restart_all(t, trials):
    service = []
    for _ in range(trials):
        for node in t.cluster.nodes.values():
            node.kill()
        for member in t.cluster.etcd.members.values():
            member.kill()
        began = boot()
        for place in t.cluster.etcd.places:
            t.cluster.etcd.start(place)
        for name in t.cluster.node_names:
            t.cluster.start_node(name)
        t.probe(t.cluster.names, seconds=60)
        probed = t.probed()
        service.append((probed["began"] - began) / 1e6 +
                       max(probed["milliseconds"].values()))
        t.settle()
    # Each name is wanted all the time: on its way back, never unknown.
    unknown = {s: n for s, n in t.cluster.load.ask("stats").items()
               if s.startswith("NOT_FOUND")}
    expect(not unknown, "wanted names were not known: %s" % unknown)
    return {"service_ms": figures(service),
            "met": figures(service)["p99"] <= 10000}


@row("F38", "drain of every node in turn under load (rolling restart)",
     "SIGTERM to one node after another, each started again", 20,
     "0 failed calls", smoke=1)
def rolling_drain(t, trials):
    seconds = []
    failed_before = failures(t)
    for _ in range(trials):
        for name in t.cluster.node_names:
            node = t.cluster.nodes[name]
            began = boot()
            code = node.end(60)
            expect(code == 0, "%s ended with %d: %s" % (
                name, code, node.log()[-1500:]))
            seconds.append((boot() - began) / 1e6)
            t.cluster.start_node(name)
            t.cluster.await_joined(name, node.joined() + 1)
            t.settle()
    failed = failures(t) - failed_before
    expect(failed == 0, "%d calls failed: %s" % (
        failed, t.cluster.load.ask("stats")))
    return {"drain_ms": figures(seconds), "met": True}


@row("F38b", "drain of every node in turn under load by command",
     "`muster node drain`, then `muster node undrain`, of one node after "
     "another", 20,
     "0 failed calls, nothing is left on the node")
def rolling_command_drain(t, trials):
    seconds = []
    failed_before = failures(t)
    for _ in range(trials):
        for name in t.cluster.node_names:
            began = boot()
            answer = t.cluster.json("node", "drain", name, "--yes",
                                    without=(name,), timeout="60s")
            seconds.append((boot() - began) / 1e6)
            expect(answer["left"] == [], "%s kept %s" % (name, answer["left"]))
            expect(not [n for n, (node, _) in t.cluster.owners(
                without=(name,)).items() if node == name],
                   "names are still on %s" % name)
            t.cluster.run("node", "undrain", name, without=(name,))
            t.settle()
    failed = failures(t) - failed_before
    expect(failed == 0, "%d calls failed: %s" % (
        failed, t.cluster.load.ask("stats")))
    return {"drain_ms": figures(seconds), "met": True}


def failures(t):
    return sum(n for status, n in t.cluster.load.ask("stats").items()
               if status != "OK")


@row("F42", "several at once, seeded: F1, F3, F6, F8, F14 at random times",
     "one of F1, F3, F6, F8 and F14 after another, at random times and "
     "lengths", 60,
     "all checkers clean, everything runs after the heal")
def several(t, trials):
    done = []
    for _ in range(trials):
        what = t.rng.choice(["crash", "pause", "cut", "peers", "leader"])
        done.append(what)
        name, _ = t.victim()
        node = t.cluster.nodes[name]
        if what == "crash":
            node.kill_node()
        elif what == "pause":
            node.pause()
            time.sleep(t.rng.choice((0.5, 1, 5)))
            node.resume()
        elif what == "cut":
            t.cluster.star.isolate(name)
            time.sleep(t.rng.choice((1, 2, 6)))
            t.cluster.star.rejoin(name)
        elif what == "peers":
            for other in t.cluster.node_names:
                if other != name and t.rng.random() < 0.7:
                    t.cluster.star.cut(name, other)
            time.sleep(t.rng.choice((1, 3)))
            t.cluster.star.heal()
        else:
            t.cluster.etcd.move_leader()
        time.sleep(t.rng.random() * 2)
    t.settle()
    return {"faults": {w: done.count(w) for w in sorted(set(done))},
            "met": True}


# --- Reporting --------------------------------------------------------------


def measured_text(measured):
    """Such as "failover 312 / 640 / 702 ms (n=40)"."""
    texts = []
    for key, value in measured.items():
        if isinstance(value, dict) and "p50" in value:
            texts.append("%s %s / %s / %s ms (n=%d)" % (
                key.replace("_ms", "").replace("_", " "), value["p50"],
                value["p99"], value["max"], value["n"]))
        else:
            texts.append("%s %s" % (key, value))
    return "; ".join(texts) or "as it was"


def proof_text(evidence):
    """Such as "OS processes killed (3)"."""
    return "; ".join("%s (%s)" % (what, "{:,}".format(times))
                     for what, times in evidence.items()) or "-"


def verdict_text(verdict):
    """What is not as it should be stands out."""
    word, _, rest = verdict.partition(":")
    return verdict if word == "kept" else "**%s**%s" % (word, rest and ":" +
                                                        rest)


def markdown(results):
    """A table of results for docs/reliability.md."""
    lines = ["| # | fault | injection | proof that it happened | trials | "
             "measured: p50 / p99 / max | target | verdict |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for result in results:
        spec = ROWS[result["row"]]
        lines.append("| %s | %s | %s | %s | %d | %s | %s | %s |" % (
            result["row"], spec["title"], spec["how"],
            proof_text(result.get("evidence", {})), result["trials"],
            measured_text(result.get("measured", {})), spec["target"],
            verdict_text(result["verdict"])))
    return "\n".join(lines) + "\n"


# --- Running ----------------------------------------------------------------


def steal():
    """Seconds of CPU time (busy, stolen) of the machine so far."""
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / 100, fields[7] / 100


def check(checker, files):
    """What the checkers say about records: (clean, text)."""
    done = subprocess.run([checker] + files, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout


def inject(cluster, spec, trials, seed, result):
    """Runs a row's trials; what they measured goes into `result`."""
    before = cluster.resent()
    take_evidence()
    try:
        result["measured"] = spec["function"](
            Trials(cluster, random.Random(seed)), trials)
        if cluster.star.cuts:
            must_have_happened("packets were lost in cuts and sent again",
                               cluster.resent() - before)
    finally:
        result["evidence"] = take_evidence()
    if not result["measured"].pop("met"):
        result["verdict"] = "missed"


def run_row(name, trials, arguments, seed):
    """A row's result. Its verdict:

      kept           the checkers found nothing, the figure met its target
      missed         the checkers found nothing, the figure did not
      broken         a checker found something, or what must hold did not
      inconclusive:  the fault did not happen as meant
      skipped:       this machine cannot do it
    """
    spec = ROWS[name]
    binaries = {"node": arguments.node, "muster": arguments.muster,
                "load": arguments.load, "follow": arguments.follow}
    result = {"row": name, "title": spec["title"], "target": spec["target"],
              "trials": trials, "seed": seed, "verdict": "kept"}
    why = spec["missing"]()
    if why:
        result["verdict"] = "skipped: " + why
        return result
    busy, stolen = steal()
    began = time.monotonic()
    try:
        with cluster_module.Cluster(
                binaries, **dict({"nodes": arguments.nodes,
                                  "names": arguments.names},
                                 **spec["cluster"])) as cluster:
            inject(cluster, spec, trials, seed, result)
            result["outcomes"] = cluster.load.ask("stats")
            clean, text = check(arguments.check, cluster.end_records())
            result["checkers"] = text.strip().splitlines()
            if not clean:
                result["verdict"] = "broken"
                result["records"] = cluster.directory
    except Inconclusive as why:
        result["verdict"] = "inconclusive: %s" % why
    except Skipped as why:
        result["verdict"] = "skipped: %s" % why
    except Exception as error:  # pylint: disable=broad-except
        result["verdict"] = "broken"
        result["error"] = "%s: %s" % (type(error).__name__, error)
    seconds = time.monotonic() - began
    now = steal()
    result["seconds"] = round(seconds, 1)
    result["cpu"] = round((now[0] - busy) / seconds, 2)
    result["steal"] = round((now[1] - stolen) / seconds, 3)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in "node", "muster", "load", "follow", "check":
        parser.add_argument("--" + flag, required=True)
    parser.add_argument("--rows", default="")
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--names", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", default="")
    parser.add_argument("--markdown", default="")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--allow", default="")
    arguments = parser.parse_args()

    why = star.missing()
    if why:
        print("skipped: " + why)
        return 0
    allowed = arguments.allow.split(",")
    names = arguments.rows.split(",") if arguments.rows else [
        n for n in ROWS if not arguments.smoke or ROWS[n]["smoke"]]
    unknown = [n for n in names if n not in ROWS]
    if unknown:
        parser.error("no such row: %s; there are %s" % (
            ", ".join(unknown), ", ".join(ROWS)))
    results = []
    for name in names:
        if ROWS[name]["opt_in"] and name not in allowed:
            print("%s: not run without --allow %s: %s" % (
                name, name, ROWS[name]["opt_in"]))
            continue
        trials = arguments.trials or ROWS[name][
            "smoke" if arguments.smoke else "trials"]
        result = run_row(name, trials, arguments, arguments.seed)
        results.append(result)
        print("%s: %s: %s\n%s" % (
            name, ROWS[name]["title"], result["verdict"],
            json.dumps(result, indent=1)), flush=True)
        if arguments.report:
            with open(arguments.report, "w") as f:
                json.dump(results, f, indent=1)
        if arguments.markdown:
            with open(arguments.markdown, "w") as f:
                f.write(markdown(results))
    def those(verdict):
        return [r["row"] for r in results
                if r["verdict"].partition(":")[0] == verdict]
    print("rows: %d, %s" % (len(results), ", ".join(
        "%s: %s" % (v, " ".join(those(v)) or "none")
        for v in ("broken", "missed", "inconclusive", "skipped"))))
    if those("broken"):
        return 1
    return 2 if arguments.strict and (those("missed") or
                                      those("inconclusive")) else 0


if __name__ == "__main__":
    sys.exit(main())
