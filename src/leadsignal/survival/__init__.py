"""Survival analysis on arrays: Cox regression, curves, and the judging of predictions."""

from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.curves import (
    Curve,
    Curves,
    aalen_johansen,
    kaplan_meier,
    logrank,
    nelson_aalen,
    probability_at,
    restricted_mean,
    simon_makuch,
)

__all__ = [
    "CoxFit",
    "Curve",
    "Curves",
    "aalen_johansen",
    "fit_cox",
    "kaplan_meier",
    "logrank",
    "nelson_aalen",
    "probability_at",
    "restricted_mean",
    "simon_makuch",
]
