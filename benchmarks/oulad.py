"""Real course registrations: fit as of 2014-02-01, score every 14 days after it.

Prints the AUC of withdrawal within 28 days, for context alone and with behaviours and results, by
estimator. Needs the tables that examples/oulad/leadsignal.toml names.

    python benchmarks/oulad.py
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import leadsignal as ls

PROJECT = Path(__file__).resolve().parents[1] / "examples" / "oulad"
CUT = "2014-02-01"
HORIZON = 28


def judged(panel: ls.Panel) -> pd.DataFrame:
    """Rows from the cut on that have been followed for a whole horizon, or to their end."""
    frame = panel.frame
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HORIZON)
    return frame[(frame["snapshot_on"] >= CUT) & (frame["snapshot_on"] <= last)]


def interval(rows: pd.DataFrame, left: np.ndarray, risk: np.ndarray) -> tuple[float, float]:
    """95 % interval of the AUC, by resampling accounts."""
    rng = np.random.default_rng(0)
    codes, accounts = pd.factorize(rows["account_id"])
    aucs = []
    for _ in range(100):
        weight = rng.multinomial(len(accounts), np.full(len(accounts), 1 / len(accounts)))[codes]
        aucs.append(roc_auc_score(left, risk, sample_weight=weight))
    return float(np.quantile(aucs, 0.025)), float(np.quantile(aucs, 0.975))


def main() -> None:
    began = time.process_time()
    tables = ls.read_tables(PROJECT, drop_bad_rows=True)
    panel = ls.build_panel(tables, ls.read_success_analysis(PROJECT / "success.toml"))
    print(panel)
    print(f"dropped rows: {dict(tables.dropped_rows)}")
    print(f"read and built in {time.process_time() - began:.1f} CPU s")
    past, rows = panel.as_of(CUT), judged(panel)
    left = ((rows["ended_within"] <= HORIZON) & (rows["end_cause"] == "churn")).to_numpy()
    print(
        f"{len(rows):,} rows judged, {left.sum():,} withdrew within {HORIZON} days"
        f" ({left.mean():.2%})"
    )
    for roles in (("context",), ("leading", "lagging", "context")):
        for estimator in ("logistic", "boosting"):
            began = time.process_time()
            model = ls.ChurnModel("28d", "14d", estimator=estimator, roles=roles).fit(past)
            risk = model.predict(rows).risk
            low, high = interval(rows, left, risk)
            print(
                f"{'+'.join(roles):24s} {estimator:9s} AUC {roc_auc_score(left, risk):.3f}"
                f" [{low:.3f}, {high:.3f}]  mean risk {risk.mean():.3f}, observed {left.mean():.3f}"
                f"  {time.process_time() - began:.1f} CPU s"
            )


if __name__ == "__main__":
    main()
