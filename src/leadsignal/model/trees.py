"""Boosted trees walked column by column: the same scores as scikit-learn's, bit for bit, sooner.

scikit-learn walks each tree once a row. Here each split of a tree is one comparison of a whole
column. The first rows that an estimator meets are given to scikit-learn as well; should it ever
differ, it is believed. Rows are independent: blocks of them are worked on in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCK, MIN_BLOCK = 1024, 512
"""Rows at once: few enough that they stay in the processor's cache, enough to be worth it."""
CHECKED = 64
"""Rows that scikit-learn scores too, when an estimator is first met."""
_WALKS: WeakKeyDictionary[Any, tuple[Any, Walk | None]] = WeakKeyDictionary()


def by_blocks(fill: Callable[[slice], None], rows: int) -> None:
    """Call ``fill`` for blocks of the rows, in as many threads as there may be."""
    size = max(MIN_BLOCK, min(BLOCK, -(-rows // threads())))
    parts = [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
    if len(parts) == 1 or threads() == 1:
        for part in parts:
            fill(part)
        return
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, parts))


def threads() -> int:
    """Return how many threads to use: LEADSIGNAL_THREADS, else OMP_NUM_THREADS, else one a core.

    Spark sets OMP_NUM_THREADS to the cores of a task, of which a machine runs many.
    """
    for name in ("LEADSIGNAL_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tree_scores(estimator: Any, rows: Floats) -> Floats | None:
    """Return the estimator's ``decision_function`` of the rows, shape (rows,).

    None where it is not one of boosted trees as scikit-learn makes them today.
    """
    walk = checked_walk(estimator, rows)
    return None if walk is None else walk(rows)


def checked_walk(estimator: Any, rows: Floats) -> Walk | None:
    """Return the trees of an estimator, checked on the first rows it meets; None as above."""
    predictors = getattr(estimator, "_predictors", None)
    if predictors is None or not len(rows):
        return None
    cached = _WALKS.get(estimator)
    if cached is None or cached[0] is not predictors:
        walk, first = _walk_of(estimator), np.ascontiguousarray(rows[:CHECKED])
        if walk is not None and not np.array_equal(estimator.decision_function(first), walk(first)):
            walk = None
        _WALKS[estimator] = cached = (predictors, walk)
    return cached[1]


def _walk_of(estimator: Any) -> Walk | None:
    """Return the trees of an estimator, if they can be walked."""
    try:
        trees = tuple(Tree(tree, estimator) for (tree,) in estimator._predictors)
        baseline = float(estimator._baseline_prediction.ravel()[0])
        return Walk(trees, baseline, *_order_of(estimator))
    except (AttributeError, ValueError, TypeError, IndexError, KeyError):
        return None


@dataclass(frozen=True, eq=False)
class Walk:
    """An estimator's trees: ``places`` are the columns of rows by the trees' numbers of them."""

    trees: tuple[Tree, ...]
    baseline: float
    places: list[int]
    known: list[Floats]

    def columns(self, rows: Floats) -> dict[int, Any]:
        """Return the columns that trees read, by their numbers, categories as codes."""
        used = sorted({feature for tree in self.trees for feature in tree.features})
        columns: dict[int, Any] = {
            at: np.ascontiguousarray(rows[:, self.places[at]]) for at in used
        }
        for at in range(len(self.known)):
            if at in columns:
                columns[at] = _codes(columns[at], self.known[at])
        return columns

    def __call__(self, rows: Floats) -> Floats:
        """Return the score of each row."""
        columns = self.columns(rows)
        score = np.full(len(rows), self.baseline)
        for tree in self.trees:
            score += tree.values(columns.__getitem__)
        return score


def _order_of(estimator: Any) -> tuple[list[int], list[Floats]]:
    """Return the columns in the estimator's order, and the known values of its categories.

    Its encoder puts the categories first; what it does not know is missing.
    """
    is_category = estimator.is_categorical_
    if is_category is None:
        return list(range(estimator.n_features_in_)), []
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    known = [np.asarray(values, dtype=np.float64) for values in encoder.categories_]
    places = np.r_[np.flatnonzero(is_category), np.flatnonzero(~is_category)]
    return places.tolist(), [values[~np.isnan(values)] for values in known]


def _codes(column: Floats, known: Floats) -> NDArray[np.intp]:
    """Return categories as places among the known; 256 is missing or unknown."""
    if not len(known):
        return np.full(len(column), 256, dtype=np.intp)
    place = np.minimum(np.searchsorted(known, column), len(known) - 1)
    return np.where(known[place] == column, place, 256).astype(np.intp)


class Tree:
    """One tree: its splits as comparisons of columns."""

    def __init__(self, tree: Any, estimator: Any) -> None:
        self.nodes = [dict(zip(tree.nodes.dtype.names, node, strict=True)) for node in tree.nodes]
        self.features = {int(n["feature_idx"]) for n in self.nodes if not n["is_leaf"]}
        known, places = estimator._bin_mapper.make_known_categories_bitsets()
        for node in self.nodes:
            if node["is_categorical"] and not node["is_leaf"]:
                left = _members(tree.raw_left_cat_bitsets[int(node["bitset_idx"])])
                seen = _members(known[int(places[int(node["feature_idx"])])])
                table = np.full(257, bool(node["missing_go_to_left"]))
                table[:256] = np.where(left, True, np.where(seen, False, table[:256]))
                node["table"] = table

    def values(self, column: Callable[[int], Any], at: int = 0) -> Any:
        """Return the tree's value for each row, from node ``at`` on."""
        node = self.nodes[at]
        if node["is_leaf"]:
            return node["value"]
        value = column(int(node["feature_idx"]))
        if "table" in node:
            left = node["table"][value]
        elif node["missing_go_to_left"]:
            left = ~(value > node["num_threshold"])
        else:
            left = value <= node["num_threshold"]
        below, above = (self.values(column, int(node[side])) for side in ("left", "right"))
        return np.where(left, below, above)


def _members(bitset: Any) -> NDArray[np.bool_]:
    """Return which of 0 to 255 a set of 8 words of 32 bits holds."""
    words = np.asarray(bitset, dtype=np.uint32)
    return ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool).ravel()
