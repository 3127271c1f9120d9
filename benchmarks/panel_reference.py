"""Compare the engine with the slow reference on random tables; every cell must agree.

    python benchmarks/panel_reference.py [cases] [first seed]
    python benchmarks/panel_reference.py --weeks [cases] [first seed]

The tests compare a few cases, this benchmark many. Prints the number of cases and cells, and the
seeds that differ. With ``--weeks``, panels are extended by several weeks and compared with those
built at once, from the same rows, with added rows, and with corrected rows.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from extended import KINDS, differences
from leadsignal.errors import SuccessAnalysisError
from random_tables import random_case
from test_panel_reference import compare


def compared(seed: int) -> tuple[int, str]:
    """Return how many cells agreed, and what is wrong, if anything is."""
    try:
        return compare(random_case(seed)), ""
    except AssertionError as error:
        return 0, f"seed {seed}: {error}"


def extended(seed: int) -> tuple[int, list[str]]:
    """Return how many were refused for names that occur in no row yet, and what is wrong."""
    refused, wrong = 0, []
    for earlier in KINDS.values():
        try:
            with TemporaryDirectory() as folder:
                wrong += differences(seed, Path(folder), earlier)
        except SuccessAnalysisError:
            refused += 1
    return refused, wrong


def extend(cases: int, first: int) -> int:
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(extended, range(first, first + cases)))
    wrong = [one for _, listed in found for one in listed]
    refused = sum(number for number, _ in found)
    print(*wrong, sep="\n")
    print(f"{cases * len(KINDS)} panels, {refused} of them refused, {len(wrong)} differences")
    return 1 if wrong else 0


def main() -> int:
    given = [one for one in sys.argv[1:] if one != "--weeks"]
    cases = int(given[0]) if given else 500
    first = int(given[1]) if len(given) > 1 else 1000
    if "--weeks" in sys.argv:
        return extend(cases, first)
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(compared, range(first, first + cases)))
    wrong = [what for _, what in found if what]
    print(*wrong, sep="\n")
    print(f"{cases} cases, {sum(cells for cells, _ in found):,} equal cells, {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
