"""CPU and wall seconds and peak memory of an analyst's jobs, by number of accounts.

The data are simulated businesses of the leading world, written as CSV files. Each job is a fresh
process; the seconds of a part include those of child processes, and "GB" is the peak memory of the
process so far. "growth" is the exponent of CPU seconds between the first size and the last. With
--before, another checkout of leadsignal runs the same jobs in turn. The last jobs are what an
analyst would write by hand: counts by behaviour in pandas with scikit-learn's boosting, and
lifelines' Cox regression. Jobs that do not depend on the number of accounts are in the first
column. Jobs that take longer than --limit minutes are stopped and marked. The last line gives the
share of the processors used by other programs meanwhile: on a busy machine figures are less
reliable.

    git worktree add /tmp/before 5760656
    python benchmarks/jobs.py --before /tmp/before [--accounts 2000 20000] [--limit 20] [--runs 1]
    python benchmarks/jobs.py --only chain discover
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Measured = dict[str, tuple[float, float, float]]
"""By part: CPU seconds, wall seconds, gigabytes."""
QUIET = 0.05
"""Largest share of the processors' time that other programs take on a quiet machine."""


def cpu() -> float:
    """Return the CPU seconds of this process and of its children so far."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


@contextmanager
def part(name: str, measured: Measured) -> Iterator[None]:
    """Measure one part of a job, and print what is measured so far."""
    worked, clock = cpu(), time.perf_counter()
    yield
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    measured[name] = (cpu() - worked, time.perf_counter() - clock, gigabytes)
    print(json.dumps(measured), flush=True)


def imports(_folder: Path, measured: Measured) -> None:
    """Import the model, as a script's first line does."""
    with part("from leadsignal import ChurnModel", measured):
        from leadsignal import ChurnModel  # noqa: F401


def chain(folder: Path, measured: Measured) -> None:
    """Read, panel, fit and score, and the same once more in the same session."""
    with part("import leadsignal", measured):
        import leadsignal as ls
    for again in ("", "again: "):
        with part(f"{again}read", measured):
            tables = ls.read_tables(folder)
            analysis = ls.read_success_analysis(folder / "success.toml")
        with part(f"{again}panel", measured):
            panel = ls.build_panel(tables, analysis)
        with part(f"{again}fit", measured):
            model = ls.ChurnModel().fit(panel)
        with part(f"{again}score", measured):
            ls.score_accounts(model, tables, context=ls.AsOfContext(tables, analysis, panel))
    for which in ("", "again: "):
        names = [f"{which}{one}" for one in ("read", "panel", "fit", "score")]
        sums = [sum(measured[name][k] for name in names) for k in (0, 1)]
        measured[f"{which}read to score"] = (sums[0], sums[1], measured[names[-1]][2])
    print(json.dumps(measured), flush=True)


def backtest(folder: Path, measured: Measured) -> None:
    """Replay six cut-offs with four models, then write the report."""
    import leadsignal as ls

    tables = ls.read_tables(folder)
    analysis = ls.read_success_analysis(folder / "success.toml")
    panel = ls.build_panel(tables, analysis)
    with part("backtest", measured):
        replayed = ls.run_backtest(panel)
    model = ls.ChurnModel().fit(panel)
    context = ls.AsOfContext(tables, analysis, panel)
    scores = ls.score_accounts(model, tables, context=context)
    with part("report after the backtest", measured):
        findings = ls.report.gather_findings(tables, panel)
        ls.write_report(folder / "report.html", panel, replayed, scores, findings)


def discover(folder: Path, measured: Measured) -> None:
    """Look for essential processes."""
    import leadsignal as ls

    tables = ls.read_tables(folder)
    with part("discover", measured):
        ls.discover_processes(tables)


def many_events(folder: Path, measured: Measured) -> None:
    """Build the panel of 10 million events of 30 behaviours, a row each 7 days."""
    import leadsignal as ls
    from panel import make

    make(folder, 10_000_000, 30)
    tables = ls.read_tables(folder, as_of="2024-01-06")
    with part("panel of 10 M events", measured):
        ls.build_panel(tables, every="7d")


def arrays(_folder: Path, measured: Measured) -> None:
    """Fit Cox and Kaplan-Meier on a million rows; Kaplan-Meier with lifelines too."""
    from cox import panel
    from curves import calls
    from leadsignal.survival import fit_cox

    X, start, stop, event = panel(1_000_000, "day")
    with part("Cox, 1 M rows, 20 columns", measured):
        fit_cox(X, stop, event, start=start)
    ours, theirs = calls(1_000_000, "days")["Kaplan-Meier"]
    for name, call in (("Kaplan-Meier, 1 M rows", ours), ("analyst: lifelines, same", theirs)):
        call()
        with part(name, measured):
            call()


def pandas_features(folder: Path, measured: Measured) -> None:
    """Count events by behaviour over three windows in pandas, and fit plain boosting."""
    with part("analyst: pandas and boosting", measured):
        import pandas as pd
        from sklearn.ensemble import HistGradientBoostingClassifier

        rows = counted(folder)
        known = rows[rows["until"] <= rows["t"].max()]
        fit = HistGradientBoostingClassifier().fit(
            known.drop(columns=["account_id", "t", "until", "churned"]), known["churned"]
        )
        now = rows[rows["t"] == rows["t"].max()]
        fit.predict_proba(now.drop(columns=["account_id", "t", "until", "churned"]))
        assert isinstance(now, pd.DataFrame)


def lifelines_cox(folder: Path, measured: Measured) -> None:
    """Fit lifelines' Cox regression with time-varying counts on the same rows."""
    with part("analyst: lifelines Cox", measured):
        from lifelines import CoxTimeVaryingFitter

        rows = counted(folder)
        short = [name for name in rows if str(name).endswith("_90")][:12]
        rows["stop"] = rows["tenure"] + 28
        rows["event"] = rows["ends_next"]
        columns = ["account_id", "tenure", "stop", "event", *short]
        CoxTimeVaryingFitter(penalizer=0.01).fit(
            rows[columns], id_col="account_id", event_col="event", start_col="tenure",
            stop_col="stop",
        )  # fmt: skip


def counted(folder: Path) -> Any:
    """Return one row per account and 28 days with counts by behaviour, in plain pandas."""
    import numpy as np
    import pandas as pd

    accounts = pd.read_csv(folder / "accounts.csv", parse_dates=["started_on", "ended_on"])
    events = pd.read_csv(folder / "behaviors.csv", parse_dates=["occurred_at"])
    last = events["occurred_at"].max().normalize()
    grid = pd.date_range(end=last, start=accounts["started_on"].min(), freq="28D")
    kept = events["behavior"].value_counts().index[:20]
    made = []
    for t in grid:
        active = accounts[(accounts["started_on"] < t) & ~(accounts["ended_on"] <= t)]
        row = {"account_id": active["account_id"].to_numpy(), "t": t}
        frame = pd.DataFrame(row)
        frame["tenure"] = (t - active["started_on"]).dt.days.to_numpy()
        within = (active["ended_on"] - t).dt.days.to_numpy()
        frame["churned"] = np.nan_to_num(within, nan=1e9) <= 180
        frame["ends_next"] = np.nan_to_num(within, nan=1e9) <= 28
        frame["until"] = t + pd.Timedelta(days=180)
        for days in (30, 90, 180):
            lately = events["occurred_at"].between(t - pd.Timedelta(days=days), t, "left")
            counts = pd.crosstab(events["account_id"][lately], events["behavior"][lately])
            counts = counts.reindex(index=active["account_id"], columns=kept).fillna(0)
            for name in kept:
                frame[f"{name}_{days}"] = counts[name].to_numpy()
        made.append(frame)
    return pd.concat(made, ignore_index=True)


JOBS: dict[str, Callable[[Path, Measured], None]] = {
    "import": imports,
    "chain": chain,
    "discover": discover,
    "backtest": backtest,
    "events": many_events,
    "arrays": arrays,
    "pandas": pandas_features,
    "lifelines": lifelines_cox,
}
OF_ONE_SIZE = ("import", "events", "arrays")
ANALYST = ("pandas", "lifelines")


def run(job: str, folder: Path, source: Path, limit: float) -> Measured:
    """Run a job in a fresh process, with the code of one checkout, for ``limit`` minutes at most.

    Of a job that fails or is cut off, return the parts that were done.
    """
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as faults:
        process = subprocess.Popen(
            [sys.executable, __file__, "--job", job, "--folder", str(folder)],
            env={**os.environ, "PYTHONPATH": str(source / "src")},
            stdout=told, stderr=faults, start_new_session=True,
        )  # fmt: skip
        try:
            if process.wait(60 * limit):
                faults.seek(0)
                print(f"{job} of {source} failed: {faults.read().strip().splitlines()[-1]}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(f"{job} of {source} was cut off after {limit:g} minutes", flush=True)
        told.seek(0)
        lines = [line for line in told.read().splitlines() if line.startswith("{")]
    found: Measured = json.loads(lines[-1]) if lines else {}
    return found


def busy() -> float:
    """Return the CPU seconds used by all programs on the machine; NaN if unknown."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return math.nan
    user, nice, system, _idle, _waiting, *interrupts = map(int, first[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def load_line(took: float, own: float, clock: float) -> str:
    """Return a line with the share of the processors that other programs used."""
    if math.isnan(took):
        return "how busy the machine was is not known"
    share = max(0.0, took - own) / (clock * (os.cpu_count() or 1))
    word = "quiet" if share <= QUIET else "NOT quiet"
    return f"the machine was {word}: other programs took {share:.0%} of its processors"


def business(accounts: int, folder: Path) -> None:
    """Write the tables and the success analysis of a simulated business."""
    import leadsignal as ls

    simulation = ls.simulate(accounts, seed=100)
    simulation.write(folder)
    (folder / "success.toml").write_text(simulation.analysis_toml, encoding="utf-8")


def medians(runs: list[Measured]) -> Measured:
    """Return the medians of several runs."""
    found: Measured = {}
    for name in dict.fromkeys(name for one in runs for name in one):
        figures = zip(*(one[name] for one in runs if name in one), strict=True)
        cpu_seconds, clock, memory = (statistics.median(of) for of in figures)
        found[name] = (cpu_seconds, clock, memory)
    return found


def show(found: dict[tuple[str, int], Measured], sizes: list[int], whose: str) -> None:
    """Print the parts of all jobs, and how they grow from the first size to the last."""
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    for name in names:
        of = {size: one[name] for (_, size), one in found.items() if name in one}
        cells = " ".join(
            f"{of[size][0]:9.2f} {of[size][1]:9.2f} {of[size][2]:6.2f}" if size in of else " " * 26
            for size in sizes
        )
        growth = ""
        if len(of) > 1 and of[sizes[0]][0] > 0:
            growth = f"{math.log(of[sizes[-1]][0] / of[sizes[0]][0], sizes[-1] / sizes[0]):8.2f}"
        print(f"{whose:8} {name:30} {cells} {growth}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", nargs="+", type=int, default=[2000, 20_000])
    parser.add_argument("--before", type=Path, help="another checkout of leadsignal")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=20, help="minutes that a job may take")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.job:
        measured: Measured = {}
        JOBS[options.job](options.folder, measured)
        return
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    began, took, own = time.perf_counter(), busy(), cpu()
    print(" " * 40 + "".join(f"{size:>12,} accounts     " for size in options.accounts))
    print(
        f"{'':39}" + f"{'CPU s':>10} {'wall s':>9} {'GB':>6}" * len(options.accounts) + "  growth"
    )
    checkouts = {"now": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    for job in options.only:
        found: dict[str, dict[tuple[str, int], Measured]] = {whose: {} for whose in checkouts}
        for size in options.accounts[:1] if job in OF_ONE_SIZE else options.accounts:
            with tempfile.TemporaryDirectory() as folder:
                if job not in OF_ONE_SIZE:
                    business(size, Path(folder))
                for whose, source in checkouts.items():
                    if whose == "now" or job not in ANALYST:
                        given = (job, Path(folder), source, options.limit)
                        runs = [run(*given) for _ in range(options.runs)]
                        found[whose][job, size] = medians(runs)
        for whose, one in found.items():
            show(one, options.accounts, whose)
    print(load_line(busy() - took, cpu() - own, time.perf_counter() - began))


if __name__ == "__main__":
    main()
