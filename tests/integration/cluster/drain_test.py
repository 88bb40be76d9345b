"""Drains and rolling restarts under load: no call fails (fault F38)."""

import collections
import json
import signal
import threading
import time
import unittest

import grpc

import harness
from harness import named

_COUNTERS = 6
_CLIENTS = 4
_DEADLINE = 5

# All nodes in turn, but those that do not serve (docs/operations.md).
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
}


def _manifest(directory):
    path = directory + "/counters.yaml"
    with open(path, "w") as f:
        f.write("supervisor: counters\nchildren:\n")
        for i in range(_COUNTERS):
            f.write("  - id: c%d\n    name: c%d\n    type: counter\n" % (i, i))
    return path


class Load:
    """Stock stubs that increment counters through all nodes without a pause,
    each over a channel that knows every address."""

    def __init__(self, endpoints):
        self.values = collections.defaultdict(list)
        self.failures = []
        self.slowest = 0
        self._endpoints = endpoints
        self._stop = threading.Event()
        self._mu = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(i,))
                         for i in range(_CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def count(self):
        with self._mu:
            return sum(len(values) for values in self.values.values())

    def _run(self, number):
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        options = harness.CHANNEL_OPTIONS + [
            ("grpc.service_config", json.dumps(_SERVICE_CONFIG))]
        target = "ipv4:" + ",".join(self._endpoints)
        with grpc.insecure_channel(target, options=options) as channel:
            stub = counter_pb2_grpc.CounterStub(channel)
            turn = number
            while not self._stop.is_set():
                turn += 1
                name = "c%d" % (turn % _COUNTERS)
                began = time.monotonic()
                try:
                    value = stub.Increment(
                        pb.IncrementRequest(), metadata=named(name),
                        timeout=_DEADLINE).value
                except grpc.RpcError as error:
                    with self._mu:
                        self.failures.append((name, time.time(), str(error)))
                    continue
                with self._mu:
                    self.values[name].append(value)
                    self.slowest = max(self.slowest,
                                       time.monotonic() - began)


class DrainTest(unittest.TestCase):

    def setUp(self):
        harness.stubs()
        self.cluster = harness.Cluster()
        self.addCleanup(self.cluster.close)
        self.cluster.apply(_manifest(harness.scratch("drain")))
        self.endpoints = {node.name: node.endpoint
                          for node in self.cluster.living()}

    def names_on(self, name, via):
        return [n["name"] for n in via.json("name", "list")
                if n["node"] == name]

    def restart(self, name):
        node = self.cluster.start(name, listen=self.endpoints[name])
        self.cluster.await_members(("a", "b", "c"))
        return node

    def check(self, load):
        self.assertEqual(load.failures, [], "%d calls failed, %d did not"
                         % (len(load.failures), load.count()))
        for name, values in sorted(load.values.items()):
            # Each increment ran once, and none was forgotten.
            self.assertEqual(sorted(values), list(range(1, len(values) + 1)),
                             name)
        print("%d calls, none failed; the slowest took %.2f s"
              % (load.count(), load.slowest))

    def test_a_rolling_drain_fails_no_call(self):
        with Load(list(self.endpoints.values())) as load:
            for name in ("a", "b", "c"):
                other = next(n for n in self.cluster.living()
                             if n.name != name)
                drained = other.run("node", "drain", name, "--yes", "-o",
                                    "json")
                self.assertEqual(drained.code, 0, drained.err + drained.out)
                self.assertEqual(json.loads(drained.out)["left"], [])
                self.assertEqual(self.names_on(name, other), [])
                states = {n["name"]: n["state"]
                          for n in other.json("node", "list")}
                self.assertEqual(states[name], "draining")
                self.assertEqual(self.cluster[name].end(), 0)
                self.restart(name)
        self.check(load)

    def test_a_rolling_sigterm_fails_no_call(self):
        with Load(list(self.endpoints.values())) as load:
            for name in ("a", "b", "c"):
                self.assertEqual(self.cluster[name].end(signal.SIGTERM), 0)
                self.restart(name)
        self.check(load)

    def test_sigterm_does_not_wait_for_what_cannot_move(self):
        path = harness.scratch("drain") + "/pinned.yaml"
        with open(path, "w") as f:
            f.write("supervisor: pinned\nchildren:\n"
                    "  - id: mine\n    name: mine\n    type: counter\n"
                    "    placement: {pin: a}\n")
        self.cluster.apply(path)
        began = time.monotonic()
        node = self.cluster["a"]
        self.assertEqual(node.end(signal.SIGTERM), 0)
        self.assertIn("'mine' could not move", node.log())
        # Far below --drain-timeout.
        self.assertLess(time.monotonic() - began, 20)

    def test_a_drain_does_not_wait_for_what_is_pinned(self):
        path = harness.scratch("drain") + "/pinned.yaml"
        with open(path, "w") as f:
            f.write("supervisor: pinned\nchildren:\n"
                    "  - id: mine\n    name: mine\n    type: counter\n"
                    "    placement: {pin: a}\n")
        self.cluster.apply(path)
        other = self.cluster["b"]
        began = time.monotonic()
        drained = other.run("node", "drain", "a", "--yes", "--timeout", "60s")
        # Far below its time.
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(drained.code, 9, drained.err)
        self.assertIn("'mine': pinned to node 'a', which is draining",
                      drained.err)
        self.assertEqual(self.names_on("a", other), ["mine"])
        self.assertEqual(other.run("node", "undrain", "a").code, 0)

    def test_undrain_and_move(self):
        a = self.cluster["a"]
        drained = self.cluster["b"].run("node", "drain", "a", "--yes")
        self.assertEqual(drained.code, 0, drained.err)
        again = self.cluster["b"].run("node", "drain", "a", "--yes")
        self.assertEqual(again.code, 0, again.err)
        refused = self.cluster["b"].run("process", "move", "c0", "--to", "a")
        self.assertEqual(refused.code, 4, refused.err)
        self.assertEqual(a.run("node", "undrain", "a").code, 0)
        moved = self.cluster["b"].json("process", "move", "c0", "--to", "a")
        self.assertEqual(moved["node"], "a")
        self.assertTrue(moved["with_state"])
        self.assertEqual(self.names_on("a", a), ["c0"])

    def test_what_cannot_move_stays_and_is_said(self):
        for name in ("b", "c"):
            self.assertEqual(self.cluster[name].end(), 0)
        a = self.cluster["a"]
        harness.await_true("all children run on a", lambda: len(
            self.names_on("a", a)) == _COUNTERS)
        plan = a.run("node", "drain", "a")
        self.assertEqual(plan.code, 10, plan.err)
        partly = a.run("node", "drain", "a", "--yes", "--timeout", "2s", "-o",
                       "json")
        self.assertEqual(partly.code, 9, partly.err)
        self.assertEqual(len(json.loads(partly.out)["left"]), _COUNTERS)
        # The last node has nobody to wait for.
        began = time.monotonic()
        self.assertEqual(a.end(), 0)
        self.assertLess(time.monotonic() - began, 8)
        self.assertIn("could not move", a.log())


if __name__ == "__main__":
    unittest.main()
