"""Learners of the hazard from stacked rows: boosting, logistic regression, a landmark Cox model.

Each is fitted on a design of `stacking` and returns the log-odds of ending in each of its rows.
A churn event appears in the rows of every snapshot within the horizon before it, so rows are not
independent and all three learners are regularised more. The strength was chosen on simulated seeds
that no test uses, by log-loss and AUC on later rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.model.growing import Binned, Growth, grown_trees
from leadsignal.model.person_period import Layout
from leadsignal.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.stats.penalised_logit import LogitFit, SharedRows

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

RIDGE = 600.0
"""Penalty on half the square of each coefficient, for each row in which one end is seen."""
TIMING_RIDGE = 3.0
MAX_ALIKE = 20.0
"""Number of columns like it, counting itself, up to which a column has the plain penalty."""
COMPARED_ROWS = 20_000
"""Maximum number of rows from which correlations are taken."""
FEW_ENDS = 100
"""Ends below which trees have fewer leaves."""
RENEWAL_EDGES = (15, 30, 45, 60, 75, 90, 120, 150, 240)
"""Edges of the bins of days to renewal: notice is given between these."""
MIN_TERM = 3
"""Contracts that run for fewer months renew all the time."""
NEAREST = 1e-7
TIMING = ("tenure_days", "days_to_renewal", "step_begin", "renews", "days_to_renewal_now")
"""Columns that say when."""


def _products(rows: Floats, coefficients: Floats) -> Floats:
    """Return each row's sum of products; unlike a matrix product, it ignores the other rows."""
    total: Floats = (rows * coefficients).sum(axis=1)
    return total


class Prepared:
    """A stacked design, and what learners make of its columns, once for all fits on its rows.

    Attributes
    ----------
    rows : array of shape (n, columns)
        The design.
    weight : array of shape (n,)
        Weight of each row.
    owner : array of shape (n,)
        Number of the panel row that each is a step of.
    """

    def __init__(self, layout: Layout, rows: Floats, weight: Floats, owner: Ints) -> None:
        self.layout, self.rows, self.weight, self.owner = layout, rows, weight, owner

    @cached_property
    def binned(self) -> Binned:
        """The columns as numbers of bins."""
        return Binned.of(self.rows, self.weight, self.layout.is_category)

    @cached_property
    def _linear(self) -> tuple[LinearColumns, SharedRows]:
        columns = LinearColumns(self.layout)
        return columns, columns.fit_shared(self.rows, self.owner)

    @property
    def columns(self) -> LinearColumns:
        """How a linear model reads the design."""
        return self._linear[0]

    @property
    def shared(self) -> SharedRows:
        """A constant, timing and, shared by each owner's rows, indicators."""
        return self._linear[1]

    @cached_property
    def flat(self) -> Floats:
        """Timing and indicators of a linear model, shape (n, columns)."""
        return self.columns.columns(self.rows)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Person-period rows that a learner is fitted on.

    Attributes
    ----------
    prepared : Prepared
        A design that holds them.
    places : array of shape (n,)
        Which of its rows they are.
    ended, weight : arrays of shape (n,)
        Whether each row ended, and its weight.
    start, stop : arrays of shape (n,)
        Days ahead on which its time at risk begins and stops.
    overlap : float
        Number of rows in which one end is seen, on average.
    """

    prepared: Prepared
    places: Ints
    ended: NDArray[np.bool_]
    weight: Floats
    start: Floats
    stop: Floats
    overlap: float

    @property
    def ends(self) -> float:
        """Number of distinct ends."""
        return float(self.weight[self.ended].sum() / self.overlap)

    @property
    def owner(self) -> Ints:
        """Number of the panel row that each is a step of, shape (n,)."""
        return self.prepared.owner[self.places]

    @property
    def rows(self) -> Floats:
        """The design, shape (n, columns)."""
        return self.prepared.rows[self.places]

    def part(self, chosen: NDArray[np.bool_] | Ints, weight: Floats | None = None) -> TrainingData:
        """Return the chosen rows, with another ``weight`` of each if it is given."""
        return TrainingData(
            self.prepared,
            self.places[chosen],
            self.ended[chosen],
            self.weight[chosen] if weight is None else weight,
            self.start[chosen],
            self.stop[chosen],
            self.overlap,
        )


class Boosting:
    """Gradient boosted trees; the hazard moves with an indicator only as the layout's signs say."""

    tree_count = 50
    leaf_count = 5
    few_leaves = 3
    column_share = 0.2
    leaf_rows = 300

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.seed = layout, seed

    def fit(self, training: TrainingData) -> Boosting:
        """Learn the hazard of a step."""
        growth = Growth(
            self.tree_count,
            self.leaf_count if training.ends >= FEW_ENDS else self.few_leaves,
            self.column_share,
            self.leaf_rows / max(1.0, float(training.weight.mean())),
            tuple(at for at, name in enumerate(self.layout.names) if name in TIMING),
        )
        binned = training.prepared.binned.part(training.places)
        signs = self.layout.signs
        self.trees = grown_trees(binned, training.ended, training.weight, signs, growth, self.seed)
        return self

    def again(self, training: TrainingData) -> Boosting:
        """Return a learner like this, fitted on other rows of the same design."""
        return type(self)(self.layout, self.seed).fit(training)

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of ending in each row, shape (n,)."""
        return self.trees(rows)

    def held_out(self, training: TrainingData) -> Floats:
        """Return the log-odds of rows of the design that it was fitted on, shape (n,)."""
        return self.log_odds(training.rows)


def penalty_factors(columns: Floats, weight: Floats) -> Floats:
    """Return what the penalty of each column is multiplied by, shape (columns,).

    The same ridge on 100 columns that rise together penalises their common direction 100 times
    less than that of one column alone, so that noise which many columns share is hardly shrunken.
    The number of columns like one is its sum of squared correlations. Beyond `MAX_ALIKE`, the
    penalty rises with its square.

    >>> column = np.arange(4.0)[:, None]
    >>> round(float(penalty_factors(np.repeat(column, 40, axis=1), np.ones(4))[0]), 3)
    4.0
    """
    if not columns.shape[1]:
        return np.ones(0)
    step = slice(None, None, max(1, -(-len(columns) // COMPARED_ROWS)))
    weight = (weight[step, None] / weight[step].sum()).astype(np.float32)
    rows = columns[step].astype(np.float32)
    centred = (rows - (weight * rows).sum(axis=0)) * np.sqrt(weight)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    alike = ((unit.T @ unit).astype(np.float64) ** 2).sum(axis=0)
    factors: Floats = np.maximum(alike / MAX_ALIKE, 1.0) ** 2
    return factors


class LinearColumns:
    """A stacked design as columns of a linear model: when, hardly penalised, and how.

    When: one flag for each step without a renewal; for each stretch of `RENEWAL_EDGES` in which
    the renewal of a step with one lay at the snapshot; for each step of contracts that renew all
    the time or of which that is not known; log tenure; the renewal of a term beyond a year.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.how = np.array([name not in TIMING for name in layout.names])
        self.edges = [edge for edge in RENEWAL_EDGES if edge < layout.ends[-1]]

    @property
    def timing_count(self) -> int:
        """Number of columns that say when."""
        return 2 * len(self.layout.ends) + len(self.edges) + 3

    def fit_shared(self, rows: Floats, owner: NDArray[np.int64]) -> SharedRows:
        """Learn the scales; return a constant, timing and, shared by each owner's, indicators."""
        from leadsignal.model.encoding import IndicatorEncoder
        from leadsignal.stats.penalised_logit import SharedRows

        self.encoder = IndicatorEncoder(self.layout.is_category[self.how])
        own = np.column_stack([np.ones(len(rows)), self._when(rows)])
        _, first, among = np.unique(owner, return_index=True, return_inverse=True)
        if not self.how.any():
            return SharedRows(own, np.zeros((len(first), 0)), among)
        how = rows[np.ix_(first, np.flatnonzero(self.how))]
        return SharedRows(own, self.encoder.fit_transform(how), among)

    def columns(self, rows: Floats) -> Floats:
        """Return timing and indicators, shape (n, columns)."""
        when = self._when(rows)
        if not self.how.any():
            return when
        return np.hstack([when, self._encoded(np.ascontiguousarray(rows[:, self.how]))])

    def _encoded(self, how: Floats) -> Floats:
        """Return the indicators encoded; where rows come a step each, once for all their steps."""
        steps = len(self.layout.ends)
        if len(how) % steps == 0:
            by_row = how.view(np.int64).reshape(-1, steps, how.shape[1])
            if (by_row == by_row[:, :1]).all():
                return np.repeat(self.encoder.transform(how[::steps]), steps, axis=0)
        encoded: Floats = self.encoder.transform(how)
        return encoded

    def sources(self, owner: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return who owns each of `columns`, given who owns each column of a design.

        All that says when is taken for one owner's.
        """
        when = np.full(self.timing_count, owner[~self.how].max())
        if not self.how.any():
            return when
        encoder = self.encoder
        read = [encoder.numbers_, encoder.with_gaps_, encoder.flags_[:, 0].astype(int)]
        return np.concatenate([when, owner[self.how][np.concatenate(read)]])

    def _column(self, rows: Floats, name: str) -> Floats:
        if name not in self.layout.names:
            return np.full(len(rows), np.nan)
        return rows[:, self.layout.names.index(name)]

    def _when(self, rows: Floats) -> Floats:
        steps = len(self.layout.ends)
        begin = self._column(rows, "step_begin")
        step = np.searchsorted(self.layout.begins, begin)
        now, term = self._column(rows, "days_to_renewal_now"), self._column(rows, "term_months")
        renews = self._column(rows, "renews") == 1
        always = np.isnan(now) | (term < MIN_TERM)
        stretch = np.digitize(np.nan_to_num(now), self.edges)
        cell = np.where(renews, steps + stretch, steps + len(self.edges) + 1 + step)
        cell = np.where(always, step, cell)
        flags = np.zeros((len(rows), self.timing_count - 2))
        flags[np.arange(len(rows)), cell] = 1.0
        tenure = np.log1p(np.maximum(np.nan_to_num(self._column(rows, "tenure_days")), 0))
        return np.column_stack([flags, tenure, renews & (term > 12)])


class Logistic:
    """Ridge logistic regression on `LinearColumns`."""

    ridge = RIDGE

    near: LogitFit | None = None

    def __init__(self, layout: Layout, seed: int) -> None:
        self.columns = LinearColumns(layout)

    def fit(self, training: TrainingData) -> Logistic:
        """Learn the hazard of a step."""
        from leadsignal.stats.penalised_logit import penalised_logit

        self.columns = training.prepared.columns
        with one_thread():
            columns = training.prepared.shared.part(training.places)
            seen = np.bincount(columns.owner, training.weight, len(columns.shared)).astype(float)
            penalty = np.full(columns.width, TIMING_RIDGE)
            if self.near is None:
                self.factors = penalty_factors(columns.shared, seen)
            penalty[columns.own.shape[1] :] = self.ridge * training.overlap * self.factors
            penalty[0] = 0.0
            self.near = penalised_logit(
                columns, training.ended, training.weight, penalty, self.near
            )
        self.intercept, self.coefficients = float(self.near.coef[0]), self.near.coef[1:]
        return self

    def again(self, training: TrainingData) -> Logistic:
        """Return a learner like this, fitted on other rows of the same design."""
        return copy(self).fit(training)

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of ending in each row, shape (n,)."""
        return self.intercept + _products(self.columns.columns(rows), self.coefficients)

    def held_out(self, training: TrainingData) -> Floats:
        """Return the log-odds of rows of the design that it was fitted on, shape (n,)."""
        shared = training.prepared.shared.part(training.places)
        return shared.times(np.append(self.intercept, self.coefficients))


class LandmarkCox:
    """Cox's model of the days from the snapshot on, on `LinearColumns` that change with the step.

    One baseline hazard for all snapshots (van Houwelingen 2007), ridge as in `Logistic`.
    """

    ridge = RIDGE

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.columns = layout, LinearColumns(layout)

    def fit(self, training: TrainingData) -> LandmarkCox:
        """Learn the hazard of a day."""
        from leadsignal.survival.cox import fit_cox

        self.columns = training.prepared.columns
        columns = training.prepared.flat[training.places]
        ridge = np.full(columns.shape[1], TIMING_RIDGE)
        timing = self.columns.timing_count
        with one_thread():
            factors = penalty_factors(columns[:, timing:], training.weight)
            ridge[timing:] = self.ridge * training.overlap * factors
            fit = fit_cox(
                columns,
                training.stop,
                training.ended,
                start=training.start,
                weights=training.weight,
                ridge=ridge,
            )
        baseline = fit.baseline()
        self.coefficients, self.reference = fit.coef, baseline.reference
        days = np.concatenate([[0.0], np.cumsum(baseline.reference_hazard)])
        at = np.searchsorted(baseline.time, self.layout.ends, side="right")
        since = np.searchsorted(baseline.time, self.layout.begins, side="right")
        self.increments = days[at] - days[since]
        return self

    def again(self, training: TrainingData) -> LandmarkCox:
        """Return a learner like this, fitted on other rows of the same design."""
        return type(self)(self.layout, 0).fit(training)

    def held_out(self, training: TrainingData) -> Floats:
        """Return the log-odds of rows of the design that it was fitted on, shape (n,)."""
        return self.log_odds(training.rows)

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of ending in each row, shape (n,)."""
        step = np.searchsorted(self.layout.begins, rows[:, self.layout.names.index("step_begin")])
        relative = _products(self.columns.columns(rows) - self.reference, self.coefficients)
        grown = np.maximum(self.increments[step] * np.exp(np.clip(relative, -30, 30)), NEAREST)
        # P = 1 - exp(-grown), so P / (1 - P) = exp(grown) - 1.
        odds: Floats = np.log(np.expm1(np.minimum(grown, 30.0)))
        return odds


Learner = Boosting | Logistic | LandmarkCox
LearnerTypes = tuple[Callable[[Layout, int], Any], ...]
LEARNERS: Mapping[str, LearnerTypes] = {
    "ensemble": (Boosting, Logistic),
    "boosting": (Boosting,),
    "logistic": (Logistic,),
    "cox": (LandmarkCox,),
}
"""What each estimator is made of."""


class CustomerBoosting(Boosting):
    """Boosting with more and larger trees of all columns: each churn is seen in one row only."""

    tree_count = 200
    leaf_count = few_leaves = 8
    column_share = 1.0
    leaf_rows = 8


class CustomerLogistic(Logistic):
    """Logistic regression with a small penalty."""

    ridge = 1.0


class CustomerCox(LandmarkCox):
    """Cox's model with a small penalty."""

    ridge = 1.0


CUSTOMER_LEARNERS: Mapping[str, LearnerTypes] = {
    "ensemble": (CustomerBoosting, CustomerLogistic),
    "boosting": (CustomerBoosting,),
    "logistic": (CustomerLogistic,),
    "cox": (CustomerCox,),
}
"""Learners of each estimator for data with one row per customer."""
