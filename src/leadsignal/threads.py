"""The number of threads for DuckDB, scikit-learn, BLAS and our own batches of rows."""

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
"""File in which Linux gives the CPU quota of a container: microseconds per period."""


def threads() -> int:
    """Return the number of threads: LEADSIGNAL_THREADS, else OMP_NUM_THREADS, else all cores.

    Spark sets OMP_NUM_THREADS to the cores of one task, of which a machine runs many. In a
    container, the cores of its quota count, not those of the machine.
    """
    for name in ("LEADSIGNAL_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _quota())
    return os.cpu_count() or 1


def _quota() -> int:
    """Return the CPU quota of the container in cores, rounded up; without one, a huge number."""
    try:
        limit, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, -(-int(limit) // int(period)))
    except (OSError, ValueError):
        return sys.maxsize


@cache
def _controller(_of_scikit_learn: bool) -> ThreadpoolController:
    """Return the controller of the loaded thread pools; creating one takes milliseconds."""
    import scipy.linalg  # noqa: F401  # brings a pool of its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Limit the thread pools of BLAS and OpenMP to one thread.

    Sums of products then have a fixed order, so that results are reproducible to the last digit.
    Also, with few rows threads wait for each other longer than they work, and the binning of
    scikit-learn can emit spurious warnings.
    """
    controller = _controller("sklearn.ensemble" in sys.modules)
    limit: AbstractContextManager[Any] = controller.limit(limits=1)
    return limit
