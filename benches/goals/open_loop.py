"""P9, P13 and P17: latencies with an open loop (benches/load), which counts what a server that
stands still does to requests that were due meanwhile."""

import json
import statistics
import subprocess

from . import host, traffic
from .servers import Nudged, environment
from .table import notes, row
from .traffic import fill


def start(bench, server, rate, connections, seconds, *options, core=None):
    command = [
        bench.binary("examples/open-loop"),
        server.address,
        "--json",
        "--rate",
        str(rate),
        "--connections",
        str(connections),
        "--seconds",
        str(seconds),
        "--users",
        str(bench.users),
        *map(str, options),
    ]
    command = host.pinned(host.LOAD_CORE if core is None else core, command)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())


def finish(process):
    """Its figures; those of a generator that was late itself are none."""
    said, _ = process.communicate()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"open-loop ended with {process.returncode}")
    return json.loads(said)


def errors(figures):
    return sum(figures["errors"][kind] for kind in ("status", "reset", "timeout"))


def is_answered(figures, rate):
    """Whether all was answered as it should be, and at no less than this rate."""
    return figures["kept_up"] and not errors(figures) and figures["rate_reached"] >= rate


def judged(rows, is_result, failed):
    """A goal is neither met nor missed where the generator was late itself, and missed where some
    requests failed."""
    for row_ in rows:
        row_.figure += f": {failed:,} errors" if failed else ""
        row_.figure += "" if is_result else ": no result"
        if not is_result:
            row_.met = None
        elif failed:
            row_.met = False
    return rows


def peak(bench, server):
    return max(
        traffic.wrk(
            server,
            "decide.lua",
            bench.seconds,
            bench.connections,
            NUDGED_KNOWN="user",
            NUDGED_USERS=bench.users,
        ).rate
        for _ in range(2)
    )


def latency(bench):
    """P9: latencies at half of peak load, and over the floor's at the same rate."""
    host.note("P9: latency at half of peak load")
    node, floor = bench.embedded(), bench.floor()
    fill(node, bench.users, 8, prefix="user")
    rate = int(peak(bench, node) / 2)
    measures = {
        name: lambda server=server: finish(
            start(bench, server, rate, bench.connections, bench.seconds, "--warm-up", 1)
        )
        for name, server in {"floor": floor, "nudged": node}.items()
    }
    found = traffic.in_turn(bench.rounds, measures)
    behind = sum(not figures["kept_up"] for values in found.values() for figures in values)
    note = notes(
        f"{rate:,} requests/s",
        f"the generator was late in {behind} runs" if behind else "",
        host.few_cores(3),  # one for what else the machine does
    )
    made = []
    for name, bound in (("p50", 150), ("p99", 1_000), ("p99.9", 3_000)):
        values = {
            side: [figures["decisions"][f"{name}_us"] for figures in found[side]] for side in found
        }
        made.append(
            row(
                "P9",
                f"{name} at half of peak load",
                statistics.median(values["nudged"]),
                bound,
                unit=" µs",
                digits=0,
                note=note,
            )
        )
        made.append(
            row(
                "P9",
                f"{name} / the floor's at the same rate",
                traffic.ratio(values["nudged"], values["floor"]),
                1.2,
            )
        )
    # One late run of ten does not move a median.
    runs = [figures for values in found.values() for figures in values]
    return judged(made, behind * 10 <= len(runs), sum(map(errors, runs)))


def crowd(bench, node, count, processes, seconds):
    """The figures of so many generators at once, which have these connections together."""
    each = count // processes
    running = [
        start(
            bench,
            node,
            each,
            each,
            seconds,
            "--source",
            f"127.0.{number + 1}.1",
            "--warm-up",
            2,
            core=host.CORES[-1 - number % min(len(host.CORES), processes)],
        )
        for number in range(processes)
    ]
    return [finish(process) for process in running]


def connections(bench):
    """P13: 50,000 open connections, each asking once a second."""
    host.note("P13: 50,000 connections")
    count = 600 if bench.is_smoke else 50_000
    # An address has 14,000 ports for those who bind to it.
    processes, seconds = 4, 2 if bench.is_smoke else 10
    # Each ring has descriptors of its own; the kernel spreads connections at random.
    settings = "" if bench.is_smoke else "connections_max = 57000\n"
    node = bench.keep(Nudged("crowd", bench, bench.folder / "crowd", settings, shards=3, core=None))
    fill(node, bench.users, 8, prefix="user")
    before = host.resident_bytes(node.pid)
    found = crowd(bench, node, count, processes, seconds)
    a_connection = (host.resident_bytes(node.pid) - before) / count
    node.stop()
    failed = sum(map(errors, found))
    late = max(figures["decisions"]["p99_us"] for figures in found) / 1e3
    behind = sum(not figures["kept_up"] for figures in found)
    note = notes(
        f"{sum(figures['rate_reached'] for figures in found):,.0f} answers/s",
        f"{behind} of {processes} generators were late themselves" if behind else "",
        host.few_cores(4),  # one for each shard, and the load's
    )
    asking = [
        row(
            "P13", f"errors with {count:,} connections that ask once a second", failed, 0, digits=0
        ),
        row("P13", "p99 there", late, 20, unit=" ms", digits=1, note=note),
    ]
    return [
        *judged(asking[:1], behind == 0, 0),  # which tells the errors itself
        *judged(asking[1:], behind == 0, failed),
        row(
            "P12",
            f"memory of a connection that asks, {count:,} of them",
            a_connection,
            256,
            unit=" B",
            digits=0,
        ),
    ]


def origin(bench):
    """P17: Redis and MySQL, 3 % shows, an event for each, at 30,000 and 50,000 decisions/s."""
    host.note("P17: the origin's requirement")
    node, sql, made = bench.with_redis(), bench.mariadb(), []
    fill(node, bench.users, 8, prefix="user")
    seconds = 2 if bench.is_smoke else 10
    for rate in (300, 500) if bench.is_smoke else (30_000, 50_000):
        node.settle()
        before, sql_before = node.cpu_us(), sql.cpu_us()
        figures = finish(
            start(
                bench,
                node,
                rate,
                bench.connections,
                seconds,
                "--warm-up",
                1,
                "--job",
                "show-and-event",
                "--shows-percent",
                3,
                "--shows-each",
                8,
            )
        )
        node.settle()
        whole = (seconds + 1) * 1e6
        own = (node.cpu_us() - before) / whole / len(host.CORES) * 100
        note = notes(
            f"{figures['rate_reached']:,.0f} answers/s reached",
            "" if figures["kept_up"] else "the generator was late itself",
            host.few_cores(4),  # the node's, Redis', MariaDB's and the load's
        )
        asked = [
            row("P17", f"errors at {rate:,} decisions/s", errors(figures), 0, digits=0, note=note)
        ]
        used = [
            row(
                "P17",
                f"mean latency at {rate:,}",
                figures["decisions"]["mean_us"] / 1e3,
                5,
                unit=" ms",
                digits=2,
            ),
            row("P17", f"node and Redis at {rate:,}, of the machine", own, 70, unit=" %", digits=0),
            row(
                "P17",
                f"MariaDB at {rate:,}, of a core",
                (sql.cpu_us() - sql_before) / whole * 100,
                50,
                unit=" %",
                digits=0,
            ),
        ]
        made += judged(asked, figures["kept_up"], 0)  # which tells the errors itself
        made += judged(used, figures["kept_up"], errors(figures))
    return made


ROWS = {"P9": latency, "P13": connections, "P17": origin}
