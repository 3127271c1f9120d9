"""The rows of the panel: which accounts, on which days, and values carried along them.

Values change between two snapshots: something enters or leaves a count, or a later value is
observed. `Carried` says what changes and how the changes add up. Its ``sql`` computes that with
window functions, in any engine; `leadsignal.engine.in_memory` does so with arrays. If each account
has one snapshot only, there is nothing to carry, and ``sql`` is one aggregation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from leadsignal.accounts import NO_REASON, first_of, known_on
from leadsignal.ingestion.dialect import GRID_ORIGIN, Dialect, DuckDB

if TYPE_CHECKING:
    import pandas as pd


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


AT_ONCE = "at_once"
HALF_A_DAY = 0.5
"""Duration, in days, given to accounts that ended on the day they started."""


def accounts_without_rows(
    accounts: pd.DataFrame,
    seen: pd.Series[Any],
    complete_from: date | None,
    causes: Mapping[str, str],
    not_churn: tuple[str, ...],
) -> pd.DataFrame:
    """Return the ended accounts that are not among those ``seen``, as rows of a panel.

    ``snapshot_on`` is the day of the start. ``at_once`` marks accounts that ended on that day and
    were known by then: they were at risk like all others. The rest ended before they were recorded,
    or before the list is complete.
    """
    import pandas as pd

    gone = accounts[accounts["ended_on"].notna() & ~accounts["account_id"].isin(seen)]
    started, reason = gone["started_on"], gone["end_reason"]
    named = {**{one: one for one in not_churn}, **causes}
    cause = [named.get(one, "churn") for one in reason]
    known = gone["recorded_at"].isna() | (gone["recorded_at"] < started)
    if complete_from is not None:
        known &= started >= pd.Timestamp(complete_from)
    days = (gone["ended_on"] - started).dt.days
    rows = {
        "account_id": gone["account_id"],
        "customer_id": gone["customer_id"].fillna(gone["account_id"]),
        "snapshot_on": started,
        "start": 0,
        "stop": days,
        "event": (~reason.isin(not_churn)).astype(int),
        "cause": cause,
        "days_observed": days,
        "ended_within": days,
        "known_within": (known_on(gone) - started).dt.days,
        "end_cause": cause,
        "notice_given": False,
        "arr": gone["arr"].astype(float),
        AT_ONCE: (days == 0) & known,
    }
    own = {name: gone[name] for name in gone.columns if name not in rows}
    return pd.DataFrame({**rows, **own}).sort_values("account_id", ignore_index=True)


def without_rows_notes(rows: pd.DataFrame | None) -> tuple[str, ...]:
    """Return sentences on how many accounts have no row in the panel, and why."""
    if rows is None or not len(rows):
        return ()
    at_once = int(rows[AT_ONCE].sum())
    others = len(rows) - at_once
    counts = [f"{at_once:,} that ended on the day of the start"] if at_once else []
    counts += [f"{others:,} that had ended before they were first seen"] if others else []
    return (f"Accounts without a row, which no model can use: {' and '.join(counts)}",)


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
