"""Columns that the data say nothing about, found before a fit and called by their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Floats

COLLINEAR = 1e-10  # of a column's variance, left after the columns before it are taken out


def refuse_dead_columns(information: Floats, constant: Floats, names: Sequence[str]) -> None:
    """Raise ModelError naming every constant or collinear column.

    ``information`` (p × p) is that at coefficients of zero and ``constant`` (p) the diagonal that
    rounding alone can cause. Not called for columns that a ridge identifies.
    """
    variance = np.diag(information)
    is_constant = ~(variance > constant)
    problems = [
        f"{names[j]!r} is constant among those at risk at every event"
        for j in np.flatnonzero(is_constant).tolist()
    ]
    live = np.flatnonzero(~is_constant)
    scale = 1.0 / np.sqrt(variance[live])
    correlation = information[np.ix_(live, live)] * scale[:, None] * scale
    for column, combination in collinear(correlation):
        parts = ", ".join(repr(names[live[j]]) for j in combination)
        how = "repeats" if len(combination) == 1 else "is a combination of"
        problems.append(f"{names[live[column]]!r} {how} {parts}")
    if problems:
        raise ModelError(
            "some columns are collinear:\n  "
            + "\n  ".join(problems)
            + "\nLeave these columns out, or pass ridge= a small positive number to keep them."
        )


def collinear(correlation: Floats) -> list[tuple[int, list[int]]]:
    """Return each column that earlier ones determine, with those earlier columns.

    Cholesky's elimination in the order of the columns, so that of a set the first ones stay.
    """
    kept: list[int] = []
    found: list[tuple[int, list[int]]] = []
    factor = np.zeros_like(correlation)
    for j in range(len(correlation)):
        size = len(kept)
        row = np.zeros(0)
        if kept:
            row = solve_triangular(factor[:size, :size], correlation[kept, j], lower=True)
        left = correlation[j, j] - row @ row
        if left > COLLINEAR:
            factor[size, :size], factor[size, size] = row, np.sqrt(left)
            kept.append(j)
        else:
            weights = solve_triangular(factor[:size, :size], row, lower=True, trans="T")
            found.append((j, [kept[k] for k in np.flatnonzero(np.abs(weights) > 1e-6)]))
    return found
