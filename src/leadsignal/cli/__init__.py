"""The command line: parse, call, print. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import fill
from typing import NoReturn

from leadsignal import __version__
from leadsignal.cli import analyses, model
from leadsignal.cli.shared import (
    check_outputs,
    existing_outputs,
    flush_all,
    log,
    refused_by_the_machine,
    take_any_letter,
    warn,
    write_json,
)
from leadsignal.errors import (
    EXIT_CODES,
    InputError,
    LeadsignalError,
    OptionError,
    WriteError,
    meant,
)
from leadsignal.files.writing import SIGNALS, came, interruptible


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors suggest the most similar choice, command or option."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error message, and exit with code 2."""
        super().error(message + self._hint(message))

    def _hint(self, message: str) -> str:
        if found := re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message):
            return meant(found[1], re.findall(r"[^\s',]+", found[2]))
        if found := re.search(r"unrecognized arguments: (?:.* )?(--[\w-]+)", message):
            options = self._commands_of_options()
            if having := options.get(found[1]):
                return f" ({found[1]} is an option of {', '.join(having)})"
            return meant(found[1], options)
        return ""

    def _commands_of_options(self) -> dict[str, list[str]]:
        """Return the options, each with the commands that have it; none for this parser's own."""
        found: dict[str, list[str]] = {}
        for action in self._actions:
            for option in action.option_strings:
                found.setdefault(option, [])
            if isinstance(action, argparse._SubParsersAction):
                for command, parser in action.choices.items():
                    for option in parser._commands_of_options():
                        found.setdefault(option, []).append(command)
        return found


_CODES = ", ".join(f"{code} {what}" for code, (what, _) in EXIT_CODES.items())
EPILOG = (
    fill(
        "PROJECT is a folder of tables (with leadsignal.toml and success.toml in it, if there are "
        f"any) or a .toml file. Exit codes: {_CODES}.",
        99,
    )
    + "\n"
)
COMMANDS = (
    analyses.add_commands,
    model.add_commands,
    analyses.add_report_commands,
)
"""What adds the commands, in the order of use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    SIGINT and SIGTERM end it with a one-line message. Without ``arguments`` this is the program
    itself, and its final steps, such as removing temporary files, are not interrupted.
    """
    with interruptible(keep=arguments is None):
        try:
            take_any_letter()
            words = sys.argv[1:] if arguments is None else list(arguments)
            return _refuse_bytes(words) or _run(_parser().parse_args(words))
        finally:
            flush_all()


def _refuse_bytes(arguments: Sequence[str]) -> int:
    """Return 2 if an argument is not valid text, as can happen under LC_ALL=C; else 0."""
    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError:
            known = sys.getfilesystemencoding()
            warn(
                f"leadsignal: the argument {argument!a} is not text in {known}. Correct it, or"
                " choose a UTF-8 locale (LC_ALL=C.UTF-8)"
            )
            return OptionError.exit_code
    return 0


def _run(options: argparse.Namespace) -> int:
    before: dict[Path, object] = {}
    try:
        check_outputs(options)
        before = {Path(): None, **existing_outputs(options)}
        code: int = options.run(options)
    except LeadsignalError as error:
        # If outputs are refused, the JSON is not written either.
        if isinstance(error, OptionError) and not before and options.json != "-":
            options.json = None
        return _report(error, options)
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or came() is not None:
            return _interrupted(options, before)
        refused = refused_by_the_machine(error)
        if refused is None:
            raise
        return _report(refused, options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="leadsignal",
        description="Predict customer churn from leading behavioural indicators.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"leadsignal {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add_commands in COMMANDS:
        add_commands(commands)
    return parser


def _report(error: LeadsignalError, options: argparse.Namespace) -> int:
    """Print an error, also as JSON if requested, and return the exit code."""
    log(options, error)
    if options.json and not isinstance(error, WriteError):
        faults = [f.to_dict() for f in error.faults] if isinstance(error, InputError) else []
        content = {"ok": False, "error": str(error), "faults": faults}
        # If the JSON cannot be written either, the message above must suffice.
        with suppress(OptionError, WriteError):
            write_json(content, options.json, force=options.force)
    return error.exit_code


def _interrupted(options: argparse.Namespace, before: Mapping[Path, object]) -> int:
    after = existing_outputs(options) if before else {}
    lines = [
        f"{path} is {'unchanged' if after.get(path) == mark else 'written'}"
        for path, mark in before.items()
        if path.name and not path.name.endswith(".run.json")
    ]
    log(options, "; ".join(["interrupted", *lines]))
    return 128 + (came() or SIGNALS[0])
