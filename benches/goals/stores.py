"""P5 and P7: what Redis and MySQL cost a node, and the bare clients beside it."""

import os
import signal
import statistics
import subprocess
import time

from . import host, traffic
from .host import ROOT
from .servers import until
from .table import row
from .traffic import ratio

# As commit.lua wants it: a user nowhere held, and a revision whose epoch is the partition's.
EPOCH = "1633771873"  # what "aaaa" is as a number
REVISION = "aaaabbbbbbbb"
STATE = "s" * 60


def bare_commits(redis, count):
    """Microseconds of CPU of redis-benchmark for each commit of `commit.lua` on 64 connections."""
    script = (ROOT / "src/redis/scripts/commit.lua").read_text()
    name = redis.send("SCRIPT", "LOAD", script)
    redis.send("HSET", "bare:m", "e", EPOCH)
    arguments = ["", "idididid", "0", "9999999999999", REVISION, STATE, "0", "bare", "user", "1"]
    command = [
        "redis-benchmark",
        "-p",
        str(redis.port),
        "-c",
        "64",
        "-n",
        str(count),
        "-r",
        "1000000000",
        "-q",
        "EVALSHA",
        name,
        "2",
        "bare:__rand_int__",
        "bare:m",
        *arguments,
    ]
    counted = int(redis.send("HGET", "bare:m", "c") or 0)
    process = subprocess.Popen(host.pinned(host.SERVER_CORE, command), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    done = int(redis.send("HGET", "bare:m", "c")) - counted
    # Of random users some come twice, and are refused.
    if status != 0 or done < count * 0.999:
        raise RuntimeError(f"redis-benchmark committed {done} of {count}")
    return (used.ru_utime + used.ru_stime) * 1e6 / count


class Shows:
    """Shows alone, one in eight of a user who is nowhere cached."""

    def __init__(self, bench):
        self.bench, self.node = bench, bench.with_redis()
        self.redis, self.sql = self.node.beside[0], bench.mariadb()
        self.count = 0
        self.totals = dict.fromkeys(
            ("shows", "absent", "trips", "redis_us", "sql_us", "rows", "statements"), 0
        )

    def counters(self):
        node = self.node
        return {
            "shows": node.metric("decisions_shown_total"),
            "absent": node.metric("redis_absent_total"),
            "trips": self.redis.scripts(),
            "redis_us": self.redis.cpu_us(),
            "sql_us": self.sql.cpu_us(),
            "statements": self.sql.status("Questions"),
            "rows": int(self.sql.sql("SELECT COUNT(*) FROM nudged.events")),
        }

    def measure(self):
        """Microseconds of CPU of the node for each show."""
        bench, node = self.bench, self.node
        node.settle()
        before, cpu = self.counters(), host.cpu_us(node.pid)
        self.count += 1
        traffic.wrk(
            node,
            "shows.lua",
            bench.seconds,
            bench.connections,
            NUDGED_ROUND=f"shows-{self.count}",
            NUDGED_USERS=500,
        )
        node.settle()
        cpu = host.cpu_us(node.pid) - cpu
        after = self.counters()
        for name in self.totals:
            self.totals[name] += after[name] - before[name]
        return cpu / (after["shows"] - before["shows"])


def shows(bench):
    """P5: a show that is committed in Redis."""
    host.note("P5: shows through Redis")
    own = Shows(bench)
    count = 2_000 if bench.is_smoke else 10_000 * bench.seconds
    own.measure()
    own.totals = dict.fromkeys(own.totals, 0)
    found = traffic.in_turn(
        bench.rounds, {"node": own.measure, "bare": lambda: bare_commits(own.redis, count)}
    )
    own.redis.send("DEL", "bare:m")
    cost, totals = statistics.median(found["node"]), own.totals
    bench.costs["a show through Redis, node"] = cost
    bench.costs["a show through Redis, Redis"] = totals["redis_us"] / totals["shows"]
    bench.costs["a bare EVALSHA, redis-benchmark"] = statistics.median(found["bare"])
    share = totals["sql_us"] / totals["rows"] * 1_500 / 1e4
    return [
        row(
            "P5",
            "round trips of shows / one a show and one more for a user nowhere cached",
            totals["trips"] / (totals["shows"] + totals["absent"]),
            1.01,
            note=f"{totals['trips'] / totals['shows']:.2f} a show",
        ),
        row(
            "P5",
            f"CPU of a show, all threads, {bench.connections} connections",
            cost,
            12,
            unit=" µs",
            digits=1,
        ),
        row(
            "P5",
            "the same / a bare EVALSHA client (redis-benchmark -c 64)",
            ratio(found["node"], found["bare"]),
            1.5,
        ),
        row(
            "P5",
            "CPU of MariaDB at 50,000 decisions/s, 3 % shows",
            share,
            50,
            unit=" % of a core",
            digits=1,
        ),
        row(
            "P7",
            "statements per 1,000 records, of all connections",
            totals["statements"] * 1_000 / totals["rows"],
            digits=1,
        ),
    ]


def catch_up(bench, node, sql, name):
    """Shows while MariaDB stands still. Gives how many wait, and the seconds until none does."""
    node.settle()
    os.kill(sql.pid, signal.SIGSTOP)
    try:
        traffic.wrk(node, "shows.lua", max(bench.seconds, 1), bench.connections, NUDGED_ROUND=name)
        waiting = node.lag()
        begun = time.monotonic()
    finally:
        os.kill(sql.pid, signal.SIGCONT)
    until("the writer to catch up", lambda: node.lag() == 0, 300)
    return waiting, time.monotonic() - begun


def writer(bench):
    """P7: the writer against a bare client that sends the same statements."""
    host.note("P7: the writer against a bare client")
    # With Redis, where users are found while MariaDB stands still.
    sql, node = bench.mariadb(), bench.with_redis()
    sql.sql("CREATE DATABASE bare")
    schema = host.run(
        ["mariadb-dump", "--no-defaults", "-uroot", f"--socket={sql.socket}", "--no-data", "nudged"]
    )
    host.run(sql.client("bare"), input=schema)
    ratios, statements, rates = [], [], []
    for number in range(1 if bench.is_smoke else 3):
        own = bare_against_writer(bench, node, sql, number)
        ratios.append(own[0])
        statements.append(own[1])
        rates.append(own[2])
    return [
        row(
            "P7",
            "writer to MariaDB / a bare client with the same statements",
            statistics.median(ratios),
            at_least=0.9,
            note=f"{statistics.median(rates):,.0f} records/s",
        ),
        row("P7", "statements a transaction", statistics.median(statements), 8, digits=1),
    ]


def bare_against_writer(bench, node, sql, number):
    """The ratio of their rates, statements a transaction, and the writer's rate."""
    waiting, took = catch_up(bench, node, sql, f"ahead-{number}")
    own = waiting / took
    sql.sql(
        "TRUNCATE mysql.general_log; SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON"
    )
    waiting, _ = catch_up(bench, node, sql, f"logged-{number}")
    sql.sql("SET GLOBAL general_log = OFF")
    # The writer is the connection that committed most. Its BEGIN and COMMIT are statements too.
    writer_id = sql.sql(
        "SELECT thread_id FROM mysql.general_log WHERE user_host LIKE 'nudged[%' "
        "GROUP BY thread_id "
        "ORDER BY SUM(argument LIKE 'COMMIT%') DESC, COUNT(*) DESC LIMIT 1"
    )
    which = f"WHERE command_type IN ('Query', 'Execute') AND thread_id = {writer_id}"
    told, commits = map(
        int,
        sql.sql(
            "SELECT COUNT(*), SUM(argument LIKE 'COMMIT%') " f"FROM mysql.general_log {which}"
        ).split(),
    )
    said = host.run(
        sql.client(
            "-r",
            "-e",
            "SELECT CONCAT(argument, ';') FROM mysql.general_log " f"{which} ORDER BY event_time",
        )
    )
    begun = time.monotonic()
    subprocess.run(
        sql.client("--force", "bare"), input=said, text=True, capture_output=True, check=False
    )
    bare = waiting / (time.monotonic() - begun)
    return own / bare, told / commits, own


ROWS = {"P5": shows, "P7": writer}
