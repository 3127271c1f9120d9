"""Accounts without a row in the panel, because they ended before their first snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.end_of_risk import known_on

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = "at_once"
HALF_A_DAY = 0.5
"""Duration, in days, given to accounts that ended on the day they started."""


def accounts_without_rows(
    accounts: pd.DataFrame,
    seen: pd.Series[Any],
    complete_from: date | None,
    causes: Mapping[str, str],
    not_churn: tuple[str, ...],
) -> pd.DataFrame:
    """Return the ended accounts that are not among those ``seen``, as rows of a panel.

    ``snapshot_on`` is the day of the start. ``at_once`` marks accounts that ended on that day and
    were known by then: they were at risk like all others. The rest ended before they were recorded,
    or before the list is complete.
    """
    import pandas as pd

    gone = accounts[accounts["ended_on"].notna() & ~accounts["account_id"].isin(seen)]
    started, reason = gone["started_on"], gone["end_reason"]
    named = {**{one: one for one in not_churn}, **causes}
    cause = [named.get(one, "churn") for one in reason]
    known = gone["recorded_at"].isna() | (gone["recorded_at"] < started)
    if complete_from is not None:
        known &= started >= pd.Timestamp(complete_from)
    days = (gone["ended_on"] - started).dt.days
    rows = {
        "account_id": gone["account_id"],
        "customer_id": gone["customer_id"].fillna(gone["account_id"]),
        "snapshot_on": started,
        "start": 0,
        "stop": days,
        "event": (~reason.isin(not_churn)).astype(int),
        "cause": cause,
        "days_observed": days,
        "ended_within": days,
        "known_within": (known_on(gone) - started).dt.days,
        "end_cause": cause,
        "notice_given": False,
        "arr": gone["arr"].astype(float),
        AT_ONCE: (days == 0) & known,
    }
    own = {name: gone[name] for name in gone.columns if name not in rows}
    return pd.DataFrame({**rows, **own}).sort_values("account_id", ignore_index=True)


def without_rows_notes(rows: pd.DataFrame | None) -> tuple[str, ...]:
    """Return sentences on how many accounts have no row in the panel, and why."""
    if rows is None or not len(rows):
        return ()
    at_once = int(rows[AT_ONCE].sum())
    others = len(rows) - at_once
    counts = [f"{at_once:,} that ended on the day of the start"] if at_once else []
    counts += [f"{others:,} that had ended before they were first seen"] if others else []
    return (f"Accounts without a row, which no model can use: {' and '.join(counts)}",)
