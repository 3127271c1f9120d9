"""`leadsignal monitor`: do past scores hold, do their feeds still come."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import build_given_panel, new_command
from leadsignal.cli.printing import done, progress_bar, say

FOUND = 4


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    monitor = new_command(
        commands, "monitor", _monitor, "compare past scores with what came, and today with before"
    )
    monitor.set_defaults(every="7d")
    monitor.add_argument(
        "--scores", type=Path, required=True, metavar="PATH", help="what `score` wrote"
    )
    monitor.add_argument(
        "--contacts", type=Path, metavar="FILE", help="CSV with account_id, contacted_on"
    )
    monitor.add_argument(
        "--false-alarms", type=float, default=1.0, metavar="1", help="allowed a year (default: 1)"
    )


def _monitor(options: argparse.Namespace) -> int:
    from leadsignal.monitoring.monitor import monitor_scores
    from leadsignal.scoring.batch import read_scores, tables_of_runs
    from leadsignal.scoring.holdout import read_contacts

    scores = read_scores(options.scores)
    contacts = read_contacts(options.contacts) if options.contacts else None
    tables, panel = build_given_panel(options)
    with progress_bar(options, "monitoring"):
        found = monitor_scores(
            panel,
            tables,
            scores,
            contacts=contacts,
            known_tables=tables_of_runs(options.scores),
            false_alarms=options.false_alarms,
        )
    say(options, found)
    return done(options, found.to_dict(), 0 if found.ok else FOUND)
