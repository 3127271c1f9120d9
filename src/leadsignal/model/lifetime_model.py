"""Hazards of churn by time since the start, from one row per customer.

A customer with tenure t was at risk in each step up to t. Each customer and step is one row of the
same hazard model that is fitted on panels (Prentice & Gloeckler 1978; Singer & Willett 1993).
Columns have the same value in all steps, because earlier values are unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.errors import ModelError, OptionError
from leadsignal.model.customer_totals import CustomerTotals, TotalsWarning
from leadsignal.model.features import TINY, Features, customer_steps
from leadsignal.model.learners import CUSTOMER_LEARNERS
from leadsignal.model.provenance import EstimatorBase
from leadsignal.model.stacked_model import Estimator, Hazards, cumulative_hazard, fit_stacked_rows
from leadsignal.results import Result

Floats = NDArray[np.float64]


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

    def __init__(
        self,
        horizon: float = 12,
        step: float = 1,
        estimator: Estimator = "ensemble",
        totals: Literal["leave out", "read"] = "leave out",
        random_state: int = 0,
    ) -> None:
        self.horizon = horizon
        self.step = step
        self.estimator = estimator
        self.totals = totals
        self.random_state = random_state

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
        before = np.arange(self.step, self.horizon, self.step)
        ahead: Floats = np.append(before, self.horizon).astype(np.float64)
        return self._forecast(totals, totals.tenure, ahead)

    def from_start(self, totals: CustomerTotals) -> LifetimeForecast:
        """Return survival curves from tenure 0 to the longest tenure in the training data."""
        self._check_is_fitted("hazards_")
        ahead: Floats = self.hazards_.ends.astype(np.float64) * self.step
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
        counts = dict(zip(features.names, features.clipped(columns).sum(0).tolist(), strict=True))
        clipped = {name: count for name, count in counts.items() if count}
        return LifetimeForecast(
            totals.customer_id,
            begin,
            ahead,
            active,
            beyond,
            self.unit_,
            self.warning_,
            features.unseen(columns),
            clipped,
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
