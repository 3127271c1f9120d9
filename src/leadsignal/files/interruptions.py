"""Ctrl-C and SIGTERM as an exception, so that what is open is closed and removed.

The handlers are those of the command line; a program that uses the library keeps its own.
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
"""Seconds in which the clearing up after one signal is not disturbed by another."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end; ``exit_code`` is 128 and the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class _State:
    """The signal that came, when it came, and the depth of nested `uncut` blocks."""

    def __init__(self) -> None:
        self.came: int | None = None
        self.at, self.depth, self.waits = 0.0, 0, False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise Interrupted, at once or when the step that must not be cut is done."""
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
    """Have SIGINT and SIGTERM raise Interrupted; ``keep`` leaves the process deaf to them at last.

    Only the main thread can; elsewhere, and inside another such block, nothing changes.
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
    """Return the signal that came since `interruptible` began, though its exception was lost."""
    return _STATE.came


@contextmanager
def uncut(at_end: bool = False) -> Iterator[None]:
    """Defer signals until a short step is complete.

    ``at_end`` is for finalizers, where an exception would be lost: the next such step raises it.
    """
    _STATE.depth += 1
    try:
        yield
    finally:
        _STATE.depth -= 1
        if not _STATE.depth and _STATE.waits and not at_end:
            _STATE.waits = False
            raise Interrupted(_STATE.came or signal.SIGINT)
