"""Continue a panel from the state that an earlier run left, instead of from the first rows.

The measures of a table change with the rows that became known since, and with those that leave a
window. So the state holds, as of midnight of its day: the measures of each account, the rows that
will still leave a window, the last day of each user, and the adoption episodes. Tables whose
measures do not follow from earlier ones are read in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from leadsignal.engine.build import PanelSteps, Recipe
from leadsignal.engine.carried import Carried, Change, Term, Users, carried
from leadsignal.engine.grid import Step
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import literal, quoted

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
    late = {f"{s.name}_rows": s for s in plan.steps if isinstance(s, Carried) and _late(s)}
    for step in plan.steps:
        if step.name in late and late[step.name].table in tables:
            steps.append(_late_users(step, late[step.name], state))
        elif step.table in tables and isinstance(step, Carried):
            steps += _users(step, step.users, state) if step.users else [_begun(step, state)]
        elif step.table in tables:
            steps.append(_rows(step, state, as_of))
        elif step.name.removeprefix("users_of_") in tables:
            steps.append(_user_keys(step))
        elif step.name == "episodes" and "behaviors" in tables:
            steps.append(replace(step, sql=_episodes(step.sql, state)))
        else:
            steps.append(step)
        if step.name == "grid":
            steps += _accounts(state)
    return replace(plan, steps=tuple(steps))


def _late(step: Carried) -> bool:
    return step.users is not None and step.users.late


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
    files = ", ".join(literal(str(path)) for path in kept)
    earlier = (
        f"SELECT * EXCLUDE (n) FROM read_parquet([{files}]) JOIN {ACCOUNTS} USING (n)"
        f" WHERE {_matters(step, state.day, as_of)}"
    )
    return replace(step, sql=f"{new} UNION ALL BY NAME {earlier}")


def _matters(step: Step, day: int, as_of: int) -> str:
    """Return SQL for whether a row may change something after a day, and up to as_of."""
    if not step.leaves:
        return f"{time_of(step)} >= {day - step.back}"
    return _left(step.leaves, time_of(step), day, as_of)


def _left(windows: Iterable[int], time: str, day: int, as_of: int) -> str:
    """Return SQL for whether a row leaves a window after a day, and up to as_of."""
    spans = (f"{time} BETWEEN {day - window} AND {as_of - window - 1}" for window in windows)
    return " OR ".join(spans)


def user_key(user: str) -> str:
    """Return SQL for the number of a user in the files of a state, which is always the same."""
    return f"md5_number_lower({user})"


def _user_keys(step: Step) -> Step:
    listed = step.sql[step.sql.index(" FROM ") :]
    return replace(step, sql=f"SELECT user_id, {user_key('user_id')} AS user_no{listed}")


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
