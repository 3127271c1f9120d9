"""How a result is shown in a notebook: its lines, and the first of its rows."""

from __future__ import annotations

from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 10


def shown(told: str, rows: pd.DataFrame | None = None, most: int | None = MOST_ROWS) -> str:
    """Return lines of text and the first rows of a frame as HTML; names in them stay text.

    ``most`` rows are shown, all of them for None.

    >>> shown("2 accounts <b>")
    '<p>2 accounts &lt;b&gt;</p>'
    """
    lines = "<br>".join(escape(line).replace("  ", "&ensp;") for line in told.splitlines())
    table = "" if rows is None else str(rows[:most].to_html(index=False))
    return f"<p>{lines}</p>{table}"


def figure(value: float, spec: str) -> str:
    """Return a number in words of a format, and a dash where there is none.

    >>> figure(0.25, ".0%"), figure(float("nan"), "6.1%")
    ('25%', '     –')
    """
    if value == value:
        return format(value, spec)
    width = "".join(takewhile(str.isdigit, spec.lstrip("+,")))
    return format("–", f">{width}")
