"""What commands share: options, reading their inputs, and printing."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from leadsignal.errors import LeadsignalError, WriteError
from leadsignal.files.outputs import (
    OUTCOME,
    FileKind,
    FolderKind,
    Inputs,
    check_distinct,
    check_file,
    check_folder,
    note_inputs,
)
from leadsignal.package_data import packaged_toml

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.as_of_context import AsOfContext
    from leadsignal.config.project import Project
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.ingestion.check_report import DataWarning
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.panel import Panel
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables


COLOURS = (
    (r"^(warning: .*|not proven.*|lagging +\d.*)$", "33"),
    (r"^(no faults|no findings|leading +\d.*)$", "32"),
    (r"^\d+ faults?$", "31"),
    (r"^(verdict|table|account|method) {2,}.*$", "1"),
)
"""Patterns of lines that are coloured on a terminal, and the ANSI code of each."""


def say(options: argparse.Namespace, text: object) -> None:
    """Print text for people, on stdout, or on stderr if stdout carries the JSON."""
    if not options.quiet:
        stream = sys.stderr if options.json == "-" else sys.stdout
        _put(f"{painted(str(text), stream)}\n", stream)


def say_details(options: argparse.Namespace, table: pd.DataFrame) -> None:
    """Print the whole table of a result below its summary if --details is given."""
    from leadsignal.results import text_table

    if options.details:
        say(options, f"\n{text_table(table, short=None)}")
    elif len(table):
        say(options, "more: --details")


def warn(text: object) -> None:
    """Print a line on stderr."""
    _put(f"{text}\n", sys.stderr)


def write_json(content: dict[str, Any], path: str, *, force: bool = False) -> None:
    """Write JSON to a file, or to stdout if the path is `-`."""
    from leadsignal.files.writing import atomic_write

    text = json.dumps(content, indent=2, default=str) + "\n"
    if path == "-":
        _put(text, sys.stdout)
        return
    with atomic_write(path, OUTCOME, force=force) as part:
        part.write_text(text, encoding="utf-8")


def _put(text: str, stream: TextIO | None) -> None:
    """Write to a stream that may be closed, or unable to encode some characters."""
    if stream is None:  # Closed before the process started.
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        code = stream.encoding or "ascii"
        stream.write(text.encode(code, "backslashreplace").decode(code))
    except BrokenPipeError:
        _to_nowhere(stream)


def flush_all() -> None:
    """Flush stdout and stderr; a closed pipe is not an error."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except BrokenPipeError:
            _to_nowhere(stream)
        except OSError as error:
            _to_nowhere(stream)
            warn(f"leadsignal: the output is lost: {error.strerror}")


def take_any_letter() -> None:
    """Make output that is not UTF-8 show characters it cannot encode as \\u escapes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _to_nowhere(stream: TextIO) -> None:
    """Discard what is still to be written to a stream, to avoid a second error at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def done(options: argparse.Namespace, content: dict[str, Any], code: int = 0) -> int:
    """Write the outcome as JSON if requested, and return the exit code."""
    if options.json:
        content = {"ok": code == 0, **content}
        write_json(content, options.json, force=options.force)
    return code


def refused_by_the_machine(error: Exception) -> WriteError | None:
    """Return an error of disk or memory as a WriteError; None for any other error, a bug."""
    kind = type(error).__name__
    if kind == "OutOfMemoryException" or isinstance(error, MemoryError):
        return WriteError("the memory is too small", "Raise LEADSIGNAL_MEMORY, as in 4GB")
    refused = ("could not write", "no space left", "failed to commit")
    of_store = type(error).__module__.lstrip("_").startswith("duckdb")
    if of_store and any(said in str(error).lower() for said in refused):
        kind = "IOException"
    if kind == "IOException" or isinstance(error, OSError):
        return _refused(error)
    return None


def _refused(error: Exception) -> WriteError:
    """Describe what the operating system or the store's disk refused, and where."""
    from leadsignal.files.writing import remedy_for

    said, file = getattr(error, "strerror", None), getattr(error, "filename", None)
    if said:
        problem = f"{str(file)!r}: {said}" if file else f"the system refused: {said}"
        return WriteError(problem, remedy_for(error.errno))  # type: ignore[attr-defined]
    cause = _cause_in(str(error))
    return WriteError(
        f"the temporary files in {tempfile.gettempdir()} cannot be written: {cause}",
        "Free disk space, or set TMPDIR to another disk",
    )


def _cause_in(text: str) -> str:
    """Return the cause named in DuckDB's message, without paths and values."""
    known = ("No space left on device", "Permission denied", "Read-only file system",
             "Disk quota exceeded", "Input/output error", "No such file or directory",
             "File too large", "Too many open files")  # fmt: skip
    return next((cause for cause in known if cause.lower() in text.lower()), "the disk refused")


@contextmanager
def progress_bar(
    options: argparse.Namespace, what: str, *, logged: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """Show what is running and for how long; in a log, one line at its end, with the time.

    On a terminal, a single line is shown and removed at the end; quiet runs show nothing. Without
    ``logged``, it is shown on a terminal only.
    """
    from leadsignal.workers import in_words, on_terminal

    if options.quiet:
        yield lambda done, total: None
    elif is_terminal(sys.stderr):
        with on_terminal(what, sys.stderr) as progress:
            yield progress
    else:
        began = time.monotonic()
        yield lambda done, total: None
        if not logged:
            return
        part = "" if what == options.command else f"{what}: "
        log(options, f"{part}done in {in_words(time.monotonic() - began)}")


def log(options: argparse.Namespace, text: object) -> None:
    """Print a line about the run on stderr, with date and time unless it is a terminal."""
    from leadsignal.workers import stamped

    line = f"leadsignal {options.command}: {text}"
    warn(line if is_terminal(sys.stderr) else stamped(line))


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is an open terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # Closed in the meantime.
        return False


def painted(text: str, stream: TextIO | None) -> str:
    """Return a text with colours if the stream is a terminal that supports them."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    for words, colour in COLOURS:
        text = re.sub(words, rf"\033[{colour}m\g<0>\033[0m", text, flags=re.MULTILINE)
    return text


# Outputs ------------------------------------------------------------------------------------------


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
    from leadsignal.sources.project_files import note_project

    # If the project cannot be read, its whole folder counts as an input.
    place = Path(os.path.realpath(folder))
    note_inputs(Inputs(folders=frozenset({place})), key=os.path.abspath(folder))
    note_project(read_project(folder), folder)


PROJECT_OPTIONS = ("as_of", "every", "horizon", "capacity", "warning_time")
ESTIMATORS = ("ensemble", "boosting", "logistic", "cox")


TYPES: Mapping[str, Any] = {"path": Path, "int": int, "float": float}


def new_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    outputs: Outputs | None = None,
) -> argparse.ArgumentParser:
    """Add a command with the options that ``options.toml`` lists for it.

    ``outputs`` returns the paths that the options name, by default none besides ``--json``.
    """
    content = _content()
    entry = content["commands"][name]
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=entry["help"], description=entry["help"]
    )
    command.set_defaults(run=run, command=name, outputs=outputs or writes())
    of_project = content["project"] if entry.get("project", True) else {}
    for option, settings in {**of_project, **content["every"], **entry.get("options", {})}.items():
        command.add_argument(option, **_argument(settings))
    return command


def _argument(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an option for argparse."""
    named = {"type": TYPES, "choices": {"estimators": ESTIMATORS}}
    return {key: named[key][value] if key in named else value for key, value in settings.items()}


@cache
def _content() -> dict[str, Any]:
    return packaged_toml("leadsignal.cli", "options.toml")


def read_options(options: argparse.Namespace) -> Project:
    """Return the project that the options name, with their overrides."""
    from leadsignal.config.project import read_project

    names = (*PROJECT_OPTIONS, "holdout")  # only score has the last
    settings = {name: getattr(options, name, None) for name in names}
    return read_project(options.project).replace(**settings)


def read_given_tables(options: argparse.Namespace, project: Project) -> Tables:
    """Read the tables; print to stderr the as_of date and which rows are hidden or dropped."""
    from leadsignal.tables import read_tables

    with progress_bar(options, "reading"):
        tables = read_tables(options.project, project=project, drop_bad_rows=options.drop_bad_rows)
    note_cache(options, tables)
    if not options.quiet:
        warn(f"as of {tables.as_of_date}")
        if line := tables.hidden_line():
            warn(line)
        for fault in tables.dropped:
            warn(f"dropped {fault}")
        for table, rows in tables.dropped_rows.items():
            warn(f"dropped {rows:,} rows of {table}")
    strict_about(options, tables.warnings)
    return tables


def note_cache(options: argparse.Namespace, tables: Tables) -> None:
    """Print to stderr why cached tables could not be used, or the tables not be cached."""
    if tables.cache_notice and not options.quiet:
        log(options, tables.cache_notice)


def strict_about(options: argparse.Namespace, warnings: Iterable[DataWarning]) -> None:
    """Raise TablesError if ``--strict`` is given and warnings affect the command's result."""
    from leadsignal.ingestion.check_report import RESULTS, affecting, refuse_warnings

    if options.strict:
        of_command = options.command in RESULTS
        refuse_warnings(
            affecting(warnings, options.command)
            if of_command
            else [one for one in warnings if one.affects]
        )


def read_analysis(project: Project) -> SuccessAnalysis | None:
    """Read the success analysis named by the project; None if it names none."""
    from leadsignal.config.success import read_success_analysis

    return read_success_analysis(project.analysis) if project.analysis else None


def build_given_panel(
    options: argparse.Namespace, model: ChurnModel | None = None
) -> tuple[Tables, Panel]:
    """Read the tables and build their panel.

    With a ``model``, its horizon replaces the project's, and its analysis is used if
    the project names none. Raises OptionError if an option contradicts the model.
    """
    from leadsignal.model.provenance import refuse_other_analysis, refuse_other_settings
    from leadsignal.panel import build_panel

    project = read_options(options)
    if model is not None:
        refuse_other_settings(model.recipe, options.horizon, options.estimator)
        project = project.replace(horizon=f"{model.recipe.horizon}d")
    analysis = read_analysis(project)
    if model is not None:
        analysis = model.analysis_ if analysis is None else analysis
        refuse_other_analysis(model.analysis_, analysis, "the project")
    tables = read_given_tables(options, project)
    with progress_bar(options, "panel") as progress:
        kept = None if model is None else model.origin_.behaviors
        counted = tables if kept is None else tables.with_behaviors(kept)
        return tables, build_panel(counted, analysis, progress=progress)


def write_pages(
    options: argparse.Namespace,
    scores: Scores,
    context: AsOfContext,
    accounts: Iterable[str] | None = None,
) -> None:
    """Write the pages of accounts, by default those on the call list, to --accounts-dir."""
    from leadsignal.report.account_page import write_account_pages

    with progress_bar(options, "account pages") as progress:
        pages = write_account_pages(
            context.tables,
            scores,
            options.accounts_dir,
            context.analysis,
            accounts=accounts,
            context=context,
            progress=progress,
        )
    say(options, f"{len(pages):,} account pages written to {options.accounts_dir}")
