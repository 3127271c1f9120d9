"""Independent fits in several processes: the same results for any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from leadsignal.threads import threads

Made = TypeVar("Made")
Progress = Callable[[int, int], None]
ONE_THREAD = ("LEADSIGNAL_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
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
        A function of a module, or a partial of one. Each process gets it once, with what it holds.
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
    with _processes(count, make) as pool:
        futures = [pool.submit(_call, task) for task in tasks]
        try:
            # In their order: of several errors the same one is raised, whichever came first.
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def beside(make: Callable[..., Made], *args: Any) -> Iterator[Callable[[], Made]]:
    """Call ``make(*args)`` in another process, and give what waits for its result.

    With one thread (`leadsignal.threads.threads`), the call is made here when it is waited for.
    """
    if threads() <= 1:
        yield lambda: make(*args)
        return
    with _processes(1, make) as pool:
        future = pool.submit(_call, args)
        try:
            yield future.result
        finally:
            future.cancel()


def _processes(count: int, make: Callable[..., Any]) -> Any:
    # Unlike the standard library's, these processes need no guard around a script's main part.
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        count, initializer=_take, initargs=(make,), env=dict.fromkeys(ONE_THREAD, "1")
    )


_taken: list[Callable[..., Any]] = []
"""In a process of `each` or `beside`: the function that it calls, sent once."""


def _take(make: Callable[..., Any]) -> None:
    _taken[:] = [make]


def _call(task: tuple[Any, ...]) -> Any:
    return _taken[0](*task)
