"""Rows of tables as plain values and for JSON; texts that a spreadsheet would run as formulas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize

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


# Spreadsheets -------------------------------------------------------------------------------------


STARTS = frozenset("=+-@|%")
"""Possible first visible characters of a formula, or of a DDE command."""
BREAKS = frozenset("\t\r\n\0")
"""Leading characters after which a spreadsheet may read the rest as another cell."""
UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Blank letters and symbols; other invisible characters are recognised by their category."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


def safe_text(text: str) -> str:
    """Return a text, with an apostrophe before it if a spreadsheet would run it as a formula.

    It would if the first visible character, after NFKC normalisation, is one of ``= + - @ | %``, or
    if the text starts with a tab or a line break. Plain numbers are unchanged. A text that already
    has an apostrophe before a formula gets another one, so that `plain_text` restores the original.

    >>> safe_text("=1+1"), safe_text(" \N{FULLWIDTH EQUALS SIGN}1"), safe_text("-12")
    ("'=1+1", "' \N{FULLWIDTH EQUALS SIGN}1", '-12')
    """
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def plain_text(text: str) -> str:
    """Undo `safe_text`.

    >>> plain_text("'=1+1"), plain_text("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and safe_text(text[1:]) == text else text


def _is_formula(text: str) -> bool:
    if _NUMBER.fullmatch(text):
        return False
    for character in text:
        if character in BREAKS:
            return True
        if not _is_unseen(character):
            return normalize("NFKC", character)[:1] in STARTS
    return False


def _is_unseen(character: str) -> bool:
    """Return whether a character is invisible: a space, control, format or combining character."""
    return category(character)[0] in "ZCM" or character in UNSEEN


def safe_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of the frame with `safe_text` applied to text cells and column names."""
    return _mapped(frame, safe_text).rename(columns=lambda name: _if_text(name, safe_text))


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Undo `safe_frame` in a frame read from a file."""
    return _mapped(frame, plain_text).rename(columns=lambda name: _if_text(name, plain_text))


def _mapped(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    import pandas as pd

    texts = [place for place, kind in enumerate(frame.dtypes) if _may_hold_text(kind)]
    columns = {place: _mapped_column(frame.iloc[:, place], change) for place in texts}
    if not columns:
        return frame.copy()
    parts = [columns.get(place, frame.iloc[:, place]) for place in range(frame.shape[1])]
    return pd.concat(parts, axis=1)


def _mapped_column(column: pd.Series, change: Any) -> pd.Series:
    import pandas as pd

    # `Series.map` of pandas 3 would return its string type, and NaN for None.
    cells = [_if_text(cell, change) for cell in column]
    return pd.Series(cells, index=column.index, name=column.name, dtype=object)


def _may_hold_text(kind: Any) -> bool:
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    return not (is_numeric_dtype(kind) or is_datetime64_any_dtype(kind))


def _if_text(cell: Any, change: Any) -> Any:
    return change(cell) if isinstance(cell, str) else cell
