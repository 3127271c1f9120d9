"""Count answers that agree across accounts: the same behaviours, or nearly the same words."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any

from leadsignal.config.success import Process
from leadsignal.stats.proportions import Share
from leadsignal.success_analysis.interviews.answers import Interview, StatedProcess

ALIKE = 0.8
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
        return {
            "kind": self.kind,
            "text": self.text,
            "accounts": list(self.accounts),
            "places": list(self.places),
            **self.share.to_dict(),
        }

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
            if difflib.SequenceMatcher(None, start, plain, autojunk=False).ratio() >= ALIKE:
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
