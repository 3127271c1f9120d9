"""Weights that make up for rows whose follow-up ended before a horizon.

With G the Kaplan-Meier estimate of staying uncensored, a row that ended at T by the horizon has
weight 1/G(T−), one still there 1/G(horizon), one censored before it 0 (Robins & Rotnitzky 1992,
Graf 1999). Ends come before censorings at the same time. G is estimated, and a row's own weight
moves it: ``influence`` carries that part of the variance (``docs/survival.md``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Bools, Floats, Ints, sums_by_code
from leadsignal.survival.risk_sets import from_the_first, from_the_last


@dataclass(frozen=True, eq=False)
class Censoring:
    """Times of censoring, who is at risk of it, and G after each.

    Attributes: ``stop`` and ``censored`` (n); ``time``, ``at_risk``, ``count``, ``staying`` = G
    (m); ``before`` (n), how many of the times lie before each row's stop.
    """

    stop: Floats
    censored: Bools
    time: Floats
    at_risk: Floats
    count: Floats
    staying: Floats
    before: Ints

    @classmethod
    def of(cls, stop: Floats, censored: Bools) -> Censoring:
        """Estimate G from rows observed until ``stop``."""
        order = np.argsort(stop)
        ordered, leaving = stop[order], censored[order]
        run = np.cumsum(np.concatenate(([0], ordered[1:] != ordered[:-1])))
        holds = np.bincount(run, weights=leaving) > 0
        before = np.empty(len(stop), dtype=np.intp)
        before[order] = (np.cumsum(holds) - holds)[run]
        time = ordered[np.append(True, run[1:] != run[:-1])][holds]
        size = len(time) + 1
        # At risk of the j-th time: whoever is censored at it or later, or ends after it.
        upper = sums_by_code(before + censored, None, size)
        at_risk = from_the_last(upper[1:])
        count = sums_by_code(before[censored] + 1, None, size)[1:]
        staying = np.cumprod(1 - count / at_risk, dtype=np.float64)
        return cls(stop, censored, time, at_risk, count, staying, before)

    def reordered(self, order: Ints) -> Censoring:
        """Return the same for rows in another order."""
        return replace(
            self,
            stop=self.stop[order],
            censored=self.censored[order],
            before=self.before[order],
        )

    @property
    def own(self) -> Floats:
        """G just before each row's stop (n)."""
        return np.concatenate(([1.0], self.staying))[self.before]

    def by(self, horizon: float) -> Floats:
        """Return the weights (n) of the rows at one horizon."""
        alive = self.stop > horizon
        weights: Floats = np.where(alive, 1 / self._at(horizon), self._ended)
        return weights

    def influence(self, horizon: float, moved: Floats) -> Floats:
        """Return how each row moves a number through G.

        ``moved`` (n): how far the number moves when the logarithm of a row's weight does.
        """
        # Σ of `moved` over the rows whose weight G at this time or later enters: those that ended
        # later and, up to the horizon, those still there.
        until = int(np.searchsorted(self.time, horizon, side="right"))
        enters = sums_by_code(np.minimum(self.before, until), moved, until + 1)
        later, left = from_the_last(enters)[1:], self._left[:until]
        rate = np.divide(later, left, out=np.zeros_like(later), where=left > 0)
        # A row at risk is moved by −rate × hazard at each time; one that is censored, by rate too.
        size = len(self.time) + 1
        by_place = np.zeros((2, size))
        by_place[0, : until + 1] = -from_the_first(self._hazard[:until] * rate)
        by_place[:, until + 1 :] = by_place[0, until]
        by_place[1, : until + 1] = by_place[0, : until + 1]
        by_place[1, 1 : until + 1] += rate
        influence: Floats = by_place.reshape(-1)[self._place]
        return influence

    @cached_property
    def _ended(self) -> Floats:
        """Weights of rows that ended by a horizon: 0 where censored."""
        return np.where(self.censored, 0.0, 1 / np.where(self.censored, 1.0, self.own))

    @cached_property
    def _hazard(self) -> Floats:
        return self.count / self.at_risk

    @cached_property
    def _left(self) -> Floats:
        return self.at_risk - self.count

    @cached_property
    def _place(self) -> Ints:
        """How many of the times each row was at risk at; past all of those if censored."""
        through = self.before + self.censored
        return through + self.censored * (len(self.time) + 1)

    def _at(self, horizon: float) -> float:
        steps = np.concatenate(([1.0], self.staying))
        value = float(steps[np.searchsorted(self.time, horizon, side="right")])
        if value <= 0:
            raise ModelError(
                f"everyone is censored by {horizon:g}; choose a horizon within the follow-up"
            )
        return value
