"""Means, AUC and their differences with intervals by customer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadsignal.stats import auc_of, mean_of
from leadsignal.survival.horizon_risks import dynamic_auc


def test_auc_by_hand() -> None:
    # Cases 0.9 and 0.4, others 0.2 and 0.4: pairs 1, 1, 1 and a half: 3.5 of 4.
    score = np.array([0.9, 0.2, 0.4, 0.4])
    assert auc_of(np.array([True, False, True, False]), score).estimate == 0.875


def test_auc_is_that_of_others_and_its_error_that_of_the_survival_core() -> None:
    rng = np.random.default_rng(0)
    case, score = rng.random(500) < 0.2, np.round(rng.normal(size=500), 1)
    cluster = rng.integers(0, 120, 500)
    found = auc_of(case, score + case)
    assert found.estimate == pytest.approx(roc_auc_score(case, score + case), abs=1e-12)
    stop = np.where(case, 5.0, 11.0)
    core = dynamic_auc(stop, case, score + case, [10.0], cluster=cluster)
    assert found.estimate == pytest.approx(core.auc[0], abs=1e-12)
    assert found.std_err(cluster) == pytest.approx(core.std_err[0], rel=1e-6)


def test_a_method_against_itself_differs_by_nothing() -> None:
    rng = np.random.default_rng(1)
    case, score = rng.random(200) < 0.3, rng.random(200)
    one = auc_of(case, score)
    assert (one - auc_of(case, score)).interval(np.arange(200)) == (0.0, 0.0)


def test_rows_of_one_customer_count_once() -> None:
    # Ten customers, each four times: the error is that of ten values, sd / sqrt(10).
    values = np.random.default_rng(2).random(10)
    found = mean_of(np.repeat(values, 4))
    expected = values.std() / np.sqrt(10)
    assert found.std_err(np.repeat(np.arange(10), 4)) == pytest.approx(expected)


def test_weights_and_missing_values() -> None:
    # (2 × 1 + 1 × 0) / 3; the third value stands aside.
    found = mean_of(np.array([1.0, 0.0, np.nan]), np.array([2.0, 1.0, 9.0]))
    assert found.estimate == pytest.approx(2 / 3)
    assert np.isnan(mean_of(np.array([np.nan])).estimate)
    assert np.isnan(auc_of(np.array([True]), np.array([0.5])).estimate)


def test_intervals_of_clustered_differences_cover() -> None:
    # 400 samples of 150 customers with shared noise; binomial error of the coverage is 1.1 points.
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        customer = np.repeat(np.arange(150), 4)
        truth = rng.random(150)[customer]
        case = rng.random(600) < 0.1 + 0.3 * truth
        good = truth + rng.normal(scale=0.5, size=150)[customer]
        other = truth + rng.normal(scale=0.5, size=150)[customer]
        low, high = (auc_of(case, good) - auc_of(case, other)).interval(customer)
        inside += low <= 0 <= high
    assert 0.915 <= inside / 400 <= 0.98
