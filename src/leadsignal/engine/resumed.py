"""Continue a panel from the state that an earlier run left, unless the past has changed.

A later panel has the same row for a day, except for its outcome, if the settings and everything
known by that day are unchanged. The rows of the tables are summarised by the sum of their digests.

The measures of a table change with the rows that became known since, and with those that leave a
window. So the state holds, as of midnight of its day: the measures of each account, the rows that
will still leave a window, the last day of each user, and the adoption episodes. Tables whose
measures do not follow from earlier ones are read in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import PanelSteps, Recipe
from leadsignal.engine.grid import Carried, Change, Source, Step, Term, Users, carried
from leadsignal.engine.in_memory import JOINED
from leadsignal.ingestion.dialect import EPOCH
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import literal, quoted
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import duckdb


NOT_READ = {"name", "owner", "currency", "event_id"}
"""Columns of the schema that rows of a panel do not use, unless declared as attributes."""
ENDS = {"ended_on", "end_known_on", "end_reason"}
"""Columns with the end of an account."""
BELOW = 2**63
MAX_LISTED = 3


def rows_digest(tables: Tables, name: str, since: date | None = None) -> int:
    """Return the sum of the digests of a table's rows, or of those known from a day on.

    The ends of accounts without versions are left out: they may become known at any time.
    """
    cursor, history = tables.connection.cursor(), tables.history(name)
    left = NOT_READ - set(tables.attributes)
    if name == "accounts" and not tables.loaded[name].has_versions:
        left |= ENDS
    columns = [quoted(c) for c in cursor.sql(f"FROM ({history}) LIMIT 0").columns if c not in left]
    where = f" WHERE known_on >= DATE '{since}'" if since else ""
    digest = f"SELECT sum(hash({', '.join(columns)})) % {BELOW} FROM ({history}){where}"
    ((total,),) = cursor.execute(digest).fetchall()
    return int(total or 0)


def _sources(recipe: Recipe) -> list[Source]:
    return [recipe.accounts, *recipe.sources.values()]


def settings_of(recipe: Recipe) -> dict[str, str]:
    """Return the settings that a row depends on, in words or as digests."""
    from leadsignal import __version__

    kept = recipe.behaviors.keep if recipe.behaviors else ()
    processes = {f"process {p.name}": digest_of(replace(p, why="")) for p in recipe.processes}
    indicators = {f"indicator {one.name}": digest_of(one) for one in recipe.indicators}
    return {
        "version of leadsignal": __version__,
        "every": f"{recipe.grid.every} days",
        "tables": ", ".join(sorted(one.name for one in _sources(recipe))),
        "attributes": ", ".join(f"{name} ({kind})" for name, kind in recipe.attributes.items()),
        "behaviours with indicators": ", ".join(sorted(kept)),
        "metrics of results": digest_of(_metrics(recipe.metrics)),
        **processes,
        **indicators,
        **settings_of_tables(recipe),
    }


def settings_of_tables(recipe: Recipe) -> dict[str, str]:
    """Return when each table becomes complete, and whether it records when rows became known."""
    found = {}
    for one in _sources(recipe):
        first = "not known" if one.complete_from is None else f"{day_of(one.complete_from)}"
        found[f"first day of {one.name}"] = f"{first}{', assumed' if one.assumed else ''}"
        found[f"recorded_at of {one.name}"] = "there" if one.late else "not there"
    return found


def day_of(day: int) -> date:
    """Convert a day number to a date."""
    return date.fromordinal(EPOCH.toordinal() + day)


def _metrics(analysis: SuccessAnalysis) -> tuple[Any, ...]:
    """Return the parts of an analysis that determine an account's own metric."""
    segments = [(one.applies_to, one.bullseye.success_metric) for one in analysis.segments]
    return (analysis.bullseye.success_metric, *segments)


def digest_of(what: object) -> str:
    """Return a short text that differs if the thing is declared differently."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield the settings that differ, with their old and new values if these are short.

    >>> list(differing({"every": "28 days"}, {"every": "7 days", "process a": "1f"}))
    ['every (28 days then, 7 days now)', 'process a (not there then)']
    """
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    indicators = [name for name in names if name.startswith("indicator ")]
    for name in [one for one in names if one not in indicators] + indicators[:MAX_LISTED]:
        yield f"{name} ({_change(name, then.get(name), now.get(name))})"
    if len(indicators) > MAX_LISTED:
        yield f"{len(indicators) - MAX_LISTED:,} more indicators"


def _change(name: str, then: str | None, now: str | None) -> str:
    if then is None or now is None:
        return f"not there {'then' if then is None else 'now'}"
    if name.split()[0] in ("process", "indicator", "metrics", "options"):
        return "declared differently"
    shown = [f"{text[:57]}…" if len(text) > 60 else text or "none" for text in (then, now)]
    return "{} then, {} now".format(*shown) if shown[0] != shown[1] else "others"


ACCOUNTS = "carried_accounts"
"""Accounts with a snapshot on the day of the state, and their number in its files."""
VALUES = "carried_values"
"""The measures of these accounts on that day."""


@dataclass(frozen=True)
class State:
    """What an earlier run left: files by name in ``folder``, and files of rows by step.

    ``day`` is a day number. Tables in ``in_part`` are read without the rows of earlier runs.
    """

    day: int
    folder: Path
    rows: Mapping[str, tuple[Path, ...]]
    in_part: frozenset[str] = field(default_factory=frozenset)

    def read(self, name: str) -> str:
        """Return SQL for the rows of a file."""
        return f"read_parquet({literal(str(self.folder / f'{name}.parquet'))})"


def waiting(table: str) -> str:
    """Return the name of the file with rows of accounts that had no snapshot yet."""
    return f"waiting_{table}"


def last_days(step: Step) -> str:
    """Return the name of the file with the last day of each user."""
    return f"last_days_of_{step.name}"


def carried_tables(plan: PanelSteps) -> frozenset[str]:
    """Return the tables of which only new rows are needed."""
    whole = {s.name.removeprefix("rows_") for s in plan.steps if not s.back}
    return frozenset({step.table for step in plan.steps if step.back} - whole)


def resumed_recipe(recipe: Recipe, state: State) -> Recipe:
    """Return the recipe of the rows from the day of the state on."""
    grid = replace(recipe.grid, first=f"GREATEST(entry, {state.day})", since=state.day)
    sources = dict(recipe.sources)
    for name in state.in_part:
        sql = f"{sources[name].sql} UNION ALL BY NAME SELECT * FROM {state.read(waiting(name))}"
        sources[name] = replace(sources[name], sql=f"SELECT * FROM ({sql}) AS history")
    return replace(recipe, grid=grid, sources=sources)


def resumed(plan: PanelSteps, state: State, as_of: int) -> PanelSteps:
    """Return the steps that continue from a state up to a day."""
    tables, steps = carried_tables(plan), list[Step]()
    counting = (step for step in plan.steps if isinstance(step, Carried))
    late = {f"{s.name}_rows": s for s in counting if s.users and s.users.late}
    for step in plan.steps:
        if step.name in late and late[step.name].table in tables:
            steps.append(_late_users(step, late[step.name], state))
        elif step.table in tables and isinstance(step, Carried):
            steps += _users(step, step.users, state) if step.users else [_begun(step, state)]
        elif step.table in tables:
            steps.append(_rows(step, state, as_of))
        elif step.name.removeprefix("users_of_") in tables:
            listed = step.sql[step.sql.index(" FROM ") :]
            users = f"SELECT user_id, {user_key('user_id')} AS user_no{listed}"
            steps.append(replace(step, sql=users))
        elif step.name == "episodes" and "behaviors" in tables:
            steps.append(replace(step, sql=_episodes(step.sql, state)))
        else:
            steps.append(step)
        if step.name == "grid":
            steps += _accounts(state)
    return replace(plan, steps=tuple(steps))


def _accounts(state: State) -> list[Step]:
    accounts = (
        f"SELECT account_no, first, started, n FROM spine JOIN {state.read('numbers')}"
        f" USING (account_id) WHERE first = {state.day}"
    )
    values = f"SELECT account_no, first, v.* FROM {ACCOUNTS} JOIN {state.read('values')} AS v"
    return [Step(ACCOUNTS, accounts), Step(VALUES, f"{values} USING (n)")]


def new_rows(sql: str, day: int | None, known: str = "known") -> str:
    """Return SQL for the rows that became known from a day on, and all rows of new accounts."""
    if day is None:
        return sql
    return (
        f"SELECT new.* FROM ({sql}) AS new JOIN (SELECT account_no, first AS first_t FROM spine)"
        f" AS whose USING (account_no) WHERE {known} >= {day} OR first_t > {day}"
    )


def time_of(step: Step) -> str:
    """Return the column with the day of a row."""
    mine = step.name == f"rows_{step.table}"
    return quoted(f"{BY_NAME[step.table].time}_no") if mine else "day"


def _rows(step: Step, state: State, as_of: int) -> Step:
    """Return the step of new rows, and of earlier ones that may still leave a window."""
    new, kept = new_rows(step.sql, state.day), state.rows.get(step.name, ())
    if not kept:
        return replace(step, sql=new)
    files, time = ", ".join(literal(str(path)) for path in kept), time_of(step)
    matters = _left(step.leaves, time, state.day, as_of) or f"{time} >= {state.day - step.back}"
    earlier = (
        f"SELECT * EXCLUDE (n) FROM read_parquet([{files}]) JOIN {ACCOUNTS} USING (n)"
        f" WHERE {matters}"
    )
    return replace(step, sql=f"{new} UNION ALL BY NAME {earlier}")


def _left(windows: Iterable[int], time: str, day: int, as_of: int) -> str:
    """Return SQL for whether a row leaves a window after a day, and up to as_of."""
    spans = (f"{time} BETWEEN {day - window} AND {as_of - window - 1}" for window in windows)
    return " OR ".join(spans)


def user_key(user: str) -> str:
    """Return SQL for the number of a user in the files of a state, which is always the same."""
    return f"md5_number_lower({user})"


def _begun(step: Carried, state: State) -> Carried:
    """Begin with the values on the day of the state, and add what changes after it."""
    changes = [
        replace(
            change,
            sql=f"SELECT * FROM ({change.sql}) AS changes"
            f" WHERE day + {change.later} > {state.day} OR first > {state.day}",
        )
        for change in step.changes
    ]
    listed = ", ".join(column.name for column in step.columns)
    known = Change(f"SELECT account_no, first, {state.day} AS day, {listed} FROM {VALUES}")
    begun = [
        replace(column, terms=(*column.terms, Term(len(changes), column.name)))
        for column in step.columns
    ]
    begins = carried(step.name, step.grid, [*changes, known], begun)
    return replace(begins, table=step.table)


def _users(step: Carried, users: Users, state: State) -> list[Step]:
    """Count users on from the state: those with new rows, and those that leave a window."""
    if users.late:
        return [step]
    new, seen, numbers = (Step(f"{step.name}_{what}", "") for what in ("new", "seen", "numbers"))
    windows = sorted({window for window, _ in users.windows.values()})
    leaves = _left(windows, "day", state.day, step.grid.as_of)
    read, key = "account_no, user_no, day, member", "n, member, user_no"
    again = f"SELECT ({key}) FROM {new.name} JOIN {ACCOUNTS} USING (account_no)"
    last = f"SELECT * FROM {state.read(last_days(step))} WHERE {leaves} OR ({key}) IN ({again})"
    sql = f"SELECT account_no, number AS user_no, day, member FROM {seen.name} JOIN {numbers.name}"
    return [
        replace(new, sql=new_rows(users.sql, state.day)),
        replace(
            seen,
            sql=f"SELECT {read} FROM ({last}) AS last JOIN {ACCOUNTS} USING (n)"
            f" UNION ALL SELECT {read} FROM {new.name}",
        ),
        replace(
            numbers,
            sql="SELECT user_no, ROW_NUMBER() OVER () AS number"
            f" FROM (SELECT DISTINCT user_no FROM {seen.name}) AS u",
        ),
        replace(
            step,
            users=replace(users, sql=f"{sql} USING (user_no)", carried=VALUES),
        ),
    ]


def _late_users(step: Step, counted: Carried, state: State) -> Step:
    """Return new rows of users, and the last day of each user as if known on the state's day."""
    numbers = counted.users.numbers if counted.users else ""
    member = f", member AS {numbers}" if numbers else ""
    return replace(
        step,
        sql=f"{new_rows(step.sql, state.day, known='begins - 1')} UNION ALL BY NAME"
        f" SELECT account_no, first, user_no{member}, day, {state.day} AS begins"
        f" FROM {state.read(last_days(counted))} JOIN {ACCOUNTS} USING (n)",
    )


def _episodes(sql: str, state: State) -> str:
    """Return SQL for the episodes of the state, with the end of those that lapsed, and new ones."""
    day, columns = state.day, "account_no, process, adopted, lapsed"
    found = f"SELECT e.*, first FROM ({sql}) AS e JOIN spine USING (account_no)"
    open_now = f"adopted <= {day} AND COALESCE(lapsed > {day}, TRUE)"
    return (
        f"WITH found AS ({found}) SELECT {columns} FROM found"
        f" WHERE first > {day} OR adopted > {day}"
        " UNION ALL SELECT k.account_no, k.process, k.adopted, COALESCE(k.lapsed, m.lapsed)"
        f" FROM (SELECT * FROM {state.read('episodes')} JOIN {ACCOUNTS} USING (n)) AS k"
        f" LEFT JOIN (SELECT * FROM found WHERE {open_now}) AS m"
        " ON k.account_no = m.account_no AND k.process = m.process AND k.lapsed IS NULL"
    )


NUMBERS = "kept_numbers"
KEPT = "kept_values"


@dataclass(frozen=True)
class Keeping:
    """What is kept of a run as of midnight of ``day``, if it continues from ``since`` or from none.

    ``plan`` is that of a run from the first rows, which names the steps.
    """

    cursor: duckdb.DuckDBPyConnection
    plan: PanelSteps
    recipe: Recipe
    day: int
    since: State | None

    @property
    def statements(self) -> tuple[str, ...]:
        """SQL to run for each batch of rows, which collects their measures on the day."""
        tables = carried_tables(self.plan)
        steps = [s for s in self.plan.steps if isinstance(s, Carried) and s.table in tables]
        columns = ["account_no", *(column.name for step in steps for column in step.columns)]
        select = f"SELECT {', '.join(columns)} FROM {JOINED} WHERE t = {self.day}"
        create = f"CREATE TEMP TABLE IF NOT EXISTS {KEPT} AS {select} LIMIT 0"
        return create, f"INSERT INTO {KEPT} {select}"

    def write(self, folder: Path) -> list[str]:
        """Write the files of the state; return the steps of which rows are kept."""
        self._number_accounts(folder)
        values = (
            f"SELECT n, * EXCLUDE (account_no, n) FROM {KEPT} JOIN {NUMBERS} USING (account_no)"
        )
        self._copy(values, folder / "values.parquet")
        tables, kept = carried_tables(self.plan), list[str]()
        for step in self.plan.steps:
            if step.table not in tables:
                continue
            if not isinstance(step, Carried):
                kept.append(step.name)
                self._copy(self._rows(step), folder / f"{step.name}.parquet")
            elif step.users is not None:
                self._copy(self._last_days(step, step.users), folder / f"{last_days(step)}.parquet")
        if any(step.name == "episodes" for step in self.plan.steps):
            self._copy(self._episodes(), folder / "episodes.parquet")
        for table in tables:
            self._copy(self._waiting(table), folder / f"{waiting(table)}.parquet")
        return kept

    def _copy(self, select: str, path: Path) -> None:
        self.cursor.execute(
            f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION lz4)"
        ).fetchall()

    def _number_accounts(self, folder: Path) -> None:
        """Number the accounts; those of the earlier state keep their numbers."""
        path = folder / "numbers.parquet"
        if self.since is None:
            self._copy("SELECT account_id, account_no AS n FROM spine", path)
        else:
            known = self.since.read("numbers")
            self._copy(
                f"SELECT account_id, n FROM {known} UNION ALL SELECT account_id, CAST("
                f"(SELECT COALESCE(MAX(n), 0) FROM {known}) + ROW_NUMBER() OVER () AS INTEGER)"
                f" FROM spine WHERE account_id NOT IN (SELECT account_id FROM {known})",
                path,
            )
        read = f"read_parquet({literal(str(path))})"
        self.cursor.execute(
            f"CREATE TEMP TABLE {NUMBERS} AS SELECT account_no, n FROM spine JOIN {read}"
            " USING (account_id)"
        ).fetchall()

    @property
    def _first(self) -> int | None:
        return None if self.since is None else self.since.day

    def _rows(self, step: Step) -> str:
        """Return SQL for the rows that became known in this run and may still leave a window."""
        described = self.cursor.sql(f"FROM {step.name} LIMIT 0").columns
        left = {"account_no", "first", "started", "user_no"}
        listed = ", ".join(quoted(name) for name in described if name not in left)
        new = new_rows(f"FROM {step.name}", self._first)
        return (
            f"SELECT n, {listed} FROM ({new}) AS rows JOIN {NUMBERS} USING (account_no)"
            f" WHERE known < {self.day} AND {time_of(step)} >= {self.day - step.back}"
            f" ORDER BY {time_of(step)}"
        )

    def _last_days(self, step: Carried, users: Users) -> str:
        """Return SQL for the last day of each user by account and member, within the windows."""
        new, user = new_rows(users.sql, self._first), "user_no"
        longest = max(window for window, _ in users.windows.values())
        recent = f"day >= {self.day - longest}"
        if self.since is None:
            new += f" AND {recent}"
            new = f"SELECT * FROM ({new}) AS r JOIN users_of_{step.table} USING (user_no)"
            user = f"{user_key('user_id')} AS user_no"
        known = (
            f"SELECT n, {user}, day, member FROM ({new}) AS r JOIN {NUMBERS} USING (account_no)"
            f" WHERE known < {self.day} AND {recent}"
        )
        if self.since is None:
            return f"SELECT n, member, user_no, MAX(day) AS day FROM ({known}) AS m GROUP BY ALL"
        return (
            f"WITH new AS MATERIALIZED (SELECT n, member, user_no, MAX(day) AS day FROM ({known})"
            f" AS k GROUP BY ALL), last AS (SELECT * FROM {self.since.read(last_days(step))}"
            f" WHERE {recent}) SELECT n, member, user_no, GREATEST(last.day, new.day) AS day"
            " FROM last FULL JOIN new USING (n, member, user_no)"
        )

    def _episodes(self) -> str:
        lapsed = f"CASE WHEN lapsed <= {self.day} THEN lapsed END AS lapsed"
        return (
            f"SELECT n, process, adopted, {lapsed} FROM episodes JOIN {NUMBERS} USING (account_no)"
            f" WHERE adopted <= {self.day}"
        )

    def _waiting(self, table: str) -> str:
        """Return SQL for known rows of accounts that had no snapshot by the day."""
        d, spine = self.recipe.grid.dialect, "SELECT account_id FROM spine"
        gone = (
            f"SELECT account_id FROM ({self.recipe.accounts.sql}) AS a WHERE ended_on IS NOT NULL"
        )
        return (
            f"SELECT * FROM ({self.recipe.sources[table].sql}) AS rows"
            f" WHERE {d.day('known_on')} < {self.day}"
            f" AND account_id NOT IN ({spine} WHERE first <= {self.day})"
            f" AND account_id NOT IN ({gone} AND account_id NOT IN ({spine}))"
        )
