"""How long customers stay, from one row a customer: hazards of each month since the start.

A customer of tenure t was at risk in every month up to t; it left in the last one or is still
there. Each customer and month makes one row (Prentice & Gloeckler 1978; Singer & Willett 1993); a
customer seen for a part of a month only counts for that part. The Cox model reads the customers
themselves. Columns stay as they are over all months: nobody knows what they were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, check_is_fitted

from leadsignal.errors import ModelError, OptionError
from leadsignal.lifetimes.coding import Coding
from leadsignal.lifetimes.month_hazards import (
    MonthHazards,
    fit_boosting,
    fit_cox_hazards,
    fit_logistic,
)
from leadsignal.lifetimes.totals import CustomerTotals
from leadsignal.results import to_html

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.lifetimes.foresight import TotalsWarning

    Floats = NDArray[np.float64]

LifetimeEstimator = Literal["boosting", "logistic", "cox"]
FITTERS = {"boosting": fit_boosting, "logistic": fit_logistic, "cox": fit_cox_hazards}
LEAST_CHURNS = 20
"""Fewer churns than this cannot carry a model."""
MOST_STEPS = 400
"""Tenures of more steps than this are better counted in longer ones."""


@dataclass(frozen=True, eq=False, repr=False)
class LifetimeForecast:
    """What is expected of each customer: P(churned by) and P(still active), some time ahead.

    Attributes: ``customer_id`` (n); ``tenure`` (n) from which on the forecast counts, conditional
    on being there then; ``ahead`` (k), times ahead in ``unit``; ``churned``, ``active`` (n × k);
    ``beyond`` (n), whether the forecast reaches past the last tenure ever seen, where the last
    hazards are carried on; ``unseen``, how many customers have a value that training did not have,
    by column; ``clipped``, how many have a number beyond those of training, which counts as the
    nearest of them; ``warning``, what no such forecast is evidence of.
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
        """P(churned by) at each time ahead (n × k)."""
        return 1.0 - self.active

    @property
    def risk(self) -> Floats:
        """P(churn within the horizon) (n)."""
        return self.churned[:, -1]

    @property
    def expected(self) -> Floats:
        """Expected time still active within the horizon (n), in ``unit``: the area below."""
        at = np.concatenate([[0.0], self.ahead])
        curve = np.column_stack([np.ones(len(self.active)), self.active])
        area: Floats = ((curve[:, 1:] + curve[:, :-1]) / 2) @ np.diff(at)
        return area

    def to_frame(self) -> pd.DataFrame:
        """Return one row a customer: id, tenure, risk, beyond, one column a time ahead."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "customer_id": self.customer_id,
                "tenure": self.tenure,
                "risk": self.risk,
                "beyond": self.beyond,
            }
        )
        curves = [f"still_active_{ahead:g}_{self.unit}" for ahead in self.ahead]
        return frame.join(pd.DataFrame(self.active, columns=curves))

    def to_dict(self) -> dict[str, object]:
        """Return the forecast as a plain dictionary, ready for JSON."""
        return {
            "unit": self.unit,
            "ahead": self.ahead.tolist(),
            "customers": self.to_frame().to_dict(orient="records"),
            "unseen": dict(self.unseen),
            "clipped": dict(self.clipped),
            "warning": self.warning.to_dict(),
        }

    def __repr__(self) -> str:
        lines = [
            f"{len(self.tenure):,} customers, {self.ahead[-1]:g} {self.unit} ahead, mean risk "
            f"{self.risk.mean() if len(self.risk) else float('nan'):.3f}",
        ]
        if self.beyond.any():
            lines.append(f"{self.beyond.sum():,} reach past the longest tenure seen in training")
        if self.unseen:
            counts = ", ".join(f"{name} ({count:,})" for name, count in self.unseen.items())
            lines.append(f"values that training did not have, taken as missing: {counts}")
        if self.clipped:
            counts = ", ".join(f"{name} ({count:,})" for name, count in self.clipped.items())
            lines.append(f"numbers beyond those of training, taken as the nearest: {counts}")
        return "\n".join([*lines, str(self.warning)])

    def _repr_html_(self) -> str:
        return to_html(repr(self), self.to_frame().round(3))


class LifetimeModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Hazards of churn by month since the start, fitted on one row a customer.

    ``horizon`` and ``step`` are in the unit of the table (12 and 1: a year of months).
    ``estimator``: ``"boosting"``, gradient-boosted discrete-time hazards, whose number of trees is
    chosen by log-loss on customers left out of training; ``"logistic"``, discrete-time logistic
    hazards; ``"cox"``, Cox's (1972) model with Efron's ties. ``ridge`` is the penalty of the last
    two, ½ ridge β² on columns of unit spread (0: none, for Cox only). ``totals``: ``"leave out"``
    or ``"read"`` the columns that look like totals over tenure; ``left_out_`` names them.

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
        estimator: LifetimeEstimator = "boosting",
        ridge: float = 1.0,
        totals: Literal["leave out", "read"] = "leave out",
        random_state: int = 0,
    ) -> None:
        self.horizon = horizon
        self.step = step
        self.estimator = estimator
        self.ridge = ridge
        self.totals = totals
        self.random_state = random_state

    def fit(self, totals: CustomerTotals, y: object = None) -> LifetimeModel:
        """Fit on customers that left and customers still there; ``y`` is ignored.

        Raises OptionError with every parameter outside what is allowed, and ModelError where there
        are too few churns, no column that differs, or more than 400 steps.
        """
        self._check_parameters()
        left_out = totals.warning.columns if self.totals == "leave out" else ()
        coding = Coding.learn(totals.columns.drop(columns=list(left_out)))
        steps = totals.tenure / self.step
        _check_enough(totals, coding, steps)
        self.coding_, self.left_out_ = coding, left_out
        self.unit_ = totals.unit
        self.warning_ = totals.warning
        self.customers_, self.events_ = len(totals), int(totals.churned.sum())
        X = coding.matrix(totals.columns, fill=self.estimator != "boosting")
        fitter = FITTERS[self.estimator]
        self.hazards_: MonthHazards = fitter(
            X, steps, totals.churned, coding.names, self.ridge, self.random_state
        )
        return self

    def predict(self, totals: CustomerTotals) -> LifetimeForecast:
        """Forecast up to the horizon from today's tenure on, each conditional on being there.

        Meant for current customers; whether a customer has churned is not read. Raises ModelError
        where columns or unit are not those of training.
        """
        before = np.arange(self.step, self.horizon, self.step)
        ahead: Floats = np.append(before, self.horizon).astype(np.float64)
        return self._forecast(totals, totals.tenure, ahead)

    def from_start(self, totals: CustomerTotals) -> LifetimeForecast:
        """Return whole survival curves: from tenure 0 to the longest tenure seen in training."""
        check_is_fitted(self, "hazards_")
        ahead: Floats = np.arange(1, self.hazards_.steps + 1, dtype=np.float64) * self.step
        return self._forecast(totals, np.zeros(len(totals)), ahead)

    def predict_proba(self, totals: CustomerTotals) -> Floats:
        """Return P(no churn) and P(churn) within the horizon (n × 2)."""
        risk = self.predict(totals).risk
        return np.column_stack([1 - risk, risk])

    def _forecast(self, totals: CustomerTotals, begin: Floats, ahead: Floats) -> LifetimeForecast:
        check_is_fitted(self, "hazards_")
        if totals.unit != self.unit_:
            raise ModelError(
                f"the tenures are in {totals.unit}, those of training were in {self.unit_}",
                "Read the table with the same unit",
            )
        X = self.coding_.matrix(totals.columns, fill=self.estimator != "boosting")
        active = self.hazards_.staying(X, begin / self.step, ahead / self.step)
        beyond = (begin + ahead[-1]) / self.step > self.hazards_.steps + 1e-9
        unseen, clipped = (
            count(totals.columns) for count in (self.coding_.unseen, self.coding_.clipped)
        )
        return LifetimeForecast(
            totals.customer_id, begin, ahead, active, beyond, self.unit_, self.warning_, unseen,
            clipped,
        )  # fmt: skip

    def _check_parameters(self) -> None:
        problems = []
        if self.estimator not in FITTERS:
            allowed = " or ".join(FITTERS)
            problems.append(f"estimator is {self.estimator!r}; it may be {allowed}")
        if self.totals not in ("leave out", "read"):
            problems.append(f"totals is {self.totals!r}; it may be 'leave out' or 'read'")
        problems += [
            f"{name} is {getattr(self, name)!r}; it must be a number above 0"
            for name in ("horizon", "step")
            if not (_is_number(getattr(self, name)) and getattr(self, name) > 0)
        ]
        if not (_is_number(self.ridge) and self.ridge >= 0):
            problems.append(f"ridge is {self.ridge!r}; it must be a number, 0 or more")
        elif self.ridge == 0 and self.estimator == "logistic":
            problems.append("ridge is 0; with estimator='logistic' it must be above 0")
        if problems:
            raise OptionError("; ".join(problems), "Correct the model's parameters")


def _is_number(given: object) -> bool:
    return isinstance(given, int | float | np.number) and bool(np.isfinite(given))


def _check_enough(totals: CustomerTotals, coding: Coding, steps: Floats) -> None:
    if (churns := int(totals.churned.sum())) < LEAST_CHURNS:
        raise ModelError(
            f"the table holds {churns} customers that churned; a model needs {LEAST_CHURNS}",
            "Give more customers, and check the column that says who churned",
        )
    if not coding.names:
        raise ModelError("the table has no column that differs", "Give attributes of customers")
    if (longest := float(np.ceil(steps.max()))) > MOST_STEPS:
        raise ModelError(
            f"the longest tenure has {longest:,.0f} steps; a model takes {MOST_STEPS}",
            "Choose a longer step, for example step=30 for tenures in days",
        )


def simulated(customers: int, seed: int) -> CustomerTotals:
    """Return customers whose law is known (`true_survival`), for examples and tests.

    Followed for 1 to 24 whole months. ``x`` is standard normal, ``plan`` is "trial" for four in
    ten; ``noise`` says nothing.

    >>> simulated(3, seed=0).columns.columns.tolist()
    ['x', 'plan', 'noise']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    x, trial = rng.normal(size=customers), rng.random(customers) < 0.4
    life = np.ceil(rng.exponential(1 / _hazard(x, trial)))
    followed = rng.integers(1, 25, size=customers).astype(float)
    plan = np.where(trial, "trial", "paid").astype(object)
    noise = rng.normal(size=customers)
    columns = pd.DataFrame({"x": x, "plan": plan, "noise": noise})
    ids = np.arange(1, customers + 1)
    return CustomerTotals(ids, np.minimum(life, followed), life <= followed, columns)


def true_survival(totals: CustomerTotals, months: int) -> Floats:
    """Return P(still there) of `simulated` customers after 1 to ``months`` months (n × months)."""
    trial = (totals.columns["plan"] == "trial").to_numpy(dtype=bool)
    hazard = _hazard(totals.columns["x"].to_numpy(dtype=float), trial)
    survival: Floats = np.exp(-np.outer(hazard, np.arange(1, months + 1)))
    return survival


def _hazard(x: Floats, trial: NDArray[np.bool_]) -> Floats:
    """Hazard a month, the same in all: e^−2.5, times e^0.8 a unit of x, e^0.7 on trial."""
    hazard: Floats = np.exp(-2.5 + 0.8 * x + 0.7 * trial)
    return hazard
