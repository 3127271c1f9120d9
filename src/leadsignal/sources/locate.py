"""Which files hold which table."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leadsignal.config.credentials import is_url
from leadsignal.config.project import Project, near_table
from leadsignal.errors import Fault, quiet
from leadsignal.schema import BY_NAME, TABLES

Format = Literal["csv", "parquet", "rows", "remote"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
"""Other endings are taken for CSV where the user names the file himself."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".br", ".zip", ".7z", ".snappy", ".z")
"""Endings of compressed files; no table is read from one."""
HIDDEN = (".", "_")
"""A name in a folder of parts that begins so is a marker of whoever wrote the folder, no part."""


@dataclass(frozen=True)
class Located:
    """The files of one table, all of one format, in the order of their names.

    The rows of a database ("rows") have no files, and those of an object store ("remote") have
    them once they are copied; ``names`` is then what they are called there.
    """

    table: str
    files: tuple[Path, ...]
    format: Format
    names: tuple[str, ...] = ()

    def shown(self) -> list[str]:
        """Return what the files are called in messages: of several, with their folder."""
        if self.names:
            return list(self.names)
        if len(self.files) == 1:
            return [self.files[0].name]
        return [f"{file.parent.name}/{file.name}" for file in self.files]


def locate(project: Project) -> tuple[list[Located], list[Fault]]:
    """Return the files of each table of a project, and what is wrong with finding them."""
    located: list[Located] = []
    faults: list[Fault] = []
    folder = project.folder or Path()
    for table in TABLES:
        found = _find(project, table.name, folder)
        if isinstance(found, Located):
            located.append(found)
        elif found:
            faults.append(found)
    present = {found.table for found in located} | {fault.table for fault in faults}
    faults += _misspelt(folder, {name for name in present if name})
    faults += _mapped_but_absent(project, {name for name in present if name})
    return located, faults


def _find(project: Project, table: str, folder: Path) -> Located | Fault | None:
    source = project.tables.get(table)
    if source and (source.table or source.query):
        return Located(table, (), "rows")
    if source and source.path and (source.source or is_url(source.path)):
        return Located(table, (), "remote")
    if source and source.path:
        return at_path(table, folder, source.path)
    return _conventional(table, folder)


def at_path(table: str, folder: Path, name: str | Path) -> Located | Fault:
    """Return the files at a path the user gave: a file, a folder of parts, or a glob."""
    path = folder / Path(name).expanduser()
    if any(sign in str(name) for sign in "*?[") and not os.path.lexists(path):
        return _matching(table, path, str(name))
    if path.is_dir():
        return _of_parts(table, path, str(name))
    if not os.path.lexists(path):
        return _fault(table, str(name), "no such file", _hint(path))
    return of_one_format(table, [path], str(name))


def _matching(table: str, pattern: Path, shown: str) -> Located | Fault:
    """Return the files that match a pattern; a matching folder is replaced by its parts."""
    base = Path(pattern.anchor) if pattern.is_absolute() else Path()
    try:
        found = sorted(base.glob(str(pattern.relative_to(base))))
    except (OSError, ValueError, NotImplementedError) as error:
        return _fault(table, shown, f"is not a pattern: {error}", "Correct the pattern.")
    by_name = pattern.name.startswith(HIDDEN)
    shown_files = [path for path in found if by_name or not path.name.startswith(HIDDEN)]
    files = [file for path in shown_files for file in (parts_of(path) if path.is_dir() else [path])]
    if not files:
        return _fault(table, shown, "no file matches", "Correct the pattern.")
    return of_one_format(table, once_each(files), shown)


def _hint(path: Path) -> str:
    from leadsignal.config.toml_files import near

    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = near(path.name, beside)
    return f"Did you mean {meant!r}?" if meant else "Correct the path."


def _conventional(table: str, folder: Path) -> Located | Fault | None:
    candidates = [folder / f"{table}{suffix}" for suffix in SUFFIXES] + [folder / table]
    found = [path for path in candidates if os.path.lexists(path)]
    # A file without an ending may be anything; it is listed as not read.
    found = [path for path in found if path.suffix or not path.is_file()]
    if len(found) > 1:
        names = " and ".join(path.name + ("/" if path.is_dir() else "") for path in found)
        return _fault(table, names, "two sources for one table", "Keep one of them.")
    if not found:
        return None
    if found[0].is_dir():
        return _of_parts(table, found[0], found[0].name)
    return of_one_format(table, found, found[0].name)


def _of_parts(table: str, folder: Path, shown: str) -> Located | Fault:
    return of_one_format(table, once_each(parts_of(folder)), shown)


def parts_of(folder: Path) -> list[Path]:
    """Return what in a folder, or in folders inside it, is named like a part, in order.

    Names that begin with "." or "_" are none, as in Spark; links to folders are not followed.
    """
    parts: list[Path] = []
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        for name in [*files, *(name for name in links if _is_part(name))]:
            if _is_part(name):
                parts.append(Path(where, name))
    return sorted(parts)


def _is_part(name: str) -> bool:
    return not name.startswith(HIDDEN) and (
        Path(name).suffix.lower() in SUFFIXES or is_compressed(name)
    )


def is_compressed(name: str) -> bool:
    """Return whether a file is compressed, by the end of its name."""
    return name.lower().endswith(COMPRESSED)


def once_each(files: Iterable[Path]) -> list[Path]:
    """Return files without those that are links to another one of them."""
    kept: dict[object, Path] = {}
    for file in files:
        try:
            status = file.stat()
            kept.setdefault((status.st_dev, status.st_ino), file)
        except (OSError, ValueError):
            kept[file] = file
    return list(kept.values())


def of_one_format(table: str, files: list[Path], shown: str) -> Located | Fault:
    """Return local files of one table, or the fault that one of them cannot be read."""
    for file in files:
        why = why_unusable(file)
        if why:
            name = shown if len(files) == 1 else f"{file.parent.name}/{file.name}"
            return _fault(table, name, *why)
    return of_one_ending(table, files, shown)


def why_unusable(path: Path) -> tuple[str, str] | None:
    """Return why a path is not a file that can be read, and what to do; None for one that is."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        if path.is_symlink():
            return "is a link to a file that is not there", "Correct the link, or take it away."
        return "no such file", "Correct the path."
    for is_it, what in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_it(mode):
            return f"is {what}, not a file", "Put the file itself there, or take it away."
    if not stat.S_ISREG(mode):
        return "is a device, not a file", "Put the file itself there, or take it away."
    if not os.access(path, os.R_OK):
        return "may not be read: permission denied", "Give this user the right to read it."
    return None


def of_one_ending(table: str, files: list[Path], shown: str) -> Located | Fault:
    """Return files of one table, or the fault that there are none, or of two formats."""
    packed = [file for file in files if is_compressed(file.name)]
    if packed:
        name = shown if len(files) == 1 else f"{packed[0].parent.name}/{packed[0].name}"
        return _fault(table, name, "is compressed", "Unpack it; Parquet is compressed inside.")
    formats = {SUFFIXES.get(file.suffix.lower(), "csv") for file in files}
    if not files:
        return _fault(table, shown, "a folder without parts", "Put .csv or .parquet files in it.")
    if len(formats) > 1:
        return _fault(table, shown, "holds both CSV and Parquet", "Keep one of the two.")
    return Located(table, tuple(files), formats.pop())


def _misspelt(folder: Path, present: set[str]) -> Iterator[Fault]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name in conventional_names():
            continue
        if path.name.startswith(HIDDEN):
            continue
        meant = near_table(path.stem.strip().replace(" ", "_").replace("-", "_"))
        if meant and meant not in present:
            remedy = (
                f"Did you mean {meant + path.suffix.lower()!r}? Rename the file, or say so under "
                f'[tables.{meant}] of leadsignal.toml: path = "{path.name}".'
            )
            yield _fault(meant, path.name, "is not the name of a table", remedy)


def unread_files(project: Project) -> list[str]:
    """Return the CSV and Parquet files of the project's folder that no table is read from."""
    folder = project.folder or Path()
    named = {Path(source.path).name for source in project.tables.values() if source.path}
    files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    known = named | conventional_names()
    return [name for name in files if Path(name).suffix.lower() in SUFFIXES and name not in known]


def not_read(project: Project, read: Iterable[Path]) -> tuple[str, ...]:
    """Return everything in the project's folder that was not read; a folder ends with a slash.

    Of a folder from which something was read, what else it holds is listed.
    """
    if project.folder is None or not project.folder.is_dir():
        return ()
    files = [*read, *([project.analysis] if project.analysis else [])]
    known = {os.path.abspath(file) for file in files}
    around = {str(parent) for file in known for parent in Path(file).parents}
    return tuple(_others(os.path.abspath(project.folder), "", known, around))


def _others(folder: str, shown: str, known: set[str], around: set[str]) -> Iterator[str]:
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if path in around and os.path.isdir(path):
            yield from _others(path, f"{shown}{name}/", known, around)
        elif path not in known:
            yield quiet(f"{shown}{name}{'/' * os.path.isdir(path)}")


def conventional_names() -> set[str]:
    """Return the names of files that are called after a table."""
    return {f"{table.name}{suffix}" for table in TABLES for suffix in SUFFIXES}


def _mapped_but_absent(project: Project, present: set[str]) -> Iterator[Fault]:
    for name in project.tables:
        if name in BY_NAME and name not in present and name != "accounts":
            yield _fault(name, None, "has settings but no file", f"Give tables.{name}.path.")


def _fault(table: str, file: str | None, problem: str, remedy: str) -> Fault:
    return Fault(file, table, None, None, None, problem, remedy)
