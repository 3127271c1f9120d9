"""The parts of an account review: processes, missed dates, risk and status of the results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from leadsignal.phrases import of_hundred

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
