"""Means and AUCs over rows, with intervals clustered by customer, and paired differences of them.

Each estimate keeps the influence of every row. The influence on a difference is the difference of
the influences; influences are summed by customer before they are squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadsignal.stats.normal import Floats, normal_quantile, without_rounding
from leadsignal.stats.proportions import logit_limits


@dataclass(frozen=True, eq=False)
class RowEstimate:
    """An estimate with the influence of each row on it.

    Parameters
    ----------
    estimate : float
        The point estimate.
    influence : ndarray of shape (n,)
        Influence of each row.
    bounds : tuple of float
        Range of the quantity.
    counted : ndarray of bool, optional
        For a proportion, the rows in its denominator.
    """

    estimate: float
    influence: Floats
    bounds: tuple[float, float] = (-np.inf, np.inf)
    counted: NDArray[np.bool_] | None = None

    def __sub__(self, other: RowEstimate) -> RowEstimate:
        (low, high), (lowest, highest) = self.bounds, other.bounds
        return RowEstimate(
            float(without_rounding(self.estimate - other.estimate, self.estimate, other.estimate)),
            without_rounding(self.influence - other.influence, self.influence, other.influence),
            (low - highest, high - lowest),
        )

    def interval(self, cluster: NDArray[np.int64], level: float = 0.95) -> tuple[float, float]:
        """Return the confidence limits, which lie within ``bounds``.

        For proportions and AUCs they are computed on the logit scale. If a proportion of rows is 0
        or 1, the other limit follows from the number C of its clusters (the rule of three): it is 1
        − (1 − level)^(1/C) away. If an estimate depends on one cluster only, the limits are
        ``bounds``.

        Parameters
        ----------
        cluster : ndarray of int, shape (n,)
            Cluster of each row, numbered from 0.
        level : float, default 0.95
            Confidence level.

        Returns
        -------
        tuple of float
            Lower and upper limit.
        """
        if self.counted is not None and self.estimate in (0.0, 1.0):
            clusters = _distinct(cluster[self.counted])
            distance = 1 - (1 - level) ** (1 / clusters)
            return (0.0, distance) if self.estimate == 0 else (1 - distance, 1.0)
        if _distinct(cluster[self.influence != 0]) == 1:
            return self.bounds
        if self.bounds != (0.0, 1.0):
            margin = normal_quantile(level) * self.std_err(cluster)
            low, high = self.bounds
            return max(self.estimate - margin, low), min(self.estimate + margin, high)
        lower, upper = logit_limits(self.estimate, self.std_err(cluster), level)
        return float(lower), float(upper)

    def std_err(self, cluster: NDArray[np.int64]) -> float:
        """Return the cluster-robust standard error; NaN if only one cluster counts."""
        if not len(cluster) or _distinct(cluster[self.influence != 0]) == 1:
            return float("nan")
        sums = np.bincount(cluster, weights=self.influence)
        return float(np.sqrt(sums @ sums))


def _distinct(cluster: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.bincount(cluster))) if len(cluster) else 0


def mean_of(values: Floats, weight: Floats | None = None) -> RowEstimate:
    """Return the (weighted) mean of ``values``, ignoring rows whose value or weight is NaN.

    The mean of zeros and ones is treated as a proportion.

    Examples
    --------
    >>> mean_of(np.array([1.0, 0.0, 1.0, np.nan])).estimate
    0.6666666666666666
    """
    weights = np.ones(len(values)) if weight is None else weight
    weights = np.where(np.isnan(values) | np.isnan(weights), 0.0, weights)
    total = weights.sum()
    if total <= 0:
        return RowEstimate(float("nan"), np.zeros(len(values)))
    estimate = float(np.nansum(weights * np.nan_to_num(values)) / total)
    influence = weights * (np.nan_to_num(values) - estimate) / total
    counted = weights > 0
    if not np.isin(values[counted], (0.0, 1.0)).all():
        return RowEstimate(estimate, influence)
    return RowEstimate(min(estimate, 1.0), influence, (0.0, 1.0), counted)


def auc_of(case: NDArray[np.bool_], score: Floats, weight: Floats | None = None) -> RowEstimate:
    """Return the area under the ROC curve of ``score`` (DeLong, DeLong & Clarke-Pearson 1988).

    That is the proportion of pairs of a case and another row in which the case has the higher
    score; ties count half. The estimate is NaN without cases or without other rows. Pairs count by
    the product of their weights.

    Examples
    --------
    >>> auc_of(np.array([True, False, True, False]), np.array([0.9, 0.2, 0.4, 0.4])).estimate
    0.875
    """
    if not case.any() or case.all():
        return RowEstimate(float("nan"), np.zeros(len(score)), (0.0, 1.0))
    own = np.ones(len(score)) if weight is None else weight
    above_others = _below_or_half(score[~case], own[~case], score)
    under_cases = 1 - _below_or_half(score[case], own[case], score)
    estimate = float(np.average(above_others[case], weights=own[case]))
    part = np.where(
        case,
        (above_others - estimate) / own[case].sum(),
        (under_cases - estimate) / own[~case].sum(),
    )
    return RowEstimate(estimate, own * part, (0.0, 1.0))


def _below_or_half(values: Floats, weight: Floats, score: Floats) -> Floats:
    """Return the share of ``values``, by weight, below each score; ties count half."""
    order = np.argsort(values)
    running = np.concatenate(([0.0], np.cumsum(weight[order])))
    below, upto = (
        running[np.searchsorted(values[order], score, side=side)] for side in ("left", "right")
    )
    return np.asarray((below + upto) / 2 / running[-1])
