"""Expected over observed churn of the next horizon, before and after a recalibration.

python benchmarks/recalibration.py [--worlds rising leading no_effect] [--seeds 8]
                                   [--accounts 1500] [--estimator logistic]

A business is simulated until half a year after the day of the fit. The model is fitted on what was
known on that day, recalibrated on the same panel, and forecasts the next 180 days of the active
accounts. Prints the ratio of expected to observed churns, summed over seeds, with its standard
error between seeds, and the mean distance of a seed's ratio from 1.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.model.stacked_model import ESTIMATORS, Estimator

DAYS, HORIZON = 1460, 180


def one_seed(world: str, seed: int, accounts: int, estimator: Estimator) -> dict[str, float]:
    """Return the expected churns before and after, the observed churns, and the factor."""
    with tempfile.TemporaryDirectory() as folder:
        ls.simulate(accounts, seed=seed, world=world, days=DAYS + HORIZON).write(folder)
        tables = ls.read_tables(folder)
        analysis = ls.read_success_analysis(Path(folder) / "success.toml")
        day = tables.as_of_date - timedelta(days=HORIZON)
        panel = ls.build_panel(tables.as_of(day), analysis)
        later = tables.frame("accounts").set_index("account_id")
    model = ls.ChurnModel(estimator=estimator).fit(panel)
    recalibrated = model.recalibrated(panel)
    now = panel.current()
    active = now[~now["notice_given"]]
    ended = later.loc[active["account_id"]]
    churned = (ended["ended_on"] <= pd.Timestamp(day + timedelta(days=HORIZON))) & ~ended[
        "end_reason"
    ].isin(panel.project.not_churn)
    return {
        "before": float(model.predict(active).risk.sum()),
        "after": float(recalibrated.predict(active).risk.sum()),
        "observed": float(churned.sum()),
        "factor": recalibrated.recalibration_.factor,
        "prior_spread": recalibrated.recalibration_.prior_spread,
    }


def main() -> None:
    """Measure each world: print one line per seed, then all seeds combined."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="+", default=["rising", "leading", "no_effect"])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--accounts", type=int, default=1500)
    parser.add_argument("--estimator", choices=ESTIMATORS, default="logistic")
    options = parser.parse_args()
    for world in options.worlds:
        found = []
        for seed in range(100, 100 + options.seeds):
            one = one_seed(world, seed, options.accounts, options.estimator)
            found.append(one)
            print(world, seed, {name: round(value, 2) for name, value in one.items()}, flush=True)
        observed = np.array([one["observed"] for one in found])
        for name in ("before", "after"):
            expected = np.array([one[name] for one in found])
            ratio = expected / observed
            error = ratio.std(ddof=1) / np.sqrt(len(ratio))
            print(
                f"{world} {name}: expected over observed {expected.sum() / observed.sum():.3f}"
                f" (standard error {error:.3f}), mean distance from 1"
                f" {np.abs(ratio - 1).mean():.3f}"
            )


if __name__ == "__main__":
    main()
