"""The retention grid: share of accounts still there N months after the start, by start quarter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.contrasts import MIN_ACCOUNTS
from leadsignal.cohorts.dated import DatedCohorts

if TYPE_CHECKING:
    import pandas as pd

AGES = (3, 6, 9, 12, 18, 24, 36)
"""Numbers of months after the start in the grid."""
DAYS_IN_MONTH = 365.25 / 12


def retention_grid(cohorts: DatedCohorts) -> pd.DataFrame | None:
    """Return the share of accounts still there, by start quarter and months since the start.

    An account is there until its end is known. A cell is missing if some accounts of the quarter
    have not been followed that long. Quarters with fewer than five accounts are left out, and so
    are accounts not observed from their start: those that left earlier are not in the data.

    Returns
    -------
    DataFrame or None
        Columns quarter (such as "2023 Q1"), accounts, and one per number of months. None if the
        start days are unknown.
    """
    import pandas as pd

    seen = cohorts.entry <= 0
    if cohorts.zero_days is None or cohorts.since != "the start" or not seen.any():
        return None
    zero, stop, cause = cohorts.zero_days[seen], cohorts.stop[seen], cohorts.cause[seen]
    weight = cohorts.weights[seen]
    last_day = (zero + stop).max()
    months = np.floor(zero).astype(np.int64).astype("datetime64[D]").astype("datetime64[M]")
    quarter = months.astype(np.int64) // 3
    rows = []
    for one in np.unique(quarter):
        mine = quarter == one
        if mine.sum() < MIN_ACCOUNTS:
            continue
        latest = zero[mine].max()
        row: dict[str, object] = {
            "quarter": f"{1970 + one // 4} Q{one % 4 + 1}",
            "accounts": int(mine.sum()),
        }
        for age in AGES:
            day = round(age * DAYS_IN_MONTH)
            row[f"{age} months"] = (
                _share(stop[mine], cause[mine], weight[mine], day)
                if latest + day <= last_day
                else np.nan
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _share(stop: np.ndarray, cause: np.ndarray, weight: np.ndarray, day: int) -> float:
    """Return the share still there after a day, among accounts whose state then is known."""
    there = (stop > day) | ((stop == day) & (cause == 0))
    known = there | (cause > 0)
    if known.sum() < MIN_ACCOUNTS:
        return float("nan")
    return float(weight[there].sum() / weight[known].sum())
