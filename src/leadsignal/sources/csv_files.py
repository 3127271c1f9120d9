"""Read CSV files: encoding, delimiter, header, ragged rows, and line numbers of rows."""

from __future__ import annotations

import codecs
import csv
import io
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import (
    SEARCHED,
    Footer,
    Names,
    Part,
    Row,
    find_footer,
    is_value,
    named_after_months,
    refuse_repeated,
    refuse_titles,
    refuse_too_wide,
    unreadable,
)

BLOCK = 1 << 22
MAX_HEADER = 1_000_000
HELD = 10_000
"""Maximum number of faults kept per kind; further ones are only counted."""
TAIL = 1 << 16
"""Number of bytes at the end of a file that are searched for a footer."""
DELIMITERS = (",", ";", "\t", "|")
_SEP = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The line with the delimiter with which Excel may begin a file."""
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


BLANKS = "\u0020\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Characters trimmed from cells: the Unicode spaces, as in DuckDB's ``trim``."""
OTHER_FORMATS = (
    (b"PK\x03\x04", "is a workbook or an archive", ".xlsx if it is a workbook"),
    (b"\x1f\x8b", "is compressed", ".gz"),
    (b"\x28\xb5\x2f\xfd", "is compressed", ".zst"),
    (b"PAR1", "is Parquet", ".parquet"),
)
"""First bytes of files in other formats, what they are, and the extension that reads them."""


@dataclass
class CsvFile:
    """A CSV file with its encoding, delimiter and header.

    The header ends on line ``header_lines``; the ``titles`` lines before it are skipped.
    """

    table: str
    path: Path
    shown: str
    encoding: str
    delimiter: str
    header: list[str]
    header_lines: int
    titles: int = 0
    footer: Footer | None = None
    ragged: list[tuple[int, int]] = field(default_factory=list)

    def read(self) -> Any:
        """Return an Arrow stream of the rows, as trimmed text in columns c0, c1, …."""
        import pyarrow as pa
        from pyarrow import compute

        def trimmed() -> Iterator[Any]:
            for batch in rows:
                cells = [compute.utf8_trim(column, BLANKS) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(cells, schema=rows.schema)

        rows = self._rows()
        return pa.RecordBatchReader.from_batches(rows.schema, trimmed())

    def _rows(self) -> Any:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        self.ragged.clear()
        names = [f"c{index}" for index in range(len(self.header))]
        # A transcoded stream keeps the byte-order mark in the header, which is skipped.
        return arrow_csv.open_csv(
            str(self.path),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=names,
                skip_rows=self.header_lines,
                encoding=self.encoding.replace("utf-8-sig", "utf-8"),
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._note_ragged,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )

    def _note_ragged(self, row: Any) -> str:
        self.ragged.append((row.number - self.header_lines, row.actual_columns))
        return "skip"

    def first_rows(self) -> Iterator[Row]:
        """Yield the cells of the lines after the header that are searched for the actual header.

        A title may hide the delimiter, so the delimiter that gives most cells is used.
        """
        with self.path.open(encoding=self.encoding, errors="replace", newline="") as file:
            lines = list(islice(enumerate(file, 1), self.header_lines, SEARCHED))
        rows = {sign: [(n, _split(line, sign)) for n, line in lines] for sign in DELIMITERS}
        yield from max(rows.values(), key=lambda some: sum(len(cells) for _, cells in some))

    def find_footer(self, names: Names) -> Footer | None:
        """Return the footer, if there is one and the encoding has one-byte line ends."""
        if self.encoding.startswith(("utf-16", "utf-32")):
            return None
        with self.path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(size - TAIL, 0))
            tail = file.read().decode(self.encoding, errors="replace").rstrip("\n").split("\n")
        # The first line may have been cut off, except in a file that was read completely.
        lines = list(enumerate(tail, 1))[1 if size > TAIL else self.header_lines :][-SEARCHED:]
        rows = [(n, _split(line.rstrip("\r"), self.delimiter)) for n, line in lines]
        found = find_footer(rows, self.header, names)
        if found and size > TAIL:
            with self.path.open("rb") as file:
                breaks = sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
                file.seek(-1, io.SEEK_END)
                total = breaks + (file.read() != b"\n")
            found = replace(found, first_line=found.first_line + total - len(tail))
        return found

    def faults(self) -> tuple[list[Fault], int]:
        """Return faults for ragged rows found while reading, and the number of further ones.

        Raises UnreadableError if a quote is never closed, since it swallows the rest of the file.
        """
        self._refuse_unclosed_quote()
        ragged = self.ragged[:HELD]
        lines = self._physical([record for record, _ in ragged])
        expected = len(self.header)
        return [
            Fault(
                self.shown,
                self.table,
                line,
                None,
                f"{cells} cells",
                f"the row does not have {expected} cells",
                f"Bring it to {expected} cells; put quotes around a cell with {self.delimiter!r}.",
            )
            for line, (_, cells) in zip(lines, ragged, strict=True)
        ], len(self.ragged) - len(ragged)

    def lines(self, rows: list[int]) -> list[int]:
        """Return the line numbers of rows, which are counted from 0 without ragged ones."""
        # The k-th ragged record has `record - k - 1` good rows before it.
        before = [record - index - 1 for index, (record, _) in enumerate(self.ragged)]
        return self._physical([row + 1 + bisect_right(before, row) for row in rows])

    def _refuse_unclosed_quote(self) -> None:
        if not _quotes_are_odd(self.path):
            return
        opened, inside = 0, False
        for number, line in self._text():
            opened = opened if inside else number
            inside = _ends_inside(line, inside, self.delimiter)
        if inside:
            remedy = "Close it, or double it if it is part of the text."
            raise unreadable(self.table, self.shown, "a quote is never closed", remedy, opened)

    def _physical(self, records: list[int]) -> list[int]:
        requested = sorted(set(records))
        found: dict[int, int] = {}
        position = 0
        for record, line in enumerate(_record_lines(self._text(), self.delimiter)):
            if position == len(requested):
                break
            if record == requested[position]:
                found[record] = line
                position += 1
        return [found.get(record, record + self.header_lines) for record in records]

    def _text(self) -> Iterator[tuple[int, str]]:
        """Yield the number and text of each line from the header on."""
        with self.path.open(encoding=self.encoding, errors="replace", newline="") as file:
            yield from islice(enumerate(file, 1), self.titles, None)


def _record_lines(lines: Iterable[tuple[int, str]], delimiter: str) -> Iterator[int]:
    """Yield the line number on which each record begins; the header is record 0."""
    inside = False
    for number, line in lines:
        if not inside and line.strip("\r\n"):
            yield number
        inside = _ends_inside(line, inside, delimiter)


def _ends_inside(line: str, inside: bool, delimiter: str) -> bool:
    """Return whether a quote is open at the end of a line; it can open only at a cell's start."""
    if '"' not in line:
        return inside
    at = 0
    while True:
        if not inside and line.startswith('"', at):
            inside, at = True, at + 1
        if inside:
            at = line.find('"', at) + 1
            if not at:
                return True
            inside = line.startswith('"', at)
            at += inside
        if not inside:
            at = line.find(delimiter, at) + 1
            if not at:
                return False


def _quotes_are_odd(path: Path) -> bool:
    quotes = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            quotes += block.count(b'"')
    return bool(quotes % 2)


def open_csv(
    table: str,
    path: Path,
    shown: str,
    source: TableSource,
    shorten: Callable[[Path, str, int], Path] | None = None,
) -> Part:
    """Return a CSV file as a part; raises UnreadableError if it is not readable.

    ``shorten`` copies a file from an encoding to UTF-8, without a number of lines at its end.
    """
    encoding = source.encoding or encoding_of(table, path, shown)
    notices: tuple[str, ...] = ()
    if source.encoding is None and encoding in ("cp1252", "latin-1"):
        notices = (
            f"{shown} is not UTF-8 and was read as {encoding}; set encoding if that is wrong",
        )
    names = Names.of(table, source)
    file = _with_header(table, path, shown, encoding, source, names)
    refuse_too_wide(table, shown, len(file.header))
    if names.known and source.header_line is None:
        refuse_titles(table, shown, file.header, file.first_rows(), names)
    _refuse_bad_header(table, shown, file, names)
    if table in BY_NAME and source.footer is None:
        file.footer = file.find_footer(names)
    if source.footer and shorten:
        file.path, file.encoding = shorten(path, encoding, source.footer), "utf-8"
    columns: dict[str, str] = {}
    for index, name in enumerate(file.header):
        columns.setdefault(name, f"nullif(c{index}, '')")
    return Part(
        table,
        shown,
        columns,
        reader=file.read,
        header_line=file.header_lines,
        # CSV takes about three times as much space as Parquet.
        bytes=path.stat().st_size // 3,
        faults=file.faults,
        lines=file.lines,
        notices=notices,
        footer=file.footer,
    )


def encoding_of(table: str, path: Path, shown: str) -> str:
    """Return the encoding of a file: that of its byte-order mark, else UTF-8 or Windows-1252."""
    with path.open("rb") as file:
        start = file.read(4)
        for mark, what, end in OTHER_FORMATS:
            if start.startswith(mark):
                raise unreadable(table, shown, f"{what}, not text", f"Give it the ending {end}.")
        for mark, name in BYTE_ORDER_MARKS:
            if start.startswith(mark):
                return name
        file.seek(0)
        head = file.read(4096)
        if head.count(b"\0") > len(head) // 3:
            return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
        file.seek(0)
        return _eight_bit(table, shown, file)


def _eight_bit(table: str, shown: str, file: io.BufferedReader) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    undefined = False
    encoding = "utf-8"
    while block := file.read(BLOCK):
        if b"\0" in block:
            line = _line_at(file, file.tell() - len(block) + block.index(b"\0"))
            remedy = "The file is damaged: export it again."
            raise unreadable(table, shown, "holds a NUL byte", remedy, line)
        if block.isascii() and not decoder.getstate()[0]:
            continue
        undefined = undefined or any(byte in block for byte in b"\x81\x8d\x8f\x90\x9d")
        if encoding == "utf-8" and not _decodes(decoder, block):
            encoding = "cp1252"
    if encoding == "utf-8" and not _decodes(decoder, b"", final=True):
        encoding = "cp1252"
    return "latin-1" if encoding == "cp1252" and undefined else encoding


def _line_at(file: io.BufferedReader, place: int) -> int:
    """Return the line number of the byte at a position."""
    file.seek(0)
    lines = 1
    while place > 0:
        block = file.read(min(BLOCK, place))
        lines += block.count(b"\n")
        place -= len(block)
    return lines


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _with_header(
    table: str, path: Path, shown: str, encoding: str, source: TableSource, names: Names
) -> CsvFile:
    """Return a file with its delimiter, its column names, and the number of header lines."""
    choices = (source.delimiter,) if source.delimiter else DELIMITERS
    try:
        titles = (source.header_line or 1) - 1
        first, lines = _first_record(path, encoding, titles)
        if source.header_line is None and (separator := _SEP.fullmatch(first)):
            choices, titles = (separator[1],), lines
            first, lines = _first_record(path, encoding, titles)
        if len(first) >= MAX_HEADER:
            remedy = "Export it again, with the column names in the first line."
            problem = f"the header is longer than {MAX_HEADER:,} characters"
            raise unreadable(table, shown, problem, remedy, titles + 1)
    except (UnicodeError, LookupError):
        remedy = "Save it as UTF-8, or correct the encoding."
        raise unreadable(table, shown, f"is not {encoding}", remedy) from None
    if not first.strip():
        problem = f"has no line {titles + 1}" if titles else "is empty"
        remedy = "Correct header_line." if source.header_line else "Export it again, or remove it."
        raise unreadable(table, shown, problem, remedy)
    split = {delimiter: _split(first, delimiter) for delimiter in choices}
    delimiter = max(
        split, key=lambda sign: (len(names.known.intersection(split[sign])), len(split[sign]))
    )
    return CsvFile(table, path, shown, encoding, delimiter, split[delimiter], lines, titles)


def _split(record: str, delimiter: str) -> list[str]:
    lines = record.splitlines(keepends=True)
    try:
        return [name.strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
    except csv.Error:
        return [record]


def _first_record(path: Path, encoding: str, after: int = 0) -> tuple[str, int]:
    """Return the first non-blank record after some lines, and the number of lines to its end."""
    record = ""
    with path.open(encoding=encoding, newline=None) as file:
        number = after
        lines = iter(lambda: file.readline(MAX_HEADER), "")
        for number, line in islice(enumerate(lines, 1), after, None):
            record += line if record or line.strip() else ""
            if record and record.count('"') % 2 == 0:
                break
            if number > after + 1000 or len(record) > MAX_HEADER:
                break
    return record.rstrip("\n"), number


def _refuse_bad_header(table: str, shown: str, file: CsvFile, names: Names) -> None:
    header, known = file.header, names.known
    values = [name for name in header if is_value(name)]
    is_data = bool(values) and len(named_after_months(header)[1]) < len(values)
    if known and not known.intersection(header) and is_data:
        needed = BY_NAME[table].required if table in BY_NAME else sorted(known)
        remedy = f"Write the column names in the first line: {', '.join(needed)}."
        raise unreadable(table, shown, "has no header: its first line holds data", remedy, 1)
    refuse_repeated(table, shown, header, known, file.header_lines)
