"""Hazard ratios, retention and restricted means of cohorts, and contrasts between two.

Ends other than churn are competing events: retention at a day is 1 − P(churn by then), and the
restricted mean is the mean number of days until the horizon that are not lost to churn. Without
competing events both are the Kaplan-Meier estimates. Hazard ratios are cause-specific.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals
from leadsignal.errors import OptionError
from leadsignal.files.writing import json_fields
from leadsignal.stats import ClusteredEstimate, Estimate
from leadsignal.survival.contrasts import Estimates, probability_at, restricted_mean
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.curves import Curves, aalen_johansen
from leadsignal.survival.inputs import Floats, Ints, sums_by_code

MIN_ACCOUNTS = 5
"""Numbers of cohorts with fewer accounts are suppressed."""
TITLES = {
    "naive": "naive",
    "at_renewals": "at renewals",
    "time_dependent": "time-dependent",
    "landmark": "landmark",
    "target_trial": "target trial",
}


@dataclass(frozen=True)
class Cohort:
    """Numbers of one cohort.

    Parameters
    ----------
    name : str
        Name of the cohort.
    accounts : int
        Number of accounts that were ever in the cohort.
    account_days : float
        Total time that accounts spent in the cohort, in days.
    ended : int
        Number of accounts that churned while in the cohort.
    rate : float or None
        Churns per 1,000 account-months at the tenure of the first cohort: its own rate, multiplied
        by the quoted hazard ratio for the other cohorts. With many small groups, the rate of all
        accounts times observed over expected churns. None if there is no ratio.
    retention_12m, retention_24m : Estimate or None
        Retention by the method ``curve``; None if the curve ends earlier.
    median_days : float or None
        Day by which half of the accounts have churned, by the method ``curve``; None if unknown.
    curve : str
        Method used for retention and the median.
    days_before : float
        Share of its accounts' days that came before they joined the cohort.
    """

    name: str
    accounts: int
    account_days: float
    ended: int
    rate: float | None
    retention_12m: Estimate | None
    retention_24m: Estimate | None
    median_days: float | None
    curve: str
    days_before: float

    @property
    def suppressed(self) -> bool:
        """Whether the cohort has too few accounts for its numbers to be published."""
        return self.accounts < MIN_ACCOUNTS

    def to_dict(self) -> dict[str, Any]:
        """Return the cohort as a plain dictionary; suppressed cohorts have no numbers."""
        renamed = {"churn_per_1000_account_months": "rate"}
        more = {"read_from": "curve", "days_before_event": "days_before"}
        after_year, after_two = self.retention_12m, self.retention_24m
        plain = {
            **json_fields(self, "name", "accounts", "account_days", "ended", *renamed, **renamed),
            "retention_12m": after_year and after_year.estimate,
            "retention_24m": after_two and after_two.estimate,
            **json_fields(self, "median_days", *more, "suppressed", **more),
        }
        if self.suppressed:
            plain |= {key: None for key in plain if key not in ("name", "suppressed", "read_from")}
        return plain


@dataclass(frozen=True)
class Contrast:
    """Numbers of one cohort against another by one method; None if they cannot be estimated.

    Parameters
    ----------
    cohort, against : str
        Names of the cohort and of its reference.
    method : str
        The method.
    adjusted_for : tuple of str
        Names of the covariates that are adjusted for.
    accounts, ended : tuple of int
        Accounts and churns in each cohort; in a target trial, counted after the landmark, when the
        clones of an account differ.
    hazard_ratio : Estimate or None
        Ratio of the churn hazards.
    rmst_days, rmst_ratio : Estimate or None
        Difference and ratio of the mean days not lost to churn between ``origin`` and ``horizon``.
    retention_12m, retention_24m : tuple of Estimate or None
        Retention in each cohort.
    e_value : tuple of float or None
        E-values of the hazard ratio and of its confidence limit nearer to 1.
    shrinkage : Estimate or None
        Immortal-time bias: the naive ratio divided by this one.
    shrinkage_of : str
        Quantity that ``shrinkage`` refers to.
    log_rank_p : float or None
        P-value of the log-rank test.
    origin, horizon : float
        Days since time zero between which mean days are computed.
    effective, highest_weight : tuple of float or None
        For weighted methods, the effective number of accounts, and the highest weight divided by
        the mean weight.
    """

    cohort: str
    against: str
    method: str
    adjusted_for: tuple[str, ...]
    accounts: tuple[int, int]
    ended: tuple[int, int]
    hazard_ratio: Estimate | None = None
    rmst_days: Estimate | None = None
    rmst_ratio: Estimate | None = None
    retention_12m: tuple[Estimate, Estimate] | None = None
    retention_24m: tuple[Estimate, Estimate] | None = None
    e_value: tuple[float, float] | None = None
    shrinkage: Estimate | None = None
    shrinkage_of: str = ""
    log_rank_p: float | None = None
    origin: float = 0.0
    horizon: float | None = None
    effective: tuple[float, float] | None = None
    highest_weight: tuple[float, float] | None = None

    @property
    def suppressed(self) -> bool:
        """Whether either cohort has too few accounts for its numbers to be published."""
        return min(self.accounts) < MIN_ACCOUNTS

    @property
    def artefact(self) -> bool:
        """Whether the naive ratio shows a stronger or opposite difference, beyond chance."""
        corrected = self.hazard_ratio if self.shrinkage_of == "hazard ratio" else self.rmst_ratio
        if self.shrinkage is None or corrected is None or not self.shrinkage.excludes(1.0):
            return False
        c, n = np.log(corrected.estimate), np.log(corrected.estimate * self.shrinkage.estimate)
        return bool(n * c <= 0 or abs(c) < abs(n))

    def to_dict(self) -> dict[str, Any]:
        """Return the contrast as a plain dictionary, ready for JSON."""
        numbers = ("hazard_ratio", "rmst_days", "rmst_ratio", "shrinkage", "retention_12m",
                   "retention_24m")  # fmt: skip
        more = ("artefact", "log_rank_p", "from_day", "horizon_days", "effective_accounts",
                "highest_weight")  # fmt: skip
        renamed = {
            "from_day": "origin",
            "horizon_days": "horizon",
            "effective_accounts": "effective",
        }
        e_value = self.e_value and list(map(finite_or_none, self.e_value))
        plain = {
            **json_fields(self, "cohort", "against", "method", "adjusted_for", "accounts", "ended"),
            **json_fields(self, "suppressed", *numbers),
            "p": self.hazard_ratio and self.hazard_ratio.p,
            "e_value": e_value,
            "shrinkage_of": self.shrinkage_of or None,
            **json_fields(self, *more, **renamed),
        }
        return plain | (dict.fromkeys(("accounts", "ended")) if self.suppressed else {})


def finite_or_none(value: float) -> float | None:
    """Return a number for JSON; None if it is infinite or missing."""
    return value if np.isfinite(value) else None


CORRECTED = ("at_renewals", "time_dependent", "target_trial", "landmark")
"""Methods free of immortal-time bias, in order of preference."""


def find_contrast(
    contrasts: Sequence[Contrast], method: str, cohort: str | None = None, *, adjusted: bool = False
) -> Contrast | None:
    """Return the contrast of a method, or None; ``cohort`` defaults to the first cohort."""
    for contrast in contrasts:
        matches = contrast.method == method and cohort in (None, contrast.cohort)
        if matches and bool(contrast.adjusted_for) == adjusted:
            return contrast
    return None


def preferred(contrasts: Sequence[Contrast], method: str, cohort: str) -> Contrast | None:
    """Return the contrast of a method, adjusted if possible; None if there is none."""
    adjusted = find_contrast(contrasts, method, cohort, adjusted=True)
    return adjusted or find_contrast(contrasts, method, cohort)


def best_of(contrasts: Sequence[Contrast], cohort: str) -> Contrast | None:
    """Return the contrast by the first available method of `CORRECTED`, adjusted if possible."""
    found = (preferred(contrasts, method, cohort) for method in CORRECTED)
    return next((one for one in found if one is not None), None)


def cohorts_of(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    """Return the compared cohorts, in order."""
    return tuple(dict.fromkeys(contrast.cohort for contrast in contrasts))


def e_value(hazard_ratio: Estimate) -> tuple[float, float]:
    """Return the E-values of a hazard ratio and of its confidence limit nearer to 1.

    The E-value is the risk ratio that a confounder must have with both exposure and churn to
    explain the association (VanderWeele & Ding 2017). A hazard ratio of a common outcome is first
    converted to a risk ratio by (1 − ½^√HR)/(1 − ½^√(1/HR)). The E-value of the limit is 1 if the
    interval contains 1.

    Examples
    --------
    >>> tuple(round(e, 2) for e in e_value(Estimate(0.5, 0.3, 0.8, 0.01)))
    (2.61, 1.61)
    """
    nearer = hazard_ratio.low if hazard_ratio.estimate > 1 else hazard_ratio.high
    limit = _e_value(nearer) if hazard_ratio.excludes(1.0) else 1.0
    return _e_value(hazard_ratio.estimate), limit


def _e_value(ratio: float) -> float:
    if not 0 < ratio < np.inf:
        return float("inf")
    risk = (1 - 0.5 ** np.sqrt(ratio)) / (1 - 0.5 ** np.sqrt(1 / ratio))
    risk = max(risk, 1 / risk)
    return float(risk + np.sqrt(risk * (risk - 1)))


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
