"""`leadsignal compare`, `discover`, `audit`, `backtest`, `report` and `review`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.shared import (
    build_given_panel,
    done,
    new_command,
    progress_bar,
    read_analysis,
    read_given_tables,
    read_options,
    say,
    say_details,
    strict_about,
    writes,
)
from leadsignal.files.outputs import ACCOUNT_PAGES, COMPARISON, PAGE, PICTURE, PROCESSES

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.as_of_context import AsOfContext
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.cohorts.overview import Overview
    from leadsignal.evaluation.backtest import Backtest
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.panel import Panel
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables


def add_commands(commands: Any) -> None:
    """Add the commands that analyse data."""
    new_command(commands, "compare", _compare, outputs=writes(out=COMPARISON))
    new_command(commands, "discover", _discover, outputs=writes(out=PROCESSES, picture=PICTURE))
    new_command(commands, "audit", _audit)
    new_command(commands, "backtest", _backtest)


def _compare(options: argparse.Namespace) -> int:
    from leadsignal.cohorts.overview import compare_all, compare_cohorts
    from leadsignal.errors import OptionError

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
    from leadsignal.report.explorer_page import write_explorer

    if not isinstance(found, Comparison):
        return write_explorer(path, found, force=force)
    if path.suffix.lower() == ".html":
        return write_comparison(path, found, force=force)
    return found.write(path, force=force)


def _discover(options: argparse.Namespace) -> int:
    from leadsignal.success_analysis.discovery.search import discover_processes

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


DONE_IN_PART = 4


def add_report_commands(commands: Any) -> None:
    """Add the commands that write pages."""
    pages = writes(out=PAGE, accounts_dir=ACCOUNT_PAGES)
    new_command(commands, "report", _report, outputs=pages)
    new_command(commands, "review", _review, outputs=writes(out=PAGE))


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
    from leadsignal.errors import ModelError, OptionError
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
    from leadsignal.errors import ModelError
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


# Call list and account pages ----------------------------------------------------------------------


def write_for_people(options: argparse.Namespace, tables: Tables, scores: Scores) -> None:
    """Write the call list and the pages of its accounts, if requested."""
    from leadsignal.as_of_context import AsOfContext

    if options.accounts_dir:  # Before the call list, which links to existing pages.
        analysis = scores.recipe.analysis if scores.recipe else None
        write_pages(options, scores, AsOfContext.of(tables, analysis))
    _write_call_list(options, scores.frame)


def write_kept_for_people(
    options: argparse.Namespace, model: ChurnModel, tables: Tables, file: Path
) -> None:
    """Write the call list and pages from scores that were in a file before this run."""
    from leadsignal.scoring.batch import read_scores

    kept = read_scores(file)
    if options.accounts_dir:
        write_for_people(options, tables, _kept_scores(model, tables, kept))
    else:
        _write_call_list(options, kept)


def write_pages(
    options: argparse.Namespace,
    scores: Scores,
    context: AsOfContext,
    accounts: Iterable[str] | None = None,
) -> None:
    """Write the pages of accounts, by default those on the call list, to --accounts-dir."""
    from leadsignal.report.account_pages import write_account_pages

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


def _write_call_list(options: argparse.Namespace, newest: pd.DataFrame) -> None:
    """Write the call list if requested; earlier dates come from the folder of scores."""
    from leadsignal.scoring.batch import read_scores, write_call_list

    if options.call_list:
        dated = options.out is not None and options.out.is_dir()
        earlier = read_scores(options.out) if dated else None
        write_call_list(
            newest, options.call_list, earlier, pages=options.accounts_dir, force=options.force
        )


def _kept_scores(model: ChurnModel, tables: Tables, kept: pd.DataFrame) -> Scores:
    """Return the kept scores of a date, with the details that account pages need."""
    from dataclasses import replace

    from leadsignal.errors import OptionError
    from leadsignal.scoring.scores import score_accounts

    version = kept["model_version"].iloc[0]
    if version != model.version_:
        day = tables.as_of_date
        raise OptionError(
            f"the scores of {day} are kept, and are of model {version}, not {model.version_}",
            f"Give --replace {day}, or leave out --accounts-dir",
        )
    return replace(score_accounts(model, tables), frame=kept)
