"""Connect to databases; each source is opened once, and its rows are read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from leadsignal.config.credentials import Access, Source, installed_only, named_source, open_source
from leadsignal.errors import Fault, SourceError
from leadsignal.sources.database import ADBC_DRIVERS, Database, RowRequest, refusal
from leadsignal.sources.parts import Part, UnreadableError, unreadable
from leadsignal.sources.project_files import DuckdbDatabase
from leadsignal.sources.sqlalchemy_rows import AdbcDatabase, SqlalchemyDatabase

if TYPE_CHECKING:
    import pyarrow as pa


def open_database(access: Access) -> Database:
    """Connect to a source; raises SourceError, without secrets."""
    try:
        with installed_only():
            return _opened(access)
    except SourceError:
        raise
    # Drivers may raise any exception, and its message may contain the URL with the password.
    except Exception as error:  # noqa: BLE001
        raise refusal(access, error) from None


def _opened(access: Access) -> Database:
    if access.driver or access.scheme in ADBC_DRIVERS:
        return AdbcDatabase(access, access.driver or ADBC_DRIVERS[access.scheme])
    if access.scheme == "duckdb":
        return DuckdbDatabase(access)
    return SqlalchemyDatabase(access)


class Databases:
    """The connections of one reading; each source is opened once, so that its tables agree."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.opened: dict[str, Database | None] = {}

    def get(self, name: str) -> Database | None:
        """Return the connection to a source, or None if connecting failed before.

        Raises SourceError only the first time, so that it is reported once and not per table.
        """
        if name not in self.opened:
            self.opened[name] = None
            self.opened[name] = open_database(open_source(named_source(self.sources, name)))
        return self.opened[name]

    def close(self) -> None:
        """Close all connections."""
        for database in self.opened.values():
            if database is not None:
                database.close()
        self.opened = {}


def open_rows(table: str, request: RowRequest, database: Database) -> Part:
    """Return a table or a query of a database as a part; raises UnreadableError."""
    try:
        if request.query is not None:
            database.refuse_writing(request.query)
        names = database.columns(request)
    except Exception as error:  # noqa: BLE001
        raise UnreadableError(_fault(table, database, error, request)) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problem, remedy = "the query has this column twice", "Give one of them another name."
        raise unreadable(table, None, problem, remedy, column=twice[0])
    columns = {name: f"c{index}" for index, name in enumerate(names)}
    part = Part(table, None, columns, on_demand=True)
    failed: list[Fault] = []

    def read() -> pa.RecordBatchReader:
        import pyarrow as pa

        needed = [name for name in names if name in part.requested]
        try:
            schema, batches = database.rows(request, needed)
        except Exception as error:  # noqa: BLE001
            raise UnreadableError(_fault(table, database, error, request)) from None
        schema = pa.schema(
            [pa.field(columns[name], schema.field(i).type) for i, name in enumerate(needed)]
        )
        rows = _telling(batches, schema, failed, lambda e: _fault(table, database, e, request))
        return pa.RecordBatchReader.from_batches(schema, rows)

    def faults() -> tuple[list[Fault], int]:
        if failed:
            raise UnreadableError(failed[0])
        return [], 0

    part.reader, part.faults = read, faults
    return part


def _telling(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, failed: list[Fault], to_fault: Any
) -> Iterator[pa.RecordBatch]:
    """Pass batches on, and record an error that ends the stream as a fault."""
    import pyarrow as pa

    try:
        for batch in batches:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    except Exception as error:  # noqa: BLE001
        failed.append(to_fault(error))
        raise pa.ArrowInvalid("the rows of a database ended early") from None


def _fault(table: str, database: Database, error: BaseException, request: RowRequest) -> Fault:
    refused = error if isinstance(error, SourceError) else None
    refused = refused or refusal(database.access, error, request, database)
    return fault_of(table, refused)


def fault_of(table: str, refused: SourceError) -> Fault:
    """Convert a SourceError to a fault of a table."""
    remedy = refused.remedy if refused.remedy.endswith("?") else f"{refused.remedy}."
    return Fault(None, table, None, None, refused.said, refused.problem, remedy)
