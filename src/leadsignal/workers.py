"""Independent fits in several processes: the same results for any number of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from leadsignal.threads import threads

Made = TypeVar("Made")
Progress = Callable[[int, int], None]
WORTH_IT = 10_000_000
"""Values read in all tasks together from which processes are started: that takes seconds."""


def each(
    make: Callable[..., Made],
    tasks: Sequence[tuple[Any, ...]],
    *,
    values: int,
    progress: Progress | None = None,
) -> Iterator[Made]:
    """Yield ``make(*task)`` for each of the tasks, in their order.

    Parameters
    ----------
    make : callable
        A function of a module, or a partial of one: processes are given it by name. Large arrays
        that it holds are shared, and must not be changed.
    tasks : sequence of tuples
        The arguments of each call.
    values : int
        How many values all tasks together read, roughly. With fewer than `WORTH_IT`, or one
        thread (`leadsignal.threads.threads`), the calls are made in this process.
    progress : callable, optional
        Called with the number of tasks that are done, and their total.
    """
    count = min(threads(), len(tasks))
    for number, result in enumerate(_run(make, tasks, count if values >= WORTH_IT else 1)):
        if progress:
            progress(number + 1, len(tasks))
        yield result


def _run(make: Callable[..., Made], tasks: Sequence[tuple[Any, ...]], count: int) -> Iterator[Made]:
    if count <= 1:
        yield from (make(*task) for task in tasks)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=count, return_as="generator")
    yield from parallel(delayed(_with_one_thread)(make, task) for task in tasks)


def _with_one_thread(make: Callable[..., Made], task: tuple[Any, ...]) -> Made:
    os.environ["LEADSIGNAL_THREADS"] = "1"
    return make(*task)
