"""Visibility at a day, against a slow and obvious reference in Python."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from leadsignal.schema import BY_NAME, TABLES, Column, Table
from leadsignal.tables import read_tables

FIRST = date(2023, 1, 1)
Row = dict[str, Any]


def day(rng: random.Random, first: int = 0, last: int = 60) -> date:
    return FIRST + timedelta(rng.randint(first, last))


def cell(rng: random.Random, column: Column) -> Any:
    if column.name == "account_id":
        return rng.choice("abcd")
    if column.allowed:
        return rng.choice(column.allowed)
    if column.kind in ("number", "decimal"):
        return float(rng.randint(0, 5))
    if column.kind == "integer":
        return rng.randint(1, 12)
    if column.kind == "boolean":
        return rng.random() < 0.5
    return rng.choice("xyz")


def random_row(rng: random.Random, table: Table, number: int) -> Row:
    row: Row = {}
    for column in table.columns:
        empty = not column.required and rng.random() < 0.4
        row[column.name] = None if empty else cell(rng, column)
    start = day(rng)
    for name in table.days:
        if row[name] is not None:
            row[name] = start if name == table.time else start + timedelta(rng.randint(0, 15))
    moment = datetime.combine(start, datetime.min.time())
    late = rng.choice((0, 5, 30, 100, 400, 1500))
    row["recorded_at"] = moment + timedelta(hours=late) if rng.random() < 0.7 else None
    if table.key and table.key != "account_id":
        row[table.key] = rng.choice((None, f"{row['account_id']}{rng.randint(0, 2)}"))
    if "event_id" in row:
        row["event_id"] = rng.choice((None, f"e{number}"))
    if table.name == "accounts":
        row["account_id"] = "abcd"[number % 4]
        row["currency"] = row["currency"] and "EUR"  # Amounts in several would be a fault.
    return row


def visible(table: Table, rows: list[Row], t: date) -> list[Row]:
    """Return the rows that hold at midnight of t, cut as docs/internals.md says."""
    known = [row for row in rows if known_on(table, row) < t]
    held = []
    for row in known:
        key = row[table.key] if table.key else None
        later = [
            other
            for other in known
            if key is not None
            and other[str(table.key)] == key
            and order(table, other) > order(table, row)
        ]
        if not later:
            held.append(cut(table, row, t))
    return held


def known_on(table: Table, row: Row) -> date:
    recorded, happened = row["recorded_at"], row[table.time]
    known: date = max(happened, recorded.date()) if recorded else happened
    return known


def order(table: Table, row: Row) -> datetime:
    midnight = datetime.combine(row[table.time], datetime.min.time())
    return row["recorded_at"] or midnight


def cut(table: Table, row: Row, t: date) -> Row:
    seen = dict(row)
    for second in table.second_dates:
        if row[second.column] is None or not row[second.column] < t:
            for name in (second.column, *second.also):
                seen[name] = None
    for column in table.columns:
        if seen[column.name] is None and column.default is not None:
            seen[column.name] = column.default
    seen["known_on"] = known_on(table, row)
    return seen


def plain(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def as_set(table: Table, rows: list[Row]) -> list[tuple[Any, ...]]:
    names = [*(column.name for column in table.columns), "known_on"]
    return sorted(tuple(str(plain(row[name])) for name in names) for row in rows)


def distinct_versions(table: Table, rows: list[Row]) -> list[Row]:
    """Keep one of rows that are told at one moment, whose order the reference does not know."""
    kept: dict[Any, Row] = {}
    for row in rows:
        key = row[table.key] if table.key else None
        kept[(key, order(table, row)) if key is not None else repr(row)] = row
    return list(kept.values())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_visible_rows_are_those_of_the_reference(table: Table) -> None:
    rng = random.Random(f"as of {table.name}")
    for _ in range(4):
        rows = [random_row(rng, table, n) for n in range(9 if table.name == "accounts" else 25)]
        rows = distinct_versions(table, rows)
        shuffled = rng.sample(rows, len(rows))
        frames = {table.name: pd.DataFrame(shuffled, dtype=object)}
        if table.name != "accounts":
            start = [FIRST] * 4
            frames["accounts"] = pd.DataFrame({"account_id": list("abcd"), "started_on": start})
        tables = read_tables(frames, as_of="2024-01-01")
        assert not tables.dropped
        for t in [FIRST, *(day(rng, 0, 130) for _ in range(5))]:
            cursor = tables.connection.cursor()
            query = cursor.execute(tables.as_of(t).sql(table.name))
            names = [described[0] for described in query.description]
            found = [dict(zip(names, row, strict=True)) for row in query.fetchall()]
            for row in found:
                for column in table.columns:
                    if column.kind == "decimal" and row[column.name] is not None:
                        row[column.name] = float(row[column.name])
            assert as_set(table, found) == as_set(table, visible(table, rows, t))


def test_history_keeps_replaced_versions_and_says_when_they_were_replaced() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": [FIRST]})
    commitments = pd.DataFrame(
        {
            "account_id": ["a", "a"],
            "agreed_on": ["2023-01-05", "2023-01-05"],
            "due_on": ["2023-02-01", "2023-03-01"],
            "action": ["train", "train"],
            "owner": ["vendor", "vendor"],
            "commitment_id": ["c", "c"],
            "recorded_at": ["2023-01-05T09:00", "2023-01-20T09:00"],
        }
    )
    tables = read_tables({"accounts": accounts, "commitments": commitments})
    assert tables.as_of_date == date(2023, 1, 21)

    def rows(t: str, history: bool) -> list[tuple[Any, ...]]:
        at = tables.as_of(t)
        sql = at.history("commitments") if history else at.sql("commitments")
        listed = f"SELECT due_on, known_on, superseded_on FROM ({sql}) ORDER BY ALL"
        return tables.connection.cursor().execute(listed).fetchall()

    first, second = date(2023, 2, 1), date(2023, 3, 1)
    told, moved = date(2023, 1, 5), date(2023, 1, 20)
    assert rows("2023-01-05", history=True) == []
    assert rows("2023-01-20", history=False) == [(first, told, None)]
    assert rows("2023-01-20", history=True) == [(first, told, None)]
    assert rows("2023-01-21", history=False) == [(second, moved, None)]
    assert rows("2023-01-21", history=True) == [(first, told, moved), (second, moved, None)]


def test_row_order_never_matters_even_for_versions_of_one_moment() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": [FIRST]})
    tickets = pd.DataFrame(
        {
            "account_id": "a",
            "opened_at": ["2023-01-05"] * 3,
            "ticket_id": "t",
            "severity": ["low", "high", "mid"],
            "recorded_at": ["2023-01-06"] * 3,
        }
    )
    found = set()
    for seed in range(6):
        shuffled = tickets.sample(frac=1, random_state=seed)
        tables = read_tables({"accounts": accounts, "tickets": shuffled}, as_of="2023-02-01")
        found.add(tuple(tables.frame("tickets")["severity"]))
    assert len(found) == 1


def test_an_end_and_its_reason_are_known_the_day_after() -> None:
    accounts = pd.DataFrame(
        {
            "account_id": ["a"],
            "started_on": ["2023-01-01"],
            "ended_on": ["2023-06-01"],
            "end_known_on": ["2023-04-01"],
            "end_reason": ["price"],
        }
    )
    assert read_tables({"accounts": accounts}).as_of_date == date(2023, 4, 2)  # known then
    tables = read_tables({"accounts": accounts}, as_of="2023-06-02")
    seen = {t: tables.as_of(t).frame("accounts").iloc[0] for t in ("2023-04-01", "2023-04-02")}
    assert pd.isna(seen["2023-04-01"]["end_known_on"])
    assert seen["2023-04-02"]["end_known_on"] == pd.Timestamp("2023-04-01")
    assert pd.isna(seen["2023-04-02"]["end_reason"])
    assert tables.frame("accounts")["end_reason"].item() == "price"
    assert tables.as_of("2023-01-01").frame("accounts").empty


def test_every_schema_column_is_there_typed() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": [FIRST]})
    frames = {"accounts": accounts}
    for table in TABLES[1:]:
        frames[table.name] = pd.DataFrame({name: ["2023-01-02"] for name in table.required})
        for column in table.columns:
            if column.required and column.kind in ("number", "decimal"):
                frames[table.name][column.name] = 1
            if column.required and column.allowed:
                frames[table.name][column.name] = column.allowed[0]
        frames[table.name]["account_id"] = "a"
    tables = read_tables(frames, as_of="2024-01-01")
    kinds = {"day": "DATE", "moment": "TIMESTAMP", "number": "DOUBLE", "integer": "INTEGER"}
    for name in tables.names:
        described = tables.connection.cursor().execute(f"DESCRIBE ({tables.sql(name)})").fetchall()
        found = {row[0]: row[1] for row in described}
        expected = [column.name for column in BY_NAME[name].columns]
        assert list(found) == [*expected, "known_on", "superseded_on"]
        for column in BY_NAME[name].columns:
            if column.kind in kinds:
                assert found[column.name] == kinds[column.kind]
    assert tables.frame("behaviors")["quantity"].item() == 1
    assert bool(tables.frame("results")["higher_is_better"].item()) is True
