"""`leadsignal compare`, `discover`, `audit` and `backtest`: analyses of the data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.inputs import (
    build_given_panel,
    new_command,
    read_analysis,
    read_given_tables,
    read_options,
    strict_about,
)
from leadsignal.cli.printing import done, progress_bar, say, say_details, writes
from leadsignal.files.outputs import COMPARISON, PICTURE, PROCESSES

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.cohorts.overview import Overview


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
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
    from leadsignal.model.persistence.saved_models import load_model

    model = load_model(options.model) if options.model else None
    _, panel = build_given_panel(options, model)
    settings = {name: getattr(options, name) for name in ("origins", "segment", "estimator")}
    with progress_bar(options, "backtest") as progress:
        backtest = run_backtest(panel, **settings, model=model, progress=progress)
    strict_about(options, backtest.warnings)
    say(options, backtest)
    say_details(options, backtest.to_frame().reset_index())
    return done(options, backtest.to_dict())
