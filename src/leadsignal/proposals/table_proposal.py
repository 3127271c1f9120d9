"""Propose a table for a file, with its columns and how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from leadsignal.formats import plain_name
from leadsignal.proposals.file_profile import (
    ACCOUNT_ID,
    CHARGE_WORDS,
    COLUMN_WORDS,
    FILE_WORDS,
    KNOWN_EXPORTS,
    QUESTIONS,
    RECORDED,
    USER_TABLE,
    ColumnProfile,
    FileProfile,
    KnownExport,
)
from leadsignal.schema import BY_NAME, Column
from leadsignal.sources.parts import literal, quoted, unpivoting_query

USERS = "users"
"""Name of a table that maps users to accounts."""
ONE = {"1", "1.0", "1.00"}
"""Notations of a quantity of one."""
NUMERIC = ("number", "decimal", "integer")
RECOGNISED = 1000.0
"""Fit of an export of a known system, higher than that of any guess."""
GENERIC = frozenset(
    ("id", "name", "title", "key", "value", "date", "created", "createdat", "createddate",
     "startdate", "timestamp", "day", "month", "status", "type", "amount", "count", "number")
)  # fmt: skip
"""Headers that any table may have, which alone do not identify the table of a file."""
PARTLY = 40.0
"""Score of a header that only contains the name of a column; an equal name scores higher."""
ENOUGH = 0.9
"""Minimum share of the cells that must agree with the proposed column."""


@dataclass(frozen=True)
class ColumnProposal:
    """A column of a table, and the header proposed for it.

    ``reason`` says why, ``share`` is the share of non-empty cells that can be read as this column,
    and ``samples`` are up to two values.
    """

    column: str
    header: str
    reason: str
    share: float = 1.0
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableProposal:
    """A file proposed as a table.

    ``options`` are those of ``[tables.NAME]``. ``questions`` are for a person to answer;
    ``if_unlinked`` is asked if no column leads to the accounts. Unless the table ``is_ready``, it
    cannot be read yet, and its section is written as a comment. ``fit`` says how well the file fits
    the table: of several files for a table, the best is read.
    """

    table: str
    file: FileProfile
    reason: str
    columns: tuple[ColumnProposal, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    questions: tuple[str, ...] = ()
    is_ready: bool = True
    if_unlinked: str = ""
    fit: float = 0.0

    def header_of(self, column: str) -> str | None:
        """Return the header proposed for a column."""
        return next((one.header for one in self.columns if one.column == column), None)

    def monthly_amount(self) -> str | None:
        """Return the header of an amount per month that is not read; None if ``arr`` is known."""
        used = {one.header for one in self.columns}
        if self.header_of("arr") is not None:
            return None
        words = ("mrr", *COLUMN_WORDS["contracts"]["mrr"])
        rest = [one for one in self.file.columns if one.is_numeric and one.name not in used]
        return next((one.name for one in rest if one.plain.startswith(words)), None)

    def query_of_arr(self, header: str) -> str:
        """Return a query that reads the file with twelve times a column as ``arr``."""
        numbers = self.file.column(header).numbers
        name = f'"{header}"'
        if max(numbers, key=lambda decimal: numbers[decimal]) == ",":
            name = f"replace({name}, '.', '').replace(',', '.')::DOUBLE"
        return f'SELECT *, 12 * {name} AS arr FROM "{self.file.path}"'

    def with_column(self, proposal: ColumnProposal) -> TableProposal:
        """Return the proposal with a column added, or replaced; a header serves one column."""
        others = [one for one in self.columns if one.column != proposal.column]
        others = [one for one in others if one.header != proposal.header]
        return replace(self, columns=(proposal, *others))

    def asking(self, *questions: str) -> TableProposal:
        """Return the proposal with further questions."""
        return replace(self, questions=(*self.questions, *questions))


# Exports of known systems -------------------------------------------------------------------------


def known_export(file: FileProfile) -> KnownExport | None:
    """Return the known export that a file is; of several, the one with most identifying headers."""
    found = [one for one in KNOWN_EXPORTS if all(map(file.called, one.identified_by))]
    return max(found, key=lambda one: (len(one.identified_by), _hits(one, file)), default=None)


def _hits(export: KnownExport, file: FileProfile) -> int:
    return sum(any(map(file.called, names)) for names in export.columns.values())


def proposal_of_export(file: FileProfile, export: KnownExport) -> TableProposal:
    """Return the table proposed for an export of a known system."""
    columns = []
    event_id = export.options.get("event_id")
    theirs = {**export.columns, **({"event_id": (str(event_id),)} if event_id else {})}
    for column, names in theirs.items():
        found = next(filter(None, map(file.called, names)), None)
        if found is not None and found.filled:
            columns.append(_column(column, found, f"its name in {export.system}"))
    headers_of = {one.column: one.header for one in columns}
    options = _options(file, export, headers_of)
    questions = (
        *export.questions,
        *(
            question
            for name, question in export.if_missing.items()
            if name not in headers_of and name != "account_id"
        ),
        *_questions_of_factors(file, export, headers_of),
    )
    reason = f"recognised as {export.title}"
    unlinked = export.if_missing.get("account_id", "")
    return TableProposal(
        str(export.table), file, reason, tuple(columns), options, questions,
        if_unlinked=unlinked, fit=RECOGNISED,
    )  # fmt: skip


def _questions_of_factors(
    file: FileProfile, export: KnownExport, headers: Mapping[str, str]
) -> Iterator[str]:
    """Yield questions on whether to multiply an amount by a column."""
    amount = headers.get("amount")
    for name, question in export.if_above_one.items():
        if amount and name in headers and {*file.column(headers[name]).values} - ONE:
            product = f"{quoted(amount)} * {quoted(headers[name])}"
            product += " / 100" * ("amount" in export.in_cents)
            query = _replacing(file, {amount: product}).replace('"', '\\"')
            yield question.format(amount=amount, query=f'query = "{query}"')


def _replacing(file: FileProfile, columns: Mapping[str, str]) -> str:
    """Return a query of a file in which some columns are replaced."""
    listed = ", ".join(f"{sql} AS {quoted(header)}" for header, sql in columns.items())
    return f"SELECT * REPLACE ({listed}) FROM {literal(file.path)}"


def _options(
    file: FileProfile, export: KnownExport, found_headers: Mapping[str, str]
) -> dict[str, object]:
    """Return the options of an export, with the file's own headers and the values that occur."""
    options = {name: value for name, value in export.options.items() if name != "event_id"}
    if "query" in options:
        options["query"] = str(options["query"]).replace("{file}", file.path)
    cents = [found_headers[name] for name in export.in_cents if name in found_headers]
    if cents:
        options["query"] = _replacing(file, {name: f"{quoted(name)} / 100" for name in cents})
    where = options.pop("where", {})
    if isinstance(where, Mapping):
        found = {
            column.name: [one for one in values if one in column.values]
            for name, values in where.items()
            if (column := file.called(name)) is not None
        }
        options |= {"where": found} if any(found.values()) else {}
    return options


# Files of unknown systems -------------------------------------------------------------------------


def guessed_proposal(file: FileProfile) -> TableProposal | None:
    """Return the table that a file seems to be, by its name, headers and contents."""
    if _is_of_charges(file):
        return None
    found = [one for table in (*BY_NAME, USERS) for one in _as_table(file, table)]
    return max(found, key=lambda one: one.fit, default=None)


def _as_table(file: FileProfile, table: str) -> Iterator[TableProposal]:
    assigned = _assigned(file, table)
    exact = file.stem == plain_name(table)
    hint = exact or any(word in file.stem for word in FILE_WORDS.get(table, ()))
    needed = [name for name in _needed(table) if name not in assigned]
    if needed or not _shape_fits(file, table, assigned, hint):
        return
    names = {name: score for name, (_, score) in assigned.items()}
    total = sum(names.values()) / 100 + 3 * hint + 10 * exact + len(_needed(table))
    columns = tuple(_column(name, found, "its name") for name, (found, _) in assigned.items())
    named = "its name and its columns" if hint else "its columns"
    fit = total - 3 * (table == USERS and not hint)
    yield _with_open_questions(
        _with_versions(TableProposal(table, file, f"by {named}", columns, fit=fit))
    )


def _with_open_questions(table: TableProposal) -> TableProposal:
    """Return contracts with open questions about the end and the billing period of amounts."""
    if table.table != "contracts":
        return table
    headers = {one.column: one.header for one in table.columns}
    if "amount" in headers and not {"arr", "mrr", "period"} & set(headers):
        table = table.asking(QUESTIONS["period"])
    if "ended_on" in headers:
        return table
    if "cancelled_on" not in headers:
        dated = [c.name for c in table.file.columns if c.is_dated]
        return table.asking(f"{QUESTIONS['end_of_contract']} Dates are in: {', '.join(dated)}.")
    cancelled = headers["cancelled_on"]
    column = _column("ended_on", table.file.column(cancelled), "the only end date")
    kept = tuple(one for one in table.columns if one.column != "cancelled_on")
    return replace(table, columns=(*kept, column)).asking(
        f"Is {cancelled} the day on which a contract ended, or the day of the notice?"
    )


def names_beside(contracts: TableProposal) -> TableProposal | None:
    """Return the names and owners in a list of contracts as a table of accounts beside it."""
    file, account = contracts.file, contracts.header_of("account_id")
    used = {one.header for one in contracts.columns}
    free = {one.plain: one for one in file.columns if one.name not in used}
    headers = {
        name: next((free[word] for word in COLUMN_WORDS["accounts"][name] if word in free), None)
        for name in ("name", "owner")
    }
    columns = [_column(name, header, "its name") for name, header in headers.items() if header]
    if account is None or not columns or file.options:
        return None  # A query takes no options of a file.
    kept = ", ".join(f"max({quoted(one.header)}) AS {quoted(one.header)}" for one in columns)
    query = f"SELECT {quoted(account)}, {kept} FROM {literal(file.path)} GROUP BY ALL"
    columns.append(_column("account_id", file.column(account), "as in contracts"))
    only = replace(file, columns=tuple(file.column(one.header) for one in columns))
    reason = "names of the accounts"
    return TableProposal("accounts", only, reason, tuple(columns), {"query": query})


def _with_versions(table: TableProposal) -> TableProposal:
    """Return a table, with the day on which each version was recorded if its key repeats."""
    key = None if table.table == USERS else BY_NAME[table.table].key
    header = table.header_of(key) if key else None
    if header is None or table.file.column(header).repeats == 1:
        return table
    used = {one.header for one in table.columns}
    changed = [c for c in table.file.columns if c.plain in RECORDED and c.name not in used]
    if not changed:
        return table
    return table.with_column(_column("recorded_at", changed[0], f"{header} repeats: versions"))


def which_lists_accounts(files: Sequence[FileProfile]) -> str:
    """Return the question after the list of accounts, with what to write for a likely file."""
    question = "Which file lists the accounts or contracts, with the day on which each started?"
    named = (*FILE_WORDS["contracts"], *FILE_WORDS["accounts"])
    dated = [file for file in files if any(column.is_dated for column in file.columns)]
    likely = max(dated, key=lambda file: any(word in file.stem for word in named), default=None)
    if likely is None:
        return question
    table = "contracts" if any(w in likely.stem for w in FILE_WORDS["contracts"]) else "accounts"
    columns = (*["contract_id"] * (table == "contracts"), "account_id", "started_on", "ended_on")
    written = ", ".join(f'{column} = "…"' for column in columns)
    headers = ", ".join(column.name for column in likely.columns)
    return (
        f'{question} If it is {likely.path}, write [tables.{table}], path = "{likely.path}" and'
        f" columns = {{ {written} }} with its headers: {headers}."
    )


def why_unknown(file: FileProfile) -> str:
    """Return why a file is not used as a table, and what can be done about it."""
    if _is_of_charges(file):
        return "it says what was charged; starts and ends are in the contracts"
    if any(value.startswith("{") for column in file.columns for value in column.samples):
        return "its columns match no table; extract fields from its JSON with a query"
    if not any(column.is_dated for column in file.columns):
        return (
            "it has no dates: one row per customer is enough for a comparison of risks"
            " (leadsignal.model.one_row), not for a list of accounts"
        )
    return "its columns match no table"


def _is_of_charges(file: FileProfile) -> bool:
    is_contract = any(word in file.stem for word in FILE_WORDS["contracts"])
    return not is_contract and any(word in file.stem for word in CHARGE_WORDS)


def monthly_usage(file: FileProfile, account: str) -> TableProposal | None:
    """Return a file with one column per month as a table of usage; None for other files."""
    names = [column.name for column in file.columns]
    query = unpivoting_query(BY_NAME["usage"], file.path, account, names)
    if query is None:
        return None
    columns = tuple(
        ColumnProposal(name, name, "made by the query")
        for name in ("account_id", "used_on", "amount")
    )
    question = f"Do the months of {file.path} contain the usage of each account?"
    options = {"query": query}
    return TableProposal("usage", file, "a column for each month", columns, options, (question,))


def proposal_by_content(file: FileProfile, account: str) -> TableProposal | None:
    """Return the table that a file seems to be by its contents: events, or amounts by day.

    There must be exactly one column of dates, and one of repeated texts or one of numbers.
    """
    if _is_of_charges(file):
        return None
    others = [one for one in file.columns if one.filled and one.name != account]
    dated = [one for one in others if one.is_dated]
    numbers = [one for one in others if one.is_numeric and not one.is_dated]
    words = [
        one
        for one in others
        if not one.is_dated and not one.is_numeric and one.distinct <= 200 and one.repeats >= 3
    ]
    if len(dated) != 1 or len(words) + len(numbers) == 0:
        return None
    if len(words) == 1:
        table, found, column, what = "behaviors", words[0], "behavior", "what was done"
    elif not words and len(numbers) == 1:
        table, found, column, what = "usage", numbers[0], "amount", "how much it was used"
    else:
        return None
    day = "occurred_at" if table == "behaviors" else "used_on"
    columns = (
        _column("account_id", file.column(account), "its values"),
        _column(day, dated[0], "its values: the only dates"),
        _column(column, found, "its values: the only ones that fit"),
    )
    question = f"Is {file.path} a table of {table}, and does {found.name} say {what}?"
    return TableProposal(table, file, "by its contents", columns, {}, (question,))


def _words_of(table: str) -> Mapping[str, tuple[str, ...]]:
    """Return the names of a table's columns, those of the schema first."""
    words = USER_TABLE if table == USERS else COLUMN_WORDS.get(table, {"account_id": ACCOUNT_ID})
    names = dict.fromkeys((*_kinds_of(table), *words))
    return {name: (plain_name(name), *words.get(name, ())) for name in names}


def _kinds_of(table: str) -> Mapping[str, Column]:
    return {} if table == USERS else BY_NAME[table].by_column


def _needed(table: str) -> list[str]:
    """Return the columns that a file must have to be proposed as a table."""
    if table == USERS:
        return ["user_id", "account_id"]
    if table == "accounts":
        return ["account_id"]
    return [name for name in BY_NAME[table].required if name != "account_id"]


def _shape_fits(
    file: FileProfile, table: str, assigned: Mapping[str, tuple[ColumnProfile, float]], hint: bool
) -> bool:
    """Return whether values repeat as often as the rows of a table should."""
    if table == "accounts":
        # A list of accounts has one row per account, or versions of it.
        listed = assigned["account_id"][0].repeats < 1.5 or "recorded_at" in assigned
        return listed and ("started_on" in assigned or "name" in assigned or hint)
    if table == "contracts":
        priced = {"arr", "mrr", "amount", "ended_on", "cancelled_on"} & set(assigned)
        return "account_id" in assigned and bool(priced)
    if table == "behaviors":
        return assigned["behavior"][0].distinct <= max(1_000, file.rows // 20)
    if table == USERS:
        return assigned["user_id"][0].is_unique
    own = {found.plain for name, (found, _) in assigned.items() if name != "account_id"}
    return hint or (len(assigned) > len(_needed(table)) and bool(own - GENERIC))


def _assigned(file: FileProfile, table: str) -> dict[str, tuple[ColumnProfile, float]]:
    """Return the best header for each column, with its score; each header is used once."""
    kinds, needed = _kinds_of(table), _needed(table)
    offers = [
        (_likeness(column.plain, names, name in needed), -at, name, column)
        for at, (name, names) in enumerate(_words_of(table).items())
        for column in file.columns
        if _can_be(column, kinds.get(name))
    ]

    def best_first(offer: tuple[float, int, str, ColumnProfile]) -> tuple[bool, float, int]:
        # Assign headers to required columns before optional ones.
        score, at, name, _ = offer
        return name in needed and score > PARTLY, score, at

    assigned: dict[str, tuple[ColumnProfile, float]] = {}
    for score, _, name, column in sorted(offers, key=best_first, reverse=True):
        taken = {found.name for found, _ in assigned.values()}
        if score and name not in assigned and column.name not in taken:
            assigned[name] = (column, score)
    return assigned


def _likeness(header: str, names: tuple[str, ...], needed: bool) -> float:
    """Return the score of a header for the names of a column, the first of which score highest.

    A header that only contains a name is accepted for required columns.
    """
    if header in names:
        return 100.0 - names.index(header)
    if not needed:
        return 0.0
    long = [at for at, name in enumerate(names) if len(name) >= 5 and name in header]
    return PARTLY - min(long) if long else 0.0


def _can_be(column: ColumnProfile, kind: Column | None) -> bool:
    if not column.filled:
        # No contract has ended yet.
        return kind is not None and kind.kind == "day" and not kind.required
    if kind is not None and kind.kind in ("day", "moment"):
        return column.is_dated
    if kind is not None and kind.kind in NUMERIC:
        return column.is_numeric
    return True


def _column(name: str, found: ColumnProfile, reason: str) -> ColumnProposal:
    return ColumnProposal(name, found.name, reason, 1.0, found.samples)


def id_headers(file: FileProfile) -> list[str]:
    """Return the headers of a file that may be ids of accounts, the most specific first."""
    order = {name: at for at, name in enumerate(ACCOUNT_ID)}
    ids = [column for column in file.columns if column.filled and not column.is_dated]
    return [c.name for c in sorted(ids, key=lambda c: order.get(c.plain, len(order)))]
