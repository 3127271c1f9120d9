"""How often discovery names exactly the processes that have an effect, and none if there are none.

python benchmarks/discovery.py run   [--worlds …] [--first 0] [--seeds 100] --out runs.csv
python benchmarks/discovery.py table runs.csv
python benchmarks/discovery.py gaps  [--first 0] [--seeds 10]
python benchmarks/discovery.py oulad
python benchmarks/discovery.py time

``run`` appends one line per world and seed and skips existing ones, so that it can be continued.
``table`` counts: in the leading world exactly the processes with an effect must be named, in the
others none. Kappa compares adoption by the definition found with the true adoption, on all
account-days that the tables cover.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.datasets.simulation import PROCESSES

ROOT = Path(__file__).resolve().parents[1]
WORLDS = ("leading", "no_effect", "confounded", "slow_decline", "disengagement")
PLANTED = tuple(behavior for process in PROCESSES for behavior in process.behaviors)
TABLES = ("accounts", "behaviors", "usage", "results")
ATTRIBUTES = ("segment", "industry", "region", "employees", "close_owner", "purchase_reason")


def tables_of(simulation: ls.datasets.Simulation) -> ls.Tables:
    """Return the tables of a simulation that discovery uses."""
    frames = {name: simulation.tables[name] for name in TABLES}
    return ls.read_tables(frames, as_of=simulation.as_of, attributes=ATTRIBUTES)


def kappa(truth: ls.datasets.Simulation, tables: ls.Tables, found: ls.Discovery) -> list[float]:
    """Cohen's kappa of adoption, for each process with an effect that was named."""
    ids = pd.Index(tables.frame("accounts")["account_id"])
    analysis = found.analysis()
    mine = ls.panel.adoption_episodes(tables, analysis)
    seen = _days(tables, ids, found.warning_time)
    kappas = []
    for planted in PROCESSES:
        names = [p.name for p in analysis.processes if p.behaviors == planted.behaviors]
        if names:
            theirs = truth.truth.episodes
            a = _stands(theirs[theirs["process"] == planted.name], ids, tables)[seen]
            b = _stands(mine[mine["process"] == names[0]], ids, tables)[seen]
            kappas.append(_agreement(a, b))
    return kappas


def _number(days: pd.Series) -> np.ndarray:
    return days.to_numpy().astype("datetime64[D]").astype(np.int64)


def _range(tables: ls.Tables) -> tuple[int, int]:
    first = tables.coverage["behaviors"].complete_from
    begin, end = (int(np.datetime64(d).astype(np.int64)) for d in (first, tables.as_of_date))
    return begin, end


def _days(tables: ls.Tables, ids: pd.Index, reach: int) -> np.ndarray:
    """Account-days covered by the tables: active, with windows within the data."""
    first, as_of = _range(tables)
    frame = tables.frame("accounts").set_index("account_id").loc[ids]
    start = _number(frame["started_on"])
    ended = np.where(frame["ended_on"].isna(), as_of, _number(frame["ended_on"]))
    known = np.where(start >= first, start, first + max(reach, 90))
    day = np.arange(first, as_of)
    return (day >= known[:, None]) & (day < ended[:, None])


def _stands(episodes: pd.DataFrame, ids: pd.Index, tables: ls.Tables) -> np.ndarray:
    first, as_of = _range(tables)
    change = np.zeros((len(ids), as_of - first + 1), dtype=np.int32)
    row = ids.get_indexer(pd.Index(episodes["account_id"]))
    begins = np.clip(_number(episodes["adopted_on"]) - first, 0, as_of - first)
    lapsed = episodes["lapsed_on"]
    stops = np.where(lapsed.isna(), as_of, _number(lapsed)) - first
    there = row >= 0
    np.add.at(change, (row[there], begins[there]), 1)
    np.add.at(change, (row[there], np.clip(stops, 0, as_of - first)[there]), -1)
    return np.cumsum(change, axis=1)[:, :-1] > 0


def _agreement(a: np.ndarray, b: np.ndarray) -> float:
    same, p, q = (a == b).mean(), a.mean(), b.mean()
    chance = p * q + (1 - p) * (1 - q)
    return float((same - chance) / (1 - chance))


def one_run(world: str, seed: int, accounts: int) -> dict[str, object]:
    """Discover in one simulated business."""
    began = time.process_time()
    simulation = ls.simulate(accounts, seed=seed, world=world)
    tables = tables_of(simulation)
    middle = time.process_time()
    found = ls.discover_processes(tables)
    discovery = time.process_time() - middle
    named = [process.behaviors[0] for process in found.processes]
    kappas = kappa(simulation, tables, found) if world == "leading" and named else []
    rows = found.frame.set_index("behavior")
    run: dict[str, object] = {
        "world": world,
        "seed": seed,
        "accounts": found.tried.accounts,
        "ends": found.tried.ends,
        "compared": found.tried.compared,
        "named": " ".join(sorted(named)),
        "kappa": round(float(np.mean(kappas)), 4) if kappas else "",
    }
    for short, behavior in zip(("first", "second"), PLANTED, strict=True):
        row = rows.loc[behavior]
        run[f"{short}_definition"] = "/".join(
            str(row[c]) for c in ("at_least", "by_users", "within_days", "sustained_for")
        )
        run[f"{short}_ratio"] = round(float(row["hazard_ratio"]), 3)
        run[f"{short}_as_chosen"] = round(float(row["as_chosen"]), 3)
        run[f"{short}_effect"] = round(float(row["result_effect"]), 3)
        run[f"{short}_verdict"] = row["verdict"]
    run |= order_found(tables, found) if world == "leading" and named else dict.fromkeys(ORDER, "")
    run["discovery_seconds"] = round(discovery, 2)
    run["seconds"] = round(time.process_time() - began, 2)
    return run


ORDER = ("order_share", "order_share_low", "order_forward_low", "order_verdict")


def order_found(tables: ls.Tables, found: ls.Discovery) -> dict[str, object]:
    """What the law plants: adoption first, then results that meet their target."""
    pairs = ls.evaluation.order_in_time(ls.build_panel(tables, found.analysis())).pairs
    row = pairs[(pairs["first"] == "adoption") & (pairs["second"] == "result met")].iloc[0]
    numbers = [round(float(row[c]), 3) for c in ("share", "share_low", "forward_low")]
    return dict(zip(ORDER, [*numbers, row["verdict"]], strict=True))


def run(options: argparse.Namespace) -> None:
    """Append one line per world and seed."""
    done = set()
    if options.out.exists():
        before = pd.read_csv(options.out)
        done = set(zip(before["world"], before["seed"], strict=True))
    for seed in range(options.first, options.first + options.seeds):
        for world in options.worlds:
            if (world, seed) in done:
                continue
            line = one_run(world, seed, options.accounts)
            with options.out.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(line))
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(line)
    table(options)


def table(options: argparse.Namespace) -> None:
    """Print what was named, by world."""
    runs = pd.read_csv(options.out, keep_default_na=False)
    both = " ".join(sorted(PLANTED))
    for world, of in runs.groupby("world", sort=False):
        counts = of["named"].replace("", "nothing").value_counts()
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        print(f"{world}: {len(of)} seeds; named {(of['named'] != '').sum()}; {told}")
        if world == "leading":
            right = (of["named"] == both).sum()
            kappas = pd.to_numeric(of["kappa"], errors="coerce")
            print(f"  the planted and no other: {right} of {len(of)}")
            print(f"  kappa {kappas.mean():.3f} on average, {kappas.min():.3f} at least")
            share, low, rate = (pd.to_numeric(of[c], errors="coerce") for c in ORDER[:3])
            print(
                f"  of accounts that adopted and met the target {share.mean():.0%} adopted first;"
                f" more than half beyond chance in {(low > 0.5).sum()} of {len(of)}; adoption"
                f" raises the rate of meeting it in {(rate > 1).sum()}"
            )
            for short, behavior in zip(("first", "second"), PLANTED, strict=True):
                freed, chosen = (
                    pd.to_numeric(of[f"{short}_{kind}"], errors="coerce").mean()
                    for kind in ("ratio", "as_chosen")
                )
                often = of[f"{short}_definition"].value_counts().head(3).to_dict()
                print(f"  {behavior}: ratio {freed:.2f} ({chosen:.2f} as chosen), {often}")
    print(
        f"CPU seconds a seed: {runs['seconds'].mean():.1f}, of these discovery"
        f" {runs['discovery_seconds'].mean():.1f}"
    )


def gaps_found(seed: int, accounts: int) -> dict[str, object]:
    """Who is listed as a success gap, of those in whom the law plants one."""
    simulation = ls.simulate(accounts, seed=seed)
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    gaps = ls.success_analysis.find_success_gaps(tables_of(simulation), analysis)
    who = simulation.truth.who
    planted = dict(zip(who.account_id, (who.owner == 1) & (who.gap < 0.7), strict=True))
    judged = gaps.eligible["account_id"].map(planted).astype(bool)
    listed = gaps.frame["account_id"].map(planted).astype(bool)
    apart = gaps.sets_apart
    return {
        "seed": seed,
        "judged": len(judged),
        "planted": int(judged.sum()),
        "listed": len(listed),
        "planted_listed": int(listed.sum()),
        "apart": f"{apart['what'].iloc[0]} {apart['value'].iloc[0]}" if len(apart) else "",
    }


def run_gaps(options: argparse.Namespace) -> None:
    """In the leading world nobody owns the close in some accounts, which achieve less."""
    rows = []
    for seed in range(options.first, options.first + options.seeds):
        rows.append(gaps_found(seed, options.accounts))
        print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    both, listed, planted = (frame[c].sum() for c in ("planted_listed", "listed", "planted"))
    print(
        f"{len(frame)} seeds: {both} of {planted} planted gaps listed ({both / planted:.0%}),"
        f" {both / listed:.0%} of those listed are planted, against"
        f" {planted / frame['judged'].sum():.0%} of all judged; set apart first by:"
        f" {frame['apart'].value_counts().to_dict()}"
    )


def run_time(options: argparse.Namespace) -> None:
    """One discovery in 2,000 accounts with a million events."""
    tables = tables_of(ls.simulate(options.accounts, seed=1000))
    events = tables.coverage["behaviors"].rows
    began, worked = time.perf_counter(), time.process_time()
    found = ls.discover_processes(tables)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(found)
    print(
        f"{options.accounts:,} accounts, {events:,} events: {time.perf_counter() - began:.1f} s,"
        f" {time.process_time() - worked:.1f} CPU s, peak memory {peak:.1f} GB"
    )


def run_oulad(options: argparse.Namespace) -> None:
    """Course registrations: behaviours of students who stay and pass."""
    tables = ls.read_tables(ROOT / "examples" / "oulad", drop_bad_rows=True)
    began = time.perf_counter()
    found = ls.discover_processes(tables, match=["code_module"])
    print(found)
    print(found.frame.round(3).to_string(index=False))
    print(f"{time.perf_counter() - began:.0f} s")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    calls = {"run": run, "table": table, "gaps": run_gaps, "time": run_time, "oulad": run_oulad}
    for name, call in calls.items():
        one = commands.add_parser(name)
        one.set_defaults(call=call)
        one.add_argument("--accounts", type=int, default=2000)
        if name == "table":
            one.add_argument("out", type=Path)
        if name in ("run", "gaps"):
            one.add_argument("--first", type=int, default=0)
            one.add_argument("--seeds", type=int, default=100 if name == "run" else 10)
        if name == "run":
            one.add_argument("--worlds", nargs="*", default=list(WORLDS))
            one.add_argument("--out", type=Path, required=True)
    return parser


if __name__ == "__main__":
    chosen = parser().parse_args()
    chosen.call(chosen)
