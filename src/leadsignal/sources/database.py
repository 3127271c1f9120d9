"""Open databases: requests, and errors in plain words without secrets."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.config.credentials import Access
from leadsignal.config.toml_files import near
from leadsignal.errors import SourceError
from leadsignal.sources.parts import quoted
from leadsignal.sources.queries import one_select

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 50_000
"""Rows per batch, if the driver allows a choice."""
INSTALL = 'Install the drivers: python3 -m pip install "leadsignal[databases]"'
ADBC_DRIVERS = {
    "postgresql": "adbc_driver_postgresql",
    "postgres": "adbc_driver_postgresql",
    "grpc": "adbc_driver_flightsql",
    "grpc+tls": "adbc_driver_flightsql",
    "grpc+tcp": "adbc_driver_flightsql",
}
"""The default ADBC driver by URL scheme; other URLs need ``driver``, or are left to SQLAlchemy."""


@dataclass(frozen=True)
class RowRequest:
    """A request to a database for a table, by the parts of its name, or for a query."""

    table: tuple[str, ...] | None = None
    query: str | None = None

    def relation(self) -> str:
        """Return SQL for a FROM clause, with quoted names."""
        if self.table is not None:
            return ".".join(quoted(part) for part in self.table)
        return f"(\n{self.bare_query()}\n) AS asked"

    def bare_query(self) -> str:
        """Return the query without a final semicolon, and without a comment after it."""
        return re.sub(r";\s*(--[^\n'\"]*\s*)*\Z", "", self.query or "")

    def __str__(self) -> str:
        return ".".join(self.table) if self.table else "the query"


class Database(ABC):
    """An open connection, in one read-only transaction if the database supports it."""

    access: Access
    dialect: str = ""
    file: Path | None = None
    """The file of the database, if it is one."""

    def refuse_writing(self, query: str) -> None:
        """Raise SourceError if a query is not a single SELECT that only reads."""
        one_select(query, self.dialect)

    @abstractmethod
    def columns(self, request: RowRequest) -> list[str]:
        """Return the names of the columns, in order."""

    @abstractmethod
    def rows(
        self, request: RowRequest, names: list[str]
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the schema of the named columns, and their rows in batches."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of existing tables, with their schema, for suggestions."""

    @abstractmethod
    def close(self) -> None:
        """End the transaction and the connection."""


NO_PASSWORD = "no password supplied|authentication failed|access denied|login failed|no pg_hba"
NOT_REACHED = (
    "connection refused|could not translate host|timeout expired|timed out|no route to host|"
    "network is unreachable|can't connect|could not connect|connection reset|failed to resolve"
)
LOST = "closed the connection|terminating connection|connection (was )?lost|gone away"
NO_TABLE = (
    r"relation .* does not exist|no such table|table with name .* does not exist|"
    r"table .* doesn't exist|schema .* does not exist|unknown database|catalog .* does not exist|"
    r"cross-database references"
)
NO_COLUMN = (
    r"column .* does not exist|no such column|referenced column|unknown column|has no column|"
    r"not found in from clause"
)
KINDS: tuple[tuple[str, str, str], ...] = (
    (NO_PASSWORD, "refuses the user or the password",
     "Check user_env and password_env, or the credentials file"),
    (r"database .* does not exist|unknown database", "has no such database",
     "Correct the last part of its URL"),
    (NOT_REACHED, "cannot be reached", "Check host and port, and that the database is running"),
    (LOST, "ended the connection", "Run again; if it fails again, ask the database administrator"),
    ("bytes cannot be read", "holds bytes, which cannot be read",
     "Leave the column out, or turn it into text in the query"),
    ("permission denied|command denied|not authorized|insufficient privilege",
     "does not allow {request} to be {doing}",
     "Ask for the permission (GRANT)"),
    ("read-only|readonly|query_only|data-modifying", "may be read but not changed",
     "A query must be a single SELECT; write to a database that allows it"),
    (NO_COLUMN, "has no such column for {request}", "Correct the name"),
    (NO_TABLE, "has no table {request}", "Correct the name"),
    ("statement timeout|canceling statement|query canceled", "gave up on {request}",
     "Ask for fewer rows, or for a longer statement_timeout"),
    ("database is locked|could not set lock|conflicting lock", "is in use by another program",
     "Close it, or run again later"),
    ("file is not a database|not a valid duckdb", "is not a database file", "Correct the path"),
    ("syntax error|parser error|incomplete input", "cannot understand {request}",
     "Correct the query; it is one SELECT, in the database's own SQL"),
    ("can't load plugin|no module named|could not load|could not find driver",
     "needs a driver that is not installed",
     "Install the package that its URL names, or correct the URL"),
)  # fmt: skip
"""Pattern of a driver's message, and the problem and remedy that we report for it."""


def refusal(
    access: Access,
    error: BaseException,
    request: RowRequest | None = None,
    database: Database | None = None,
    doing: str = "read",
) -> SourceError:
    """Convert a driver's exception to a SourceError in plain words without secrets."""
    said = _short(access.hide(_words(error)))
    low = said.lower()
    problem, remedy = f"cannot be {doing}", "The database says why"
    for pattern, what, to_do in KINDS:
        if re.search(pattern, low):
            problem, remedy = what, to_do
            break
    if problem.startswith("has no table") and request and request.query is not None:
        problem = "has no such table for {request}"
    if "has no" in problem and "table" in problem and database is not None:
        remedy = _meant(database, request, said) or remedy
    message = problem.format(request=request or "this", doing=doing)
    refused = SourceError(f"source {access.name!r} {message}", remedy)
    refused.said = said or type(error).__name__
    return refused


def _words(error: BaseException) -> object:
    """Return the driver's message, which SQLAlchemy wraps and pg8000 gives as a dictionary."""
    inside = getattr(error, "orig", None) or error
    fields = inside.args[0] if getattr(inside, "args", ()) else None
    return fields.get("M", inside) if isinstance(fields, dict) else inside


TAIL = r"Query was|\[SQL|LINE \d+|\(Background|DETAIL:|HINT:|CONTEXT:"
"""From here on, a message repeats the query or shows the refused row."""


def _short(said: str) -> str:
    """Return the first sentence of a driver's message, without its own name and our query."""
    said = re.split(rf"\n+\s*(?:{TAIL})", said)[0]
    said = re.sub(r"\s*\(Background on this error.*", "", said, flags=re.DOTALL)
    said = re.sub(r"[.\s]*SQLSTATE: \w+\s*$", "", re.sub(r"\s+", " ", said).strip())
    said = re.sub(r"^[A-Z_]+: ", "", said)
    said = re.sub(r"^\[libpq\] (Execution error \[\w+\]: )?", "", said)
    said = re.sub(r"^Failed to (prepare|execute) query( '[^']*')?: ", "", said)
    said = re.sub(r"^could not begin COPY: ", "", said)
    return re.sub(r"^(ERROR|FATAL): +", "", said)[:200].rstrip(". ")


def _meant(database: Database, request: RowRequest | None, said: str) -> str | None:
    """Return a hint with the most similar table name, if there is one."""
    try:
        tables = database.tables()
    except Exception:  # noqa: BLE001
        return None
    named = re.search(r"[\"'`: ]([\w.$]+)[\"'`]?( does not exist|!|$)", said)
    requested = ".".join(request.table) if request and request.table else named[1] if named else ""
    by_name = {name.rpartition(".")[2]: name for name in tables}
    meant = near(requested, tables, 0.7) or by_name.get(
        near(requested.rpartition(".")[2], by_name, 0.7) or ""
    )
    return database.access.hide(f"Did you mean {meant!r}?") if meant else None
