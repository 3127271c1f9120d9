"""`leadsignal init`: propose a project file for a folder of exports, and check it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cli.inputs import new_command
from leadsignal.cli.printing import done, say, warn
from leadsignal.files.outputs import PROPOSAL

if TYPE_CHECKING:
    from leadsignal.proposals.proposal import ProjectProposal

FILE = "leadsignal.toml"


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    init = new_command(
        commands, "init", _init, "propose a leadsignal.toml for a folder of exports", project=False,
        outputs=lambda options: (
            [(place / FILE, PROPOSAL)] if (place := Path(options.folder)).is_dir() else []
        ),
    )  # fmt: skip
    init.add_argument("folder", metavar="FOLDER", help="a folder of exports")


def _init(options: argparse.Namespace) -> int:
    from leadsignal.config.project import read_project
    from leadsignal.errors import list_faults
    from leadsignal.proposals.proposal import propose_project
    from leadsignal.tables import check_and_read

    proposal = propose_project(options.folder)
    for line in proposal.lines():
        say(options, line)
    path = proposal.write_project(force=options.force)
    say(options, f"written to {path}")
    content = proposal.to_dict()
    if not any(table.is_ready for table in proposal.tables):
        warn("leadsignal init: no table can be read yet. Answer the questions in the file.")
        return done(options, content, 2)
    report, _ = check_and_read(options.folder, read_project(options.folder))
    for line in repr(report).splitlines():
        say(options, line)
    for line in list_faults(report.faults, report.more) if options.quiet else ():
        warn(line)
    say(options, _next(options.folder, proposal, report.ok))
    return done(options, {**content, "check": report.to_dict()}, 0 if report.ok else 2)


def _next(folder: str, proposal: ProjectProposal, ok: bool) -> str:
    """Return the next step for the user."""
    count = len(proposal.all_questions())
    answer = f"answer {count} question{'s' * (count > 1)} in {FILE}, " if count else ""
    if not ok:
        return f"next: {answer}correct the faults, and run leadsignal check {folder}"
    first = f"leadsignal score {folder} --out scores.csv --call-list calls.csv"
    return f"next: {answer}{'then ' * bool(count)}{first}"
