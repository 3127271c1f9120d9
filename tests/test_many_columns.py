"""Many columns and few churns: columns that rise together are penalised as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadsignal.model.features import Features, Layout, design
from leadsignal.model.learners import (
    FEW_ENDS,
    MAX_ALIKE,
    Boosting,
    Logistic,
    Prepared,
    TrainingData,
    penalty_factors,
)
from leadsignal.model.trees import Node, Split
from leadsignal.stats import auc_of

ENDS = np.array([30])
SIGNAL, NOISE = 3, 100


def training_of(rows: int, columns: int, seed: int) -> tuple[Layout, TrainingData]:
    """Return rows whose hazard follows the first columns; the others share what busy means."""
    rng = np.random.default_rng(seed)
    busy = rng.normal(size=(rows, 1))
    matrix = np.hstack(
        [rng.normal(size=(rows, SIGNAL)), busy + 0.3 * rng.normal(size=(rows, NOISE))]
    )
    ended = rng.uniform(size=rows) < 1 / (1 + np.exp(2.5 + matrix[:, :SIGNAL].sum(axis=1)))
    matrix = matrix[:, :columns]
    features = Features(tuple(f"c{number}" for number in range(columns)))
    row, ones = np.arange(rows), np.ones(rows)
    stacked = design(features, matrix, ENDS, row, np.zeros(rows, dtype=np.int64))
    layout = Layout.of(features, ENDS)
    prepared = Prepared(layout, stacked, ones, row)
    return layout, TrainingData(prepared, row, ended, ones, 0 * ones, 30 * ones, 1.0)


class LightLogistic(Logistic):
    """A penalty for rows that see each end once, as these do."""

    ridge = 10.0


def auc_with(columns: int, factors: bool, monkeypatch: pytest.MonkeyPatch) -> float:
    if not factors:
        plain = "leadsignal.model.learners.penalty_factors"
        monkeypatch.setattr(plain, lambda columns, weight: np.ones(columns.shape[1]))
    aucs = []
    for seed in range(2):
        layout, training = training_of(500, columns, seed)
        learner = LightLogistic(layout, 0).fit(training)
        _, later = training_of(2000, columns, 100 + seed)
        aucs.append(auc_of(later.ended, learner.log_odds(later.rows)).estimate)
    return float(np.mean(aucs))


def test_noise_that_many_columns_share_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    without = auc_with(SIGNAL, True, monkeypatch)
    with_noise = auc_with(SIGNAL + NOISE, True, monkeypatch)
    plain = auc_with(SIGNAL + NOISE, False, monkeypatch)
    assert without > 0.75
    assert without - with_noise < 0.01
    assert with_noise > plain


def test_penalties_by_hand() -> None:
    rng = np.random.default_rng(0)
    single, shared = rng.normal(size=(5000, 5)), rng.normal(size=(5000, 1))
    ones = np.ones(5000)
    assert (penalty_factors(single, ones) == 1).all()
    columns = np.hstack([single, np.repeat(shared, 60, axis=1), np.zeros((5000, 1))])
    factors = penalty_factors(columns, ones)
    assert (factors[:5] == 1).all()
    assert factors[5:-1] == pytest.approx(np.full(60, (60 / MAX_ALIKE) ** 2), rel=0.01)
    assert factors[-1] == 1
    # A row that counts twice counts as two rows.
    twice = penalty_factors(np.vstack([columns, columns[:100]]), np.ones(5100))
    weights = np.r_[np.full(100, 2.0), np.ones(4900)]
    assert penalty_factors(columns, weights) == pytest.approx(twice)
    assert penalty_factors(np.zeros((3, 0)), np.ones(3)).shape == (0,)


def _leaves(node: Node) -> int:
    return _leaves(node.left) + _leaves(node.right) if isinstance(node, Split) else 1


def test_trees_have_fewer_leaves_where_churns_are_few() -> None:
    layout, training = training_of(4000, 20, 0)
    assert training.ends == training.ended.sum() > FEW_ENDS
    many = Boosting(layout, 0).fit(training)
    kept = ~training.ended | (np.cumsum(training.ended) < FEW_ENDS)
    few = Boosting(layout, 0).fit(training.part(kept))
    assert max(map(_leaves, many.trees.trees)) == Boosting.leaf_count
    assert max(map(_leaves, few.trees.trees)) == Boosting.few_leaves
    # Rows that see one end again and again are one end.
    assert replace(training, overlap=6.0).ends == training.ends / 6
