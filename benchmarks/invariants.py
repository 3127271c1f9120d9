"""Check the invariants of tests/survival/invariants.py on random cases: 2,000 by default.

python benchmarks/invariants.py [CASES]
"""

import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from survival.invariants import INVARIANTS, check


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    began, failed = time.perf_counter(), []
    for case in range(cases):
        try:
            check(case)
        except Exception:  # noqa: BLE001 - a crash is a failure like any other here
            failed.append(case)
            print(f"case {case}, {INVARIANTS[case % len(INVARIANTS)].__name__}:")
            traceback.print_exc(limit=-2)
    print(f"{cases} cases, {len(failed)} failed, {time.perf_counter() - began:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
