"""Behaviour events as arrays: account, behaviour, user, day, and the day they became known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.errors import OptionError
from leadsignal.survival.inputs import Floats, Ints

if TYPE_CHECKING:
    from leadsignal.tables import Tables

NO_USER = -1
SPAN = 1_000_000
"""Exceeds any day number, so that account × SPAN + day sorts by account, then day."""


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one behaviour, sorted by account and day.

    ``account`` indexes the requested accounts; ``day`` and ``known`` are days since 1970-01-01;
    ``user`` is NO_USER if there is no user id; ``before`` is the day of the same user's previous
    event in the account (-SPAN if there is none, SPAN without a user id); ``late`` is true if any
    event became known only after its day.
    """

    account: Ints
    day: Ints
    known: Ints
    user: Ints
    quantity: Floats
    before: Ints
    late: bool

    @property
    def key(self) -> Ints:
        """Account and day as one number."""
        return self.account * SPAN + self.day

    @property
    def accounts(self) -> int:
        """Number of accounts with at least one event."""
        return len(np.unique(self.account))


def read_events(tables: Tables, accounts: np.ndarray) -> dict[str, Events]:
    """Return the events of each behaviour for the accounts with these ids.

    Raises OptionError if there is no behaviors table.
    """
    import pandas as pd

    if "behaviors" not in tables.names:
        raise OptionError(
            "there is no behaviors table, so there is nothing to discover",
            "Give behaviors with account_id, occurred_at, behavior and, if possible, user_id",
        )
    day = "CAST({} - DATE '1970-01-01' AS INTEGER)"
    rows = tables.connection.cursor().sql(
        f"SELECT account_id, behavior, CAST(user_id AS VARCHAR) AS user_id,"
        f" {day.format('CAST(occurred_at AS DATE)')} AS day, {day.format('known_on')} AS known,"
        f" CAST(quantity AS DOUBLE) AS quantity FROM ({tables.history('behaviors')}) AS history"
    )
    table = rows.to_arrow_table()
    account, owners = _coded(table["account_id"])
    behavior, names = _coded(table["behavior"])
    user, _ = _coded(table["user_id"])
    number = pd.Index(accounts).get_indexer(pd.Index(owners)).astype(np.int64)[account]
    parts = [number, user, *(table[c].to_numpy() for c in ("day", "known", "quantity"))]
    order = np.lexsort((parts[2], number, behavior))
    order = order[number[order] >= 0]
    edges = np.searchsorted(behavior[order], np.arange(len(names) + 1))
    found = {
        str(name): _events(*(part[order[first:last]] for part in parts))
        for name, first, last in zip(names, edges[:-1], edges[1:], strict=True)
        if last > first
    }
    return dict(sorted(found.items()))


def _coded(column: object) -> tuple[Ints, list[object]]:
    """Return a code per row (-1 if missing) and the values of the codes."""
    coded = column.combine_chunks().dictionary_encode()  # type: ignore[attr-defined]
    codes = coded.indices.fill_null(NO_USER).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, coded.dictionary.to_pylist()


def _events(account: Ints, user: Ints, day: Ints, known: Ints, quantity: Floats) -> Events:
    day, known = day.astype(np.int64), known.astype(np.int64)
    order = np.lexsort((day, user, account))
    same = np.zeros(len(day), dtype=bool)
    same[1:] = (np.diff(account[order]) == 0) & (np.diff(user[order]) == 0)
    previous = np.concatenate(([-SPAN], day[order][:-1]))
    before = np.empty(len(day), dtype=np.int64)
    before[order] = np.where(same, previous, -SPAN)
    before[user == NO_USER] = SPAN
    return Events(account, day, known, user, quantity, before, bool((known > day).any()))
