"""Evaluation of risks within a horizon: cumulative/dynamic AUC, Brier score, calibration.

A row is a case at a horizon if it had an event of cause 1 by then. Every other row whose status at
the horizon is known is a control: rows still at risk, and rows with an event of another cause
(Blanche, Dartigues & Jacqmin-Gadda 2013, second definition). Rows censored before the horizon are
left out, and the others are weighted to represent them (``censoring``). Standard errors sum
influences by cluster and include the estimation of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from leadsignal.errors import ModelError
from leadsignal.plots import auc_over_time, brier_over_time, calibration_plot
from leadsignal.results import ArrayResult
from leadsignal.stats import ROUNDING, logit_limits, normal_quantile, wilson_limits
from leadsignal.survival.inputs import ArrayValidator, Floats, Ints, Labels, snapped, sums_by_label
from leadsignal.survival.risk_sets import Censoring, from_the_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_INFORMATION = 1e-3
"""If Σ w p (1 − p) at the fitted risks p is smaller, they are practically 0 or 1 and no coefficient
is identified: events happened at a risk of 0, or did not at a risk of 1."""

CLIP = 1e-12
"""Distance from 0 and 1 to which risks are clipped before the logit."""


@dataclass(frozen=True, eq=False, repr=False)
class DynamicAuc(ArrayResult):
    """Cumulative/dynamic AUC at each horizon.

    Attributes: ``times`` (k), the horizons; ``auc``, ``std_err``, ``lower``, ``upper`` (k), NaN
    where there is no case or no control; ``cases`` (k), the number of cases; ``level``.
    """

    COLUMNS = ("times", "auc", "std_err", "lower", "upper", "cases")

    times: Floats
    auc: Floats
    std_err: Floats
    lower: Floats
    upper: Floats
    cases: Ints
    level: float

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the AUC by horizon with confidence intervals and return the Axes."""
        label = "cumulative/dynamic AUC"
        return auc_over_time(self.times, self.auc, self.lower, self.upper, label, ax)

    def __repr__(self) -> str:
        return _listing("cumulative/dynamic AUC", self.times, self.auc, self.lower, self.upper)


@dataclass(frozen=True, eq=False, repr=False)
class BrierScore(ArrayResult):
    """Brier score (mean squared error of risks) at each horizon, and over horizons.

    Attributes: ``times`` (k); ``score``, ``std_err``, ``lower``, ``upper`` (k); ``no_skill`` (k),
    the score of predicting the observed share for everyone; ``integrated``, the mean of ``score``
    over the range of times (trapezoidal rule; the score itself for one horizon), with
    ``integrated_std_err``.
    """

    COLUMNS = ("times", "score", "std_err", "lower", "upper", "no_skill", "skill")

    times: Floats
    score: Floats
    std_err: Floats
    lower: Floats
    upper: Floats
    no_skill: Floats
    integrated: float
    integrated_std_err: float
    level: float

    @property
    def skill(self) -> Floats:
        """1 − score / no_skill: 0 is no better than the observed share, 1 is perfect (k).

        NaN if there are no cases, because ``no_skill`` is then 0.
        """
        known = self.no_skill > 0
        return np.where(known, 1 - self.score / np.where(known, self.no_skill, 1.0), np.nan)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the score by horizon next to the no-skill score and return the Axes."""
        return brier_over_time(self._table(), ax)

    def __repr__(self) -> str:
        lines = _listing("Brier score", self.times, self.score, self.lower, self.upper)
        return f"{lines}\n  integrated: {self.integrated:.4f}"


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(ArrayResult):
    """Calibration of risks within ``horizon``.

    Attributes: ``slope`` and ``intercept``, each (estimate, lower, upper): the slope of
    logit(observed) on logit(risk), ideally 1, and the intercept with the slope fixed at 1, ideally
    0. The slope is NaN if all risks are equal or separate cases from controls perfectly, so that no
    finite slope maximises the likelihood. The intercept is NaN if risks of 0 or 1 were wrong and no
    other risks offset them. ``observed`` and ``predicted`` are the mean share and risk; ``bins``
    has one row per group of rows with similar risk: rows, risk, observed, lower, upper.
    """

    COLUMNS = ("rows", "risk", "share", "lower", "upper")

    horizon: float
    slope: tuple[float, float, float]
    intercept: tuple[float, float, float]
    observed: float
    predicted: float
    rows: Ints
    risk: Floats
    share: Floats
    lower: Floats
    upper: Floats
    level: float

    @property
    def bins(self) -> pd.DataFrame:
        """One row per group of rows with similar risk."""
        return self.to_frame()

    def _table(self) -> pd.DataFrame:
        return super()._table().rename(columns={"share": "observed"})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot observed shares against risks by group, with intervals, and return the Axes."""
        return calibration_plot(self._table(), self.horizon, self.slope[0], self.intercept[0], ax)

    def __repr__(self) -> str:
        slope, intercept = (
            f"{value:.3f} ({lower:.3f} to {upper:.3f})"
            for value, lower, upper in (self.slope, self.intercept)
        )
        return (
            f"calibration within {self.horizon:g}: slope {slope}, intercept {intercept}, "
            f"observed {self.observed:.4f}, predicted {self.predicted:.4f}"
        )


def dynamic_auc(
    stop: ArrayLike,
    event: ArrayLike,
    score: ArrayLike,
    times: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> DynamicAuc:
    """Return the cumulative/dynamic AUC at each horizon (Uno et al. 2007, Hung & Chiang 2010).

    Ties in score count half.

    Parameters
    ----------
    stop : array_like of shape (n,)
        How long each row was observed, from its own origin.
    event : array_like of shape (n,)
        1 for the predicted event, 0 if censored; 2, 3, … for competing events, which are controls.
    score : array_like of shape (n,) or (n, k)
        Score of each row; one column per horizon if it varies.
    times : array_like of shape (k,)
        Horizons.
    cluster : array_like of shape (n,), optional
        Labels of independent units.
    weights : array_like of shape (n,), optional
        Case weights: how many rows each represents. Default: 1.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    DynamicAuc

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    ModelError
        If every row is censored by a horizon.

    Examples
    --------
    >>> dynamic_auc([1, 2, 3, 4], [1, 1, 0, 0], [0.9, 0.2, 0.4, 0.1], [1.5, 2.5]).auc
    array([1.  , 0.75])
    """
    rows = _Rows.of("dynamic_auc", stop, event, times, level, cluster=cluster, weights=weights)
    scores = rows.by_time("score", score)
    rows.validator.close()
    found = np.empty((3, len(rows.times)))
    ordered = None
    for k, horizon in enumerate(rows.times):
        if ordered is None or scores.shape[1] > 1:
            ordered = _Ordered.of(rows, scores[:, min(k, scores.shape[1] - 1)])
        found[:, k] = ordered.auc(float(horizon))
    lower, upper = logit_limits(found[0], found[1], level)
    cases = found[2].astype(np.intp)
    return DynamicAuc(rows.requested, found[0], found[1], lower, upper, cases, level)


def brier(
    stop: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    times: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> BrierScore:
    """Return the Brier score of risks within each horizon (Graf et al. 1999).

    Rows with a competing event count as 0.

    Parameters
    ----------
    stop, event, cluster, weights, level
        As in `dynamic_auc`.
    risk : array_like of shape (n,) or (n, k)
        Risks of an event of cause 1, between 0 and 1, one column per horizon.
    times : array_like of shape (k,)
        Horizons, in increasing order.

    Returns
    -------
    BrierScore

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    ModelError
        If every row is censored by a horizon.

    Examples
    --------
    >>> brier([1, 2, 3, 4], [1, 1, 0, 0], [0.9, 0.2, 0.4, 0.1], 2.5).score
    array([0.205])
    """
    rows = _Rows.of("brier", stop, event, times, level, cluster=cluster, weights=weights)
    risks = rows.risks(risk)
    rows.validator.close()
    width = _trapezoid(rows.times)
    score, error, no_skill = (np.empty(len(rows.times)) for _ in range(3))
    along, own = np.zeros(len(rows.stop)), rows.censoring.own_weight
    for k, horizon in enumerate(rows.times):
        weight, case = rows.censoring.by(float(horizon)), rows.cases(float(horizon))
        loss = weight * (case - risks[:, k]) ** 2
        whole = float(own.sum())
        score[k] = loss.sum() / whole
        influence = (loss - own * score[k]) / whole
        influence += rows.censoring.influence(float(horizon), loss / whole)
        error[k] = rows.std_err(influence)
        along += width[k] * influence
        share = float(weight @ case / weight.sum())
        no_skill[k] = float(weight @ (case - share) ** 2) / whole
    margin = normal_quantile(level) * error
    # No loss exceeds 1, but their mean can, because the weights need not add up to n.
    upper = np.minimum(score + margin, np.maximum(score, 1))
    return BrierScore(
        rows.requested, score, error, np.maximum(score - margin, 0), upper, no_skill,
        float(width @ score), rows.std_err(along), level,
    )  # fmt: skip


def calibration(
    stop: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    horizon: float,
    *,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bins: int = 10,
    level: float = 0.95,
) -> Calibration:
    """Return the calibration of risks of an event of cause 1 within a horizon.

    Slope and intercept (Cox 1958) come from weighted logistic regression with cluster-robust
    standard errors. Groups have Wilson (1927) intervals based on the effective number of rows.

    Parameters
    ----------
    stop, event, cluster, weights, level
        As in `dynamic_auc`.
    risk : array_like of shape (n,)
        Risks, between 0 and 1.
    horizon : float
        The horizon.
    bins : int, default 10
        Number of equal-sized groups by risk; ties stay together.

    Returns
    -------
    Calibration

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    ModelError
        If there is no case by ``horizon``.

    Examples
    --------
    >>> calibration([1, 2, 3, 4], [1, 1, 0, 0], [0.9, 0.2, 0.4, 0.1], 2.5, bins=2)
    calibration within 2.5: slope 0.799 (-0.158 to 1.755), intercept 0.642 (-2.019 to 3.303),
    observed 0.5000, predicted 0.4000
    """
    rows = _Rows.of("calibration", stop, event, horizon, level, cluster=cluster, weights=weights)
    if len(rows.times) > 1:
        rows.validator.refuse(f"horizon holds {len(rows.times)} numbers; pass one")
    risks = rows.risks(risk)[:, 0]
    group_count = rows.validator.count("bins", bins)
    rows.validator.close()
    horizon = float(rows.times[0])
    weight, case = rows.censoring.by(horizon), rows.cases(horizon)
    observed = float(weight @ case / weight.sum())
    if observed == 0:
        raise ModelError(f"calibration: there are no cases by {horizon:g}; choose a later horizon")
    z = logit(np.clip(risks, CLIP, 1 - CLIP))
    ones = np.ones((len(z), 1))
    free = (np.nan, np.nan)
    if _has_slope(z[weight > 0], case[weight > 0]):
        free = _logistic(rows, horizon, weight, case, np.column_stack((ones, z)), 0 * z)
    fixed = _logistic(rows, horizon, weight, case, ones, z)
    margin = normal_quantile(level)
    groups = _bins(rows, horizon, weight, case, risks, int(group_count), level)
    slope, intercept = ((b, b - margin * error, b + margin * error) for b, error in (free, fixed))
    predicted = float(weight @ risks / weight.sum())
    requested = float(rows.requested[0])
    return Calibration(requested, slope, intercept, observed, predicted, *groups, level)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Validated rows of one call, followed until ``stop``, with ``cause`` of the event or 0.

    ``times`` are the ``requested`` horizons, each snapped to the stop that it equals up to
    rounding.
    """

    validator: ArrayValidator
    stop: Floats
    cause: Ints
    cluster: Labels | None
    requested: Floats
    times: Floats
    censoring: Censoring

    @classmethod
    def of(
        cls, call: str, stop: ArrayLike, event: ArrayLike, times: ArrayLike, level: float,
        **by: ArrayLike | None,
    ) -> _Rows:  # fmt: skip
        """Return checked rows; ``by`` holds cluster and weights."""
        validator = ArrayValidator.of(call, "stop", stop)
        (stops, _), causes = validator.times(stop), validator.causes("event", event)
        if not validator.faults and (stops < 0).any():
            validator.refuse("stop is negative; it is how long a row was followed")
        labels, own = validator.labels("cluster", by["cluster"]), validator.weights(by["weights"])
        known = not validator.faults
        requested = validator.rising("the horizons", times)
        horizons = snapped(requested, stops) if known else requested
        if known and horizons[-1] >= stops.max():
            validator.refuse(
                f"horizon {horizons[-1]:g} is not before the last observed time, {stops.max():g}"
            )
        validator.level(level)
        if validator.faults:
            stops = np.nan_to_num(stops)
        return cls(
            validator, stops, causes, labels, requested, horizons,
            Censoring.of(stops, causes == 0, own),
        )  # fmt: skip

    def reordered(self, order: Ints) -> _Rows:
        """Return the same rows in another order."""
        labels = None if self.cluster is None else self.cluster.at(order)
        stop, censoring = self.stop[order], self.censoring.reordered(order)
        return replace(
            self, stop=stop, cause=self.cause[order], cluster=labels, censoring=censoring
        )

    def by_time(self, name: str, raw: ArrayLike) -> Floats:
        """Return one value per row (n × 1), or per row and horizon (n × k)."""
        values = self.validator.floats(name, raw)
        whole = (len(self.stop), len(self.times))
        if values is None:
            return np.zeros(whole)
        if values.shape not in (whole[:1], whole):
            must = f"it must be one of {whole[:1]}, {whole}"
            self.validator.refuse(f"{name} has shape {values.shape}; {must}")
            return np.zeros(whole)
        if not np.isfinite(values).all():
            self.validator.refuse(f"{name} holds NaN or infinite values")
        return values.reshape(len(self.stop), -1)

    def risks(self, raw: ArrayLike) -> Floats:
        """Return risks (n × k) between 0 and 1."""
        values = self.by_time("risk", raw)
        if values.shape[1] != len(self.times):
            self.validator.refuse(
                f"risk has one column; with {len(self.times)} horizons it needs one per horizon"
            )
        if ((values < 0) | (values > 1)).any():
            self.validator.refuse("risk has values outside 0 to 1; pass probabilities of an end")
        return values

    def cases(self, horizon: float) -> Floats:
        case: Floats = ((self.cause == 1) & (self.stop <= horizon)).astype(np.float64)
        return case

    def std_err(self, influence: Floats) -> float:
        """Return the standard error from influences, clustered if there are clusters."""
        if self.cluster is not None:
            influence = sums_by_label(self.cluster, influence)
        return float(np.sqrt(influence @ influence))


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Rows sorted by score; ``begin`` and ``end`` (n) delimit each row's run of equal scores."""

    rows: _Rows
    begin: Ints | slice
    end: Ints | slice

    @classmethod
    def of(cls, rows: _Rows, score: Floats) -> _Ordered:
        order = np.argsort(score)
        ranked = rows.reordered(order)
        score = score[order]
        change = np.flatnonzero(score[1:] != score[:-1]) + 1
        if len(change) == len(score) - 1:
            return cls(ranked, slice(None, -1), slice(1, None))
        edges = np.concatenate(([0], change, [len(score)]))
        sizes = np.diff(edges)
        return cls(ranked, np.repeat(edges[:-1], sizes), np.repeat(edges[1:], sizes))

    def below(self, weight: Floats) -> Floats:
        """Return, for each row, the weight of lower scores plus half that of equal scores."""
        running = from_the_first(weight)
        half: Floats = running[self.begin] + running[self.end]
        half /= 2
        return half

    def auc(self, horizon: float) -> tuple[float, float, float]:
        """Return AUC, standard error and number of cases; NaN without a case or a control."""
        rows = self.rows
        weight, case = rows.censoring.by(horizon), rows.cases(horizon)
        cases = weight * case
        controls = weight - cases
        m, n = float(cases.sum()), float(controls.sum())
        if not (m > 0 and n > 0):
            return (np.nan, np.nan, float(case.sum()))
        beaten = self.below(controls)
        auc = float(cases @ beaten) / (m * n)
        # A case outranks `beaten` of the n controls; a control is outranked by all cases except
        # those below it.
        influence = cases * (beaten / n - auc) / m
        influence += controls * (1 - self.below(cases) / m - auc) / n
        influence += rows.censoring.influence(horizon, influence)
        return auc, rows.std_err(influence), float(case.sum())


def _trapezoid(times: Floats) -> Floats:
    """Return the weights of the trapezoidal mean of values at ``times``."""
    if len(times) == 1:
        return np.ones(1)
    half = np.diff(times) / 2
    width: Floats = np.append(half, 0) + np.append(0, half)
    width /= times[-1] - times[0]
    return width


def _has_slope(z: Floats, case: Floats) -> bool:
    """Whether a logistic regression on ``z`` has a finite maximum-likelihood slope.

    It does if z varies and the values of cases and controls overlap (Albert & Anderson 1984).
    """
    cases, others = z[case == 1], z[case == 0]
    equal = ROUNDING * max(1.0, float(np.abs(z).max()))
    if not len(others):
        return False
    return bool(others.max() - cases.min() > equal and cases.max() - others.min() > equal)


def _logistic(
    rows: _Rows, horizon: float, weight: Floats, case: Floats, Z: Floats, offset: Floats
) -> tuple[float, float]:
    """Return the last coefficient of a weighted logistic regression and its standard error."""
    coef = np.zeros(Z.shape[1])
    for _ in range(100):
        mean = expit(offset + Z @ coef)
        score = Z.T @ (weight * (case - mean))
        bread = (Z * (weight * mean * (1 - mean))[:, None]).T @ Z
        step = np.linalg.lstsq(bread, score, rcond=None)[0]
        # A step longer than 2 on the logit scale overshoots where risks are extreme.
        coef += step / max(1.0, float(np.abs(Z @ step).max()) / 2)
        if score @ step < 1e-20 * len(case):
            break
    else:
        return float("nan"), float("nan")
    if bread[0, 0] < MIN_INFORMATION:
        return float("nan"), float("nan")
    moved = (Z * (weight * (case - expit(offset + Z @ coef)))[:, None]) @ np.linalg.pinv(bread)[-1]
    return float(coef[-1]), rows.std_err(moved + rows.censoring.influence(horizon, moved))


def _bins(
    rows: _Rows, horizon: float, weight: Floats, case: Floats, risk: Floats, bins: int, level: float
) -> tuple[Ints, Floats, Floats, Floats, Floats]:
    """Return the size, mean risk, observed share and its limits of groups with similar risk."""
    edges = np.unique(np.quantile(risk, np.arange(1, bins) / bins))
    place = np.unique(np.searchsorted(edges, risk, side="left"), return_inverse=True)[1]
    found = []
    for number in range(int(place.max()) + 1):
        inside = place == number
        own = np.where(inside, weight, 0.0)
        if own.sum() == 0:
            found.append((int(inside.sum()), risk[inside].mean(), np.nan, np.nan, np.nan))
            continue
        share = float(own @ case / own.sum())
        moved = own * (case - share) / own.sum()
        error = rows.std_err(moved + rows.censoring.influence(horizon, moved))
        varies = error > ROUNDING and ROUNDING < share < 1 - ROUNDING
        worth = share * (1 - share) / error**2 if varies else own.sum() ** 2 / (own @ own)
        limits = wilson_limits(share, worth, level)
        found.append((int(inside.sum()), float(own @ risk / own.sum()), share, *limits))
    size, mean, share, low, high = np.array(found, dtype=np.float64).T
    return size.astype(np.intp), mean, share, low, high


def _listing(title: str, times: Floats, values: Floats, lower: Floats, upper: Floats) -> str:
    lines = [
        f"  {time:g}: {value:.4f} ({low:.4f} to {high:.4f})"
        for time, value, low, high in zip(times, values, lower, upper, strict=True)
    ]
    return "\n".join([title, *lines])
