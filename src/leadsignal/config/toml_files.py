"""Read settings in TOML, check each of them, and report all faults with their lines."""

from __future__ import annotations

import json
import pathlib
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeGuard, TypeVar, get_args

from leadsignal.arguments import days_in
from leadsignal.config.credentials import SECRET_WORDS, hide_secrets
from leadsignal.errors import MAX_SHOWN, Fault, OptionError, one_of

T = TypeVar("T")
KeyPath = tuple[str | int, ...]
_KEY = re.compile(
    r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(#.*)?$")
_NAME = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


LARGEST = 1_000_000
"""Maximum size of a settings file in bytes."""


def read_settings_file(file: pathlib.Path) -> str:
    """Return the text of a settings file.

    Raises OSError if it cannot be read, UnicodeDecodeError if it is not UTF-8, and OptionError if
    it is larger than 1 MB, or is a pipe or a device.
    """
    mode = file.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OptionError("is a pipe or a device, not a file", "Correct the path")
    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OptionError(f"is larger than {LARGEST:,} bytes", "Correct the path")
    return content.decode("utf-8")


def as_toml(value: Any) -> str:
    """Return a value in TOML syntax, with the keys of tables in quotes.

    >>> as_toml({"status": ["active"]}), as_toml(True)
    ('{ "status" = ["active"] }', 'true')
    """
    if isinstance(value, Mapping):
        pairs = (f"{as_toml(key)} = {as_toml(one)}" for key, one in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    # JSON strings are valid TOML, except for DEL, which TOML does not allow unescaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def a_text(value: object) -> str:
    """Accept a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise OptionError("must be a text", 'Write it in quotes, as in "text"')
    return value


def identifier(value: object) -> str:
    """Accept a name with which columns of the panel may begin."""
    name = a_text(value)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise OptionError(
            "cannot be used as a column name",
            'Use lower-case letters, digits and _, starting with a letter, as in "weekly_close"',
        )
    return name


def texts(value: object) -> tuple[str, ...]:
    """Accept a list of texts, or a single text."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) and v for v in values):
        raise OptionError("must be a list of texts", 'Write ["one", "two"]')
    if len(set(values)) < len(values):
        raise OptionError("names something twice", "Name each once")
    return tuple(values)


def a_value_of(choices: object) -> Callable[[object], str]:
    """Return a rule that accepts the values of a literal type."""
    allowed = get_args(choices)

    def take(value: object) -> str:
        if value not in allowed:
            raise OptionError("is not allowed", one_of(allowed, str(value)))
        return str(value)

    return take


def a_duration(value: object) -> int:
    """Accept a duration such as "28d" and return its days."""
    if not isinstance(value, str):
        raise OptionError("must be a duration", 'Write a number and a unit in quotes, as in "28d"')
    return days_in(value)


def a_day(value: object) -> date:
    """Accept a date, or its ISO text."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise OptionError("must be a date", "Write year-month-day, as in 2025-12-31")
    return value


def whole(value: object) -> int:
    """Accept a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise OptionError(
            "must be a whole number of at least 1", "Write it without quotes, as in 2"
        )
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def positive(value: object) -> int | float:
    """Accept a number above 0."""
    if not is_number(value) or not 0 < value < 1e12:
        raise OptionError("must be a number above 0", "Write it without quotes, as in 4")
    return value


def share(value: object) -> float:
    """Accept a share above 0 and at most 1."""
    if not is_number(value) or not 0 < value <= 1:
        raise OptionError("must be a share above 0 and at most 1", "Write 0.1 for a tenth")
    return float(value)


@dataclass
class Settings:
    """A parsed TOML text, with the line of each key and the faults found so far."""

    file: str | None
    values: dict[str, Any]
    lines: dict[KeyPath, int]
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str, file: str | None) -> Settings:
        """Parse a TOML text; a syntax error gives empty settings with this one fault."""
        try:
            return cls(file, tomllib.loads(text.removeprefix("\ufeff")), dict(_lines_of(text)))
        except tomllib.TOMLDecodeError as error:
            return cls(file, {}, {}, [_syntax_fault(error, text, file)])
        except RecursionError:
            remedy = "Write it with fewer nested brackets."
            return cls(file, {}, {}, [Fault(file, None, None, None, None, "too deep", remedy)])

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a key, or of the section or key that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def fault(self, path: KeyPath, problem: str, remedy: str, value: object = None) -> None:
        """Record a fault at a key."""
        key = ".".join(str(part) for part in path if not isinstance(part, int))
        written = None if value is None else hide_secrets(str(value))
        remedy = remedy if remedy.endswith((".", "?")) else remedy + "."
        self.faults.append(
            Fault(self.file, None, self.line(path), key or None, written, problem, remedy)
        )

    def check_names(self, section: str, kind: str, names: Iterable[str | None]) -> None:
        """Record a fault if two sections have the same name; None means a section with faults."""
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                path = (section, index, "name")
                self.fault(path, f"names two {kind}", "Give each its own name", name)
            seen |= {name} if name is not None else set()

    def section(self, path: KeyPath, value: object, allowed: Iterable[str] = ()) -> dict[str, Any]:
        """Return a section as a dictionary of its allowed keys; the others become faults."""
        if not isinstance(value, dict):
            self.fault(path, "must be a section", f"Write [{'.'.join(map(str, path))}]", value)
            return {}
        names = list(allowed)
        for key in value:
            if names and key not in names:
                self.fault((*path, key), "is not a known key", one_of(names, key))
        return {key: item for key, item in value.items() if not names or key in names}

    def take(self, path: KeyPath, value: object, rule: Callable[[Any], T]) -> T | None:
        """Return a value converted by a rule; if the rule refuses it, record the fault."""
        try:
            return rule(value)
        except OptionError as error:
            self.fault(path, error.problem, error.remedy, value)
            return None

    def read(
        self, path: KeyPath, value: object, rules: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any]:
        """Return the values of a section with known keys, converted by the rules."""
        return self.take_all(path, self.section(path, value, rules), rules)

    def read_each(self, path: KeyPath, value: object, rule: Callable[[Any], T]) -> dict[str, T]:
        """Return the values of a section with any keys, all converted by one rule."""
        section = self.section(path, value)
        return self.take_all(path, section, dict.fromkeys(section, rule))

    def take_all(
        self, path: KeyPath, section: Mapping[str, Any], rules: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any]:
        """Return the values of a section converted by the rules, without those refused."""
        taken = {
            key: self.take((*path, key), value, rules[key])
            for key, value in section.items()
            if key in rules
        }
        return {key: value for key, value in taken.items() if value is not None}


def _syntax_fault(error: tomllib.TOMLDecodeError, text: str, file: str | None) -> Fault:
    said = re.sub(r"\s*\(at .*\)$", "", str(error))
    at = re.search(r"at line (\d+)", str(error))
    line = int(at[1]) if at else text.count("\n") + 1
    lines = text.splitlines()
    value = lines[line - 1].strip()[:MAX_SHOWN] if 0 < line <= len(lines) else None
    if value and ("://" in value or any(word in value.lower() for word in SECRET_WORDS)):
        value = None  # A line that cannot be parsed may contain a password in any form.
    remedy = 'Correct the line; texts are in quotes, as in key = "value".'
    return Fault(file, None, line, None, value or None, f"is not valid TOML: {said}", remedy)


def _lines_of(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each section and key that a line shows."""
    here: KeyPath = ()
    arrays: dict[KeyPath, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            here = _path(header[2])
            if header[1] == "[[":
                arrays[here] = arrays.get(here, -1) + 1
                here = (*here, arrays[here])
            yield here, number
        elif key := _KEY.match(line):
            yield (*here, *_path(key[1])), number


def _path(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _NAME.findall(dotted))
