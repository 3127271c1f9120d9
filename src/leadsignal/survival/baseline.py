"""The baseline hazard of a Cox fit by stratum, and survival along a covariate path.

Breslow's (1972) estimate, with Efron's weights if the fit used them: each event group adds a = w̄ Σ
1/den_k. Variance after Tsiatis (1981) and Therneau & Grambsch (2000, §10.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal.errors import OptionError
from leadsignal.phrases import level_text
from leadsignal.stats.normal import normal_quantile
from leadsignal.survival.array_results import ArrayResult
from leadsignal.survival.cox_estimate import CoxEstimate
from leadsignal.survival.inputs import (
    ArrayValidator,
    Floats,
    Ints,
    length_of,
    snapped,
    sums_by_code,
)
from leadsignal.survival.plots import StepLine, step_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        spell, at = _inside(lower, upper)
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
        return pd.DataFrame(
            {
                "stratum": [self.strata[s] for s in stratum],
                "time": self.time,
                "hazard": self.hazard,
                "cumulative_hazard": np.concatenate(
                    [np.cumsum(self.hazard[slice(*cut)]) for cut in self._cuts()]
                ),
            }
        )

    def to_dict(self) -> dict[str, object]:
        """Return the baseline as a plain dictionary, ready for JSON."""
        derived = ("reference_hazard", "variance", "mean_increment")
        values = {**self.__dict__, **{name: getattr(self, name) for name in derived}}
        return {
            name: list(value) if isinstance(value, tuple) else value.tolist()
            for name, value in values.items()
        }

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
        validator = ArrayValidator("along", length_of("along", "stop", stop))
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
        return {name: getattr(self, name).tolist() for name in self.COLUMNS}

    def __repr__(self) -> str:
        return (
            f"Survival along a path: {self.survival[-1]:.4g} at {self.time[-1]:g} "
            f"({level_text(self.level)} {self.lower[-1]:.4g} to {self.upper[-1]:.4g})"
        )


def baseline_of(fit: CoxEstimate) -> Baseline:
    """Return the baseline of a fit."""
    likelihood, terms, sets = fit.rows.likelihood, fit.terms, fit.rows.likelihood.sets
    centre = np.zeros(len(fit.coef)) if likelihood.centre is None else likelihood.centre
    reference = likelihood.event_X.mean(axis=0)
    # The steps are at the centre of the covariates; shift them to the reference.
    move = float(reference @ fit.coef)
    return Baseline(
        names=fit.names,
        coef=fit.coef,
        cov=fit.cov if fit.robust_cov is None else fit.robust_cov,
        strata=fit.rows.strata.names,
        first=sets.first,
        time=sets.time,
        reference=centre + reference,
        log_hazard=terms.log_step + move,
        log_variance=terms.log_square + 2 * move,
        mean=terms.step_mean - reference,
    )


def exp_of(logs: Floats) -> Floats:
    """Return exp of ``logs``, infinite without a warning where it overflows."""
    with np.errstate(over="ignore"):
        values: Floats = np.exp(logs)
    return values


def _inside(lower: Ints, upper: Ints) -> tuple[Ints, Ints]:
    """Return interval number and position for every position in the ranges [lower, upper).

    >>> _inside(np.array([0, 4]), np.array([2, 5]))
    (array([0, 0, 1]), array([0, 1, 4]))
    """
    counts = np.maximum(upper - lower, 0)
    interval = np.repeat(np.arange(len(lower)), counts)
    return interval, np.arange(len(interval)) + np.repeat(
        lower - (np.cumsum(counts) - counts), counts
    )
