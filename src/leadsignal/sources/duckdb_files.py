"""DuckDB files, opened read-only."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.credentials import Access
from leadsignal.errors import SourceError
from leadsignal.sources.database import BATCH_ROWS, Database, RowRequest, refusal
from leadsignal.sources.parts import literal, quoted
from leadsignal.sources.queries import ONE_SELECT
from leadsignal.threads import threads

if TYPE_CHECKING:
    import pyarrow as pa


WITHOUT_EXTENSIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    # Do not write rows of a query to the current folder.
    "temp_directory": "",
}
OWN_NAMES = ("memory", "temp", "system", "main", "")
"""Names of DuckDB's own databases; a file with such a name is attached under another."""
_ACTS = re.compile(
    r"\b(arrow_scan\w*|pandas_scan|python_\w+|\w+_external_resource\w*|write_log|\w+_logging|"
    r"\w+_profiling|truncate_duckdb_logs|json_execute_serialized_sql|query|getenv)\b\"?\s*\(",
    re.IGNORECASE,
)
"""Functions that read this process's memory, store something, or run another query."""
MAX_FILES = 10_000
"""Maximum number of files in a project's folder for queries that may read files in it."""


class DuckdbDatabase(Database):
    """A DuckDB file, read as Arrow; queries may read but not write."""

    def __init__(self, access: Access) -> None:
        import duckdb

        self.access = access
        path = duckdb_path(access)
        if not path.is_file():
            problem = f"there is no file {path} for source {access.name!r}"
            raise SourceError(problem, "Correct the path in its url: duckdb:///file.duckdb")
        refuse_others(access, path)
        self.file = path
        # Attach it to a database of our own, so that these settings affect no other connection.
        self.connection = duckdb.connect(
            ":memory:", config={**WITHOUT_EXTENSIONS, "threads": threads()}
        )
        name = quoted(path.stem if path.stem.lower() not in OWN_NAMES else "source")
        self.connection.execute(f"ATTACH {literal(str(path))} AS {name} (READ_ONLY, TYPE duckdb)")
        self.connection.execute(f"USE {name}")
        self.connection.execute("SET TimeZone = 'UTC'")
        # An unknown table name must not be resolved to a Python variable.
        for setting in ("python_enable_replacements", "python_enable_replacement_scans"):
            with suppress(duckdb.CatalogException):
                self.connection.execute(f"SET {setting} = false")
        if access.folder is not None and _holds_plain_files(access.folder):
            folder = literal(os.path.abspath(access.folder))
            self.connection.execute(f"SET allowed_directories = [{folder}]")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
        self.connection.execute("BEGIN TRANSACTION READ ONLY")

    def refuse_writing(self, query: str) -> None:
        """Refuse a query unless DuckDB itself parses it as a single SELECT."""
        import duckdb

        try:
            statements = duckdb.extract_statements(query)
        except duckdb.Error as error:
            raise refusal(self.access, error, RowRequest(query=query)) from None
        if len(statements) != 1:
            raise SourceError("the query is not one statement", ONE_SELECT)
        if statements[0].type != duckdb.StatementType.SELECT:
            raise SourceError("the query is not a SELECT", ONE_SELECT)
        acts = _ACTS.search(query)
        if acts:
            raise SourceError(f"the query calls {acts[1]}", ONE_SELECT)

    def columns(self, request: RowRequest) -> list[str]:
        """Return the names of the columns."""
        cursor = self.connection.execute(f"SELECT * FROM {request.relation()} WHERE 1 = 0")
        return [str(column[0]) for column in cursor.description]

    def rows(
        self, request: RowRequest, names: list[str]
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the schema of the named columns, and their rows in batches."""
        listed = ", ".join(quoted(name) for name in names)
        found: Any = self.connection.sql(f"SELECT {listed} FROM {request.relation()}")
        # DuckDB 2 renamed this method.
        stream = getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader
        reader = stream(BATCH_ROWS)
        return reader.schema, iter(reader)

    def tables(self) -> list[str]:
        """Return the names of tables and views, with the schema unless it is main."""
        found = self.connection.execute(
            "SELECT CASE WHEN table_schema = 'main' THEN table_name "
            "ELSE table_schema || '.' || table_name END FROM information_schema.tables ORDER BY 1"
        )
        return [str(row[0]) for row in found.fetchall()]

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def _holds_plain_files(folder: Path) -> bool:
    """Return whether a folder contains only regular files and folders, and not too many of them.

    A link may lead out of the folder, and reading a pipe may block forever.
    """
    seen = 0
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            seen += 1
            mode = os.lstat(os.path.join(where, name)).st_mode
            if seen > MAX_FILES or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return False
    return True


def refuse_others(access: Access, path: Path) -> None:
    """Refuse files of other kinds, for some of which DuckDB would download an extension."""
    with path.open("rb") as file:
        if file.read(12)[8:] != b"DUCK":
            problem = f"{path}, of source {access.name!r}, is not a DuckDB file"
            raise SourceError(problem, "Correct the path in its url, or the word before its colon")


def duckdb_path(access: Access) -> Path:
    """Return the file that duckdb:///file.duckdb names, relative to the project's folder."""
    path = access.url.partition(":")[2].partition("?")[0]
    return access.file(path.removeprefix("///") if path.startswith("///") else path)
