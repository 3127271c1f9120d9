"""Sequential trials that start before renewals, for changes that can only be made about then.

Who expands at a renewal, or shortly before it, has decided to stay: compared day by day, such a
change looks as if it kept the account. A trial begins ``lag`` days before each day on which a
contract is due for renewal: accounts by their state on that day, until the next trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.risk_intervals import RiskIntervals
from leadsignal.cohorts.state_intervals import rows_of
from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Floats, Ints

if TYPE_CHECKING:
    from leadsignal.cohorts.dated import DatedCohorts

DAYS_A_MONTH = 365.25 / 12


@dataclass(frozen=True, eq=False)
class ContractTerms:
    """Terms of contracts: position of the account, first day since time zero, length in months."""

    account: Ints
    day: Floats
    months: Floats

    def chosen(self, accounts: int, picked: Ints) -> ContractTerms:
        """Return the terms of some of the accounts; one given twice is two accounts."""
        rows, count = rows_of(self.account, accounts, picked)
        account = np.repeat(np.arange(len(picked)), count)
        return ContractTerms(account, self.day[rows], self.months[rows])

    def trials(self, stop: Floats, lag: float) -> ContractTerms:
        """Return the days ``lag`` days before a renewal is due, in the order of accounts and days.

        What is due on a day follows from the term that had begun by then, and nothing later: a term
        that is not renewed goes on by its own length. ``stop`` is the last day of each account.
        """
        order = np.lexsort((self.day, self.account))
        account, day, months = self.account[order], self.day[order], self.months[order]
        again = np.append(account[1:] == account[:-1], False)
        end = np.minimum(np.where(again, np.append(day[1:], 0.0), np.inf), stop[account])
        length = np.round(months * DAYS_A_MONTH)
        first = np.maximum(1.0, np.ceil(lag / length))
        last = np.ceil((end - day + lag) / length) - 1
        count = np.maximum(last - first + 1, 0).astype(np.int64)
        row = np.repeat(np.arange(len(day)), count)
        number = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return ContractTerms(account[row], day[row] + number * length[row] - lag, months[row])


def follow_from_renewals(cohorts: DatedCohorts, lag: float) -> RiskIntervals:
    """Follow accounts from ``lag`` days before each renewal to the next, by their state then.

    Days count from the start of each trial. Strata are those of the same term and month of tenure.
    Raises ModelError without terms.
    """
    if cohorts.terms is None:
        raise ModelError("the terms of the contracts are not known")
    cohorts = cohorts.until_away()
    trials = (cohorts.terms or ContractTerms(*np.zeros((3, 0)))).trials(cohorts.stop, lag)
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
    """Return the level of each account on a day of its own, −1 where it was not at risk."""
    order = np.lexsort((cohorts.row_start, cohorts.row_account))
    start, whose = cohorts.row_start[order], cohorts.row_account[order]
    both = np.concatenate((whose, account))
    # A row that starts on the day itself comes before the question of that day.
    place = np.lexsort((np.append(np.zeros(len(start)), np.ones(len(day))),
                        np.concatenate((start, day)), both))  # fmt: skip
    latest = np.maximum.accumulate(np.where(place < len(start), np.arange(len(place)), -1))
    asked = place >= len(start)
    found = np.full(len(day), -1, dtype=np.intp)
    found[place[asked] - len(start)] = np.where(latest[asked] < 0, -1, place[latest[asked]])
    row = order[np.maximum(found, 0)]
    inside = (found >= 0) & (cohorts.row_account[row] == account)
    inside &= (cohorts.row_start[row] <= day) & (day < cohorts.row_stop[row])
    return np.where(inside, cohorts.row_state[row], -1)
