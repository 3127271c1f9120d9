"""Metrics of predictions: ranking, errors, and whether risks come true.

``ranking`` compares rows in pairs over time, ``horizon_risks`` evaluates risks within
a horizon; both are O(n log n) and give intervals by account.
"""

from leadsignal.survival.horizon_risks import (
    BrierScore,
    Calibration,
    DynamicAuc,
    brier,
    calibration,
    dynamic_auc,
)
from leadsignal.survival.ranking import Concordance, IncidentAuc, concordance, incident_auc

__all__ = [
    "BrierScore",
    "Calibration",
    "Concordance",
    "DynamicAuc",
    "IncidentAuc",
    "brier",
    "calibration",
    "concordance",
    "dynamic_auc",
    "incident_auc",
]
