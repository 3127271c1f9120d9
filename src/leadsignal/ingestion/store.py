"""The store: one DuckDB database in a temporary file, removed with its last reader."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.table_settings import Notation
from leadsignal.errors import Fault, OptionError, WriteError
from leadsignal.files.writing import clean_orphans, hold, remedy_for, uncut
from leadsignal.ingestion.cells import Reading, read_cell, sql_type
from leadsignal.schema import Column, Table
from leadsignal.sources.parts import Part, literal, quoted, too_large
from leadsignal.workers import threads

if TYPE_CHECKING:
    import duckdb

MEMORY = "1500MB"
UNPACKED = "8GB"
"""Maximum disk space of the rows of all tables, unpacked."""
WATCH_SECONDS = 0.05
PREFIX, SUFFIX = "leadsignal-", ".store"
ORIGINAL, HAS_OFFSET, CURRENCY_OF = "given ", "offset of ", "currency of "
"""Prefixes of the store's own columns; names of schema columns have no space."""
STORED_AS = {
    "id": "text",
    "text": "text",
    "day": "a date",
    "moment": "a timestamp",
    "number": "a number",
    "decimal": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


class Store:
    """A database file with a table for each table that was read.

    Row *n* of a table (its ``rowid``) is the *n*-th row of its sources. Extra columns keep the
    original text of cells that could not be read. ``fill`` may write a database before it is
    opened.
    """

    def __init__(self, fill: Callable[[Path], None] | None = None) -> None:
        with uncut():
            self._open(fill)

    def _open(self, fill: Callable[[Path], None] | None) -> None:
        import duckdb

        self.folder, handle = _own_folder()
        file = Path(self.folder, "store.duckdb")
        try:
            if fill is not None:
                fill(file)
            self.connection = duckdb.connect(
                file,
                config={
                    "memory_limit": memory_limit(),
                    "threads": threads(),
                    "temp_directory": os.path.join(self.folder, "spill"),
                },
            )
        except BaseException:
            _remove_folder(self.folder, handle)
            raise
        self.connection.execute("SET TimeZone = 'UTC'")
        # In Jupyter without ipywidgets there is no progress bar, and DuckDB refuses to disable it.
        with contextlib.suppress(duckdb.InvalidInputException):
            self.connection.execute("SET enable_progress_bar = false")
        self._remove = weakref.finalize(self, _remove, self.connection, self.folder, handle)
        self.tables: dict[str, list[str]] = {}
        self.limit, self.is_full = unpacked_limit(), False
        self._values: dict[tuple[str, str, tuple[str, str] | None], frozenset[str]] = {}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self.connection.cursor().execute(sql).fetchall()

    def values(
        self, table: str, column: str, where: tuple[str, str] | None = None
    ) -> frozenset[str]:
        """Return the distinct texts of a column, optionally of rows with one value; cached."""
        key = (table, column, where)
        if key not in self._values:
            only = f" WHERE {quoted(where[0])} = {literal(where[1])}" if where else ""
            found = self.query(f"SELECT DISTINCT {quoted(column)} FROM {table}{only}")
            self._values[key] = frozenset(str(text) for (text,) in found if text is not None)
        return self._values[key]

    def keep_ids(self, ids: Iterable[str]) -> str:
        """Keep ids in a table of one column, ``id``, as long as the store; return its name."""
        import pyarrow as pa

        listed = sorted(map(str, ids))
        name = f"ids_{hashlib.sha256(repr(listed).encode()).hexdigest()[:16]}"
        self.connection.register("listed_ids", pa.table({"id": pa.array(listed, pa.string())}))
        self.run(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT id FROM listed_ids")
        self.connection.unregister("listed_ids")
        return name

    def run(self, sql: str) -> None:
        """Run a statement."""
        self.connection.execute(sql)

    def shape(self) -> list[list[str]]:
        """Return table, name and type of each column; raises ValueError for views or functions."""
        mine = "database_name = current_database() AND NOT internal"
        others = [f"SELECT 1 FROM duckdb_{what}() WHERE {mine}" for what in ("views", "functions")]
        others.append(f"SELECT 1 FROM duckdb_columns() WHERE {mine} AND column_default IS NOT NULL")
        if self.query(" UNION ALL ".join(others)):
            raise ValueError("the store holds more than tables")
        columns = f"SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE {mine}"
        return [list(row) for row in self.query(f"{columns} ORDER BY table_name, column_index")]

    def export(self, file: Path, tables: Mapping[str, Iterable[str]]) -> None:
        """Write columns of tables to a database file, in row order."""
        self.compress_texts(True)
        self.run(f"ATTACH {literal(str(file))} AS exported")
        try:
            for table, columns in tables.items():
                listed = ", ".join(map(quoted, columns))
                self.run(f"CREATE TABLE exported.{table} AS SELECT {listed} FROM {table}")
        finally:
            self.run("DETACH exported")

    def delete(self, table: str, rows: list[int]) -> None:
        """Delete rows of a table by number."""
        import pyarrow as pa

        self.connection.register("bad_rows", pa.table({"row": pa.array(rows, pa.int64())}))
        self.run(f"DELETE FROM {table} WHERE rowid IN (SELECT row FROM bad_rows)")
        self.connection.unregister("bad_rows")

    def types_of(self, part: Part) -> dict[str, str]:
        """Return the DuckDB type of each column read from a part, by its name in the part."""
        if part.reader is not None:
            part.reader = part.reader() if callable(part.reader) else part.reader
            self.connection.register("incoming", part.reader)
        names = [name for name in part.columns if name in part.requested or not part.on_demand]
        listed = ", ".join(f"{part.columns[name]} AS c{at}" for at, name in enumerate(names))
        described = self.connection.execute(f"DESCRIBE SELECT {listed} FROM {part.relation}")
        return dict(zip(names, (row[1] for row in described.fetchall()), strict=True))

    def compress_texts(self, yes: bool) -> None:
        """Set whether texts are compressed: a quarter of the space, but twice the time."""
        self.run(f"SET disabled_compression_methods = '{'' if yes else 'dict_fsst'}'")

    def create(self, table: Table, columns: list[str], extras: list[str]) -> None:
        """Create a table with the given columns of the schema, and extra text columns."""
        listed = [f"{quoted(name)} {sql_type(table.by_column[name])}" for name in columns]
        for name in columns:
            kind = table.by_column[name].kind
            if kind not in ("id", "text"):
                listed.append(f"{quoted(ORIGINAL + name)} VARCHAR")
            if kind in ("day", "moment"):
                listed.append(f"{quoted(HAS_OFFSET + name)} BOOLEAN")
            if kind == "decimal":
                listed.append(f"{quoted(CURRENCY_OF + name)} VARCHAR")
        listed += [f"{quoted(name)} VARCHAR" for name in extras]
        self.run(f"CREATE TABLE {table.name} ({', '.join(listed)})")
        self.tables[table.name] = [*columns, *extras]

    def load(self, part: Part, readings: dict[str, Reading]) -> int:
        """Append the rows of a part and return their number."""
        selected = []
        for name, reading in readings.items():
            selected += [f"{sql} AS {quoted(one)}" for one, sql in _stored(name, reading)]
        rows = f"SELECT {', '.join(selected)} FROM {with_steps(part.relation, readings.values())}"
        with self._within_limit(part):
            ((count,),) = self.connection.execute(
                f"INSERT INTO {part.table} BY NAME {rows}"
            ).fetchall()
        if part.reader is not None:
            self.connection.unregister("incoming")
            part.reader = None
        return int(count)

    def read_again(self, table: str, column: Column, zone: str, spelling: Notation) -> None:
        """Read a column's unread originals again, in every other notation."""
        original = quoted(ORIGINAL + column.name)
        reading = read_cell(column, original, "VARCHAR", zone, spelling)
        if reading is None:
            return
        found = dict(_stored(column.name, reading))
        unread = f"(SELECT rowid AS row, {original} FROM {table} WHERE {original} IS NOT NULL)"
        listed = ", ".join(f"{sql} AS v{at}" for at, sql in enumerate(found.values()))
        changes = ", ".join(f"{quoted(name)} = s.v{at}" for at, name in enumerate(found))
        self.run(
            f"UPDATE {table} AS t SET {changes} FROM (SELECT row, {listed} FROM "
            f"{with_steps(unread, [reading])}) AS s WHERE t.rowid = s.row"
        )

    @contextlib.contextmanager
    def loading(self) -> Iterator[Callable[[], None]]:
        """Run the statements of the block as one transaction; yield a function that restarts it.

        A table may have thousands of parts, and each commit waits for the disk.
        """

        def start_again() -> None:
            self.run("ROLLBACK")
            self.run("BEGIN TRANSACTION")

        self.run("BEGIN TRANSACTION")
        try:
            yield start_again
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("ROLLBACK" if self.is_full else "COMMIT")

    @contextlib.contextmanager
    def _within_limit(self, part: Part) -> Iterator[None]:
        """Stop a statement that exceeds the disk limit: a file may be a decompression bomb."""
        import duckdb

        limit, done, over = self.limit, threading.Event(), threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_SECONDS):
                if bytes_in(self.folder) > limit:
                    over.set()
                    self.connection.interrupt()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except duckdb.Error:
            if not over.is_set():
                raise
        finally:
            done.set()
            watcher.join()
        if over.is_set() or bytes_in(self.folder) > limit:
            self.is_full = True
            raise too_large(part.table, part.file, limit)


def _stored(name: str, reading: Reading) -> Iterator[tuple[str, str]]:
    """Yield the columns of the store for a column that is read, and their SQL."""
    yield name, reading.value
    for prefix, sql in (
        (ORIGINAL, reading.original),
        (HAS_OFFSET, reading.has_offset),
        (CURRENCY_OF, reading.currency),
    ):
        if sql:
            yield prefix + name, sql


def with_steps(relation: str, readings: Iterable[Reading]) -> str:
    """Return SQL for a relation with the columns of all steps, each computed from those before."""
    for level in zip_longest(*(reading.steps for reading in readings)):
        listed = ", ".join(
            f"{sql} AS {quoted(step[0])}" for step in level if step for sql in step[1:]
        )
        relation = f"(SELECT *, {listed} FROM {relation})"
    return relation


def bytes_in(folder: str) -> int:
    """Return the total size of the files in a folder, in bytes."""
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # The store may remove files in the meantime.
                total += os.stat(os.path.join(where, name)).st_size
    return total


def unpacked_limit() -> int:
    """Return the maximum size of the unpacked rows in bytes: LEADSIGNAL_UNPACKED, or 8GB.

    >>> unpacked_limit()
    8000000000
    """
    return _bytes(*a_size("LEADSIGNAL_UNPACKED", UNPACKED))


def memory_bytes() -> int:
    """Return the memory limit of the store in bytes: LEADSIGNAL_MEMORY, or 1500MB.

    >>> memory_bytes()
    1500000000
    """
    return _bytes(*a_size("LEADSIGNAL_MEMORY", MEMORY))


def _bytes(number: str, unit: str) -> int:
    base = 1024 if "i" in unit else 1000
    return int(float(number) * base ** ("KMGT".index(unit[0]) + 1))


def a_size(variable: str, default: str) -> tuple[str, str]:
    """Return the number and unit of a size given in an environment variable."""
    text = os.environ.get(variable, default).strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", text)
    if not found:
        raise OptionError(f"{variable} = {text!r} is not a size", "Write 2GB or 800MB")
    return found[1], found[2]


def _own_folder() -> tuple[str, int]:
    """Create a folder that is locked while this process lives; remove those of dead processes."""
    place = _temporary()
    clean_orphans(place, PREFIX, SUFFIX)
    while True:
        try:
            folder = tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=place)
        except OSError as error:
            said = error.strerror or type(error).__name__
            raise WriteError(
                f"no temporary folder can be created in {place}: {said}",
                f"{remedy_for(error.errno)}; TMPDIR sets the place",
            ) from None
        handle = hold(Path(folder))
        if handle is not None:
            return folder, handle


def _temporary() -> Path:
    """Return the temporary folder; if TMPDIR is set, customer data are written nowhere else."""
    named = os.environ.get("TMPDIR")
    if named and not os.path.isdir(named):
        raise WriteError(f"TMPDIR is {named}, not a folder", "Create it, or correct TMPDIR")
    if named and not os.access(named, os.W_OK | os.X_OK):
        raise WriteError(
            f"TMPDIR is {named}, which cannot be written to", "Grant permission, or correct TMPDIR"
        )
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        raise WriteError(
            "no temporary folder can be written to", "Set TMPDIR to a folder that can"
        ) from None


def _remove_folder(folder: str, handle: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(handle)


def _remove(connection: duckdb.DuckDBPyConnection, folder: str, handle: int) -> None:
    with uncut(at_end=True):
        connection.close()
        _remove_folder(folder, handle)


def memory_limit() -> str:
    """Return the memory limit of the store as text: LEADSIGNAL_MEMORY, or 1500MB."""
    return "".join(a_size("LEADSIGNAL_MEMORY", MEMORY))


def reading_of(
    column: Column, part: Part, theirs: str, source: str, zone: str, spelling: Notation
) -> Reading | Fault:
    """Return how to read a column of a part, or the fault that it has the wrong type.

    Texts are first read as ISO dates or bare numbers; `Store.read_again` reads the rest.
    """
    reading = read_cell(column, part.columns[theirs], source, zone, spelling, plainly=True)
    if reading is not None:
        return reading
    kind = STORED_AS[column.kind]
    problem, remedy = f"a column of this type cannot be read as {kind}", f"Store it as {kind}."
    return Fault(part.file, part.table, part.header_line, theirs, source.lower(), problem, remedy)
