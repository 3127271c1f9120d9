"""Sequential trials that start before renewals, for changes that are only made around then.

Accounts that expand at a renewal, or shortly before it, have already decided to stay: by the state
of each day, such a change seems to have kept the account. Instead, a trial begins ``lag`` days
before each day on which a contract is due for renewal. Accounts are followed to the next trial,
grouped by their state at its beginning.
"""

from __future__ import annotations

import numpy as np

from leadsignal.cohorts.contract_terms import DAYS_A_MONTH, ContractTerms
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals
from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Floats, Ints


def follow_from_renewals(cohorts: DatedCohorts, lag: float) -> RiskIntervals:
    """Follow accounts from ``lag`` days before each renewal to the next, grouped by initial state.

    Days count from the start of each trial. Strata are trials of the same contract length and month
    of tenure. Raises ModelError if there are no contract terms.
    """
    terms: ContractTerms | None = cohorts.terms
    if terms is None:
        raise ModelError("the terms of the contracts are not known")
    cohorts = cohorts.until_away()
    trials = terms.trials(cohorts.stop, lag)
    account, day = trials.account, trials.day
    state = _states_on(cohorts, account, day)
    again = np.append(account[1:] == account[:-1], False)
    stop = np.where(again, np.append(day[1:], 0.0), np.inf)
    stop = np.minimum(stop, cohorts.stop[account])
    cause = np.where(stop == cohorts.stop[account], cohorts.cause[account], 0)
    month = np.round(day / DAYS_A_MONTH)
    kept = (state >= 0) & (stop > day)
    pairs = np.column_stack((trials.months, month))[kept]
    stratum = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    count = int(kept.sum())
    return RiskIntervals(
        "at_renewals", account[kept], np.zeros(count), (stop - day)[kept], cause[kept],
        state[kept], np.ones(count), 0.0, stratum,
    )  # fmt: skip


def _states_on(cohorts: DatedCohorts, account: Ints, day: Floats) -> Ints:
    """Return the level of each account on its given day; −1 if it was not at risk."""
    order = np.lexsort((cohorts.row_start, cohorts.row_account))
    rows, days = len(order), len(day)
    # Sort rows and days together: the row of a day is the last one that starts by that day.
    place = np.lexsort((
        np.append(np.zeros(rows), np.ones(days)),
        np.append(cohorts.row_start[order], day),
        np.append(cohorts.row_account[order], account),
    ))  # fmt: skip
    last = np.maximum.accumulate(np.where(place < rows, place, -1))
    is_day = place >= rows
    found = np.full(days, -1, dtype=np.intp)
    found[place[is_day] - rows] = last[is_day]
    row = order[np.maximum(found, 0)]
    inside = (found >= 0) & (cohorts.row_account[row] == account)
    inside &= (cohorts.row_start[row] <= day) & (day < cohorts.row_stop[row])
    return np.where(inside, cohorts.row_state[row], -1)
