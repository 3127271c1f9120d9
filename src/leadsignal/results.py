"""What all results have in common: a table, a short text, HTML for notebooks, and a file."""

from __future__ import annotations

from html import escape
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.toml_files import one_of
from leadsignal.errors import OptionError, quoted
from leadsignal.files.outputs import check_file
from leadsignal.files.spreadsheets import safe_frame
from leadsignal.files.writing import atomic_write
from leadsignal.phrases import unbroken
from leadsignal.readable_tables import html_table

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 10
"""Number of rows of a table that a notebook shows."""
ENDINGS = (".csv", ".xlsx", ".parquet", ".json")


class Result:
    """Base class of results that hold a table.

    A subclass has a ``frame`` (or overrides `_table`) and a `__repr__`. It then behaves like its
    table where people expect it to: ``len(result)``, ``result["column"]``, ``result.head()``.

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
        """Return the table, which callers do not change."""
        return self.frame

    def _notebook_table(self) -> pd.DataFrame | None:
        """Return what a notebook shows below the text; None for nothing."""
        return self._table()

    def _notebook_text(self) -> str:
        """Return the lines that a notebook shows above the table."""
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
        # A result without rows is still a result: `if result` asks whether there is one.
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
        """Write the table to a file whose ending names its format.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.csv``, ``.xlsx``, ``.parquet`` or ``.json``. In ``.csv`` and
            ``.xlsx``, texts that a spreadsheet would run as formulas get an apostrophe.
        force : bool, default False
            Replace a file that exists.

        Returns
        -------
        Path
            Where the table is.

        Raises
        ------
        OptionError
            For another ending, or for a file that exists and is not to be replaced.
        """
        place, ending = Path(path), Path(path).suffix.lower()
        if ending not in ENDINGS:
            problem = f"{quoted(str(path))} ends in {ending or 'nothing'}"
            raise OptionError(problem, f"Use one of {', '.join(ENDINGS)}")
        if not force and check_file(place).exists():
            raise OptionError(f"{quoted(str(path))} exists", "Use another name, or force=True")
        with atomic_write(place, force=force) as part:
            _write(_with_index(self._table()), part, ending)
        return place


def _with_index(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a named index, such as covariates, as its first column."""
    return table.reset_index() if table.index.name else table


def _write(table: pd.DataFrame, part: Path, ending: str) -> None:
    import pandas as pd

    if ending == ".csv":
        safe_frame(table).to_csv(part, index=False, lineterminator="\n")
    elif ending == ".parquet":
        table.to_parquet(part, index=False)
    elif ending == ".json":
        table.to_json(part, orient="records", date_format="iso", indent=1)
    else:
        with pd.ExcelWriter(part, engine="openpyxl") as book:
            safe_frame(table).to_excel(book, index=False)


def to_html(text: str, table: pd.DataFrame | None = None, max_rows: int | None = MAX_ROWS) -> str:
    """Return lines of text and the first rows of a table as HTML; all of it is escaped.

    A table has at most eight columns; below it stands how many rows and columns there are.

    Parameters
    ----------
    text : str
        Lines of text; leading spaces are kept.
    table : DataFrame, optional
        What is shown below the text.
    max_rows : int or None, default 10
        Number of rows that are shown; None shows all.

    Returns
    -------
    str
        A paragraph and perhaps a table.

    Examples
    --------
    >>> to_html("2 accounts <b>")
    '<p>2 accounts &lt;b&gt;</p>'
    """
    lines = "<br>".join(escape(line).replace("  ", "&ensp;") for line in text.splitlines())
    return f"<p>{unbroken(lines)}</p>{'' if table is None else html_table(table, max_rows)}"


def rounded(table: pd.DataFrame, digits: int) -> pd.DataFrame:
    """Return a table with its floats rounded; pandas warns where it is to round dates."""
    return table.round(dict.fromkeys(table.select_dtypes("float"), digits))


def or_dash(value: float, spec: str) -> str:
    """Return a number in the format ``spec``, and a dash of the same width if it is missing.

    Examples
    --------
    >>> or_dash(0.25, ".2f"), or_dash(float("nan"), "6.1f")
    ('0.25', '     –')
    """
    if value == value:
        return format(value, spec)
    width = "".join(takewhile(str.isdigit, spec.lstrip("+,")))
    return format("–", f">{width}")
