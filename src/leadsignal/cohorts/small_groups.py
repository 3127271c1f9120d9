"""Churn rates of small groups, such as sales reps, shrunk towards the average.

The expected churns of a group follow from the covariates of its accounts, not from the group
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal.cohorts.contrasts import MIN_ACCOUNTS
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.plots import funnel_picture
from leadsignal.cohorts.risk_intervals import RiskIntervals, follow_in_time, within_quarters
from leadsignal.errors import ModelError
from leadsignal.phrases import level_text, share_text
from leadsignal.results import Result
from leadsignal.stats.shrinkage import shrunken_rates
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.curves import nelson_aalen
from leadsignal.survival.inputs import ArrayValidator, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class SmallGroup:
    """One group: its churns ``ended`` against ``expected``, and its rate relative to the average.

    ``rate`` is the shrunken ratio, with limits ``low`` and ``high``; ``raw`` is ended over
    expected. ``better`` is the probability that the group loses fewer accounts than the average.
    """

    name: str
    accounts: int
    ended: int
    expected: float
    raw: float
    rate: float
    low: float
    high: float
    better: float


@dataclass(frozen=True, repr=False)
class SmallGroups(Result):
    """All groups in the order of their names, also by iteration. ``spread`` is the mean of τ."""

    groups: tuple[SmallGroup, ...]
    spread: float
    level: float

    def __iter__(self) -> Any:
        return iter(self.groups)

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame(self.to_dict()["groups"])

    def to_dict(self) -> dict[str, Any]:
        """Return the groups as plain dictionaries, ready for JSON."""
        return {"spread": self.spread, "groups": [_plain(group) for group in self.groups]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot observed over expected churns by group size, with control limits (funnel plot)."""
        return funnel_picture(self._table(), ax)

    def __repr__(self) -> str:
        lines = [
            f"Churn by group, relative to the average of 1 ({level_text(self.level)} intervals;"
            f" spread between groups {self.spread:.2f})"
        ]
        for g in self.groups:
            if g.accounts < MIN_ACCOUNTS:
                lines.append(f"  {g.name}: fewer than {MIN_ACCOUNTS} accounts")
                continue
            lines.append(
                f"  {g.name}: {g.rate:.2f} ({g.low:.2f} to {g.high:.2f}), {g.ended} ended of"
                f" {g.expected:.1f} expected, better than average with {share_text(g.better)}"
            )
        return "\n".join(lines)


def _plain(group: SmallGroup) -> dict[str, Any]:
    plain: dict[str, Any] = {**group.__dict__, "suppressed": group.accounts < MIN_ACCOUNTS}
    if plain["suppressed"]:
        plain |= {key: None for key in plain if key not in ("name", "suppressed")}
    if plain["raw"] is not None and not np.isfinite(plain["raw"]):
        plain["raw"] = None  # no churn was expected, so there is no ratio
    return plain


def shrink(
    names: Sequence[str],
    ended: ArrayLike,
    expected: ArrayLike,
    *,
    accounts: Sequence[int] | None = None,
    level: float = 0.95,
) -> SmallGroups:
    """Return shrunken rates of groups from their observed and expected numbers of churns (k each).

    Raises OptionError with all faults of the counts.

    >>> few = shrink(["a", "b", "c"], [2, 10, 6], [6.0, 6.0, 6.0]).groups[1]
    >>> 1 < few.rate < few.raw
    True
    """
    validator = ArrayValidator("shrink", len(names))
    N, E = validator.numbers("ended", ended), validator.numbers("expected", expected)
    if (N < 0).any() or (E < 0).any():
        validator.refuse("ended or expected is negative; both are counts")
    validator.level(level)
    validator.close()
    counts = accounts if accounts is not None else [MIN_ACCOUNTS] * len(N)
    shrunken = shrunken_rates(N, E, level)
    raw = np.divide(N, E, out=np.full(len(N), np.nan), where=E > 0)
    numbers = (N.astype(int), E, raw, shrunken.rate, shrunken.low, shrunken.high)
    columns = [column.tolist() for column in (*numbers, shrunken.below_average)]
    rows = zip(map(str, names), map(int, counts), *columns, strict=True)
    return SmallGroups(tuple(SmallGroup(*row) for row in rows), shrunken.spread, level)


def expected_ends(cohorts: DatedCohorts, X: Floats | None = None) -> Floats:
    """Return the expected churns of each level (k), given tenure and ``X`` but not the level.

    Accounts are compared within calendar quarters, so that a group is not blamed for having its
    accounts at a time of high churn. Expected churns add up to the observed ones: they are observed
    churns minus Cox martingale residuals, or Nelson-Aalen hazards without covariates.
    """
    if cohorts.weight is not None:  # estimates from a sample would have an error of their own
        raise ModelError(
            f"expected churns of {cohorts.name} need all customers, and these are a sample",
            "Take all customers",
        )
    rows, quarter = within_quarters(follow_in_time(cohorts), cohorts)
    event = rows.cause == CHURN
    if X is not None and X.size and event.any():
        fit = fit_cox(X[rows.account], rows.stop, event, start=rows.start, strata=quarter,
                      ridge=1e-2)  # fmt: skip
        each = event - fit.residuals().martingale
    else:
        each = np.zeros(len(event))
        for one in np.unique(quarter):
            mine = quarter == one
            each[mine] = _cumulated(rows.where(mine))
    return np.bincount(rows.group, each, len(cohorts.levels)).astype(np.float64)


def _cumulated(rows: RiskIntervals) -> Floats:
    """Return the increase of the Nelson-Aalen cumulative hazard over each row."""
    curve = nelson_aalen(rows.stop, rows.cause == CHURN, start=rows.start)[0]
    hazard = np.concatenate(([0.0], curve.estimate))
    until, since = (hazard[np.searchsorted(curve.time, t, "right")]
                    for t in (rows.stop, rows.start))  # fmt: skip
    return until - since
