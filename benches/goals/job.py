"""P1 to P4: the same job for nudged and all its peers, in turn, in one run."""

import statistics

from . import host, peers
from .servers import Redis
from .table import missing, row
from .traffic import cpu_per_request, fill, in_turn, ratio

# What each goal needs measured.
NEEDS = {
    "P1": ["floor", "bare ring", "nudged, nothing"],
    "P2": ["may_minihttp", "nudged, embedded"],
    "P3": ["floor", "axum, constant", "nudged + Redis", "axum + Redis", "nginx + Lua + Redis"],
    "P4": ["nudged + Redis", "FastAPI + Redis"],
}


class Job:
    """The servers of the goals that are wanted, and a measure for each."""

    def __init__(self, bench, wanted):
        peers.end_build(bench.peers_build)
        self.bench, self.folder = bench, bench.folder / "job"
        self.folder.mkdir()
        self.servers, self.why, self.count = {}, {}, 0
        names = [name for goal in wanted for name in NEEDS[goal]]
        self.names = list(dict.fromkeys(names))
        for name in self.names:
            try:
                self.servers[name] = self.start(name)
            except host.Unavailable as reason:
                self.lose(name, str(reason))
            except RuntimeError as failure:  # the other goals can still be measured
                bench.has_failed = True
                self.lose(name, f"failed: {failure}")

    def lose(self, name, why):
        host.note(f"{name}: {why}")
        self.why[name] = why.strip().splitlines()[0]

    def start(self, name):
        bench, folder = self.bench, self.folder
        if name == "floor":
            return bench.floor()
        if name == "bare ring":
            return bench.keep(peers.bare_ring(bench, folder))
        if name == "may_minihttp":
            return bench.keep(peers.may_minihttp(bench, folder))
        if name == "axum, constant":
            return bench.keep(peers.axum(bench, folder, None))
        if name in ("nudged, nothing", "nudged, embedded"):
            return bench.embedded()
        if name == "nudged + Redis":
            return self.start_nudged_with_redis()
        redis = self.plain_redis()
        if name == "axum + Redis":
            return bench.keep(peers.axum(bench, folder, redis))
        if name == "nginx + Lua + Redis":
            return bench.keep(peers.Nginx(folder, redis))
        return bench.keep(peers.fastapi(folder, redis))

    def start_nudged_with_redis(self):
        node = self.bench.with_redis()
        fill(node, self.bench.users, 8)
        return node

    def plain_redis(self):
        """One for all peers: only one of them is asked at a time."""
        if not hasattr(self, "redis"):
            self.redis = self.bench.keep(Redis("redis-peers", self.folder / "redis", plain=True))
            peers.know(self.redis, self.bench.users)
        return self.redis

    def measure(self, name):
        bench, server = self.bench, self.servers[name]
        self.count += 1
        is_constant = name in ("floor", "bare ring", "axum, constant", "nudged, nothing")
        script = "decide.lua" if is_constant else "mixed.lua"
        before = self.shown(name)
        cost, count = cpu_per_request(
            server,
            script,
            bench.seconds,
            bench.connections,
            NUDGED_KNOWN="known-0",
            NUDGED_USERS=bench.users,
            NUDGED_ROUND=f"job-{self.count}",
        )
        share = (self.shown(name) - before) / count
        wanted = 0.0 if is_constant or name == "may_minihttp" else 0.03
        if abs(share - wanted) > 0.005:
            raise RuntimeError(f"{name}: {share:.1%} of its answers were shows")
        return cost

    def shown(self, name):
        """Shows that have been recorded so far: what makes it the same job."""
        server = self.servers[name]
        if name.startswith("nudged"):
            return server.metric("decisions_shown_total")
        return int(server.beside[0].send("LLEN", "shows")) if server.beside else 0

    def run(self):
        for name in self.servers:  # caches, allocators and branch predictors
            self.measure(name)
        measures = {name: lambda name=name: self.measure(name) for name in self.servers}
        found = in_turn(self.bench.rounds, measures)
        for name, values in found.items():
            self.bench.costs[name] = statistics.median(values)
        return found


def rows(bench, wanted):
    host.note(f"the job: {', '.join(wanted)}")
    job = Job(bench, wanted)
    found = job.run()
    made = []
    for goal in wanted:
        lost = [f"{name}: {job.why[name]}" for name in NEEDS[goal] if name in job.why]
        optional = [reason for reason in lost if reason.startswith("nginx")]
        if len(lost) > len(optional):
            made.append(missing(goal, "; ".join(lost)))
        else:
            made += ROWS[goal](found)
            made += [missing(goal, reason) for reason in optional]
    return made


def first(found):
    own = found["nudged, nothing"]
    return [
        row("P1", "CPU of a decision from the slice / our floor", ratio(own, found["floor"]), 1.04),
        row(
            "P1",
            "CPU of a decision from the slice / a bare ring with httparse",
            ratio(own, found["bare ring"]),
            1.12,
        ),
        row("P1", "our floor / the bare ring", ratio(found["floor"], found["bare ring"]), 1.077),
    ]


def second(found):
    figure = ratio(found["nudged, embedded"], found["may_minihttp"])
    return [
        row("P2", "CPU of the job, embedded, ack = written / may_minihttp constant", figure, 1.0)
    ]


def third(found):
    own, peer = found["nudged + Redis"], found["axum + Redis"]
    own_job = [a - b for a, b in zip(own, found["floor"])]
    peer_job = [a - b for a, b in zip(peer, found["axum, constant"])]
    made = [
        row("P3", "CPU of the job, nudged + its Redis / axum + its Redis", ratio(own, peer), 0.40),
        row("P3", "the same above each side's constant answer", ratio(own_job, peer_job), 0.20),
    ]
    if "nginx + Lua + Redis" in found:
        figure = ratio(own, found["nginx + Lua + Redis"])
        made.append(
            row("P3", "CPU of the job, nudged + its Redis / nginx + Lua + its Redis", figure)
        )
    return made


def fourth(found):
    figure = ratio(found["nudged + Redis"], found["FastAPI + Redis"])
    return [
        row(
            "P4", "CPU of the job, nudged + its Redis / FastAPI + its Redis", figure, 0.02, digits=3
        )
    ]


ROWS = {"P1": first, "P2": second, "P3": third, "P4": fourth}
