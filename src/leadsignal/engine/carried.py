"""Values carried forward along an account's snapshots, in SQL or in memory.

Values change between two snapshots: something enters or leaves a count, or a later value is
observed. `Carried` says what changes and how the changes add up. Its ``sql`` computes that with
window functions, in any engine; `leadsignal.engine.in_memory` does so with arrays. If each account
has one snapshot only, there is nothing to carry, and ``sql`` is one aggregation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from leadsignal.engine.grid import Grid, Step

How = Literal["sum", "largest", "largest pair"]


@dataclass(frozen=True)
class Change:
    """Changes of values: a SELECT of ``account_no``, its ``first`` snapshot, ``day`` and values.

    A row takes effect at the account's first snapshot on or after the day ``later`` days later;
    several rows may take effect at the same one. With ``by_member``, the column ``member`` holds
    the number of the row's member, from 0.
    """

    sql: str
    by_member: bool = False
    later: int = 0


@dataclass(frozen=True)
class Term:
    """A value of a change, for all rows or for one member, to be added or subtracted."""

    change: int
    value: str
    member: int | None = None
    sign: Literal[1, -1] = 1


@dataclass(frozen=True)
class CarriedColumn:
    """One column: the sum or the maximum of all changes up to a snapshot, or a ``part`` of it.

    The largest pair has one term.
    """

    name: str
    terms: tuple[Term, ...]
    how: How = "sum"
    part: str = ""


@dataclass(frozen=True)
class Users:
    """Columns with the number of distinct users in the last ``windows`` days, and their member.

    ``sql`` selects ``account_no``, ``user_no``, ``day``, ``known`` and ``member`` of rows;
    ``numbers`` is the column that the member is from. If rows may become known after their day,
    ``late``, they are counted with the changes of the step. ``carried`` is a table with the counts
    at the first snapshot of accounts, if these are known.
    """

    sql: str
    windows: Mapping[str, tuple[int, int]]
    numbers: str = ""
    late: bool = False
    carried: str = ""


@dataclass(frozen=True)
class Carried(Step):
    """A table with one row per row of the grid. Columns begin at 0 or without a value.

    If ``users`` is equivalent to the changes, these and the ``steps_before`` are not needed.
    """

    grid: Grid = field(default_factory=lambda: Grid(0, 1))
    changes: tuple[Change, ...] = ()
    columns: tuple[CarriedColumn, ...] = ()
    users: Users | None = None
    steps_before: tuple[str, ...] = ()

    def values_of(self, change: int) -> dict[str, How]:
        """Return the values of a change that the columns use, and how they add up."""
        return {
            term.value: column.how
            for column in self.columns
            for term in column.terms
            if term.change == change and column.how != "largest pair"
        }

    def members_of(self, change: int) -> int:
        """Return the number of members of a change that the columns may use."""
        terms = (term for column in self.columns for term in column.terms)
        return 1 + max((term.member or 0 for term in terms if term.change == change), default=0)


def carried(
    name: str, grid: Grid, changes: Sequence[Change], columns: Sequence[CarriedColumn]
) -> Carried:
    """Return the step that carries changes forward along the rows of the grid."""
    sql = (_on_one_day if grid.one_day else _along)(grid, changes, columns)
    return Carried(name, sql, grid=grid, changes=tuple(changes), columns=tuple(columns))


def users_on_one_day(name: str, grid: Grid, users: Users) -> Carried:
    """Return the step that counts users on the as_of date: those seen within the window."""
    latest = (
        "SELECT account_no, user_no, member, MAX(day) AS day"
        f" FROM ({users.sql}) AS rows WHERE day < {grid.as_of} GROUP BY 1, 2, 3"
    )
    seen = {
        column: f"SUM(CASE WHEN member = {member} AND day + {window} >= {grid.as_of} THEN 1 END)"
        for column, (window, member) in users.windows.items()
    }
    listed = {f"d{number}": count for number, count in enumerate(seen.values())}
    counts = dict(zip(map(grid.dialect.quoted, seen), listed, strict=True))
    sql = _of_grid(
        grid,
        {column: f"CAST(COALESCE({count}, 0) AS BIGINT)" for column, count in counts.items()},
        [(latest, listed)],
    )
    columns = tuple(CarriedColumn(column, ()) for column in seen)
    return Carried(name, sql, grid=grid, columns=columns, users=users)


def _of_grid(
    grid: Grid, columns: Mapping[str, str], sums: Sequence[tuple[str, Mapping[str, str]]]
) -> str:
    """Return SQL for columns at the only snapshot of each account, from sums over its rows."""
    joins = [
        f"LEFT JOIN (SELECT account_no, {', '.join(f'{sql} AS {name}' for name, sql in of.items())}"
        f" FROM ({rows}) AS changes GROUP BY account_no) AS g{number} USING (account_no)"
        for number, (rows, of) in enumerate(sums)
    ]
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    return f"SELECT account_no, t, {listed} FROM {grid.rows} {' '.join(joins)}"


def _on_one_day(grid: Grid, changes: Sequence[Change], columns: Sequence[CarriedColumn]) -> str:
    """Return SQL without windows: one aggregation for all changes that come from the same rows."""
    sums: dict[str, dict[str, str]] = {change.sql: {} for change in changes}
    outputs: dict[str, str] = {}
    for index, column in enumerate(columns):
        parts: dict[str, list[str]] = {}
        for term in column.terms:
            here = changes[term.change]
            value = _by_as_of(term, here, grid)
            if column.how == "sum":
                value = f"{'-' if term.sign < 0 else '+'} COALESCE({value}, 0)"
            parts.setdefault(here.sql, []).append(value)
        total = "CAST(SUM({}) AS BIGINT)" if column.how == "sum" else "MAX({})"
        names = []
        for number, (rows, values) in enumerate(parts.items()):
            names.append(f"d{index}_{number}")
            sums[rows][names[-1]] = total.format(" ".join(values))
        known = " + ".join(f"COALESCE({name}, 0)" for name in names)
        one = f"CAST({known} AS BIGINT)" if column.how == "sum" else f"({names[0]}){column.part}"
        outputs[grid.dialect.quoted(column.name)] = one
    return _of_grid(grid, outputs, [(rows, of) for rows, of in sums.items() if of])


def _by_as_of(term: Term, change: Change, grid: Grid) -> str:
    """Return SQL for a term's value in one row, if the row takes effect by the as_of date."""
    member = "" if term.member is None else f" AND member = {term.member}"
    return f"CASE WHEN day <= {grid.as_of - change.later}{member} THEN {term.value} END"


def _along(grid: Grid, changes: Sequence[Change], columns: Sequence[CarriedColumn]) -> str:
    """Return SQL with window functions along the rows of the grid."""
    joins: list[str] = []
    terms: dict[tuple[Term, How], str] = {}
    for number, change in enumerate(changes):
        day = f"(day + {change.later})" if change.later else "day"
        used = dict.fromkeys(
            (term, column.how)
            for column in columns
            for term in column.terms
            if term.change == number
        )
        selected: list[str] = []
        for term, how in used:
            terms[term, how] = f"d{number}_{len(selected)}"
            selected.append(f"{_of_snapshot(term, how)} AS {terms[term, how]}")
        joins.append(
            f"LEFT JOIN (SELECT account_no, {grid.snapshot(day)} AS t, {', '.join(selected)}"
            f" FROM ({change.sql}) AS changes WHERE {day} <= {grid.as_of} GROUP BY 1, 2)"
            f" AS g{number} USING (account_no, t)"
        )
    along = "PARTITION BY account_no ORDER BY t ROWS UNBOUNDED PRECEDING"
    windows = []
    for column in columns:
        alias = grid.dialect.quoted(column.name)
        names = [terms[term, column.how] for term in column.terms]
        if column.how == "sum":
            signs = ("-" if term.sign < 0 else "+" for term in column.terms)
            values = (f"COALESCE({one}, 0)" for one in names)
            total = " ".join(f"{sign} {value}" for sign, value in zip(signs, values, strict=True))
            windows.append(f"CAST(SUM({total}) OVER ({along}) AS BIGINT) AS {alias}")
        else:
            largest = f"GREATEST({', '.join(names)})" if len(names) > 1 else names[0]
            windows.append(f"(MAX({largest}) OVER ({along})){column.part} AS {alias}")
    return f"SELECT account_no, t, {', '.join(windows)} FROM {grid.rows} {' '.join(joins)}"


def _of_snapshot(term: Term, how: How) -> str:
    """Return SQL for a term's value over the rows of one account and snapshot."""
    value = term.value
    if term.member is not None:
        value = f"CASE WHEN member = {term.member} THEN {value} END"
    return f"CAST(SUM({value}) AS BIGINT)" if how == "sum" else f"MAX({value})"
