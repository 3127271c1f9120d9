"""Contract terms, and the days on which renewals are due."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadsignal.cohorts.state_intervals import rows_of
from leadsignal.survival.inputs import Floats, Ints

DAYS_A_MONTH = 365.25 / 12


@dataclass(frozen=True, eq=False)
class ContractTerms:
    """Contract terms: position of the account, first day since time zero, length in months."""

    account: Ints
    day: Floats
    months: Floats

    def chosen(self, accounts: int, picked: Ints) -> ContractTerms:
        """Return the terms of some accounts; a position given twice counts as two accounts."""
        rows, count = rows_of(self.account, accounts, picked)
        account = np.repeat(np.arange(len(picked)), count)
        return ContractTerms(account, self.day[rows], self.months[rows])

    def trials(self, stop: Floats, lag: float) -> ContractTerms:
        """Return the days ``lag`` days before a renewal is due, sorted by account and day.

        Only the term that had begun by a day determines what is due on it. A term that is not
        renewed is assumed to repeat with the same length. ``stop`` is the last day of each account.
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
