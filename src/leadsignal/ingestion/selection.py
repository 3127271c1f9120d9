"""Rows left out on purpose: by ``where``, of unknown users, or of events sent twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from leadsignal.config.table_settings import TableSource
from leadsignal.config.toml_files import one_of
from leadsignal.errors import Fault
from leadsignal.ingestion.store import Store
from leadsignal.package_data import packaged_queries
from leadsignal.phrases import count_of
from leadsignal.schema import Column, Table
from leadsignal.sources.parts import Part, literal, quoted

WHERE, USER, SOURCE_ROW = "where\t", "user\t", "source row\t"
"""Names of the store's own columns; names of source columns have no tab."""
MAX_VALUES = 1_000
"""Number of the most frequent values of a column that are searched for the one meant."""
USERS = "users_of_"

Query = Callable[[str], list[tuple[Any, ...]]]


def users_table(table: str) -> Table:
    """Return the schema of the table that maps a table's users to accounts."""
    columns = (
        Column("user_id", "id", "the user", required=True),
        Column("account_id", "id", "the account of the user", required=True),
    )
    return Table(f"{USERS}{table}", "accounts of users", time="", columns=columns)


def markers(source: TableSource) -> dict[str, str]:
    """Return the columns that select rows: the store's name of each, and the source's."""
    found = {f"{WHERE}{name}": name for name in source.where}
    if source.users is not None:
        found[USER] = source.columns.get("user_id", "user_id")
    return found


def requiring(table: Table, is_required: Callable[[Column], bool]) -> Table:
    """Return a table with other required columns."""
    columns = [replace(column, required=is_required(column)) for column in table.columns]
    return replace(table, columns=tuple(columns))


def without_lifetimes(accounts: Table) -> Table:
    """Return the table of accounts with only account_id required; contracts give the rest."""
    return requiring(accounts, lambda column: column.name == "account_id")


def without_account(table: Table, source: TableSource) -> Table:
    """Return a table with account_id optional, if users identify the account."""
    if source.users is None:
        return table
    return requiring(table, lambda column: column.required and column.name != "account_id")


def missing_markers(part: Part, source: TableSource, table: Table) -> Iterator[Fault]:
    """Yield a fault for each column of ``where`` and ``users`` that a part lacks."""
    theirs = list(part.columns)
    for ours, name in markers(source).items():
        if name in theirs:
            continue
        what = "users needs" if ours == USER else "where names"
        problem = f"there is no column {name!r}, which {what}"
        if ours == USER:
            problem, name = f"there is no column {name!r}, by which users are found", "user_id"
        line, remedy = part.header_line, f"{one_of(theirs, name)}."
        yield Fault(part.file, table.name, line, name, None, problem, remedy)


def select_rows(
    store: Store, table: Table, source: TableSource, columns: list[str], file: str | None
) -> tuple[list[Fault], list[str]]:
    """Drop rows of a table in the store; return faults, or else notices of how many.

    The remaining rows store their position in the source in a separate column.
    """
    faults = [*_unknown_values(store.query, table.name, source, file)]
    if faults:
        return faults, []
    name, account = table.name, "t.account_id"
    requested, joined = _requested(source), ""
    unknown = "false"
    if source.users is not None:
        users = f"{USERS}{name}"
        joined = f" LEFT JOIN {users} u ON t.{quoted(USER)} = u.user_id"
        account = "coalesce(t.account_id, u.account_id)"
        unknown = f"t.account_id IS NULL AND t.{quoted(USER)} IS NOT NULL AND u.user_id IS NULL"
    again = "false"
    if "event_id" in columns:
        first = f"row_number() OVER (PARTITION BY {requested}, event_id ORDER BY t.rowid)"
        again = f"event_id IS NOT NULL AND {first} > 1"
    counted = (
        f"SELECT t.rowid AS row, {account} AS account, {requested} AS requested, {again} AS again, "
        f"{unknown} AS unknown{f', t.{quoted(USER)} AS owner' if joined else ', NULL AS owner'} "
        f"FROM {name} t{joined}"
    )
    store.run(f"CREATE TABLE chosen AS {counted}")
    remarks = [*_remarks(store.query, source)]
    if source.users is not None and (nobody := _nobody_known(store.query, name, file)):
        store.run("DROP TABLE chosen")
        return [nobody], []
    columns = [row[0] for row in store.query(f"DESCRIBE {name}")]
    others = [quoted(c) for c in columns if c not in markers(source)]
    listed = ", ".join(
        "c.account AS account_id" if c == '"account_id"' else f"t.{c}" for c in others
    )
    store.run(
        f"CREATE TABLE chosen_rows AS SELECT {listed}, c.row AS {quoted(SOURCE_ROW)} FROM {name} t "
        "JOIN chosen c ON t.rowid = c.row WHERE c.requested AND NOT c.again AND NOT c.unknown "
        "ORDER BY c.row"
    )
    store.run(f"DROP TABLE {name}")
    store.run("DROP TABLE chosen")
    store.run(f"ALTER TABLE chosen_rows RENAME TO {name}")
    return [], remarks


def _requested(source: TableSource) -> str:
    """SQL: whether a row satisfies ``where``."""
    every = [
        _has_one(f"t.{quoted(f'{WHERE}{name}')}", values) for name, values in source.where.items()
    ]
    return " AND ".join(every) or "true"


def _has_one(cell: str, values: tuple[str, ...]) -> str:
    return f"({' OR '.join(_has(cell, value) for value in values)})"


def _has(cell: str, value: str) -> str:
    if value in ("true", "false"):
        return f"coalesce(lower({cell}) = {literal(value)}, false)"
    return f"coalesce({cell}, '') = {literal(value)}"


def _unknown_values(
    query: Query, table: str, source: TableSource, file: str | None
) -> Iterator[Fault]:
    for name, values in source.where.items():
        cell = quoted(f"{WHERE}{name}")
        for value in values:
            if query(f"SELECT 1 FROM {table} WHERE {_has(cell, value)} LIMIT 1"):
                continue
            found = query(
                f"SELECT {cell} FROM {table} WHERE {cell} IS NOT NULL GROUP BY 1 "
                f"ORDER BY count(*) DESC, 1 LIMIT {MAX_VALUES}"
            )
            known = [text for (text,) in found]
            problem = "no row has this value, which where names"
            remedy = f"{one_of(known, value)}." if known else "The column is empty."
            yield Fault(file, table, None, name, value, problem, remedy)


def _remarks(query: Query, source: TableSource) -> Iterator[str]:
    chosen = packaged_queries("leadsignal.ingestion", "rows.sql")["chosen"]
    ((rows, excluded, again, unknown, owners, first),) = query(chosen)
    if excluded:
        columns = ", ".join(source.where)
        yield f"{count_of(excluded, 'row')} of {rows:,} left out by where ({columns})"
    if again:
        yield f"{count_of(again, 'row')} left out: an earlier row has the same event_id"
    if unknown:
        values = f"{count_of(owners, 'value')} of {source.columns.get('user_id', 'user_id')}"
        named = source.users.path if isinstance(source.users, TableSource) else ""
        where = f"in {named or 'users'}"
        yield f"{count_of(unknown, 'row')} left out: {values} not {where}, as {first!r}"


def _nobody_known(query: Query, table: str, file: str | None) -> Fault | None:
    """Return the fault that no user is known, which means a mistake in one of the two tables."""
    ((unknown, known, example),) = query(
        "SELECT count(*) FILTER (WHERE unknown), count(*) FILTER (WHERE account IS NOT NULL), "
        "min(owner) FROM chosen WHERE requested"
    )
    if not unknown or known:
        return None
    ((other,),) = query(f"SELECT min(user_id) FROM {USERS}{table}")
    problem = f"users lists none of these users; its ids look like {other!r}"
    remedy = 'Map the column that matches it: columns = { user_id = "…" }.'
    return Fault(file, table, None, "user_id", example, problem, remedy)


def source_rows(query: Query, table: str, rows: list[int]) -> Mapping[int, int]:
    """Return the source positions of rows of a table from which others were dropped."""
    if not rows:
        return {}
    listed = ", ".join(map(str, rows))
    found = query(f"SELECT rowid, {quoted(SOURCE_ROW)} FROM {table} WHERE rowid IN ({listed})")
    return {int(row): int(place) for row, place in found}
