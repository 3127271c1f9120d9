"""One row a customer: how long it has been here, whether it left, and columns without dates."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import Fault, ModelError, TablesError
from leadsignal.ingestion.cells import FALSE, LOOKS_LIKE_DATE, TRUE
from leadsignal.lifetimes.foresight import TotalsWarning, look_for_totals
from leadsignal.results import to_html

if TYPE_CHECKING:
    import pandas as pd

TABLE = "totals"
MISSING = ("", "na", "n/a", "nan", "null")
"""What an empty cell may look like, in any case."""
MOST_LEVELS = 255
"""A text column with more values than this names its rows and describes nobody."""
MOSTLY = 0.9
"""A text column is meant as numbers where so many of its cells are."""


@dataclass(frozen=True, eq=False, repr=False)
class CustomerTotals:
    """Checked customers, one a row.

    Attributes: ``customer_id`` (n); ``tenure`` (n), in ``unit``, until the customer left or was
    last seen; ``churned`` (n), whether it left then; ``columns`` (n rows), a frame of numbers (NaN
    where missing) and of texts (None where missing).
    """

    customer_id: NDArray[Any]
    tenure: NDArray[np.float64]
    churned: NDArray[np.bool_]
    columns: pd.DataFrame
    unit: str = "months"

    def __len__(self) -> int:
        return len(self.tenure)

    @cached_property
    def warning(self) -> TotalsWarning:
        """What this table cannot show, and which of its columns look like totals."""
        return look_for_totals(self.columns, self.tenure, ~self.churned)

    def where(self, kept: Sequence[bool] | NDArray[Any]) -> CustomerTotals:
        """Return some of the customers: a mask or positions (n).

        >>> import pandas as pd
        >>> totals = read_totals(pd.DataFrame({"tenure": [3, 1, 7], "churned": [1, 0, 0]}))
        >>> len(totals.where(totals.tenure > 2))
        2
        """
        rows = np.asarray(kept)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)
        return replace(
            self,
            customer_id=self.customer_id[rows],
            tenure=self.tenure[rows],
            churned=self.churned[rows],
            columns=self.columns.iloc[rows].reset_index(drop=True),
        )

    def without(self, *names: str) -> CustomerTotals:
        """Return the same customers without some columns; raises ModelError if one is not there."""
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise ModelError(
                f"there is no column {', '.join(unknown)}",
                f"The columns are {', '.join(self.columns.columns)}",
            )
        return replace(self, columns=self.columns.drop(columns=list(names)))

    def current(self) -> CustomerTotals:
        """Return the customers that are still there."""
        return self.where(~self.churned)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a customer: customer_id, tenure, churned, then the columns."""
        frame = self.columns.copy()
        frame.insert(0, "churned", self.churned, allow_duplicates=True)
        frame.insert(0, "tenure", self.tenure, allow_duplicates=True)
        frame.insert(0, "customer_id", self.customer_id, allow_duplicates=True)
        return frame

    def __repr__(self) -> str:
        return (
            f"{len(self):,} customers, {int(self.churned.sum()):,} churned, "
            f"{len(self.columns.columns)} columns, tenure in {self.unit}\n{self.warning}"
        )

    def _repr_html_(self) -> str:
        return to_html(repr(self), self.to_frame())


def read_totals(
    source: pd.DataFrame | str | Path,
    *,
    tenure: str = "tenure",
    churned: str | None = "churned",
    id: str | None = None,
    unit: str = "months",
) -> CustomerTotals:
    """Read a table with one row a customer and no dates, from a CSV file or a pandas frame.

    ``tenure``, ``churned`` and ``id`` name columns: time from the start to the end or to the last
    sight, in ``unit``, 0 or more; yes/no, true/false or 1/0; and what tells customers apart (None:
    the row's number). ``churned=None`` is for a table of current customers. All other columns are
    read as numbers where their cells are, else as categories; empty cells, NA, N/A, NaN and null
    are missing, which is a state of its own. Raises TablesError with every fault of the file.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"tenure": [3, 1], "churned": ["Yes", "No"], "seats": ["5", " "]})
    >>> totals = read_totals(frame)
    >>> totals.churned.tolist(), totals.columns["seats"].tolist()
    ([True, False], [5.0, nan])
    """
    sheet = _open(source)
    wanted = {"tenure": tenure, "churned": churned, "id": id}
    named = {role: name for role, name in wanted.items() if name is not None}
    lacking = {role: name for role, name in named.items() if name not in sheet.cells}
    for role, name in lacking.items():
        known = f"Its columns are {', '.join(sheet.cells)}; say {role}=… ."
        sheet.refuse(name, "there is no such column", known)
    if lacking:
        sheet.close()
    rows = len(next(iter(sheet.cells.values())))
    times = _tenure(sheet, tenure)
    ends = np.zeros(rows, dtype=bool) if churned is None else _flags(sheet, churned)
    ids = np.arange(1, rows + 1) if id is None else _ids(sheet, id)
    others = [name for name in sheet.cells if name not in named.values()]
    columns = {name: _column(sheet, name) for name in others}
    if not rows:
        sheet.refuse(None, "there are no rows", "Give one row a customer.")
    sheet.close()
    import pandas as pd

    return CustomerTotals(ids, times, ends, pd.DataFrame(columns, index=range(rows)), unit)


@dataclass
class _Sheet:
    """Cells as they were given, by column; None where missing; what is wrong with them."""

    file: str | None
    cells: dict[str, NDArray[Any]]
    lines: list[int]
    faults: list[Fault] = field(default_factory=list)

    def refuse(self, column: str | None, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, TABLE, None, column, None, problem, remedy))

    def refuse_cells(
        self, column: str, wrong: NDArray[np.bool_], problem: str, remedy: str
    ) -> None:
        for row in np.flatnonzero(wrong):
            given = self.cells[column][row]
            shown = None if given is None else str(given)
            line = self.lines[row]
            self.faults.append(Fault(self.file, TABLE, line, column, shown, problem, remedy))

    def close(self) -> None:
        if self.faults:
            raise TablesError(self.faults)


def _open(source: Any) -> _Sheet:
    if isinstance(source, str | Path):
        return _open_csv(Path(source))
    if not (hasattr(source, "columns") and hasattr(source, "iloc")):
        problem = f"a {type(source).__name__} is not a table"
        raise TablesError(
            [Fault(None, TABLE, None, None, None, problem, "Give a pandas frame or a CSV file.")]
        )
    sheet = _Sheet(None, {}, list(range(1, len(source) + 1)))
    names = [str(name) for name in source.columns]
    _refuse_repeated(sheet, names)
    sheet.cells = {name: _cells(source.iloc[:, j]) for j, name in enumerate(names)}
    if not names:
        sheet.refuse(None, "the frame has no columns", "Give tenure and churned at least.")
        sheet.close()
    return sheet


def _open_csv(path: Path) -> _Sheet:
    sheet = _Sheet(path.name, {}, [])
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            records = list(_records(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        sheet.refuse(None, f"cannot be read ({error})", "Give a CSV file in UTF-8.")
        records = []
    if not records and not sheet.faults:
        sheet.refuse(None, "the file is empty", "Give a header and one row a customer.")
    sheet.close()
    header = [name.strip() for name in records[0][1]]
    _refuse_repeated(sheet, header)
    for line, record in records[1:]:
        if len(record) != len(header):
            problem = f"{len(record)} cells where the header has {len(header)}"
            remedy = "Correct the row, or quote cells that hold the delimiter."
            sheet.faults.append(Fault(sheet.file, TABLE, line, None, None, problem, remedy))
    good = [(line, record) for line, record in records[1:] if len(record) == len(header)]
    sheet.lines = [line for line, _ in good]
    for j, name in enumerate(header):
        sheet.cells[name] = _plain([record[j] for _, record in good])
    return sheet


def _records(file: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the physical line each record begins on, and its cells; empty lines are none."""
    header = file.readline()
    file.seek(0)
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    before = 0
    for record in reader:
        if record:
            yield before + 1, record
        before = reader.line_num


def _refuse_repeated(sheet: _Sheet, names: list[str]) -> None:
    for name in sorted({name for name in names if names.count(name) > 1}):
        sheet.refuse(name, "the table has this column twice", "Rename one.")
    sheet.close()


def _cells(column: pd.Series[Any]) -> NDArray[Any]:
    """Return a pandas column: floats where it is numbers, else objects with None for missing."""
    if column.dtype.kind in "iufb":
        return column.to_numpy(dtype=float, na_value=np.nan)
    missing = column.isna().to_numpy()
    return _plain(
        [None if gone else cell for cell, gone in zip(column.tolist(), missing, strict=True)]
    )


def _plain(cells: Sequence[Any]) -> NDArray[Any]:
    """Return cells as objects: texts stripped, None for what means missing."""
    found = np.empty(len(cells), dtype=object)
    for row, cell in enumerate(cells):
        text = cell.strip() if isinstance(cell, str) else cell
        gone = text is None or (isinstance(text, str) and text.lower() in MISSING)
        found[row] = None if gone else text
    return found


def _numbers(cells: NDArray[Any]) -> NDArray[np.float64]:
    """Return cells as numbers: NaN where they are missing or none."""
    if cells.dtype == float:
        return cells
    return np.array([_number(cell) for cell in cells], dtype=np.float64)


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _given(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which cells are not missing."""
    if cells.dtype == float:
        there: NDArray[np.bool_] = ~np.isnan(cells)
        return there
    return np.array([cell is not None for cell in cells], dtype=bool)


def _tenure(sheet: _Sheet, name: str) -> NDArray[np.float64]:
    cells = sheet.cells[name]
    values, given = _numbers(cells), _given(cells)
    sheet.refuse_cells(name, ~given, "tenure is missing", "Give it, or leave the customer out.")
    wrong = given & ~np.isfinite(values)
    sheet.refuse_cells(name, wrong, "not a number", "Write time since the start as a number.")
    sheet.refuse_cells(name, values < 0, "tenure is negative", "Correct it: 0 is the start.")
    return values


def _flags(sheet: _Sheet, name: str) -> NDArray[np.bool_]:
    cells = sheet.cells[name]
    given = _given(cells)
    texts = [str(cell).lower().removesuffix(".0") for cell in cells]
    yes = np.array([text in TRUE for text in texts], dtype=bool)
    no = np.array([text in FALSE for text in texts], dtype=bool)
    sheet.refuse_cells(
        name, ~given, "churned is missing", "Write yes or no, or leave the customer out."
    )
    wrong = given & ~yes & ~no
    sheet.refuse_cells(name, wrong, "neither yes nor no", "Write yes or no, true or false, 1 or 0.")
    return yes


def _ids(sheet: _Sheet, name: str) -> NDArray[Any]:
    cells = sheet.cells[name]
    given = _given(cells)
    sheet.refuse_cells(name, ~given, "the customer has no id", "Give it one.")
    values, first = np.unique(cells[given].astype(str), return_index=True)
    if len(values) < given.sum():
        again = np.ones(len(cells), dtype=bool)
        again[np.flatnonzero(given)[first]] = False
        sheet.refuse_cells(
            name, again & given, "this customer has a row already", "Keep one row a customer."
        )
    return cells


def _column(sheet: _Sheet, name: str) -> NDArray[Any]:
    """Return a column as numbers or as texts, whichever its cells are."""
    cells = sheet.cells[name]
    values, given = _numbers(cells), _given(cells)
    share = (~np.isnan(values)).sum() / max(given.sum(), 1)
    if cells.dtype == float or share >= MOSTLY or not given.any():
        wrong = given & ~np.isfinite(values)
        remedy = "Write a number with a decimal point, or leave the cell empty."
        sheet.refuse_cells(name, wrong, "not a number in a column of numbers", remedy)
        return values
    texts = np.array([None if cell is None else str(cell) for cell in cells], dtype=object)
    levels = {text for text in texts if text is not None}
    if all(re.fullmatch(LOOKS_LIKE_DATE, level) for level in levels):
        remedy = "Take it out; dated events make a better model: read_tables."
        sheet.refuse(name, "the column holds dates, which this model cannot read", remedy)
    elif len(levels) > MOST_LEVELS:
        problem = f"a text column with {len(levels):,} different values describes nobody"
        sheet.refuse(name, problem, "Name it as id=…, group its values, or take it out.")
    return texts
