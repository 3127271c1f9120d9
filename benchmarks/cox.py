"""Time and memory of Cox regression in leadsignal, lifelines and R, each in a fresh process.

    python benchmarks/cox.py                      # 100 k rows, all installed tools
    python benchmarks/cox.py --rows 1000000 --tools ours
    python benchmarks/cox.py --evaluation --rows 1000000

Each process generates the panel from a seed (R reads it), fits once to warm up if a fit is short,
then `--repeat` times. CPU and wall seconds are those of one fit, including preparation; memory is
the peak of the process minus its memory before the fits, in units of the matrix. Each uses one
thread. The two rows of R are coxph as called, and its solver agreg.fit alone on the same data.
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

COLUMNS = 20
Data = tuple["np.ndarray", "np.ndarray", "np.ndarray", "np.ndarray"]
Times = list[tuple[float, float]]
Result = tuple[Times, float, dict[str, Any]]
TENURES = ("month", "day", "continuous")
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def panel(rows: int, tenure: str, seed: int = 0) -> Data:
    """Accounts of about 12 rows each, tenure of at most 792 days, a third of them churning."""
    import numpy as np

    rng = np.random.default_rng(seed)
    accounts = rows // 12
    X = rng.normal(size=(accounts * 12, COLUMNS))
    effect = np.linspace(-0.4, 0.4, COLUMNS)
    risk = (X @ effect).reshape(accounts, 12).mean(axis=1)
    life = rng.exponential(900 * np.exp(-risk))
    followed = np.minimum(np.minimum(life, rng.uniform(60, 1600, accounts)), 792.0)
    churned = life <= followed
    step = {"month": 11.0, "day": 1.0, "continuous": 0.0}[tenure]
    if step:
        followed = np.ceil(followed / step) + 12
        edges = np.ceil(np.outer(followed, np.linspace(0, 1, 13)))
    else:
        edges = np.outer(followed, np.linspace(0, 1, 13))
    start, stop = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    event = np.zeros((accounts, 12), dtype=bool)
    event[:, -1] = churned
    kept = stop > start
    if not kept.all():
        X, start, stop, event = X[kept], start[kept], stop[kept], event.ravel()[kept]
    return X, start, stop, event.ravel()


def memory(key: str = "VmHWM") -> int:
    """Resident memory of this process in bytes, the peak (VmHWM) or the present (VmRSS)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError("memory is measured on Linux only")


def memory_before() -> int:
    """Reset the peak, and return the current memory."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def timed(fit: Callable[[], Any], repeat: int, warm: bool) -> tuple[Times, Any]:
    """CPU and wall seconds of each of `repeat` calls."""
    if warm:
        fit()
    found, result = [], None
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        result = fit()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    return found, result


def run_ours(data: Data, repeat: int) -> Result:
    from leadsignal.survival import fit_cox

    X, start, stop, event = data
    before = memory_before()
    found, fit = timed(lambda: fit_cox(X, stop, event, start=start), repeat, True)
    extra: dict[str, Any] = {
        "evaluations": fit.evaluations,
        "loglik": fit.loglik,
        "events": fit.n_events,
    }
    extra["groups"] = len(fit.rows.likelihood.sets)
    return found, (memory() - before) / X.nbytes, extra


def run_lifelines(data: Data, repeat: int) -> Result:
    import pandas as pd
    from lifelines import CoxTimeVaryingFitter

    X, start, stop, event = data
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(COLUMNS)])
    frame = frame.assign(start=start, stop=stop, event=event)
    before = memory_before()

    def fit() -> Any:
        return CoxTimeVaryingFitter().fit(
            frame, event_col="event", start_col="start", stop_col="stop"
        )

    found, fitted = timed(fit, repeat, False)
    return found, (memory() - before) / X.nbytes, {"loglik": float(fitted.log_likelihood_)}


R_SCRIPT = """
suppressPackageStartupMessages(library(survival))
args <- commandArgs(TRUE); n <- as.integer(args[2]); p <- as.integer(args[3])
con <- file(args[1], "rb"); raw <- readBin(con, "double", n * (p + 3)); close(con)
m <- matrix(raw, n); x <- m[, 1:p]; y <- Surv(m[, p + 1], m[, p + 2], m[, p + 3])
d <- data.frame(x); names(d) <- paste0("x", seq_len(p)); d$y <- y
form <- reformulate(paste0("x", seq_len(p)), "y")
held_now <- function(key) as.numeric(gsub("[^0-9]", "", grep(key, readLines("/proc/self/status"),
                                                              value = TRUE))) * 1024
invisible(gc()); cat("5", file = "/proc/self/clear_refs")
before <- held_now("VmRSS")
one <- function(f) {
  t <- system.time(r <- f())
  c(t[["user.self"]] + t[["sys.self"]], t[["elapsed"]])
}
whole <- sapply(seq_len(as.integer(args[4])), function(i) one(function() coxph(form, d)))
held <- held_now("VmHWM") - before
solver <- sapply(seq_len(as.integer(args[4])), function(i) one(function()
  agreg.fit(x, y, NULL, NULL, NULL, coxph.control(), NULL, "efron", as.character(seq_len(n)))))
shown <- function(x) sprintf("%.6f", x)
cat(shown(whole[1, ]), "|", shown(whole[2, ]), "|", shown(solver[1, ]), "|",
    shown(solver[2, ]), "|", held, "|", sprintf("%.9f", coxph(form, d)$loglik[2]))
"""


def run_r(data: Data, repeat: int) -> Result:
    import numpy as np

    X, start, stop, event = data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.bin"
        np.asfortranarray(np.column_stack((X, start, stop, event))).T.tofile(path)
        script = Path(folder) / "fit.R"
        script.write_text(R_SCRIPT)
        command = ["Rscript", str(script), str(path), str(len(X)), str(COLUMNS), str(repeat)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    parts = [part.split() for part in done.stdout.split("|")]
    cpu, wall, solver_cpu, solver_wall = ([float(value) for value in part] for part in parts[:4])
    extra: dict[str, Any] = {
        "loglik": float(parts[5][0]),
        "solver": list(zip(solver_cpu, solver_wall, strict=True)),
    }
    return list(zip(cpu, wall, strict=True)), float(parts[4][0]) / X.nbytes, extra


def run_evaluation(data: Data, repeat: int) -> Result:
    """One evaluation of likelihood, score and information, against two reads of the matrix."""
    import numpy as np

    from leadsignal.survival.partial_likelihood import PartialLikelihood
    from leadsignal.survival.risk_sets import RiskSets

    X, start, stop, event = data
    sets = RiskSets.of(stop, event, start)
    likelihood = PartialLikelihood(X, sets, np.ones(len(X)), None, True)
    coef = np.full(COLUMNS, 0.01)
    found, _ = timed(lambda: likelihood.evaluate(coef), max(5, repeat), True)
    reads, _ = timed(lambda: (X.sum(), X.sum()), max(5, repeat), True)
    ratio = median(found)[0] / median(reads)[0]
    return found, float("nan"), {"two_reads_cpu": median(reads)[0], "ratio_to_two_reads": ratio}


RUNS = {"ours": run_ours, "lifelines": run_lifelines, "R": run_r, "evaluation": run_evaluation}


def median(found: Times) -> tuple[float, ...]:
    return tuple(statistics.median(column) for column in zip(*found, strict=True))


def in_fresh_process(tool: str, rows: int, tenure: str, repeat: int) -> Any:
    command = [sys.executable, __file__, "--child", tool, "--rows", str(rows)]
    command += ["--tenure", tenure, "--repeat", str(repeat)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **ONE_THREAD}
    )
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: int, tenure: str, tools: list[str], repeat: int) -> None:
    """Print one line per tool, with its ratio to leadsignal."""
    ours: float | None = None
    for tool in tools:
        result = in_fresh_process(tool, rows, tenure, repeat)
        lines = [(tool, median(result["times"]))]
        if "solver" in result["extra"]:
            lines.append(("R solver", median(result["extra"].pop("solver"))))
        for name, (cpu, wall) in lines:
            ours = cpu if ours is None else ours
            note = ", ".join(f"{key} {value:.10g}" for key, value in result["extra"].items())
            print(
                f"{tenure:<11}{rows:>10,}  {name:<10}{cpu:>9.3f}{wall:>9.3f}"
                f"{result['memory']:>8.1f}{cpu / ours:>8.1f}  {note}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tenure", choices=TENURES, action="append")
    parser.add_argument("--tools", nargs="+", choices=list(RUNS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--evaluation", action="store_true")
    parser.add_argument("--child", choices=list(RUNS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        times, held, extra = RUNS[args.child](panel(args.rows, args.tenure[0]), args.repeat)
        print(json.dumps({"times": times, "memory": held, "extra": extra}))
        return
    tools = args.tools or ["ours", "lifelines", *(["R"] if shutil.which("Rscript") else [])]
    if args.evaluation:
        tools = ["evaluation"]
    head = ("CPU s", 9), ("wall s", 9), ("memory", 8), ("x ours", 8)
    columns = "".join(f"{name:>{width}}" for name, width in head)
    print(f"{'tenure':<11}{'rows':>10}  {'tool':<10}{columns}")
    for tenure in args.tenure or TENURES:
        table(args.rows, tenure, tools, args.repeat)


if __name__ == "__main__":
    main()
