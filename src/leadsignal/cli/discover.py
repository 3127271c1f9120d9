"""`leadsignal discover`: which behaviours mark the accounts that reach results and stay."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import new_command, read_given_tables, read_options
from leadsignal.cli.outputs import writes
from leadsignal.cli.printing import done, progress_bar, say
from leadsignal.files.outputs import PICTURE, PROCESSES


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    discover = new_command(commands, "discover", _discover, "find the essential processes in data",
                           outputs=writes(out=PROCESSES, picture=PICTURE))  # fmt: skip
    for name, what in (
        ("--at-least", "events in a window, to be tried"),
        ("--by-users", "users in a window, to be tried"),
        ("--sustained-for", "windows in a row, to be tried"),
    ):
        discover.add_argument(name, type=int, nargs="+", metavar="N", help=what)
    discover.add_argument("--within", nargs="+", metavar="30d", help="windows to be tried")
    discover.add_argument("--match", action="append", default=[], metavar="COLUMN",
                          help="compare accounts equal in this; can be given again")  # fmt: skip
    discover.add_argument("--level", type=float, default=0.02, help="error for all (%(default)s)")
    discover.add_argument("--floor", type=float, default=0.7, help="weakest ratio (%(default)s)")
    discover.add_argument("--most", type=int, default=2, help="how many to name (%(default)s)")
    discover.add_argument("--out", type=Path, metavar="FILE", help="write [[process]] blocks")
    discover.add_argument("--picture", type=Path, metavar="FILE", help="draw it as .png or .svg")


def _discover(options: argparse.Namespace) -> int:
    from leadsignal.success_analysis.discovery.search import discover_processes

    tables = read_given_tables(options, read_options(options))
    with progress_bar(options, "discover") as progress:
        found = discover_processes(
            tables,
            at_least=options.at_least,
            by_users=options.by_users,
            within=options.within,
            sustained_for=options.sustained_for,
            match=options.match,
            level=options.level,
            floor=options.floor,
            most=options.most,
            progress=progress,
        )
    say(options, found)
    if options.out and found.processes:
        say(options, f"written to {found.write(options.out, force=options.force)}")
    elif options.out:
        say(options, f"nothing to write to {options.out}: no process is named")
    if options.picture:
        say(options, f"drawn in {found.draw(options.picture, force=options.force)}")
    return done(options, found.to_dict())
