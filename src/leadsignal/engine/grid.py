"""The rows of the panel: which accounts, seen on which days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leadsignal.end_of_risk import NO_REASON, first_of
from leadsignal.ingestion.dialect import GRID_ORIGIN, Dialect, DuckDB


@dataclass(frozen=True)
class Step:
    """One table that the engine makes, by one SELECT over those made before.

    ``by_account``: it is read account by account, and faster if it is in their order.
    """

    name: str
    sql: str
    by_account: bool = False


@dataclass(frozen=True)
class Source:
    """One checked table as the engine reads it: its history, and from when to when it is whole.

    ``assumed``: nobody said from when the table is complete, its first record does; at midnight of
    that day the record was not known yet. ``late``: some rows became known after their time.
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
        """SQL: whether the table is complete at ``t``."""
        if self.complete_from is None:
            return "FALSE"
        known = f"{t} >= {self.complete_from + self.assumed}"
        if self.complete_through is not None:
            known += f" AND {t} <= {self.complete_through + 1}"
        return known


@dataclass(frozen=True)
class Grid:
    """The calendar grid: a row each ``every`` days up to ``as_of``.

    ``first`` is SQL of an account's first day on it: ``entry`` is the first midnight that may read
    the account. ``spine`` and ``rows`` name the tables of what is followed and of its snapshots,
    ``key`` the columns by which rows of a source belong to it: accounts, or parts of them.
    """

    as_of: int
    every: int
    first: str = "entry"
    dialect: Dialect = field(default_factory=DuckDB)
    spine: str = "spine"
    rows: str = "grid"
    key: str = "account_id"

    def next_on_grid(self, day: str) -> str:
        """SQL: the first day of the calendar grid that is not before ``day``."""
        count = self.dialect.floor_divide(f"{day} + {self.every - 1 - GRID_ORIGIN}", self.every)
        return f"({count} * {self.every} + {GRID_ORIGIN})"

    def last_on_grid(self, day: int) -> int:
        """Return the last day of the calendar grid that is not after ``day``."""
        return day - (day - GRID_ORIGIN) % self.every

    def snapshot(self, day: str) -> str:
        """SQL: the account's first snapshot that is not before ``day`` (needs ``first``)."""
        return (
            f"CASE WHEN {day} <= first THEN first "
            f"ELSE LEAST({self.next_on_grid(day)}, {self.as_of}) END"
        )


def spine_steps(grid: Grid, accounts: Source, attributes: Iterable[str] = ()) -> list[Step]:
    """Make ``spine``: one row per account that has at least one snapshot, in order of account_id.

    Where accounts have versions, the first that may be read gives the start and the customer, the
    last the end; what else was known then is read from ``account_versions``, see ``facts_step``.
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
    """SQL: rows of accounts in day numbers; ``entry`` is the first midnight that may read one."""
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
    """What the version of an account that was newest at each snapshot says of it."""
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
    """One row per account and snapshot: its first day, the calendar grid, and as_of."""
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
