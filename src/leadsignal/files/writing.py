"""Locks that end with their process, atomic writes of files and folders, and rows as plain values.

Only the command line turns Ctrl-C and SIGTERM into exceptions; a program that uses the library
keeps its own handlers.

Each file is written under a temporary name in the same folder, flushed to disk (fsync), and
renamed; the previous content is restored if the fsync of the folder fails. Temporary files of a
killed process are removed by the next one that writes there; those of a running process are locked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import is_dataclass
from datetime import UTC, date, datetime
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize

from leadsignal.errors import BusyError, OptionError, WriteError
from leadsignal.files.outputs import FileKind, FolderKind, check_distinct, check_file, check_folder

if TYPE_CHECKING:
    import pandas as pd


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
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            holder = f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
            os.write(handle, holder.encode())
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


def plain_row(row: Mapping[Any, Any] | pd.Series[Any]) -> dict[Any, Any]:
    """Return a row with missing cells as None, timestamps as dates, numpy numbers as Python's."""
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    import pandas as pd

    if value is None or (not isinstance(value, list | dict | tuple) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.date()
    return value.item() if hasattr(value, "item") else value


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame, ready for JSON: missing cells as None, dates as ISO text."""
    rows: list[dict[str, Any]] = json_ready(frame.to_dict("records"))
    return rows


def json_fields(result: object, *names: str, **renamed: str) -> dict[str, Any]:
    """Return attributes of a result by name, ready for JSON.

    ``renamed`` gives the attribute of each name that differs from it.

    >>> from datetime import date
    >>> from types import SimpleNamespace
    >>> json_fields(SimpleNamespace(day=date(2025, 1, 31), n=2), "as_of", "n", as_of="day")
    {'as_of': '2025-01-31', 'n': 2}
    """
    return {name: json_ready(getattr(result, renamed.get(name, name))) for name in names}


def json_ready(value: Any) -> Any:
    """Return nested results, tables, dictionaries and lists ready for JSON, dates as ISO text."""
    if hasattr(value, "iterrows"):
        return json_rows(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        return json_ready(vars(value))
    if isinstance(value, Mapping):
        return {str(name): json_ready(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    plain = _value(value)
    return plain.isoformat() if isinstance(plain, date) else plain


# Spreadsheets -------------------------------------------------------------------------------------


STARTS = frozenset("=+-@|%")
"""Possible first visible characters of a formula, or of a DDE command."""
BREAKS = frozenset("\t\r\n\0")
"""Leading characters after which a spreadsheet may read the rest as another cell."""
UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Blank letters and symbols; other invisible characters are recognised by their category."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


def safe_text(text: str) -> str:
    """Return a text, with an apostrophe before it if a spreadsheet would run it as a formula.

    It would if the first visible character, after NFKC normalisation, is one of ``= + - @ | %``, or
    if the text starts with a tab or a line break. Plain numbers are unchanged. A text that already
    has an apostrophe before a formula gets another one, so that `plain_text` restores the original.

    >>> safe_text("=1+1"), safe_text(" \N{FULLWIDTH EQUALS SIGN}1"), safe_text("-12")
    ("'=1+1", "' \N{FULLWIDTH EQUALS SIGN}1", '-12')
    """
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def plain_text(text: str) -> str:
    """Undo `safe_text`.

    >>> plain_text("'=1+1"), plain_text("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and safe_text(text[1:]) == text else text


def _is_formula(text: str) -> bool:
    if _NUMBER.fullmatch(text):
        return False
    for character in text:
        if character in BREAKS:
            return True
        # Spaces, control, format and combining characters are invisible.
        if category(character)[0] not in "ZCM" and character not in UNSEEN:
            return normalize("NFKC", character)[:1] in STARTS
    return False


def safe_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of the frame with `safe_text` applied to text cells and column names."""
    return _mapped(frame, safe_text)


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Undo `safe_frame` in a frame read from a file."""
    return _mapped(frame, plain_text)


def _mapped(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a copy of the frame with text cells and column names changed."""
    import pandas as pd
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    def changed(cell: Any) -> Any:
        return change(cell) if isinstance(cell, str) else cell

    parts = [frame.iloc[:, place] for place in range(frame.shape[1])]
    for place, part in enumerate(parts):
        if not (is_numeric_dtype(part.dtype) or is_datetime64_any_dtype(part.dtype)):
            # `Series.map` of pandas 3 would return its string type, and NaN for None.
            cells = [changed(cell) for cell in part]
            parts[place] = pd.Series(cells, index=part.index, name=part.name, dtype=object)
    copied = pd.concat(parts, axis=1) if parts else frame.copy()
    return copied.rename(columns=changed)


PART = ".part"


@contextmanager
def atomic_write(
    path: str | Path, kind: FileKind | None = None, *, force: bool = False
) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to ``path`` at the end.

    If the block fails, ``path`` is unchanged. Raises OptionError like `check_file`, and WriteError
    if the file cannot be written. A link stays a link; its target is written.
    """
    with whole_files([path], [kind], force=force) as (part,):
        yield part


@contextmanager
def whole_files(
    paths: Sequence[str | Path], kinds: Sequence[FileKind | None] = (), *, force: bool = False
) -> Iterator[tuple[Path, ...]]:
    """Yield a temporary path for each of ``paths``, and rename all of them at the end, or none.

    Only a kill between two renames can leave some files new and others old.
    """
    check_distinct(paths)
    requested = zip_longest(paths, kinds[: len(paths)])
    places = [check_file(path, kind, force=force) for path, kind in requested]
    with ExitStack() as stack:
        parts = tuple(stack.enter_context(_part(path, folder=False)) for path in places)
        with _write_errors(places[0]):
            yield parts
        with _write_errors(places[0]):
            for part in parts:
                _sync(part)
            _put_all(list(zip(parts, places, strict=True)))


@contextmanager
def whole_folder(path: str | Path, kind: FolderKind | None = None) -> Iterator[Path]:
    """Yield a temporary folder to fill, and rename it to ``path`` at the end.

    An existing folder of this kind is replaced. Raises OptionError like `check_folder`, and
    WriteError if the folder cannot be written.
    """
    restore_folder(os.path.realpath(path))
    # A link to the folder (`current` to the newest model) stays a link.
    path = check_folder(path, kind)
    with _part(path, folder=True) as part:
        with _write_errors(path):
            yield part
        with _write_errors(path):
            for inside in sorted(part.rglob("*"), reverse=True):
                _sync(inside)
            _sync(part)
            _put_all([(part, path)])


def restore_folder(path: str | Path) -> None:
    """Restore a folder that was left under its temporary name by a kill between two renames.

    This happens only on file systems that cannot exchange two names atomically.
    """
    path = Path(path)
    old = _old_name(path)
    if not path.exists() and old.is_dir():
        with suppress(OSError):
            old.rename(path)


def _old_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Convert an error of the operating system to WriteError."""
    try:
        yield
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else type(error).__name__
        remedy = f"{remedy_for(error.errno)}; the previous content is unchanged"
        raise WriteError(f"cannot write {path}: {said}", remedy) from error


def remedy_for(number: int | None) -> str:
    """Return the remedy for an operating system error number."""
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free disk space, and run it again"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Grant write permission, or choose another path"
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR):
        return "Correct the path"
    return "Check the disk, and run it again"


@contextmanager
def _part(path: Path, folder: bool) -> Iterator[Path]:
    """Create a temporary file or folder beside ``path``, locked until it is removed at the end."""
    clean_orphans(path.parent, f".{path.name}.", PART)
    part, handle = path, -1
    try:
        with _write_errors(path), uncut():
            part, handle = _locked_part(path, folder)
        yield part
    finally:
        if handle >= 0:
            with uncut():
                _remove(part)
                os.close(handle)


def _locked_part(path: Path, folder: bool) -> tuple[Path, int]:
    # The umask applies to these modes, so that a service can keep its output private.
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
        if folder:
            part.mkdir()
        else:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        handle = hold(part)
        if handle is not None:
            return part, handle


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@uncut()
def _put_all(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename each part into place; if one fails, restore what was there before."""
    undo: list[Callable[[], None]] = []
    try:
        for part, path in pairs:
            undo.append(_put(part, path))
        for folder in dict.fromkeys(path.parent for _, path in pairs):
            _sync(folder)
    except OSError:
        for back in reversed(undo):
            with suppress(OSError):
                back()
        raise
    for part, path in pairs:
        _remove(part if part.exists() else _old_name(path))


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _put(part: Path, path: Path) -> Callable[[], None]:
    """Rename a part into place; the previous content keeps the part's name, or `_old_name`."""
    if not path.exists() and not path.is_symlink():
        os.rename(part, path)
        return lambda: _remove(path)
    if _exchange(part, path):
        return lambda: None if _exchange(part, path) else os.replace(part, path)
    if not path.is_dir():
        old = _old_name(path)
        old.unlink(missing_ok=True)
        with suppress(OSError):
            os.link(path, old, follow_symlinks=False)
        try:
            os.replace(part, path)
        except OSError:
            old.unlink(missing_ok=True)
            raise
        return lambda: os.replace(old, path)
    return _step_aside(part, path)


def _step_aside(part: Path, path: Path) -> Callable[[], None]:
    """Replace a folder in two renames; `restore_folder` repairs a kill between them."""
    old = _old_name(path)
    shutil.rmtree(old, ignore_errors=True)
    os.rename(path, old)

    def back() -> None:
        if path.exists():
            os.rename(path, part)
        os.rename(old, path)

    try:
        os.rename(part, path)
    except OSError:
        back()
        raise
    return back


@cache
def _renameat2() -> Callable[..., int] | None:
    """Return the system call that exchanges two names atomically (Linux 3.15); None without it."""
    if not sys.platform.startswith("linux"):
        return None
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        call.argtypes = [ctypes.c_int, ctypes.c_char_p] * 2 + [ctypes.c_uint]
    return call


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically; return False if the file system does not support it."""
    call = _renameat2()
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call is None:
        return False
    if call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))
