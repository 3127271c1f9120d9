"""Panels as Parquet files, written in portions of accounts."""

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
from leadsignal.engine.extension import PAST, EarlierRows, FileRows, recipe_since, rows_since
from leadsignal.engine.in_memory import JOINED
from leadsignal.engine.past import Past
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
"""Number of rows, over all tables, from which a panel is built at once; takes about 2 GB."""


@dataclass(frozen=True, repr=False)
class PanelWritten:
    """A panel that was written to ``path``: how much it holds."""

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
        """Return what the panel holds in numbers, as the panel itself does, ready for JSON."""
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
    since: str | Path | None = None,
) -> PanelWritten:
    """Write the rows that `build_panel` gives as one Parquet file, and return how many there are.

    The rows never are in this process's memory all at once: what does not fit goes to disk, and
    accounts are worked on in portions of about ``rows_at_once`` rows of all tables. The file is
    written whole or not at all. ``since`` is such a file of an earlier day, whose rows are taken
    over as by `build_panel`. Raises OptionError as `build_panel` does, where the folder of ``path``
    is not there, and where a file is that is no panel (``force`` replaces it).

    >>> import leadsignal as ls, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/panel.parquet"
    ...     ls.write_panel(ls.read_tables(ls.sample_folder()), None, file).every
    28
    """
    check_file(path, PANEL, force=force, inputs=[Path(since)] if since else [])
    step = tables.project.every if every is None else days_in(every)
    analysis = analysis or SuccessAnalysis(())
    recipe = panel_recipe(tables, analysis, step, tables.history)
    past, missing, earlier = Past.of(tables, recipe), recipe, None
    if since is not None:
        earlier = FileRows.of(since)
        missing = recipe_since(earlier.past, recipe, tables, analysis)
    rows = sum(coverage.rows for coverage in tables.coverage.values())
    query = tables.connection.cursor().execute
    portions = portions_of(missing, -(-rows // rows_at_once), lambda sql: query(sql).fetchall())
    with atomic_write(path, PANEL, force=force) as part, ParquetRows(part, past) as written:
        for number, portion in enumerate(portions):
            report = _portion_progress(progress, number, len(portions))
            _write_portion(tables.connection, portion, earlier, written, report)
    return PanelWritten(
        Path(path), written.rows, len(written.accounts), written.events, tables.as_of_date, step,
        recipe.indicators, without_rows_notes(without_rows_of(tables, recipe, written.accounts)),
    )  # fmt: skip


class ParquetRows:
    """A Parquet file that panel rows are written to, and what has been written so far."""

    def __init__(self, path: Path, past: Past) -> None:
        self.path, self.past, self.rows, self.events = path, past, 0, 0
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
        """Append rows of whole accounts."""
        import pyarrow.parquet as pq

        if self._writer is None:
            schema = rows.schema.with_metadata({PAST: self.past.to_text()})
            self._writer = pq.ParquetWriter(self.path, schema)
        self._writer.write_table(rows.replace_schema_metadata(self._writer.schema.metadata))
        self.rows += len(rows)
        self.events += int(rows["event"].to_numpy().sum())
        self._accounts.append(rows["account_id"].unique().to_pandas())


def _write_portion(
    connection: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    earlier: EarlierRows | None,
    written: ParquetRows,
    progress: Progress | None,
) -> None:
    plan = panel_steps(recipe)
    # A moment, as pandas has it; in microseconds, as Spark does not read nanoseconds.
    moment = "CAST(snapshot_on AS TIMESTAMP) AS snapshot_on"
    select = f"SELECT * REPLACE ({moment}) FROM ({plan.select_from(JOINED)})"
    with rows_since(connection, recipe, earlier, progress) as (_, query):
        for rows in query(select):
            written.write(rows)


def _portion_progress(progress: Progress | None, number: int, portions: int) -> Progress | None:
    """Return the progress function of one of several portions."""
    if progress is None:
        return None
    return lambda done, of: progress(number * of + done, portions * of)
