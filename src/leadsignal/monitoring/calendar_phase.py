"""Calendar phase: which past changes of a level came at the same day of the month or quarter.

Where all accounts close their month in the same week, a level swings with it, more than it would
if something broke. Such a level is compared with itself at the same phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


CYCLES = ((1, 1.6), (3, 3.5))
"""Months of a cycle, and how many days apart count as the same phase."""
MONTH_DAYS = 365.2425 / 12
EXPLAINED, LONGER_EXPLAINED = 0.75, 0.5
"""A level swings with a cycle whose phase leaves less than this share of its changes' squares
unexplained (chance leaves all of it, and more); a longer cycle must leave less than that share of
what the shorter one leaves."""
MIN_ALIKE = 3
"""Changes with fewer others of their phase are not used."""


@dataclass(frozen=True, eq=False)
class Comparable:
    """Which past changes the present one is compared with.

    ``among`` (series, past changes); ``around``: those in whose reach it must not lie either, twice
    as far in phase, since a fall at the month's end may come a day sooner. ``overlap`` (series):
    how many of them share a run. ``by_phase`` (series): whether they are those of the same phase.
    """

    among: NDArray[np.bool_]
    around: NDArray[np.bool_]
    overlap: Floats
    by_phase: NDArray[np.bool_]


def find_comparable(
    days: Sequence[Any], past: Floats, lag: int, every: int, memory: int
) -> Comparable:
    """Return what the change that ends on the last of ``days`` is compared with.

    ``past`` (series, changes) are changes over ``lag`` runs that end on the first of the days; NaN
    where unknown. All of the last ``memory`` count, or those of the same phase at any time.
    """
    series, count = past.shape
    among = np.zeros(past.shape, dtype=bool)
    among[:, -memory:] = True
    around = among.copy()
    overlap = np.full(series, float(lag))
    known = ~np.isnan(past)
    left = np.ones(series)
    for months, within in CYCLES:
        alike = _alike(days, months, within)
        unexplained = _unexplained(past, known, alike[:count, :count])
        mine = unexplained < np.where(left < 1, LONGER_EXPLAINED * left, EXPLAINED)
        among[mine] = alike[-1, :count]
        around[mine] = _alike(days, months, 2 * within)[-1, :count]
        overlap[mine] = max(1.0, lag * every / (months * MONTH_DAYS))
        left = np.where(mine, unexplained, left)
    return Comparable(among, around, overlap, left < 1)


def _alike(days: Sequence[Any], months: int, within: float) -> NDArray[np.bool_]:
    """Return which pairs of days have the same phase of a cycle of ``months`` months."""
    dates = np.array(days, dtype="datetime64[D]")
    month = dates.astype("datetime64[M]")
    first = month - (month.astype(int) % months)
    begun, over = (one.astype("datetime64[D]") for one in (first, first + months))
    phase = (dates - begun).astype(float) / (over - begun).astype(float)
    apart = np.abs(phase[:, None] - phase)
    near: NDArray[np.bool_] = np.minimum(apart, 1 - apart) * months * MONTH_DAYS <= within
    return near


def _unexplained(past: Floats, known: NDArray[np.bool_], alike: NDArray[np.bool_]) -> Floats:
    """Return the share of each series' squared changes that others of their phase do not explain.

    Each change is predicted by the mean of the others of its phase.
    """
    others = (alike & ~np.eye(len(alike), dtype=bool)).astype(float)
    filled = np.where(known, past, 0.0)
    comparable = known @ others
    enough = known & (comparable >= MIN_ALIKE)
    mean = filled.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    by_phase = np.where(enough, past - (filled @ others) / np.maximum(comparable, 1), 0.0)
    at_all = np.where(enough, past - mean[:, None], 0.0)
    squares = (at_all**2).sum(axis=1)
    share: Floats = np.where(
        squares > 0, (by_phase**2).sum(axis=1) / np.where(squares > 0, squares, 1.0), 1.0
    )
    return share
