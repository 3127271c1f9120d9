"""Frames of pandas, and others with an Arrow interface (pyarrow, polars, DuckDB, …)."""

from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING, Any

from leadsignal.sources.parts import Part, unreadable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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
