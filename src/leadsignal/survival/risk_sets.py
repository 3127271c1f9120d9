"""Risk sets of event times, censoring weights, and the steps of curves with their variance.

An event group is one distinct event time in one stratum. Row i is at risk in the groups ``lower[i]
<= g < upper[i]``, the ones with ``start < time <= stop`` in its stratum. Sums over risk sets then
cost two entries per row and one cumulative sum over groups, from the last group backwards, so that
the small risk sets of late times are summed first.

Inverse-probability-of-censoring weights for outcomes by a horizon.

Let G be the Kaplan-Meier estimate of remaining uncensored. A row with an event at T, by the
horizon, has weight 1/G(T−); a row still at risk has weight 1/G(horizon); a row censored before the
horizon has weight 0 (Robins & Rotnitzky 1992, Graf 1999). At tied times, events precede censorings.
Because G is estimated from the same rows, ``influence`` adds its part of the variance
(``docs/survival.md``).

The steps of survival and incidence curves, and the variance of the curve at each of them.

When a row's weight changes, a smooth function θ of the steps of a curve changes at the rate ``Σ_s
[dN_ij(s) α_j(s) − Y_i(s) Σ_l h_l(s) α_l(s)]`` with hazards h_j = N_j/Y and one sensitivity α_j(s)
per time and cause (``docs/survival.md``). Summing these by cluster and squaring gives a clustered
variance; assuming multinomial events at each time gives Greenwood's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Bools, Floats, Ints, Labels, sums_by_code


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Event groups and the range of groups in which each row is at risk.

    Attributes: ``time`` and ``stratum`` (G) of each group; ``first`` (strata + 1), where each
    stratum's groups begin; ``lower`` and ``upper`` (n); ``ended``, the rows with an event;
    ``deaths`` (G), the number of events in each group.
    """

    time: Floats
    stratum: Ints
    first: Ints
    lower: Ints
    upper: Ints
    ended: Ints
    deaths: Ints

    @classmethod
    def of(
        cls, stop: Floats, event: Bools, start: Floats | None = None, strata: Labels | None = None
    ) -> RiskSets:
        """Return the event groups and the range of groups of every row."""
        if strata is None or len(strata) == 1:
            time, lower, upper = _times_and_ranks(stop, event, start)
            stratum = np.zeros(len(time), dtype=np.intp)
            first = np.array([0, len(time)], dtype=np.intp)
        else:
            time, stratum, lower, upper = _ranks_by_stratum(stop, event, start, strata)
            first = np.searchsorted(stratum, np.arange(len(strata) + 1)).astype(np.intp)
        ended = np.flatnonzero(event)
        deaths = np.bincount(upper[ended] - 1, minlength=len(time)).astype(np.intp)
        return cls(time, stratum, first, lower, upper, ended, deaths)

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def events(self) -> Ints:
        """The rows with an event in the order of their groups."""
        group = self.upper[self.ended] - 1
        # For short integers numpy's stable sort is a radix sort, which is fast in any order.
        short = group.astype(np.uint16) if len(self) < 2**16 else group
        return self.ended[np.argsort(short, kind="stable")]

    @cached_property
    def group(self) -> Ints:
        """Group of each row in ``events``."""
        return np.repeat(np.arange(len(self)), self.deaths)

    @cached_property
    def offsets(self) -> Ints:
        """Where each group's rows begin in ``events`` (G + 1)."""
        return np.concatenate(([0], np.cumsum(self.deaths))).astype(np.intp)

    def at_risk(self, values: Floats) -> Floats:
        """Return, for each group, the sum of ``values`` (n) over the rows at risk."""
        size = len(self) + 1
        change = sums_by_code(self.upper, values, size)
        if self.lower.strides != (0,):  # else all are at risk from the first group on
            change -= sums_by_code(self.lower, values, size)
        return from_the_last(change[1:])

    def at_events(self, values: Floats) -> Floats:
        """Return, for each group, the sum of ``values`` (n) over its event rows."""
        return sums_by_code(self.upper[self.ended] - 1, values[self.ended], len(self))

    def over_rows(self, values: Floats) -> Floats:
        """Return, for each row, the sum of ``values`` (G or G × k) over the row's groups."""
        running = from_the_first(values)
        return running[self.upper] - running[self.lower]


def from_the_last(values: Floats) -> Floats:
    """Return the sums of ``values`` from each position to the end (along the first axis)."""
    return np.cumsum(values[::-1], axis=0)[::-1]


def from_the_first(values: Floats) -> Floats:
    """Return the sums of ``values`` before each position; one element longer than ``values``."""
    running = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=running[1:])
    return running


def _times_and_ranks(stop: Floats, event: Bools, start: Floats | None) -> tuple[Floats, Ints, Ints]:
    """Return the distinct times of events, and the ranks of all rows among them.

    Of whole numbers of a short range (days, months) a table of the range answers, without sorting.
    """
    whole = _whole_from_the_lowest(stop) if start is None else None
    if whole is None:
        time = np.unique(stop[event])
        return time, *_ranks(time, stop, start)
    seen = np.bincount(whole[event], minlength=int(whole.max()) + 1) > 0
    time = np.flatnonzero(seen) + stop.min()
    upper: Ints = np.cumsum(seen, dtype=np.intp)[whole]
    return time, _from_the_beginning(len(stop)), upper


def _from_the_beginning(rows: int) -> Ints:
    """Return the rank 0 for each row, as one number that is not copied."""
    return np.broadcast_to(np.intp(0), rows)


def _ranks(time: Floats, stop: Floats, start: Floats | None) -> tuple[Ints, Ints]:
    upper = _times_through(time, stop)
    if start is None:
        return _from_the_beginning(len(stop)), upper
    # In a panel most rows begin where the previous row ended, so the rank is already known.
    lower = np.empty_like(upper)
    lower[1:] = upper[:-1]
    fresh = np.concatenate(([True], start[1:] != stop[:-1]))
    lower[fresh] = _times_through(time, start[fresh])
    return lower, upper


def _times_through(time: Floats, moments: Floats) -> Ints:
    """Return the number of ``time`` values at or before each moment.

    For integers in a short range (days, months), a lookup table is used; it is ten times faster
    than a binary search per row.
    """
    whole = _whole_from_the_lowest(moments) if len(time) else None
    if whole is None:
        return np.searchsorted(time, moments, side="right")
    low, high = moments.min(), moments.max()
    table = np.searchsorted(time, np.arange(low, high + 1), side="right")
    return table[whole]


def _whole_from_the_lowest(moments: Floats) -> Ints | None:
    """Return whole numbers less the lowest of them; None for others, few, or a wide range."""
    if len(moments) < 10_000:
        return None
    low = moments.min()
    if moments.max() - low >= len(moments):
        return None
    whole = moments.astype(np.intp)
    if not bool((whole == moments).all()):
        return None
    whole -= int(low)
    return whole


def _ranks_by_stratum(
    stop: Floats, event: Bools, start: Floats | None, strata: Labels
) -> tuple[Floats, Ints, Ints, Ints]:
    time = np.unique(stop[event])
    lower, upper = _ranks(time, stop, start)
    width = len(time) + 1
    base = strata.codes * width
    groups = np.unique((base + upper - 1)[event])
    lower, upper = (np.searchsorted(groups, base + rank) for rank in (lower, upper))
    return time[groups % width], groups // width, lower, upper


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
        names = ("stop", "censored", "before", "own_weight")
        return replace(self, **{name: getattr(self, name)[order] for name in names})

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
