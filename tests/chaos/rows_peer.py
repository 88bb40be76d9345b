"""Rows of hostile and broken peers: bad input, slow and greedy clients, wrong
certificates, and a node without file descriptors."""

import json
import os
import subprocess
import sys
import time

import cluster as cluster_module
from processes import (await_true, boot, cpu_seconds, descriptors, memory)
from rows import (Skipped, expect, figures, happened, must_have_happened, row)

_MIB = 1 << 20
_HOSTILE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "hostile.py")


class Attack:
    """A run of hostile.py where the clients are."""

    def __init__(self, t, attack, endpoint, *arguments, tls=None):
        command = [sys.executable, "-B", _HOSTILE, attack, endpoint,
                   tls or t.cluster.client_tls(), *map(str, arguments)]
        self._process = subprocess.Popen(
            t.cluster.star.command(cluster_module.CLIENTS, command),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self):
        """Its next line of output; waits for it."""
        text = self._process.stdout.readline()
        if not text:
            raise AssertionError("the attack failed: " +
                                 self._process.stderr.read()[-2000:])
        return json.loads(text)

    def result(self):
        result = self.line()
        self._process.wait(60)
        return result

    def kill(self):
        self._process.kill()
        self._process.wait()


def a_node(t):
    """A node that has names: it, its names, and its OS process."""
    name, names = t.victim()
    node = t.cluster.nodes[name]
    return node, names, node.node_pid()


def survived(node, pid, what):
    expect(node.node_pid() == pid, "the node ended under %s: %s" % (
        what, node.log()[-3000:]))


@row("F30", "bad input: frames, messages, names, metadata, flipped bits",
     "26 bad requests made by hand and 400 noisy connections a trial, by an "
     "authenticated client", 5,
     "0 crashes, the right status for each, memory grows at most 64 MiB")
def bad_input(t, trials):
    grown, wrong, inputs = [], [], 0
    for turn in range(trials):
        node, names, pid = a_node(t)
        endpoint = t.cluster.endpoint(node.name)
        before = memory(pid)[0]
        answer = Attack(t, "bad-input", endpoint, names[0]).result()
        inputs += answer["inputs"]
        wrong += answer["wrong"]
        survived(node, pid, "bad input")
        noise = Attack(t, "garbage", endpoint, turn, 400).result()
        for what, times in noise["did"].items():
            happened(what, times)
        survived(node, pid, "noise")
        grown.append((memory(pid)[0] - before) / _MIB)
    must_have_happened("bad requests answered", inputs)
    expect(not wrong, "not as it should be: %s" % sorted(set(wrong)))
    return {"grown_mib": round(max(grown), 1), "wrong_answers": len(wrong),
            "met": max(grown) <= 64}


# What is done, how many connections do it, and what of the attack's result
# proves it.
_ATTACKS = {
    "stalled": ("TCP connections that never begin TLS", 50, "opened"),
    "slowloris": ("headers that come a byte every half second", 50, "bytes"),
    "never-reads": ("calls whose answers nobody reads, SETTINGS never "
                    "acknowledged", 4, "calls"),
    "rapid-reset": ("calls that are reset as soon as they are sent", 1, "sent"),
    "ping-flood": ("PING frames without pause", 1, "sent"),
    "settings-flood": ("SETTINGS frames without pause", 1, "sent"),
    "header-bomb": ("header blocks without an end", 1, "sent"),
}
_SECONDS = 13


def _greedy_client(t, trials, attack_name):
    measured, ratios = {}, []
    _, count, proof = _ATTACKS[attack_name]
    for _ in range(trials):
        node, names, pid = a_node(t)
        endpoint = t.cluster.endpoint(node.name)
        before = memory(pid)[0]
        calm, _ = t.steady(3, names, endpoint)
        attack = Attack(t, attack_name, endpoint, _SECONDS, count)
        time.sleep(2)
        busy, outcomes = t.steady(5, names, endpoint)
        answer = attack.result()
        must_have_happened(proof, answer[proof])
        survived(node, pid, attack_name)
        measured = dict({w: n for w, n in answer.items() if w != proof},
                        others_p99_ms_calm_busy=[calm["p99"],
                                                 busy and busy["p99"]],
                        grown_mib=round((memory(pid)[1] - before) / _MIB))
        expect(set(outcomes) == {"OK"}, "another client failed: %s; %s" % (
            outcomes, measured))
        ratios.append(busy["p99"] <= max(2 * calm["p99"], calm["p99"] + 20))
        if attack_name == "stalled":
            expect(answer["closed"] == answer["opened"] and
                   answer["closed_after_s"][1] <= 12,
                   "stalled handshakes stay: %s" % answer)
    return dict(measured, met=all(ratios) and measured["grown_mib"] <= 256)


for _name, (_what, _count, _) in _ATTACKS.items():
    row("F31-" + _name, "a greedy client: " + _what,
        "%d connection%s of an authenticated client for %d s" % (
            _count, "s" if _count > 1 else "", _SECONDS), 5,
        "0 crashes, another client's p99 at most doubles (or 20 ms more), "
        "memory grows at most 256 MiB")(
            lambda t, trials, name=_name: _greedy_client(t, trials, name))


@row("F31-idle", "5,000 idle connections of one client",
     "5,000 TLS connections that say hello and no more, held for 5 s", 1,
     "0 crashes, others answer, at most 64 MiB are kept after")
def idle_connections(t, trials):
    held, grown, kept = [], [], []
    for _ in range(trials):
        node, names, pid = a_node(t)
        endpoint = t.cluster.endpoint(node.name)
        before = memory(pid)[0]
        attack = Attack(t, "idle", endpoint, 8, 5000)
        opened = attack.line()
        must_have_happened("idle connections were made", opened["held"] +
                           opened["refused"])
        held.append(opened["held"])
        _, outcomes = t.steady(3, names, endpoint)
        grown.append((memory(pid)[0] - before) / _MIB)
        attack.result()
        survived(node, pid, "idle connections")
        expect(set(outcomes) == {"OK"}, "another client failed: %s" % outcomes)
        await_true("their descriptors are given back",
                   lambda: descriptors(pid) < 300)
        kept.append((memory(pid)[0] - before) / _MIB)
    return {"held": held, "grown_mib": [round(g) for g in grown],
            "kept_mib": [round(k) for k in kept], "met": max(kept) <= 64}


# --- File descriptors --------------------------------------------------------


def _limit_descriptors(pid, limit):
    done = subprocess.run(["prlimit", "--pid", str(pid),
                           "--nofile=%s" % limit], stderr=subprocess.PIPE,
                          text=True)
    if done.returncode != 0:
        raise Skipped("prlimit: " + done.stderr.strip())


@row("F35", "a node runs out of file descriptors",
     "prlimit --nofile at what it has and 8 more, then 40 connections, for "
     "12 s", 10,
     "the node stays a member, its CPU grows by at most 20 % of a core, new "
     "connections at most 1 s after")
def no_descriptors(t, trials):
    spun, recovered = [], []
    for _ in range(trials):
        node, names, pid = a_node(t)
        endpoint = t.cluster.endpoint(node.name)
        before = t.state()
        calm = _cpu_share(pid, 3)
        used = descriptors(pid)
        _limit_descriptors(pid, "%d:20000" % (used + 8))
        try:
            attack = Attack(t, "idle", endpoint, 10, 40)
            opened = attack.line()
            must_have_happened("connections refused", opened["refused"])
            must_have_happened("the node said for want of what",
                               "refuses connections" in node.log())
            spun.append(_cpu_share(pid, 3) - calm)
            attack.result()
        finally:
            _limit_descriptors(pid, "20000:20000")
        survived(node, pid, "want of descriptors")
        began = boot()
        # A new connection: `probe` makes one.
        t.cluster.load.start("probe 20 %s %s" % (endpoint, names[0]))
        answer = t.cluster.load.finish()["milliseconds"][names[0]]
        if answer < 0:
            expect(False, "no new connection within 20 s after")
        recovered.append((boot() - began) / 1e6)
        expect(t.state() == before, "want of descriptors moved names")
    return {"cpu_more_percent": [round(100 * s) for s in spun],
            "recovered_ms": figures(recovered),
            "met": max(spun) <= 0.20 and max(recovered) <= 1000}


def _cpu_share(pid, seconds):
    """Cores that an OS process uses."""
    began, used = time.monotonic(), cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - used) / (time.monotonic() - began)


# --- Certificates -------------------------------------------------------------


def _openssl(*arguments, text=None):
    done = subprocess.run(["openssl", *arguments], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Skipped("openssl: " + done.stdout[-500:])


def _signed(t, name, uri, begin, end, ca=None):
    """A directory with a certificate of our CA (or another one's directory)
    that is good from `begin` to `end`, which are as in 20300101000000Z."""
    directory = "%s/wrong-%s" % (t.cluster.directory, name)
    os.makedirs(directory)
    ca = ca or t.cluster.directory + "/ca"
    config = directory + "/ca.cnf"
    with open(config, "w") as f:
        f.write("[ca]\ndefault_ca = d\n[d]\nnew_certs_dir = %s\n"
                "database = %s/index\nserial = %s/serial\n"
                "default_md = sha256\npolicy = p\nunique_subject = no\n"
                "[p]\ncommonName = optional\n[e]\n"
                "basicConstraints = critical,CA:false\n"
                "keyUsage = critical,digitalSignature\n"
                "extendedKeyUsage = clientAuth,serverAuth\n"
                "subjectAltName = URI:%s\n" % (directory, directory, directory,
                                               uri))
    open(directory + "/index", "w").close()
    with open(directory + "/serial", "w") as f:
        f.write("7777\n")
    key, request = directory + "/key.pem", directory + "/request.pem"
    _openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
             request, "-subj", "/CN=wrong")
    _openssl("ca", "-batch", "-config", config, "-extensions", "e", "-in",
             request, "-out", directory + "/cert.pem", "-notext", "-keyfile",
             _key_of(ca), "-cert", ca + "/ca.pem", "-startdate", begin,
             "-enddate", end)
    with open(t.cluster.directory + "/ca/ca.pem") as f:
        roots = f.read()
    with open(directory + "/ca.pem", "w") as f:
        f.write(roots)
    return directory


def _key_of(ca):
    return next(os.path.join(ca, f) for f in sorted(os.listdir(ca))
                if "key" in f)


@row("F33", "wrong certificates",
     "calls by hand: plaintext, none, another CA's, expired, not yet valid, "
     "another cluster's, no SPIFFE id, a role that may not call; a node's "
     "and an admin's, which may, as control", 3,
     "100 % refused, the controls served, nothing in plaintext", smoke=1)
def wrong_certificates(t, trials):
    trust = "spiffe://muster.test/"
    good = trust + t.cluster.NAME
    past, now, future = ("20200101000000Z", "20250101000000Z",
                         "20990101000000Z")
    stranger = cluster_module.Tls(t.cluster.binaries["muster"],
                                  t.cluster.directory + "/stranger",
                                  t.cluster.NAME)
    cases = {
        "plaintext": "plain",
        "no certificate": "-",
        "another CA": _signed(t, "ca", good + "/client/x", now, future,
                              t.cluster.directory + "/stranger/ca"),
        "expired": _signed(t, "expired", good + "/client/x", past, now),
        "not yet valid": _signed(t, "early", good + "/client/x",
                                 "20980101000000Z", future),
        "another cluster": _signed(t, "cluster", trust + "other/client/x", now,
                                   future),
        "another trust domain": _signed(
            t, "domain", "spiffe://else.test/%s/client/x" % t.cluster.NAME,
            now, future),
        "no SPIFFE id": _signed(t, "id", "https://muster.test/x", now, future),
        "an unknown role": _signed(t, "role", good + "/emperor/x", now,
                                   future),
        "a viewer": t.cluster.tls.issue("viewer", "onlooker"),
    }
    controls = {"a client": t.cluster.client_tls(),
                "an admin": t.cluster.tls.directory("admin", "operator"),
                "ours by hand": _signed(t, "good", good + "/client/x", now,
                                        future)}
    del stranger
    served, refused = [], {}
    for _ in range(trials):
        node, names, pid = a_node(t)
        endpoint = t.cluster.endpoint(node.name)
        for what, tls in cases.items():
            answer = Attack(t, "enter", endpoint, names[0], tls=tls).result()
            if answer["served"]:
                served.append(what)
            refused[what] = answer["why"][:80]
            happened("tried to enter with a wrong certificate")
        for what, tls in controls.items():
            answer = Attack(t, "enter", endpoint, names[0], tls=tls).result()
            must_have_happened("control served: " + what, answer["served"])
        survived(node, pid, "wrong certificates")
    expect(not served, "served all the same: %s" % served)
    return {"refused": refused, "served": len(served), "met": True}
