"""CPU seconds of reading CSV files: with checks, from the cache, and by DuckDB alone.

    python benchmarks/reading.py [--accounts 2000]

Each read is a fresh process; figures are medians of three, without imports. DuckDB reads the same
files into tables in memory with its own type detection, and one thread like `read_tables` here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

REPEATS = 3
MEASURED = """
import pathlib, sys, time
import duckdb, pandas, pyarrow.csv, pyarrow.compute
import leadsignal as ls
from leadsignal.tables import read_tables
began = time.process_time()
{work}
print(time.process_time() - began)
"""
DUCKDB = """
connection = duckdb.connect(config={"threads": 1})
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.csv")):
    connection.execute(f"CREATE TABLE {file.stem} AS SELECT * FROM read_csv('{file}')")
"""
READ = "read_tables(sys.argv[1])"
WARNED = "read_tables(sys.argv[1]).warnings"


def seconds(work: str, folder: Path) -> float:
    """Return the CPU seconds of some work on a folder, in a fresh process."""
    script = MEASURED.replace("{work}", work)
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LEADSIGNAL_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    return float(done.stdout.split()[-1])  # a progress bar may come before


def keep(folder: Path, yes: bool) -> None:
    """Set ``cache`` in the project of a folder."""
    file = folder / "leadsignal.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("cache = ")]
    at = lines.index("[project]") + 1
    lines[at:at] = [f"cache = {str(yes).lower()}"]
    file.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Write the files and measure each way."""
    import leadsignal as ls

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=2000)
    chosen = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = Path(place)
        ls.simulate(chosen.accounts, seed=1, days=1460).write(folder)
        size = sum(file.stat().st_size for file in folder.glob("*.csv")) / 1e6
        print(f"{chosen.accounts} accounts, {size:.0f} MB of CSV; median CPU seconds")
        found: dict[str, list[float]] = {}
        for _ in range(REPEATS):
            for what, work, cache in (
                ("DuckDB reads the files", DUCKDB, False),
                ("read_tables", READ, False),
                ("read_tables and its warnings", WARNED, False),
                ("the same, keeping the tables", WARNED, True),
                ("the same, from what is kept", WARNED, True),
            ):
                keep(folder, cache)
                if not cache:
                    shutil.rmtree(folder / ".leadsignal-cache", ignore_errors=True)
                found.setdefault(what, []).append(seconds(work, folder))
        for what, each in found.items():
            print(f"{statistics.median(each):6.2f}  {what}")


if __name__ == "__main__":
    main()
