"""Databases read through SQLAlchemy, each cell as CSV text, or through ADBC, as Arrow batches."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.credentials import Access
from leadsignal.errors import SourceError
from leadsignal.sources.database import BATCH_ROWS, INSTALL, Database, RowRequest
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Engine
    from sqlalchemy.sql.expression import FromClause


class SqlalchemyDatabase(Database):
    """A connection through SQLAlchemy, in a transaction that is rolled back when it is closed."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.running: dict[RowRequest, Any] = {}
        self.failed = False
        self.engine = make_engine(access)
        self.dialect = self.engine.dialect.name
        if self.dialect == "sqlite" and self.engine.url.database:
            self.file = Path(self.engine.url.database)
        try:
            self.connection = self.engine.connect()
            self._read_only()
        except BaseException:
            self.engine.dispose()
            raise

    def _read_only(self) -> None:
        statements = {
            # Without BEGIN, each SELECT in SQLite could see a different state.
            "sqlite": ("PRAGMA query_only = ON", "BEGIN"),
            "postgresql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",),
            "mysql": ("START TRANSACTION READ ONLY",),
            "mariadb": ("START TRANSACTION READ ONLY",),
            "oracle": ("SET TRANSACTION READ ONLY",),
        }
        for statement in statements.get(self.engine.dialect.name, ()):
            self.connection.exec_driver_sql(statement)
        if self.engine.dialect.name == "sqlite":
            _refuse_acts(self.connection.connection.driver_connection)

    @contextmanager
    def _recovering(self) -> Iterator[None]:
        """Recover from a refused query, which ends the transaction in some databases."""
        # Options persist on the connection, and only queries should be streamed.
        self.connection.execution_options(stream_results=False, no_parameters=False)
        if self.failed:
            self.connection.rollback()
            self._read_only()
        self.failed = True
        yield
        self.failed = False

    def columns(self, request: RowRequest) -> list[str]:
        """Return the names of the columns."""
        from sqlalchemy import literal_column

        never: Any = literal_column("1") == literal_column("0")
        with self._recovering():
            if request.table is not None:
                statement = self._select(request, ["*"])
                with self.connection.execute(statement.where(never)) as found:
                    return [str(name) for name in found.keys()]  # noqa: SIM118
            streaming = self.connection.execution_options(stream_results=True, no_parameters=True)
            self.running[request] = streaming.exec_driver_sql(request.bare_query())
            return [str(name) for name in self.running[request].keys()]  # noqa: SIM118

    def rows(
        self, request: RowRequest, names: list[str]
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the named columns as text, with their rows in batches.

        A query is run unchanged, since not every database allows subqueries everywhere.
        """
        import pyarrow as pa

        if request.table is not None:
            streaming = self.connection.execution_options(stream_results=True)
            with self._recovering():
                found = streaming.execute(self._select(request, names))
            at = list(range(len(names)))
        else:
            found = self.running.pop(request)
            columns = list(found.keys())
            at = [columns.index(name) for name in names]
        schema = pa.schema([pa.field(name, pa.string()) for name in names])
        return schema, self._batches(found, at, schema)

    def _batches(self, found: Any, at: list[int], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        self.failed = True  # Until the last batch has been read.
        try:
            while rows := found.fetchmany(BATCH_ROWS):
                columns = [
                    pa.array([_cell(row[index], name) for row in rows], pa.string())
                    for index, name in zip(at, schema.names, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
            self.failed = False
        finally:
            found.close()

    def _select(self, request: RowRequest, names: list[str]) -> Any:
        from sqlalchemy import column, literal_column, quoted_name, select

        listed: list[Any] = [
            literal_column("*") if name == "*" else column(quoted_name(name, True))
            for name in names
        ]
        return select(*listed).select_from(from_table(self.engine, request.table or ()))

    def tables(self) -> list[str]:
        """Return the names of the tables in the default schema."""
        from sqlalchemy import inspect

        with self._recovering():
            return sorted(inspect(self.connection).get_table_names())

    def close(self) -> None:
        """Roll back, and close the connection."""
        self.connection.close()
        self.engine.dispose()


def _refuse_acts(connection: Any) -> None:
    """Restrict a SQLite connection to reading: no ATTACH, no extensions, no PRAGMA."""
    import sqlite3

    reading = (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    )

    def allow(action: int, first: str | None, second: str | None, *_: object) -> int:
        calls = action == sqlite3.SQLITE_FUNCTION and second not in _SQLITE_ACTS
        plain = action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _SQLITE_PRAGMAS
        allowed = action in reading or calls or plain
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(allow)


_SQLITE_ACTS = ("load_extension", "fts3_tokenizer", "readfile", "writefile", "edit")
_SQLITE_PRAGMAS = ("query_only", "table_info", "table_xinfo", "table_list")


def make_engine(access: Access, create: bool = False) -> Engine:
    """Return an engine; raises SourceError if SQLAlchemy or a SQLite file is missing."""
    try:
        import sqlalchemy
    except ImportError:
        problem = f"source {access.name!r} needs the package SQLAlchemy"
        raise SourceError(problem, INSTALL) from None
    url = sqlalchemy.make_url(access.url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        path = access.file(url.database)
        if not path.is_file() and not create:
            problem = f"there is no file {path} for source {access.name!r}"
            raise SourceError(problem, "Correct the path in its url: sqlite:///file.db")
        url = url.set(database=str(path))
    # hide_parameters keeps rows that are being written out of error messages.
    engine: Engine = sqlalchemy.create_engine(
        url, connect_args=dict(access.options), hide_parameters=True, pool_logging_name="leadsignal"
    )
    # The pool's clean-up logs contain the driver's own messages and tracebacks.
    logger: Any = engine.pool.logger
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    return engine


def from_table(engine: Engine, parts: tuple[str, ...]) -> FromClause:
    """Return a table by the parts of its name, each quoted in the style of the database."""
    from sqlalchemy import quoted_name, table

    quote = engine.dialect.identifier_preparer.quote_identifier
    *around, name = parts
    if not around:
        return table(quoted_name(name, True))
    schema = ".".join(quote(part) for part in around)
    return table(quoted_name(name, True), schema=quoted_name(schema, False))


def _cell(value: Any, column: str) -> str | None:
    try:
        return as_text(value)
    except TypeError as error:
        raise TypeError(f"column {column!r}: {error}") from None


def as_text(value: Any) -> str | None:
    """Return a value as CSV text; None if it is missing.

    >>> from datetime import date
    >>> as_text(date(2024, 1, 31)), as_text(True), as_text(12.5), as_text(float("nan"))
    ('2024-01-31', 'true', '12.5', None)
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return None if value != value else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes cannot be read")
    return str(value)


# ADBC ---------------------------------------------------------------------------------------------


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
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            with cursor.fetch_record_batch() as reader:
                self.schemas[request] = reader.schema
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
        plain = pa.schema(
            [pa.field(f.name, getattr(f.type, "storage_type", f.type)) for f in reader.schema]
        )
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
