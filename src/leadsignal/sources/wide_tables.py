"""Recognise tables with one column per month, and write the query that reshapes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from leadsignal.schema import Table
from leadsignal.sources.parts import literal, quoted

MIN_MONTHS = 2
_NAMES = "(January|February|March|April|May|June|July|August|September|October|November|December)"
_SHORT = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
MONTHS: tuple[tuple[str, str], ...] = (
    ("[0-9]{4}-[0-9]{2}-[0-9]{2}", "%Y-%m-%d"),
    ("[0-9]{4}-[0-9]{1,2}", "%Y-%m"),
    ("[0-9]{4}/[0-9]{1,2}", "%Y/%m"),
    ("[0-9]{4}[.][0-9]{1,2}", "%Y.%m"),
    ("[0-9]{4}_[0-9]{1,2}", "%Y_%m"),
    ("(19|20)[0-9]{2}[01][0-9]", "%Y%m"),
    ("[0-9]{1,2}/[0-9]{4}", "%m/%Y"),
    ("[0-9]{1,2}-[0-9]{4}", "%m-%Y"),
    ("[0-9]{1,2}[.][0-9]{4}", "%m.%Y"),
    (f"{_SHORT} [0-9]{{4}}", "%b %Y"),
    (f"{_SHORT}-[0-9]{{4}}", "%b-%Y"),
    (f"{_SHORT}[0-9]{{4}}", "%b%Y"),
    (f"{_SHORT}_[0-9]{{4}}", "%b_%Y"),
    (f"{_SHORT} [0-9]{{2}}", "%b %y"),
    (f"{_SHORT}-[0-9]{{2}}", "%b-%y"),
    (f"{_SHORT} '[0-9]{{2}}", "%b '%y"),
    (f"{_NAMES} [0-9]{{4}}", "%B %Y"),
    (f"[0-9]{{4}}-{_SHORT}", "%Y-%b"),
)
"""Patterns of column names that are months, and their format in DuckDB."""


def named_after_months(names: Iterable[str]) -> tuple[str, list[str]]:
    """Return the month pattern that most names match, and these names; empty if only one matches.

    Two full dates may be the start and end of a row; three are months.

    >>> named_after_months(["account_id", "2023-01", "2023-02"])[1]
    ['2023-01', '2023-02']
    """
    names = list(names)
    by_pattern = {p: [name for name in names if re.fullmatch(p, name)] for p, _ in MONTHS}
    pattern = max(by_pattern, key=lambda one: len(by_pattern[one]))
    months = by_pattern[pattern]
    fewest = MIN_MONTHS + (pattern == MONTHS[0][0])
    return pattern, months if len(set(months)) >= fewest else []


def unpivoting_query(
    table: Table, file: str, account: str | None, columns: Iterable[str]
) -> str | None:
    """Return the query that gives one row per month; None if the columns are not months.

    ``account`` is the name of the account column, if known.
    """
    names = list(columns)
    values = [c.name for c in table.columns if c.required and c.kind in ("decimal", "number")]
    others = {c.name for c in table.columns if c.required} - {"account_id", table.time, *values}
    pattern, months = named_after_months(names)
    if len(values) != 1 or others or not months:
        return None
    ids = [name for name in names if name not in months]
    account = account or (ids[0] if ids else None)
    if account is None:
        return None
    renamed = account if account == "account_id" else f"{quoted(account)} AS account_id"
    day = f"CAST(strptime(month, {literal(dict(MONTHS)[pattern])}) AS DATE)"
    return (
        f"SELECT {renamed}, {day} AS {table.time}, {values[0]} FROM (UNPIVOT {literal(file)} "
        f"ON COLUMNS({literal(f'^{pattern}$')}) INTO NAME month VALUE {values[0]})"
    )
