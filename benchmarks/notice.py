"""Process effects in worlds without any, in which customers stop at their notice.

    python benchmarks/notice.py [--seeds 100] [--first 0] [--accounts 400] [--power]
                               [--only recorded]

Only context drives churn; notice is given 90 days before the end of the contract, and from that day
on a customer does nothing. Each seed is analysed with and without the day of the notice. Prints how
many of the 95 % intervals of `process_effect` contain no effect, and in how many seeds `next_step`
would quote a number for any process. ``--power`` uses worlds in which the processes do lower churn,
and counts how many of them are quoted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import leadsignal as ls
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts import process_effect
from leadsignal.datasets import simulate
from leadsignal.scoring.scores import proven_effects


@dataclass(frozen=True)
class Reading:
    """What one seed says of each process: whether the interval holds 1; how many are quoted.

    The estimate is missing where all churns are of accounts that do not practise it.
    """

    covered: tuple[bool, ...]
    estimates: tuple[float, ...]
    quoted: int


def world(seed: int, accounts: int, *, world: str = "no_effect", **law: Any) -> AsOfContext:
    """Return tables and analysis of a world whose customers stop at a notice of 90 days."""
    changed: dict[str, Any] = {"notice_days": 90, "stops_at_notice": True, **law}
    simulation = simulate(accounts, seed=seed, world=world, **changed)
    kept = {name: simulation.tables[name] for name in ("accounts", "behaviors", "account_changes")}
    with TemporaryDirectory() as folder:
        replace(simulation, tables=kept).write(folder)
        tables = ls.read_tables(Path(folder) / "leadsignal.toml")
        return AsOfContext(tables, ls.read_success_analysis(Path(folder) / "success.toml"))


def read_world(context: AsOfContext) -> Reading:
    """Return what the process effects of a world say."""
    found = [
        process_effect(context.tables, context.analysis, process.name, context=context)
        for process in context.analysis.processes
    ]
    quoted = proven_effects(context.tables, context.analysis, context)
    return Reading(
        tuple(effect is not None and not effect.excludes(1.0) for effect in found),
        tuple(float("nan") if effect is None else effect.estimate for effect in found),
        len(quoted),
    )


def main() -> None:
    """Read the worlds of all seeds and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--accounts", type=int, default=400)
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--only", choices=("recorded", "unrecorded"))
    options = parser.parse_args()
    for told in ("recorded", "unrecorded") if options.only is None else (options.only,):
        readings = []
        for seed in range(options.first, options.first + options.seeds):
            name = "leading" if options.power else "no_effect"
            context = world(seed, options.accounts, world=name, notice_recorded=told == "recorded")
            readings.append(read_world(context))
            shown = ", ".join(f"{estimate:.2f}" for estimate in readings[-1].estimates)
            print(f"  {told}, seed {seed}: {shown}; {readings[-1].quoted} quoted", flush=True)
        for place, process in enumerate(context.analysis.processes):
            covered = sum(reading.covered[place] for reading in readings)
            print(f"notice {told}: {process.name}: {covered} of {len(readings)} hold no effect")
        quoted = sum(reading.quoted > 0 for reading in readings)
        print(f"notice {told}: a number quoted in {quoted} of {len(readings)} seeds", flush=True)


if __name__ == "__main__":
    main()
