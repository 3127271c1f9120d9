"""The likelihood-ratio, Wald and score test of a Cox fit: statistic, degrees of freedom and p."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from leadsignal.survival import fit_cox
from leadsignal.survival.contrasts import ChiSquare

from .slow_cox import evaluate, risk_sets, slow_cox

UNITS = np.array([1e-6, 1.0, 1e5, 1e-3])


@pytest.fixture(params=[1, 2, 4])
def data(
    request: pytest.FixtureRequest,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    p = request.param
    X = rng.normal(size=(150, p)) * UNITS[:p]
    offset = 0.7 * rng.normal(size=150)
    risk = np.exp((X / UNITS[:p]) @ np.linspace(0.8, -0.4, p) + offset)
    stop = np.ceil(rng.exponential(20 / risk)) + 1
    return X, stop, rng.random(150) < 0.8, rng.integers(0, 3, 150), offset


def agrees(test: ChiSquare, statistic: Any, df: int) -> None:
    assert test.statistic == pytest.approx(statistic, rel=1e-7)
    assert test.df == df
    assert test.p == pytest.approx(chi2.sf(statistic, df), rel=1e-6)


@pytest.mark.parametrize("stratified", [False, True])
def test_statistics_and_degrees_of_freedom(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], stratified: bool
) -> None:
    X, stop, event, strata, offset = data
    groups = strata if stratified else None
    fit = fit_cox(X, stop, event, strata=groups, offset=offset)
    sets, p, ones = risk_sets(stop, event, strata=groups), X.shape[1], np.ones(len(stop))
    slow = slow_cox(X, sets, offset=offset)
    # The null keeps the offset and the strata: only the coefficients are zero.
    null, score, information = evaluate(np.zeros(p), X, sets, ones, offset, True)
    assert fit.loglik_null == pytest.approx(null, rel=1e-12)
    agrees(fit.likelihood_ratio_test, 2 * (slow.loglik - null), p)
    agrees(fit.score_test, score @ np.linalg.solve(information, score), p)
    there = evaluate(slow.coef, X, sets, ones, offset, True)[2]
    agrees(fit.wald_test, slow.coef @ there @ slow.coef, p)


def test_with_a_ridge_the_log_likelihoods_are_those_without_penalty(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, stop, event, _, offset = data
    ridge = 5 / X.var(axis=0)
    fit = fit_cox(X, stop, event, offset=offset, ridge=1 / ridge**-1)
    sets, p, ones = risk_sets(stop, event), X.shape[1], np.ones(len(stop))
    slow = slow_cox(X, sets, offset=offset, ridge=ridge)
    there, _, information = evaluate(slow.coef, X, sets, ones, offset, True)
    null = evaluate(np.zeros(p), X, sets, ones, offset, True)[0]
    agrees(fit.likelihood_ratio_test, 2 * (there - null), p)
    agrees(fit.wald_test, slow.coef @ (information + np.diag(ridge)) @ slow.coef, p)


def test_the_robust_wald_test_has_the_rank_of_its_covariance(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, stop, event, _, _ = data
    p = X.shape[1]
    fit = fit_cox(X, stop, event, cluster=np.arange(len(stop)) // 3)
    assert fit.robust_cov is not None
    agrees(fit.wald_test, fit.coef @ np.linalg.inv(fit.robust_cov) @ fit.coef, p)
    # Three clusters whose influences add up to nothing tell about two directions at most.
    few = fit_cox(X, stop, event, cluster=np.arange(len(stop)) % 3)
    assert few.wald_test.df == min(p, 2)


def test_the_three_tests_name_themselves_with_their_numbers(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, stop, event, _, _ = data
    fit = fit_cox(X, stop, event)
    tests = (fit.likelihood_ratio_test, fit.wald_test, fit.score_test)
    assert [test.name for test in tests] == ["likelihood ratio", "Wald", "score"]
    assert f"on {X.shape[1]} df" in repr(fit)
