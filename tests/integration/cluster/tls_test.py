"""A cluster of OS processes over mutual TLS, to etcd too (guarantees section 9,
faults F33 and F34)."""

import json
import os
import signal
import threading
import time
import unittest

import harness
from harness import await_true, named


class Authority:
    """An authority made by the command line, and what it has issued."""

    def __init__(self, cluster="test"):
        self.dir = harness.scratch("authority")
        self._run("init", "--dir", self.dir + "/ca", "--trust-domain",
                  "example.org", "--cluster", cluster)

    @staticmethod
    def _run(*arguments):
        result = harness.muster("tls", *arguments)
        if result.code != 0:
            raise AssertionError("muster tls %s: exit %d: %s" % (
                arguments, result.code, result.err))

    def issue(self, role, name, *flags):
        """A directory with its certificate; again: another in its place."""
        out = "%s/%s-%s" % (self.dir, role, name)
        self._run("issue", "--ca", self.dir + "/ca", "--role", role, "--name",
                  name, "--out", out, "--san", "127.0.0.1", *flags)
        return out


class TlsCluster(harness.Cluster):
    """Nodes that know each other by certificates; etcd has an authority of its
    own."""

    def __init__(self, names=("a", "b", "c")):
        self.authority = Authority()
        self.store_authority = Authority("store")
        self.admin = self.authority.issue("admin", "root")
        super().__init__(names)

    def make_etcd(self):
        return harness.Etcd(self.store_authority.issue("etcd", "etcd"))

    def flags_of(self, name):
        return (["--tls-dir", self.authority.issue("node", name),
                 "--store-tls-dir", self.store_authority.issue("etcd", name)],
                self.admin)


class TlsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.stubs()

    def increment(self, channel, name, by=1, timeout=5):
        from examples.counter import counter_pb2 as pb
        from examples.counter import counter_pb2_grpc
        return counter_pb2_grpc.CounterStub(channel).Increment(
            pb.IncrementRequest(by=by), metadata=named(name),
            timeout=timeout).value

    def await_running(self, cluster):
        def running():
            children = cluster.children()
            return len(children) == 6 and all(
                child["state"] == "running" for child in children.values())
        await_true("all children run", running)

    def test_cluster(self):
        with TlsCluster() as cluster:
            cluster.apply()
            self.await_running(cluster)
            # A stock client reaches every server by every node.
            client = cluster.authority.issue("client", "shop")
            with cluster["a"].channel() as channel:
                expected = self.increment(channel, "counter_a")
            for node in cluster.living():
                with harness.channel_to(node.endpoint, client) as channel:
                    expected += 2
                    self.assertEqual(
                        self.increment(channel, "counter_a", 2), expected)
            self.refusals(cluster, client)
            self.rotation(cluster, client)
            # Names are taken over as ever.
            victim = cluster.children()["counter_a"]["node"]
            cluster[victim].kill()
            del cluster.nodes[victim]

            def answers():
                with cluster.living()[0].channel() as channel:
                    try:
                        return self.increment(channel, "counter_a")
                    except Exception:  # pylint: disable=broad-except
                        return 0
            await_true("counter_a runs again", answers)
            for node in cluster.living():
                self.assertEqual(node.end(signal.SIGTERM), 0)

    def test_a_restart_listens_where_it_did(self):
        """Not where the node advertises itself, which it could not bind."""
        with TlsCluster(()) as cluster:
            node = cluster.start("a", flags=("--advertise",
                                             "node-a.invalid:7"))

            def me():
                result = node.run("node", "list", "-o", "json")
                return result.code == 0 and json.loads(result.out)[0]
            before, _ = await_true("it serves", me)
            self.assertEqual(before["address"], "node-a.invalid:7")
            node.kill_node()

            def back():
                now = me()
                return now and now["epoch"] > before["epoch"] and now
            now, _ = await_true("it serves there again", back)
            self.assertEqual(now["address"], before["address"])

    def test_command_line(self):
        """`muster tls` with good and with bad input."""
        authority = Authority()
        ca = authority.dir + "/ca"

        def tls(code, *arguments):
            result = harness.muster("tls", *arguments)
            self.assertEqual(result.code, code, (arguments, result))
            self.assertNotIn("PRIVATE", result.out + result.err)
            return result
        self.assertEqual(os.stat(ca + "/ca-key.pem").st_mode & 0o777, 0o600)
        # Never a second authority in the place of the first.
        tls(4, "init", "--dir", ca, "--trust-domain", "example.org",
            "--cluster", "test")
        out = authority.dir + "/out"
        issue = ("issue", "--ca", ca, "--out", out)
        for flags in (("--role", "root", "--name", "a"),
                      ("--role", "node", "--name", "A"),
                      ("--role", "client", "--name", "../a"),
                      ("--role", "node", "--name", "a", "--days", "0x"),
                      ("--role", "node", "--name", "a", "--days", "-1"),
                      ("--role", "node", "--name", "a", "--days", "99999999"),
                      ("--role", "node", "--name", "a", "--san", "a b"),
                      ("--role", "node", "--name", "a", "--san",
                       "x,URI:spiffe://example.org/test/admin/r"),
                      ("--role", "etcd", "--name", "a"),
                      ("--role", "node", "--name", "a", "--cluster", "X"),
                      ("--role", "node")):
            tls(2, *issue, *flags)
        self.assertFalse(os.path.exists(out))
        self.assertIn(
            "No such file or directory; is --ca made by `muster tls init`?",
            tls(4, "issue", "--ca", authority.dir, "--out", out, "--role",
                "node", "--name", "a").err)
        os.mkdir(authority.dir + "/authority")
        self.assertIn("Is a directory", tls(
            4, "issue", "--ca", authority.dir, "--out", out, "--role", "node",
            "--name", "a").err)
        tls(0, *issue, "--role", "node", "--name", "a")
        self.assertEqual(os.stat(out + "/key.pem").st_mode & 0o777, 0o600)
        seen = json.loads(tls(0, "check", out, "-o", "json").out)
        self.assertEqual(seen["identity"], "spiffe://example.org/test/node/a")
        self.assertEqual(seen["days_left"], 89)
        self.assertFalse(seen["runs_out"])
        tls(8, "check", authority.dir)
        with open(out + "/ca.pem", "w") as f:
            f.write("garbage")
        self.assertIn("ca.pem", tls(8, "check", out).err)

    def refusals(self, cluster, client):
        """Exit code 7 and a reason, and nothing has happened."""
        node = cluster["a"]
        viewer = cluster.authority.issue("viewer", "eve")
        stranger = Authority()
        elsewhere = cluster.authority.issue("admin", "other", "--cluster",
                                            "other")

        def refused(tls, *arguments):
            result = harness.muster(*arguments, "--endpoint", node.endpoint,
                                    "--tls-dir", tls)
            self.assertEqual(result.code, 7, result)
            self.assertNotIn("PRIVATE", result.err)
            return result.err
        for tls in (client, viewer):
            self.assertIn("who may: operator, admin",
                          refused(tls, "apply", "-f", harness.APPLICATION))
        self.assertIn("may not call", refused(client, "node", "list"))
        self.assertIn("may not call", refused(
            viewer, "call", "counter_a", "Increment", "{}"))
        # Client and server each look at the other's certificate.
        self.assertIn("TLS", refused(stranger.issue("admin", "root"), "tree"))
        self.assertIn("wanted is a node of cluster 'other'",
                      refused(elsewhere, "tree"))
        plain = harness.muster("tree", "--endpoint", node.endpoint)
        self.assertEqual(plain.code, 5, plain)
        self.assertIn("refused: viewer 'eve' of cluster 'test' may not call",
                      node.log())
        self.assertIn("TLS: ", node.log())
        # A node with a name that is not its certificate's does not start.
        wrong = harness.muster(
            "node", "start", "--name", "z", "--cluster", "test", "--listen",
            "127.0.0.1:0", "--tls-dir",
            cluster.authority.dir + "/node-a")
        self.assertEqual(wrong.code, 4, wrong)
        self.assertIn("not node 'z'", wrong.err)
        # Nor one whose key everybody may read.
        loose = cluster.authority.issue("node", "loose")
        os.chmod(loose + "/key.pem", 0o644)
        self.assertEqual(harness.muster("tls", "check", loose).code, 8)
        readable = harness.muster(
            "node", "start", "--name", "loose", "--cluster", "test",
            "--listen", "127.0.0.1:0", "--tls-dir", loose)
        self.assertEqual(readable.code, 4, readable)
        self.assertIn("chmod 600", readable.err)
        # Changes are audited, what was refused is none.
        self.assertEqual(cluster.apply().code, 0)
        self.assertIn("audit: spiffe://example.org/test/admin/root "
                      "\"/muster.admin.v1.AdminService/Apply\"",
                      "".join(n.log() for n in cluster.living()))

    def rotation(self, cluster, client):
        """New leaves for all nodes and etcd's clients while calls run."""
        failed, calls, over = [], [0], threading.Event()

        def load(node):
            with harness.channel_to(node.endpoint, client) as channel:
                while not over.is_set():
                    try:
                        self.increment(channel, "counter_b")
                        calls[0] += 1
                    except Exception as error:  # pylint: disable=broad-except
                        failed.append(str(error))
        threads = [threading.Thread(target=load, args=(node,))
                   for node in cluster.living()]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        for name in cluster.nodes:
            cluster.authority.issue("node", name)
            cluster.store_authority.issue("etcd", name)

        def taken():
            return all(node.log().count("new certificates from") >= 2
                       for node in cluster.living())
        await_true("all nodes have new certificates", taken)
        self.assertLess(time.monotonic() - begun, 10)
        # Whoever connects now uses them.
        for node in cluster.living():
            self.assertEqual(len(node.json("node", "list")), 3)
        # Garbage changes nothing.
        alarms = cluster["a"].log().count("the old ones stay")
        with open(cluster.authority.dir + "/node-a/cert.pem", "w") as f:
            f.write("garbage")
        await_true("the alarm", lambda: cluster["a"].log().count(
            "the old ones stay") > alarms)
        self.assertEqual(len(cluster["a"].json("node", "list")), 3)
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])
        self.assertGreater(calls[0], 20)
        cluster.authority.issue("node", "a")


if __name__ == "__main__":
    unittest.main()
