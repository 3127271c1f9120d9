"""CPU seconds of a weekly run that continues a panel in a folder, against one of the whole panel.

The data are behaviour events of 20,000 accounts over 52 weeks and one more, in one Parquet file a
week, with 7-day snapshots. The whole panel is built from the files of 53 weeks; the weekly run
reads the file of the last week and the state of the run before. Each is a fresh process. All
cells of the two are compared.

    python benchmarks/increments.py [--events 1e7] [--accounts 20000] [--kinds 30] [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

WEEKS = 52
FIRST = date(2024, 1, 1)
LAST = FIRST + timedelta(days=7 * (WEEKS + 1))


def make(folder: Path, events: int, accounts: int, kinds: int) -> None:
    """Write accounts, and behaviors with random lives, users and kinds, in one file a week."""
    import duckdb

    (folder / "behaviors").mkdir(parents=True)
    days = (LAST - FIRST).days
    con = duckdb.connect()
    con.execute("SELECT setseed(0.5)").fetchall()
    con.execute("SET threads = 1").fetchall()
    con.execute(
        f"""CREATE TABLE lives AS SELECT i, random() AS r,
        CASE WHEN random() < 0.7 THEN 0 ELSE CAST(random() * {days - 11} AS INT) END AS s
        FROM range({accounts}) t(i)"""
    ).fetchall()
    con.execute(
        f"""CREATE TABLE accounts AS SELECT i, s,
        LEAST({days} - s, 60 + CAST(-700 * ln(1 - r) AS INT)) AS n FROM lives"""
    ).fetchall()
    con.execute(
        f"""COPY (SELECT printf('A%06d', i) AS account_id, DATE '{FIRST}' + s AS started_on,
        CASE WHEN s + n < {days} THEN DATE '{FIRST}' + s + n END AS ended_on
        FROM accounts) TO '{folder}/accounts.parquet'"""
    ).fetchall()
    con.execute(
        f"""CREATE TABLE events AS SELECT printf('A%06d', i) AS account_id,
        DATE '{FIRST}' + s + CAST(floor(a * n) AS INT) AS occurred_at,
        printf('behavior_%d', CAST(floor(b * {kinds}) AS INT)) AS behavior,
        printf('user_%d_%d', i, CAST(floor(c * 20) AS INT)) AS user_id
        FROM (SELECT i, s, n, random() AS a, random() AS b, random() AS c FROM accounts,
              range(CAST(round({events}::DOUBLE * n / (SELECT SUM(n) FROM accounts)) AS INT)))"""
    ).fetchall()
    kept = ", ".join(f'"behavior_{kind}"' for kind in range(min(kinds, 20)))
    (folder / "leadsignal.toml").write_text(f"[behaviors]\nkeep = [{kept}]\n")
    for week in range(WEEKS + 1):
        begin = FIRST + timedelta(days=7 * week)
        con.execute(
            f"""COPY (SELECT * FROM events WHERE occurred_at >= DATE '{begin}'
            AND occurred_at < DATE '{begin + timedelta(days=7)}')
            TO '{folder}/behaviors/{begin}.parquet'"""
        ).fetchall()


def work(job: str, at: Path) -> dict[str, float]:
    """Do one job and return what it cost, from the start of the process to its end."""
    import leadsignal as ls
    from leadsignal.config.project import read_project

    as_of = LAST - timedelta(days=7) if job == "first" else LAST
    project = read_project(at / "tables").replace(every="7d", as_of=as_of)
    if job == "whole":
        tables = ls.read_tables(at / "tables", project=project)
        rows = ls.write_panel(tables, None, at / "whole.parquet", force=True).rows
    else:
        rows = ls.panel_folder.extend_panel(project, None, at / "panel").new_rows
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss, which begins with the memory of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    gb = int(status["VmHWM"].split()[0]) / 1e6
    return {"rows": rows, "cpu": usage.ru_utime + usage.ru_stime, "gb": gb}


def fresh(job: str, at: Path) -> dict[str, float]:
    """Do one job in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", job, "--at", str(at)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def different_cells(at: Path) -> int:
    """Count the cells that differ between the folder and the panel that was built at once."""
    import pandas as pd

    from leadsignal.panel_files import Kept, read_rows

    whole = pd.read_parquet(at / "whole.parquet")
    kept = Kept.read(at / "panel")
    if kept is None:
        return whole.size
    found = read_rows(at / "panel", kept)
    if list(found) != list(whole) or len(found) != len(whole):
        return whole.size
    return sum(
        int((~((found[name] == whole[name]) | (found[name].isna() & whole[name].isna()))).sum())
        for name in whole
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=float, default=1e7)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--kinds", type=int, default=30, help="kinds of behaviour")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--job", choices=("whole", "first", "weekly"))
    parser.add_argument("--at", type=Path)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(work(options.job, options.at)))
        return
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        make(at / "tables", int(options.events), options.accounts, options.kinds)
        last = at / "tables" / "behaviors" / f"{LAST - timedelta(days=7)}.parquet"
        last.rename(at / "last.parquet")
        costs = {"first": [fresh("first", at)], "whole": [], "weekly": []}
        (at / "last.parquet").rename(last)
        shutil.copytree(at / "panel", at / "before")
        for _ in range(options.runs):
            shutil.rmtree(at / "panel")
            shutil.copytree(at / "before", at / "panel")
            costs["weekly"].append(fresh("weekly", at))
            costs["whole"].append(fresh("whole", at))
        print(f"{'run':8} {'rows written':>12} {'CPU s':>8} {'GB':>6}")
        for job, runs in costs.items():
            rows, cpu, gb = (statistics.median(one[key] for one in runs) for key in runs[0])
            print(f"{job:8} {rows:12,.0f} {cpu:8.2f} {gb:6.2f}")
        ratios = [
            one["cpu"] / whole["cpu"]
            for one, whole in zip(costs["weekly"], costs["whole"], strict=True)
        ]
        print(f"weekly / whole: {statistics.median(ratios):.3f}, of {sorted(ratios)}")
        print(f"cells that differ: {different_cells(at):,}")


if __name__ == "__main__":
    main()
