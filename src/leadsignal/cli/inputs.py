"""Options shared by the commands, and reading of the project, tables and panel they name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.printing import Outputs, log, progress_bar, warn, writes
from leadsignal.package_data import packaged_toml

if TYPE_CHECKING:
    from leadsignal.config.project import Project
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.ingestion.loaded_table import DataWarning
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.panel import Panel
    from leadsignal.tables import Tables

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
    from leadsignal.ingestion.loaded_table import RESULTS, affecting, refuse_warnings

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
    from leadsignal.model.persistence.recipe import refuse_other_analysis, refuse_other_settings
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
