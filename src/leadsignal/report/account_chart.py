"""What the picture of a review shows: results as a series, and lanes of what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from leadsignal.files.records import plain_row
from leadsignal.report.account.review import DONE, DONE_LATE, LATE, Review
from leadsignal.report.charts import Bar, Lane, Mark, Point, Series
from leadsignal.report.html import day_text, number

MEANINGS = {
    ("dot", "good"): "target met",
    ("dot", "bad hollow"): "target missed",
    ("diamond", "accent"): "milestone",
    ("square", "good"): "kept",
    ("square", "warn"): "done late",
    ("cross", "bad"): "missed",
    ("square", "plain hollow"): "open",
    ("tick", "plain"): "ticket",
    ("tick", "bad"): "urgent ticket",
    ("up", "good"): "expansion",
    ("down", "bad"): "reduction",
    ("diamond", "plain"): "renewal or other change",
}
"""What each mark means; the legend names those that are drawn."""

KEPT = {DONE: ("square", "good"), DONE_LATE: ("square", "warn"), LATE: ("cross", "bad")}
"""How a commitment is drawn by its state; an open one is hollow."""

URGENT = frozenset({"high", "critical", "urgent", "blocker", "p1", "p0", "sev1", "severe"})


def series_of(made: Review) -> Series | None:
    """Return the results of the review with their target over time; None without results."""
    standing = made.standing
    if standing is None:
        return None
    points, targets = [], []
    for row in map(plain_row, made.results.to_dict("records")):
        shown = "" if row["shown_on"] is None else f", shown {day_text(row['shown_on'])}"
        told = f"{number(row['value'])} on {day_text(row['measured_on'])}{shown}"
        points.append(Point(row["measured_on"], row["value"], row["met"], told))
        if row["target"] is not None:
            targets.append((row["measured_on"], row["target"]))
    good = "higher is better" if standing.higher_is_better else "lower is better"
    return Series(f"{standing.metric.replace('_', ' ')} ({good})", points, targets)


def lanes_of(made: Review) -> list[Lane]:
    """Return plans, processes, commitments, tickets and contract changes, those that there are."""
    lanes = [_plans(made)] if len(made.plans) else []
    lanes += _processes(made)
    for owner in ("customer", "vendor"):
        marks = list(_commitments(made, owner))
        if marks:
            lanes.append(Lane(f"{owner} commitments", marks=marks))
    if len(made.tickets):
        lanes.append(Lane("tickets", marks=list(_tickets(made))))
    if len(made.contract_changes):
        lanes.append(Lane("contract", marks=list(_contract(made))))
    return lanes


def marks_used(series: Series | None, lanes: Sequence[Lane]) -> list[tuple[str, str, str]]:
    """Return shape, kind and meaning of the marks that are drawn, in the order of MEANINGS."""
    used = {(mark.shape, mark.kind) for lane in lanes for mark in lane.marks}
    for point in series.points if series else ():
        used.add(("dot", {True: "good", False: "bad hollow", None: "plain"}[point.good]))
    return [
        (shape, kind, told) for (shape, kind), told in MEANINGS.items() if (shape, kind) in used
    ]


def _within(made: Review, day: Any) -> Any:
    return min(max(day, made.facts["started_on"]), made.last_day)


def _plans(made: Review) -> Lane:
    bars = []
    for row in map(plain_row, made.plans.to_dict("records")):
        until = _within(made, row["closed_on"] or made.last_day)
        bars.append(Bar(_within(made, row["agreed_on"]), until, "", f"plan: {row['objective']}"))
    return Lane("success plan", bars)


def _processes(made: Review) -> Iterator[Lane]:
    episodes = made.episodes.to_dict("records")
    for process in made.processes:
        bars = []
        for row in map(plain_row, episodes):
            if row["process"] == process.name:
                until = _within(made, row["lapsed_on"] or made.last_day)
                bars.append(Bar(_within(made, row["adopted_on"]), until, "good", "adopted"))
        marks = []
        if process.due_on and process.due_on <= made.last_day:
            told = f"milestone {day_text(process.due_on)}"
            marks.append(Mark(process.due_on, "diamond", "accent", told))
        yield Lane(process.name.replace("_", " "), bars, marks)


def _commitments(made: Review, owner: str) -> Iterator[Mark]:
    frame = made.commitments[made.commitments["owner"] == owner]
    for row in map(plain_row, frame.to_dict("records")):
        if row["due_on"] > made.last_day:
            continue
        shape, kind = KEPT.get(row["state"], ("square", "plain hollow"))
        told = f"{row['action']}, due {day_text(row['due_on'])}: {row['state']}"
        yield Mark(row["due_on"], shape, kind, told)


def _tickets(made: Review) -> Iterator[Mark]:
    for row in map(plain_row, made.tickets.to_dict("records")):
        urgent = str(row["severity"] or "").lower() in URGENT
        severity = f", {row['severity']}" if row["severity"] else ""
        told = f"ticket {day_text(row['opened_at'])}{severity}"
        yield Mark(_within(made, row["opened_at"]), "tick", "bad" if urgent else "plain", told)


def _contract(made: Review) -> Iterator[Mark]:
    kinds = {"expansion": ("up", "good"), "reduction": ("down", "bad")}
    for row in map(plain_row, made.contract_changes.to_dict("records")):
        shape, kind = kinds.get(row["kind"], ("diamond", "plain"))
        delta = f", {row['arr_delta']:+,.0f} a year" if row["arr_delta"] else ""
        told = f"{row['kind']} {day_text(row['changed_at'])}{delta}"
        yield Mark(_within(made, row["changed_at"]), shape, kind, told)
