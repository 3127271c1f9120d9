"""Judging predictions: how they rank, how far off they are, whether they come true.

``ranking`` holds what compares rows in pairs over time, ``horizon_risks`` what judges risks within
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
