"""Raise Ctrl-C and SIGTERM as an exception, so that open files are closed and removed.

Only the command line installs these handlers; a program that uses the library keeps its own.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 10.0
"""Seconds after a signal in which further signals are ignored, so that cleaning up can finish."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end; ``exit_code`` is 128 plus the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class _State:
    """The signal received, its time, and the depth of nested `uncut` blocks."""

    def __init__(self) -> None:
        self.came: int | None = None
        self.at, self.depth, self.waits = 0.0, 0, False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise Interrupted, at once or after the step that must not be interrupted."""
        if self.came is not None and time.monotonic() - self.at < GRACE:
            return
        self.came, self.at = number, time.monotonic()
        if self.depth:
            self.waits = True
            return
        raise Interrupted(number)


_STATE = _State()


@contextmanager
def interruptible(keep: bool = False) -> Iterator[None]:
    """Make SIGINT and SIGTERM raise Interrupted; with ``keep``, both are ignored afterwards.

    This works in the main thread only; elsewhere, and inside another such block, nothing changes.
    """
    mine = threading.current_thread() is threading.main_thread()
    ours = getattr(signal.getsignal(signal.SIGTERM), "__self__", None) is _STATE
    if not mine or ours:
        yield
        return
    _STATE.came, _STATE.waits = None, False
    before = {number: signal.signal(number, _STATE.handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if keep else handler)


def came() -> int | None:
    """Return the signal received since `interruptible` began, even if its exception was lost."""
    return _STATE.came


@contextmanager
def uncut(at_end: bool = False) -> Iterator[None]:
    """Defer signals until a short step is complete.

    ``at_end`` is for finalizers, where an exception would be lost: the next such block raises it.
    """
    _STATE.depth += 1
    try:
        yield
    finally:
        _STATE.depth -= 1
        if not _STATE.depth and _STATE.waits and not at_end:
            _STATE.waits = False
            raise Interrupted(_STATE.came or signal.SIGINT)
