"""The errors that leadsignal raises, and the faults that input errors list."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from leadsignal.formats import count_of

EXIT_CODES = {
    0: ("done", "go on"),
    1: ("a bug", "report it"),
    2: ("bad input or usage, or the disk refused", "alert an operator"),
    3: ("model and data do not fit", "alert an operator; the previous output is unchanged"),
    4: ("done in part (monitor: there are findings)", "continue, and inform the owner of the data"),
    5: ("another run is writing the same output", "try again later"),
    130: ("interrupted by Ctrl-C (SIGINT); the previous output is unchanged", "run it again"),
    143: ("interrupted by SIGTERM; the previous output is unchanged", "run it again"),
}
"""Meaning of each exit code of a command, and what a scheduler should do."""

MAX_VALUES = 3
"""Maximum number of values shown in a line on several faults of one kind."""

FaultKind = tuple[str | None, str | None, str]
"""Table (or file), column and problem; faults that share all three are of one kind."""


@dataclass(frozen=True)
class Fault:
    """A fault in the input: where it is, what is wrong, and what to do.

    ``line`` is the physical line in the file (the header is line 1), or the row number,
    counted from 1, if the source has no lines. Fields that do not apply are None.
    """

    file: str | None
    table: str | None
    line: int | None
    column: str | None
    value: str | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = self.file or self.table or ""
        if self.line is not None:
            place += f":{self.line}"
        return self._at(place, [] if self.value is None else [self.value])

    def _at(self, place: str, values: Sequence[str]) -> str:
        parts = [quiet(part) for part in (place, self.column) if part]
        shown = f" (given: {', '.join(map(repr, values))})" if values else ""
        stop = "" if self.problem.endswith("?") and not shown else "."
        return f"{': '.join([*parts, self.problem])}{shown}{stop} {self.remedy}"

    def with_others(self, others: Sequence[Fault], count: int) -> str:
        """Return one line for ``count`` faults of a kind, of which this is the first."""
        files = {one.file for one in (self, *others)}
        several = f" in {len(files)} files" if len(files) > 1 else ""
        counted = f"{count:,} times{several}"
        if self.line is not None:
            unit = "line" if self.file else "row"
            counted = f"{count:,} rows{several}, first in {unit} {self.line:,}"
        values = dict.fromkeys(one.value for one in (self, *others) if one.value is not None)
        shown = [value for value in values if value is not None][:MAX_VALUES]
        place = ": ".join(part for part in (self.file or self.table, counted) if part)
        return self._at(place, shown)

    @property
    def kind(self) -> FaultKind:
        """The table or file, the column and the problem, which similar faults share."""
        return (self.table or self.file, self.column, self.problem)

    def to_dict(self) -> dict[str, object]:
        """Return the fault as a plain dictionary, ready for JSON."""
        return asdict(self)


def list_faults(faults: Iterable[Fault], more: Mapping[FaultKind, int] | None = None) -> list[str]:
    """Return one line per kind of fault: how many there are, where the first is, some values.

    ``more`` counts, by kind, faults that were found but are not in ``faults``.

    >>> fault = Fault("a.csv", "accounts", 2, "arr", "x", "not a number", "Write a number.")
    >>> list_faults([fault])
    ["a.csv:2: arr: not a number (given: 'x'). Write a number."]
    >>> other = Fault("a.csv", "accounts", 9, "arr", "y", "not a number", "Write a number.")
    >>> list_faults([fault, other])
    ["a.csv: 2 rows, first in line 2: arr: not a number (given: 'x', 'y'). Write a number."]
    """
    by_kind: dict[FaultKind, list[Fault]] = {}
    for fault in faults:
        by_kind.setdefault(fault.kind, []).append(fault)
    lines = []
    for kind, alike in by_kind.items():
        left = (more or {}).get(kind, 0)
        # Faults in one file may come from two checks.
        files = {file: place for place, file in enumerate(dict.fromkeys(f.file for f in alike))}
        alike = sorted(alike, key=lambda fault: (files[fault.file], fault.line or 0))
        for first, *others in _by_remedy(alike):
            count = len(others) + 1 + left
            lines.append(str(first) if count == 1 else first.with_others(others, count))
            left = 0
    return lines


def _by_remedy(alike: Sequence[Fault]) -> list[list[Fault]]:
    """Group faults of a kind by remedy, or into one group if there are too many remedies."""
    found: dict[str, list[Fault]] = {}
    for fault in alike:
        found.setdefault(fault.remedy, []).append(fault)
    return list(found.values()) if len(found) <= MAX_VALUES else [list(alike)]


_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that a terminal interprets instead of showing: control and direction characters."""


def is_name(text: object, most: int = 500) -> bool:
    """Return whether a terminal shows a text unchanged, on one line of at most ``most`` characters.

    >>> is_name("weekly close"), is_name("red\x1b[31m"), is_name("")
    (True, False, False)
    """
    return isinstance(text, str) and 0 < len(text) <= most and not _UNSEEN.search(text)


def quiet(text: str, most: int = 200) -> str:
    """Return untrusted text as one printable line, truncated after ``most`` characters.

    >>> quiet("plain, \x1b[31mred\u202e")
    'plain, \\\\x1b[31mred\\\\u202e'
    """
    cut = text if len(text) <= most else text[:most] + "…"
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], cut)


def quoted(text: str, most: int = 60) -> str:
    """Return an untrusted name in quotation marks, made printable by `quiet`.

    >>> quoted("a\\nb")
    "'a\\\\nb'"
    """
    return f"'{quiet(text, most)}'"


class LeadsignalError(Exception):
    """Base class of all errors raised by leadsignal. ``exit_code`` is that of the command."""

    exit_code = 2


class RefusalError(LeadsignalError):
    """Something cannot be done: ``problem`` says why, ``remedy`` what to do instead."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(f"{problem}. {remedy}." if remedy else problem)

    def __reduce__(self) -> tuple[type[RefusalError], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)


class OptionError(RefusalError, ValueError):
    """An argument or option is not allowed."""


class WriteError(RefusalError):
    """Writing to disk failed; the previous content is unchanged."""


class BusyError(RefusalError):
    """Another process is writing the same output; try again later."""

    exit_code = 5


class InputError(LeadsignalError, ValueError):
    """The input has faults: ``faults`` lists them, ``count`` is their number.

    They differ only if a kind of fault is too frequent for every one to be listed; ``more`` then
    counts the others by kind.
    """

    what = "input"

    def __init__(
        self, faults: Iterable[Fault], more: Mapping[FaultKind, int] | None = None
    ) -> None:
        self.faults = tuple(faults)
        self.more = dict(Counter(more or {}))
        self.count = len(self.faults) + sum(self.more.values())
        head = f"{count_of(self.count, 'fault')} in the {self.what}:"
        super().__init__("\n  ".join([head, *list_faults(self.faults, self.more)]))

    def __reduce__(self) -> tuple[type[InputError], tuple[object, ...]]:
        return type(self), (self.faults, self.more)


class TablesError(InputError):
    """Tables do not match ``leadsignal.schema``."""

    what = "tables"


class ProjectError(InputError):
    """``leadsignal.toml`` is not valid."""

    what = "project file"


class SuccessAnalysisError(InputError):
    """``success.toml`` is not valid."""

    what = "success analysis"


class SourceError(RefusalError):
    """A database or object store cannot be reached, or reports an error; messages hold no secrets.

    ``said`` is a short form of the driver's message.
    """

    said: str | None = None


class ModelError(RefusalError):
    """The model and the data do not match."""

    exit_code = 3


class NoModelError(ModelError):
    """The given path of a model does not contain one."""

    exit_code = 2


MAX_SHOWN = 80
"""Maximum number of characters of a line or value that are shown."""


MAX_NAMES = 50


def near(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name among ``names`` that is most similar to ``name``; None if none is similar.

    >>> near("acounts", ["accounts", "usage"])
    'accounts'
    """
    by_lower = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def meant(name: str, names: Iterable[str]) -> str:
    """Return the most similar of ``names`` as a question in brackets; "" if none is similar.

    >>> meant("acounts", ["accounts", "usage"]), meant("x", ["usage"])
    (" (did you mean 'accounts'?)", '')
    """
    found = near(name[:MAX_SHOWN], names)
    return f" (did you mean {found!r}?)" if found else ""


def one_of(names: Iterable[str], unknown: str) -> str:
    """Return a remedy that suggests the most similar of ``names`` and lists all of them."""
    names = [name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…" for name in names]
    found = near(unknown[:MAX_SHOWN], names)
    hint = f"Did you mean {found!r}? " if found else ""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{hint}Allowed: {', '.join(names[:MAX_NAMES])}{more}"
