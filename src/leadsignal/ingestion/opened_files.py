"""Open files as parts of a table, and leave rows out that the project excludes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault, one_of
from leadsignal.formats import count_of
from leadsignal.ingestion.store import Store, bytes_in, memory_bytes
from leadsignal.package_data import packaged_queries
from leadsignal.schema import BY_NAME, Column, Table
from leadsignal.sources.csv_files import open_csv
from leadsignal.sources.json_files import open_json
from leadsignal.sources.locate import PACKED, Located, ending, packing_suffix
from leadsignal.sources.parts import (
    Part,
    UnreadableError,
    exactly,
    literal,
    quoted,
    refuse_too_wide,
    too_large,
    unreadable,
)
from leadsignal.sources.workbooks import open_workbook

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
        raise unreadable(table, shown, problem, "Export it again.") from None
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
        raise unreadable(table, shown, problem, "Export it again.")
    return int(rows or 0)


# Compressed files ---------------------------------------------------------------------------------


BLOCK = 1 << 20


class Unpacking:
    """The unpacked files of one reading, and their folder.

    ``used()`` returns the disk space used by the reading so far, in bytes; ``limit`` the maximum.
    """

    def __init__(self, folder: Path, used: Callable[[], int], limit: int) -> None:
        self.folder, self.used, self.limit = folder, used, limit
        self.unpacked = 0

    def plain(self, table: str, file: Path, shown: str) -> Path:
        """Return a file, unpacked if it is compressed; raises UnreadableError if this fails."""
        packing = packing_suffix(file.name)
        if not packing:
            return file
        self.unpacked += 1
        self.folder.mkdir(exist_ok=True)
        end = ending(file.name).removesuffix(packing)
        plain = self.folder / f"unpacked-{self.unpacked:05}{end}"
        if not file.stat().st_size:
            raise unreadable(table, shown, "is empty", "Export it again.")
        try:
            self._unpack(table, file, plain, shown)
        except UnreadableError:
            plain.unlink()
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            problem = f"is not a {packing} file, or is damaged"
            raise unreadable(table, shown, problem, "Export it again.") from None
        return plain

    def shortened(self, file: Path, encoding: str, lines: int) -> Path:
        """Return a UTF-8 copy of a text file without its last lines, not counting blank ones."""
        self.unpacked += 1
        self.folder.mkdir(exist_ok=True)
        copy = self.folder / f"unpacked-{self.unpacked:05}"
        waiting: deque[str] = deque()
        blank = 0
        with (
            file.open(encoding=encoding, errors="replace", newline="") as text,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            for line in text:
                waiting.append(line)
                blank = 0 if line.strip() else blank + 1
                while len(waiting) > lines + blank:
                    out.write(waiting.popleft())
        return copy

    def _unpack(self, table: str, file: Path, plain: Path, shown: str) -> None:
        import pyarrow as pa

        room = self.limit - self.used()
        packed = pa.input_stream(str(file), compression=PACKED[packing_suffix(file.name)])
        with packed, plain.open("wb") as out:
            while block := packed.read(BLOCK):
                room -= len(block)
                if room < 0:
                    raise too_large(table, shown, self.limit)
                out.write(block)


# Opening by format --------------------------------------------------------------------------------


def unpacking_in(store: Store) -> Unpacking:
    """Return an unpacking of files into the folder of a store, within its size limit."""
    return Unpacking(Path(store.folder) / "copies", lambda: bytes_in(store.folder), store.limit)


def open_file(
    file_format: str,
    table: str,
    file: Path,
    shown: str,
    source: TableSource,
    store: Store,
    unpacking: Unpacking,
) -> Part:
    """Return a file as a part of a table; raises UnreadableError if it cannot be opened."""
    plain = unpacking.plain(table, file, shown)
    if file_format == "parquet":
        return open_parquet(table, plain, shown, store.connection)
    if file_format == "json":
        return open_json(table, plain, shown, source, store.connection)
    if file_format == "workbook":
        return open_workbook(table, plain, shown, source, memory_bytes())
    return open_csv(table, plain, shown, source, unpacking.shortened)


def refuse_needless(found: Located, shown: str, source: TableSource) -> None:
    """Raise UnreadableError for a setting that applies to other file formats only."""
    needless = {
        "sheet": source.sheet and found.format != "workbook",
        "header_line": source.header_line and found.format in ("json", "parquet"),
        "footer": source.footer and found.format in ("json", "parquet"),
    }
    for name, is_needless in needless.items():
        if is_needless:
            what = ".xlsx" if name == "sheet" else ".csv and .xlsx"
            problem = f"{name} is set, which only {what} files have"
            remedy = f"Take {name} out of [tables.{found.table}]."
            raise unreadable(found.table, shown, problem, remedy)


def columns_in_folder_names(part: Part, file: Path) -> Iterator[Fault]:
    """Yield a fault for each column whose values are in folder names, as in series=api/."""
    for name in file.parts[:-1]:
        column, sign, _ = name.partition("=")
        if sign and column in BY_NAME[part.table].by_column and column not in part.columns:
            problem = "its values are in the names of folders, which are not read"
            remedy = "Write the column into the files too."
            yield Fault(part.file, part.table, None, column, name, problem, remedy)


WHERE, USER, SOURCE_ROW = "where\t", "user\t", "source row\t"
"""Names of the store's own columns; names of source columns have no tab."""
MAX_VALUES = 1_000
"""Number of the most frequent values of a column that are searched for the one meant."""
USERS = "users_of_"

Query = Callable[[str], list[tuple[Any, ...]]]


def users_table(table: str) -> Table:
    """Return the schema of the table that maps a table's users to accounts."""
    columns = (
        Column("user_id", "id", "the user", required=True),
        Column("account_id", "id", "the account of the user", required=True),
    )
    return Table(f"{USERS}{table}", "accounts of users", time="", columns=columns)


def markers(source: TableSource) -> dict[str, str]:
    """Return the columns that select rows: the store's name of each, and the source's."""
    found = {f"{WHERE}{name}": name for name in source.where}
    if source.users is not None:
        found[USER] = source.columns.get("user_id", "user_id")
    return found


def requiring(table: Table, is_required: Callable[[Column], bool]) -> Table:
    """Return a table with other required columns."""
    columns = [replace(column, required=is_required(column)) for column in table.columns]
    return replace(table, columns=tuple(columns))


def without_lifetimes(accounts: Table) -> Table:
    """Return the table of accounts with only account_id required; contracts give the rest."""
    return requiring(accounts, lambda column: column.name == "account_id")


def without_account(table: Table, source: TableSource) -> Table:
    """Return a table with account_id optional, if users identify the account."""
    if source.users is None:
        return table
    return requiring(table, lambda column: column.required and column.name != "account_id")


def missing_markers(part: Part, source: TableSource, table: Table) -> Iterator[Fault]:
    """Yield a fault for each column of ``where`` and ``users`` that a part lacks."""
    theirs = list(part.columns)
    for ours, name in markers(source).items():
        if name in theirs:
            continue
        what = "users needs" if ours == USER else "where names"
        problem = f"there is no column {name!r}, which {what}"
        if ours == USER:
            problem, name = f"there is no column {name!r}, by which users are found", "user_id"
        line, remedy = part.header_line, f"{one_of(theirs, name)}."
        yield Fault(part.file, table.name, line, name, None, problem, remedy)


def select_rows(
    store: Store, table: Table, source: TableSource, columns: list[str], file: str | None
) -> tuple[list[Fault], list[str]]:
    """Drop rows of a table in the store; return faults, or else notices of how many.

    The remaining rows store their position in the source in a separate column.
    """
    faults = [*_unknown_values(store.query, table.name, source, file)]
    if faults:
        return faults, []
    name, account = table.name, "t.account_id"
    requested, joined, unknown, owner = _requested(source), "", "false", "NULL"
    if source.users is not None:
        owner = f"t.{quoted(USER)}"
        joined = f" LEFT JOIN {USERS}{name} u ON {owner} = u.user_id"
        account = "coalesce(t.account_id, u.account_id)"
        unknown = f"t.account_id IS NULL AND {owner} IS NOT NULL AND u.user_id IS NULL"
    again = "false"
    if "event_id" in columns:
        first = f"row_number() OVER (PARTITION BY {requested}, event_id ORDER BY t.rowid)"
        again = f"event_id IS NOT NULL AND {first} > 1"
    counted = (
        f"SELECT t.rowid AS row, {account} AS account, {requested} AS requested, {again} AS again, "
        f"{unknown} AS unknown, {owner} AS owner FROM {name} t{joined}"
    )
    store.run(f"CREATE TABLE chosen AS {counted}")
    remarks = [*_remarks(store.query, source)]
    if source.users is not None and (nobody := _nobody_known(store.query, name, file)):
        store.run("DROP TABLE chosen")
        return [nobody], []
    columns = [row[0] for row in store.query(f"DESCRIBE {name}")]
    others = [quoted(c) for c in columns if c not in markers(source)]
    listed = ", ".join(
        "c.account AS account_id" if c == '"account_id"' else f"t.{c}" for c in others
    )
    store.run(
        f"CREATE TABLE chosen_rows AS SELECT {listed}, c.row AS {quoted(SOURCE_ROW)} FROM {name} t "
        "JOIN chosen c ON t.rowid = c.row WHERE c.requested AND NOT c.again AND NOT c.unknown "
        "ORDER BY c.row"
    )
    store.run(f"DROP TABLE {name}")
    store.run("DROP TABLE chosen")
    store.run(f"ALTER TABLE chosen_rows RENAME TO {name}")
    return [], remarks


def _requested(source: TableSource) -> str:
    """SQL: whether a row satisfies ``where``."""
    every = []
    for name, values in source.where.items():
        cell = f"t.{quoted(f'{WHERE}{name}')}"
        every.append(f"({' OR '.join(_has(cell, value) for value in values)})")
    return " AND ".join(every) or "true"


def _has(cell: str, value: str) -> str:
    if value in ("true", "false"):
        return f"coalesce(lower({cell}) = {literal(value)}, false)"
    return f"coalesce({cell}, '') = {literal(value)}"


def _unknown_values(
    query: Query, table: str, source: TableSource, file: str | None
) -> Iterator[Fault]:
    for name, values in source.where.items():
        cell = quoted(f"{WHERE}{name}")
        for value in values:
            if query(f"SELECT 1 FROM {table} WHERE {_has(cell, value)} LIMIT 1"):
                continue
            found = query(
                f"SELECT {cell} FROM {table} WHERE {cell} IS NOT NULL GROUP BY 1 "
                f"ORDER BY count(*) DESC, 1 LIMIT {MAX_VALUES}"
            )
            known = [text for (text,) in found]
            problem = "no row has this value, which where names"
            remedy = f"{one_of(known, value)}." if known else "The column is empty."
            yield Fault(file, table, None, name, value, problem, remedy)


def _remarks(query: Query, source: TableSource) -> Iterator[str]:
    chosen = packaged_queries("leadsignal.ingestion", "rows.sql")["chosen"]
    ((rows, excluded, again, unknown, owners, first),) = query(chosen)
    if excluded:
        columns = ", ".join(source.where)
        yield f"{count_of(excluded, 'row')} of {rows:,} left out by where ({columns})"
    if again:
        yield f"{count_of(again, 'row')} left out: an earlier row has the same event_id"
    if unknown:
        values = f"{count_of(owners, 'value')} of {source.columns.get('user_id', 'user_id')}"
        named = source.users.path if isinstance(source.users, TableSource) else ""
        where = f"in {named or 'users'}"
        yield f"{count_of(unknown, 'row')} left out: {values} not {where}, as {first!r}"


def _nobody_known(query: Query, table: str, file: str | None) -> Fault | None:
    """Return the fault that no user is known, which means a mistake in one of the two tables."""
    ((unknown, known, example),) = query(
        "SELECT count(*) FILTER (WHERE unknown), count(*) FILTER (WHERE account IS NOT NULL), "
        "min(owner) FROM chosen WHERE requested"
    )
    if not unknown or known:
        return None
    ((other,),) = query(f"SELECT min(user_id) FROM {USERS}{table}")
    problem = f"users lists none of these users; its ids look like {other!r}"
    remedy = 'Map the column that matches it: columns = { user_id = "…" }.'
    return Fault(file, table, None, "user_id", example, problem, remedy)


def source_rows(query: Query, table: str, rows: list[int]) -> Mapping[int, int]:
    """Return the source positions of rows of a table from which others were dropped."""
    if not rows:
        return {}
    listed = ", ".join(map(str, rows))
    found = query(f"SELECT rowid, {quoted(SOURCE_ROW)} FROM {table} WHERE rowid IN ({listed})")
    return {int(row): int(place) for row, place in found}
