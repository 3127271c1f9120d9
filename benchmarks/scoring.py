"""Accounts scored per second once the panel is built, and the time by step.

Fits on a simulated business, then scores its panel rows, resampled up to the requested number, as
if each were a separate account.

    python benchmarks/scoring.py [--accounts 1000000] [--estimator boosting]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import leadsignal as ls
from leadsignal.scoring.reasons import account_steps
from leadsignal.scoring.scores import score_rows, write_rows


def timed(what: str, done: Callable[[], Any], accounts: int) -> Any:
    """Run it and print how long it takes."""
    begun, worked = time.perf_counter(), time.process_time()
    result = done()
    taken, worked = time.perf_counter() - begun, time.process_time() - worked
    print(
        f"{what}: {taken:.1f} s, {accounts / taken:,.0f} a second;"
        f" {worked:.1f} s of processor time, {accounts / worked:,.0f} a second of it",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--estimator", default="boosting")
    options = parser.parse_args()
    simulation = ls.simulate(600, seed=5)
    with tempfile.TemporaryDirectory() as folder:
        tables = ls.read_tables(simulation.write(folder))
    panel = ls.build_panel(tables, ls.SuccessAnalysis.from_toml(simulation.analysis_toml))
    model = ls.ChurnModel(estimator=options.estimator).fit(panel)
    rows = panel.frame.sample(options.accounts, replace=True, random_state=0, ignore_index=True)
    rows["account_id"] = [f"A{number:08d}" for number in range(len(rows))]
    count = len(rows)
    timed("chances", lambda: model.predict(rows), count)
    processes = panel.analysis.processes
    frame = timed(
        "scores with reasons and next steps",
        lambda: score_rows(model, rows, 0.1, account_steps(rows, processes, {}))[0],
        count,
    )
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".parquet", ".csv"):
            file = Path(folder) / f"scores{ending}"
            timed(f"written as {ending}", partial(write_rows, frame, file, ending), count)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"most memory: {memory:.1f} GB, of it the panel rows {rows.memory_usage().sum() / 1e9:.1f}"
    )


if __name__ == "__main__":
    main()
