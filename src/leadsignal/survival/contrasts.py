"""Groups compared: survival or incidence at a time, restricted means, and log-rank tests."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal.errors import ModelError, OptionError
from leadsignal.results import Result
from leadsignal.stats.estimates import ROUNDING, without_rounding
from leadsignal.survival.curves import Curve, Curves
from leadsignal.survival.estimates import ChiSquare, Estimates, fields_of
from leadsignal.survival.inputs import (
    ArrayValidator,
    Bools,
    Floats,
    Labels,
    length_of,
    one_label,
    snapped,
    sums_by_label,
)
from leadsignal.survival.risk_sets import RiskSets, Steps, from_the_first, parts_of_sensitivity


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
        A, B = parts_of_sensitivity(steps, inside, k)
        sensitivity[:, inside] = A - value * B
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
    what: str, steps: Steps, estimate: Floats, sensitivity: Floats, level: float,
    bounds: tuple[float, float], until: float, certain: Bools | None = None,
) -> Estimates:  # fmt: skip
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


KINDS = ("log-rank", "gehan", "tarone-ware", "fleming-harrington")


@dataclass(frozen=True, eq=False, repr=False)
class LogRank(Result):
    """A comparison of groups: ``test``, and by group (k) ``observed`` and ``expected`` events.

    Events are weighted according to ``kind``; ``cov`` (k × k) is the covariance of observed −
    expected.
    """

    kind: str
    groups: tuple[object, ...]
    observed: Floats
    expected: Floats
    cov: Floats
    test: ChiSquare

    @property
    def statistic(self) -> float:
        """The chi-square statistic."""
        return self.test.statistic

    @property
    def p(self) -> float:
        """The p-value."""
        return self.test.p

    def _table(self) -> pd.DataFrame:
        """Return one row per group: observed and expected."""
        return pd.DataFrame(
            {"group": self.groups, "observed": self.observed, "expected": self.expected}
        )

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as a plain dictionary, ready for JSON."""
        return {**fields_of(self, "kind", "groups", "observed", "expected"), **self.test.to_dict()}

    def __repr__(self) -> str:
        rows = zip(self.groups, self.observed, self.expected, strict=True)
        lines = [f"  {group}: {seen:.6g} observed, {due:.6g} expected" for group, seen, due in rows]
        return "\n".join([repr(self.test), *lines])


def logrank(
    stop: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    start: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    kind: str = "log-rank",
    rho: float = 1.0,
    gamma: float = 0.0,
) -> LogRank:
    """Test whether the hazard is the same in all groups.

    Parameters
    ----------
    stop, event, start, weights
        As in `kaplan_meier`.
    group : array_like of shape (n,)
        Labels of the groups.
    strata : array_like of shape (n,), optional
        Strata within which groups are compared.
    kind : str, default "log-rank"
        Weights of the times: ``"log-rank"`` 1 (Mantel 1966), ``"gehan"`` the number at risk (Gehan
        1965), ``"tarone-ware"`` its square root (Tarone & Ware 1977), ``"fleming-harrington"``
        S(t−)^rho (1 − S(t−))^gamma with the pooled Kaplan-Meier S of the stratum (Harrington &
        Fleming 1982).
    rho, gamma : float, default 1 and 0
        Exponents of the Fleming-Harrington weights.

    Returns
    -------
    LogRank

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    ModelError
        If no event distinguishes the groups.

    Examples
    --------
    >>> logrank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "a", "b", "b"])
    log-rank: chi-square 2.882 on 1 df, p = 0.090
      a: 2 observed, 0.833333 expected
      b: 2 observed, 3.16667 expected
    """
    validator = ArrayValidator("logrank", length_of("logrank", "stop", stop))
    (stops, starts), events = validator.times(stop, start), validator.flags("event", event)
    case_weights = validator.weights(weights)
    groups, stratum = validator.labels("group", group), validator.labels("strata", strata)
    validator.one_of("kind", kind, KINDS)
    validator.number("rho", rho, "a finite number of 0 or more", lambda value: value >= 0)
    validator.number("gamma", gamma, "a finite number of 0 or more", lambda value: value >= 0)
    if group is None:
        validator.refuse("group is None; it must be (rows,), one label per row")
    if groups is not None and len(groups) < 2:
        validator.refuse(
            f"group has the one label {groups.names[0]!r}; a comparison needs two or more"
        )
    validator.close()
    groups = groups or one_label(validator.rows)
    sets = RiskSets.of(stops, events & (case_weights > 0), starts, stratum)
    return _compare(sets, groups, case_weights, kind, rho, gamma)


def _compare(
    sets: RiskSets, groups: Labels, weights: Floats, kind: str, rho: float, gamma: float
) -> LogRank:
    mine = weights[:, None] * (groups.codes[:, None] == np.arange(len(groups)))
    Y = np.column_stack([sets.at_risk(column) for column in mine.T])
    N = np.column_stack([sets.at_events(column) for column in mine.T])
    at_risk, events = Y.sum(axis=1), N.sum(axis=1)
    W = _time_weights(sets, at_risk, events, kind, rho, gamma)
    share = Y / at_risk[:, None]
    observed, expected = W @ N, (W * events) @ share
    # Hypergeometric variance: zero if only one row is at risk.
    single = at_risk <= 1
    mixed = (ROUNDING * at_risk[:, None] < Y).sum(axis=1) > 1
    if mixed.any() and single[mixed].all():
        raise ModelError(
            "logrank: where several groups are at risk at an event, their weights add up to 1 or "
            "less; weights count as copies of a row, so scale them to a mean of 1"
        )
    factor = np.where(
        single, 0.0, W**2 * events * (at_risk - events) / np.where(single, 1, at_risk - 1)
    )
    cov = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    # If only one group is at risk at a time, factor · (share − share²) is rounding error.
    size = float(np.max(factor @ share, initial=0.0))
    df = int(np.linalg.matrix_rank(cov, tol=1e-9 * size, hermitian=True)) if size > 0 else 0
    if df == 0:
        raise ModelError("logrank: at no event time is more than one group at risk")
    gap = without_rounding(observed - expected, observed, expected)
    statistic = float(gap @ np.linalg.pinv(cov, rcond=1e-9, hermitian=True) @ gap)
    return LogRank(kind, groups.names, observed, expected, cov, ChiSquare.of(kind, statistic, df))


def _time_weights(
    sets: RiskSets, at_risk: Floats, events: Floats, kind: str, rho: float, gamma: float
) -> Floats:
    if kind == "log-rank":
        return np.ones(len(sets))
    if kind == "gehan":
        return at_risk
    if kind == "tarone-ware":
        return np.sqrt(at_risk)
    before = np.ones(len(sets))
    for begin, end in zip(sets.first[:-1], sets.first[1:], strict=True):
        survival = np.cumprod(1 - events[begin:end] / at_risk[begin:end])
        before[begin + 1 : end] = survival[:-1]
    return before**rho * (1 - before) ** gamma
