"""Run the steps in DuckDB, and carry values along snapshots in memory.

SQL finds the changes and their days. The rest is arithmetic: the snapshots of an account are
consecutive rows, so that a running sum over all rows, minus its value at the end of the previous
account, is the running sum along the account. Accounts come in batches, so that memory does not
grow with rows times columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.engine.build import PanelSteps
from leadsignal.engine.duckdb import (
    NumbersOfRows,
    PanelRows,
    arrow_array,
    computable,
    conditions,
    days_apart,
    temporary_tables,
)
from leadsignal.engine.grid import Carried, CarriedColumn, Change, How, Step, Users
from leadsignal.sources.parts import quoted
from leadsignal.workers import Progress

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Ints = NDArray[np.int64]
Whole = NDArray[np.integer[Any]]
CELLS_AT_ONCE = 2**23
"""Maximum number of measure values in memory (8 bytes each), in addition to the result."""
NOTHING = -(2**31)
"""A value below all day numbers, for no row yet."""
KEYS = ["account_no", "t"]
ALWAYS = [*KEYS, "started"]
"""Columns that are read even if no SQL of the panel names them."""
JOINED = "rows_with_measures"


@dataclass(frozen=True)
class Days:
    """Days of accounts, as positions in ``by_day`` of a portion, and the account's bounds there."""

    at: Ints
    first: Ints
    last: Ints


@dataclass(frozen=True)
class Portion:
    """The snapshots of a batch of accounts, one account after the other.

    ``first_row`` holds the number of each account's first row, followed by the number of all rows.
    ``by_day`` holds, for each account and each day from its first snapshot to its last, the first
    row not before that day, followed by the number of all rows, which means no row.
    """

    first_account: int
    t: Ints
    first_row: Ints
    by_day: Ints

    @classmethod
    def of(cls, first_account: int, t: Ints, first_row: Ints) -> Portion:
        """Number the rows of accounts by day."""
        days = np.diff(t, prepend=0)
        days[first_row[:-1]] = 1
        number = np.arange(len(t) + 1)
        place = np.insert(number[:-1], first_row[1:], len(t))
        return cls(first_account, t, first_row, np.repeat(place, np.insert(days, first_row[1:], 1)))

    @property
    def where(self) -> str:
        """SQL condition for the rows of these accounts."""
        end = self.first_account + len(self.first_row) - 1
        return f"account_no >= {self.first_account} AND account_no < {end}"

    @property
    def counts(self) -> Ints:
        """Number of rows of each account."""
        return np.diff(self.first_row)

    @cached_property
    def _bounds(self) -> tuple[Ints, Ints, Ints]:
        """For each account, its first and last position in ``by_day``, and that of day 0."""
        first = self.t[self.first_row[:-1]]
        days = self.t[self.first_row[1:] - 1] - first + 1
        last = np.cumsum(days + 1) - 1
        return last - days, last, last - days - first

    def days(self, account_no: Whole, day: Whole) -> Days:
        """Return days of accounts, for `row_of`."""
        # Arrays are indexed faster by numbers of 64 bits.
        account = account_no.astype(np.int64) - self.first_account
        first, last, origin = (one[account] for one in self._bounds)
        return Days(origin + day, first, last)

    def row_of(self, days: Days, later: int = 0) -> Ints:
        """Return the first row not before ``later`` days after each day; if none, `len(t)`."""
        at = days.at + later
        np.clip(at, days.first, days.last, out=at)
        return self.by_day[at]

    def along(self, values: Ints) -> Ints:
        """Compute running sums along the rows of each account, in place."""
        np.cumsum(values, out=values)
        before = np.concatenate([[0], values[self.first_row[1:] - 1]])[:-1]
        values -= np.repeat(before, self.counts)
        return values

    def largest(self, values: Ints) -> Ints:
        """Return the running maximum of non-negative values along the rows of each account."""
        span = int(values.max(initial=0)) + 1
        base = np.repeat(np.arange(len(self.counts)) * span, self.counts)
        return np.maximum.accumulate(base + values) - base

    def next_t(self) -> Any:
        """Return the next snapshot of the account for each row."""
        last = np.zeros(len(self.t), dtype=bool)
        last[self.first_row[1:] - 1] = True
        return arrow_array(np.roll(self.t, -1), last)


def portions(cursor: duckdb.DuckDBPyConnection, at_once: int) -> Iterator[Portion]:
    """Yield the accounts of ``grid`` in batches of about ``at_once`` rows; at least one batch."""
    grid = cursor.sql("SELECT account_no, t FROM grid ORDER BY 1, 2").fetchnumpy()
    t, accounts = grid["t"].astype(np.int64), grid["account_no"]
    first_row = np.searchsorted(accounts, np.arange(1, accounts.max(initial=0) + 2))
    turns = np.flatnonzero(np.diff(first_row[:-1] // at_once)) + 1
    ends = [*turns, len(first_row) - 1]
    for begin, end in zip([0, *turns], ends, strict=True):
        rows = first_row[begin : end + 1]
        yield Portion.of(begin + 1, t[rows[0] : rows[-1]], rows - rows[0])


Rows = Callable[[str | None], Iterator[PanelRows]]
"""Returns the rows of a panel, or of a SELECT that reads `JOINED`, in batches of accounts."""


@contextmanager
def measured_rows(
    connection: duckdb.DuckDBPyConnection,
    plan: PanelSteps,
    progress: Progress | None = None,
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Rows]]:
    """Run the steps; yield a cursor on their tables, and a function that returns the rows.

    Given None, the function returns the rows of the panel. It also takes SQL that reads `JOINED`,
    with one row per row of the grid and all measures, and further SQL that is run after each batch.
    Accounts come in order.
    """
    in_memory = [
        step for step in plan.steps if isinstance(step, Carried) and _only_measured(step, plan)
    ]
    unused = {name for step in in_memory for name in step.steps_before}
    as_tables = [s for s in plan.steps if s not in in_memory and s.name not in unused]
    with temporary_tables(connection, as_tables, progress) as cursor:

        def rows(select: str | None, *further: str) -> Iterator[PanelRows]:
            if select is None:
                yield from _panel_rows(cursor, plan, in_memory)
                return
            for _, columns in _measures(cursor, plan, in_memory):
                with _joined(cursor, columns):
                    yield PanelRows(cursor.sql(select).to_arrow_table())
                    for statement in further:
                        cursor.execute(statement)

        yield cursor, rows


def _panel_rows(
    cursor: duckdb.DuckDBPyConnection, plan: PanelSteps, in_memory: Sequence[Carried]
) -> Iterator[PanelRows]:
    """Yield the rows of the panel. Numbers that are simple arithmetic do not pass the database."""
    carried = {c.name for step in in_memory for c in step.columns if c.how != "largest pair"}
    rules = computable(plan.numbers, plan.write, carried)
    needed = conditions(rules, plan.write)
    listed = ", ".join(f"NOT COALESCE({sql}, FALSE) AS u{n}" for n, sql in enumerate(needed))
    rest = plan.without(rules)
    for portion, columns in _measures(cursor, rest, in_memory):
        with _joined(
            cursor, {n: c for n, c in columns.items() if n not in carried or rest.reads(n)}
        ):
            others = cursor.sql(rest.select_from(JOINED)).to_arrow_table()
            found = cursor.sql(f"SELECT {listed or 1} FROM {JOINED}").fetchnumpy()
        started = columns["started"].to_numpy().astype(np.int64)
        unknown = dict(zip(needed, found.values(), strict=False))
        value = NumbersOfRows(plan.write, portion.t, started, columns, unknown)
        numbers = {name: partial(value, rule) for name, rule in rules.items()}
        yield PanelRows(others, numbers, tuple(plan.indicators))


@contextmanager
def _joined(cursor: duckdb.DuckDBPyConnection, columns: Mapping[str, Any]) -> Iterator[None]:
    """Register columns as `JOINED`."""
    import pyarrow as pa

    cursor.register(JOINED, pa.table({name: _as_arrow(one) for name, one in columns.items()}))
    try:
        yield
    finally:
        cursor.unregister(JOINED)


def _as_arrow(column: Any) -> Any:
    """Return a column of Arrow, or of numbers that are masked where there are none, for Arrow."""
    if isinstance(column, np.ma.MaskedArray):
        return arrow_array(column.data, np.ma.getmaskarray(column))
    return arrow_array(column) if isinstance(column, np.ndarray) else column


def _only_measured(step: Step, plan: PanelSteps) -> bool:
    """Whether a step is carried forward, and used by the panel itself but by no other step."""
    named = re.compile(rf"\b{re.escape(step.name)}\b")
    return step.name in plan.measured and not any(
        named.search(other.sql) for other in plan.steps if other is not step
    )


def _measures(
    cursor: duckdb.DuckDBPyConnection, plan: PanelSteps, in_memory: Sequence[Carried]
) -> Iterator[tuple[Portion, dict[str, Any]]]:
    """Yield the columns that the panel is computed from, in batches of accounts."""
    width = 32 + sum(len(step.columns) for step in in_memory)
    carried_steps = {step.name for step in in_memory}
    tables = [name for name in plan.measured if name not in carried_steps]
    for portion in portions(cursor, max(CELLS_AT_ONCE // width, 1)):
        columns = {"t": arrow_array(portion.t), "next_t": portion.next_t()}
        owner = np.repeat(np.arange(len(portion.counts)), portion.counts)
        spine = _used(cursor, "spine", plan, portion, "ORDER BY account_no")
        columns |= _taken(spine, owner)
        for name in tables:
            columns |= _by_row(cursor, name, plan, portion)
        for step in in_memory:
            if step.users and not step.users.late:
                columns |= _users(cursor, step.users, portion)
            else:
                columns |= _carried_columns(cursor, step, portion)
        yield portion, columns


def _used(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    plan: PanelSteps,
    portion: Portion,
    order: str = "",
) -> pa.Table:
    """Return the account and the columns of a table that the panel uses, for a batch."""
    columns = cursor.sql(f"FROM {table} LIMIT 0").columns
    named = [name for name in columns if name in ALWAYS or plan.reads(quoted(name)[1:-1])]
    listed = ", ".join(map(quoted, named))
    rows = cursor.sql(f"SELECT {listed} FROM {table} WHERE {portion.where} {order}")
    return rows.to_arrow_table().combine_chunks()


def _taken(table: pa.Table, place: Ints) -> dict[str, Any]:
    """Return the columns of a table at given positions, missing where these are negative."""
    taken = table.take(arrow_array(place, place < 0))
    return dict(zip(taken.column_names, taken.columns, strict=True))


def _by_row(
    cursor: duckdb.DuckDBPyConnection, table: str, plan: PanelSteps, portion: Portion
) -> dict[str, Any]:
    """Return the columns of a table of measures at the rows of the grid."""
    found = _used(cursor, table, plan, portion)
    row = portion.row_of(portion.days(found["account_no"].to_numpy(), found["t"].to_numpy()))
    place = np.full(len(portion.t) + 1, -1)
    place[row] = np.arange(len(row))
    return _taken(found.drop_columns(KEYS), place[:-1])


def _carried_columns(
    cursor: duckdb.DuckDBPyConnection, step: Carried, portion: Portion
) -> dict[str, Any]:
    """Carry the columns of a step forward along the rows of a batch."""
    changes: dict[int, dict[str, Ints]] = {}
    for sql in dict.fromkeys(change.sql for change in step.changes):
        same = [number for number, one in enumerate(step.changes) if one.sql == sql]
        if any(map(step.values_of, same)):
            read = _Read.of(cursor, step, same, portion)
            for number in same:
                values, later = step.values_of(number), step.changes[number].later
                changes[number] = read.on_rows(later, values, portion)
    columns: dict[str, Any] = {}
    for column in step.columns:
        if column.how == "largest pair":
            columns[column.name] = _best_pair(
                cursor, step.changes[column.terms[0].change], column, portion
            )
            continue
        here = [changes[term.change][term.value][term.member or 0] for term in column.terms]
        if column.how == "sum":
            total = np.zeros(len(portion.t), np.int64)
            for term, one in zip(column.terms, here, strict=True):
                (np.add if term.sign > 0 else np.subtract)(total, one, out=total)
            columns[column.name] = portion.along(total)
        else:
            day = portion.largest(np.maximum.reduce(here))
            columns[column.name] = np.ma.MaskedArray(day + NOTHING, mask=day == 0)
    return columns


def _users(cursor: duckdb.DuckDBPyConnection, users: Users, portion: Portion) -> dict[str, Any]:
    """Count distinct users in trailing windows."""
    read = cursor.sql(f"SELECT * FROM ({users.sql}) AS u WHERE {portion.where}").fetchnumpy()
    (member, account, _, day), apart = days_apart(
        (read["member"], read["account_no"], read["user_no"]), read["day"]
    )
    rows, members = len(portion.t) + 1, 1 + max(number for _, number in users.windows.values())
    first, days = member * rows, portion.days(account, day)
    come = first + portion.row_of(days, 1)
    changes: dict[int, Ints] = {}
    for window in {window for window, _ in users.windows.values()}:
        begins, ends = (one > window for one in (apart[:-1], apart[1:]))
        here = np.zeros(members * rows, np.int64)
        # Adding zeros takes less time than selecting the rows that begin or end a stay.
        np.add.at(here, come, begins.astype(np.int64))
        np.subtract.at(here, first + portion.row_of(days, window + 1), ends.astype(np.int64))
        changes[window] = here.reshape(-1, rows)[:, :-1]
    found = {
        column: portion.along(changes[window][number].copy())
        for column, (window, number) in users.windows.items()
    }
    return _from_first(cursor, users, portion, found) if users.carried else found


def _from_first(
    cursor: duckdb.DuckDBPyConnection, users: Users, portion: Portion, found: Mapping[str, Ints]
) -> dict[str, Ints]:
    """Shift counts such that they begin with those that are known at the first snapshot."""
    listed = ", ".join(map(quoted, found))
    known = cursor.sql(
        f"SELECT account_no, {listed} FROM {users.carried} WHERE {portion.where}"
    ).fetchnumpy()
    account, shifted = known["account_no"] - portion.first_account, {}
    for column, values in found.items():
        shift = np.zeros(len(portion.counts), np.int64)
        shift[account] = known[column] - values[portion.first_row[account]]
        shifted[column] = values + np.repeat(shift, portion.counts)
    return shifted


@dataclass(frozen=True)
class _Read:
    """Source rows of changes: values, days, and numbers of members times all rows."""

    values: Mapping[str, Any]
    days: Days
    first: Ints
    members: int

    @classmethod
    def of(
        cls, cursor: duckdb.DuckDBPyConnection, step: Carried, same: Sequence[int], portion: Portion
    ) -> _Read:
        """Read the values that the changes with these numbers need, which are of the same rows."""
        change = step.changes[same[0]]
        values = {name: how for number in same for name, how in step.values_of(number).items()}
        members = max(step.members_of(number) for number in same)
        listed = [
            f"CAST(COALESCE({value}, {0 if how == 'sum' else NOTHING}) AS BIGINT) AS {value}"
            for value, how in values.items()
        ]
        where = portion.where + (f" AND member < {members}" if change.by_member else "")
        listed += ["member"] if change.by_member else []
        select = f"SELECT {', '.join(['account_no', 'day', *listed])} FROM ({change.sql}) AS c"
        read = cursor.sql(f"{select} WHERE {where}").fetchnumpy()
        member = read.get("member", np.zeros(1, np.int64)).astype(np.int64)
        days = portion.days(read["account_no"], read["day"])
        return cls(read, days, member * (len(portion.t) + 1), members)

    def on_rows(self, later: int, values: Mapping[str, How], portion: Portion) -> dict[str, Ints]:
        """Return values by member and row: sums or maxima, and 0 if there are none."""
        rows = len(portion.t) + 1
        place = portion.row_of(self.days, later)
        place += self.first
        found = {}
        for value, how in values.items():
            on_rows = np.zeros(self.members * rows, np.int64)
            if how == "sum":
                np.add.at(on_rows, place, self.values[value])
            else:
                np.maximum.at(on_rows, place, self.values[value] - NOTHING)
            found[value] = on_rows.reshape(self.members, rows)[:, :-1]
        return found


def _best_pair(
    cursor: duckdb.DuckDBPyConnection, change: Change, column: CarriedColumn, portion: Portion
) -> Any:
    """Rank the pairs, carry the maximum rank forward, and return the values with that rank."""
    (term,) = column.terms
    where = portion.where + ("" if term.member is None else f" AND member = {term.member}")
    best = (
        f"SELECT account_no, day + {change.later} AS day, MAX({term.value}) AS best"
        f" FROM ({change.sql}) AS c WHERE {term.value} IS NOT NULL AND {where} GROUP BY 1, 2"
    )
    ranked = cursor.sql(
        f"SELECT account_no, day, (best){column.part} AS value FROM ({best}) AS b ORDER BY best"
    ).to_arrow_table()
    rank = np.zeros(len(portion.t) + 1, np.int64)
    account, day = ranked["account_no"].to_numpy(), ranked["day"].to_numpy()
    place = portion.row_of(portion.days(account, day))
    np.maximum.at(rank, place, np.arange(1, len(place) + 1))
    return _taken(ranked.select(["value"]), portion.largest(rank[:-1]) - 1)["value"]
