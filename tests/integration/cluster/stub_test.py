"""Stock clients against any node for any name (issue 2, point 3)."""

import json
import subprocess
import sys
import unittest

import harness
from harness import named


class StubTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.stubs = harness.stubs()
        cls.cluster = harness.Cluster(("a", "b", "c"), odd=("odd",))
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.apply()
        cls.odd_tree = harness.scratch("tree") + "/odd.yaml"
        with open(cls.odd_tree, "w") as f:
            f.write("supervisor: oddities\n"
                    "children:\n"
                    "  - {id: fragile, type: crash, options: {first_count: 6}}\n"
                    "  - {id: other, name: shop/other, type: crash_too}\n")
        cls.cluster.apply(cls.odd_tree)

    def client(self, script, node, *arguments):
        done = subprocess.run(
            ["/usr/bin/python3", harness.CLIENTS + "/" + script, "--endpoint",
             node.endpoint, "--stubs", self.stubs] + list(arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_demo_client_through_every_node(self):
        # The stock nodes; and the one that hosts none of these types.
        first = True
        for node in self.cluster.living():
            fresh = ["--fresh"] if first else []
            first = False
            out = self.client("demo_client.py", node, *fresh)
            self.assertIn("all five servers answered", out)
        print(out)

    def test_children_are_spread_over_the_stock_nodes(self):
        children = self.cluster.children()
        print({c["id"]: c["node"] for c in children.values()})
        self.assertEqual(len(children), 6)
        self.assertEqual({c["node"] for c in children.values()},
                         {"a", "b", "c"})

    def test_every_node_says_the_same_about_every_name(self):
        lists = [node.json("name", "list") for node in self.cluster.living()]
        for names in lists[1:]:
            self.assertEqual(names, lists[0])
        self.assertEqual([n["name"] for n in lists[0]],
                         ["cache", "counter", "counter_a", "counter_b",
                          "fragile", "periodic_task", "session_store",
                          "shop/other"])
        for node in self.cluster.living():
            for name in lists[0]:
                self.assertEqual(node.json("name", "whereis", name["name"]),
                                 {k: name[k]
                                  for k in ("name", "node", "pid", "epoch")})

    def test_reflection_through_every_node(self):
        wanted = {"cache.v1.Cache", "counter.v1.Counter", "crash.v1.Crash",
                  "periodic.v1.PeriodicTask", "session.v1.SessionStore"}
        for node in self.cluster.living():
            for version in ("v1alpha", "v1"):
                with self.subTest(node=node.name, version=version):
                    v = ["--version", version]
                    listed = self.client("reflection_client.py", node, *v,
                                         "list").split()
                    self.assertLessEqual(wanted, set(listed))
                    self.assertEqual(len(listed), len(set(listed)))
                    for service in sorted(wanted):
                        out = self.client("reflection_client.py", node, *v,
                                          "describe", service)
                        self.assertIn("service " + service, out)
            calls = [
                ("counter_b", "counter.v1.Counter/Increment", '{"by": 0}'),
                ("cache", "cache.v1.Cache/Get", '{"key": "nothing"}'),
                ("periodic_task", "periodic.v1.PeriodicTask/GetCount", "{}"),
                ("session_store", "session.v1.SessionStore/CreateSession",
                 '{"user_id": "u", "data": {"a": [1, null]}}'),
                ("fragile", "crash.v1.Crash/Ping", "{}"),
                ("shop/other", "crash.v1.Crash/Ping", "{}"),
            ]
            for name, method, request in calls:
                with self.subTest(node=node.name, name=name):
                    json.loads(self.client("reflection_client.py", node,
                                           "call", name, method, request))

    def test_command_line_calls_what_only_another_node_hosts(self):
        for name in ("fragile", "shop/other"):
            for node in self.cluster.living():
                self.assertEqual(node.run("cast", name, "SetCount",
                                          '{"count": "40"}').code, 0)
                result = node.run("call", name, "Ping")
                self.assertEqual((result.code, result.out),
                                 (0, '{"count":"41"}\n'), result.err)
                result = node.run("call", name, "Nap", '{"duration": "0.2s"}')
                self.assertEqual((result.code, result.out),
                                 (0, '{"count":"42"}\n'), result.err)

    def test_servers_of_one_service_are_told_apart_by_name(self):
        from tests.integration.cluster import crash_pb2 as pb
        from tests.integration.cluster import crash_pb2_grpc
        for node in self.cluster.living():
            with node.channel() as channel:
                stub = crash_pb2_grpc.CrashStub(channel)
                for name, count in (("fragile", 10), ("shop/other", 20)):
                    stub.SetCount(pb.SetCountRequest(count=count),
                                  metadata=named(name), timeout=10)
                for name, count in (("fragile", 11), ("shop/other", 21)):
                    response = stub.Ping(pb.PingRequest(),
                                         metadata=named(name), timeout=10)
                    self.assertEqual(response.count, count)

    def test_the_replys_epoch_is_that_of_the_name(self):
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        node = self.cluster["b"]
        epoch = node.json("name", "whereis", "counter_a")["epoch"]
        with node.channel() as channel:
            stub = counter_pb2_grpc.CounterStub(channel)
            _, call = stub.GetValue.with_call(
                pb.GetValueRequest(), metadata=named("counter_a"), timeout=10)
        self.assertEqual(dict(call.trailing_metadata())["muster-epoch"], epoch)

    def test_applying_the_same_tree_again_changes_nothing(self):
        before = self.cluster.children()
        out = self.cluster["c"].json("apply", "-f", harness.APPLICATION)
        self.assertEqual(len(out["unchanged"]), 6)
        self.assertEqual((out["started"], out["restarted"], out["stopped"]),
                         ([], [], []))
        self.assertEqual(self.cluster.children(), before)


if __name__ == "__main__":
    unittest.main()
