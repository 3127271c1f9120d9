"""Survival or incidence at a time and restricted means, with contrasts between groups."""

from __future__ import annotations

import numbers
from typing import cast

import numpy as np

from leadsignal.errors import OptionError
from leadsignal.survival.curves import Curve, Curves
from leadsignal.survival.estimates import Estimates
from leadsignal.survival.inputs import ArrayValidator, Bools, Floats, snapped, sums_by_label
from leadsignal.survival.risk_sets import from_the_first
from leadsignal.survival.steps import Steps, parts_of_sensitivity


def probability_at(curves: Curves, time: float, *, cause: int | None = None) -> Estimates:
    """Return each group's survival at a time, or its cumulative incidence of a cause.

    `Estimates.difference` and `Estimates.ratio` use the joint covariance of the groups: from
    influence functions if the curves have clusters, Greenwood's otherwise.

    Parameters
    ----------
    curves : Curves
        Curves of `kaplan_meier` or `aalen_johansen`.
    time : float
        The time, in the unit of the curves.
    cause : int, optional
        Code of the cause. Default: survival.

    Returns
    -------
    Estimates

    Raises
    ------
    OptionError
        If a group was not observed until ``time``.

    Examples
    --------
    >>> from leadsignal.survival import kaplan_meier
    >>> curves = kaplan_meier([1, 2, 3, 4, 2, 4, 5, 6], [1, 1, 1, 0, 1, 0, 1, 0],
    ...                       group=list("aaaabbbb"))
    >>> probability_at(curves, 3).difference("b", "a")
    difference in survival at 3, b against a: 0.5 (95 % -0.1001 to 1), p = 0.102
    """
    steps = _with_steps("probability_at", curves).steps
    k = _cause(steps, cause)
    time = _moment("probability_at", "time", time, steps)
    _refuse_beyond(steps, time)
    estimate, sensitivity = np.empty(len(steps.groups)), np.zeros_like(steps.events)
    for g, part in steps.parts():
        inside = slice(part.start, part.start + int(np.sum(steps.time[part] <= time)))
        value = _last(steps.survival if k is None else steps.incidence[k], inside, k is None)
        estimate[g] = value
        sensitivity[:, inside] = _sensitivity(steps, inside, k, value)
    what = f"survival at {time:g}" if k is None else f"probability of cause {cause} by {time:g}"
    # As for the curves: where survival is 0, no standard error can be estimated.
    certain = estimate == (0.0 if k is None else 1.0)
    return _estimates(what, steps, estimate, sensitivity, curves.level, (0.0, 1.0), time, certain)


def restricted_mean(curve: Curves | Curve, tau: float, *, cause: int | None = None) -> Estimates:
    """Return each group's restricted mean time until ``tau``, from the origin of the curves.

    This is the area under the survival curve (Irwin 1949) or, with ``cause``, under its cumulative
    incidence: the mean time lost to that cause before ``tau`` (Andersen 2013). The variance is Σ
    R(s)² N/(Y (Y − N)), where R(s) is the area from s to ``tau``, or is clustered if the curves
    are.

    Parameters
    ----------
    curve : Curves
        Curves of `kaplan_meier` or `aalen_johansen`.
    tau : float
        Upper limit of time, in the unit of the curves.
    cause : int, optional
        Code of the cause. Default: survival.

    Returns
    -------
    Estimates

    Raises
    ------
    OptionError
        If a group was not observed until ``tau``.

    Examples
    --------
    >>> from leadsignal.survival import kaplan_meier
    >>> restricted_mean(kaplan_meier([1, 2, 2, 3], [1, 1, 0, 1]), 3)
    mean time until 3 (95 % intervals)
      all: 2.25 (1.437 to 3)
    """
    curves = _with_steps("restricted_mean", curve)
    steps = curves.steps
    k = _cause(steps, cause)
    tau = _moment("restricted_mean", "tau", tau, steps)
    if not tau > steps.origin:
        raise OptionError(f"tau is {tau:g}; it must be later than the origin, {steps.origin:g}")
    _refuse_beyond(steps, tau)
    estimate, sensitivity = np.empty(len(steps.groups)), np.zeros_like(steps.events)
    for g, part in steps.parts():
        inside = slice(part.start, part.start + int(np.sum(steps.time[part] <= tau)))
        estimate[g], sensitivity[:, inside] = _mean_until(steps, inside, k, tau)
    what = (
        f"mean time until {tau:g}" if k is None else f"mean time lost to cause {cause} by {tau:g}"
    )
    bounds = (0.0, tau - steps.origin)
    return _estimates(what, steps, estimate, sensitivity, curves.level, bounds, tau)


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
    """Return a finite time, snapped to the observed time that it equals up to rounding."""
    validator = ArrayValidator(call)
    moment = validator.number(name, time, "a finite time within what was observed")
    validator.close()
    return float(snapped(np.array(moment), np.concatenate((steps.time, steps.last))))


def _refuse_beyond(steps: Steps, time: float) -> None:
    short = []
    for g, part in steps.parts():
        dead_out = part.stop > part.start and steps.survival[part.stop - 1] == 0
        if steps.last[g] < time and not dead_out:
            short.append(f"{steps.groups[g]} until {steps.last[g]:g}")
    if short:
        raise OptionError(
            f"time {time:g} is after the last observed time ({'; '.join(short)}); "
            "choose an earlier one"
        )


def _last(values: Floats, inside: slice, is_survival: bool) -> float:
    if inside.stop > inside.start:
        return float(values[inside.stop - 1])
    return 1.0 if is_survival else 0.0


def _sensitivity(steps: Steps, part: slice, k: int | None, value: float) -> Floats:
    A, B = parts_of_sensitivity(steps, part, k)
    return A - value * B


def _mean_until(steps: Steps, part: slice, k: int | None, tau: float) -> tuple[float, Floats]:
    """Return the area until ``tau`` and its sensitivity to each step."""
    A, B = parts_of_sensitivity(steps, part, k)
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
