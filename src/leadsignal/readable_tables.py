"""Formatted tables for notebooks and terminals, with one format for each kind of value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeGuard

from leadsignal.phrases import p_text, rate_text, share_text, unbroken
from leadsignal.picture_style import COLOURS

if TYPE_CHECKING:
    import pandas as pd

MAX_COLUMNS = 8
"""Maximum number of columns shown in a notebook."""
HEADINGS = {
    "account_id": "account",
    "arr": "ARR, a year",
    "auc": "AUC",
    "auc_last": "AUC at the last snapshot",
    "coef": "coefficient",
    "exp(coef)": "hazard ratio",
    "expected_arr_loss": "expected loss of ARR, a year",
    "gross": "gross revenue kept",
    "high": "upper limit",
    "left_out": "left out",
    "logo": "accounts kept",
    "low": "lower limit",
    "mean_gap": "beyond target, last three",
    "net": "net revenue kept",
    "on_target": "on target",
    "p_holm": "p, corrected",
    "q_value": "p, corrected",
    "reason_1": "why",
    "risk": "risk of leaving",
    "risk_high": "upper limit of the risk",
    "risk_low": "lower limit of the risk",
    "within_days": "window, days",
}
"""Headings of columns with names that do not explain themselves."""
SHARES = re.compile(
    r"risk|risk_low|risk_high|share|share_.*|.*_share|still_active_\d+d|.*recall.*|mean_gap"
    r"|adopted_low|adopted_high|stability|together|alert_precision|stayed_share|chance"
)
"""Columns of proportions, shown in percent."""
ONE_DECIMAL = ("logo", "gross", "net")
"""Columns of proportions shown with one decimal of a percent."""
BARS = re.compile(r"risk|share|share_.*|.*_share|logo|gross|net|.*recall.*|alert_precision|chance")
"""Columns of proportions with a bar in each cell in a notebook."""
P_VALUES = ("p", "p_holm", "q_value", "p, corrected", "p value")
BAR = f"linear-gradient(90deg,{COLOURS[4]}66 {{share:.0f}}%,transparent {{share:.0f}}%)"
TEXT, NUMBER = (
    "text-align:left;white-space:normal;max-width:22em;overflow-wrap:anywhere",
    "text-align:right",
)
DAY = "text-align:left;white-space:nowrap"
SHORT = 48
"""Length, in characters, at which cells are truncated on a terminal."""


def heading(name: object) -> str:
    """Return the heading of a column, with its unit.

    Examples
    --------
    >>> heading("still_active_90d"), heading("silent_days"), heading("expected_churns")
    ('still active, 90 days', 'silent, days', 'expected churns')
    """
    text = str(name)
    if text in HEADINGS:
        return HEADINGS[text]
    text = re.sub(r"_(\d+)d$", r", \1 days", text)
    return re.sub(r"_days$", ", days", text).replace("_", " ").replace("%", " %")


def cell_texts(name: object, column: pd.Series[Any]) -> list[str]:
    """Format the cells of a column: percent, counts, dates, and a dash for missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> cell_texts("risk", pd.Series([0.351, None]))
    ['35 %', '–']
    >>> cell_texts("accounts", pd.Series([1200.0, 3.0])), cell_texts("p", pd.Series([0.00004]))
    (['1,200', '3'], ['< 0.001'])
    >>> cell_texts("ratio", pd.Series([0.4368443823659899, float("inf")]))
    ['0.437', 'no limit']
    """
    if column.dtype.kind == "M":
        column = column.dt.strftime("%Y-%m-%d")
    values = [None if _missing(value) else value for value in column.tolist()]
    numbers = [float(value) for value in values if _is_number(value)]
    whole = all(value == int(value) for value in numbers if abs(value) != float("inf"))
    share = _is_share(name, numbers)
    return [_cell(str(name), value, share=share, whole=whole) for value in values]


def _cell(name: str, value: Any, *, share: bool, whole: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set):
        return ", ".join(map(str, value))
    if not _is_number(value):
        return str(value)
    if abs(value) == float("inf"):
        return "no limit"
    if name in P_VALUES:
        return p_text(value)
    if name in ONE_DECIMAL and share:
        return rate_text(value)
    if share:
        return share_text(value)
    return f"{value:,.0f}" if whole or abs(value) >= 1000 else _few_digits(value)


def _few_digits(value: float) -> str:
    """Return a number with three significant digits."""
    decimals = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{decimals}f}"


def _missing(value: Any) -> bool:
    """Whether a cell is None, NaN, NaT or NA; arrays are not compared."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(name: object, numbers: Sequence[float]) -> bool:
    """Whether a column holds proportions: by its name, and unless a value contradicts that."""
    named = str(name) in ONE_DECIMAL or SHARES.fullmatch(str(name)) is not None
    return named and bool(numbers) and max(map(abs, numbers)) < 10


def html_table(table: pd.DataFrame, max_rows: int | None) -> str:
    """Return the first rows and columns of a table as HTML, followed by the number of all.

    Parameters
    ----------
    table : DataFrame
        The table; headings show the column name as a tooltip.
    max_rows : int or None
        Maximum number of rows shown; None shows all.

    Returns
    -------
    str
        The HTML, with all text escaped.
    """
    shown = table.iloc[:max_rows, :MAX_COLUMNS]
    texts = [cell_texts(name, shown.iloc[:, at]) for at, name in enumerate(shown.columns)]
    styles = [_styles(name, shown.iloc[:, at]) for at, name in enumerate(shown.columns)]
    head = "".join(
        f'<th scope="col" style="text-align:{"right" if _right(shown.iloc[:, at]) else "left"}"'
        f' title="{escape(str(name))}">{escape(heading(name))}</th>'
        for at, name in enumerate(shown.columns)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="{style[line]}">{escape(unbroken(cells[line]))}</td>'
            for cells, style in zip(texts, styles, strict=True)
        )
        + "</tr>"
        for line in range(len(shown))
    )
    note = _shown_of(shown.shape, table.shape)
    below = f"<p>{note}</p>" if note else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}"


def _right(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "iuf"


def _styles(name: object, column: pd.Series[Any]) -> list[str]:
    """Return the style of each cell; proportions that readers compare have a bar behind them."""
    if column.dtype.kind == "M":
        return [DAY] * len(column)
    if not _right(column):
        return [TEXT] * len(column)
    values = [0.0 if _missing(value) else float(value) for value in column.tolist()]
    if not (BARS.fullmatch(str(name)) and _is_share(name, values) and min(values) >= 0):
        return [NUMBER] * len(column)
    bars = [BAR.format(share=100 * min(value, 1.0)) for value in values]
    return [f"{NUMBER};background:{bar}" for bar in bars]


def _shown_of(shown: tuple[int, int], there: tuple[int, int]) -> str:
    """Return how many rows and columns are shown, if some are not."""
    parts = [
        f"{few:,} of {all_:,} {what}"
        for few, all_, what in zip(shown, there, ("rows", "columns"), strict=True)
        if few < all_
    ]
    return ", ".join(parts)


def text_table(table: pd.DataFrame, *, indent: str = "", short: int | None = SHORT) -> str:
    """Return a table as aligned text, with numbers to the right and words to the left.

    Parameters
    ----------
    table : DataFrame
        The table.
    indent : str, default ""
        Text at the start of each line.
    short : int or None, default 48
        Maximum number of characters shown per cell; None shows all.

    Returns
    -------
    str
        One line for the headings, and one for each row.

    Examples
    --------
    >>> import pandas as pd
    >>> print(text_table(pd.DataFrame({"segment": ["mid", "small"], "accounts": [12, 1300]})))
    segment  accounts
    mid            12
    small       1,300
    """
    columns = []
    for at, name in enumerate(table.columns):
        column = table.iloc[:, at]
        cells = [heading(name), *(_cut(one, short) for one in cell_texts(name, column))]
        width = max(map(len, cells))
        columns.append([one.rjust(width) if _right(column) else one.ljust(width) for one in cells])
    return "\n".join(indent + "  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _cut(text: str, short: int | None) -> str:
    text = " ".join(text.split())  # Names may contain line breaks.
    return text if short is None or len(text) <= short else f"{text[: short - 1].rstrip()}…"
