"""Review of one account: its data, its text and its events by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.account_facts import shown_name
from leadsignal.files.records import json_ready, plain_row
from leadsignal.phrases import share_text
from leadsignal.report.account.parts import (
    COMMITMENT_STATES,
    AccountStatus,
    Missed,
    ProcessReview,
    Risk,
)
from leadsignal.report.account.plots import plot_timeline
from leadsignal.report.account.timeline import event_lanes, result_series
from leadsignal.report.charts import Lane, Series
from leadsignal.results import Result
from leadsignal.scoring.next_steps import NextStep

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

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
