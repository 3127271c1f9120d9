"""How close the model comes to the best possible prediction, in simulated worlds.

For each seed: 2,000 accounts over four years, fitted on what was known 540 days before the end and
evaluated on every later 28-day snapshot that has been followed for 180 days. Prints the AUC of the
oracle, of the model and of context alone, the share (AUC - 0.5) / (oracle - 0.5), expected over
observed churns, and the calibration slope (1 is perfect; z is its distance from 1 in standard
errors clustered by account), over all rows and over those with a renewal within the horizon.

    python benchmarks/model.py [--world leading] [--seeds 20] [--estimator ensemble]
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import leadsignal as ls
from leadsignal.model.stacked_model import Estimator
from leadsignal.survival.horizon_risks import calibration

HORIZON, HELD_OUT = 180, 540


def rows_to_judge(panel: ls.Panel, cut: pd.Timestamp) -> pd.DataFrame:
    """Rows from the cut on, followed for a whole horizon, of accounts without notice."""
    frame = panel.frame
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HORIZON)
    judged = (frame["snapshot_on"] >= cut) & (frame["snapshot_on"] <= last)
    return frame[judged & ~frame["notice_given"]]


def measure(world: str, seed: int, accounts: int, estimator: Estimator) -> dict[str, float]:
    """Return the figures of one seed."""
    simulation = ls.simulate(accounts, seed=seed, world=world)
    with tempfile.TemporaryDirectory() as folder:
        simulation.write(folder)
        tables = ls.read_tables(folder)
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    panel = ls.build_panel(tables, analysis)
    cut = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HELD_OUT)
    past, rows = panel.as_of(cut.date()), rows_to_judge(panel, cut)
    # All ends: none is named in not_churn, and the oracle's risk is of all of them too.
    left = (rows["ended_within"] <= HORIZON).to_numpy()
    oracle = simulation.truth.oracle_risk(rows[["account_id", "snapshot_on"]], HORIZON)
    model = ls.ChurnModel(estimator=estimator).fit(past)
    context = ls.ChurnModel(estimator=estimator, roles=("context",)).fit(past)
    risk = model.predict(rows).risk
    auc = {
        "oracle": roc_auc_score(left, oracle),
        "model": roc_auc_score(left, risk),
        "context": roc_auc_score(left, context.predict(rows).risk),
    }
    return {
        **auc,
        "share": (auc["model"] - 0.5) / (auc["oracle"] - 0.5),
        "over_context": auc["model"] - auc["context"],
        "expected_over_observed": float(risk.mean() / left.mean()),
        **slope(rows, left, risk, "slope"),
        **slope(*renewing(rows, left, risk), "renewal_slope"),
    }


def renewing(rows: pd.DataFrame, left: Any, risk: Any) -> tuple[pd.DataFrame, Any, Any]:
    """Rows of term contracts with a renewal within the horizon."""
    soon = ((rows["days_to_renewal"] < HORIZON) & (rows["term_months"] > 2)).to_numpy()
    return rows[soon], left[soon], risk[soon]


def slope(rows: pd.DataFrame, left: Any, risk: Any, name: str) -> dict[str, float]:
    """Calibration slope and its distance from 1 in standard errors, clustered by account."""
    found = calibration(
        np.where(left, rows["ended_within"], HORIZON + 1.0), left, risk, HORIZON,
        cluster=rows["account_id"].to_numpy(str),
    ).slope  # fmt: skip
    error = (found[2] - found[1]) / 2 / 1.959964
    return {name: found[0], f"{name}_z": (found[0] - 1) / error}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", default="leading")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--estimator", default="ensemble")
    options = parser.parse_args()
    got = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        got.append(measure(options.world, seed, options.accounts, options.estimator))
        line = "  ".join(f"{key} {value:.3f}" for key, value in got[-1].items())
        print(f"seed {seed}  {line}", flush=True)
    table = pd.DataFrame(got)
    print(f"{options.world}, {len(got)} seeds of {options.accounts} accounts, {options.estimator}")
    print(pd.DataFrame({
        "mean": table.mean(),
        "standard error": table.std() / np.sqrt(len(table)),
        "lowest": table.min(),
        "highest": table.max(),
    }).round(3).to_string())  # fmt: skip


if __name__ == "__main__":
    main()
