"""Covariates as matrix columns, propensity scores, and how far cohorts differ in a covariate.

Test whether accounts in two states differ in a baseline covariate, at equal tenure.

Accounts in a state are compared with accounts of the same tenure in the reference state. At the
tenure t of each churn, let z be 1 for those at risk in the state and 0 for those in the reference,
and let x be a covariate. The sum of (z − z̄_t)(x − x̄_t) over all t and all accounts at risk is the
covariance through which x confounds Cox's coefficient of z. Its mean is 0 if the change of state
does not depend on x, however long accounts live; a comparison by the state *ever* reached lacks
this property. The standard error is that of a sum over clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals, WeightModel, WeightSlopes
from leadsignal.survival.inputs import Floats, Ints, sums_by_code

KNOTS = 5
"""Number of spline knots."""
RIDGE = 1e-3
"""Penalty on the coefficients of a propensity."""
MIN_ACCOUNTS = 10
"""Values with fewer accounts are pooled."""


def columns_of(
    covariates: Mapping[str, NDArray[Any]], weight: Floats | None = None
) -> tuple[Floats, tuple[str, ...]]:
    """Return a matrix (n × p) of all covariates, and the covariate name of each column.

    With sampling weights (n), knots are placed at the quantiles of all accounts.
    """
    blocks, names = [], []
    for name, values in covariates.items():
        block = _spline(values, weight) if values.dtype.kind in "fiu" else _indicators(values)
        blocks.append(block)
        names += [name] * block.shape[1]
    return (np.hstack(blocks) if blocks else np.zeros((0, 0))), tuple(names)


def _spline(values: NDArray[Any], weight: Floats | None) -> Floats:
    """Return a restricted cubic spline (Harrell 2015, §2.4.5), with a column for missing values."""
    x = values.astype(np.float64)
    known = np.isfinite(x)
    if len(np.unique(x[known])) < 2 * KNOTS:
        return _indicators(np.where(known, values.astype(str), ""))
    middle, spread = np.median(x[known]), x[known].std()
    z = np.where(known, (x - middle) / spread, 0.0)
    shares, own = np.linspace(0.05, 0.95, KNOTS), None if weight is None else weight[known]
    knots = np.unique(_quantiles(z[known], shares, own))
    columns = [z]
    if len(knots) > 2:
        last, before = knots[-1], knots[-2]
        for knot in knots[:-2]:
            tail = _cube(z - before) * (last - knot) - _cube(z - last) * (before - knot)
            columns.append((_cube(z - knot) - tail / (last - before)) / (last - knots[0]) ** 2)
    if known.sum() <= len(x) - MIN_ACCOUNTS:
        columns.append((~known).astype(np.float64))
    return np.column_stack(columns)


def _quantiles(values: Floats, shares: Floats, weight: Floats | None) -> Floats:
    if weight is None:
        return np.asarray(np.quantile(values, shares), dtype=np.float64)
    order = np.argsort(values)
    middles = np.cumsum(weight[order]) - weight[order] / 2
    return np.asarray(np.interp(shares * weight.sum(), middles, values[order]), dtype=np.float64)


def _cube(x: Floats) -> Floats:
    return np.maximum(x, 0.0) ** 3


def _indicators(values: NDArray[Any]) -> Floats:
    import pandas as pd

    # Number the texts before sorting them, which is slow for many texts.
    code, found = pd.factorize(values, use_na_sentinel=False)
    text = np.array(["" if v is None or v != v else str(v) for v in found.tolist()])
    names, place = np.unique(text, return_inverse=True)
    codes = place[code]
    counts = np.bincount(codes, minlength=len(names))
    often = np.flatnonzero(counts >= MIN_ACCOUNTS)
    base = often[np.argmax(counts[often])] if len(often) else -1
    listed = [code for code in often.tolist() if code != base]
    if (rest := counts[counts < MIN_ACCOUNTS].sum()) > 0 and rest >= MIN_ACCOUNTS:
        codes = np.where(np.isin(codes, often), codes, len(names))
        listed.append(len(names))
    columns: Floats = (codes[:, None] == np.array(listed, dtype=int)).astype(np.float64)
    return columns


def propensity(
    X: Floats, treated: NDArray[np.bool_], ridge: float = RIDGE, weight: Floats | None = None
) -> Floats:
    """Return P(treated | X) by logistic regression with a small ridge penalty (n).

    Fitted by Newton's method; the ridge keeps coefficients finite if a column separates the
    groups. ``weight`` (n) is the number of accounts that each row represents.
    """
    own = np.ones(len(X)) if weight is None else weight
    design = np.column_stack((np.ones(len(X)), X))
    beta, penalty = np.zeros(design.shape[1]), np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        information = (design * (own * p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(information, design.T @ (own * (treated - p)) - penalty * beta)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))


def slopes_of_propensity(
    X: Floats, treated: NDArray[np.bool_], p: Floats, weight: Floats, account: Ints
) -> WeightSlopes:
    """Return how weights 1/p and 1/(1 − p) of rows depend on the propensity model.

    ``X`` (accounts × p) has the covariates of all accounts; ``treated``, ``p``, ``weight`` and
    ``account`` (n) belong to the rows that the model was fitted to.
    """
    design = np.column_stack((np.ones(len(X)), X))
    rows = design[account]
    information = (rows * (weight * p * (1 - p))[:, None]).T @ rows
    scores = np.zeros_like(design)
    np.add.at(scores, account, rows * (weight * (treated - p))[:, None])
    information += RIDGE * np.eye(len(information))
    influence = np.linalg.solve(information, scores.T).T.astype(np.float64, copy=False)
    model = WeightModel(influence, 1, lambda by: design.T @ by[:, 0])
    zero = np.zeros(len(account))
    return WeightSlopes(zero.astype(np.intp), np.where(treated, p - 1, p), zero, model)


@dataclass(frozen=True)
class Gap:
    """The largest standardised difference in a covariate, and the p-value of no difference."""

    size: float
    p: float


def gap_at_equal_tenure(
    rows: RiskIntervals, cohorts: DatedCohorts, level: int, values: NDArray[Any]
) -> Gap:
    """Return how far a covariate (n) differs between accounts in ``level`` and the reference."""
    X = columns_of({"x": values}, cohorts.weight)[0]
    own = cohorts.weights[rows.account][:, None]
    churned = rows.cause == CHURN
    times, place = np.unique(rows.stop[churned], return_inverse=True)
    churns = np.bincount(place, own[churned, 0], len(times))
    if not X.size or not len(times):
        return Gap(0.0, 1.0)
    X, z = X[rows.account], (rows.group == level).astype(np.float64)
    first, last = (np.searchsorted(times, t, side="right") for t in (rows.start, rows.stop))

    def at_risk(what: Floats) -> Floats:
        """Return the weighted sum over the accounts at risk at each time (k × p)."""
        size = len(times) + 1
        change = _sums(first, own * what, size) - _sums(last, own * what, size)
        return np.cumsum(change[:-1], axis=0)

    count = at_risk(np.ones((len(z), 1)))
    z_mean, x_mean = at_risk(z[:, None]) / count, at_risk(X) / count
    weight = churns[:, None]

    def sum_over_rows(what: Floats) -> Floats:
        """Return, for each row, the weighted sum over the times at which it is at risk."""
        steps = np.vstack((np.zeros((1, what.shape[1])), np.cumsum(weight * what, axis=0)))
        return steps[last] - steps[first]

    ones, z = np.ones_like(count), z[:, None]
    each = own * (
        z * X * sum_over_rows(ones)
        - z * sum_over_rows(x_mean)
        - X * sum_over_rows(z_mean)
        + sum_over_rows(z_mean * x_mean)
    )
    spread_z = float((weight * count * z_mean * (1 - z_mean)).sum())
    if spread_z <= 0:
        return Gap(0.0, 1.0)
    variance = (weight * (at_risk(X**2) - count * x_mean**2)).sum(axis=0) / (weight * count).sum()
    gap = np.abs(each.sum(axis=0)) / spread_z
    size = float((gap / np.sqrt(np.where(variance > 0, variance, np.inf))).max())
    return Gap(size, _p_of_none(_by_cluster(each, cohorts, rows)))


def _by_cluster(each: Floats, cohorts: DatedCohorts, rows: RiskIntervals) -> Floats:
    """Return the sum over the rows of each cluster that has rows (C × p)."""
    cluster = cohorts.cluster[rows.account]
    there = np.bincount(cluster) > 0
    return _sums(cluster, each, len(there))[there]


def _sums(codes: Ints, what: Floats, size: int) -> Floats:
    """Return the sum of the rows (m × p) with each code."""
    return np.column_stack([sums_by_code(codes, column, size) for column in what.T])


def _p_of_none(each: Floats) -> float:
    """Return the p-value of a mean of 0 in all columns (Hotelling 1931)."""
    n = len(each)
    mean, covariance = each.mean(axis=0), np.atleast_2d(np.cov(each, rowvar=False))
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if not 0 < rank < n:
        return 1.0
    square = n * float(mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)
    return float(fdtrc(rank, n - rank, square * (n - rank) / (rank * (n - 1))))
