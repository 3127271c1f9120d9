"""`leadsignal panel`: write the panel as Parquet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import new_command, read_analysis, read_given_tables, read_options
from leadsignal.cli.outputs import writes
from leadsignal.cli.printing import done, progress_bar, say
from leadsignal.files.outputs import PANEL


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    panel = new_command(commands, "panel", _panel, "write the panel as Parquet",
                        outputs=writes(out=PANEL))  # fmt: skip
    panel.add_argument("--out", type=Path, required=True, metavar="FILE")


def _panel(options: argparse.Namespace) -> int:
    from leadsignal.files.writing import atomic_write
    from leadsignal.panel import build_panel, write_panel

    project = read_options(options)
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
