"""Boosted trees: grown best-first from histograms, and evaluated column by column.

Each split is one vectorised comparison, which is faster than walking each tree row by row.
Blocks of rows are independent and run in threads.

The method is that of XGBoost and LightGBM (Chen and Guestrin 2016; Ke et al. 2017), with the second
derivatives of the logistic loss. Each tree uses a random share of the columns, so that only these
need histograms. Sums are exact, so that a fit does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.workers import threads

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


BLOCK, MIN_BLOCK = 1024, 512
"""Maximum and minimum rows per block: small enough for the CPU cache, large enough to pay off."""
MISSING = 256
"""Code of a missing category; boosting distinguishes at most 255 others."""


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
        Column of the design used in the comparison.
    missing_left : bool
        Whether missing values go left.
    threshold : float or None
        Numbers up to this go left; None for a category.
    codes : tuple of int or None
        Category codes on the side opposite to missing values; None for a number.
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
    """Return the value of a tree for each row."""
    if not isinstance(node, Split):
        return node
    left = node.goes_left(columns[node.column])
    return np.where(left, tree_values(node.left, columns), tree_values(node.right, columns))


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Trees whose values and ``baseline`` add up to the log-odds of a row."""

    baseline: float
    trees: tuple[Node, ...]

    @cached_property
    def read(self) -> dict[int, bool]:
        """The columns used by the trees, and whether each is a category."""
        splits = [split for tree in self.trees for split in splits_of(tree)]
        return {split.column: split.threshold is None for split in splits}

    def columns(self, rows: Floats) -> dict[int, Any]:
        """Return the columns used by the trees, by number, with categories as integer codes."""
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


Flags = NDArray[np.bool_]

MAX_BINS = 100
"""Maximum number of bins of a numeric column, and of values of a category (one bin each)."""
MISSING_BIN = MAX_BINS
"""Bin of missing values."""
WIDTH = MAX_BINS + 1
COMPARED_ROWS = 20_000
"""Maximum number of rows used to determine the bins."""
SMOOTHED = 10.0
"""Curvature added to each category before categories are sorted."""
HALF = 2.0**26
"""Upper limit of sums of slopes and curvatures, in units."""
LARGEST = float(np.finfo(np.float64).max)
"""Threshold of a split that separates missing values from all others."""


@dataclass(frozen=True, eq=False)
class Binned:
    """The columns of a design as bin numbers.

    Attributes
    ----------
    numbers : array of shape (columns, n)
        Bin of each value; `MISSING_BIN` if it is missing.
    edges : tuple of array
        For each column, the largest value in every bin except the last, in ascending order; for
        categories, their codes.
    is_category : array of shape (columns,)
    """

    numbers: NDArray[np.uint8]
    edges: tuple[Floats, ...]
    is_category: Flags

    @classmethod
    def of(cls, rows: Floats, weight: Floats, is_category: Flags) -> Binned:
        """Bin rows (n, columns), with about the same total weight in each bin."""
        step = slice(None, None, max(1, -(-len(rows) // COMPARED_ROWS)))
        numbers = np.empty(rows.shape[::-1], dtype=np.uint8)
        edges = []
        for at, coded in enumerate(is_category.tolist()):
            values = np.ascontiguousarray(rows[:, at])
            missing = np.isnan(values)
            if coded:
                edges.append(np.unique(values[~missing]))
                numbers[at] = np.where(missing, MISSING_BIN, values)
            else:
                edges.append(bin_edges(values[step], weight[step]))
                numbers[at] = np.where(missing, MISSING_BIN, np.searchsorted(edges[at], values))
        return cls(numbers, tuple(edges), is_category)

    def part(self, chosen: Flags | Ints) -> Binned:
        """Return some of the rows."""
        return Binned(self.numbers[:, chosen], self.edges, self.is_category)


def bin_edges(values: Floats, weight: Floats) -> Floats:
    """Return the edges of a column's bins, shape (bins - 1,).

    If there are few distinct values, each has its own bin, with edges halfway between two values.
    Otherwise the edges are weighted quantiles; a weight counts as a number of copies of a row.

    >>> bin_edges(np.array([1.0, 3.0, np.nan]), np.ones(3))
    array([2.])
    """
    counted = ~np.isnan(values) & (weight != 0)
    values, weight = values[counted], weight[counted]
    order = np.argsort(values)
    values, total = values[order], np.cumsum(weight[order])
    distinct = values[np.r_[True, values[1:] != values[:-1]]] if len(values) else values
    if len(distinct) <= MAX_BINS:
        middle = distinct[:-1] + (distinct[1:] - distinct[:-1]) / 2
        return np.where(middle < distinct[1:], middle, distinct[:-1])
    rank = np.arange(1, MAX_BINS) * total[-1] / MAX_BINS
    at = np.minimum(np.searchsorted(total, rank), len(values) - 1)
    edges: Floats = np.unique(values[at])
    return edges


@dataclass(frozen=True)
class Growth:
    """Parameters for growing trees.

    ``leaf_rows`` is the minimum number of average rows in a leaf, where rows count by their
    information (the curvature of the loss). Each tree uses a random ``share`` of the columns, and
    ``always``.
    """

    trees: int
    leaves: int
    share: float
    leaf_rows: float
    always: tuple[int, ...] = ()
    rate: float = 0.1
    ridge: float = 10.0


NOTHING = np.zeros((2, 0, WIDTH))


@dataclass(frozen=True)
class _Found:
    """The best split of a node, with its gain."""

    gain: float
    place: int
    missing_left: bool
    left: Flags
    """Which bins go left, shape (WIDTH,)."""
    bin: int
    """The last bin that goes left; −1 for a category."""
    left_sums: Floats


@dataclass(eq=False)
class _Leaf:
    """A leaf of a growing tree. ``sums`` are its sums of slopes and curvatures."""

    rows: Ints
    sums: Floats
    low: float = -np.inf
    high: float = np.inf
    histogram: Floats = field(default_factory=lambda: NOTHING)
    split: _Found | None = None
    branches: tuple[_Leaf, _Leaf] | None = None


def grown_trees(
    binned: Binned, ended: Flags, weight: Floats, signs: Ints, growth: Growth, seed: int
) -> BoostedTrees:
    """Return boosted trees whose values add up to the log-odds of an end.

    Parameters
    ----------
    binned : Binned
        The binned columns of n rows.
    ended, weight : arrays of shape (n,)
        Whether each row ended, and its weight.
    signs : array of shape (columns,)
        Monotonicity constraint of each column: 1 only up, −1 only down, 0 none.
    growth : Growth
        Parameters of the trees.
    seed : int
        Random state for sampling columns.
    """
    from scipy.special import expit, logit

    rng = np.random.default_rng(seed)
    columns = len(binned.numbers)
    others = np.setdiff1d(np.arange(columns), growth.always)
    count = min(len(others), max(1, round(growth.share * len(others))))
    rate = float(np.average(ended, weights=weight))
    tiny = np.finfo(np.float64).eps
    baseline = float(logit(np.clip(rate, tiny, 1 - tiny)))
    least = growth.leaf_rows * float(weight.mean()) * rate * (1 - rate)
    score = np.full(len(ended), baseline)
    trees: list[Node] = []
    for _ in range(growth.trees if columns else 0):
        chance = expit(score)
        slope, curvature = weight * (chance - ended), weight * chance * (1 - chance)
        read = np.sort(np.append(rng.choice(others, count, replace=False), growth.always)).astype(
            np.int64
        )
        both, units = _packed(slope, curvature)
        tree = _Tree(binned, read, signs[read], both, growth, least, units)
        root = tree.grow()
        for leaf in _leaves(root):
            score[leaf.rows] += tree.value(leaf)
        trees.append(tree.node(root))
    return BoostedTrees(baseline, tuple(trees))


def _packed(slope: Floats, curvature: Floats) -> tuple[Floats, Floats]:
    """Pack both into one array of integers, and return it with their units (2,).

    Sums of integers below 2 ** 53 are exact in any order, and one sum gives both.
    """
    units = np.array([np.abs(slope).sum(), curvature.sum()]) / (HALF - len(slope))
    units = np.maximum(units, np.finfo(np.float64).tiny)
    both: Floats = np.rint(slope / units[0]) + 2 * HALF * np.rint(curvature / units[1])
    return both, units


def _leaves(leaf: _Leaf) -> Iterator[_Leaf]:
    if leaf.branches is None:
        yield leaf
        return
    for branch in leaf.branches:
        yield from _leaves(branch)


@dataclass(eq=False)
class _Tree:
    """One tree, using the columns ``read`` (k,)."""

    binned: Binned
    read: Ints
    signs: Ints
    packed: Floats
    growth: Growth
    least: float
    units: Floats
    numbers: NDArray[np.uint8] = field(init=False)
    coded: Ints = field(init=False)
    plain: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = self.binned.numbers[self.read]
        self.coded = np.flatnonzero(self.binned.is_category[self.read])
        self.plain = np.flatnonzero(~self.binned.is_category[self.read])

    def grow(self) -> _Leaf:
        """Split the leaf with the largest gain until there are enough leaves."""
        root = _Leaf(np.arange(len(self.packed)), self._unpacked(self.packed.sum()))
        root.histogram = self._histogram(root.rows)
        root.split = self._best(root)
        open_leaves = [root]
        for count in range(2, self.growth.leaves + 1):
            best = max(open_leaves, key=lambda leaf: leaf.split.gain if leaf.split else 0.0)
            if best.split is None:
                break
            best.branches = self._branches(best, best.split)
            open_leaves.remove(best)
            open_leaves += best.branches
            if count < self.growth.leaves:
                self._prepare(best, *best.branches)
            best.histogram = NOTHING
        return root

    def value(self, leaf: _Leaf) -> float:
        """Return the contribution of a leaf to the log-odds."""
        return self.growth.rate * float(self._step(leaf.sums[0], leaf.sums[1], leaf))

    def node(self, leaf: _Leaf) -> Node:
        """Return a grown tree as splits and leaf values."""
        if leaf.branches is None or leaf.split is None:
            return self.value(leaf)
        split = leaf.split
        column = int(self.read[split.place])
        branches = self.node(leaf.branches[0]), self.node(leaf.branches[1])
        if split.bin < 0:
            known = self.binned.edges[column].astype(np.int64)
            codes = known[split.left[known] != split.missing_left]
            return Split(column, split.missing_left, None, tuple(codes.tolist()), *branches)
        edges = self.binned.edges[column]
        # If only missing values go right, all numbers go left.
        threshold = float(edges[split.bin]) if split.bin < len(edges) else LARGEST
        return Split(column, split.missing_left, threshold, None, *branches)

    def _histogram(self, rows: Ints) -> Floats:
        """Return sums of slopes and curvatures by column and bin, shape (2, k, WIDTH)."""
        numbers, values = self.numbers, self.packed
        if len(rows) < len(values):
            numbers, values = numbers.take(rows, axis=1), values[rows]
        sums = np.empty((len(numbers), WIDTH))
        for at, column in enumerate(numbers):
            sums[at] = np.bincount(column, values, WIDTH)
        return self._unpacked(sums)

    def _unpacked(self, sums: Floats) -> Floats:
        """Return the sums of slopes and of curvatures, shape (2, ...)."""
        curvature = np.floor((sums + HALF) / (2 * HALF))
        return np.stack([(sums - curvature * 2 * HALF) * self.units[0], curvature * self.units[1]])

    def _branches(self, leaf: _Leaf, split: _Found) -> tuple[_Leaf, _Leaf]:
        column = self.numbers[split.place]
        goes_left = split.left[column[leaf.rows]]
        left = _Leaf(leaf.rows[goes_left], split.left_sums, leaf.low, leaf.high)
        right = _Leaf(leaf.rows[~goes_left], leaf.sums - split.left_sums, leaf.low, leaf.high)
        sign = self.signs[split.place]
        if sign:
            steps = [float(self._step(one.sums[0], one.sums[1], leaf)) for one in (left, right)]
            middle = sum(steps) / 2
            lower, upper = (left, right) if sign > 0 else (right, left)
            lower.high, upper.low = middle, middle
        return left, right

    def _prepare(self, parent: _Leaf, left: _Leaf, right: _Leaf) -> None:
        """Find the best splits of two new leaves; one histogram is the parent's minus the other."""
        few, many = (left, right) if len(left.rows) <= len(right.rows) else (right, left)
        if few.sums[1] < 2 * self.least and many.sums[1] < 2 * self.least:
            return
        few.histogram = self._histogram(few.rows)
        many.histogram = parent.histogram - few.histogram
        left.split, right.split = self._best(left), self._best(right)

    def _step(self, slope: Floats | float, curvature: Floats | float, leaf: _Leaf) -> Floats:
        """Return the optimal change in log-odds for these sums, within the leaf's bounds."""
        step = -np.asarray(slope) / (curvature + self.growth.ridge)
        if leaf.low == -np.inf and leaf.high == np.inf:
            return step
        bounded: Floats = np.clip(step, leaf.low, leaf.high)
        return bounded

    def _best(self, leaf: _Leaf) -> _Found | None:
        """Return the split with the largest gain; None if no split has a gain."""
        if leaf.sums[1] < 2 * self.least:
            return None
        found = [self._best_number(leaf), self._best_category(leaf)]
        kept = [one for one in found if one is not None]
        return max(kept, key=lambda one: one.gain, default=None)

    def _gains(self, left: Floats, leaf: _Leaf, signs: Ints) -> Floats:
        """Return the gain of each split; ``left`` (2, k, cuts) are the sums on the left."""
        right = leaf.sums[:, None, None] - left
        steps = [self._step(side[0], side[1], leaf) for side in (left, right)]
        gains: Floats = -(steps[0] * left[0] + steps[1] * right[0])
        gains += float(self._step(leaf.sums[0], leaf.sums[1], leaf)) * leaf.sums[0]
        wrong = (left[1] < self.least) | (right[1] < self.least)
        if signs.any():
            wrong |= (steps[1] - steps[0]) * signs[:, None] < 0
        gains[wrong] = 0.0
        return gains

    def _best_number(self, leaf: _Leaf) -> _Found | None:
        if not len(self.plain):
            return None
        sums = leaf.histogram[:, self.plain]
        missing = sums[:, :, MISSING_BIN]
        left = np.cumsum(sums[:, :, :MISSING_BIN], axis=2)
        best: _Found | None = None
        # Without missing values in training, they go to the side with more rows.
        gaps = np.flatnonzero(missing[1] > 0)
        for missing_left, chosen in ((False, slice(None)), (True, gaps)):
            tried = left[:, chosen] + missing[:, chosen, None] if missing_left else left
            if not tried.size:
                continue
            gains = self._gains(tried, leaf, self.signs[self.plain][chosen])
            at, cut = np.unravel_index(int(gains.argmax()), gains.shape)
            gain = float(gains[at, cut])
            if gain <= (best.gain if best else 0.0):
                continue
            place = int(self.plain[chosen][at])
            to_left = missing_left
            if not missing_left and not missing[1, at] > 0:
                to_left = bool(2 * tried[1, at, cut] > leaf.sums[1])
            table = np.arange(WIDTH) <= cut
            table[MISSING_BIN] = to_left
            best = _Found(gain, place, to_left, table, int(cut), tried[:, at, cut])
        return best

    def _best_category(self, leaf: _Leaf) -> _Found | None:
        """Return the best split of categories sorted by slope (Fisher 1958)."""
        if not len(self.coded):
            return None
        sums = leaf.histogram[:, self.coded]
        ratio = np.where(sums[1] > 0, sums[0] / (sums[1] + SMOOTHED), np.inf)
        order = np.argsort(ratio, axis=1, kind="stable")
        left = np.cumsum(np.take_along_axis(sums, order[None], axis=2), axis=2)
        gains = self._gains(left, leaf, self.signs[self.coded])
        at, cut = np.unravel_index(int(gains.argmax()), gains.shape)
        if gains[at, cut] <= 0:
            return None
        table = np.zeros(WIDTH, dtype=bool)
        table[order[at, : cut + 1]] = True
        missing_left = bool(table[MISSING_BIN])
        place = int(self.coded[at])
        return _Found(float(gains[at, cut]), place, missing_left, table, -1, left[:, at, cut])
