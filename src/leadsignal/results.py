"""The base class of results: a table, a short text, HTML for notebooks, and files."""

from __future__ import annotations

from html import escape
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.toml_files import one_of
from leadsignal.errors import OptionError, quoted
from leadsignal.files.outputs import check_file
from leadsignal.files.records import safe_frame
from leadsignal.files.writing import atomic_write
from leadsignal.phrases import unbroken
from leadsignal.readable_tables import html_table

if TYPE_CHECKING:
    import pandas as pd

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
