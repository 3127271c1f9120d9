"""Loss of accuracy and gain in time from fitting on a sample of the stacked rows.

Each seed is a simulated business of 2,000 accounts, fitted 540 days before its end and evaluated as
in benchmarks/model.py: the share of the oracle's AUC, expected over observed churns, the
calibration slope, and the processor seconds of the fit, by the number of rows without an end that
are kept for each row with one, in the fit and in cross-fitting.

    python benchmarks/row_samples.py [--world leading] [--seeds 20]
"""

from __future__ import annotations

import argparse
import time
from typing import Any
from unittest.mock import patch

import pandas as pd
from sklearn.metrics import roc_auc_score

import leadsignal as ls
from leadsignal.model import stacked_model
from leadsignal.model.stacked_model import CROSS_FITTED, FITTED, SampleSize
from model import HELD_OUT, HORIZON, rows_to_judge, slope

ALL = 1_000_000
SIZES = {
    "all, at most 200,000 and 40,000": (
        SampleSize(ALL, 1, FITTED.most),
        SampleSize(ALL, 1, CROSS_FITTED.most),
    ),
    "20 and 10": (FITTED, CROSS_FITTED),
    "10 and 5": (
        SampleSize(10, FITTED.least, FITTED.most),
        SampleSize(5, CROSS_FITTED.least, CROSS_FITTED.most),
    ),
}


def measured(world: str, seed: int, accounts: int) -> list[dict[str, Any]]:
    """Return a row for each size of the sample, of one seed."""
    simulation = ls.simulate(accounts, seed=seed, world=world)
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    tables = {name: table for name, table in simulation.tables.items() if len(table)}
    panel = ls.build_panel(ls.read_tables(tables, as_of=simulation.as_of), analysis)
    cut = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HELD_OUT)
    past, rows = panel.as_of(cut.date()), rows_to_judge(panel, cut)
    left = (rows["ended_within"] <= HORIZON).to_numpy()
    risk = simulation.truth.oracle_risk(rows[["account_id", "snapshot_on"]], HORIZON)
    oracle = roc_auc_score(left, risk) - 0.5
    found = []
    for name, (fitted, cross_fitted) in SIZES.items():
        with patch.multiple(stacked_model, FITTED=fitted, CROSS_FITTED=cross_fitted):
            began = time.process_time()
            model = ls.ChurnModel().fit(past)
            seconds = time.process_time() - began
        risk = model.predict(rows).risk
        found.append(
            {
                "seed": seed,
                "kept for each end": name,
                "CPU s": seconds,
                "share of the oracle": (roc_auc_score(left, risk) - 0.5) / oracle,
                "expected over observed": float(risk.mean() / left.mean()),
                "slope": slope(rows, left, risk, "slope")["slope"],
            }
        )
    return found


def main() -> None:
    """Print each seed, then means and standard errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="leading")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--accounts", type=int, default=2000)
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(100, 100 + chosen.seeds):
        rows += measured(chosen.world, seed, chosen.accounts)
        print(pd.DataFrame(rows[-len(SIZES) :]).round(3).to_string(header=seed == 100), flush=True)
    by_size = pd.DataFrame(rows).drop(columns="seed").groupby("kept for each end", sort=False)
    print(by_size.agg(["mean", "sem"]).round(3).to_string())


if __name__ == "__main__":
    main()
