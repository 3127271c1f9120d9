"""Count, for many queries at once, the points of a range that rank below or equal to a value.

A wavelet matrix (Claude, Navarro & Ordóñez 2015) read level by level: points are sorted by one
bit of their rank at a time, and every query follows its own bits through the levels. Points and
queries are whole arrays, so n points and q queries cost (n + q) × bits simple array steps, and
only one level is in memory at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leadsignal.survival.inputs import Bools, Floats, Ints
from leadsignal.survival.risk_sets import from_the_first

Small = NDArray[np.int32]


def ranks_among(values: Floats, pivots: Floats) -> Small:
    """Rank ``values`` against sorted distinct ``pivots``: 2k + 1 at pivot k, 2k just below it."""
    left = np.searchsorted(pivots, values)
    inside = np.minimum(left, len(pivots) - 1)
    ranks: Small = (2 * left + (pivots[inside] == values)).astype(np.int32)
    return ranks


def count_below_and_equal(
    rank: Small, weight: Floats | None, left: Ints, right: Ints, query: Small
) -> tuple[Floats, Floats]:
    """Return, for each query, the weights of points in its range below and at its rank.

    ``rank`` (n), 0 or more, and ``weight`` (n; None: 1 each) of the points in their order;
    ``left`` and ``right`` (q), positions with 0 <= left <= right <= n; ``query`` (q), ranks.
    """
    below = np.zeros(len(query))
    left, right = left.astype(np.int32), right.astype(np.int32)
    bits = int(max(rank.max(initial=0), query.max(initial=0))).bit_length()
    for bit in reversed(range(bits)):
        ones = (rank >> bit) & 1
        zero = ones == 0
        zeros = _count(zero)
        bit_set = ((query >> bit) & 1).astype(bool)
        zeros_left, zeros_right = zeros[left], zeros[right]
        if weight is None:
            below += bit_set * (zeros_right - zeros_left)
        else:
            total = from_the_first(np.where(zero, weight, 0.0))
            below += bit_set * (total[right] - total[left])
        count = zeros[-1]
        left = np.where(bit_set, count + left - zeros_left, zeros_left)
        right = np.where(bit_set, count + right - zeros_right, zeros_right)
        one = ~zero
        rank = np.concatenate((rank[zero], rank[one]))
        if weight is not None:
            weight = np.concatenate((weight[zero], weight[one]))
    # What is left of each range are the points at the query's own rank.
    if weight is None:
        return below, (right - left).astype(np.float64)
    total = from_the_first(weight)
    return below, total[right] - total[left]


def _count(marked: Bools) -> Small:
    total = np.zeros(len(marked) + 1, dtype=np.int32)
    np.cumsum(marked, out=total[1:], dtype=np.int32)
    return total
