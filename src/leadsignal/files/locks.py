"""Locks that end with their process, and signals raised as exceptions so that files are closed.

Only the command line turns Ctrl-C and SIGTERM into exceptions; a program that uses the library
keeps its own handlers.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from leadsignal.errors import BusyError, OptionError

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


# Locks --------------------------------------------------------------------------------------------


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(path: Path) -> int | None:
    """Lock a file or folder; return the handle to close, or None if another process has the lock.

    Also return None if the file has gone by then: another process had the lock and removed it.
    """
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def clean_orphans(folder: Path, prefix: str, suffix: str = "") -> None:
    """Remove files and folders with these names that dead processes left behind.

    Those locked by a running process, and those that cannot be removed, stay.
    """
    if fcntl is None:
        return
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name.startswith(prefix) and path.name.endswith(suffix):
                _clean(path)


def _clean(path: Path) -> None:
    if path.is_symlink() or (handle := hold(path)) is None:
        return
    try:
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(handle)


@contextmanager
def exclusive_lock(path: str | Path) -> Iterator[None]:
    """Lock ``path``; if another process has the lock, the error names that process.

    The lock file is next to ``path`` and is removed afterwards. Raises BusyError if another process
    has the lock, OptionError if the folder does not exist or cannot be written.
    """
    path = Path(path)
    # Lock the target of a link, since all names of an output must share one lock.
    real = Path(os.path.realpath(path))
    lock, handle = real.with_name(f".{real.name}.lock"), -1
    try:
        with uncut():
            handle = _waited_for(lock, path)
            os.ftruncate(handle, 0)
            os.write(handle, _holder().encode())
        yield
    finally:
        if handle >= 0:
            with uncut():
                # Remove it before releasing the lock, so that a new lock of another process stays.
                with suppress(OSError):
                    lock.unlink()
                os.close(handle)


def lock_wait(default: float) -> float:
    """Return the seconds to wait for a lock: LEADSIGNAL_LOCK_WAIT, or ``default``."""
    text = os.environ.get("LEADSIGNAL_LOCK_WAIT", "").strip()
    if not text:
        return default
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        problem = f"LEADSIGNAL_LOCK_WAIT = {text[:40]!r} is not a number of seconds"
        raise OptionError(problem, "Write 60 for a minute")
    return float(text)


def _waited_for(lock: Path, path: Path) -> int:
    until = time.monotonic() + lock_wait(0)
    while True:
        try:
            return _taken(lock, path)
        except BusyError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.2)


def _taken(lock: Path, path: Path) -> int:
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            raise OptionError(
                f"there is no folder {path.parent}", "Create it, or write somewhere else"
            ) from None
        except OSError as error:
            raise OptionError(
                f"{path.parent} cannot be written to: {error.strerror}", "Write somewhere else"
            ) from None
        if fcntl is None:
            return handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise BusyError(
                f"{path} is being written by {holder}",
                "Try again when it is done, wait for it (LEADSIGNAL_LOCK_WAIT=600), or"
                " write somewhere else",
            ) from None
        # The previous holder may have removed the file; a lock on it would then be worthless.
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                return handle
        os.close(handle)


def _holder() -> str:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
