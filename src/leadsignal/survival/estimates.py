"""Small results that several parts of ``survival`` return: tests, estimates, contrasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, expit, logit, ndtr, ndtri

from leadsignal.errors import OptionError
from leadsignal.survival.inputs import Floats

if TYPE_CHECKING:
    import pandas as pd


def holm(p: Floats) -> Floats:
    """Return p-values corrected for their number (Holm 1979); NaN stay, and do not count.

    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(3)
    array([0.03, 0.06,  nan, 0.06])
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factor))
    return corrected


def wilson_limits(share: float, size: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of ``size`` (Wilson 1927); 0 and 1 of none.

    >>> [round(limit, 4) for limit in wilson_limits(0.3, 10)]
    [0.1078, 0.6032]
    """
    if not size:
        return 0.0, 1.0
    z = normal_quantile(level)
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    # At the ends of the range a limit is the end itself, not a rest of rounding beside it.
    low = max(0.0, float(middle - z * half)) if share > 0 else 0.0
    return low, min(1.0, float(middle + z * half)) if share < 1 else 1.0


def normal_quantile(level: float) -> float:
    """Return how many standard errors a two-sided interval of ``level`` reaches."""
    return float(ndtri(0.5 + level / 2))


def two_sided_p(z: ArrayLike) -> Floats:
    """Return the two-sided p-value of standard normal ``z``."""
    p: Floats = 2.0 * ndtr(-np.abs(np.asarray(z, dtype=np.float64)))
    return p


ROUNDING = 1e-10
"""Differences below this share of the numbers that they are made of are rounding, so zero."""


def without_rounding(difference: ArrayLike, *scales: ArrayLike) -> Floats:
    """Return ``difference``, 0 where it is no more than the rounding of what has these sizes.

    >>> float(without_rounding(0.1 + 0.2 - 0.3, 0.3))
    0.0
    """
    size = max(float(np.max(np.abs(scale), initial=0.0)) for scale in scales)
    value = np.asarray(difference, dtype=np.float64)
    return np.where(np.abs(value) <= ROUNDING * size, 0.0, value)


def p_of(estimate: float, error: float) -> float:
    """Return the two-sided p-value; NaN of a difference without an error to hold it against."""
    if error > 0:
        return float(two_sided_p(estimate / error))
    return 1.0 if estimate == 0 and error == 0 else float("nan")


def share_limits(estimate: ArrayLike, error: ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Return limits of a share or an AUC, symmetric on the logit scale, so never beyond 0 and 1.

    At 0 and 1 the logit has none: the estimate stands for both.

    >>> [float(limit.round(3)) for limit in share_limits(0.9, 0.1, 0.95)]
    [0.505, 0.988]
    """
    share, spread = np.broadcast_arrays(np.asarray(estimate, float), np.asarray(error, float))
    inside = (share > 0) & (share < 1)
    safe = np.where(inside, share, 0.5)
    middle, reach = logit(safe), normal_quantile(level) * spread / (safe * (1 - safe))
    lower, upper = expit(middle - reach), expit(middle + reach)
    return np.where(inside, lower, share), np.where(inside, upper, share)


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square test: its ``statistic``, degrees of freedom ``df`` and ``p``-value."""

    name: str
    statistic: float
    df: int
    p: float

    @classmethod
    def of(cls, name: str, statistic: float, df: int) -> ChiSquare:
        """Return the test with its p-value; no degrees of freedom give p = 1."""
        return cls(name, float(statistic), int(df), float(chdtrc(df, statistic)) if df else 1.0)

    def __repr__(self) -> str:
        return f"{self.name}: chi-square {self.statistic:.4g} on {self.df} df, p = {self.p:.3g}"

    def to_dict(self) -> dict[str, object]:
        """Return the test as a plain dictionary, ready for JSON."""
        return {"name": self.name, "statistic": self.statistic, "df": self.df, "p": self.p}


@dataclass(frozen=True)
class Contrast:
    """One group against another: ``estimate`` with interval, ``p`` of no contrast.

    ``std_err`` is on the scale of the estimate for a difference, of its logarithm for a ratio.
    """

    what: str
    group: object
    against: object
    estimate: float
    std_err: float
    lower: float
    upper: float
    p: float
    level: float

    def __repr__(self) -> str:
        return (
            f"{self.what}, {self.group} against {self.against}: {self.estimate:.4g} "
            f"({self.level:.0%} {self.lower:.4g} to {self.upper:.4g}), p = {self.p:.3g}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the contrast as a plain dictionary, ready for JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True, eq=False)
class Estimates:
    """One number a group with a joint covariance, so that groups can be contrasted.

    Attributes: ``what`` is estimated; ``groups`` (k); ``estimate`` (k); ``cov`` (k × k), with
    accounts as the independent units where clusters were given; ``level`` of the intervals;
    ``bounds``, the range the quantity can lie in; ``influence`` (clusters × k), what each cluster
    adds to the estimates (None without clusters), clusters in the order of their sorted labels;
    ``note``, why limits are missing (NaN), if any are.
    """

    what: str
    groups: tuple[object, ...]
    estimate: Floats
    cov: Floats
    level: float = 0.95
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False)
    influence: Floats | None = field(default=None, repr=False, compare=False)
    note: str = ""

    @property
    def std_err(self) -> Floats:
        """Standard errors (k)."""
        return np.sqrt(np.maximum(np.diag(self.cov), 0.0))

    @property
    def lower(self) -> Floats:
        """Lower limits (k): estimate minus standard errors, kept in bounds."""
        reach = normal_quantile(self.level) * self.std_err
        return np.clip(self.estimate - reach, *self.bounds)

    @property
    def upper(self) -> Floats:
        """Upper limits (k)."""
        reach = normal_quantile(self.level) * self.std_err
        return np.clip(self.estimate + reach, *self.bounds)

    def difference(self, group: object, against: object) -> Contrast:
        """Return ``group`` minus ``against``; raises OptionError for a group that is not there."""
        i, j = self._position(group), self._position(against)
        estimate = float(self.estimate[i] - self.estimate[j])
        scales = (*self.estimate[[i, j]], *self.std_err[[i, j]])
        estimate = float(without_rounding(estimate, scales))
        error = float(without_rounding(self._error(i, j, np.array([1.0, -1.0])), scales))
        reach = normal_quantile(self.level) * error
        widest = self.bounds[1] - self.bounds[0]
        known = error > 0 or estimate == 0
        lower, upper = max(estimate - reach, -widest), min(estimate + reach, widest)
        return Contrast(
            f"difference in {self.what}", group, against, estimate, error,
            lower if known else np.nan, upper if known else np.nan, p_of(estimate, error),
            self.level,
        )  # fmt: skip

    def ratio(self, group: object, against: object) -> Contrast:
        """Return ``group`` over ``against`` with an interval from the logarithm's delta method."""
        i, j = self._position(group), self._position(against)
        top, bottom = float(self.estimate[i]), float(self.estimate[j])
        if top <= 0 or bottom <= 0:
            raise OptionError(
                f"ratio of {self.what}: {group!r} is {top:.4g} and {against!r} is {bottom:.4g}; "
                "a ratio needs both above zero, so use difference()"
            )
        logarithm = float(without_rounding(np.log(top / bottom), 1.0))
        gradient = np.array([1 / top, -1 / bottom])
        error = float(without_rounding(self._error(i, j, gradient), 1.0))
        known = error > 0 or logarithm == 0
        reach = normal_quantile(self.level) * error if known else np.nan
        with np.errstate(over="ignore"):
            estimate, lower, upper = np.exp([logarithm, logarithm - reach, logarithm + reach])
        return Contrast(
            f"ratio of {self.what}", group, against, float(estimate), error, float(lower),
            float(upper), p_of(logarithm, error), self.level,
        )  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """Return one row a group: estimate, std_err, lower, upper."""
        import pandas as pd

        return pd.DataFrame(
            {
                "group": self.groups,
                "estimate": self.estimate,
                "std_err": self.std_err,
                "lower": self.lower,
                "upper": self.upper,
            }
        )

    def to_dict(self) -> dict[str, object]:
        """Return the estimates as a plain dictionary, ready for JSON."""
        return {
            "what": self.what,
            "level": self.level,
            "groups": list(self.groups),
            "estimate": self.estimate.tolist(),
            "std_err": self.std_err.tolist(),
            "lower": self.lower.tolist(),
            "upper": self.upper.tolist(),
            **({"note": self.note} if self.note else {}),
        }

    def __repr__(self) -> str:
        lines = [
            f"  {group}: {estimate:.4g} ({lower:.4g} to {upper:.4g})"
            for group, estimate, lower, upper in zip(
                self.groups, self.estimate, self.lower, self.upper, strict=True
            )
        ]
        notes = [f"  {self.note}"] if self.note else []
        return "\n".join([f"{self.what} ({self.level:.0%} intervals)", *lines, *notes])

    def _error(self, i: int, j: int, gradient: Floats) -> float:
        """Return the error of a contrast of two; from influence, where rounding cancels too."""
        if self.influence is not None and np.isfinite(self.cov[[i, j], [i, j]]).all():
            moved = self.influence[:, [i, j]] @ gradient
            return float(np.sqrt(moved @ moved))
        variance = gradient @ self.cov[np.ix_([i, j], [i, j])] @ gradient
        return float(np.sqrt(np.maximum(variance, 0.0)))

    def _position(self, group: object) -> int:
        if group not in self.groups:
            allowed = ", ".join(map(repr, self.groups))
            raise OptionError(f"there is no group {group!r}; the groups are {allowed}")
        return self.groups.index(group)
