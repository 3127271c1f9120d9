"""Compare models fitted on case-cohort samples of the panel with those fitted on the whole panel.

Prints, for each estimator and share, the mean risk of accounts of another business by the whole
panel and by samples; the variation of a single sample's risks around those of the whole panel,
compared with the bootstrap variation of the latter over accounts; and the AUC of both.

    python benchmarks/sample.py [--accounts 1500] [--samples 6]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import leadsignal as ls


def business(accounts: int, seed: int, folder: str) -> tuple[ls.Tables, ls.SuccessAnalysis]:
    made = ls.simulate(accounts, seed=seed, days=1460).write(folder)
    return ls.read_tables(made), ls.read_success_analysis(made / "success.toml")


def again(panel: ls.Panel, rng: np.random.Generator) -> ls.Panel:
    """The panel of accounts drawn with replacement."""
    groups = list(panel.frame.groupby("account_id").indices.values())
    drawn = rng.integers(0, len(groups), len(groups))
    rows = np.concatenate([groups[k] for k in drawn])
    return replace(panel, frame=panel.frame.iloc[rows].reset_index(drop=True))


def log_odds(estimator: Any, panel: ls.Panel, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    risk = ls.ChurnModel(estimator=estimator).fit(panel).predict(rows).risk
    return np.log(risk / (1 - risk))


def compared(
    estimator: Any, whole: ls.Panel, samples: list[ls.Panel], rows: pd.DataFrame, draws: int
) -> str:
    truth = (rows["ended_within"] <= 180).to_numpy()
    full = log_odds(estimator, whole, rows)
    found = np.array([log_odds(estimator, sample, rows) for sample in samples])
    rng = np.random.default_rng(0)
    own = np.array([log_odds(estimator, again(whole, rng), rows) for _ in range(draws)])
    risk, by_whole = 1 / (1 + np.exp(-found)), 1 / (1 + np.exp(-full))
    spread = risk.mean(1).std(ddof=1)
    areas = [roc_auc_score(truth, one) for one in found]
    return (
        f"{by_whole.mean():9.4f} {risk.mean():9.4f} {spread:9.4f}"
        f" {np.sqrt(((found - full) ** 2).mean()):9.3f} {np.sqrt(((own - full) ** 2).mean()):9.3f}"
        f" {roc_auc_score(truth, full):8.3f} {np.mean(areas):8.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1500)
    parser.add_argument("--samples", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        tables, analysis = business(options.accounts, 11, one)
        others = ls.build_panel(*business(options.accounts, 12, two)).frame
        rows = others[(others["days_observed"] >= 180) | others["ended_within"].notna()]
        rows = rows[~rows["notice_given"]].iloc[::3]
        whole = ls.build_panel(tables, analysis)
        print(f"{'':9} {'share':>5} {'rows':>7} {'whole':>9} {'samples':>9} {'spread':>9}"
              f" {'apart':>9} {'anew':>9} {'AUC':>8} {'sample':>8}")  # fmt: skip
        for share in (0.3, 0.1):
            samples = [
                ls.panel.sample_panel(tables, analysis, share=share, seed=seed)
                for seed in range(options.samples)
            ]
            for estimator in ("logistic", "boosting"):
                line = compared(estimator, whole, samples, rows, options.samples)
                size = len(samples[0].frame) / len(whole.frame)
                print(f"{estimator:9} {share:5.2f} {size:7.0%} {line}", flush=True)


if __name__ == "__main__":
    main()
