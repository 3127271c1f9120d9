"""Indicators as columns of linear models: scaled numbers, flags for categories and missing values.

Arrays in, arrays out, without scikit-learn, which takes a second to import. The same as a
scikit-learn transformer is `leadsignal.model.IndicatorEncoder`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SKEWED = 3.0
"""Non-negative columns with a maximum above this are log-transformed, as counts or times."""
FURTHEST = 3.0
"""Number of standard deviations from the mean at which values are clipped."""
RARELY = 0.005
"""Minimum share of missing values in a column for a flag of their own."""


@dataclass(frozen=True, eq=False)
class IndicatorColumns:
    """The scales, codes and missing values learnt from rows, to encode rows of the same columns.

    Attributes
    ----------
    numbers : array of shape (k,)
        Columns that enter as numbers.
    logged : array of shape (k,)
        Whether each enters as log(1 + x).
    mean, scale : arrays of shape (k,)
        Mean and standard deviation of each.
    with_gaps : array of shape (m,)
        Columns with a flag for missing values.
    flags : array of shape (f, 2)
        Column and code of each flag for a category.
    """

    numbers: Ints
    logged: Bools
    mean: Floats
    scale: Floats
    with_gaps: Ints
    flags: Floats

    @classmethod
    def of(cls, rows: Floats, is_category: Bools) -> IndicatorColumns:
        """Learn from rows (n, columns), with NaN for missing; ``is_category`` marks codes."""
        gaps = np.isnan(rows)
        at = np.flatnonzero(~is_category & ~gaps.all(axis=0))
        numbers = rows[:, at]
        logged = (np.nanmin(numbers, 0, initial=np.inf) >= 0) & (
            np.nanmax(numbers, 0, initial=-np.inf) > SKEWED
        )
        numbers = _logged(numbers, logged)
        spread = np.nanstd(numbers, axis=0) if numbers.size else np.zeros(0)
        flags = [
            (column, code)
            for column in np.flatnonzero(is_category)
            for code in np.unique(rows[~gaps[:, column], column])
        ]
        return cls(
            at,
            logged,
            np.nanmean(numbers, axis=0) if numbers.size else np.zeros(0),
            np.where(spread > 0, spread, 1.0),
            _different(gaps, np.flatnonzero(gaps.mean(axis=0) > RARELY)),
            np.array(flags, dtype=float).reshape(-1, 2),
        )

    def encode(self, rows: Floats) -> Floats:
        """Return numbers, flags of missing values, and flags of codes, in this order."""
        numbers = (_logged(rows[:, self.numbers], self.logged) - self.mean) / self.scale
        numbers = np.clip(np.nan_to_num(numbers, nan=0.0), -FURTHEST, FURTHEST)
        gaps = np.isnan(rows[:, self.with_gaps])
        columns, codes = self.flags[:, 0].astype(int), self.flags[:, 1]
        return np.hstack([numbers, gaps, rows[:, columns] == codes]).astype(float)


def _logged(numbers: Floats, logged: Bools) -> Floats:
    found = numbers.copy()
    found[:, logged] = np.log1p(np.maximum(numbers[:, logged], 0))
    return found


def _different(gaps: Bools, columns: Ints) -> Ints:
    """Return the columns whose missing values are not in the same rows as in an earlier column."""
    patterns = np.packbits(gaps[:, columns], axis=0).T
    _, first = np.unique(patterns, axis=0, return_index=True)
    return columns[np.sort(first)]
