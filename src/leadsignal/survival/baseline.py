"""The baseline hazard of a Cox fit by stratum, and survival along a covariate path.

Breslow's (1972) estimate, with Efron's weights where the fit used them: each group adds
a = w̄ Σ 1/den_k. Variance after Tsiatis (1981) and Therneau & Grambsch (2000, §10.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from leadsignal.errors import OptionError
from leadsignal.survival.estimates import normal_quantile
from leadsignal.survival.inputs import Door, Floats, Ints, length_of, snapped
from leadsignal.survival.risk_sets import from_the_first

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from leadsignal.survival.cox import CoxFit


@dataclass(frozen=True, eq=False, repr=False)
class Baseline:
    """Baseline hazard of each stratum.

    Attributes: ``names`` (p) and ``coef`` of the model, ``cov``, the covariance of coef (robust
    where the fit was clustered); ``strata`` (s), ``first`` (s + 1), where each stratum's event
    times begin; ``time`` (G); ``reference`` (p), the events' mean covariates, and at them (and an
    offset of zero) ``reference_hazard`` and ``variance`` of each time (G) and
    ``mean_increment`` (G × p), hazard times the mean covariates of those at risk, from reference.

    Predictions start from the reference: hazards at covariates of zero, which ``hazard``,
    ``cumulative`` and the frame give, can lie beyond all numbers.
    """

    names: tuple[str, ...]
    coef: Floats
    cov: Floats
    strata: tuple[object, ...]
    first: Ints
    time: Floats
    reference: Floats
    reference_hazard: Floats
    variance: Floats
    mean_increment: Floats

    @property
    def hazard(self) -> Floats:
        """Increments of the hazard at covariates of zero (G)."""
        with np.errstate(over="ignore"):
            hazard: Floats = self.reference_hazard * np.exp(-self.reference @ self.coef)
        return hazard

    def cumulative(self, stratum: object = None) -> tuple[Floats, Floats]:
        """Return event times and cumulative hazard of one stratum (None: the only one)."""
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
        """Return survival along a path: covariates X[k] (m × p) hold on (start[k], stop[k]].

        Intervals may have gaps (no risk there) but must not overlap; survival is given at each
        stop, from the first start on. Raises OptionError with every fault of the arrays.

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
        risk = np.exp(paths @ self.coef)
        hazard = risk * _between(self.reference_hazard[part], lower, upper)
        own = risk**2 * _between(self.variance[part], lower, upper)
        # Derivative of the path's hazard by coef: x ΔH − ∫ x̄ dH, times the risk.
        slope = paths * hazard[:, None]
        slope -= risk[:, None] * _between(self.mean_increment[part], lower, upper)
        slope = np.cumsum(slope, axis=0)
        variance = np.cumsum(own) + np.einsum("ij,jk,ik->i", slope, self.cov, slope)
        return PathPrediction(stops, np.cumsum(hazard), np.sqrt(variance), level)

    def to_frame(self) -> pd.DataFrame:
        """Return one row an event time and stratum: hazard and cumulative hazard."""
        import pandas as pd

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
        return {
            name: list(value) if isinstance(value, tuple) else value.tolist()
            for name, value in self.__dict__.items()
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the cumulative baseline hazard by stratum and return the Axes."""
        from leadsignal.survival.pictures import baseline_hazard

        return baseline_hazard(self, ax)

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
        door = Door("along", length_of("along", "stop", stop))
        stops, starts = door.times(stop, start)
        paths = door.matrix("X", X, self.names).astype(np.float64, copy=False)
        door.no_gaps(paths, self.names)
        if starts is not None and (starts[1:] < stops[:-1]).any():
            door.refuse("intervals overlap or are out of order; sort them by start")
        door.level(level)
        door.close()
        return paths, np.zeros(0) if starts is None else starts, stops


@dataclass(frozen=True, eq=False, repr=False)
class PathPrediction:
    """Survival along a path: ``time`` (m), ``cumulative_hazard`` and its ``std_err`` (m)."""

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
        """Lower limit of survival (m), symmetric on the scale of the hazard."""
        return np.exp(-self.cumulative_hazard - normal_quantile(self.level) * self.std_err)

    @property
    def upper(self) -> Floats:
        """Upper limit of survival (m), at most 1."""
        reach = normal_quantile(self.level) * self.std_err
        return np.exp(-np.maximum(self.cumulative_hazard - reach, 0.0))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a time: survival, lower, upper, cumulative_hazard, std_err."""
        import pandas as pd

        columns = ("time", "survival", "lower", "upper", "cumulative_hazard", "std_err")
        return pd.DataFrame({name: getattr(self, name) for name in columns})

    def to_dict(self) -> dict[str, object]:
        """Return the prediction as a plain dictionary, ready for JSON."""
        return {str(name): column.tolist() for name, column in self.to_frame().items()}

    def __repr__(self) -> str:
        return (
            f"Survival along a path: {self.survival[-1]:.4g} at {self.time[-1]:g} "
            f"({self.level:.0%} {self.lower[-1]:.4g} to {self.upper[-1]:.4g})"
        )


def baseline_of(fit: CoxFit) -> Baseline:
    """Return the baseline of a fit."""
    likelihood, terms, sets = fit.rows.likelihood, fit.terms, fit.rows.likelihood.sets
    centre = np.zeros(len(fit.coef)) if likelihood.centre is None else likelihood.centre
    reference = likelihood.event_X.mean(axis=0)
    # Risks were exp(η − shift) with covariates from the centre; move them to the reference.
    scale = np.exp(reference @ fit.coef - likelihood.shift)
    return Baseline(
        names=fit.names,
        coef=fit.coef,
        cov=fit.cov if fit.robust_cov is None else fit.robust_cov,
        strata=fit.rows.strata.names,
        first=sets.first,
        time=sets.time,
        reference=centre + reference,
        reference_hazard=terms.a * scale,
        variance=terms.c0 * scale**2,
        mean_increment=(terms.mean_increment - terms.a[:, None] * reference) * scale,
    )


def _between(values: Floats, lower: Ints, upper: Ints) -> Floats:
    running = from_the_first(values)
    total: Floats = running[upper] - running[lower]
    return total
