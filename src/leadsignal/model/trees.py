"""Boosted trees, taken from a fitted scikit-learn estimator and evaluated column by column.

scikit-learn walks each tree once per row. Here each split is one comparison of a whole column, with
the same scores, bit for bit, in less time. Rows are independent: blocks of them run in threads.

Columns with many values are cut into bins at weighted quantiles before the trees are grown.
scikit-learn 1.9 finds the same bins, but sorts the column again for each of the 254 quantiles: that
takes longer than growing the trees. Older versions ignore the weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import ModelError
from leadsignal.threads import threads

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


BLOCK, MIN_BLOCK = 1024, 512
"""Rows at once: few enough that they stay in the processor's cache, enough to be worth it."""
CHECKED = 64
"""Number of training rows on which the scores are compared with scikit-learn's."""
MISSING = 256
"""Code of a category whose value is missing; boosting distinguishes at most 255 others."""


def by_blocks(fill: Callable[[slice], None], rows: int) -> None:
    """Call ``fill`` for blocks of the rows, in parallel threads."""
    size = max(MIN_BLOCK, min(BLOCK, -(-rows // threads())))
    parts = [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
    if len(parts) == 1 or threads() == 1:
        for part in parts:
            fill(part)
        return
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, parts))


@dataclass(frozen=True)
class Split:
    """A node of a tree with two branches; a leaf is a number.

    Attributes
    ----------
    column : int
        Column of the design that is compared.
    missing_left : bool
        Whether missing values go left.
    threshold : float or None
        Numbers up to this go left; None for a category.
    codes : tuple of int or None
        Codes of a category that go to the other side than missing values; None for a number.
    left, right : Split or float
        The branches.
    """

    column: int
    missing_left: bool
    threshold: float | None
    codes: tuple[int, ...] | None
    left: Node
    right: Node

    @cached_property
    def _table(self) -> NDArray[np.bool_]:
        """Whether each code goes left."""
        table = np.full(MISSING + 1, self.missing_left)
        table[list(self.codes or ())] = not self.missing_left
        return table

    def goes_left(self, values: Any) -> NDArray[np.bool_]:
        """Return which values of the column go left."""
        left: NDArray[np.bool_]
        if self.threshold is None:
            left = self._table[values]
        elif self.missing_left:
            left = ~(values > self.threshold)
        else:
            left = values <= self.threshold
        return left


Node = Split | float


def splits_of(node: Node) -> Iterator[Split]:
    """Yield each split of a tree."""
    if isinstance(node, Split):
        yield node
        yield from splits_of(node.left)
        yield from splits_of(node.right)


def tree_values(node: Node, columns: Mapping[int, Any]) -> Any:
    """Return a tree's value for each row."""
    if not isinstance(node, Split):
        return node
    left = node.goes_left(columns[node.column])
    return np.where(left, tree_values(node.left, columns), tree_values(node.right, columns))


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Trees whose values, added to ``baseline``, are the log-odds of a row."""

    baseline: float
    trees: tuple[Node, ...]

    @cached_property
    def read(self) -> dict[int, bool]:
        """The columns that the trees read, and whether each is a category."""
        splits = [split for tree in self.trees for split in splits_of(tree)]
        return {split.column: split.threshold is None for split in splits}

    def columns(self, rows: Floats) -> dict[int, Any]:
        """Return the columns that the trees read, by their numbers; categories as whole codes."""
        columns: dict[int, Any] = {at: np.ascontiguousarray(rows[:, at]) for at in self.read}
        for at, is_category in self.read.items():
            if is_category:
                columns[at] = np.nan_to_num(columns[at], nan=MISSING).astype(np.intp)
        return columns

    def __call__(self, rows: Floats) -> Floats:
        """Return the score of each row."""
        columns = self.columns(rows)
        score = np.full(len(rows), self.baseline)
        for tree in self.trees:
            score += tree_values(tree, columns)
        return score


def trees_of(estimator: Any, rows: Floats, bins: Bins = NO_BINS) -> BoostedTrees:
    """Return the trees of a `HistGradientBoostingClassifier` that is fitted on the ``bins``.

    Raises ModelError where their scores of some of the ``rows`` are not scikit-learn's: a future
    version may build its trees in another way.
    """
    checked = np.ascontiguousarray(rows[:: -(-len(rows) // CHECKED)])
    try:
        trees = _taken_from(estimator, bins)
        expected = estimator.decision_function(bins.numbers(checked))
        same = np.array_equal(expected, trees(checked))
    except (AttributeError, ValueError, TypeError, LookupError):
        same = False
    if not same:
        from sklearn import __version__ as version

        raise ModelError(
            f"the boosted trees of scikit-learn {version} cannot be read",
            'Install an older scikit-learn, or use estimator="logistic"',
        )
    return trees


def _taken_from(estimator: Any, bins: Bins) -> BoostedTrees:
    places, known = _order_of(estimator)

    def node(tree: Any, number: int) -> Node:
        fields = dict(zip(tree.nodes.dtype.names, tree.nodes[number].tolist(), strict=True))
        if fields["is_leaf"]:
            return float(fields["value"])
        column, missing_left = fields["feature_idx"], bool(fields["missing_go_to_left"])
        # scikit-learn writes infinity where only missing values go right.
        threshold: float | None = bins.value(
            places[column], min(fields["num_threshold"], sys.float_info.max)
        )
        codes = None
        if fields["is_categorical"]:
            left = _members(tree.raw_left_cat_bitsets[fields["bitset_idx"]])[: len(known[column])]
            threshold, codes = None, tuple(known[column][left != missing_left].astype(int).tolist())
        branches = node(tree, fields["left"]), node(tree, fields["right"])
        return Split(places[column], missing_left, threshold, codes, *branches)

    baseline = float(estimator._baseline_prediction.ravel()[0])
    return BoostedTrees(baseline, tuple(node(tree, 0) for (tree,) in estimator._predictors))


def _order_of(estimator: Any) -> tuple[list[int], list[Floats]]:
    """Return the columns in the estimator's order, and the known codes of its categories.

    Its encoder puts the categories first; what it does not know is missing.
    """
    is_category = estimator.is_categorical_
    if is_category is None:
        return list(range(estimator.n_features_in_)), []
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    known = [np.asarray(values, dtype=np.float64) for values in encoder.categories_]
    places = np.r_[np.flatnonzero(is_category), np.flatnonzero(~is_category)]
    return places.tolist(), [values[~np.isnan(values)] for values in known]


def _members(bitset: Any) -> NDArray[np.bool_]:
    """Return which of 0 to 255 a set of 8 words of 32 bits holds."""
    words = np.asarray(bitset, dtype=np.uint32)
    return ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool).ravel()
