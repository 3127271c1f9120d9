"""Proof that the alert stands before usage drops, where the truth is known, and on other data.

python benchmarks/lead.py catch [--seeds 20] [--accounts 2000] [--world leading]
python benchmarks/lead.py audit [--seeds 20] [--worlds leading slow_decline …]
python benchmarks/lead.py oulad | crm | time

``catch``: of unexpected churners, what each method catches in time at 10 % capacity. ``audit``:
which indicators are called leading. One line a seed as it is done, then means.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.alerts import on_grid

ROOT = Path(__file__).resolve().parents[1]
HORIZON = 180
METHODS = ("random", "usage", "context", "leading")


def panel_of(simulation: ls.Simulation) -> ls.Panel:
    with tempfile.TemporaryDirectory() as folder:
        simulation.write(folder)
        tables = ls.read_tables(folder)
        analysis = ls.read_success_analysis(Path(folder) / "success.toml")
        return ls.build_panel(tables, analysis)


def oracle(simulation: ls.Simulation, panel: ls.Panel) -> pd.DataFrame:
    """The true risk of every row that may be judged."""
    grid = on_grid(panel)[["account_id", "snapshot_on"]]
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HORIZON)
    grid = grid[grid["snapshot_on"] < last]
    return grid.assign(risk=simulation.truth.oracle_risk(grid, HORIZON))


def catch(world: str, seed: int, accounts: int) -> dict[str, float]:
    """What each method caught on one seed."""
    began = time.perf_counter()
    simulation = ls.simulate(accounts, seed=seed, world=world)
    panel = panel_of(simulation)
    backtest = ls.run_backtest(
        panel, methods=METHODS, extra={"oracle": oracle(simulation, panel)}
    )
    found = {
        "seed": seed,
        "ends": backtest.counts["ends"],
        "unexpected": backtest.counts["unexpected"],
        "with_drop": backtest.counts["with_usage_drop"],
        "seconds": time.perf_counter() - began,
    }
    for name, one in backtest.methods.items():
        for measure in (
            "unexpected_caught_in_time",
            "caught_in_time",
            "caught_before_drop",
            "alert_precision",
            "precision_at_capacity",
            "auc",
            "median_head_start_days",
            "new_alerts_a_month",
        ):
            found[f"{name} {measure}"] = getattr(one, measure)
    return found


def print_catch(rows: list[dict[str, float]]) -> None:
    frame = pd.DataFrame(rows)
    measure = " unexpected_caught_in_time"
    methods = [name.removesuffix(measure) for name in frame if name.endswith(measure)]
    table = pd.DataFrame(
        {
            name: {
                column.removeprefix(f"{name} "): frame[column].mean()
                for column in frame
                if column.startswith(f"{name} ")
            }
            for name in methods
        }
    )
    print(table.round(3).to_string())
    leading = frame[f"leading{measure}"]
    for other in ("oracle", "context", "usage"):
        against = frame[f"{other}{measure}"]
        difference = leading - against
        error = difference.std() / np.sqrt(len(frame))
        print(
            f"leading over {other}: {leading.mean() / against.mean():.2f} in the mean of"
            f" {len(frame)} seeds ({(leading / against).min():.2f} to"
            f" {(leading / against).max():.2f} by seed); difference {difference.mean():.3f}"
            f" ± {1.96 * error:.3f}"
        )


def run_catch(options: argparse.Namespace) -> None:
    rows = []
    for seed in range(options.first, options.first + options.seeds):
        rows.append(catch(options.world, seed, options.accounts))
        print(json.dumps({key: round(value, 4) for key, value in rows[-1].items()}), flush=True)
    print_catch(rows)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("catch")
    one.add_argument("--world", default="leading")
    one.set_defaults(run=run_catch)
    for command in (one,):
        command.add_argument("--seeds", type=int, default=20)
        command.add_argument("--first", type=int, default=0)
        command.add_argument("--accounts", type=int, default=2000)
    return parser


if __name__ == "__main__":
    chosen = parser().parse_args()
    chosen.run(chosen)
