"""What a review of one account holds, how it prints and what happened in it day by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.files.records import json_ready, plain_row
from leadsignal.phrases import of_hundred
from leadsignal.results import to_html

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DONE, DONE_LATE, OPEN, LATE = "done", "done late", "open", "late"
COMMITMENT_STATES = (LATE, OPEN, DONE_LATE, DONE)


@dataclass(frozen=True)
class ProcessReview:
    """How an account stands on one essential process.

    ``state`` as in the panel and ``since`` when; ``due_on`` the milestone, ``adopted_on`` the first
    adoption; ``events`` and ``users`` of the current window, ``needs`` in words; ``before`` and
    ``after`` the mean result of 90 days before and after the first adoption, where measured.
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
        """Whether it was adopted by its milestone; None while that is open or cannot be told."""
        if self.due_on is None or self.state in ("unknown", "not applicable"):
            return None
        if self.adopted_on is not None:
            return self.adopted_on <= self.due_on
        return None if self.state == "pending" else False


@dataclass(frozen=True)
class Missed:
    """What was due and is not done, so that it needs a new date."""

    what: str
    owner: str
    due_on: date
    days: int


@dataclass(frozen=True)
class Risk:
    """What a model says: P(leaves within the horizon), beside that of the typical account.

    ``typical`` is `ChurnModel.typical_risk` of the accounts scored that day, None where it is not
    known; ``rank`` 1 is the riskiest.
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
    """Results so far: of ``metric``, the first, best and latest, and how they stand to the target.

    ``met`` is whether the latest that has a ``target`` reaches it, and ``met_on`` its day (None
    where none has one), ``met_share`` the share of the last 365 days' that did; ``not_shown``
    counts results never shown to the customer.
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


@dataclass(frozen=True, repr=False, eq=False)
class Review:
    """One account's page. Frames hold the account's visible rows, the oldest first.

    ``facts``: started_on, ended_on, notice_on, arr, term_months, renewal_on, customer_id;
    ``attributes`` as declared; ``plans``, ``results``, ``commitments`` (with ``state``),
    ``tickets``, ``contract_changes``, ``episodes`` of adoption; ``contacts``, the last day of each
    tracked kind; ``missed`` needs a new date; ``next_steps``, the first to be agreed on now.
    """

    account_id: str
    as_of_date: date
    facts: Mapping[str, Any]
    attributes: Mapping[str, Any]
    objective: str
    plans: pd.DataFrame
    results: pd.DataFrame
    standing: AccountStatus | None
    processes: tuple[ProcessReview, ...]
    episodes: pd.DataFrame
    commitments: pd.DataFrame
    tickets: pd.DataFrame
    contract_changes: pd.DataFrame
    contacts: Mapping[str, date | None]
    missed: tuple[Missed, ...]
    next_steps: tuple[str, ...]
    risk: Risk | None = None

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """The plan that is open and was agreed last, else the last one closed; None without."""
        if not len(self.plans):
            return None
        opened = self.plans[self.plans["closed_on"].isna()]
        row: Mapping[str, Any] = plain_row(
            (opened if len(opened) else self.plans).iloc[-1].to_dict()
        )
        return row

    @property
    def last_day(self) -> date:
        """The day to which the account is shown: as_of, or its last day."""
        ended: date | None = self.facts["ended_on"]
        return self.as_of_date if ended is None else ended

    def to_frame(self) -> pd.DataFrame:
        """Return everything that happened as one row each: day, kind, what, detail."""
        import pandas as pd

        rows = sorted(_events(self), key=lambda row: (row[0], row[1], row[2]))
        return pd.DataFrame(rows, columns=["day", "kind", "what", "detail"])

    def to_dict(self) -> dict[str, Any]:
        """Return the review as plain dictionaries and lists, ready for JSON."""
        frames = ("plans", "results", "episodes", "commitments", "tickets", "contract_changes")
        content: dict[str, Any] = {
            "account_id": self.account_id,
            "as_of": self.as_of_date,
            **self.facts,
            "attributes": dict(self.attributes),
            "objective": self.objective,
            "standing": asdict(self.standing) if self.standing else None,
            "processes": [
                {**asdict(process), "milestone_met": process.milestone_met}
                for process in self.processes
            ],
            "contacts": dict(self.contacts),
            "missed": [asdict(missed) for missed in self.missed],
            "next_steps": list(self.next_steps),
            "risk": asdict(self.risk) if self.risk else None,
            **{name: getattr(self, name).to_dict("records") for name in frames},
        }
        ready: dict[str, Any] = json_ready(content)
        return ready

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw results against target over processes, plans, tickets and contract changes."""
        from leadsignal.report.account.plots import draw_review

        return draw_review(self, ax)

    def __repr__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        return to_html(repr(self))


def _events(made: Review) -> Iterator[tuple[date, str, str, str]]:
    """Yield each dated thing of the review: day, kind, what, detail."""
    yield made.facts["started_on"], "account", "started", ""
    if made.facts["notice_on"]:
        yield made.facts["notice_on"], "account", "notice given", ""
    if made.facts["ended_on"]:
        yield made.facts["ended_on"], "account", "ended", made.facts["end_reason"] or ""
    for row in map(plain_row, made.plans.to_dict("records")):
        yield row["agreed_on"], "plan", "agreed", row["objective"]
        if row["closed_on"]:
            yield row["closed_on"], "plan", "closed", row["objective"]
    for row in map(plain_row, made.results.to_dict("records")):
        against = "" if row["target"] is None else f"target {row['target']:g}"
        yield row["measured_on"], "result", f"{row['value']:g}", against
    for row in map(plain_row, made.episodes.to_dict("records")):
        yield row["adopted_on"], "process", "adopted", row["process"]
        if row["lapsed_on"]:
            yield row["lapsed_on"], "process", "lapsed", row["process"]
    for row in map(plain_row, made.commitments.to_dict("records")):
        yield row["due_on"], "commitment", f"{row['owner']}: {row['state']}", row["action"]
    for row in map(plain_row, made.tickets.to_dict("records")):
        yield row["opened_at"], "ticket", "opened", row["severity"] or ""
    for row in map(plain_row, made.contract_changes.to_dict("records")):
        delta = "" if row["arr_delta"] is None else f"ARR {row['arr_delta']:+,.0f}"
        yield row["changed_at"], "contract", row["kind"], delta


def _lines(made: Review) -> Iterator[str]:
    facts, standing, plan = made.facts, made.standing, made.plan
    ended = f", ended {facts['ended_on']}" if facts["ended_on"] else ""
    yield f"{made.account_id} on {made.as_of_date}: customer since {facts['started_on']}{ended}"
    if plan:
        yield f"  plan: {plan['objective']}" + (f" by {plan['target_on']}" if plan["target_on"]
                                                else "")  # fmt: skip
    if standing:
        target = "" if standing.target is None else f", target {standing.target:g}"
        if standing.met_on not in (None, standing.latest_on):
            target += f" {'met' if standing.met else 'missed'} on {standing.met_on}"
        yield f"  {standing.metric}: {standing.latest:g} on {standing.latest_on}{target}"
    for process in made.processes:
        since = f" since {process.since}" if process.since else ""
        yield f"  {process.name}: {process.state}{since}"
    if len(made.commitments):
        counts = made.commitments["state"].value_counts()
        told = ", ".join(
            f"{counts[state]} {state}" for state in COMMITMENT_STATES if state in counts
        )
        yield f"  commitments: {told}"
    if made.risk:
        yield f"  risk: {made.risk.risk:.0%} within {made.risk.horizon} days"
    if made.next_steps:
        yield f"  next step: {made.next_steps[0]}"
