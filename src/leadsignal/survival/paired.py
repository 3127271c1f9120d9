"""Differences between methods judged on the same rows, with intervals by customer.

Each estimate is written as a mean of what every row adds to it (its influence); the difference of
two methods is then the difference of what each row adds, summed by customer before it is squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.survival.estimates import normal_quantile, share_limits, without_rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Influence:
    """An ``estimate`` and what each row adds to its error: the errors' sum of squares.

    Attributes: ``bounds``, the range the quantity can lie in; ``counted`` (n), the rows that a
    share of rows is made of, None for what is no such share.
    """

    estimate: float
    of_rows: Floats
    bounds: tuple[float, float] = (-np.inf, np.inf)
    counted: NDArray[np.bool_] | None = None

    def __sub__(self, other: Influence) -> Influence:
        (low, high), (least, most) = self.bounds, other.bounds
        return Influence(
            float(without_rounding(self.estimate - other.estimate, self.estimate, other.estimate)),
            without_rounding(self.of_rows - other.of_rows, self.of_rows, other.of_rows),
            (low - most, high - least),
        )

    def interval(self, cluster: NDArray[np.int64], level: float = 0.95) -> tuple[float, float]:
        """Return lower and upper limit; ``cluster`` (n) holds numbers from 0.

        Never beyond ``bounds``: of a share or an AUC on the logit scale. A share of rows that is 0
        or 1 has the rule of three of its C clusters, 1 − (1 − level)^(1/C) from it. What rests on
        one cluster may lie anywhere within ``bounds``.
        """
        if self.counted is not None and self.estimate in (0.0, 1.0):
            clusters = _distinct(cluster[self.counted])
            far = 1 - (1 - level) ** (1 / clusters)
            return (0.0, far) if self.estimate == 0 else (1 - far, 1.0)
        if _distinct(cluster[self.of_rows != 0]) == 1:
            return self.bounds
        if self.bounds != (0.0, 1.0):
            reach = normal_quantile(level) * self.std_err(cluster)
            low, high = self.bounds
            return max(self.estimate - reach, low), min(self.estimate + reach, high)
        lower, upper = share_limits(self.estimate, self.std_err(cluster), level)
        return float(lower), float(upper)

    def std_err(self, cluster: NDArray[np.int64]) -> float:
        """Return the standard error with rows of one cluster added up first; NaN of one only."""
        if not len(cluster) or _distinct(cluster[self.of_rows != 0]) == 1:
            return float("nan")
        sums = np.bincount(cluster, weights=self.of_rows)
        return float(np.sqrt(sums @ sums))


def _distinct(cluster: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.bincount(cluster))) if len(cluster) else 0


def mean_of(values: Floats, weight: Floats | None = None) -> Influence:
    """Return the (weighted) mean of ``values`` (n); rows with NaN in either stand aside.

    The mean of zeros and ones is a share.

    >>> mean_of(np.array([1.0, 0.0, 1.0, np.nan])).estimate
    0.6666666666666666
    """
    heavy = np.ones(len(values)) if weight is None else weight
    heavy = np.where(np.isnan(values) | np.isnan(heavy), 0.0, heavy)
    total = heavy.sum()
    if total <= 0:
        return Influence(float("nan"), np.zeros(len(values)))
    estimate = float(np.nansum(heavy * np.nan_to_num(values)) / total)
    of_rows = heavy * (np.nan_to_num(values) - estimate) / total
    counted = heavy > 0
    if not np.isin(values[counted], (0.0, 1.0)).all():
        return Influence(estimate, of_rows)
    return Influence(min(estimate, 1.0), of_rows, (0.0, 1.0), counted)


def auc_of(case: NDArray[np.bool_], score: Floats) -> Influence:
    """Return the share of pairs of a case and another row in which the case scores higher.

    Ties count half; the influence is that of DeLong, DeLong & Clarke-Pearson (1988). Both kinds of
    rows must be there, else the estimate is NaN.

    >>> auc_of(np.array([True, False, True, False]), np.array([0.9, 0.2, 0.4, 0.4])).estimate
    0.875
    """
    cases, others = np.sort(score[case]), np.sort(score[~case])
    if not len(cases) or not len(others):
        return Influence(float("nan"), np.zeros(len(score)), (0.0, 1.0))
    above_others = _below_or_half(others, score)
    under_cases = 1 - _below_or_half(cases, score)
    estimate = float(above_others[case].mean())
    part = np.where(
        case, (above_others - estimate) / len(cases), (under_cases - estimate) / len(others)
    )
    return Influence(estimate, part, (0.0, 1.0))


def _below_or_half(ordered: Floats, score: Floats) -> Floats:
    """Return the share of ``ordered`` below each score, equal ones counted half."""
    below = np.searchsorted(ordered, score, side="left")
    upto = np.searchsorted(ordered, score, side="right")
    return np.asarray((below + upto) / 2 / len(ordered))
