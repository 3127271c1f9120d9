"""The commands on tables and the panel: from `leadsignal init` to `backtest`, and the pages."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.shared import (
    Kind,
    build_given_panel,
    done,
    new_command,
    note_cache,
    progress_bar,
    read_analysis,
    read_given_tables,
    read_options,
    say,
    say_details,
    strict_about,
    warn,
    write_json,
    write_pages,
    writes,
)
from leadsignal.errors import ModelError, OptionError, SuccessAnalysisError, list_faults
from leadsignal.files.outputs import (
    ACCOUNT_PAGES,
    COMPARISON,
    DEMO,
    PAGE,
    PANEL,
    PANEL_FOLDER,
    PICTURE,
    PROCESSES,
    PROPOSAL,
)

if TYPE_CHECKING:
    from leadsignal.as_of_context import AsOfContext
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.cohorts.overview import Overview
    from leadsignal.config.project import Project
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.evaluation.backtest import Backtest
    from leadsignal.ingestion.check_report import CheckReport
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.panel import Panel
    from leadsignal.proposals.proposal import ProjectProposal
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables

FILE = "leadsignal.toml"
DONE_IN_PART = 4


def add_commands(commands: Any) -> None:
    """Add the commands that read tables and analyse them."""
    new_command(commands, "init", _init, outputs=_init_outputs)
    new_command(commands, "check", _check)
    new_command(commands, "panel", _panel, outputs=_panel_outputs)
    new_command(commands, "demo", _demo, outputs=writes(out=DEMO))
    new_command(commands, "compare", _compare, outputs=writes(out=COMPARISON))
    new_command(commands, "discover", _discover, outputs=writes(out=PROCESSES, picture=PICTURE))
    new_command(commands, "audit", _audit)
    new_command(commands, "backtest", _backtest)


def add_report_commands(commands: Any) -> None:
    """Add the commands that write pages."""
    pages = writes(out=PAGE, accounts_dir=ACCOUNT_PAGES)
    new_command(commands, "report", _report, outputs=pages)
    new_command(commands, "review", _review, outputs=writes(out=PAGE))


# Tables, the panel and the demo -------------------------------------------------------------------


def _init_outputs(options: argparse.Namespace) -> list[tuple[Path, Kind]]:
    folder = Path(options.folder)
    return [(folder / FILE, PROPOSAL)] if folder.is_dir() else []


def _init(options: argparse.Namespace) -> int:
    from leadsignal.config.project import read_project
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


# Analyses -----------------------------------------------------------------------------------------


def _compare(options: argparse.Namespace) -> int:
    from leadsignal.cohorts.overview import compare_all, compare_cohorts

    project = read_options(options)
    tables, analysis = read_given_tables(options, project), read_analysis(project)
    requested = {"methods": options.method, "adjust": options.adjust,
             "landmark": options.landmark, "horizon": options.until}  # fmt: skip
    if options.by == "all":
        if options.out and options.out.suffix.lower() != ".html":
            raise OptionError(
                f"--by all writes an explorer, not {options.out.suffix or 'another file'}",
                "Name a file that ends in .html, or use --json",
            )
        found: Comparison | Overview = compare_all(tables, analysis, **requested)
    else:
        found = compare_cohorts(tables, options.by, analysis, **requested)
    say(options, found.details if options.details else f"{found}\n\n--details prints the rest")
    if options.out:
        say(options, f"written to {_write_comparison(found, options.out, force=options.force)}")
    return done(options, found.to_dict())


def _write_comparison(found: Comparison | Overview, path: Path, *, force: bool) -> Path:
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.report.comparison_page import write_comparison
    from leadsignal.report.overview_pages import write_explorer

    if not isinstance(found, Comparison):
        return write_explorer(path, found, force=force)
    if path.suffix.lower() == ".html":
        return write_comparison(path, found, force=force)
    return found.write(path, force=force)


def _discover(options: argparse.Namespace) -> int:
    from leadsignal.success_analysis.discovery import discover_processes

    tables = read_given_tables(options, read_options(options))
    names = ("at_least", "by_users", "within", "sustained_for", "match", "level", "floor", "most")
    settings = {name: getattr(options, name) for name in names}
    with progress_bar(options, "discover") as progress:
        found = discover_processes(tables, **settings, progress=progress)
    say(options, found)
    say_details(options, found.to_frame())
    if options.out and found.processes:
        say(options, f"written to {found.write(options.out, force=options.force)}")
    elif options.out:
        say(options, f"nothing to write to {options.out}: no process is named")
    if options.picture:
        say(options, f"drawn in {found.draw(options.picture, force=options.force)}")
    return done(options, found.to_dict())


def _audit(options: argparse.Namespace) -> int:
    from leadsignal.churn.events import churn_events
    from leadsignal.evaluation.audit import audit_indicators

    _, panel = build_given_panel(options)
    with progress_bar(options, "audit") as progress:
        audit = audit_indicators(panel, progress=progress)
    ends = churn_events(panel)
    say(options, f"{ends}\n\n{audit}")
    say_details(options, audit.to_frame())
    return done(options, {**audit.to_dict(), "churn": ends.to_dict()})


def _backtest(options: argparse.Namespace) -> int:
    from leadsignal.evaluation.backtest import run_backtest
    from leadsignal.model.saved_models import load_model

    model = load_model(options.model) if options.model else None
    _, panel = build_given_panel(options, model)
    settings = {name: getattr(options, name) for name in ("origins", "segment", "estimator")}
    with progress_bar(options, "backtest") as progress:
        backtest = run_backtest(panel, **settings, model=model, progress=progress)
    strict_about(options, backtest.warnings)
    say(options, backtest)
    say_details(options, backtest.to_frame().reset_index())
    return done(options, backtest.to_dict())


def _report(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from leadsignal.as_of_context import AsOfContext
    from leadsignal.html_pages import page_path, write_page
    from leadsignal.model.saved_models import load_model
    from leadsignal.report.churn_page import report_page, with_pages
    from leadsignal.report.findings import gather_findings
    from leadsignal.report.summary import summarise

    # Check the path first, so that an error is reported before the work.
    path = page_path(options.out, force=options.force)
    model = load_model(options.model) if options.model else None
    tables, panel = build_given_panel(options, model)
    missing: dict[str, str] = {}
    backtest = _report_backtest(options, model, panel, missing)
    context = AsOfContext(tables, panel.analysis, panel)
    scores = _scores(options, model, panel, context, missing)
    for result in (backtest, scores):
        strict_about(options, () if result is None else result.warnings)
    with progress_bar(options, "findings") as progress:
        found = gather_findings(tables, panel, progress=progress)
    found = replace(found, missing={**found.missing, **missing})
    summary = summarise(panel, backtest, scores, found)
    if options.accounts_dir and scores is not None and summary["accounts"]:
        rows = summary["accounts"]["rows"]
        listed = [row["account_id"] for row in rows if row["alert"] and not row["held_out"]]
        write_pages(options, scores, context, listed)
        summary = with_pages(summary, options.accounts_dir, path)
    write_page(path, report_page(summary), force=options.force)
    for name, why in summary["missing"].items():
        say(options, f"not in the report: {name}: {why}")
    say(options, f"written to {options.out}")
    in_part = missing or (scores is not None and scores.feeds)
    content = {**summary, "report": str(options.out)}
    return done(options, content, DONE_IN_PART if in_part else 0)


def _report_backtest(
    options: argparse.Namespace, model: ChurnModel | None, panel: Panel, missing: dict[str, str]
) -> Backtest | None:
    from leadsignal.evaluation.backtest import run_backtest

    if options.origins < 1:
        raise OptionError(f"origins is {options.origins}", "Give 1 or more cut-offs")
    try:
        with progress_bar(options, "backtest") as progress:
            return run_backtest(
                panel,
                origins=options.origins,
                estimator=options.estimator,
                model=model,
                progress=progress,
            )
    except (ModelError, OptionError) as error:
        missing["backtest"] = str(error)
        return None


def _scores(
    options: argparse.Namespace,
    model: ChurnModel | None,
    panel: Panel,
    context: AsOfContext,
    missing: dict[str, str],
) -> Scores | None:
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.scoring.scores import score_accounts

    try:
        if model is None:
            with progress_bar(options, "fitting"):
                model = ChurnModel(horizon=f"{context.tables.project.horizon}d")
                if options.estimator:
                    model.set_params(estimator=options.estimator)
                model.fit(panel)
        with progress_bar(options, "scoring") as progress:
            return score_accounts(model, context.tables, context=context, progress=progress)
    except ModelError as error:
        missing["scores"] = str(error)
        return None


def _review(options: argparse.Namespace) -> int:
    from leadsignal.model.saved_models import load_model
    from leadsignal.report.account_page import write_review
    from leadsignal.report.review import for_customer
    from leadsignal.report.review_reading import review_account

    model = load_model(options.model) if options.model else None
    project = read_options(options)
    tables, analysis = read_given_tables(options, project), read_analysis(project)
    review = review_account(tables, options.account, analysis, model=model)
    if options.for_customer:
        review = for_customer(review)  # The printout and the JSON may be passed on too.
    write_review(review, options.out, for_customer=options.for_customer, force=options.force)
    say(options, f"{review}\nwritten to {options.out}")
    return done(options, {**review.to_dict(), "review": str(options.out)})
