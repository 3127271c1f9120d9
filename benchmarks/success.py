"""Accuracy of successful accounts, success gaps and reasons to stay in simulated businesses.

For each seed, 2,000 accounts of the leading world over four years. Prints:

- the true distance to target of the chosen accounts, compared with all accounts, the happiest, the
  heaviest users and the truly best; and how many of each list stayed a year later;
- simulated success gaps (accounts in which nobody owns the close achieve less with the same
  practice): how many of those assessed are listed, how many others are, and whether the reason is
  named;
- reasons to buy: coverage of the ratio over all seeds, and right and wrong verdicts, at three
  strengths of the effect, including none.

    python benchmarks/success.py [--seeds 20] [--part successful|gaps|fit]
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np
import pandas as pd

import leadsignal as ls

EFFECTS = (0.0, 0.25, 1.0)
LIKE_RESULTS = (11.5, 7.5)
"""Days to close at no success, and how many fewer at full success (datasets/records.py)."""


def read(simulation: ls.datasets.Simulation) -> ls.Tables:
    with tempfile.TemporaryDirectory() as folder:
        return ls.read_tables(simulation.write(folder))


def true_gap(simulation: ls.datasets.Simulation, accounts: pd.DataFrame) -> np.ndarray:
    """True distance to target of account_id and target, as a share of the target."""
    last = simulation.truth.practices.groupby("account_id")["success"].last()
    days = LIKE_RESULTS[0] - LIKE_RESULTS[1] * last.reindex(accounts["account_id"]).to_numpy()
    return ((accounts["target"] - days) / accounts["target"]).to_numpy()


def of_successful(simulation: ls.datasets.Simulation) -> dict[str, float]:
    tables = read(simulation)
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    found = ls.success_analysis.most_successful(tables, analysis)
    everyone = found.everyone.assign(true=lambda f: true_gap(simulation, f))
    size = len(found)
    got = {
        "accounts": float(size),
        "true_chosen": everyone.loc[everyone["account_id"].isin(found.accounts), "true"].mean(),
        "true_best": everyone["true"].nlargest(size).mean(),
        "true_all": everyone["true"].mean(),
    }
    for criterion in found.criteria:
        chosen = criterion.frame.loc[criterion.frame["chosen"], "account_id"]
        name = criterion.name
        got[f"true_{name}"] = everyone.loc[everyone["account_id"].isin(chosen), "true"].mean()
        got[f"overlap_{name}"] = criterion.overlap / criterion.size
        got[f"by_chance_{name}"] = criterion.by_chance / criterion.size
        got[f"miss_{name}"] = criterion.miss.estimate
        got["miss_all"] = criterion.miss_all.estimate
        got[f"correlation_{name}"] = criterion.correlation
    later = ls.success_analysis.later_retention(tables, analysis).frame.set_index("list")["stayed"]
    return got | {f"stayed_{name}": float(value) for name, value in later.items()}


def of_gaps(simulation: ls.datasets.Simulation) -> dict[str, float]:
    tables = read(simulation)
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    found = ls.success_analysis.find_success_gaps(tables, analysis)
    who = simulation.truth.who
    planted = pd.Series((who.owner == 1) & (who.gap < 0.7), index=who.account_id)
    judged = planted.reindex(found.eligible["account_id"]).to_numpy(dtype=bool)
    listed = found.eligible["group"].eq("gap").to_numpy()
    named = found.sets_apart[["what", "value"]].agg(" ".join, axis=1).tolist()
    return {
        "planted": float(judged.sum()),
        "planted_listed": float((judged & listed).sum()),
        "others": float((~judged).sum()),
        "others_listed": float((~judged & listed).sum()),
        "reason_named": float("close_owner shared" in named),
        "other_reasons": float(len(set(named) - {"close_owner shared"})),
    }


def of_fit(seed: int, accounts: int) -> list[pd.DataFrame]:
    """Return the values of the reason to buy, a frame for each strength of its effect."""
    frames = []
    for effect in EFFECTS:
        simulation = ls.simulate(accounts, seed=seed, reason_effect=effect, noise_rate=0.0)
        tables = ls.read_tables(
            {"accounts": simulation.tables["accounts"]},
            attributes=["purchase_reason"], as_of=simulation.as_of,
        )  # fmt: skip
        frames.append(
            ls.success_analysis.reasons_to_buy(tables).frame.assign(effect=effect, seed=seed)
        )
    return frames


def summary_of_fit(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Coverage and verdicts by strength, against the ratio over the accounts of all seeds.

    The law's own ratio is that of accounts alike in everything, seen or not; among accounts alike
    in tenure only, the ratio is nearer to 1, and that is what a table can tell.
    """
    rows = pd.concat(frames)
    sums = rows.groupby(["effect", "value"])[["churned", "expected"]].sum()
    rows = rows.join((sums["churned"] / sums["expected"]).rename("true"), on=["effect", "value"])
    rows.loc[rows["effect"] == 0, "true"] = 1.0
    told = rows["verdict"].isin(["stays longer", "leaves sooner"])
    right = np.where(rows["verdict"] == "stays longer", rows["true"] < 1, rows["true"] > 1)
    rows = rows.assign(
        held=(rows["churn_low"] <= rows["true"]) & (rows["true"] <= rows["churn_high"]),
        told=told, wrong=told & ~right,
        bridge=rows["value"].eq("bridge until the new ERP") & rows["verdict"].eq("leaves sooner"),
        discount=rows["value"].eq("end-of-year discount") & rows["verdict"].eq("leaves sooner"),
        off=(rows["raw"] - rows["true"]).abs(), drawn=(rows["churn"] - rows["true"]).abs(),
    )  # fmt: skip
    by = rows.groupby("effect")
    return pd.DataFrame(
        {"intervals that hold it": by["held"].mean(), "verdicts": by["told"].sum(),
         "of them wrong": by["wrong"].sum(), "bridge told": by["bridge"].sum(),
         "discount told": by["discount"].sum(), "mean error raw": by["off"].mean(),
         "mean error shrunken": by["drawn"].mean(), "values": by.size()}
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--part", choices=("successful", "gaps", "fit"), action="append")
    options = parser.parse_args()
    parts = options.part or ["successful", "gaps", "fit"]
    rows, fits = [], []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        row: dict[str, float] = {}
        if {"successful", "gaps"} & set(parts):
            simulation = ls.simulate(options.accounts, seed=seed)
            row |= of_successful(simulation) if "successful" in parts else {}
            row |= of_gaps(simulation) if "gaps" in parts else {}
        fits += of_fit(seed, options.accounts) if "fit" in parts else []
        rows.append(row)
        print(f"seed {seed}  " + "  ".join(f"{k} {v:.3g}" for k, v in row.items()), flush=True)
    table = pd.DataFrame(rows)
    print(f"{len(table)} seeds of {options.accounts} accounts")
    if "gaps" in parts:
        total = table.sum()
        print(f"planted gaps listed {total['planted_listed']:.0f} of {total['planted']:.0f}, others"
              f" listed {total['others_listed']:.0f} of {total['others']:.0f}")  # fmt: skip
    if len(table.columns):
        print(table.agg(["mean", "min", "max"]).T.round(3).to_string())
    if fits:
        print(summary_of_fit(fits).round(3).T.to_string())


if __name__ == "__main__":
    main()
