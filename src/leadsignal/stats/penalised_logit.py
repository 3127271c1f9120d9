"""Logistic regression with a ridge penalty, where many rows share most of their columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import ModelError

Floats = NDArray[np.float64]

MAX_STEPS = 100
PRECISION = 1e-14
"""Newton's method stops when the next step would reduce the loss by a smaller fraction."""
KEPT = 3.0
"""The Hessian is reused while each step gains at most a third of what the previous one gained."""


@dataclass(frozen=True, eq=False)
class SharedRows:
    """Design matrix of ``own`` columns (n, k) and ``shared`` columns (m, p) of each row's owner.

    Row i consists of ``own[i]`` and ``shared[owner[i]]``. Sums over rows are taken by owner first,
    so the p shared columns cost only as much as m rows.
    """

    own: Floats
    shared: Floats
    owner: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Number of columns of a row."""
        return int(self.own.shape[1]) + int(self.shared.shape[1])

    def part(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> SharedRows:
        """Return the chosen rows, with their owners only."""
        owners, owner = np.unique(self.owner[chosen], return_inverse=True)
        return SharedRows(self.own[chosen], self.shared[owners], owner)

    def times(self, coef: Floats) -> Floats:
        """Return the linear predictor, shape (n,)."""
        few = self.own.shape[1]
        together = self.shared @ coef[few:]
        return self.own @ coef[:few] + together[self.owner]

    def summed(self, weight: Floats) -> Floats:
        """Return the weighted sum of the rows, shape (k + p,)."""
        sums: Floats = np.r_[self.own.T @ weight, self.shared.T @ self._by_owner(weight)]
        return sums

    def products(self, weight: Floats) -> Floats:
        """Return the sum of weight · row · row', shape (k + p, k + p)."""
        own = self.own * weight[:, None]
        between = np.column_stack([self._by_owner(column) for column in own.T])
        corner = self.shared.T @ between
        # A matrix times its own transpose takes half as long as a product of two matrices.
        root = self._single * np.sqrt(self._by_owner(weight)).astype(np.float32)[:, None]
        square = (root.T @ root).astype(np.float64)
        return np.block([[own.T @ self.own, corner.T], [corner, square]])

    @cached_property
    def _single(self) -> NDArray[np.float32]:
        """The shared columns in single precision: enough for a Hessian, in half the time."""
        return self.shared.astype(np.float32)

    def _by_owner(self, values: Floats) -> Floats:
        return np.bincount(self.owner, values, len(self.shared)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class LogitFit:
    """Coefficients (k,), and the curvature (k, k) of one unit of weight near them."""

    coef: Floats
    curvature: Floats


def penalised_logit(
    design: SharedRows,
    ended: NDArray[np.bool_],
    weight: Floats,
    penalty: Floats,
    near: LogitFit | None = None,
) -> LogitFit:
    """Return the coefficients that maximise the penalised likelihood, by Newton's method.

    The Hessian, the most expensive part, is reused while it still gives fast convergence.

    Parameters
    ----------
    design : SharedRows
        The design. An intercept is the first column of ``own``.
    ended, weight : arrays of shape (n,)
        The outcome and the weight of each row.
    penalty : array of shape (k + p,)
        Ridge penalty λ of each coefficient β; the loss includes ½ λ β².
    near : LogitFit, optional
        A fit on similar rows, to start from.

    Returns
    -------
    LogitFit

    Raises
    ------
    ModelError
        If Newton's method does not converge.

    Examples
    --------
    >>> own, owner = np.ones((4, 1)), np.array([0, 0, 1, 1])
    >>> design = SharedRows(own, np.array([[0.0], [1.0]]), owner)
    >>> ended = np.array([False, True, True, True])
    >>> penalised_logit(design, ended, np.ones(4), np.array([0.0, 1.0])).coef.round(3)
    array([0.899, 0.421])
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.special import expit

    total = float(weight.sum())
    coef = np.zeros(len(penalty)) if near is None else near.coef
    curvature = np.zeros((0, 0)) if near is None else near.curvature
    if near is None:
        coef[0] = _constant(design, ended, weight)
    now, fell, before = _loss(design, coef, ended, weight, penalty), np.inf, np.inf
    factor = None if near is None else cho_factor(total * curvature + np.diag(penalty + 1e-9))
    for _ in range(MAX_STEPS):
        chance = expit(design.times(coef))
        slope = design.summed(weight * (chance - ended)) + penalty * coef
        unknown = near is None and before == np.inf
        if factor is None or unknown or fell > before / KEPT:
            curvature = design.products(weight * chance * (1 - chance)) / total
            factor = cho_factor(total * curvature + np.diag(penalty + 1e-9))
        step = cho_solve(factor, slope)
        if slope @ step <= PRECISION * (abs(now) + 1e-12):
            return LogitFit(coef, curvature)
        share = 1.0
        while (after := _loss(design, coef - share * step, ended, weight, penalty)) > now:
            share /= 2
            if share < 1e-6:
                return LogitFit(coef, curvature)
        coef = np.asarray(coef - share * step, dtype=np.float64)
        before, fell, now = fell, now - after, after
    raise ModelError(
        f"a logistic regression did not converge within {MAX_STEPS} steps",
        "Leave out indicators with extreme values",
    )


def _constant(design: SharedRows, ended: NDArray[np.bool_], weight: Floats) -> float:
    """Return the log-odds of the overall rate; 0 if the first column is not an intercept."""
    share = float(np.average(ended, weights=weight))
    constant = bool((design.own[:, 0] == 1.0).all())
    return float(np.log(share / (1 - share))) if constant and 0 < share < 1 else 0.0


def _loss(
    design: SharedRows, coef: Floats, ended: NDArray[np.bool_], weight: Floats, penalty: Floats
) -> float:
    linear = design.times(coef)
    losses = np.logaddexp(0.0, linear) - ended * linear
    return float(weight @ losses + 0.5 * penalty @ coef**2)
