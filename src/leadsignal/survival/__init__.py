"""Survival analysis on arrays: Cox regression, curves, and the judging of predictions.

Arrays in, small frozen results out; every result has ``to_dict`` and most ``to_frame`` and
``plot``. What differs from the textbook stands in ``docs/survival.md``.
"""

from leadsignal.survival.baseline import Baseline, PathPrediction
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.curves import (
    Curve,
    Curves,
    LogRank,
    Quantile,
    aalen_johansen,
    kaplan_meier,
    logrank,
    nelson_aalen,
    probability_at,
    restricted_mean,
    simon_makuch,
)
from leadsignal.survival.estimates import ChiSquare, Contrast, Estimates
from leadsignal.survival.metrics import (
    BrierScore,
    Calibration,
    Concordance,
    DynamicAuc,
    IncidentAuc,
    brier,
    calibration,
    concordance,
    dynamic_auc,
    incident_auc,
)
from leadsignal.survival.proportionality import ProportionalityTest
from leadsignal.survival.residuals import Residuals
from leadsignal.survival.with_lifelines import (
    CrossCheck,
    cross_check,
    fit_aft,
    plot_kaplan_meier,
)

__all__ = [
    "Baseline",
    "BrierScore",
    "Calibration",
    "ChiSquare",
    "Concordance",
    "Contrast",
    "CoxFit",
    "CrossCheck",
    "Curve",
    "Curves",
    "DynamicAuc",
    "Estimates",
    "IncidentAuc",
    "LogRank",
    "PathPrediction",
    "ProportionalityTest",
    "Quantile",
    "Residuals",
    "aalen_johansen",
    "brier",
    "calibration",
    "concordance",
    "cross_check",
    "dynamic_auc",
    "fit_aft",
    "fit_cox",
    "incident_auc",
    "kaplan_meier",
    "logrank",
    "nelson_aalen",
    "plot_kaplan_meier",
    "probability_at",
    "restricted_mean",
    "simon_makuch",
]
