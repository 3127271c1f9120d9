"""CPU seconds and peak memory of the panel and of adoption episodes, each in a fresh process.

The data are behaviour events of 20,000 accounts over four years in one Parquet file, with 7-day
snapshots of events and distinct users in 30 and 90 days. For comparison, the file is also scanned
alone, and read and checked as before the panel.

    python benchmarks/panel.py [--events 1e6 1e7 1e8] [--runs 3] [--kinds 30]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ACCOUNTS = 20_000
JOBS = ("scan", "read", "panel", "episodes")
ANALYSIS = """
[[process]]
name = "process"
behavior = "behavior_1"
at_least = 4
by_users = 2
within = "30d"
sustained_for = 2
adopt_by = "90d"
"""


def make(folder: Path, events: int, kinds: int) -> None:
    """Write accounts and behaviors with random lives, users and kinds of behaviour."""
    import duckdb

    con = duckdb.connect()
    con.execute("SELECT setseed(0.5)").fetchall()
    con.execute("SET threads = 1").fetchall()
    con.execute(
        f"""CREATE TABLE lives AS SELECT i, CAST(random() * 900 AS INT) AS s, random() AS r
        FROM range({ACCOUNTS}) t(i)"""
    ).fetchall()
    con.execute(
        """CREATE TABLE accounts AS SELECT i, s,
        LEAST(1461 - s, 60 + CAST(-700 * ln(1 - r) AS INT)) AS n FROM lives"""
    ).fetchall()
    con.execute(
        f"""COPY (SELECT printf('A%06d', i) AS account_id, DATE '2020-01-06' + s AS started_on,
        CASE WHEN s + n < 1461 THEN DATE '2020-01-06' + s + n END AS ended_on
        FROM accounts) TO '{folder}/accounts.parquet'"""
    ).fetchall()
    con.execute(
        f"""COPY (SELECT printf('A%06d', i) AS account_id,
        DATE '2020-01-06' + s + CAST(floor(a * n) AS INT) AS occurred_at,
        printf('behavior_%d', CAST(floor(b * {kinds}) AS INT)) AS behavior,
        printf('user_%d_%d', i, CAST(floor(c * 20) AS INT)) AS user_id
        FROM (SELECT i, s, n, random() AS a, random() AS b, random() AS c FROM accounts,
              range(CAST(round({events}::DOUBLE * n / (SELECT SUM(n) FROM accounts)) AS INT))))
        TO '{folder}/behaviors.parquet'"""
    ).fetchall()


def work(job: str, folder: str) -> dict[str, float]:
    """Do one job and return what it cost, from the start of the process to its end."""
    rows = 0
    if job == "scan":
        import duckdb

        query = f"SELECT COUNT(*), MAX(occurred_at), MAX(user_id) FROM '{folder}/behaviors.parquet'"
        rows = duckdb.connect().sql(query).fetchall()[0][0]
    else:
        import leadsignal as ls

        tables = ls.read_tables(folder, as_of="2024-01-06")
        rows = tables.coverage["behaviors"].rows
        if job == "panel":
            rows = len(ls.build_panel(tables, every="7d").frame)
        if job == "episodes":
            rows = len(ls.panel.adoption_episodes(tables, ls.SuccessAnalysis.from_toml(ANALYSIS)))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": rows,
        "cpu": usage.ru_utime + usage.ru_stime,
        "gb": usage.ru_maxrss / 1e6,
        "wall": time.perf_counter(),
    }


def measured(job: str, folder: str, runs: int) -> dict[str, float]:
    """Run a job in fresh processes and return the medians."""
    got = []
    for _ in range(runs):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--job", job, "--folder", folder],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        got.append({**json.loads(done.stdout), "wall": time.perf_counter() - began})
    return {key: statistics.median(one[key] for one in got) for key in got[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", nargs="+", type=float, default=[1e6, 1e7])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", type=int, default=30, help="kinds of behaviour")
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.job:
        print(json.dumps(work(options.job, options.folder)))
        return
    print(
        f"{'events':>12} {'job':10} {'rows':>12} {'CPU s':>8} {'less read':>10} {'wall s':>8}"
        f" {'GB':>6}"
    )
    for events in map(int, options.events):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), events, options.kinds)
            read = 0.0
            for job in JOBS:
                got = measured(job, folder, options.runs)
                read = got["cpu"] if job == "read" else read
                alone = f"{got['cpu'] - read:10.2f}" if job in ("panel", "episodes") else " " * 10
                print(f"{events:12,} {job:10} {got['rows']:12,.0f} {got['cpu']:8.2f} {alone}"
                      f" {got['wall']:8.2f} {got['gb']:6.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
