"""Rows at risk on (start, stop] in a state, built from dated changes or given by the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadsignal.errors import OptionError
from leadsignal.phrases import count_of
from leadsignal.survival.inputs import ArrayValidator, Bools, Floats, Ints, length_of

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
    before = np.repeat(np.cumsum(count) - count, count)
    return order[np.repeat(first[picked], count) + np.arange(count.sum()) - before], count


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
    _refuse_rows(
        validator, causes > CAUSES, "cause is none of 0 (here), 1 (churn), 2 (another end)"
    )
    return causes


def checked_changes(
    levels: Sequence[str], accounts: int, changes: tuple[ArrayLike, ArrayLike, ArrayLike]
) -> tuple[Ints, Floats, Ints]:
    """Return the changes (account position, day, state); raises OptionError if any is invalid."""
    call, (account, day, state) = "DatedCohorts.from_changes", changes
    validator = ArrayValidator(call, len(np.asarray(account)))
    position, states = validator.causes("account", account), validator.causes("state", state)
    days = validator.numbers("day", day, finite=False)
    _refuse_rows(validator, np.isnan(days), "day is NaN")
    _refuse_rows(validator, position >= accounts, f"account is not a position among {accounts:,}")
    _refuse_rows(
        validator, states >= len(levels), f"state is not a position in levels {tuple(levels)}"
    )
    validator.close()
    return position, days, states


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
    validator = ArrayValidator(call, length_of(call, "account", account))
    labels = validator.labels("account", account)
    stops, starts = validator.times(stop, start)
    causes, states = _causes(validator, cause), validator.causes("state", state)
    _refuse_rows(
        validator, states >= len(levels), f"state is not a position in levels {tuple(levels)}"
    )
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


def _refuse_rows(validator: ArrayValidator, wrong: Bools, what: str) -> None:
    if count := int(np.count_nonzero(wrong)):
        rows = count_of(count, "row")
        validator.refuse(f"{what} in {rows} (first: row {int(np.argmax(wrong))}, counted from 0)")
