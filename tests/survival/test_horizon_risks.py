"""Dynamic AUC, Brier scores and calibration: against scikit-survival and every pair counted."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from leadsignal.errors import ModelError, OptionError
from leadsignal.survival.horizon_risks import brier, calibration, dynamic_auc
from leadsignal.survival.risk_sets import Censoring

from .by_counting import auc, staying, weights_at
from .conftest import close


def sample(
    seed: int, rows: int = 200, ties: bool = False, causes: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=rows)
    life, followed = rng.exponential(np.exp(-score)), rng.exponential(1.2, size=rows)
    stop, cause = np.minimum(life, followed), np.where(life <= followed, 1, 0)
    if causes > 1:
        cause = np.where((cause == 1) & (rng.random(rows) < 0.3), 2, cause)
    if ties:
        stop, score = np.ceil(stop * 5) / 5, np.round(score)
    return stop, cause, score


def surv(cause: np.ndarray, stop: np.ndarray) -> np.ndarray:
    return np.array(list(zip(cause == 1, stop, strict=True)), dtype=[("e", bool), ("t", float)])


@pytest.mark.parametrize("ties", [False, True])
def test_censoring_weights_are_those_of_a_loop(ties: bool) -> None:
    stop, cause, _ = sample(1, ties=ties)
    censoring = Censoring.of(stop, cause == 0)
    assert close(censoring.own, staying(stop, cause == 0)[0], 1e-12)
    for horizon in (0.2, 0.6, 1.0):
        assert close(censoring.by(horizon), weights_at(stop, cause, horizon), 1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_auc_is_that_of_every_pair(seed: int, ties: bool) -> None:
    stop, cause, score = sample(seed, 80, ties)
    times = [0.3, 0.7, 1.1]
    found = dynamic_auc(stop, cause, score, times)
    assert close(found.auc, [auc(stop, cause, score, time) for time in times], 1e-12)


def test_auc_and_brier_agree_with_scikit_survival() -> None:
    sksurv = pytest.importorskip("sksurv.metrics", reason="scikit-survival is not installed")

    stop, cause, score = sample(2, 400, causes=1)
    y, times = surv(cause, stop), np.array([0.2, 0.5, 0.9, 1.3])
    theirs = sksurv.cumulative_dynamic_auc(y, y, score, times)[0]
    assert close(dynamic_auc(stop, cause, score, times).auc, theirs)
    risk = 1 - np.exp(-np.exp(score)[:, None] * times)
    ours = brier(stop, cause, risk, times)
    assert close(ours.score, sksurv.brier_score(y, y, 1 - risk, times)[1])
    assert ours.integrated == pytest.approx(sksurv.integrated_brier_score(y, y, 1 - risk, times))


def jackknife(function: Callable[..., Any], rows: int, cluster: np.ndarray) -> Any:
    """Standard errors from leaving out one cluster at a time, times (k − 1)/√k … to first order."""
    values = np.array([function(cluster != one) for one in np.unique(cluster)])
    count = len(values)
    return np.sqrt((count - 1) / count * ((values - values.mean(axis=0)) ** 2).sum(axis=0))


def test_errors_are_near_those_of_the_jackknife_censoring_included() -> None:
    stop, cause, score = sample(3, 600, ties=True)
    cluster, times = np.arange(600) // 3, [0.4, 1.0]
    risk = expit(score + 0.2)
    found = dynamic_auc(stop, cause, score, times, cluster=cluster)
    expected = jackknife(
        lambda kept: dynamic_auc(stop[kept], cause[kept], score[kept], times).auc,
        600, cluster,
    )  # fmt: skip
    assert np.allclose(found.std_err, expected, rtol=0.02)
    both = np.column_stack((risk, risk))
    scored = brier(stop, cause, both, times, cluster=cluster)
    expected = jackknife(
        lambda kept: brier(stop[kept], cause[kept], both[kept], times).score, 600, cluster
    )
    assert np.allclose(scored.std_err, expected, rtol=0.02)
    expected = jackknife(
        lambda kept: brier(stop[kept], cause[kept], both[kept], times).integrated, 600, cluster
    )
    assert scored.integrated_std_err == pytest.approx(expected, rel=0.02)
    judged = calibration(stop, cause, risk, 1.0, cluster=cluster)
    expected = jackknife(
        lambda kept: [
            calibration(stop[kept], cause[kept], risk[kept], 1.0).slope[0],
            calibration(stop[kept], cause[kept], risk[kept], 1.0).intercept[0],
        ],
        600, cluster,
    )  # fmt: skip
    halves = [
        (judged.slope[2] - judged.slope[1]) / 2,
        (judged.intercept[2] - judged.intercept[1]) / 2,
    ]
    assert np.allclose(np.array(halves) / 1.959964, expected, rtol=0.03)


def test_ignoring_that_the_weights_are_estimated_would_be_seen() -> None:
    # What is carried through G must change the error, or the test above could not fail.
    stop, cause, _ = sample(3, 600)
    censoring = Censoring.of(stop, cause == 0)
    carried = censoring.influence(1.0, censoring.by(1.0) * (stop > 1.0) / 600)
    assert np.abs(carried).max() > 1e-4
    assert carried.sum() == pytest.approx(0, abs=1e-12)


def test_other_ends_count_as_controls() -> None:
    # Nobody is censored before 2: row 1 ended by another cause and is a control with risk 0.8.
    stop, cause, risk = [1, 1, 3, 3], [1, 2, 0, 0], [0.9, 0.8, 0.2, 0.1]
    assert dynamic_auc(stop, cause, risk, 2).auc[0] == 1
    assert brier(stop, cause, risk, 2).score[0] == pytest.approx((0.01 + 0.64 + 0.04 + 0.01) / 4)


def test_censored_rows_hand_their_weight_on() -> None:
    # One of 4 censored at 1: those still there weigh 4/3, the case at 0.5 weighs 1.
    stop, cause = [0.5, 1, 3, 3, 3], [1, 0, 0, 0, 0]
    weights = Censoring.of(np.array(stop, float), np.array(cause) == 0).by(2.0)
    assert close(weights, [1, 0, 4 / 3, 4 / 3, 4 / 3], 1e-14)


def test_calibration_is_weighted_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    stop, cause, score = sample(4, 500)
    risk, weights = expit(0.6 * score - 0.4), weights_at(stop, cause, 0.8)
    case = (stop <= 0.8) & (cause == 1)
    found = calibration(stop, cause, risk, 0.8)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    theirs.fit(logit(risk)[:, None], case, sample_weight=weights)
    assert found.slope[0] == pytest.approx(theirs.coef_[0, 0], rel=1e-5)
    assert found.observed == pytest.approx(weights @ case / weights.sum())
    assert found.predicted == pytest.approx(weights @ risk / weights.sum())
    # With the slope held at 1 the mean of shifted risks is the observed share.
    shifted = expit(logit(risk) + found.intercept[0])
    assert weights @ shifted / weights.sum() == pytest.approx(found.observed, rel=1e-9)


def test_true_risks_are_calibrated_and_halved_ones_are_not() -> None:
    rng = np.random.default_rng(31)
    score = rng.normal(size=20_000)
    life, followed = rng.exponential(np.exp(-score)), rng.exponential(3.0, size=20_000)
    stop, event = np.minimum(life, followed), life <= followed
    risk = 1 - np.exp(-0.5 * np.exp(score))
    true = calibration(stop, event, risk, 0.5)
    assert true.slope[1] < 1 < true.slope[2]
    assert true.intercept[1] < 0 < true.intercept[2]
    assert ((true.lower < true.risk) & (true.risk < true.upper)).sum() >= 8
    halved = calibration(stop, event, risk / 2, 0.5)
    assert halved.intercept[1] > 0.5
    assert (halved.share > halved.risk).all()


def test_bins_keep_ties_together_and_cover_everyone() -> None:
    stop, cause, score = sample(5, 300, ties=True)
    found = calibration(stop, cause, expit(score), 0.8, bins=10)
    assert found.rows.sum() == 300
    assert len(found.rows) <= len(np.unique(score))
    assert list(found.bins.columns) == ["rows", "risk", "observed", "lower", "upper"]
    inside = ~np.isnan(found.share)
    assert ((found.lower >= 0) & (found.lower <= found.share) & (found.share <= found.upper))[
        inside
    ].all()


def test_no_skill_and_skill() -> None:
    stop, cause, score = sample(6, 1000)
    share = (
        weights_at(stop, cause, 0.8)
        @ ((stop <= 0.8) & (cause == 1))
        / weights_at(stop, cause, 0.8).sum()
    )
    flat = brier(stop, cause, np.full(1000, share), 0.8)
    assert flat.skill[0] == pytest.approx(0, abs=1e-12)
    assert brier(stop, cause, expit(score - 0.5), 0.8).skill[0] > 0.05


def test_scores_that_change_with_the_horizon() -> None:
    stop, cause, score = sample(7)
    two = np.column_stack((score, -score))
    found = dynamic_auc(stop, cause, two, [0.4, 0.8]).auc
    plain = dynamic_auc(stop, cause, score, [0.4, 0.8]).auc
    assert found[0] == plain[0]
    assert found[1] == pytest.approx(1 - plain[1], rel=1e-12)


def test_a_horizon_without_cases_is_unknown() -> None:
    stop, cause, score = sample(8)
    found = dynamic_auc(stop, cause, score, [stop.min() / 2, 0.8])
    assert np.isnan(found.auc[0])
    assert found.cases[0] == 0
    assert 0.5 < found.auc[1] < 1


def test_results_go_to_frames_and_json() -> None:
    stop, cause, score = sample(9)
    found = dynamic_auc(stop, cause, score, [0.4, 0.8])
    scored = brier(stop, cause, expit(np.column_stack((score, score))), [0.4, 0.8])
    judged = calibration(stop, cause, expit(score), 0.8)
    for result in (found, scored, judged):
        assert json.loads(json.dumps(result.to_dict()))["level"] == 0.95
        assert len(result.to_frame()) in (2, 10)
    assert "skill" in scored.to_frame()
    assert repr(scored).splitlines()[-1].startswith("  integrated: 0.")
    assert repr(judged).startswith("calibration within 0.8: slope")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, c, r: dynamic_auc(s, c, r, [0.8, 0.4]), "finite, rising numbers"),
        (lambda s, c, r: dynamic_auc(s, c, r, 99), "horizon 99 is not before the last observed"),
        (lambda s, c, r: dynamic_auc(s, c, r[:-1], 0.5), r"score has shape \(199,\)"),
        (lambda s, c, r: brier(s, c, r + 1, 0.5), "risk has values outside 0 to 1"),
        (lambda s, c, r: brier(s, c, expit(r), [0.4, 0.5]), "needs one per horizon"),
        (lambda s, c, r: brier(s, c, r * np.nan, 0.5), "risk holds NaN"),
        (lambda s, c, r: calibration(s, c, expit(r), 0.5, bins=0), "bins is 0"),
        (lambda s, c, r: dynamic_auc(s * np.nan, c, r, 0.5), "stop is NaN or infinite in 200 rows"),
        (lambda s, c, r: dynamic_auc(s, c - 1, r, 0.5), "not a whole number of 0 or more"),
    ],
)
def test_bad_arrays_are_refused(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call(*sample(10))


def test_no_cases_cannot_be_calibrated() -> None:
    with pytest.raises(ModelError, match="there are no cases by"):
        calibration([1, 2, 3], [1, 0, 0], [0.1, 0.2, 0.3], 0.5)
