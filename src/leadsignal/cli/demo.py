"""`leadsignal demo`: the whole job on the sample."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import (
    new_command,
)
from leadsignal.cli.outputs import writes
from leadsignal.cli.printing import done, progress_bar, say
from leadsignal.files.outputs import DEMO


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    demo = new_command(commands, "demo", _demo, "the whole job on the sample",
                       project=False, outputs=writes(out=DEMO))  # fmt: skip
    demo.add_argument("--out", type=Path, default=Path("leadsignal-demo"), metavar="FOLDER",
                      help="where to write (default: %(default)s)")  # fmt: skip


def _demo(options: argparse.Namespace) -> int:
    from leadsignal.demo import run_demo

    with progress_bar(options, "demo") as progress:
        result = run_demo(options.out, progress, force=options.force)
    say(options, result)
    return done(options, result.to_dict())
