"""muster dev: one node, nothing installed, the Application tree running."""

import json
import re
import signal
import threading
import unittest

import harness


class DevTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.stubs()
        cls.node = harness.Node("dev", ["dev", "--listen", "127.0.0.1:0"],
                                harness.scratch("dev") + "/log")
        cls.addClassCleanup(cls.node.kill)
        cls.node.wait_ready()
        result = cls.node.run("wait", "periodic_task", "--for", "running",
                              "--timeout", "30s")
        assert result.code == 0, result.err
        harness.await_true("the tree runs", lambda: all(
            c["state"] == "running"
            for s in cls.node.json("tree") for c in s["children"]))

    def test_it_says_what_to_try(self):
        text = self.node.log()
        print(text[:900])
        for word in ("in-memory store", "Ctrl-C", "counter_a (counter)",
                     "session_store (session_store)",
                     "--endpoint " + self.node.endpoint + " tree"):
            self.assertIn(word, text)
        # What it suggests works.
        for line in re.findall(r"^  muster (.*)$", text, re.M):
            words = re.findall(r"'([^']*)'|(\S+)", line)
            result = harness.muster(*[a or b for a, b in words])
            self.assertEqual(result.code, 0, line + "\n" + result.err)

    def test_a_process_is_looked_at_traced_and_stopped(self):
        run = self.node.run
        got = self.node.json("process", "get", "counter_b")
        self.assertEqual(got["name"], "counter_b")
        self.assertEqual(got["service"], "counter.v1.Counter")
        self.assertEqual(got["state"], "running")
        self.assertIn(got["pid"], run("process", "get", got["pid"]).out)

        # Calls until the trace shows one.
        stop = threading.Event()

        def call():
            while not stop.is_set():
                run("call", "counter_b", "GetValue")
        caller = threading.Thread(target=call)
        caller.start()
        try:
            traced = run("process", "trace", "counter_b", "--for", "3s")
        finally:
            stop.set()
            caller.join()
        self.assertEqual(traced.code, 0, traced.err)
        self.assertIn("got call GetValue", traced.out)
        self.assertIn("sent reply (counter.v1.CounterValue", traced.out)
        self.assertEqual(
            self.node.json("process", "get", "counter_b")["log_limit"], 0)

        stopped = run("process", "stop", "counter_b")
        self.assertEqual((stopped.code, stopped.out), (0, "stopped\n"),
                         stopped.err)
        # Its supervisor starts it again.
        self.assertEqual(run("wait", "counter_b", "--for", "running").code, 0)
        again = self.node.json("process", "get", "counter_b")
        self.assertNotEqual(again["pid"], got["pid"])
        self.assertEqual(run("process", "stop", got["pid"]).code, 3)
        self.assertEqual(run("process", "get", "nobody").code, 3)

    def test_calls(self):
        run = self.node.run
        for arguments, out in [
                (("call", "counter", "GetValue"), '{"value":"0"}\n'),
                (("call", "counter", "Increment"), '{"value":"1"}\n'),
                (("call", "counter", "Counter/Increment", '{"by": 10}'),
                 '{"value":"11"}\n'),
                (("call", "counter", "counter.v1.Counter/Decrement"),
                 '{"value":"10"}\n'),
                (("cast", "counter", "Reset"), "sent\n"),
                (("cast", "counter", "Reset", "-o", "json"), "{}\n"),
                (("call", "counter", "GetValue"), '{"value":"0"}\n'),
                (("call", "counter_a", "GetValue"), '{"value":"100"}\n'),
                (("call", "counter_b", "Decrement"), '{"value":"199"}\n'),
                # Absent, which is not null.
                (("call", "cache", "Get", '{"key": "k"}'), "{}\n"),
                (("call", "cache", "Put", '{"key": "k", "value": null}'),
                 "{}\n"),
                (("call", "cache", "Get", '{"key": "k"}'), '{"value":null}\n'),
                (("call", "cache", "Put",
                  '{"key": "k", "value": {"a": [1, "b", null]}}'), "{}\n"),
                (("call", "cache", "Get", '{"key": "k"}'),
                 '{"value":{"a":[1,"b",null]}}\n')]:
            result = run(*arguments)
            self.assertEqual((result.code, result.out, result.err),
                             (0, out, ""), arguments)
        result = run("call", "counter", "Increment", "-", stdin='{"by": -7}')
        self.assertEqual((result.code, result.out), (0, '{"value":"-7"}\n'))
        pid = self.node.json("name", "whereis", "counter")["pid"]
        result = run("call", pid, "Increment", '{"by": "7"}')
        self.assertEqual((result.code, result.out), (0, '{"value":"0"}\n'))

    def test_sessions(self):
        run = self.node.run
        result = run("call", "session_store", "CreateSession",
                     '{"user_id": "ada", "data": {"theme": "dark"}}')
        self.assertEqual(result.code, 0, result.err)
        session = json.loads(result.out)["session_id"]
        self.assertRegex(session, r"\A[A-Za-z0-9_-]{22}\Z")
        request = json.dumps({"session_id": session})
        result = run("call", "session_store", "GetSession", request)
        self.assertEqual(json.loads(result.out)["data"], {"theme": "dark"})
        self.assertEqual(
            run("cast", "session_store", "DeleteSession", request).code, 0)
        result = run("call", "session_store", "GetSession", request, "-o",
                     "json")
        self.assertEqual((result.code, result.out), (3, ""))
        error = json.loads(result.err)
        self.assertEqual((error["code"], error["outcome"]),
                         ("NOT_FOUND", "EXECUTED"))

    def test_json(self):
        node = self.node
        status = node.json("status")
        self.assertEqual((status["node"], status["store"], status["nodes"],
                          status["names"], status["supervisors"],
                          status["children_wanted"],
                          status["children_running"]),
                         ("dev", "memory", 1, 6, 1, 6, 6))
        tree = node.json("tree")
        self.assertEqual([s["id"] for s in tree], ["application"])
        self.assertEqual([c["id"] for c in tree[0]["children"]],
                         ["counter", "cache", "counter_a", "counter_b",
                          "session_store", "periodic_task"])
        names = ["cache", "counter", "counter_a", "counter_b", "periodic_task",
                 "session_store"]
        self.assertEqual([n["name"] for n in node.json("name", "list")], names)
        self.assertEqual(
            [n["name"]
             for n in node.json("name", "list", "--prefix", "counter_")],
            ["counter_a", "counter_b"])
        processes = node.json("process", "list")
        self.assertEqual(sorted(p["name"] for p in processes), names)
        self.assertEqual(len(node.json("process", "list", "--node", "dev")), 6)
        self.assertGreater(len(node.json("process", "list", "--system")), 6)
        nodes = node.json("node", "list")
        self.assertEqual([n["name"] for n in nodes], ["dev"])
        self.assertEqual(nodes[0]["address"], node.endpoint)
        self.assertEqual(sorted(nodes[0]["types"]),
                         ["cache", "counter", "periodic_task",
                          "session_store"])
        where = node.json("name", "whereis", "counter_a")
        self.assertEqual(sorted(where), ["epoch", "name", "node", "pid"])
        self.assertEqual(node.json("wait", "counter_a"), where)
        version = json.loads(harness.muster("version", "-o", "json").out)
        self.assertEqual(sorted(version), ["grpc", "muster", "protobuf"])
        self.assertEqual(version["muster"], status["version"])

    def test_an_empty_list_is_a_list(self):
        self.assertEqual(self.node.json("name", "list", "--prefix", "zzz"), [])

    def test_tables(self):
        for arguments in (("status",), ("tree",), ("node", "list"),
                          ("process", "list"), ("name", "list"),
                          ("name", "whereis", "cache"), ("version",)):
            result = self.node.run(*arguments)
            self.assertEqual((result.code, result.err), (0, ""))
            print("$ muster %s\n%s" % (" ".join(arguments), result.out))

    def test_wait_says_no(self):
        result = self.node.run("wait", "nobody", "--timeout", "300ms")
        self.assertEqual((result.code, result.out), (8, ""))
        self.assertIn("nobody does not run", result.err)

    def test_settings_from_the_environment(self):
        result = harness.muster("node", "list", environment={
            "MUSTER_ENDPOINT": self.node.endpoint, "MUSTER_OUTPUT": "json"})
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(len(json.loads(result.out)), 1)


class DevEndTest(unittest.TestCase):

    def test_interrupt_ends_it(self):
        node = harness.Node("dev", ["dev", "--listen", "127.0.0.1:0"],
                            harness.scratch("dev") + "/log")
        self.addCleanup(node.kill)
        node.wait_ready()
        self.assertEqual(node.end(signal.SIGINT, patience=10), 0, node.log())
        result = node.run("status")
        self.assertEqual((result.code, result.out), (5, ""))
        self.assertIn("is it running?", result.err)

    def test_interrupt_before_it_is_ready(self):
        node = harness.Node("dev", ["dev", "--listen", "127.0.0.1:0"],
                            harness.scratch("dev") + "/log")
        self.addCleanup(node.kill)
        # Whatever it is doing: it ends, in order or by the signal itself.
        self.assertIn(node.end(signal.SIGINT, patience=10),
                      (0, 130, -signal.SIGINT), node.log())

    def test_an_empty_cluster_has_empty_lists(self):
        node = harness.Node("a", ["node", "start", "--name", "a", "--listen",
                                  "127.0.0.1:0"],
                            harness.scratch("node") + "/log")
        self.addCleanup(node.kill)
        node.wait_ready()
        for arguments in (("tree",), ("name", "list"), ("process", "list")):
            self.assertEqual(node.json(*arguments), [])
            result = node.run(*arguments)
            self.assertEqual((result.code, result.out), (0, ""))
            self.assertNotEqual(result.err, "")
        self.assertEqual(node.end(), 0)


if __name__ == "__main__":
    unittest.main()
