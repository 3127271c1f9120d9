"""Data of an account's time axis: results as a series, and lanes of events below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.files.records import plain_row
from leadsignal.html_pages import number
from leadsignal.phrases import day_text
from leadsignal.report.account.parts import DONE, DONE_LATE, LATE, AccountStatus, ProcessReview
from leadsignal.report.charts import Bar, Lane, Mark, Point, Series

if TYPE_CHECKING:
    import pandas as pd

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
"""Meaning of each mark; the legend lists those that are drawn."""

COMMITMENT_MARKS = {DONE: ("square", "good"), DONE_LATE: ("square", "warn"), LATE: ("cross", "bad")}
"""Shape and kind of a commitment's mark by its state; an open one is hollow."""

URGENT = frozenset({"high", "critical", "urgent", "blocker", "p1", "p0", "sev1", "severe"})
"""Severities of tickets that are drawn as urgent, in lower case."""


def result_series(results: pd.DataFrame, status: AccountStatus) -> Series:
    """Return results with their target over time."""
    points, targets = [], []
    for row in _rows(results):
        shown_on = "" if row["shown_on"] is None else f", shown {day_text(row['shown_on'])}"
        text = f"{number(row['value'])} on {day_text(row['measured_on'])}{shown_on}"
        points.append(Point(row["measured_on"], row["value"], row["met"], text))
        if row["target"] is not None:
            targets.append((row["measured_on"], row["target"]))
    good = "higher is better" if status.higher_is_better else "lower is better"
    return Series(f"{status.metric.replace('_', ' ')} ({good})", points, targets)


def event_lanes(
    frames: Mapping[str, pd.DataFrame],
    processes: Sequence[ProcessReview],
    first: date,
    last: date,
) -> list[Lane]:
    """Return lanes of plans, processes, commitments, tickets and contract changes.

    ``frames`` are those of a review, by name. Days before ``first`` or after ``last`` are drawn at
    the respective end of the axis. Plans, commitments, tickets and contract changes without rows
    get no lane.
    """

    def within(day: date) -> date:
        return min(max(day, first), last)

    plans = [
        Bar(within(row["agreed_on"]), within(row["closed_on"] or last), "",
            f"plan: {row['objective']}")
        for row in _rows(frames["plans"])
    ]  # fmt: skip
    lanes = [Lane("success plan", plans)] if plans else []
    adopted = list(_rows(frames["episodes"]))
    for process in processes:
        bars = [
            Bar(within(row["adopted_on"]), within(row["lapsed_on"] or last), "good", "adopted")
            for row in adopted
            if row["process"] == process.name
        ]
        lanes.append(_process_lane(process, bars, last))
    marks = {
        f"{owner} commitments": list(_commitments(frames["commitments"], owner, last))
        for owner in ("customer", "vendor")
    }
    marks["tickets"] = [_ticket(row, within(row["opened_at"])) for row in _rows(frames["tickets"])]
    changes = _rows(frames["contract_changes"])
    marks["contract"] = [_change(row, within(row["changed_at"])) for row in changes]
    return [*lanes, *(Lane(label, marks=listed) for label, listed in marks.items() if listed)]


def marks_used(series: Series | None, lanes: Sequence[Lane]) -> list[tuple[str, str, str]]:
    """Return shape, kind and meaning of the marks that are drawn, in the order of MEANINGS."""
    used = {(mark.shape, mark.kind) for lane in lanes for mark in lane.marks}
    for point in series.points if series else ():
        used.add(("dot", {True: "good", False: "bad hollow", None: "plain"}[point.good]))
    return [
        (shape, kind, text) for (shape, kind), text in MEANINGS.items() if (shape, kind) in used
    ]


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    return map(plain_row, frame.to_dict("records"))


def _process_lane(process: ProcessReview, bars: Sequence[Bar], last: date) -> Lane:
    marks = []
    if process.due_on and process.due_on <= last:
        text = f"milestone {day_text(process.due_on)}"
        marks.append(Mark(process.due_on, "diamond", "accent", text))
    return Lane(process.name.replace("_", " "), bars, marks)


def _commitments(commitments: pd.DataFrame, owner: str, last: date) -> Iterator[Mark]:
    for row in _rows(commitments):
        if row["owner"] != owner or row["due_on"] > last:
            continue
        shape, kind = COMMITMENT_MARKS.get(row["state"], ("square", "plain hollow"))
        text = f"{row['action']}, due {day_text(row['due_on'])}: {row['state']}"
        yield Mark(row["due_on"], shape, kind, text)


def _ticket(row: Mapping[str, Any], day: date) -> Mark:
    urgent = str(row["severity"] or "").lower() in URGENT
    severity = f", {row['severity']}" if row["severity"] else ""
    text = f"ticket {day_text(row['opened_at'])}{severity}"
    return Mark(day, "tick", "bad" if urgent else "plain", text)


def _change(row: Mapping[str, Any], day: date) -> Mark:
    kinds = {"expansion": ("up", "good"), "reduction": ("down", "bad")}
    shape, kind = kinds.get(row["kind"], ("diamond", "plain"))
    delta = f", {row['arr_delta']:+,.0f} a year" if row["arr_delta"] else ""
    return Mark(day, shape, kind, f"{row['kind']} {day_text(row['changed_at'])}{delta}")
