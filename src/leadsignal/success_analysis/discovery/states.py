"""Adopted or not, for every candidate at given days, by the definition of the episodes.

An event of day d, known on day r, lies in window k at day t where t − (k+1)w ≤ d < t − kw and
r < t. ``engine.episodes`` says the same to the day; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from leadsignal.success_analysis.discovery.candidates import Candidate
from leadsignal.success_analysis.discovery.events import NO_USER, SPAN, Events
from leadsignal.survival.inputs import Bools, Floats, Ints

ROWS_AT_ONCE = 20_000


def adoption_states(
    events: Mapping[str, Events], candidates: Sequence[Candidate], account: Ints, day: Ints
) -> Bools:
    """Return whether each candidate is adopted (rows × candidates) at these accounts' days."""
    adopted = np.ones((len(candidates), len(day)), dtype=bool)
    for behavior, of in events.items():
        mine = [n for n, one in enumerate(candidates) if one.behavior == behavior]
        for within, again in sorted({(candidates[n].within, k) for n in mine
                                     for k in range(candidates[n].sustained_for)}):  # fmt: skip
            using = [n for n in mine if candidates[n].within == within
                     and candidates[n].sustained_for > again]  # fmt: skip
            people = max(candidates[n].by_users for n in using) > 1
            total, users = _in_window(of, account, day, within, again, people)
            for n in using:
                adopted[n] &= total >= candidates[n].at_least
                if candidates[n].by_users > 1:
                    adopted[n] &= users >= candidates[n].by_users
    return adopted.T


def _in_window(
    events: Events, account: Ints, day: Ints, within: int, again: int, people: bool
) -> tuple[Floats, Ints]:
    """Return the quantity, and the users if they are asked for, in window ``again`` of each row."""
    total, users = np.zeros(len(day)), np.zeros(len(day), dtype=np.int64)
    begins, stops = day - (again + 1) * within, day - again * within
    first = np.searchsorted(events.key, account * SPAN + begins)
    after = np.searchsorted(events.key, account * SPAN + stops)
    if not events.late:
        running = np.concatenate(([0.0], np.cumsum(events.quantity)))
        total = np.round(running[after] - running[first], 6)
        if not people:
            return total, users
    for rows in _slices(len(day)):
        row, event = _pairs(first[rows], after[rows])
        size = rows.stop - rows.start
        if events.late:
            seen = events.known[event] < day[rows][row]
            row, event = row[seen], event[seen]
            total[rows] = np.round(np.bincount(row, events.quantity[event], size), 6)
            users[rows] = _distinct(row, events.user[event], size)
        else:
            fresh = events.before[event] < begins[rows][row]
            users[rows] = np.bincount(row[fresh], minlength=size)
    return total, users


def _slices(rows: int) -> Iterator[slice]:
    return (slice(n, min(n + ROWS_AT_ONCE, rows)) for n in range(0, rows, ROWS_AT_ONCE))


def _pairs(first: Ints, after: Ints) -> tuple[Ints, Ints]:
    """Return each row beside each of the events from ``first`` to before ``after``."""
    many = after - first
    row = np.repeat(np.arange(len(many)), many)
    begins = np.concatenate(([0], np.cumsum(many)[:-1])) if len(many) else many
    return row, np.arange(many.sum()) - (begins - first)[row]


def _distinct(row: Ints, user: Ints, size: int) -> Ints:
    """Return how many different users each row has."""
    named = user != NO_USER
    pairs = np.unique(row[named] * (user.max(initial=0) + 2) + user[named])
    return np.bincount(pairs // (user.max(initial=0) + 2), minlength=size)
