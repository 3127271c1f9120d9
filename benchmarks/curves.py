"""CPU seconds of curves and the log-rank test, compared with lifelines.

    python benchmarks/curves.py [--rows 1000000] [--repeat 5]

Times are whole days up to 792 (many ties) or all different; two of five rows end, from one or two
causes. The calls alternate in one process with one thread, after one warm-up call of each; figures
are medians. lifelines breaks ties at random before its Aalen-Johansen estimate, which is part of
its call. For the cost of one Cox evaluation relative to two reads of the matrix, see
benchmarks/cox.py --evaluation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

Pair = tuple["Callable[[], Any]", "Callable[[], Any]"]


def calls(rows: int, times: str) -> dict[str, Pair]:
    """Return our call and lifelines' for each estimate."""
    import numpy as np
    from lifelines import AalenJohansenFitter, KaplanMeierFitter
    from lifelines.statistics import multivariate_logrank_test

    from leadsignal.survival import aalen_johansen, kaplan_meier, logrank

    rng = np.random.default_rng(0)
    stop = np.minimum(rng.exponential(400, rows), 792 * (1 - 1e-9 * rng.random(rows)))
    if times == "days":
        stop = np.ceil(stop)
    event, group = rng.random(rows) < 0.4, rng.integers(0, 3, rows)
    cause = np.where(event, rng.integers(1, 3, rows), 0)
    return {
        "Kaplan-Meier": (
            lambda: kaplan_meier(stop, event),
            lambda: KaplanMeierFitter().fit(stop, event),
        ),
        "log-rank, 3 groups": (
            lambda: logrank(stop, event, group=group),
            lambda: multivariate_logrank_test(stop, group, event),
        ),
        "Aalen-Johansen, 2 causes": (
            lambda: aalen_johansen(stop, cause),
            lambda: [AalenJohansenFitter(seed=0).fit(stop, cause, one) for one in (1, 2)],
        ),
    }


def seconds(call: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{options.rows:,} rows, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':34}{'ours':>9}{'lifelines':>11}{'ratio':>8}")
    for times in ("days", "all different"):
        for name, pair in calls(options.rows, times).items():
            for call in pair:
                call()
            taken = [[seconds(call) for call in pair] for _ in range(options.repeat)]
            ours, theirs = (statistics.median(column) for column in zip(*taken, strict=True))
            label = f"{name}, {times}"
            print(f"{label:40}{ours:9.3f}{theirs:11.3f}{ours / theirs:8.2f}", flush=True)


if __name__ == "__main__":
    main()
