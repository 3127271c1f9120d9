"""What a table without dates cannot show, and which of its columns look like totals.

A customer that stays longer logs in more often, pays more in all, opens more tickets. In a table
with one row a customer such a total is small for those who left early because they left early.
A model that reads it finds the end in its own footprint.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.results import to_html

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STRONG = 0.5
"""From this rank correlation with tenure on, a column looks like a total."""
FEWEST = 30
"""Customers still there that it takes to see a correlation."""
CLOSE = 0.05
"""A column is rate × tenure where half of the customers are nearer to it than this share."""


@dataclass(frozen=True)
class Suspect:
    """A column that looks like a total over tenure.

    ``correlation`` is Spearman's (1904) with tenure among ``customers`` still there; ``made_of``
    names what it is within 5 %: "tenure", a multiple of it, or another column times tenure.
    """

    column: str
    correlation: float
    customers: int
    made_of: str | None

    def __str__(self) -> str:
        made = f", and is about {self.made_of}" if self.made_of else ""
        return f"{self.column}: rank correlation with tenure {self.correlation:+.2f}{made}"


@dataclass(frozen=True)
class TotalsWarning:
    """What a result from one row a customer is no evidence of; ``suspects`` look like totals.

    ``undecided`` names numeric columns too rarely seen among customers still there, or beside
    tenures that do not differ, to tell.
    """

    suspects: tuple[Suspect, ...]
    undecided: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that look like totals."""
        return tuple(suspect.column for suspect in self.suspects)

    def __str__(self) -> str:
        lines = [
            "Warning: the columns have no dates. They were read when each customer had left or was "
            "last seen, so what they say is no evidence of foresight.",
        ]
        if self.suspects:
            lines.append(
                "These look like totals over tenure, which are small because a customer left early:"
            )
            lines += [f"  {suspect}" for suspect in self.suspects]
            lines.append(
                "Divide them by tenure, or take them out with .without(…); LifetimeModel leaves "
                'them out unless told totals="read".'
            )
        if self.undecided:
            lines.append(f"Could not tell whether these are totals: {', '.join(self.undecided)}.")
        lines.append("To see who will leave before they do, give dated events: read_tables.")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a suspect: column, correlation, customers, made_of."""
        import pandas as pd

        names = list(Suspect.__dataclass_fields__)
        return pd.DataFrame([asdict(suspect) for suspect in self.suspects], columns=names)

    def to_dict(self) -> dict[str, object]:
        """Return the warning as a plain dictionary, ready for JSON."""
        return {
            "text": str(self),
            "suspects": [asdict(suspect) for suspect in self.suspects],
            "undecided": list(self.undecided),
        }

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return to_html(str(self))


def look_for_totals(
    columns: pd.DataFrame, tenure: Floats, active: NDArray[np.bool_]
) -> TotalsWarning:
    """Return the warning of a table, with the numeric columns that grow with tenure.

    Looks at customers still there only: among those who left, tenure is the outcome itself.

    >>> import numpy as np, pandas as pd
    >>> tenure = np.arange(1.0, 41.0)
    >>> frame = pd.DataFrame({"logins": 7 * tenure, "seats": np.tile([1.0, 2.0], 20)})
    >>> look_for_totals(frame, tenure, tenure > 0).columns
    ('logins',)
    """
    numbers = {
        str(name): values.to_numpy(dtype=float)[active]
        for name, values in columns.items()
        if values.dtype.kind == "f"
    }
    time = tenure[active]
    suspects, undecided = [], []
    for name, values in numbers.items():
        known = ~np.isnan(values)
        if known.sum() < FEWEST or np.ptp(time[known]) == 0:
            undecided.append(name)
            continue
        correlation = _rank_correlation(values[known], time[known])
        made_of = _made_of(name, numbers, time)
        if abs(correlation) >= STRONG or made_of:
            suspects.append(Suspect(name, correlation, int(known.sum()), made_of))
    return TotalsWarning(tuple(suspects), tuple(undecided))


def _rank_correlation(one: Floats, other: Floats) -> float:
    from scipy.stats import rankdata

    if np.ptp(one) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _made_of(name: str, numbers: dict[str, Floats], time: Floats) -> str | None:
    """Return what times tenure the column is: nothing, a number, or another column."""
    values = numbers[name]
    counted = (time > 0) & (values != 0) & ~np.isnan(values)
    if counted.sum() < FEWEST or np.ptp(time[counted]) == 0:
        return None
    rate = float(np.median(values[counted] / time[counted]))
    if _close(values[counted], rate * time[counted]):
        return "tenure" if abs(rate - 1) < CLOSE else f"{rate:.3g} × tenure"
    for other, rates in numbers.items():
        if other != name and _close(values[counted], rates[counted] * time[counted]):
            return f"{other} × tenure"
    return None


def _close(values: Floats, product: Floats) -> bool:
    off = np.abs(values - product) / np.abs(values)
    return bool(np.median(np.where(np.isnan(off), np.inf, off)) < CLOSE)
