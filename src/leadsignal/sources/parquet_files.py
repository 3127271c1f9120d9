"""Parquet files, read by the store itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.errors import Fault
from leadsignal.sources.parts import Part, UnreadableError, literal, quoted

if TYPE_CHECKING:
    import duckdb


def open_parquet(table: str, file: Path, shown: str, connection: duckdb.DuckDBPyConnection) -> Part:
    """Return a Parquet file as a part; raises UnreadableError for a file that is none."""
    import duckdb

    relation = f"read_parquet({literal(str(file))}, hive_partitioning = false)"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except (duckdb.Error, UnicodeError):
        problem = "is not a Parquet file" if file.stat().st_size else "is empty"
        fault = Fault(shown, table, None, None, None, problem, "Export it again.")
        raise UnreadableError(fault) from None
    columns = {row[0]: quoted(row[0]) for row in described}
    return Part(table, shown, columns, relation, bytes=file.stat().st_size)
