"""List the inputs of a project, so that no output replaces them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leadsignal.config.credentials import Source, is_url
from leadsignal.config.project import ANALYSIS_FILE, PROJECT_FILE, Project
from leadsignal.config.table_settings import TableSource
from leadsignal.files.outputs import Inputs, note_inputs
from leadsignal.schema import ALL_TABLES
from leadsignal.sources.formats import endings
from leadsignal.sources.project_files import names_in


def note_project(project: Project, origin: object = None) -> None:
    """Record the inputs of a project; ``origin`` is the user's folder, file or tables."""
    note_inputs(inputs_of(project, origin), key=_key(project, origin))


def _key(project: Project, origin: object) -> object:
    if isinstance(origin, str | Path):
        return os.path.abspath(origin)
    return project.folder or tuple(sorted(map(str, _paths_in(origin))))


def inputs_of(project: Project, origin: object = None) -> Inputs:
    """Return the files and folders that a project reads, whether they exist or not."""
    here = project.folder or Path()
    home = project.folder and Path(os.path.realpath(project.folder))
    paths = [*_named(project, here), *(path.absolute() for path in _paths_in(origin))]
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
    for table in ALL_TABLES:
        yield from (table.name, *(f"{table.name}{end}" for end in endings()))


def _named(project: Project, here: Path) -> Iterator[Path]:
    """Yield the paths named in the project; relative ones start from its folder."""
    if project.analysis:
        yield Path(project.analysis)
    for source in project.tables.values():
        if source.path and not is_url(source.path):
            yield here / Path(source.path).expanduser()
        yield from (here / name for name, _ in names_in(source.query or ""))
        if isinstance(source.users, TableSource) and source.users.path:
            yield here / Path(source.users.path).expanduser()
    for named in project.sources.values():
        yield from _of_source(named)


def _of_source(source: Source) -> Iterator[Path]:
    if source.credentials:
        yield (source.folder or Path()) / source.credentials.expanduser()
    scheme, found, rest = (source.url or "").partition(":///")
    if found and scheme and rest:
        yield (source.folder or Path()) / Path(rest.partition("?")[0]).expanduser()


def _paths_in(origin: object) -> list[Path]:
    """Return the paths among the user's tables, or that of the folder or file."""
    if isinstance(origin, Mapping):
        content: Mapping[Any, Any] = origin
        return [
            Path(one) for one in content.values() if isinstance(one, str | Path) and not is_url(one)
        ]
    if isinstance(origin, str | Path) and Path(origin).suffix == ".toml":
        return [Path(origin)]
    return []
