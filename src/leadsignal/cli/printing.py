"""What a command prints: words for people, JSON for programs, a bar on a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leadsignal.errors import WriteError


def say(options: argparse.Namespace, text: object) -> None:
    """Print for people: on stdout, or on stderr where stdout carries the JSON."""
    if not options.quiet:
        print(text, file=sys.stderr if options.json == "-" else sys.stdout)


def write_json(content: dict[str, Any], path: str) -> None:
    """Write JSON to a file, or to stdout where the path is `-`."""
    from leadsignal.files.writing import whole_file

    text = json.dumps(content, indent=2, default=str) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def done(options: argparse.Namespace, content: dict[str, Any], code: int = 0) -> int:
    """Write the outcome as JSON where it is asked for; return the exit code."""
    if options.json:
        write_json(content, options.json)
    return code


def refused_by_the_machine(error: Exception) -> WriteError | None:
    """Return what the disk or the memory refused, if an error says so; else it is a bug."""
    from leadsignal.errors import WriteError

    kind = type(error).__name__
    if kind == "OutOfMemoryException" or isinstance(error, MemoryError):
        return WriteError("the memory is too small", "Give more by LEADSIGNAL_MEMORY, as in 4GB")
    refused = ("could not write", "no space left", "failed to commit")
    of_store = type(error).__module__.lstrip("_").startswith("duckdb")
    if of_store and any(said in str(error).lower() for said in refused):
        kind = "IOException"
    if kind == "IOException" or isinstance(error, OSError):
        said = getattr(error, "strerror", None) or "the temporary files cannot be written"
        return WriteError(f"the disk refused: {said}", "Make room, or set TMPDIR to another disk")
    return None


@contextmanager
def progress_bar(options: argparse.Namespace, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; elsewhere, and if asked to be quiet, nothing."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
