"""The steps of survival and incidence curves, and the variance of the curve at each of them.

When a row's weight changes, a smooth function θ of the steps of a curve changes at the rate ``Σ_s
[dN_ij(s) α_j(s) − Y_i(s) Σ_l h_l(s) α_l(s)]`` with hazards h_j = N_j/Y and one sensitivity α_j(s)
per time and cause (``docs/survival.md``). Summing these by cluster and squaring gives a clustered
variance; assuming multinomial events at each time gives Greenwood's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from leadsignal.survival.inputs import Floats, Ints, Labels
from leadsignal.survival.risk_sets import RiskSets, from_the_first


@dataclass(frozen=True, eq=False)
class Steps:
    """The event times of every group, and the rows they came from.

    Attributes: ``groups`` (k) and ``first`` (k + 1), where each group's times begin among all G;
    ``causes`` (J); ``time``, ``at_risk`` (G); ``events`` (J × G); ``before`` and ``survival`` (G),
    survival just before and after each time; ``incidence`` (J × G), the cumulative incidence of
    each cause; ``origin``; ``last`` (k); and for the n rows ``start``, ``stop``, ``sets``,
    ``row_cause`` (position in ``causes``, −1 without an event), ``weights``, ``labels`` of their
    groups and ``cluster``.
    """

    groups: tuple[object, ...]
    first: Ints
    causes: tuple[int, ...]
    time: Floats
    at_risk: Floats
    events: Floats
    before: Floats
    survival: Floats
    incidence: Floats
    origin: float
    last: Floats
    start: Floats
    stop: Floats
    sets: RiskSets
    row_cause: Ints
    weights: Floats
    labels: Labels
    cluster: Labels | None

    @classmethod
    def of(
        cls,
        stop: Floats,
        cause: Ints,
        start: Floats | None,
        weights: Floats,
        groups: Labels,
        cluster: Labels | None,
        origin: float,
    ) -> Steps:
        """Count the rows at risk and the events at each time of each group."""
        ends = cause > 0
        sets = RiskSets.of(stop, ends, start, groups)
        causes = np.unique(cause[ends]) if cause.max() > 1 else np.array([1])
        at_risk = sets.at_risk(weights)
        if len(causes) == 1:
            events, row_cause = sets.at_events(weights)[None], ends - 1
        else:
            of_cause = (np.where(cause == c, weights, 0.0) for c in causes)
            events = np.stack([sets.at_events(values) for values in of_cause])
            row_cause = np.where(ends, np.searchsorted(causes, cause), -1)
        left = 1 - events.sum(axis=0) / at_risk
        left[np.isclose(left, 0, atol=1e-13)] = 0.0
        survival, before = np.empty_like(left), np.empty_like(left)
        incidence = np.empty_like(events)
        for part in slices_of(sets.first):
            survival[part] = np.cumprod(left[part])
            before[part] = np.concatenate(([1.0], survival[part][:-1]))
            incidence[:, part] = np.cumsum(before[part] * events[:, part] / at_risk[part], axis=1)
        last = np.full(len(groups), -np.inf)
        if len(groups) == 1:
            last[0] = stop.max(where=weights > 0, initial=-np.inf)
        else:
            np.maximum.at(last, groups.codes, np.where(weights > 0, stop, -np.inf))
        return cls(
            groups.names, sets.first, tuple(causes.tolist()), sets.time, at_risk, events, before,
            survival, incidence, origin, last,
            np.broadcast_to(-np.inf, stop.shape) if start is None else start, stop,
            sets, row_cause, weights, groups, cluster,
        )  # fmt: skip

    def at_risk_at(self, group: object, times: Floats) -> Floats:
        """Return the (weighted) number at risk in a group just after each of ``times``."""
        mine = np.where(self.labels.codes == self.groups.index(group), self.weights, 0.0)
        count = np.full(len(times), 0.0)
        for sign, edge in ((1.0, self.start), (-1.0, self.stop)):
            order = np.argsort(edge, kind="stable")
            running = from_the_first(mine[order])
            count += sign * running[np.searchsorted(edge[order], times, side="right")]
        return count

    @cached_property
    def unseen_from(self) -> Floats:
        """Time from which each group has a gap with nobody at risk (k); infinite without a gap.

        A gap begins when the last row at risk leaves and others enter only later.
        Survival through the gap, and so every later value, is unknown.
        """
        found = np.full(len(self.groups), np.inf)
        if not np.isfinite(self.start).any():
            return found
        for g in range(len(self.groups)):
            mine = (self.labels.codes == g) & (self.weights > 0)
            start, stop = np.sort(self.start[mine]), np.sort(self.stop[mine])
            # The risk set is empty after the i-th stop if only i rows have entered by then.
            entered = np.searchsorted(start, stop, side="right")
            empty = (entered == np.arange(1, len(stop) + 1)) & (stop < stop[-1:])
            found[g] = stop[empty][0] if empty.any() else np.inf
        return found

    def is_unseen(self, g: int, time: float) -> bool:
        """Whether the curve of group ``g`` passes a gap with nobody at risk before ``time``.

        Also true if the curve has fallen to 0 while other rows are at risk later.
        """
        gone = np.flatnonzero(self.survival[self.first[g] : self.first[g + 1]] == 0)
        dead = float(self.time[self.first[g] + gone[0]]) if len(gone) else np.inf
        return self.unseen_from[g] < time or (dead <= time and dead < self.last[g])

    def at_risk_by_group(self) -> dict[str, Callable[[Floats], Floats]]:
        """Return, for each group, a function of time that returns its number at risk."""
        return {str(group): partial(self.at_risk_at, group) for group in self.groups}

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Yield each group's position and the slice of its times."""
        yield from enumerate(slices_of(self.first))


def variance_at_steps(steps: Steps, g: int, cause: int | None) -> Floats:
    """Return the variance of group ``g``'s survival (None) or incidence at each of its steps.

    The sensitivity of the value at t to step s is A_j(s) − value(t) B(s), so three running sums
    serve all t. With clusters, both parts are accumulated for every cluster, step by step.
    """
    part = list(slices_of(steps.first))[g]
    A, B = parts_of_sensitivity(steps, part, cause)
    value = steps.survival[part] if cause is None else steps.incidence[cause, part]
    if steps.cluster is not None:
        return _clustered_variance(steps, g, part, A, B, value)
    Y, hazard = steps.at_risk[part], steps.events[:, part] / steps.at_risk[part]
    h, hA = hazard.sum(axis=0), (hazard * A).sum(axis=0)
    zero = np.cumsum(Y * ((hazard * A * A).sum(axis=0) - hA * hA))
    one = np.cumsum(Y * hA * B * (1 - h))
    two = np.cumsum(Y * h * (1 - h) * B * B)
    variance: Floats = np.maximum(zero - 2 * value * one + value * value * two, 0.0)
    return variance


def parts_of_sensitivity(steps: Steps, part: slice, k: int | None) -> tuple[Floats, Floats]:
    """Return A (J × m) and B (m) with sensitivity A_j(s) − value(t) B(s) of the value at t ≥ s.

    Survival: value(t) = S(t), A = 0, B = 1/(Y − N). Incidence: value(t) = F_k(t), of which F_k(t) −
    F_k(s) comes from rows that survive step s. If all rows at risk have an event, nothing later
    depends on the step.
    """
    Y, N = steps.at_risk[part], steps.events[:, part].sum(axis=0)
    B = np.divide(1.0, Y - N, out=np.zeros_like(Y), where=steps.survival[part] > 0)
    A = np.zeros((len(steps.causes), len(Y)))
    if k is not None:
        A += steps.incidence[k, part] * B
        A[k] += steps.before[part] / Y
    return A, B


def slices_of(first: Ints) -> Iterator[slice]:
    """Yield the slices between neighbouring positions."""
    for begin, end in pairwise(first.tolist()):
        yield slice(begin, end)


def _clustered_variance(
    steps: Steps, g: int, part: slice, A: Floats, B: Floats, value: Floats
) -> Floats:
    """Return, at each step, the sum over clusters of squared sensitivity-weighted residuals."""
    if steps.cluster is None or part.stop == part.start:
        return np.zeros(part.stop - part.start)
    hazard = steps.events[:, part] / steps.at_risk[part]
    fall = np.stack(((hazard * A).sum(axis=0), hazard.sum(axis=0) * B))
    mine = np.flatnonzero(steps.labels.codes == g)
    code, weight = steps.cluster.codes[mine], steps.weights[mine]
    enter = _rows_by_step(steps.sets.lower[mine] - part.start, part)
    leave = _rows_by_step(steps.sets.upper[mine] - part.start, part)
    ends = np.where(steps.row_cause[mine] >= 0, steps.sets.upper[mine] - 1 - part.start, -1)
    ending = _rows_by_step(ends, part)
    at_risk, carried = np.zeros(len(steps.cluster)), np.zeros((2, len(steps.cluster)))
    variance = np.empty(part.stop - part.start)
    for s in range(part.stop - part.start):
        np.add.at(at_risk, code[enter[s]], weight[enter[s]])
        np.subtract.at(at_risk, code[leave[s]], weight[leave[s]])
        carried -= fall[:, s, None] * at_risk
        rows = ending[s]
        cause = steps.row_cause[mine[rows]]
        np.add.at(carried[0], code[rows], weight[rows] * A[cause, s])
        np.add.at(carried[1], code[rows], weight[rows] * B[s])
        now = carried[0] - value[s] * carried[1]
        variance[s] = now @ now
    return variance


def _rows_by_step(step: Ints, part: slice) -> list[Ints]:
    """Return, for each step, the rows that belong to it."""
    order = np.argsort(step, kind="stable")
    cuts = np.searchsorted(step[order], np.arange(part.stop - part.start + 1))
    return [order[begin:end] for begin, end in pairwise(cuts.tolist())]
