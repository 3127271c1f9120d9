"""Time and memory of the panel and of scores up to 1 M accounts and 100 M events.

The data have a hundred events per account over two years: behaviours with users, usage, tickets.
Each job runs in a fresh process: reading and checking; the whole panel, one row per account every
28 days, as Parquet; scores of all accounts active at the end, with reasons, by a model fitted on
other accounts. ``--engine spark`` uses a local Spark to read the files and to compute the panel and
the scores; ``both`` runs both engines, and compares the rows of the scores cell by cell. CPU
seconds are those of the whole process from its start, with Java's and the workers'.

    python benchmarks/scale.py [--events 1e6 1e7 1e8] [--memory 2GB] [--engine both] [--heap 3g]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

EVENTS_EACH = 100
DAYS = 730
JOBS = ("read", "panel", "scores")
TOML = """
[tables.accounts]
attributes = ["segment"]
"""
ANALYSIS = """
[[process]]
name = "weekly_review"
behavior = "behavior_1"
at_least = 3
by_users = 2
within = "30d"
sustained_for = 2
adopt_by = "90d"
"""
LIVES = """
CREATE TABLE lives AS SELECT i, s, LEAST({days} - s, 30 + CAST(-900 * ln(1 - r) AS INT)) AS n, q
FROM (SELECT i, CAST(random() * 600 AS INT) AS s, random() AS r, random() AS q
      FROM range({accounts}) t(i))
"""
ACCOUNTS = """
SELECT printf('A%07d', i) AS account_id, DATE '2022-01-03' + s AS started_on,
CASE WHEN s + n < {days} THEN DATE '2022-01-03' + s + n END AS ended_on, 12 AS term_months,
CAST(1000 + floor(q * 90000) AS INT) AS arr,
CASE WHEN q < 0.6 THEN 'small' WHEN q < 0.9 THEN 'mid' ELSE 'large' END AS segment FROM lives
"""
EVENTS = """
SELECT printf('A%07d', i) AS account_id,
DATE '2022-01-03' + s + CAST(floor(a * n) AS INT) AS {day}, {columns}
FROM (SELECT i, s, n, random() AS a, random() AS b, random() AS c FROM lives,
      range(CAST(round({events}::DOUBLE * n / {total}) AS INT)))
"""
TABLES = {
    "behaviors": (
        0.60,
        "occurred_at",
        "printf('behavior_%d', CAST(floor(b * 5) AS INT)) AS behavior,"
        " printf('user_%d_%d', i, CAST(floor(c * 8) AS INT)) AS user_id",
    ),
    "usage": (0.35, "used_on", "CAST(1 + floor(b * 100) AS INT) AS amount"),
    "tickets": (0.05, "opened_at", "CASE WHEN b < 0.2 THEN 'high' ELSE 'low' END AS severity"),
}


def make(folder: Path, events: int) -> None:
    """Write the tables, and what the project and its analysis say."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": "2GB", "threads": 1})
    con.execute("SET preserve_insertion_order = false").fetchall()
    con.execute("SELECT setseed(0.5)").fetchall()
    accounts = max(events // EVENTS_EACH, 100)
    con.execute(LIVES.format(days=DAYS, accounts=accounts)).fetchall()
    total = con.execute("SELECT SUM(n) FROM lives").fetchall()[0][0]
    con.execute(f"COPY ({ACCOUNTS.format(days=DAYS)}) TO '{folder}/accounts.parquet'").fetchall()
    for table, (share, day, columns) in TABLES.items():
        rows = EVENTS.format(day=day, columns=columns, events=events * share, total=total)
        con.execute(f"COPY ({rows}) TO '{folder}/{table}.parquet'").fetchall()
    (folder / "leadsignal.toml").write_text(TOML)
    (folder / "success.toml").write_text(ANALYSIS)


def processes(pid: int | str = "self") -> Iterator[tuple[str, list[str]]]:
    """Yield status and stat of a process and of all that it has started: Java and its workers."""
    here = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):  # A process may end while it is looked at.
        yield (here / "status").read_text(), (here / "stat").read_text().rpartition(")")[2].split()
        for children in here.glob("task/*/children"):
            for child in children.read_text().split():
                yield from processes(child)


def peak_gb() -> float:
    """Return the sum of the peak memory of the processes."""
    peaks = (status.partition("VmHWM:")[2].split() for status, _ in processes())
    return sum(int(peak[0]) for peak in peaks if peak) / 1e6


def cpu_s() -> float:
    """Return the CPU seconds of the processes, with those of their children that have ended."""
    ticks = sum(int(number) for _, stat in processes() for number in stat[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def work(job: str, folder: Path, model: Path, engine: str, heap: str) -> dict[str, float]:
    """Do one job; return rows, seconds and memory, those after reading by themselves."""
    import leadsignal as ls

    if engine == "spark" and job != "read":
        return on_spark(job, folder, model, heap)
    began = time.perf_counter()
    tables = ls.read_tables(folder, as_of="2024-01-03")
    analysis = ls.read_success_analysis(folder / "success.toml")
    read = time.perf_counter()
    out = folder / f"{job}.parquet"
    done = {"rows": sum(held.rows for held in tables.coverage.values()), "panel_s": 0.0}
    if job == "panel":
        done["rows"] = ls.write_panel(tables, analysis, out).rows
    if job == "scores":
        from leadsignal.panel import build_snapshot
        from leadsignal.scoring.scores import write_scores

        panel = build_snapshot(tables, analysis)
        done["panel_s"] = time.perf_counter() - read
        scores = ls.scoring.score_panel(ls.load_model(model), panel)
        write_scores(scores, out)
        done["rows"] = len(scores.frame)
    spent = {"cpu_s": cpu_s(), "gb": peak_gb()}
    return {**done, "read_s": read - began, "s": time.perf_counter() - read, **spent}


def on_spark(job: str, folder: Path, model: Path, heap: str) -> dict[str, float]:
    """Have a local Spark read the tables and write the panel or the scores, as `work` does."""
    from pyspark.sql import SparkSession

    import leadsignal as ls

    session = (
        SparkSession.builder.master("local[2]").config("spark.driver.memory", heap)
        .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        .config("spark.buffer.pageSize", "2m")
        .config("spark.sql.shuffle.partitions", "32").config("spark.local.dir", str(folder))
        .getOrCreate()
    )  # fmt: skip
    began = time.perf_counter()
    frames = {
        name: session.read.parquet(str(folder / f"{name}.parquet"))
        for name in ("accounts", *TABLES)
    }
    project = ls.read_project(folder)
    tables = ls.spark.read_spark_tables(frames, project=project, as_of="2024-01-03")
    read, analysis = time.perf_counter(), ls.read_success_analysis(folder / "success.toml")
    out = folder / f"{job}.spark"
    with ls.spark.build_spark_panel(
        tables, analysis, only_as_of=job == "scores", session=session
    ) as panel:
        if job == "panel":
            panel.write(out)
        else:
            panel.score(ls.load_model(model)).write.parquet(str(out))
    done, spent = time.perf_counter(), {"cpu_s": cpu_s(), "gb": peak_gb()}
    rows = session.read.parquet(str(out)).count()
    session.stop()
    return {"rows": rows, "panel_s": 0.0, "read_s": read - began, "s": done - read, **spent}


def differing(folder: Path) -> list[str]:
    """Return the columns in which the scores of the two engines differ, to the last bit."""
    import pyarrow.parquet as pq

    here, there = (
        pq.read_table(folder / name)
        .to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
        .sort_values("account_id", ignore_index=True)
        for name in ("scores.parquet", "scores.spark")
    )
    if len(here) != len(there):
        return ["the number of rows"]
    return [name for name in here if not here[name].equals(there[name])]


def fit(folder: Path) -> Path:
    """Fit a model on a business of 5,000 accounts that is made like the others, and save it."""
    import leadsignal as ls

    make(folder, 5_000 * EVENTS_EACH)
    tables = ls.read_tables(folder, as_of="2024-01-03")
    panel = ls.build_panel(tables, ls.read_success_analysis(folder / "success.toml"))
    model = ls.ChurnModel(horizon="180d").fit(panel)
    return ls.save_model(model, folder / "model")


def measured(
    job: str, engine: str, folder: Path, model: Path, options: argparse.Namespace
) -> dict[str, float]:
    """Do a job in a fresh process, on at most two cores."""
    command = [sys.executable, __file__, "--job", job, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--model", str(model), "--engine", engine, "--heap", options.heap],
        stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "LEADSIGNAL_MEMORY": options.memory},
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", nargs="+", type=float, default=[1e6, 1e7])
    parser.add_argument("--memory", default="2GB", help="what DuckDB may use")
    parser.add_argument("--engine", choices=("duckdb", "spark", "both"), default="duckdb")
    parser.add_argument("--heap", default="3g", help="memory of Spark's Java process")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--at", help="where the tables are made (default: a temporary folder)")
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if options.job:
        given = (options.job, options.folder, options.model, options.engine, options.heap)
        print(json.dumps(work(*given)))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
    engines = ("duckdb", "spark") if options.engine == "both" else (options.engine,)
    print(f"{'events':>12} {'engine':8} {'job':8} {'rows':>12} {'read s':>8} {'job s':>8}"
          f" {'CPU s':>8} {'scored/s':>10} {'GB':>6}")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=options.at) as small:
        model = options.model or fit(Path(small))
        for events in map(int, options.events):
            with tempfile.TemporaryDirectory(dir=options.at) as folder:
                make(Path(folder), events)
                for job, engine in [(j, e) for j in options.jobs for e in engines]:
                    got = measured(job, engine, Path(folder), model, options)
                    spent = got["s"] - got["panel_s"]
                    speed = f"{got['rows'] / spent:10,.0f}" if got["panel_s"] else " " * 10
                    print(f"{events:12,} {engine:8} {job:8} {got['rows']:12,.0f}"
                          f" {got['read_s']:8.1f} {got['s']:8.1f} {got['cpu_s']:8.1f} {speed}"
                          f" {got['gb']:6.2f}", flush=True)  # fmt: skip
                if len(engines) > 1 and "scores" in options.jobs:
                    print(f"{events:12,} scores that differ:", differing(Path(folder)) or "none",
                          flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
