"""The engine against the slow reference on random tables; every cell must agree.

    python benchmarks/panel_reference.py [cases] [first seed]

The tests compare a few cases; here are many. Prints the cases, the cells and the seeds that differ.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from random_tables import random_case
from test_panel_reference import compare


def compared(seed: int) -> tuple[int, str]:
    """Return how many cells agreed, and what is wrong, if anything is."""
    try:
        return compare(random_case(seed)), ""
    except AssertionError as error:
        return 0, f"seed {seed}: {error}"


def main() -> int:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(compared, range(first, first + cases)))
    wrong = [what for _, what in found if what]
    print(*wrong, sep="\n")
    print(f"{cases} cases, {sum(cells for cells, _ in found):,} equal cells, {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
