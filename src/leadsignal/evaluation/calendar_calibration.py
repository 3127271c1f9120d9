"""Calibration over time: expected and observed churn by calendar quarter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.evaluation.alerts import EvaluationRows
from leadsignal.evaluation.evaluation_rows import MethodEvaluation
from leadsignal.stats.row_estimates import mean_of

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
    tables = [
        by_quarter(day, one.ranked.risk, evaluation.churned, customer, evaluation.weight).assign(
            method=name
        )
        for name, one in evaluated.items()
        if one.ranked.is_probability
    ]
    if not tables:
        return pd.DataFrame(columns=["method", *COLUMNS])
    return pd.concat(tables, ignore_index=True)[["method", *COLUMNS]]
