"""The retention curves of dated cohorts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leadsignal.cohorts.contrasts import MIN_ACCOUNTS
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.measures import last_day_with
from leadsignal.cohorts.risk_intervals import RiskIntervals, follow_in_time
from leadsignal.errors import ModelError, OptionError
from leadsignal.survival.curves import Curves, kaplan_meier, simon_makuch

MAX_CURVES = 4
"""Number of cohorts, the largest, that are drawn."""


def curves_of(cohorts: DatedCohorts) -> Curves:
    """Return the curves to draw, by the time-dependent cohort of the accounts.

    Dated cohorts have Simon-Makuch curves from the first day on which each has had ten accounts at
    risk; properties since the start have Kaplan-Meier curves. They stop where fewer than five
    accounts are left. Ends other than churn are censored.

    Raises
    ------
    ModelError
        If a cohort never has ten accounts at risk.
    """
    rows = _while_populated(follow_in_time(cohorts))
    names = np.array(cohorts.levels, dtype=object)[rows.group].astype(str)
    often = np.bincount(rows.group).argsort()[::-1][:MAX_CURVES]
    kept = np.isin(rows.group, often)
    event, cluster = rows.cause == CHURN, cohorts.cluster[rows.account]
    if cohorts.since_the_start:
        return kaplan_meier(rows.stop[kept], event[kept], start=rows.start[kept], group=names[kept])
    try:
        return simon_makuch(
            rows.stop[kept], event[kept], names[kept], start=rows.start[kept],
            cluster=cluster[kept] if len(cohorts) <= 5000 else None,
        )  # fmt: skip
    except OptionError as error:
        raise ModelError(f"the curves of {cohorts.name} cannot be estimated: {error}") from None


def _while_populated(rows: RiskIntervals) -> RiskIntervals:
    """Return the rows up to the last day on which their group has five at risk.

    A curve of fewer shows the luck of single accounts, and steps to zero with the last.
    """
    last = np.full(int(rows.group.max()) + 1, np.inf)
    for group in np.unique(rows.group):
        mine = rows.group == group
        last[group] = last_day_with(MIN_ACCOUNTS, rows.start[mine], rows.stop[mine])
        if not np.isfinite(last[group]):
            last[group] = rows.stop[mine].max()
    until = last[rows.group]
    cut = replace(
        rows, stop=np.minimum(rows.stop, until), cause=np.where(rows.stop <= until, rows.cause, 0)
    )
    return cut.where(rows.start < until)
