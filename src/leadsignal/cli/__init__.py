"""The command line: parse, call, print. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from leadsignal.cli import (
    check,
    compare,
    demo,
    discover,
    model,
    monitor,
    panel,
    proof,
    report,
    review,
)
from leadsignal.cli.printing import refused_by_the_machine, write_json
from leadsignal.errors import InputError, LeadsignalError, WriteError

EPILOG = """\
PROJECT is a folder of tables (with leadsignal.toml and success.toml in it, if there are any) or a
.toml file. Exit codes: 0 done, 2 bad input or usage, 3 model and data do not fit, 4 done in part
(monitor: there are findings), 1 a bug.
"""
COMMANDS = (demo, check, discover, panel, proof, model, monitor, compare, report, review)
"""The files that hold the commands, in the order of the flow; each adds its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except LeadsignalError as error:
        _report(error, options)
        return error.exit_code
    except Exception as error:
        refused = refused_by_the_machine(error)
        if refused is None:
            raise
        _report(refused, options)
        return refused.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leadsignal",
        description="Predict customer churn from leading behavioural indicators.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for holder in COMMANDS:
        holder.add_commands(commands)
    return parser


def _report(error: LeadsignalError, options: argparse.Namespace) -> None:
    print(f"leadsignal {options.command}: {error}", file=sys.stderr)
    if options.json and not isinstance(error, WriteError):
        faults = [f.to_dict() for f in error.faults] if isinstance(error, InputError) else []
        write_json({"ok": False, "error": str(error), "faults": faults}, options.json)
