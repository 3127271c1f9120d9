"""`leadsignal fit` and `leadsignal score`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import (
    ESTIMATORS,
    build_given_panel,
    new_command,
    read_given_tables,
    read_options,
)
from leadsignal.cli.printing import done, progress_bar, say


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    fit = new_command(commands, "fit", _fit, "fit a model and write it as a folder")
    fit.add_argument("--out", type=Path, required=True, metavar="MODEL")
    fit.add_argument("--estimator", choices=ESTIMATORS, default="ensemble")
    score = new_command(commands, "score", _score, "score the accounts that are active")
    score.add_argument("--model", type=Path, required=True, metavar="MODEL")
    score.add_argument("--out", type=Path, required=True, metavar="FILE", help=".csv or .parquet")


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

    model = load_model(options.model)
    tables = read_given_tables(options, read_options(options))
    with progress_bar(options, "scoring") as progress:
        scores = score_accounts(model, tables, progress=progress)
    write_scores(scores, options.out)
    say(options, f"{scores}\nwritten to {options.out}")
    return done(options, {**scores.to_dict(), "scores": str(options.out)})
