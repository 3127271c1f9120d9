"""Which columns of an undated table look like totals over tenure.

Customers who stay longer log in more often, pay more in total and open more tickets. In a table
with one row per customer such a total is small for customers who left early *because* they left
early: a model that reads it learns the outcome, not a cause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.results import Result

Floats = NDArray[np.float64]

MIN_CORRELATION = 0.5
"""A column looks like a total from this absolute rank correlation with tenure on."""
MIN_CUSTOMERS = 30
"""Number of current customers needed to estimate that correlation."""
MAX_DEVIATION = 0.05
"""A column is a rate times tenure if the median relative deviation from it is below this."""


@dataclass(frozen=True, repr=False)
class TotalsWarning(Result):
    """What a model of undated columns does not show.

    Attributes
    ----------
    frame : DataFrame
        One row per column that looks like a total over tenure: ``column``; ``correlation``,
        Spearman's (1904) with tenure among ``customers`` who have not churned; ``equals``, what
        the column equals within 5 %: "tenure", a multiple of it, or another column times tenure.
    undecided : tuple of str
        Numeric columns that are known for too few current customers, or only for customers of one
        tenure.
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
            "last seen, so they are no evidence that churn can be foreseen.",
        ]
        for column, correlation, _, equals in self.frame.itertuples(index=False):
            equals = f", and is about {equals}" if equals else ""
            lines.append(f"  {column}: rank correlation with tenure {correlation:+.2f}{equals}")
        if self.columns:
            lines.insert(
                1, "These look like totals over tenure, which are small if a customer left early:"
            )
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
    """Return the warning of a table, with the numeric columns that grow with tenure.

    Only ``current`` customers are used: for those who left, tenure is the outcome itself.

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
    """Return what times tenure equals the column: 1, a number, or another column."""
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
