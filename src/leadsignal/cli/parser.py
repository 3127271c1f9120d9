"""The parser of commands and options: what is misspelt is met with the nearest name."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import NoReturn

from leadsignal.config.toml_files import meant


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors name the nearest choice, command or option."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit with code 2."""
        super().error(message + self._hint(message))

    def _hint(self, message: str) -> str:
        if found := re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message):
            return meant(found[1], re.findall(r"[^\s',]+", found[2]))
        if found := re.search(r"unrecognized arguments: (?:.* )?(--[\w-]+)", message):
            return meant(found[1], set(self._options()))
        return ""

    def _options(self) -> Iterator[str]:
        """Yield the options of this parser and of its commands."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._options()
