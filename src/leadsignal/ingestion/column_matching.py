"""Match columns with the schema, and recognise the notation of cells that could not be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leadsignal.config.table_settings import Notation, TableSource
from leadsignal.errors import Fault, near, one_of
from leadsignal.formats import plain_name
from leadsignal.ingestion.cells import NOTATIONS, TIME, filled
from leadsignal.schema import BY_NAME, Column, Table
from leadsignal.sources.parts import Part, literal, unpivoting_query

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
    faults = []
    for ours, name in mapped.items():
        if name not in theirs:
            problem = f"there is no column {name!r}, which {ours} is mapped to"
            place = (part.file, table.name, part.header_line, ours, name)
            faults.append(Fault(*place, problem, f"{one_of(theirs, name)}."))
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


Query = Callable[[str], list[tuple[Any, ...]]]
NOTHING: Sequence[str] = NOTATIONS["empty"]
"""Words that exports write for an empty cell, in lower case."""
_CURRENCY = r"\W{0,3}(?:[A-Z]{2,3})?\W{0,3}"


@dataclass(frozen=True)
class Spelling:
    """A notation of cells: the SQL condition that finds it, and the setting that reads it.

    ``settings`` are the candidates; with several, the cells do not show which is right.
    """

    condition: str
    what: str
    settings: tuple[str, ...] = ()
    remedy: str = ""

    def how_to_read(self, section: str) -> str:
        """Return the setting to add, and its section."""
        choices = " or ".join(self.settings)
        return self.remedy or f"Say so under {section}: {choices}."


def _like(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(f'(?i){pattern}')})"


def _empty(text: str) -> Spelling:
    words = ", ".join(map(literal, NOTHING))
    return Spelling(f"lower(trim({text})) IN ({words})", "is a word for an empty cell", ("empty",))


def spellings_of_dates(
    query: Query, table: str, text: str, notation: Notation
) -> Iterator[Spelling]:
    """Yield the notations of the dates of a column that could not be read."""
    found = [_empty(text)]
    for one in NOTATIONS["declared"]:
        condition = _like(text, filled(one["pattern"]))
        found.append(Spelling(condition, one["what"], (f'dates = "{one["setting"]}"',)))
    found += _in_numbers(query, table, text, notation)
    yield from _present(query, table, text, found)


def _in_numbers(query: Query, table: str, text: str, notation: Notation) -> Iterator[Spelling]:
    """Yield notations of day and month in digits, with the orders that fit all such cells."""
    for sign in (".", "/", "-"):
        for year in ("YYYY", "YY"):
            width = len(year)
            pattern = rf"(\d{{1,2}})[{sign}](\d{{1,2}})[{sign}]\d{{{width}}}{TIME}"
            condition = _like(text, pattern)
            first, second = (
                f"CAST(regexp_extract({text}, {literal(f'(?i){pattern}')}, {n}) AS INTEGER)"
                for n in (1, 2)
            )
            day_first = f"{first} BETWEEN 1 AND 31 AND {second} BETWEEN 1 AND 12"
            month_first = f"{first} BETWEEN 1 AND 12 AND {second} BETWEEN 1 AND 31"
            ((cells, days, months),) = query(
                f"SELECT count(*), count(*) FILTER (WHERE {day_first}), "
                f"count(*) FILTER (WHERE {month_first}) FROM (SELECT * FROM {table} t "
                f"WHERE {condition}) t"
            )
            fits = {f"DD{sign}MM{sign}{year}": days, f"MM{sign}DD{sign}{year}": months}
            orders = [order for order, count in fits.items() if count == cells]
            if cells and orders and not set(orders) & set(notation.dates):
                what = f"is written as {orders[0]}, which all cells like it fit"
                if len(orders) > 1:
                    what = f"may be {' or '.join(orders)}: all cells like it fit both"
                yield Spelling(condition, what, tuple(f'dates = "{one}"' for one in orders))


def spellings_of_numbers(
    query: Query, table: str, text: str, value: str, notation: Notation
) -> Iterator[Spelling]:
    """Yield the notations of the numbers of a column that could not be read."""
    found = [_empty(text), _percentage(text)]
    if notation.decimal is None:
        before, after = rf"[(]?[-−]?{_CURRENCY}", rf"{_CURRENCY}[)]?"
        comma = rf"{before}\d{{1,3}}(?:[. ]?\d{{3}})*,(?:\d{{1,2}}|\d{{4,}}){after}"
        groups = rf"{before}\d{{1,3}}(?:[.]\d{{3}})+(?:,\d+)?{after}"
        either = rf"{before}\d{{1,3}},\d{{3}}{after}"
        with_comma = f"({_like(text, comma)} OR {_like(text, groups)})"
        ((commas, points),) = query(
            f"SELECT count(*) FILTER (WHERE {with_comma}), "
            f"count(*) FILTER (WHERE {value} <> floor({value})) FROM {table} t"
        )
        found.append(Spelling(with_comma, "is written with a decimal comma", ('decimal = ","',)))
        shown = "has a comma, which the other cells show to be a"
        what, choices = f"{shown} thousands separator", ['decimal = "."']
        if commas and not points:
            what, choices = f"{shown} decimal comma", ['decimal = ","']
        elif bool(commas) == bool(points):
            what = "has a comma that may be a thousands separator or a decimal comma"
            choices = ['decimal = "." (1,234 is 1234)', 'decimal = "," (1,234 is 1.234)']
        found.append(Spelling(_like(text, either), what, tuple(choices)))
    yield from _present(query, table, text, found)


def _percentage(text: str) -> Spelling:
    return Spelling(
        _like(text, r"[-−]?[\d.,]+ ?%"),
        "is a percentage",
        remedy="Write it without the sign, in one unit in the whole column: 12 % as 12 or as 0.12.",
    )


def _present(query: Query, table: str, text: str, spellings: list[Spelling]) -> Iterator[Spelling]:
    """Yield the notations that occur; a cell counts for the first one that it fits."""
    label = " ".join(f"WHEN {one.condition} THEN {n}" for n, one in enumerate(spellings))
    which = f"CASE {label} END"
    counted = query(
        f"SELECT {which} AS n, any_value({text}) FROM {table} t WHERE {text} IS NOT NULL GROUP BY 1"
    )
    for n, example in sorted((n, example) for n, example in counted if n is not None):
        one = spellings[n]
        setting = one.settings
        if setting == ("empty",):
            setting = (f'empty = ["{str(example).strip()}"]',)
        yield Spelling(f"({which}) = {n}", one.what, setting, one.remedy)
