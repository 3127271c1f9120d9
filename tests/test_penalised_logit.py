"""Logistic regression with shared columns, against scikit-learn on the plain columns."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from leadsignal.model.encoding import IndicatorEncoder
from leadsignal.stats import SharedRows, penalised_logit


@pytest.mark.parametrize("seed", range(6))
def test_the_coefficients_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(60), rng.integers(1, 5, 60))
    own = np.column_stack([np.ones(len(owner)), rng.normal(size=(len(owner), 2))])
    shared = rng.normal(size=(60, 4)) * [1, 10, 0.1, 1]
    weight = rng.uniform(0.5, 3, len(owner))
    ended = rng.random(len(owner)) < 0.3
    design = SharedRows(own, shared, owner)
    found = penalised_logit(design, ended, weight, np.r_[0.0, np.full(6, 2.0)]).coef
    plain = np.hstack([own[:, 1:], shared[owner]])
    expected = LogisticRegression(C=0.5, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    expected.fit(plain, ended, sample_weight=weight)
    assert found[0] == pytest.approx(expected.intercept_[0], abs=1e-6)
    assert found[1:] == pytest.approx(expected.coef_[0], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_fit_that_begins_near_another_ends_where_it_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(300), 3)
    design = SharedRows(np.ones((900, 1)), rng.normal(size=(300, 5)), owner)
    linear = design.times(rng.normal(size=6))
    ended, weight = rng.random(900) < 1 / (1 + np.exp(2 - linear)), rng.uniform(0.5, 3, 900)
    penalty = np.r_[0.0, np.full(5, 2.0)]
    chosen = rng.random(900) < 0.6
    part, few = design.part(chosen), (ended[chosen], weight[chosen], penalty)
    assert np.array_equal(part.times(np.arange(6.0)), design.times(np.arange(6.0))[chosen])
    near = penalised_logit(design, ended, weight, penalty)
    expected = penalised_logit(part, *few).coef
    assert penalised_logit(part, *few, near).coef == pytest.approx(expected, abs=1e-6)


def test_separated_outcomes_have_finite_coefficients() -> None:
    own, shared = np.ones((40, 1)), np.linspace(-1, 1, 40)[:, None]
    design = SharedRows(own, shared, np.arange(40))
    found = penalised_logit(design, shared[:, 0] > 0, np.ones(40), np.array([0.0, 1e-3])).coef
    assert np.isfinite(found).all()
    assert found[1] > 10


def test_columns_with_the_same_gaps_share_a_flag() -> None:
    rows = np.array([[1.0, 2.0, np.nan], [np.nan, np.nan, 1.0], [3.0, 1.0, 2.0]])
    encoder = IndicatorEncoder().fit(rows)
    assert encoder.get_feature_names_out(["a", "b", "c"]).tolist() == [
        *("a", "b", "c"),
        *("a_missing", "c_missing"),
    ]
