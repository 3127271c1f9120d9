"""SQL that converts cells to values, by kind of column and type of source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leadsignal.config.table_settings import AS_WE_WRITE, EPOCHS, EXCEL, Notation, parts_of
from leadsignal.package_data import packaged_toml
from leadsignal.schema import Column
from leadsignal.sources.parts import literal, quoted

FIRST_DAY, LAST_DAY = "1900-01-01", "2199-12-31"
TIME_OF_DAY = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
OFFSET = r" ?(Z|z|[+-]\d{2}(:?\d{2})?)"
DAY = r"\d{4}-\d{2}-\d{2}"
LOOKS_LIKE_DATE = rf"({DAY}|{TIME_OF_DAY}({OFFSET})?)"
INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
INTEGERS |= {f"U{name}" for name in INTEGERS}
FLOATS = {"FLOAT", "DOUBLE"}
TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")


Steps = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reading:
    """SQL that reads one column.

    ``value`` is the typed value. ``original`` is the text of a cell that could not be read, else
    NULL. ``has_offset`` says whether a time has a UTC offset; NULL for an empty cell.
    ``currency`` is the currency written with an amount; NULL without one. All of them may use the
    columns of ``steps``, pairs of name and SQL that are computed in order, so that a repeated
    expression is computed once.
    """

    value: str
    original: str | None = None
    has_offset: str | None = None
    currency: str | None = None
    steps: Steps = ()


def sql_type(column: Column) -> str:
    """Return the type that a column has in the store.

    >>> sql_type(Column("arr", "decimal", "annual recurring revenue", decimals=2))
    'DECIMAL(18,2)'
    """
    if column.kind == "decimal":
        return f"DECIMAL(18,{column.decimals})"
    types = {"day": "DATE", "moment": "TIMESTAMP", "number": "DOUBLE", "integer": "INTEGER"}
    return {**types, "boolean": "BOOLEAN"}.get(column.kind, "VARCHAR")


def has_plain_cells(column: Column, spelling: Notation) -> bool:
    """Return whether a text column can first be read as ISO dates or bare numbers."""
    if column.kind in ("day", "moment"):
        return not spelling.dates
    return column.kind in ("number", "decimal", "integer") and spelling.decimal is None


def read_cell(
    column: Column,
    expression: str,
    source: str,
    zone: str,
    spelling: Notation = AS_WE_WRITE,
    *,
    plainly: bool = False,
) -> Reading | None:
    """Return how to read a column from an expression of a DuckDB type; None if this is impossible.

    ``zone`` is the time zone in which timestamps with an offset become local days. ``spelling``
    says how texts write dates, numbers and empty cells. With ``plainly``, only ISO dates and bare
    numbers are read, and other texts are kept as originals.
    """
    if source.startswith("ENUM"):
        expression, source = f"CAST({expression} AS VARCHAR)", "VARCHAR"
    numeric = source in INTEGERS | FLOATS or source.startswith("DECIMAL")
    if column.kind in ("day", "moment") and numeric:
        expression, source = _digits(expression, source), "VARCHAR"
    if source == "VARCHAR":
        plainly = plainly and has_plain_cells(column, spelling)
        return _written(column, expression, zone, spelling, plainly)
    return _typed(column, expression, source, zone)


def _step(column: Column, name: str) -> str:
    """Return the name of a step, with a tab, which the names of source columns do not have."""
    return f"{column.name}\t{name}"


def _digits(number: str, source: str) -> str:
    """SQL: a number as text, without a decimal point if it is whole."""
    if source not in FLOATS:
        return f"CAST({number} AS VARCHAR)"
    whole = f"{number} = floor({number}) AND abs({number}) < 1e18"
    text = f"CASE WHEN {whole} THEN CAST(CAST({number} AS BIGINT) AS VARCHAR) "
    return f"CASE WHEN NOT isnan({number}) THEN {text} ELSE CAST({number} AS VARCHAR) END END"


def _written(
    column: Column, expression: str, zone: str, spelling: Notation, plainly: bool
) -> Reading | None:
    """Return how to read a text; a fault shows it as it was given."""
    text, filled = quoted(_step(column, "text")), _filled(expression, spelling)
    if column.kind in ("id", "text"):
        if column.allowed:
            words = ", ".join(map(literal, column.allowed))
            plain = f"lower({filled})"
            filled = f"CASE WHEN {plain} IN ({words}) THEN {plain} ELSE {filled} END"
        # Blank cells of files are already NULL.
        return Reading(filled if filled.startswith("nullif(") else f"nullif({filled}, '')")
    steps = ((_step(column, "text"), filled),)
    if column.kind in ("day", "moment"):
        return _written_time(column, text, zone, spelling, steps, plainly)
    if column.kind == "boolean":
        return _boolean(text, "VARCHAR", steps)
    if plainly:
        value = _number_value(column, text, "VARCHAR")
        return Reading(value, _refused(text, value), steps=steps)
    return _written_number(column, text, spelling, steps)


def _written_number(column: Column, text: str, spelling: Notation, steps: Steps) -> Reading:
    plain, digits = (quoted(_step(column, name)) for name in ("plain", "digits"))
    ours = numbered(text, spelling.decimal)
    if spelling.decimal is None:
        steps += ((_step(column, "plain"), _number_value(column, text, "VARCHAR")),)
        ours = f"CASE WHEN {plain} IS NULL AND {text} IS NOT NULL THEN {ours} END"
    steps += ((_step(column, "digits"), ours),)
    value = _number_value(column, digits, "VARCHAR")
    if spelling.decimal is None:
        value = f"CASE WHEN {digits} IS NULL THEN {plain} ELSE {value} END"
    # Only a cell with more than digits can contain a currency.
    currency = f"CASE WHEN {digits} <> {text} THEN {currency_in(text)} END"
    return Reading(
        value,
        _refused(text, value),
        currency=currency if column.kind == "decimal" else None,
        steps=steps,
    )


def as_attribute(reading: Reading, spelling: Notation) -> Reading:
    """Return how to read an attribute, of numbers or texts, in the declared notation."""
    if spelling.decimal is None:
        return reading
    return Reading(f"coalesce({numbered(reading.value, spelling.decimal)}, {reading.value})")


def _filled(text: str, spelling: Notation) -> str:
    """SQL: a text, or NULL if the cell holds one of the words for an empty cell."""
    words = ", ".join(map(literal, spelling.empty))
    return f"CASE WHEN trim({text}) NOT IN ({words}) THEN {text} END" if words else text


def _typed(column: Column, expression: str, source: str, zone: str) -> Reading | None:
    if source in ('"NULL"', "NULL"):
        return Reading(f"CAST(NULL AS {sql_type(column)})")
    if column.kind in ("id", "text"):
        return _text(expression, source)
    if column.kind in ("day", "moment"):
        return _time(column, expression, source, zone)
    if column.kind == "boolean":
        return _boolean(expression, source)
    return _number(column, expression, source)


def _text(expression: str, source: str) -> Reading | None:
    if source in FLOATS:
        # A column of whole-number ids with gaps is stored as floats: 17.0 means 17.
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
    if "TIME ZONE" in source or "TZ" in source:
        value = local.format(f"CAST({expression} AS TIMESTAMPTZ)")
    elif source == "DATE" or source.startswith("TIMESTAMP"):
        value = expression
    else:
        return None
    return _within_reach(f"CAST({value} AS {kind})", expression, kind)


def _written_time(
    column: Column, text: str, zone: str, spelling: Notation, steps: Steps, plainly: bool
) -> Reading:
    """Return how to read ISO dates, other unambiguous dates, and dates in the declared patterns."""
    kind = sql_type(column)
    first, parts, ours, value = (_step(column, name) for name in ("iso", "parts", "ours", "value"))
    steps += ((first, _iso_time(text, kind, zone)),)
    if plainly:
        return _time_reading(text, quoted(first), text, kind, steps)
    joined = joined_date(quoted(parts))
    if counted := counted_date(text, spelling.dates):
        joined = f"coalesce({counted}, {joined})"
    slow = f"{quoted(first)} IS NULL AND {text} IS NOT NULL"
    steps += (
        (parts, f"CASE WHEN {slow} THEN {split_date(text, spelling.dates)} END"),
        (ours, f"CASE WHEN {slow} THEN {joined} ELSE {text} END"),
        (value, f"coalesce({quoted(first)}, {_iso_time(quoted(ours), kind, zone)})"),
    )
    return _time_reading(text, quoted(value), quoted(ours), kind, steps)


def _time_reading(text: str, value: str, date: str, kind: str, steps: Steps) -> Reading:
    """Return the reading of a time; ``date`` is its text in ISO format."""
    reading = _within_reach(value, text, kind)
    with_offset = f"regexp_full_match({date}, {literal(TIME_OF_DAY + OFFSET)})"
    has_offset = f"CASE WHEN length({date}) <= 10 THEN false ELSE {with_offset} END"
    return Reading(
        reading.value,
        reading.original,
        f"CASE WHEN {text} IS NOT NULL THEN {has_offset} END",
        steps=steps,
    )


def _iso_time(text: str, kind: str, zone: str) -> str:
    """SQL: an ISO date or timestamp in local time; NULL for any other text."""
    with_offset = f"regexp_full_match({text}, {literal(TIME_OF_DAY + OFFSET)})"
    local = f"timezone({literal(zone)}, TRY_CAST(upper({text}) AS TIMESTAMPTZ))"
    return (
        f"CASE WHEN {text} LIKE '____-__-__' AND regexp_full_match({text}, {literal(DAY)}) "
        f"THEN CAST(TRY_CAST({text} AS DATE) AS {kind}) "
        f"WHEN regexp_full_match({text}, {literal(TIME_OF_DAY)}) "
        f"THEN CAST(TRY_CAST({text} AS TIMESTAMP) AS {kind}) "
        f"WHEN {with_offset} THEN CAST({local} AS {kind}) END"
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


def _boolean(expression: str, source: str, steps: Steps = ()) -> Reading | None:
    if source == "BOOLEAN":
        return Reading(expression)
    if source != "VARCHAR" and source not in INTEGERS | FLOATS:
        return None
    text = f"lower(CAST({expression} AS VARCHAR))"
    text = f"regexp_replace({text}, '\\.0$', '')" if source in FLOATS else text
    missing = f"CASE WHEN isnan({expression}) THEN NULL ELSE {expression} END"
    value = f"CASE WHEN {text} IN {TRUE} THEN true WHEN {text} IN {FALSE} THEN false END"
    original = _refused(missing if source in FLOATS else expression, value)
    return Reading(value, original, steps=steps)


def _number(column: Column, expression: str, source: str) -> Reading | None:
    if source in FLOATS:
        expression = f"(CASE WHEN isnan({expression}) THEN NULL ELSE {expression} END)"
    elif source not in INTEGERS and not source.startswith("DECIMAL"):
        return None
    value = _number_value(column, expression, source)
    return Reading(value, _refused(expression, value))


def _number_value(column: Column, expression: str, source: str) -> str:
    double = f"TRY_CAST({expression} AS DOUBLE)"
    if column.kind == "number":
        return f"CASE WHEN isfinite({double}) THEN {double} END"
    if column.kind == "decimal":
        return f"TRY_CAST({expression} AS {sql_type(column)})"
    if source in INTEGERS:
        return f"TRY_CAST({expression} AS INTEGER)"
    return f"CASE WHEN {double} = floor({double}) THEN TRY_CAST({double} AS INTEGER) END"


# Notations of dates and numbers -------------------------------------------------------------------


MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
SHORT_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TIME = (
    r"(?:,? *(?:T|at|,| ) *(\d{1,2})(?::(\d{2})(?::(\d{2}(?:[.,]\d+)?))?)?"
    r"(?: *([ap])\.?m\.?)?(?: *(utc|gmt|z|[+-]\d{2}(?::?\d{2})?)(?: utc)?)?)?"
)
"""A time of day after a date: hour, minute, second, "a" or "p" for am and pm, and UTC offset."""
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +)?"
NOTATIONS = packaged_toml("leadsignal.ingestion", "notations.toml")


def filled(pattern: str) -> str:
    """Return a pattern of ``notations.toml`` with the names in it replaced."""
    pattern = pattern.replace("<months>", MONTHS).replace("<weekday>", _WEEKDAY)
    return pattern.replace("<time>", TIME)


_DIGITS: Mapping[str, str] = {name: filled(one) for name, one in NOTATIONS["digits"].items()}
_PIVOT = 69
"""Two-digit years from this one on belong to the last century, as in POSIX."""

UNAMBIGUOUS: tuple[tuple[str, str], ...] = tuple(
    (filled(one["pattern"]), one["parts"]) for one in NOTATIONS["unambiguous"]
)
"""Unambiguous date patterns, each with its rearrangement as year, month, day and time."""


def split_date(text: str, patterns: Sequence[str]) -> str:
    """SQL: the parts of a date as a list; NULL if the text matches no known pattern.

    The parts are year, month, day, hour, minute, second, "a" or "p", and UTC offset; missing parts
    are empty texts.
    """
    found = [_declared(one) for one in patterns if parts_of(one)]
    cases = []
    for pattern, parts in (*found, *UNAMBIGUOUS):
        matches = f"regexp_full_match({text}, {literal(f'(?i){pattern}')})"
        split = f"regexp_replace({text}, {literal(f'(?i)^{pattern}$')}, {literal(parts)})"
        cases.append(f"WHEN {matches} THEN string_split({split}, '|')")
    return f"CASE {' '.join(cases)} END"


def _declared(pattern: str) -> tuple[str, str]:
    """Return the regular expression of a declared pattern, and its rearrangement as date parts."""
    parts = parts_of(pattern)
    named = [part for part in parts if part.isalpha()]
    joined = len(named) == len(parts)
    digits = {**_DIGITS, **({"MM": r"(\d{2})", "DD": r"(\d{2})"} if joined else {})}
    between = {part: re.sub(r"(\\ )+", " +", re.escape(part)) for part in parts}
    places = {part[0]: rf"\{named.index(part) + 1}" for part in named}
    rest = "|".join(rf"\{len(named) + place}" for place in range(1, 6))
    order = "|".join(places.get(part, "1") for part in "YMD")
    return "".join(digits.get(part, between[part]) for part in parts) + TIME, f"{order}|{rest}"


def joined_date(parts: str) -> str:
    """SQL: the parts that `split_date` found, as a text in ISO format."""
    year, month, day, hour, minute, second, half, offset = (f"{parts}[{n}]" for n in range(1, 9))
    century = f"CASE WHEN TRY_CAST({year} AS INTEGER) >= {_PIVOT} THEN '19' ELSE '20' END"
    full_year = f"CASE WHEN length({year}) = 2 THEN {century} || {year} ELSE {year} END"
    months = ", ".join(map(literal, SHORT_MONTHS))
    number = f"list_position([{months}], lower({month}[1:3]))"
    full_month = f"coalesce(CAST({number} AS VARCHAR), {month})"
    at = f"TRY_CAST({hour} AS INTEGER)"
    in_half = (
        f"CASE WHEN {at} BETWEEN 1 AND 12 THEN {at} % 12 + 12 * (lower({half}) = 'p')::INT END"
    )
    full_hour = f"CASE WHEN {half} = '' THEN {at} ELSE {in_half} END"
    clock = (
        f"lpad(CAST({full_hour} AS VARCHAR), 2, '0') || ':' || "
        f"CASE WHEN {minute} = '' THEN '00' ELSE {minute} END || ':' || "
        f"CASE WHEN {second} = '' THEN '00' ELSE replace({second}, ',', '.') END"
    )
    zone = f"CASE WHEN lower({offset}) IN ('utc', 'gmt', 'z') THEN 'Z' ELSE {offset} END"
    date = f"{full_year} || '-' || lpad({full_month}, 2, '0') || '-' || lpad({day}, 2, '0')"
    return f"{date} || CASE WHEN {hour} = '' THEN '' ELSE ' ' || {clock} || {zone} END"


def counted_date(text: str, patterns: Sequence[str]) -> str | None:
    """SQL: a date given as a number, as a text in ISO format; None if none is declared."""
    number = f"TRY_CAST(replace({text}, ',', '.') AS DECIMAL(38, 9))"
    cases = []
    for pattern in patterns:
        if pattern in EPOCHS:
            micros = f"CAST({number} * 1000000 / {EPOCHS[pattern]} AS BIGINT)"
            # 1e11 seconds after 1970 is the year 5138.
            near = f"abs({number}) < {10**11 * EPOCHS[pattern]}"
            moment = f"strftime(make_timestamp({micros}), '%Y-%m-%d %H:%M:%S.%f') || 'Z'"
            cases.append(f"WHEN {near} THEN {moment}")
        elif pattern == EXCEL:
            seconds = f"CAST(round({number} * 86400) AS BIGINT)"
            moment = f"TIMESTAMP '1899-12-30' + to_seconds({seconds})"
            near = f"{number} BETWEEN 1 AND 200000"
            cases.append(f"WHEN {near} THEN strftime({moment}, '%Y-%m-%d %H:%M:%S')")
    return f"CASE {' '.join(cases)} END" if cases else None


CURRENCY_SIGN = r"[A-Z]{0,2}[$€£¥₹₩₽₺₴₫฿]|[A-Z]{3}|zł|Kč"
SIGNS: Mapping[str, str] = NOTATIONS["currencies"]
"""Signs of a single currency; others, such as kr and ¥, are shared by several."""
_OPTIONAL_SIGN = rf"(?:{CURRENCY_SIGN})?"
_SPACE = "[ \u00a0\u202f]?"
_MINUS = "[-\u2212\u2012\u2013]"
_GROUPED_BY = "' \u00a0\u202f\u2019"
"""Characters that group digits, besides the point or comma that is not the decimal separator."""


def numbered(text: str, decimal: str | None) -> str:
    """SQL: a number without digit grouping and currency; NULL if it is not a number.

    A number with the other decimal separator is not read: it could be wrong by a factor of 1000.
    Nor is, without a declared ``decimal``, a single group after a comma ("1,234"), which may mean
    1.234.
    """
    sign = decimal or "."
    group = _GROUPED_BY + ("." if sign == "," else ",")
    fraction = rf"[{sign}]\d+"
    optional = f"(?:{fraction})?"
    if decimal is None:
        number = (
            r"\d{1,3}(?:,\d{3})+[.]\d+|\d{1,3}(?:,\d{3}){2,}|"
            rf"\d{{1,3}}(?:[{_GROUPED_BY}]\d{{3}})+{optional}|\d+{optional}"
        )
    else:
        number = rf"(?:\d{{1,3}}(?:[{group}]\d{{3}})+|\d+){optional}"
    sign_before, currency = rf"({_MINUS}|[+])?", f"{_SPACE}{_OPTIONAL_SIGN}{_SPACE}"
    inside = f"{sign_before}{currency}{sign_before}({number}){currency}({_MINUS})?"
    pattern = rf"(\()?{inside}(\))?"
    parts = r"\1|\2|\3|\4|\5|\6"
    split = f"regexp_replace(trim({text}), {literal(f'^{pattern}$')}, {literal(parts)})"
    return (
        f"CASE WHEN regexp_full_match(trim({text}), {literal(pattern)}) "
        f"THEN {_joined_number(f'string_split({split}, chr(124))', group, sign)} END"
    )


def _joined_number(cells: str, group: str, sign: str) -> str:
    """SQL: the parts of a number as one text; NULL if it has more than one sign."""
    opened, before, inside, digits, behind, closed = (f"{cells}[{n}]" for n in range(1, 7))
    bare = f"replace(regexp_replace({digits}, {literal(f'[{group}]')}, '', 'g'), '{sign}', '.')"
    signs = f"{before} || {inside} || {behind}"
    odd = f"({opened} = '(') <> ({closed} = ')') OR length({opened} || {signs}) > 1"
    return (
        f"CASE WHEN {odd} THEN NULL "
        f"WHEN {opened} = '(' OR {signs} NOT IN ('', '+') THEN '-' || {bare} ELSE {bare} END"
    )


def currency_in(text: str) -> str:
    """SQL: the currency in a cell, as a three-letter code if its sign is unambiguous."""
    found = f"regexp_extract({text}, {literal(CURRENCY_SIGN)})"
    named = " ".join(f"WHEN {literal(sign)} THEN {literal(n)}" for sign, n in SIGNS.items())
    return f"CASE {found} {named} ELSE nullif({found}, '') END"
