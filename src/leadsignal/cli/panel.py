"""`leadsignal panel`: write the panel as Parquet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import (
    build_given_panel,
    new_command,
)
from leadsignal.cli.printing import done, say


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    panel = new_command(commands, "panel", _panel, "write the panel as Parquet")
    panel.add_argument("--out", type=Path, required=True, metavar="FILE")


def _panel(options: argparse.Namespace) -> int:
    from leadsignal.writing import whole_file

    _, panel = build_given_panel(options)
    with whole_file(options.out) as part:
        panel.frame.to_parquet(part, index=False)
    say(options, f"{panel}\nwritten to {options.out}")
    return done(options, {**panel.to_dict(), "panel": str(options.out)})
