"""Tables of a backtest, over all of its methods: differences, churns, alerts, counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from leadsignal.churn.events import ChurnEvents
from leadsignal.evaluation.alerts import EvaluableChurns, EvaluationRows
from leadsignal.evaluation.evaluation_rows import MethodEvaluation

BASELINE = "context"
"""The method with which the others are compared."""


def counts_of(
    evaluation: EvaluationRows, churns: EvaluableChurns, found: ChurnEvents
) -> dict[str, int]:
    """Return how many rows, accounts and churns a backtest evaluates."""
    return {
        "rows": len(evaluation.rows),
        "snapshots": len(np.unique(evaluation.day)),
        "accounts": len(np.unique(evaluation.account)),
        "churns": len(churns.frame),
        "unexpected": int(churns.unexpected.sum()),
        "with_usage_drop": int(churns.frame["usage_drop_on"].notna().sum()),
        "churns_not_evaluated": len(found.churned) - len(churns.frame),
    }


def differences_from_context(
    evaluated: Mapping[str, MethodEvaluation], evaluation: EvaluationRows, churns: EvaluableChurns
) -> pd.DataFrame:
    """Return each method less context, with 95 % intervals, from the same rows and churns."""
    columns = ["method", "against", "measure", "difference", "low", "high"]
    if BASELINE not in evaluated:
        return pd.DataFrame(columns=columns)
    rows = []
    base = evaluated[BASELINE]
    base_auc, base_catch = base.auc(evaluation), base.unexpected_recall(churns)
    for name, one in evaluated.items():
        if name == BASELINE:
            continue
        for what, difference, cluster in (
            ("auc", one.auc(evaluation) - base_auc, evaluation.customer),
            ("recall_ahead", one.caught() - base.caught(), churns.customer),
            (
                "unexpected_recall_ahead",
                one.unexpected_recall(churns) - base_catch,
                churns.customer,
            ),
        ):
            low, high = difference.interval(cluster)
            rows.append((name, BASELINE, what, difference.estimate, low, high))
    return pd.DataFrame(rows, columns=columns)


def churns_by_method(
    churns: EvaluableChurns, evaluated: Mapping[str, MethodEvaluation]
) -> pd.DataFrame:
    """Return one row per churn and method: whether it was caught, and how long before."""
    parts = [
        churns.frame.assign(
            method=name,
            recall_ahead=one.catches.in_time,
            recall_before_drop=one.catches.before_drop,
            lead_days=one.catches.lead,
            head_start_days=one.catches.head_start,
        )
        for name, one in evaluated.items()
    ]
    return pd.concat(parts, ignore_index=True)


def alerts_by_method(
    evaluation: EvaluationRows, evaluated: Mapping[str, MethodEvaluation]
) -> pd.DataFrame:
    """Return one row per account and snapshot: risk and alert by each method."""
    frame = evaluation.rows[["account_id", "snapshot_on"]].copy()
    for name, one in evaluated.items():
        frame[f"{name}_risk"] = one.ranked.risk
        frame[f"{name}_alert"] = one.alerted
    return frame
