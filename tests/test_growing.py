"""Bins at weighted quantiles: those of scikit-learn 1.9, in a fraction of its time."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier

from leadsignal.model.trees import MAX_BINS, NO_BINS, Bins, trees_of

CATEGORY = np.array([False, False, False, True])


def rows_of(count: int, seed: int) -> np.ndarray:
    """Numbers, few numbers, numbers with gaps, and a category."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 4))
    rows[:, 1] = random.integers(0, 400, count)
    rows[random.random(count) < 0.1, 2] = np.nan
    rows[:, 3] = random.integers(0, 3, count)
    return rows


def test_edges_by_hand() -> None:
    values = np.arange(764.0)[:, None]
    edges = Bins.of(values, np.ones(764), np.array([False])).edges[0]
    # Three values a bin, as 764 / 255 is a little less: the last of the first bin is 2.
    assert edges.tolist() == [3 * number + 2 for number in range(254)]
    heavy = np.where(np.arange(764) < 2, 510.0, 1e-9)
    edges = Bins.of(values, heavy, np.array([False])).edges[0]
    assert edges.tolist() == [0.0, 1.0]  # half of the weight each: all quantiles are one of them
    assert not Bins.of(values[:MAX_BINS], np.ones(MAX_BINS), np.array([False])).edges
    assert Bins.of(values[: MAX_BINS + 1], np.ones(MAX_BINS + 1), np.array([False])).edges


def test_a_weight_is_a_number_of_rows_and_rows_without_weight_do_not_count() -> None:
    rows, weight = rows_of(2000, 1), np.random.default_rng(2).integers(0, 4, 2000)
    weighted = Bins.of(rows, weight.astype(float), CATEGORY)
    repeated = np.repeat(rows, weight, axis=0)
    expected = Bins.of(repeated, np.ones(len(repeated)), CATEGORY)
    assert list(weighted.edges) == list(expected.edges) == [0, 1, 2]
    for column, edges in expected.edges.items():
        assert np.array_equal(weighted.edges[column], edges)


def test_numbers_of_bins_lead_back_to_their_edges() -> None:
    rows = rows_of(2000, 3)
    bins = Bins.of(rows, np.ones(2000), CATEGORY)
    numbers = bins.numbers(rows)
    assert np.array_equal(np.isnan(numbers), np.isnan(rows))
    assert np.array_equal(numbers[:, 3], rows[:, 3])
    assert np.nanmax(numbers[:, 0]) == len(bins.edges[0])
    edge = bins.value(0, 41.5)
    assert np.array_equal(numbers[:, 0] <= 41, rows[:, 0] <= edge)
    assert bins.value(0, 42.0) == edge  # between 41 and 43: bin 42 has no row
    assert bins.value(0, np.finfo(float).max) == np.finfo(float).max
    assert bins.value(3, 1.5) == NO_BINS.value(0, 1.5) == 1.5


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),
    reason="older scikit-learn ignores weights when it finds bins",
)
@pytest.mark.parametrize("seed", range(3))
def test_trees_are_those_that_scikit_learn_grows_with_its_own_bins(seed: int) -> None:
    rows, random = rows_of(3000, seed), np.random.default_rng(seed)
    weight = random.choice([1.0, 3.3], 3000)
    ended = random.random(3000) < 1 / (1 + np.exp(2 - np.nan_to_num(rows[:, 0] + rows[:, 2])))
    bins = Bins.of(rows, weight, CATEGORY)
    own, given = (
        HistGradientBoostingClassifier(
            max_iter=20, categorical_features=CATEGORY, early_stopping=False, random_state=0
        )
        for _ in range(2)
    )
    own.fit(rows, ended, sample_weight=weight)
    given.fit(bins.numbers(rows), ended, sample_weight=weight)
    expected, trees = trees_of(own, rows), trees_of(given, rows, bins)
    assert (trees.baseline, trees.trees) == (expected.baseline, expected.trees)
