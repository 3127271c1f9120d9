"""Panels written as Parquet files, in batches of accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from leadsignal.arguments import checked
from leadsignal.config.success import SuccessAnalysis
from leadsignal.durations import Duration, days_in
from leadsignal.engine.build import Recipe, panel_steps
from leadsignal.engine.duckdb import portions_of
from leadsignal.engine.in_memory import measured_rows
from leadsignal.engine.recipe import panel_recipe
from leadsignal.engine.without_rows import without_rows_notes
from leadsignal.files.outputs import PANEL, check_file
from leadsignal.files.writing import atomic_write
from leadsignal.indicators import Indicator
from leadsignal.panel import description, without_rows_of
from leadsignal.progress import Progress
from leadsignal.results import to_html
from leadsignal.tables import Tables

__all__ = ["PanelWritten", "write_panel"]

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

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
            _write_portion(tables.connection, portion, written, report)
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


def _write_portion(
    connection: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    written: ParquetRows,
    progress: Progress | None,
) -> None:
    with measured_rows(connection, panel_steps(recipe), progress) as (_, rows):
        for some in rows(None):
            written.write(_with_moments(some.to_arrow()))


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
