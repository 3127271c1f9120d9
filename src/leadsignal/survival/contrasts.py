"""Groups compared: survival or incidence at a time, restricted means, and log-rank tests."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field, replace
from typing import Self, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from leadsignal.errors import ModelError, OptionError
from leadsignal.formats import level_text, p_phrase
from leadsignal.results import Result, fields_of
from leadsignal.stats import ROUNDING, Estimate, normal_quantile, p_value, without_rounding
from leadsignal.survival.curves import Curve, Curves
from leadsignal.survival.inputs import (
    ArrayValidator,
    Bools,
    Floats,
    Labels,
    one_label,
    snapped,
    sums_by_label,
)
from leadsignal.survival.risk_sets import RiskSets, Steps, from_the_first, parts_of_sensitivity


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square test: its ``statistic``, degrees of freedom ``df`` and ``p``-value."""

    name: str
    statistic: float
    df: int
    p: float

    @classmethod
    def of(cls, name: str, statistic: float, df: int) -> ChiSquare:
        """Return the test with its p-value, which is 1 for zero degrees of freedom."""
        return cls(name, float(statistic), int(df), float(chdtrc(df, statistic)) if df else 1.0)

    def __repr__(self) -> str:
        return f"{self.name}: chi-square {self.statistic:.4g} on {self.df} df, {p_phrase(self.p)}"

    def to_dict(self) -> dict[str, object]:
        """Return the test as a plain dictionary, ready for JSON."""
        return {"name": self.name, "statistic": self.statistic, "df": self.df, "p": self.p}


@dataclass(frozen=True, kw_only=True, repr=False)
class Contrast(Estimate):
    """The difference or ratio of two groups.

    Parameters
    ----------
    what : str
        Name of the difference or ratio.
    group, against : object
        The two groups; the second is the reference.
    level : float
        Confidence level of the interval.
    """

    what: str
    group: object
    against: object
    level: float

    def __repr__(self) -> str:
        return (
            f"{self.what}, {self.group} against {self.against}: {self.estimate:.4g} "
            f"({level_text(self.level)} {self.low:.4g} to {self.high:.4g}), {p_phrase(self.p)}"
        )

    def at(self, level: float) -> Self:
        """Return the contrast with its interval at another confidence level."""
        return replace(super().at(level), level=level)

    def to_dict(self) -> dict[str, object]:
        """Return the contrast as a plain dictionary, ready for JSON."""
        names = ("what", "group", "against", "estimate", "std_err", "low", "high", "p", "level")
        return fields_of(self, *names)


NUMBERS = ("estimate", "std_err", "lower", "upper")


@dataclass(frozen=True, eq=False)
class Estimates(Result):
    """One estimate per group, with their joint covariance for contrasts between groups.

    Attributes: ``what``, the name of the quantity; ``groups`` (k); ``estimate`` (k); ``cov`` (k ×
    k), cluster-robust if clusters were given; ``level`` of the intervals; ``bounds``, the possible
    range of the quantity; ``influence`` (clusters × k), the influence of each cluster in the order
    of the sorted labels (None without clusters); ``note``, why limits are missing (NaN), if any
    are.
    """

    what: str
    groups: tuple[object, ...]
    estimate: Floats
    cov: Floats
    level: float = 0.95
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False)
    influence: Floats | None = field(default=None, repr=False, compare=False)
    note: str = ""

    @property
    def std_err(self) -> Floats:
        """Standard errors (k)."""
        return np.sqrt(np.maximum(np.diag(self.cov), 0.0))

    @property
    def lower(self) -> Floats:
        """Lower limits (k), clipped to ``bounds``."""
        return np.clip(self.estimate - self._margin, *self.bounds)

    @property
    def upper(self) -> Floats:
        """Upper limits (k), clipped to ``bounds``."""
        return np.clip(self.estimate + self._margin, *self.bounds)

    @property
    def _margin(self) -> Floats:
        return normal_quantile(self.level) * self.std_err

    def difference(self, group: object, against: object) -> Contrast:
        """Return ``group`` minus ``against``; raise OptionError for an unknown group."""
        i, j = self._position(group), self._position(against)
        estimate = float(self.estimate[i] - self.estimate[j])
        scales = (*self.estimate[[i, j]], *self.std_err[[i, j]])
        estimate = float(without_rounding(estimate, scales))
        error = float(without_rounding(self._error(i, j, np.array([1.0, -1.0])), scales))
        widest = self.bounds[1] - self.bounds[0]
        name = f"difference in {self.what}"
        return self._contrast(name, group, against, estimate, error, bounds=(-widest, widest))

    def ratio(self, group: object, against: object) -> Contrast:
        """Return ``group`` divided by ``against``, with an interval by the delta method."""
        i, j = self._position(group), self._position(against)
        top, bottom = float(self.estimate[i]), float(self.estimate[j])
        if top <= 0 or bottom <= 0:
            raise OptionError(
                f"ratio of {self.what}: {group!r} is {top:.4g} and {against!r} is {bottom:.4g}; "
                "a ratio needs both above zero, so use difference()"
            )
        logarithm = float(without_rounding(np.log(top / bottom), 1.0))
        gradient = np.array([1 / top, -1 / bottom])
        error = float(without_rounding(self._error(i, j, gradient), 1.0))
        return self._contrast(f"ratio of {self.what}", group, against, logarithm, error, log=True)

    def _contrast(
        self, what: str, group: object, against: object, value: float, error: float,
        *, log: bool = False, bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Contrast:  # fmt: skip
        """Return a contrast with its interval; ``value`` is a logarithm if ``log``."""
        known = error > 0 or value == 0
        margin = normal_quantile(self.level) * error if known else np.nan
        limits = (max(value - margin, bounds[0]), min(value + margin, bounds[1]))
        with np.errstate(over="ignore"):
            estimate, low, high = (float(np.exp(x)) if log else x for x in (value, *limits))
        return Contrast(
            estimate=estimate, low=low, high=high, p=p_value(value, error), std_err=error,
            df=np.inf, log=log, bounds=bounds, what=what, group=group, against=against,
            level=self.level,
        )  # fmt: skip

    def _table(self) -> pd.DataFrame:
        """Return one row per group: estimate, std_err, lower, upper."""
        return pd.DataFrame(
            {"group": self.groups, **{name: getattr(self, name) for name in NUMBERS}}
        )

    def to_dict(self) -> dict[str, object]:
        """Return the estimates as a plain dictionary, ready for JSON."""
        plain = fields_of(self, "what", "level", "groups", *NUMBERS)
        return {**plain, **({"note": self.note} if self.note else {})}

    def __repr__(self) -> str:
        rows = zip(self.groups, self.estimate, self.lower, self.upper, strict=True)
        lines = [
            f"  {group}: {one:.4g} ({low:.4g} to {high:.4g})" for group, one, low, high in rows
        ]
        notes = [f"  {self.note}"] if self.note else []
        return "\n".join([f"{self.what} ({level_text(self.level)} intervals)", *lines, *notes])

    def _error(self, i: int, j: int, gradient: Floats) -> float:
        """Return the standard error of a contrast, from influence where it is known."""
        if self.influence is not None and np.isfinite(self.cov[[i, j], [i, j]]).all():
            moved = self.influence[:, [i, j]] @ gradient
            return float(np.sqrt(moved @ moved))
        variance = gradient @ self.cov[np.ix_([i, j], [i, j])] @ gradient
        return float(np.sqrt(np.maximum(variance, 0.0)))

    def _position(self, group: object) -> int:
        if group not in self.groups:
            allowed = ", ".join(map(repr, self.groups))
            raise OptionError(f"there is no group {group!r}; the groups are {allowed}")
        return self.groups.index(group)


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
    validator = ArrayValidator.of("logrank", "stop", stop)
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
