"""`leadsignal audit` and `backtest`: which indicators lead, what alerts would have caught."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import (
    ESTIMATORS,
    build_given_panel,
    new_command,
    strict_about,
)
from leadsignal.cli.printing import done, progress_bar, say


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    new_command(commands, "audit", _audit, "say which indicators lead and which lag")
    backtest = new_command(commands, "backtest", _backtest, "replay past alerts against baselines")
    backtest.add_argument("--origins", type=int, default=6, help="cut-offs (default: %(default)s)")
    backtest.add_argument("--segment", metavar="NAME", help="break results down by this attribute")
    backtest.add_argument("--estimator", choices=ESTIMATORS, help="default: ensemble")
    backtest.add_argument(
        "--model", type=Path, metavar="MODEL", help="judge this model: its estimator and horizon"
    )


def _audit(options: argparse.Namespace) -> int:
    from leadsignal.churn.events import churn_events
    from leadsignal.evaluation.audit import audit_indicators

    _, panel = build_given_panel(options)
    with progress_bar(options, "audit") as progress:
        audit = audit_indicators(panel, progress=progress)
    ends = churn_events(panel)
    say(options, f"{ends}\n{audit}")
    return done(options, {**audit.to_dict(), "churn": ends.to_dict()})


def _backtest(options: argparse.Namespace) -> int:
    from leadsignal.evaluation.backtest import run_backtest
    from leadsignal.model.persistence.saved_models import load_model

    model = load_model(options.model) if options.model else None
    _, panel = build_given_panel(options, model)
    with progress_bar(options, "backtest") as progress:
        backtest = run_backtest(
            panel,
            origins=options.origins,
            segment=options.segment,
            estimator=options.estimator,
            model=model,
            progress=progress,
        )
    strict_about(options, backtest.warnings)
    say(options, backtest)
    return done(options, backtest.to_dict())
