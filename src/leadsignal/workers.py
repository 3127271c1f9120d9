"""Independent fits in several processes; the results do not depend on their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from leadsignal.progress import Progress
from leadsignal.threads import threads

Made = TypeVar("Made")
Call = Callable[..., Callable[[], Any]]
ONE_THREAD = ("LEADSIGNAL_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WORTH_IT = 10_000_000
"""Total number of values read by all tasks above which starting processes pays off."""


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
        A module-level function, or a partial of one. Each process receives it, with its data, once.
    tasks : sequence of tuples
        The arguments of each call.
    values : int
        Approximate number of values that all tasks together read. Below `WORTH_IT`, or with one
        thread (`leadsignal.threads.threads`), the calls are made in this process.
    progress : callable, optional
        Called with the number of finished tasks, and their total.
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
            # In order, so that the error raised does not depend on which task fails first.
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def beside() -> Iterator[Call]:
    """Yield a function that runs calls in another process, one after the other.

    ``call(make, *args)`` returns a function that waits for the result of ``make(*args)``. With one
    thread (`leadsignal.threads.threads`), it runs the call itself.
    """
    if threads() <= 1:
        yield partial
        return
    with _processes(1) as pool:
        futures: list[Any] = []

        def call(make: Callable[..., Any], *args: Any) -> Callable[[], Any]:
            futures.append(pool.submit(make, *args))
            wait: Callable[[], Any] = futures[-1].result
            return wait

        try:
            yield call
        finally:
            for future in futures:
                future.cancel()


def _processes(count: int, *once: Callable[..., Any]) -> Any:
    # Unlike those of the standard library, these processes need no ``__main__`` guard in scripts.
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        count, initializer=_take, initargs=once, env=dict.fromkeys(ONE_THREAD, "1")
    )


_taken: list[Callable[..., Any]] = []
"""In a worker process of `each`: the function to call, sent once."""


def _take(*once: Callable[..., Any]) -> None:
    _taken[:] = once


def _call(task: tuple[Any, ...]) -> Any:
    return _taken[0](*task)
