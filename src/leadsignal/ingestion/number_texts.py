"""Numbers in texts: SQL that takes groups, currencies and the signs of accountants from them."""

from __future__ import annotations

from leadsignal.sources.parts import literal

CURRENCY_SIGN = r"[A-Z]{0,2}[$€£¥₹₩₽₺₴₫฿]|[A-Z]{3}|zł|Kč"
SIGNS = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₽": "RUB",
    "₺": "TRY", "₴": "UAH", "₫": "VND", "฿": "THB", "zł": "PLN", "Kč": "CZK", "A$": "AUD",
    "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "R$": "BRL", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD",
}  # fmt: skip
"""Signs that are of one currency; others, as kr and ¥, are of several."""
_CURRENCY = rf"(?:{CURRENCY_SIGN})?"
_SPACE = "[ \u00a0\u202f]?"
_MINUS = "[-\u2212\u2012\u2013]"
_GROUPED_BY = "' \u00a0\u202f\u2019"
"""What groups digits besides the one of point and comma that is not before decimals."""


def numbered(text: str, decimal: str | None) -> str:
    """SQL: a number without groups of digits and currency; NULL where it is none.

    A number with the other sign before its decimals is none: it may be off by a thousand. Without
    a declared ``decimal``, one group behind a comma ("1,234") is none either: it may be 1.234.
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
    """SQL: the parts of a number as one text; NULL where it has more than one sign."""
    opened, before, inside, digits, behind, closed = (f"{cells}[{n}]" for n in range(1, 7))
    bare = f"replace(regexp_replace({digits}, {literal(f'[{group}]')}, '', 'g'), '{sign}', '.')"
    signs = f"{before} || {inside} || {behind}"
    odd = f"({opened} = '(') <> ({closed} = ')') OR length({opened} || {signs}) > 1"
    return (
        f"CASE WHEN {odd} THEN NULL "
        f"WHEN {opened} = '(' OR {signs} NOT IN ('', '+') THEN '-' || {bare} ELSE {bare} END"
    )


def currency_in(text: str) -> str:
    """SQL: the currency in a cell, as three letters if its sign is unambiguous."""
    found = f"regexp_extract({text}, {literal(CURRENCY_SIGN)})"
    named = " ".join(f"WHEN {literal(sign)} THEN {literal(n)}" for sign, n in SIGNS.items())
    return f"CASE {found} {named} ELSE nullif({found}, '') END"
