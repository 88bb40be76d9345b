"""muster supervisor ...: trees of every strategy, and children one at a time."""

import json
import os
import unittest

import harness

TREE = """\
supervisor: shop
strategy: rest_for_one
intensity: 5
period: 60s
children:
  - id: first
    type: counter
  - id: second
    type: counter
    placement: {pin: b}
  - id: third
    type: counter
    placement: {policy: hash}
"""


class SupervisorTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = harness.Cluster(("a", "b"))
        cls.addClassCleanup(cls.cluster.close)
        cls.tree = harness.scratch("tree") + "/shop.yaml"
        with open(cls.tree, "w") as f:
            f.write(TREE)
        cls.cluster.apply(cls.tree)

    def setUp(self):
        self.node = self.cluster["a"]

    def shop(self):
        return self.node.json("supervisor", "get", "shop")

    def child(self, child):
        found = [c for c in self.shop()["children"] if c["id"] == child]
        return found[0] if found else None

    def await_running(self, *children):
        harness.await_true("%s run" % (children,), lambda: all(
            self.child(c)["state"] == "running" for c in children))

    def test_it_shows_its_trees(self):
        shop = self.shop()
        self.assertEqual(shop["strategy"], "REST_FOR_ONE")
        self.assertEqual([c["id"] for c in shop["children"]][:3],
                         ["first", "second", "third"])
        self.assertEqual(self.child("second")["node"], "b")
        listed = self.node.json("supervisor", "list")
        self.assertIn("shop", [s["id"] for s in listed])
        text = self.node.run("supervisor", "list").out
        self.assertRegex(text, r"shop +running +[ab] +rest_for_one")
        self.assertIn("first", self.node.run("supervisor", "tree", "shop").out)
        missing = self.node.run("supervisor", "get", "shap")
        self.assertEqual(missing.code, 3)
        self.assertIn('did you mean "shop"?', missing.err)

    def test_a_crash_takes_those_after_it_along(self):
        self.await_running("first", "second", "third")
        before = {c["id"]: c["epoch"] for c in self.shop()["children"]}
        stopped = self.node.run("process", "stop", "second")
        self.assertEqual(stopped.code, 0, stopped.err)

        def again():
            now = {c["id"]: c for c in self.shop()["children"]}
            return all(now[c]["state"] == "running"
                       and now[c]["epoch"] != before[c]
                       for c in ("second", "third"))
        harness.await_true("second and third run anew", again)
        self.assertEqual(self.child("first")["epoch"], before["first"])

    def test_one_child_at_a_time(self):
        run = self.node.run
        self.await_running("first", "second", "third")
        added = self.node.json("supervisor", "start-child", "shop", "extra",
                               "--type", "counter", "--options",
                               '{"initial_value": 5}')
        self.assertIn(added["node"], ("a", "b"))
        value = run("call", "extra", "GetValue")
        self.assertEqual(value.code, 0, value.err)
        self.assertEqual(int(json.loads(value.out)["value"]), 5)
        again = run("supervisor", "start-child", "shop", "extra", "--type",
                    "counter")
        self.assertEqual(again.code, 4, again.err)

        # Nothing happens without a yes.
        asked = run("supervisor", "terminate-child", "shop", "extra")
        self.assertEqual((asked.code, asked.out), (10, ""), asked.err)
        self.assertIn("1 child of supervisor shop: extra", asked.err)
        dry = run("supervisor", "terminate-child", "shop", "extra", "--dry-run")
        self.assertEqual(dry.code, 0, dry.err)
        self.assertEqual(self.child("extra")["state"], "running")

        done = run("supervisor", "terminate-child", "shop", "extra", "--yes")
        self.assertEqual((done.code, done.out), (0, "terminated\n"), done.err)
        self.assertEqual(self.child("extra")["state"], "ended")
        self.assertEqual(run("call", "extra", "GetValue").code, 3)
        # It is in no manifest, so applying one leaves it alone.
        self.cluster.apply(self.tree)
        self.assertEqual(self.child("extra")["state"], "ended")
        started = run("supervisor", "restart-child", "shop", "extra")
        self.assertEqual(started.code, 0, started.err)
        self.assertEqual(self.child("extra")["state"], "running")
        running = run("supervisor", "delete-child", "shop", "extra", "--yes")
        self.assertEqual(running.code, 4, running.err)
        self.assertEqual(run("supervisor", "terminate-child", "shop", "extra",
                             "--yes").code, 0)
        deleted = run("supervisor", "delete-child", "shop", "extra", "--yes")
        self.assertEqual((deleted.code, deleted.out), (0, "deleted\n"),
                         deleted.err)
        self.assertIsNone(self.child("extra"))

    def test_a_child_that_fits_nowhere_says_why(self):
        path = os.path.join(os.path.dirname(self.tree), "far.yaml")
        with open(path, "w") as f:
            f.write("supervisor: far\nchildren:\n  - id: far\n"
                    "    type: counter\n    placement:\n"
                    "      require: {zone: mars}\n")
        applied = self.node.run("apply", "-f", path, "--no-wait")
        self.assertEqual(applied.code, 0, applied.err)

        def why():
            far = self.node.json("supervisor", "get", "far")["children"]
            return far and far[0]["state"] == "pending" and far[0]["detail"]
        reason, _ = harness.await_true("far is pending", why)
        self.assertEqual(reason,
                         'no node fits: a, b without the label zone="mars"')
        with open(path, "w") as f:
            f.write("supervisor: far\nchildren: []\n")
        self.assertEqual(self.node.run("apply", "-f", path).code, 0)

    def test_what_is_wrong_with_a_placement_has_its_place(self):
        path = os.path.join(os.path.dirname(self.tree), "bad.yaml")
        with open(path, "w") as f:
            f.write("supervisor: bad\nchildren:\n  - id: x\n"
                    "    type: counter\n    placement:\n"
                    "      policy: spread\n")
        bad = self.node.run("apply", "-f", path)
        self.assertEqual(bad.code, 2, bad.err)
        self.assertIn(path + ":6:7: children[0].placement.spread_by: is "
                      "missing", bad.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
