"""Compare panels of random tables and of the sample in a warehouse with DuckDB's, cell by cell.

python benchmarks/warehouse_panels.py postgres|clickhouse [--cases 20] [--first 0] [--sample]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pandas as pd

import leadsignal as ls
from random_tables import random_case
from warehouses import connected, put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dialect", choices=("postgres", "clickhouse"))
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sample", action="store_true", help="the sample that is shipped, first")
    options = parser.parse_args()
    rows = cells = 0
    with connected(options.dialect) as connection:
        if options.sample:
            sample(connection, options.dialect)
        for seed in range(options.first, options.first + options.cases):
            case = random_case(seed)
            found, _ = compared(connection, options.dialect, case.read(), case.analysis)
            rows, cells = rows + len(found), cells + found.size
            print(f"{seed + 1 - options.first} cases, {rows:,} rows, {cells:,} cells", flush=True)


def compared(
    connection: Any, dialect: str, tables: ls.Tables, analysis: ls.SuccessAnalysis
) -> tuple[pd.DataFrame, float]:
    """Return the panel's rows from a warehouse, which are DuckDB's, and the seconds they took."""
    with tempfile.TemporaryDirectory() as folder:
        names = put(connection, dialect, tables, Path(folder))
        there = ls.warehouse.read_warehouse_tables(
            connection, names, dialect=dialect, project=tables.project, as_of=tables.as_of_date
        )
        began = time.perf_counter()
        found = ls.build_panel(there, analysis)
        taken = time.perf_counter() - began
    expected = ls.build_panel(tables, analysis)
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)
    assert found.names() == expected.names()
    return found.frame, taken


def sample(connection: Any, dialect: str) -> None:
    """Compare the panels of the sample with its success analysis: all indicators."""
    if dialect == "postgres":
        with connection.cursor() as cursor:
            cursor.execute("SET work_mem = '256MB'")  # With 4 MB it sorts on disk.
    tables = ls.read_tables(ls.sample_folder())
    analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    found, taken = compared(connection, dialect, tables, analysis)
    print(f"sample: {len(found):,} rows, {found.size:,} cells are the same; {taken:.0f} s")


if __name__ == "__main__":
    main()
