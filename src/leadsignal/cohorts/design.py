"""The design of a comparison: data, methods, covariates, and days."""

from __future__ import annotations

from dataclasses import dataclass

from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.survival.inputs import Floats


@dataclass(frozen=True, eq=False)
class Design:
    """The design of a comparison.

    Parameters
    ----------
    cohorts : DatedCohorts
        The data.
    methods : tuple of str
        Names of the methods.
    adjust : tuple of str
        Names of the covariates to adjust for.
    X : ndarray of shape (accounts, columns), optional
        Baseline covariates.
    mediators : tuple of str
        Names of the dated covariates.
    landmark : int
        Day of the landmark, also used by the target trial.
    horizon : float
        Last day of the restricted means.
    level : float
        Confidence level.
    """

    cohorts: DatedCohorts
    methods: tuple[str, ...]
    adjust: tuple[str, ...]
    X: Floats | None
    mediators: tuple[str, ...]
    landmark: int
    horizon: float
    level: float
