"""P10, P12, P14, P16, P18: one node without Redis and MySQL."""

import statistics
import subprocess
import time

from . import host, traffic
from .servers import Nudged
from .table import missing, notes, row
from .traffic import cpu_per_request, fill, in_turn, ratio

MATCHING = 3
POPUP = """[[popup]]
id = "campaign-{number}"
priority = {number}
after_shown = "never"
target = {{ attr = "plan", op = "eq", value = "{value}" }}
content = {{ title = "Campaign {number}", text = "Something worth a look" }}

"""
QUERY = "&attr.plan=mine"


def many_popups(count):
    """A file of popups of one placement, of which a request of `QUERY` matches three."""
    step = max(count // MATCHING, 1)
    matching = {number * step for number in range(MATCHING)}
    return "".join(
        POPUP.format(number=number, value="mine" if number in matching else f"plan-{number}")
        for number in range(count)
    )


def settings_of_load(bench, prefix="known-0", query="", name="r"):
    return {
        "NUDGED_KNOWN": prefix,
        "NUDGED_USERS": bench.users,
        "NUDGED_QUERY": query,
        "NUDGED_ROUND": name,
    }


def costs_in_turn(bench, servers, *options_of_wrk, **load):
    """The CPU of a decision on each server, by its name, round by round."""
    measures = {
        name: lambda server=server: cpu_per_request(
            server,
            "decide.lua",
            bench.seconds,
            bench.connections,
            *options_of_wrk,
            **load,
        )[0]
        for name, server in servers.items()
    }
    return in_turn(bench.rounds, measures)


def popups(bench):
    """P10: the cost of 5,000 popups in one placement over that of 8."""
    host.note("P10: 8 against 5,000 popups")
    few = bench.embedded()
    many = bench.keep(Nudged("many", bench, bench.folder / "many", popups=many_popups(5_000)))
    fill(few, bench.users, 1, query=QUERY)
    fill(many, bench.users, MATCHING, query=QUERY)
    load = settings_of_load(bench, query=QUERY)
    found = costs_in_turn(bench, {"few": few, "many": many}, **load)
    many.stop()
    bench.costs["nudged, 8 popups"] = statistics.median(found["few"])
    bench.costs["nudged, 5,000 popups"] = statistics.median(found["many"])
    return [
        row(
            "P10",
            "CPU of a decision among 5,000 popups, 3 that match / among 8",
            ratio(found["many"], found["few"]),
            2.0,
        )
    ]


def each_request_a_connection(bench):
    """P18: one connection per request."""
    host.note("P18: one connection per request")
    load = settings_of_load(bench)
    servers = {"floor": bench.floor(), "nudged": bench.embedded()}
    found = costs_in_turn(bench, servers, "-H", "Connection: close", **load)
    bench.costs["floor, one connection per request"] = statistics.median(found["floor"])
    bench.costs["nudged, one connection per request"] = statistics.median(found["nudged"])
    return [
        row(
            "P18",
            "CPU of a request with a connection of its own / the floor's",
            ratio(found["nudged"], found["floor"]),
            1.10,
        )
    ]


def switch_times(bench, node, script, round_name):
    """Milliseconds until a pause or a resume is acknowledged by every shard, under full load."""
    load = traffic.background(
        node, script, bench.connections, **settings_of_load(bench, name=round_name)
    )
    time.sleep(0.5)  # the load has to be there, and tells nobody when it is
    times = []
    try:
        for number in range(10 if bench.is_smoke else 100):
            change = "resume" if number % 2 else "pause"
            begun = time.perf_counter()
            node.ask("POST", f"/v1/popups/campaign-0/{change}")
            times.append((time.perf_counter() - begun) * 1e3)
            time.sleep(0.02)  # so that 100 of them meet syncs and checkpoints too
    finally:
        load.kill()
        load.wait()
    return times


def switch(bench):
    """P16: the kill switch under load."""
    host.note("P16: pauses under load")
    node = bench.embedded()
    made = []
    for what, script in (
        ("under full load", "decide.lua"),
        ("while SQLite catches up with shows", "shows.lua"),
    ):
        times = switch_times(bench, node, script, f"switch-{script}")
        middle = statistics.median(times)
        made.append(
            row(
                "P16",
                f"pause or resume {what}, longest of {len(times)}",
                max(times),
                50,
                unit=" ms",
                digits=1,
                note=f"median {middle:.1f}",
            )
        )
    node.settle()
    return made


def hops(bench):
    """P14: a decision whose user lives on the other shard."""
    if len(host.CORES) < 2:
        raise host.Unavailable("two shards want two cores")
    host.note("P14: 2 shards against 1")
    both = ",".join(map(str, host.CORES[:2]))
    nodes = {
        "one": bench.keep(Nudged("one", bench, bench.folder / "one", core=both)),
        "two": bench.keep(Nudged("two", bench, bench.folder / "two", core=both, shards=2)),
    }
    for node in nodes.values():
        fill(node, bench.users, 8)
    shares = []

    def measure(name):
        node = nodes[name]
        sent = node.metric("hops_sent_total")
        connections = bench.connections * (2 if name == "two" else 1)
        cost, count = cpu_per_request(
            node, "decide.lua", bench.seconds, connections, **settings_of_load(bench)
        )
        if name == "two":
            shares.append((node.metric("hops_sent_total") - sent) / count)
        return cost

    found = in_turn(bench.rounds, {name: lambda name=name: measure(name) for name in nodes})
    share = statistics.median(shares)
    hopped = [(two - (1 - share) * one) / share for one, two in zip(found["one"], found["two"])]
    for node in nodes.values():
        node.stop()
    bench.costs["nudged, 1 shard of 1"] = statistics.median(found["one"])
    bench.costs["nudged, 2 shards"] = statistics.median(found["two"])
    note = notes(
        f"{share:.0%} of the requests hopped",
        f"2 shards / 1: {ratio(found['two'], found['one']):.2f}",
        host.few_cores(3),
    )
    return [
        row(
            "P14",
            "CPU of a hopped decision / of a local one",
            ratio(hopped, found["one"]),
            1.15,
            note=note,
        )
    ]


def hold_connections(address, count):
    """A process that opens so many connections, asks once on each, and holds them."""
    program = (
        "import resource, socket, sys\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
        "name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n"
        "held = []\n"
        "for number in range(count):\n"
        "    held.append(socket.create_connection((name, port)))\n"
        "    held[-1].sendall(b'GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "    assert held[-1].recv(4096)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    name, _, port = address.rpartition(":")
    command = host.pinned(host.LOAD_CORE, ["python3", "-c", program, name, port, count])
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def memory(bench):
    """P12: what an idle connection and a cached user take."""
    host.note("P12: memory")
    users = 4_000 if bench.is_smoke else bench.cached_users
    # As large as these users want. The index of a slice is as large as the slice may become, and
    # users lie all over it: of one that is made for ten times as many each would pay for ten.
    settings = f"slice_bytes = {max(16 << 20, 128 * users)}\n"
    node = bench.keep(Nudged("memory", bench, bench.folder / "memory", settings=settings))
    fill(node, bench.users, 8)  # what is bounded, such as SQLite's cache, is there then
    before, slice_before = host.resident_bytes(node.pid), node.metric("slice_bytes")
    for start in range(0, users, bench.users):
        # SQL is level after each, or the backlog's memory would count.
        fill(node, min(bench.users, users - start), 1, prefix=f"from-{start}")
    grown = (host.resident_bytes(node.pid) - before) / users
    counted = (node.metric("slice_bytes") - slice_before) / users
    count = 1_000 if bench.is_smoke else 10_000
    before = host.resident_bytes(node.pid)
    holder = hold_connections(node.address, count)
    try:
        if holder.stdout.readline().strip() != "held":
            raise RuntimeError("the connections could not be opened")
        a_connection = (host.resident_bytes(node.pid) - before) / count
    finally:
        holder.stdin.close()
        holder.wait()
    node.stop()
    return [
        *memory_in_redis(bench),
        row(
            "P12",
            f"memory of an idle connection, {count:,} of them",
            a_connection,
            256,
            unit=" B",
            digits=0,
        ),
        row(
            "P12",
            f"memory of a cached user with one popup, {users:,} of them",
            grown,
            160,
            unit=" B",
            digits=0,
            note=f"{counted:.0f} by the slice's own count",
        ),
    ]


def memory_in_redis(bench):
    """What Redis takes for a user with one popup, its key and table included."""
    try:
        node = bench.with_redis()
    except host.Unavailable as reason:
        return [missing("P12", f"memory in Redis: {reason}")]
    redis, users = node.beside[0], 1_000 if bench.is_smoke else 100_000
    before = redis.info("used_memory")
    fill(node, users, 1, prefix="in-redis")
    grown = (redis.info("used_memory") - before) / users
    return [
        row(
            "P12",
            f"memory in Redis of a user with one popup, {users:,} of them",
            grown,
            unit=" B",
            digits=0,
            note=f"{(1 << 30) / grown / 1e6:.1f} million users a GiB",
        )
    ]


ROWS = {"P10": popups, "P12": memory, "P14": hops, "P16": switch, "P18": each_request_a_connection}
