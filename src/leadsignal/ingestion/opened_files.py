"""Open files as parts of a table, by format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.ingestion.store import Store, bytes_in, memory_bytes
from leadsignal.schema import BY_NAME
from leadsignal.sources.csv_files import open_csv
from leadsignal.sources.json_files import open_json
from leadsignal.sources.locate import Located
from leadsignal.sources.parquet_files import open_parquet
from leadsignal.sources.parts import Part, UnreadableError
from leadsignal.sources.unpacked import Unpacking
from leadsignal.sources.workbooks import open_workbook


def unpacking_in(store: Store) -> Unpacking:
    """Return an unpacking of files into the folder of a store, within its size limit."""
    return Unpacking(Path(store.folder) / "copies", lambda: bytes_in(store.folder), store.limit)


def open_file(
    file_format: str,
    table: str,
    file: Path,
    shown: str,
    source: TableSource,
    store: Store,
    unpacking: Unpacking,
) -> Part:
    """Return a file as a part of a table; raises UnreadableError if it cannot be opened."""
    plain = unpacking.plain(table, file, shown)
    if file_format == "parquet":
        return open_parquet(table, plain, shown, store.connection)
    if file_format == "json":
        return open_json(table, plain, shown, source, store.connection)
    if file_format == "workbook":
        return open_workbook(table, plain, shown, source, memory_bytes())
    return open_csv(table, plain, shown, source, unpacking.shortened)


def refuse_needless(found: Located, shown: str, source: TableSource) -> None:
    """Raise UnreadableError for a setting that applies to other file formats only."""
    needless = {
        "sheet": source.sheet and found.format != "workbook",
        "header_line": source.header_line and found.format in ("json", "parquet"),
        "footer": source.footer and found.format in ("json", "parquet"),
    }
    for name, is_needless in needless.items():
        if is_needless:
            what = ".xlsx" if name == "sheet" else ".csv and .xlsx"
            problem = f"{name} is set, which only {what} files have"
            remedy = f"Take {name} out of [tables.{found.table}]."
            raise UnreadableError(Fault(shown, found.table, None, None, None, problem, remedy))


def columns_in_folder_names(part: Part, file: Path) -> Iterator[Fault]:
    """Yield a fault for each column whose values are in folder names, as in series=api/."""
    for name in file.parts[:-1]:
        column, sign, _ = name.partition("=")
        if sign and column in BY_NAME[part.table].by_column and column not in part.columns:
            problem = "its values are in the names of folders, which are not read"
            remedy = "Write the column into the files too."
            yield Fault(part.file, part.table, None, column, name, problem, remedy)
