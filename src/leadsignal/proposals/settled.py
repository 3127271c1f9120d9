"""Link a table to accounts by ids, and determine how it writes dates and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from leadsignal.formats import share_text
from leadsignal.ingestion.rows_of_accounts import RULES
from leadsignal.ingestion.store import Store
from leadsignal.proposals.file_profile import ColumnProfile, FileProfile
from leadsignal.proposals.table_proposal import (
    ENOUGH,
    NUMERIC,
    USERS,
    ColumnProposal,
    TableProposal,
    id_headers,
)
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import literal, quoted

SHARED = 0.5
"""Minimum share of the ids that must occur among the accounts."""
COMPARED = 5_000
"""Maximum number of distinct values that are looked up."""


@dataclass(frozen=True)
class Ids:
    """A column of ids in a file; ``is_filtered`` if not all of its rows are read."""

    file: FileProfile
    header: str
    is_filtered: bool = False

    def values(self, loosely: bool) -> str:
        """Return SQL for its values; ``loosely`` without characters that exports add or drop."""
        cell = quoted(self.header)
        value = f"CAST({cell} AS VARCHAR)"
        for _, rule in RULES if loosely else ():
            value = rule.format(value)
        return f"SELECT {value} FROM {self.file.relation} WHERE {cell} IS NOT NULL"


def shared(store: Store, ids: Ids, others: Ids, loosely: bool = True) -> float:
    """Return the share of the distinct values of ``ids`` that occur in ``others``.

    With ``loosely``, 17850.0 equals 17850, 00123 equals 123, and ids of 15 characters equal those
    of 18.
    """
    found: float | None = store.query(
        f"SELECT avg(CAST(v IN ({others.values(loosely)}) AS INT)) FROM"
        f" (SELECT DISTINCT v FROM ({ids.values(loosely)}) AS t(v) LIMIT {COMPARED}) AS d"
    )[0][0]
    return found or 0.0


def linked(
    store: Store, table: TableProposal, accounts: Ids, files: Sequence[FileProfile]
) -> TableProposal:
    """Return a table with its rows linked to accounts, by a column or through another file."""
    if "query" in table.options and table.header_of("account_id"):
        return table
    headers = id_headers(table.file)
    stated = table.header_of("account_id")
    first = [stated, *(h for h in headers if h != stated)] if stated else headers
    shares = {header: shared(store, Ids(table.file, header), accounts) for header in first}
    best = stated if stated and shares[stated] >= SHARED else max(
        first, key=lambda header: shares[header], default=None
    )  # fmt: skip
    if best is not None and shares[best] >= SHARED:
        return _by_column(store, table, best, shares[best], accounts)
    for file in files:
        found = _through(store, table, file, accounts)
        if found is not None:
            return found
    nearest = f" ({best}: {share_text(shares[best])})" if best is not None and shares[best] else ""
    question = table.if_unlinked or "Which column identifies the account?"
    return replace(table, is_ready=False).asking(
        f"{question} No column contains ids of {accounts.file.path}{nearest}."
    )


def _by_column(
    store: Store, table: TableProposal, header: str, share: float, accounts: Ids
) -> TableProposal:
    ids = Ids(table.file, header)
    reason = f"{_percent(share)} of its values are in {accounts.file.path}"
    if shared(store, ids, accounts, loosely=False) < share:
        reason += ", some written differently"
    samples = table.file.column(header).samples
    table = table.with_column(ColumnProposal("account_id", header, reason, 1.0, samples))
    return _without_strangers(store, table, ids, accounts)


def _without_strangers(store: Store, table: TableProposal, ids: Ids, others: Ids) -> TableProposal:
    """Return a table that leaves out rows without an account, if there are or may be any."""
    cell, file = quoted(ids.header), ids.file.relation
    missing = f"SELECT count(*) FROM {file} WHERE {cell} IS NULL"
    strange = f"SELECT 1 FROM ({ids.values(True)}) AS t(v) WHERE v NOT IN ({others.values(True)})"
    ((some,),) = store.query(f"SELECT ({missing}) > 0 OR EXISTS ({strange})")
    if not some and not others.is_filtered:
        return table
    return replace(table, options={**table.options, "unknown": "exclude"})


def _through(
    store: Store, table: TableProposal, file: FileProfile, accounts: Ids
) -> TableProposal | None:
    """Return a table linked to accounts through a file that maps keys to accounts."""
    if file.relation == table.file.relation:
        return None
    account = account_header(store, file, accounts)
    if account is None:
        return None
    keys = [name for name in id_headers(file) if name != account]
    for header in id_headers(table.file):
        for key in keys:
            share = shared(store, Ids(table.file, header), Ids(file, key))
            if share >= SHARED and _names_one(store, file, key, account):
                found = _through_users(table, header, Ids(file, key), account, share)
                known = replace(Ids(file, key), is_filtered=True)
                return _without_strangers(store, found, Ids(table.file, header), known)
    return None


def _names_one(store: Store, file: FileProfile, key: str, account: str) -> bool:
    """Return whether each key has only one account."""
    pair = f"{quoted(key)}, {quoted(account)}"
    ((keys, pairs),) = store.query(
        f"SELECT count(DISTINCT {quoted(key)}), count(DISTINCT ({pair})) FROM {file.relation}"
        f" WHERE {quoted(key)} IS NOT NULL AND {quoted(account)} IS NOT NULL"
    )
    return bool(keys > 1 and keys == pairs)


def account_header(store: Store, file: FileProfile, accounts: Ids) -> str | None:
    """Return the column of a file with ids of accounts; None if there is none."""
    if file.relation == accounts.file.relation:
        return accounts.header
    shares = {h: shared(store, Ids(file, h), accounts) for h in id_headers(file)}
    best = max(shares, key=lambda header: shares[header], default=None)
    return best if best is not None and shares[best] >= SHARED else None


def _percent(share: float) -> str:
    """Return a share as text, with 100 % only for all of them."""
    return share_text(share if share == 1 else min(share, 0.99))


def _through_users(
    table: TableProposal, header: str, key: Ids, account: str, share: float
) -> TableProposal:
    path = key.file.path
    users: dict[str, object] = {
        "path": path,
        **key.file.options,
        "columns": {"user_id": key.header, "account_id": account},
    }
    if not key.file.column(key.header).is_unique:
        listed = f"{quoted(key.header)} AS user_id, {quoted(account)} AS account_id"
        users = {"query": f"SELECT DISTINCT {listed} FROM {literal(path)}"}
    reason = f"{_percent(share)} of its values are {key.header} in {path}, which says the account"
    samples = table.file.column(header).samples
    kept = tuple(one for one in table.columns if one.column != "account_id")
    table = replace(table, columns=kept)
    linked = table.with_column(ColumnProposal("user_id", header, reason, 1.0, samples))
    return replace(linked, options={**linked.options, "users": users})


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
