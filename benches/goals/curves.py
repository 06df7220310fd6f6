"""What the pictures show: latency against load for all peers, and what a decision costs against
connections, users, popups and shards."""

import statistics

from . import host, node, open_loop, peers
from .host import ROOT
from .job import Job
from .pictures import picture
from .servers import Nudged
from .traffic import cpu_per_request, fill

RATES = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000]
PEERS = {
    "floor": "floor",
    "may_minihttp": "may_minihttp (constant)",
    "nudged, embedded": "nudged",
    "nudged + Redis": "nudged + Redis",
    "axum + Redis": "axum + Redis",
    "nginx + Lua + Redis": "nginx + Lua + Redis",
    "FastAPI + Redis": "FastAPI + Redis",
}
# A curve ends where the server answers less than this share of what is asked.
REACHED = 0.97


def cost(bench, server, users, connections, prefix="known-0", query=""):
    """The median of three measurements."""
    settings = {"NUDGED_KNOWN": prefix, "NUDGED_USERS": users, "NUDGED_QUERY": query}
    return statistics.median(
        cpu_per_request(server, "decide.lua", bench.seconds, connections, **settings)[0]
        for _ in range(1 if bench.is_smoke else 3)
    )


def latency(bench):
    """Points (requests/s, p99 in ms) of each peer, as far as it keeps up."""
    job, found = Job(bench, ["P1", "P2", "P3", "P4"]), {}
    rates = RATES[:2] if bench.is_smoke else RATES
    for name, shown in PEERS.items():
        if name not in job.servers:
            continue
        server, points = job.servers[name], []
        if name.startswith("nudged"):
            fill(server, bench.users, 8, prefix="user")
        elif server.beside:
            peers.know(server.beside[0], bench.users, prefix="user")
        for rate in rates:
            figures = open_loop.finish(
                open_loop.start(
                    bench,
                    server,
                    rate,
                    bench.connections,
                    bench.seconds,
                    "--warm-up",
                    1,
                    "--shows-percent",
                    3,
                    "--shows-each",
                    8,
                )
            )
            if not open_loop.is_answered(figures, REACHED * rate) and not bench.is_smoke:
                break
            points.append((rate, figures["decisions"]["p99_us"] / 1e3))
        found[shown] = points
    return found


def connections(bench):
    servers = {"nudged": bench.embedded(), "floor": bench.floor()}
    counts = (1, 8) if bench.is_smoke else (1, 4, 16, 64, 256, 1_024, 4_096)
    return {
        name: [(count, cost(bench, server, bench.users, count)) for count in counts]
        for name, server in servers.items()
    }


def users(bench):
    one = node.many_popups(1)
    server = bench.keep(
        Nudged("users", bench, bench.folder / "users", 'slice_bytes = "2GiB"\n', one)
    )
    points = []
    for count in (100, 200) if bench.is_smoke else (1_000, 10_000, 100_000, 1_000_000):
        fill(server, count, 1, prefix=f"of-{count}", query=node.QUERY)
        points.append(
            (count, cost(bench, server, count, bench.connections, f"of-{count}", node.QUERY))
        )
    server.stop()
    return {"nudged": points}


def popups(bench):
    points, asked = [], min(bench.users, 2_000)
    for count in (8, 40) if bench.is_smoke else (8, 100, 1_000, 5_000, 10_000):
        server = bench.keep(
            Nudged(
                f"popups-{count}",
                bench,
                bench.folder / f"popups-{count}",
                popups=node.many_popups(count),
            )
        )
        fill(server, asked, node.MATCHING, query=node.QUERY)
        points.append((count, cost(bench, server, asked, bench.connections, query=node.QUERY)))
        server.stop()
    return {"nudged": points}


def shards(bench):
    cores = ",".join(map(str, host.CORES))
    points = []
    for count in sorted({1, 2, 4, len(host.CORES)}):
        server = bench.keep(
            Nudged(
                f"shards-{count}", bench, bench.folder / f"shards-{count}", shards=count, core=cores
            )
        )
        fill(server, bench.users, 8)
        points.append((count, cost(bench, server, bench.users, bench.connections * count)))
        server.stop()
    return {"nudged": points}


CURVES = {
    "latency": (latency, "Latency against load, 3 % shows", "requests/s, open loop", "p99, ms"),
    "connections": (connections, "Cost against connections", "connections", "CPU a request, µs"),
    "users": (users, "Cost against cached users", "users", "CPU a request, µs"),
    "popups": (popups, "Cost against live popups, 3 that match", "popups", "CPU a request, µs"),
    "shards": (shards, "Cost against shards (users spread: hops)", "shards", "CPU a request, µs"),
}


def draw(bench, folder):
    """Measures and writes each picture; gives all points."""
    folder = ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, (measure, title, label_x, label_y) in CURVES.items():
        host.note(f"picture: {name}")
        found[name] = measure(bench)
        if not any(found[name].values()):
            host.note(f"picture: {name}: the generator did not keep up at any rate")
            continue
        svg = picture(title, label_x, label_y, found[name], host.description())
        (folder / f"{name}.svg").write_text(svg)
    return found
