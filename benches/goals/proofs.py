"""P0 and P11: what other programs of this tree count, exactly."""

import re
import subprocess

from . import host
from .host import ROOT
from .table import Row, row


def instructions(bench):
    """P0: instructions in user space, by tools/instructions."""
    if bench.is_smoke:
        raise host.Unavailable("tools/instructions has a smoke of its own")
    host.note("P0: instructions")
    done = subprocess.run(
        [str(ROOT / "tools/instructions")], capture_output=True, text=True, check=False
    )
    found = re.search(r"^P0: nothing (\d+) of \d+, show (\d+) of", done.stdout, re.M)
    if not found:
        raise RuntimeError(f"tools/instructions said {(done.stdout + done.stderr)[-500:]!r}")
    nothing, show = map(int, found.groups())
    return [
        row("P0", "instructions of a decision that shows nothing", nothing, 5_000, digits=0),
        row("P0", "instructions of a show", show, 12_000, digits=0),
    ]


def allocations(bench):
    """P11: allocations after warm-up, by the counting allocator of tests/alloc."""
    if bench.is_smoke:
        raise host.Unavailable("tests/alloc is a test by itself")
    host.note("P11: allocations")
    command = ["cargo", "test", "--locked", "--quiet", "--test", "alloc"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed; (\d+) failed", done.stdout)
    if not passed:
        raise RuntimeError(f"tests/alloc said {(done.stdout + done.stderr)[-500:]!r}")
    count, failed = map(int, passed.groups())
    figure = f"0 in {count} scenarios" if not failed else f"some in {failed} scenarios"
    what = "allocations of a decision, a show, an event, a hop, and through Redis"
    return [Row("P11", what, "0", figure, not failed, "cargo test --test alloc")]


ROWS = {"P0": instructions, "P11": allocations}
