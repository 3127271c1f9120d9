"""Compare Cox fits on random designs with a slow, simple Newton method: 5,000 designs by default.

python benchmarks/cox_designs.py [DESIGNS] [FIRST]

The designs and the check are those of tests/survival/cox_designs.py. Prints, for each kind of
design, how many agree to 1e-7, how many raise each error (confirmed by the slow method) and how
many fail.
"""

import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from survival.cox_designs import KINDS, check


def main() -> None:
    designs = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    warnings.simplefilter("error")
    began = time.perf_counter()
    ends: dict[str, Counter[str]] = {kind.__name__: Counter() for kind in KINDS}
    for case in range(first, first + designs):
        kind = KINDS[case % len(KINDS)].__name__
        try:
            ends[kind][check(case)] += 1
        except Exception:  # noqa: BLE001 - a crash is a failure like any other here
            ends[kind]["failed"] += 1
            print(f"design {case}, {kind}:")
            traceback.print_exc(limit=-2, file=sys.stdout)
            sys.stdout.flush()
    columns = ("agrees", "separated", "columns that cannot be told apart", "no event", "failed")
    print(f"{'design':<12}" + "".join(f"{name:>{len(name) + 3}}" for name in columns))
    for kind, found in ends.items():
        print(f"{kind:<12}" + "".join(f"{found[name]:>{len(name) + 3}}" for name in columns))
    failed = sum(found["failed"] for found in ends.values())
    print(f"{designs} designs, {failed} failed, {time.perf_counter() - began:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
