"""Processes that are measured or needed beside: each with an address, its CPU, and an end."""

import http.client
import json
import os
import re
import socket
import subprocess
import time

from . import host
from .host import ROOT

WAIT_S = 60


def until(what, condition, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """One process, and those whose CPU counts with its own."""

    death_signal = "KILL"

    def __init__(self, name, command, folder, core=host.SERVER_CORE, port=None, **options):
        self.name, self.folder, self.beside = name, folder, []
        self.output, self.errors = folder / f"{name}.out", folder / f"{name}.err"
        command = host.pinned(core, command, self.death_signal)
        begun = time.monotonic()
        with open(self.output, "wb") as out, open(self.errors, "wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, **options)
        self.pid = self.process.pid
        try:
            self.address = self.wait(port)
            self.ready_after_s = time.monotonic() - begun
            self.port = int(self.address.rpartition(":")[2])
            self.prepare()
        except BaseException:  # nobody else knows of it yet
            self.stop()
            raise

    def wait(self, port):
        """Until it answers; its address."""
        if port is None:
            until(f"{self.name} to be ready", lambda: self.alive() and "ready\n" in self.said())
            return self.listening("data")
        until(f"{self.name} to listen", lambda: self.alive() and answers(port))
        return f"127.0.0.1:{port}"

    def prepare(self):
        """What else belongs to its start."""

    def listening(self, what):
        found = re.search(rf"listening {what} (\S+)", self.said())
        if not found:
            raise RuntimeError(f"{self.name} names no {what} address:\n{self.said()[-2000:]}")
        return found.group(1)

    def said(self):
        return self.output.read_text()

    def alive(self):
        if self.process.poll() is None:
            return True
        raise RuntimeError(f"{self.name} has ended:\n{self.errors.read_text()[-2000:]}")

    def cpu_us(self):
        """Of it and of what it needs."""
        return host.cpu_us(self.cpu_pid()) + sum(other.cpu_us() for other in self.beside)

    def cpu_pid(self):
        return self.pid

    def settle(self):
        """Waits until nothing is left to do of what was asked."""

    def stop(self):
        self.process.kill()
        self.process.wait()


class Nudged(Server):
    """A node. `settings` is the text of its nudged.toml."""

    def __init__(
        self, name, bench, folder, settings="", popups=None, shards=1, core=host.SERVER_CORE
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "nudged.toml").write_text(settings)
        popups = popups or (ROOT / "tools/load/popups-8.toml").read_text()
        (folder / "popups.toml").write_text(popups)
        command = [
            bench.binary("nudged"),
            "serve",
            "--config",
            folder / "nudged.toml",
            "--data",
            folder / "data",
            "--popups",
            folder / "popups.toml",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--shards",
            str(shards),
        ]
        command += [] if core is None else ["--no-pin"]
        super().__init__(name, command, folder, core)

    def prepare(self):
        self.admin = self.listening("admin")

    def ask(self, method, path):
        connection = http.client.HTTPConnection(self.admin, timeout=30)
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")
        return text

    def metric(self, name):
        """The sum of a metric over shards and labels."""
        pattern = rf"^nudged_{name}(?:\{{.*\}})? (\S+)$"
        return sum(float(value) for value in re.findall(pattern, self.ask("GET", "/metrics"), re.M))

    def lag(self):
        return json.loads(self.ask("GET", "/v1/status"))["sql"]["lag"]

    def settle(self):
        until("SQL to be level", lambda: self.lag() == 0, 300)


class Redis(Server):
    """`settings` are lines beside those of vendor-config, or instead of them with `plain`."""

    def __init__(self, name, folder, plain=False):
        host.need("redis-server", "redis-server")
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        command = ["redis-server"] + (
            [] if plain else [str(ROOT / "vendor-config/redis/redis.conf")]
        )
        command += ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        if plain:
            # What Redis itself recommends for state that has to be kept; cheaper than `always`.
            command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        super().__init__(name, command, folder, host.BESIDE_CORE, port)

    def send(self, *words):
        """One command, by redis-cli."""
        return host.run(["redis-cli", "-p", str(self.port), *words]).strip()

    def pipe(self, commands):
        """Many commands; each is a list of bytes."""

        def encoded(command):
            parts = [b"*%d\r\n" % len(command)]
            parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in command]
            return b"".join(parts)

        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            for start in range(0, len(commands), 500):
                batch = commands[start : start + 500]
                connection.sendall(b"".join(map(encoded, batch)))
                lines = 0
                while lines < len(batch):  # each answers one line
                    lines += connection.recv(1 << 16).count(b"\r\n")

    def info(self, name):
        return int(re.search(rf"^{name}:(\d+)", self.send("INFO", "memory"), re.M).group(1))

    def scripts(self):
        """Calls of scripts so far: round trips of commits and reads."""
        calls = re.findall(
            r"cmdstat_(?:evalsha|eval|fcall)[^:]*:calls=(\d+)", self.send("INFO", "commandstats")
        )
        return sum(map(int, calls))


class MariaDb(Server):
    def __init__(self, folder):
        host.need("mariadbd", "mariadb-server")
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "mysql.sock"
        port, data = free_port(), folder / "mysql"
        host.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={data}",
            ]
        )
        command = [
            "mariadbd",
            f"--defaults-file={ROOT}/vendor-config/mysql/nudged.cnf",
            "--user=root",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--datadir={data}",
            f"--socket={self.socket}",
            "--innodb-buffer-pool-size=512M",
        ]
        super().__init__("mariadb", command, folder, host.BESIDE_CORE, port)

    def prepare(self):
        grants = (ROOT / "vendor-config/mysql/grants.sql").read_text()
        host.run(self.client(), input=grants)

    def client(self, *words):
        return ["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-N", "-B", *words]

    def sql(self, statement):
        return host.run(self.client("-e", statement)).strip()

    def status(self, name):
        return int(self.sql(f"SHOW GLOBAL STATUS LIKE '{name}'").split()[1])

    def migrate(self, bench):
        settings = self.folder / "migrate.toml"
        url = f"mysql://nudged_migrate:change-me-too@127.0.0.1:{self.port}/nudged"
        settings.write_text(f'[mysql]\nurl = "{url}"\n')
        host.run([bench.binary("nudged"), "migrate", "--config", str(settings)])

    def settings(self):
        return f'[mysql]\nurl = "mysql://nudged:change-me@127.0.0.1:{self.port}/nudged"\n'


def raise_descriptors():
    """As many descriptors as the host allows, for this process and what it starts."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def environment(**extra):
    return {**os.environ, **{name: str(value) for name, value in extra.items()}}
