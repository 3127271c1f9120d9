"""`leadsignal fit` and `leadsignal score`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.inputs import (
    ESTIMATORS,
    build_given_panel,
    new_command,
    read_given_tables,
    read_options,
)
from leadsignal.cli.printing import done, progress_bar, say

if TYPE_CHECKING:
    from leadsignal.credentials import Source
    from leadsignal.project import Project


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    fit = new_command(commands, "fit", _fit, "fit a model and write it as a folder")
    fit.add_argument("--out", type=Path, required=True, metavar="MODEL")
    fit.add_argument("--estimator", choices=ESTIMATORS, default="ensemble")
    score = new_command(commands, "score", _score, "score the accounts that are active")
    score.add_argument("--model", type=Path, required=True, metavar="MODEL")
    score.add_argument("--out", type=Path, metavar="FILE", help=".csv or .parquet")
    score.add_argument("--to-table", metavar="NAME", help="a table of a database, as crm.scores")
    score.add_argument("--to-source", metavar="NAME", help="its [sources.NAME] (default: the one)")


def _fit(options: argparse.Namespace) -> int:
    from leadsignal.model import ChurnModel
    from leadsignal.saved import save_model

    tables, panel = build_given_panel(options)
    horizon = f"{tables.project.horizon}d"
    with progress_bar(options, "fitting"):
        model = ChurnModel(horizon=horizon, estimator=options.estimator).fit(panel)
    save_model(model, options.out)
    say(
        options,
        f"fitted on {model.rows_:,} rows with {model.events_:,} churns, through"
        f" {model.trained_through_}\nwritten to {options.out}",
    )
    return done(
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
    from leadsignal.scores_table import write_scores_to

    project = read_options(options)
    source = _source(options, project)
    model = load_model(options.model)
    tables = read_given_tables(options, project)
    with progress_bar(options, "scoring") as progress:
        scores = score_accounts(model, tables, progress=progress)
    say(options, scores)
    outcome = scores.to_dict()
    if options.out:
        write_scores(scores, options.out)
        say(options, f"written to {options.out}")
        outcome["scores"] = str(options.out)
    if source is not None:
        written = write_scores_to(scores, options.to_table, source)
        say(options, written)
        outcome["scores_table"] = written.to_dict()
    return done(options, outcome)


def _source(options: argparse.Namespace, project: Project) -> Source | None:
    """Return the source that --to-table is in, if it is given; refuse what cannot be meant."""
    from leadsignal.credentials import open_source
    from leadsignal.errors import OptionError
    from leadsignal.settings import one_of

    if not options.out and not options.to_table:
        raise OptionError("there is no word of where to write", "Give --out, --to-table, or both")
    if not options.to_table:
        return None
    sources = project.sources
    named = options.to_source or (next(iter(sources)) if len(sources) == 1 else "")
    if named not in sources:
        known = one_of(sources, named) if sources else "Add [sources.NAME] to leadsignal.toml"
        raise OptionError(f"--to-source {named!r} is not a source", known)
    open_source(sources[named])  # A password that is missing is told before the scoring.
    return sources[named]
