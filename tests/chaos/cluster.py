"""A cluster under test: etcd, nodes and clients, each in a place of a Star."""

import json
import os
import queue
import subprocess
import tempfile
import threading

import processes
import star
from processes import await_true

NODE_PORT = 7700
# Clients and the command line run here.
CLIENTS = "clients"


class Tls:
    """Certificates of one run, made with the command line under test."""

    def __init__(self, muster, directory, cluster):
        self._muster = muster
        self._directory = directory
        self._ca = directory + "/ca"
        os.makedirs(directory, exist_ok=True)
        self._run("tls", "init", "--dir", self._ca, "--trust-domain",
                  "muster.test", "--cluster", cluster)

    def _run(self, *arguments):
        done = subprocess.run([self._muster, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        if done.returncode != 0:
            raise RuntimeError("muster %s: %s" % (" ".join(arguments),
                                                  done.stdout))

    def issue(self, role, name, *more):
        """Directory with ca.pem, cert.pem and key.pem of one identity."""
        out = self.directory(role, name)
        self._run("tls", "issue", "--ca", self._ca, "--role", role, "--name",
                  name, "--out", out, *more)
        return out

    def directory(self, role, name):
        return "%s/%s-%s" % (self._directory, role, name)


class Load:
    """Client sessions; asks them for probes. Without calls and casts there are
    no sessions, only what is asked for."""

    def __init__(self, cluster, binary, record, names, calls, casts,
                 session="load"):
        self._program = processes.Program(
            cluster.star, CLIENTS,
            [binary, "--endpoints", cluster.endpoints(), "--prefix",
             cluster.PREFIX, "--names", str(names), "--record", record,
             "--session", session, "--calls", str(calls), "--casts",
             str(casts)] + (["--sessions", "0"] if calls + casts == 0 else
                            ["--contested"] + cluster.CONTESTED) +
            cluster.client_flags(),
            record + ".log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._program.process.stdout:
            self._answers.put(json.loads(line))

    def start(self, command):
        self._program.process.stdin.write((command + "\n").encode())
        self._program.process.stdin.flush()

    def finish(self, patience=120):
        return self._answers.get(timeout=patience)

    def ask(self, command, patience=120):
        self.start(command)
        return self.finish(patience)

    def end(self):
        """Lets what is under way end."""
        self._program.process.stdin.close()
        if self._program.process.wait(60) != 0:
            raise AssertionError("the clients failed: " + self._program.log())

    def kill(self):
        self._program.kill()


class Cluster:
    """Nodes a, b, ... on a three-member etcd; a context manager.

    `names` servers `n0`, `n1`, ... run under supervisors of 25 children."""

    PREFIX = "n"
    NAME = "nemesis"
    # Names that processes of the nodes fight for (contender.h).
    CONTESTED = ["contested/%d" % i for i in range(3)]

    def __init__(self, binaries, nodes=5, names=50, members=3, calls=200,
                 casts=200, etcd_flags=(), node_extras=None):
        """`node_extras(cluster, name)`: what a node's start has beyond the
        usual: its `prefix`, a command that runs it, its `flags` and its
        `environment`; its `log`, if that is in a mount namespace of its own."""
        self.binaries = binaries
        self.directory = tempfile.mkdtemp(prefix="nemesis.",
                                          dir=os.environ.get("TEST_TMPDIR"))
        self.node_names = [chr(ord("a") + i) for i in range(nodes)]
        self.names = [self.PREFIX + str(i) for i in range(names)]
        self._etcd_names = ["etcd%d" % i for i in range(members)]
        self.nodes = {}
        self.etcd = self.load = self._follower = None
        self._notes = open(self.record("harness"), "a", buffering=1)
        self._load_rates = (calls, casts)
        self._node_extras = node_extras or (lambda cluster, name: {})
        self._started = []
        self._more_loads = []
        self.star = star.Star(self.node_names + self._etcd_names + [CLIENTS])
        try:
            self._certificates()
            self.etcd = processes.Etcd(self.star, self._etcd_names,
                                       self.directory, self.tls,
                                       etcd_flags)
            self._follow_store()
            for name in self.node_names:
                self.start_node(name)
            for name in self.node_names:
                self.await_joined(name)
            self._apply()
            self.start_load()
        except BaseException:
            self.show_logs()
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show_logs()
        self.close()

    def close(self):
        for program in [self.load, self._follower] + self._more_loads + \
                self._started + [self.etcd]:
            if program is not None:
                program.kill()
        self.star.close()

    # --- Parts ---------------------------------------------------------------

    def _certificates(self):
        self.tls = Tls(self.binaries["muster"], self.directory, self.NAME)
        for role, names in (("node", self.node_names),
                            ("etcd", self._etcd_names)):
            for name in names:
                self.tls.issue(role, name, "--san", self.star.address(name))
        self._store_client = self.tls.issue("etcd", "client", "--san",
                                             "client")
        self._admin = self.tls.issue("admin", "operator")
        self._client = self.tls.issue("client", "load")

    def client_flags(self):
        return ["--tls-dir", self._client]

    def client_tls(self):
        """Directory of the clients' certificate."""
        return self._client

    def endpoint(self, name):
        return "%s:%d" % (self.star.address(name), NODE_PORT)

    def endpoints(self, without=()):
        return ",".join(self.endpoint(n) for n in self.node_names
                        if n not in without)

    def start_node(self, name, sentinel=True):
        extras = self._node_extras(self, name)
        node = processes.Node(
            name, self.star, extras.get("prefix", []) +
            [self.binaries["node"], "node", "start", "--name", name,
             "--cluster", self.NAME, "--listen", self.endpoint(name),
             "--store", "etcd://" + self.etcd.addresses(),
             "--tls-dir", self.tls.directory("node", name),
             "--store-tls-dir", self._store_client] +
            ([] if sentinel else ["--no-sentinel"]) + extras.get("flags", []),
            "%s/%s.log" % (self.directory, name),
            dict({"CHAOS_RECORD": self.record(name)},
                 **extras.get("environment", {})))
        if "log" in extras:
            node.log_path = "/proc/%d/root%s" % (node.pid, extras["log"])
        self.nodes[name] = node
        self._started.append(node)
        return node

    def await_joined(self, name, times=1):
        node = self.nodes[name]

        def joined():
            if not node.lives():
                raise AssertionError("node %s ended: %s" % (
                    name, node.log()[-2000:]))
            return node.joined() >= times
        await_true("node %s joins" % name, joined)

    def record(self, name):
        return "%s/%s.jsonl" % (self.directory, name)

    def note(self, kind, **fields):
        """Records an event of tests/checkers/event.h, now."""
        self._notes.write(json.dumps(dict(at=processes.boot(), kind=kind,
                                          **fields)) + "\n")

    def _follow_store(self):
        self._follower = processes.Program(
            self.star, CLIENTS,
            [self.binaries["follow"], "--store",
             "etcd://" + self.etcd.addresses(), "--cluster", self.NAME,
             "--record", self.record("store"), "--tls-dir",
             self._store_client],
            self.directory + "/store.log", stdin=subprocess.PIPE)

    def end_records(self):
        """Writes what runs at the end, lets what is under way end, ends the
        nodes, and returns the files."""
        self.await_members()
        children = self.await_running()
        self.note("phase", op="heal")
        for load in [self.load] + self._more_loads:
            load.end()
        for name, child in children.items():
            self.note("running", key=name, node=child["node"])
        self.note("phase", op="end")
        self._follower.process.stdin.close()
        if self._follower.process.wait(20) != 0:
            raise AssertionError("the journal was not followed: " +
                                 self._follower.log())
        # Their contenders go on otherwise; what those have under way is nobody's
        # question any more.
        for node in self.nodes.values():
            node.kill()
        for session in self._contenders():
            self.note("gone", session=session)
        self._notes.close()
        return sorted(os.path.join(self.directory, f)
                      for f in os.listdir(self.directory)
                      if f.endswith(".jsonl"))

    def _contenders(self):
        sessions = set()
        for name in self.node_names:
            if os.path.exists(self.record(name)):
                with open(self.record(name)) as f:
                    sessions |= {json.loads(line)["session"] for line in f
                                 if '"kind":"invoke"' in line}
        return sorted(sessions)

    def another_load(self, session):
        """A load without sessions of its own, for what is asked beside the
        first."""
        load = Load(self, self.binaries["load"], self.record(session),
                    len(self.names), 0, 0, session)
        self._more_loads.append(load)
        return load

    def start_load(self):
        calls, casts = self._load_rates
        self.load = Load(self, self.binaries["load"], self.record("load"),
                         len(self.names), calls, casts)

    def _apply(self):
        for first in range(0, len(self.names), 25):
            names = self.names[first:first + 25]
            path = "%s/tree%d.yaml" % (self.directory, first)
            with open(path, "w") as f:
                # Nodes are killed on purpose: that is not what intensity is
                # for.
                f.write("supervisor: tree%d\nintensity: 1000\nperiod: 1s\n"
                        "children:\n" % first)
                for name in names:
                    f.write("  - {id: %s, type: ledger}\n" % name)
            self.run("apply", "-f", path)
            for name in names:
                self.note("wanted", key=name, session="tree%d" % first)
        self.await_running()

    def show_logs(self):
        for program in self._started:
            print("--- end of the log of %s\n%s" % (program.name,
                                                    program.log()[-2500:]),
                  flush=True)

    # --- Questions -----------------------------------------------------------

    def resent(self):
        """TCP segments that nodes have sent again so far."""
        return sum(self.star.resent(name) for name in self.node_names)

    def run(self, *arguments, without=(), timeout="10s"):
        """Runs the command line where the clients are; its standard output."""
        done = subprocess.run(
            self.star.command(CLIENTS, [
                self.binaries["muster"], *arguments, "--endpoint",
                self.endpoints(without), "--tls-dir", self._admin,
                "--timeout", timeout]),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=90, env={"PATH": "/usr/sbin:/usr/bin:/bin"})
        if done.returncode != 0:
            raise RuntimeError("muster %s: exit %d: %s" % (
                " ".join(arguments), done.returncode, done.stderr))
        return done.stdout

    def json(self, *arguments, **kwargs):
        return json.loads(self.run(*arguments, "-o", "json", **kwargs))

    def members(self, without=()):
        return {n["name"]: n["epoch"]
                for n in self.json("node", "list", without=without)}

    def await_rejoined(self, name, epoch):
        """Until a node is a member with another epoch than this."""
        def anew():
            try:
                return self.members().get(name, epoch) != epoch
            except RuntimeError:
                return False  # The node that was asked is itself joining.
        await_true("%s has joined anew" % name, anew)

    def owners(self, without=()):
        """Of every name of the run: (node, epoch)."""
        listed = self.json("name", "list", without=without)
        return {n["name"]: (n["node"], n["epoch"]) for n in listed
                if n["name"].startswith(self.PREFIX)}

    def children(self, without=()):
        return {c["name"]: c for s in self.json("tree", without=without)
                for c in s["children"]}

    def await_running(self, without=()):
        """Until every name runs on a node that lives; all children then."""
        def running():
            try:
                children = self.children(without)
                alive = self.members(without)
            except RuntimeError:
                return None
            if (sorted(children) == sorted(self.names) and
                    all(c["state"] == "running" and c["node"] in alive
                        for c in children.values())):
                return children
            return None
        return await_true("all children run", running, step=0.1)

    def await_members(self, without=()):
        def all_there():
            try:
                return sorted(self.members(without)) == self.node_names
            except RuntimeError:
                return False
        await_true("all nodes are members", all_there, step=0.1)
