"""How often the warnings find a simulated leak, and how often they report one that does not exist.

Each kind of recording error (`leadsignal.datasets`) is simulated with several seeds. A leak is
found if a warning of its kind is among those that `check` lists, and is printed above a backtest
of the same tables.

    python benchmarks/leaks.py [--seeds 20] [--accounts 800] [--backtest] [--only NAME ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import leadsignal as ls
from leadsignal.ingestion.check_report import DataWarning, affecting

KINDS = {
    "attribute_today": "column_reveals_churn",
    "arr_today": "column_reveals_churn",
    "backfilled": "only_churned_accounts",
    "closed_at_end": "closed_at_end",
    "exit_surveys": "only_churned_accounts",
    "survivors": "survivors",
    "export_day": "ends_on_one_day",
}
"""The kind of warning that finds each fault of the records."""
CLEAN = ("leading", "no_effect", "messy")
DAYS = 1095
TRUE_OF = {"messy": ("seats",)}
"""Columns that hold today's values in a world: a warning of them is true."""


def simulated(folder: str, accounts: int, seed: int, world: str, *recording: str) -> ls.Tables:
    """Return the tables of a simulated business, read as a user would."""
    simulation = ls.simulate(accounts, seed=seed, world=world, days=DAYS, recording=recording)
    return ls.read_tables(simulation.write(Path(folder)))


def leaks_in(tables: ls.Tables) -> list[DataWarning]:
    """Return the warnings about columns or rows that reveal churn."""
    return [one for one in tables.warnings if one.kind in set(KINDS.values())]


def above_backtest(tables: ls.Tables) -> tuple[DataWarning, ...]:
    """Return the warnings above a short backtest of one method."""
    panel = ls.build_panel(tables, every="56d")
    return ls.run_backtest(panel, origins=1, methods=("usage",)).warnings


def found(kind: str, seed: int, accounts: int, *, backtest: bool) -> tuple[bool, bool]:
    """Return whether a fault is found by `check`, and above the backtest; and nothing else is."""
    with TemporaryDirectory() as folder:
        tables = simulated(folder, accounts, seed, "no_effect", kind)
        others = [str(one) for one in leaks_in(tables) if one.kind != KINDS[kind]]
        for text in others:
            print(f"  {kind}, seed {seed}, also: {text}")
        checked = any(one.kind == KINDS[kind] for one in leaks_in(tables))
        above = above_backtest(tables) if backtest else affecting(tables.warnings, "backtest")
        return checked, any(one.kind == KINDS[kind] for one in above)


def false_warnings(world: str, seed: int, accounts: int) -> Iterator[DataWarning]:
    """Yield the warnings of leaks that are not true in a clean world."""
    with TemporaryDirectory() as folder:
        for one in leaks_in(simulated(folder, accounts, seed, world)):
            if one.column not in TRUE_OF.get(world, ()):
                print(f"  {world}, seed {seed}: {one}")
                yield one


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and print one line per kind of leak and per clean world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--accounts", type=int, default=800)
    parser.add_argument("--backtest", action="store_true", help="run a backtest each time")
    parser.add_argument("--only", nargs="+", default=(*KINDS, *CLEAN), help="kinds and worlds")
    given = parser.parse_args(arguments)
    seeds = range(given.seeds)
    for kind in (one for one in KINDS if one in given.only):
        each = [found(kind, seed, given.accounts, backtest=given.backtest) for seed in seeds]
        checked, above = (sum(one) for one in zip(*each, strict=True))
        print(
            f"{kind}: check {checked} of {len(seeds)}, backtest {above} of {len(seeds)}", flush=True
        )
    for world in (one for one in CLEAN if one in given.only):
        wrong = [any(list(false_warnings(world, seed, given.accounts))) for seed in seeds]
        print(f"{world}: false warnings in {sum(wrong)} of {len(seeds)}", flush=True)


if __name__ == "__main__":
    main()
