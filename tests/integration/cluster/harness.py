"""Starts real etcds and real nodes for a test, and talks to them.

Nodes take port 0 and say which they got, so tests may run side by side. Logs
and data are below TEST_TMPDIR. Only what was started here is ever ended; what a
dying test leaves behind ends with it.
"""

import collections
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import grpc

ROOT = os.path.dirname(os.path.realpath(__file__)).rsplit("/tests/", 1)[0]
MUSTER = os.environ["MUSTER"]


def sanitized():
    """Whether the program has sanitizers in it, which need descriptors too."""
    with open(MUSTER, "rb") as program:
        return b"__ubsan_" in program.read()


ODD_NODE = os.environ["ODD_NODE"]
APPLICATION = os.path.join(ROOT, "examples/application.yaml")
CLIENTS = os.path.join(ROOT, "examples/clients/python")

# Until something that must happen counts as not happening.
PATIENCE = 40

# Becomes the program, which ends with this test. No preexec_fn: it makes
# subprocess fork for real, and gRPC's threads do not survive that.
_ENDS_WITH_US = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"]


def scratch(prefix):
    """A new directory of this test."""
    return tempfile.mkdtemp(prefix=prefix + ".",
                            dir=os.environ.get("TEST_TMPDIR"))


def await_true(what, condition, patience=PATIENCE):
    """Waits until condition() is true and returns that; seconds it took too."""
    start = time.monotonic()
    while True:
        value = condition()
        if value:
            return value, time.monotonic() - start
        if time.monotonic() - start > patience:
            raise AssertionError("after %d s still not: %s" % (patience, what))
        time.sleep(0.05)


def closed_port():
    """A port of loopback on which nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class _Program:
    """Owns one OS process and its log."""

    def __init__(self, arguments, log):
        self.arguments = arguments
        self.log_path = log
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin",
                       "HOME": os.path.dirname(log)}
        # Written from here, so that a second run appends.
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                _ENDS_WITH_US + arguments, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, env=environment)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def lives(self):
        return self.process.poll() is None

    def kill(self):
        """kill -9."""
        if self.lives():
            self.process.kill()
        self.process.wait()

    def end(self, how=signal.SIGTERM, patience=20):
        """Ends it in order; its exit code."""
        if self.lives():
            self.process.send_signal(how)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s did not end within %d s of signal %d:\n%s"
                                 % (self.arguments[:3], patience, how,
                                    self.log()[-3000:])) from None


class Etcd:
    """A one-member etcd; `tls`: the directory of its certificate."""

    def __init__(self, tls=None):
        self._tls = tls
        scheme = "https" if tls else "http"
        for attempt in range(5):
            directory = scratch("etcd")
            # Below what the kernel hands out, so that only another etcd of
            # ours could come in between; then others are tried.
            port, peer = random.SystemRandom().sample(range(20000, 32000), 2)
            client_url = "%s://127.0.0.1:%d" % (scheme, port)
            peer_url = "http://127.0.0.1:%d" % peer
            self._program = _Program([
                "etcd", "--name=test", "--data-dir=%s/data" % directory,
                "--listen-client-urls=" + client_url,
                "--advertise-client-urls=" + client_url,
                "--listen-peer-urls=" + peer_url,
                "--initial-advertise-peer-urls=" + peer_url,
                "--initial-cluster=test=" + peer_url,
                "--logger=zap", "--log-level=warn",
            ] + ([
                "--client-cert-auth", "--trusted-ca-file=%s/ca.pem" % tls,
                "--cert-file=%s/cert.pem" % tls,
                "--key-file=%s/key.pem" % tls,
            ] if tls else []), directory + "/log")
            self.store = "etcd://127.0.0.1:%d" % port
            if self._serves(port):
                return
            self._program.kill()
        raise AssertionError("etcd does not start: " + self._program.log())

    def _serves(self, port):
        with channel_to("127.0.0.1:%d" % port, self._tls) as channel:
            ready = grpc.channel_ready_future(channel)
            for _ in range(100):
                if not self._program.lives():
                    return False
                try:
                    ready.result(timeout=0.1)
                    return True
                except grpc.FutureTimeoutError:
                    pass
        return False

    def kill(self):
        self._program.kill()


def channel_to(address, tls=None):
    """A stock channel, with the certificate in the directory `tls`."""
    if tls is None:
        return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    parts = []
    for name in ("ca.pem", "key.pem", "cert.pem"):
        with open(os.path.join(tls, name), "rb") as f:
            parts.append(f.read())
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*parts),
                               options=CHANNEL_OPTIONS)


Result = collections.namedtuple("Result", "code out err")


def muster(*arguments, stdin="", seconds=60, environment=None):
    """Runs the command line to its end."""
    done = subprocess.run(
        [MUSTER] + list(arguments), input=stdin, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=seconds, text=True,
        env=dict({"PATH": "/usr/bin:/bin"}, **(environment or {})))
    return Result(done.returncode, done.stdout, done.stderr)


class Node(_Program):
    """A node as an OS process, and the command line that asks it."""

    _SERVES = re.compile(r"serves on (127\.0\.0\.1:\d+)")

    def __init__(self, name, arguments, log, binary=MUSTER):
        self.name = name
        self.endpoint = None
        self.tls = None  # Whose certificate asks it.
        self._log_start = os.path.getsize(log) if os.path.exists(log) else 0
        super().__init__([binary] + arguments, log)

    def wait_ready(self):
        """Until it has joined; its endpoint."""
        def ready():
            if not self.lives():
                raise AssertionError("node %s ended with %s:\n%s" % (
                    self.name, self.process.returncode, self.log()[-3000:]))
            with open(self.log_path, "rb") as f:
                f.seek(self._log_start)
                match = self._SERVES.search(f.read().decode(errors="replace"))
            return match and match.group(1)
        self.endpoint, _ = await_true("node %s serves" % self.name, ready)
        return self.endpoint

    def run(self, *arguments, **kwargs):
        flags = ["--tls-dir", self.tls] if self.tls else []
        return muster(*arguments, "--endpoint", self.endpoint, *flags,
                      **kwargs)

    def json(self, *arguments):
        """Standard output of a command that must succeed, as JSON."""
        result = self.run(*arguments, "-o", "json")
        if result.code != 0:
            raise AssertionError("muster %s: exit %d: %s" % (
                " ".join(arguments), result.code, result.err))
        return json.loads(result.out)

    def channel(self):
        return channel_to(self.endpoint, self.tls)


    def node_pid(self):
        """The node's OS process, below its sentinel; 0 if there is none now."""
        path = "/proc/%d/task/%d/children" % (self.pid, self.pid)
        try:
            with open(path) as f:
                pids = f.read().split()
        except FileNotFoundError:
            return 0
        return int(pids[0]) if pids else 0

    def kill_node(self):
        """kill -9 of the node's OS process alone; its sentinel lives."""
        os.kill(self.node_pid(), signal.SIGKILL)


class Cluster:
    """An etcd and nodes on it; a context manager."""

    def __init__(self, names=("a", "b", "c"), odd=()):
        self._directory = scratch("cluster")
        self.nodes = {}
        self._all = []
        self.etcd = self.make_etcd()
        try:
            for name in names:
                self.start(name, wait=False)
            for name in odd:
                self.start(name, binary=ODD_NODE, wait=False)
            for node in self.nodes.values():
                node.wait_ready()
            self.await_members(names + tuple(odd))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show_logs()
        self.close()

    def make_etcd(self):
        return Etcd()

    def flags_of(self, _name):
        """Further flags of a node; whose certificate asks it."""
        return [], None

    def start(self, name, binary=MUSTER, wait=True, listen="127.0.0.1:0",
              flags=()):
        more, tls = self.flags_of(name)
        node = Node(name, ["node", "start", "--name", name, "--cluster", "test",
                           "--listen", listen, "--store", self.etcd.store,
                           *more, *flags],
                    "%s/%s.log" % (self._directory, name), binary)
        node.tls = tls
        self._all.append(node)
        self.nodes[name] = node
        if wait:
            node.wait_ready()
        return node

    def living(self):
        return [node for node in self.nodes.values() if node.lives()]

    def __getitem__(self, name):
        return self.nodes[name]

    def await_members(self, names):
        """Until every living node lists exactly these."""
        def agreed():
            return all(sorted(n["name"] for n in node.json("node", "list"))
                       == sorted(names) for node in self.living())
        return await_true("all list the nodes %s" % sorted(names), agreed)

    def apply(self, path=APPLICATION, node=None):
        result = (node or self.living()[0]).run("apply", "-f", path)
        if result.code != 0:
            raise AssertionError("apply: exit %d: %s\n%s" % (
                result.code, result.out, result.err))
        return result

    def children(self, node=None, supervisor="application"):
        """The children of a supervisor by id, as `tree` says."""
        for s in (node or self.living()[0]).json("tree"):
            if s["id"] == supervisor:
                return {child["id"]: child for child in s["children"]}
        raise AssertionError("no supervisor " + supervisor)

    def show_logs(self):
        for name, node in self.nodes.items():
            print("--- end of the log of %s (exit code %s)\n%s" % (
                name, node.process.poll(), node.log()[-3000:]),
                file=sys.stderr)

    def close(self):
        for node in self._all:
            node.kill()
        self.etcd.kill()


# --- Stock stubs -------------------------------------------------------------

# A proxy of the environment has no business on loopback, and a channel that
# shares connections with others proves less.
CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]

_stubs = None


def stubs():
    """Makes the Python stubs, once, and puts them on the path; where."""
    global _stubs
    if _stubs is None:
        _stubs = scratch("stubs")
        subprocess.run([CLIENTS + "/generate.sh", _stubs], check=True)
        plugin = shutil.which("grpc_python_plugin", path="/usr/bin:/bin")
        subprocess.run(
            ["protoc", "-I" + ROOT, "-I" + ROOT + "/proto",
             "--plugin=protoc-gen-grpc_python=" + plugin,
             "--python_out=" + _stubs, "--grpc_python_out=" + _stubs,
             "muster/core/v1/access.proto", "muster/core/v1/core.proto",
             "muster/process/v1/process.proto",
             "muster/cluster/v1/cluster.proto", "muster/store/v1/store.proto",
             "muster/admin/v1/admin.proto",
             "tests/integration/cluster/crash.proto"],
            check=True)
        sys.path.insert(0, _stubs)
    return _stubs


def named(name):
    return (("muster-name", name),)


ErrorSeen = collections.namedtuple(
    "ErrorSeen", "code reason outcome message metadata domain")


def error_of(call):
    """What call() fails with: the code, and google.rpc.ErrorInfo of ours."""
    from muster.core.v1 import core_pb2
    try:
        response = call()
    except grpc.RpcError as error:
        status = core_pb2.RpcStatus()
        info = core_pb2.ErrorInfo()
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status.ParseFromString(value)
        for detail in status.details:
            if detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo":
                info.ParseFromString(detail.value)
        if status.details and status.code != error.code().value[0]:
            raise AssertionError("the details say code %d, the status %s"
                                 % (status.code, error.code())) from None
        return ErrorSeen(error.code().name, info.reason,
                         info.metadata.get("outcome", ""), error.details(),
                         dict(info.metadata), info.domain)
    raise AssertionError("it must fail, and answered %r" % response)
