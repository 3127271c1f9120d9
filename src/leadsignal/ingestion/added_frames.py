"""A frame of the caller's, read and checked beside tables that are in the store already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import TablesError
from leadsignal.ingestion.checks import check_rows
from leadsignal.ingestion.loaded_table import Loaded
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.store import Store
from leadsignal.schema import Table
from leadsignal.sources.frames import open_frame
from leadsignal.sources.parts import Part, UnreadableError, quoted

if TYPE_CHECKING:
    import pandas as pd


def read_beside(
    project: Project, store: Store, accounts: Loaded, table: Table, frame: Any
) -> pd.DataFrame:
    """Return the columns of ``table`` that a frame has, its rows checked as those of a table.

    A column that the frame has may hold no gaps. Raises TablesError with every fault.
    """
    try:
        part = open_frame(table.name, frame)
    except UnreadableError as error:
        raise TablesError([error.fault]) from None
    strict = {**project.tables, table.name: TableSource(outside="fault")}
    intake = Intake(replace(project, tables=strict), store, {"accounts": accounts})
    try:
        return _read(intake, _without_gaps(table, part), part)
    finally:
        store.run(f"DROP TABLE IF EXISTS {table.name}")


def _without_gaps(table: Table, part: Part) -> Table:
    columns = [replace(c, required=c.required or c.name in part.columns) for c in table.columns]
    return replace(table, columns=tuple(columns))


def _read(intake: Intake, table: Table, part: Part) -> pd.DataFrame:
    intake.load(table, [part])
    faults, more = [*intake.structural, *intake.faults], dict(intake.more)
    if not faults:
        for _, found, others in check_rows(intake, intake.loaded[table.name], frozenset(), False):
            faults += found
            more[found[0].kind] = others
    if faults:
        raise TablesError(faults, more)
    listed = ", ".join(map(quoted, intake.loaded[table.name].columns))
    read = f"SELECT {listed} FROM {table.name} ORDER BY rowid"
    rows: pd.DataFrame = intake.store.connection.cursor().execute(read).df()
    return rows
