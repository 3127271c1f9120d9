"""All methods applied to the same cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from leadsignal.arguments import checked
from leadsignal.cohorts.caveats import cautions_of
from leadsignal.cohorts.comparison import Comparison
from leadsignal.cohorts.contrasts import (
    MIN_ACCOUNTS,
    Cohort,
    Contrast,
    Groups,
    best_of,
    distinct,
    e_value,
    finite_or_none,
    groups_of,
    hazard_ratio,
    median_day,
    rate,
)
from leadsignal.cohorts.curves import SmallGroups, expected_ends, shrink
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.evidence import CLAIM_LAG
from leadsignal.cohorts.risk_intervals import (
    Design,
    RiskIntervals,
    chosen_covariates,
    chosen_methods,
    columns_of,
    compared_in_time,
    follow_from_landmark,
    follow_from_renewals,
    follow_in_time,
    follow_naively,
    propensity,
    slopes_of_propensity,
    with_states_of,
)
from leadsignal.cohorts.trial import Weighting, clone_and_weight
from leadsignal.errors import ModelError, OptionError
from leadsignal.stats import ClusteredEstimate, Estimate, without_rounding
from leadsignal.survival.contrasts import logrank
from leadsignal.survival.inputs import Floats


def rates_at_equal_tenure(
    cohorts: DatedCohorts, contrasts: Sequence[Contrast], small: SmallGroups | None
) -> list[float | None]:
    """Return the churns per 1,000 account-months of each cohort; None if unknown.

    Churns divided by days would be misleading: accounts have their event at a later tenure, at
    which the churn rate differs. The first cohort's rate times a hazard ratio is the rate that the
    other cohort would have at the tenure of the first, so that rates and verdict always agree.
    Small groups that are not compared one by one are standardised indirectly, by observed over
    expected.
    """
    if not contrasts:
        whole = _rate(cohorts, np.ones(len(cohorts.row_state), dtype=bool))
        raw = [np.nan] * len(cohorts.levels) if small is None else [g.raw for g in small]
        return [finite_or_none(whole * ratio) for ratio in raw]
    first = _rate(cohorts, cohorts.row_state == 0)
    ratios = [_ratio(contrasts, name) for name in cohorts.levels[1:]]
    known = first > 0 and any(np.isfinite(ratio) for ratio in ratios)
    return [finite_or_none(first * ratio) if known else None for ratio in (1.0, *ratios)]


def _rate(cohorts: DatedCohorts, mine: np.ndarray) -> float:
    weight = cohorts.weights[cohorts.row_account[mine]]
    days = float(weight @ (cohorts.row_stop - cohorts.row_start)[mine])
    return rate(days, float(weight @ (cohorts.row_cause[mine] == CHURN)))


def _ratio(contrasts: Sequence[Contrast], cohort: str) -> float:
    best = best_of(contrasts, cohort)
    return np.nan if best is None or best.hazard_ratio is None else best.hazard_ratio.estimate


HORIZONS = (730, 547, 365, 182, 91)
"""Horizons, in days, of restricted means; the first that all methods support is used."""
YEAR, TWO_YEARS = 365, 730
MEDIATED = ("time_dependent", "landmark", "target_trial")
"""Methods that can adjust for dated covariates."""
MAX_LEVELS = 6
"""Maximum number of values compared one by one; more are compared by shrunken rates."""


@checked
def compare_dated(
    cohorts: DatedCohorts,
    *,
    methods: Sequence[str] | None = None,
    adjust: Sequence[str] = (),
    mediators: Sequence[str] = (),
    landmark: int | None = None,
    horizon: int | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compare existing cohorts; `compare_cohorts` builds them from tables.

    Parameters
    ----------
    cohorts : DatedCohorts
        The cohorts.
    methods, adjust, mediators, level
        As in `compare_cohorts`.
    landmark : int, optional
        Day of the landmark. Default: the landmark of the cohorts.
    horizon : int, optional
        Last day of the restricted means. Default: the longest of 24, 18, 12, 6 and 3 months that
        all methods support.

    Returns
    -------
    Comparison

    Raises
    ------
    OptionError
        If a method is unknown, or a covariate is missing or may be an effect of the exposure.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> event, end = rng.integers(1, 900, 300), rng.integers(30, 900, 300)
    >>> cohorts = DatedCohorts.from_changes("measured", ["unmeasured", "measured"], np.arange(300),
    ...     end, np.ones(300), (np.arange(300), event, np.ones(300)))
    >>> compare_dated(cohorts).contrast("naive").artefact
    False
    """
    chosen = chosen_methods(cohorts, methods)
    values, later = chosen_covariates(cohorts, tuple(adjust), tuple(mediators), chosen)
    X = columns_of(values, cohorts.weight) if adjust else None
    day = cohorts.landmark if landmark is None else landmark
    if X is not None and not X.size:
        X = np.zeros((len(cohorts), 0))
    if len(cohorts.levels) > MAX_LEVELS:
        chosen = ()
        if cohorts.weight is not None:
            raise ModelError(
                f"{cohorts.name} has {len(cohorts.levels)} cohorts, whose shrunken rates need all"
                " customers",
                "Take all customers, or a comparison of fewer cohorts",
            )
    design = Design(cohorts, chosen, tuple(adjust), X, later, day, 0.0, level)
    design, groups, notes = _with_horizon(design, horizon)
    contrasts, more = _contrasts(design, groups)
    curve, small = _curve_of(design, groups), _small_groups(cohorts, X)
    rates = rates_at_equal_tenure(cohorts, contrasts, small)
    compared = tuple(_cohort(design, k, curve, rates[k]) for k in range(len(cohorts.levels)))
    cautions = cautions_of(design, contrasts, groups, (*notes, *more))
    settings: dict[str, Any] = {
        "methods": chosen,
        "adjust": tuple(adjust),
        "landmark": design.landmark,
    }
    again = partial(_contrasts_of, **settings, horizon=int(design.horizon))
    return Comparison(
        cohorts.name, compared, tuple(contrasts), cautions, design.landmark, design.horizon, level,
        tuple(adjust), small, cohorts, again,
    )  # fmt: skip


def _contrasts_of(cohorts: DatedCohorts, **options: Any) -> tuple[Contrast, ...]:
    return compare_dated(cohorts, **options).contrasts


Key = tuple[str, int, bool]


def _with_horizon(
    design: Design, horizon: int | None
) -> tuple[Design, dict[Key, tuple[Groups, Weighting | None]], list[str]]:
    """Compute the curves of every method, and the longest horizon that all of them support."""
    groups: dict[Key, tuple[Groups, Weighting | None]] = {}
    notes = []
    for k in range(1, len(design.cohorts.levels)):
        for method in design.methods:
            for adjusted in (False, True) if design.X is not None else (False,):
                if adjusted and design.mediators and method not in MEDIATED:
                    notes.append(
                        f"{method} cannot adjust for {', '.join(design.mediators)}: it uses"
                        " values of the start; not adjusted"
                    )
                    continue
                try:
                    rows, weighting = _follow(design, method, k, adjusted)
                    groups[method, k, adjusted] = groups_of(rows, design.cohorts, k), weighting
                except (ModelError, OptionError) as error:
                    notes.append(f"{method}, {design.cohorts.levels[k]}: {error}")
    # The naive groups are ignored: hardly any long-lived account is left in the first one.
    until = [
        curves.until
        for (m, _, _), (curves, _) in groups.items()
        if m != "naive" and curves.has_days
    ]
    supported_until = min(*until, float(design.cohorts.stop.max())) if until else 0.0
    origin = max((curves.intervals.origin for curves, _ in groups.values()), default=0.0)
    supported = [day for day in HORIZONS if origin < day <= supported_until]
    best = float(
        horizon or (supported[0] if supported else max(np.floor(supported_until), origin + 1))
    )
    return replace(design, horizon=best), groups, notes


def _follow(
    design: Design, method: str, k: int, adjusted: bool
) -> tuple[RiskIntervals, Weighting | None]:
    """Return the rows of one method for level ``k`` against the first, weighted if adjusted."""
    cohorts, X = design.cohorts, design.X if adjusted else None
    if method == "target_trial":
        history = [cohorts.dated_covariates[name] for name in design.mediators]
        return clone_and_weight(cohorts, k, design.landmark, X, history if X is not None else ())
    if method == "at_renewals":
        return _at_renewals(cohorts, k), None
    if method == "time_dependent" and not cohorts.since_the_start:
        return follow_in_time(cohorts).of((0, k)), None
    if method == "time_dependent":
        rows = follow_in_time(cohorts)
    elif method == "naive":
        rows = follow_naively(cohorts)
    else:
        rows = follow_from_landmark(cohorts, design.landmark)
    rows = rows.of((0, k))
    if len(np.unique(rows.group)) < 2:
        raise ModelError("one of the two cohorts has no accounts")
    if X is None:
        return rows, None
    if method == "landmark":
        X = np.hstack((X, *_at_landmark(design)))
    return _balanced(rows, cohorts, X, k), None


def _at_renewals(cohorts: DatedCohorts, k: int) -> RiskIntervals:
    """Return the trials at renewals of level ``k`` against the first, if both have accounts."""
    rows = follow_from_renewals(cohorts, CLAIM_LAG).of((0, k))
    had, had_not = _count(rows, k)
    if min(had, had_not) < MIN_ACCOUNTS:
        raise ModelError(
            f"{CLAIM_LAG} days before a renewal {had:,} accounts had it, {had_not:,} had"
            " not: too few to compare"
        )
    return rows


def _at_landmark(design: Design) -> list[Floats]:
    """Return the states of the mediators on the day of the landmark, as columns (n × p)."""
    dated = [design.cohorts.dated_covariates[name] for name in design.mediators]
    states = [one.state_at(design.landmark) for one in dated]
    return [columns_of({"state": state.astype(str)}) for state in states]


def _balanced(rows: RiskIntervals, cohorts: DatedCohorts, X: Floats, k: int) -> RiskIntervals:
    """Weight both groups to the covariates of the pooled group (Robins, Hernán & Brumback 2000)."""
    inside, own = rows.group == k, cohorts.weights[rows.account]
    p = propensity(X[rows.account], inside, weight=own)
    share = np.average(inside, weights=own)
    weight = np.where(inside, share / p, (1 - share) / (1 - p))
    if cohorts.weight is None:
        return rows.weighted(weight)
    return rows.weighted(weight, slopes_of_propensity(X, inside, p, own, rows.account))


def _contrasts(
    design: Design, groups: dict[Key, tuple[Groups, Weighting | None]]
) -> tuple[list[Contrast], list[str]]:
    found, notes = [], []
    for (method, k, adjusted), (curves, weighting) in groups.items():
        try:
            found.append(_contrast(design, method, k, adjusted, curves, weighting))
        except ModelError as error:
            notes.append(f"{method}, {design.cohorts.levels[k]}: {error}")
    return found, notes


def _contrast(
    design: Design, method: str, k: int, adjusted: bool, groups: Groups, weighting: Weighting | None
) -> Contrast:
    cohorts, level = design.cohorts, design.level
    rows = groups.intervals
    counted = rows if weighting is None else rows.where(rows.stop > design.landmark)
    bare = Contrast(
        cohorts.levels[k], cohorts.levels[0], method, design.adjust if adjusted else (),
        _count(counted, k), _count(counted.where(counted.cause == CHURN), k), origin=rows.origin,
    )  # fmt: skip
    if bare.suppressed or not groups.churned:
        return bare
    log_ratio = _log_ratio(design, method, k, rows, adjusted)
    ratio = log_ratio.ratio(level)
    days = _mean_days(groups, design.horizon)
    shrinkage, of = _shrinkage(design, method, k, log_ratio, days, groups)
    span = design.horizon - groups.curves.steps.origin
    return replace(
        bare,
        hazard_ratio=ratio,
        e_value=e_value(ratio),
        rmst_days=None if days is None else (days[k] - days[0]).estimate(level, (-span, span)),
        rmst_ratio=None if days is None else (days[k].log() - days[0].log()).ratio(level),
        retention_12m=_retention(groups, k, YEAR, level),
        retention_24m=_retention(groups, k, TWO_YEARS, level),
        shrinkage=shrinkage,
        shrinkage_of=of,
        log_rank_p=_log_rank(cohorts, k) if method == "time_dependent" and not adjusted else None,
        horizon=None if days is None else design.horizon,
        effective=None if weighting is None else weighting.effective,
        highest_weight=None if weighting is None else weighting.highest,
    )


def _log_ratio(
    design: Design, method: str, k: int, rows: RiskIntervals, adjusted: bool
) -> ClusteredEstimate:
    """Return the log hazard ratio, adjusted by weights in a trial and by covariates otherwise."""
    if method == "target_trial":
        return hazard_ratio(rows, design.cohorts, k)[0]
    if method == "time_dependent":
        rows = compared_in_time(design.cohorts, (0, k))
    rows = rows.weighted(np.ones(len(rows.weight)))
    if not adjusted or design.X is None:
        return hazard_ratio(rows, design.cohorts, k)[0]
    if method == "landmark":
        X = np.hstack((design.X, *_at_landmark(design)))[rows.account]
        return hazard_ratio(rows, design.cohorts, k, X)[0]
    blocks = []
    for name in design.mediators:
        rows, _ = with_states_of(rows, design.cohorts.dated_covariates[name])
    for name in design.mediators:  # after all splits, each state has a column in every row
        rows, state = with_states_of(rows, design.cohorts.dated_covariates[name])
        blocks.append((state[:, None] == np.arange(1, state.max() + 1)).astype(np.float64))
    return hazard_ratio(rows, design.cohorts, k, np.hstack((design.X[rows.account], *blocks)))[0]


def _count(rows: RiskIntervals, k: int) -> tuple[int, int]:
    """Return the number of accounts in each of the two groups."""
    inside, outside = (distinct(rows.account[rows.group == group]) for group in (k, 0))
    return inside, outside


def _log_rank(cohorts: DatedCohorts, k: int) -> float | None:
    if cohorts.weight is not None:  # the test would treat weights as copies
        return None
    rows = compared_in_time(cohorts, (0, k))
    event = rows.cause == CHURN
    try:
        return logrank(rows.stop, event, rows.group, start=rows.start, strata=rows.stratum).p
    except ModelError:
        return None


def _mean_days(groups: Groups, horizon: float) -> dict[int, ClusteredEstimate] | None:
    if not groups.has_days:
        return None
    try:
        return groups.mean_days(horizon)
    except OptionError:  # a group was not observed until the horizon
        return None


def _retention(groups: Groups, k: int, day: int, level: float) -> tuple[Estimate, Estimate] | None:
    if not groups.has_days or day <= groups.intervals.origin:
        return None
    try:
        both = groups.retention(day)
    except OptionError:
        return None
    rows = groups.intervals
    inside, outside = (_share(both[g], rows.of((g,)), level) for g in (k, 0))
    return inside, outside


def _share(share: ClusteredEstimate, rows: RiskIntervals, level: float) -> Estimate:
    """Return a proportion with its interval, which is exact for a proportion of 0 or 1.

    With no churn among n accounts, the limit is (α/2)^(1/n); with no account left, it is 1 minus
    that (Clopper & Pearson 1934).
    """
    if without_rounding(share.std_err, 1.0) > 0:
        return share.estimate(level, (0.0, 1.0))
    far = (0.5 - level / 2) ** (1 / distinct(rows.account))
    if share.value < 0.5:
        return Estimate(0.0, 0.0, 1 - far, 1.0)
    return Estimate(1.0, far, 1.0, 1.0)


def _shrinkage(
    design: Design, method: str, k: int, log_ratio: ClusteredEstimate,
    days: dict[int, ClusteredEstimate] | None, groups: Groups,
) -> tuple[Estimate | None, str]:  # fmt: skip
    """Return the naive divided by the corrected ratio, of hazards or else of mean days."""
    if method == "naive" or design.cohorts.since_the_start:
        return None, ""
    cohorts = design.cohorts
    naive = follow_naively(cohorts.until_away() if method == "target_trial" else cohorts).of((0, k))
    if len(np.unique(naive.group)) < 2:
        return None, ""
    if method == "time_dependent":
        wrong, _ = hazard_ratio(naive, cohorts, k)
        return (wrong - log_ratio).ratio(design.level), "hazard ratio"
    if days is None:
        return None, ""
    # Restrict the naive estimate to the accounts and days of the corrected one.
    there = np.isin(naive.account, groups.intervals.account)
    other = groups_of(naive.where(there).since(groups.intervals.origin), cohorts, k)
    wrong_days = _mean_days(other, design.horizon) if other.churned else None
    if wrong_days is None or len(wrong_days) < 2:
        return None, ""
    gap = (wrong_days[k].log() - wrong_days[0].log()) - (days[k].log() - days[0].log())
    return gap.ratio(design.level), "mean days"


def _curve_of(
    design: Design, groups: Mapping[Key, tuple[Groups, Weighting | None]]
) -> tuple[str, dict[int, Groups]]:
    """Return the method used for curves and retention, with its groups by level."""
    two = len(design.cohorts.levels) == 2
    order = ("target_trial", "landmark") if two else ("landmark",)
    for method in ("time_dependent",) if design.cohorts.since_the_start else order:
        found = groups.items()
        by_level = {k: g for (m, k, adjusted), (g, _) in found if m == method and not adjusted}
        if by_level:
            return method, by_level
    return "none", {}


def _cohort(
    design: Design, k: int, curve: tuple[str, dict[int, Groups]], rate: float | None
) -> Cohort:
    cohorts = design.cohorts
    mine = cohorts.row_state == k
    days = float((cohorts.row_stop - cohorts.row_start)[mine].sum())
    ended = int((cohorts.row_cause[mine] == CHURN).sum())
    method, by_level = curve
    groups = by_level.get(k) or next(iter(by_level.values()), None)
    median, after_year, after_two = float("inf"), None, None
    if groups is not None and groups.churned and (k == 0 or k in by_level):
        median = median_day(groups.intervals, cohorts, k)
        after_year, after_two = (_at(groups, k, day, design.level) for day in (YEAR, TWO_YEARS))
    return Cohort(
        cohorts.levels[k], distinct(cohorts.row_account[mine]), days, ended, rate, after_year,
        after_two, median if np.isfinite(median) else None, method, cohorts.share_before(k),
    )  # fmt: skip


def _at(groups: Groups, k: int, day: int, level: float) -> Estimate | None:
    pair = _retention(groups, groups.level, day, level)
    return None if pair is None else pair[0 if k == groups.level else 1]


def _small_groups(cohorts: DatedCohorts, X: Floats | None) -> SmallGroups | None:
    levels = len(cohorts.levels)
    many = levels > 2 and (cohorts.since_the_start or levels > MAX_LEVELS)
    if not many or cohorts.weight is not None:
        return None
    ended = np.bincount(cohorts.row_state, weights=cohorts.row_cause == CHURN, minlength=levels)
    accounts = [distinct(cohorts.row_account[cohorts.row_state == k]) for k in range(levels)]
    expected = expected_ends(cohorts, X)
    return shrink(cohorts.levels, ended.astype(int), expected, accounts=accounts)
