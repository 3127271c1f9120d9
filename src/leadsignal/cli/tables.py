"""`leadsignal init`, `check`, `panel` and `demo`: tables, the panel, and a run on the sample."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.shared import (
    Kind,
    done,
    new_command,
    note_cache,
    progress_bar,
    read_analysis,
    read_given_tables,
    read_options,
    say,
    warn,
    write_json,
    writes,
)
from leadsignal.files.outputs import DEMO, PANEL, PANEL_FOLDER, PROPOSAL

if TYPE_CHECKING:
    from leadsignal.config.project import Project
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.ingestion.check_report import CheckReport
    from leadsignal.proposals.proposal import ProjectProposal
    from leadsignal.tables import Tables

FILE = "leadsignal.toml"


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    new_command(commands, "init", _init, outputs=_init_outputs)
    new_command(commands, "check", _check)
    new_command(commands, "panel", _panel, outputs=_panel_outputs)
    new_command(commands, "demo", _demo, outputs=writes(out=DEMO))


def _init_outputs(options: argparse.Namespace) -> list[tuple[Path, Kind]]:
    folder = Path(options.folder)
    return [(folder / FILE, PROPOSAL)] if folder.is_dir() else []


def _init(options: argparse.Namespace) -> int:
    from leadsignal.config.project import read_project
    from leadsignal.errors import list_faults
    from leadsignal.proposals.proposal import propose_project
    from leadsignal.tables import check_and_read

    proposal = propose_project(options.folder)
    for line in proposal.lines():
        say(options, line)
    path = proposal.write_project(force=options.force)
    say(options, f"written to {path}")
    content = proposal.to_dict()
    if not any(table.is_ready for table in proposal.tables):
        warn("leadsignal init: no table can be read yet. Answer the questions in the file.")
        return done(options, content, 2)
    report, _ = check_and_read(options.folder, read_project(options.folder))
    for line in repr(report).splitlines():
        say(options, line)
    for line in list_faults(report.faults, report.more) if options.quiet else ():
        warn(line)
    say(options, _next(options.folder, proposal, report.ok))
    return done(options, {**content, "check": report.to_dict()}, 0 if report.ok else 2)


def _next(folder: str, proposal: ProjectProposal, ok: bool) -> str:
    """Return the next step for the user."""
    count = len(proposal.all_questions())
    answer = f"answer {count} question{'s' * (count > 1)} in {FILE}, " if count else ""
    if not ok:
        return f"next: {answer}correct the faults, and run leadsignal check {folder}"
    first = f"leadsignal score {folder} --out scores.csv --call-list calls.csv"
    return f"next: {answer}{'then ' * bool(count)}{first}"


def _check(options: argparse.Namespace) -> int:
    from leadsignal.errors import list_faults
    from leadsignal.tables import check_and_read

    project = read_options(options)
    analysis = read_analysis(project)
    with progress_bar(options, "reading", logged=False):
        report, tables = check_and_read(options.project, project, options.drop_bad_rows)
    if tables is not None:
        note_cache(options, tables)
    if tables is not None and analysis is not None:
        report = _with_names(report, tables, analysis)
    if options.strict:
        report = _strictly(report)
    for line in _check_lines(report):
        say(options, line)
    if analysis is not None:
        say(options, analysis)
    for line in list_faults(report.faults, report.more):
        warn(line)
    if options.json:
        write_json(report.to_dict(), options.json, force=options.force)
    return 0 if report.ok else 2


def _with_names(report: CheckReport, tables: Tables, analysis: SuccessAnalysis) -> CheckReport:
    """Add the parts of the success analysis that do not match the tables."""
    from leadsignal.engine.recipe import check_fits
    from leadsignal.errors import SuccessAnalysisError

    try:
        check_fits(tables, analysis)
    except SuccessAnalysisError as error:
        return replace(report, faults=error.faults)
    return report


def _strictly(report: CheckReport) -> CheckReport:
    """Return the report, with warnings that affect results added to its faults."""
    from leadsignal.ingestion.check_report import faults_of

    faults = faults_of(one for one in report.warnings if one.affects)
    warnings = tuple(one for one in report.warnings if not one.affects)
    return replace(report, faults=(*report.faults, *faults), warnings=warnings)


def _check_lines(report: Any) -> Iterator[str]:
    if report.as_of_date:
        yield f"as of {report.as_of_date}"
    if report.tables:
        yield _rows_and_days(report)
    yield from report.derived_lines()
    for fault in report.dropped:
        yield f"dropped {fault}"
    for table, rows in report.dropped_rows.items():
        yield f"dropped {rows:,} rows of {table}"
    for notice in report.warnings:
        yield f"warning: {notice}"
    yield from report.not_read_lines()
    yield "no faults" if report.ok else f"{report.count:,} fault{'s' * (report.count > 1)}"


def _rows_and_days(report: CheckReport) -> str:
    """Return aligned lines with the rows and covered days of each table."""
    import pandas as pd

    from leadsignal.results import text_table

    covered = report.coverage or {}
    rows = [
        {
            "table": table,
            "rows": rows,
            "complete from": (of.complete_from or "the start")
            if (of := covered.get(table))
            else "",
            "through": (of.complete_through or "as of") if of else "",
        }
        for table, rows in report.tables.items()
    ]
    return text_table(pd.DataFrame(rows))


def _panel_outputs(options: argparse.Namespace) -> list[tuple[Path, Kind]]:
    return [(options.out, PANEL_FOLDER if options.extend else PANEL)]


def _extend(options: argparse.Namespace, project: Project) -> int:
    from leadsignal.errors import OptionError
    from leadsignal.panel_folder import extend_panel

    named = {"--strict": options.strict, "--drop-bad-rows": options.drop_bad_rows}
    for option in (option for option, given in named.items() if given):
        problem = f"{option} cannot be used with --extend, which does not read all rows"
        raise OptionError(problem, f"Leave {option} out, and check the tables first")
    if project.engine != "duckdb":
        raise OptionError(
            "--extend needs the engine duckdb, and the project has spark", "Leave it out"
        )
    with progress_bar(options, "panel") as progress:
        folder = extend_panel(project, read_analysis(project), options.out, progress=progress)
    say(options, folder)
    return done(options, {**folder.to_dict(), "panel": str(options.out)})


def _panel(options: argparse.Namespace) -> int:
    from leadsignal.files.writing import atomic_write
    from leadsignal.panel import build_panel
    from leadsignal.panel_files import write_panel

    project = read_options(options)
    if options.extend:
        return _extend(options, project)
    tables, analysis = read_given_tables(options, project), read_analysis(project)
    with progress_bar(options, "panel") as progress:
        if project.engine == "duckdb":
            written = write_panel(
                tables, analysis, options.out, progress=progress, force=options.force
            )
            say(options, written)
            return done(options, {**written.to_dict(), "panel": str(options.out)})
        panel = build_panel(tables, analysis, progress=progress)
    with atomic_write(options.out, PANEL, force=options.force) as part:
        panel.frame.to_parquet(part, index=False)
    say(options, f"{panel}\nwritten to {options.out}")
    return done(options, {**panel.to_dict(), "panel": str(options.out)})


def _demo(options: argparse.Namespace) -> int:
    from leadsignal.workers import beside

    with beside() as call, progress_bar(options, "demo") as progress:
        # The other process loads its libraries at the same time.
        call(import_module, "leadsignal.demo")
        from leadsignal.demo import run_demo

        result = run_demo(options.out, call, progress, force=options.force)
    say(options, result)
    return done(options, result.to_dict())
