"""The command line: parse, call, print. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.errors import InputError, LeadsignalError

if TYPE_CHECKING:
    from leadsignal.panel import Panel
    from leadsignal.project import Project
    from leadsignal.success import SuccessAnalysis
    from leadsignal.tables import Tables

PROJECT_OPTIONS = ("as_of", "every", "horizon", "capacity", "warning_time")
EPILOG = """\
PROJECT is a folder of tables (with leadsignal.toml and success.toml in it, if there are any) or a
.toml file. Exit codes: 0 done, 2 bad input or usage, 3 model and data do not fit, 4 done in part,
1 a bug.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except LeadsignalError as error:
        _report(error, options)
        return error.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leadsignal",
        description="Predict customer churn from leading behavioural indicators.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo = _command(commands, "demo", _demo, "the whole job on the sample", project=False)
    demo.add_argument("--out", type=Path, default=Path("leadsignal-demo"), metavar="FOLDER",
                      help="where to write (default: %(default)s)")  # fmt: skip
    _command(commands, "check", _check, "list the faults of the tables, and what looks odd")
    panel = _command(commands, "panel", _panel, "write the panel as Parquet")
    panel.add_argument("--out", type=Path, required=True, metavar="FILE")
    _command(commands, "audit", _audit, "say which indicators lead and which lag")
    backtest = _command(commands, "backtest", _backtest, "replay past alerts against baselines")
    backtest.add_argument("--origins", type=int, default=6, help="cut-offs (default: %(default)s)")
    backtest.add_argument("--segment", metavar="NAME", help="break results down by this attribute")
    backtest.add_argument("--estimator", choices=("boosting", "logistic"), default="boosting")
    fit = _command(commands, "fit", _fit, "fit a model and write it as a folder")
    fit.add_argument("--out", type=Path, required=True, metavar="MODEL")
    fit.add_argument("--estimator", choices=("boosting", "logistic"), default="boosting")
    score = _command(commands, "score", _score, "score the accounts that are active")
    score.add_argument("--model", type=Path, required=True, metavar="MODEL")
    score.add_argument("--out", type=Path, required=True, metavar="FILE", help=".csv or .parquet")
    _add_compare(commands)
    return parser


def _add_compare(commands: Any) -> None:
    compare = _command(commands, "compare", _compare, "compare cohorts, naive beside corrected")
    compare.add_argument("--by", required=True, metavar="NAME|all", help="measured, complained, …")
    compare.add_argument(
        "--method", action="append", metavar="M",
        help="naive, time_dependent, landmark, target_trial (default: all)",
    )  # fmt: skip
    compare.add_argument("--adjust", action="append", default=[], metavar="COLUMN",
                         help="compare accounts alike in this; can be given again")  # fmt: skip
    compare.add_argument("--landmark", metavar="90d", help="day at which accounts are sorted")
    compare.add_argument("--until", metavar="730d", help="how far mean days are counted")
    compare.add_argument("--out", type=Path, metavar="FILE", help=".md, .html, .csv or .xlsx")


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    *,
    project: bool = True,
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    command.set_defaults(run=run, command=name)
    if project:
        command.add_argument("project", metavar="PROJECT", help="a folder of tables or a .toml")
        command.add_argument("--as-of", metavar="DATE", help="know only what was known then")
        command.add_argument("--every", metavar="28d", help="time between snapshots")
        command.add_argument("--horizon", metavar="180d", help="how far to look ahead")
        command.add_argument("--capacity", type=float, metavar="0.1", help="share to alert")
        command.add_argument("--warning-time", metavar="90d", help="warning that is early enough")
        command.add_argument(
            "--drop-bad-rows", action="store_true", help="go on without them, and say which"
        )
    command.add_argument("--json", metavar="PATH|-", help="write the outcome as JSON")
    command.add_argument("--quiet", action="store_true", help="print nothing but faults")
    return command


def _report(error: LeadsignalError, options: argparse.Namespace) -> None:
    print(f"leadsignal {options.command}: {error}", file=sys.stderr)
    if options.json:
        faults = [f.to_dict() for f in error.faults] if isinstance(error, InputError) else []
        _write_json({"ok": False, "error": str(error), "faults": faults}, options.json)


def _say(options: argparse.Namespace, text: object) -> None:
    """Print for people: on stdout, or on stderr where stdout carries the JSON."""
    if not options.quiet:
        print(text, file=sys.stderr if options.json == "-" else sys.stdout)


def _write_json(content: dict[str, Any], path: str) -> None:
    from leadsignal.writing import whole_file

    text = json.dumps(content, indent=2, default=str) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _done(options: argparse.Namespace, content: dict[str, Any]) -> int:
    if options.json:
        _write_json(content, options.json)
    return 0


@contextmanager
def _progress(options: argparse.Namespace, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; elsewhere, and if asked to be quiet, nothing."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _project(options: argparse.Namespace) -> Project:
    from leadsignal.project import read_project

    given = {name: getattr(options, name) for name in PROJECT_OPTIONS}
    return read_project(options.project).replace(**given)


def _tables(options: argparse.Namespace, project: Project) -> Tables:
    from leadsignal.tables import read_tables

    tables = read_tables(options.project, project=project, drop_bad_rows=options.drop_bad_rows)
    if not options.quiet:
        print(f"as of {tables.as_of_date}", file=sys.stderr)
        for fault in tables.dropped:
            print(f"dropped {fault}", file=sys.stderr)
        for table, rows in tables.dropped_rows.items():
            print(f"dropped {rows:,} rows of {table}", file=sys.stderr)
    return tables


def _analysis(project: Project) -> SuccessAnalysis | None:
    from leadsignal.success import read_success_analysis

    return read_success_analysis(project.analysis) if project.analysis else None


def _built(options: argparse.Namespace) -> tuple[Tables, Panel]:
    from leadsignal.panel import build_panel

    project = _project(options)
    tables, analysis = _tables(options, project), _analysis(project)
    with _progress(options, "panel") as progress:
        return tables, build_panel(tables, analysis, progress=progress)


def _check(options: argparse.Namespace) -> int:
    from leadsignal.errors import list_faults
    from leadsignal.tables import check_tables

    project = _project(options)
    report = check_tables(options.project, project=project, drop_bad_rows=options.drop_bad_rows)
    analysis = _analysis(project)
    for line in _check_lines(report):
        _say(options, line)
    if analysis is not None:
        _say(options, analysis)
    for line in list_faults(report.faults, report.more):
        print(line, file=sys.stderr)
    if options.json:
        _write_json(report.to_dict(), options.json)
    return 0 if report.ok else 2


def _check_lines(report: Any) -> Iterator[str]:
    if report.as_of_date:
        yield f"as of {report.as_of_date}"
    for table, rows in report.tables.items():
        covered = (report.coverage or {}).get(table)
        since = f", complete from {covered.complete_from}" if covered else ""
        through = f" through {covered.complete_through or 'as of'}" if covered else ""
        since = since if covered and covered.complete_from else ", complete"
        yield f"{table}: {rows:,} rows{since}{through}" if covered else f"{table}: {rows:,} rows"
    for fault in report.dropped:
        yield f"dropped {fault}"
    for table, rows in report.dropped_rows.items():
        yield f"dropped {rows:,} rows of {table}"
    for notice in report.warnings:
        yield f"warning: {notice}"
    yield "no faults" if report.ok else f"{report.count:,} faults"


def _panel(options: argparse.Namespace) -> int:
    from leadsignal.writing import whole_file

    _, panel = _built(options)
    with whole_file(options.out) as part:
        panel.frame.to_parquet(part, index=False)
    _say(options, f"{panel}\nwritten to {options.out}")
    return _done(options, {**panel.to_dict(), "panel": str(options.out)})


def _audit(options: argparse.Namespace) -> int:
    from leadsignal.audit import audit_indicators
    from leadsignal.churn import find_ends

    _, panel = _built(options)
    with _progress(options, "audit") as progress:
        audit = audit_indicators(panel, progress=progress)
    ends = find_ends(panel)
    _say(options, f"{ends}\n{audit}")
    return _done(options, {**audit.to_dict(), "churn": ends.to_dict()})


def _backtest(options: argparse.Namespace) -> int:
    from leadsignal.backtest import run_backtest

    _, panel = _built(options)
    with _progress(options, "backtest") as progress:
        backtest = run_backtest(
            panel,
            origins=options.origins,
            segment=options.segment,
            estimator=options.estimator,
            progress=progress,
        )
    _say(options, backtest)
    return _done(options, backtest.to_dict())


def _fit(options: argparse.Namespace) -> int:
    from leadsignal.model import ChurnModel
    from leadsignal.saved import save_model

    tables, panel = _built(options)
    horizon = f"{tables.project.horizon}d"
    with _progress(options, "fitting"):
        model = ChurnModel(horizon=horizon, estimator=options.estimator).fit(panel)
    save_model(model, options.out)
    _say(
        options,
        f"fitted on {model.rows_:,} rows with {model.events_:,} churns, through"
        f" {model.trained_through_}\nwritten to {options.out}",
    )
    return _done(
        options,
        {
            "model": str(options.out),
            "rows": model.rows_,
            "events": model.events_,
            "trained_through": model.trained_through_.isoformat(),
            "version": model.version_,
        },
    )


def _score(options: argparse.Namespace) -> int:
    from leadsignal.saved import load_model
    from leadsignal.scores import score_accounts, write_scores

    model = load_model(options.model)
    tables = _tables(options, _project(options))
    with _progress(options, "scoring") as progress:
        scores = score_accounts(model, tables, progress=progress)
    write_scores(scores, options.out)
    _say(options, f"{scores}\nwritten to {options.out}")
    return _done(options, {**scores.to_dict(), "scores": str(options.out)})


def _compare(options: argparse.Namespace) -> int:
    from leadsignal.cohorts import compare_all, compare_cohorts
    from leadsignal.errors import OptionError

    project = _project(options)
    tables, analysis = _tables(options, project), _analysis(project)
    asked = {"methods": options.method, "adjust": options.adjust,
             "landmark": options.landmark, "horizon": options.until}  # fmt: skip
    if options.by == "all":
        if options.out:
            raise OptionError("--out writes one comparison", "Name it in --by, or use --json")
        overview = compare_all(tables, analysis, **asked)
        _say(options, overview)
        return _done(options, overview.to_dict())
    comparison = compare_cohorts(tables, options.by, analysis, **asked)
    if options.out:
        comparison.write(options.out)
    _say(options, comparison)
    return _done(options, comparison.to_dict())


def _demo(options: argparse.Namespace) -> int:
    from leadsignal.demo import run_demo

    with _progress(options, "demo") as progress:
        told = run_demo(options.out, progress)
    _say(options, told)
    return _done(options, told.to_dict())
