"""Gaps between the rows of each user, for counting distinct users in trailing windows.

Rows of a user at most one window apart form a stay. It begins with a row farther than that from the
row before, and ends one window after its last row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
NEVER = 2**31
"""Gap between two rows of different users."""


def days_apart(whose: tuple[Any, ...], day: Any) -> tuple[list[Ints], Ints]:
    """Sort rows by owner (``whose``, numbered from 0) and day, and return the gaps in days.

    Returns
    -------
    in_order : list of arrays of shape (n,)
        The columns ``whose`` and the day, sorted.
    apart : array of shape (n + 1,)
        Number of days from each row to the previous one; `NEVER` if that belongs to another user.

    >>> in_order, apart = days_apart((np.array([1, 1, 0]),), np.array([9, 5, 7]))
    >>> in_order[1], apart
    (array([7, 5, 9]), array([2147483648, 2147483648,          4, 2147483648]))
    """
    origin = day.min(initial=0)
    *owner, nth = sorted_together(*whose, day - origin)
    other = np.zeros(len(nth) + 1, dtype=bool)
    for column in owner:
        other[1:-1] |= column[1:] != column[:-1]
    other[[0, -1]] = True
    apart = np.diff(nth, prepend=0, append=0)
    apart[other] = NEVER
    return [*owner, nth + origin], apart


def sorted_together(*columns: Any) -> list[Ints]:
    """Sort by several columns of non-negative integers, the first column first.

    >>> sorted_together(np.array([2, 1, 1]), np.array([0, 8, 3]))
    [array([1, 1, 2]), array([3, 8, 0])]
    """
    bits = [int(column.max(initial=0)).bit_length() for column in columns]
    if sum(bits) > 63:
        order = np.lexsort(columns[::-1])
        return [column[order].astype(np.int64) for column in columns]
    key = np.zeros(len(columns[0]), np.int64)
    for column, width in zip(columns, bits, strict=True):
        key <<= width
        key |= column
    key.sort()
    parts = []
    for width in reversed(bits):
        parts.append(key & ((1 << width) - 1))
        key >>= width
    return parts[::-1]
