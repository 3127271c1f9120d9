"""Results of a backtest by segment, and with and without a renewal inside the horizon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.evaluation.alerts import EvaluableChurns, EvaluationRows
from leadsignal.evaluation.evaluation_rows import MethodEvaluation
from leadsignal.panel import Panel
from leadsignal.stats.row_estimates import auc_of, mean_of

SEGMENT = "segment"


def by_group(
    panel: Panel,
    evaluation: EvaluationRows,
    churns: EvaluableChurns,
    evaluated: Mapping[str, MethodEvaluation],
    segment: str | None,
) -> pd.DataFrame:
    """Return one row a method, grouping and value: rows, churned, AUC, capacity, catch.

    A churn belongs to the group of its account at the last snapshot at which it could be caught.
    """
    rows = [
        {"method": name, "group": group, "value": value, **_of(one, evaluation, churns, mine)}
        for group, value, mine in _groups(panel, evaluation, segment)
        for name, one in evaluated.items()
    ]
    return pd.DataFrame(rows)


def _groups(
    panel: Panel, evaluation: EvaluationRows, segment: str | None
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    context = panel.names(role="context")
    chosen = segment or (SEGMENT if SEGMENT in context else None)
    if chosen is not None:
        values = evaluation.rows[chosen].astype("string").fillna("unknown").to_numpy(dtype=object)
        for value in sorted(set(values)):
            yield chosen, str(value), np.asarray(values == value)
    if "days_to_renewal" in context:
        left = evaluation.rows["days_to_renewal"].to_numpy(dtype=float, na_value=np.nan)
        for value, mine in (("yes", left <= evaluation.horizon), ("no", left > evaluation.horizon)):
            yield "renewal_within_horizon", value, mine


def _of(
    one: MethodEvaluation,
    evaluation: EvaluationRows,
    churns: EvaluableChurns,
    mine: NDArray[np.bool_],
) -> dict[str, Any]:
    risk, churned = one.ranked.risk[mine], evaluation.churned[mine]
    known = np.where(np.isnan(risk), -np.inf, risk)
    auc = auc_of(churned, known)
    low, high = auc.interval(evaluation.customer[mine]) if mine.any() else (np.nan, np.nan)
    of_churns = mine[churns.chance] & churns.unexpected
    alerted = one.alerted[mine]
    return {
        "rows": int(mine.sum()),
        "churned": int(churned.sum()),
        "auc": auc.estimate,
        "auc_low": low,
        "auc_high": high,
        "precision_at_capacity": mean_of(churned[alerted].astype(float)).estimate,
        "recall_at_capacity": mean_of(alerted[churned].astype(float)).estimate,
        "unexpected": int(of_churns.sum()),
        "unexpected_recall_ahead": mean_of(one.catches.in_time[of_churns].astype(float)).estimate,
    }
