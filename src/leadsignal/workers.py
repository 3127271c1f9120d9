"""Long work: threads, fits in several processes, displays of progress, and results kept.

In a notebook, a function with a parameter ``progress`` shows a bar by default
(``arguments.checked``); LEADSIGNAL_PROGRESS=0 turns that off. The duration is logged by the logger
"leadsignal".

Fits and other results are kept for the session; LEADSIGNAL_SESSION_CACHE=0 turns that off.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from leadsignal.formats import share_text

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


Progress = Callable[[int, int], None]
TICK = 1.0
"""Seconds between two updates if no progress is reported."""
_logger = logging.getLogger("leadsignal")
_logger.addHandler(logging.NullHandler())  # silent unless the program has configured logging
_shown: ContextVar[bool] = ContextVar("shown", default=False)


def in_words(seconds: float) -> str:
    """Return a duration in words.

    >>> in_words(3.2), in_words(75), in_words(7260)
    ('3 s', '1 min 15 s', '2 h 1 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def stamped(text: str) -> str:
    """Return a log line that starts with the current date and time."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}"


def line_of(what: str, done: int, total: int, seconds: float) -> str:
    """Return a line with what is running, its progress and its duration.

    >>> line_of("panel", 3, 12, 8.4), line_of("fitting", 0, 0, 8.4)
    ('panel: 25 %, 8 s', 'fitting: 8 s')
    """
    share = f"{share_text(100 * done // total / 100)}, " if total else ""
    return f"{what}: {share}{in_words(seconds)}"


class Shown:
    """A running task, displayed by ``write`` at each progress report and every second.

    Parameters
    ----------
    what : str
        Name of the task.
    write : callable
        Called with the name, the number of steps done, their total, and the seconds since the
        start.
    """

    def __init__(self, what: str, write: Callable[[str, int, int, float], None]) -> None:
        self.what, self.write = what, write
        self.done, self.total = 0, 0
        self.began = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._clock.join()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def __call__(self, done: int, total: int) -> None:
        """Report the number of steps done and their total."""
        self.done, self.total = done, total
        self._put()

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            self._put()

    def _put(self) -> None:
        with self._lock:
            self.write(self.what, self.done, self.total, self.seconds)


@contextmanager
def on_terminal(what: str, stream: TextIO) -> Iterator[Progress]:
    """Show the progress in one line on a terminal, which is removed at the end."""
    widest = 0

    def write(what: str, done: int, total: int, seconds: float) -> None:
        nonlocal widest
        text = line_of(what, done, total, seconds)
        widest = max(widest, len(text))
        stream.write(f"\r{text.ljust(widest)}")
        stream.flush()

    try:
        with Shown(what, write) as shown:
            yield shown
    finally:
        stream.write(f"\r{' ' * widest}\r")
        stream.flush()


@contextmanager
def in_notebook(what: str) -> Iterator[Progress]:
    """Show a bar in the output of the cell; at the end it shows the duration."""
    from IPython.display import HTML, display

    handle = display(HTML(_bar(what, 0, 0, 0.0)), display_id=True)  # type: ignore[no-untyped-call]

    def write(what: str, done: int, total: int, seconds: float) -> None:
        handle.update(HTML(_bar(what, done, total, seconds)))  # type: ignore[no-untyped-call]

    with Shown(what, write) as shown:
        yield shown
    text = escape(f"{what}: done in {in_words(shown.seconds)}")
    handle.update(HTML(f"<small>{text}</small>"))  # type: ignore[no-untyped-call]


def _bar(what: str, done: int, total: int, seconds: float) -> str:
    """Return a bar as HTML; without a total it moves from side to side."""
    amount = f' value="{done}" max="{total}"' if total else ""
    text = escape(line_of(what, done, total, seconds))
    return f'<label><progress{amount} aria-label="{escape(what)}"></progress> {text}</label>'


def is_notebook() -> bool:
    """Whether this runs in a notebook kernel and bars are not turned off."""
    if "IPython" not in sys.modules or os.environ.get("LEADSIGNAL_PROGRESS") == "0":
        return False
    shell: Any = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def by_default(what: str) -> Iterator[Progress | None]:
    """Show a bar in a notebook and log the duration, except inside another such task."""
    if _shown.get():
        yield None
        return
    mark = _shown.set(True)
    try:
        with timed(what), in_notebook(what) if is_notebook() else nullcontext() as progress:
            yield progress
    finally:
        _shown.reset(mark)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Log that a task is done, and its duration."""
    began = time.monotonic()
    yield
    _logger.info("%s: done in %s", what, in_words(time.monotonic() - began))


def log_warnings(what: str, warnings: Iterable[object]) -> None:
    """Log each warning in a line."""
    for one in warnings:
        _logger.warning("%s: %s", what, one)


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
        thread (`leadsignal.workers.threads`), the calls are made in this process.
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
    thread (`leadsignal.workers.threads`), it runs the call itself.
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


Value = TypeVar("Value")

CACHE_SWITCH = "LEADSIGNAL_SESSION_CACHE"
MAX_FITS = 32
"""Maximum number of cached fits; each takes about a megabyte."""

_fits: OrderedDict[str, Any] = OrderedDict()
_by_owner: WeakKeyDictionary[object, dict[Hashable, Any]] = WeakKeyDictionary()
_alive: WeakValueDictionary[str, Any] = WeakValueDictionary()
_lock = threading.Lock()


def cache_is_on() -> bool:
    """Return whether the cache is on."""
    return os.environ.get(CACHE_SWITCH, "1") != "0"


def fitted_once(key: str, fit: Callable[[], Value]) -> Value:
    """Return the cached result for a key, or call ``fit`` and cache its result.

    The key must identify everything that the result depends on. Beyond `MAX_FITS` results, the
    least recently used are dropped.
    """
    with _lock:
        if cache_is_on() and key in _fits:
            _fits.move_to_end(key)
            kept: Value = _fits[key]
            return kept
    found = fit()
    with _lock:
        if cache_is_on():
            _fits[key] = found
        while len(_fits) > MAX_FITS:
            _fits.popitem(last=False)
    return found


def once_for(owner: object, key: Hashable, work_out: Callable[[], Value]) -> Value:
    """Return the cached result for an owner and a key, or compute and cache it.

    The result is dropped with its owner (the tables it was computed from), and must not refer to
    it.
    """
    kept: tuple[Value] | None = recalled(owner, key)
    if kept is None:
        kept = (work_out(),)
        remember(owner, key, kept)
    return kept[0]


def recalled(owner: object, key: Hashable) -> Any:
    """Return the value cached for an owner and a key; None if there is none."""
    with _lock:
        return _by_owner.get(owner, {}).get(key) if cache_is_on() else None


def remember(owner: object, key: Hashable, value: object) -> None:
    """Cache a value, which must not refer to its owner, for the lifetime of the owner."""
    with _lock:
        if cache_is_on():
            _by_owner.setdefault(owner, {})[key] = value


def in_use(key: str) -> Any:
    """Return the object registered under a key if it is still in use, else None."""
    with _lock:
        return _alive.get(key) if cache_is_on() else None


def note_use(key: str, value: object) -> None:
    """Register an object under a key for as long as it is in use.

    Later callers with the same key then share its cached results (`once_for`).
    """
    with _lock:
        if cache_is_on():
            _alive[key] = value


def forget() -> None:
    """Clear the cache."""
    with _lock:
        _fits.clear()
        _by_owner.clear()
        _alive.clear()
