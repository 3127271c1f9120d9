"""Hazards of each month since the start, fitted on customers as arrays: boosting, logistic, Cox."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from leadsignal.survival.cox import fit_cox

Floats = NDArray[np.float64]

TREES = 400
EVERY = 25
FOLDS = 4
MANY_ROWS = 50_000
"""Boosting fits up to TREES trees, judged at every EVERY of them on FOLDS parts of the customers
in turn; of more than MANY_ROWS rows, on one part only."""
BLOCK = 200_000
"""So many rows, customers by months, are predicted at once."""
FARTHEST = 500.0
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class MonthRows:
    """Customers by months: ``row`` and ``month`` (0 is the first) index them.

    ``churned``: the customer left in the month; ``weight``: the share of the month it was seen.
    """

    row: NDArray[np.intp]
    month: NDArray[np.intp]
    churned: NDArray[np.bool_]
    weight: Floats


def month_rows(tenure: Floats, churned: NDArray[np.bool_]) -> MonthRows:
    """Return the months that each customer was at risk in; ``tenure`` (n) in months.

    Whoever left was at risk in the whole month of the end (the first one, for tenure 0); whoever
    is still there in a part of the month that has begun. So whole tenures count as in Kaplan-Meier,
    others as in the actuarial estimate.

    >>> rows = month_rows(np.array([2.0, 1.25]), np.array([True, False]))
    >>> rows.row.tolist(), rows.month.tolist(), rows.churned.tolist(), rows.weight.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1], [False, True, False, False], [1.0, 1.0, 1.0, 0.25])
    """
    begun = np.ceil(tenure - TINY).astype(np.intp)
    begun = np.maximum(begun, churned)
    row = np.repeat(np.arange(len(tenure)), begun)
    month = np.arange(len(row)) - np.repeat(np.cumsum(begun) - begun, begun)
    last = month == begun[row] - 1
    seen = np.minimum(tenure[row] - month, 1.0)
    left = last & churned[row]
    return MonthRows(row, month, left, np.where(churned[row], 1.0, seen))


@dataclass(frozen=True, eq=False)
class MonthHazards(ABC):
    """Hazards in each of ``steps`` months; ``fitted`` is the model they come from."""

    steps: int
    fitted: Any

    @abstractmethod
    def chances(self, X: Floats) -> Floats:
        """Return the chance of rows (n × columns) to leave in each month (n × steps)."""

    def cumulative(self, X: Floats, at: Floats) -> Floats:
        """Return the cumulative hazard at months ``at`` (n × k), straight within a month.

        After the last month the mean hazard of the last quarter of them is carried on.
        """
        hazard = -np.log1p(-np.clip(self.chances(X), TINY, 1 - TINY))
        total = np.column_stack([np.zeros(len(X)), np.cumsum(hazard, axis=1)])
        tail = hazard[:, -max(1, self.steps // 4) :].mean(axis=1)
        inside = np.minimum(at, self.steps)
        month = np.minimum(inside.astype(np.intp), self.steps - 1)
        before = np.take_along_axis(total, month, axis=1)
        here = np.take_along_axis(hazard, month, axis=1)
        along: Floats = before + here * (inside - month) + tail[:, None] * (at - inside)
        return along

    def staying(self, X: Floats, begin: Floats, ahead: Floats) -> Floats:
        """Return P(still there ``ahead`` months after ``begin``, given there at begin), (n × k)."""
        if not len(X):
            return np.zeros((0, len(ahead)))
        at = begin[:, None] + np.concatenate([[0.0], ahead])
        total = self.cumulative(X, at)
        return np.exp(total[:, :1] - total[:, 1:])


class ClassifierHazards(MonthHazards):
    """``fitted`` is a classifier of customers by months, the month being the last column."""

    def chances(self, X: Floats) -> Floats:
        """Return the chances (n × steps), some customers at a time to spare memory."""
        blocks = np.array_split(X, max(1, len(X) * self.steps // BLOCK))
        return np.concatenate([self._of_block(block) for block in blocks])

    def _of_block(self, X: Floats) -> Floats:
        month = np.tile(np.arange(self.steps), len(X))
        design = np.column_stack([np.repeat(X, self.steps, axis=0), month])
        with threadpool_limits(1):
            chance: Floats = self.fitted.predict_proba(design)[:, 1]
        return chance.reshape(len(X), self.steps)


class CoxHazards(MonthHazards):
    """``fitted`` is a CoxFit, whose baseline is cut into months."""

    def chances(self, X: Floats) -> Floats:
        """Return the chances (n × steps); ends at tenure 0 belong to the first month."""
        base = self.fitted.baseline()
        total = np.concatenate([[0.0], np.cumsum(base.reference_hazard)])
        ends = np.arange(1, self.steps + 1) + TINY
        by_month = total[np.searchsorted(base.time, ends, side="right")]
        # Farther than any customer from the others: kept where exp is a number.
        score = np.clip((X - base.reference) @ self.fitted.coef, -FARTHEST, FARTHEST)
        chance: Floats = -np.expm1(-np.outer(np.exp(score), np.diff(by_month, prepend=0.0)))
        return chance


def fit_boosting(
    X: Floats,
    tenure: Floats,
    churned: NDArray[np.bool_],
    names: tuple[str, ...],
    ridge: float,
    seed: int,
) -> MonthHazards:
    """Fit gradient-boosted hazards; the number of trees is chosen on customers left out.

    Small steps and small trees, chosen once and for all; the number of trees is what adapts.
    ``names`` and ``ridge`` are not read.
    """
    rows, steps = month_rows(tenure, churned), _steps(tenure)
    with threadpool_limits(1):
        trees = _best_trees(X, rows, seed)
        model = _boosting(trees, seed)
        model.fit(_with_month(X, rows), rows.churned, sample_weight=rows.weight)
    return ClassifierHazards(steps, model)


def _boosting(trees: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=trees,
        max_leaf_nodes=8,
        max_features=0.5,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )


def _best_trees(X: Floats, rows: MonthRows, seed: int) -> int:
    """Return the number of trees with the least log-loss on customers that were not fitted."""
    from sklearn.model_selection import KFold

    design = _with_month(X, rows)
    loss = np.zeros(TREES // EVERY)
    folds = KFold(FOLDS, shuffle=True, random_state=seed).split(X)
    for _, left_out in islice(folds, FOLDS if len(rows.row) <= MANY_ROWS else 1):
        out = np.isin(rows.row, left_out)
        model = _boosting(TREES, seed)
        model.fit(design[~out], rows.churned[~out], sample_weight=rows.weight[~out])
        for trees, chance in enumerate(model.staged_predict_proba(design[out]), 1):
            if trees % EVERY == 0:
                of_truth = np.where(rows.churned[out], chance[:, 1], chance[:, 0])
                loss[trees // EVERY - 1] -= rows.weight[out] @ np.log(np.maximum(of_truth, TINY))
    return int(loss.argmin() + 1) * EVERY


def fit_logistic(
    X: Floats,
    tenure: Floats,
    churned: NDArray[np.bool_],
    names: tuple[str, ...],
    ridge: float,
    seed: int,
) -> MonthHazards:
    """Fit logistic hazards, with a spline over months and ``ridge`` on columns of unit spread.

    The optimum is unique: ``seed`` and ``names`` are not read.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    rows, steps = month_rows(tenure, churned), _steps(tenure)
    knots = np.unique(np.quantile(rows.month[rows.churned], [0, 0.2, 0.4, 0.6, 0.8, 1]))
    month = [X.shape[1]]
    columns = [("columns", StandardScaler(), list(range(X.shape[1])))]
    if len(knots) > 1:
        spline = SplineTransformer(knots=knots[:, None], extrapolation="constant")
        columns.append(("month", make_pipeline(spline, StandardScaler()), month))
    model = make_pipeline(
        ColumnTransformer(columns), LogisticRegression(C=1 / ridge, max_iter=2000)
    )
    weight = {"logisticregression__sample_weight": rows.weight}
    with threadpool_limits(1):
        model.fit(_with_month(X, rows), rows.churned, **weight)
    return ClassifierHazards(steps, model)


def fit_cox_hazards(
    X: Floats,
    tenure: Floats,
    churned: NDArray[np.bool_],
    names: tuple[str, ...],
    ridge: float,
    seed: int,
) -> MonthHazards:
    """Fit a Cox model, with ``ridge`` on columns of unit spread.

    ``fitted`` is the CoxFit, in the units of the columns. The optimum is unique: ``seed`` is not
    read.
    """
    fit = fit_cox(X, tenure, churned, names=names, ridge=ridge * X.var(axis=0))
    return CoxHazards(_steps(tenure), fit)


def _steps(tenure: Floats) -> int:
    return max(1, int(np.ceil(tenure.max() - TINY)))


def _with_month(X: Floats, rows: MonthRows) -> Floats:
    return np.column_stack([X[rows.row], rows.month])
