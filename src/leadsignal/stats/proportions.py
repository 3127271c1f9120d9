"""Proportions and other numbers between 0 and 1, with intervals that stay in that range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from leadsignal.phrases import share_between
from leadsignal.stats.normal import Floats, normal_quantile


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
