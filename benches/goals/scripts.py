"""The scripts of tools/load for tools that need not be here: that they can be read at all."""

import ast
import shutil

from . import host
from .host import ROOT


def check():
    """The syntax of what k6 and locust run; wrk's scripts are run by the rows."""
    ast.parse((ROOT / "tools/load/locustfile.py").read_text())
    if shutil.which("node"):
        host.run(["node", "--check", str(ROOT / "tools/load/k6.mjs")])
    else:
        host.note("no node here: the syntax of tools/load/k6.mjs is not checked")
