"""Write the state from which a later run continues a panel (`leadsignal.engine.resumed`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.engine.build import PanelSteps, Recipe
from leadsignal.engine.carried import Carried, Users
from leadsignal.engine.grid import Step
from leadsignal.engine.in_memory import JOINED
from leadsignal.engine.resumed import (
    State,
    carried_tables,
    last_days,
    new_rows,
    time_of,
    user_key,
    waiting,
)
from leadsignal.sources.parts import literal, quoted

if TYPE_CHECKING:
    import duckdb

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
        columns = ["account_no", *self._carried_columns()]
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

    def _carried_columns(self) -> list[str]:
        tables = carried_tables(self.plan)
        steps = [s for s in self.plan.steps if isinstance(s, Carried) and s.table in tables]
        return [column.name for step in steps for column in step.columns]

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
