"""What happened, and why: `muster event`, `explain`, `name history`."""

import json
import signal
import subprocess
import threading
import unittest

import harness
from harness import await_true

_KILLED = "killed by signal 9 (KILL)"


class JournalTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.stubs()

    def await_running(self, cluster):
        def running():
            for node in cluster.living():
                children = cluster.children(node)
                if len(children) != 6 or any(
                        c["state"] != "running" for c in children.values()):
                    return False
            return True
        await_true("all children run", running)

    def tail(self, node, *flags):
        """Follows events of `node` into a list, one dictionary each."""
        process = subprocess.Popen(
            [harness.MUSTER, "event", "tail", "-o", "json", "--endpoint",
             node.endpoint, *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        seen = []

        def read():
            for line in process.stdout:
                seen.append(json.loads(line))
        reader = threading.Thread(target=read)
        reader.start()

        def end():
            process.send_signal(signal.SIGINT)
            reader.join()
            process.stdout.close()
            return process.wait(20)
        self.addCleanup(process.kill)
        return seen, end

    def test_a_killed_node_is_explained(self):
        with harness.Cluster() as cluster:
            cluster.apply()
            self.await_running(cluster)
            before = cluster.children()["counter_a"]
            victim = cluster[before["node"]]
            entry = next(n for n in cluster.living() if n is not victim)
            epoch = {n["name"]: n["epoch"] for n in
                     entry.json("node", "list")}[victim.name]

            explained = entry.json("explain", "counter_a")
            self.assertEqual(explained["state"], "running")
            self.assertEqual(explained["name"]["node"], victim.name)
            self.assertEqual(explained["child"]["id"], "counter_a")
            self.assertIn("'counter_a' is on node '%s'" % victim.name,
                          explained["text"][0])
            seen, end_tail = self.tail(entry, "--name", "counter_a")
            # It has begun: what was is told first.
            await_true("the claim is told", lambda: any(
                e["record"]["kind"] == "name.claimed" for e in seen))

            victim.kill_node()

            def moved():
                child = cluster.children(entry)["counter_a"]
                return (child["state"] == "running" and
                        child["node"] != victim.name and child)
            after, _ = await_true("counter_a runs elsewhere", moved)

            def attested():
                return [e for e in entry.json("event", "list", "--kind",
                                              "node.attested")
                        if e["record"]["old_epoch"] == epoch]
            events, _ = await_true("its death is in the journal", attested)
            self.assertEqual(len(events), 1)
            death = events[0]["record"]
            self.assertEqual(death["node"], victim.name)
            self.assertEqual(death["evidence"]["wait_status"], _KILLED)

            explained = entry.json("explain", "counter_a")
            self.assertEqual(explained["name"]["node"], after["node"])
            self.assertGreater(explained["name"]["epoch"], before["epoch"])
            text = "\n".join(explained["text"])
            print(text)
            self.assertIn("moved from node '%s' to node '%s'" % (
                victim.name, after["node"]), text)
            self.assertIn("[wait_status: %s]" % _KILLED, text)
            page = entry.run("explain", "counter_a")
            self.assertEqual(page.code, 0, page.err)
            print(page.out)
            self.assertIn("counter_a: running", page.out)

            history = entry.json("name", "history", "counter_a")
            kinds = [e["record"]["kind"] for e in history]
            for kind in ("name.claimed", "node.attested", "name.moved"):
                self.assertIn(kind, kinds)
            self.assertLess(kinds.index("node.attested"),
                            kinds.index("name.moved"))
            revisions = [int(e["revision"]) for e in history]
            self.assertEqual(revisions, sorted(revisions))
            print(entry.run("name", "history", "counter_a").out)
            print(entry.run("event", "list", "--limit", "20").out)

            # The stream tells the same, in the same order, each once.
            await_true("the move was told", lambda: any(
                e["record"]["kind"] == "name.moved" for e in seen))
            self.assertEqual(end_tail(), 130)
            told = [(e["revision"], e["record"]["kind"]) for e in seen]
            self.assertEqual(len(told), len(set(told)))
            listed = [(e["revision"], e["record"]["kind"]) for e in
                      entry.json("event", "list", "--name", "counter_a")]
            self.assertEqual(told, listed[:len(told)])

            unknown = entry.run("explain", "nobody")
            self.assertEqual(unknown.code, 3, unknown.err)
            self.assertEqual(entry.json("event", "list", "--name", "nobody"),
                             [])

    def test_a_tail_ends_with_its_node(self):
        with harness.Cluster(("a",)) as cluster:
            node = cluster["a"]
            seen, _ = self.tail(node)
            await_true("the join is told", lambda: any(
                e["record"]["kind"] == "node.joined" for e in seen))
            # An open stream does not hold the node back.
            self.assertEqual(node.end(), 0, node.log())


if __name__ == "__main__":
    unittest.main()
