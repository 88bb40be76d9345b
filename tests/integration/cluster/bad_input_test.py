"""What is wrong is refused, with its code, reason and a message that helps
(issue 2, point 6): each case through the command line, the API or both."""

import json
import os
import re
import socket
import threading
import time
import unittest

import harness
from harness import error_of, named

_MIB = 1 << 20
_LOGGED = re.compile(r"^20\d\d-\S+ [DIWE] \[[a-z-]+\] .*\n", re.M)


class BadInputTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.stubs()
        cls.cluster = harness.Cluster(("a", "b"), odd=("odd",))
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.apply()
        cls.directory = harness.scratch("trees")
        cls.cluster.apply(cls.tree("odd", "supervisor: oddities\n"
                                   "intensity: 100\n"
                                   "children: [{id: fragile, type: crash}]\n"))
        # Through a node that hosts neither.
        child = cls.cluster.children()["counter_a"]
        cls.node = cls.cluster["b" if child["node"] == "a" else "a"]

    def setUp(self):
        # Whatever a test sends: no node may end of it.
        self.addCleanup(lambda: self.assertEqual(
            [n.name for n in self.cluster.living()], ["a", "b", "odd"]))

    @classmethod
    def tree(cls, name, text):
        path = "%s/%s.yaml" % (cls.directory, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def refused(self, exit_code, code, reason, words, *arguments, run=None,
                outcome="NOT_EXECUTED", **kwargs):
        """Asserts both forms of an error; the message."""
        run = run or self.node.run
        result = run(*arguments, **kwargs)
        self.assertEqual((result.code, result.out), (exit_code, ""), result)
        # Before it may stand what a node has logged, and nothing else.
        text = _LOGGED.sub("", result.err)
        self.assertTrue(text.startswith("muster: "), result.err)
        result = run(*arguments, "-o", "json", **kwargs)
        self.assertEqual((result.code, result.out), (exit_code, ""), result)
        line = _LOGGED.sub("", result.err)
        self.assertEqual(line.count("\n"), 1, result.err)
        error = json.loads(line)
        self.assertEqual((error["code"], error["reason"], error["outcome"]),
                         (code, reason, outcome), error)
        for word in words:
            self.assertIn(word, error["message"])
            self.assertIn(word, text)
        print(text.strip())
        return error["message"]

    # --- Trees ---------------------------------------------------------------

    def bad_tree(self, name, text, words, exit_code=2, code="INVALID_ARGUMENT",
                 reason="BAD_MANIFEST", outcome="NOT_EXECUTED"):
        before = self.node.json("tree")
        path = self.tree(name, text)
        self.refused(exit_code, code, reason, words, "apply", "-f", path,
                     outcome=outcome)
        self.assertEqual(self.node.json("tree"), before)
        return path

    def test_unknown_type(self):
        path = self.directory + "/unknown_type.yaml"
        self.bad_tree("unknown_type", "supervisor: s\nchildren:\n"
                      "  - id: one\n    type: countr\n",
                      [path + ":4:11: children[0].type", '"countr"',
                       "counter"])

    def test_duplicate_child_id(self):
        path = self.tree("dup", "")
        self.bad_tree("dup", "supervisor: s\nchildren:\n"
                      "  - {id: one, type: counter}\n"
                      "  - {id: one, type: counter, name: other}\n",
                      [path + ":4:", "children[1].id", '"one"'])

    def test_malformed_yaml(self):
        for name, text, line in [
                ("mapping", "supervisor: s\nchildren: {a: [\n", 3),
                ("tab", "supervisor: s\n\tchildren: []\n", 2),
                ("nothing", "", 1)]:
            with self.subTest(name):
                path = self.directory + "/" + name + ".yaml"
                self.bad_tree(name, text, ["%s:%d:" % (path, line)])

    def test_unknown_field(self):
        path = self.directory + "/field.yaml"
        self.bad_tree("field", "supervisor: s\nchildren:\n"
                      "  - {id: one, type: counter, restrat: permanent}\n",
                      [path + ":3:", "restrat", "restart"])

    def test_options_that_do_not_fit(self):
        for name, options, words in [
                ("unknown_option", "{initial: 1}", ["initial"]),
                ("wrong_kind", "{initial_value: many}", ["initial_value"])]:
            with self.subTest(name):
                self.bad_tree(name, "supervisor: s\nchildren:\n"
                              "  - {id: one, type: counter, options: %s}\n"
                              % options, ["%s/%s.yaml:3:39: children[0].options"
                                          % (self.directory, name)] + words)

    def test_name_that_is_taken(self):
        self.bad_tree("taken", "supervisor: s\nchildren:\n"
                      "  - {id: counter_a, type: counter}\n",
                      ["counter_a", "supervisor 'application'"], 4,
                      "ALREADY_EXISTS", "NAME_TAKEN")

    def test_strategy_that_is_none(self):
        path = self.directory + "/strategy.yaml"
        self.bad_tree("strategy", "supervisor: s\nstrategy: one_for_none\n"
                      "children: []\n", [path + ":2:11: strategy", "one_for_one"])

    def test_file_that_is_not_there(self):
        self.refused(2, "INVALID_ARGUMENT", "BAD_MANIFEST",
                     ["/nowhere.yaml", "is it there?"], "apply", "-f",
                     "/nowhere.yaml")

    # --- Names ---------------------------------------------------------------

    def process_call(self, name, method="/counter.v1.Counter/GetValue",
                     request=b"", rpc="Call"):
        from muster.process.v1 import process_pb2 as pb
        from muster.process.v1 import process_pb2_grpc
        with self.node.channel() as channel:
            stub = process_pb2_grpc.ProcessServiceStub(channel)
            if rpc == "WhereIs":
                return error_of(lambda: stub.WhereIs(
                    pb.WhereIsRequest(name=name), timeout=10))
            message = {"Call": pb.CallRequest, "Cast": pb.CastRequest}[rpc](
                method=method, request=request)
            message.server.SetInParent()
            message.server.MergeFrom(type(message.server)(**{"global": name}))
            return error_of(lambda: getattr(stub, rpc)(message, timeout=10))

    def stub_call(self, metadata, call=None, node=None):
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        with (node or self.node).channel() as channel:
            stub = counter_pb2_grpc.CounterStub(channel)
            return error_of(lambda: (
                call(channel) if call else stub.GetValue(
                    pb.GetValueRequest(), metadata=metadata, timeout=10)))

    def seen(self, error, code, reason, words, outcome="NOT_EXECUTED"):
        self.assertEqual((error.code, error.reason, error.outcome,
                          error.domain), (code, reason, outcome, "muster"),
                         error)
        for word in words:
            self.assertIn(word, error.message)
        print("%s %s: %s" % (error.code, error.reason, error.message))

    def test_name_with_a_nul(self):
        for rpc in ("Call", "Cast", "WhereIs"):
            self.seen(self.process_call("counter\0a", rpc=rpc),
                      "INVALID_ARGUMENT", "BAD_NAME",
                      ["\\x00", "at byte 7", "A-Z a-z 0-9"])
        # No argument of a program can have one; what comes closest.
        self.refused(2, "INVALID_ARGUMENT", "BAD_NAME", ["at byte 7"], "call",
                     "counter\x01a", "GetValue")
        # A manifest and the metadata of a call can.
        self.bad_tree("nul", 'supervisor: s\nchildren:\n'
                      '  - {id: one, name: "a\\0b", type: counter}\n',
                      ["children[0].name"])

    def test_name_of_300_bytes(self):
        name = "n" * 300
        for rpc in ("Call", "Cast", "WhereIs"):
            self.seen(self.process_call(name, rpc=rpc), "INVALID_ARGUMENT",
                      "BAD_NAME", ["300 bytes", "1 to 255 bytes"])
        self.seen(self.stub_call(named(name)), "INVALID_ARGUMENT", "BAD_NAME",
                  ["300 bytes"])
        for command in (("call", name, "GetValue"), ("cast", name, "Reset"),
                        ("name", "whereis", name), ("wait", name)):
            self.refused(2, "INVALID_ARGUMENT", "BAD_NAME",
                         ["300 bytes", "1 to 255 bytes"], *command)
        self.bad_tree("long", "supervisor: s\nchildren:\n"
                      "  - {id: one, name: %s, type: counter}\n" % name,
                      ["children[0].name"])

    def test_unknown_name(self):
        self.refused(3, "NOT_FOUND", "NOPROC", ["nobody"], "call", "nobody",
                     "GetValue")
        self.refused(3, "NOT_FOUND", "NOPROC", ["nobody"], "cast", "nobody",
                     "Reset")
        self.refused(3, "NOT_FOUND", "NOPROC", ["nobody"], "name", "whereis",
                     "nobody")
        self.seen(self.stub_call(named("nobody")), "NOT_FOUND", "NOPROC",
                  ["nobody"])
        for rpc in ("Call", "WhereIs"):
            self.seen(self.process_call("nobody", rpc=rpc), "NOT_FOUND",
                      "NOPROC", ["nobody"])

    def test_missing_metadata(self):
        for node in self.cluster.living():
            self.seen(self.stub_call((), node=node), "INVALID_ARGUMENT",
                      "NO_NAME", ["muster-name", "counter_a"])

    # --- Methods and messages ------------------------------------------------

    def raw(self, path, name="counter_a", body=b""):
        def call(channel):
            return channel.unary_unary(path)(body, metadata=named(name),
                                             timeout=10)
        return self.stub_call((), call)

    def test_service_that_the_type_does_not_implement(self):
        for name in ("counter_a", "fragile"):
            service = ("cache.v1.Cache" if name == "counter_a"
                       else "counter.v1.Counter")
            error = self.raw("/%s/GetValue" % service, name)
            self.seen(error, "UNIMPLEMENTED", "WRONG_SERVICE", [service, name])
        self.refused(2, "UNIMPLEMENTED", "WRONG_SERVICE",
                     ["counter.v1.Counter"], "call", "counter_a",
                     "cache.v1.Cache/Get")

    def test_unknown_method(self):
        for name, path in [("counter_a", "/counter.v1.Counter/Incremnt"),
                           ("fragile", "/crash.v1.Crash/Pong")]:
            self.seen(self.raw(path, name), "UNIMPLEMENTED", "UNKNOWN_METHOD",
                      [path.rsplit("/", 1)[1]])
        self.refused(2, "INVALID_ARGUMENT", "UNKNOWN_METHOD",
                     ["Incremnt", "Increment"], "call", "counter_a",
                     "Incremnt")

    def test_service_that_nobody_hosts(self):
        error = self.raw("/nobody.v1.Nobody/Do")
        self.assertEqual(error.code, "UNIMPLEMENTED", error)
        self.assertEqual(error.outcome, "NOT_EXECUTED", error)

    def test_call_of_a_cast_and_cast_of_a_call(self):
        self.refused(2, "INVALID_ARGUMENT", "UNKNOWN_METHOD", ["muster cast"],
                     "call", "counter_a", "Reset")
        self.refused(2, "INVALID_ARGUMENT", "UNKNOWN_METHOD", ["muster call"],
                     "cast", "counter_a", "Increment")
        error = self.process_call("counter_a", rpc="Cast")
        self.seen(error, "INVALID_ARGUMENT", "NOT_A_CAST", ["GetValue"])

    def test_json_that_does_not_fit(self):
        for request, words in [
                ('{"bye": 2}', ["bye", "by"]),
                ('{"by": "many"}', ["by"]),
                ('{"by": 2', []),
                ('[1]', []),
                ('', [])]:
            with self.subTest(request):
                self.refused(2, "INVALID_ARGUMENT", "BAD_JSON", words, "call",
                             "counter_a", "Increment", request)

    def test_bytes_that_are_no_message(self):
        body = b"\x08"
        error = self.raw("/counter.v1.Counter/Increment", body=body)
        self.seen(error, "INVALID_ARGUMENT", "MALFORMED",
                  ["counter.v1.IncrementRequest"])
        result = self.node.run("call", "counter_a", "GetValue")
        self.assertEqual(result.code, 0, result.err)

    def test_oversized_message(self):
        from examples.cache import cache_pb2 as pb
        from examples.cache import cache_pb2_grpc
        request = pb.PutRequest(key="big")
        request.value.string_value = "x" * (5 * _MIB)
        with self.node.channel() as channel:
            stub = cache_pb2_grpc.CacheStub(channel)
            error = error_of(lambda: stub.Put(request, metadata=named("cache"),
                                              timeout=30))
            # The connection and the server are as before.
            request.value.string_value = "x" * (3 * _MIB)
            stub.Put(request, metadata=named("cache"), timeout=30)
            response = stub.Get(pb.GetRequest(key="big"),
                                metadata=named("cache"), timeout=30)
            self.assertEqual(response.value, request.value)
            request.value.string_value = ""
            stub.Put(request, metadata=named("cache"), timeout=30)
        self.seen(error, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE",
                  [str(4 * _MIB)])
        error = self.process_call("cache", "/cache.v1.Cache/Put",
                                  b"x" * (5 * _MIB))
        self.seen(error, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE",
                  [str(4 * _MIB)])
        body = json.dumps({"key": "big", "value": "x" * (5 * _MIB)})
        self.refused(4, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE", [], "call",
                     "cache", "Put", "-", stdin=body)

    # --- Handlers ------------------------------------------------------------

    def test_handler_that_throws(self):
        for method, request, word in [
                ("ThrowNumber", "{}", ""),
                ("ThrowException", '{"what": "ouch"}', "ouch"),
                ("StopBecause", '{"why": "enough"}', "enough")]:
            for arguments in ([], ["-o", "json"]):
                ready = self.node.run("wait", "fragile", "--timeout", "20s")
                self.assertEqual(ready.code, 0, ready.err)
                result = self.node.run("call", "fragile", method, request,
                                       *arguments)
                self.assertEqual((result.code, result.out), (11, ""), result)
                self.assertIn(word, result.err)
            error = json.loads(result.err)
            self.assertEqual((error["code"], error["reason"],
                              error["outcome"]),
                             ("ABORTED", "CALLEE_EXITED", "UNKNOWN"), error)
            print(error["message"])
        self.assertTrue(self.cluster["odd"].lives())

    def test_handler_that_takes_too_long(self):
        ready = self.node.run("wait", "fragile", "--timeout", "20s")
        self.assertEqual(ready.code, 0, ready.err)
        self.refused(11, "DEADLINE_EXCEEDED", "TIMEOUT", [], "call", "fragile",
                     "Nap", '{"duration": "1s"}', "--timeout", "300ms",
                     outcome="UNKNOWN")

    def test_handlers_own_error(self):
        self.refused(3, "NOT_FOUND", "", ["no session has"], "call",
                     "session_store", "GetSession",
                     '{"session_id": "no_such_session"}', outcome="EXECUTED")
        self.refused(2, "OUT_OF_RANGE", "", ["64 bits"], "call", "counter_b",
                     "Increment", '{"by": "9223372036854775807"}',
                     outcome="EXECUTED")

    # --- Nodes ---------------------------------------------------------------

    def start(self, *flags):
        return lambda *more, **kwargs: harness.muster(
            "node", "start", *flags, *more, **kwargs)

    def test_wrong_store_address(self):
        store = "etcd://127.0.0.1:%d" % harness.closed_port()
        began = time.monotonic()
        self.refused(5, "UNAVAILABLE", "STORE_UNREACHABLE", [store[7:]],
                     run=self.start("--name", "new", "--cluster", "test",
                                    "--listen", "127.0.0.1:0", "--store",
                                    store))
        print("said so after %.1f s" % ((time.monotonic() - began) / 2))
        for store in ("etcd://", "etcd://127.0.0.1", "redis://127.0.0.1:1",
                      "etcd://127.0.0.1:99999"):
            with self.subTest(store):
                result = harness.muster("node", "start", "--name", "new",
                                        "--listen", "127.0.0.1:0", "--store",
                                        store)
                self.assertEqual((result.code, result.out), (2, ""), result)
                print(result.err.strip())

    def test_port_in_use(self):
        taken = self.node.endpoint
        self.refused(4, "FAILED_PRECONDITION", "ADDRESS_IN_USE", [taken],
                     run=self.start("--name", "new", "--cluster", "test",
                                    "--listen", taken, "--store",
                                    self.cluster.etcd.store))
        self.refused(4, "FAILED_PRECONDITION", "ADDRESS_IN_USE", [taken],
                     "--listen", taken,
                     run=lambda *more: harness.muster("dev", *more))

    def test_second_node_of_a_name(self):
        self.refused(4, "ALREADY_EXISTS", "NODE_EXISTS", ["'a'"],
                     run=self.start("--name", "a", "--cluster", "test",
                                    "--listen", "127.0.0.1:0", "--store",
                                    self.cluster.etcd.store))
        self.assertEqual(self.cluster["a"].run("status").code, 0)

    def test_plaintext_store_off_loopback(self):
        for store in ("etcd://192.0.2.1:2379",
                      self.cluster.etcd.store + ",192.0.2.1:2379"):
            self.refused(2, "INVALID_ARGUMENT", "NOT_LOOPBACK",
                         ["192.0.2.1:2379", "--store-tls-dir"],
                         run=self.start("--name", "new", "--cluster", "test",
                                        "--listen", "127.0.0.1:0", "--store",
                                        store))

    def test_listening_off_loopback(self):
        for listen in ("0.0.0.0:7001", "192.0.2.1:7001", "[::]:7001"):
            self.refused(2, "INVALID_ARGUMENT", "NOT_LOOPBACK",
                         [listen.rsplit(":", 1)[0], "loopback", "--tls-dir"],
                         run=self.start("--name", "new", "--listen", listen))
        self.refused(2, "INVALID_ARGUMENT", "NOT_LOOPBACK", ["loopback"],
                     "node", "list", "--endpoint", "192.0.2.1:7001",
                     run=harness.muster)

    def test_bad_node_and_cluster_names(self):
        for name in ("", "A", "a.b", "n" * 64, "a~b"):
            self.refused(2, "INVALID_ARGUMENT", "BAD_NAME", ["1 to 63 bytes"],
                         run=self.start("--name", name))
        self.refused(2, "INVALID_ARGUMENT", "BAD_NAME", ["cluster"],
                     run=self.start("--name", "new", "--cluster", "a/b"))

    def test_nobody_at_the_endpoint(self):
        endpoint = "127.0.0.1:%d" % harness.closed_port()
        self.refused(5, "UNAVAILABLE", "NODE_UNREACHABLE", [endpoint], "node",
                     "list", "--endpoint", endpoint, "--timeout", "2s",
                     run=harness.muster)

    def test_bad_usage(self):
        for arguments, word in [((), "no command"), (("nod", "list"), "node"),
                                (("node", "lst"), "list"),
                                (("node", "list", "--endpont", "x"),
                                 "--endpoint"),
                                (("call", "counter"), "METHOD"),
                                (("status", "-o", "xml"), "json"),
                                (("status", "--timeout", "soon"), "timeout")]:
            with self.subTest(arguments):
                result = harness.muster(*arguments)
                self.assertEqual((result.code, result.out), (2, ""), result)
                self.assertIn(word, result.err)

    # --- All at once ---------------------------------------------------------

    def test_garbage_on_the_port(self):
        host, port = self.node.endpoint.split(":")

        def send(data):
            with socket.create_connection((host, int(port)), timeout=5) as s:
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    s.settimeout(2)
                    while s.recv(4096):
                        pass
                except OSError:
                    pass  # Its right.

        samples = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, os.urandom(5000),
                   b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(3000)]
        threads = [threading.Thread(target=send, args=(s,)) for s in samples]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.node.run("status").code, 0)


if __name__ == "__main__":
    unittest.main()
