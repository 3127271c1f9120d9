"""The rows of the panel: which accounts, on which days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leadsignal.end_of_risk import NO_REASON, first_of
from leadsignal.ingestion.dialect import GRID_ORIGIN, Dialect, DuckDB


@dataclass(frozen=True)
class Step:
    """One table created by the engine, by one SELECT from earlier tables.

    ``by_account``: it is read account by account, which is faster if it is sorted by account.
    ``table`` is the source table whose rows or counts it holds, if these can be carried from one
    run to the next (`leadsignal.engine.resumed`). A row matters up to ``back`` days after its day,
    or only on the day after each of the windows that it ``leaves``.
    """

    name: str
    sql: str
    by_account: bool = False
    table: str = ""
    back: int = 0
    leaves: tuple[int, ...] = ()


@dataclass(frozen=True)
class Source:
    """One checked table for the engine: its history, and the dates between which it is complete.

    ``assumed``: the start of completeness is not declared, but assumed from the first record, which
    was not yet known at midnight of its day. ``late``: some rows became known after their time.
    ``versioned``: rows may be superseded. ``members``: the values of a column that groups its rows.
    """

    name: str
    sql: str
    complete_from: int | None
    complete_through: int | None
    assumed: bool = False
    late: bool = False
    versioned: bool = False
    decimals: Mapping[str, int] | None = None
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def known_before(self, t: str) -> str:
        """Return SQL for whether the table is complete at ``t``."""
        if self.complete_from is None:
            return "FALSE"
        known = f"{t} >= {self.complete_from + self.assumed}"
        if self.complete_through is not None:
            known += f" AND {t} <= {self.complete_through + 1}"
        return known


@dataclass(frozen=True)
class Grid:
    """The calendar grid: one row every ``every`` days up to ``as_of``.

    ``first`` is SQL for an account's first day on the grid; ``entry`` is the first midnight at
    which the account is visible. ``spine`` and ``rows`` name the tables of the followed units and
    of their snapshots; ``key`` are the columns by which source rows belong to a unit: an account,
    or a part of one. ``since`` is the day up to which an earlier run has carried values forward.
    """

    as_of: int
    every: int
    first: str = "entry"
    dialect: Dialect = field(default_factory=DuckDB)
    spine: str = "spine"
    rows: str = "grid"
    key: str = "account_id"
    since: int | None = None

    @property
    def one_day(self) -> bool:
        """Whether each account has one snapshot only, on the as_of date."""
        return self.first == str(self.as_of)

    def next_on_grid(self, day: str) -> str:
        """Return SQL for the first day of the calendar grid that is not before ``day``."""
        count = self.dialect.floor_divide(f"{day} + {self.every - 1 - GRID_ORIGIN}", self.every)
        return f"({count} * {self.every} + {GRID_ORIGIN})"

    def last_on_grid(self, day: int) -> int:
        """Return the last day of the calendar grid that is not after ``day``."""
        return day - (day - GRID_ORIGIN) % self.every

    def snapshot(self, day: str) -> str:
        """Return SQL for the account's first snapshot not before ``day`` (needs ``first``)."""
        return (
            f"CASE WHEN {day} <= first THEN first "
            f"ELSE LEAST({self.next_on_grid(day)}, {self.as_of}) END"
        )


def spine_steps(grid: Grid, accounts: Source, attributes: Iterable[str] = ()) -> list[Step]:
    """Create ``spine``: one row per account with at least one snapshot, sorted by account_id.

    If accounts have versions, the first visible one gives the start and the customer, the last one
    the end. Other facts known at the time are read from ``account_versions``, see `facts_step`.
    """
    rows = _dated_accounts(grid, accounts, attributes)
    steps = []
    if accounts.versioned:
        order = f"COALESCE(recorded_at, {grid.dialect.moment('started_on')})"
        order += ", superseded_on NULLS LAST, started_on, term_months NULLS LAST, arr NULLS LAST"
        by_account = f"PARTITION BY account_id ORDER BY {order}"
        numbered = f"ROW_NUMBER() OVER ({by_account}) AS version_no"
        steps = [
            Step("account_versions", _dated_accounts(grid, accounts, attributes, f", {numbered}"))
        ]
        rows = """
            SELECT account_id, customer_id, started, entry, ended, end_known, end_reason
            FROM (SELECT account_id, customer_id, started, entry, ROW_NUMBER() OVER (
                  PARTITION BY account_id ORDER BY entry, version_no DESC) AS nth
                  FROM account_versions) AS begun
            JOIN (SELECT account_id, ended, end_known, end_reason, ROW_NUMBER() OVER (
                  PARTITION BY account_id ORDER BY version_no DESC) AS nth_last
                  FROM account_versions) AS newest USING (account_id)
            WHERE nth = 1 AND nth_last = 1
        """
    last = f"LEAST(COALESCE(ended - 1, {grid.as_of}), {grid.as_of})"
    spine = f"""
        SELECT *, {grid.dialect.number_of("account_id")} AS account_no,
               {grid.first} AS first
        FROM (SELECT *, {last} AS last FROM ({rows}) AS dated) AS bounded
        WHERE entry <= last AND {grid.first} <= last
        """
    return [*steps, Step("spine", spine)]


def _dated_accounts(
    grid: Grid, accounts: Source, attributes: Iterable[str], added: str = ""
) -> str:
    """Return SQL for accounts with day numbers; ``entry`` is the first midnight one is visible."""
    d = grid.dialect
    entries = [d.day("started_on"), d.day("CAST(recorded_at AS DATE)") + " + 1"]
    if accounts.complete_from is not None:
        entries.append(str(accounts.complete_from))
    own = "".join(f", {d.quoted(a)} AS {d.quoted(f'own_{a}')}" for a in attributes)
    return f"""
        SELECT account_id, COALESCE(customer_id, account_id) AS customer_id,
               {d.day("started_on")} AS started, {d.day("ended_on")} AS ended,
               {d.day("end_known_on")} AS notice, {d.day("end_known_on")} AS end_known, end_reason,
               term_months AS first_term, {d.scaled("arr", 2)} AS first_arr,
               GREATEST({", ".join(entries)}) AS entry{own}{added}
        FROM ({accounts.sql}) AS accounts
        """


def facts_step(grid: Grid, attributes: Iterable[str]) -> Step:
    """Create the facts of each account in the version that was the newest at each snapshot."""
    own = "".join(f", {grid.dialect.quoted(f'own_{a}')}" for a in attributes)
    return Step(
        "facts",
        f"""
        SELECT account_no, t, notice, first_term, first_arr{own}
        FROM (
            SELECT account_no, t, MAX(newest) OVER (
                PARTITION BY account_no ORDER BY t ROWS UNBOUNDED PRECEDING) AS version_no
            FROM grid LEFT JOIN (
                SELECT account_no, {grid.snapshot("v.entry")} AS t, MAX(version_no) AS newest
                FROM account_versions AS v JOIN spine USING (account_id)
                WHERE v.entry <= {grid.as_of} GROUP BY 1, 2) AS read USING (account_no, t)
        ) AS newest
        JOIN (SELECT account_no, v.* FROM account_versions AS v JOIN spine USING (account_id)) AS v
        USING (account_no, version_no)
        """,
    )


def grid_step(grid: Grid) -> Step:
    """Create one row per account and snapshot: its first day, the calendar grid, and as_of."""
    if grid.one_day:
        return Step("grid", f"SELECT account_no, {grid.as_of} AS t FROM spine")
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
    """Return SQL for the counting process columns; needs spine and ``next_t``, the next row."""
    literal = grid.dialect.literal
    until = f"LEAST(COALESCE(next_t, {grid.as_of}), COALESCE(ended, {grid.as_of}), {grid.as_of})"
    over = f"ended IS NOT NULL AND ended <= COALESCE(next_t, {grid.as_of})"
    kept = ", ".join(literal(reason) for reason in not_churn)
    cause = ["CASE"]
    cause += [f"WHEN end_reason = {literal(r)} THEN {literal(c)}" for r, c in causes.items()]
    cause += [f"WHEN end_reason IN ({kept}) THEN end_reason" if kept else ""]
    unknown = literal(NO_REASON)
    named = " ".join(cause) + f" ELSE {unknown} END" if causes or kept else unknown
    churned = f"COALESCE(end_reason NOT IN ({kept}), TRUE)" if kept else "TRUE"
    return f"""
        CAST(t - started AS BIGINT) AS start,
        CAST({until} - started AS BIGINT) AS stop,
        CASE WHEN {over} AND {churned} THEN 1 ELSE 0 END AS event,
        CASE WHEN {over} THEN {named} END AS cause,
        CAST(LEAST(COALESCE(ended, {grid.as_of}), {grid.as_of}) - t AS BIGINT) AS days_observed,
        CAST(ended - t AS BIGINT) AS ended_within,
        CAST({first_of("ended", "end_known")} - t AS BIGINT) AS known_within,
        CASE WHEN ended IS NOT NULL THEN {named} END AS end_cause
    """
