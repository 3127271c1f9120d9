"""Curves over time by the Kaplan-Meier, Nelson-Aalen, Aalen-Johansen and Simon-Makuch methods.

All four follow from one product over event times. With Y at risk, N_j events of cause j and
N = Σ N_j at each time, S(t) = Π (1 − N/Y) and F_k(t) = Σ S(s−) N_k(s)/Y(s).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal.errors import OptionError
from leadsignal.plots import StepLine, numbers_at_risk, step_lines
from leadsignal.results import ArrayResult
from leadsignal.stats import normal_quantile
from leadsignal.survival.inputs import ArrayValidator, Bools, Floats, Ints, one_label, snapped
from leadsignal.survival.risk_sets import Steps, variance_at_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALES = ("log", "log-log", "plain")


@dataclass(frozen=True, eq=False, repr=False)
class Curve(ArrayResult):
    """A step function that starts at ``origin`` and steps at each ``time``.

    Attributes: ``group``; ``cause`` (0 for survival); ``quantity``, the name of the estimate;
    ``time`` (m), the event times; ``at_risk`` and ``events`` at these times (m, weighted; events of
    any cause for survival); ``estimate``, ``std_err``, ``lower``, ``upper`` (m); ``origin`` and
    ``last``, the times between which the group was observed.
    """

    COLUMNS = ("time", "at_risk", "events", "estimate", "std_err", "lower", "upper")

    group: object
    cause: int
    quantity: str
    time: Floats
    at_risk: Floats
    events: Floats
    estimate: Floats
    std_err: Floats
    lower: Floats
    upper: Floats
    origin: float
    last: float

    @property
    def first_value(self) -> float:
        """The value before the first step: 1 for survival, 0 otherwise."""
        return 1.0 if self.quantity == "survival" else 0.0

    def at(self, times: ArrayLike) -> Floats:
        """Return the value at ``times``; NaN after the last observed time of the group."""
        validator = ArrayValidator("at")
        raw = validator.floats("times", times)
        validator.close()
        requested = snapped(np.zeros(0) if raw is None else raw, np.append(self.time, self.last))
        steps = np.concatenate(([self.first_value], self.estimate))
        values = steps[np.searchsorted(self.time, requested, side="right")]
        ended = self.quantity == "survival" and steps[-1] == 0
        unknown = np.isnan(requested) if ended else ~(requested <= self.last)
        return np.where(unknown, np.nan, values)

    def quantile(self, share: float = 0.5) -> Quantile:
        """Return the time by which a share of the group has had the event, with its interval.

        This is the first time at which survival is at most 1 − ``share``, or the middle of the
        interval on which it equals that. The limits follow from those of the curve (Brookmeyer &
        Crowley 1982). The estimate is infinite if the curve does not fall that far; a limit is NaN,
        as in R, if the limits of the curve do not. Raises OptionError for a share outside (0, 1),
        and for a curve that is not survival.
        """
        if self.quantity != "survival":
            raise OptionError(
                f"quantiles are defined for survival; this curve is the {self.quantity}"
            )
        validator = ArrayValidator("quantile")
        validator.number("share", share, "a number between 0 and 1", lambda value: 0 < value < 1)
        validator.close()
        estimate, *limits = (
            self._falls_to(values, 1 - share) for values in (self.estimate, self.lower, self.upper)
        )
        lower, upper = (np.nan if limit == np.inf else limit for limit in limits)
        return Quantile(self.group, share, estimate, lower, upper)

    def _falls_to(self, values: Floats, level: float) -> float:
        close = 1e-9
        below = np.flatnonzero(values <= level + close)
        if not len(below):
            return float("inf")
        first = below[0]
        if abs(values[first] - level) > close:
            return float(self.time[first])
        lower = np.flatnonzero(values < level - close)
        until = self.time[lower[0]] if len(lower) else self.last
        return float((self.time[first] + until) / 2)

    def __repr__(self) -> str:
        name = self.quantity if self.cause == 0 else f"{self.quantity}, cause {self.cause}"
        final = f"{self.estimate[-1]:.4g}" if len(self.time) else f"{self.first_value:g}"
        return (
            f"{name} of {self.group}: {self.events.sum():,.6g} events at {len(self.time):,} times, "
            f"{final} at {self.last:g}"
        )


@dataclass(frozen=True)
class Quantile:
    """Time by which ``share`` of ``group`` has had the event.

    Attributes: ``estimate``, infinite if fewer had the event; ``lower`` and ``upper``, NaN if the
    data do not determine a limit.
    """

    group: object
    share: float
    estimate: float
    lower: float
    upper: float

    def to_dict(self) -> dict[str, object]:
        """Return the quantile as a plain dictionary, with None for infinite or missing values."""
        numbers = {name: getattr(self, name) for name in ("estimate", "lower", "upper")}
        finite = {name: x if np.isfinite(x) else None for name, x in numbers.items()}
        return {"group": self.group, "share": self.share, **finite}


@dataclass(frozen=True, eq=False, repr=False)
class Curves:
    """The curves of all groups (and causes), in order; supports indexing and iteration.

    Attributes: ``curves``; ``level``, the confidence level; ``steps``, used to compute estimates at
    given times, restricted means and their contrasts.
    """

    curves: tuple[Curve, ...]
    level: float
    steps: Steps

    def __iter__(self) -> Iterator[Curve]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def __getitem__(self, position: int) -> Curve:
        return self.curves[position]

    def of(self, group: object, cause: int | None = None) -> Curve:
        """Return the curve of one group (and cause); raises OptionError if there is none."""
        for curve in self.curves:
            if curve.group == group and cause in (None, curve.cause):
                return curve
        groups = ", ".join(dict.fromkeys(repr(curve.group) for curve in self.curves))
        causes = ", ".join(dict.fromkeys(repr(curve.cause) for curve in self.curves))
        raise OptionError(
            f"there is no curve of group {group!r}, cause {cause!r}; groups: {groups}; "
            f"causes: {causes}"
        )

    def quantiles(self, share: float = 0.5) -> tuple[Quantile, ...]:
        """Return the time by which a share of each group has had the event."""
        return tuple(curve.quantile(share) for curve in self.curves)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per step, with the group and cause of its curve."""
        frames = []
        for curve in self.curves:
            frame = curve.to_frame()
            frame.insert(0, "group", [curve.group] * len(frame))
            frame.insert(1, "cause", curve.cause)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def to_dict(self) -> dict[str, object]:
        """Return the curves as a plain dictionary, ready for JSON."""
        own = ("group", "cause", "quantity", "origin", "last", *Curve.COLUMNS)
        listed = [curve.to_dict() for curve in self.curves]
        return {
            "level": self.level,
            "curves": [{name: one[name] for name in own} for one in listed],
        }

    def plot(self, ax: Axes | None = None, *, at_risk: bool = True) -> Axes:
        """Plot the curves with intervals and the numbers at risk below, and return the Axes."""
        groups = list(dict.fromkeys(curve.group for curve in self.curves))
        causes = list(dict.fromkeys(curve.cause for curve in self.curves))
        lines = [_line(curve, groups, causes) for curve in self.curves]
        quantity = self.curves[0].quantity if len(causes) == 1 else "probability"
        top = None if quantity == "cumulative hazard" else 1.02
        axes = step_lines(lines, quantity, ax, origin=self.curves[0].origin, top=top)
        if at_risk:
            numbers_at_risk(axes, self.steps.at_risk_by_group())
        return axes

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.curves))


def _line(curve: Curve, groups: list[object], causes: list[int]) -> StepLine:
    """Return a curve for plotting, from its origin to its last time."""
    several_groups, several_causes = len(groups) > 1, len(causes) > 1
    parts = [str(curve.group)] if several_groups else []
    if several_causes:
        parts.append("still here" if curve.cause == 0 else f"cause {curve.cause}")
    group, cause = groups.index(curve.group), causes.index(curve.cause)
    first = curve.first_value
    value, lower, upper = (
        np.concatenate(([first], values, values[-1:] if len(values) else [first]))
        for values in (curve.estimate, curve.lower, curve.upper)
    )
    return StepLine(
        ", ".join(parts) or curve.quantity,
        np.concatenate(([curve.origin], curve.time, [max(curve.last, curve.origin)])),
        value,
        (lower, upper),
        colour=group if several_groups else cause,
        style=cause if several_causes else group,
    )


def kaplan_meier(
    stop: ArrayLike,
    event: ArrayLike,
    *,
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    group: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    scale: str = "log",
    level: float = 0.95,
) -> Curves:
    """Estimate survival curves, one per group (Kaplan & Meier 1958).

    Rows are at risk on (start, stop]. Variances are Greenwood's, or based on influence functions if
    ``cluster`` is given. If everyone at risk in a group has the event, its curve stays at 0.

    Parameters
    ----------
    stop : array_like of shape (n,)
        Time at which each row ends.
    event : array_like of shape (n,)
        Whether each row ends with the event.
    start : array_like of shape (n,), optional
        Time from which each row is at risk. Default: the beginning.
    weights : array_like of shape (n,), optional
        Case weights, treated as numbers of copies of a row. Default: 1.
    group : array_like of shape (n,), optional
        Labels of the groups. Default: one group.
    cluster : array_like of shape (n,), optional
        Labels of independent units, for standard errors from influence functions.
    scale : {"log", "log-log", "plain"}, default "log"
        Scale on which intervals are computed.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Curves

    Raises
    ------
    OptionError
        If the arrays are invalid; all faults are reported at once.

    Examples
    --------
    >>> curves = kaplan_meier([1, 2, 2, 3], [1, 1, 0, 1])
    >>> curves[0].estimate
    array([0.75, 0.5 , 0.  ])
    """
    by = {"start": start, "weights": weights, "group": group, "cluster": cluster}
    steps = _steps("kaplan_meier", stop, event, level, scale, **by)
    return _survival_curves(steps, scale, level)


def nelson_aalen(
    stop: ArrayLike,
    event: ArrayLike,
    *,
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    group: ArrayLike | None = None,
    level: float = 0.95,
) -> Curves:
    """Estimate cumulative hazards Σ N/Y, one per group, with variance Σ N/Y² (Aalen 1978).

    Parameters
    ----------
    stop, event, start, weights, group, level
        As in `kaplan_meier`. Intervals are on the logarithmic scale.

    Returns
    -------
    Curves

    Raises
    ------
    OptionError
        If the arrays are invalid; all faults are reported at once.

    Examples
    --------
    >>> nelson_aalen([1, 2, 2, 3], [1, 1, 0, 1])[0].estimate.round(4)
    array([0.25  , 0.5833, 1.5833])
    """
    steps = _steps("nelson_aalen", stop, event, level, start=start, weights=weights, group=group)
    curves = []
    for g, part in steps.parts():
        at_risk, events = steps.at_risk[part], steps.events[:, part].sum(axis=0)
        hazard = np.cumsum(events / at_risk)
        error = np.sqrt(np.cumsum(events / at_risk**2))
        spread = np.exp(normal_quantile(level) * error / hazard)
        limits = hazard / spread, hazard * spread
        curves.append(_curve(steps, g, 0, "cumulative hazard", events, hazard, error, limits))
    return Curves(tuple(curves), level, steps)


def aalen_johansen(
    stop: ArrayLike,
    cause: ArrayLike,
    *,
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    group: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
    bands: bool = True,
) -> Curves:
    """Estimate cumulative incidence by cause with competing risks (Aalen & Johansen 1978).

    For each group, there is a survival curve (cause 0) and one curve per cause; at each time they
    add up to 1, even with ties between causes. Variances are those of multinomial steps
    (``docs/survival.md``), equal to the infinitesimal jackknife. Intervals are computed on the
    log(−log) scale.

    Parameters
    ----------
    stop, start, weights, group, cluster, level
        As in `kaplan_meier`.
    cause : array_like of shape (n,)
        0 for censored rows; 1, 2, … for the causes.
    bands : bool, default True
        Whether to compute standard errors for every step, which takes most of the time with
        clusters. Values at given times and restricted means always have standard errors.

    Returns
    -------
    Curves

    Raises
    ------
    OptionError
        If the arrays are invalid; all faults are reported at once.

    Examples
    --------
    >>> curves = aalen_johansen([1, 2, 2, 3], [1, 2, 1, 0])
    >>> curves.of("all", 1).estimate, curves.of("all", 2).estimate
    (array([0.25, 0.5 ]), array([0.  , 0.25]))
    """
    by = {"start": start, "weights": weights, "group": group, "cluster": cluster}
    steps = _steps("aalen_johansen", stop, cause, level, "log", **by)
    survival = _survival_curves(steps, "log-log", level, bands).curves
    curves: list[Curve] = []
    for (g, part), still_here in zip(steps.parts(), survival, strict=True):
        curves.append(still_here)
        for k, code in enumerate(steps.causes):
            estimate = steps.incidence[k, part]
            error = _errors(steps, g, k, bands)
            # The log(−log(1 − F)) scale keeps limits between 0 and 1.
            lower, upper = _limits(1 - estimate, error, "log-log", level)
            what, events = "probability of an end", steps.events[k, part]
            limits = 1 - upper, 1 - lower
            curves.append(_curve(steps, g, code, what, events, estimate, error, limits))
    return Curves(tuple(curves), level, steps)


def simon_makuch(
    stop: ArrayLike,
    event: ArrayLike,
    state: ArrayLike,
    *,
    start: ArrayLike,
    cluster: ArrayLike | None = None,
    at_least: int = 10,
    level: float = 0.95,
) -> Curves:
    """Estimate survival by a state that changes over time (Simon & Makuch 1984).

    A row is at risk in its state, so that time before a change belongs to the earlier state. Curves
    begin at 1, at the first time from which every state has had ``at_least`` rows at risk. They
    describe groups whose members change, not a fixed group of accounts.

    Parameters
    ----------
    stop, event, cluster, level
        As in `kaplan_meier`.
    state : array_like of shape (n,)
        State of each row.
    start : array_like of shape (n,)
        Time from which each row is at risk.
    at_least : int, default 10
        Minimum number of rows at risk in every state at which the curves begin.

    Returns
    -------
    Curves

    Raises
    ------
    OptionError
        If the arrays are invalid, or a state never has ``at_least`` rows at risk.

    Examples
    --------
    >>> curves = simon_makuch([1, 3, 2, 4], [0, 1, 1, 1], ["no", "yes", "no", "yes"],
    ...                       start=[0, 1, 0, 0], at_least=1)
    >>> curves.of("no").estimate, curves.of("yes").estimate
    (array([0.]), array([0.5, 0. ]))
    """
    validator = ArrayValidator.of("simon_makuch", "stop", stop)
    stops, starts = validator.times(stop, start)
    events, states = validator.flags("event", event), validator.labels("state", state)
    clusters = validator.labels("cluster", cluster)
    validator.count("at_least", at_least)
    validator.level(level)
    validator.close()
    if starts is None or states is None:
        raise OptionError("simon_makuch needs start and state: a state that changes over time")
    origin = max(
        _populated_from(starts[mine], stops[mine], at_least, name)
        for code, name in enumerate(states.names)
        for mine in [states.codes == code]
    )
    kept = stops > origin
    steps = Steps.of(
        stops[kept], events[kept].astype(np.intp), starts[kept], np.ones(int(kept.sum())),
        states.at(kept), None if clusters is None else clusters.at(kept), origin,
    )  # fmt: skip
    return _survival_curves(steps, "log", level)


def _populated_from(start: Floats, stop: Floats, at_least: int, name: object) -> float:
    """Return the first time from which at least ``at_least`` rows are at risk."""
    order = np.argsort(np.concatenate((stop, start)), kind="stable")
    time = np.concatenate((stop, start))[order]
    count = np.cumsum(np.repeat([-1, 1], len(start))[order])
    settled = np.append(time[1:] != time[:-1], True)
    enough = np.flatnonzero(settled & (count >= at_least))
    if not len(enough):
        raise OptionError(
            f"simon_makuch: state {name!r} never has {at_least} rows at risk; lower at_least"
        )
    return float(time[enough[0]])


def _steps(
    call: str, stop: ArrayLike, cause: ArrayLike, level: float, scale: str = "log",
    **by: ArrayLike | None,
) -> Steps:  # fmt: skip
    """Return the steps of checked rows; ``by`` holds start, weights, group and cluster."""
    validator = ArrayValidator.of(call, "stop", stop)
    stops, starts = validator.times(stop, by["start"])
    causes: Ints | Bools
    if call == "aalen_johansen":
        causes = validator.causes("cause", cause)
    else:
        causes = validator.flags("event", cause)
    case_weights = validator.weights(by["weights"])
    groups = validator.labels("group", by["group"]) or one_label(validator.rows)
    clusters = validator.labels("cluster", by.get("cluster"))
    validator.level(level)
    validator.one_of("scale", scale, SCALES)
    validator.close()
    codes: Ints = causes.astype(np.intp)
    if by["weights"] is not None:
        codes[case_weights <= 0] = 0
    origin = 0.0 if starts is None else float(starts.min())
    return Steps.of(stops, codes, starts, case_weights, groups, clusters, min(origin, stops.min()))


def _errors(steps: Steps, g: int, cause: int | None, bands: bool) -> Floats:
    if not bands:
        return np.full(int(steps.first[g + 1] - steps.first[g]), np.nan)
    return np.sqrt(variance_at_steps(steps, g, cause))


def _survival_curves(steps: Steps, scale: str, level: float, bands: bool = True) -> Curves:
    curves = []
    for g, part in steps.parts():
        estimate = steps.survival[part]
        error = _errors(steps, g, None, bands)
        limits = _limits(estimate, error, scale, level)
        events = steps.events[:, part].sum(axis=0)
        curves.append(_curve(steps, g, 0, "survival", events, estimate, error, limits))
    return Curves(tuple(curves), level, steps)


def _curve(
    steps: Steps, g: int, cause: int, quantity: str, events: Floats, estimate: Floats,
    error: Floats, limits: tuple[Floats, Floats],
) -> Curve:  # fmt: skip
    """Return the curve of a group (and cause) at the steps of that group."""
    part = slice(steps.first[g], steps.first[g + 1])
    return Curve(steps.groups[g], cause, quantity, steps.time[part], steps.at_risk[part], events,
                 estimate, error, *limits, steps.origin, steps.last[g])  # fmt: skip


def _limits(estimate: Floats, error: Floats, scale: str, level: float) -> tuple[Floats, Floats]:
    """Return confidence limits of probabilities; NaN or the estimate itself if that is 0 or 1."""
    margin = normal_quantile(level)
    if scale == "plain":
        lower, upper = estimate - margin * error, estimate + margin * error
        return np.clip(lower, 0, 1), np.clip(upper, 0, 1)
    inside = (estimate > 0) & (estimate < 1)
    safe = np.where(inside, estimate, 0.5)
    relative = np.where(inside, margin * error / safe, 0.0)
    if scale == "log":
        lower, upper = safe * np.exp(-relative), np.minimum(safe * np.exp(relative), 1)
    else:
        spread = np.exp(relative / np.abs(np.log(safe)))
        lower, upper = safe**spread, safe ** (1 / spread)
    unknown = np.where(estimate == 0, np.nan, estimate)
    return np.where(inside, lower, unknown), np.where(inside, upper, unknown)
