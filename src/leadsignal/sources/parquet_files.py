"""Parquet files, read by the store itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.errors import Fault
from leadsignal.sources.parts import Part, UnreadableError, exactly, quoted, refuse_too_wide

if TYPE_CHECKING:
    import duckdb


MAX_ROWS_PER_BYTE = 200
"""Maximum plausible number of rows per byte, since distinct rows take more space."""


def open_parquet(table: str, file: Path, shown: str, connection: duckdb.DuckDBPyConnection) -> Part:
    """Return a Parquet file as a part; raises UnreadableError if it is not one."""
    import duckdb

    path = exactly(str(file))
    relation = f"read_parquet({path}, hive_partitioning = false)"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except (duckdb.Error, UnicodeError):
        problem = "is not a Parquet file" if file.stat().st_size else "is empty"
        fault = Fault(shown, table, None, None, None, problem, "Export it again.")
        raise UnreadableError(fault) from None
    refuse_too_wide(table, shown, len(described))
    rows = _refuse_bomb(table, file, shown, connection)
    columns = {row[0]: quoted(row[0]) for row in described}
    return Part(
        table, shown, columns, relation,
        bytes=file.stat().st_size, path=path, rows=rows, types=tuple(row[1] for row in described),
    )  # fmt: skip


def _refuse_bomb(table: str, file: Path, shown: str, connection: duckdb.DuckDBPyConnection) -> int:
    """Refuse a file that claims more rows than its size allows; return the number of rows."""
    query = f"SELECT sum(num_rows) FROM parquet_file_metadata({exactly(str(file))})"
    ((rows,),) = connection.execute(query).fetchall()
    if rows and int(rows) > MAX_ROWS_PER_BYTE * file.stat().st_size:
        problem = f"says it holds {int(rows):,} rows in {file.stat().st_size:,} bytes"
        raise UnreadableError(Fault(shown, table, None, None, None, problem, "Export it again."))
    return int(rows or 0)
