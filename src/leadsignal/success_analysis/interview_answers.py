"""Read the filled-in briefs, with all faults at once, and count the answers that agree.

Answers contain names of people, so faults cite file, line and label, never the answer itself.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median_low
from typing import Any

import pandas as pd

from leadsignal.config.success import Process
from leadsignal.config.toml_files import a_day, a_duration, positive, whole
from leadsignal.errors import Fault, InputError, OptionError, near
from leadsignal.files.writing import json_fields, json_ready
from leadsignal.results import Result
from leadsignal.stats import Share
from leadsignal.success_analysis.interview_kit import (
    BEGIN,
    MAX_ITEMS,
    PROCESS,
    PROCESS_FIELDS,
    QUESTIONS,
    README,
    TALK,
    FormField,
    one_line,
    read_header,
)

_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*")
_FIELD = re.compile(r"[-*+]\s+\**([^:*]{1,40}?)\**\s*:\**(?:\s(.*))?")
_COMMENT = re.compile(r"<!--.*?-->")
_PROCESS = re.compile(rf"{PROCESS} (\d{{1,3}})", re.IGNORECASE)
_BY_LABEL = {
    question.title.casefold(): {field.label.casefold(): field for field in question.fields}
    for question in QUESTIONS
}
_OF_PROCESS = {field.label.casefold(): field for field in PROCESS_FIELDS}
_NEEDED = ("behaviors", "at_least", "within")
ALIKE = 0.75


class InterviewError(InputError):
    """Raised if filled-in briefs have faults; the messages never quote an answer."""

    what = "interviews"


@dataclass(frozen=True, repr=False)
class StatedProcess:
    """A process as an account described it; ``within`` and ``adopt_by`` are in days."""

    behaviors: tuple[str, ...]
    at_least: int | float
    within: int
    line: int
    name: str = ""
    why: str = ""
    by_users: int = 1
    sustained_for: int = 1
    adopt_by: int | None = None

    def __repr__(self) -> str:
        return f"StatedProcess(line={self.line})"


@dataclass(frozen=True, repr=False)
class Interview:
    """The answers of one account; each text is one line, empty if there is no answer.

    ``reason`` and ``objective`` say why they bought, ``success`` and ``success_metric`` how
    successful it has been, and ``how``, ``traits`` and ``processes`` what they did. ``lines`` gives
    the line of each answer in ``file``.
    """

    file: str
    account_id: str
    reason: str = ""
    objective: str = ""
    success: str = ""
    success_metric: str = ""
    how: str = ""
    traits: tuple[str, ...] = ()
    processes: tuple[StatedProcess, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def filled(self) -> bool:
        """Whether the brief has any answer."""
        return bool(self.lines) or bool(self.processes)

    def __repr__(self) -> str:
        counts = f"{len(self.lines)} answers, {len(self.processes)} processes"
        return f"Interview({self.file}: {counts})"


@dataclass(frozen=True, repr=False)
class Interviews(Result):
    """The interviews with answers, over which it iterates, and the files not filled in yet."""

    interviews: tuple[Interview, ...]
    unfilled: tuple[str, ...]

    def __iter__(self) -> Iterator[Interview]:
        return iter(self.interviews)

    def __repr__(self) -> str:
        left = f", {len(self.unfilled)} not filled in yet" if self.unfilled else ""
        return f"{len(self)} interviews{left}"

    def _table(self) -> pd.DataFrame:
        """Return one row per interview with its answers and the number of processes."""
        rows = [
            {**vars(one), "traits": "; ".join(one.traits), "processes": len(one.processes)}
            for one in self.interviews
        ]
        return pd.DataFrame(rows).drop(columns="lines", errors="ignore")

    def to_dict(self) -> dict[str, Any]:
        """Return the answers as plain dictionaries, ready for JSON."""
        answers = json_ready([asdict(one) for one in self.interviews])
        for one in answers:
            del one["lines"]
        return {"interviews": answers, "unfilled": list(self.unfilled)}


def read_interviews(folder: str | Path) -> Interviews:
    """Read the filled-in briefs in a folder written by `write_interview_kit`.

    Parameters
    ----------
    folder : str or Path
        The folder of the kit.

    Returns
    -------
    Interviews
        The interviews, and the briefs without answers.

    Raises
    ------
    InterviewError
        If briefs have faults; every fault is listed with file and line.
    OptionError
        If there is no brief.

    Examples
    --------
    >>> read_interviews("nowhere")
    Traceback (most recent call last):
    leadsignal.errors.OptionError: there is no folder nowhere. Name the folder of the kit.
    """
    place = Path(folder)
    if not place.is_dir():
        raise OptionError(f"there is no folder {place}", "Name the folder of the kit")
    files = sorted(path for path in place.glob("*.md") if path.name != README)
    if not files:
        raise OptionError(f"there is no brief in {place}", "Write them with write_interview_kit")
    faults: list[Fault] = []
    read = [found for path in files if (found := _Brief(path, faults).read()) is not None]
    owner: dict[str, str] = {}
    for one in read:
        if (first := owner.setdefault(one.account_id, one.file)) != one.file:
            problem = f"is of the same account as {first}"
            faults.append(_fault(one.file, 1, None, problem, "Keep one of the two."))
    if faults:
        raise InterviewError(sorted(faults, key=lambda fault: (fault.file or "", fault.line or 0)))
    filled = tuple(one for one in read if one.filled)
    return Interviews(filled, tuple(one.file for one in read if not one.filled))


def _fault(file: str, line: int | None, label: str | None, problem: str, remedy: str) -> Fault:
    return Fault(file, None, line, label, None, problem, remedy)


def _a_number(text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        raise OptionError("must be a number above 0", "Write digits only, as in 4") from None
    return positive(int(number) if number.is_integer() else number)


def _a_count(text: str) -> int:
    return whole(int(text) if re.fullmatch(r"\d{1,9}", text) else None)


def _several(text: str) -> tuple[str, ...]:
    parts = [part.strip().strip("`").strip() for part in text.split(";")]
    return tuple(dict.fromkeys(part for part in parts if part))


_RULES: Mapping[str, Callable[[str], Any]] = {
    "traits": _several,
    "behaviors": _several,
    "at_least": _a_number,
    "by_users": _a_count,
    "within": a_duration,
    "sustained_for": _a_count,
    "adopt_by": a_duration,
    "spoke_on": a_day,
}


class _Brief:
    """State of reading one brief: the current field, the answers and the faults so far."""

    def __init__(self, path: Path, faults: list[Fault]) -> None:
        self.path, self.file, self.faults = path, path.name, faults
        self.fields: Mapping[str, FormField] = {}
        self.into: dict[str, list[tuple[int, str]]] = {}
        self.now: FormField | None = None
        self.said: dict[str, list[tuple[int, str]]] = {}
        self.processes: dict[int, tuple[int, dict[str, list[tuple[int, str]]]]] = {}
        self.skipping = False

    def fault(self, line: int | None, problem: str, remedy: str, label: str | None = None) -> None:
        """Record a fault, which never includes the answer."""
        self.faults.append(_fault(self.file, line, label, problem, remedy))

    def read(self) -> Interview | None:
        """Return the answers, or None if the file is not a brief."""
        try:
            text = self.path.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            self.fault(None, "cannot be read as UTF-8", "Save it as UTF-8.")
            return None
        # Not splitlines, because editors do not count form feeds and line separators as line ends.
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        header = read_header(lines[0])
        if header is None:
            remedy = "Put the first line back as the kit wrote it, or move the file elsewhere."
            self.fault(1, "does not begin as a brief does", remedy)
            return None
        starts = [n for n, line in enumerate(lines) if line.strip() == BEGIN]
        if len(starts) != 1:
            remedy = "Put the line '<!-- answers: … -->' back above the questions."
            self.fault(None, "does not say where the answers begin", remedy)
            return None
        for number, line in enumerate(lines[starts[0] + 1 :], starts[0] + 2):
            self._line(number, _COMMENT.sub("", line).rstrip())
        return self._interview(str(header["account_id"]))

    def _line(self, number: int, line: str) -> None:
        heading, entry = _HEADING.fullmatch(line), _FIELD.fullmatch(line)
        if heading:
            self._open(number, heading[1])
        elif self.skipping or not line.strip():
            return
        elif entry and entry[1].strip().casefold() in self.fields:
            self._begin(number, self.fields[entry[1].strip().casefold()], entry[2] or "")
        elif entry and near(entry[1].strip(), [f.label for f in self.fields.values()], ALIKE):
            self.fault(number, "is similar to a label of the form, but is not one", self._labels())
        elif self.now is None or not (self.now.prose or line[0].isspace()):
            self.fault(number, "belongs to no field", self._labels())
        else:
            self.into[self.now.key].append((number, line.strip()))

    def _labels(self) -> str:
        return f"Labels here: {', '.join(f.label for f in self.fields.values()) or 'none'}."

    def _open(self, number: int, title: str) -> None:
        """Start a question or a process at a heading."""
        self.now, self.skipping = None, False
        process = _PROCESS.fullmatch(title)
        if process and 1 <= int(process[1]) <= MAX_ITEMS and int(process[1]) not in self.processes:
            self.fields, self.into = _OF_PROCESS, {}
            self.processes[int(process[1])] = (number, self.into)
            return
        self.skipping = True
        if process:
            remedy = f"Name the {MAX_ITEMS} that matter most, each once."
            self.fault(number, f"is not one of {PROCESS} 1 to {MAX_ITEMS}", remedy)
        elif title.casefold() in _BY_LABEL:
            self.fields, self.into, self.skipping = _BY_LABEL[title.casefold()], self.said, False
        else:
            self.fault(number, "is not a heading of the form", "Leave the headings as they are.")

    def _begin(self, number: int, entry: FormField, text: str) -> None:
        if entry.key in self.into:
            self.fault(number, "appears twice", "Keep one.", entry.label)
        self.now = entry
        self.into[entry.key] = [(number, text.strip())]

    def _interview(self, account_id: str) -> Interview:
        fields = [f for question in QUESTIONS for f in question.fields]
        values, lines = self._values(fields, self.said)
        if len(values.get("traits", ())) > MAX_ITEMS:
            remedy = f"Keep the {MAX_ITEMS} that matter most."
            self.fault(lines["traits"], f"more than {MAX_ITEMS} are named", remedy, "Traits")
        stated = [self._process(line, said) for _, (line, said) in sorted(self.processes.items())]
        for private in TALK.fields:
            values.pop(private.key, None)
            lines.pop(private.key, None)
        processes = tuple(process for process in stated if process is not None)
        return Interview(self.file, account_id, processes=processes, lines=lines, **values)

    def _values(
        self, fields: list[FormField], said: Mapping[str, list[tuple[int, str]]]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the values of the fields that are filled in, and their lines."""
        values, lines = dict[str, Any](), dict[str, int]()
        for entry in fields:
            text = one_line(" ".join(part for _, part in said.get(entry.key, [])))
            if not text:
                continue
            lines[entry.key] = said[entry.key][0][0]
            try:
                values[entry.key] = _RULES.get(entry.key, str)(text)
            except OptionError as error:
                # The message for a duration would quote the answer.
                problem = "must be a duration" if entry.key in ("within", "adopt_by") else ""
                remedy = f"{error.remedy}."
                self.fault(lines[entry.key], problem or error.problem, remedy, entry.label)
        return values, lines

    def _process(self, line: int, said: dict[str, list[tuple[int, str]]]) -> StatedProcess | None:
        values, lines = self._values(list(PROCESS_FIELDS), said)
        if not lines:
            return None
        labels = {f.key: f.label for f in PROCESS_FIELDS}
        missing = [key for key in _NEEDED if key not in lines or values.get(key) == ()]
        for key in missing:
            remedy = "Fill it in, or empty the whole process."
            self.fault(line, "is empty, and the process is not", remedy, labels[key])
        if values.get("by_users", 1) > max(1, values.get("at_least", float("inf"))):
            remedy = "Require at least one event per user: raise At least, or lower By users."
            self.fault(lines["by_users"], "is above At least", remedy, labels["by_users"])
        if missing or any(key not in values for key in lines):
            return None
        return StatedProcess(line=line, **values)


SAME_ANSWER = 0.8
"""Minimum similarity (0 to 1) of two texts that count as the same answer."""


@dataclass(frozen=True, repr=False)
class Agreement:
    """One answer and the accounts that gave it.

    ``text`` is its most frequent wording and ``places`` are file:line. ``kind`` is objective,
    success_metric, trait or process. For a process, ``process`` is the candidate, with the median
    of the answers.
    """

    kind: str
    text: str
    accounts: tuple[str, ...]
    interviewed: int
    places: tuple[str, ...]
    process: Process | None = None

    @property
    def share(self) -> Share:
        """Share of the interviewed accounts that gave this answer."""
        return Share(len(self.accounts), self.interviewed)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer, ready for JSON."""
        return {**json_fields(self, "kind", "text", "accounts", "places"), **self.share.to_dict()}

    def __repr__(self) -> str:
        return f"{self.kind}: {self.text}: {len(self.accounts)} of {self.interviewed}"


def _plain(text: str) -> str:
    """Return the words of a text in lower case, cut to 200 characters."""
    return " ".join(re.findall(r"\w+", text.replace("_", " ").casefold()))[:200]


def count_texts(
    kind: str, answers: Sequence[tuple[Interview, str, int]], interviews_count: int
) -> tuple[Agreement, ...]:
    """Group texts that are nearly the same, and count the accounts that gave them."""
    groups: list[tuple[str, list[tuple[Interview, str, int]]]] = []
    for one in answers:
        plain = _plain(one[1])
        for start, members in groups:
            if difflib.SequenceMatcher(None, start, plain, autojunk=False).ratio() >= SAME_ANSWER:
                members.append(one)
                break
        else:
            groups.append((plain, [one]))
    agreements = []
    for _, members in groups:
        text = Counter(text for _, text, _ in members).most_common(1)[0][0]
        accounts = tuple(dict.fromkeys(one.account_id for one, _, _ in members))
        places = tuple(f"{one.file}:{line}" for one, _, line in members)
        agreements.append(Agreement(kind, text, accounts, interviews_count, places))
    return tuple(sorted(agreements, key=lambda a: (-len(a.accounts), a.text)))


def count_processes(interviews: Sequence[Interview]) -> tuple[Agreement, ...]:
    """Group processes that have the same behaviours, count them, and give them distinct names."""
    answers: dict[tuple[str, ...], list[tuple[Interview, StatedProcess]]] = {}
    for one in interviews:
        for process in one.processes:
            answers.setdefault(tuple(sorted(process.behaviors)), []).append((one, process))
    agreements = []
    for key, members in answers.items():
        middle = _middle(key, [p for _, p in members])
        accounts = tuple(dict.fromkeys(one.account_id for one, _ in members))
        places = tuple(f"{one.file}:{p.line}" for one, p in members)
        agreements.append(
            Agreement("process", middle.name, accounts, len(interviews), places, middle)
        )
    agreements.sort(key=lambda a: (-len(a.accounts), a.text))
    return with_own_names(agreements)


def with_own_names(answers: Sequence[Agreement]) -> tuple[Agreement, ...]:
    """Return the processes, renamed so that their names are distinct."""
    used: set[str] = set()
    renamed = []
    for answer in answers:
        name, number = answer.text, 2
        while name in used:
            name, number = f"{answer.text}_{number}", number + 1
        used.add(name)
        process = None if answer.process is None else replace(answer.process, name=name)
        renamed.append(replace(answer, text=name, process=process))
    return tuple(renamed)


def _middle(behaviors: tuple[str, ...], answers: Sequence[StatedProcess]) -> Process:
    """Combine several answers into one process, with the most frequent window and the median rate.

    "4 in 30 days" and "8 in 60 days" have the same rate.
    """
    counts = Counter(process.within for process in answers)
    within = min(counts, key=lambda days: (-counts[days], days))
    rate = median_low(process.at_least * within / process.within for process in answers)
    at_least = max(1, round(rate)) if rate >= 1 else rate
    users = median_low(process.by_users for process in answers)
    due = [process.adopt_by for process in answers if process.adopt_by]
    names = Counter(slug(process.name) for process in answers if slug(process.name))
    reasons = Counter(process.why for process in answers if process.why)
    return Process(
        name=names.most_common(1)[0][0] if names else slug(behaviors[0]) or "process",
        behaviors=behaviors,
        at_least=at_least,
        within=within,
        why=reasons.most_common(1)[0][0] if reasons else "",
        by_users=max(1, min(users, int(at_least))),
        sustained_for=median_low(process.sustained_for for process in answers),
        adopt_by=median_low(due) if due else None,
    )


def slug(text: str) -> str:
    """Return a text as a process name: lower-case letters, digits and _, starting with a letter.

    >>> slug("Weekly review, by two")
    'weekly_review_by_two'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall(r"[a-z0-9]+", plain)).lstrip("0123456789_")[:40].strip("_")
