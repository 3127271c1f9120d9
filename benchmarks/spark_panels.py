"""Compare panels of random tables and of the sample on Spark with DuckDB's, cell by cell.

python benchmarks/spark_panels.py [--cases 100] [--first 0] [--sample] [--connect]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pandas as pd

import leadsignal as ls
from random_tables import random_case
from spark_session import connect_session, small_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sample", action="store_true", help="the sample that is shipped, first")
    parser.add_argument("--connect", action="store_true", help="through Spark Connect")
    options = parser.parse_args()
    rows = cells = 0
    with tempfile.TemporaryDirectory() as folder:
        classic = small_session(Path(folder))
        session = connect_session(classic) if options.connect else classic
        if options.sample:
            sample(session)
        for seed in range(options.first, options.first + options.cases):
            case = random_case(seed)
            tables = case.read()
            found = ls.build_panel(tables, case.analysis, session=session).frame
            expected = ls.build_panel(tables, case.analysis).frame
            pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=f"seed {seed}")
            rows, cells = rows + len(found), cells + found.size
            print(f"{seed + 1 - options.first} cases, {rows:,} rows, {cells:,} cells", flush=True)
        session.stop()
        classic.stop()


def sample(session: SparkSession) -> None:
    """Compare the panels of the sample with its success analysis: all indicators."""
    began = time.perf_counter()
    tables = ls.read_tables(ls.sample_folder())
    analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    found = ls.build_panel(tables, analysis, session=session)
    taken = time.perf_counter() - began
    expected = ls.build_panel(tables, analysis)
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True, obj="sample")
    assert found.names() == expected.names()
    print(
        f"sample: {len(found.frame):,} rows of {len(found.names())} indicators are the same;"
        f" {taken:.0f} s on Spark",
        flush=True,
    )


if __name__ == "__main__":
    main()
