"""How early alerts are raised before usage drops, in simulations and on other data.

python benchmarks/lead.py catch [--seeds 20] [--accounts 2000] [--world leading]
python benchmarks/lead.py audit [--seeds 20] [--worlds leading slow_decline …]
python benchmarks/lead.py ends  [--seeds 20] [--worlds slow_decline …]
python benchmarks/lead.py oulad | crm | time | coverage

``catch``: the share of unexpected churn that each method catches in time at 10 % capacity.
``audit``: which indicators are called leading. Prints one line per seed, then means.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.evaluation.past_rows import on_grid
from leadsignal.survival.horizon_risks import dynamic_auc

ROOT = Path(__file__).resolve().parents[1]
HORIZON = 180
METHODS = ("random", "usage", "context", "leading")


def panel_of(simulation: ls.datasets.Simulation) -> ls.Panel:
    with tempfile.TemporaryDirectory() as folder:
        simulation.write(folder)
        tables = ls.read_tables(folder)
        analysis = ls.read_success_analysis(Path(folder) / "success.toml")
        return ls.build_panel(tables, analysis)


def oracle(simulation: ls.datasets.Simulation, panel: ls.Panel) -> pd.DataFrame:
    """The true risk of every row that can be evaluated."""
    grid = on_grid(panel)[["account_id", "snapshot_on"]]
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HORIZON)
    grid = grid[grid["snapshot_on"] < last]
    return grid.assign(risk=simulation.truth.oracle_risk(grid, HORIZON))


def catch(world: str, seed: int, accounts: int) -> dict[str, float]:
    """The results of each method on one seed."""
    began = time.perf_counter()
    simulation = ls.simulate(accounts, seed=seed, world=world)
    panel = panel_of(simulation)
    backtest = ls.run_backtest(panel, methods=METHODS, extra={"oracle": oracle(simulation, panel)})
    found = {
        "seed": seed,
        "churns": backtest.counts["churns"],
        "unexpected": backtest.counts["unexpected"],
        "with_drop": backtest.counts["with_usage_drop"],
        "seconds": time.perf_counter() - began,
    }
    for name, one in backtest.methods.items():
        for measure in (
            "unexpected_recall_ahead",
            "recall_ahead",
            "recall_before_drop",
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
    measure = " unexpected_recall_ahead"
    columns = [str(column) for column in frame]
    methods = [name.removesuffix(measure) for name in columns if name.endswith(measure)]
    table = pd.DataFrame(
        {
            name: {
                column.removeprefix(f"{name} "): frame[column].mean()
                for column in columns
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


def audit(world: str, seed: int, accounts: int) -> dict[str, object]:
    """The verdicts on one seed: family and name of leading and lagging indicators."""
    began = time.perf_counter()
    found = ls.audit_indicators(panel_of(ls.simulate(accounts, seed=seed, world=world)))
    ends = found.frame
    return {
        "world": world,
        "seed": seed,
        "ends": found.sets,
        "leading": found.names("leading"),
        "lagging": found.names("lagging"),
        "families_leading": sorted(set(ends.loc[ends["verdict"] == "leading", "family"])),
        "families_lagging": sorted(set(ends.loc[ends["verdict"] == "lagging", "family"])),
        "seconds": round(time.perf_counter() - began, 1),
    }


def print_audits(rows: list[dict[str, object]]) -> None:
    for world, of in pd.DataFrame(rows).groupby("world", sort=False):
        some = int((of["leading"].str.len() > 0).sum())
        print(f"{world}: {some} of {len(of)} seeds with a leading verdict")
        for verdict in ("leading", "lagging"):
            count = Counter(name for names in of[verdict] for name in names)
            told = ", ".join(f"{name} {n}" for name, n in count.most_common(12))
            print(f"  {verdict}, in how many seeds: {told or 'none'}")


def run_audit(options: argparse.Namespace) -> None:
    rows = []
    for seed in range(options.first, options.first + options.seeds):
        for world in options.worlds:
            rows.append(audit(world, seed, options.accounts))
            print(json.dumps(rows[-1]), flush=True)
    print_audits(rows)


def run_ends(options: argparse.Namespace) -> None:
    """How many ends have a usage drop, and how many are signalled."""
    for seed in range(options.first, options.first + options.seeds):
        for world in options.worlds:
            panel = panel_of(ls.simulate(options.accounts, seed=seed, world=world))
            print(json.dumps({"world": world, "seed": seed, **ls.churn_events(panel).to_dict()}))


def run_oulad(options: argparse.Namespace) -> None:
    """Course registrations: horizons in course days, printed beside context."""
    folder = ROOT / "examples" / "oulad"
    tables = ls.read_tables(folder, drop_bad_rows=True)
    panel = ls.build_panel(tables, ls.read_success_analysis(folder / "success.toml"))
    print(panel)
    print(ls.churn_events(panel))
    for horizon in ("28d", "56d"):
        began = time.perf_counter()
        print(ls.run_backtest(panel, horizon=horizon, origins=options.origins))
        print(f"{time.perf_counter() - began:.0f} s")


def run_crm(options: argparse.Namespace) -> None:
    """A product whose behaviour rates are constant by account: no decline may be found."""
    folder = ROOT / "examples" / "crm"
    panel = ls.build_panel(
        ls.read_tables(folder), ls.read_success_analysis(folder / "success.toml")
    )
    print(ls.churn_events(panel))
    print(ls.audit_indicators(panel))


def panel_of_numbers(
    rng: np.random.Generator, accounts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Snapshots of accounts with a lasting risk and a score of it: stop, event, score, account."""
    risk = rng.normal(size=accounts)
    end = rng.exponential(900 * np.exp(-risk))
    noise = rng.normal(size=accounts)
    stop, event, score, account = [], [], [], []
    for number in range(accounts):
        days = np.arange(0, 720, 28)
        days = days[days < end[number]]
        left = end[number] - days
        stop.append(np.minimum(left, 181.0))
        event.append(left <= 180)
        score.append(risk[number] + noise[number] + 0.5 * rng.normal(size=len(days)))
        account.append(np.full(len(days), number))
    return tuple(np.concatenate(part) for part in (stop, event, score, account))  # type: ignore


def run_coverage(options: argparse.Namespace) -> None:
    """Coverage of 95 % intervals of the AUC, clustered by account; truth from a huge panel."""
    rng = np.random.default_rng(0)
    truth = np.mean([_auc(panel_of_numbers(rng, 4000))[0] for _ in range(25)])
    held = []
    for _ in range(options.panels):
        _, low, high = _auc(panel_of_numbers(rng, 250))
        held.append(low <= truth <= high)
    share = np.mean(held)
    error = np.sqrt(share * (1 - share) / len(held))
    print(f"AUC {truth:.4f}; {share:.2%} of {len(held):,} intervals hold it, ± {1.96 * error:.2%}")


def _auc(rows: tuple[np.ndarray, ...]) -> tuple[float, float, float]:
    stop, event, score, account = rows
    found = dynamic_auc(stop, event, score, [180.0], cluster=account)
    return float(found.auc[0]), float(found.lower[0]), float(found.upper[0])


def run_time(options: argparse.Namespace) -> None:
    """A year of weekly snapshots of many accounts: 6 origins, 5 methods."""
    simulation = ls.simulate(
        options.accounts, seed=0, days=365, before_days=1500, intake_days=1, noise_rate=0.25
    )
    simulation = replace(simulation, project_toml=simulation.project_toml.replace("28d", "7d", 1))
    began = time.perf_counter()
    panel = panel_of(simulation)
    print(f"{panel}\nbuilt in {time.perf_counter() - began:.0f} s", flush=True)
    began, worked = time.perf_counter(), time.process_time()
    backtest = ls.run_backtest(
        panel,
        methods=("random", "context", "lagging", "leading", "all"),
        progress=lambda done, of: print(f"{done} of {of} fits", flush=True),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(backtest)
    print(
        f"backtest in {time.perf_counter() - began:.0f} s, {time.process_time() - worked:.0f} CPU"
        f" s, peak memory {peak:.1f} GB"
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("catch")
    one.add_argument("--world", default="leading")
    one.set_defaults(run=run_catch)
    for name, run in (("audit", run_audit), ("ends", run_ends)):
        each = commands.add_parser(name)
        each.add_argument("--worlds", nargs="*", default=["no_effect", "confounded"])
        each.set_defaults(run=run)
    for name, run in (
        ("oulad", run_oulad),
        ("crm", run_crm),
        ("time", run_time),
        ("coverage", run_coverage),
    ):
        other = commands.add_parser(name)
        other.set_defaults(run=run)
        other.add_argument("--origins", type=int, default=4)
        other.add_argument("--panels", type=int, default=2000)
    for name, command in commands.choices.items():
        command.add_argument("--seeds", type=int, default=20)
        command.add_argument("--first", type=int, default=0)
        command.add_argument("--accounts", type=int, default=20_000 if name == "time" else 2000)
    return parser


if __name__ == "__main__":
    chosen = parser().parse_args()
    chosen.run(chosen)
