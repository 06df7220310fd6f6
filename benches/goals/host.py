"""The machine: its cores, what a process costs, and what has to be installed."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
LOAD_CORE = CORES[min(1, len(CORES) - 1)]
# Redis and MariaDB have a core of their own where there is one.
BESIDE_CORE = CORES[min(2, len(CORES) - 1)]
HERTZ = os.sysconf("SC_CLK_TCK")


class Unavailable(Exception):
    """Why a row can't be had on this host; its text stands in the table."""


def built(target, profile):
    """Where Cargo puts what it builds by a profile."""
    return target / {"dev": "debug", "test": "debug"}.get(profile, profile)


def description():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", text)
    name = model.group(1).strip() if model else platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{platform.system()} {platform.release()}, {len(CORES)} cores, {name}, {memory} GiB"


def cpu_us(pid):
    """Microseconds of CPU, user and system, of all threads of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // HERTZ


def resident_bytes(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+) kB", text).group(1)) * 1024


def pinned(core, command, death_signal="KILL"):
    """A command on these cores, or on all without. It ends when this process does, however that
    ends."""
    where = [] if core is None else ["taskset", "-c", str(core)]
    return ["setpriv", "--pdeathsig", death_signal, *where, *map(str, command)]


def few_cores(wanted):
    """The note of a row that had fewer cores than it wants; empty where it had them."""
    if len(CORES) >= wanted:
        return ""
    return f"on {len(CORES)} of the {wanted} cores that it wants"


def need(command, package):
    """Installs a Debian package where it may, and names it where it may not."""
    if shutil.which(command) or Path(command).exists():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *package.split()]
        for line in (install, ["apt-get", "update", "-qq"], install):
            subprocess.run(line, env=environment, capture_output=True, check=False)
            if shutil.which(command) or Path(command).exists():
                return
    raise Unavailable(f"please install: {package}")


def run(command, **options):
    """Its output. A failure shows what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{said}")
    return done.stdout


def note(text):
    """Tells whoever waits what is done now; the table alone goes to standard output."""
    print(f"tools/bench: {text}", file=sys.stderr, flush=True)
