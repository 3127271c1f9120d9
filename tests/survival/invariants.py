"""What must not change, or must change in a known way, whatever the panel.

Each check takes a panel and a random generator and raises AssertionError where it fails.
``test_invariants`` runs a slice of the seeds, ``benchmarks/invariants.py`` all 2,000.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.survival import (
    CoxFit,
    aalen_johansen,
    fit_cox,
    kaplan_meier,
    logrank,
    nelson_aalen,
    restricted_mean,
)
from leadsignal.survival.horizon_risks import dynamic_auc
from leadsignal.survival.ranking import concordance

from .by_counting import pairs, partial_loglik
from .random_panels import Panel, random_panel


def near(value: Any, expected: Any, relative: float = 1e-8) -> None:
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    assert value.shape == expected.shape, (value.shape, expected.shape)
    missing = np.isnan(expected)
    assert np.array_equal(np.isnan(value), missing), (value, expected)
    value, expected = value[~missing], expected[~missing]
    largest = max(1e-12, float(np.abs(expected).max(initial=0.0)))
    gap = float(np.abs(value - expected).max(initial=0.0))
    assert gap <= relative * largest, (gap / largest, value, expected)


def cox(panel: Panel, **options: Any) -> CoxFit | None:
    """The fit, or None where the model says that it cannot be fitted."""
    arguments = {"start": panel.start, "weights": panel.weights, "strata": panel.strata,
                 "cluster": panel.cluster, "ties": panel.ties, **options}  # fmt: skip
    try:
        return fit_cox(panel.X, panel.stop, panel.event, **arguments)
    except ModelError:
        return None


def same_fit(one: CoxFit | None, other: CoxFit | None, coef: float = 1.0) -> None:
    """Equal fits, the second's columns having been multiplied by 1 / `coef`."""
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    near(other.coef * one.se**-1, coef * one.coef / one.se, 1e-7)
    near(other.se, coef * one.se, 1e-7)
    assert one.robust_se is not None
    near(other.robust_se, coef * one.robust_se, 1e-7)
    near([other.loglik, other.loglik_null], [one.loglik, one.loglik_null], 1e-9)


def rest(panel: Panel) -> list[np.ndarray]:
    """What curves and metrics say of a panel, as one list of arrays."""
    options: dict[str, Any] = {"start": panel.start, "weights": panel.weights}
    survival = kaplan_meier(panel.stop, panel.event, group=panel.strata, **options)
    clustered = kaplan_meier(
        panel.stop, panel.event, group=panel.strata, cluster=panel.cluster, **options
    )
    ends = aalen_johansen(panel.stop, panel.cause, **options)
    hazards = nelson_aalen(panel.stop, panel.event, **options)
    found = []
    for curves in (survival, clustered, ends, hazards):
        for curve in curves:
            found += [curve.time, curve.at_risk, curve.estimate, curve.std_err]
    tau = min(curve.last for curve in clustered)
    if tau > clustered[0].origin:
        found += [restricted_mean(clustered, tau).estimate, restricted_mean(clustered, tau).cov]
        found.append(restricted_mean(ends, tau, cause=ends[1].cause).std_err)
    return found


def ranking(panel: Panel) -> list[float]:
    """Concordance with its error, and the log-rank test; empty where there is none."""
    found = []
    try:
        value = concordance(
            panel.stop, panel.event, panel.score, start=panel.start, weights=panel.weights,
            strata=panel.strata, cluster=panel.cluster,
        )  # fmt: skip
        found += [value.estimate, value.std_err, value.concordant, value.tied]
        group = panel.cluster % 2
        test = logrank(
            panel.stop, panel.event, group, start=panel.start, weights=panel.weights,
            strata=panel.strata,
        )  # fmt: skip
        found += [test.statistic, *test.expected]
    except ModelError:
        return found
    return found


def all_near(found: Any, expected: Any, relative: float = 1e-8) -> None:
    assert len(found) == len(expected)
    for value, other in zip(found, expected, strict=True):
        near(value, other, relative)


def copies_equal_weights(panel: Panel, rng: np.random.Generator) -> None:
    """A row of weight k is k rows, for Breslow's ties, curves and ranks."""
    del rng
    panel = replace(panel, ties="breslow")
    copies = np.repeat(np.arange(len(panel.stop)), panel.weights.astype(int))
    repeated = panel.take(copies).weighted(np.ones(len(copies)))
    same_fit(cox(panel), cox(repeated))
    all_near(rest(repeated), rest(panel))
    all_near(ranking(repeated), ranking(panel))


def splitting_changes_nothing(panel: Panel, rng: np.random.Generator) -> None:
    """Rows cut at inner times, with the event left to the last piece."""
    rows = np.repeat(np.arange(len(panel.stop)), rng.integers(1, 4, len(panel.stop)))
    split = panel.take(rows)
    first = np.append(True, rows[1:] != rows[:-1])
    last = np.append(rows[1:] != rows[:-1], True)
    cut = np.where(rng.random(len(rows)) < 0.5, rng.random(len(rows)), 0.5)
    start, stop = split.start.copy(), split.stop.copy()
    for row in range(len(rows)):
        if not first[row]:
            start[row] = stop[row - 1]
        if not last[row]:
            inner = start[row] + cut[row] * (split.stop[row] - start[row])
            whole = np.floor(inner)
            stop[row] = whole if start[row] < whole < split.stop[row] else inner
    split = replace(
        split, start=start, stop=stop, event=split.event & last, cause=split.cause * last
    )
    one, other = cox(panel), cox(split)
    same_fit(one, other)
    if one is not None and other is not None:
        for transform in ("km", "identity"):
            tested = [fit.test_proportionality(transform).overall.statistic for fit in (one, other)]
            near(tested[1], tested[0], 1e-6)
        sums = [np.bincount(ids, fit.residuals().martingale) for ids, fit in
                ((panel.cluster, one), (split.cluster, other))]  # fmt: skip
        near(sums[1], sums[0], 1e-6)
    all_near(rest(split), rest(panel))
    all_near(ranking(split), ranking(panel))


def time_moves_and_stretches(panel: Panel, rng: np.random.Generator) -> None:
    """Order is all that the fit sees of time; means move and stretch with it."""
    shift, factor = float(rng.integers(-20, 50)), float(2.0 ** rng.integers(-3, 4))
    moved = replace(panel, start=(panel.start + shift) * factor, stop=(panel.stop + shift) * factor)
    same_fit(cox(panel), cox(moved))
    all_near(ranking(moved), ranking(panel))
    curves, others = (
        kaplan_meier(p.stop, p.event, start=p.start, group=p.strata) for p in (panel, moved)
    )
    tau = min(curve.last for curve in curves)
    if tau <= curves[0].origin:
        return
    before, after = restricted_mean(curves, tau), restricted_mean(others, (tau + shift) * factor)
    near(after.estimate, before.estimate * factor)
    near(after.cov, before.cov * factor**2)
    for curve, other in zip(curves, others, strict=True):
        near(other.time, (curve.time + shift) * factor)
        near(other.estimate, curve.estimate)


def covariates_move_and_stretch(panel: Panel, rng: np.random.Generator) -> None:
    """Coefficients go with one over the scale; a shift only moves the baseline."""
    p = panel.X.shape[1]
    scale, shift = np.exp(rng.normal(size=p) * 3), rng.normal(size=p) * 10
    moved = replace(panel, X=panel.X * scale + shift)
    one, other = cox(panel), cox(moved)
    same_fit(one, other, 1 / scale)
    if one is None or other is None:
        return
    at = rng.normal(size=(1, p))
    begin, end = [float(panel.start.min()) - 1], [float(panel.stop.max())]
    paths = [
        fit.baseline().along(X, begin, end, stratum=fit.rows.strata.names[0])
        for fit, X in ((one, at), (other, at * scale + shift))
    ]
    near(paths[1].cumulative_hazard, paths[0].cumulative_hazard, 1e-6)
    near(paths[1].std_err, paths[0].std_err, 1e-6)


def one_stratum_equals_none(panel: Panel, rng: np.random.Generator) -> None:
    """A label for all is no stratum; strata apart add their log-likelihoods."""
    del rng
    same_fit(cox(panel, strata=np.full(len(panel.stop), 7)), cox(panel, strata=None))
    fit = cox(panel)
    if fit is None:
        return
    each = 0.0
    for stratum in np.unique(panel.strata):
        part = panel.take(np.flatnonzero(panel.strata == stratum))
        each += partial_loglik(
            part.X, part.stop, part.event, fit.coef, part.start, part.weights, ties=panel.ties
        )
    near(each, fit.loglik)


def order_does_not_matter(panel: Panel, rng: np.random.Generator) -> None:
    """Rows in any order."""
    order = rng.permutation(len(panel.stop))
    mixed = panel.take(order)
    same_fit(cox(panel), cox(mixed))
    all_near(rest(mixed), rest(panel))
    all_near(ranking(mixed), ranking(panel))


def likelihood_is_that_of_every_risk_set(panel: Panel, rng: np.random.Generator) -> None:
    """Value at the maximum by loops; no step around it is higher; Efron is Breslow untied."""
    fit = cox(panel)
    if fit is None:
        return

    def value(coef: np.ndarray) -> float:
        return partial_loglik(
            panel.X, panel.stop, panel.event, coef, panel.start, panel.weights, panel.strata,
            panel.ties,
        )  # fmt: skip

    near(fit.loglik, value(fit.coef), 1e-10)
    for _ in range(3):
        assert value(fit.coef + rng.normal(size=len(fit.coef)) * fit.se * 0.1) < fit.loglik
    jitter = rng.random(len(panel.stop)) * 1e-3
    untied = replace(panel, stop=panel.stop + jitter, start=panel.start + 2e-3 - 3e-3)
    same_fit(cox(replace(untied, ties="efron")), cox(replace(untied, ties="breslow")))


def pairs_are_those_of_a_loop(panel: Panel, rng: np.random.Generator) -> None:
    """Concordance by looking at every pair; the AUC is blind to what keeps the order."""
    expected = pairs(panel.stop, panel.event, panel.score, panel.start, panel.weights, panel.strata)
    found = ranking(panel)
    if expected.sum() > 0:
        near(found[2:4], expected[[0, 2]], 1e-12)
    length = panel.stop - panel.start
    horizon = float(np.quantile(length, 0.4))
    if horizon >= length.max():
        return
    one = dynamic_auc(length, panel.cause, panel.score, horizon)
    order = rng.permutation(len(length))
    other = dynamic_auc(length[order], panel.cause[order], np.exp(panel.score[order]), horizon)
    near(np.nan_to_num([other.auc, other.std_err]), np.nan_to_num([one.auc, one.std_err]), 1e-9)


INVARIANTS = (
    copies_equal_weights,
    splitting_changes_nothing,
    time_moves_and_stretches,
    covariates_move_and_stretch,
    one_stratum_equals_none,
    order_does_not_matter,
    likelihood_is_that_of_every_risk_set,
    pairs_are_those_of_a_loop,
)


def check(case: int) -> None:
    """Run one case: the panel of its seed against one of the invariants, in turn."""
    INVARIANTS[case % len(INVARIANTS)](random_panel(case), np.random.default_rng(10_000 + case))
