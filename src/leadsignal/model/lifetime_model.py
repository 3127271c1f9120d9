"""Tables with one row per customer, and their hazards of churn by time since the start.

Customers who stay longer log in more often, pay more in total and open more tickets. In a table
with one row per customer, such totals are small for customers who left early *because* they left
early, so a model that uses them learns the outcome rather than a cause.

A customer with tenure t was at risk in each step up to t. Each customer and step is one row of the
same hazard model that is fitted on panels (Prentice & Gloeckler 1978; Singer & Willett 1993).
Columns have the same value in all steps, because earlier values are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.arguments import checked
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault, ModelError, OptionError, TablesError
from leadsignal.ingestion.cells import FALSE, LOOKS_LIKE_DATE, TRUE
from leadsignal.model.features import TINY, Features, customer_steps, step_ends
from leadsignal.model.learners import CUSTOMER_LEARNERS
from leadsignal.model.provenance import EstimatorBase
from leadsignal.model.stacked_model import Estimator, Hazards, cumulative_hazard, fit_stacked_rows
from leadsignal.results import Result
from leadsignal.sources.csv_files import open_csv
from leadsignal.sources.parts import Part, UnreadableError, open_frame

Floats = NDArray[np.float64]


Flags = NDArray[np.bool_]
MIN_CORRELATION = 0.5
"""A column with at least this absolute rank correlation with tenure looks like a total."""
MIN_CUSTOMERS = 30
"""Minimum number of current customers for estimating that correlation."""
MAX_DEVIATION = 0.05
"""A column counts as a rate times tenure if its median relative deviation is below this."""


@dataclass(frozen=True, repr=False)
class TotalsWarning(Result):
    """What a model of undated columns cannot show.

    Attributes
    ----------
    frame : DataFrame
        One row per column that looks like a total over tenure: ``column``; ``correlation``,
        Spearman's (1904), with tenure among the ``customers`` who have not churned; ``equals``,
        what the column equals to within 5 %: "tenure", a multiple of it, or another column times
        tenure.
    undecided : tuple of str
        Numeric columns that are known for too few current customers, or only for customers with the
        same tenure.
    """

    frame: pd.DataFrame
    undecided: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that look like totals."""
        return tuple(self.frame["column"])

    def __str__(self) -> str:
        lines = [
            "Warning: the columns have no dates. They were read when each customer had left or was "
            "last seen, so they are no evidence that churn can be foreseen."
        ]
        if self.columns:
            lines.append(
                "These look like totals over tenure, which are small if a customer left early:"
            )
        for column, correlation, _, equals in self.frame.itertuples(index=False):
            equals = f", and is about {equals}" if equals else ""
            lines.append(f"  {column}: rank correlation with tenure {correlation:+.2f}{equals}")
        if self.columns:
            lines.append(
                "Divide them by tenure, or remove them; LifetimeModel leaves "
                'them out unless totals="read".'
            )
        if self.undecided:
            lines.append(f"Could not tell whether these are totals: {', '.join(self.undecided)}.")
        lines.append("To see who will leave before they do, give dated events: read_tables.")
        return "\n".join(lines)

    __repr__ = __str__

    def _notebook_table(self) -> None:
        return None

    def to_dict(self) -> dict[str, object]:
        """Return the warning as a plain dictionary, ready for JSON."""
        suspects = self.frame.to_dict(orient="records")
        return {"text": str(self), "suspects": suspects, "undecided": list(self.undecided)}


def find_totals(columns: pd.DataFrame, tenure: Floats, current: NDArray[np.bool_]) -> TotalsWarning:
    """Return the warning for a table, with the numeric columns that grow with tenure.

    Only ``current`` customers are used, because the tenure of those who left is the outcome.

    >>> import numpy as np, pandas as pd
    >>> tenure = np.arange(1.0, 41.0)
    >>> frame = pd.DataFrame({"logins": 7 * tenure, "seats": np.tile([1.0, 2.0], 20)})
    >>> find_totals(frame, tenure, tenure > 0).columns
    ('logins',)
    """
    from scipy.stats import spearmanr

    numbers = columns.select_dtypes("float")[current]
    time = tenure[current]
    suspects, undecided = [], []
    for name, column in numbers.items():
        known = column.notna().to_numpy()
        if known.sum() < MIN_CUSTOMERS or np.ptp(time[known]) == 0:
            undecided.append(str(name))
            continue
        values = column.to_numpy()[known]
        correlation = spearmanr(values, time[known])[0] if np.ptp(values) else 0.0
        equals = _equals(str(name), numbers, time)
        if abs(correlation) >= MIN_CORRELATION or equals:
            suspects.append((name, float(correlation), int(known.sum()), equals))
    frame = pd.DataFrame(suspects, columns=["column", "correlation", "customers", "equals"])
    return TotalsWarning(frame, tuple(undecided))


def _equals(name: str, numbers: pd.DataFrame, time: Floats) -> str | None:
    """Return the product with tenure that equals the column, as text; None if there is none."""
    values = numbers[name].to_numpy()
    used = (time > 0) & (values != 0) & ~np.isnan(values)
    if used.sum() < MIN_CUSTOMERS or np.ptp(time[used]) == 0:
        return None
    values, time = values[used], time[used]
    rate = float(np.median(values / time))
    if _is_close(values, rate * time):
        return "tenure" if abs(rate - 1) < MAX_DEVIATION else f"{rate:.3g} × tenure"
    for other in numbers.columns.drop(name):
        if _is_close(values, numbers[other].to_numpy()[used] * time):
            return f"{other} × tenure"
    return None


def _is_close(values: Floats, product: Floats) -> bool:
    deviation = np.abs(values - product) / np.abs(values)
    return bool(np.median(np.nan_to_num(deviation, nan=np.inf)) < MAX_DEVIATION)


TABLE = "totals"
"""Name of the table in messages."""
MISSING = ("", "na", "n/a", "nan", "null")
"""Texts that count as an empty cell, in any case."""
MAX_LEVELS = 255
"""A text column with more values identifies customers rather than describing them."""
MIN_NUMBERS = 0.9
"""A column is numeric if at least this share of its cells are numbers."""


@dataclass(frozen=True, eq=False, repr=False)
class CustomerTotals(Result):
    """Validated customers, one per row.

    Attributes
    ----------
    customer_id : array of shape (n,)
    tenure : array of shape (n,)
        Time in ``unit`` until the customer churned or was last seen.
    churned : array of shape (n,)
        Whether the customer churned at that time.
    columns : DataFrame
        Numbers (NaN if missing) and texts (None if missing), one row per customer.
    unit : str
    """

    customer_id: NDArray[Any]
    tenure: Floats
    churned: Flags
    columns: pd.DataFrame
    unit: str = "months"

    @cached_property
    def warning(self) -> TotalsWarning:
        """What this table cannot show, and which columns look like totals over tenure."""
        return find_totals(self.columns, self.tenure, ~self.churned)

    def where(self, rows: Sequence[int] | NDArray[Any]) -> CustomerTotals:
        """Return the customers selected by a boolean mask (n,) or by positions.

        >>> import pandas as pd
        >>> totals = read_totals(pd.DataFrame({"tenure": [3, 1, 7], "churned": [1, 0, 0]}))
        >>> len(totals.where(totals.tenure > 2))
        2
        """
        chosen = np.arange(len(self))[rows]
        names = ("customer_id", "tenure", "churned")
        columns = self.columns.iloc[chosen].reset_index(drop=True)
        kept: dict[str, Any] = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **kept, columns=columns)

    def current(self) -> CustomerTotals:
        """Return the customers that have not churned."""
        return self.where(~self.churned)

    def _table(self) -> pd.DataFrame:
        frame = self.columns.copy()
        for name in ("churned", "tenure", "customer_id"):
            frame.insert(0, name, getattr(self, name), allow_duplicates=True)
        return frame

    def __repr__(self) -> str:
        return (
            f"{len(self):,} customers, {int(self.churned.sum()):,} churned, "
            f"{len(self.columns.columns)} columns, tenure in {self.unit}\n{self.warning}"
        )


@checked
def read_totals(
    source: pd.DataFrame | str | Path,
    *,
    tenure: str = "tenure",
    churned: str | None = "churned",
    id: str | None = None,
    unit: str = "months",
) -> CustomerTotals:
    """Read a table with one row per customer and no dates.

    Other columns are numeric if at least nine in ten cells are numbers, else categorical. Empty
    cells, NA, N/A, NaN and null are missing values.

    Parameters
    ----------
    source : DataFrame, str or Path
        A pandas, polars or Arrow frame, or a CSV file.
    tenure : str, default "tenure"
        Column with the time from the start to churn or to the last observation, 0 or more.
    churned : str or None, default "churned"
        Column with yes/no, true/false or 1/0; None if all customers are current.
    id : str, optional
        Column that identifies customers. Default: customers are numbered.
    unit : str, default "months"
        Unit of tenure.

    Returns
    -------
    CustomerTotals

    Raises
    ------
    TablesError
        If the table has faults; all are listed.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"tenure": [3, 1], "churned": ["Yes", "No"], "seats": ["5", " "]})
    >>> totals = read_totals(frame)
    >>> totals.churned.tolist(), totals.columns["seats"].tolist()
    ([True, False], [5.0, nan])
    """
    named = {"tenure": tenure, "churned": churned, "id": id}
    table = _open(source, {role: name for role, name in named.items() if name is not None})
    times = table.tenure(tenure)
    ends = np.zeros(len(times), dtype=bool) if churned is None else table.flags(churned)
    ids = np.arange(1, len(times) + 1) if id is None else table.ids(id)
    others = [name for name in table.cells.columns if name not in named.values()]
    columns = {name: table.column(name) for name in others}
    if table.faults:
        raise TablesError(table.faults)
    return CustomerTotals(ids, times, ends, pd.DataFrame(columns, table.cells.index), unit)


def _open(source: Any, named: dict[str, str]) -> _Table:
    """Return the cells of a file or frame; raise TablesError if named columns are missing."""
    try:
        if isinstance(source, str | Path):
            path = Path(source)
            part = open_csv(TABLE, path, path.name, TableSource(columns=named))
        else:
            part = open_frame(TABLE, source)
        cells = part.reader().read_all().to_pandas()
        ragged, _ = part.faults()
    except UnreadableError as error:
        raise TablesError([error.fault]) from None
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({error})"
        fault = Fault(Path(source).name, TABLE, None, None, None, problem, "Export it again.")
        raise TablesError([fault]) from None
    table = _Table(part, cells.set_axis(list(part.columns), axis=1), [*ragged])
    for role, name in named.items():
        if name not in part.columns:
            known = f"Its columns are {', '.join(part.columns)}; set {role}=…"
            table.refuse(name, "there is no such column", known)
    if not len(cells):
        table.refuse(None, "there are no rows", "Give one row per customer.")
    if len(table.faults) > len(ragged):
        raise TablesError(table.faults)
    table.cells = table.cells.apply(_without_missing)
    return table


@dataclass
class _Table:
    """The cells of a part (None if missing) and the faults found so far."""

    part: Part
    cells: pd.DataFrame
    faults: list[Fault]

    def refuse(
        self, column: str | None, problem: str, remedy: str, wrong: Flags | None = None
    ) -> None:
        """Add a fault of the table, or one for each row in which ``wrong`` is true."""
        if wrong is None:
            self.faults.append(Fault(self.part.file, TABLE, None, column, None, problem, remedy))
            return
        rows = np.flatnonzero(wrong).tolist()
        for row, line in zip(rows, self.part.lines(rows) if rows else [], strict=True):
            cell = self.cells[column].iloc[row]
            text = None if pd.isna(cell) else str(cell)
            self.faults.append(Fault(self.part.file, TABLE, line, column, text, problem, remedy))

    def read(self, name: str) -> tuple[Floats, Flags]:
        """Return a column as numbers (NaN for other cells), and a mask of the cells not missing."""
        numbers = pd.to_numeric(self.cells[name], errors="coerce").to_numpy(dtype=float)
        return numbers, self.cells[name].notna().to_numpy(dtype=bool)

    def tenure(self, name: str) -> Floats:
        values, present = self.read(name)
        wrong = present & ~np.isfinite(values)
        self.refuse(name, "tenure is missing", "Give it, or remove the customer.", ~present)
        self.refuse(name, "not a number", "Write time since the start as a number.", wrong)
        self.refuse(name, "tenure is negative", "Correct it: 0 is the start.", values < 0)
        return values

    def flags(self, name: str) -> Flags:
        texts = self.cells[name].astype(str).str.lower().str.removesuffix(".0")
        present, yes = self.read(name)[1], texts.isin(TRUE).to_numpy()
        wrong, how = present & ~yes & ~texts.isin(FALSE).to_numpy(), "Write yes or no, or 1 or 0."
        self.refuse(name, "churned is missing", how, ~present)
        self.refuse(name, "neither yes nor no", how, wrong)
        return yes

    def ids(self, name: str) -> NDArray[Any]:
        present, repeated = self.read(name)[1], self.cells[name].astype(str).duplicated().to_numpy()
        repeated, how = present & repeated, "Keep one row per customer."
        self.refuse(name, "the customer has no id", "Give it one.", ~present)
        self.refuse(name, "this customer has a row already", how, repeated)
        ids: NDArray[Any] = self.cells[name].to_numpy()
        return ids

    def column(self, name: str) -> NDArray[Any]:
        """Return a column as numbers or as texts."""
        values, present = self.read(name)
        if (~np.isnan(values)).sum() >= MIN_NUMBERS * present.sum():
            wrong = present & ~np.isfinite(values)
            remedy = "Write a number with a decimal point, or leave the cell empty."
            self.refuse(name, "not a number in a column of numbers", remedy, wrong)
            return values
        texts: NDArray[Any] = self.cells[name].astype(str).to_numpy(dtype=object)
        texts[~present] = None
        levels = set(texts[present])
        if all(re.fullmatch(LOOKS_LIKE_DATE, level) for level in levels):
            remedy = "Remove it; dated events make a better model: read_tables."
            self.refuse(name, "the column holds dates, which this model cannot read", remedy)
        elif len(levels) > MAX_LEVELS:
            problem = f"a text column with {len(levels):,} different values is not useful"
            self.refuse(name, problem, "Name it as id=…, group its values, or remove it.")
        return texts


def _without_missing(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return numeric columns as floats; otherwise strip texts and replace missing ones by None."""
    if column.dtype.kind in "iufb":
        return column.astype(float)
    cells = column.map(lambda cell: cell.strip() if isinstance(cell, str) else cell).astype(object)
    cells[cells.isna() | cells.astype(str).str.lower().isin(MISSING)] = None
    return cells


MIN_CHURNS = 20
"""Minimum number of churned customers for a fit."""
MAX_STEPS = 240
"""Maximum number of steps in the longest tenure: twenty years of months."""


@dataclass(frozen=True, eq=False, repr=False)
class LifetimeForecast(Result):
    """Survival of each customer, conditional on the tenure reached.

    Attributes
    ----------
    customer_id, tenure : arrays of shape (n,)
        The customer and the tenure from which the forecast starts.
    ahead : array of shape (k,)
        Times ahead, in ``unit``.
    active : array of shape (n, k)
        P(still active) at each time ahead; ``churned`` is 1 − ``active``.
    beyond : array of shape (n,)
        Whether the forecast extends beyond the longest tenure in the training data, where the mean
        hazard of the last quarter of steps is used.
    unit : str
    warning : TotalsWarning
        What the forecast cannot show.
    unseen, clipped : dict
        Number of customers, by column, with a category that is not in the training data (treated as
        missing), or a number outside the range of the training data (clipped to it).
    """

    customer_id: NDArray[Any]
    tenure: Floats
    ahead: Floats
    active: Floats
    beyond: NDArray[np.bool_]
    unit: str
    warning: TotalsWarning
    unseen: dict[str, int] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)

    @property
    def churned(self) -> Floats:
        """P(churned by) each time ahead, shape (n, k)."""
        return 1.0 - self.active

    @property
    def risk(self) -> Floats:
        """P(churn within the horizon), shape (n,)."""
        return self.churned[:, -1]

    @property
    def expected(self) -> Floats:
        """Expected time active within the horizon in ``unit``, shape (n,): area under the curve."""
        at = np.concatenate([[0.0], self.ahead])
        curve = np.column_stack([np.ones(len(self.active)), self.active])
        area: Floats = ((curve[:, 1:] + curve[:, :-1]) / 2) @ np.diff(at)
        return area

    def _table(self) -> pd.DataFrame:
        names = ("customer_id", "tenure", "risk", "beyond")
        frame = pd.DataFrame({name: getattr(self, name) for name in names})
        curves = [f"still_active_{ahead:g}_{self.unit}" for ahead in self.ahead]
        return frame.join(pd.DataFrame(self.active, columns=curves))

    def _notebook_table(self) -> pd.DataFrame:
        return self._table().round(3)

    def to_dict(self) -> dict[str, object]:
        """Return the forecast as a plain dictionary, ready for JSON."""
        return {
            "unit": self.unit,
            "ahead": self.ahead.tolist(),
            "customers": self._table().to_dict(orient="records"),
            "unseen": dict(self.unseen),
            "clipped": dict(self.clipped),
            "warning": self.warning.to_dict(),
        }

    def __repr__(self) -> str:
        mean = f", mean risk {self.risk.mean():.3f}" if len(self) else ""
        lines = [f"{len(self):,} customers, {self.ahead[-1]:g} {self.unit} ahead{mean}"]
        if self.beyond.any():
            lines.append(f"{self.beyond.sum():,} extend past the longest tenure in training")
        for counts, what in (
            (self.unseen, "categories not in the training data, treated as missing"),
            (self.clipped, "numbers outside the range of the training data, clipped to it"),
        ):
            if counts:
                columns = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
                lines.append(f"{what}: {columns}")
        return "\n".join([*lines, str(self.warning)])


@dataclass(eq=False, repr=False)
class LifetimeModel(EstimatorBase):
    """Discrete-time hazards of churn since the start, fitted on one row per customer.

    Parameters
    ----------
    horizon, step : float, default 12 and 1
        In the unit of the table. The defaults are a year in steps of a month.
    estimator : {"ensemble", "boosting", "logistic", "cox"}, default "ensemble"
        As in `ChurnModel`; all are calibrated on held-out customers.
    totals : {"leave out", "read"}, default "leave out"
        Whether to use columns that look like totals over tenure; ``left_out_`` names those left
        out.
    random_state : int, default 0

    Examples
    --------
    >>> from leadsignal.datasets.simulation import simulated
    >>> totals = simulated(300, seed=0)
    >>> model = LifetimeModel(horizon=6, estimator="cox").fit(totals)
    >>> forecast = model.predict(totals.current())
    >>> bool(((forecast.risk > 0) & (forecast.risk < 1)).all())
    True
    """

    horizon: float = 12
    step: float = 1
    estimator: Estimator = "ensemble"
    totals: Literal["leave out", "read"] = "leave out"
    random_state: int = 0

    def fit(self, totals: CustomerTotals, y: object = None) -> LifetimeModel:
        """Fit on churned and current customers; ``y`` is ignored.

        Raises OptionError that lists every invalid parameter, and ModelError if there are too few
        churns, no column that varies, or too many steps.
        """
        self._check_parameters()
        self.warning_ = totals.warning
        self.left_out_ = self.warning_.columns if self.totals == "leave out" else ()
        columns = totals.columns.drop(columns=list(self.left_out_))
        names = [str(name) for name, values in columns.items() if len(values.unique()) > 1]
        tenure = totals.tenure / self.step
        steps = max(1, int(np.ceil(tenure.max(initial=0) - TINY)))
        _check_enough(totals, names, steps)
        categories = columns.columns.difference(columns.select_dtypes("float").columns)
        self.features_ = Features.of(columns, names, categories)
        self.unit_ = totals.unit
        self.customers_, self.events_ = len(totals), int(totals.churned.sum())
        # Churn at tenure 0 belongs to the first step.
        within = np.where(totals.churned, np.maximum(tenure, TINY), np.nan)
        self.hazards_: Hazards = fit_stacked_rows(
            self.features_,
            self.features_.matrix(columns),
            customer_steps(tenure, totals.churned),
            within,
            np.arange(1, steps + 1),
            CUSTOMER_LEARNERS[self.estimator],
            self.random_state,
        )
        return self

    def predict(self, totals: CustomerTotals) -> LifetimeForecast:
        """Forecast up to the horizon from the current tenure, conditional on having reached it.

        Intended for current customers; ``totals.churned`` is ignored. Raises ModelError if columns
        or unit differ from the training data.
        """
        ahead = step_ends(self.horizon, self.step)
        return self._forecast(totals, totals.tenure, ahead.astype(np.float64))

    def from_start(self, totals: CustomerTotals) -> LifetimeForecast:
        """Return survival curves from tenure 0 to the longest tenure in the training data."""
        self._check_is_fitted("hazards_")
        ahead = self.hazards_.ends.astype(np.float64) * self.step
        return self._forecast(totals, np.zeros(len(totals)), ahead)

    def predict_proba(self, totals: CustomerTotals) -> Floats:
        """Return P(no churn) and P(churn) within the horizon, shape (n, 2)."""
        risk = self.predict(totals).risk
        return np.column_stack([1 - risk, risk])

    def _forecast(self, totals: CustomerTotals, begin: Floats, ahead: Floats) -> LifetimeForecast:
        self._check_is_fitted("hazards_")
        self._check_table(totals)
        columns, features = totals.columns, self.features_
        hazard, _ = self.hazards_.step_hazards(features.matrix(columns))
        at = (begin[:, None] + np.concatenate([[0.0], ahead])) / self.step
        total = cumulative_hazard(hazard, at)
        active = np.exp(total[:, :1] - total[:, 1:])
        beyond = (begin + ahead[-1]) / self.step > len(self.hazards_.ends) + TINY
        return LifetimeForecast(
            totals.customer_id,
            begin,
            ahead,
            active,
            beyond,
            self.unit_,
            self.warning_,
            features.unseen(columns),
            features.clipped_counts(columns),
        )

    def _check_table(self, totals: CustomerTotals) -> None:
        features, columns = self.features_, totals.columns
        problems = [f"{name} is missing" for name in features.names if name not in columns]
        for name in columns.columns.intersection(list(features.names)):
            is_number = columns[name].dtype.kind == "f"
            # A column without any value has no type.
            if is_number == (name in features.levels) and columns[name].notna().any():
                problems.append(f"{name} {'is' if is_number else 'is not'} a number here")
        if totals.unit != self.unit_:
            problems.append(f"tenures are in {totals.unit} and not in {self.unit_}")
        if problems:
            raise ModelError(
                f"the table differs from the training data: {'; '.join(problems)}",
                "Give the same columns and unit, or fit the model again",
            )

    def _check_parameters(self) -> None:
        allowed = {"estimator": tuple(CUSTOMER_LEARNERS), "totals": ("leave out", "read")}
        problems = [
            f"{name} is {getattr(self, name)!r}; it may be {' or '.join(map(repr, values))}"
            for name, values in allowed.items()
            if getattr(self, name) not in values
        ]
        problems += [
            f"{name} is {value!r}; it must be a number above 0"
            for name, value in (("horizon", self.horizon), ("step", self.step))
            if not (isinstance(value, int | float | np.number) and 0 < value < np.inf)
        ]
        if problems:
            raise OptionError("; ".join(problems), "Correct the model's parameters")


def _check_enough(totals: CustomerTotals, names: list[str], steps: int) -> None:
    if (churns := int(totals.churned.sum())) < MIN_CHURNS:
        problem = f"the table holds {churns} customers that churned; a model needs {MIN_CHURNS}"
        raise ModelError(problem, "Give more customers, and check the column that says who churned")
    if not names:
        raise ModelError("the table has no column that varies", "Give attributes of customers")
    if steps > MAX_STEPS:
        problem = f"the longest tenure has {steps:,} steps; the maximum is {MAX_STEPS}"
        raise ModelError(problem, "Choose a longer step, for example step=30 for tenures in days")
