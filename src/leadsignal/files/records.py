"""Convert rows of tables to plain Python values, and to values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
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


def json_fields(result: object, *names: str, **renamed: str) -> dict[str, Any]:
    """Return attributes of a result by name, ready for JSON.

    ``renamed`` gives the attribute of each name that differs from it.

    >>> from datetime import date
    >>> from types import SimpleNamespace
    >>> json_fields(SimpleNamespace(day=date(2025, 1, 31), n=2), "as_of", "n", as_of="day")
    {'as_of': '2025-01-31', 'n': 2}
    """
    return {name: json_ready(getattr(result, renamed.get(name, name))) for name in names}


def json_ready(value: Any) -> Any:
    """Return nested results, tables, dictionaries and lists ready for JSON, dates as ISO text."""
    if hasattr(value, "iterrows"):
        return json_rows(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        return json_ready(vars(value))
    if isinstance(value, Mapping):
        return {str(name): json_ready(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    plain = _value(value)
    return plain.isoformat() if isinstance(plain, date) else plain
