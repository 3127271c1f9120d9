"""The base class of results, and their formatted tables for notebooks and terminals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from leadsignal.errors import OptionError, one_of, quoted
from leadsignal.files.outputs import check_file
from leadsignal.files.writing import atomic_write, safe_frame
from leadsignal.formats import p_text, rate_text, share_text, unbroken

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
BAR = "linear-gradient(90deg,{colour}66 {share:.0f}%,transparent {share:.0f}%)"
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
    columns = [(name, shown.iloc[:, at]) for at, name in enumerate(shown.columns)]
    texts = [cell_texts(name, column) for name, column in columns]
    styles = [_styles(name, column) for name, column in columns]
    head = "".join(
        f'<th scope="col" style="text-align:{"right" if _right(column) else "left"}"'
        f' title="{escape(str(name))}">{escape(heading(name))}</th>'
        for name, column in columns
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
    from leadsignal.plots import COLOURS

    bars = [BAR.format(colour=COLOURS[4], share=100 * min(value, 1.0)) for value in values]
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


MAX_ROWS = 10
"""Maximum number of rows shown in a notebook."""
ENDINGS = (".csv", ".xlsx", ".parquet", ".json")


class Result:
    """Base class of results that hold a table.

    A subclass has a ``frame`` (or overrides `_table`) and a `__repr__`. It then supports the common
    operations of its table: ``len(result)``, ``result["column"]``, ``result.head()``.

    Examples
    --------
    >>> import pandas as pd
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, repr=False)
    ... class Risks(Result):
    ...     frame: pd.DataFrame
    ...     def __repr__(self) -> str:
    ...         return f"{len(self)} risks"
    >>> risks = Risks(pd.DataFrame({"account_id": ["a", "b"], "risk": [0.2, 0.1]}))
    >>> risks, risks["risk"].max().item()
    (2 risks, 0.2)
    """

    if TYPE_CHECKING:

        @property
        def frame(self) -> pd.DataFrame:
            """The table of the result."""

    def _table(self) -> pd.DataFrame:
        """Return the table itself, which callers must not change."""
        return self.frame

    def _notebook_table(self) -> pd.DataFrame | None:
        """Return the table shown in a notebook below the text; None for no table."""
        return self._table()

    def _notebook_text(self) -> str:
        """Return the text shown in a notebook above the table."""
        return repr(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self._table().copy()

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return a copy of the first ``n`` rows."""
        return self._table().head(n).copy()

    def __len__(self) -> int:
        return len(self._table())

    def __bool__(self) -> bool:
        # A result without rows is still a result: `if result` tests for None.
        return True

    def __getitem__(self, column: str) -> pd.Series[Any]:
        table = self._table()
        if column not in table.columns:
            problem = f"{type(self).__name__} has no column {quoted(str(column))}"
            raise OptionError(problem, one_of(map(str, table.columns), str(column)))
        return table[column].copy()

    def _repr_html_(self) -> str:
        table = self._notebook_table()
        return to_html(self._notebook_text(), None if table is None else _with_index(table))

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the table to a file; the extension selects the format.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.csv``, ``.xlsx``, ``.parquet`` or ``.json``. In ``.csv`` and
            ``.xlsx``, text that a spreadsheet would run as a formula is prefixed with an
            apostrophe.
        force : bool, default False
            Whether to replace an existing file.

        Returns
        -------
        Path
            Path of the file.

        Raises
        ------
        OptionError
            If the extension is unknown, or if the file exists and ``force`` is False.
        """
        place, ending = Path(path), Path(path).suffix.lower()
        if ending not in ENDINGS:
            problem = f"{quoted(str(path))} ends in {ending or 'nothing'}"
            raise OptionError(problem, f"Use one of {', '.join(ENDINGS)}")
        if not force and check_file(place).exists():
            raise OptionError(f"{quoted(str(path))} exists", "Use another name, or force=True")
        with atomic_write(place, force=force) as part:
            write_rows(_with_index(self._table()), part, ending)
        return place


class ArrayResult(Result):
    """Base class of dataclasses whose arrays, all of one length, are the columns of a table.

    A subclass names these columns in ``COLUMNS``, or overrides `_table`.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in self.COLUMNS})

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a plain dictionary, ready for JSON."""
        return fields_of(self, *self.__dict__)


def fields_of(result: object, *names: str) -> dict[str, object]:
    """Return attributes of a result by name, with arrays and tuples as lists."""
    return {name: _listed(getattr(result, name)) for name in names}


def _listed(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _with_index(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a named index, such as covariates, as its first column."""
    return table.reset_index() if table.index.name else table


def write_rows(table: pd.DataFrame, part: Path, ending: str, sheet: str = "Sheet1") -> None:
    """Write a table as CSV, Parquet, JSON or a workbook, without text that runs as a formula."""
    import pandas as pd

    if ending == ".csv":
        safe_frame(table).to_csv(part, index=False, lineterminator="\n")
    elif ending == ".parquet":
        table.to_parquet(part, index=False)
    elif ending == ".json":
        table.to_json(part, orient="records", date_format="iso", indent=1)
    else:
        with pd.ExcelWriter(part, engine="openpyxl") as book:
            safe_frame(table).to_excel(book, index=False, sheet_name=sheet)


def to_html(text: str, table: pd.DataFrame | None = None, max_rows: int | None = MAX_ROWS) -> str:
    """Return text and the first rows of a table as HTML, with everything escaped.

    A table has at most eight columns; its numbers of rows and columns are given below it.

    Parameters
    ----------
    text : str
        Lines of text; leading spaces are kept.
    table : DataFrame, optional
        Table to show below the text.
    max_rows : int or None, default 10
        Maximum number of rows shown; None shows all.

    Returns
    -------
    str
        A paragraph and, if given, the table.

    Examples
    --------
    >>> to_html("2 accounts <b>")
    '<p>2 accounts &lt;b&gt;</p>'
    """
    lines = "<br>".join(escape(line).replace("  ", "&ensp;") for line in text.splitlines())
    return f"<p>{unbroken(lines)}</p>{'' if table is None else html_table(table, max_rows)}"


def rounded(table: pd.DataFrame, digits: int) -> pd.DataFrame:
    """Return a table with its floats rounded; rounding dates would raise a pandas warning."""
    return table.round(dict.fromkeys(table.select_dtypes("float"), digits))


def or_dash(value: float, spec: str) -> str:
    """Return a number in the format ``spec``, or a dash of the same width if it is missing.

    Examples
    --------
    >>> or_dash(0.25, ".2f"), or_dash(float("nan"), "6.1f")
    ('0.25', '     –')
    """
    if value == value:
        return format(value, spec)
    width = "".join(takewhile(str.isdigit, spec.lstrip("+,")))
    return format("–", f">{width}")
