"""Weights that make up for rows whose follow-up ended before a horizon.

With G the Kaplan-Meier estimate of staying uncensored, a row that ended at T by the horizon has
weight 1/G(T−), one still there 1/G(horizon), one censored before it 0 (Robins & Rotnitzky 1992,
Graf 1999). Ends come before censorings at the same time. G is estimated, and a row's own weight
moves it: ``influence`` carries that part of the variance (``docs/survival.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Bools, Floats, Ints
from leadsignal.survival.risk_sets import from_the_first, from_the_last


@dataclass(frozen=True, eq=False)
class Censoring:
    """Times of censoring, who is at risk of it, and G after each.

    Attributes: ``stop`` and ``censored`` (n); ``time``, ``at_risk``, ``count``, ``staying`` = G
    (m); ``upper`` (n), how many of the times each row was at risk at.
    """

    stop: Floats
    censored: Bools
    time: Floats
    at_risk: Floats
    count: Floats
    staying: Floats
    upper: Ints

    @classmethod
    def of(cls, stop: Floats, censored: Bools) -> Censoring:
        """Estimate G from rows followed until ``stop``."""
        time = np.unique(stop[censored])
        upper = np.searchsorted(time, stop, side="left")
        upper[censored] += 1
        size = len(time) + 1
        at_risk = from_the_last(np.bincount(upper, minlength=size)[1:].astype(np.float64))
        count = np.bincount(upper[censored], minlength=size)[1:].astype(np.float64)
        staying = np.cumprod(1 - count / at_risk)
        return cls(stop, censored, time, at_risk, count, staying, upper)

    def before(self, times: Floats) -> Floats:
        """Return G(t−)."""
        return np.concatenate(([1.0], self.staying))[np.searchsorted(self.time, times, side="left")]

    def by(self, horizon: float) -> Floats:
        """Return the weights (n) of the rows at one horizon."""
        at_horizon = self._at(horizon)
        known = ~self.censored | (self.stop > horizon)
        ended = 1 / np.maximum(self._own, 1e-300)
        return np.where(self.stop > horizon, 1 / at_horizon, np.where(known, ended, 0.0))

    def influence(self, horizon: float, moved: Floats) -> Floats:
        """Return how each row moves a number through G.

        ``moved`` (n): how far the number moves when the logarithm of a row's weight does.
        """
        alive = self.stop > horizon
        if not len(self.time):
            return np.zeros(len(self.stop))
        # Σ of `moved` over the rows whose weight G at this time or later enters.
        place = np.searchsorted(self.time, self.stop, side="left")
        ended = np.bincount(
            place, weights=np.where(alive, 0.0, moved), minlength=len(self.time) + 1
        )
        later = from_the_last(ended)[1:]
        later = later + np.where(self.time <= horizon, moved[alive].sum(), 0.0)
        left = self.at_risk - self.count
        rate = np.divide(later, left, out=np.zeros_like(later), where=left > 0)
        influence = -from_the_first(self.count / self.at_risk * rate)[self.upper]
        influence[self.censored] += rate[self.upper[self.censored] - 1]
        return influence

    @cached_property
    def _own(self) -> Floats:
        return self.before(self.stop)

    def _at(self, horizon: float) -> float:
        steps = np.concatenate(([1.0], self.staying))
        value = float(steps[np.searchsorted(self.time, horizon, side="right")])
        if value <= 0:
            raise ModelError(
                f"everyone is censored by {horizon:g}; choose a horizon within the follow-up"
            )
        return value
