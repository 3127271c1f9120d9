"""Locate the files of each table."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from leadsignal.config.credentials import is_url
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource, near_table
from leadsignal.errors import Fault, quiet
from leadsignal.files.outputs import CACHE, is_our_folder
from leadsignal.schema import ALL_TABLES, BY_NAME

FileFormat = Literal["csv", "json", "workbook", "parquet"]
SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xlsx": "workbook",
    ".parquet": "parquet",
}
"""Other extensions are read as CSV if the user names the file."""
PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Extensions of compressed files that are unpacked for reading."""
COMPRESSED = (".bz2", ".xz", ".lz4", ".br", ".zip", ".7z", ".snappy", ".z")
"""Extensions of compressed files that are not read."""
OTHER_WORKBOOKS = (".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
NAMES: dict[FileFormat, str] = {
    "csv": "CSV",
    "json": "JSON",
    "workbook": "workbooks",
    "parquet": "Parquet",
}


def ending(name: str) -> str:
    """Return the extension of a file that gives its format, in lower case.

    >>> ending("Events.2024.CSV.gz"), ending("usage.parquet"), ending("usage")
    ('.csv.gz', '.parquet', '')
    """
    path = PurePath(name)
    last = path.suffix.lower()
    return f"{path.with_suffix('').suffix.lower()}{last}" if last in PACKED else last


def stem(name: str) -> str:
    """Return a file's name without the extension that gives its format.

    >>> stem("events.csv.gz")
    'events'
    """
    return name[: len(name) - len(ending(name))]


def known_format(name: str) -> FileFormat | None:
    """Return the format of a file; None if its extension is unknown.

    >>> known_format("events.jsonl.zst"), known_format("events.gz"), known_format("notes")
    ('json', None, None)
    """
    plain = ending(name)
    inner = plain.removesuffix(packing_suffix(name))
    found = SUFFIXES.get(inner)
    return None if found == "parquet" and inner != plain else found


def packing_suffix(name: str) -> str:
    """Return the extension of a compressed file that can be unpacked, or an empty text."""
    last = PurePath(name).suffix.lower()
    return last if last in PACKED else ""


def is_compressed(name: str) -> bool:
    """Return whether a file is compressed in a format that is not supported."""
    return name.lower().endswith(COMPRESSED)


def endings() -> tuple[str, ...]:
    """Return all file extensions that are read."""
    packed = (
        f"{end}{pack}" for end, kind in SUFFIXES.items() if kind != "parquet" for pack in PACKED
    )
    return (*SUFFIXES, *packed)


# Where tables are ---------------------------------------------------------------------------------


Format = FileFormat | Literal["rows", "remote"]
CACHE_FOLDER = ".leadsignal-cache"
"""Folder in which a project caches its checked tables; temporary copies are beside it."""
HIDDEN = (".", "_")
"""Prefixes of names in a folder of parts that are markers of the writing program, not parts."""


@dataclass(frozen=True)
class Located:
    """The files of a table, all in one format, sorted by name.

    The rows of a database ("rows") have no files; those of an object store ("remote") have files
    once they are copied, and ``names`` are then their names in the store.
    """

    table: str
    files: tuple[Path, ...]
    format: Format
    names: tuple[str, ...] = ()

    def shown(self) -> list[str]:
        """Return the names of the files for messages, with their folder if there are several."""
        if self.names:
            return list(self.names)
        if len(self.files) == 1:
            return [self.files[0].name]
        return [f"{file.parent.name}/{file.name}" for file in self.files]


def locate(project: Project) -> tuple[list[Located], list[Fault]]:
    """Return the files of each table of a project, and faults in locating them."""
    located: list[Located] = []
    faults: list[Fault] = []
    folder = project.folder or Path()
    for table in ALL_TABLES:
        found = _find(project, table.name, folder)
        if isinstance(found, Located):
            located.append(found)
        elif found:
            faults.append(found)
    present = {found.table for found in located} | {fault.table for fault in faults}
    faults += _misspelt(project, folder, {name for name in present if name})
    faults += _mapped_but_absent(project, {name for name in present if name})
    return located, faults


def _find(project: Project, table: str, folder: Path) -> Located | Fault | None:
    source = project.tables.get(table)
    if source and (source.table or source.query or source.path):
        return located(table, source, folder)
    claimed = {
        os.path.normpath(folder / other.path)
        for name, other in project.tables.items()
        if name != table and other.path and not is_url(other.path)
    }
    return _conventional(table, folder, claimed)


def located(table: str, source: TableSource, folder: Path) -> Located | Fault:
    """Return the files of a table whose settings give their location."""
    if source.table or source.query:
        return Located(table, (), "rows")
    if source.source or is_url(source.path):
        return Located(table, (), "remote")
    return at_path(table, folder, str(source.path))


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
    from leadsignal.errors import near

    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = near(path.name, beside)
    return f"Did you mean {meant!r}?" if meant else "Correct the path."


def _conventional(table: str, folder: Path, claimed: Collection[str]) -> Located | Fault | None:
    """Return the file named after a table, unless another table is read from it."""
    candidates = [folder / f"{table}{end}" for end in endings()] + [folder / table]
    found = [path for path in candidates if os.path.lexists(path)]
    found = [path for path in found if os.path.normpath(path) not in claimed]
    # A file without an extension may be anything; it is listed as not read.
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
    """Return the files in a folder, and in its subfolders, that are named like parts, in order.

    Names that begin with "." or "_" are skipped, as in Spark; links to folders are not followed.
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
    return not name.startswith(HIDDEN) and is_data(name)


def is_data(name: str) -> bool:
    """Return whether a file has an extension of data; .txt may be anything, so it must be named.

    >>> is_data("part-1.csv.gz"), is_data("part-1.csv.zip"), is_data("notes.txt")
    (True, True, False)
    """
    if ending(name).startswith(".txt"):
        return False
    return known_format(name) is not None or is_compressed(name) or bool(packing_suffix(name))


def once_each(files: Iterable[Path]) -> list[Path]:
    """Return files without links to other files among them."""
    kept: dict[object, Path] = {}
    for file in files:
        try:
            status = file.stat()
            kept.setdefault((status.st_dev, status.st_ino), file)
        except (OSError, ValueError):
            kept[file] = file
    return list(kept.values())


def of_one_format(table: str, files: list[Path], shown: str) -> Located | Fault:
    """Return local files of a table, or the fault that one of them cannot be read."""
    for file in files:
        why = why_unusable(file)
        if why:
            name = shown if len(files) == 1 else f"{file.parent.name}/{file.name}"
            return _fault(table, name, *why)
    return of_one_ending(table, files, shown)


def why_unusable(path: Path) -> tuple[str, str] | None:
    """Return why a path is not a readable file, and the remedy; None if it is readable."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        if path.is_symlink():
            return "is a link to a file that does not exist", "Correct the link, or remove it."
        return "no such file", "Correct the path."
    for is_it, what in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_it(mode):
            return f"is {what}, not a file", "Put the file itself there, or remove it."
    if not stat.S_ISREG(mode):
        return "is a device, not a file", "Put the file itself there, or remove it."
    if not os.access(path, os.R_OK):
        return "may not be read: permission denied", "Grant this user read permission."
    return None


def of_one_ending(table: str, files: list[Path], shown: str) -> Located | Fault:
    """Return files of a table, or the fault that there are none, or that they differ in format."""
    for file in files:
        if why := _why_not_read(file.name):
            name = shown if len(files) == 1 else f"{file.parent.name}/{file.name}"
            return _fault(table, name, *why)
    formats = {known_format(file.name) or "csv" for file in files}
    if not files:
        return _fault(table, shown, "a folder without parts", "Put .csv or .parquet files in it.")
    if len(formats) > 1:
        names = " and ".join(what for kind, what in NAMES.items() if kind in formats)
        return _fault(table, shown, f"holds both {names}", "Keep one format.")
    return Located(table, tuple(files), formats.pop())


def _why_not_read(name: str) -> tuple[str, str] | None:
    """Return why a file with this name is not read, and the remedy."""
    if is_compressed(name):
        return "is compressed", "Unpack it, or compress it as .gz or .zst."
    if ending(name).startswith(".parquet."):
        return "is compressed twice", "Unpack it; Parquet is compressed inside."
    if ending(name) in OTHER_WORKBOOKS:
        return "is a workbook in an unsupported format", "Save it as .xlsx or .csv."
    return None


def _misspelt(project: Project, folder: Path, present: set[str]) -> Iterator[Fault]:
    if not folder.is_dir():
        return
    named = " ".join(str(source.users) + str(source.query) for source in project.tables.values())
    for path in sorted(folder.iterdir()):
        if not _is_table(path.name) or path.name in conventional_names() or path.name in named:
            continue
        meant = near_table(stem(path.name).strip().replace(" ", "_").replace("-", "_"))
        if meant and meant not in present:
            remedy = (
                f"Did you mean {meant + ending(path.name)!r}? Rename the file, or say so under "
                f'[tables.{meant}] of leadsignal.toml: path = "{path.name}".'
            )
            yield _fault(meant, path.name, "is not the name of a table", remedy)


def unread_files(project: Project) -> list[str]:
    """Return the files of the project's folder that might be tables but are not read."""
    folder = project.folder or Path()
    named = {Path(source.path).name for source in project.tables.values() if source.path}
    files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    known = named | conventional_names()
    return [name for name in files if _is_table(name) and name not in known]


def _is_table(name: str) -> bool:
    return _is_part(name) and known_format(name) is not None


def not_read(project: Project, read: Iterable[Path]) -> tuple[str, ...]:
    """Return everything in the project's folder that was not read; a folder ends with a slash.

    If something in a folder was read, its other files are listed one by one. The cache is omitted.
    """
    if project.folder is None or not project.folder.is_dir():
        return ()
    files = [*read, *([project.analysis] if project.analysis else [])]
    known = {os.path.abspath(file) for file in files}
    around = {str(parent) for file in known for parent in Path(file).parents}
    others = _others(os.path.abspath(project.folder), "", known, around)
    if is_our_folder(project.folder / CACHE_FOLDER, CACHE):
        others = (name for name in others if name != f"{CACHE_FOLDER}/")
    return tuple(name for name in others if not name.startswith(f".{CACHE_FOLDER}."))


def _others(folder: str, shown: str, known: set[str], around: set[str]) -> Iterator[str]:
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if path in around and os.path.isdir(path):
            yield from _others(path, f"{shown}{name}/", known, around)
        elif path not in known:
            yield quiet(f"{shown}{name}{'/' * os.path.isdir(path)}")


def conventional_names() -> set[str]:
    """Return the names of files named after a table."""
    return {f"{table.name}{end}" for table in ALL_TABLES for end in endings()}


def _mapped_but_absent(project: Project, present: set[str]) -> Iterator[Fault]:
    for name in project.tables:
        if name in BY_NAME and name not in present and name != "accounts":
            yield _fault(name, None, "has settings but no file", f"Give tables.{name}.path.")


def _fault(table: str, file: str | None, problem: str, remedy: str) -> Fault:
    return Fault(file, table, None, None, None, problem, remedy)
