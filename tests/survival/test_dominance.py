"""Counting points below a value, against counting them."""

import numpy as np
import pytest

from leadsignal.survival.ranking import count_below_and_equal, ranks_among


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_are_those_of_a_loop(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    n, q = int(rng.integers(1, 60)), int(rng.integers(1, 40))
    rank = rng.integers(0, int(rng.integers(1, 40)) + 1, n).astype(np.int32)
    query = rng.integers(0, 45, q).astype(np.int32)
    edges = np.sort(rng.integers(0, n + 1, (q, 2)), axis=1)
    weight = rng.integers(0, 5, n).astype(float) if weighted else None
    below, equal = count_below_and_equal(rank, weight, edges[:, 0], edges[:, 1], query)
    for k in range(q):
        inside = slice(*edges[k])
        points = np.ones(n)[inside] if weight is None else weight[inside]
        assert below[k] == points[rank[inside] < query[k]].sum()
        assert equal[k] == points[rank[inside] == query[k]].sum()


def test_ranks_lie_at_and_between_the_pivots() -> None:
    values = np.array([0.0, 1.0, 1.5, 2.0, 9.0])
    assert ranks_among(values, np.array([1.0, 2.0])).tolist() == [0, 1, 2, 3, 4]


def test_one_rank_for_all_needs_no_levels() -> None:
    rank = np.zeros(4, dtype=np.int32)
    ends = np.array([4]), np.array([0], dtype=np.int32)
    below, equal = count_below_and_equal(rank, None, np.array([1]), *ends)
    assert (below[0], equal[0]) == (0, 3)
