"""Covariates as matrix columns (splines, one-hot columns), and propensity scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.survival.inputs import Floats

KNOTS = 5
"""Number of spline knots."""
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
    text = np.array(["" if v is None or v != v else str(v) for v in values.tolist()])
    names, codes, counts = np.unique(text, return_inverse=True, return_counts=True)
    often = np.flatnonzero(counts >= MIN_ACCOUNTS)
    base = often[np.argmax(counts[often])] if len(often) else -1
    listed = [code for code in often.tolist() if code != base]
    if (rest := counts[counts < MIN_ACCOUNTS].sum()) > 0 and rest >= MIN_ACCOUNTS:
        codes = np.where(np.isin(codes, often), codes, len(names))
        listed.append(len(names))
    columns: Floats = (codes[:, None] == np.array(listed, dtype=int)).astype(np.float64)
    return columns


def propensity(
    X: Floats, treated: NDArray[np.bool_], ridge: float = 1e-3, weight: Floats | None = None
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
