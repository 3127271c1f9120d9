"""Hazard ratios, retention and restricted means of risk intervals, with influence functions.

Ends other than churn are competing events: retention at a day is 1 − P(churn by then), and the
restricted mean is the mean number of days until the horizon that are not lost to churn. Without
competing events both are the Kaplan-Meier estimates. Hazard ratios are cause-specific.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals
from leadsignal.errors import OptionError
from leadsignal.stats.estimates import ClusteredEstimate
from leadsignal.survival.contrasts import probability_at, restricted_mean
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.curves import Curves, aalen_johansen
from leadsignal.survival.estimates import Estimates
from leadsignal.survival.inputs import Floats, Ints, sums_by_code

MIN_AT_RISK = 10
"""Minimum number of rows at risk for which a curve is evaluated."""


def distinct(codes: Ints) -> int:
    """Return the number of distinct codes (0, 1, …)."""
    return int(np.count_nonzero(np.bincount(codes)))


def clusters_of(cohorts: DatedCohorts) -> int:
    """Return the number of clusters that the accounts form."""
    return int(cohorts.cluster.max()) + 1


def weights_of(intervals: RiskIntervals, cohorts: DatedCohorts) -> Floats:
    """Return row weights: those of the method, times the sampling weights of the accounts."""
    if cohorts.weight is None:
        return intervals.weight
    return intervals.weight * cohorts.weight[intervals.account]


def hazard_ratio(
    intervals: RiskIntervals,
    cohorts: DatedCohorts,
    level: int,
    X: Floats | None = None,
    strata: Ints | None = None,
) -> tuple[ClusteredEstimate, CoxFit]:
    """Return the log hazard ratio of ``level`` against the first level, and the Cox fit.

    The model is fitted on (start, stop] with Efron's ties and has a column for every other level.
    ``X`` (rows × p) holds row covariates. ``strata`` (rows) are those within which accounts are
    compared; default: the strata of the intervals. Accounts in a sample count with their sampling
    weight (Binder 1992).
    """
    others = [k for k in np.unique(intervals.group).tolist() if k != 0]
    columns = (intervals.group[:, None] == np.array(others)).astype(np.float64)
    if X is not None and X.size:
        columns = np.hstack((columns, X))
    cluster = cohorts.cluster[intervals.account]
    fit = fit_cox(
        columns, intervals.stop, intervals.cause == CHURN, start=intervals.start,
        weights=weights_of(intervals, cohorts),
        strata=intervals.stratum if strata is None else strata,
        cluster=cluster,
        ridge=_slight(columns, len(others)),
    )  # fmt: skip
    place = others.index(level)
    influence = np.zeros(clusters_of(cohorts))
    each = fit.influence
    if each is not None:
        influence[np.flatnonzero(np.bincount(cluster))] = each[:, place]
    if intervals.slopes is not None:
        of_rows = fit.residuals().influence[:, place]
        through = intervals.slopes.through(intervals.account, of_rows)
        influence += sums_by_code(cohorts.cluster, through, len(influence))
    return ClusteredEstimate(float(fit.coef[place]), influence), fit


def _slight(columns: Floats, levels: int) -> Floats:
    """Return a small penalty on covariates only; it keeps coefficients of rare values finite."""
    ridge = np.full(columns.shape[1], 1e-3)
    ridge[:levels] = 0.0
    return ridge


@dataclass(frozen=True, eq=False)
class Groups:
    """The curves of two groups (0 and ``level``) of risk intervals.

    If weights are not taken as known, every row is a cluster of ``curves``.
    """

    intervals: RiskIntervals
    curves: Curves
    cohorts: DatedCohorts
    level: int
    has_days: bool
    """Whether a restricted mean is meaningful; it is not for time-dependent groups."""

    @property
    def until(self) -> float:
        """The last day with ten rows at risk in both groups; one that never has ten is ignored."""
        rows = [self.intervals.of((group,)) for group in (0, self.level)]
        return min(last_day_with(MIN_AT_RISK, one.start, one.stop) for one in rows)

    @property
    def seen_until(self) -> float:
        """The last day on which both groups were observed at all, however few rows are left."""
        return float(min(self.curves.steps.last))

    @property
    def churned(self) -> bool:
        """Whether there is any churn."""
        return CHURN in self.curves.steps.causes

    def retention(self, day: float) -> dict[int, ClusteredEstimate]:
        """Return 1 − P(churn by ``day``) for both groups."""
        return self._both(probability_at(self.curves, day, cause=CHURN), 1.0)

    def mean_days(self, horizon: float) -> dict[int, ClusteredEstimate]:
        """Return mean days not lost to churn from the origin to ``horizon``, for both groups."""
        lost = restricted_mean(self.curves, horizon, cause=CHURN)
        return self._both(lost, horizon - self.curves.steps.origin)

    def _both(self, lost: Estimates, whole: float) -> dict[int, ClusteredEstimate]:
        if lost.note:
            raise OptionError(f"{lost.what}: {lost.note}")
        return {
            int(str(group)): ClusteredEstimate(
                whole - float(lost.estimate[place]), -self._influence(lost, place)
            )
            for place, group in enumerate(lost.groups)
        }

    def _influence(self, lost: Estimates, place: int) -> Floats:
        """Return the influence of each cluster on a group, also through estimated weights."""
        clusters, cluster = clusters_of(self.cohorts), self.cohorts.cluster[self.intervals.account]
        found = np.zeros(clusters)
        if lost.influence is None:
            return found
        influence = lost.influence[:, place]
        if self.intervals.slopes is None:
            found[np.flatnonzero(np.bincount(cluster))] = influence
            return found
        through = self.intervals.slopes.through(self.intervals.account, influence)
        found += sums_by_code(cluster, influence, clusters)
        return found + sums_by_code(self.cohorts.cluster, through, clusters)


def groups_of(intervals: RiskIntervals, cohorts: DatedCohorts, level: int) -> Groups:
    """Return the curves of ``level`` and of the first group, with errors clustered."""
    rows = intervals.of((0, level))
    known = rows.slopes is None
    curves = aalen_johansen(
        rows.stop, rows.cause, start=rows.start, weights=weights_of(rows, cohorts),
        group=rows.group, bands=False,
        cluster=cohorts.cluster[rows.account] if known else np.arange(len(rows.account)),
    )  # fmt: skip
    in_motion = rows.method in ("time_dependent", "at_renewals")
    has_days = not in_motion or cohorts.since_the_start
    return Groups(rows, curves, cohorts, level, has_days)


def median_day(intervals: RiskIntervals, cohorts: DatedCohorts, group: int) -> float:
    """Return the first day by which half of a group has churned; infinite if there is none."""
    rows = intervals.of((group,))
    if not (rows.cause == CHURN).any():
        return float("inf")
    curve = aalen_johansen(
        rows.stop, rows.cause, start=rows.start, weights=weights_of(rows, cohorts), bands=False
    ).of("all", CHURN)
    below = np.flatnonzero(curve.estimate >= 0.5)
    return float(curve.time[below[0]]) if len(below) else float("inf")


def last_day_with(rows: int, start: Floats, stop: Floats) -> float:
    """Return the last day with this number of rows at risk; infinite if there is none."""
    stops = np.sort(stop)
    there = np.searchsorted(np.sort(start), stops) - np.searchsorted(stops, stops)
    enough = np.flatnonzero(there >= rows)
    return float(stops[enough[-1]]) if len(enough) else float("inf")


def rate(days: float, churns: float) -> float:
    """Return churns per 1,000 account-months (of 365.25/12 days)."""
    return float(1000 * churns / (days / (365.25 / 12))) if days > 0 else float("nan")
