"""PostgreSQL and other databases with an ADBC driver, read as Arrow batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from leadsignal.config.credentials import Access
from leadsignal.errors import SourceError
from leadsignal.sources.database import INSTALL, Database, RowRequest
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    import pyarrow as pa

POSTGRES = "adbc_driver_postgresql"
CONNECT_SECONDS = 30
AS_NUMERIC, AS_TEXT = ("money",), ("bpchar", "json", "jsonb", "name", "char")
"""PostgreSQL types whose binary form differs from the value: money comes as cents, char(n) with
trailing spaces."""


class AdbcDatabase(Database):
    """A connection through ADBC; in PostgreSQL, all tables are read from one snapshot."""

    def __init__(self, access: Access, driver: str) -> None:
        self.access = access
        self.postgres = driver == POSTGRES
        self.dialect = driver.removeprefix("adbc_driver_")
        self.connection = connect(access, driver, autocommit=self.postgres)
        self.schemas: dict[RowRequest, Any] = {}
        if self.postgres:
            self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._run("SAVEPOINT reading")

    def columns(self, request: RowRequest) -> list[str]:
        """Return the names of the columns, without reading any row."""
        statement = f"SELECT * FROM {request.relation()} WHERE 1 = 0"
        self._recover()
        self.schemas[request] = self._schema(statement)
        return list(self.schemas[request].names)

    def rows(
        self, request: RowRequest, names: list[str]
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the schema of the named columns, and their rows as they arrive."""
        import pyarrow as pa

        self._recover()
        schema = self.schemas[request]
        listed = ", ".join(self._reading(schema.field(name)) for name in names)
        cursor = self.connection.cursor()
        cursor.execute(f"SELECT {listed} FROM {request.relation()}")
        reader = cursor.fetch_record_batch()
        plain = pa.schema([pa.field(f.name, _storage(f.type)) for f in reader.schema])
        return plain, self._batches(cursor, reader, plain)

    def _batches(self, cursor: Any, reader: Any, plain: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        try:
            for batch in reader:
                columns = [
                    column.storage if isinstance(column, pa.ExtensionArray) else column
                    for column in batch.columns
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=plain)
        finally:
            reader.close()
            cursor.close()

    def _reading(self, field: pa.Field) -> str:
        """Return SQL for a column, cast if its binary form differs from the value."""
        name = quoted(field.name)
        if not self.postgres:
            return name
        kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        if kind in AS_NUMERIC:
            return f"CAST({name} AS numeric) AS {name}"
        extension = hasattr(field.type, "extension_name")
        if kind in AS_TEXT or (extension and kind != "numeric"):
            return f"CAST({name} AS text) AS {name}"
        return name

    def tables(self) -> list[str]:
        """Return the names of tables and views, with the schema if outside the search path."""
        if not self.postgres:
            return []
        self._recover()
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname "
                "ELSE n.nspname || '.' || c.relname END FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> "
                "'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1 LIMIT 10000"
            )
            return [str(row[0]) for row in cursor.fetchall()]

    def close(self) -> None:
        """End the transaction and the connection."""
        if self.postgres and not self.connection._closed:
            with suppress(Exception):  # The server may already have ended it.
                self._run("ROLLBACK")
        self.connection.close()

    def _schema(self, statement: str) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            with cursor.fetch_record_batch() as reader:
                return reader.schema

    def _recover(self) -> None:
        """Recover from a refused query, which would otherwise end PostgreSQL's transaction."""
        if self.postgres:
            self._run("ROLLBACK TO SAVEPOINT reading")

    def _run(self, statement: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)


def connect(access: Access, driver: str, autocommit: bool = False) -> Any:
    """Return an ADBC connection; raises SourceError if the driver is not installed."""
    try:
        dbapi = import_module(f"{driver}.dbapi")
    except ImportError:
        package = driver.replace("_", "-")
        remedy = INSTALL if driver == POSTGRES else f"python3 -m pip install {package}"
        problem = f"source {access.name!r} needs the package {package}"
        raise SourceError(problem, remedy) from None
    url = _with_timeout(access.url) if driver == POSTGRES else access.url
    options = {str(name): str(value) for name, value in access.options.items()}
    more = {"db_kwargs": options} if options else {}
    return dbapi.connect(url, autocommit=autocommit, **more)


def _with_timeout(url: str) -> str:
    """Return a PostgreSQL URL with a timeout for hosts that do not answer."""
    if "connect_timeout" in url or "PGCONNECT_TIMEOUT" in os.environ:
        return url
    return f"{url}{'&' if '?' in url else '?'}connect_timeout={CONNECT_SECONDS}"


def _storage(kind: Any) -> Any:
    return kind.storage_type if hasattr(kind, "storage_type") else kind
