"""Review of one account for a meeting: plan, results, processes, commitments, risk, next step.

Everything is read as it was known at midnight of a day. An account that has ended is shown as of
its last day. The customer may see only what `for_customer` lists: columns, facts and attributes
added later are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.accounts import shown_name
from leadsignal.files.writing import json_ready, plain_row
from leadsignal.formats import day_text, of_hundred, share_text
from leadsignal.html_pages import number
from leadsignal.plots import COLOURS, GREY, LABEL, axes_of, write_title
from leadsignal.report.charts import Bar, Lane, Mark, Point, Series
from leadsignal.report.summary_types import WORDS
from leadsignal.results import Result
from leadsignal.scoring.reasons import NextStep

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DONE, DONE_LATE, OPEN, LATE = "done", "done late", "open", "late"
"""States of a commitment."""
COMMITMENT_STATES = (LATE, OPEN, DONE_LATE, DONE)


@dataclass(frozen=True)
class ProcessReview:
    """State of one essential process in an account.

    ``state`` is that of the panel and ``since`` its first day; ``due_on`` is the milestone and
    ``adopted_on`` the day of the first adoption; ``events`` and ``users`` count the current window,
    and ``needs`` describes the rule; ``before`` and ``after`` are the mean results in the 90 days
    before and after the first adoption, None if not measured.
    """

    name: str
    why: str
    needs: str
    state: str
    since: date | None
    due_on: date | None
    adopted_on: date | None
    events: float | None
    users: float | None
    before: float | None
    after: float | None

    @property
    def milestone_met(self) -> bool | None:
        """Whether the process was adopted by its milestone; None while open or unknown."""
        if self.due_on is None or self.state in ("unknown", "not applicable"):
            return None
        if self.adopted_on is not None:
            return self.adopted_on <= self.due_on
        return None if self.state == "pending" else False


@dataclass(frozen=True)
class Missed:
    """An item that is overdue and needs a new date."""

    what: str
    owner: str
    due_on: date
    days: int


@dataclass(frozen=True)
class Risk:
    """Probability of churn within ``horizon`` days, as a model predicts it.

    ``typical`` is `ChurnModel.typical_risk` of the accounts scored on the same day, None if it is
    unknown; ``rank`` 1 is the highest risk of ``of`` accounts.
    """

    risk: float
    typical: float | None
    horizon: int
    rank: int
    of: int
    reasons: tuple[str, ...]
    model_version: str

    def __str__(self) -> str:
        typical = (
            "" if self.typical is None else f"; of 100 typical accounts {of_hundred(self.typical)}"
        )
        return (
            f"Of 100 accounts like this, {of_hundred(self.risk)} leave within {self.horizon} days"
            f"{typical}. It ranks {self.rank} of {self.of} by risk"
        )


@dataclass(frozen=True)
class AccountStatus:
    """Results of ``metric`` so far: the first, best and latest value, compared with the target.

    ``met`` is whether the latest result with a ``target`` reaches it, and ``met_on`` its day (None
    if no result has a target); ``met_share`` is the share of the last 365 days' results that reach
    their target; ``not_shown`` counts results never shown to the customer.
    """

    metric: str
    measured: int
    first: float
    first_on: date
    best: float
    best_on: date
    latest: float
    latest_on: date
    target: float | None
    higher_is_better: bool
    met: bool | None
    met_share: float | None
    days_since_best: int
    not_shown: int
    shown_on: date | None
    met_on: date | None = None


# The review ---------------------------------------------------------------------------------------


FRAMES = ("plans", "results", "episodes", "commitments", "tickets", "contract_changes")
"""Frames of a review, each with the rows of one table."""


@dataclass(frozen=True, repr=False, eq=False)
class Review(Result):
    """Review of one account; its frames hold the account's visible rows, the oldest first.

    ``facts`` has name, owner, currency, started_on, ended_on, notice_on, arr, term_months,
    renewal_on and customer_id; ``attributes`` has the declared attributes. The frames are
    ``plans``, ``results``, ``commitments`` (with ``state``), ``tickets``, ``contract_changes`` and
    ``episodes`` of adoption. ``contacts`` has the last day of each tracked kind of contact;
    ``missed`` lists the items that need a new date, and ``steps`` what to agree on, the most
    important first.
    """

    account_id: str
    as_of_date: date
    facts: Mapping[str, Any]
    attributes: Mapping[str, Any]
    objective: str
    plans: pd.DataFrame
    results: pd.DataFrame
    status: AccountStatus | None
    processes: tuple[ProcessReview, ...]
    episodes: pd.DataFrame
    commitments: pd.DataFrame
    tickets: pd.DataFrame
    contract_changes: pd.DataFrame
    contacts: Mapping[str, date | None]
    missed: tuple[Missed, ...]
    steps: tuple[NextStep, ...]
    risk: Risk | None = None

    @property
    def title(self) -> str:
        """The account's name with its id, or only its id."""
        return shown_name(self.account_id, self.facts.get("name"))

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What to agree on, as text."""
        return tuple(map(str, self.steps))

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """The latest open plan, otherwise the latest closed one; None without a plan."""
        if not len(self.plans):
            return None
        opened = self.plans[self.plans["closed_on"].isna()]
        row: Mapping[str, Any] = plain_row(
            (opened if len(opened) else self.plans).iloc[-1].to_dict()
        )
        return row

    @property
    def last_day(self) -> date:
        """The as-of date, or the account's last day if it has ended."""
        ended: date | None = self.facts["ended_on"]
        return self.as_of_date if ended is None else ended

    def _table(self) -> pd.DataFrame:
        """Return the events, one per row: day, kind, what, detail."""
        import pandas as pd

        rows = sorted(_events(self), key=lambda row: (row[0], row[1], row[2]))
        return pd.DataFrame(rows, columns=["day", "kind", "what", "detail"])

    def _notebook_table(self) -> None:
        return None

    def series(self) -> Series | None:
        """Return the results with their target over time; None without results."""
        return None if self.status is None else result_series(self.results, self.status)

    def lanes(self) -> list[Lane]:
        """Return plans, processes, commitments, tickets and contract changes on a time axis."""
        frames = {name: getattr(self, name) for name in FRAMES}
        return event_lanes(frames, self.processes, self.facts["started_on"], self.last_day)

    def to_dict(self) -> dict[str, Any]:
        """Return the review as plain dictionaries and lists, ready for JSON."""
        content: dict[str, Any] = {
            "account_id": self.account_id,
            "as_of": self.as_of_date,
            **self.facts,
            "attributes": dict(self.attributes),
            "objective": self.objective,
            "status": asdict(self.status) if self.status else None,
            "processes": [
                {**asdict(process), "milestone_met": process.milestone_met}
                for process in self.processes
            ],
            "contacts": dict(self.contacts),
            "missed": [asdict(missed) for missed in self.missed],
            "next_steps": list(self.next_steps),
            "risk": asdict(self.risk) if self.risk else None,
            **{name: getattr(self, name).to_dict("records") for name in FRAMES},
        }
        ready: dict[str, Any] = json_ready(content)
        return ready

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot results and target above processes, plans, tickets and contract changes."""
        first = self.facts["started_on"]
        return plot_timeline(self.account_id, self.series(), self.lanes(), first, self.last_day, ax)

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def _events(review: Review) -> Iterator[tuple[date, str, str, str]]:
    """Yield each event: day, kind, what, detail."""
    yield review.facts["started_on"], "account", "started", ""
    if review.facts["notice_on"]:
        yield review.facts["notice_on"], "account", "notice given", ""
    if review.facts["ended_on"]:
        yield review.facts["ended_on"], "account", "ended", review.facts["end_reason"] or ""
    for row in map(plain_row, review.plans.to_dict("records")):
        yield row["agreed_on"], "plan", "agreed", row["objective"]
        if row["closed_on"]:
            yield row["closed_on"], "plan", "closed", row["objective"]
    for row in map(plain_row, review.results.to_dict("records")):
        against = "" if row["target"] is None else f"target {row['target']:g}"
        yield row["measured_on"], "result", f"{row['value']:g}", against
    for row in map(plain_row, review.episodes.to_dict("records")):
        yield row["adopted_on"], "process", "adopted", row["process"]
        if row["lapsed_on"]:
            yield row["lapsed_on"], "process", "lapsed", row["process"]
    for row in map(plain_row, review.commitments.to_dict("records")):
        yield row["due_on"], "commitment", f"{row['owner']}: {row['state']}", row["action"]
    for row in map(plain_row, review.tickets.to_dict("records")):
        yield row["opened_at"], "ticket", "opened", row["severity"] or ""
    for row in map(plain_row, review.contract_changes.to_dict("records")):
        delta = "" if row["arr_delta"] is None else f"ARR {row['arr_delta']:+,.0f}"
        yield row["changed_at"], "contract", row["kind"], delta


def _lines(review: Review) -> Iterator[str]:
    facts, status, plan = review.facts, review.status, review.plan
    ended = f", ended {facts['ended_on']}" if facts["ended_on"] else ""
    yield f"{review.title} on {review.as_of_date}: customer since {facts['started_on']}{ended}"
    if plan:
        yield f"  plan: {plan['objective']}" + (f" by {plan['target_on']}" if plan["target_on"]
                                                else "")  # fmt: skip
    if status:
        target = "" if status.target is None else f", target {status.target:g}"
        if status.met_on not in (None, status.latest_on):
            target += f" {'met' if status.met else 'missed'} on {status.met_on}"
        yield f"  {status.metric}: {status.latest:g} on {status.latest_on}{target}"
    for process in review.processes:
        since = f" since {process.since}" if process.since else ""
        yield f"  {process.name}: {process.state}{since}"
    if len(review.commitments):
        counts = review.commitments["state"].value_counts()
        listed = (f"{counts[state]} {state}" for state in COMMITMENT_STATES if state in counts)
        yield f"  commitments: {', '.join(listed)}"
    if review.risk:
        yield f"  risk: {share_text(review.risk.risk)} within {review.risk.horizon} days"
    if review.next_steps:
        yield f"  next step: {review.next_steps[0]}"


# Lanes of the chart -------------------------------------------------------------------------------


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
    frames: Mapping[str, pd.DataFrame], processes: Sequence[ProcessReview], first: date, last: date
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
    """Return shape, kind and meaning of the marks that are drawn, in the order of their list."""
    used = {(mark.shape, mark.kind) for lane in lanes for mark in lane.marks}
    for point in series.points if series else ():
        used.add(("dot", {True: "good", False: "bad hollow", None: "plain"}[point.good]))
    meanings: list[tuple[str, str, str]] = [tuple(one) for one in WORDS["marks"]["meanings"]]
    return [one for one in meanings if one[:2] in used]


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


# Plots --------------------------------------------------------------------------------------------


BLUE, RED, GREEN = COLOURS[:3]
KINDS = {"good": GREEN, "warn": COLOURS[5], "bad": RED, "accent": "black"}
"""Colours of marks by the first word of their kind; others are grey."""
MARKERS = {"dot": "o", "up": "^", "down": "v", "diamond": "D", "square": "s", "tick": "|",
           "cross": "x"}  # fmt: skip
"""Markers of matplotlib by the shape of a mark."""
LANE = 0.075
"""Height of a lane as a fraction of the plot."""


def plot_timeline(
    title: str,
    series: Series | None,
    lanes: Sequence[Lane],
    first: date,
    last: date,
    ax: Axes | None = None,
) -> Axes:
    """Draw results above lanes of events on one time axis, and return the Axes.

    The data are those of `leadsignal.report.charts.timeline`, which draws the same as SVG.
    """
    axes = axes_of(ax, (9, 5.2))
    axes.xaxis_date()
    measured = f"{series.label}, and what happened" if series else "what happened"
    write_title(axes, f"{title}: {measured}")
    if series is None:
        axes.set_yticks([])
        axes.annotate("nothing measured yet", (0.02, 0.5), xycoords="axes fraction", color=GREY)
    else:
        _draw_series(series, axes)
    room = _make_room(axes, len(lanes))
    for n, lane in enumerate(lanes):
        _draw_lane(axes, lane, room * (1 - (n + 0.8) / len(lanes)))
    start = _number(first)
    axes.set_xlim(start, max(_number(last), start + 1))
    return axes


def _make_room(axes: Axes, lanes: int) -> float:
    """Lengthen the axis downwards for the lanes; return the share of it that they take."""
    room = min(LANE * lanes, 0.7)
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    axes.set_ylim(low - (high - low) * room / (1 - room), high)
    axes.set_yticks(ticks)
    axes.spines["left"].set_bounds(low, high)
    return room


def _draw_series(series: Series, axes: Axes) -> None:
    points = series.points
    axes.plot([_number(p.on) for p in points], [p.value for p in points], color=BLUE, linewidth=1.8)
    if series.targets:
        days, targets = zip(*series.targets, strict=True)
        axes.step([_number(day) for day in days], targets, where="post", color="black",
                  linestyle="--", linewidth=1.2, label="target")  # fmt: skip
    for met, face, label in ((True, GREEN, "met"), (False, "white", "missed")):
        shown = [point for point in points if point.good is met]
        if shown:
            axes.scatter([_number(p.on) for p in shown], [p.value for p in shown], s=34, zorder=3,
                         label=label, facecolor=face, edgecolor=GREEN if met else RED)  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=LABEL)


def _draw_lane(axes: Axes, lane: Lane, y: float) -> None:
    place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    if lane.bars:
        spans = [(_number(b.since), _number(b.until) - _number(b.since)) for b in lane.bars]
        axes.broken_barh(spans, (y - 0.02, 0.04), color=BLUE, alpha=0.35, **place)
    for mark in lane.marks:
        colour = KINDS.get(mark.kind.split()[0], GREY)
        axes.plot([_number(mark.on)], [y], marker=MARKERS[mark.shape], color=colour, markersize=6,
                  linestyle="", **place)  # fmt: skip
    axes.annotate(lane.label, (0, y), xycoords="axes fraction", xytext=(-6, 0), ha="right",
                  va="center", textcoords="offset points", fontsize=LABEL,
                  annotation_clip=False)  # fmt: skip


def _number(day: date) -> float:
    """Return a day as matplotlib counts them, from 1970."""
    return float(day.toordinal() - date(1970, 1, 1).toordinal())


# For the customer ---------------------------------------------------------------------------------


FACTS = ("name", "started_on", "ended_on")
"""Facts of the account that are included."""

ROWS: Mapping[str, Sequence[str]] = {
    "plans": ("agreed_on", "objective", "metric", "target", "target_on", "sponsor", "next_phase",
              "closed_on"),
    "results": ("measured_on", "value", "metric", "target", "higher_is_better", "met"),
    "commitments": ("agreed_on", "due_on", "action", "owner", "completed_on", "state",
                    "days_after_due"),
    "episodes": ("process", "adopted_on", "lapsed_on"),
    "tickets": (),
    "contract_changes": (),
}  # fmt: skip
"""Columns that are included, by frame; frames without columns are empty."""


def for_customer(review: Review) -> Review:
    """Return what the customer may see of a review: plan, results, processes and commitments.

    Left out are risk, next steps, revenue, term, renewal, notice, the reason for an end, all
    attributes, tickets, contract changes, contacts, and which results were shown.

    >>> import leadsignal as ls
    >>> review = ls.review_account(ls.read_tables(ls.sample_folder()), "A-10002")
    >>> visible = for_customer(review)
    >>> visible.facts["arr"], dict(visible.attributes), visible.status.latest
    (None, {}, 8.9)
    """
    frames = {name: _only(getattr(review, name), columns) for name, columns in ROWS.items()}
    return Review(
        account_id=review.account_id,
        as_of_date=review.as_of_date,
        facts={name: value if name in FACTS else None for name, value in review.facts.items()},
        attributes={},
        objective="",
        status=review.status and replace(review.status, not_shown=0, shown_on=None),
        processes=tuple(replace(process, why="") for process in review.processes),
        contacts={},
        missed=review.missed,
        steps=(),
        risk=None,
        **frames,
    )


def _only(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows with the values of some columns only; the other columns are empty."""
    import pandas as pd

    if not columns:
        return frame.iloc[:0]
    hidden = [name for name in frame.columns if name not in columns]
    empty = {name: pd.Series([None] * len(frame), index=frame.index, dtype=object)
             for name in hidden}  # fmt: skip
    return frame.assign(**empty)
