"""Dated cohorts: which account is in which cohort, and when.

Days count from time zero (the account's start, or the flag of a rescue). An account is at risk on
(entry, stop], except while away. An event on day d changes the state after day d, so that a churn
on day d still belongs to the previous state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leadsignal.errors import ModelError, OptionError
from leadsignal.results import Result
from leadsignal.survival.inputs import ArrayValidator, Bools, Floats, Ints, ranges

CAUSES = 2
"""The highest code of a cause: 0 still a customer, 1 churn, 2 another end."""


@dataclass(frozen=True, eq=False)
class StateIntervals:
    """Rows sorted by account and time: ``account`` (position), ``start``, ``stop``, ``state``."""

    account: Ints
    start: Floats
    stop: Floats
    state: Ints


def rows_of(codes: Ints, size: int, picked: Ints) -> tuple[Ints, Ints]:
    """Return the rows of each picked code (0 … size-1) in turn, and the number of each one's rows.

    >>> rows_of(np.array([1, 0, 1]), 2, np.array([1, 1, 0]))
    (array([0, 2, 0, 2, 1]), array([2, 2, 1]))
    """
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], np.arange(size + 1))
    count = (first[1:] - first[:-1])[picked]
    return order[ranges(first[picked], count)[1]], count


def joined(account: Ints, start: Floats, stop: Floats, state: Ints) -> StateIntervals:
    """Return sorted rows, with adjacent rows of the same state merged."""
    apart = (account[1:] != account[:-1]) | (start[1:] != stop[:-1]) | (state[1:] != state[:-1])
    first, last = np.append(True, apart), np.append(apart, True)
    return StateIntervals(account[first], start[first], stop[last], state[first])


def stretches_between(
    entry: Floats, stop: Floats, account: Ints, day: Floats, state: Ints
) -> StateIntervals:
    """Return the intervals between changes, cut to the time at risk; accounts start in state 0."""
    n = len(entry)
    who = np.concatenate((np.arange(n), account))
    since = np.concatenate((np.full(n, -np.inf), day))
    level = np.concatenate((np.zeros(n, dtype=np.intp), state))
    order = np.lexsort((since, who))
    who, since, level = who[order], since[order], level[order]
    same = np.append((who[1:] == who[:-1]) & (since[1:] == since[:-1]), False)
    who, since, level = who[~same], since[~same], level[~same]
    until = np.append(np.where(who[1:] == who[:-1], since[1:], np.inf), np.inf)
    start, end = np.maximum(since, entry[who]), np.minimum(until, stop[who])
    lasts = start < end
    return joined(who[lasts], start[lasts], end[lasts], level[lasts])


def checked_accounts(
    ids: NDArray[Any], entry: ArrayLike | None, stop: ArrayLike, cause: ArrayLike
) -> tuple[Floats, Floats, Ints]:
    """Return entry, stop and cause of accounts; raises OptionError if one has no time at risk."""
    validator = ArrayValidator("DatedCohorts.from_changes", len(ids))
    stops, causes = validator.numbers("stop", stop), _causes(validator, cause)
    entries = np.zeros(len(ids)) if entry is None else validator.numbers("entry", entry)
    if len(short := np.flatnonzero(~(stops > entries))) and not validator.faults:
        validator.refuse(
            f"{len(short)} accounts have no time at risk, the first {ids[short].tolist()[0]!r};"
            " leave out accounts that end on the day they enter"
        )
    validator.close()
    return entries, stops, causes


def _causes(validator: ArrayValidator, cause: ArrayLike) -> Ints:
    causes = validator.causes("cause", cause)
    wrong = "cause is none of 0 (here), 1 (churn), 2 (another end)"
    validator.no_rows_where(causes > CAUSES, wrong)
    return causes


def checked_changes(
    levels: Sequence[str], accounts: int, changes: tuple[ArrayLike, ArrayLike, ArrayLike]
) -> tuple[Ints, Floats, Ints]:
    """Return the changes (account position, day, state); raises OptionError if any is invalid."""
    call, (account, day, state) = "DatedCohorts.from_changes", changes
    validator = ArrayValidator(call, len(np.asarray(account)))
    position, states = validator.causes("account", account), validator.causes("state", state)
    days = validator.numbers("day", day, finite=False)
    validator.no_rows_where(np.isnan(days), "day is NaN")
    beyond = f"account is not a position among {accounts:,}"
    validator.no_rows_where(position >= accounts, beyond)
    _refuse_states(validator, states, levels)
    validator.close()
    return position, days, states


def _refuse_states(validator: ArrayValidator, states: Ints, levels: Sequence[str]) -> None:
    unknown = f"state is not a position in levels {tuple(levels)}"
    validator.no_rows_where(states >= len(levels), unknown)


def checked_rows(
    levels: Sequence[str],
    account: ArrayLike,
    start: ArrayLike,
    stop: ArrayLike,
    cause: ArrayLike,
    state: ArrayLike,
) -> tuple[NDArray[Any], Ints, StateIntervals]:
    """Return the accounts (sorted ids), the cause of each, and its rows.

    Raises OptionError with all faults: rows that overlap or have no duration, accounts that end
    before their last row, and invalid values.
    """
    call = "DatedCohorts.from_rows"
    validator = ArrayValidator.of(call, "account", account)
    labels = validator.labels("account", account)
    stops, starts = validator.times(stop, start)
    causes, states = _causes(validator, cause), validator.causes("state", state)
    _refuse_states(validator, states, levels)
    validator.close()
    if labels is None or starts is None:
        raise OptionError(f"{call} needs account and start", "Give both, one value a row")
    order = np.lexsort((starts, labels.codes))
    rows = StateIntervals(labels.codes[order], starts[order], stops[order], states[order])
    again = np.append(False, rows.account[1:] == rows.account[:-1])
    _refuse_order(validator, rows, causes[order], again, np.asarray(account)[order])
    validator.close()
    ends = np.zeros(len(labels), dtype=np.intp)
    np.maximum.at(ends, labels.codes, causes)
    ids = np.array(labels.names, dtype=np.asarray(account).dtype)
    return ids, ends, joined(rows.account, rows.start, rows.stop, rows.state)


def _refuse_order(
    validator: ArrayValidator, rows: StateIntervals, causes: Ints, again: Bools, ids: NDArray[Any]
) -> None:
    overlap = np.flatnonzero(again[1:] & (rows.start[1:] < rows.stop[:-1]))
    for name, place in _by_account(ids, overlap):
        spans = " and ".join(f"({rows.start[k]:g}, {rows.stop[k]:g}]" for k in (place, place + 1))
        validator.refuse(f"account {name!r} has rows that overlap: {spans}; give each day once")
    early = np.flatnonzero(again[1:] & (causes[:-1] > 0))
    for name, place in _by_account(ids, early):
        validator.refuse(
            f"account {name!r} ends on day {rows.stop[place]:g} (cause {causes[place]}) and has"
            " later rows; an end belongs into the last row, and who comes back is a new account"
        )


def _by_account(ids: NDArray[Any], places: Ints) -> list[tuple[object, int]]:
    """Return the first few accounts with faults, each with the position of its first fault."""
    first: dict[object, int] = {}
    for place in places.tolist():
        first.setdefault(ids[[place]].tolist()[0], place)
        if len(first) == MAX_NAMED:
            break
    return list(first.items())


MAX_NAMED = 5
"""Maximum number of accounts named in a message per kind of fault."""


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
        row, number = ranges(first, count)
        return ContractTerms(account[row], day[row] + number * length[row] - lag, months[row])


CHURN, OTHER_END = 1, 2
"""Codes for how an account ends; 0 means that it is still a customer."""


@dataclass(frozen=True, repr=False, eq=False)
class DatedCohorts(Result):
    """Accounts and the cohort of each over time.

    Gaps between two intervals of an account count as time away.

    Parameters
    ----------
    name : str
        Name of the comparison.
    levels : tuple of str
        Names of the cohorts; the first is the reference.
    accounts : ndarray of shape (n,)
        Ids of the accounts.
    cluster : ndarray of int, shape (n,)
        Number of the customer of each account, from 0.
    entry, stop : ndarray of shape (n,)
        First and last day at risk, in days since time zero.
    cause : ndarray of int, shape (n,)
        How the account ends: 0 still a customer, 1 churn, 2 another end.
    row_account, row_start, row_stop, row_state : ndarray of shape (m,)
        Position of the account, first and last day, and position in ``levels`` of each interval.
    covariates : dict
        Values at time zero, by name.
    dated_covariates : dict of DatedCohorts
        States over time in other comparisons, by name.
    since : str, default "the start"
        Name of time zero.
    landmark : int, default 90
        Default day of the landmark.
    notes : tuple of str
        Which accounts were left out, and why.
    zero_days : ndarray of shape (n,), optional
        Time zero of each account in days since 1970, if known.
    in_quarters : bool, default False
        Whether time-dependent ratios compare accounts within calendar quarters only. True for
        properties of accounts, such as sales reps, whose accounts may come from different years.
    terms : ContractTerms, optional
        Contract terms, if the state can only change about renewals.
    weight : ndarray of shape (n,), optional
        Number of accounts that each account represents, if they are a sample. Default: 1.
    """

    name: str
    levels: tuple[str, ...]
    accounts: NDArray[Any]
    cluster: Ints
    entry: Floats
    stop: Floats
    cause: Ints
    row_account: Ints
    row_start: Floats
    row_stop: Floats
    row_state: Ints
    covariates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    dated_covariates: Mapping[str, DatedCohorts] = field(default_factory=dict)
    since: str = "the start"
    landmark: int = 90
    notes: tuple[str, ...] = ()
    zero_days: Floats | None = None
    in_quarters: bool = False
    terms: ContractTerms | None = None
    weight: Floats | None = None

    @classmethod
    def from_changes(
        cls,
        name: str,
        levels: Sequence[str],
        accounts: ArrayLike,
        stop: ArrayLike,
        cause: ArrayLike,
        changes: tuple[ArrayLike, ArrayLike, ArrayLike],
        *,
        entry: ArrayLike | None = None,
        cluster: ArrayLike | None = None,
        **more: Any,
    ) -> DatedCohorts:
        """Return cohorts from dated changes of state.

        Every account begins in state 0. Days count from time zero. Changes before ``entry``
        determine the state at entry.

        Parameters
        ----------
        name : str
            Name of the comparison.
        levels : sequence of str
            Names of the cohorts; the first is the reference.
        accounts, stop, cause : array_like of shape (n,)
            Ids, last days at risk, and how each account ends: 0 still a customer, 1 churn,
            2 another end.
        changes : tuple of array_like
            Position of the account, day, and new state of each change.
        entry : array_like of shape (n,), optional
            First days at risk. Default: 0.
        cluster : array_like of shape (n,), optional
            Customer of each account. Default: every account is a customer of its own.
        **more
            Further fields, such as ``covariates``.

        Returns
        -------
        DatedCohorts

        Raises
        ------
        OptionError
            If the arrays are invalid, for example if an account has no time at risk. All faults are
            reported at once.

        Examples
        --------
        >>> DatedCohorts.from_changes(
        ...     "measured", ["unmeasured", "measured"], ["a", "b"], [400, 90], [0, 1],
        ...     ([0], [100], [1]))
        measured: 2 accounts, 1 churns
          unmeasured: 2 accounts, 190 account-days, 1 churns
          measured: 1 accounts, 300 account-days, 0 churns
        """
        ids = np.asarray(accounts)
        entries, stops, causes = checked_accounts(ids, entry, stop, cause)
        rows = stretches_between(entries, stops, *checked_changes(levels, len(ids), changes))
        fields = {"entry": entries, "stop": stops, "cause": causes, **more}
        return cls._of(ids, rows, cluster, name=name, levels=tuple(levels), **fields)

    @classmethod
    def from_rows(
        cls,
        name: str,
        levels: Sequence[str],
        account: ArrayLike,
        start: ArrayLike,
        stop: ArrayLike,
        cause: ArrayLike,
        state: ArrayLike,
        *,
        cluster: ArrayLike | None = None,
        **more: Any,
    ) -> DatedCohorts:
        """Return cohorts from rows, each at risk on (start, stop] in one state.

        Rows may come in any order. Gaps between two rows of an account count as time away.

        Parameters
        ----------
        name : str
            Name of the comparison.
        levels : sequence of str
            Names of the cohorts; the first is the reference.
        account, start, stop : array_like of shape (m,)
            Id of the account, first and last day of each row.
        cause : array_like of shape (m,)
            How the last row of an account ends: 0 still a customer, 1 churn, 2 another end. 0 in
            all other rows.
        state : array_like of shape (m,)
            Position in ``levels``.
        cluster : array_like of shape (n,), optional
            Customer of each account, in the order of the sorted ids. Default: every account is a
            customer of its own.
        **more
            Further fields, such as ``covariates``, in the order of the sorted ids.

        Returns
        -------
        DatedCohorts

        Raises
        ------
        OptionError
            If rows overlap or have no duration, if an account ends before its last row, or if
            values are missing. All faults are reported at once.

        Examples
        --------
        >>> DatedCohorts.from_rows("treated", ["no", "yes"], [1, 1, 2], [0, 9, 0], [5, 12, 7],
        ...                        [0, 1, 1], [0, 1, 0])
        treated: 2 accounts, 2 churns
          no: 2 accounts, 12 account-days, 1 churns
          yes: 1 accounts, 3 account-days, 1 churns
        """
        ids, ends, rows = checked_rows(levels, account, start, stop, cause, state)
        entry, last = _spans(len(ids), rows.account, rows.start, rows.stop)
        fields = {"entry": entry, "stop": last, "cause": ends, **more}
        return cls._of(ids, rows, cluster, name=name, levels=tuple(levels), **fields)

    @classmethod
    def _of(
        cls, ids: NDArray[Any], rows: StateIntervals, cluster: ArrayLike | None, **fields: Any
    ) -> DatedCohorts:
        """Return cohorts of these rows; ``fields`` are the fields that do not follow from them."""
        validator = ArrayValidator("DatedCohorts", len(ids))
        if fields.get("weight") is not None:
            fields["weight"] = validator.numbers("weight", fields["weight"])
            if (fields["weight"] <= 0).any():
                validator.refuse("weight is not above 0; it is how many accounts one represents")
        clusters = validator.labels("accounts", ids)
        if cluster is not None:
            clusters = validator.labels("cluster", cluster)
        validator.close()
        codes = np.arange(len(ids)) if clusters is None else clusters.codes
        cohorts = cls(
            accounts=ids, cluster=codes, row_account=rows.account, row_start=rows.start,
            row_stop=rows.stop, row_state=rows.state, **fields,
        )  # fmt: skip
        return cohorts.with_levels_present()

    def __len__(self) -> int:
        return len(self.accounts)

    @property
    def weights(self) -> Floats:
        """Number of accounts that each account represents (n)."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def row_cause(self) -> Ints:
        """How each interval ends (m): the account's cause in its last interval, 0 in the others."""
        last = self.row_stop == self.stop[self.row_account]
        return np.where(last, self.cause[self.row_account], 0)

    @property
    def since_the_start(self) -> bool:
        """Whether no account ever changes its cohort, as for an undated property."""
        pairs = np.unique(self.row_account * len(self.levels) + self.row_state)
        return len(pairs) == len(self.accounts)

    def spells(self) -> tuple[Ints, Floats, Floats]:
        """Return account, start and stop of each uninterrupted time at risk, in any state.

        There is one per account, and one more for each time that it was away.
        """
        order = np.lexsort((self.row_start, self.row_account))
        who, start, stop = self.row_account[order], self.row_start[order], self.row_stop[order]
        spells = joined(who, start, stop, np.zeros_like(who))
        return spells.account, spells.start, spells.stop

    def until_away(self) -> DatedCohorts:
        """Return the cohorts with each account followed only until it is first away."""
        account, _, stop = self.spells()
        last = np.full(len(self), np.inf)
        np.minimum.at(last, account, stop)
        kept = self.row_stop <= last[self.row_account]
        return self if kept.all() else self._limited(kept, self.entry, last)

    def without(self, level: str) -> DatedCohorts:
        """Return the cohorts with the time in a level as time away.

        Accounts that were never in another level are dropped. Raises ModelError if fewer than two
        levels remain.
        """
        if level not in self.levels:
            return self
        kept = self.row_state != self.levels.index(level)
        entry, last = _spans(
            len(self), self.row_account[kept], self.row_start[kept], self.row_stop[kept]
        )
        return self._limited(kept, entry, last).chosen(np.isfinite(entry)).with_levels_present()

    def _limited(self, kept: Bools, entry: Floats, stop: Floats) -> DatedCohorts:
        """Return the cohorts with only the kept rows, each account at risk on (entry, stop]."""
        return replace(
            self, entry=entry, stop=stop, cause=np.where(stop == self.stop, self.cause, 0),
            row_account=self.row_account[kept], row_start=self.row_start[kept],
            row_stop=self.row_stop[kept], row_state=self.row_state[kept],
        )  # fmt: skip

    def share_before(self, level: int) -> float:
        """Return the share of days at risk before ``level``, among accounts that ever reach it."""
        first = self.first_day(level)[self.row_account]
        days = np.where(np.isfinite(first), self.row_stop - self.row_start, 0.0)
        days = days * self.weights[self.row_account]
        whole = float(days.sum())
        return float(days[self.row_stop <= first].sum()) / whole if whole > 0 else 0.0

    def first_day(self, level: int) -> Floats:
        """Return the first day on which each account was seen in a level (n); infinite if never."""
        first = np.full(len(self), np.inf)
        mine = self.row_state == level
        np.minimum.at(first, self.row_account[mine], self.row_start[mine])
        return first

    def state_at(self, day: float) -> Ints:
        """Return each account's level just after a day (n); −1 if it was not at risk."""
        state = np.full(len(self), -1, dtype=np.intp)
        there = (self.row_start <= day) & (day < self.row_stop)
        state[self.row_account[there]] = self.row_state[there]
        return state

    def chosen(self, which: Ints | Bools) -> DatedCohorts:
        """Return the cohorts of some accounts; a position given twice counts as two accounts."""
        picked = np.flatnonzero(which) if which.dtype == np.bool_ else which.astype(np.intp)
        rows, count = rows_of(self.row_account, len(self), picked)
        return replace(
            self,
            accounts=self.accounts[picked], cluster=self.cluster[picked], entry=self.entry[picked],
            stop=self.stop[picked], cause=self.cause[picked],
            row_account=np.repeat(np.arange(len(picked)), count), row_start=self.row_start[rows],
            row_stop=self.row_stop[rows], row_state=self.row_state[rows],
            covariates={name: values[picked] for name, values in self.covariates.items()},
            dated_covariates={n: d.chosen(picked) for n, d in self.dated_covariates.items()},
            zero_days=None if self.zero_days is None else self.zero_days[picked],
            terms=None if self.terms is None else self.terms.chosen(len(self), picked),
            weight=None if self.weight is None else self.weight[picked],
        )  # fmt: skip

    def with_levels_present(self) -> DatedCohorts:
        """Drop levels that no account was ever in; raises ModelError if only one is left."""
        present = np.unique(self.row_state)
        if len(present) < 2:
            only = ", ".join(self.levels[k] for k in present)
            raise ModelError(
                f"{self.name}: every account is {only or 'missing'} all the time",
                "Choose another comparison: two cohorts are needed",
            )
        place = np.searchsorted(present, self.row_state)
        levels = tuple(self.levels[k] for k in present)
        return replace(self, levels=levels, row_state=place)

    def _table(self) -> pd.DataFrame:
        """Return one row per interval: account_id, start, stop (days), cohort, and how it ends."""
        columns = {"account_id": self.accounts[self.row_account], "start": self.row_start}
        cohort = np.array(self.levels, dtype=object)[self.row_state]
        columns |= {"stop": self.row_stop, "cohort": cohort, "cause": self.row_cause}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        cause, days = self.row_cause, self.row_stop - self.row_start
        lines = [f"{self.name}: {len(self):,} accounts, {(self.cause == CHURN).sum():,} churns"]
        for k, level in enumerate(self.levels):
            mine = self.row_state == k
            lines.append(
                f"  {level}: {len(np.unique(self.row_account[mine])):,} accounts,"
                f" {days[mine].sum():,.0f} account-days, {(cause[mine] == CHURN).sum():,} churns"
            )
        return "\n".join(lines)


def _spans(accounts: int, account: Ints, start: Floats, stop: Floats) -> tuple[Floats, Floats]:
    """Return the first start and last stop of each account; infinite if it has no rows."""
    first, last = np.full(accounts, np.inf), np.full(accounts, -np.inf)
    np.minimum.at(first, account, start)
    np.maximum.at(last, account, stop)
    return first, last
