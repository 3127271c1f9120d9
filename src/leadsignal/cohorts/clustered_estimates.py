"""Numbers that remember what each account adds to them, so that any two can be held together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from leadsignal.errors import OptionError
from leadsignal.survival.estimates import p_of, without_rounding
from leadsignal.survival.inputs import Floats


@dataclass(frozen=True)
class Number:
    """An ``estimate`` with its interval ``low`` to ``high`` and the ``p`` of no effect.

    ``std_err`` and ``freedom`` are the standard error and Student's degrees of freedom that the
    interval was made of, of the logarithm where ``log``; NaN where it was made in another way.
    The interval stays within ``bounds``.
    """

    estimate: float
    low: float
    high: float
    p: float
    std_err: float = field(default=np.nan, repr=False, compare=False)
    freedom: float = field(default=np.nan, repr=False, compare=False)
    log: bool = field(default=False, repr=False, compare=False)
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False, compare=False)

    def at(self, level: float) -> Number:
        """Return the number with the interval of another ``level``, from its standard error.

        Raises OptionError where it carries none.

        >>> number = Influenced(1.0, np.array([0.5, -0.5])).ratio(0.95)
        >>> number.at(0.95) == number, number.at(0.99).low < number.low
        (True, True)
        """
        if np.isnan(self.std_err):
            raise OptionError(
                "the number has no standard error", "Ask for its level where it is made"
            )
        reach = float(stdtrit(self.freedom, 0.5 + level / 2)) * self.std_err
        if not self.log:
            low, high = self.estimate - reach, self.estimate + reach
            return replace(self, low=max(low, self.bounds[0]), high=min(high, self.bounds[1]))
        with np.errstate(over="ignore", divide="ignore"):
            low, high = np.exp(np.log(self.estimate) + np.array([-reach, reach]))
        return replace(self, low=float(low), high=float(high))

    def to_dict(self) -> dict[str, float | None]:
        """Return estimate, low and high, ready for JSON; None for what is not finite."""
        plain = {"estimate": self.estimate, "low": self.low, "high": self.high}
        return {name: value if np.isfinite(value) else None for name, value in plain.items()}

    def excludes(self, none: float) -> bool:
        """Whether the interval leaves ``none`` out."""
        return not self.low <= none <= self.high

    def __str__(self) -> str:
        return f"{self.estimate:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, eq=False)
class ClusteredEstimate:
    """A ``value`` and what each cluster adds to it (``influence``, one number a cluster).

    Sums, differences and shares of such numbers keep their joint error: its square is the sum of
    the squares over clusters (infinitesimal jackknife), times C/(C − 1). That sum is itself
    uncertain where few clusters carry it: intervals take Student's t with the degrees of freedom
    that match its variance (Satterthwaite 1946), 2 (Σφ²)² / (Σφ⁴ − (Σφ²)²/C).
    """

    value: float
    influence: Floats

    @property
    def std_err(self) -> float:
        """The standard error, accounts of a cluster together."""
        touched = max(2, int(np.count_nonzero(self.influence)))
        square = float(self.influence @ self.influence)
        return float(np.sqrt(square * touched / (touched - 1)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error."""
        square = self.influence[self.influence != 0] ** 2
        total = float(square.sum())
        if not total:
            return 1.0
        spread = float(square @ square) / total**2 - 1 / len(square)
        return float(max(1.0, min(2 / spread, 1e6))) if spread > 0 else 1e6

    def __sub__(self, other: ClusteredEstimate) -> ClusteredEstimate:
        scales = (self.value, other.value, self.std_err, other.std_err)
        return ClusteredEstimate(
            float(without_rounding(self.value - other.value, *scales)),
            without_rounding(self.influence - other.influence, self.influence, other.influence),
        )

    def log(self) -> ClusteredEstimate:
        """Return the logarithm, by the delta method."""
        return ClusteredEstimate(float(np.log(self.value)), self.influence / self.value)

    def number(
        self, level: float = 0.95, bounds: tuple[float, float] = (-np.inf, np.inf)
    ) -> Number:
        """Return the value with its interval, which stays within ``bounds``."""
        found = replace(self._number(level, self.value, log=False), bounds=bounds)
        return replace(found, low=max(found.low, bounds[0]), high=min(found.high, bounds[1]))

    def ratio(self, level: float = 0.95) -> Number:
        """Return exp of the value, which is a logarithm, with its interval."""
        with np.errstate(over="ignore"):
            return self._number(level, float(np.exp(self.value)), log=True)

    def _number(self, level: float, estimate: float, *, log: bool) -> Number:
        error, df = self.std_err, self.freedom
        p = float(2 * stdtr(df, -abs(self.value) / error)) if error > 0 else p_of(self.value, error)
        reach = float(stdtrit(df, 0.5 + level / 2)) * error
        low, high = self.value - reach, self.value + reach
        if log:
            low, high = float(np.exp(low)), float(np.exp(high))
        return Number(estimate, low, high, p, error, df, log)


def e_value(hazard_ratio: Number) -> tuple[float, float]:
    """Return how strong a confounder must be to explain a hazard ratio, and its nearer limit.

    On the scale of risk ratios with both the event and the end: VanderWeele & Ding (2017), with
    their conversion of a hazard ratio where ends are common, (1 − ½^√HR)/(1 − ½^√(1/HR)). The
    limit's is 1 where the interval holds 1.

    >>> tuple(round(e, 2) for e in e_value(Number(0.5, 0.3, 0.8, 0.01)))
    (2.61, 1.61)
    """
    nearer = hazard_ratio.low if hazard_ratio.estimate > 1 else hazard_ratio.high
    limit = _e_value(nearer) if hazard_ratio.excludes(1.0) else 1.0
    return _e_value(hazard_ratio.estimate), limit


def _e_value(ratio: float) -> float:
    if not 0 < ratio < np.inf:
        return float("inf")
    risk = (1 - 0.5 ** np.sqrt(ratio)) / (1 - 0.5 ** np.sqrt(1 / ratio))
    risk = max(risk, 1 / risk)
    return float(risk + np.sqrt(risk * (risk - 1)))
