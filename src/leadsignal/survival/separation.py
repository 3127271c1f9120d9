"""Whether the partial likelihood has a maximum, or rises for ever along some direction.

It rises for ever along d exactly where x·d of every event is the largest in its risk set (equal
values allowed), and larger than some other in at least one of them (Albert & Anderson 1984 for
logistic regression, Bryson & Johnson 1981 for Cox's model). Such directions form a cone, and
whether it holds more than 0 is a question of linear programming. Of the conditions, one for each
event and row at risk, only those are listed that a direction found so far breaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from leadsignal.survival.inputs import Floats, Ints
from leadsignal.survival.partial_likelihood import PartialLikelihood

EQUAL = 1e-12  # values of x·d this close, relative to what they are sums of, count as equal
MAX_ROUNDS = 60  # of adding conditions
MAX_CONDITIONS = 1_000  # that one round adds
MIN_PART = 1e-6  # of the largest part of a direction; a smaller one is rounding
STANDS_OUT = 0.2  # of the largest coefficient, of those that may have run off


@dataclass(frozen=True, eq=False)
class Ranking:
    """How a direction ranks the rows at risk.

    ``separates`` tells whether the likelihood rises for ever along it; ``broken`` (k × p) are the
    differences, between an event and a row at risk with it, on the wrong side of 0.
    """

    separates: bool
    broken: Floats


class Separation:
    """The search for a direction along which the likelihood rises for ever.

    ``unit`` (p) is a unit of each coefficient in which they can be compared, ``rise`` (p) the
    score at zero and ``free`` (p) tells the columns without a penalty: with one, a maximum exists.
    """

    def __init__(self, likelihood: PartialLikelihood, unit: Floats, rise: Floats, free: Ints):
        self.likelihood = likelihood
        self.scale = 1.0 / unit
        self.rise = rise * self.scale
        self.free = free
        self.Z = likelihood.rows(slice(None))

    def direction(self, *hints: Floats) -> Floats | None:
        """Return a direction of separation, of as few columns as seem to be needed, or None.

        ``hints`` are directions to start from: coefficients that grow, and steps.
        """
        parts = [hint / self.scale for hint in hints]
        size = np.max([np.abs(part) / max(np.abs(part).max(), 1e-300) for part in parts], axis=0)
        order = self.free[np.argsort(-size[self.free], kind="stable")]
        standing_out = order[size[order] > STANDS_OUT]
        for j in standing_out:
            one = np.zeros(len(self.scale))
            one[j] = np.sign(self.rise[j]) * self.scale[j]
            if self.ranking(one).separates:
                return one
        if 1 < len(standing_out) < len(order):
            found = self._solve(standing_out)
            if found is not None:
                return found
        return self._solve(order) if len(order) > 1 else None

    def ranking(self, direction: Floats) -> Ranking:
        """Return how ``direction`` ranks the rows."""
        tree, sets = self.likelihood.tree, self.likelihood.sets
        value = self.Z @ direction
        first, last = _extremes(value, sets.events, sets.offsets)
        others = tree.largest(value)
        best = np.where(np.append(value, -np.inf)[others] > value[last], others, last)
        lowest = tree.largest(-value)
        least = np.where(np.append(value, np.inf)[lowest] < value[first], lowest, first)
        short, ahead = value[best] - value[first], value[first] - value[least]
        equal = [EQUAL * self._size(direction, first, other) for other in (best, least)]
        broken = np.flatnonzero(short > equal[0])
        worst = broken[np.argsort(-short[broken], kind="stable")[:MAX_CONDITIONS]]
        separates = not len(broken) and bool((ahead > equal[1]).any())
        return Ranking(separates, self.Z[first[worst]] - self.Z[best[worst]])

    def _size(self, direction: Floats, rows: Ints, others: Ints) -> Floats:
        """Return the size of the terms that x·d of either row is the sum of."""
        parts = np.abs(direction)
        size: Floats = np.maximum(np.abs(self.Z[rows]) @ parts, np.abs(self.Z[others]) @ parts)
        return size

    def _solve(self, columns: Ints) -> Floats | None:
        """Return a direction of separation in these columns, None where there is none.

        The score at zero is the sum of all differences between events and rows at risk: the cone
        holds more than 0 exactly where it rises.
        """
        scale = self.scale[columns]
        rise = self.rise[columns]
        conditions = np.zeros((0, len(columns)))
        trial = np.zeros(len(self.scale))
        trial[columns] = np.sign(rise) * scale
        for _ in range(MAX_ROUNDS):
            ranking = self.ranking(trial)
            if ranking.separates:
                return trial
            if not len(ranking.broken):
                return None
            more = ranking.broken[:, columns] * scale
            more /= np.maximum(np.abs(more).max(axis=1, keepdims=True), 1e-300)
            conditions = np.vstack((conditions, more))
            solved = linprog(-rise / np.abs(rise).max(), -conditions, np.zeros(len(conditions)),
                             bounds=(-1, 1))  # fmt: skip
            if solved.x is None or np.abs(solved.x).max() < MIN_PART:
                return None
            trial[columns] = _polished(solved.x, conditions) * scale
        return None


def _polished(direction: Floats, conditions: Floats) -> Floats:
    """Return the direction moved onto the conditions that the solver meets by its tolerance."""
    direction = np.where(np.abs(direction) < MIN_PART * np.abs(direction).max(), 0.0, direction)
    parts = np.flatnonzero(direction)
    tight = conditions[np.abs(conditions @ direction) < MIN_PART][:, parts]
    polished = direction.copy()
    if len(tight):
        polished[parts] -= np.linalg.lstsq(tight, tight @ direction[parts], rcond=1e-9)[0]
    return polished


def _extremes(value: Floats, events: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """Return the event rows of the smallest and the largest value of each group."""
    group = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((value[events], group))
    return events[order[offsets[:-1]]], events[order[offsets[1:] - 1]]
