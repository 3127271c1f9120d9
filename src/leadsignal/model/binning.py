"""Bins of columns with many values, at weighted quantiles, before scikit-learn boosts trees.

scikit-learn 1.9 finds the same bins, but sorts the column again for each of the 254 quantiles: that
takes longer than growing the trees. Older versions ignore the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_BINS = 255
"""scikit-learn takes each value of a column with at most this many for a bin."""


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of the columns that have more than `MAX_BINS` values.

    Attributes
    ----------
    edges : mapping of int to array
        By column, the largest value of each bin but the last, in ascending order.
    """

    edges: Mapping[int, Floats]

    @classmethod
    def of(cls, rows: Floats, weight: Floats, is_category: NDArray[np.bool_]) -> Bins:
        """Return the bins of rows, each of about the same total weight."""
        found = {at: _edges(rows[:, at], weight) for at in np.flatnonzero(~is_category).tolist()}
        return cls({at: edges for at, edges in found.items() if edges is not None})

    def numbers(self, rows: Floats) -> Floats:
        """Return the rows with the numbers of their bins; missing values stay missing."""
        numbered = rows.copy()
        for at, edges in self.edges.items():
            bins = np.searchsorted(edges, rows[:, at])
            numbered[:, at] = np.where(np.isnan(rows[:, at]), np.nan, bins)
        return numbered

    def value(self, column: int, threshold: float) -> float:
        """Return the value of a threshold that lies between the numbers of two bins."""
        edges = self.edges.get(column)
        if edges is None or threshold > len(edges):
            return threshold
        # Between 3 and 5, if bin 4 has no row: the value is the edge of bin 3.
        return float(edges[int(np.ceil(threshold)) - 1])


NO_BINS = Bins({})


def _edges(values: Floats, weight: Floats) -> Floats | None:
    """Return the edges of a column's bins; None where each value is a bin."""
    counted = ~np.isnan(values) & (weight != 0)
    values, weight = values[counted], weight[counted]
    order = np.argsort(values)
    values, total = values[order], np.cumsum(weight[order])
    if np.count_nonzero(values[1:] != values[:-1]) < MAX_BINS:
        return None
    rank = np.linspace(0, 100, MAX_BINS + 1)[1:-1] / 100 * total[-1]
    at = np.minimum(np.searchsorted(total, rank), len(values) - 1)
    after = np.minimum(at + 1, len(values) - 1)
    # Hyndman and Fan (1996), definition 2: where a quantile lies between two values, their mean.
    between = total[at] - rank <= np.finfo(float).eps
    edges: Floats = np.unique(np.where(between, (values[at] + values[after]) / 2, values[at]))
    return edges
