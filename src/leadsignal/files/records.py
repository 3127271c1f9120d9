"""Convert rows of tables to plain Python values, and to values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def plain_row(row: Mapping[Any, Any] | pd.Series[Any]) -> dict[Any, Any]:
    """Return a row with missing cells as None, timestamps as dates, numpy numbers as Python's."""
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    import pandas as pd

    if value is None or (not isinstance(value, list | dict | tuple) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.date()
    return value.item() if hasattr(value, "item") else value


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame, ready for JSON: missing cells as None, dates as ISO text."""
    rows: list[dict[str, Any]] = json_ready(frame.to_dict("records"))
    return rows


def json_ready(value: Any) -> Any:
    """Return nested dictionaries and lists ready for JSON, with dates as ISO text."""
    if isinstance(value, Mapping):
        return {str(name): json_ready(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    plain = _value(value)
    return plain.isoformat() if isinstance(plain, date) else plain
