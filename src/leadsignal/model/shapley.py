"""Exact Shapley values of a prediction over a few groups of columns."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import OptionError

MAX_GROUPS = 12
ROWS_AT_ONCE = 20_000


def typical_row(matrix: NDArray[np.float64], is_category: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the median of each number and the most frequent code of each category.

    >>> typical_row(np.array([[1.0, 0.0], [3.0, 1.0], [8.0, 1.0]]), np.array([False, True]))
    array([3., 1.])
    """
    typical = np.full(matrix.shape[1], np.nan)
    for column, values in enumerate(matrix.T):
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        if is_category[column]:
            codes, counts = np.unique(known, return_counts=True)
            typical[column] = codes[counts.argmax()]
        else:
            typical[column] = np.median(known)
    return typical


def shapley_values(
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    matrix: NDArray[np.float64],
    reference: NDArray[np.float64],
    groups: NDArray[Any],
) -> dict[str, NDArray[np.float64]]:
    """Return each group's Shapley value for each row, in the order in which groups first appear.

    ``value`` maps rows (rows, columns) to numbers (rows,); ``groups`` names the group of each
    column. A coalition keeps the columns of its groups and sets the others to ``reference``. The
    values of a row add up to value(row) - value(reference) (Shapley 1953). Raises OptionError for
    more than 12 groups, because every coalition is evaluated.

    >>> rows, origin = np.array([[2.0, 3.0]]), np.zeros(2)
    >>> shapley_values(lambda x: x[:, 0] * x[:, 1], rows, origin, np.array(["a", "b"]))
    {'a': array([3.]), 'b': array([3.])}
    """
    names = list(dict.fromkeys(groups.tolist()))
    if len(names) > MAX_GROUPS:
        raise OptionError(f"{len(names)} groups are too many", f"Give at most {MAX_GROUPS}")
    worth = np.empty((2 ** len(names), len(matrix)))
    for begin in range(0, len(matrix), ROWS_AT_ONCE):
        part = slice(begin, begin + ROWS_AT_ONCE)
        for coalition in range(len(worth)):
            kept = [name for bit, name in enumerate(names) if coalition >> bit & 1]
            worth[coalition, part] = value(np.where(np.isin(groups, kept), matrix[part], reference))
    return shares_of(worth, names)


def shares_of(worth: NDArray[np.float64], names: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return each group's Shapley value from the value of every coalition, (2 ** groups, rows).

    Group k belongs to a coalition if bit k of the coalition's number is set.
    """
    return {name: _share(worth, bit, len(names)) for bit, name in enumerate(names)}


def _share(worth: NDArray[np.float64], bit: int, count: int) -> NDArray[np.float64]:
    """Average what a group adds over the coalitions it joins, weighted |S|! (n - |S| - 1)! / n!."""
    share = np.zeros(worth.shape[1])
    for coalition in range(len(worth)):
        if not coalition >> bit & 1:
            size = coalition.bit_count()
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            share += weight * (worth[coalition | 1 << bit] - worth[coalition])
    return share
