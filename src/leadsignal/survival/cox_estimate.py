"""The estimate of a Cox model: its baseline, residuals, and test of proportional hazards.

The baseline hazard of a Cox fit by stratum, and survival along a covariate path.

Breslow's (1972) estimate, with Efron's weights if the fit used them: each event group adds a = w̄ Σ
1/den_k. Variance after Tsiatis (1981) and Therneau & Grambsch (2000, §10.2).

Test of proportional hazards: whether a coefficient changes with (a function of) time.

Grambsch & Therneau (1994), as an exact score test of adding x · (g(t) − ḡ) for each column. With
V_g a group's part of the information, the added columns have information Σ g² V_g and covariance Σ
g V_g with the original ones, so three weighted information matrices suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leadsignal.errors import OptionError
from leadsignal.formats import level_text
from leadsignal.plots import StepLine, coefficient_over_time, step_lines
from leadsignal.results import ArrayResult, Result, fields_of
from leadsignal.stats import normal_quantile
from leadsignal.survival.by_risk_set import RiskSetTerms
from leadsignal.survival.contrasts import ChiSquare
from leadsignal.survival.inputs import (
    ArrayValidator,
    Bools,
    Floats,
    Ints,
    Labels,
    ranges,
    snapped,
    sums_by_code,
)
from leadsignal.survival.partial_likelihood import GroupTerms, PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class CoxRows:
    """The checked rows of a fit, kept without a copy for residuals, baseline and tests."""

    X: NDArray[Any]
    start: Floats | None
    stop: Floats
    event: Bools
    weights: Floats
    offset: Floats | None
    strata: Labels
    cluster: Labels | None
    likelihood: PartialLikelihood


@dataclass(frozen=True, eq=False, repr=False)
class CoxEstimate:
    """The maximum of the partial likelihood, with its covariance and the rows.

    Attributes: ``names`` (p), the names of the columns; ``coef`` (p), the log hazard ratios per
    unit; ``cov`` (p × p), the inverse (penalised) information, and ``se``, its standard errors;
    ``robust_cov`` and ``robust_se``, the cluster sandwich, None without clusters; ``loglik`` and
    ``loglik_null``, the log partial likelihood (without penalty) at ``coef`` and at zero; ``ridge``
    (p); ``ties``; ``evaluations``, how often the fit evaluated the likelihood; ``rows``, the data.
    """

    names: tuple[str, ...]
    coef: Floats
    cov: Floats
    robust_cov: Floats | None
    loglik: float
    loglik_null: float
    ridge: Floats
    ties: str
    evaluations: int
    score_statistic: float
    rows: CoxRows

    @property
    def se(self) -> Floats:
        """Model-based standard errors (p)."""
        return np.sqrt(np.diag(self.cov))

    @property
    def robust_se(self) -> Floats | None:
        """Cluster-robust standard errors (p); None without clusters."""
        return None if self.robust_cov is None else np.sqrt(np.diag(self.robust_cov))

    @cached_property
    def influence(self) -> Floats | None:
        """Influence of each cluster on the coefficients (clusters × p); None without clusters."""
        if self.rows.cluster is None:
            return None
        scores: Floats = self.rows.likelihood.cluster_scores(self.terms, self.rows.cluster)
        return scores @ self.cov

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows.stop)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.rows.likelihood.sets.events)

    @cached_property
    def terms(self) -> GroupTerms | RiskSetTerms:
        """Risk-set sums at ``coef``, used for residuals and the baseline."""
        return self.rows.likelihood.terms(self.coef)

    def baseline(self) -> Baseline:
        """Return the baseline hazard of each stratum, and predictions from it."""
        likelihood, terms, sets = self.rows.likelihood, self.terms, self.rows.likelihood.sets
        centre = np.zeros(len(self.coef)) if likelihood.centre is None else likelihood.centre
        reference = likelihood.event_X.mean(axis=0)
        # The steps are at the centre of the covariates; shift them to the reference.
        move = float(reference @ self.coef)
        cov = self.cov if self.robust_cov is None else self.robust_cov
        return Baseline(
            self.names, self.coef, cov, self.rows.strata.names, sets.first, sets.time,
            reference=centre + reference, log_hazard=terms.log_step + move,
            log_variance=terms.log_square + 2 * move, mean=terms.step_mean - reference,
        )  # fmt: skip

    def residuals(self) -> Residuals:
        """Return martingale, Schoenfeld and score residuals."""
        likelihood, terms = self.rows.likelihood, self.terms
        sets = likelihood.sets
        weights = self.rows.weights
        expected = likelihood.hazards(terms)
        martingale: Floats = self.rows.event - np.divide(
            expected, weights, out=np.zeros_like(expected), where=weights > 0
        )
        score = np.empty((self.n_rows, len(self.coef)))
        for block, part in likelihood.score_residuals(terms):
            score[block] = part
        schoenfeld = likelihood.event_X - terms.mean_covariate[sets.group]
        scaled = self.coef + len(sets.events) * schoenfeld @ self.cov
        return Residuals(
            self.names, martingale, score, score @ self.cov, schoenfeld, scaled, sets.events,
            event_time=sets.time[sets.group], event_weight=weights[sets.events],
        )  # fmt: skip

    def test_proportionality(
        self, transform: str = "km", terms: Sequence[object] | None = None
    ) -> ProportionalityTest:
        """Test whether hazard ratios are constant over time.

        ``transform`` of time: ``"km"`` (one minus Kaplan-Meier before the event), ``"rank"``,
        ``"identity"`` or ``"log"``; ``terms`` (p), one label per column, tests columns of the same
        term together, such as the indicators of a factor. Raises OptionError for an unknown
        transform, or for ``"log"`` if an event is at time 0 or earlier.

        >>> from leadsignal.survival import fit_cox
        >>> fit = fit_cox([[1], [1], [0], [1], [0], [0]], [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0])
        >>> fit.test_proportionality("identity").overall
        GLOBAL: chi-square 0.08226 on 1 df, p = 0.774
        """
        likelihood, sets = self.rows.likelihood, self.rows.likelihood.sets
        g = _transformed(self, transform)
        weights = np.bincount(
            sets.group, weights=self.rows.weights[sets.events], minlength=len(sets)
        )
        g = g - np.average(g, weights=weights)
        residuals = likelihood.event_X - self.terms.mean_covariate[sets.group]
        score = (self.rows.weights[sets.events] * g[sets.group]) @ residuals
        plain, cross, squared = (
            likelihood.weighted_information(self.terms, power)
            for power in (np.ones_like(g), g, g * g)
        )
        # With a ridge, the score of the original columns is ridge · coef rather than 0, so the
        # prior's information is added to them; otherwise a large coefficient would look like a
        # change.
        information = np.block([[plain + np.diag(self.ridge), cross], [cross, squared]])
        labels = _terms(self, terms)
        tests = [
            _score_test(str(label), information, score, np.flatnonzero(labels.codes == code))
            for code, label in enumerate(labels.names)
        ]
        overall = _score_test("GLOBAL", information, score, np.arange(len(score)))
        return ProportionalityTest(
            transform, tuple(tests), overall, self.names, self.coef, sets.time[sets.group],
            _transformed(self, transform)[sets.group],
            self.coef + len(sets.events) * residuals @ self.cov,
        )  # fmt: skip


CERTAIN = 300.0  # log hazard above which survival is 0; exp(2 × 300) still fits a double


@dataclass(frozen=True, eq=False, repr=False)
class Baseline(ArrayResult):
    """Baseline hazard of each stratum.

    Attributes: ``names`` (p) and ``coef`` (p) of the model; ``cov``, the covariance of ``coef``
    (robust if the fit was clustered); ``strata`` (s); ``first`` (s + 1), where each stratum's event
    times begin; ``time`` (G); ``reference`` (p), the mean covariates of the events; ``log_hazard``
    and ``log_variance`` (G), logarithms of the hazard at each time and of its variance, at the
    reference and with an offset of zero; ``mean`` (G × p), the mean covariates of the rows at risk
    minus the reference.

    Predictions use these logarithms. ``hazard``, ``cumulative``, the frame and ``reference_hazard``
    are hazards at fixed covariates for all times; they overflow or underflow (infinity or 0) if the
    covariates of the rows at risk change a lot over time.
    """

    names: tuple[str, ...]
    coef: Floats
    cov: Floats
    strata: tuple[object, ...]
    first: Ints
    time: Floats
    reference: Floats
    log_hazard: Floats
    log_variance: Floats
    mean: Floats

    @property
    def hazard(self) -> Floats:
        """Increments of the hazard at covariates of zero (G)."""
        return exp_of(self.log_hazard - self.reference @ self.coef)

    @property
    def reference_hazard(self) -> Floats:
        """Increments of the hazard at the reference (G)."""
        return exp_of(self.log_hazard)

    @property
    def variance(self) -> Floats:
        """Variance of each increment at the reference, with the coefficients taken as known (G)."""
        return exp_of(self.log_variance)

    @property
    def mean_increment(self) -> Floats:
        """Increments at the reference times ``mean`` (G × p)."""
        return self.mean * self.reference_hazard[:, None]

    def cumulative(self, stratum: object = None) -> tuple[Floats, Floats]:
        """Return the event times and cumulative hazard of a stratum (None: the only one)."""
        part = self._part(stratum)
        return self.time[part], np.cumsum(self.hazard[part])

    def along(
        self,
        X: ArrayLike,
        start: ArrayLike,
        stop: ArrayLike,
        *,
        stratum: object = None,
        level: float = 0.95,
    ) -> PathPrediction:
        """Return survival along a covariate path with values X[k] (m × p) on (start[k], stop[k]].

        Intervals may have gaps, during which nobody is at risk, but must not overlap. Survival is
        returned at each stop, conditional on surviving to the first start. Raises OptionError,
        which lists all faults.

        >>> from leadsignal.survival import fit_cox
        >>> fit = fit_cox([[0.0], [1.0], [0.0], [1.0]], [1, 2, 3, 4], [1, 1, 1, 0])
        >>> fit.baseline().along([[0.0], [1.0]], [0, 2], [2, 4]).survival.round(4)
        array([0.3981, 0.3006])
        """
        paths, starts, stops = self._checked(X, start, stop, level)
        part = self._part(stratum)
        time = self.time[part]
        lower = np.searchsorted(time, snapped(starts, time), side="right")
        upper = np.searchsorted(time, snapped(stops, time), side="right")
        paths = paths - self.reference
        # Intervals do not overlap, so each event time is in at most one of them.
        spell, at = ranges(lower, np.maximum(upper - lower, 0))
        at += part.start
        risk = (paths @ self.coef)[spell]
        step = np.exp(np.minimum(risk + self.log_hazard[at], CERTAIN))
        hazard = sums_by_code(spell, step, len(stops))
        square = np.exp(np.minimum(2 * risk + self.log_variance[at], 2 * CERTAIN))
        own = sums_by_code(spell, square, len(stops))
        # Derivative of the path's cumulative hazard with respect to coef: ∫ (x − x̄) dH.
        slope = np.zeros_like(paths)
        np.add.at(slope, spell, (paths[spell] - self.mean[at]) * step[:, None])
        slope = np.cumsum(slope, axis=0)
        variance = np.cumsum(own) + np.einsum("ij,jk,ik->i", slope, self.cov, slope)
        return PathPrediction(stops, np.cumsum(hazard), np.sqrt(variance), level)

    def _table(self) -> pd.DataFrame:
        """Return one row per event time and stratum: hazard and cumulative hazard."""
        counts = np.diff(self.first)
        stratum = np.repeat(np.arange(len(self.strata)), counts)
        names = [self.strata[s] for s in stratum]
        running = np.concatenate([np.cumsum(self.hazard[slice(*cut)]) for cut in self._cuts()])
        columns = {"stratum": names, "time": self.time, "hazard": self.hazard}
        return pd.DataFrame({**columns, "cumulative_hazard": running})

    def to_dict(self) -> dict[str, object]:
        """Return the baseline as a plain dictionary, ready for JSON."""
        return fields_of(self, *self.__dict__, "reference_hazard", "variance", "mean_increment")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the cumulative baseline hazard by stratum and return the Axes."""
        lines = [
            StepLine(str(stratum), *self.cumulative(stratum), colour=k, style=k)
            for k, stratum in enumerate(self.strata)
        ]
        return step_lines(lines, "cumulative baseline hazard", ax, title="stratum")

    def __repr__(self) -> str:
        return (
            f"Baseline hazard at covariates of zero: {len(self.time):,} event times in "
            f"{len(self.strata):,} {'stratum' if len(self.strata) == 1 else 'strata'}"
        )

    def _cuts(self) -> list[tuple[int, int]]:
        return list(zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True))

    def _part(self, stratum: object) -> slice:
        if stratum is None and len(self.strata) == 1:
            return slice(0, len(self.time))
        if stratum not in self.strata:
            allowed = ", ".join(map(repr, self.strata[:12]))
            raise OptionError(f"stratum is {stratum!r}; it must be one of {allowed}")
        return slice(*self._cuts()[self.strata.index(stratum)])

    def _checked(
        self, X: ArrayLike, start: ArrayLike, stop: ArrayLike, level: float
    ) -> tuple[Floats, Floats, Floats]:
        validator = ArrayValidator.of("along", "stop", stop)
        stops, starts = validator.times(stop, start)
        paths = validator.matrix("X", X, self.names).astype(np.float64, copy=False)
        validator.no_gaps(paths, self.names)
        if starts is not None and (starts[1:] < stops[:-1]).any():
            validator.refuse("intervals overlap or are out of order; sort them by start")
        validator.level(level)
        validator.close()
        return paths, np.zeros(0) if starts is None else starts, stops


@dataclass(frozen=True, eq=False, repr=False)
class PathPrediction(ArrayResult):
    """Survival along a path: ``time`` (m), ``cumulative_hazard`` and its ``std_err`` (m)."""

    COLUMNS = ("time", "survival", "lower", "upper", "cumulative_hazard", "std_err")

    time: Floats
    cumulative_hazard: Floats
    std_err: Floats
    level: float = 0.95

    @property
    def survival(self) -> Floats:
        """exp(−cumulative hazard) (m)."""
        return np.exp(-self.cumulative_hazard)

    @property
    def lower(self) -> Floats:
        """Lower limit of survival (m), symmetric on the cumulative-hazard scale."""
        return np.exp(-self.cumulative_hazard - normal_quantile(self.level) * self.std_err)

    @property
    def upper(self) -> Floats:
        """Upper limit of survival (m), at most 1."""
        margin = normal_quantile(self.level) * self.std_err
        return np.exp(-np.maximum(self.cumulative_hazard - margin, 0.0))

    def to_dict(self) -> dict[str, object]:
        """Return the prediction as a plain dictionary, ready for JSON."""
        return fields_of(self, *self.COLUMNS)

    def __repr__(self) -> str:
        return (
            f"Survival along a path: {self.survival[-1]:.4g} at {self.time[-1]:g} "
            f"({level_text(self.level)} {self.lower[-1]:.4g} to {self.upper[-1]:.4g})"
        )


def exp_of(logs: Floats) -> Floats:
    """Return exp of ``logs``, infinite without a warning where it overflows."""
    with np.errstate(over="ignore"):
        values: Floats = np.exp(logs)
    return values


@dataclass(frozen=True, eq=False, repr=False)
class Residuals(ArrayResult):
    """Residuals of a Cox fit.

    Attributes: ``names`` (p); ``martingale`` (n), events minus expected events of each row;
    ``score`` (n × p), each row's contribution to the score, times its weight; ``influence`` (n ×
    p), score @ cov, approximately the change in the coefficients when a row is left out;
    ``schoenfeld`` (d × p), covariates of each event minus their mean over those at risk, with
    ``event_row``, ``event_time`` and ``event_weight`` (d), ordered by stratum and time;
    ``scaled_schoenfeld`` (d × p), coef + d · cov @ schoenfeld, whose trend over time is that of the
    coefficient.

    Therneau & Grambsch (2000), chapters 4 and 6; ties as in their §4.6.
    """

    names: tuple[str, ...]
    martingale: Floats
    score: Floats
    influence: Floats
    schoenfeld: Floats
    scaled_schoenfeld: Floats
    event_row: Ints
    event_time: Floats
    event_weight: Floats

    def _table(self) -> pd.DataFrame:
        """Return one row per event: time and scaled Schoenfeld residuals by column."""
        frame = pd.DataFrame(self.scaled_schoenfeld, columns=list(self.names))
        frame.insert(0, "row", self.event_row)
        frame.insert(1, "time", self.event_time)
        return frame

    def __repr__(self) -> str:
        return (
            f"Cox residuals: {len(self.martingale):,} rows, {len(self.event_row):,} events, "
            f"columns {', '.join(self.names)}"
        )


TRANSFORMS = ("km", "rank", "identity", "log")


@dataclass(frozen=True, eq=False, repr=False)
class ProportionalityTest(Result):
    """A test of proportional hazards for each term, and one overall.

    Attributes: ``transform`` of time; ``tests``, one per term; ``overall``; ``time``,
    ``transformed`` (d) and ``scaled_schoenfeld`` (d × p) of the events, with the ``coef`` and
    ``names`` of the columns, for the plot.
    """

    transform: str
    tests: tuple[ChiSquare, ...]
    overall: ChiSquare
    names: tuple[str, ...]
    coef: Floats
    time: Floats
    transformed: Floats
    scaled_schoenfeld: Floats

    def _table(self) -> pd.DataFrame:
        """Return one row per term and a last one, ``GLOBAL``: chisq, df, p."""
        rows = [
            (test.name, test.statistic, test.df, test.p) for test in (*self.tests, self.overall)
        ]
        return pd.DataFrame(rows, columns=["term", "chisq", "df", "p"]).set_index("term")

    def to_dict(self) -> dict[str, object]:
        """Return transform and tests as a plain dictionary, ready for JSON."""
        return {
            "transform": self.transform,
            "tests": [test.to_dict() for test in self.tests],
            "overall": self.overall.to_dict(),
        }

    def plot(self, name: str, ax: Axes | None = None) -> Axes:
        """Plot how the coefficient of column ``name`` changes over time and return the Axes."""
        if name not in self.names:
            raise OptionError(f"no column {name!r}; there are {', '.join(map(repr, self.names))}")
        column = self.names.index(name)
        order = np.argsort(self.time, kind="stable")
        time, residual = self.time[order], self.scaled_schoenfeld[order, column]
        smooth, coef = _running_mean(time, residual), float(self.coef[column])
        return coefficient_over_time(time, residual, smooth, coef, name, ax)

    def __repr__(self) -> str:
        lines = "\n".join(f"  {test!r}" for test in (*self.tests, self.overall))
        return f"Proportional hazards, time as {self.transform}\n{lines}"


def _running_mean(time: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a running mean over neighbouring events: its times, values and margins of error."""
    width = max(5, len(time) // 5)
    if len(time) <= width:
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        margin = normal_quantile(0.95) * np.full(len(time), error)
        return time, np.full(len(time), values.mean()), margin
    near = np.lib.stride_tricks.sliding_window_view(values, width)
    middle = np.lib.stride_tricks.sliding_window_view(time, width).mean(axis=1)
    error = near.std(axis=1, ddof=1) / np.sqrt(width)
    return middle, near.mean(axis=1), normal_quantile(0.95) * error


def _score_test(name: str, information: Floats, score: Floats, columns: np.ndarray) -> ChiSquare:
    p = len(score)
    chosen = np.concatenate((np.arange(p), p + columns))
    u = np.concatenate((np.zeros(p), score[columns]))
    matrix = information[np.ix_(chosen, chosen)]
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    solved = np.linalg.lstsq(matrix * scale[:, None] * scale, u * scale, rcond=1e-12)[0]
    return ChiSquare.of(name, float(u * scale @ solved), len(columns))


def _terms(fit: CoxEstimate, terms: Sequence[object] | None) -> Labels:
    listed = isinstance(terms, str) or not hasattr(terms, "__iter__")
    labels = fit.names if terms is None else () if listed else tuple(terms)
    if len(labels) != len(fit.names):
        raise OptionError(f"terms has {len(labels)} labels; the fit has {len(fit.names)} columns")
    order = list(dict.fromkeys(labels))
    return Labels(tuple(order), np.array([order.index(label) for label in labels], dtype=np.intp))


def _transformed(fit: CoxEstimate, transform: str) -> Floats:
    """Return g at the time of each event group."""
    if not isinstance(transform, str) or transform not in TRANSFORMS:
        allowed = ", ".join(map(repr, TRANSFORMS))
        raise OptionError(f"transform is {transform!r}; it must be one of {allowed}")
    time = fit.rows.likelihood.sets.time
    if transform == "identity":
        return time
    if transform == "log":
        if time.min() <= 0:
            raise OptionError('transform="log" needs event times above 0; use "rank" or "km"')
        return np.log(time)
    if transform == "rank":
        return _mid_ranks(fit)
    return _failed_before(fit)


def _mid_ranks(fit: CoxEstimate) -> Floats:
    """Return the mean rank of each group's time among the stops of all rows, as R does."""
    stops, time = np.sort(fit.rows.stop), fit.rows.likelihood.sets.time
    before, through = (np.searchsorted(stops, time, side=side) for side in ("left", "right"))
    return (before + through + 1) / 2


def _failed_before(fit: CoxEstimate) -> Floats:
    """Return 1 − Kaplan-Meier just before each group's time, ignoring strata and weights."""
    rows = fit.rows
    pooled = RiskSets.of(rows.stop, rows.event, rows.start)
    at_risk = pooled.at_risk(np.ones(len(rows.stop)))
    survival = np.cumprod(1 - pooled.deaths / at_risk)
    before = np.concatenate(([1.0], survival[:-1]))
    return 1 - before[np.searchsorted(pooled.time, rows.likelihood.sets.time)]
