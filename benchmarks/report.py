"""Wall time, processor time and size of a report of many accounts, by part.

The preceding steps (reading, panel, backtest, scores) are timed too. Each run is a separate
process; run it on an idle machine.

    python benchmarks/report.py --accounts 20000
    python benchmarks/report.py --project examples/oulad
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import leadsignal as ls
from leadsignal.report.findings import _makers

SEED = 20
MOST_SECONDS, MOST_MB = 20.0, 5.0


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long a call takes."""
    clock, work = time.perf_counter(), time.process_time()
    yield
    clock, work = time.perf_counter() - clock, time.process_time() - work
    print(f"{what:28s} {clock:7.1f} s  {work:7.1f} s of processor time", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument(
        "--project", type=Path, help="a folder of tables, instead of simulated ones"
    )
    parser.add_argument("--by-part", action="store_true", help="make the findings one by one too")
    parser.add_argument("--no-backtest", action="store_true", help="leave out what stands before")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = options.project or Path(folder) / "world"
        if options.project is None:
            ls.simulate(options.accounts, seed=SEED).write(project)
        measure(project, Path(folder) / "churn.html", options)


def measure(project: Path, out: Path, options: argparse.Namespace) -> None:
    """Time the parts of one report and print its size."""
    with timed("tables"):
        tables = ls.read_tables(project, drop_bad_rows=True)
    analysis = ls.read_success_analysis(project / "success.toml")
    with timed("panel"):
        panel = ls.build_panel(tables, analysis)
    print(panel)
    backtest = None
    if not options.no_backtest:
        with timed("backtest"):
            backtest = ls.run_backtest(panel, origins=3, estimator="logistic")
    with timed("model"):
        model = ls.ChurnModel(f"{panel.project.horizon}d", estimator="logistic").fit(panel)
    with timed("scores"):
        scores = ls.score_accounts(model, tables)
    if options.by_part:
        for name, make in _makers(tables, panel).items():
            with timed(f"  {name}"):
                try:
                    make()
                except ls.LeadsignalError as error:
                    print(f"  {name}: {error}")
    began = time.perf_counter()
    with timed("findings"):
        found = ls.report.gather_findings(tables, panel)
    with timed("page"):
        ls.write_report(out, panel, backtest, scores, found)
    seconds, size = time.perf_counter() - began, out.stat().st_size / 1e6
    met = "met" if seconds < MOST_SECONDS and size < MOST_MB else "NOT met"
    print(
        f"{seconds:.1f} s and {size:.1f} MB; asked are {MOST_SECONDS:g} s and {MOST_MB:g} MB: {met}"
    )


if __name__ == "__main__":
    main()
