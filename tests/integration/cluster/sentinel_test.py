"""A node's OS process dies and its sentinel does what it is for (guarantees
R12, R19, R7; faults F1, F2)."""

import os
import re
import resource
import signal
import socket
import time
import unittest

import grpc

import harness
from harness import await_true, named

COUNTERS = ("counter", "counter_a", "counter_b")
# Nobody is reaped for silence before that.
_REAP_SECONDS = 3.75


def state(pid):
    """Of an OS process: R, S, T, Z, ...; X: there is none."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def process_lives(pid):
    """Whether an OS process runs; one that is dead and unburied does not."""
    return state(pid) not in "ZX"


def pending(pid, number):
    """Whether a signal waits for a process."""
    with open("/proc/%d/status" % pid) as f:
        mask = re.search(r"ShdPnd:\s*([0-9a-f]+)", f.read()).group(1)
    return bool(int(mask, 16) >> (number - 1) & 1)


def patient_application():
    """The application, whose supervisor does not give up because nodes are
    killed one after the other: a crash of a node counts as a restart."""
    path = harness.scratch("tree") + "/application.yaml"
    with open(harness.APPLICATION) as source, open(path, "w") as f:
        f.write(source.read().replace("intensity: 3", "intensity: 1000"))
    return path


class SentinelTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.stubs()

    def members(self, node):
        return {n["name"]: n for n in node.json("node", "list")}

    def first_good_calls(self, entry, names, since):
        """Seconds from `since` to the first answer of each name."""
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        seconds = {}
        with entry.channel() as channel:
            stub = counter_pb2_grpc.CounterStub(channel)
            while len(seconds) < len(names):
                self.assertLess(time.monotonic() - since, harness.PATIENCE,
                                "answered: %s" % seconds)
                for name in names:
                    if name in seconds:
                        continue
                    try:
                        stub.GetValue(pb.GetValueRequest(),
                                      metadata=named(name), timeout=1)
                        seconds[name] = time.monotonic() - since
                    except grpc.RpcError:
                        pass
                time.sleep(0.005)
        return seconds

    def await_settled(self, cluster):
        """Until all six children run, as every node says."""
        def settled():
            for node in cluster.living():
                children = cluster.children(node)
                if len(children) != 6 or any(
                        c["state"] != "running" for c in children.values()):
                    return False
            return True
        await_true("all children run", settled)

    def names_on(self, cluster, victim):
        return [c["name"] for c in cluster.children().values()
                if c["node"] == victim and c["name"] in COUNTERS]

    def test_killed_node_is_attested_and_comes_back(self):
        with harness.Cluster() as cluster:
            cluster.apply(patient_application())
            self.await_settled(cluster)
            figures = []
            rejoined = []
            for trial in range(6):
                # Each of the three in turn has its names, and the supervisor.
                owners = {c["name"]: c["node"]
                          for c in cluster.children().values()}
                victim = cluster[owners[COUNTERS[trial % 3]]]
                entry = next(n for n in cluster.living() if n is not victim)
                names = self.names_on(cluster, victim.name)
                before = self.members(entry)[victim.name]
                old_pid = victim.node_pid()
                victim.kill_node()
                killed = time.monotonic()
                for name, s in self.first_good_calls(
                        entry, names, killed).items():
                    self.assertLess(s, _REAP_SECONDS, name)
                    figures.append(s)

                # By itself, with its name, where it served, under a new epoch.
                def back():
                    now = self.members(entry).get(victim.name)
                    return now and now["epoch"] > before["epoch"] and now
                now, _ = await_true("%s is a member again" % victim.name, back)
                rejoined.append(time.monotonic() - killed)
                self.assertEqual(now["address"], before["address"])
                self.assertNotEqual(victim.node_pid(), old_pid)
                self.assertFalse(process_lives(old_pid))
                await_true("it serves", lambda: victim.run(
                    "status").code == 0)
                self.assertIn("(killed by signal 9 (KILL))", victim.log())
                self.assertIn("epoch %s is attested dead" % before["epoch"],
                              victim.log())
                self.await_settled(cluster)
            figures.sort()
            print("kill -9 of a node, first good call to each of its names: "
                  "%d names, median %.3f s, worst %.3f s" % (
                      len(figures), figures[len(figures) // 2], figures[-1]))
            print("member again after: " + ", ".join(
                "%.2f s" % s for s in rejoined))

    def test_killed_sentinel_takes_its_node_with_it(self):
        with harness.Cluster() as cluster:
            cluster.apply(patient_application())
            self.await_settled(cluster)
            victim = cluster[cluster.children()["counter_a"]["node"]]
            entry = next(n for n in cluster.living() if n is not victim)
            names = self.names_on(cluster, victim.name)
            pid = victim.node_pid()
            victim.kill()
            killed = time.monotonic()
            _, ended = await_true("the node has ended, too",
                                  lambda: not process_lives(pid))
            self.assertLess(ended, 3)
            figures = self.first_good_calls(entry, names, killed)
            # Nobody attested it: only its silence tells.
            for name, s in figures.items():
                self.assertGreater(s, _REAP_SECONDS - 0.6, name)
            print("host loss: first good call after " + ", ".join(
                "%.2f s" % s for s in figures.values()))
            # It is started again as it was, and joins.
            cluster.start(victim.name)
            cluster.await_members(["a", "b", "c"])

    def test_both_killed(self):
        with harness.Cluster() as cluster:
            cluster.apply(patient_application())
            self.await_settled(cluster)
            victim = cluster[cluster.children()["counter_b"]["node"]]
            entry = next(n for n in cluster.living() if n is not victim)
            names = self.names_on(cluster, victim.name)
            pid = victim.node_pid()
            # Stopped first, so that it has no time to say a word.
            os.kill(victim.pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            victim.kill()
            killed = time.monotonic()
            figures = self.first_good_calls(entry, names, killed)
            for name, s in figures.items():
                self.assertGreater(s, _REAP_SECONDS - 0.6, name)
            self.assertNotIn("attested", victim.log())
            print("node and sentinel killed: first good call after " +
                  ", ".join("%.2f s" % s for s in figures.values()))

    def test_data_directory_shows_that_the_node_before_is_dead(self):
        with harness.Cluster(("a", "b")) as cluster:
            directory = harness.scratch("data") + "/x"
            flags = ("--data-dir", directory, "--label", "zone=z")
            first = cluster.start("x", flags=flags)
            before = self.members(cluster["a"])["x"]
            self.assertEqual(before["labels"], {"zone": "z"})
            for name, why in (("x", "is in use by another OS process"),
                              ("y", "is in use by another OS process")):
                second = cluster.start(name, flags=flags, wait=False)
                self.assertEqual(second.process.wait(20), 4, second.log())
                self.assertIn(why, second.log())
            pid = first.node_pid()
            first.kill()
            await_true("the node has ended", lambda: not process_lives(pid))

            wrong = cluster.start("y", flags=flags, wait=False)
            self.assertEqual(wrong.process.wait(20), 4, wrong.log())
            self.assertIn('belongs to node "x" of cluster "test"', wrong.log())

            # Nobody has reaped it, and still it need not wait.
            began = time.monotonic()
            again = cluster.start("x", flags=flags)
            seconds = time.monotonic() - began
            print("joined again over a dead record after %.2f s" % seconds)
            self.assertIn("holds the lock of its data directory", again.log())
            self.assertGreater(self.members(cluster["a"])["x"]["epoch"],
                               before["epoch"])

    def test_crash_loop_backs_off(self):
        with harness.Cluster(("a",)) as cluster:
            node = cluster["a"]
            for _ in range(5):
                pid, _ = await_true("the node runs", node.node_pid)
                await_true("it has joined", lambda: node.run(
                    "status").code == 0)
                os.kill(pid, signal.SIGKILL)
                await_true("it has ended", lambda: not process_lives(pid))
                await_true("another runs", lambda: node.node_pid() not in (
                    0, pid))
            delays = [int(ms) / 1000 if ms else float(s) for ms, s in
                      re.findall(r"started again in (?:(\d+)ms|([\d.]+)s)",
                                 node.log())]
            print("delays: %s" % delays)
            self.assertEqual(len(delays), 5)
            for i, delay in enumerate(delays):
                base = 0.1 * 2 ** i
                self.assertGreaterEqual(delay, base)
                self.assertLess(delay, base * 1.25)
            await_true("it serves", lambda: node.run("status").code == 0)

    @unittest.skipIf(harness.sanitized(), "UBSan asks by a pipe what memory "
                     "is, and takes an answer that it cannot get for a no")
    def test_a_restart_that_the_system_refuses_is_tried_again(self):
        with harness.Cluster(("a",)) as cluster:
            node = cluster["a"]
            old = node.node_pid()
            soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
            # It has more descriptors than that, and gets no others.
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (3, hard))
            os.kill(old, signal.SIGKILL)
            await_true("two restarts are refused", lambda: len(re.findall(
                "Too many open files; tried again in", node.log())) >= 2)
            self.assertIn("is attested dead", node.log())
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
            await_true("another runs", lambda: node.node_pid() not in (0, old))
            await_true("it serves", lambda: node.run("status").code == 0)

    def test_an_operator_cannot_stop_what_a_node_lives_by(self):
        with harness.Cluster(("a",)) as cluster:
            node = cluster["a"]
            own = [p for p in node.json("process", "list", "--system")
                   if p.get("name") == "muster/agent"]
            self.assertEqual(len(own), 1)
            stopped = node.run("process", "stop", own[0]["pid"])
            self.assertNotEqual(stopped.code, 0)
            self.assertIn("is Muster's own process", stopped.err)
            self.assertEqual(node.run("status").code, 0)

    def test_signals_and_exit_codes(self):
        with harness.Cluster(("a", "b")) as cluster:
            # The first SIGTERM is the node's: it leaves.
            node = cluster["b"]
            self.assertEqual(node.end(signal.SIGTERM), 0, node.log())
            self.assertIn("leaving the cluster", node.log())
            # One that comes to the node itself ends both, too.
            node = cluster.start("b")
            os.kill(node.node_pid(), signal.SIGTERM)
            self.assertEqual(node.process.wait(20), 0, node.log())
            self.assertIn("leaving the cluster", node.log())
            # A service manager may signal both; the sentinel passes its own on,
            # and the node goes on leaving in order.
            node = cluster.start("b")
            os.kill(node.node_pid(), signal.SIGTERM)
            await_true("it has begun to leave", lambda: "draining, for" in
                       node.log().rsplit("serves on", 1)[1])
            self.assertEqual(node.end(signal.SIGTERM), 0, node.log())
            self.assertNotIn("killed by", node.log())
            # A second one kills. A node that is stopped obeys no first one.
            node = cluster.start("b")
            pid = node.node_pid()
            os.kill(pid, signal.SIGSTOP)
            await_true("it stands still", lambda: state(pid) == "T")
            os.kill(node.pid, signal.SIGTERM)
            await_true("it was passed on", lambda: pending(pid,
                                                           signal.SIGTERM))
            self.assertTrue(node.lives())
            os.kill(node.pid, signal.SIGINT)
            self.assertEqual(node.process.wait(20), 128 + 9, node.log())
            self.assertFalse(process_lives(pid))
            self.assertIn("is attested dead", node.log())
            cluster.await_members(["a"])
            # What cannot work is not tried again.
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                node = cluster.start("c", wait=False, listen="127.0.0.1:%d"
                                     % taken.getsockname()[1])
                self.assertEqual(node.process.wait(20), 4, node.log())
            node = cluster.start("a", wait=False)
            self.assertEqual(node.process.wait(20), 4, node.log())
            self.assertIn("a living node is called 'a'", node.log())

    def test_without_sentinel(self):
        with harness.Cluster(("a",)) as cluster:
            node = cluster.start("b", flags=("--no-sentinel",))
            self.assertEqual(node.node_pid(), 0)
            node.kill()
            self.assertEqual(node.process.returncode, -9)
            self.assertNotIn("sentinel", node.log())
            # The silent path is what is left.
            cluster.await_members(["a"])

    def test_sentinel_holds_nothing_of_the_nodes(self):
        with harness.Cluster(("a",)) as cluster:
            node = cluster["a"]
            port = "%04X" % int(node.endpoint.rsplit(":", 1)[1])
            lines = []
            for table in ("/proc/net/tcp", "/proc/net/tcp6"):
                with open(table) as f:
                    lines += f.readlines()[1:]
            listening = {"socket:[%s]" % words[9]
                         for words in (line.split() for line in lines)
                         if words[1].endswith(":" + port) and words[3] == "0A"}
            self.assertTrue(listening)

            def open_files(pid):
                found = set()
                for fd in os.listdir("/proc/%d/fd" % pid):
                    try:
                        found.add(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
                    except FileNotFoundError:
                        pass
                return found
            self.assertTrue(listening & open_files(node.node_pid()))
            self.assertFalse(listening & open_files(node.pid))
            # Nor the node anything of the sentinel's but the pipe: also when it
            # was started while the sentinel talked to the store.
            node.kill_node()
            await_true("it is back", lambda: node.run("status").code == 0)
            for name in open_files(node.pid):
                if name.startswith("socket:"):
                    self.assertNotIn(name, open_files(node.node_pid()))


if __name__ == "__main__":
    unittest.main()
