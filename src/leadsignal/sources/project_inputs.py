"""What a project reads, so that no output takes its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leadsignal.config.credentials import Source, is_url
from leadsignal.config.project import ANALYSIS_FILE, PROJECT_FILE, Project
from leadsignal.files.outputs import Inputs, note_inputs
from leadsignal.schema import TABLES
from leadsignal.sources.locate import SUFFIXES


def note_project(project: Project, given: object = None) -> None:
    """Note what a project reads; ``given`` is what the user named: a folder, a file, or tables."""
    note_inputs(inputs_of(project, given), key=_key(project, given))


def _key(project: Project, given: object) -> object:
    if isinstance(given, str | Path):
        return os.path.abspath(given)
    return project.folder or tuple(sorted(map(str, _paths_in(given))))


def inputs_of(project: Project, given: object = None) -> Inputs:
    """Return the files and folders that a project reads, whether they are there or not."""
    here = project.folder or Path()
    home = project.folder and Path(os.path.realpath(project.folder))
    paths = [*_named(project, here), *(path.absolute() for path in _paths_in(given))]
    if project.folder is not None:
        paths += [here / name for name in _conventional() if (here / name).exists()]
    patterns = [str(path) for path in paths if any(sign in str(path) for sign in "*?[")]
    plain = [_real(path) for path in paths if str(path) not in patterns]
    folders = frozenset(path for path in plain if path.is_dir() and path != home)
    return Inputs(
        home,
        frozenset(path for path in plain if not path.is_dir()),
        folders,
        frozenset(_conventional()) if home else frozenset(),
        tuple(os.path.join(os.path.realpath(Path(p).parent), Path(p).name) for p in patterns),
    )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path.expanduser()))


def _conventional() -> Iterator[str]:
    """Yield the names of files that are read from a project's folder by default."""
    yield from (PROJECT_FILE, ANALYSIS_FILE)
    for table in TABLES:
        yield from (table.name, *(f"{table.name}{suffix}" for suffix in SUFFIXES))


def _named(project: Project, here: Path) -> Iterator[Path]:
    """Yield the paths that the project names; relative ones start from its folder."""
    if project.analysis:
        yield Path(project.analysis)
    for source in project.tables.values():
        if source.path and not is_url(source.path):
            yield here / Path(source.path).expanduser()
    for named in project.sources.values():
        yield from _of_source(named)


def _of_source(source: Source) -> Iterator[Path]:
    if source.credentials:
        yield (source.folder or Path()) / source.credentials.expanduser()
    scheme, found, rest = (source.url or "").partition(":///")
    if found and scheme and rest:
        yield (source.folder or Path()) / Path(rest.partition("?")[0]).expanduser()


def _paths_in(given: object) -> list[Path]:
    """Return the paths among what the user named: of tables by name, or of one folder or file."""
    if isinstance(given, Mapping):
        content: Mapping[Any, Any] = given
        return [
            Path(one) for one in content.values() if isinstance(one, str | Path) and not is_url(one)
        ]
    if isinstance(given, str | Path) and Path(given).suffix == ".toml":
        return [Path(given)]
    return []
