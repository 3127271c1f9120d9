"""Panels as Parquet files, and the files of a panel in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.config.project import Project
from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import panel_steps
from leadsignal.engine.duckdb import PanelRows, as_frame, portions_of
from leadsignal.engine.grid import Grid, outcome_columns, without_rows_notes
from leadsignal.engine.in_memory import measured_rows
from leadsignal.engine.recipe import panel_recipe
from leadsignal.engine.resumed import State, day_of
from leadsignal.errors import OptionError
from leadsignal.files.outputs import PANEL, check_file, shown
from leadsignal.files.writing import atomic_write
from leadsignal.indicators import Indicator
from leadsignal.ingestion.store import memory_limit
from leadsignal.panel import description, without_rows_of
from leadsignal.results import to_html
from leadsignal.sources.locate import locate
from leadsignal.sources.parts import literal, quoted
from leadsignal.tables import Tables
from leadsignal.workers import Progress, threads

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter


__all__ = ["PanelWritten", "write_panel"]


ROWS_AT_ONCE = 10_000_000
"""Maximum number of rows, over all tables, in one batch; it needs about 2 GB of memory."""


@dataclass(frozen=True, repr=False)
class PanelWritten:
    """Summary of a panel that was written to ``path``."""

    path: Path
    rows: int
    accounts: int
    events: int
    as_of_date: date
    every: int
    indicators: tuple[Indicator, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = description(self.to_dict(), self.indicators)
        return "\n".join([text, *self.notes, f"written to {self.path}"])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return to_html(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the same numeric summary as a panel, ready for JSON."""
        return {
            "rows": self.rows,
            "accounts": self.accounts,
            "events": self.events,
            "as_of": self.as_of_date.isoformat(),
            "every_days": self.every,
            "indicators": [one.name for one in self.indicators],
        }


@checked
def write_panel(
    tables: Tables,
    analysis: SuccessAnalysis | None,
    path: str | Path,
    *,
    every: Duration | None = None,
    progress: Progress | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
    force: bool = False,
) -> PanelWritten:
    """Write the rows of `build_panel` to one Parquet file, and return a summary.

    The rows are never all in memory: accounts are processed in batches of about ``rows_at_once``
    rows of all tables, and what does not fit is spilled to disk. The file is written atomically.
    Raises OptionError as `build_panel` does, if the folder of ``path`` does not exist, or if a file
    exists that is not a panel (``force`` replaces it).

    >>> import leadsignal as ls, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/panel.parquet"
    ...     ls.write_panel(ls.read_tables(ls.sample_folder()), None, file).every
    28
    """
    check_file(path, PANEL, force=force)
    step = tables.project.every if every is None else days_in(every)
    analysis = analysis or SuccessAnalysis(())
    recipe = panel_recipe(tables, analysis, step, tables.history)
    rows = sum(coverage.rows for coverage in tables.coverage.values())
    query = tables.connection.cursor().execute
    portions = portions_of(recipe, -(-rows // rows_at_once), lambda sql: query(sql).fetchall())
    with atomic_write(path, PANEL, force=force) as part, ParquetRows(part) as written:
        for number, portion in enumerate(portions):
            report = _portion_progress(progress, number, len(portions))
            with measured_rows(tables.connection, panel_steps(portion), report) as (_, batches):
                for batch in batches(None):
                    written.write(_with_moments(batch.to_arrow()))
    return PanelWritten(
        Path(path), written.rows, len(written.accounts), written.events, tables.as_of_date, step,
        recipe.indicators, without_rows_notes(without_rows_of(tables, recipe, written.accounts)),
    )  # fmt: skip


class ParquetRows:
    """A Parquet file to which panel rows are written, with counts of what has been written."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.events = path, 0, 0
        self._writer: ParquetWriter | None = None
        self._accounts: list[pd.Series[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()

    @property
    def accounts(self) -> pd.Series[Any]:
        """The accounts that have rows."""
        import pandas as pd

        accounts: pd.Series[Any] = pd.concat(self._accounts, ignore_index=True)
        return accounts

    def write(self, rows: pa.Table) -> None:
        """Append the rows of complete accounts."""
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, rows.schema)
        self._writer.write_table(rows)
        self.rows += len(rows)
        self.events += int(rows["event"].to_numpy().sum())
        self._accounts.append(rows["account_id"].unique().to_pandas())


def _with_moments(rows: pa.Table) -> pa.Table:
    """Return rows with snapshots as timestamps, as in pandas.

    They are in microseconds, as Spark cannot read nanoseconds.
    """
    place = rows.column_names.index("snapshot_on")
    return rows.set_column(place, "snapshot_on", rows["snapshot_on"].cast("timestamp[us]"))


def _portion_progress(progress: Progress | None, number: int, portions: int) -> Progress | None:
    """Return the progress function for one of several batches."""
    if progress is None:
        return None
    return lambda done, of: progress(number * of + done, portions * of)


MANIFEST = "panel.json"
BEFORE = ("account_id", "snapshot_on", "notice_given", "t")
"""Columns of the rows that come before the others, or are replaced."""
PLACES = ("snapshots", "state")


@dataclass(frozen=True)
class Kept:
    """The content of ``panel.json``. Days are numbers; ``day`` is that of the state.

    ``files`` are the files that tables were read from: size, time of the last change, and last day
    on which a row became known. ``digests`` are those of rows known by ``day``. ``first`` and
    ``through`` are the days between which tables are complete.
    """

    every: int
    as_of: int
    day: int
    snapshots: tuple[str, ...]
    tail: str
    accounts: str
    rows: Mapping[str, Mapping[str, str]]
    files: Mapping[str, Mapping[str, tuple[int, int, int]]]
    digests: Mapping[str, int]
    settings: Mapping[str, str]
    first: Mapping[str, int | None]
    through: Mapping[str, int | None]
    behaviors: Mapping[str, Any]
    values: tuple[str, ...]
    causes: Mapping[str, str]
    not_churn: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Kept | None:
        """Read it; None for a folder that is empty, not there, or of a run that was stopped."""
        try:
            content = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            here = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
            if folder.exists() and (not folder.is_dir() or here - set(PLACES)):
                raise no_panel(folder) from None
            return None
        except (OSError, ValueError):
            raise no_panel(folder) from None
        if not isinstance(content, dict) or set(content) != {one.name for one in fields(cls)}:
            raise no_panel(folder)
        return cls(**content)

    def state(self, folder: Path, in_part: frozenset[str]) -> State:
        """Return the state in the folder."""
        rows = {step: tuple(folder / one for one in of.values()) for step, of in self.rows.items()}
        return State(self.day, folder / state_folder(self.day), rows, in_part)


def no_panel(folder: Path) -> OptionError:
    """Return the error of a folder with other content."""
    return OptionError(
        f"{shown(folder)} is no panel of extend_panel, and is not empty", "Name another folder"
    )


def state_folder(day: int) -> str:
    """Return the place of the state of a day."""
    return f"state/{day_of(day)}"


class RowFiles:
    """Files to which rows are written by ``on_grid``, put in place at the end."""

    def __init__(self, folder: Path, names: Mapping[bool, str]) -> None:
        self.folder, self.names, self.rows = folder, names, 0
        self.written: dict[str, ParquetWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, rows: pa.Table) -> None:
        """Append rows to their file."""
        import pyarrow.compute as pc

        for on_grid, name in self.names.items():
            part = rows.filter(pc.equal(rows["on_grid"], on_grid)).drop_columns(["on_grid"])
            if len(part):
                self._writer(name, part.schema).write_table(part)
                self.rows += len(part)

    def _writer(self, name: str, schema: pa.Schema) -> ParquetWriter:
        import pyarrow.parquet as pq

        if name not in self.written:
            part = self._stack.enter_context(atomic_write(self.folder / name))
            self.written[name] = self._stack.enter_context(pq.ParquetWriter(part, schema))
        return self.written[name]


def remove_unused(folder: Path, kept: Kept) -> None:
    """Remove the files of earlier runs that nothing refers to any more."""
    rows = {path for files in kept.rows.values() for path in files.values()}
    used = {*rows, *kept.snapshots, kept.tail, kept.accounts}
    for path in [*folder.glob("snapshots/*.parquet"), *folder.glob("state/**/*.parquet")]:
        name = path.relative_to(folder).as_posix()
        begun = any(part.startswith(".") for part in path.parts[len(folder.parts) :])
        if name not in used and not begun and path.parent != folder / state_folder(kept.day):
            path.unlink()
    for place in folder.glob("state/*"):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def read_rows(folder: Path, kept: Kept, *, only_as_of: bool = False) -> pd.DataFrame:
    """Return the rows of a folder with what is known of their accounts now."""
    import duckdb

    grid = Grid(kept.as_of, kept.every)
    d, files = grid.dialect, [*kept.snapshots, *([kept.tail] if kept.tail else [])]
    read = ", ".join(literal(str(folder / name)) for name in files)
    accounts = f"read_parquet({literal(str(folder / kept.accounts))})"
    next_t = "LEAD(t) OVER (PARTITION BY account_id ORDER BY t) AS next_t"
    limits: Any = {"memory_limit": memory_limit(), "threads": threads()}
    with TemporaryDirectory() as spill, duckdb.connect(config=limits) as connection:
        connection.execute(f"SET temp_directory = {literal(spill)}")
        connection.execute(
            f"CREATE VIEW rows AS SELECT *, {d.day('snapshot_on')} AS t FROM read_parquet([{read}])"
        )
        names = connection.sql("FROM rows LIMIT 0").columns
        has_notice = "notice" in connection.sql(f"FROM {accounts} LIMIT 0").columns
        notice = "CAST(COALESCE(notice < t, FALSE) AS BOOLEAN)" if has_notice else "notice_given"
        own = [quoted(name) for name in names if name not in BEFORE]
        outcome = outcome_columns(grid, kept.causes, kept.not_churn)
        where = f"WHERE t = {kept.as_of}" if only_as_of else ""
        rows = connection.sql(
            f"SELECT account_id, customer_id, snapshot_on, {outcome}, {notice} AS notice_given,"
            f" {', '.join(own)} FROM (SELECT *, {next_t} FROM rows JOIN {accounts} AS a"
            f" USING (account_id) WHERE COALESCE(ended > t, TRUE)) AS joined {where}"
            " ORDER BY account_id, t"
        ).to_arrow_table()
    return as_frame([PanelRows(rows)], len(rows))


def files_of(project: Project) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the size and the time of the last change of each local file, by table."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    if project.folder is None:
        return found
    for one in locate(project)[0]:
        stats = [(str(path), path.stat()) for path in one.files]
        found[one.table] = {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats}
    return found
