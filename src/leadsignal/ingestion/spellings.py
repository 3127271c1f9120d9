"""Recognise the notation of cells that could not be read, and the setting that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from leadsignal.config.table_settings import Notation
from leadsignal.ingestion.cells import NOTATIONS, TIME, filled
from leadsignal.sources.parts import literal

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
                yield Spelling(condition, _which(orders), tuple(f'dates = "{o}"' for o in orders))


def _which(orders: list[str]) -> str:
    if len(orders) == 1:
        return f"is written as {orders[0]}, which all cells like it fit"
    return f"may be {' or '.join(orders)}: all cells like it fit both"


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
        choices: tuple[str, ...] = (
            ('decimal = "."',) if points and not commas else ('decimal = ","',)
        )
        what = "has a comma, which the other cells show to be a thousands separator"
        if commas and not points:
            what = "has a comma, which the other cells show to be a decimal comma"
        elif bool(commas) == bool(points):
            what = "has a comma that may be a thousands separator or a decimal comma"
            choices = ('decimal = "." (1,234 is 1234)', 'decimal = "," (1,234 is 1.234)')
        found.append(Spelling(_like(text, either), what, choices))
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
