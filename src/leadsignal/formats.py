"""Formats for readers, the same everywhere: numbers and dates."""

from __future__ import annotations

from datetime import date

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def of_hundred(share: float | None) -> str:
    """Return a proportion as a number out of 100 accounts.

    >>> of_hundred(0.183), of_hundred(0.002), of_hundred(0.999)
    ('about 18', 'fewer than 1', 'more than 99')
    """
    if share is None or share != share:
        return "an unknown number"
    if share < 0.005:
        return "fewer than 1" if share > 0 else "none"
    if share > 0.995:
        return "more than 99" if share < 1 else "all"
    return f"about {share * 100:.0f}"


def share_text(share: float | None, decimals: int = 0, *, signed: bool = False) -> str:
    """Return a proportion in percent, or a dash if it is unknown.

    >>> share_text(0.286), share_text(1.003, 1), share_text(0.05, signed=True), share_text(None)
    ('29 %', '100.3 %', '+5 %', '–')
    """
    if share is None or share != share:
        return "–"
    return f"{share * 100:{'+' if signed else ''}.{decimals}f} %"


def rate_text(share: float | None) -> str:
    """Return a rate over time in percent with one decimal, or a dash if it is unknown.

    >>> rate_text(0.0412), rate_text(1.003), rate_text(None)
    ('4.1 %', '100.3 %', '–')
    """
    return share_text(share, 1)


def interval_text(
    low: float | None, high: float | None, decimals: int = 0, *, signed: bool = False
) -> str:
    """Return the limits of a proportion in percent.

    >>> interval_text(0.18, 0.4), interval_text(-0.02, 0.1, signed=True), interval_text(None, 1)
    ('18 to 40 %', '-2 to +10 %', '–')
    """
    limits = [share_text(limit, decimals, signed=signed) for limit in (low, high)]
    return "–" if "–" in limits else f"{limits[0].removesuffix(' %')} to {limits[1]}"


def share_between(
    share: float | None,
    low: float | None,
    high: float | None,
    decimals: int = 0,
    *,
    signed: bool = False,
) -> str:
    """Return a proportion in percent with its limits.

    >>> share_between(0.29, 0.24, 0.34)
    '29 % (24 to 34 %)'
    """
    limits = interval_text(low, high, decimals, signed=signed)
    return f"{share_text(share, decimals, signed=signed)} ({limits})"


def level_text(level: float) -> str:
    """Return a confidence level in percent, with all its decimals.

    >>> level_text(0.95), level_text(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * level:g} %"


def level_in_name(level: float) -> str:
    """Return a confidence level as in column names such as "exp(coef) lower 95%" of R.

    >>> level_in_name(0.95)
    '95%'
    """
    return level_text(level).replace(" ", "")


def unbroken(text: str) -> str:
    """Insert no-break spaces that keep numbers and percent signs on one line.

    >>> unbroken("29 % leave")
    '29\\xa0% leave'
    """
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def p_text(p: float) -> str:
    """Return a p-value as text.

    >>> p_text(0.0002), p_text(0.0412), p_text(float("nan"))
    ('< 0.001', '0.041', '–')
    """
    if p != p:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_phrase(p: float) -> str:
    """Return a p-value as text, with the letter p.

    >>> p_phrase(0.0002), p_phrase(0.0412)
    ('p < 0.001', 'p = 0.041')
    """
    return f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}"


def money(amount: float | None, currency: str | None = None, *, signed: bool = False) -> str:
    """Return an amount in whole units, with its currency if known.

    >>> money(12345.6, "EUR"), money(900.0), money(None, "EUR"), money(900.0, signed=True)
    ('12,346 EUR', '900', '', '+900')
    """
    if amount is None or amount != amount:
        return ""
    return f"{amount:{'+' if signed else ''},.0f} {currency or ''}".rstrip()


def day_text(value: date, *, year: bool = True) -> str:
    """Return a date in readable form, independent of the locale.

    >>> day_text(date(2024, 3, 7)), day_text(date(2024, 3, 7), year=False)
    ('7 Mar 2024', '7 Mar')
    """
    return f"{value.day} {month_text(value)}" if year else f"{value.day} {_month(value)}"


def month_text(value: date) -> str:
    """Return a month in readable form, independent of the locale.

    >>> month_text(date(2024, 11, 1))
    'Nov 2024'
    """
    return f"{_month(value)} {value.year}"


def _month(value: date) -> str:
    return MONTHS[value.month - 1]


def days_text(days: float | None) -> str:
    """Return a number of days, rounded to whole days, or a dash if it is unknown.

    >>> days_text(1.2), days_text(1300.5), days_text(None)
    ('1 day', '1,301 days', '–')
    """
    return "–" if days is None or days != days else count_of(int(days + 0.5), "day")


def how_often(ratio: float) -> str:
    """Return a ratio of churn rates in words.

    The ratio is first rounded to two decimals, as in tables, so that 0.415 is shown as 0.41 and as
    "59 % less often" everywhere.

    >>> how_often(0.41), how_often(1.5), how_often(2.34), how_often(1.004)
    ('59 % less often', '50 % more often', '2.3 times as often', 'as often')
    """
    ratio = _two_decimals(ratio)
    if ratio >= 2:
        return f"{ratio:.1f} times as often"
    percent = round(abs(ratio - 1) * 100)
    if not percent:
        return "as often"
    return f"{percent} % {'less' if ratio < 1 else 'more'} often"


def how_often_between(low: float | None, high: float | None) -> str:
    """Return the limits of a ratio of churn rates in words, in the style of `how_often`.

    >>> how_often_between(0.27, 0.61), how_often_between(1.2, 1.5), how_often_between(2.1, 4)
    ('39 to 73 %', '20 to 50 %', '2.1 to 4.0 times')
    >>> how_often_between(0.48, 1.23), how_often_between(1.9, 7.2)
    ('52 % less often to 23 % more often', '1.9 to 7.2 times')
    """
    if low is None or high is None:
        return "no limit"
    low, high = _two_decimals(low), _two_decimals(high)
    if high < 1 or (low > 1 and high < 2):
        percent = sorted(round(abs(limit - 1) * 100) for limit in (low, high))
        return f"{percent[0]} to {percent[1]} %"
    if low >= 1:
        return f"{low:.1f} to {high:.1f} times"
    return f"{how_often(low)} to {how_often(high)}"


def _two_decimals(ratio: float) -> float:
    return float(f"{ratio:.2f}")


def count_of(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> count_of(1, "row"), count_of(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def plain_name(name: str) -> str:
    """Return the lower-case letters and digits of the name of a column or file.

    >>> plain_name("Created (UTC)"), plain_name("Kündigung_am")
    ('createdutc', 'kuendigungam')
    """
    spelt = name.lower()
    for letter, letters in {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "é": "e"}.items():
        spelt = spelt.replace(letter, letters)
    return "".join(sign for sign in spelt if sign.isascii() and sign.isalnum())


TITLE, LABEL, SMALL = 11.0, 9.0, 8.5
"""Font sizes in points: of titles, of labels, and of long lists."""
