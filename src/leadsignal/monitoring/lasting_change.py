"""Lasting changes: CUSUM charts of counts, and what monitoring reports of them.

The log-likelihood ratio of a lasting change is accumulated and never falls below 0 (Page 1954,
Biometrika 41, 100-115; for counts, Lucas 1985, Technometrics 27, 129-144). For Poisson counts
O with expectation E and a change of E by the factor r, a step adds

    (O log(r) - E (r - 1)) / dispersion.

A change is found once the sum reaches a limit h. Whatever the expectations, the average time to a
false alarm is at least e^h steps (Lorden 1971, Annals of Mathematical Statistics 42, 1897-1908),
from which ``limit_for`` follows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from math import log
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leadsignal.phrases import share_text

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cusum:
    """The sum after each step, the step at which its current rise began, and whether it is found.

    All have shape (steps,). A change stays found until the sum is back at 0.
    """

    level: Floats
    since: NDArray[np.int64]
    found: Bools


def limit_for(alarms: float, every: float) -> float:
    """Return the limit at which at most ``alarms`` false alarms are expected per year.

    ``every`` is the number of days between steps. For one alarm in ten years and weekly steps:

    >>> round(limit_for(0.1, 7), 3)
    6.257
    """
    return log(365.25 / every / alarms)


def run_cusum(
    observed: Floats,
    expected: Floats,
    ratio: float,
    limit: float,
    *,
    dispersion: float = 1.0,
    max_step: float = np.inf,
    renewed: Bools | None = None,
) -> Cusum:
    """Accumulate the evidence that ``expected`` is now multiplied by ``ratio``.

    ``dispersion`` is the variance of the counts over that of Poisson counts; no single step adds
    more than ``max_step``. A change that was found ends where ``renewed`` (steps,) is true, as with
    a new model.

    >>> found = run_cusum(np.array([1., 4, 4, 4]), np.ones(4), 2.0, limit=3.0)
    >>> found.level.round(2).tolist(), found.found.tolist(), int(found.since[-1])
    ([0.0, 1.77, 3.0, 3.0], [False, False, True, True], 1)
    """
    steps = (observed * log(ratio) - expected * (ratio - 1)) / dispersion
    steps = np.minimum(steps, max_step)
    level, since, found = np.zeros(len(steps)), np.zeros(len(steps), dtype=np.int64), False
    now, begun, flags = 0.0, 0, np.zeros(len(steps), dtype=bool)
    for at, step in enumerate(steps.tolist()):
        if found and renewed is not None and renewed[at]:
            now, begun, found = 0.0, at, False
        now = min(max(now + step, 0.0), limit)
        if now == 0:
            begun, found = at + 1, False
        found = found or now >= limit
        level[at], since[at], flags[at] = now, begun, found
    return Cusum(level, since, flags)


def moving_sums(values: Floats, over: int) -> Floats:
    """Return the sums of ``over`` consecutive values, the first one complete.

    >>> moving_sums(np.array([1., 2, 3, 4]), 2).tolist()
    [3.0, 5.0, 7.0]
    """
    total = np.concatenate(([0.0], np.cumsum(values)))
    return total[over:] - total[:-over] if len(values) >= over else np.zeros(0)


@dataclass(frozen=True)
class LastingChange:
    """The result of a CUSUM for one series of counts, on one day.

    ``level`` is the evidence so far for a change of the expectation by the factor ``reference``;
    the change is ``found`` from ``limit`` on. ``observed`` and ``expected`` are counted since
    ``since``, when the current rise of the evidence began. A change by the reference is found after
    ``detected_after`` weeks on average; None if that was not computed.
    """

    kind: Literal["churn", "feed_loss"]
    subject: str
    reference: float
    level: float
    limit: float
    found: bool
    since: date
    observed: float
    expected: float
    detected_after: int | None = None

    @property
    def ratio(self) -> float:
        """Observed over expected since ``since``; NaN if nothing was expected."""
        return self.observed / self.expected if self.expected else float("nan")

    def __str__(self) -> str:
        if self.kind == "feed_loss":
            return (
                f"{self.subject}: {share_text(self.ratio)} of the usual records per active account"
                f" since {self.since}"
            )
        return (
            f"since {self.since}, {self.observed:,.0f} accounts ended where {self.expected:,.1f}"
            " were expected"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary, ready for JSON."""
        return {**asdict(self), "since": self.since.isoformat()}
