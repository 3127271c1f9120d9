"""Candidate processes, every behaviour under every definition of a grid, and their events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from leadsignal.config.success import Process
from leadsignal.durations import days_in
from leadsignal.errors import OptionError
from leadsignal.survival.inputs import Floats, Ints
from leadsignal.tables import Tables

AT_LEAST = (1, 2, 4, 8)
BY_USERS = (1, 2, 3)
SUSTAINED_FOR = (1, 2, 3)
LONGEST_SPAN = 1.5
"""Maximum length of consecutive windows, in warning times. A process that takes longer to be
adopted is seen too late, and its state is unknown in the first days of every account."""


@dataclass(frozen=True, order=True)
class Candidate:
    """One behaviour under one definition; ``within`` is in days, as in `Process`."""

    behavior: str
    at_least: int
    by_users: int
    within: int
    sustained_for: int

    @property
    def span(self) -> int:
        """Number of days covered by its windows."""
        return self.within * self.sustained_for

    def __str__(self) -> str:
        return str(self.as_process()).removesuffix("; adopted by day 0")

    def as_process(self, *, why: str = "", adopt_by: int | None = None) -> Process:
        """Return the candidate as a process of a success analysis, named after its behaviour."""
        name, behaviors = process_name(self.behavior), (self.behavior,)
        return Process(
            name, behaviors, self.at_least, self.within, why, self.by_users, self.sustained_for,
            adopt_by,
        )  # fmt: skip


def process_name(behavior: str) -> str:
    """Return a name that is valid in ``success.toml``: lower-case letters, digits and _.

    >>> process_name("Close review (done)"), process_name("2fa on")
    ('close_review_done', 'p_2fa_on')
    """
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in behavior.lower())
    name = "_".join(part for part in kept.split("_") if part)
    return name if name and name[0].isalpha() else f"p_{name or 'process'}"


@dataclass(frozen=True)
class Definitions:
    """The grid of definitions to try for every behaviour; ``within`` is in days."""

    at_least: tuple[int, ...] = AT_LEAST
    by_users: tuple[int, ...] = BY_USERS
    within: tuple[int, ...] = (30, 45, 90)
    sustained_for: tuple[int, ...] = SUSTAINED_FOR
    longest: int = 135

    def of(self, behavior: str, *, users: bool) -> Iterator[Candidate]:
        """Yield the candidates of one behaviour, simplest first.

        Without ``users`` (no user_id), users cannot be counted. No definition requires more users
        than events, or covers more than ``longest`` days.
        """
        for within, again, people, events in product(
            self.within, self.sustained_for, self.by_users, self.at_least
        ):
            counted = people == 1 or (users and people <= events)
            if counted and within * again <= self.longest:
                yield Candidate(behavior, events, people, within, again)


def definitions_of(
    warning_time: int,
    at_least: Sequence[int] | None = None,
    by_users: Sequence[int] | None = None,
    within: Sequence[str] | None = None,
    sustained_for: Sequence[int] | None = None,
) -> Definitions:
    """Return the grid; by default, windows are a third, half and the whole of the warning time.

    Raises OptionError for an empty list or a value that is not a positive integer.
    """
    usual = (max(1, round(warning_time / 3)), max(1, warning_time // 2), warning_time)
    windows = usual if within is None else tuple(days_in(one) for one in within)
    numbers = {
        "at_least": AT_LEAST if at_least is None else tuple(at_least),
        "by_users": BY_USERS if by_users is None else tuple(by_users),
        "sustained_for": SUSTAINED_FOR if sustained_for is None else tuple(sustained_for),
    }
    for name, values in (*numbers.items(), ("within", windows)):
        bad = [one for one in values if isinstance(one, bool) or int(one) != one or one < 1]
        if bad or not values:
            raise OptionError(
                f"{name} = {list(values)!r}", "Give one or more whole numbers above 0"
            )
    sizes = {name: tuple(sorted({int(one) for one in values})) for name, values in numbers.items()}
    longest = max(int(LONGEST_SPAN * warning_time), min(windows))
    if within is not None or sustained_for is not None:
        longest = max(windows) * max(sizes["sustained_for"])
    return Definitions(**sizes, within=tuple(sorted(set(windows))), longest=longest)


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
