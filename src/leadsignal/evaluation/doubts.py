"""Warnings of implausible results: AUCs that are too high, expected churns far from the past."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pandas as pd

from leadsignal.end_of_risk import known_ends
from leadsignal.evaluation.alerts import on_grid
from leadsignal.ingestion.churn_leaks import poisson_tail
from leadsignal.ingestion.loaded_table import DataWarning
from leadsignal.model.churn_model import churned_within
from leadsignal.panel import Panel
from leadsignal.phrases import count_of
from leadsignal.tables import Tables

MAX_AUC = 0.95
"""Maximum AUC of a backtest without a warning."""
TIMES = 2.0
"""Ratio to the churns of the last completed horizon, up or down, that calls for a warning."""
CHANCE = 0.01
"""A warning is given only if the probability of such a difference by chance is below this."""

Counts = tuple[int, int]
"""Number of accounts that churned within a horizon, and of accounts active at its start."""


def doubt_of_auc(aucs: Mapping[str, float]) -> tuple[DataWarning, ...]:
    """Return a warning if methods have an implausibly high AUC.

    >>> doubt_of_auc({"usage": 0.7})
    ()
    """
    high = [f"{name} {auc:.3f}" for name, auc in aucs.items() if auc > MAX_AUC]
    if not high:
        return ()
    message = (
        f"the AUC is above {MAX_AUC} ({', '.join(high)}), which is rare for churn: look for what "
        "was recorded after the churn, or because of it, before you trust any figure below"
    )
    return (DataWarning("high_auc", "", message),)


def doubt_of_expected(
    expected: float, accounts: int, last: Counts | None, horizon: int
) -> tuple[DataWarning, ...]:
    """Return a warning if the expected churns are far from those of the last horizon.

    Parameters
    ----------
    expected : float
        Sum of the risks.
    accounts : int
        Number of accounts that have these risks.
    last : tuple of int or None
        Number of accounts that churned in the last completed horizon, and of those active at its
        start. None if unknown.
    horizon : int
        Horizon in days.

    Returns
    -------
    tuple of DataWarning
        At most one warning. Proportions of accounts are compared, and there is no warning if chance
        explains the difference.

    Examples
    --------
    >>> doubt_of_expected(3.0, 400, (50, 400), 180)[0].kind
    'expected_churns'
    >>> doubt_of_expected(3.0, 400, (2, 400), 180)
    ()
    """
    if last is None or not accounts or not last[1]:
        return ()
    churned, active = last
    mean, usual = expected * active / accounts, churned * accounts / active
    low, high = expected * TIMES < usual, expected > TIMES * usual
    chance = poisson_tail(churned, mean) if low else 1 - poisson_tail(churned + 1, mean)
    if not (low or high) or chance > CHANCE:
        return ()
    message = (
        f"{expected:,.1f} churns are expected within {horizon} days of {accounts:,} accounts, but "
        f"{count_of(churned, 'account')} of {active:,} churned in the last {horizon} days that "
        f"are complete ({usual:,.1f} of {accounts:,}): look for what only churned accounts have, "
        "or for what changed since"
    )
    return (DataWarning("expected_churns", "", message),)


def last_horizon(tables: Tables, horizon: int) -> Counts | None:
    """Return the churns of the last completed horizon; None if no account was active before it."""
    accounts = tables.frame("accounts")
    begin = tables.as_of_date - timedelta(days=horizon)
    complete_from = tables.coverage["accounts"].complete_from
    if complete_from is not None and complete_from > begin:
        return None
    ends, since = known_ends(tables, accounts), pd.Timestamp(begin)
    active = (accounts["started_on"] < since) & ~(ends["known_on"] < since)
    churned = active & ends["is_churn"] & accounts["ended_on"].notna()
    return (int(churned.sum()), int(active.sum())) if active.any() else None


def last_horizon_of_panel(panel: Panel, horizon: int) -> Counts | None:
    """Return the churns after the last snapshot followed for a whole horizon; None if none was."""
    rows = on_grid(panel)
    rows = rows[rows["snapshot_on"] <= pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)]
    if not len(rows):
        return None
    rows = rows[rows["snapshot_on"] == rows["snapshot_on"].max()]
    return int(churned_within(panel, rows, horizon).sum()), len(rows)
