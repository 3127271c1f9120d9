"""No interval leaves the range of what it is an interval of, however small the sample.

Every place that makes a limit from an estimate and its error is walked over with tiny samples; a
difference that is no more than rounding is zero.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from leadsignal.errors import ModelError, OptionError
from leadsignal.stats import ClusteredEstimate, auc_of, logit_limits, mean_of
from leadsignal.survival import (
    Estimates,
    aalen_johansen,
    brier,
    calibration,
    concordance,
    dynamic_auc,
    fit_cox,
    incident_auc,
    kaplan_meier,
    logrank,
    nelson_aalen,
    probability_at,
    restricted_mean,
)


def tiny(seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(3, 9))
    stop = rng.integers(1, 6, rows).astype(float)
    return rng, stop, rng.integers(0, 3, rows), rng.integers(0, 4, rows) / 3


def within(lower: Any, upper: Any, low: float, high: float, estimate: Any = None) -> None:
    lower, upper = np.atleast_1d(lower).astype(float), np.atleast_1d(upper).astype(float)
    known = ~(np.isnan(lower) | np.isnan(upper))
    assert (lower[known] >= low).all(), lower
    assert (upper[known] <= high).all(), upper
    if estimate is not None:
        middle = np.atleast_1d(estimate).astype(float)[known]
        assert (lower[known] <= middle + 1e-12).all(), (lower, estimate)
        assert (upper[known] >= middle - 1e-12).all(), (upper, estimate)


@pytest.mark.parametrize("scale", ["log", "log-log", "plain"])
@pytest.mark.parametrize("clustered", [False, True])
def test_curves(scale: str, clustered: bool) -> None:
    for seed in range(30):
        rng, stop, cause, _ = tiny(seed)
        cluster = rng.integers(0, 3, len(stop)) if clustered else None
        group = rng.integers(0, 2, len(stop))
        curves = kaplan_meier(stop, cause > 0, group=group, cluster=cluster, scale=scale)
        for curve in (*curves, *aalen_johansen(stop, cause, group=group, cluster=cluster)):
            within(curve.lower, curve.upper, 0, 1, curve.estimate)
        for curve in nelson_aalen(stop, cause > 0):
            within(curve.lower, curve.upper, 0, np.inf, curve.estimate)


def contrasts(found: Estimates, low: float, high: float) -> None:
    within(found.lower, found.upper, low, high, found.estimate)
    for one, other in pairwise(found.groups):
        difference = found.difference(other, one)
        within(difference.low, difference.high, low - high, high - low, difference.estimate)
        try:
            ratio = found.ratio(other, one)
        except OptionError:
            continue
        within(ratio.low, ratio.high, 0, np.inf, ratio.estimate)
        assert not ratio.low <= 0 < ratio.std_err < 300


def test_numbers_of_curves_and_their_contrasts() -> None:
    for seed in range(60):
        rng, stop, cause, _ = tiny(seed)
        group, start = (
            rng.integers(0, 2, len(stop)),
            np.minimum(rng.integers(0, 3, len(stop)), stop - 1),
        )
        for cluster in (None, np.arange(len(stop)) // 2):
            curves = aalen_johansen(stop, cause, group=group, cluster=cluster, start=start)
            until = min(curve.last for curve in curves)
            for code in (None, *curves.steps.causes):
                contrasts(probability_at(curves, until, cause=code), 0.0, 1.0)
                if until > curves.steps.origin:
                    widest = until - curves.steps.origin
                    contrasts(restricted_mean(curves, until, cause=code), 0.0, widest)


def test_ranking_and_calibration() -> None:
    seen = 0
    for seed in range(60):
        rng, stop, cause, risk = tiny(seed)
        cluster = rng.integers(0, 3, len(stop))
        choices: list[dict[str, Any]] = [{}, {"cluster": cluster}]
        for options in choices:
            try:
                pairs = concordance(stop, cause > 0, risk, **options)
                auc = dynamic_auc(stop, cause, risk, stop.max() - 0.5, **options)
                score = brier(stop, cause, risk, stop.max() - 0.5, **options)
                judged = calibration(stop, cause, risk, stop.max() - 0.5, bins=2, **options)
                parts = incident_auc(stop, cause > 0, risk, [0.0, 2.0, 4.0], **options)
            except ModelError:
                continue
            seen += 1
            within(pairs.lower, pairs.upper, 0, 1, pairs.estimate)
            within(auc.lower, auc.upper, 0, 1, auc.auc)
            within(parts.lower, parts.upper, 0, 1, parts.auc)
            within(score.lower, score.upper, 0, max(1, score.score[0]), score.score)
            assert not (score.skill > 1).any()
            within(judged.lower, judged.upper, 0, 1, judged.share)
            for estimate, lower, upper in (judged.slope, judged.intercept):
                within(lower, upper, -1e3, 1e3, estimate)
    assert seen > 40


def test_paired_shares_and_their_differences() -> None:
    for seed in range(60):
        rng, _, cause, risk = tiny(seed)
        cluster = rng.integers(0, 3, len(cause))
        one, other = auc_of(cause > 0, risk), auc_of(cause > 0, rng.random(len(cause)))
        share, rest = mean_of((cause > 0).astype(float)), mean_of((cause > 1).astype(float))
        for number in (one, other, share, rest):
            within(*number.interval(cluster), 0, 1, number.estimate)
        for number in (one - other, share - rest):
            within(*number.interval(cluster), -1, 1, number.estimate)


def test_a_share_that_is_all_or_nothing_has_the_rule_of_three() -> None:
    everybody = mean_of(np.ones(60))
    low, high = everybody.interval(np.arange(60))
    assert low == pytest.approx(0.05 ** (1 / 60))
    assert high == 1.0
    # Twenty customers are twenty independent answers, however many rows they have.
    assert everybody.interval(np.arange(60) // 3)[0] == pytest.approx(0.05 ** (1 / 20))
    assert mean_of(np.zeros(60)).interval(np.arange(60)) == pytest.approx((0.0, 1 - low))


def test_one_cluster_says_nothing_of_the_spread_between_clusters() -> None:
    share, rest = mean_of(np.array([1.0, 0, 1, 1])), mean_of(np.array([0.0, 0, 1, 1]))
    one = np.zeros(4, dtype=int)
    assert share.interval(one) == (0, 1)
    assert (share - rest).interval(one) == (-1, 1)
    assert np.isnan(share.std_err(one))
    assert share.interval(np.array([0, 0, 1, 1]))[0] > 0


def test_shares_on_the_logit_scale_agree_with_the_plain_interval_in_large_samples() -> None:
    lower, upper = logit_limits(0.6, 0.001, 0.95)
    assert [lower, upper] == pytest.approx([0.6 - 0.00196, 0.6 + 0.00196], abs=1e-5)
    assert [float(x) for x in logit_limits(1.0, 0.0, 0.95)] == [1, 1]
    assert np.isnan(logit_limits(np.nan, 0.1, 0.95)).all()


def test_intervals_of_small_samples_cover_the_auc() -> None:
    # 15 cases and 25 others with a true AUC of 0.93, near enough to 1 for the limit to matter.
    rng = np.random.default_rng(8)
    case, truth, inside = np.arange(40) < 15, 0.9300, 0
    shift = 2.087  # normal scores one shift apart: AUC = Φ(shift/√2) = 0.930
    for _ in range(400):
        low, high = auc_of(case, rng.normal(size=40) + shift * case).interval(np.arange(40))
        inside += low <= truth <= high
    assert 0.92 <= inside / 400 <= 0.98


def same_in_other_order() -> dict[str, Any]:
    """Two groups of the same 40 lives, one with weights of 1, one with weights split in three."""
    rng = np.random.default_rng(3)
    stop, event = rng.exponential(90, 40), rng.random(40) < 0.7
    thrice = np.repeat(np.arange(40), 3)
    return {
        "stop": np.concatenate((stop, stop[thrice])),
        "event": np.concatenate((event, event[thrice])),
        "weights": np.concatenate((np.ones(40), np.tile([0.1, 0.2, 0.7], 40))),
        "group": np.repeat(["a", "b"], [40, 120]),
        "cluster": np.concatenate((np.arange(40), thrice)),
    }


@pytest.mark.parametrize(
    "number",
    [lambda curves: restricted_mean(curves, 80.0), lambda curves: probability_at(curves, 80.0)],
)
def test_a_contrast_at_rounding_level_is_zero(number: Callable[..., Any]) -> None:
    found = number(kaplan_meier(**same_in_other_order()))
    assert found.estimate[0] == pytest.approx(found.estimate[1], rel=1e-12)
    for contrast, none in ((found.difference("b", "a"), 0.0), (found.ratio("b", "a"), 1.0)):
        assert (contrast.estimate, contrast.std_err, contrast.p) == (none, 0.0, 1.0)
        assert contrast.low == contrast.high == none


def test_groups_that_differ_without_any_variance_are_not_tested() -> None:
    found = restricted_mean(kaplan_meier([5, 5, 7, 7], [1] * 4, group=list("aabb")), 7)
    difference = found.difference("b", "a")
    assert difference.estimate == 2
    assert np.isnan([difference.p, difference.low, difference.high]).all()
    assert np.isnan(found.ratio("b", "a").p)


def test_a_log_rank_difference_at_rounding_level_is_zero() -> None:
    rows = same_in_other_order()
    test = logrank(rows["stop"], rows["event"], rows["group"], weights=rows["weights"])
    assert test.statistic == 0
    assert test.p == 1


def test_shares_of_at_risk_that_only_rounding_leaves_are_no_comparison() -> None:
    # The groups never meet, with weights whose sums do not cancel exactly.
    stop, start = [1.0, 2, 3, 7, 8, 9], [0.0, 0, 0, 6, 6, 6]
    with pytest.raises(ModelError, match="at no event time is more than one group at risk"):
        logrank(stop, [1] * 6, list("aaabbb"), start=start, weights=[0.7, 1.1, 2.3, 0.1, 3.3, 5.7])


def test_methods_that_agree_up_to_rounding_do_not_differ() -> None:
    rng = np.random.default_rng(6)
    case, score = rng.random(90) < 0.4, rng.random(90)
    one, other = mean_of(score * case), mean_of((score * 3) * case / 3)
    difference = one - other
    assert difference.estimate == 0
    assert difference.std_err(np.arange(90)) == 0
    assert (auc_of(case, score) - auc_of(case, score)).interval(np.arange(90)) == (0, 0)


def test_cohort_differences_at_rounding_level_are_zero() -> None:
    influence = np.random.default_rng(7).normal(size=50) / 50
    one = ClusteredEstimate(0.1 + 0.2, influence)
    other = ClusteredEstimate(0.3, influence * (1 + 1e-15))
    number = (one - other).estimate()
    assert (number.estimate, number.low, number.high, number.p) == (0, 0, 0, 1)
    apart = ClusteredEstimate(3.0, np.zeros(4)) - ClusteredEstimate(1.0, np.zeros(4))
    assert np.isnan(apart.estimate().p)
    assert (one.estimate(bounds=(0.25, 0.31)).low, one.estimate(bounds=(0.25, 0.31)).high) == (
        0.25,
        0.31,
    )


def test_survival_along_a_path_stays_between_0_and_1() -> None:
    for seed in range(30):
        _, stop, cause, risk = tiny(seed)
        try:
            fit = fit_cox(risk[:, None], stop, cause > 0, ridge=0.5)
        except ModelError:
            continue
        path = fit.baseline().along([[9.0], [-9.0]], [0, 1], [1, 5])
        within(path.lower, path.upper, 0, 1, path.survival)
