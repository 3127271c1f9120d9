"""Discrete-time hazards: the chance to leave in each step ahead, of those still there.

The horizon is cut into steps. Each panel row and step ahead makes one row: what was known at the
snapshot, the step, tenure and days to renewal as they will be then, and whether the account ended
in the step. Rows enter only where the whole step has been observed, whatever happened in it, so
that ends are not seen more often than staying. (Prentice and Gloeckler 1978; Singer and Willett
1993; the stacking over snapshots is van Houwelingen's landmark supermodel, 2007.)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from threadpoolctl import ThreadpoolController

from leadsignal.trees import step_chances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.features import Features

Estimator = Literal["boosting", "logistic"]
MANY_CELLS = 20_000_000
ESTIMATORS: tuple[Estimator, ...] = ("boosting", "logistic")


@cache
def _controller() -> ThreadpoolController:
    """Return what is known of the thread pools; looking for them anew takes milliseconds."""
    import sklearn.ensemble  # noqa: F401  # loads the pools

    return ThreadpoolController()


def few_threads(rows: NDArray[np.float64]) -> AbstractContextManager[Any]:
    """Hold back to one thread: on few rows, threads wait for each other longer than they work."""
    if rows.size >= MANY_CELLS:
        return nullcontext()
    limit: AbstractContextManager[Any] = _controller().limit(limits=1)
    return limit


def step_ends(horizon: int, step: int) -> NDArray[np.int64]:
    """Return the last day of each step: multiples of ``step``, the last one at the horizon.

    >>> step_ends(100, 30)
    array([ 30,  60,  90, 100])
    """
    return np.append(np.arange(step, horizon, step), horizon)


@dataclass(frozen=True)
class Stacked:
    """Rows by steps: ``row`` and ``step`` index them; ``churned`` and ``left`` say what came."""

    row: NDArray[np.int64]
    step: NDArray[np.int64]
    churned: NDArray[np.bool_]
    left: NDArray[np.bool_]


def stack(
    ended_within: NDArray[np.float64],
    observed: NDArray[np.float64],
    churns: NDArray[np.bool_],
    ends: NDArray[np.int64],
) -> Stacked:
    """Return the rows by steps that have been observed whole, by an account still there.

    ``ended_within``: days from the snapshot to the end, NaN where none was seen; ``observed``:
    days from the snapshot to as_of; ``churns``: the end is churn. All of shape (rows,).
    """
    begins = np.concatenate([[0], ends[:-1]])
    end = np.where(np.isnan(ended_within), np.inf, ended_within)
    at_risk = (end[:, None] > begins) & (observed[:, None] >= ends)
    row, step = np.nonzero(at_risk)
    ended = end[row] <= ends[step]
    return Stacked(row, step, ended & churns[row], ended & ~churns[row])


def design(
    features: Features,
    matrix: NDArray[np.float64],
    ends: NDArray[np.int64],
    row: NDArray[np.int64],
    step: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the rows of a hazard model: the features moved ahead, the step, its renewals."""
    begins = np.concatenate([[0], ends[:-1]])
    moved = features.ahead(matrix[row], begins[step].astype(float))
    columns = [moved, begins[step][:, None]]
    if "days_to_renewal" in features.names:
        left = moved[:, features.names.index("days_to_renewal")]
        columns.append((left < (ends - begins)[step]).astype(float)[:, None])
        # As it stands at the snapshot: whoever leaves at a renewal soon has mostly said so already.
        columns.append(matrix[row, features.names.index("days_to_renewal")][:, None])
    return np.column_stack(columns)


def new_estimator(
    kind: Estimator, is_category: NDArray[np.bool_], signs: NDArray[np.int64], seed: int
) -> Any:
    """Return an unfitted scikit-learn classifier for rows made by `design`.

    ``signs``: which way the hazard may move with each column; only boosting keeps to them.
    """
    return _boosting(is_category, signs, seed) if kind == "boosting" else _logistic(is_category)


# An end is seen from each snapshot in the horizon before it, so rows count for less than they
# are: both estimators are held back accordingly. Chosen on simulated seeds that no test uses, by
# log-loss on accounts that were not fitted.


def _boosting(is_category: NDArray[np.bool_], signs: NDArray[np.int64], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=100,
        max_leaf_nodes=5,
        max_features=0.2,
        min_samples_leaf=300,
        l2_regularization=10.0,
        categorical_features=is_category,
        monotonic_cst=signs,
        early_stopping=False,
        random_state=seed,
    )


def _logistic(is_category: NDArray[np.bool_]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

    numbers = make_pipeline(
        QuantileTransformer(n_quantiles=200, subsample=None, random_state=0),
        SimpleImputer(strategy="constant", fill_value=0.5, add_indicator=True),
    )
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    by_kind = ColumnTransformer(
        [("numbers", numbers, ~is_category), ("categories", categories, is_category)]
    )
    return make_pipeline(by_kind, LogisticRegression(C=0.02, max_iter=2000))


@dataclass(frozen=True)
class Hazards:
    """Fitted hazards of churn and, where accounts end otherwise, of other ends."""

    features: Features
    ends: NDArray[np.int64]
    churn: Any
    other: Any | None

    def curves(
        self, matrix: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return P(churned by) and P(still active) at each step's end, both (rows, steps).

        P(churned by step k) is the sum over steps of P(still active before) times the hazard of
        churn. Neither falls, nor rises, against time.
        """
        churn, other = self.step_hazards(matrix)
        active = np.cumprod(1.0 - churn - other, axis=1, dtype=np.float64)
        before = np.column_stack([np.ones(len(matrix)), active[:, :-1]])
        churned: NDArray[np.float64] = np.cumsum(before * churn, axis=1)
        return churned, active

    def step_hazards(
        self, matrix: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the hazards of churn and of other ends in each step, both (rows, steps)."""
        rows, steps = len(matrix), len(self.ends)
        if rows == 0:
            return np.zeros((0, steps)), np.zeros((0, steps))
        churn = self._chances(self.churn, matrix)
        other = np.zeros_like(churn) if self.other is None else self._chances(self.other, matrix)
        return churn, np.minimum(other, 1 - churn)

    def _chances(self, estimator: Any, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return an estimator's hazard of each row in each step."""
        rows, steps = len(matrix), len(self.ends)

        def designed(part: slice, step: int) -> NDArray[np.float64]:
            row = np.arange(part.start, part.stop)
            return design(self.features, matrix, self.ends, row, np.full(len(row), step))

        chances = step_chances(estimator, designed, rows, steps)
        if chances is None:
            row, step = np.repeat(np.arange(rows), steps), np.tile(np.arange(steps), rows)
            stacked = design(self.features, matrix, self.ends, row, step)
            with few_threads(stacked):
                chances = estimator.predict_proba(stacked)[:, 1].reshape(rows, steps)
        return chances


def fit_hazards(
    features: Features,
    matrix: NDArray[np.float64],
    outcome: Mapping[str, NDArray[Any]],
    ends: NDArray[np.int64],
    kind: Estimator,
    seed: int,
) -> Hazards:
    """Fit the hazards on panel rows; ``outcome`` holds the arguments of `stack` but the steps."""
    stacked = stack(**outcome, ends=ends)
    rows = design(features, matrix, ends, stacked.row, stacked.step)
    extra = np.zeros(rows.shape[1] - len(features.names), dtype=int)
    is_category = np.append(features.is_category, extra.astype(bool))
    signs = np.append(features.signs, extra)

    def fitted(target: NDArray[np.bool_], signs: NDArray[np.int64]) -> Any:
        estimator = new_estimator(kind, is_category, signs, seed)
        with few_threads(rows):
            return estimator.fit(rows, target)

    other = fitted(stacked.left, 0 * signs) if stacked.left.any() else None
    return Hazards(features, ends, fitted(stacked.churned, signs), other)
