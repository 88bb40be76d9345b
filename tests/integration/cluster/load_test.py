"""Many clients at once, and what an OK of a cast is worth (issue 2, point 4)."""

import random
import threading
import time
import unittest

import harness
from harness import named

_CLIENTS = 8
_CALLS = 1000
_ROUNDS = 100


class LoadTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.stubs()
        cls.cluster = harness.Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.apply()

    def elsewhere(self, name):
        """A node that does not host `name`."""
        child = self.cluster.children()[name]
        return next(node for node in self.cluster.living()
                    if node.name != child["node"])

    def count(self, node_of, name):
        """1,000 Increments by 8 clients; their replies and the seconds."""
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        values, errors = [], []
        start = threading.Barrier(_CLIENTS + 1)

        def client(node):
            mine = []
            try:
                with node.channel() as channel:
                    stub = counter_pb2_grpc.CounterStub(channel)
                    start.wait(10)
                    for _ in range(_CALLS // _CLIENTS):
                        mine.append(stub.Increment(
                            pb.IncrementRequest(), metadata=named(name),
                            timeout=10).value)
            except Exception as error:  # pylint: disable=broad-except
                errors.append(error)
            values.append(mine)

        threads = [threading.Thread(target=client, args=(node_of(i),))
                   for i in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        start.wait(10)
        began = time.monotonic()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        for mine in values:
            # What one client sees only grows.
            self.assertEqual(mine, sorted(mine))
        return sorted(sum(values, [])), time.monotonic() - began

    def test_through_a_node_that_does_not_host_it(self):
        node = self.elsewhere("counter_a")
        values, seconds = self.count(lambda _: node, "counter_a")
        self.assertEqual(values, list(range(101, 101 + _CALLS)))
        print("%d calls by %d clients through one other node: %.2f s"
              % (_CALLS, _CLIENTS, seconds))

    def test_through_all_nodes(self):
        nodes = self.cluster.living()
        values, seconds = self.count(lambda i: nodes[i % 3], "counter_b")
        self.assertEqual(values, list(range(201, 201 + _CALLS)))
        print("%d calls by %d clients through three nodes: %.2f s"
              % (_CALLS, _CLIENTS, seconds))

    def test_the_next_call_sees_a_cast(self):
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        metadata = named("counter")
        channels = [node.channel() for node in self.cluster.living()]
        stubs = [counter_pb2_grpc.CounterStub(c) for c in channels]
        seed = random.SystemRandom().randrange(1 << 32)
        print("seed", seed)
        chance = random.Random(seed)
        for i in range(_ROUNDS):
            up, down, look = (chance.randrange(3), i % 3,
                              (i + 1 + chance.randrange(2)) % 3)
            stubs[up].Increment(pb.IncrementRequest(by=5), metadata=metadata,
                                timeout=10)
            stubs[down].Reset(pb.ResetRequest(), metadata=metadata, timeout=10)
            value = stubs[look].GetValue(pb.GetValueRequest(),
                                         metadata=metadata, timeout=10).value
            self.assertEqual(value, 0, "round %d: cast through node %d, call "
                             "through %d" % (i, down, look))
        for channel in channels:
            channel.close()


if __name__ == "__main__":
    unittest.main()
