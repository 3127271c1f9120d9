"""Parts of a table: each is one file or frame, with its own column names and its rows.

Files of a table that have the same columns are read together.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from leadsignal.errors import Fault

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
