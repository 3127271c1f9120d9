"""Panels of random tables on Spark beside DuckDB's: every cell must be the same.

python benchmarks/spark_panels.py [--cases 100] [--first 0]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pandas as pd

import leadsignal as ls
from random_tables import random_case
from spark_session import small_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    rows = cells = 0
    with tempfile.TemporaryDirectory() as folder:
        session = small_session(Path(folder))
        for seed in range(options.first, options.first + options.cases):
            case = random_case(seed)
            tables = case.read()
            found = ls.build_panel(tables, case.analysis, session=session).frame
            expected = ls.build_panel(tables, case.analysis).frame
            pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=f"seed {seed}")
            rows, cells = rows + len(found), cells + found.size
            print(f"{seed + 1 - options.first} cases, {rows:,} rows, {cells:,} cells", flush=True)
        session.stop()


if __name__ == "__main__":
    main()
