"""Boosted trees: their bins, their splits by brute force, and scikit-learn's on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from leadsignal.model.trees import (
    MAX_BINS,
    MISSING_BIN,
    Binned,
    Growth,
    Split,
    bin_edges,
    grown_trees,
    splits_of,
)

CATEGORY = np.array([False, False, False, True])
EITHER_WAY = np.zeros(4, dtype=np.int64)


def rows_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, few numbers, numbers with gaps, and a category; who ended, and weights."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 4))
    rows[:, 1] = random.integers(0, 40, count)
    rows[random.random(count) < 0.1, 2] = np.nan
    rows[:, 3] = random.integers(0, 5, count)
    known = np.nan_to_num(rows, nan=1.5)
    linear = known[:, 0] + known[:, 2] + np.isin(rows[:, 3], [1, 4]) - 2
    return rows, random.random(count) < 1 / (1 + np.exp(-linear)), random.choice([1.0, 3.3], count)


def test_edges_by_hand() -> None:
    values = np.arange(3.0 * MAX_BINS)
    edges = bin_edges(values, np.ones(len(values)))
    assert edges.tolist() == [3 * number + 2 for number in range(MAX_BINS - 1)]
    heavy = np.where(values < 2, 1e9, 1.0)  # half of the weight each: all quantiles are one of them
    assert bin_edges(values, heavy).tolist() == [0.0, 1.0]
    few = bin_edges(np.array([3.0, 1.0, np.nan, 1.0, 9.0]), np.array([1.0, 1, 1, 1, 0]))
    assert few.tolist() == [2.0]  # no weight, no value
    assert bin_edges(np.array([np.nan]), np.ones(1)).shape == (0,)
    # Between two numbers without one in between, the edge is the lower.
    next_one = np.nextafter(1.0, 2.0)
    assert bin_edges(np.array([1.0, next_one]), np.ones(2)).tolist() == [1.0]
    assert len(bin_edges(np.arange(float(MAX_BINS)), np.ones(MAX_BINS))) == MAX_BINS - 1


def test_a_weight_is_a_number_of_rows() -> None:
    random = np.random.default_rng(2)
    values, weight = random.normal(size=2000), random.integers(0, 4, 2000)
    repeated = np.repeat(values, weight)
    expected = bin_edges(repeated, np.ones(len(repeated)))
    assert np.array_equal(bin_edges(values, weight.astype(float)), expected)


def test_numbers_of_bins_lead_back_to_their_edges() -> None:
    rows, _, weight = rows_of(2000, 3)
    binned = Binned.of(rows, weight, CATEGORY)
    assert np.array_equal(binned.numbers[2] == MISSING_BIN, np.isnan(rows[:, 2]))
    assert np.array_equal(binned.numbers[3], rows[:, 3])
    assert binned.numbers[0].max() == MAX_BINS - 1 == len(binned.edges[0])
    assert np.array_equal(binned.numbers[0] <= 41, rows[:, 0] <= binned.edges[0][41])
    part = binned.part(rows[:, 0] > 0)
    assert np.array_equal(part.numbers, binned.numbers[:, rows[:, 0] > 0])


def gain(left: np.ndarray, slope: np.ndarray, curvature: np.ndarray, ridge: float) -> float:
    sides = [(slope[side].sum(), curvature[side].sum()) for side in (left, ~left)]
    whole = slope.sum() ** 2 / (curvature.sum() + ridge)
    return float(sum(s**2 / (c + ridge) for s, c in sides) - whole)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_split_is_the_best_of_all(seed: int) -> None:
    rows, ended, weight = rows_of(120, seed)
    rows[:, 0] = rows[:, 0].round(1)
    rows[:, 2] = rows[:, 2].round(1)
    growth = Growth(1, 2, 1.0, 5.0)
    trees = grown_trees(
        Binned.of(rows, weight, CATEGORY), ended, weight, EITHER_WAY, growth, 0
    )  # fmt: skip
    (split,) = trees.trees
    assert isinstance(split, Split)
    rate = np.average(ended, weights=weight)
    slope, curvature = weight * (rate - ended), weight * rate * (1 - rate)
    least = 5 * weight.mean() * rate * (1 - rate)
    tried = [rows[:, at] <= value for at in range(3) for value in np.unique(rows[:, at])]
    tried += [side | np.isnan(rows[:, 2]) for side in tried]
    tried += [np.isin(rows[:, 3], [c for c in range(5) if code >> c & 1]) for code in range(32)]
    allowed = [t for t in tried if min(curvature[t].sum(), curvature[~t].sum()) >= least]
    best = max(gain(side, slope, curvature, 10.0) for side in allowed)
    left = split.goes_left(trees.columns(rows)[split.column])
    assert gain(left, slope, curvature, 10.0) == pytest.approx(best, rel=1e-5)
    step = -slope[left].sum() / (curvature[left].sum() + 10) * growth.rate
    assert split.left == pytest.approx(step, rel=1e-5)
    assert trees.baseline == pytest.approx(np.log(rate / (1 - rate)))


@pytest.mark.parametrize("seed", range(3))
def test_trees_are_those_of_scikit_learn(seed: int) -> None:
    rows, ended, weight = rows_of(3000, seed)
    rows[:, 0] = (rows[:, 0] * 10).round()  # a bin for each value, in both
    rows[:, 2] = (rows[:, 2] * 10).round()
    given = HistGradientBoostingClassifier(
        max_iter=20, max_leaf_nodes=6, l2_regularization=10.0, categorical_features=CATEGORY,
        early_stopping=False, min_samples_leaf=1, monotonic_cst=[1, 0, 0, 0], random_state=0,
    ).fit(rows, ended, sample_weight=weight)  # fmt: skip
    binned = Binned.of(rows, weight, CATEGORY)
    trees = grown_trees(binned, ended, weight, np.array([1, 0, 0, 0]), Growth(20, 6, 1.0, 0.05), 0)
    assert any(split.codes is not None for tree in trees.trees for split in splits_of(tree))
    assert {split.column for tree in trees.trees for split in splits_of(tree)} >= {0, 2, 3}
    difference = trees(rows) - given.decision_function(rows)
    assert np.abs(difference).mean() < 0.01
    assert difference.std() < 0.05 * trees(rows).std()


def test_risk_moves_one_way_where_it_must() -> None:
    rows, _, weight = rows_of(2000, 5)
    ended = np.random.default_rng(0).random(2000) < 0.3 + 0.2 * np.sin(3 * rows[:, 0])
    binned, growth = Binned.of(rows, weight, CATEGORY), Growth(30, 6, 1.0, 20.0)
    free, up, down = (
        grown_trees(binned, ended, weight, np.array([sign, 0, 0, 0]), growth, 0)
        for sign in (0, 1, -1)
    )
    moved = np.repeat(rows[:40, None], 50, axis=1)
    moved[:, :, 0] = np.linspace(-3, 3, 50)
    steps = [np.diff(trees(moved.reshape(-1, 4)).reshape(40, 50)) for trees in (free, up, down)]
    assert steps[0].min() < 0 < steps[0].max()
    assert steps[1].min() >= 0
    assert steps[2].max() <= 0


def test_each_tree_reads_its_share_of_the_columns() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(1000, 20))
    ended, ones = random.random(1000) < 1 / (1 + np.exp(-rows.sum(axis=1))), np.ones(1000)
    binned = Binned.of(rows, ones, np.zeros(20, dtype=bool))
    signs, growth = np.zeros(20, dtype=np.int64), Growth(30, 5, 0.1, 20.0, always=(7,))
    one, again, other = (
        grown_trees(binned, ended, ones, signs, growth, seed) for seed in (0, 0, 1)
    )
    read = [{split.column for split in splits_of(tree)} for tree in one.trees]
    assert max(map(len, read)) == 3  # two of the nineteen others
    assert sum(7 in columns for columns in read) > 15
    assert len(set().union(*read)) > 10
    assert one.trees == again.trees != other.trees


def test_where_only_missing_values_differ_all_numbers_go_left() -> None:
    values = np.r_[np.arange(50.0), np.full(50, np.nan)]
    rows, ended, ones = values[:, None], np.isnan(values), np.ones(100)
    binned = Binned.of(rows, ones, np.array([False]))
    (split,) = grown_trees(binned, ended, ones, EITHER_WAY[:1], Growth(1, 2, 1.0, 1.0), 0).trees
    assert isinstance(split, Split)
    assert not split.missing_left
    assert split.goes_left(np.array([-1e300, 0.0, 1e300])).all()


def test_nothing_to_learn_is_a_level() -> None:
    rows, ones = np.zeros((10, 2)), np.ones(10)
    binned = Binned.of(rows, ones, np.zeros(2, dtype=bool))
    growth = Growth(3, 5, 1.0, 1.0)
    trees = grown_trees(binned, ones < 0, ones, EITHER_WAY[:2], growth, 0)
    assert (trees(rows) < -30).all()
    assert np.isfinite(trees(rows)).all()
