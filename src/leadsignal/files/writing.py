"""Write files and folders atomically; rows as plain values, without spreadsheet formulas.

Each is written under a temporary name in the same folder, flushed to disk (fsync), and renamed; the
previous content is restored if the fsync of the folder fails. Temporary files of a killed process
are removed by the next one that writes there; those of a running process are locked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import is_dataclass
from datetime import date
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize

from leadsignal.errors import WriteError
from leadsignal.files.locks import clean_orphans, hold, uncut
from leadsignal.files.outputs import FileKind, FolderKind, check_distinct, check_file, check_folder

if TYPE_CHECKING:
    import pandas as pd


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
        if not _is_unseen(character):
            return normalize("NFKC", character)[:1] in STARTS
    return False


def _is_unseen(character: str) -> bool:
    """Return whether a character is invisible: a space, control, format or combining character."""
    return category(character)[0] in "ZCM" or character in UNSEEN


def safe_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of the frame with `safe_text` applied to text cells and column names."""
    return _mapped(frame, safe_text).rename(columns=lambda name: _if_text(name, safe_text))


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Undo `safe_frame` in a frame read from a file."""
    return _mapped(frame, plain_text).rename(columns=lambda name: _if_text(name, plain_text))


def _mapped(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    import pandas as pd

    texts = [place for place, kind in enumerate(frame.dtypes) if _may_hold_text(kind)]
    columns = {place: _mapped_column(frame.iloc[:, place], change) for place in texts}
    if not columns:
        return frame.copy()
    parts = [columns.get(place, frame.iloc[:, place]) for place in range(frame.shape[1])]
    return pd.concat(parts, axis=1)


def _mapped_column(column: pd.Series, change: Any) -> pd.Series:
    import pandas as pd

    # `Series.map` of pandas 3 would return its string type, and NaN for None.
    cells = [_if_text(cell, change) for cell in column]
    return pd.Series(cells, index=column.index, name=column.name, dtype=object)


def _may_hold_text(kind: Any) -> bool:
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    return not (is_numeric_dtype(kind) or is_datetime64_any_dtype(kind))


def _if_text(cell: Any, change: Any) -> Any:
    return change(cell) if isinstance(cell, str) else cell


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


def _put_all(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename each part into place; if one fails, restore what was there before."""
    with uncut():
        _put_each(pairs)


def _put_each(pairs: Sequence[tuple[Path, Path]]) -> None:
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
