"""Values carried along an account's snapshots, declared once: run as SQL, or in memory.

Between two snapshots values change: something enters a count or leaves it, something later is seen.
`Carried` says what changes and how the changes add up. Its ``sql`` does that with window functions,
in any engine; `leadsignal.engine.in_memory` does it with arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from leadsignal.engine.grid import Grid, Step

How = Literal["sum", "largest", "largest pair"]


@dataclass(frozen=True)
class Change:
    """What changes: a SELECT of ``account_no``, its ``first`` snapshot, ``day`` and values.

    A row falls on the account's first snapshot not before the day that is ``later`` days later;
    several may fall on one. With ``by_member`` the column ``member`` holds the number of the member
    it belongs to, from 0.
    """

    sql: str
    by_member: bool = False
    later: int = 0


@dataclass(frozen=True)
class Term:
    """A value of a change, of all rows or of one member's, to be added or taken away."""

    change: int
    value: str
    member: int | None = None
    sign: Literal[1, -1] = 1


@dataclass(frozen=True)
class CarriedColumn:
    """One column: the sum of all changes up to a snapshot, or the largest, or a ``part`` of it."""

    name: str
    terms: tuple[Term, ...]
    how: How = "sum"
    part: str = ""


@dataclass(frozen=True)
class Users:
    """Columns that are the distinct users of the last ``windows`` days, and of which member.

    ``sql`` selects ``account_no``, ``user_no``, ``day`` and ``member`` of rows that became known on
    their day.
    """

    sql: str
    windows: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Carried(Step):
    """A table with a row for each row of the grid. Columns have the value 0 or none at first.

    Where ``users`` says the same as the changes, these and the ``steps_before`` are not needed.
    """

    grid: Grid = field(default_factory=lambda: Grid(0, 1))
    changes: tuple[Change, ...] = ()
    columns: tuple[CarriedColumn, ...] = ()
    users: Users | None = None
    steps_before: tuple[str, ...] = ()

    def values_of(self, change: int) -> dict[str, How]:
        """Return the numbers of a change that the columns read, and how they add up."""
        return {
            term.value: column.how
            for column in self.columns
            for term in column.terms
            if term.change == change and column.how != "largest pair"
        }

    def members_of(self, change: int) -> int:
        """Return how many members of a change the columns may read."""
        terms = (term for column in self.columns for term in column.terms)
        return 1 + max((term.member or 0 for term in terms if term.change == change), default=0)


def carried(
    name: str, grid: Grid, changes: Sequence[Change], columns: Sequence[CarriedColumn]
) -> Carried:
    """Return the step that carries changes along the rows of the grid."""
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
            windows.append(f"(MAX({names[0]}) OVER ({along})){column.part} AS {alias}")
    sql = f"SELECT account_no, t, {', '.join(windows)} FROM {grid.rows} {' '.join(joins)}"
    return Carried(name, sql, grid=grid, changes=tuple(changes), columns=tuple(columns))


def _of_snapshot(term: Term, how: How) -> str:
    """SQL: a term's value over the rows of one account and snapshot."""
    value = term.value
    if term.member is not None:
        value = f"CASE WHEN member = {term.member} THEN {value} END"
    return f"CAST(SUM({value}) AS BIGINT)" if how == "sum" else f"MAX({value})"
