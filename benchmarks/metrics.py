"""Time of concordance, AUC, Brier score and calibration, and agreement with R and scikit-survival.

    python benchmarks/metrics.py                  # 1 M rows ours, 20 k rows side by side

Each measurement is a fresh process with one thread; CPU and wall seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Value = float | list[float]
    Call = Callable[[], Value]

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
HORIZONS = 20


def rows_of(rows: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Start/stop rows, 12 per account, with 3 % events and a weakly predictive score."""
    import numpy as np

    rng = np.random.default_rng(seed)
    accounts = rows // 12
    score = rng.normal(size=(accounts, 12)).cumsum(axis=1) * 0.3
    life = rng.exponential(900 * np.exp(-score.mean(axis=1)))
    followed = np.minimum(np.minimum(life, rng.uniform(60, 1600, accounts)), 792.0)
    edges = np.outer(followed, np.linspace(0, 1, 13))
    event = np.zeros((accounts, 12), dtype=bool)
    event[:, -1] = life <= followed
    account = np.repeat(np.arange(accounts), 12)
    return (edges[:, :-1].ravel(), edges[:, 1:].ravel(), event.ravel(), score.ravel(), account)


def landmark_rows(rows: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """One row per snapshot: time to the end, its cause, the risk and the account."""
    import numpy as np

    rng = np.random.default_rng(seed)
    score = rng.normal(size=rows)
    life, followed = rng.exponential(np.exp(-score)), rng.exponential(1.5, size=rows)
    cause = np.where(life <= followed, np.where(rng.random(rows) < 0.9, 1, 2), 0)
    return np.minimum(life, followed), cause, score, np.arange(rows) // 6


def horizons() -> np.ndarray:
    import numpy as np

    return np.linspace(0.1, 2.0, HORIZONS)


def ours(what: str, rows: int) -> Call:
    from leadsignal import survival

    if what.startswith("concordance"):
        start, stop, event, score, account = rows_of(rows)
        cluster = account if what.endswith("clustered") else None
        return lambda: (
            survival.concordance(stop, event, score, start=start, cluster=cluster).estimate
        )
    import numpy as np

    stop, cause, score, account = landmark_rows(rows)
    times, risk = horizons(), 1 - np.exp(-np.exp(score) * 0.5)
    calls: dict[str, Call] = {
        "auc": lambda: survival.dynamic_auc(stop, cause, score, times).auc.tolist(),
        "auc, clustered": lambda: survival.dynamic_auc(
            stop, cause, score, times, cluster=account
        ).auc.tolist(),
        "auc, one cause": lambda: survival.dynamic_auc(stop, cause == 1, score, times).auc.tolist(),
        "brier": lambda: survival.brier(stop, cause, risk, 0.5).score.tolist(),
        "calibration": lambda: survival.calibration(stop, cause, risk, 0.5).slope[0],
        "incident auc": lambda: survival.incident_auc(stop, cause == 1, score, times).auc.tolist(),
    }
    return calls[what]


def scikit_survival(what: str, rows: int) -> Call:
    import numpy as np
    from sksurv.metrics import concordance_index_censored, cumulative_dynamic_auc

    stop, cause, score, _ = landmark_rows(rows)
    event = cause == 1
    if what == "concordance without entry":
        return lambda: concordance_index_censored(event, stop, score)[0]
    y = np.array(list(zip(event, stop, strict=True)), dtype=[("e", bool), ("t", float)])
    return lambda: cumulative_dynamic_auc(y, y, score, horizons())[0].tolist()


R_SCRIPT = """
suppressPackageStartupMessages(library(survival))
a <- commandArgs(TRUE); m <- matrix(readBin(a[1], "double", as.numeric(a[2]) * 4), as.numeric(a[2]))
y <- Surv(m[, 1], m[, 2], m[, 3]); s <- m[, 4]
t <- sapply(1:3, function(i) { t <- system.time(r <<- concordance(y ~ s, reverse = TRUE))
                               c(t[["user.self"]] + t[["sys.self"]], t[["elapsed"]]) })
cat(sprintf("%.6f", t[1, ]), "|", sprintf("%.6f", t[2, ]), "|", sprintf("%.15f", r$concordance))
"""


def r_concordance(rows: int) -> dict[str, Any]:
    """R's concordance of start/stop rows."""
    import numpy as np

    start, stop, event, score, _ = rows_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder) / "rows.bin", Path(folder) / "run.R"
        np.concatenate((start, stop, event.astype(float), score)).tofile(data)
        script.write_text(R_SCRIPT)
        done = subprocess.run(
            ["Rscript", str(script), str(data), str(len(stop))],
            capture_output=True,
            text=True,
            check=True,
        )
    cpu, wall, value = (part.split() for part in done.stdout.split("|"))
    times = list(zip(map(float, cpu), map(float, wall), strict=True))
    return {"times": times, "value": float(value[0])}


def child(tool: str, what: str, rows: int, repeat: int) -> dict[str, Any]:
    if tool == "R":
        return r_concordance(rows)
    call = {"ours": ours, "scikit-survival": scikit_survival}[tool](what, rows)
    if tool == "ours" and what == "concordance without entry":
        raise ValueError(what)
    value, times = call(), []
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        value = call()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return {"times": times, "value": value}


def measured(tool: str, what: str, rows: int, repeat: int = 3) -> Any:
    command = [sys.executable, __file__, "--child", tool, what, str(rows), str(repeat)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **ONE_THREAD}
    )
    return json.loads(done.stdout.splitlines()[-1])


def line(tool: str, what: str, rows: int, repeat: int = 3) -> tuple[Value, float]:
    """Print one measurement and return its value."""
    found = measured(tool, what, rows, repeat)
    cpu, wall = (statistics.median(column) for column in zip(*found["times"], strict=True))
    print(f"{what:<28}{rows:>10,}  {tool:<16}{cpu:>9.3f}{wall:>9.3f}", flush=True)
    return found["value"], cpu


def largest_gap(one: Value, other: Value) -> float:
    ours, theirs = ([value] if isinstance(value, float) else value for value in (one, other))
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def compare(tool: str, what: str, theirs: str, rows: int) -> None:
    mine, ours_cpu = line("ours", what, rows)
    value, cpu = line(tool, theirs, rows, repeat=1)
    print(f"{'':<28}{cpu / ours_cpu:.1f} times ours; largest gap {largest_gap(mine, value):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--beside", type=int, default=20_000, help="rows of the comparisons")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        tool, what, rows, repeat = args.child
        print(json.dumps(child(tool, what, int(rows), int(repeat))))
        return
    print(f"{'what':<28}{'rows':>10}  {'tool':<16}{'CPU s':>9}{'wall s':>9}")
    for what in ("concordance", "concordance, clustered", "auc", "auc, clustered"):
        line("ours", what, args.rows)
    for what in ("incident auc", "brier", "calibration"):
        line("ours", what, args.rows)
    if shutil.which("Rscript"):
        compare("R", "concordance", "concordance", args.beside * 5)
    compare("scikit-survival", "auc, one cause", "auc", args.beside * 5)
    line("scikit-survival", "concordance without entry", args.beside, repeat=1)


if __name__ == "__main__":
    main()
