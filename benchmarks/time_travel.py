"""Time travel: change everything that a midnight could not have known; nothing before it may move.

    python benchmarks/time_travel.py [cases] [first seed]

Prints how many cases ran and how many differences there were, which must be none.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from futures import travel
from random_tables import random_case

TIMES = 5
"""Midnights that each random case is cut at."""


def travelled(seed: int) -> list[str]:
    return travel(random_case(seed), TIMES, seed)


def main() -> int:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    begun, differences = time.perf_counter(), 0
    with ProcessPoolExecutor(2) as pool:
        for found in pool.map(travelled, range(first, first + cases // TIMES)):
            differences += len(found)
            for what in found[:5]:
                print(what)
    took = time.perf_counter() - begun
    print(f"{cases // TIMES * TIMES} cases, {differences} differences, {took:.0f} s")
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
