"""Cautions: sentences that state a limitation of the conclusions, with its number.

Test whether accounts in two states differ in a baseline covariate, at equal tenure.

Accounts in a state are compared with accounts of the same tenure in the reference state. At the
tenure t of each churn, let z be 1 for those at risk in the state and 0 for those in the reference,
and let x be a covariate. The sum of (z − z̄_t)(x − x̄_t) over all t and all accounts at risk is the
covariance through which x confounds Cox's coefficient of z. Its mean is 0 if the change of state
does not depend on x, however long accounts live; a comparison by the state *ever* reached lacks
this property. The standard error is that of a sum over clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from leadsignal.cohorts.contrasts import (
    MIN_ACCOUNTS,
    TITLES,
    Contrast,
    best_of,
    cohorts_of,
    hazard_ratio,
)
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import (
    Design,
    RiskIntervals,
    columns_of,
    compared_in_time,
    follow_in_time,
)
from leadsignal.errors import ModelError
from leadsignal.formats import share_text
from leadsignal.stats import holm
from leadsignal.survival.inputs import Floats, Ints, sums_by_code

MIN_CHURNS = 10
"""Contrasts with fewer churns in either cohort get a caution."""
MIN_RELIABLE = 20
"""Contrasts with fewer accounts in either cohort, also after weighting, get a caution."""
MAX_WEIGHT = 10.0
"""Weight, in multiples of the mean, above which a caution says that the groups hardly overlap."""
MIN_DIFFERENCE, MAX_P = 0.1, 0.05
"""Cohorts differ in a covariate above this standardised difference and below this p-value."""
CROSSING = 1.0
"""Curves cross if they differ by more than this many standard errors in both directions."""


def cautions_of(
    design: Design,
    contrasts: Sequence[Contrast],
    groups: Mapping[Any, Any],
    failed: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the cautions that follow from the cohorts, the contrasts and their curves.

    Those that may change the conclusion come first: too few churns, crossing curves, differences
    at the start, ``failed`` methods and confounders. Those that the corrected numbers already allow
    for come last.
    """
    found = [
        *_nobody(design),
        *_small(contrasts),
        *_crossing(design, groups),
        *_overlap(contrasts),
        *_unadjusted(design),
        *failed,
        *_moved(design, contrasts),
        _unmeasured(contrasts),
        *_days_before(design),
        *design.cohorts.notes,
        *_dropped(design),
        *_without_small_groups(design),
        *_unreached(design, contrasts),
        *_artefacts(contrasts),
    ]
    return tuple(dict.fromkeys(found))


def _days_before(design: Design) -> Iterator[str]:
    cohorts = design.cohorts
    if "naive" not in design.methods:
        return
    for k in range(1, len(cohorts.levels)):
        if (before := cohorts.share_before(k)) > 0:
            yield (
                f"{share_text(before)} of the days of accounts ever {cohorts.levels[k]} are"
                f" from before they were: the naive chart counts them as {cohorts.levels[k]},"
                " though nobody can leave in them and still become so"
            )


def _small(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        if c.suppressed:
            yield (
                f"{c.cohort}, {c.method}: fewer than {MIN_ACCOUNTS} accounts on one side;"
                " suppressed"
            )
        elif min(c.accounts) < MIN_RELIABLE or min(c.ended) < MIN_CHURNS:
            yield (
                f"{c.cohort}, {c.method}: {c.accounts[0]:,} accounts with {c.ended[0]:,} churns"
                f" against {c.accounts[1]:,} with {c.ended[1]:,}; too few for a reliable ratio"
            )


def _artefacts(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        if c.shrinkage is None or c.adjusted_for or c.method == "naive":
            continue
        name = "hazard ratio" if c.shrinkage_of == "hazard ratio" else "ratio of mean days"
        text = f"{c.cohort}: the naive {name} is the {TITLES[c.method]} one times {c.shrinkage}"
        yield text + ("" if c.shrinkage.excludes(1.0) else "; chance alone could do that")


def _unreached(design: Design, contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        in_motion = c.method in ("time_dependent", "at_renewals")
        counted = not in_motion or design.cohorts.since_the_start
        if counted and c.hazard_ratio is not None and c.rmst_days is None:
            yield (
                f"{c.cohort}, {c.method}: not followed until day {design.horizon:g}, so that"
                " mean days are missing; choose an earlier horizon"
            )


def _dropped(design: Design) -> Iterator[str]:
    cohorts, day = design.cohorts, design.landmark
    if "landmark" in design.methods:
        ended = int(((cohorts.stop <= day) & (cohorts.cause > 0)).sum())
        recent = int(((cohorts.stop <= day) & (cohorts.cause == 0)).sum())
        late = int(((cohorts.entry > day) & (cohorts.stop > day)).sum())
        out = int((cohorts.state_at(day) < 0).sum())
        if out:
            away = out - ended - recent - late
            yield (
                f"the landmark of day {day} leaves out {out:,} accounts:"
                f" {ended:,} had ended by then, {recent:,} were not followed so far,"
                f" {late:,} are seen from later on only"
                + (f", {away:,} were away on that day" if away else "")
            )
    if "target_trial" not in design.methods:
        return
    if late := int((cohorts.entry > 0).sum()):
        yield f"the target trial leaves out {late:,} accounts that are not seen from day 0"
    if away := int((cohorts.until_away().stop < cohorts.stop).sum()):
        yield f"the target trial follows {away:,} accounts only until they were first away"


def _overlap(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        if c.highest_weight is None or c.effective is None:
            continue
        if max(c.highest_weight) > MAX_WEIGHT:
            yield (
                f"{c.cohort}, {c.method}: the highest weight is {max(c.highest_weight):.0f} times"
                " the mean: some accounts have hardly any counterpart in the other group"
            )
        if min(c.effective) < MIN_RELIABLE:
            yield (
                f"{c.cohort}, {c.method}: after weighting, the groups are worth"
                f" {c.effective[1]:.0f} and {c.effective[0]:.0f} accounts"
            )


def _crossing(design: Design, groups: Mapping[Any, Any]) -> Iterator[str]:
    """Yield a caution for each pair of curves that cross."""
    for (method, k, adjusted), (curves, _) in groups.items():
        if adjusted or method != "landmark" or not curves.churned:
            continue
        last = min(curves.until, curves.seen_until, design.horizon)
        gaps = []
        for day in np.linspace(curves.intervals.origin, last, 9)[1:]:
            both = curves.retention(float(day))
            gap = both[k] - both[0]
            gaps.append(gap.value / gap.std_err if gap.std_err > 0 else 0.0)
        if gaps and min(gaps) < -CROSSING and max(gaps) > CROSSING:
            yield (
                f"{design.cohorts.levels[k]}, {method}: the curves cross, so one ratio is no"
                " more than an average over time"
            )


def _moved(design: Design, contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Yield, for each cohort, the covariate that moves the hazard ratio most by itself."""
    cohorts = design.cohorts
    if design.X is None or "time_dependent" not in design.methods:
        return
    raw = {c.cohort: c for c in contrasts if c.method == "time_dependent" and not c.adjusted_for}
    for k in range(1, len(cohorts.levels)):
        before = raw.get(cohorts.levels[k])
        if before is None or before.hazard_ratio is None:
            continue
        moves = dict(_moves(design, k, before.hazard_ratio.estimate))
        if moves:
            name = max(moves, key=lambda n: abs(np.log(moves[n])))
            yield (
                f"{cohorts.levels[k]}: of what was adjusted for, {name} moved the hazard ratio"
                f" most, from {before.hazard_ratio.estimate:.2f} by a factor of {moves[name]:.2f}"
            )


def _moves(design: Design, k: int, raw: float) -> Iterator[tuple[str, float]]:
    rows = compared_in_time(design.cohorts, (0, k))
    for name in design.adjust:
        if name not in design.cohorts.covariates:
            continue
        X = columns_of({name: design.cohorts.covariates[name]}, design.cohorts.weight)[rows.account]
        try:
            ratio, _ = hazard_ratio(rows, design.cohorts, k, X)
        except ModelError:
            continue
        yield name, float(np.exp(ratio.value) / raw)


def _nobody(design: Design) -> Iterator[str]:
    if (design.cohorts.cause == CHURN).sum() == 0:
        yield "nobody churned, so there is nothing to compare"


def _without_small_groups(design: Design) -> Iterator[str]:
    cohorts = design.cohorts
    if cohorts.weight is not None and cohorts.since_the_start and len(cohorts.levels) > 2:
        yield "shrunken rates of small groups need all customers, and this is a sample"


def _unadjusted(design: Design) -> Iterator[str]:
    if apart := _apart(design):
        yield f"cohorts differ at the start in {', '.join(apart)}, which is not adjusted for"


def _unmeasured(contrasts: Sequence[Contrast]) -> str:
    text = "unmeasured confounders are not adjusted for"
    for cohort in cohorts_of(contrasts):
        best = best_of(contrasts, cohort)
        ratio = None if best is None else best.hazard_ratio
        if best is None or ratio is None or best.e_value is None or not ratio.excludes(1.0):
            continue
        if np.isfinite(best.e_value[0]):
            return (
                f"{text}: one that goes with {cohort} and with churn by a factor of"
                f" {best.e_value[0]:.1f} each would explain the difference (E-value)"
            )
    return text


def _apart(design: Design) -> list[str]:
    """Return the unadjusted covariates in which states differ by more than chance."""
    cohorts = design.cohorts
    left = [name for name in cohorts.covariates if name not in design.adjust]
    gaps = []
    for k in range(1, len(cohorts.levels)):
        rows = follow_in_time(cohorts).of((0, k))
        gaps += [
            (name, gap_at_equal_tenure(rows, cohorts, k, cohorts.covariates[name])) for name in left
        ]
    p = holm(np.array([gap.p for _, gap in gaps])).tolist()
    apart = {
        name
        for (name, gap), q in zip(gaps, p, strict=True)
        if q < MAX_P and gap.size > MIN_DIFFERENCE
    }
    return [name for name in left if name in apart]


@dataclass(frozen=True)
class Gap:
    """The largest standardised difference in a covariate, and the p-value of no difference."""

    size: float
    p: float


def gap_at_equal_tenure(
    rows: RiskIntervals, cohorts: DatedCohorts, level: int, values: NDArray[Any]
) -> Gap:
    """Return how far a covariate (n) differs between accounts in ``level`` and the reference."""
    X = columns_of({"x": values}, cohorts.weight)
    own = cohorts.weights[rows.account][:, None]
    churned = rows.cause == CHURN
    times, place = np.unique(rows.stop[churned], return_inverse=True)
    churns = np.bincount(place, own[churned, 0], len(times))
    if not X.size or not len(times):
        return Gap(0.0, 1.0)
    X, z = X[rows.account], (rows.group == level).astype(np.float64)
    first, last = (np.searchsorted(times, t, side="right") for t in (rows.start, rows.stop))

    def at_risk(what: Floats) -> Floats:
        """Return the weighted sum over the accounts at risk at each time (k × p)."""
        size = len(times) + 1
        change = _sums(first, own * what, size) - _sums(last, own * what, size)
        return np.cumsum(change[:-1], axis=0)

    count = at_risk(np.ones((len(z), 1)))
    z_mean, x_mean = at_risk(z[:, None]) / count, at_risk(X) / count
    weight = churns[:, None]

    def sum_over_rows(what: Floats) -> Floats:
        """Return, for each row, the weighted sum over the times at which it is at risk."""
        steps = np.vstack((np.zeros((1, what.shape[1])), np.cumsum(weight * what, axis=0)))
        return steps[last] - steps[first]

    ones, z = np.ones_like(count), z[:, None]
    each = own * (
        z * X * sum_over_rows(ones)
        - z * sum_over_rows(x_mean)
        - X * sum_over_rows(z_mean)
        + sum_over_rows(z_mean * x_mean)
    )
    spread_z = float((weight * count * z_mean * (1 - z_mean)).sum())
    if spread_z <= 0:
        return Gap(0.0, 1.0)
    variance = (weight * (at_risk(X**2) - count * x_mean**2)).sum(axis=0) / (weight * count).sum()
    gap = np.abs(each.sum(axis=0)) / spread_z
    size = float((gap / np.sqrt(np.where(variance > 0, variance, np.inf))).max())
    return Gap(size, _p_of_none(_by_cluster(each, cohorts, rows)))


def _by_cluster(each: Floats, cohorts: DatedCohorts, rows: RiskIntervals) -> Floats:
    """Return the sum over the rows of each cluster that has rows (C × p)."""
    cluster = cohorts.cluster[rows.account]
    there = np.bincount(cluster) > 0
    return _sums(cluster, each, len(there))[there]


def _sums(codes: Ints, what: Floats, size: int) -> Floats:
    """Return the sum of the rows (m × p) with each code."""
    return np.column_stack([sums_by_code(codes, column, size) for column in what.T])


def _p_of_none(each: Floats) -> float:
    """Return the p-value of a mean of 0 in all columns (Hotelling 1931)."""
    n = len(each)
    mean, covariance = each.mean(axis=0), np.atleast_2d(np.cov(each, rowvar=False))
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if not 0 < rank < n:
        return 1.0
    square = n * float(mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)
    return float(fdtrc(rank, n - rank, square * (n - rank) / (rank * (n - 1))))
