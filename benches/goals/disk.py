"""P6, P8 and P15: events in bursts, answers that wait for the disk, a start with a long journal."""

import os
import re
import statistics
import time

from . import host, open_loop, traffic
from .servers import Nudged
from .table import notes, row
from .traffic import fill

BURST_S = 10
PAGE = b"x" * 4_096
SYNCED_CONNECTIONS = 16
# As many shows as there are in 67,000 decisions with 3 % of them. A closed loop would ask as fast
# as it is answered: what it measures is how long shows wait for the core.
SYNCED_RATE = 2_000


def fdatasync_p99_us(folder, seconds):
    """Of the device: a page written and synced, again and again, as a journal does."""
    times = []
    with open(folder / "probe", "wb") as probe:
        probe.write(bytes(64 << 20))  # writing to it later changes no metadata
        os.fsync(probe.fileno())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            os.pwrite(probe.fileno(), PAGE, len(times) % 16_384 * len(PAGE))
            begun = time.perf_counter()
            os.fdatasync(probe.fileno())
            times.append((time.perf_counter() - begun) * 1e6)
    (folder / "probe").unlink()
    return statistics.quantiles(times, n=100)[98]


def synced(bench):
    """P8: shows with ack = synced against the device's fdatasync."""
    host.note("P8: ack = synced")
    node = bench.keep(Nudged("synced", bench, bench.disk / "synced", 'ack = "synced"\n'))
    options = ("--job", "shows", "--shows-each", 8, "--warm-up", 1)

    def shows():
        running = open_loop.start(
            bench, node, SYNCED_RATE, SYNCED_CONNECTIONS, bench.seconds, *options
        )
        return open_loop.finish(running)

    found = traffic.in_turn(
        bench.rounds,
        {"shows": shows, "device": lambda: fdatasync_p99_us(bench.disk, bench.seconds)},
    )
    node.stop()
    behind = sum(not figures["kept_up"] for figures in found["shows"])
    late = [figures["decisions"]["p99_us"] for figures in found["shows"]]
    middle = [figures["decisions"]["p50_us"] for figures in found["shows"]]
    note = notes(
        f"{statistics.median(late):,.0f} µs over {statistics.median(found['device']):,.0f} µs",
        f"p50 {statistics.median(middle):,.0f} µs",
        f"{SYNCED_RATE:,} shows/s over {SYNCED_CONNECTIONS} connections",
        f"the generator was late in {behind} runs" if behind else "",
        host.few_cores(3),  # the shard's, the writer's, the load's
    )
    made = row(
        "P8",
        "p99 of a show with ack = synced / of the device's fdatasync",
        traffic.ratio(late, found["device"]),
        2.5,
        note=note,
    )
    failed = sum(map(open_loop.errors, found["shows"]))
    return open_loop.judged([made], behind * 10 <= len(late), failed)


class Burst:
    """A node that has taken a burst of events, once for P6 and P15: and is as the burst left it."""

    def __init__(self, bench):
        self.bench = bench
        self.settings = '[journal]\nbytes_max = "2GiB"\n'
        # One shard and the writer on a core of its own: where nudged puts them itself.
        self.node = self.start()
        tokens = self.tokens(200 if bench.is_smoke else 75_000)
        accepted = self.node.metric("events_accepted_total")
        done = traffic.wrk(
            self.node,
            "events.lua",
            1 if bench.is_smoke else BURST_S,
            bench.connections,
            NUDGED_TOKENS=tokens,
        )
        self.accepted = self.node.metric("events_accepted_total") - accepted
        self.refused = done.failed
        self.seconds = done.count / done.rate

    def start(self):
        return self.bench.keep(
            Nudged("burst", self.bench, self.bench.disk / "burst", self.settings, core=None)
        )

    def tokens(self, users):
        """A file with the tokens of eight shows of each user."""
        path = self.bench.disk / "tokens"
        with open(path, "wb") as file:

            def keep(answers):
                found = re.findall(rb'"decision":"([^"]+)"', answers)
                file.writelines(token + b"\n" for token in found)

            fill(self.node, users, 8, keep=keep)
        return path

    def journal_bytes(self):
        files = (self.bench.disk / "burst/data").rglob("*.log")
        return sum(path.stat().st_size for path in files)


def events(bench):
    """P6: events in arrays of 20, ack = written."""
    host.note("P6: a burst of events")
    burst = bench.once("burst", lambda: Burst(bench))
    note = notes(
        f"{burst.accepted:,.0f} in {burst.seconds:.1f} s",
        f"{burst.refused} requests refused" if burst.refused else "",
        host.few_cores(3),  # the shard's, the writer's, the load's
    )
    return [
        row(
            "P6",
            "events accepted a second, arrays of 20, ack = written",
            burst.accepted / burst.seconds,
            at_least=300_000,
            digits=0,
            note=note,
        )
    ]


def long_journal(bench):
    """P15: start to ready behind a kill -9 with a long journal, a part of it not applied."""
    host.note("P15: a start with a long journal")
    burst = bench.once("burst", lambda: Burst(bench))
    times = []
    for _ in range(1 if bench.is_smoke else 3):
        unapplied = burst.node.metric("journal_unapplied_bytes")
        burst.node.stop()
        burst.node = burst.start()
        times.append(burst.node.ready_after_s)
    size = burst.journal_bytes()
    burst.node.stop()
    note = f"journal {size / 2**20:,.0f} MiB, of it {unapplied / 2**20:,.0f} MiB not applied"
    return [row("P15", "start to ready", statistics.median(times), 1.0, unit=" s", note=note)]


ROWS = {"P8": synced, "P6": events, "P15": long_journal}
