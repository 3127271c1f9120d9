"""Propose a project file for a folder of exports, with a reason for every choice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.arguments import checked
from leadsignal.config.project import PROJECT_FILE
from leadsignal.config.toml_files import as_toml
from leadsignal.errors import OptionError
from leadsignal.files.outputs import PROPOSAL
from leadsignal.files.writing import atomic_write
from leadsignal.formats import share_text
from leadsignal.ingestion.store import Store
from leadsignal.proposals.file_profile import QUESTIONS, FileProfile, Files
from leadsignal.proposals.settled import (
    Ids,
    account_header,
    attribute_headers,
    linked,
    refused,
    settled,
    shared,
)
from leadsignal.proposals.table_proposal import (
    USERS,
    ColumnProposal,
    TableProposal,
    guessed_proposal,
    known_export,
    monthly_usage,
    names_beside,
    proposal_by_content,
    proposal_of_export,
    which_lists_accounts,
    why_unknown,
)
from leadsignal.results import Result
from leadsignal.schema import BY_NAME

if TYPE_CHECKING:
    import pandas as pd

START, END = QUESTIONS["started_on"], QUESTIONS["ended_on"]
WHOSE_USERS = "it says which account a user is of"
GIVE = "Give a folder with exports in it (.csv, .xlsx, .json or .parquet)"


@dataclass(frozen=True, repr=False, eq=False)
class ProjectProposal(Result):
    """A proposed ``leadsignal.toml``.

    Parameters
    ----------
    folder : Path
        The folder that was examined.
    tables : tuple of TableProposal
        The tables found, starting with those that list the accounts.
    not_used : mapping of str to str
        Files that are not used, and why.
    questions : tuple of str
        Questions for a person to answer, about all tables together.
    """

    folder: Path
    tables: tuple[TableProposal, ...]
    not_used: dict[str, str]
    questions: tuple[str, ...]

    @property
    def text(self) -> str:
        """The content of ``leadsignal.toml``."""
        return toml_text(self.tables, self.not_used, self.questions)

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        rows = [
            (t.file.path, t.table, c.column, c.header, c.reason, c.share, ", ".join(c.samples))
            for t in self.tables for c in t.columns
        ]  # fmt: skip
        columns = ["file", "table", "column", "header", "reason", "share", "samples"]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield lines on what was found in each file, and the questions."""
        for table in self.tables:
            ready = "" if table.is_ready else ", not yet: see the questions"
            yield f"{table.file.place}: read as {table.table}, {table.reason}{ready}"
        for path, why in self.not_used.items():
            yield f"{path}: not used, {why}"
        for number, question in enumerate(self.all_questions(), 1):
            yield f"question {number}: {question}"

    def all_questions(self) -> list[str]:
        """Return all questions; those about a table include its name."""
        by_table = [f"{table.table}: {one}" for table in self.tables for one in table.questions]
        return [*self.questions, *by_table]

    def to_dict(self) -> dict[str, Any]:
        """Return the proposal as plain dictionaries, ready for JSON."""
        return {
            "tables": [
                {"table": one.table, "file": one.file.path, "reason": one.reason,
                 "ready": one.is_ready, "columns": {c.column: c.header for c in one.columns},
                 "options": dict(one.options)}
                for one in self.tables
            ],
            "not_used": self.not_used,
            "questions": self.all_questions(),
        }  # fmt: skip

    def write_project(self, *, force: bool = False) -> Path:
        """Write ``leadsignal.toml`` into the folder.

        Parameters
        ----------
        force : bool, default False
            Replace a file that exists.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            If the file exists and ``force`` is not given.
        """
        place = self.folder / PROJECT_FILE
        with atomic_write(place, PROPOSAL, force=force) as part:
            part.write_text(self.text, encoding="utf-8")
        return place


@checked
def propose_project(folder: str | Path) -> ProjectProposal:
    """Propose a ``leadsignal.toml`` for a folder of exports.

    Known exports are recognised by their headers, other files by their names, headers and contents.
    Nothing is written. Each choice comes with its reason, the share of cells that agree with it,
    and two sample values; whatever the files cannot tell becomes a question.

    Parameters
    ----------
    folder : str or Path
        A folder with files in the formats that `read_tables` reads.

    Returns
    -------
    ProjectProposal
        Print it, inspect ``to_frame()`` and ``text``, then call ``write_project()``.

    Raises
    ------
    OptionError
        If there is no such folder, or no readable file in it.

    Examples
    --------
    >>> import leadsignal as ls
    >>> proposal = propose_project(ls.sample_folder())
    >>> proposal.tables[0].table, proposal.tables[0].header_of("started_on")
    ('accounts', 'started_on')
    """
    place = Path(folder)
    if not place.is_dir():
        what = "is a file" if place.exists() else "does not exist"
        raise OptionError(f"{str(place)!r} {what}", GIVE)
    files = Files(place, Store())
    profiles, not_used = files.profiles()
    if not profiles:
        why = "".join(f"; {path}: {problem}" for path, problem in not_used.items())
        raise OptionError(f"no file in {str(place)!r} can be read{why}", GIVE)
    return _proposed(files, profiles, not_used)


def _proposed(
    opened: Files, files: Sequence[FileProfile], not_used: dict[str, str]
) -> ProjectProposal:
    folder, store = opened.folder, opened.store
    found: list[TableProposal] = []
    unknown: list[FileProfile] = []
    for file in files:
        export = known_export(file)
        if export is not None and export.table is None:
            not_used[file.path] = f"{export.title}: {export.note}"
            continue
        table = proposal_of_export(file, export) if export else guessed_proposal(file)
        if table is None:
            unknown.append(file)
        else:
            found.append(table)
    accounts, found = _accounts(store, found, not_used)
    for file in unknown:
        header = accounts and account_header(store, file, accounts)
        table = None
        if header:
            table = monthly_usage(file, header) or proposal_by_content(file, header)
        if table is None:
            not_used[file.path] = why_unknown(file)
        else:
            found.append(table)
    if accounts is None:
        question = which_lists_accounts(unknown)
        not_used |= {one.file.path: WHOSE_USERS for one in found if one.table == USERS}
        tables = tuple(replace(one, is_ready=False) for one in found if one.table != USERS)
        return ProjectProposal(folder, tables, not_used, (question,))
    contracts = next((one for one in found if one.file.relation == accounts.file.relation), None)
    if contracts and contracts.table == "contracts" and not known_export(contracts.file):
        found += filter(None, [names_beside(contracts)])
    found = [*_linked_tables(store, found, accounts, files, not_used)]
    tables = tuple(_with_footer(opened, one) for one in found)
    return ProjectProposal(folder, tuple(_with_questions(tables)), not_used, ())


def _with_footer(files: Files, table: TableProposal) -> TableProposal:
    """Return a table whose file is read without lines at its end that are not rows."""
    columns = {one.column: one.header for one in table.columns}
    lines = files.footer(table.file, table.table, columns)
    if lines is None:
        return table
    return replace(table, options={**table.options, "footer": lines})


# Which accounts there are -------------------------------------------------------------------------


def _accounts(
    store: Store, found: list[TableProposal], not_used: dict[str, str]
) -> tuple[Ids | None, list[TableProposal]]:
    """Return the column of account ids, and the tables without further lists of accounts."""
    lists = [one for one in found if one.table == "accounts"]
    if len(lists) > 1:
        chosen = max(lists, key=lambda one: _linking(store, one, found))
        for one in lists:
            if one is not chosen:
                not_used[one.file.path] = f"accounts are read from {chosen.file.path}"
        found = [one for one in found if one is chosen or one.table != "accounts"]
        lists = [chosen]
    contracts = (one for one in found if one.table == "contracts")
    bases = lists or sorted(contracts, key=lambda one: -one.fit)[:1]
    header = bases[0].header_of("account_id") if bases else None
    if header is None:
        return None, found
    is_filtered = bool({"where", "query"} & set(bases[0].options))
    return Ids(bases[0].file, header, is_filtered), found


def _linking(store: Store, accounts: TableProposal, found: Iterable[TableProposal]) -> float:
    """Return how well the ids of a list of accounts match those of the other files."""
    header = accounts.header_of("account_id")
    others = [one for one in found if one.table not in ("accounts", USERS)]
    if header is None:
        return -1.0
    ids, links = Ids(accounts.file, header), 0.0
    for one in others:
        stated = one.header_of("account_id")
        links += shared(store, Ids(one.file, stated), ids) if stated else 0.0
    return links + ("started_on" in {one.column for one in accounts.columns}) / 2


def _linked_tables(
    store: Store, found: Sequence[TableProposal], accounts: Ids, files: Sequence[FileProfile],
    not_used: dict[str, str],
) -> Iterator[TableProposal]:  # fmt: skip
    """Yield the tables in the order of the schema, each name once."""
    order = {name: at for at, name in enumerate(("accounts", *BY_NAME))}
    seen: dict[str, str] = {}

    def rank(one: TableProposal) -> tuple[int, float, int]:
        return order.get(one.table, 99), -one.fit, -one.file.rows

    for table in sorted(found, key=rank):
        why = _why_not(table, seen)
        if why:
            not_used[table.file.path] = why
            continue
        if table.file.relation != accounts.file.relation:
            table = linked(store, table, accounts, files)
        table = refused(settled(table))
        if table.is_ready:
            seen[table.table] = table.file.path
        yield table


def _why_not(table: TableProposal, seen: Mapping[str, str]) -> str:
    """Return why a table is not read in addition to those seen so far; empty if it is read."""
    if table.table == USERS:
        return WHOSE_USERS
    if table.table == "contract_changes" and "contracts" in seen:
        return f"changes are derived from {seen['contracts']}"
    return f"{table.table} are read from {seen[table.table]}" if table.table in seen else ""


# Questions ----------------------------------------------------------------------------------------


def _with_questions(tables: Sequence[TableProposal]) -> Iterator[TableProposal]:
    """Yield the tables with their open questions about the lifetimes of accounts."""
    has_contracts = any(one.table == "contracts" and one.is_ready for one in tables)
    for table in tables:
        if table.table == "accounts":
            table = _with_questions_of_life(table, has_contracts)
        if table.table == "accounts" and attribute_headers(table):
            table = table.asking(
                "Which of the columns below have not changed since the account began? An export"
                " holds the values of today; declare only those as attributes."
            )
        yield table


def _with_questions_of_life(table: TableProposal, has_contracts: bool) -> TableProposal:
    """Return a list of accounts with the open questions about their starts and ends.

    Contracts answer both, so nothing is asked if there are any.
    """
    if has_contracts:
        return replace(table, questions=())
    questions = tuple(one for one in table.questions if one not in (START, END))
    table = replace(table, questions=questions)
    dated = [c.name for c in table.file.columns if c.is_dated]
    choices = f" Dates are in: {', '.join(dated)}." if dated else ""
    if table.header_of("started_on") is None:
        table = replace(table, is_ready=False).asking(f"{START}{choices}")
    if table.header_of("ended_on") is None:
        table = table.asking(f"{END}{choices}")
    return _with_question_of_price(table)


def _with_question_of_price(table: TableProposal) -> TableProposal:
    """Return a list of accounts that asks about a monthly amount, since ``arr`` is per year."""
    header = table.monthly_amount()
    if header is None:
        return table
    return table.asking(
        f"Is {header} an amount per month? It is not read, since arr is per year. If it is, replace"
        f" path by query = {as_toml(table.query_of_arr(header))} and add to its columns:"
        ' arr = "arr".'
    )


MAX_SAMPLE = 30
"""Maximum number of characters of a value in a comment."""
HEAD = """\
# Proposed by `leadsignal init`. Lines that begin with "# ?" are questions: answer them, then run
# `leadsignal check` on this folder. Behind each column: why, and two values.
"""


def toml_text(
    tables: Sequence[TableProposal], not_used: Mapping[str, str], questions: Sequence[str]
) -> str:
    """Return the text of the project file; tables that are not ready are comments."""
    blocks = [HEAD + "".join(f"\n# ? {one}" for one in questions)]
    blocks += ["\n".join(_section(table)) for table in tables]
    if not_used:
        lines = [f"#   {path}: {why}" for path, why in not_used.items()]
        blocks.append("\n".join(["# Not used:", *map(_one_line, lines)]))
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _section(table: TableProposal) -> Iterator[str]:
    yield _one_line(f"# {table.file.place}: {table.reason}")
    for question in table.questions:
        yield _one_line(f"# ? {question}")
    comment = "" if table.is_ready else "# "
    yield f"{comment}[tables.{table.table}]"
    for name, value in _options(table):
        yield f"{comment}{name} = {_value(value)}"
    offered = attribute_headers(table) if table.table == "accounts" else []
    if offered:
        yield f"# attributes = {_value(offered)}"
    yield f"{comment}[tables.{table.table}.columns]"
    for column in table.columns:
        yield f"{comment}{_column(column)}"


def _options(table: TableProposal) -> Iterator[tuple[str, object]]:
    if "query" not in table.options:
        yield "path", table.file.path
    yield from table.file.options.items()
    yield from table.options.items()


def _column(column: ColumnProposal) -> str:
    setting = f"{column.column} = {_value(column.header)}"
    samples = [_short(sample) for sample in column.samples]
    shown = f"; {' | '.join(samples)}" if samples else ""
    share = "" if column.share == 1.0 else f", {share_text(column.share)} of the cells agree"
    return _one_line(f"{setting:<40}  # {column.reason}{share}{shown}")


def _value(value: object) -> str:
    """Return a value as TOML, with keys unquoted where possible."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return as_toml(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else as_toml(name)


def _short(sample: str) -> str:
    return sample if len(sample) <= MAX_SAMPLE else f"{sample[: MAX_SAMPLE - 1]}…"


def _one_line(text: str) -> str:
    """Return a comment without control characters, which would end it."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
