"""Learners of the hazard from stacked rows: boosting, logistic, Cox, or any classifier.

Each is fitted on a design of `stacking`, and returns the log-odds of an end in each of its rows.
A churn event appears in the rows of every snapshot within the horizon before it, so that rows are
not independent, and all learners need more regularisation. Its strength was chosen by log loss and
AUC on later rows of simulated data sets, with seeds that no test uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import meant
from leadsignal.model.features import IndicatorColumns, Layout
from leadsignal.model.trees import Binned, Growth, grown_trees
from leadsignal.workers import one_thread

if TYPE_CHECKING:
    from leadsignal.stats import LogitFit, SharedRows

    Ints = NDArray[np.int64]

Floats = NDArray[np.float64]


RIDGE = 600.0
"""Ridge penalty on half the square of each coefficient, per row in which the same end appears."""
TIMING_RIDGE = 3.0
MAX_ALIKE = 20.0
"""Effective number of correlated columns (including itself) up to which the penalty is plain."""
COMPARED_ROWS = 20_000
"""Maximum number of rows used to compute correlations."""
FEW_ENDS = 100
"""Number of ends below which trees have fewer leaves."""
RENEWAL_EDGES = (15, 30, 45, 60, 75, 90, 120, 150, 240)
"""Bin edges for days to renewal, chosen around the usual dates of notice."""
MIN_TERM = 3
"""Contracts with a shorter term, in months, are treated as renewing continuously."""
NEAREST = 1e-7
TIMING = ("tenure_days", "days_to_renewal", "step_begin", "renews", "days_to_renewal_now")
"""Columns on timing."""


def _products(rows: Floats, coefficients: Floats) -> Floats:
    """Return the dot product of each row, computed independently of the other rows."""
    total: Floats = (rows * coefficients).sum(axis=1)
    return total


class Prepared:
    """A stacked design, with its transformed columns cached for all fits on its rows.

    Attributes
    ----------
    rows : array of shape (n, columns)
        The design matrix.
    weight : array of shape (n,)
        Weight of each row.
    owner : array of shape (n,)
        Panel row to which each row belongs.
    """

    def __init__(self, layout: Layout, rows: Floats, weight: Floats, owner: Ints) -> None:
        self.layout, self.rows, self.weight, self.owner = layout, rows, weight, owner

    @cached_property
    def binned(self) -> Binned:
        """The columns as bin numbers."""
        return Binned.of(self.rows, self.weight, self.layout.is_category)

    @cached_property
    def _linear(self) -> tuple[LinearColumns, SharedRows]:
        columns = LinearColumns(self.layout)
        return columns, columns.fit_shared(self.rows, self.owner)

    @property
    def columns(self) -> LinearColumns:
        """The transformation of the design for linear models."""
        return self._linear[0]

    @property
    def shared(self) -> SharedRows:
        """A constant, timing columns, and indicators shared by the rows of each owner."""
        return self._linear[1]

    @cached_property
    def flat(self) -> Floats:
        """Timing columns and indicators for a linear model, shape (n, columns)."""
        return self.columns.columns(self.rows)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Person-period rows used to fit a learner.

    Attributes
    ----------
    prepared : Prepared
        The design that contains the rows.
    places : array of shape (n,)
        Positions of the rows in the design.
    ended, weight : arrays of shape (n,)
        Whether each row ended, and its weight.
    start, stop : arrays of shape (n,)
        Days from the snapshot between which the row is at risk.
    overlap : float
        Average number of rows in which the same end appears.
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
        """Panel row to which each row belongs, shape (n,)."""
        return self.prepared.owner[self.places]

    @property
    def rows(self) -> Floats:
        """The design matrix, shape (n, columns)."""
        return self.prepared.rows[self.places]

    def part(self, chosen: NDArray[np.bool_] | Ints, weight: Floats | None = None) -> TrainingData:
        """Return some of the rows, optionally with other weights."""
        names = ("places", "ended", "weight", "start", "stop")
        kept: dict[str, Any] = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **(kept if weight is None else kept | {"weight": weight}))


class _Learner:
    """What all learners can do; each has its own `fit` and `log_odds`."""

    def fit(self, training: TrainingData) -> Self:
        """Fit the hazard of a step."""
        raise NotImplementedError

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of an end in each row, shape (n,)."""
        raise NotImplementedError

    def again(self, training: TrainingData) -> Self:
        """Return a learner with the same settings, fitted on other rows of the same design."""
        return copy(self).fit(training)

    def held_out(self, training: TrainingData) -> Floats:
        """Return the log-odds for other rows of the same design, shape (n,)."""
        return self.log_odds(training.rows)


class Boosting(_Learner):
    """Gradient boosted trees, with monotonicity constraints given by the signs of the layout."""

    tree_count = 50
    leaf_count = 5
    few_leaves = 3
    column_share = 0.2
    leaf_rows = 300

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.seed = layout, seed

    def fit(self, training: TrainingData) -> Self:
        """Fit the hazard of a step."""
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

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of an end in each row, shape (n,)."""
        return self.trees(rows)


def penalty_factors(columns: Floats, weight: Floats) -> Floats:
    """Return a factor for the penalty of each column, shape (columns,).

    With the same ridge for all, 100 correlated columns have a penalty on their common direction
    that is 100 times smaller than for a single column, so that noise common to them is hardly
    shrunk. The effective number of columns like a given one is its sum of squared correlations.
    Beyond `MAX_ALIKE`, the penalty increases with the square of that number.

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
    """Columns of a linear model from a stacked design: lightly penalised timing, and indicators.

    Timing columns: a flag for each step without a renewal; for steps with one, a flag for each bin
    of `RENEWAL_EDGES` by the days to renewal at the snapshot; a flag for each step of contracts
    that renew continuously or have no known renewal; log tenure; and the renewal of terms beyond a
    year.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.how = np.array([name not in TIMING for name in layout.names])
        self.edges = [edge for edge in RENEWAL_EDGES if edge < layout.ends[-1]]

    @property
    def timing_count(self) -> int:
        """Number of timing columns."""
        return 2 * len(self.layout.ends) + len(self.edges) + 3

    def fit_shared(self, rows: Floats, owner: NDArray[np.int64]) -> SharedRows:
        """Fit the scales; return a constant, timing columns, and indicators shared by owner."""
        from leadsignal.stats import SharedRows

        own = np.column_stack([np.ones(len(rows)), self._when(rows)])
        _, first, among = np.unique(owner, return_index=True, return_inverse=True)
        if not self.how.any():
            return SharedRows(own, np.zeros((len(first), 0)), among)
        how = rows[np.ix_(first, np.flatnonzero(self.how))]
        self.encoder = IndicatorColumns.of(how, self.layout.is_category[self.how])
        return SharedRows(own, self.encoder.encode(how), among)

    def columns(self, rows: Floats) -> Floats:
        """Return timing columns and indicators, shape (n, columns)."""
        when = self._when(rows)
        if not self.how.any():
            return when
        return np.hstack([when, self._encoded(np.ascontiguousarray(rows[:, self.how]))])

    def _encoded(self, how: Floats) -> Floats:
        """Return the encoded indicators; a row with all of its steps is encoded only once."""
        steps = len(self.layout.ends)
        if len(how) % steps == 0:
            by_row = how.view(np.int64).reshape(-1, steps, how.shape[1])
            if (by_row == by_row[:, :1]).all():
                return np.repeat(self.encoder.encode(how[::steps]), steps, axis=0)
        return self.encoder.encode(how)

    def sources(self, owner: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the owner of each of `columns`, given the owner of each column of a design.

        All timing columns are assigned to one owner.
        """
        when = np.full(self.timing_count, owner[~self.how].max())
        if not self.how.any():
            return when
        encoder = self.encoder
        read = [encoder.numbers, encoder.with_gaps, encoder.flags[:, 0].astype(int)]
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


class Logistic(_Learner):
    """Ridge logistic regression on `LinearColumns`."""

    ridge = RIDGE

    near: LogitFit | None = None

    def __init__(self, layout: Layout, seed: int) -> None:
        self.columns = LinearColumns(layout)

    def fit(self, training: TrainingData) -> Self:
        """Fit the hazard of a step."""
        from leadsignal.stats import penalised_logit

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

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of an end in each row, shape (n,)."""
        return self.intercept + _products(self.columns.columns(rows), self.coefficients)

    def held_out(self, training: TrainingData) -> Floats:
        """Return the log-odds for other rows of the same design, shape (n,)."""
        shared = training.prepared.shared.part(training.places)
        return shared.times(np.append(self.intercept, self.coefficients))


class LandmarkCox(_Learner):
    """Cox model of the time from the snapshot, with `LinearColumns` that change with the step.

    It has one baseline hazard for all snapshots (van Houwelingen 2007), and a ridge as in
    `Logistic`.
    """

    ridge = RIDGE

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.columns = layout, LinearColumns(layout)

    def fit(self, training: TrainingData) -> Self:
        """Fit the hazard of a day."""
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

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of an end in each row, shape (n,)."""
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
"""Learners that each estimator combines."""


class CustomerBoosting(Boosting):
    """Boosting with more and larger trees of all columns, as each churn appears in one row only."""

    tree_count = 200
    leaf_count = few_leaves = 8
    column_share = 1.0
    leaf_rows = 8


class CustomerLogistic(Logistic):
    """Logistic regression with a small penalty."""

    ridge = 1.0


class CustomerCox(LandmarkCox):
    """Cox model with a small penalty."""

    ridge = 1.0


CUSTOMER_LEARNERS: Mapping[str, LearnerTypes] = {
    "ensemble": (CustomerBoosting, CustomerLogistic),
    "boosting": (CustomerBoosting,),
    "logistic": (CustomerLogistic,),
    "cox": (CustomerCox,),
}
"""Learners of each estimator for data with one row per customer."""


FURTHEST = 7.0
"""Log-odds are clipped to this distance from the mean (a factor of about 1,100 in the odds). A
forest predicts 0 where no tree has an event, but calibration needs finite log-odds."""


class Classifier(Protocol):
    """Interface that `ChurnModel` requires; scikit-learn, LightGBM and XGBoost provide it."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit the classifier; ``y`` is 1 for rows with an event, else 0."""

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, shape (n, 2)."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, from which the classifier is cloned."""


class ClassifierHazard(_Learner):
    """A clone of a classifier, fitted on `LinearColumns`, which have no missing values.

    If it does not accept sample weights, its log-odds are corrected for the subsampling of rows
    without an event (prior correction; King and Zeng 2001).
    """

    def __init__(self, template: Classifier, layout: Layout, seed: int) -> None:
        self.template, self.layout, self.seed = template, layout, seed
        self.columns = LinearColumns(layout)

    def fit(self, training: TrainingData) -> Self:
        """Fit the hazard of a step."""
        from sklearn.base import clone

        self.columns = training.prepared.columns
        columns = training.prepared.flat[training.places]
        self.classifier: Any = clone(self.template)
        _seed(self.classifier, self.seed)
        weighted = _weight_name(self.classifier)
        weights = {} if weighted is None else {weighted: training.weight}
        self.classifier.fit(columns, training.ended.astype(int), **weights)
        self.place = list(getattr(self.classifier, "classes_", (0, 1))).index(1)
        rate = float(np.average(training.ended, weights=training.weight))
        self.middle = float(_log_odds(np.array([rate]))[0])
        sampled = float(_log_odds(np.array([training.ended.mean()]))[0])
        self.correction = self.middle - sampled if weighted is None else 0.0
        return self

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of an event in each row, shape (n,)."""
        chance = self.classifier.predict_proba(self.columns.columns(rows))[:, self.place]
        odds = _log_odds(np.asarray(chance, dtype=np.float64)) + self.correction
        return np.clip(odds, self.middle - FURTHEST, self.middle + FURTHEST)


def _log_odds(chance: Floats) -> Floats:
    from scipy.special import logit

    with np.errstate(divide="ignore"):
        odds: Floats = logit(chance)
    return odds


def _seed(classifier: Any, seed: int) -> None:
    """Set every ``random_state`` that is None, so that fits are reproducible."""
    unset = {
        name: seed
        for name, value in classifier.get_params().items()
        if value is None and name.rpartition("__")[2] == "random_state"
    }
    if unset:
        classifier.set_params(**unset)


def _weight_name(classifier: Any) -> str | None:
    """Return the name of the argument of ``fit`` for sample weights; None if there is none."""
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(classifier, "steps", None)
    if steps:
        name, last = steps[-1]
        inner = _weight_name(last)
        return None if inner is None else f"{name}__{inner}"
    return "sample_weight" if has_fit_parameter(classifier, "sample_weight") else None


def learners_of(estimator: str | Classifier) -> LearnerTypes:
    """Return the learners of a built-in estimator or of a classifier."""
    if isinstance(estimator, str):
        return LEARNERS[estimator]
    return (partial(ClassifierHazard, estimator),)


def estimator_problem(estimator: object) -> str | None:
    """Return why this estimator is invalid; None if it is valid."""
    allowed = f"it may be {' or '.join(LEARNERS)}, or a classifier with predict_proba"
    if isinstance(estimator, str):
        if estimator in LEARNERS:
            return None
        return f"estimator is {estimator!r}{meant(estimator, LEARNERS)}; {allowed}"
    if isinstance(estimator, type):
        return f"estimator is the class {estimator.__name__}; give an instance of it"
    kind = type(estimator).__name__
    missing = [
        name
        for name in ("fit", "predict_proba", "get_params", "set_params")
        if not callable(getattr(estimator, name, None))
    ]
    if missing:
        return f"estimator is a {kind}, which has no {' or '.join(missing)}; {allowed}"
    return None


def estimator_name(estimator: object) -> str:
    """Return the name of a built-in estimator, or the repr of a classifier.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> estimator_name("cox"), estimator_name(GaussianNB())
    ('cox', 'GaussianNB()')
    """
    if isinstance(estimator, str):
        return estimator
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(estimator).split()))
