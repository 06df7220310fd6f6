"""Load: wrk with the scripts of tools/load, and a client that asks a given number of times."""

import re
import socket
import statistics
import subprocess
from dataclasses import dataclass

from . import host
from .host import ROOT
from .servers import environment

PIPELINED = 16  # unanswered requests that a connection may have
UNITS_US = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass
class Answered:
    count: int
    rate: float
    failed: int
    p99_us: float


def wrk_command(server, script, seconds, connections, *options):
    host.need("wrk", "wrk")
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(ROOT / "tools/load" / script),
        *options,
        f"http://{server.address}",
    ]
    return host.pinned(host.LOAD_CORE, command)


def wrk(server, script, seconds, connections, *options, **variables):
    """A closed loop of `connections`. Anything but a 2xx fails the run."""
    command = wrk_command(server, script, seconds, connections, *options)
    said = host.run(command, env=environment(**variables))
    count, took, unit = re.search(r"(\d+) requests in ([\d.]+)(\w+),", said).groups()
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    late, late_unit = re.search(r"99%\s+([\d.]+)(\w+)", said).groups()
    seconds = float(took) * UNITS_US[unit] / 1e6
    done = Answered(
        int(count),
        int(count) / max(seconds, 1e-9),
        int(failed.group(1)) if failed else 0,
        float(late) * UNITS_US[late_unit],
    )
    if done.count == 0:
        raise RuntimeError(f"{server.name} answered nothing:\n{said}")
    return done


def background(server, script, connections, **variables):
    """wrk until it is stopped: `kill` and `wait` are the caller's."""
    command = wrk_command(server, script, 600, connections)
    return subprocess.Popen(
        command, env=environment(**variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def cpu_per_request(server, script, seconds, connections, *options, **variables):
    """Microseconds of CPU of a server and what it needs, for each answer, all that follows from
    the answers included (SQL), and how many answers there were."""
    server.settle()
    before = server.cpu_us()
    done = wrk(server, script, seconds, connections, *options, **variables)
    if done.failed:
        raise RuntimeError(f"{server.name} refused {done.failed} of {done.count}")
    server.settle()
    return (server.cpu_us() - before) / done.count, done.count


def in_turn(rounds, measures):
    """A B A B: each round measures all in turn. Gives the values of each, by name."""
    found = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def ratio(above, below):
    """The median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(above, below))


class Client:
    """Asks what it is told, each once, pipelined over some connections; counts the answers."""

    def __init__(self, address, connections=32):
        name, _, port = address.rpartition(":")
        self.sockets = [socket.create_connection((name, int(port))) for _ in range(connections)]

    def close(self):
        for connection in self.sockets:
            connection.close()

    def ask(self, requests, keep=None):
        """`keep` is called with all bytes of a batch of answers of a connection."""
        waiting = iter(requests)
        more = True
        while more:
            asked = []
            for connection in self.sockets:
                batch = [request for _, request in zip(range(PIPELINED), waiting)]
                if batch:
                    connection.sendall(b"".join(batch))
                    asked.append((connection, len(batch)))
            more = bool(asked)
            for connection, count in asked:
                answers = self.read(connection, count)
                if keep:
                    keep(answers)

    @staticmethod
    def read(connection, count):
        """Until `count` answers have begun and the last has its end."""
        held = b""
        while held.count(b"HTTP/1.1 ") < count or not whole(held):
            got = connection.recv(1 << 18)
            if not got:
                raise RuntimeError("the server closed a connection")
            held += got
        return held


def whole(answers):
    """Whether the last answer is there to its end."""
    head, end, body = answers[answers.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"[Cc]ontent-[Ll]ength: (\d+)", head)
    return len(body) >= (int(length.group(1)) if length else 0)


def decide(user, query=""):
    return f"GET /v1/decide?user={user}&placement=home{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def fill(server, users, times, prefix="known-0", query="", keep=None):
    """Asks for each user of a prefix so many times, in turn."""
    client = Client(server.address)
    for _ in range(times):
        client.ask((decide(f"{prefix}-{number}", query) for number in range(users)), keep)
    client.close()
    server.settle()
