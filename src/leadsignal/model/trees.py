"""Boosted trees, evaluated column by column.

Each split is one vectorised comparison, which is faster than walking each tree row by row.
Blocks of rows are independent and run in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.threads import threads

Floats = NDArray[np.float64]
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
