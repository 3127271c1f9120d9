"""Open databases: requests, and errors in plain words without secrets."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.config.credentials import Access
from leadsignal.errors import SourceError, near
from leadsignal.package_data import packaged_toml
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    import pyarrow as pa

ONE_SELECT = "A query is one SELECT, which reads and does nothing else"
_TOKEN = re.compile(
    r"""(?P<quote>'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`)
      | (?P<remark>--[^\r\n]* | /\*.*?\*/)
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_FIRST = ("select", "with", "values", "table", "from")
REFUSED = packaged_toml("leadsignal.sources", "refused_sql.toml")
_ACTS = re.compile("|".join(REFUSED["acts"]), re.IGNORECASE)


def one_select(query: str, dialect: str = "") -> str:
    """Return a query without a final semicolon.

    Raises SourceError unless it is certain to be a single SELECT that only reads.

    >>> one_select("SELECT 1; -- one")
    'SELECT 1'
    >>> one_select("SELECT 1) AS x; COPY (SELECT 1")
    Traceback (most recent call last):
    leadsignal.errors.SourceError: the query closes a parenthesis that it did not open. ...
    """
    for notation in REFUSED["ambiguous"]:
        if re.search(notation["pattern"], query):
            raise SourceError(f"the query {notation['problem']}", notation["remedy"])
    if dialect in REFUSED["no_semicolons"] and re.search(r"\[[^\]]*['\"`]", query):
        raise SourceError("the query has a quote in square brackets", "Write names in quotes")
    tokens = [found for found in _TOKEN.finditer(query) if found[0].strip()]
    meant = [found for found in tokens if found["remark"] is None]
    while meant and meant[-1][0] == ";":
        meant.pop()
    _refuse_more_than_one(meant)
    _refuse_remarks(tokens, dialect)
    _refuse_acts(meant, dialect)
    return query[: meant[-1].end()]


def _refuse_more_than_one(meant: list[re.Match[str]]) -> None:
    first = next((found[0].lower() for found in meant if found[0] != "("), "")
    if first not in _FIRST:
        raise SourceError("the query is not a SELECT", ONE_SELECT)
    depth = 0
    for found in meant:
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth < 0:
            raise SourceError("the query closes a parenthesis that it did not open", ONE_SELECT)
        if found[0] == ";":
            raise SourceError("the query is more than one statement", ONE_SELECT)
        if found[0] in ("'", '"', "`"):
            raise SourceError("the query has a quote that is never closed", "Close it")
    if depth:
        raise SourceError("the query opens a parenthesis that it does not close", "Close it")


def _refuse_remarks(tokens: list[re.Match[str]], dialect: str) -> None:
    """Refuse comments that another database would begin or end elsewhere."""
    hashes = dialect in REFUSED["hash_remarks"]
    for found in tokens:
        remark = found["remark"] or ""
        nested = remark.startswith("/*") and "/*" in remark[2:]
        joined = remark.startswith("--") and remark[2:3].strip() != "" and hashes
        if nested or joined or (found[0] == "#" and hashes):
            raise SourceError(
                "the query has a comment that databases read differently",
                "Write it as -- comment, on a separate line",
            )
        if found[0] == "/" and found.string.startswith("*", found.end()):
            raise SourceError("the query has a comment that is never closed", "Close it")


def _refuse_acts(meant: list[re.Match[str]], dialect: str) -> None:
    begins = REFUSED["begins"] if dialect in REFUSED["no_semicolons"] else ()
    refused = {*REFUSED["writes"], *begins}
    for found, after in zip(meant, [*meant[1:], None], strict=True):
        called = after is not None and after[0] == "("
        word = found["word"]
        if word and word.lower() in refused and not (called and word.lower() == "insert"):
            remedy = f'{ONE_SELECT}; as the name of a column, write it in quotes: "{word}"'
            raise SourceError(f"the query has the word {word.upper()}", remedy)
        name = word or _name_in(found["quote"])
        if called and name and _ACTS.fullmatch(name):
            raise SourceError(f"the query calls {name}", ONE_SELECT)


def _name_in(quote: str | None) -> str | None:
    """Return the name in double quotes or backticks."""
    return quote[1:-1] if quote and quote[0] in '"`' else None


# Databases ----------------------------------------------------------------------------------------


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


KINDS: tuple[tuple[str, str, str], ...] = tuple(
    ("|".join(one["patterns"]), one["problem"], one["remedy"])
    for one in packaged_toml("leadsignal.sources", "refusals.toml")["refusal"]
)
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
