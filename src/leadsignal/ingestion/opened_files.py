"""Files opened as parts of a table, each by its format."""

from __future__ import annotations

from pathlib import Path

from leadsignal.config.table_settings import TableSource
from leadsignal.ingestion.store import Store, bytes_in, memory_bytes
from leadsignal.sources.csv_files import open_csv
from leadsignal.sources.json_files import open_json
from leadsignal.sources.parquet_files import open_parquet
from leadsignal.sources.parts import Part
from leadsignal.sources.unpacked import Unpacking
from leadsignal.sources.workbooks import open_workbook


def unpacking_in(store: Store) -> Unpacking:
    """Return what unpacks files beside a store, within its limits."""
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
    """Return a file as a part of a table; raises UnreadableError where it cannot be one."""
    plain = unpacking.plain(table, file, shown)
    if file_format == "parquet":
        return open_parquet(table, plain, shown, store.connection)
    if file_format == "json":
        return open_json(table, plain, shown, source, store.connection)
    if file_format == "workbook":
        return open_workbook(table, plain, shown, source, memory_bytes())
    return open_csv(table, plain, shown, source, unpacking.shortened)
