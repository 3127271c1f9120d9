"""DuckDB files, opened for reading alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.errors import SourceError
from leadsignal.settings.credentials import Access
from leadsignal.sources.databases import BATCH_ROWS, Asked, Database
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    import pyarrow as pa


class DuckdbDatabase(Database):
    """A DuckDB file; its rows come as Arrow, and a query may read but not write."""

    def __init__(self, access: Access) -> None:
        import duckdb

        self.access = access
        path = duckdb_path(access)
        if not path.is_file():
            problem = f"there is no file {path} for source {access.name!r}"
            raise SourceError(problem, "Correct the path in its url: duckdb:///file.duckdb")
        refuse_others(access, path)
        self.connection = duckdb.connect(str(path), read_only=True)
        self.connection.execute("SET TimeZone = 'UTC'")
        # A name that the file does not have must not be taken for a variable of ours.
        for setting in ("python_enable_replacements", "python_enable_replacement_scans"):
            with suppress(duckdb.CatalogException):
                self.connection.execute(f"SET {setting} = false")
        self.connection.execute("BEGIN TRANSACTION READ ONLY")

    def columns(self, asked: Asked) -> list[str]:
        """Return the names of the columns."""
        cursor = self.connection.execute(f"SELECT * FROM {asked.relation()} WHERE 1 = 0")
        return [str(column[0]) for column in cursor.description]

    def rows(self, asked: Asked, names: list[str]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the columns named, and their rows in batches."""
        listed = ", ".join(quoted(name) for name in names)
        found: Any = self.connection.sql(f"SELECT {listed} FROM {asked.relation()}")
        # DuckDB 2 has another name for it.
        stream = getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader
        reader = stream(BATCH_ROWS)
        return reader.schema, iter(reader)

    def tables(self) -> list[str]:
        """Return the tables and views, those outside main with their schema."""
        found = self.connection.execute(
            "SELECT CASE WHEN table_schema = 'main' THEN table_name "
            "ELSE table_schema || '.' || table_name END FROM information_schema.tables ORDER BY 1"
        )
        return [str(row[0]) for row in found.fetchall()]

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def refuse_others(access: Access, path: Path) -> None:
    """Refuse files of other kinds: DuckDB would fetch an extension for some of them."""
    with path.open("rb") as file:
        if file.read(12)[8:] != b"DUCK":
            problem = f"{path}, of source {access.name!r}, is not a DuckDB file"
            raise SourceError(problem, "Correct the path in its url, or the word before its colon")


def duckdb_path(access: Access) -> Path:
    """Return the file that duckdb:///file.duckdb names; it starts from the project's folder."""
    given = access.url.partition(":")[2].partition("?")[0]
    return access.file(given.removeprefix("///") if given.startswith("///") else given)
