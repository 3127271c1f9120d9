"""Change everything that was unknown at a midnight, and check that no earlier row changes.

    python benchmarks/time_travel.py [cases] [first seed]

Prints the number of cases and of differences, which must be 0. Seeds are left out if the changed
future has no row of a behaviour that the success analysis names, since such an analysis is refused.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from futures import travel
from leadsignal.errors import SuccessAnalysisError
from random_tables import random_case

TIMES = 5
"""Midnights that each random case is cut at."""


def travelled(seed: int) -> list[str] | None:
    """Return the differences; None where another future has no row that the analysis names."""
    try:
        return travel(random_case(seed), TIMES, seed)
    except SuccessAnalysisError:
        return None


def main() -> int:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    begun, differences, refused = time.perf_counter(), 0, 0
    with ProcessPoolExecutor(2) as pool:
        for found in pool.map(travelled, range(first, first + cases // TIMES)):
            refused += found is None
            differences += len(found or [])
            for what in (found or [])[:5]:
                print(what)
    took = time.perf_counter() - begun
    made = (cases // TIMES - refused) * TIMES
    print(f"{made} cases, {differences} differences, {took:.0f} s; {refused} seeds left out")
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
