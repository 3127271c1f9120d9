"""Ids that two systems write differently: matched where one rule explains all of them."""

from __future__ import annotations

from leadsignal.ingestion.store import Store

RULES: tuple[tuple[str, str], ...] = (
    ("a .0 behind whole numbers", "regexp_replace({}, '^([0-9]+)[.]0+$', '\\1')"),
    ("zeros before numbers", "regexp_replace({}, '^0+([0-9]+)$', '\\1')"),
    (
        "15 or 18 characters of an id",
        "CASE WHEN regexp_full_match({0}, '[A-Za-z0-9]{{18}}') THEN left({0}, 15) ELSE {0} END",
    ),
)
"""What exports add to an id or take from it, and SQL of an id without that."""


def match_written_ids(store: Store, table: str, accounts: str) -> str | None:
    """Replace the ids of a table by those of accounts; return a remark, or None where none is.

    Exactly one rule has to match every id of the table with one account, one to one.
    """
    found = [(what, rule) for what, rule in RULES if _explains(store, table, accounts, rule)]
    if len(found) != 1:
        return None
    ((what, rule),) = found
    ours, theirs = rule.format("a.account_id"), rule.format("t.account_id")
    ((ids,),) = store.query(
        f"SELECT count(DISTINCT t.account_id) FROM {table} t "
        f"ANTI JOIN {accounts} a ON t.account_id = a.account_id"
    )
    store.run(
        f"UPDATE {table} AS t SET account_id = a.account_id FROM {accounts} AS a "
        f"WHERE {theirs} = {ours} AND t.account_id <> a.account_id"
    )
    return (
        f"{ids:,} account id{'' if ids == 1 else 's'} differ{'s' * (ids == 1)} from accounts only "
        f"by {what}, one to one: matched"
    )


def _explains(store: Store, table: str, accounts: str, rule: str) -> bool:
    """Return whether a rule matches every id of a table with one account, one to one."""
    bare = rule.format("account_id")
    ((ids, bare_ids, known),) = store.query(
        f"WITH ours AS (SELECT {bare} AS bare FROM {accounts} GROUP BY 1 HAVING count(*) = 1), "
        f"theirs AS (SELECT account_id, {bare} AS bare FROM {table} "
        "WHERE account_id IS NOT NULL GROUP BY ALL) "
        "SELECT count(*), count(DISTINCT bare), "
        "count(*) FILTER (WHERE bare IN (SELECT bare FROM ours)) FROM theirs"
    )
    return bool(ids == bare_ids == known)
