"""Time and memory of `propose_project` on a folder of 20 files and 2 GB, in a fresh process.

    python benchmarks/init.py [--gigabytes 2]

For comparison, DuckDB reads all rows of the same files with its own type detection.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

FILES = 20
ROW = 46
"""Bytes in a row of events, about."""
MEASURED = """
import resource, sys, time
began, cpu = time.perf_counter(), time.process_time()
{work}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(f"{{time.perf_counter() - began:6.1f}} s, {{time.process_time() - cpu:6.1f}} CPU s,"
      f" {{peak:5.2f}} GB of memory: {what}")
"""
PROPOSE = "from leadsignal.proposals import propose_project\nfound = propose_project(sys.argv[1])"
READ = (
    "import duckdb, pathlib\nfor file in sorted(pathlib.Path(sys.argv[1]).glob('*.csv')):\n"
    "    duckdb.execute(f\"SELECT count(DISTINCT columns(*)) FROM '{file}'\").fetchall()"
)


def write(folder: Path, gigabytes: float) -> None:
    """Write a list of accounts, contracts, tickets, and files of events."""
    connection = duckdb.connect()
    account = "'A-' || lpad(CAST(floor(random() * 20000) AS INT)::VARCHAR, 6, '0')"
    day = "CAST(DATE '2021-01-01' + CAST(random() * 1400 AS INT) AS DATE)"
    events = int(gigabytes * 1e9 / ROW / (FILES - 3))
    tables = {
        "accounts": f"SELECT 'A-' || lpad(range::VARCHAR, 6, '0') AS id, 'Firm ' || range AS name,"
        f" {day} AS start_date, NULL AS end_date FROM range(20000)",
        "contracts": f"SELECT range AS contract_id, {account} AS account_id, {day} AS start_date,"
        " NULL AS end_date, 1200 AS arr FROM range(40000)",
        "tickets": f"SELECT range AS ticket_id, {account} AS account_id, {day} AS created_at,"
        " 'low' AS priority FROM range(400000)",
    }
    row = (
        f"{account} AS account_id, 'u' || CAST(random() * 9 AS INT) AS user_id, ['report created',"
        f" 'invoice sent', 'data imported'][1 + range % 3] AS event, {day}::TIMESTAMP AS timestamp"
    )
    for number in range(FILES - 3):
        name = "".join(chr(97 + int(digit)) for digit in f"{number:02}")
        tables[f"events_{name}"] = f"SELECT {row} FROM range({events})"
    for name, query in tables.items():
        connection.execute(f"COPY ({query}) TO '{folder}/{name}.csv' (HEADER)")


def main() -> None:
    """Write the files and measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        write(Path(folder), chosen.gigabytes)
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e9
        print(f"{FILES} files, {size:.2f} GB")
        for what, work in (("propose_project", PROPOSE), ("DuckDB reads all rows", READ)):
            script = MEASURED.format(work=work, what=what)
            subprocess.run([sys.executable, "-c", script, folder], check=True)


if __name__ == "__main__":
    main()
