"""The interview kit: questions and fields, and a folder with a brief for each account."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leadsignal.arguments import checked
from leadsignal.as_of_context import results_over_time
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import OptionError
from leadsignal.files.outputs import KIT, plain_words
from leadsignal.files.writing import whole_folder
from leadsignal.formats import money
from leadsignal.package_data import packaged_text
from leadsignal.panel import adoption_episodes
from leadsignal.results import Result
from leadsignal.sources.parts import literals
from leadsignal.success_analysis.successful import SuccessfulAccounts
from leadsignal.tables import Tables, queried
from leadsignal.targets import attributes_on

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


TALK = Question("The talk", (
    FormField("spoke_with", "Spoke with", "stays in this file", prose=True),
    FormField("spoke_on", "On", "as in 2025-03-31"),
))  # fmt: skip
QUESTIONS = (
    TALK,
    Question("1. Why did they buy?", (
        FormField("reason", "In their words", prose=True),
        FormField("objective", "Objective", "one line: the result they aimed for"),
    )),
    Question("2. How successful has it been?", (
        FormField("success", "In their words", prose=True),
        FormField("success_metric", "Measure of success", "the metric, as results call it"),
    )),
    Question("3. What did they do to make it so?", (
        FormField("how", "In their words", prose=True),
        FormField("traits", "Traits", f"what they are, at most {MAX_ITEMS}, separated by ;"),
    )),
)  # fmt: skip
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


QUARTERS, CHANGES, BEHAVIORS = 5, 4, 6
"""Number of lines of each on the page: the latest, or the most frequent."""
RECENT = 180


class History:
    """The history of some accounts, read once; `page` returns the brief of an account."""

    def __init__(self, tables: Tables, analysis: SuccessAnalysis, accounts: tuple[str, ...]):
        self.tables, self.as_of = tables, tables.as_of_date
        self.accounts = attributes_on(tables).reindex(list(accounts))
        self.results = _of(results_over_time(tables, analysis), accounts)
        self.episodes = _of(adoption_episodes(tables, analysis), accounts)
        self.processes = tuple(process.name for process in analysis.processes)
        self.changes = self._frame("contract_changes", accounts)
        self.tickets = self._frame("tickets", accounts)
        self.behaviors = _behaviors(tables, accounts)

    def _frame(self, name: str, accounts: tuple[str, ...]) -> pd.DataFrame | None:
        return _of(self.tables.frame(name), accounts) if name in self.tables.names else None

    def page(self, account: str, status: dict[str, Any]) -> str:
        """Return an account's brief as Markdown, including the form."""
        parts = [header(account, str(self.as_of)), f"# {markdown(account)}", ""]
        parts += self._who(account)
        sections = {
            "Results against target": self._results(account, status),
            "Processes": self._processes(account),
            f"What they do, last {RECENT} days": self._doings(account),
            "Contract": self._contract(account),
            "Tickets": self._tickets(account),
        }
        for title, lines in sections.items():
            parts += ["", f"**{title}**", "", *lines]
        return "\n".join([*parts, "", blank_form()])

    def _who(self, account: str) -> Iterator[str]:
        row = self.accounts.loc[account]
        since, days = row["started_on"], (self.tables.as_of_date - row["started_on"].date()).days
        lines = [f"Customer since {since:%Y-%m-%d} ({days:,} days)"]
        if _is_known(row["term_months"]):
            lines.append(f"{row['term_months']:g} months' term")
        if _is_known(row["arr"]):
            lines.append(f"ARR {row['arr']:,.0f} at the start")
        known = [name for name in self.tables.attributes if _is_known(row[name])]
        lines += [f"{markdown(name)} {_number(row[name])}" for name in known]
        yield " · ".join(lines) + f" · as of {self.as_of}"

    def _results(self, account: str, status: dict[str, Any]) -> Iterator[str]:
        rows = self.results[self.results["account_id"] == account]
        if not len(rows):
            yield "None measured."
            return
        better = "higher" if bool(rows["higher_is_better"].iloc[-1]) else "lower"
        since = status.get("since")
        on_target = f"; on target since {since:%Y-%m-%d}" if _is_known(since) else ""
        yield f"{markdown(rows['metric'].iloc[-1] or 'Result')}, {better} is better{on_target}"
        yield ""
        yield "| quarter | results | mean | target | |"
        yield "|---|---|---|---|---|"
        quarter = pd.to_datetime(rows["measured_on"]).dt.to_period("Q")
        for name, part in list(rows.groupby(quarter))[-QUARTERS:]:
            met = "on target" if part["gap"].mean() >= 0 else ""
            yield (
                f"| {name} | {len(part)} | {part['value'].mean():.3g} |"
                f" {part['target'].iloc[-1]:.3g} | {met} |"
            )

    def _processes(self, account: str) -> Iterator[str]:
        if not self.processes:
            yield "No analysis names any yet."
        rows = self.episodes[self.episodes["account_id"] == account]
        for name in self.processes:
            own = rows[rows["process"] == name]
            lines = [
                f"{adopted:%Y-%m-%d} to {f'{lapsed:%Y-%m-%d}' if _is_known(lapsed) else 'now'}"
                for adopted, lapsed in zip(own["adopted_on"], own["lapsed_on"], strict=True)
            ][-3:]
            yield f"- {markdown(name)}: {'adopted ' + ', '.join(lines) if lines else 'not adopted'}"

    def _doings(self, account: str) -> Iterator[str]:
        if self.behaviors is None:
            yield "Not recorded."
            return
        rows = self.behaviors[self.behaviors["account_id"] == account].head(BEHAVIORS)
        if not len(rows):
            yield "Nothing recorded."
            return
        yield "| behaviour | in 30 days | people | usual in 30 days |"
        yield "|---|---|---|---|"
        for row in rows.to_dict("records"):
            people = f"{row['people']:g}" if _is_known(row["people"]) else ""
            yield (
                f"| {markdown(row['behavior'])} | {row['rate']:.1f} | {people} |"
                f" {row['usual']:.1f} |"
            )

    def _contract(self, account: str) -> Iterator[str]:
        if self.changes is None:
            yield "Not recorded."
            return
        rows = self.changes[self.changes["account_id"] == account].sort_values("changed_at")
        for row in rows.tail(CHANGES).to_dict("records"):
            delta = row["arr_delta"]
            arr = f", ARR {money(delta, signed=True)}" if _is_known(delta) and delta else ""
            yield f"- {row['changed_at']:%Y-%m-%d} {markdown(row['kind'])}{arr}"
        if len(rows) > CHANGES:
            yield f"- and {len(rows) - CHANGES} earlier"
        if not len(rows):
            yield "No change."

    def _tickets(self, account: str) -> Iterator[str]:
        if self.tickets is None:
            yield "Not recorded."
            return
        rows = self.tickets[self.tickets["account_id"] == account]
        age = (pd.Timestamp(self.as_of) - rows["opened_at"]).dt.days
        still = int(rows["closed_at"].isna().sum())
        yield f"{len(rows)} in all, {int((age <= 365).sum())} in the last 365 days, {still} open"


def _is_known(value: Any) -> bool:
    return bool(pd.notna(value))


def _number(value: Any) -> str:
    return f"{value:,g}" if isinstance(value, int | float) else markdown(value)


def _of(frame: pd.DataFrame, accounts: tuple[str, ...]) -> pd.DataFrame:
    return frame[frame["account_id"].isin(accounts)]


def _behaviors(tables: Tables, accounts: tuple[str, ...]) -> pd.DataFrame | None:
    """Return how often, and by how many users, each account does each behaviour, and the median.

    The median is taken over all accounts that have been active for all of those days.
    """
    if "behaviors" not in tables.names:
        return None
    listed = literals(accounts) or "''"
    day = f"DATE '{tables.as_of_date}'"
    users = "user_id" in tables.columns("behaviors")
    people = "count(DISTINCT user_id)" if users else "CAST(NULL AS BIGINT)"
    frame = queried(
        tables,
        f"WITH here AS (SELECT account_id FROM ({tables.sql('accounts')}) AS a WHERE ended_on"
        f" IS NULL AND started_on < {day} - {RECENT}), counted AS (SELECT account_id, behavior,"
        f" CAST(sum(quantity) AS DOUBLE) AS n, {people} AS people"
        f" FROM ({tables.sql('behaviors')}) AS b"
        f" WHERE CAST(occurred_at AS DATE) >= {day} - {RECENT} GROUP BY ALL), every AS (SELECT"
        " account_id, behavior, coalesce(n, 0) AS n FROM here CROSS JOIN"
        " (SELECT DISTINCT behavior FROM counted) AS k LEFT JOIN counted USING"
        " (account_id, behavior)), usual AS (SELECT behavior, median(n) AS usual FROM every"
        " GROUP BY behavior) SELECT account_id, behavior, n, people, usual FROM counted"
        f" JOIN usual USING (behavior) WHERE account_id IN ({listed})"
        " ORDER BY account_id, n DESC, behavior",
    )
    per = 30 / RECENT
    return frame.assign(rate=frame["n"] * per, usual=pd.to_numeric(frame["usual"]) * per)


README = "README.md"


@dataclass(frozen=True, repr=False)
class InterviewKit(Result):
    """The briefs written to ``folder``: ``files`` by account."""

    folder: Path
    files: dict[str, Path]

    def __repr__(self) -> str:
        return f"Interview kit of {len(self)} accounts in {self.folder}"

    def _table(self) -> pd.DataFrame:
        """Return one row per account: account_id, file."""
        rows = [(account, path.name) for account, path in self.files.items()]
        return pd.DataFrame(rows, columns=["account_id", "file"])

    def to_dict(self) -> dict[str, Any]:
        """Return folder and files, ready for JSON."""
        names = {account: path.name for account, path in self.files.items()}
        return {"folder": str(self.folder), "files": names}


@checked
def write_interview_kit(
    successful: SuccessfulAccounts,
    tables: Tables,
    folder: str | Path,
    analysis: SuccessAnalysis | None = None,
    *,
    at_most: int = 12,
) -> InterviewKit:
    """Write a one-page Markdown brief with three questions for each account, best account first.

    The folder is written completely or not at all.

    Parameters
    ----------
    successful : SuccessfulAccounts
        The accounts to interview, from ``most_successful``.
    tables : Tables
        The tables that ``successful`` was computed from.
    folder : str or Path
        The folder to write.
    analysis : SuccessAnalysis, optional
        The analysis that ``successful`` was computed with.
    at_most : int, default 12
        Maximum number of briefs.

    Returns
    -------
    InterviewKit
        The folder and its files.

    Raises
    ------
    OptionError
        If the folder is not empty (it may hold answers), there is no account, or the tables have a
        different as-of date.

    Examples
    --------
    >>> import leadsignal as ls, tempfile
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> found = ls.success_analysis.most_successful(tables)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(write_interview_kit(found, tables, folder, at_most=2))
    2
    """
    place = Path(folder)
    if place.is_dir() and any(place.iterdir()):
        raise OptionError(
            f"{place} is not empty, and may hold answers", "Name a new folder, or empty this one"
        )
    if not len(successful):
        raise OptionError("there is no account to interview", "; ".join(successful.notes))
    if tables.as_of_date != successful.as_of_date:
        raise OptionError(
            f"the tables are as of {tables.as_of_date}, the accounts were chosen as of"
            f" {successful.as_of_date}",
            "Give the tables they were chosen from",
        )
    accounts = successful.accounts[: max(1, at_most)]
    history = History(tables, analysis or SuccessAnalysis(()), accounts)
    rows = {row["account_id"]: row for row in successful.frame.to_dict("records")}
    names = {one: f"{n:02d}-{plain_words(one)}.md" for n, one in enumerate(accounts, 1)}
    with whole_folder(place, KIT) as part:
        guide = packaged_text("leadsignal.success_analysis", "interview_guide.md")
        (part / README).write_text(guide, encoding="utf-8")
        for account, name in names.items():
            text = history.page(account, {str(k): v for k, v in rows[account].items()})
            (part / name).write_text(text, encoding="utf-8", newline="\n")
    return InterviewKit(place, {account: place / name for account, name in names.items()})
