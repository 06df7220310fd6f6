"""The table: one row a figure, as text, Markdown or JSON."""

import json
from dataclasses import asdict, dataclass

MISSING = "not to be had in this run"


@dataclass
class Row:
    goal_id: str
    what: str
    goal: str
    figure: str
    # None: nothing to meet, or not to be had; the figure then says why.
    met: bool | None
    command: str = ""

    def verdict(self):
        return {True: "yes", False: "no", None: "-"}[self.met]


def row(goal_id, what, figure, at_most=None, at_least=None, unit="", digits=2, note=""):
    """A row of a number with its bound."""
    met, goal = None, ""
    if at_most is not None:
        met, goal = figure <= at_most, f"<= {at_most:,g}{unit}"
    if at_least is not None:
        met, goal = figure >= at_least, f">= {at_least:,g}{unit}"
    text = f"{figure:,.{digits}f}{unit}" + (f" ({note})" if note else "")
    return Row(goal_id, what, goal, text, met, f"tools/bench --only {goal_id}")


def notes(*parts):
    """One note of those that are not empty."""
    return "; ".join(filter(None, parts))


def missing(goal_id, why):
    return Row(goal_id, MISSING, "", why, None, f"tools/bench --only {goal_id}")


def text(rows):
    cells = [("", "what", "goal", "figure", "met", "repeat")]
    cells += [(r.goal_id, r.what, r.goal, r.figure, r.verdict(), r.command) for r in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    lines = []
    for row_ in cells:
        padded = [cell.ljust(width) for cell, width in zip(row_, widths)]
        lines.append("  ".join([*padded, row_[5]]).rstrip())
    return "\n".join(lines)


def markdown(rows):
    lines = ["| | what | goal | figure | met | command |", "|---|---|---|---|---|---|"]
    for r in rows:
        cells = [r.goal_id, r.what, r.goal, r.figure, r.verdict(), f"`{r.command}`"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_json(rows, head):
    return json.dumps({**head, "rows": [asdict(r) for r in rows]}, indent=1)
