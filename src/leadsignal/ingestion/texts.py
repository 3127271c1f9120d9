"""SQL that rewrites unambiguous or declared notations of dates and numbers in standard form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from leadsignal.config.notation import EPOCHS, EXCEL, parts_of
from leadsignal.sources.parts import literal

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
_DIGITS = {
    "YYYY": r"(\d{4})",
    "YY": r"(\d{2})",
    "MMM": rf"({MONTHS})",
    "MM": r"(\d{1,2})",
    "M": r"(\d{1,2})",
    "DD": r"(\d{1,2})",
    "D": r"(\d{1,2})",
}
_PIVOT = 69
"""Two-digit years from this one on belong to the last century, as in POSIX."""

UNAMBIGUOUS: tuple[tuple[str, str], ...] = (
    # Year first: 2023/01/05, 2023.1.5, 2023-01-05 3:04 PM, 20230105T150400Z.
    (rf"(\d{{4}})[/.-](\d{{1,2}})[/.-](\d{{1,2}}){TIME}", r"\1|\2|\3|\4|\5|\6|\7|\8"),
    (r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2}(?:\.\d+)?)(z?)", r"\1|\2|\3|\4|\5|\6||\7"),
    # Month names: 05-Jan-2023, Thu, 5 January 2023 15:04:05 GMT.
    (
        rf"{_WEEKDAY}(\d{{1,2}})(?:st|nd|rd|th|\.)?[-/ ]? ?({MONTHS})\.?,?[-/ ] ?(\d{{4}}){TIME}",
        r"\3|\2|\1|\4|\5|\6|\7|\8",
    ),
    # Jan 5, 2023; January 5, 2023 3:04 PM; Jan-05-2023.
    (
        rf"{_WEEKDAY}({MONTHS})\.?[-/ ] ?(\d{{1,2}})(?:st|nd|rd|th)?,?[-/ ] ?(\d{{4}}){TIME}",
        r"\3|\1|\2|\4|\5|\6|\7|\8",
    ),
    # 2023-Jan-05.
    (rf"(\d{{4}})[-/ ]({MONTHS})[-/ ](\d{{1,2}}){TIME}", r"\1|\2|\3|\4|\5|\6|\7|\8"),
    # Thu Jan  5 15:04:05 2023, as Unix and Ruby write it.
    (
        rf"{_WEEKDAY}({MONTHS}) +(\d{{1,2}}) (\d{{2}}):(\d{{2}}):(\d{{2}})"
        r"(?: (utc|gmt|[+-]\d{4}))? (\d{4})",
        r"\7|\1|\2|\3|\4|\5||\6",
    ),
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
    digits = _DIGITS | ({"MM": r"(\d{2})", "DD": r"(\d{2})"} if joined else {})
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
SIGNS = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₽": "RUB",
    "₺": "TRY", "₴": "UAH", "₫": "VND", "฿": "THB", "zł": "PLN", "Kč": "CZK", "A$": "AUD",
    "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "R$": "BRL", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD",
}  # fmt: skip
"""Signs of a single currency; others, such as kr and ¥, are shared by several."""
_CURRENCY = rf"(?:{CURRENCY_SIGN})?"
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
    sign_before, currency = rf"({_MINUS}|[+])?", f"{_SPACE}{_CURRENCY}{_SPACE}"
    inside = f"{sign_before}{currency}{sign_before}({number}){currency}({_MINUS})?"
    pattern = rf"(\()?{inside}(\))?"
    parts = r"\1|\2|\3|\4|\5|\6"
    split = f"regexp_replace(trim({text}), {literal(f'^{pattern}$')}, {literal(parts)})"
    return (
        f"CASE WHEN regexp_full_match(trim({text}), {literal(pattern)}) "
        f"THEN {_joined(f'string_split({split}, chr(124))', group, sign)} END"
    )


def _joined(cells: str, group: str, sign: str) -> str:
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
