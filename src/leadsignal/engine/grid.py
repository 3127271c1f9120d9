"""The rows of the panel: which accounts, seen on which days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leadsignal.engine.dialect import GRID_ORIGIN, DuckDB, literal, name


@dataclass(frozen=True)
class Step:
    """One table that the engine makes, by one SELECT over those made before."""

    name: str
    sql: str


@dataclass(frozen=True)
class Source:
    """One checked table as the engine reads it: its history, and from when to when it is whole.

    ``late``: some rows became known after their time. ``versioned``: rows may be superseded.
    """

    name: str
    sql: str
    complete_from: int | None
    complete_through: int | None
    late: bool = False
    versioned: bool = False
    decimals: Mapping[str, int] | None = None

    def known_before(self, t: str) -> str:
        """SQL: the table is still complete on the day before ``t``."""
        if self.complete_from is None:
            return "FALSE"
        known = f"{t} >= {self.complete_from}"
        if self.complete_through is not None:
            known += f" AND {t} <= {self.complete_through + 1}"
        return known


@dataclass(frozen=True)
class Grid:
    """The calendar grid: a row each ``every`` days up to ``as_of``, or only the row at as_of."""

    as_of: int
    every: int
    only_as_of: bool = False
    dialect: DuckDB = field(default_factory=DuckDB)

    def next_on_grid(self, day: str) -> str:
        """SQL: the first day of the calendar grid that is not before ``day``."""
        count = self.dialect.floor_divide(f"{day} + {self.every - 1 - GRID_ORIGIN}", self.every)
        return f"({count} * {self.every} + {GRID_ORIGIN})"

    def snapshot(self, day: str) -> str:
        """SQL: the account's first snapshot that is not before ``day`` (needs ``first``)."""
        return (
            f"CASE WHEN {day} <= first THEN first "
            f"ELSE LEAST({self.next_on_grid(day)}, {self.as_of}) END"
        )


def spine_step(grid: Grid, accounts: Source, attributes: Iterable[str] = ()) -> Step:
    """One row an account that has at least one snapshot, numbered in the order of account_id."""
    d = grid.dialect
    entries = [d.day("started_on"), d.day("CAST(recorded_at AS DATE)") + " + 1"]
    if accounts.complete_from is not None:
        entries.append(str(accounts.complete_from))
    own = "".join(f", {name(a)} AS {name(f'own_{a}')}" for a in attributes)
    last = f"LEAST(COALESCE(ended - 1, {grid.as_of}), {grid.as_of})"
    first = str(grid.as_of) if grid.only_as_of else "entry"
    return Step(
        "spine",
        f"""
        SELECT *, CAST(ROW_NUMBER() OVER (ORDER BY account_id) AS INTEGER) AS account_no,
               {first} AS first
        FROM (
            SELECT *, {last} AS last FROM (
                SELECT account_id, COALESCE(customer_id, account_id) AS customer_id,
                       {d.day("started_on")} AS started, {d.day("ended_on")} AS ended,
                       {d.day("end_known_on")} AS notice, end_reason,
                       term_months AS first_term, {d.scaled("arr", 2)} AS first_arr,
                       GREATEST({", ".join(entries)}) AS entry{own}
                FROM ({accounts.sql}) AS accounts
            ) AS dated
        ) AS bounded
        WHERE entry <= last AND {first} <= last
        """,
    )


def grid_step(grid: Grid) -> Step:
    """One row an account and snapshot: its first day, the calendar grid, and as_of."""
    d = grid.dialect
    on_grid = d.days_from_to(grid.next_on_grid("first + 1"), "last", grid.every)
    return Step(
        "grid",
        f"""
        SELECT account_no, first AS t FROM spine
        UNION ALL SELECT account_no, {on_grid} AS t FROM spine
        UNION ALL SELECT account_no, {grid.as_of} AS t FROM spine
        WHERE last = {grid.as_of} AND first < {grid.as_of}
          AND {grid.next_on_grid(str(grid.as_of))} <> {grid.as_of}
        """,
    )


def outcome_columns(grid: Grid, causes: Mapping[str, str], not_churn: tuple[str, ...]) -> str:
    """SQL columns of the counting process; needs spine and ``next_t``, the account's next row."""
    until = f"LEAST(COALESCE(next_t, {grid.as_of}), COALESCE(ended, {grid.as_of}), {grid.as_of})"
    over = f"ended IS NOT NULL AND ended <= COALESCE(next_t, {grid.as_of})"
    kept = ", ".join(literal(reason) for reason in not_churn)
    cause = ["CASE"]
    cause += [f"WHEN end_reason = {literal(r)} THEN {literal(c)}" for r, c in causes.items()]
    cause += [f"WHEN end_reason IN ({kept}) THEN end_reason" if kept else ""]
    named = " ".join(cause) + " ELSE 'churn' END" if causes or kept else "'churn'"
    churned = f"COALESCE(end_reason NOT IN ({kept}), TRUE)" if kept else "TRUE"
    return f"""
        t - started AS start,
        {until} - started AS stop,
        CASE WHEN {over} AND {churned} THEN 1 ELSE 0 END AS event,
        CASE WHEN ended IS NOT NULL THEN {named} END AS end_cause,
        CASE WHEN {over} THEN {named} END AS cause,
        LEAST(COALESCE(ended, {grid.as_of}), {grid.as_of}) - t AS days_observed,
        ended - t AS ended_within,
        COALESCE(notice < t, FALSE) AS notice_given
    """
