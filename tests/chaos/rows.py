"""What rows of the fault matrix share: how they are declared, what proves that
their faults happened, figures."""

ROWS = {}


def row(name, title, how, trials, target, smoke=0, cluster=None, opt_in="",
        missing=None):
    """Registers a row: the fault and how it is injected, its trials, the figure
    to reach, and how many trials belong to the smoke (0: none).

    `cluster`: arguments of its Cluster. `opt_in`: why nobody runs it unasked.
    `missing()`: what this machine lacks for it; empty if nothing."""
    def register(function):
        ROWS[name] = {"function": function, "title": title, "how": how,
                      "trials": trials, "target": target, "smoke": smoke,
                      "cluster": cluster or {}, "opt_in": opt_in,
                      "missing": missing or (lambda: "")}
        return function
    return register


class Inconclusive(Exception):
    """The fault did not happen as meant."""


class Skipped(Exception):
    """This machine, or the product, lacks what the row needs."""


# What the row that runs has seen of its faults, with how often.
_evidence = {}


def happened(what, times=1):
    """Notes a proof that the fault happened."""
    _evidence[what] = _evidence.get(what, 0) + int(times)


def must_have_happened(what, times):
    """As happened(); nothing at all makes the row inconclusive."""
    if not times:
        raise Inconclusive("not so: " + what)
    happened(what, times)


def take_evidence():
    """All proofs since the last time."""
    taken = dict(_evidence)
    _evidence.clear()
    return taken


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def figures(values):
    """p50, p99 and maximum of a list, in its unit."""
    ordered = sorted(values)

    def at(share):
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return {"n": len(ordered), "p50": round(at(0.50), 1),
            "p99": round(at(0.99), 1), "max": round(ordered[-1], 1)}


class Trials:
    """What rows share: victims, probes, questions."""

    def __init__(self, cluster, rng):
        self.cluster = cluster
        self.rng = rng

    def victim(self):
        """A node that has names, and those names."""
        owned = {}
        for name, (node, _) in self.cluster.owners().items():
            owned.setdefault(node, []).append(name)
        node = self.rng.choice(sorted(owned))
        return node, sorted(owned[node])

    def probe(self, names, without=(), seconds=30):
        """Through nodes that clients can reach."""
        self.cluster.load.start("probe %d %s %s" % (
            seconds, self.cluster.endpoints(without), " ".join(names)))

    def probed(self):
        """Milliseconds until each answered, since the probe began."""
        answer = self.cluster.load.finish()
        late = [n for n, ms in answer["milliseconds"].items() if ms < 0]
        expect(not late, "never answered again: %s" % late)
        return answer

    def asked(self, names, endpoints=None):
        """What each name answers, asked once."""
        return self.cluster.load.ask("ask %s %s" % (
            endpoints or self.cluster.endpoints(), " ".join(names)))

    def counts(self):
        """What each name has counted."""
        answers = self.asked(self.cluster.names)
        bad = [a for a in answers if a["status"] != "OK"]
        expect(not bad, "cannot be asked: %s" % bad)
        return {a["name"]: a["count"] for a in answers}

    def steady(self, seconds, names, endpoints, load=None):
        """Figures of one calm caller: (ms figures as the load gives them, all
        answers by status)."""
        answer = (load or self.cluster.load).ask("steady %s %s %s" % (
            seconds, endpoints, " ".join(names)), patience=seconds + 60)
        return answer["ended"].get("OK"), answer["ended"]

    def state(self):
        """Who is a member and who has which name: what a fault that is to
        change nothing must leave as it was."""
        return self.cluster.owners(), self.cluster.members()

    def settle(self, without=()):
        self.cluster.await_members(without)
        self.cluster.await_running(without)
