"""How a cell becomes a value: the SQL that reads each kind of column from each type of source."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from leadsignal.config.notation import AS_WE_WRITE, Notation
from leadsignal.schema import Column
from leadsignal.sources.parts import literal

FIRST_DAY, LAST_DAY = "1900-01-01", "2199-12-31"
TIME_OF_DAY = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
OFFSET = r" ?(Z|z|[+-]\d{2}(:?\d{2})?)"
DAY = r"\d{4}-\d{2}-\d{2}"
LOOKS_LIKE_DATE = rf"({DAY}|{TIME_OF_DAY}({OFFSET})?)"
DIGITS = {"YYYY": r"(\d{4})", "MM": r"(\d{1,2})", "DD": r"(\d{1,2})"}
TIME_AFTER = r"(?:[T ]+(\d{1,2})(:\d{2}.*))?"
CURRENCY_SIGN = r"[$€£¥]|[A-Z]{3}"
CURRENCY = rf"(?:{CURRENCY_SIGN})?"
SIGNS = {"$": "USD", "€": "EUR", "£": "GBP"}
SPACE = "[ \u00a0\u202f]?"
GROUPED_BY = "' \u00a0\u202f"
"""What groups digits besides the one of point and comma that is not before decimals."""
INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
INTEGERS |= {f"U{name}" for name in INTEGERS}
FLOATS = {"FLOAT", "DOUBLE"}
TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")


@dataclass(frozen=True)
class Reading:
    """SQL that reads one column.

    ``value`` is the typed value; ``original`` the text of a cell that could not be read, else NULL;
    ``has_offset`` whether a time came with an offset, NULL for an empty cell; ``currency`` the
    currency that was written with an amount, NULL where none was.
    """

    value: str
    original: str | None = None
    has_offset: str | None = None
    currency: str | None = None


def sql_type(column: Column) -> str:
    """Return the type that a column has in the store.

    >>> sql_type(Column("arr", "decimal", "annual recurring revenue", decimals=2))
    'DECIMAL(18,2)'
    """
    if column.kind == "decimal":
        return f"DECIMAL(18,{column.decimals})"
    types = {"day": "DATE", "moment": "TIMESTAMP", "number": "DOUBLE", "integer": "INTEGER"}
    return {**types, "boolean": "BOOLEAN"}.get(column.kind, "VARCHAR")


def read_cell(
    column: Column, expression: str, source: str, zone: str, spelling: Notation = AS_WE_WRITE
) -> Reading | None:
    """Return how to read a column from an expression of a DuckDB type, or None if it cannot be.

    ``zone`` is the time zone in which moments with an offset become local days; ``spelling`` says
    how texts write dates, numbers and nothing.
    """
    if source == "VARCHAR" and spelling != AS_WE_WRITE:
        return _spelt(column, expression, zone, spelling)
    return _read(column, expression, source, zone)


def _spelt(column: Column, text: str, zone: str, spelling: Notation) -> Reading | None:
    """Read a text by its spelling; a fault shows it as it was given."""
    filled = _filled(text, spelling)
    if column.kind in ("id", "text"):
        return _read(column, filled, "VARCHAR", zone)
    dated = column.kind in ("day", "moment")
    ours = _dated(filled, spelling) if dated else numbered(filled, spelling)
    reading = _read(column, ours, "VARCHAR", zone)
    amount = column.kind == "decimal" and spelling.decimal is not None
    return reading and replace(
        reading,
        original=_refused(filled, reading.value),
        currency=_currency_in(filled) if amount else None,
    )


def _currency_in(text: str) -> str:
    """SQL: the currency in a cell, as three letters if its sign is unambiguous."""
    found = f"regexp_extract({text}, {literal(CURRENCY_SIGN)})"
    named = " ".join(f"WHEN {literal(sign)} THEN {literal(n)}" for sign, n in SIGNS.items())
    return f"CASE {found} {named} ELSE nullif({found}, '') END"


def as_attribute(reading: Reading, spelling: Notation) -> Reading:
    """Return how to read an attribute, which may hold numbers or texts, by its spelling."""
    if spelling.decimal is None:
        return reading
    return Reading(f"coalesce({numbered(reading.value, spelling)}, {reading.value})")


def _filled(text: str, spelling: Notation) -> str:
    """Return a text that is NULL where the cell holds a word for nothing."""
    words = ", ".join(map(literal, spelling.empty))
    return f"CASE WHEN trim({text}) NOT IN ({words}) THEN {text} END" if words else text


def _dated(text: str, spelling: Notation) -> str:
    """Turn a date of the order that was said into year-month-day; other texts stay."""
    if spelling.dates is None:
        return text
    *order, separator = spelling.order
    pattern = re.escape(separator).join(DIGITS[part] for part in order) + TIME_AFTER
    year, month, day, hour, rest = (
        f"regexp_extract(trim({text}), {literal(pattern)}, {place})"
        for place in (*(order.index(part) + 1 for part in DIGITS), 4, 5)
    )
    date = f"{year} || '-' || lpad({month}, 2, '0') || '-' || lpad({day}, 2, '0')"
    time = f"CASE WHEN {hour} = '' THEN '' ELSE ' ' || lpad({hour}, 2, '0') || {rest} END"
    matches = f"regexp_full_match(trim({text}), {literal(pattern)})"
    return f"CASE WHEN {matches} THEN {date} || {time} ELSE {text} END"


def numbered(text: str, spelling: Notation) -> str:
    """Take groups of digits and a currency from a number; NULL where it is none.

    A number with the other sign before its decimals is none: it may be off by a thousand.
    """
    if spelling.decimal is None:
        return text
    group = GROUPED_BY + ("." if spelling.decimal == "," else ",")
    digits = rf"\d{{1,3}}(?:[{group}]\d{{3}})+|\d+"
    number = rf"(?:{digits})(?:[{spelling.decimal}]\d+)?"
    pattern = rf"([-+]?){SPACE}{CURRENCY}{SPACE}([-+]?{number}){SPACE}{CURRENCY}"
    sign, bare = (f"regexp_extract(trim({text}), {literal(pattern)}, {place})" for place in (1, 2))
    bare = f"regexp_replace({bare}, {literal(f'[{group}]')}, '', 'g')"
    bare = f"replace({bare}, {literal(spelling.decimal)}, '.')"
    matches = f"regexp_full_match(trim({text}), {literal(pattern)})"
    return f"CASE WHEN {matches} THEN {sign} || {bare} END"


def _read(column: Column, expression: str, source: str, zone: str) -> Reading | None:
    if source in ('"NULL"', "NULL"):
        return Reading(f"CAST(NULL AS {sql_type(column)})")
    if source.startswith("ENUM"):
        expression, source = f"CAST({expression} AS VARCHAR)", "VARCHAR"
    if column.kind in ("id", "text"):
        return _text(expression, source)
    if column.kind in ("day", "moment"):
        return _time(column, expression, source, zone)
    if column.kind == "boolean":
        return _boolean(expression, source)
    return _number(column, expression, source)


def _text(expression: str, source: str) -> Reading | None:
    if source == "VARCHAR":
        return Reading(f"nullif({expression}, '')")
    if source in FLOATS:
        # Ids that were whole numbers with gaps come as 17.0 and mean 17.
        whole = f"CAST(TRY_CAST({expression} AS HUGEINT) AS VARCHAR)"
        same = f"{expression} = floor({expression}) AND abs({expression}) < 1e15"
        return Reading(
            f"CASE WHEN isnan({expression}) THEN NULL WHEN {same} THEN {whole} "
            f"ELSE CAST({expression} AS VARCHAR) END"
        )
    if any(sign in source for sign in ("[", "STRUCT", "MAP", "BLOB", "UNION")):
        return None
    return Reading(f"CAST({expression} AS VARCHAR)")


def _time(column: Column, expression: str, source: str, zone: str) -> Reading | None:
    kind = sql_type(column)
    local = f"timezone({literal(zone)}, {{}})"
    if source == "VARCHAR":
        return _written_time(expression, kind, local)
    if "TIME ZONE" in source or "TZ" in source:
        value = local.format(f"CAST({expression} AS TIMESTAMPTZ)")
    elif source == "DATE" or source.startswith("TIMESTAMP"):
        value = expression
    else:
        return None
    return _within_reach(f"CAST({value} AS {kind})", expression, kind)


def _written_time(text: str, kind: str, local: str) -> Reading:
    """Read ISO dates and timestamps, and no others: what 03/04 means nobody knows."""
    with_offset = f"regexp_full_match({text}, {literal(TIME_OF_DAY + OFFSET)})"
    value = (
        f"CASE WHEN {text} LIKE '____-__-__' AND regexp_full_match({text}, {literal(DAY)}) "
        f"THEN CAST(TRY_CAST({text} AS DATE) AS {kind}) "
        f"WHEN regexp_full_match({text}, {literal(TIME_OF_DAY)}) "
        f"THEN CAST(TRY_CAST({text} AS TIMESTAMP) AS {kind}) WHEN {with_offset} "
        f"THEN CAST({local.format(f'TRY_CAST(upper({text}) AS TIMESTAMPTZ)')} AS {kind}) END"
    )
    reading = _within_reach(value, text, kind)
    has_offset = f"CASE WHEN length({text}) <= 10 THEN false ELSE {with_offset} END"
    return Reading(
        reading.value, reading.original, f"CASE WHEN {text} IS NOT NULL THEN {has_offset} END"
    )


def _within_reach(value: str, expression: str, kind: str) -> Reading:
    last = LAST_DAY if kind == "DATE" else f"{LAST_DAY} 23:59:59.999999"
    reach = f"BETWEEN {kind} '{FIRST_DAY}' AND {kind} '{last}'"
    checked = f"CASE WHEN {value} {reach} THEN {value} END"
    return Reading(checked, _refused(expression, checked))


def _refused(expression: str, value: str) -> str:
    return (
        f"CASE WHEN {expression} IS NOT NULL AND ({value}) IS NULL "
        f"THEN CAST({expression} AS VARCHAR) END"
    )


def _boolean(expression: str, source: str) -> Reading | None:
    if source == "BOOLEAN":
        return Reading(expression)
    if source != "VARCHAR" and source not in INTEGERS | FLOATS:
        return None
    text = f"lower(CAST({expression} AS VARCHAR))"
    text = f"regexp_replace({text}, '\\.0$', '')" if source in FLOATS else text
    missing = f"CASE WHEN isnan({expression}) THEN NULL ELSE {expression} END"
    value = f"CASE WHEN {text} IN {TRUE} THEN true WHEN {text} IN {FALSE} THEN false END"
    return Reading(value, _refused(missing if source in FLOATS else expression, value))


def _number(column: Column, expression: str, source: str) -> Reading | None:
    if source in FLOATS:
        expression = f"(CASE WHEN isnan({expression}) THEN NULL ELSE {expression} END)"
    elif source in INTEGERS and column.kind == "integer":
        value = f"TRY_CAST({expression} AS INTEGER)"
        return Reading(value, _refused(expression, value))
    elif source != "VARCHAR" and source not in INTEGERS and not source.startswith("DECIMAL"):
        return None
    double = f"TRY_CAST({expression} AS DOUBLE)"
    if column.kind == "number":
        value = f"CASE WHEN isfinite({double}) THEN {double} END"
    elif column.kind == "decimal":
        value = f"TRY_CAST({expression} AS {sql_type(column)})"
    else:
        value = f"CASE WHEN {double} = floor({double}) THEN TRY_CAST({double} AS INTEGER) END"
    return Reading(value, _refused(expression, value))
