"""Boosted trees walked column by column: the same chances as scikit-learn's, bit for bit, sooner.

scikit-learn walks each tree once a row. Here each split of a tree is one comparison of a whole
column, and what does not change from step to step is walked once for all steps. The first rows are
given to scikit-learn as well; should it ever differ, it is believed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Designed = Callable[[slice, int], Floats]
    Walk = Callable[[list[Floats]], Floats | None]

BLOCK, LEAST_BLOCK = 8192, 1024
"""Rows at once: few enough that a column stays in the processor's cache, enough to be worth it."""
CHECKED = 16
"""Rows that scikit-learn predicts too, when an estimator is first met."""
_WALKS: WeakKeyDictionary[Any, tuple[Any, Walk | None]] = WeakKeyDictionary()


def step_chances(estimator: Any, designed: Designed, rows: int, steps: int) -> Floats | None:
    """Return the chance of class 1 of each row and step, shape (rows, steps).

    ``designed(part, step)`` gives the estimator's rows for some rows and a step. None where the
    estimator is not one of boosted trees as scikit-learn makes them today.
    """
    if rows == 0:
        return None
    walk = _checked_walk(estimator, designed, min(rows, CHECKED), steps)
    if walk is None:
        return None
    chances = np.empty((rows, steps))
    size = max(LEAST_BLOCK, min(BLOCK, -(-rows // threads())))

    def fill(begin: int) -> bool:
        part = slice(begin, min(begin + size, rows))
        blocks = [designed(part, step) for step in range(steps)]
        got = walk(blocks)
        if got is None:
            return False
        chances[part] = got
        return True

    blocks = range(0, rows, size)
    if len(blocks) == 1:
        return chances if fill(0) else None
    with ThreadPoolExecutor(threads()) as pool:
        return chances if all(list(pool.map(fill, blocks))) else None


def threads() -> int:
    """Return how many threads to use: LEADSIGNAL_THREADS, else as many as there are processors."""
    given = os.environ.get("LEADSIGNAL_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _checked_walk(estimator: Any, designed: Designed, rows: int, steps: int) -> Walk | None:
    """Return the estimator's walk if scikit-learn agrees with it on the first rows."""
    predictors = getattr(estimator, "_predictors", None)
    if predictors is None:
        return None
    held = _WALKS.get(estimator)
    if held is None or held[0] is not predictors:
        walk = _walk_of(estimator)
        blocks = [designed(slice(0, rows), step) for step in range(steps)]
        if walk is not None and not _agrees(estimator, blocks, walk(blocks)):
            walk = None
        _WALKS[estimator] = held = (predictors, walk)
    return held[1]


def _agrees(estimator: Any, blocks: list[Floats], chances: Floats | None) -> bool:
    return chances is not None and all(
        np.array_equal(estimator.predict_proba(block)[:, 1], chances[:, step])
        for step, block in enumerate(blocks)
    )


def _walk_of(estimator: Any) -> Walk | None:
    """Return a function from the designed rows of each step to chances, if there can be one."""
    from scipy.special import expit

    try:
        trees = [_Tree(tree, estimator) for (tree,) in estimator._predictors]
        baseline = float(estimator._baseline_prediction.ravel()[0])
        is_category = np.zeros(estimator.n_features_in_, dtype=bool)
        if estimator.is_categorical_ is not None:
            # The encoder puts the categories first.
            is_category[: int(estimator.is_categorical_.sum())] = True
    except (AttributeError, ValueError, TypeError, IndexError):
        return None

    def walk(blocks: list[Floats]) -> Floats | None:
        first = np.ascontiguousarray(estimator._preprocess_X(blocks[0], reset=False).T)
        moving = _moving(blocks, estimator)
        if moving is None:
            return None
        raw = np.full((len(blocks), first.shape[1]), baseline)
        columns: dict[int, Any] = {
            int(number): _codes(first[number]) for number in np.flatnonzero(is_category)
        }
        for tree in trees:
            if tree.features.isdisjoint(moving):
                raw += tree.values(lambda at: columns.get(at, first[at]))
            else:
                raw += tree.values(lambda at: moving.get(at, columns.get(at, first[at])))
        chances: Floats = expit(raw.T)
        return chances

    return walk


def _moving(blocks: list[Floats], estimator: Any) -> dict[int, Floats] | None:
    """Return the columns that differ between steps, each (steps, rows), by the trees' numbers."""
    first = blocks[0].view(np.int64)
    differ = np.zeros(first.shape[1], dtype=bool)
    for block in blocks[1:]:
        differ |= (block.view(np.int64) != first).any(axis=0)
    numbers = np.arange(len(differ))
    given = estimator.is_categorical_
    if given is not None:
        if (differ & given).any():
            return None
        order = np.concatenate([np.flatnonzero(given), np.flatnonzero(~given)])
        numbers = np.argsort(order)
    return {
        int(numbers[at]): np.stack([block[:, at] for block in blocks])
        for at in np.flatnonzero(differ)
    }


def _codes(column: Floats) -> NDArray[np.intp]:
    """Return categories as places in a table of 257: the last stands for missing and unknown."""
    known = (column >= 0) & (column < 256)
    return np.where(known, column, 256).astype(np.intp)


class _Tree:
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
        given = column(int(node["feature_idx"]))
        if "table" in node:
            left = node["table"][given]
        elif node["missing_go_to_left"]:
            left = ~(given > node["num_threshold"])
        else:
            left = given <= node["num_threshold"]
        below, above = (self.values(column, int(node[side])) for side in ("left", "right"))
        return np.where(left, below, above)


def _members(bitset: Any) -> NDArray[np.bool_]:
    """Return which of 0 to 255 a set of 8 words of 32 bits holds."""
    words = np.asarray(bitset, dtype=np.uint32)
    return ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool).ravel()
