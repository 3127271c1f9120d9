"""Inverse-probability-of-censoring weights for outcomes by a horizon.

Let G be the Kaplan-Meier estimate of remaining uncensored. A row with an event at T, by the
horizon, has weight 1/G(T−); a row still at risk has weight 1/G(horizon); a row censored before the
horizon has weight 0 (Robins & Rotnitzky 1992, Graf 1999). At tied times, events precede censorings.
Because G is estimated from the same rows, ``influence`` adds its part of the variance
(``docs/survival.md``).
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
    """Censoring times, the number at risk of censoring, and G after each time.

    Attributes: ``stop``, ``censored`` and ``own_weight`` (n); ``time``, ``at_risk``, ``count``,
    ``staying`` = G (m); ``before`` (n), the number of censoring times before each row's stop.
    """

    stop: Floats
    censored: Bools
    time: Floats
    at_risk: Floats
    count: Floats
    staying: Floats
    before: Ints
    own_weight: Floats

    @classmethod
    def of(cls, stop: Floats, censored: Bools, weights: Floats | None = None) -> Censoring:
        """Estimate G from rows observed until ``stop``, which count by their case weights."""
        own = np.ones(len(stop)) if weights is None else weights
        censored = censored & (own > 0)
        order = np.argsort(stop)
        ordered, leaving = stop[order], censored[order]
        run = np.cumsum(np.concatenate(([0], ordered[1:] != ordered[:-1])))
        holds = np.bincount(run, weights=leaving) > 0
        before = np.empty(len(stop), dtype=np.intp)
        before[order] = (np.cumsum(holds) - holds)[run]
        time = ordered[np.append(True, run[1:] != run[:-1])][holds]
        size = len(time) + 1
        # At risk at the j-th time: rows censored then or later, or with an event after it.
        upper = sums_by_code(before + censored, own, size)
        at_risk = from_the_last(upper[1:])
        count = sums_by_code(before[censored] + 1, own[censored], size)[1:]
        staying = np.cumprod(1 - count / at_risk, dtype=np.float64)
        return cls(stop, censored, time, at_risk, count, staying, before, own)

    def reordered(self, order: Ints) -> Censoring:
        """Return the same weights for the rows in another order."""
        return replace(
            self,
            stop=self.stop[order],
            censored=self.censored[order],
            before=self.before[order],
            own_weight=self.own_weight[order],
        )

    @property
    def own(self) -> Floats:
        """G just before each row's stop (n)."""
        return np.concatenate(([1.0], self.staying))[self.before]

    def by(self, horizon: float) -> Floats:
        """Return the weights (n) of the rows at one horizon, times their case weights."""
        alive = self.stop > horizon
        return self.own_weight * np.where(alive, 1 / self._at(horizon), self._ended)

    def influence(self, horizon: float, moved: Floats) -> Floats:
        """Return each row's influence on a statistic by way of G.

        ``moved`` (n) is the derivative of the statistic with respect to the log weight of each row.
        """
        # Σ of `moved` over the rows whose weight depends on G at this time: those with a later
        # event and, up to the horizon, those still at risk.
        until = int(np.searchsorted(self.time, horizon, side="right"))
        enters = sums_by_code(np.minimum(self.before, until), moved, until + 1)
        later, left = from_the_last(enters)[1:], self._left[:until]
        rate = np.divide(later, left, out=np.zeros_like(later), where=left > 0)
        # A row at risk contributes −rate × hazard at each time; a row censored then, rate as well.
        size = len(self.time) + 1
        by_place = np.zeros((2, size))
        by_place[0, : until + 1] = -from_the_first(self._hazard[:until] * rate)
        by_place[:, until + 1 :] = by_place[0, until]
        by_place[1, : until + 1] = by_place[0, : until + 1]
        by_place[1, 1 : until + 1] += rate
        return self.own_weight * by_place.reshape(-1)[self._place]

    @cached_property
    def _ended(self) -> Floats:
        """Weights of rows with an event by the horizon; 0 where censored."""
        return np.where(self.censored, 0.0, 1 / np.where(self.censored, 1.0, self.own))

    @cached_property
    def _hazard(self) -> Floats:
        return self.count / self.at_risk

    @cached_property
    def _left(self) -> Floats:
        return self.at_risk - self.count

    @cached_property
    def _place(self) -> Ints:
        """Position of each row in `influence`'s flat array; censored rows use the second half."""
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
