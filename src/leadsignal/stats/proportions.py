"""Proportions, means over rows and AUCs, with intervals that stay in their range.

Means and AUCs over rows, with intervals clustered by customer, and paired differences of them.

Each estimate keeps the influence of every row. The influence on a difference is the difference of
the influences; influences are summed by customer before they are squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from leadsignal.phrases import share_between
from leadsignal.stats.normal import Floats, normal_quantile, without_rounding


@dataclass(frozen=True)
class Share:
    """A proportion with its 95 % confidence interval (Wilson 1927).

    Parameters
    ----------
    count : int
        Number of accounts, or other units, that have the property.
    of : int
        Total number of units.

    Examples
    --------
    >>> Share(3, 10)
    30 % (11 to 60 %)
    """

    count: int
    of: int

    @property
    def estimate(self) -> float:
        """The proportion; NaN if there are no units."""
        return self.count / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper confidence limit; 0 and 1 if there are no units."""
        return wilson_limits(self.estimate, self.of)

    def __repr__(self) -> str:
        low, high = self.interval
        return share_between(self.estimate, low, high) if self.of else "none to count"

    def to_dict(self) -> dict[str, float | int | None]:
        """Return count, of, share, low and high, ready for JSON."""
        low, high = self.interval
        share = self.estimate if self.of else None
        return {"count": self.count, "of": self.of, "share": share, "low": low, "high": high}


def wilson_limits(share: float, size: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a proportion (Wilson 1927).

    Parameters
    ----------
    share : float
        The proportion.
    size : float
        Denominator of the proportion; it need not be an integer.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    tuple of float
        Lower and upper limit; 0 and 1 for a size of 0.

    Examples
    --------
    >>> [round(limit, 4) for limit in wilson_limits(0.3, 10)]
    [0.1078, 0.6032]
    """
    if not size:
        return 0.0, 1.0
    z = normal_quantile(level)
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    # If the proportion is 0 or 1, that limit is exact, without rounding error.
    low = max(0.0, float(middle - z * half)) if share > 0 else 0.0
    return low, min(1.0, float(middle + z * half)) if share < 1 else 1.0


def logit_limits(estimate: ArrayLike, std_err: ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Return confidence limits of proportions or AUCs, symmetric on the logit scale.

    They lie between 0 and 1. For an estimate of 0 or 1, which has no logit, both limits equal the
    estimate.

    Examples
    --------
    >>> [float(limit.round(3)) for limit in logit_limits(0.9, 0.1, 0.95)]
    [0.505, 0.988]
    """
    share, spread = np.broadcast_arrays(np.asarray(estimate, float), np.asarray(std_err, float))
    inside = (share > 0) & (share < 1)
    safe = np.where(inside, share, 0.5)
    middle, margin = logit(safe), normal_quantile(level) * spread / (safe * (1 - safe))
    lower, upper = expit(middle - margin), expit(middle + margin)
    return np.where(inside, lower, share), np.where(inside, upper, share)


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
