"""Link the rows of a file to accounts by the ids that it shares with other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from leadsignal.ingestion.rows_of_accounts import RULES
from leadsignal.ingestion.store import Store
from leadsignal.phrases import share_text
from leadsignal.proposals.file_profile import FileProfile
from leadsignal.proposals.table_proposal import ColumnProposal, TableProposal, id_headers
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
