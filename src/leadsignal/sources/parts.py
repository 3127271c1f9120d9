"""Parts of a table: each is one file or frame, cleared of titles and totals for people.

Files of a table that have the same columns are read together.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.formats import plain_name
from leadsignal.package_data import packaged_toml
from leadsignal.schema import BY_NAME, Table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


MAX_COLUMNS = 2_000
"""Maximum number of columns; a file with more is probably not a table."""


@dataclass(frozen=True)
class Footer:
    """Lines at the end of a file that are not rows: their number, and the first line number."""

    lines: int
    first_line: int

    def of(self, fault: Fault) -> Fault:
        """Return a fault of a line, or the fault of a footer if the line is in this one."""
        if fault.line is None or fault.line < self.first_line:
            return fault
        one = self.lines == 1
        what = "the last line" if one else f"the last {self.lines} lines"
        problem = f"is not a row: {what} of the file seem{'s' * one} to be a footer"
        setting = f"footer = {self.lines} under [tables.{fault.table}]"
        remedy = f"Leave {'it' if one else 'them'} out: {setting}."
        return Fault(fault.file, fault.table, fault.line, None, None, problem, remedy)


class UnreadableError(Exception):
    """A part cannot be read at all; ``fault`` says why."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


@dataclass
class Part:
    """One file or frame of a table.

    ``columns`` maps column names to the SQL that reads them from ``relation``; ``reader`` is the
    Arrow stream to register under that name, if there is one. Once all rows are read, ``faults()``
    returns the lines that could not be read, and the number of further ones; it raises
    UnreadableError if the whole file cannot be trusted. ``lines(rows)`` returns the line numbers
    of rows. For a Parquet file, ``path`` is the SQL of its name, and ``rows`` comes from its
    metadata; parts are read together only if they have the same ``types``. ``footer`` are lines at
    the end of a file that seem not to be rows. If a part is read ``on_demand``, only the
    ``requested`` columns are fetched from the database.
    """

    table: str
    file: str | None
    columns: Mapping[str, str]
    relation: str = "incoming"
    reader: Any = None
    header_line: int | None = None
    bytes: int = 0
    faults: Callable[[], tuple[list[Fault], int]] = field(default=lambda: ([], 0))
    lines: Callable[[list[int]], list[int]] = field(default=lambda rows: [row + 1 for row in rows])
    notices: tuple[str, ...] = ()
    on_demand: bool = False
    path: str = ""
    rows: int | None = None
    types: tuple[str, ...] = ()
    requested: tuple[str, ...] = ()
    footer: Footer | None = None


def unreadable(
    table: str | None,
    file: str | None,
    problem: str,
    remedy: str,
    line: int | None = None,
    column: str | None = None,
    value: str | None = None,
) -> UnreadableError:
    """Return the error of a part of a table that cannot be read."""
    return UnreadableError(Fault(file, table, line, column, value, problem, remedy))


def refuse_too_wide(table: str, file: str, columns: int) -> None:
    """Raise UnreadableError for a file with more than 2,000 columns."""
    if columns > MAX_COLUMNS:
        problem = f"has {columns:,} columns; at most {MAX_COLUMNS:,} are read"
        raise unreadable(table, file, problem, "Export only the columns needed.")


def too_large(table: str, file: str | None, limit: int) -> UnreadableError:
    """Return the error of a file that takes more disk space than allowed."""
    problem = f"unpacks to more than {limit:,} bytes, with what was read before"
    remedy = "Check the file; if it is correct, set LEADSIGNAL_UNPACKED=50GB."
    return unreadable(table, file, problem, remedy)


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier.

    >>> quoted("Go live")
    '"Go live"'
    """
    return '"' + name.replace('"', '""') + '"'


def exactly(path: str) -> str:
    """Return a file name as a SQL string literal, with wildcards escaped.

    >>> exactly("usage[1].parquet")
    "'usage[[]1].parquet'"
    """
    return literal(re.sub(r"[*?[]", r"[\g<0>]", path))


def literal(text: str) -> str:
    """Return a text as a SQL string literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Return texts as SQL string literals, separated by commas."""
    return ", ".join(map(literal, texts))


@dataclass
class CombinedParts:
    """Consecutive parts with the same columns; ``whole`` reads all of them as one.

    ``rows`` are the numbers of rows of the parts, once ``whole`` was read.
    """

    parts: Sequence[Part]
    whole: Part
    rows: list[int] = field(default_factory=list)


def in_groups(parts: Sequence[Part]) -> list[CombinedParts]:
    """Return parts in groups of neighbours that can be read as one."""
    grouped = groupby(enumerate(parts), lambda pair: _kind(*pair))
    return [_together([part for _, part in group]) for _, group in grouped]


def single_part(part: Part) -> CombinedParts:
    """Return a part as a separate group."""
    return CombinedParts([part], part)


def _kind(number: int, part: Part) -> object:
    """Return the key that parts must share to be read as one; unique if a part is read alone."""
    if part.file is None or part.on_demand or (part.reader is None and part.rows is None):
        return number
    return (part.reader is None, part.header_line, tuple(part.columns.items()), part.types)


def _together(parts: list[Part]) -> CombinedParts:
    if len(parts) == 1:
        return single_part(parts[0])
    group = CombinedParts(parts, parts[0])
    if parts[0].reader is None:
        group.rows = [part.rows or 0 for part in parts]
        listed = ", ".join(part.path for part in parts)
        relation = f"read_parquet([{listed}], hive_partitioning = false)"
        group.whole = replace(parts[0], relation=relation)
    else:
        group.whole = replace(parts[0], reader=lambda: _chained(group))
    return group


def _chained(group: CombinedParts) -> Any:
    """Return a single stream of the rows of all parts, which counts them."""
    import pyarrow as pa

    first = group.parts[0].reader()
    group.rows = [0] * len(group.parts)

    def batches() -> Iterator[Any]:
        for number, part in enumerate(group.parts):
            for batch in first if number == 0 else part.reader():
                group.rows[number] += batch.num_rows
                yield batch

    return pa.RecordBatchReader.from_batches(first.schema, batches())


# Frames -------------------------------------------------------------------------------------------


def open_frame(table: str, frame: Any) -> Part:
    """Return a frame as a part; raises UnreadableError for other objects."""
    reader = _arrow(table, frame)
    names = list(reader.schema.names)
    numbered = reader_with_names(reader, [f"c{index}" for index in range(len(names))])
    columns: dict[str, str] = {}
    for index, name in enumerate(names):
        columns.setdefault(name, f"c{index}")
    if repeated := sorted(name for name in names if names.count(name) > 1):
        problem = "the frame has this column twice"
        raise unreadable(table, None, problem, "Rename one.", column=repeated[0])
    return Part(table, None, columns, reader=lambda: numbered)


def _is_pandas(frame: object) -> bool:
    # A pandas frame exists only if pandas is imported, so other frames need not import it.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(frame, pandas.DataFrame)


def _arrow(table: str, frame: Any) -> pa.RecordBatchReader:
    import pyarrow as pa

    if _is_pandas(frame):
        return _from_pandas(frame).to_reader()
    if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
        frame = frame.collect()
    if hasattr(frame, "scanner"):
        frame = frame.scanner().to_reader()
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(frame)
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow().to_reader()
    remedy = "Give a pandas frame, an Arrow table, a path, or a frame that exports Arrow."
    problem = f"a {type(frame).__name__} is not a frame"
    raise unreadable(table, None, problem, remedy)


def reader_with_names(reader: pa.RecordBatchReader, names: list[str]) -> pa.RecordBatchReader:
    """Return the stream with its columns renamed; the batches are not copied."""
    import pyarrow as pa

    schema = pa.schema(
        [pa.field(name, reader.schema.field(index).type) for index, name in enumerate(names)]
    )
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    arrays = [_column(frame.iloc[:, index]) for index in range(len(names))]
    return pa.Table.from_arrays(arrays, names=names)


def _column(series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Return a pandas column as Arrow; objects of several types become text.

    So do mixtures of dates, times, and times with an offset: Arrow would convert all of them to the
    type of the first one and drop offsets or times of day. As text, they reach the checks.
    """
    import pyarrow as pa

    if series.isna().all():
        return pa.nulls(len(series), pa.string())
    if series.dtype != object or not _mixes_times(series):
        try:
            return pa.array(series, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            pass
    cells = zip(series, series.isna(), strict=True)
    texts = [None if missing else str(value) for value, missing in cells]
    return pa.array(texts, pa.string())


def _mixes_times(series: pd.Series[Any]) -> bool:
    from pandas.api.types import infer_dtype

    if infer_dtype(series, skipna=True) == "string":
        return False
    return len(set(map(_kind_of_time, series[series.notna()]))) > 1


def _kind_of_time(value: object) -> str:
    """Return whether a value is a time with an offset, a time without one, a date, or another."""
    if isinstance(value, datetime.datetime):
        return "time" if value.tzinfo is None else "time with offset"
    return "day" if isinstance(value, datetime.date) else "no time"


SEARCHED = 50
"""Number of lines at each end of a file that are searched for titles and footers."""
_LAYOUTS = packaged_toml("leadsignal.sources", "layouts.toml")
_TOTAL = re.compile(
    rf"(?i)^\W*({'|'.join(_LAYOUTS['totals'])})\b|\b({'|'.join(_LAYOUTS['remarks'])})\b"
)
"""Pattern of the first cell of a line of totals, or of a remark."""

Row = tuple[int, list[str]]
"""A line number, counted from 1, and the cells of that line."""


def refuse_repeated(
    table: str, shown: str, header: Sequence[str], known: Collection[str], line: int
) -> None:
    """Raise UnreadableError if a header has a known name twice."""
    for name in header:
        if name in known and header.count(name) > 1:
            problem, remedy = "the header names a column twice", "Rename one of them."
            raise unreadable(table, shown, problem, remedy, line, name)


@dataclass(frozen=True)
class Names:
    """The known column names of a source: all of them, and the required ones."""

    known: frozenset[str]
    required: tuple[str, ...]

    @classmethod
    def of(cls, table: str, source: TableSource) -> Names:
        """Return the names given by the schema and the settings of a table."""
        ours = BY_NAME[table].by_column if table in BY_NAME else {}
        known = {*ours, *source.columns.values(), *source.attributes}
        required = BY_NAME[table].required if table in BY_NAME else tuple(source.columns)
        return cls(frozenset(known), tuple(source.columns.get(name, name) for name in required))

    def hits(self, cells: Iterable[str]) -> int:
        """Return the number of cells that are known names, ignoring case and spaces."""
        return len({plain_name(cell) for cell in cells} & self._plain_names)

    @cached_property
    def _plain_names(self) -> set[str]:
        return {plain_name(name) for name in self.known}


class HeaderElsewhereError(UnreadableError):
    """The header seems to be on a later line, given by ``line``."""

    def __init__(self, fault: Fault, line: int) -> None:
        self.line = line
        super().__init__(fault)


def refuse_titles(
    table: str, shown: str, header: Sequence[str], rows: Iterable[Row], names: Names
) -> None:
    """Raise UnreadableError if a later line seems to be the header."""
    if set(names.required) <= set(header):
        return
    found = _seems_header(header, list(rows), names)
    if found is not None:
        problem = f"the header seems to be in line {found}"
        remedy = f"Say so under [tables.{table}]: header_line = {found}."
        raise HeaderElsewhereError(Fault(shown, table, 1, None, None, problem, remedy), found)


def _seems_header(header: Sequence[str], rows: list[Row], names: Names) -> int | None:
    best, most = None, max(names.hits(header), 1)
    for line, cells in rows:
        if (hits := names.hits(cells)) > most:
            best, most = line, hits
    if best is not None or names.hits(header) or len(filled(header)) > 1:
        return best
    for (line, cells), (_, after) in pairwise(rows):
        words = filled(cells)
        if len(words) > 1 and len(after) == len(cells) and is_header(words):
            return line
    return None


def is_header(cells: Sequence[str]) -> bool:
    """Return whether cells may be column names: texts without duplicates.

    >>> is_header(["Account", "Start"]), is_header(["A-1", "2024-01-05"])
    (True, False)
    """
    return len(set(cells)) == len(cells) and not any(map(is_value, cells))


def is_value(cell: str) -> bool:
    """Return whether a cell is a number or a date rather than a name.

    >>> is_value("2024-01-05"), is_value("MRR")
    (True, False)
    """
    return cell.replace(".", "").replace("-", "").replace("/", "").isdigit()


def filled(cells: Iterable[str]) -> list[str]:
    """Return the cells that are not blank."""
    return [cell for cell in cells if cell.strip()]


def find_footer(rows: Sequence[Row], header: Sequence[str], names: Names) -> Footer | None:
    """Return the footer among the last lines of a file, the first of which may be valid rows."""
    needed = [at for at, name in enumerate(header) if name in names.required]
    first = None
    for line, cells in reversed(rows):
        words = filled(cells)
        if words and not _is_remark(cells, words, len(header), needed):
            break
        first = line if words else first
    if first is None or first == rows[0][0]:
        return None
    last = max(line for line, cells in rows if filled(cells))
    return Footer(last - first + 1, first)


def _is_remark(cells: list[str], words: list[str], width: int, needed: list[int]) -> bool:
    """Return whether cells are a line of totals or a remark, and cannot be a row."""
    lacking = len(cells) != width or any(not cells[at].strip() for at in needed)
    if not lacking:
        return False
    return bool(_TOTAL.search(words[0])) or (len(words) == 1 and " " in words[0].strip())


# One column per month -----------------------------------------------------------------------------


MIN_MONTHS = 2
MONTHS: tuple[tuple[str, str], ...] = tuple(
    (pattern.replace("<month>", _LAYOUTS["month"]).replace("<short>", _LAYOUTS["short"]), written)
    for pattern, written in _LAYOUTS["formats"]
)
"""Patterns of column names that are months, and their format in DuckDB."""


def named_after_months(names: Iterable[str]) -> tuple[str, list[str]]:
    """Return the month pattern that most names match, and these names; empty if only one matches.

    Two full dates may be the start and end of a row; three are months.

    >>> named_after_months(["account_id", "2023-01", "2023-02"])[1]
    ['2023-01', '2023-02']
    """
    names = list(names)
    by_pattern = {p: [name for name in names if re.fullmatch(p, name)] for p, _ in MONTHS}
    pattern = max(by_pattern, key=lambda one: len(by_pattern[one]))
    months = by_pattern[pattern]
    fewest = MIN_MONTHS + (pattern == MONTHS[0][0])
    return pattern, months if len(set(months)) >= fewest else []


def unpivoting_query(
    table: Table, file: str, account: str | None, columns: Iterable[str]
) -> str | None:
    """Return the query that gives one row per month; None if the columns are not months.

    ``account`` is the name of the account column, if known.
    """
    names = list(columns)
    values = [c.name for c in table.columns if c.required and c.kind in ("decimal", "number")]
    others = {c.name for c in table.columns if c.required} - {"account_id", table.time, *values}
    pattern, months = named_after_months(names)
    if len(values) != 1 or others or not months:
        return None
    ids = [name for name in names if name not in months]
    account = account or (ids[0] if ids else None)
    if account is None:
        return None
    renamed = account if account == "account_id" else f"{quoted(account)} AS account_id"
    day = f"CAST(strptime(month, {literal(dict(MONTHS)[pattern])}) AS DATE)"
    return (
        f"SELECT {renamed}, {day} AS {table.time}, {values[0]} FROM (UNPIVOT {literal(file)} "
        f"ON COLUMNS({literal(f'^{pattern}$')}) INTO NAME month VALUE {values[0]})"
    )
