"""Arguments, what is built, the order of the goals, and where the table goes."""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import curves, disk, host, job, node, open_loop, peers, proofs, scripts, stores, table
from .host import ROOT
from .servers import MariaDb, Nudged, Redis, Server, raise_descriptors
from .traffic import fill

# Each function gives rows of its goal; those of the job are measured together. In this order: the
# burst of P6 leaves a node with much to do, which P15 kills.
ALONE = {**node.ROWS, **stores.ROWS, **open_loop.ROWS, **disk.ROWS, **proofs.ROWS}
GOALS = sorted([*job.ROWS, *ALONE], key=lambda name: int(name[1:]))


class Bench:
    """What all rows share: the settings, the build, the folder, and servers that many use."""

    def __init__(self, options, folder, disk_folder):
        self.is_smoke = options.smoke
        self.profile = options.profile or ("test" if options.smoke else "dist")
        self.rounds = 1 if options.smoke else options.rounds
        self.seconds = 1 if options.smoke else options.seconds
        self.connections = 8 if options.smoke else options.connections
        self.users = 200 if options.smoke else 20_000
        self.cached_users, self.peers_build = options.cached_users, None
        self.folder, self.disk = folder, disk_folder
        self.started, self.costs, self.shared = [], {}, {}
        self.has_failed = False

    def binary(self, name):
        return str(host.built(host.TARGET, self.profile) / name)

    def build(self):
        host.note(f"building nudged, its floor and its load (profile {self.profile})")
        subprocess.run(
            [
                "cargo",
                "build",
                "--profile",
                self.profile,
                "--locked",
                "--quiet",
                "--bin",
                "nudged",
                "--example",
                "floor",
                "--example",
                "open-loop",
            ],
            cwd=ROOT,
            check=True,
        )

    def keep(self, server):
        """Ends it with the run, if not before."""
        self.started.append(server)
        return server

    def once(self, name, start):
        if name not in self.shared:
            self.shared[name] = start()
        return self.shared[name]

    def floor(self):
        return self.once(
            "floor",
            lambda: self.keep(Server("floor", [self.binary("examples/floor")], self.folder)),
        )

    def embedded(self):
        """A node with SQLite whose users have seen all there is to see."""

        def start():
            server = self.keep(Nudged("embedded", self, self.folder / "embedded"))
            fill(server, self.users, 8)
            return server

        return self.once("embedded", start)

    def mariadb(self):
        def start():
            server = self.keep(MariaDb(self.folder / "mariadb"))
            server.migrate(self)
            return server

        return self.once("mariadb", start)

    def with_redis(self):
        """A node with Redis (appendfsync always) and MariaDB. The CPU of Redis counts with its
        own; that of MariaDB does not, as no peer has one."""

        def start():
            redis = self.keep(Redis("redis", self.folder / "redis"))
            settings = (
                f'[journal]\nbytes_max = "4GiB"\n[redis]\nurl = "redis://127.0.0.1:'
                f'{redis.port}"\ndeadline = "1s"\n{self.mariadb().settings()}'
            )
            server = self.keep(Nudged("with-redis", self, self.folder / "with-redis", settings))
            server.beside = [redis]
            return server

        return self.once("with-redis", start)

    def stop(self):
        if self.peers_build and self.peers_build.poll() is None:
            self.peers_build.terminate()
        for server in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                server.stop()


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description=(
            "Measures nudged and its peers on the same job, in turn, and prints one table of the "
            f"goals of speed ({', '.join(GOALS)}). Server on one core, load on another."
        ),
    )
    parser.add_argument("--only", default="", help="goals, such as P1,P3")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B so often (5)")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement (2)")
    parser.add_argument("--connections", type=int, default=64, help="of the load (64)")
    parser.add_argument("--cached-users", type=int, default=400_000, help="of P12 (400000)")
    parser.add_argument("--profile", help="of the build (dist)")
    parser.add_argument("--no-build", action="store_true", help="what was built before is measured")
    parser.add_argument(
        "--smoke", action="store_true", help="that it all runs, on the build of tests"
    )
    parser.add_argument("--json", metavar="FILE", help="the figures for a program")
    parser.add_argument("--markdown", action="store_true", help="the table for a document")
    parser.add_argument("--pictures", metavar="FOLDER", help="measures and draws curves instead")
    options = parser.parse_args()
    options.only = [name for name in options.only.split(",") if name] or GOALS
    unknown = [name for name in options.only if name not in GOALS]
    if unknown:
        parser.error(f"no such goal: {', '.join(unknown)}; there are {', '.join(GOALS)}")
    return options


def measured(bench, wanted):
    """The rows of the goals that are wanted. What fails is a row that says why, and an exit code."""
    rows = []
    together = [name for name in wanted if name in job.ROWS]
    steps = [(together, lambda: job.rows(bench, together))] if together else []
    steps += [([name], lambda name=name: ALONE[name](bench)) for name in ALONE if name in wanted]
    if bench.is_smoke:
        steps.reverse()  # the peers are built meanwhile
    for names, step in steps:
        begun = time.monotonic()
        try:
            rows += step()
        except host.Unavailable as reason:
            rows += [table.missing(name, str(reason)) for name in names]
        except (RuntimeError, OSError, ArithmeticError, subprocess.CalledProcessError) as failure:
            bench.has_failed = True
            host.note(f"{', '.join(names)}: {failure}")
            first = (str(failure).splitlines() or [repr(failure)])[0]
            rows += [table.missing(name, f"failed: {first}") for name in names]
        host.note(f"{', '.join(names)}: {time.monotonic() - begun:.0f} s")
    return sorted(rows, key=lambda row: int(row.goal_id[1:]))


def has_failed(bench, rows):
    """A smoke also fails with what is not here; P0 and P11 have tests of their own."""
    lost = [row for row in rows if row.what == table.MISSING and row.goal_id not in proofs.ROWS]
    return bench.has_failed or bench.is_smoke and bool(lost)


def report(bench, options, rows):
    head = {
        "machine": host.description(),
        "load": f"wrk -t1 -c{bench.connections} -d{bench.seconds}s, {bench.rounds} rounds, server on "
        f"core {host.SERVER_CORE}, load on {host.LOAD_CORE}, Redis and MariaDB on "
        f"{host.BESIDE_CORE}, profile {bench.profile}",
        "cpu_per_request_us": {name: round(cost, 2) for name, cost in bench.costs.items()},
    }
    print(f"machine: {head['machine']}\nload: {head['load']}\n")
    print(table.markdown(rows) if options.markdown else table.text(rows))
    if bench.costs:
        print("\nCPU per request, µs, median of the rounds:")
        width = max(map(len, bench.costs))
        for name, cost in bench.costs.items():
            print(f"  {name.ljust(width)} {cost:9.2f}")
    if options.json:
        Path(options.json).write_text(table.as_json(rows, head) + "\n")


def build(bench, options):
    bench.build()
    if options.pictures or any(goal in job.ROWS for goal in options.only):
        bench.peers_build = peers.begin_build(bench.profile)
    if not bench.is_smoke:  # whose figures are none
        peers.end_build(bench.peers_build)


def measure(bench, options):
    """Prints what is wanted; whether something failed."""
    try:
        if bench.is_smoke:
            scripts.check()
        if not options.no_build:
            build(bench, options)
        if options.pictures:
            print(json.dumps(curves.draw(bench, options.pictures), indent=1))
            return bench.has_failed
        rows = measured(bench, options.only)
    finally:
        bench.stop()
    report(bench, options, rows)
    return has_failed(bench, rows)


def need_load(options):
    """Nearly all is measured with wrk."""
    if set(options.only) <= set(proofs.ROWS):
        return
    try:
        host.need("wrk", "wrk")
    except host.Unavailable as reason:
        host.note(reason)
        sys.exit(2)


def main():
    options = arguments()
    # So that what was started ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    need_load(options)
    raise_descriptors()
    # What is about disks is measured below `target`: /tmp may be memory.
    host.TARGET.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="nudged-bench-") as name,
        tempfile.TemporaryDirectory(prefix="bench-", dir=host.TARGET) as disk_name,
    ):
        if measure(Bench(options, Path(name), Path(disk_name)), options):
            sys.exit(1)
