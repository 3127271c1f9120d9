"""Boosted trees, evaluated column by column.

Each split is one comparison of a whole column, in less time than walking each tree once per row.
Rows are independent: blocks of them run in threads.
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
"""Rows at once: few enough that they stay in the processor's cache, enough to be worth it."""
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
