"""A panel in a folder, to which each run adds the snapshots that are new.

``snapshots`` holds one Parquet file per run, named after its last snapshot, which is never written
again. What becomes known later, such as the end of an account, is in a table of accounts and joined
on reading. ``state`` holds what the next run continues from (`leadsignal.engine.resumed`).
``panel.json`` is written last, so that a run that is stopped leaves the panel as it was.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.config.project import Behaviors, Project, read_project
from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.engine.build import PanelSteps, Recipe, panel_steps
from leadsignal.engine.duckdb import temporary_tables
from leadsignal.engine.grid import spine_steps
from leadsignal.engine.in_memory import JOINED, measured_rows
from leadsignal.engine.recipe import panel_recipe
from leadsignal.engine.resumed import (
    BELOW,
    VALUES,
    Keeping,
    State,
    carried_tables,
    day_of,
    differing,
    digest_of,
    resumed,
    resumed_recipe,
    rows_digest,
    settings_of,
)
from leadsignal.errors import OptionError
from leadsignal.files.outputs import FolderKind, shown
from leadsignal.files.writing import atomic_write, exclusive_lock, whole_folder
from leadsignal.formats import count_of
from leadsignal.ingestion.check_report import CheckedTables, Coverage
from leadsignal.ingestion.dialect import day_number
from leadsignal.panel import Panel
from leadsignal.panel_files import (
    MANIFEST,
    PLACES,
    Kept,
    RowFiles,
    files_of,
    no_panel,
    read_rows,
    remove_unused,
    state_folder,
)
from leadsignal.results import to_html
from leadsignal.sources.parts import literal, quoted
from leadsignal.tables import Tables, read_new_files, read_tables
from leadsignal.workers import Progress

__all__ = ["PanelFolder", "extend_panel"]

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

STATE = FolderKind("the state of a panel", r"[a-z_0-9]+\.parquet", "numbers.parquet")


class BeginAgainError(Exception):
    """The state does not fit the tables any more; the message says why."""


@dataclass(frozen=True, repr=False)
class PanelFolder:
    """A panel in a folder: ``new_rows`` were added by this run.

    ``built_in_full`` is the reason why the panel was built from the first rows on; empty if it was
    continued.
    """

    path: Path
    new_rows: int
    as_of_date: date
    every: int
    built_in_full: str
    _tables: Tables
    _analysis: SuccessAnalysis
    _recipe: Recipe

    @cached_property
    def _kept(self) -> Kept:
        kept = Kept.read(self.path)
        if kept is None:
            raise no_panel(self.path)
        return kept

    def frame(self) -> pd.DataFrame:
        """Return all rows, as in the frame of `build_panel`."""
        return read_rows(self.path, self._kept)

    def panel(self) -> Panel:
        """Return the panel of all rows, to fit a model on or to evaluate one."""
        return self._panel(self.frame())

    def current(self) -> Panel:
        """Return a panel of the rows on ``as_of_date``, to score."""
        return self._panel(read_rows(self.path, self._kept, only_as_of=True))

    def _panel(self, frame: pd.DataFrame) -> Panel:
        tables = self._tables
        columns = {name: tables.columns(name) for name in tables.names}
        return Panel(
            frame, self._recipe.indicators, self.as_of_date, self.every, tables.project,
            self._analysis, columns, behaviors=self._recipe.behaviors,
        )  # fmt: skip

    def __repr__(self) -> str:
        files = count_of(len(self._kept.snapshots), "file")
        lines = [
            f"Panel every {self.every} days up to {self.as_of_date}, in {files}:"
            f" {count_of(self.new_rows, 'new row')}",
            f"written to {self.path}",
        ]
        if self.built_in_full:
            lines.insert(1, f"built in full: {self.built_in_full}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return to_html(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON."""
        return {
            "as_of": self.as_of_date.isoformat(),
            "every_days": self.every,
            "new_rows": self.new_rows,
            "built_in_full": self.built_in_full,
            "indicators": [one.name for one in self._recipe.indicators],
        }


@checked
def extend_panel(
    source: str | Path | Project | Tables,
    analysis: SuccessAnalysis | None,
    folder: str | Path,
    *,
    every: Duration | None = None,
    progress: Progress | None = None,
) -> PanelFolder:
    """Add the new snapshots of a panel to a folder, from the rows that became known since.

    The first run builds the whole panel. Each later one continues from it: of tables that consist
    of several files, it reads those files that are new. All rows, with the outcomes known now, are
    those that `build_panel` would build. If the past of the tables or the settings have changed,
    the panel is built in full again, and the result says why.

    Parameters
    ----------
    source : path, Project or Tables
        Where the tables are; `Tables` that have been read are taken as they are.
    analysis : SuccessAnalysis, optional
        The analysis, as for `build_panel`.
    folder : path
        A folder of an earlier run, or one that is empty or does not exist.
    every : duration, optional
        Time between snapshots. Default: the project's.
    progress : callable, optional
        Called with the number of steps that are done, and of all.

    Returns
    -------
    PanelFolder

    Raises
    ------
    OptionError
        If the folder holds something else, or a panel of a later day.
    BusyError
        If another process is writing the folder.

    Examples
    --------
    >>> import leadsignal as ls, tempfile
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = ls.panel_folder.extend_panel(tables.as_of("2023-09-11"), None, folder)
    ...     weekly = ls.panel_folder.extend_panel(tables, None, folder)
    ...     weekly.frame().equals(ls.build_panel(tables).frame)
    True
    """
    folder, analysis = Path(folder), analysis or SuccessAnalysis(())
    source = read_project(source) if isinstance(source, str | Path) else source
    with exclusive_lock(folder):
        kept, why = Kept.read(folder), "it is the first run"
        if kept is not None:
            try:
                return _run(*_new_tables(source, kept), analysis, folder, every, progress, kept)
            except BeginAgainError as error:
                why = str(error)
        tables = _whole_tables(source)
        return _run(tables, frozenset(), analysis, folder, every, progress, None, why)


def _whole_tables(source: Project | Tables) -> Tables:
    if isinstance(source, Tables):
        return source
    return read_tables(source.folder or str(source.url), project=source)


def _new_tables(source: Project | Tables, kept: Kept) -> tuple[Tables, frozenset[str]]:
    """Read what the files have beyond those of earlier runs; return the tables read in part."""
    if isinstance(source, Tables):
        return source, frozenset()
    now, skipped, in_part = files_of(source), set[Path](), set[str]()
    for table, known in kept.files.items():
        files = now.get(table, {})
        if any(files.get(path) != (size, changed) for path, (size, changed, _) in known.items()):
            continue
        done = {Path(path) for path, (_, _, last) in known.items() if last < kept.day}
        if done and len(files) > 1 and _may_be_in_part(source, table):
            skipped |= done
            in_part.add(table)
    if not in_part:
        return _whole_tables(source), frozenset()
    return read_new_files(source, frozenset(skipped), drop_bad_rows=False), frozenset(in_part)


def _may_be_in_part(project: Project, table: str) -> bool:
    """Whether rows of a table are the same whatever is in other tables, apart from accounts."""
    settings = project.tables.get(table, TableSource())
    return settings.unknown == "fault" and settings.users is None


@dataclass(frozen=True)
class _Seen:
    """Tables of which some are read in part: what is known of them is that of earlier runs too."""

    tables: Tables
    kept: Kept | None
    in_part: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tables, name)

    @cached_property
    def coverage(self) -> Mapping[str, Coverage]:
        """The rows of this reading, and the days of all."""
        found = dict(self.tables.coverage)
        for name in self.in_part:
            first = self.kept.first[name] if self.kept else None
            declared = self.tables.project.tables.get(name, TableSource()).complete_from
            if first is not None and declared is None:
                found[name] = replace(found[name], complete_from=day_of(first))
        return found

    def values(self, table: str, column: str) -> frozenset[str]:
        """Return the texts in a column, now and in earlier runs."""
        found = self.tables.values(table, column)
        earlier = self.kept and (table, column) == ("behaviors", "behavior")
        return found | frozenset(self.kept.values) if self.kept and earlier else found


def _run(
    tables: Tables,
    in_part: frozenset[str],
    analysis: SuccessAnalysis,
    folder: Path,
    every: Duration | None,
    progress: Progress | None,
    kept: Kept | None,
    why: str = "",
) -> PanelFolder:
    step = tables.project.every if every is None else days_in(every)
    if kept is not None and tables.project.behaviors is None:
        tables = tables.with_behaviors(
            Behaviors(tuple(kept.behaviors["keep"]), kept.behaviors["others"])
        )
    seen: Any = _Seen(tables, kept, in_part)
    recipe = panel_recipe(seen, analysis, step, tables.history)
    run = _Run(tables, in_part, recipe, panel_steps(recipe), folder, kept)
    if kept is not None:
        run.refuse_changes()
    new = run.write(seen, progress)
    return PanelFolder(folder, new, tables.as_of_date, step, why, tables, analysis, recipe)


@dataclass(frozen=True)
class _Run:
    """One run: ``plan`` are the steps from the first rows, which a state replaces."""

    tables: Tables
    in_part: frozenset[str]
    recipe: Recipe
    plan: PanelSteps
    folder: Path
    kept: Kept | None

    @property
    def day(self) -> int:
        """The last day on the calendar grid: later rows are written again by the next run."""
        return self.recipe.grid.last_on_grid(self.recipe.grid.as_of)

    @property
    def is_new(self) -> bool:
        """Whether there is a new day on the grid."""
        return self.kept is None or self.day > self.kept.day

    def refuse_changes(self) -> None:
        """Raise BeginAgainError if earlier rows would not be the same today."""
        kept = self.kept
        if kept is None:
            return
        if self.recipe.grid.as_of < kept.as_of:
            raise OptionError(
                f"{shown(self.folder)} has a panel of {day_of(kept.as_of)},"
                f" after as_of {self.tables.as_of_date}",
                "Give tables of that day or later, or another folder",
            )
        if found := list(differing(kept.settings, self.settings())):
            raise BeginAgainError(f"these differ: {'; '.join(found)}")
        if strange := self.in_part - carried_tables(self.plan):
            raise BeginAgainError(f"{', '.join(sorted(strange))} cannot be read in part")
        for name, through in self.through().items():
            days = {through, kept.through[name]}
            if len(days) > 1 and min(day for day in days if day is not None) < kept.day - 1:
                raise BeginAgainError(f"{name} was complete through another day")
        before = self.tables.as_of(day_of(kept.day))
        for name in self.tables.names:
            if name not in self.in_part and rows_digest(before, name) != kept.digests[name]:
                raise BeginAgainError(f"rows of {name} before {before.as_of_date} have changed")
        self._refuse_late_files(kept)

    def settings(self) -> dict[str, str]:
        """Return what all rows depend on."""
        import duckdb

        project = self.tables.project
        read = {
            f"options of {name}": digest_of(
                replace(project.tables.get(name, TableSource()), complete_through=None, users=None)
            )
            for name in sorted(carried_tables(self.plan))
        }
        return {
            **settings_of(self.recipe),
            **read,
            "timezone": project.timezone,
            "version of duckdb": duckdb.__version__,
        }

    def through(self) -> dict[str, int | None]:
        """Return the day through which each table is complete."""
        listed = [self.recipe.accounts, *self.recipe.sources.values()]
        return {one.name: one.complete_through for one in listed}

    def write(self, seen: CheckedTables, progress: Progress | None) -> int:
        """Write the new rows, the state and what describes them; return the number of rows."""
        kept, plan, recipe, state = self.kept, self.plan, self.recipe, None
        if kept is not None:
            state = kept.state(self.folder, self.in_part)
            recipe = resumed_recipe(recipe, state)
            plan = resumed(panel_steps(recipe), state, recipe.grid.as_of)
        if kept is None:
            # From here on, a run that is stopped leaves a folder that the next one builds in full.
            (self.folder / MANIFEST).unlink(missing_ok=True)
        for place in PLACES:
            (self.folder / place).mkdir(parents=True, exist_ok=True)
        with measured_rows(self.tables.connection, plan, progress) as (cursor, query):
            if state is not None:
                _refuse_other_accounts(cursor, state)
            keeping = Keeping(cursor, self.plan, recipe, self.day, state)
            on_grid = f"snapshot_on <= DATE '{day_of(self.day)}'"
            with RowFiles(self.folder, self._files()) as files:
                for rows in query(self._select(on_grid), *keeping.statements):
                    files.write(rows.table)
            steps = list[str]()
            if self.is_new:
                with whole_folder(self.folder / state_folder(self.day), STATE) as part:
                    steps = keeping.write(part)
        self._write_accounts()
        described = self._describe(seen, files.written, steps)
        with atomic_write(self.folder / MANIFEST) as part:
            part.write_text(json.dumps(asdict(described), indent=1))
        remove_unused(self.folder, described)
        return files.rows

    def _files(self) -> dict[bool, str]:
        """Return the files of rows up to the last day on the grid, and of those after it."""
        return {
            True: f"snapshots/{day_of(self.day)}.parquet",
            False: f"snapshots/{self.tables.as_of_date}.parquet",
        }

    def _select(self, on_grid: str) -> str:
        """Return SQL for what is known of the new rows on their day."""
        since = f" WHERE snapshot_on > DATE '{day_of(self.kept.day)}'" if self.kept else ""
        rows = self.plan.select_from(JOINED)
        columns = ", ".join(self._columns())
        return f"SELECT {columns}, {on_grid} AS on_grid FROM ({rows}) AS panel{since}"

    def _columns(self) -> list[str]:
        names = [quoted(one.name) for one in self.recipe.indicators]
        return ["account_id", "snapshot_on", "notice_given", "arr", *names]

    def _write_accounts(self) -> None:
        """Write the accounts as they are known now: their ends are joined to all rows."""
        grid = self.recipe.grid
        steps = spine_steps(grid, self.recipe.accounts)
        notice = "" if self.recipe.accounts.versioned else ", notice"
        listed = "account_id, customer_id, started, ended, end_known, end_reason"
        with (
            temporary_tables(self.tables.connection, steps) as cursor,
            atomic_write(self.folder / self._accounts()) as part,
        ):
            cursor.execute(
                f"COPY (SELECT {listed}{notice} FROM spine) TO {literal(str(part))}"
                " (FORMAT parquet)"
            ).fetchall()

    def _accounts(self) -> str:
        return f"state/accounts-{self.tables.as_of_date}.parquet"

    def _describe(self, seen: CheckedTables, files: Collection[str], steps: Sequence[str]) -> Kept:
        recipe, kept, until, after = self.recipe, self.kept, *self._files().values()
        behaviors = recipe.behaviors or Behaviors()
        has = "behaviors" in self.tables.names
        return Kept(
            every=recipe.grid.every,
            as_of=recipe.grid.as_of,
            day=self.day,
            snapshots=(*(kept.snapshots if kept else ()), *([until] if until in files else [])),
            tail=after if after in files and after != until else "",
            accounts=self._accounts(),
            rows=self._rows_kept(steps),
            files=self._files_read(),
            digests={name: self._digest(name) for name in self.tables.names},
            settings=self.settings(),
            first={one.name: one.complete_from for one in recipe.sources.values()},
            through=self.through(),
            behaviors={"keep": behaviors.keep, "others": behaviors.others},
            values=tuple(sorted(seen.values("behaviors", "behavior"))) if has else (),
            causes=recipe.causes,
            not_churn=recipe.not_churn,
        )

    def _rows_kept(self, steps: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the files of rows that may still leave a window."""
        found: dict[str, dict[str, str]] = {}
        for step in self.plan.steps:
            earlier = self.kept.rows.get(step.name, {}) if self.kept else {}
            if step.name not in steps and not earlier:
                continue
            files = {day: path for day, path in earlier.items() if int(day) >= self.day - step.back}
            if step.name in steps:
                files[str(self.day)] = f"{state_folder(self.day)}/{step.name}.parquet"
            found[step.name] = files
        return found

    def _files_read(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """Return the files of the tables that may be read in part, with the last day of each."""
        found: dict[str, dict[str, tuple[int, int, int]]] = {}
        for name, files in files_of(self.tables.project).items():
            if name in carried_tables(self.plan):
                earlier = (
                    self.kept.files.get(name, {}) if name in self.in_part and self.kept else {}
                )
                found[name] = self._with_last_days(name, files, earlier)
        return found

    def _with_last_days(
        self,
        name: str,
        files: Mapping[str, tuple[int, int]],
        earlier: Mapping[str, tuple[int, int, int]],
    ) -> dict[str, tuple[int, int, int]]:
        last = f"max({self.tables.loaded[name].known_on})"
        read = {path: _number(day) for path, day in self._by_part(name, list(files), last).items()}
        return {
            path: (*of, read[path] if path in read else earlier[path][2])
            for path, of in files.items()
        }

    def _by_part(self, name: str, files: Sequence[str], what: str) -> dict[str, Any]:
        """Return an aggregate of the rows of each file that was read, or of all if not known."""
        loaded, query = self.tables.loaded[name], self.tables.connection.cursor().execute
        shown_as = {f"{Path(path).parent.name}/{Path(path).name}": path for path in files}
        read = [shown_as.get(str(part.file)) for part, _ in loaded.parts]
        ((rows,),) = query(f"SELECT max(rowid) + 1 FROM {name}").fetchall()
        in_order = loaded.parts and rows == loaded.parts[-1][1]
        if not in_order or loaded.selected or len(shown_as) < len(files) or None in read:
            return dict.fromkeys(files, query(f"SELECT {what} FROM {name}").fetchall()[0][0])
        found, first = {}, 0
        for path, (_, end) in zip(read, loaded.parts, strict=True):
            within = f"rowid >= {first} AND rowid < {end}"
            found[str(path)] = query(f"SELECT {what} FROM {name} WHERE {within}").fetchall()[0][0]
            first = end
        return found

    def _refuse_late_files(self, kept: Kept) -> None:
        """Raise BeginAgainError if a new file has earlier rows of accounts with snapshots."""
        files, day = files_of(self.tables.project), day_of(kept.day)
        numbers = kept.state(self.folder, self.in_part).read("numbers")
        for name in self.in_part:
            known = f"{self.tables.loaded[name].known_on} < DATE '{day}'"
            ours = f"account_id IN (SELECT account_id FROM {numbers})"
            late = self._by_part(name, list(files[name]), f"count_if({known} AND {ours})")
            if any(rows for path, rows in late.items() if path not in kept.files[name]):
                raise BeginAgainError(f"a new file has rows of {name} before {day}")

    def _digest(self, name: str) -> int:
        """Return the digest of the rows that were known by the day of the state."""
        tables = self.tables.as_of(day_of(self.day))
        if name not in self.in_part or self.kept is None:
            return rows_digest(tables, name)
        new = rows_digest(tables, name, day_of(self.kept.day))
        return (self.kept.digests[name] + new) % BELOW


def _number(day: date | None) -> int:
    return day_number(day) if day else 0


def _refuse_other_accounts(cursor: duckdb.DuckDBPyConnection, state: State) -> None:
    """Raise BeginAgainError if an account has no values in the state."""
    missing = (
        f"SELECT count(*) FROM spine WHERE first = {state.day}"
        f" AND account_no NOT IN (SELECT account_no FROM {VALUES})"
    )
    ((count,),) = cursor.execute(missing).fetchall()
    if count:
        raise BeginAgainError(f"{count:,} accounts were there before {day_of(state.day)}")
