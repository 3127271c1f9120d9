"""Files written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leadsignal.errors import OptionError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and put it in place at the end.

    If the block fails, ``path`` stays as it was. Raises OptionError where the folder is not there.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OptionError(f"there is no folder {path.parent}", "Make it, or write somewhere else")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` to fill, and put it in place at the end.

    A folder that is there is replaced. Raises OptionError where ``path`` is a file, or its parent
    is not there.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OptionError(f"{path} is a file", "Name a folder")
    if not path.parent.is_dir():
        raise OptionError(f"there is no folder {path.parent}", "Make it, or write somewhere else")
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield part
        part.chmod(0o755)
        if path.exists():
            old = part.with_suffix(".old")
            path.rename(old)
            part.rename(path)
            shutil.rmtree(old)
        else:
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
