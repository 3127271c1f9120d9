"""Values of curves at a time and restricted means, with variances that allow contrasts.

Any smooth number θ made of the steps of a curve moves, when a row's weight moves, by
``Σ_s [dN_ij(s) α_j(s) − Y_i(s) Σ_l h_l(s) α_l(s)]`` with hazards h_j = N_j/Y and one sensitivity
α_j(s) for each time and cause (``docs/survival.md``). Summed by account and squared, that is a
clustered variance; with multinomial events at each time it is Greenwood's.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np

from leadsignal.errors import OptionError
from leadsignal.survival.estimates import Estimates
from leadsignal.survival.inputs import (
    ArrayValidator,
    Bools,
    Floats,
    Ints,
    Labels,
    snapped,
    sums_by_label,
)
from leadsignal.survival.risk_sets import RiskSets, from_the_first

if TYPE_CHECKING:
    from leadsignal.survival.curves import Curve, Curves


@dataclass(frozen=True, eq=False)
class Steps:
    """The event times of every group, and the rows they came from.

    Attributes: ``groups`` (k) and ``first`` (k + 1), where each group's G times begin; ``causes``
    (J); ``time``, ``at_risk`` (G); ``events`` (J × G); ``before`` and ``survival`` (G), the product
    before and after a time; ``incidence`` (J × G), the probabilities of an end by each cause;
    ``origin``; ``last`` (k); of the n rows ``start``, ``stop``, ``sets``, ``row_cause`` (place
    in ``causes``, −1 without an event), ``weights``, ``labels`` of their groups and ``cluster``.
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
        """Count who is at risk and who ends at each time of each group."""
        sets = RiskSets.of(stop, cause > 0, start, groups)
        causes = np.unique(cause[cause > 0])
        if not len(causes):
            causes = np.array([1])
        at_risk = sets.at_risk(weights)
        events = np.stack([sets.at_events(np.where(cause == c, weights, 0.0)) for c in causes])
        left = 1 - events.sum(axis=0) / at_risk
        left[np.isclose(left, 0, atol=1e-13)] = 0.0
        survival, before = np.empty_like(left), np.empty_like(left)
        incidence = np.empty_like(events)
        for part in _slices(sets.first):
            survival[part] = np.cumprod(left[part])
            before[part] = np.concatenate(([1.0], survival[part][:-1]))
            incidence[:, part] = np.cumsum(before[part] * events[:, part] / at_risk[part], axis=1)
        last = np.full(len(groups), -np.inf)
        np.maximum.at(last, groups.codes, np.where(weights > 0, stop, -np.inf))
        row_cause = np.where(cause > 0, np.searchsorted(causes, cause), -1)
        return cls(
            groups.names, sets.first, tuple(causes.tolist()), sets.time, at_risk, events, before,
            survival, incidence, origin, last,
            np.full(len(stop), -np.inf) if start is None else start, stop,
            sets, row_cause, weights, groups, cluster,
        )  # fmt: skip

    def at_risk_at(self, group: object, times: Floats) -> Floats:
        """Return how many (weighted) of a group are at risk just after each of ``times``."""
        mine = np.where(self.labels.codes == self.groups.index(group), self.weights, 0.0)
        count = np.full(len(times), 0.0)
        for sign, edge in ((1.0, self.start), (-1.0, self.stop)):
            order = np.argsort(edge, kind="stable")
            running = from_the_first(mine[order])
            count += sign * running[np.searchsorted(edge[order], times, side="right")]
        return count

    @cached_property
    def unseen_from(self) -> Floats:
        """From when on each group's curve stands on nobody (k); infinite where it never does.

        That is where the last one at risk has left while others enter later: what happened in
        between, and with it every later value, is not known.
        """
        found = np.full(len(self.groups), np.inf)
        if not np.isfinite(self.start).any():
            return found
        for g in range(len(self.groups)):
            mine = (self.labels.codes == g) & (self.weights > 0)
            start, stop = np.sort(self.start[mine]), np.sort(self.stop[mine])
            # Empty after the i-th stop where only i rows have entered by then.
            entered = np.searchsorted(start, stop, side="right")
            empty = (entered == np.arange(1, len(stop) + 1)) & (stop < stop[-1:])
            found[g] = stop[empty][0] if empty.any() else np.inf
        return found

    def is_unseen(self, g: int, time: float) -> bool:
        """Whether the curve of group ``g`` until ``time`` goes on where nobody is at risk.

        Also where a curve has fallen to 0 while others are still to be at risk.
        """
        gone = np.flatnonzero(self.survival[self.first[g] : self.first[g + 1]] == 0)
        dead = float(self.time[self.first[g] + gone[0]]) if len(gone) else np.inf
        return self.unseen_from[g] < time or (dead <= time and dead < self.last[g])

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Go through the groups: position and slice of their times."""
        yield from enumerate(_slices(self.first))


def probability_at(curves: Curves, time: float, *, cause: int | None = None) -> Estimates:
    """Return each group's survival at ``time``, or its probability of an end by ``cause``.

    With a joint covariance, so that ``difference`` and ``ratio`` of groups have intervals: by
    cluster (influence functions) where the curves were made with clusters, by Greenwood's variance
    otherwise. Raises OptionError where a group was not observed until ``time``.

    >>> from leadsignal.survival import kaplan_meier
    >>> curves = kaplan_meier([1, 2, 3, 4, 2, 4, 5, 6], [1, 1, 1, 0, 1, 0, 1, 0],
    ...                       group=list("aaaabbbb"))
    >>> probability_at(curves, 3).difference("b", "a")
    difference in survival at 3, b against a: 0.5 (95% -0.1001 to 1), p = 0.102
    """
    steps = _with_steps("probability_at", curves).steps
    k = _cause(steps, cause)
    time = _moment("probability_at", "time", time, steps)
    _refuse_beyond(curves, steps, time)
    estimate, sensitivity = np.empty(len(steps.groups)), np.zeros_like(steps.events)
    for g, part in steps.parts():
        inside = slice(part.start, part.start + int(np.sum(steps.time[part] <= time)))
        value = _last(steps.survival if k is None else steps.incidence[k], inside, k is None)
        estimate[g] = value
        sensitivity[:, inside] = _sensitivity(steps, inside, k, value)
    what = f"survival at {time:g}" if k is None else f"probability of cause {cause} by {time:g}"
    # As along the curves: where survival is 0 there is no error to go by.
    certain = estimate == (0.0 if k is None else 1.0)
    return _estimates(what, steps, estimate, sensitivity, curves.level, (0.0, 1.0), time, certain)


def restricted_mean(curve: Curves | Curve, tau: float, *, cause: int | None = None) -> Estimates:
    """Return each group's mean time until ``tau``, counted from the curves' origin.

    The area under survival (Irwin 1949), or, with ``cause``, under that cause's probability: the
    mean time lost to it before ``tau`` (Andersen 2013). The variance is that of the estimate,
    Σ R(s)² N/(Y (Y − N)) with R(s) the area from s to ``tau``, by cluster where the curves were
    made with clusters. Raises OptionError where a group was not observed until ``tau``.

    >>> from leadsignal.survival import kaplan_meier
    >>> restricted_mean(kaplan_meier([1, 2, 2, 3], [1, 1, 0, 1]), 3)
    mean time until 3 (95% intervals)
      all: 2.25 (1.437 to 3)
    """
    curves = _with_steps("restricted_mean", curve)
    steps = curves.steps
    k = _cause(steps, cause)
    tau = _moment("restricted_mean", "tau", tau, steps)
    if not tau > steps.origin:
        raise OptionError(f"tau is {tau:g}; it must be later than the origin, {steps.origin:g}")
    _refuse_beyond(curves, steps, tau)
    estimate, sensitivity = np.empty(len(steps.groups)), np.zeros_like(steps.events)
    for g, part in steps.parts():
        inside = slice(part.start, part.start + int(np.sum(steps.time[part] <= tau)))
        estimate[g], sensitivity[:, inside] = _mean_until(steps, inside, k, tau)
    what = (
        f"mean time until {tau:g}" if k is None else f"mean time lost to cause {cause} by {tau:g}"
    )
    bounds = (0.0, tau - steps.origin)
    return _estimates(what, steps, estimate, sensitivity, curves.level, bounds, tau)


def variance_at_steps(steps: Steps, g: int, cause: int | None) -> Floats:
    """Return the variance of group ``g``'s survival (None) or incidence at each of its steps.

    A sensitivity to step s of the value at t is A_j(s) − value(t) B(s), so three running sums
    serve all t. With clusters the two parts are carried along for every cluster, step by step.
    """
    part = list(_slices(steps.first))[g]
    A, B = _parts_of_sensitivity(steps, part, cause)
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


def _slices(first: Ints) -> Iterator[slice]:
    for begin, end in pairwise(first.tolist()):
        yield slice(begin, end)


def _cause(steps: Steps, cause: int | None) -> int | None:
    if cause is None:
        return None
    if isinstance(cause, numbers.Real) and cause == 0:
        return None
    if not isinstance(cause, numbers.Real) or cause not in steps.causes:
        allowed = ", ".join(map(str, steps.causes))
        raise OptionError(f"cause is {cause!r}; the curves have causes {allowed} (0: still here)")
    return steps.causes.index(int(cause))


def _with_steps(call: str, curves: Curves | Curve) -> Curves:
    if not isinstance(getattr(curves, "steps", None), Steps):
        raise OptionError(
            f"{call} takes the curves that kaplan_meier or aalen_johansen returned, not one of "
            "them: variances need the rows they came from"
        )
    return cast("Curves", curves)


def _moment(call: str, name: str, time: float, steps: Steps) -> float:
    """Return a finite time, made equal to the observed one that it equals up to rounding."""
    door = ArrayValidator(call)
    moment = door.number(name, time, "a finite time within what was observed")
    door.close()
    return float(snapped(np.array(moment), np.concatenate((steps.time, steps.last))))


def _refuse_beyond(curves: Curves, steps: Steps, time: float) -> None:
    short = []
    for g, part in steps.parts():
        dead_out = part.stop > part.start and steps.survival[part.stop - 1] == 0
        if steps.last[g] < time and not dead_out:
            short.append(f"{steps.groups[g]} until {steps.last[g]:g}")
    if short:
        raise OptionError(
            f"time {time:g} lies beyond what was observed ({'; '.join(short)}); "
            "choose an earlier one"
        )


def _last(values: Floats, inside: slice, is_survival: bool) -> float:
    if inside.stop > inside.start:
        return float(values[inside.stop - 1])
    return 1.0 if is_survival else 0.0


def _parts_of_sensitivity(steps: Steps, part: slice, k: int | None) -> tuple[Floats, Floats]:
    """Return A (J × m) and B (m) with sensitivity A_j(s) − value(t) B(s) of the value at t ≥ s.

    Survival: value(t) = S(t), A = 0, B = 1/(Y − N). Incidence: value(t) = F_k(t), which lies
    F_k(t) − F_k(s) higher than at s by way of those still here. Where all at risk end, nothing
    later depends on the step.
    """
    Y, N = steps.at_risk[part], steps.events[:, part].sum(axis=0)
    B = np.divide(1.0, Y - N, out=np.zeros_like(Y), where=steps.survival[part] > 0)
    A = np.zeros((len(steps.causes), len(Y)))
    if k is not None:
        A += steps.incidence[k, part] * B
        A[k] += steps.before[part] / Y
    return A, B


def _sensitivity(steps: Steps, part: slice, k: int | None, value: float) -> Floats:
    A, B = _parts_of_sensitivity(steps, part, k)
    return A - value * B


def _mean_until(steps: Steps, part: slice, k: int | None, tau: float) -> tuple[float, Floats]:
    """Return the area until ``tau`` and its sensitivities: those of the values, integrated."""
    A, B = _parts_of_sensitivity(steps, part, k)
    time = steps.time[part]
    values = steps.survival[part] if k is None else steps.incidence[k, part]
    widths = np.diff(np.append(time, tau))
    after = np.cumsum((values * widths)[::-1])[::-1]
    before_first = (time[0] if len(time) else tau) - steps.origin
    whole = (before_first if k is None else 0.0) + (float(after[0]) if len(time) else 0.0)
    return whole, A * (tau - time) - after * B


def _estimates(
    what: str,
    steps: Steps,
    estimate: Floats,
    sensitivity: Floats,
    level: float,
    bounds: tuple[float, float],
    until: float,
    certain: Bools | None = None,
) -> Estimates:
    hazard = steps.events / steps.at_risk
    expected = (hazard * sensitivity).sum(axis=0)
    sums: Floats | None = None
    if steps.cluster is None:
        each = steps.at_risk * ((hazard * sensitivity**2).sum(axis=0) - expected**2)
        running = from_the_first(each)
        cov = np.diag(np.maximum(running[steps.first[1:]] - running[steps.first[:-1]], 0.0))
    else:
        influence = -steps.sets.over_rows(expected)
        rows = steps.sets.events
        influence[rows] += sensitivity[steps.row_cause[rows], steps.sets.group]
        by_group = (influence * steps.weights)[:, None] * (
            steps.labels.codes[:, None] == np.arange(len(steps.groups))
        )
        sums = sums_by_label(steps.cluster, by_group)
        cov = sums.T @ sums
    unseen = np.array([steps.is_unseen(g, until) for g in range(len(steps.groups))])
    unknown = unseen if certain is None else unseen | certain
    cov[unknown], cov[:, unknown] = np.nan, np.nan
    if sums is not None:
        sums[:, unseen] = np.nan
    notes = [
        f"{steps.groups[g]}: no interval, nobody was at risk for a part of the time until {until:g}"
        for g in np.flatnonzero(unseen)
    ]
    return Estimates(what, steps.groups, estimate, cov, level, bounds, sums, "; ".join(notes))


def _clustered_variance(
    steps: Steps, g: int, part: slice, A: Floats, B: Floats, value: Floats
) -> Floats:
    """Return Σ over clusters of (their sensitivity-weighted residuals)², at each step."""
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
