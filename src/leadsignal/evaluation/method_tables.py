"""Tables of a backtest that cover all methods: differences, churns, alerts, counts, quarters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.churn.events import ChurnEvents
from leadsignal.evaluation.alerts import EvaluableChurns, EvaluationRows
from leadsignal.evaluation.evaluation_rows import MethodEvaluation
from leadsignal.panel import Panel
from leadsignal.stats.proportions import auc_of, mean_of

COLUMNS = ("quarter", "rows", "expected", "observed", "low", "high", "expected_over_observed")


def by_quarter(
    day: Any, risk: Any, churned: Any, customer: Any, weight: Any = None
) -> pd.DataFrame:
    """Return the expected and observed churn within the horizon, by quarter of the snapshot.

    Parameters
    ----------
    day, risk, churned, customer : array-like of shape (rows,)
        The day of the snapshot, the risk of churn within the horizon, whether it happened, and the
        customer. Rows are account-snapshots, so that an account can be in a quarter several times.
    weight : array-like of shape (rows,), optional
        Number of rows that each represents, in a sample of customers. Default: 1.

    Returns
    -------
    DataFrame
        One row per quarter: ``quarter`` ("2024Q1"), ``rows``, ``expected``, ``observed`` with a
        95 % interval clustered by customer (``low``, ``high``), and ``expected_over_observed``,
        missing if no churn was observed.

    Examples
    --------
    >>> days = np.array(["2024-01-01", "2024-02-05", "2024-04-01"], dtype="datetime64[D]")
    >>> table = by_quarter(days, [0.2, 0.4, 0.1], [True, False, False], ["a", "b", "b"])
    >>> table[["quarter", "rows", "expected", "observed"]].values.tolist()
    [['2024Q1', 2, 0.6000000000000001, 1], ['2024Q2', 1, 0.1, 0]]
    """
    frame = pd.DataFrame(
        {
            "quarter": pd.PeriodIndex(pd.to_datetime(np.asarray(day)), freq="Q").astype(str),
            "risk": np.asarray(risk, dtype=float),
            "churned": np.asarray(churned, dtype=float),
            "weight": 1.0 if weight is None else np.asarray(weight, dtype=float),
            "customer": pd.factorize(np.asarray(customer))[0].astype(np.int64),
        }
    )
    rows = [_quarter(str(name), mine) for name, mine in frame.groupby("quarter")]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _quarter(name: str, rows: pd.DataFrame) -> tuple[Any, ...]:
    churned, weight = rows["churned"].to_numpy(), rows["weight"].to_numpy()
    size = float(weight.sum())
    expected = float((rows["weight"] * rows["risk"]).sum())
    observed = float(weight @ churned)
    low, high = mean_of(churned, weight).interval(rows["customer"].to_numpy())
    ratio = expected / observed if observed else float("nan")
    limits = max(0.0, size * low), min(size, size * high)
    return name, len(rows), expected, round(observed), *limits, ratio


def methods_by_quarter(
    evaluated: Mapping[str, MethodEvaluation], evaluation: EvaluationRows
) -> pd.DataFrame:
    """Return `by_quarter` for each method that gives probabilities, with a column ``method``."""
    day, customer = evaluation.rows["snapshot_on"], evaluation.customer
    churned, weight = evaluation.churned, evaluation.weight
    tables = [
        by_quarter(day, one.ranked.risk, churned, customer, weight).assign(method=name)
        for name, one in evaluated.items()
        if one.ranked.is_probability
    ]
    if not tables:
        return pd.DataFrame(columns=["method", *COLUMNS])
    return pd.concat(tables, ignore_index=True)[["method", *COLUMNS]]


BASELINE = "context"
"""The method with which all others are compared."""


def counts_of(
    evaluation: EvaluationRows, churns: EvaluableChurns, found: ChurnEvents
) -> dict[str, int]:
    """Return the numbers of rows, accounts and churns that a backtest evaluates."""
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
    """Return the difference of each method from context, with paired 95 % intervals."""
    columns = ["method", "against", "measure", "difference", "low", "high"]
    if BASELINE not in evaluated:
        return pd.DataFrame(columns=columns)
    rows = []
    base = evaluated[BASELINE]
    for name, one in evaluated.items():
        if name == BASELINE:
            continue
        unexpected = one.unexpected_recall(evaluation, churns)
        for what, difference in (
            ("auc", one.auc(evaluation) - base.auc(evaluation)),
            ("recall_ahead", one.caught(evaluation, churns) - base.caught(evaluation, churns)),
            ("unexpected_recall_ahead", unexpected - base.unexpected_recall(evaluation, churns)),
        ):
            low, high = difference.interval(evaluation.customer)
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
    """Return one row per account and snapshot, with the risk and alert by each method."""
    frame = evaluation.rows[["account_id", "snapshot_on"]].copy()
    for name, one in evaluated.items():
        frame[f"{name}_risk"] = one.ranked.risk
        frame[f"{name}_alert"] = one.alerted
    return frame


SEGMENT = "segment"


def by_group(
    panel: Panel,
    evaluation: EvaluationRows,
    churns: EvaluableChurns,
    evaluated: Mapping[str, MethodEvaluation],
    segment: str | None,
) -> pd.DataFrame:
    """Return the measures by method and group: rows, churned, AUC, recall at capacity and ahead.

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
    weight = evaluation.weight[mine]
    auc = auc_of(churned, known, weight)
    low, high = auc.interval(evaluation.customer[mine]) if mine.any() else (np.nan, np.nan)
    of_churns = mine[churns.chance] & churns.unexpected
    alerted = one.alerted[mine]
    return {
        "rows": int(mine.sum()),
        "churned": int(churned.sum()),
        "auc": auc.estimate,
        "auc_low": low,
        "auc_high": high,
        "precision_at_capacity": mean_of(churned[alerted].astype(float), weight[alerted]).estimate,
        "recall_at_capacity": mean_of(alerted[churned].astype(float), weight[churned]).estimate,
        "unexpected": int(of_churns.sum()),
        "unexpected_recall_ahead": mean_of(one.catches.in_time[of_churns].astype(float)).estimate,
    }
