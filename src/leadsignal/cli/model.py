"""`leadsignal fit`, `score` and `monitor`: a model, its scores, and their validity over time."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.shared import (
    Kind,
    build_given_panel,
    done,
    log,
    new_command,
    progress_bar,
    read_analysis,
    read_given_tables,
    read_options,
    say,
    say_details,
    strict_about,
    write_pages,
    writes,
)
from leadsignal.errors import OptionError, one_of
from leadsignal.files.outputs import (
    ACCOUNT_PAGES,
    CALL_LIST,
    METRICS,
    MODEL,
    RUN_RECORD,
    SCORES,
    SCORES_BY_DATE,
)

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.credentials import Source
    from leadsignal.config.project import Project
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.scoring.record import RunRecord
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables

IN_PART, FOUND = 4, 4
"""Exit codes: scores computed without a feed, and findings of `monitor`."""


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    new_command(commands, "fit", _fit, outputs=_fit_outputs)
    new_command(commands, "score", _score, outputs=_score_outputs)
    monitor = new_command(commands, "monitor", _monitor, outputs=writes(metrics=METRICS))
    monitor.set_defaults(every="7d")


def _fit_outputs(options: argparse.Namespace) -> list[tuple[Path, Kind]]:
    from leadsignal.scoring.record import RunRecord

    return [
        (options.out, MODEL),
        (RunRecord.place(options.out), RUN_RECORD),
        *writes(metrics=METRICS)(options),
    ]


def _score_outputs(options: argparse.Namespace) -> list[tuple[Path, Kind]]:
    """Return the outputs of `score`, including the run record of a run without --out."""
    from leadsignal.scoring.batch import check_call_list
    from leadsignal.scoring.record import RunRecord

    found: list[tuple[Path, Kind]] = []
    if options.out is not None:
        _check_out(options)
        found.append((options.out, SCORES if _is_file(options.out) else SCORES_BY_DATE))
        found.append((RunRecord.place(options.out), RUN_RECORD))
    if options.call_list is not None:
        check_call_list(options.call_list)
    named = writes(
        call_list=CALL_LIST, accounts_dir=ACCOUNT_PAGES, record=RUN_RECORD, metrics=METRICS
    )
    return [*found, *named(options)]


def _fit(options: argparse.Namespace) -> int:
    from leadsignal.files.writing import exclusive_lock
    from leadsignal.ingestion.check_report import warning_lines
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.model.saved_models import save_model
    from leadsignal.panel import build_panel
    from leadsignal.scoring.feeds import without_late_feeds

    with exclusive_lock(options.out), _recorded(options, options.out) as record:
        project = read_options(options)
        with record.stage("read"):
            tables, analysis = read_given_tables(options, project), read_analysis(project)
        record.note_tables(tables)
        tables, late = without_late_feeds(tables)
        _warn(options, late)
        with record.stage("panel"), progress_bar(options, "panel") as progress:
            panel = build_panel(tables, analysis, progress=progress)
        with record.stage("fit"), progress_bar(options, "fitting"):
            horizon = f"{tables.project.horizon}d"
            model = ChurnModel(horizon=horizon, estimator=options.estimator).fit(panel)
            model = model.recalibrated(panel) if options.recalibrate else model
        record.note_model(model)
        record.inputs["feeds"] = [feed.to_dict() for feed in late]
        with record.stage("write"):
            save_model(model, options.out)
        record.write(options.out, force=options.force)
    say(
        options,
        "\n".join(
            [
                *warning_lines(model.warnings_),
                f"fitted on {model.rows_:,} rows with {model.events_:,} churns, through"
                f" {model.trained_through_}",
                *([repr(model.recalibration_)] if options.recalibrate else []),
                *panel.notes,
                f"written to {options.out}",
            ]
        ),
    )
    content = {
        "model": str(options.out),
        "recalibration": model.recalibration_.to_dict() if options.recalibrate else None,
        "rows": model.rows_,
        "events": model.events_,
        "trained_through": model.trained_through_.isoformat(),
        "version": model.version_,
        "feeds": [feed.to_dict() for feed in late],
        "warnings": [one.to_dict() for one in model.warnings_],
    }
    return done(options, content, IN_PART if late else 0)


def _recorded(
    options: argparse.Namespace, output: Path | None
) -> AbstractContextManager[RunRecord]:
    """Return the record of the run, which is written where it fails, and its metrics."""
    from leadsignal.scoring.record import recorded

    return recorded(options.command, output, metrics=options.metrics, force=options.force)


def _warn(options: argparse.Namespace, warnings: Iterable[object]) -> None:
    """Print warnings to stderr."""
    if not options.quiet:
        for line in warnings:
            log(options, line)


def _score(options: argparse.Namespace) -> int:
    from leadsignal.files.writing import exclusive_lock
    from leadsignal.model.saved_models import load_model

    project = read_options(options)
    options.source = _source(options, project)
    place = _place(options)
    with exclusive_lock(place), _recorded(options, place) as record:
        if options.model is not None:
            with record.stage("model"):
                model = load_model(options.model)
        with record.stage("read"):
            tables = read_given_tables(options, project)
        record.note_tables(tables)
        if options.model is None:
            model = _fitted_to(options, tables, read_analysis(project), record)
        record.note_model(model)
        if options.out is None or _is_file(options.out):
            return _score_once(options, model, tables, record, place)
        return _score_folder(options, model, tables, record)


def _fitted_to(
    options: argparse.Namespace, tables: Tables, analysis: SuccessAnalysis | None, record: RunRecord
) -> ChurnModel:
    """Fit a model to the tables to score, if no model is given."""
    from leadsignal.model import churn_model
    from leadsignal.panel import build_panel
    from leadsignal.scoring.feeds import without_late_feeds

    known, _ = without_late_feeds(tables)
    with record.stage("panel"), progress_bar(options, "panel") as progress:
        panel = build_panel(known, analysis, progress=progress)
    with record.stage("fit"), progress_bar(options, "fitting"):
        model = churn_model.ChurnModel(horizon=f"{tables.project.horizon}d").fit(panel)
    fit = f"leadsignal fit {options.project} --out my_model"
    _warn(options, [f"no --model is given, so one was fitted to these tables. To keep one: {fit}"])
    return model


def _place(options: argparse.Namespace) -> Path:
    """Return the output path, or the path of the run record if scores go to a database only."""
    from leadsignal.scoring.record import ENDING, table_place

    if options.out is not None:
        if options.record:
            raise OptionError(
                "--record is for runs without --out: otherwise the record is next to the output",
                "Leave --record out",
            )
        _check_out(options)
        return Path(options.out)
    if options.model is None:
        raise OptionError("neither --model nor --out is given", "Give a model to score with")
    if options.record is None:
        return table_place(options.model, options.source.name, options.to_table)
    if not options.record.name.endswith(ENDING):
        raise OptionError(
            f"--record {options.record} does not end in {ENDING}", f"Use a name ending in {ENDING}"
        )
    return Path(str(options.record).removesuffix(ENDING))


def _score_once(
    options: argparse.Namespace, model: Any, tables: Tables, record: RunRecord, place: Path
) -> int:
    """Write the scores of one date to a file, or to a database table only."""
    from leadsignal.scoring.batch import note_scored, write_recorded
    from leadsignal.scoring.scores import score_accounts

    with record.stage("score"), progress_bar(options, "scoring") as progress:
        scores = score_accounts(model, tables, progress=progress)
    strict_about(options, scores.warnings)
    if options.out is not None:
        write_recorded(scores, options.out, record, force=options.force)
        _warn_of_hindsight(options, model, [scores])
        return _report_scores(options, tables, scores, {"scores": str(options.out)})
    note_scored(record, scores)
    _warn_of_hindsight(options, model, [scores])
    with record.stage("write"):
        code = _report_scores(options, tables, scores, {})
    record.write(place, force=options.force)
    return code


def _warn_of_hindsight(options: argparse.Namespace, model: Any, scored: Sequence[Scores]) -> None:
    days = [str(scores.as_of_date) for scores in scored if scores.hindsight]
    if days:
        which = f"{days[0]} to {days[-1]}" if len(days) > 1 else days[0]
        _warn(options, [f"scores of {which} in hindsight: the model is trained through"
                        f" {model.trained_through_}"])  # fmt: skip


def _is_file(path: Path) -> bool:
    return path.suffix in (".csv", ".parquet") and not os.path.isdir(path)


def _check_out(options: argparse.Namespace) -> None:
    from leadsignal.scoring.scores import check_ending

    if options.out.suffix and not os.path.isdir(options.out):
        check_ending(options.out)
    if _is_file(options.out) and (options.since or options.replace):
        raise OptionError(
            f"--since and --replace need a folder, and {options.out} is a file", "Name a folder"
        )


def _score_folder(options: argparse.Namespace, model: Any, tables: Any, record: RunRecord) -> int:
    from leadsignal.scoring.batch import score_into

    with progress_bar(options, "scoring") as progress:
        dates = score_into(
            model,
            tables,
            options.out,
            since=options.since,
            replace=options.replace,
            strict=options.strict,
            record=record,
            progress=progress,
        )
    in_part = any(one.in_part for one in dates)
    record.write(options.out, force=options.force)
    for one in dates:
        say(options, one)
    _warn_of_hindsight(options, model, [one.scores for one in dates if one.scores is not None])
    newest = dates[-1]
    content = {"scores": str(options.out), "dates": [one.to_dict() for one in dates]}
    if newest.scores is not None:
        code = _report_scores(options, tables, newest.scores, content)
        return max(code, IN_PART if in_part else 0)
    if newest.path.is_file():
        _write_kept_for_people(options, model, tables, newest.path)
    return done(options, content, IN_PART if in_part else 0)


def _report_scores(
    options: argparse.Namespace, tables: Tables, scores: Scores, content: dict[str, Any]
) -> int:
    from leadsignal.scoring.scores_table import write_scores_to

    _write_for_people(options, tables, scores)
    _warn(options, scores.feeds)
    say(options, scores)
    say_details(options, scores.to_frame())
    if options.out:
        say(options, f"written to {options.out}")
    if options.model is None:
        past = "says how many churns such lists would have caught"
        say(options, f"next: leadsignal backtest {options.project} {past}")
    if options.source is not None:
        written = write_scores_to(scores, options.to_table, options.source)
        say(options, written)
        content["scores_table"] = written.to_dict()
    return done(options, {**scores.to_dict(), **content}, IN_PART if scores.feeds else 0)


def _source(options: argparse.Namespace, project: Project) -> Source | None:
    """Return the source of --to-table, if given; raise OptionError for impossible options."""
    from leadsignal.config.credentials import open_source

    if not options.out and not options.to_table:
        raise OptionError("neither --out nor --to-table is given", "Give one of them, or both")
    if not options.to_table:
        return None
    sources = project.sources
    named = options.to_source or (next(iter(sources)) if len(sources) == 1 else "")
    if named not in sources:
        known = one_of(sources, named) if sources else "Add [sources.NAME] to leadsignal.toml"
        raise OptionError(f"--to-source {named!r} is not a source", known)
    open_source(sources[named])  # Report a missing password before the scoring.
    return sources[named]


def _monitor(options: argparse.Namespace) -> int:
    from leadsignal.monitoring.monitor import monitor_scores
    from leadsignal.scoring.batch import read_scores, tables_of_runs
    from leadsignal.scoring.feeds import read_contacts

    with _recorded(options, None) as record:
        scores = read_scores(options.scores)
        contacts = read_contacts(options.contacts) if options.contacts else None
        with record.stage("panel"):
            tables, panel = build_given_panel(options)
        record.note_tables(tables)
        with record.stage("monitor"), progress_bar(options, "monitoring"):
            found = monitor_scores(
                panel,
                tables,
                scores,
                contacts=contacts,
                known_tables=tables_of_runs(options.scores),
                false_alarms=options.false_alarms,
            )
        record.monitoring = found.to_dict()
    say(options, found)
    say_details(options, found.feed_table())
    return done(options, found.to_dict(), 0 if found.ok else FOUND)


# Call list and account pages ----------------------------------------------------------------------


def _write_for_people(options: argparse.Namespace, tables: Tables, scores: Scores) -> None:
    """Write the call list and the pages of its accounts, if requested."""
    from leadsignal.as_of_context import AsOfContext

    if options.accounts_dir:  # Before the call list, which links to existing pages.
        analysis = scores.recipe.analysis if scores.recipe else None
        write_pages(options, scores, AsOfContext.of(tables, analysis))
    _write_call_list(options, scores.frame)


def _write_kept_for_people(
    options: argparse.Namespace, model: ChurnModel, tables: Tables, file: Path
) -> None:
    """Write the call list and pages from scores that were in a file before this run."""
    from leadsignal.scoring.batch import read_scores

    kept = read_scores(file)
    if options.accounts_dir:
        _write_for_people(options, tables, _kept_scores(model, tables, kept))
    else:
        _write_call_list(options, kept)


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

    from leadsignal.scoring.scores import score_accounts

    version = kept["model_version"].iloc[0]
    if version != model.version_:
        day = tables.as_of_date
        raise OptionError(
            f"the scores of {day} are kept, and are of model {version}, not {model.version_}",
            f"Give --replace {day}, or leave out --accounts-dir",
        )
    return replace(score_accounts(model, tables), frame=kept)
