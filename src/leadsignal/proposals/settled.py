"""Determine how a table writes dates and numbers, as options or as questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from leadsignal.phrases import share_text
from leadsignal.proposals.file_profile import ColumnProfile
from leadsignal.proposals.table_proposal import ENOUGH, NUMERIC, USERS, TableProposal
from leadsignal.schema import BY_NAME

AMBIGUOUS = (("DD/MM/YYYY", "MM/DD/YYYY"), ("DD-MM-YYYY", "MM-DD-YYYY"), ("DD/MM/YY", "MM/DD/YY"))
"""Date notations that can read the same cell as different days."""
MAX_VALUES = 30
"""Maximum number of distinct values of a column that is offered as an attribute."""


def settled(table: TableProposal) -> TableProposal:
    """Return a table with the notation of its dates and numbers, and the share that it reads."""
    if table.table == USERS:
        return table
    kinds = BY_NAME[table.table].by_column
    by_kind: dict[str, list[ColumnProfile]] = {"dates": [], "decimal": []}
    profiles = {column.name: column for column in table.file.columns}
    for one in table.columns:
        kind = kinds[one.column].kind if one.column in kinds else "text"
        name = "dates" if kind in ("day", "moment") else "decimal" if kind in NUMERIC else ""
        if name and one.header in profiles:
            by_kind[name].append(profiles[one.header])
    table = _with_dates(table, by_kind["dates"])
    return _with_decimal(table, by_kind["decimal"])


def _with_dates(table: TableProposal, columns: list[ColumnProfile]) -> TableProposal:
    """Return a table with the notation that its dates need, column by column."""
    spellings: list[str] = []
    for column in columns:
        best = _best([column], "dates")
        pair = next((pair for pair in AMBIGUOUS if best in pair), None)
        if pair and column.dates.get(pair[0]) == column.dates.get(pair[1]):
            unclear = (value for value in column.values if not value[:4].isdigit())
            table = replace(table, is_ready=False).asking(
                f"Is {next(unclear, column.samples[0])} {pair[0]} or {pair[1]}?"
                f' Write dates = "{pair[0]}" or "{pair[1]}".'
            )
        elif best is not None and best not in spellings:
            spellings.append(best)
        table = _shared(table, [column], best, "dates")
    if not spellings or "dates" in table.options:
        return table
    stated = spellings[0] if len(spellings) == 1 else spellings
    return replace(table, options={**table.options, "dates": stated})


def _with_decimal(table: TableProposal, columns: list[ColumnProfile]) -> TableProposal:
    best = _best(columns, "numbers")
    if best is not None:
        table = replace(table, options={**table.options, "decimal": best})
    return _shared(table, columns, best, "numbers")


def _best(columns: list[ColumnProfile], what: str) -> str | None:
    """Return the notation that reads most of the cells; None if no setting is needed."""
    spellings: dict[str | None, None]
    spellings = dict.fromkeys(one for column in columns for one in getattr(column, what))
    shares = {one: _share(columns, what, one) for one in (None, *spellings)}
    return max(shares, key=lambda one: (shares[one], one is None))


def _share(columns: Iterable[ColumnProfile], what: str, spelling: object) -> float:
    found: list[float] = [getattr(column, what).get(spelling, 0.0) for column in columns]
    return sum(found) / max(len(found), 1)


def _shared(
    table: TableProposal, columns: list[ColumnProfile], spelling: object, what: str
) -> TableProposal:
    """Return a table whose columns have the share of non-empty cells that the notation reads."""
    shares = {
        column.name: getattr(column, what).get(spelling, 0.0) if column.filled else 1.0
        for column in columns
    }
    kept = tuple(
        replace(one, share=shares[one.header]) if one.header in shares else one
        for one in table.columns
    )
    return replace(table, columns=kept)


def refused(table: TableProposal) -> TableProposal:
    """Return a table without unreadable optional columns; required ones become questions."""
    if table.table == USERS:
        return table
    required = set(BY_NAME[table.table].required)
    bad = [one for one in table.columns if one.share < ENOUGH]
    for one in bad:
        what = f"{one.header} (as in {' and '.join(one.samples)})"
        question = (
            f"{what} cannot be read as {one.column}: {share_text(one.share)} of its cells can."
        )
        table = table.asking(question)
        if one.column in required:
            table = replace(table, is_ready=False)
    kept = tuple(one for one in table.columns if one not in bad or one.column in required)
    return replace(table, columns=kept)


def attribute_headers(table: TableProposal) -> list[str]:
    """Return the headers of accounts that may be attributes: they have few, repeated values."""
    where = table.options.get("where", {})
    filtered = set(where) if isinstance(where, Mapping) else set()
    used = {one.header for one in table.columns} | filtered
    return [
        column.name
        for column in table.file.columns
        if column.name not in used and 2 <= column.distinct <= MAX_VALUES
        and column.repeats >= 3 and not column.is_dated and column.filled >= 0.5
    ]  # fmt: skip
