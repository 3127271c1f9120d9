"""The rule for when an account's time at risk ends, and why.

It ends on the day the vendor learned of the end: the notice (``end_known_on``) or the end of
the contract (``ended_on``), whichever comes first. Nothing a customer does after its notice can
keep it. A notice ends the time at risk even while the contract still runs. Figures by contract
(retention, the number of customers on a day) use ``ended_on`` instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.tables import Tables

NO_REASON = "churn"
"""Cause of an end without a known reason."""


def first_of(ended: str, known: str) -> str:
    """Return SQL for the day on which an end became known; NULL if no end is known."""
    return f"LEAST(COALESCE({known}, {ended}), COALESCE({ended}, {known}))"


def known_on(accounts: pd.DataFrame) -> pd.Series[Any]:
    """Return the day on which each account's end became known; missing if no end is known."""
    return accounts[["end_known_on", "ended_on"]].min(axis=1)


def known_ends(tables: Tables, accounts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return known_on and is_churn for each row of the table of accounts.

    ``known_on`` is missing if no end is known on the tables' as-of date. ``is_churn`` is False
    in that case, and if the project does not count the reason as churn.

    >>> import leadsignal as ls
    >>> frame = {"account_id": ["a", "b"], "started_on": ["2024-01-01", "2024-01-01"],
    ...          "ended_on": ["2024-06-01", None], "end_known_on": ["2024-04-02", "2024-06-09"]}
    >>> import pandas as pd
    >>> known_ends(ls.read_tables({"accounts": pd.DataFrame(frame)}, as_of="2024-07-01"))
        known_on  is_churn
    0 2024-04-02      True
    1 2024-06-09      True
    """
    frame = tables.frame("accounts") if accounts is None else accounts
    known = known_on(frame)
    other = frame["end_reason"].isin(tables.project.not_churn)
    return known.to_frame("known_on").assign(is_churn=known.notna() & ~other)


def at_risk(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the days at risk in each panel row (n), and the cause of an end in the row.

    If the end was known by the snapshot, the days are 0 or less. Without an end, the cause is "".
    """
    length = (rows["stop"] - rows["start"]).to_numpy(dtype=float)
    known = rows["known_within"].to_numpy(dtype=float, na_value=np.nan)
    cause = rows["end_cause"].fillna(NO_REASON).to_numpy(dtype=object)
    ends = (known > 0) & (known <= length)
    return np.fmin(length, known), np.where(ends, cause, "").astype(object)


def rows_at_risk(
    frame: pd.DataFrame,
) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[Any]]:
    """Return the panel rows before the end was known (n), sorted by account and tenure.

    Also returns the day of tenure on which each row stops, and the cause of an end in the row, or
    "" if there is none. Rows after notice are left out.
    """
    days, cause = at_risk(frame)
    mine = np.flatnonzero((days > 0) & ~frame["notice_given"].to_numpy(dtype=bool))
    who = frame[["account_id", "start"]].iloc[mine].reset_index(drop=True)
    order = mine[who.sort_values(["account_id", "start"], kind="stable").index]
    # Copy the rows only once, as a panel has many columns.
    kept = frame.iloc[order].reset_index(drop=True)
    return kept, kept["start"].to_numpy(dtype=float) + days[order], cause[order].astype(str)
