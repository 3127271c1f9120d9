"""What is compared: candidate processes, their events, who had adopted them, and rows at risk.

Adoption is defined as for episodes: an event of day d, known on day r, is in window k at day t if t
− (k+1)w ≤ d < t − kw and r < t. A test checks that this agrees with ``engine.episodes`` to the day.

A row of the panel at day s has the states of that day; its outcome is churn between s plus the
warning time and the next snapshot plus the warning time. Accounts about to leave stop everything,
so today's state may be a consequence of the decision to leave. A state one warning time earlier, in
accounts still active, may precede it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.arguments import days_in
from leadsignal.cohorts.risk_intervals import columns_of
from leadsignal.config.success import Process
from leadsignal.errors import OptionError, one_of
from leadsignal.indicators.declare import Indicator
from leadsignal.model.cox_design import SKEWED, skewness
from leadsignal.panel import Panel
from leadsignal.survival.inputs import Bools, Floats, Ints
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


# Events and states --------------------------------------------------------------------------------


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


ROWS_AT_ONCE = 20_000


def adoption_states(
    events: Mapping[str, Events], candidates: Sequence[Candidate], account: Ints, day: Ints
) -> Bools:
    """Return whether each candidate is adopted (rows × candidates) for these accounts and days."""
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
    """Return each row's quantity and, if ``people``, number of users in window ``again``."""
    total, users = np.zeros(len(day)), np.zeros(len(day), dtype=np.int64)
    begins, stops = day - (again + 1) * within, day - again * within
    first = np.searchsorted(events.key, account * SPAN + begins)
    after = np.searchsorted(events.key, account * SPAN + stops)
    if not events.late:
        running = np.concatenate(([0.0], np.cumsum(events.quantity)))
        total = np.round(running[after] - running[first], 6)
        if not people:
            return total, users
    for begin in range(0, len(day), ROWS_AT_ONCE):
        rows = slice(begin, min(begin + ROWS_AT_ONCE, len(day)))
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


def _pairs(first: Ints, after: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of a row and an event from ``first`` up to but excluding ``after``."""
    many = after - first
    row = np.repeat(np.arange(len(many)), many)
    begins = np.concatenate(([0], np.cumsum(many)[:-1])) if len(many) else many
    return row, np.arange(many.sum()) - (begins - first)[row]


def _distinct(row: Ints, user: Ints, size: int) -> Ints:
    """Return the number of distinct users of each row."""
    named = user != NO_USER
    pairs = np.unique(row[named] * (user.max(initial=0) + 2) + user[named])
    return np.bincount(pairs // (user.max(initial=0) + 2), minlength=size)


# Rows at risk -------------------------------------------------------------------------------------


LAGGED = ("activity", "usage")
"""Families of indicators of how active an account was; taken at the earlier day, like the
process."""
MATCHED = ("tenure_days", "term_months", "days_to_renewal")
"""Context that risk sets match on: tenure to the day, and the contract term."""
ONCE_IN = 0.01
"""A column is left out of the adjustment if a smaller share of its rows is nonzero."""


@dataclass(frozen=True, eq=False)
class AtRisk:
    """Rows at risk on (``start``, ``stop``] days of tenure, with the states a warning time earlier.

    ``accounts`` are ids and ``customers`` the codes of their customers; ``account`` (n) indexes
    both, ``row`` indexes the panel's rows sorted by account and day, and ``day`` is the earlier
    day. ``stratum`` encodes the contract term and other matched columns. ``adjusters`` (n × p) hold
    activity, usage, context and size on the earlier day as splines and dummy variables;
    ``adjusted_for`` names them.
    """

    accounts: np.ndarray
    customers: Ints
    account: Ints
    row: Ints
    day: Ints
    start: Floats
    stop: Floats
    event: Bools
    stratum: Ints
    adjusters: Floats
    adjusted_for: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.day)

    @property
    def cluster(self) -> Ints:
        """Code of each row's customer."""
        return self.customers[self.account]


@dataclass(frozen=True)
class KnownBefore:
    """The days on which the state of a process is known.

    It is known from day ``since`` for accounts that started on or after it, ``lookback`` days later
    for older accounts, and until day ``until`` (None: the as-of date).
    """

    since: int
    lookback: int
    until: int | None = None

    def at(self, day: Ints, started: Floats) -> Bools:
        """Return whether the state is known on ``day`` for accounts that started on ``started``."""
        known: Bools = (started >= self.since) | (day >= self.since + self.lookback)
        return known if self.until is None else known & (day <= self.until)


def rows_at_risk(
    panel: Panel, warning_time: int, known_before: KnownBefore, *, match: Sequence[str] = ()
) -> AtRisk:
    """Return the rows of ``panel`` whose accounts are still at risk a warning time later.

    Churn is dated by the day it was known. ``match`` names context columns that risk sets match on,
    in addition to the contract term. Raises OptionError for an unknown column.
    """
    frame = in_order(panel)
    account, accounts, day = whose(frame)
    customers = pd.factorize(frame["customer_id"])[0][~frame["account_id"].duplicated()]
    tenure = frame["start"].to_numpy(dtype=float)
    same = np.append(account[1:] == account[:-1], False)
    length = np.where(same, np.append(np.diff(day), 0), panel.every)
    known = frame["known_within"].to_numpy(dtype=float, na_value=np.nan)
    follow = np.where(np.isnan(known), frame["days_observed"].to_numpy(dtype=float), known)
    left = follow - warning_time
    churns = ~np.isnan(known) & ~frame["end_cause"].isin(panel.project.not_churn).to_numpy()
    kept = np.flatnonzero((left > 0) & known_before.at(day, day - tenure) & (length > 0))
    rows = frame.iloc[kept]
    matrix, names = _adjusters(panel, rows, (*MATCHED, *match))
    start = tenure[kept] + warning_time
    stop = start + np.minimum(left, length)[kept]
    event = (churns & (left <= length))[kept]
    return AtRisk(
        accounts, customers.astype(np.int64), account[kept], kept.astype(np.int64), day[kept],
        start, stop, event, _strata(panel, rows, match), matrix, names,
    )  # fmt: skip


def _strata(panel: Panel, rows: pd.DataFrame, match: Sequence[str]) -> Ints:
    """Return codes of the combinations of contract term and values in ``match``."""
    allowed = [one.name for one in panel.indicators if one.role == "context"]
    for name in match:
        if name not in allowed or name in MATCHED:
            raise OptionError(f"match = {name!r}", one_of(set(allowed) - set(MATCHED), name))
    columns = [*match, *(["term_months"] if "term_months" in rows else [])]
    if not columns or not len(rows):
        return np.zeros(len(rows), dtype=np.int64)
    return np.asarray(rows.groupby(columns, dropna=False).ngroup(), dtype=np.int64)


def in_order(panel: Panel) -> pd.DataFrame:
    """Return the panel's rows sorted by account and day."""
    return panel.frame.sort_values(["account_id", "snapshot_on"], ignore_index=True)


def whose(frame: pd.DataFrame) -> tuple[Ints, np.ndarray, Ints]:
    """Return each row's account as a code, the account ids by code, and each row's day."""
    account, accounts = pd.factorize(frame["account_id"])
    day = frame["snapshot_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return account.astype(np.int64), np.asarray(accounts, dtype=object), day


def is_compared(indicator: Indicator) -> bool:
    """Whether comparisons match on an indicator or adjust for it."""
    return indicator.family in LAGGED or indicator.role == "context"


def _adjusters(
    panel: Panel, rows: pd.DataFrame, matched: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Return the columns to adjust for, with mean 0 and standard deviation 1, and their names."""
    values: dict[str, np.ndarray] = {}
    for one in panel.indicators:
        if is_compared(one) and one.name not in matched:
            values[one.name] = _plain(rows[one.name], one.kind, log=one.family in LAGGED)
    if "arr" in rows and "arr_now" not in values and rows["arr"].notna().any():
        values["arr"] = _plain(rows["arr"], "number", log=True)
    if not values or not len(rows):
        return np.zeros((len(rows), 0)), ()
    matrix = columns_of(values)
    spread = matrix.std(axis=0)
    common = (spread > 0) & ((matrix != 0).mean(axis=0) >= ONCE_IN)
    matrix = (matrix[:, common] - matrix[:, common].mean(axis=0)) / spread[common]
    return np.ascontiguousarray(matrix), tuple(values)


def _plain(values: pd.Series[Any], kind: str, *, log: bool) -> np.ndarray:
    if kind == "category":
        return values.astype(object).to_numpy()
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    skewed = len(known) > 0 and known.min() >= 0 and skewness(known) > SKEWED
    # Ratios of counts, amounts and sizes matter, hence logs; attributes may be negative.
    return np.log1p(np.maximum(numbers, 0)) if log or skewed else numbers
