"""Options shared by the commands, and reading of the project, tables and panel they name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from leadsignal.cli.printing import Outputs, log, progress_bar, warn, writes

if TYPE_CHECKING:
    from leadsignal.config.project import Project
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.ingestion.loaded_table import DataWarning
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.panel import Panel
    from leadsignal.tables import Tables

PROJECT_OPTIONS = ("as_of", "every", "horizon", "capacity", "warning_time")
ESTIMATORS = ("ensemble", "boosting", "logistic", "cox")


def new_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    *,
    project: bool = True,
    outputs: Outputs | None = None,
) -> argparse.ArgumentParser:
    """Add a command with the options that all commands share.

    ``outputs`` yields each path that the command writes, with its kind, in addition to ``--json``.
    """
    command: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    command.set_defaults(run=run, command=name, outputs=outputs or writes())
    if project:
        command.add_argument("project", metavar="PROJECT", help="a folder of tables or a .toml")
        command.add_argument("--as-of", metavar="DATE", help="use only what was known on this date")
        command.add_argument("--every", metavar="28d", help="time between snapshots")
        command.add_argument("--horizon", metavar="180d", help="how far to look ahead")
        command.add_argument("--capacity", type=float, metavar="0.1", help="share to alert")
        command.add_argument(
            "--warning-time", metavar="90d", help="minimum time of a useful warning"
        )
        command.add_argument(
            "--strict", action="store_true", help="treat warnings about the data as faults"
        )
        command.add_argument(
            "--drop-bad-rows", action="store_true", help="drop rows with faults, and list them"
        )
    command.add_argument("--json", metavar="PATH|-", help="write the outcome as JSON")
    command.add_argument(
        "--force", action="store_true", help="replace files of other kinds, but never an input"
    )
    command.add_argument("--quiet", action="store_true", help="print only faults")
    return command


def add_details(command: argparse.ArgumentParser) -> None:
    """Add --details, which prints the full result instead of a summary."""
    command.add_argument("--details", action="store_true", help="print everything, not a summary")


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
