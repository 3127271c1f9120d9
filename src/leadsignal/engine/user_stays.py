"""How far apart the rows of each user are: what counting distinct users in trailing windows needs.

Rows of a user that are at most a window apart are one stay: it begins with a row that is farther
from the row before, and ends a window after its last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
NEVER = 2**31
"""Days between two rows that are not of the same user."""


def days_apart(whose: tuple[Any, ...], day: Any) -> tuple[list[Ints], Ints]:
    """Sort rows by whose they are, in numbers from 0, and by day; return how far apart they are.

    Returns
    -------
    in_order : list of arrays of shape (n,)
        The columns ``whose`` and the day.
    apart : array of shape (n + 1,)
        The days from each row to the one before it, `NEVER` where that is another user's.

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
    """Sort by the columns, which hold no negative numbers, the first one first.

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
