"""Match the columns of a source with those of the schema; report misspelt and missing ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from leadsignal.config.table_settings import TableSource
from leadsignal.config.toml_files import near, one_of
from leadsignal.errors import Fault
from leadsignal.phrases import plain_name
from leadsignal.schema import BY_NAME, Column, Table
from leadsignal.sources.layouts import unpivoting_query
from leadsignal.sources.parts import Part

SYNONYMS = {
    "ended_on": (
        "cancel", "cancell", "cancelation", "cancellation", "churn", "termination", "terminat",
        "contractend", "subscriptionend", "subscriptionended", "endof", "expiration", "expiry",
        "expir", "expires", "validto", "validuntil", "until", "to", "lost", "left", "deactivat",
        "clos", "inactivesinc", "end", "enddatum", "ende", "vertragsende", "kuendigung",
    ),
}  # fmt: skip
"""Other names of ended_on, as `_stem` returns them; without it, every account counts as active."""
MISSPELT, ALIKE = 0.85, 0.72
"""Similarity from which an unknown column is reported as misspelt, or offered as a match."""
KINDS = ("id", "email", "name")
"""Last words of a header that rule out other kinds of column: customer_email is not a date."""
MAX_OFFERED = 8
"""Maximum number of unread columns, or files, that a message lists."""
CURRENCIES = ("currency", "currencycode", "currencyisocode", "arrcurrency")
"""Names of a column with the currency of each row, reduced to lower-case letters."""


def match_columns(
    table: Table, part: Part, source: TableSource
) -> tuple[dict[str, str], list[Fault], list[str]]:
    """Return the source's name of each schema column, faults of missing columns, and notices."""
    theirs = list(part.columns)
    mapped = {ours: name for ours, name in source.columns.items() if ours in table.by_column}
    match = {name: name for name in table.by_column if name in theirs}
    match |= {ours: name for ours, name in mapped.items() if name in theirs}
    free = [name for name in theirs if name not in match.values() and name not in source.attributes]
    certain = {_near_column(column.name, free, 1.0) for column in table.columns}
    faults = [
        _not_there(table, part, ours, name, theirs)
        for ours, name in mapped.items()
        if name not in theirs
    ]
    notices: list[str] = []
    if wide := _wide(table, part, source, match):
        return match, [wide], notices
    for column in table.columns:
        if column.name in match or column.name in source.columns:
            continue
        own = _near_column(column.name, free, 1.0)
        others = [own] if own else [name for name in free if name not in certain]
        meant = _near_column(column.name, others, MISSPELT)
        if column.required:
            faults.append(_missing(table, part, column, others))
        elif meant:
            faults.append(_misspelt(table, part, column, meant))
        elif alike := _alike(column.name, others):
            notices.append(
                f"column {alike!r} is not read; if it is {column.name}, map it under "
                f'[tables.{table.name}]: columns = {{ {column.name} = "{alike}" }}'
            )
    return match, faults, notices


def _alike(ours: str, theirs: list[str]) -> str | None:
    """Return the column that may be meant, unless its last word says that it is of another kind."""
    likely = [
        name for name in theirs
        if (word := re.split(r"[^a-z]+", name.lower())[-1]) not in KINDS or ours.endswith(word)
    ]  # fmt: skip
    return _near_column(ours, likely, ALIKE) or _same_stem(ours, likely)


def _wide(table: Table, part: Part, source: TableSource, match: Mapping[str, str]) -> Fault | None:
    """Return the fault of a table with one column per month, with a query that reshapes it."""
    if part.file is None or table.name not in BY_NAME or table.time in match:
        return None
    theirs = [name for name in part.columns if name not in match.values()]
    account = match.get("account_id") or _near_column("account_id", theirs, MISSPELT)
    query = unpivoting_query(table, source.path or part.file, account, theirs)
    if query is None or source.query:
        return None
    place = f"{'in place of path ' if source.path else ''}under [tables.{table.name}]"
    remedy = f'Reshape it to a row per month, with this {place}: query = """{query}""".'
    problem = "has a column per month, not a row per month"
    return Fault(part.file, table.name, part.header_line, None, None, problem, remedy)


def extra_columns(
    parts: list[Part], taken: list[set[str]], attributes: tuple[str, ...]
) -> list[str]:
    """Return the columns of accounts that the schema does not name, sorted by name.

    From a database, only those declared as attributes are read.
    """
    own = {*BY_NAME["accounts"].by_column, "known_on", "superseded_on"}
    extras: dict[str, str] = {}
    for part, theirs in zip(parts, taken, strict=True):
        for name in part.columns:
            needed = not part.on_demand or name in attributes
            if needed and name not in theirs and name and name.lower() not in own:
                extras.setdefault(name.lower(), name)
    return sorted(extras.values())


def currency_column(names: Iterable[str]) -> str | None:
    """Return the column with the currency of each row; None without one.

    >>> currency_column(["Amount", "CurrencyIsoCode"])
    'CurrencyIsoCode'
    """
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in names}
    return next((plain[name] for name in CURRENCIES if name in plain), None)


def _near_column(name: str, theirs: Iterable[str], cutoff: float) -> str | None:
    plain = {plain_name(other): other for other in theirs}
    bare = name.replace("_", "")
    found = bare if bare in plain else near(bare, plain, cutoff)
    return plain[found] if found else None


def _same_stem(name: str, theirs: Iterable[str]) -> str | None:
    """Return the column whose name differs only in its date marker, such as End for ended_on."""
    stems = {_stem(other): other for other in theirs}
    words = (_stem(name), *SYNONYMS.get(name, ()))
    return next((stems[word] for word in words if word in stems), None)


def _stem(name: str) -> str:
    """Return a name without the parts that mark it as a date.

    >>> _stem("ended_on"), _stem("End"), _stem("EndDate"), _stem("close_date"), _stem("closed_at")
    ('end', 'end', 'end', 'clos', 'clos')
    """
    bare = re.sub(r"(on|at|date|day|time)$", "", plain_name(name))
    return re.sub(r"(ed|e)$", "", bare) or bare


def _not_there(table: Table, part: Part, ours: str, name: str, theirs: list[str]) -> Fault:
    remedy = f"{one_of(theirs, name)}."
    problem = f"there is no column {name!r}, which {ours} is mapped to"
    return Fault(part.file, table.name, part.header_line, ours, name, problem, remedy)


def _missing(table: Table, part: Part, column: Column, others: list[str]) -> Fault:
    meant = _same_stem(column.name, others) or _near_column(column.name, others, 0.6)
    mapping = f'columns = {{ {column.name} = "{meant or "their name"}" }}'
    remedy = f"Add it ({column.meaning}), or map it under [tables.{table.name}]: {mapping}."
    if not meant and others:
        listed = ", ".join(map(repr, others[:MAX_OFFERED]))
        remedy += f" Not read so far: {listed}{', …' if len(others) > MAX_OFFERED else ''}."
    problem = f"the column is missing{f'; is it {meant!r}?' if meant else ''}"
    return Fault(part.file, table.name, part.header_line, column.name, None, problem, remedy)


def _misspelt(table: Table, part: Part, column: Column, meant: str) -> Fault:
    mapping = f'columns = {{ {column.name} = "{meant}" }}'
    remedy = f"Rename it to {column.name}, or map it under [tables.{table.name}]: {mapping}."
    problem = f"is not a known column; is it {column.name}?"
    return Fault(part.file, table.name, part.header_line, meant, None, problem, remedy)
