"""The peers of benches/peers: how each is built and started."""

import os
import subprocess
import sysconfig
from pathlib import Path

from . import host
from .host import ROOT
from .servers import Server, environment, free_port

FOLDER = ROOT / "benches/peers"
TARGET = ROOT / "target/peers"
LUA_MODULE = "/usr/lib/nginx/modules/ngx_http_lua_module.so"
LUA_REDIS = "/usr/share/lua/5.1/nginx/redis.lua"


def begin_build(profile):
    """Those in Rust, with a lock file of their own. What runs meanwhile need not wait for it."""
    host.note(f"building the peers (profile {profile})")
    settings = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    command = ["cargo", "build", "--profile", profile, "--locked", "--quiet"]
    command += ["--manifest-path", str(FOLDER / "Cargo.toml")]
    return subprocess.Popen(host.pinned(None, command), env=settings)


def end_build(build):
    if build and build.wait() != 0:
        raise RuntimeError("the peers could not be built")


def binary(profile, name):
    return str(host.built(TARGET, profile) / name)


def bare_ring(bench, folder):
    return Server("bare-ring", [binary(bench.profile, "bare-ring")], folder)


def may_minihttp(bench, folder):
    return Server("may-minihttp", [binary(bench.profile, "may-minihttp")], folder)


def axum(bench, folder, redis):
    source = f"redis://127.0.0.1:{redis.port}" if redis else "--constant"
    name = "axum-redis" if redis else "axum-constant"
    server = Server(name, [binary(bench.profile, "axum-redis"), source], folder)
    server.beside = [redis] if redis else []
    return server


class Nginx(Server):
    """The worker's CPU is what counts; the master sleeps."""

    death_signal = "TERM"  # upon which the master ends its worker

    def __init__(self, folder, redis):
        host.need("nginx", "nginx-light")
        host.need(LUA_MODULE, "libnginx-mod-http-lua")
        host.need(LUA_REDIS, "lua-nginx-redis")
        port = free_port()
        text = (FOLDER / "nginx-lua/nginx.conf").read_text()
        replaced = {
            "SOURCE": str(FOLDER / "nginx-lua"),
            "FOLDER": str(folder),
            " REDIS_PORT;": f" REDIS_PORT={redis.port};",
            "127.0.0.1:PORT": f"127.0.0.1:{port}",
        }
        for name, value in replaced.items():
            text = text.replace(name, value)
        (folder / "nginx.conf").write_text(text)
        # A master that runs as root starts its worker as another user, who can't read the folder.
        who = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(who + text)
        command = ["nginx", "-e", str(folder / "nginx-start.err"), "-c", str(folder / "nginx.conf")]
        super().__init__("nginx-lua", command, folder, port=port)
        self.beside = [redis]

    def cpu_pid(self):
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])

    def stop(self):
        self.process.terminate()  # the master ends its worker
        self.process.wait()


def fastapi(folder, redis):
    python = TARGET / "venv/bin/python"
    wanted = FOLDER / "fastapi-redis/requirements.txt"
    stamp = TARGET / "venv/installed"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        # Debian has it in a package of its own, without which venv makes a folder without pip.
        host.need(f"{sysconfig.get_path('stdlib')}/ensurepip/__init__.py", "python3-venv")
        host.note("installing what FastAPI needs into target/peers/venv")
        host.run(["python3", "-m", "venv", str(TARGET / "venv")])
        host.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)])
        stamp.write_text(wanted.read_text())
    port = free_port()
    command = [str(python), "-B", str(FOLDER / "fastapi-redis/main.py"), str(redis.port), str(port)]
    server = Server("fastapi-redis", command, folder, port=port, env=environment())
    server.beside = [redis]
    return server


def know(redis, users, prefix="known-0"):
    """Users who have seen everything, for the peers that keep them in Redis."""
    shown = [word for number in range(8) for word in (b"campaign-%d" % number, b"1764486000000")]
    redis.pipe([[b"HSET", f"u:{prefix}-{user}".encode(), *shown] for user in range(users)])
