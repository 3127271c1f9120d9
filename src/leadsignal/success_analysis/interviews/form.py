"""Questions and fields of the form that the kit writes and `read_interviews` reads."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_ITEMS = 3
"""Maximum number of traits and of processes in an answer."""
VERSION = 1
BEGIN = "<!-- answers: write below, after the colons; leave the labels as they are -->"
_HEADER = re.compile(r"<!-- leadsignal interview (\{.*\}) -->\s*")


@dataclass(frozen=True)
class FormField:
    """One field: ``key``, ``label`` on the form, ``hint``, and whether it is free text."""

    key: str
    label: str
    hint: str = ""
    prose: bool = False


@dataclass(frozen=True)
class Question:
    """One question with its fields."""

    title: str
    fields: tuple[FormField, ...]


TALK = Question(
    "The talk",
    (
        FormField("spoke_with", "Spoke with", "stays in this file", prose=True),
        FormField("spoke_on", "On", "as in 2025-03-31"),
    ),
)
QUESTIONS = (
    TALK,
    Question(
        "1. Why did they buy?",
        (
            FormField("reason", "In their words", prose=True),
            FormField("objective", "Objective", "one line: the result they aimed for"),
        ),
    ),
    Question(
        "2. How successful has it been?",
        (
            FormField("success", "In their words", prose=True),
            FormField("success_metric", "Measure of success", "the metric, as results call it"),
        ),
    ),
    Question(
        "3. What did they do to make it so?",
        (
            FormField("how", "In their words", prose=True),
            FormField("traits", "Traits", f"what they are, at most {MAX_ITEMS}, separated by ;"),
        ),
    ),
)
PROCESS = "Process"
PROCESS_FIELDS = (
    FormField("name", "Short name", "as in weekly review"),
    FormField("why", "Why it matters", prose=True),
    FormField("behaviors", "Behaviour", "as the table behaviors calls it; several separated by ;"),
    FormField("at_least", "At least", "a number of events"),
    FormField("by_users", "By users", "by how many people; 1 if left empty"),
    FormField("within", "Within", "as in 30d or 4w"),
    FormField("sustained_for", "Sustained for", "number of windows in a row; 1 if left empty"),
    FormField("adopt_by", "Adopted by", "day since the start, as in 90d; may stay empty"),
)


def header(account_id: str, as_of: str) -> str:
    """Return the first line of a brief, which identifies the account.

    >>> header("A-1", "2025-01-01")[:44]
    '<!-- leadsignal interview {"version": 1, "ac'
    """
    text = json.dumps({"version": VERSION, "account_id": account_id, "as_of": as_of})
    text = text.replace("--", "-\\u002d").replace("<", "\\u003c").replace(">", "\\u003e")
    return f"<!-- leadsignal interview {text} -->"


def read_header(line: str) -> Mapping[str, Any] | None:
    """Return the data in the first line of a brief, or None if it is not a brief.

    >>> read_header(header("a-->b", "2025-01-01"))["account_id"]
    'a-->b'
    """
    found = _HEADER.fullmatch(line)
    try:
        header = json.loads(found[1]) if found else None
    except ValueError:
        return None
    if not isinstance(header, dict) or header.get("version") != VERSION:
        return None
    return header if isinstance(header.get("account_id"), str) else None


def blank_form() -> str:
    """Return the questions with empty fields, as Markdown."""
    lines = [BEGIN, ""]
    for question in QUESTIONS:
        lines += [f"## {question.title}", "", *map(_line, question.fields), ""]
    for number in range(1, MAX_ITEMS + 1):
        lines += [f"### {PROCESS} {number}", "", *map(_line, PROCESS_FIELDS), ""]
    return "\n".join(lines)


def _line(field: FormField) -> str:
    return f"- {field.label}:" + (f" <!-- {field.hint} -->" if field.hint else "")


def markdown(text: object) -> str:
    """Escape a text for Markdown, on one line, so that it contains no markup or HTML.

    >>> markdown("<b>|_x_")
    '&lt;b&gt;\\\\|\\\\_x\\\\_'
    """
    plain = one_line(str(text))
    escaped = html.escape(plain.replace("\\", "\\\\"), quote=False)
    escaped = re.sub(r"([`*\[\]{}#|~!])", r"\\\1", escaped)
    # Underscores inside a word are not markup, and are common in names.
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    return escaped.replace("://", ":\\//").replace("www.", "www\\.")


def one_line(text: str) -> str:
    """Return a text without line breaks, control characters and text-direction marks."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(kept.split())


def wrapped(text: str, width: int = 44) -> str:
    """Return a text in lines of ``width`` characters for a plot, with dollar signs escaped."""
    return "\n".join(textwrap.wrap(one_line(text).replace("$", r"\$"), width))
