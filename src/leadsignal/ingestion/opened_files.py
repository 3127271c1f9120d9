"""Open files as parts of a table, by format."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.ingestion.store import Store, bytes_in, memory_bytes
from leadsignal.schema import BY_NAME
from leadsignal.sources.csv_files import open_csv
from leadsignal.sources.json_files import open_json
from leadsignal.sources.locate import PACKED, Located, ending, packing_suffix
from leadsignal.sources.parts import (
    Part,
    UnreadableError,
    exactly,
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
