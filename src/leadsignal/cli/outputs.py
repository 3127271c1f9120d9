"""Check the outputs of a command before any work is done."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from leadsignal.errors import LeadsignalError
from leadsignal.files.outputs import (
    OUTCOME,
    FileKind,
    FolderKind,
    check_distinct,
    check_file,
    check_folder,
)

Kind = FileKind | FolderKind | None
Outputs = Callable[[argparse.Namespace], Iterable[tuple[Path, Kind]]]
INPUTS = ("model", "scores", "contacts")
"""Options that name inputs of a command."""


def writes(**kinds: Kind) -> Outputs:
    """Return a function that yields the paths given by these options, each with its kind."""
    return lambda options: [
        (Path(path), kind)
        for name, kind in kinds.items()
        if (path := getattr(options, name)) is not None
    ]


def check_outputs(options: argparse.Namespace) -> None:
    """Raise OptionError for an output that would replace another kind of file, or an input."""
    _note_project(options)
    inputs = [Path(option) for name in INPUTS if (option := getattr(options, name, None))]
    files = [path for path in inputs if not os.path.isdir(path)]
    outputs = list(outputs_of(options))
    check_distinct(path for path, _ in outputs)
    _note_projects_around(path for path, _ in outputs)
    for path, kind in outputs:
        if isinstance(kind, FolderKind):
            check_folder(path, kind, inputs=files)
        else:
            check_file(path, kind, force=options.force, inputs=files)


def outputs_of(options: argparse.Namespace) -> Iterator[tuple[Path, Kind]]:
    """Yield the paths of the outputs that the options name, and their kinds."""
    named: Outputs = options.outputs
    yield from named(options)
    if options.json not in (None, "-"):
        yield Path(options.json), OUTCOME


def existing_outputs(options: argparse.Namespace) -> dict[Path, object]:
    """Return a mark for each output, which changes when the output is written."""
    return {path: _mark(path) for path, _ in outputs_of(options)}


def _mark(path: Path) -> object:
    try:
        found = os.stat(path)
        inside = sorted(os.listdir(path)) if os.path.isdir(path) else []
    except OSError:
        return None
    entries = [(name, os.stat(path / name).st_ino) for name in inside if name[0] != "."]
    return found.st_ino, entries


def _note_projects_around(paths: Iterable[Path]) -> None:
    """Note the projects that contain outputs, even if this run reads another one or none."""
    for path in paths:
        for place in list(Path(os.path.realpath(path)).parents)[:2]:
            names = ("leadsignal.toml", "accounts.csv", "accounts.parquet")
            if any(os.path.isfile(place / name) for name in names):
                with suppress(LeadsignalError):
                    _note(place)


def _note_project(options: argparse.Namespace) -> None:
    from leadsignal.config.credentials import is_url

    folder = getattr(options, "project", None)
    if folder is not None and not is_url(folder):
        _note(Path(folder))


def _note(folder: Path) -> None:
    from leadsignal.config.project import read_project
    from leadsignal.files.outputs import Inputs, note_inputs
    from leadsignal.sources.project_inputs import note_project

    # If the project cannot be read, its whole folder counts as an input.
    place = Path(os.path.realpath(folder))
    note_inputs(Inputs(folders=frozenset({place})), key=os.path.abspath(folder))
    note_project(read_project(folder), folder)
