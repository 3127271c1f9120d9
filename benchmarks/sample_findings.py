"""How often other seeds of the simulation show the findings of the sample.

The sample is one seed, chosen because all four findings of `leadsignal demo` appear in it. Each
line is another seed of the same simulation with the same number of accounts: whether each finding
appears, by the same rules (`leadsignal.demo.Findings.shown`), and "ranks", whether processes and
results rank accounts better than context does (AUC, 95 % interval of the paired difference above
0). The last line gives the share of seeds.

    python benchmarks/sample_findings.py [--seeds 1 2 3 5 6 7 8 9 10 11]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import leadsignal as ls
from leadsignal.datasets.simulation import SEED
from leadsignal.demo import Findings, find_all

OTHERS = [seed for seed in range(1, 12) if seed != SEED]
WIDTH = 10


def findings_of(seed: int) -> Findings:
    """Return what another seed shows."""
    with tempfile.TemporaryDirectory() as folder:
        return find_all(ls.datasets.write_sample(Path(folder), seed=seed))


def shown(found: Findings) -> dict[str, bool]:
    """Return which findings appear, and whether the ranking is better than that of context."""
    rows = found.backtest.differences.query("method == 'leading' and measure == 'auc'")
    return {**found.shown(), "ranks": bool(rows["low"].iloc[0] > 0)}


def row(title: str, cells: list[str]) -> str:
    return f"{title:>6}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=OTHERS)
    counts: dict[str, int] = {}
    seeds = parser.parse_args().seeds
    for number, seed in enumerate(seeds):
        found = shown(findings_of(seed))
        if not number:
            print(row("seed", list(found)))
        print(row(str(seed), ["yes" if one else "no" for one in found.values()]), flush=True)
        for name, one in found.items():
            counts[name] = counts.get(name, 0) + one
    print(row("share", [f"{count / len(seeds):.0%}" for count in counts.values()]))


if __name__ == "__main__":
    main()
