"""How many threads to use: one rule for DuckDB, scikit-learn, BLAS and our own blocks of rows."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much processor time a container may use: microseconds per period."""


def threads() -> int:
    """Return how many threads to use: LEADSIGNAL_THREADS, else OMP_NUM_THREADS, else one a core.

    Spark sets OMP_NUM_THREADS to the cores of a task, of which a machine runs many. A container
    counts the cores of its quota, not those of the machine.
    """
    for name in ("LEADSIGNAL_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _quota())
    return os.cpu_count() or 1


def _quota() -> int:
    """Return the cores of the container's quota, rounded up; without one, a very large number."""
    try:
        limit, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, -(-int(limit) // int(period)))
    except (OSError, ValueError):
        return sys.maxsize


@cache
def _controller(_of_scikit_learn: bool) -> ThreadpoolController:
    """Return the controller of the pools that are loaded; creating one takes milliseconds."""
    import scipy.linalg  # noqa: F401  # brings a pool of its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Limit the pools of BLAS and OpenMP to one thread.

    Sums of products then have one order, and one last digit; on few rows, threads wait for each
    other longer than they work; and scikit-learn's own, binning columns, can warn for no reason.
    """
    controller = _controller("sklearn.ensemble" in sys.modules)
    limit: AbstractContextManager[Any] = controller.limit(limits=1)
    return limit
