"""Which files hold which table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leadsignal.errors import Fault
from leadsignal.project import Project, near_table
from leadsignal.schema import BY_NAME, TABLES
from leadsignal.settings.credentials import is_url

Format = Literal["csv", "parquet", "rows", "remote"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
"""Other endings are taken for CSV where the user names the file himself."""


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


def at_path(table: str, folder: Path, given: str | Path) -> Located | Fault:
    """Return the files at a path the user gave: a file, a folder of parts, or a glob."""
    path = folder / Path(given).expanduser()
    if any(sign in str(given) for sign in "*?["):
        base = Path(path.anchor) if path.is_absolute() else Path()
        files = sorted(base.glob(str(path.relative_to(base))))
        if not files:
            return _fault(table, str(given), "no file matches", "Correct the pattern.")
        return of_one_format(table, files, str(given))
    if path.is_dir():
        return of_one_format(table, _parts(path), str(given))
    if not path.exists():
        return _fault(table, str(given), "no such file", _hint(path))
    return Located(table, (path,), SUFFIXES.get(path.suffix.lower(), "csv"))


def _hint(path: Path) -> str:
    from leadsignal.settings.toml_files import near

    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = near(path.name, beside)
    return f"Did you mean {meant!r}?" if meant else "Correct the path."


def _conventional(table: str, folder: Path) -> Located | Fault | None:
    candidates = [folder / f"{table}{suffix}" for suffix in SUFFIXES] + [folder / table]
    found = [path for path in candidates if (path.is_file() if path.suffix else path.is_dir())]
    if len(found) > 1:
        names = " and ".join(path.name + ("/" if path.is_dir() else "") for path in found)
        return _fault(table, names, "two sources for one table", "Keep one of them.")
    if not found:
        return None
    if found[0].is_dir():
        return of_one_format(table, _parts(found[0]), found[0].name)
    return Located(table, (found[0],), SUFFIXES[found[0].suffix])


def _parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def of_one_format(table: str, files: list[Path], shown: str) -> Located | Fault:
    """Return files of one table, or the fault that there are none, or of two formats."""
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


def conventional_names() -> set[str]:
    """Return the names of files that are called after a table."""
    return {f"{table.name}{suffix}" for table in TABLES for suffix in SUFFIXES}


def _mapped_but_absent(project: Project, present: set[str]) -> Iterator[Fault]:
    for name in project.tables:
        if name in BY_NAME and name not in present and name != "accounts":
            yield _fault(name, None, "has settings but no file", f"Give tables.{name}.path.")


def _fault(table: str, file: str | None, problem: str, remedy: str) -> Fault:
    return Fault(file, table, None, None, None, problem, remedy)
