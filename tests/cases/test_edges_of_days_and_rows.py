"""Edges: what happens on the very day, and values that equal their limit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import TablesError
from leadsignal.schema import TABLES, Column, Table

DAY = date(2023, 4, 12)
ACCOUNT = {"account_id": "a", "started_on": DAY - timedelta(days=40)}


def a_value(column: Column) -> Any:
    if column.kind in ("day", "moment"):
        return DAY
    if column.allowed:
        return column.allowed[0]
    return "a" if column.kind in ("id", "text") else 5


def row_of(table: Table, **given: Any) -> dict[str, Any]:
    """One row with what the table needs and what is given."""
    return {column.name: a_value(column) for column in table.columns if column.required} | given


def faults_of(table: Table, row: dict[str, Any]) -> list[str]:
    frames = {table.name: pd.DataFrame([row])}
    if table.name != "accounts":
        frames["accounts"] = pd.DataFrame([ACCOUNT])
    return [fault.problem for fault in ls.check_tables(frames, as_of="2023-09-01").faults]


ORDERED = [(table, *pair) for table in TABLES for pair in table.ordered]
LEAST = [(t, c) for t in TABLES for c in t.columns if c.minimum is not None]


@pytest.mark.parametrize(("table", "earlier", "later"), ORDERED)
def test_two_dates_may_be_of_one_day(table: Table, earlier: str, later: str) -> None:
    assert faults_of(table, row_of(table, **{earlier: DAY, later: DAY})) == []
    before = {earlier: DAY, later: DAY - timedelta(days=1)}
    assert faults_of(table, row_of(table, **before)) == [f"is before {earlier}"]


@pytest.mark.parametrize(("table", "column"), LEAST)
def test_a_number_may_equal_its_least_value(table: Table, column: Column) -> None:
    assert faults_of(table, row_of(table, **{column.name: column.minimum})) == []
    step = 1 if column.kind == "integer" else 0.01
    below = row_of(table, **{column.name: column.minimum - step})  # type: ignore[operator]
    assert faults_of(table, below) == [f"is below {column.minimum:g}"]


@pytest.mark.parametrize(
    ("day", "allowed"),
    [("1899-12-31", False), ("1900-01-01", True), ("2199-12-31", True), ("2200-01-01", False)],
)
def test_the_first_and_the_last_day_that_can_be(day: str, allowed: bool) -> None:
    frame = pd.DataFrame({"account_id": ["a"], "started_on": [day]})
    assert ls.check_tables({"accounts": frame}, as_of="2023-01-01").ok is allowed


@pytest.mark.parametrize("outside", ["exclude", "fault"])
def test_the_days_of_start_and_end_belong_to_the_life(outside: Any) -> None:
    end = DAY + timedelta(days=9)
    accounts = pd.DataFrame([{"account_id": "a", "started_on": DAY, "ended_on": end}])
    project = Project(tables={"behaviors": TableSource(outside=outside)})

    def rows(*days: date) -> int:
        events = pd.DataFrame({"account_id": "a", "occurred_at": list(days), "behavior": "met"})
        frames = {"accounts": accounts, "behaviors": events}
        return ls.read_tables(frames, project=project, as_of="2023-09-01").coverage[
            "behaviors"
        ].rows  # fmt: skip

    assert rows(DAY, end) == 2
    one = timedelta(days=1)
    if outside == "exclude":
        assert rows(DAY - one, DAY, end, end + one) == 2
        return
    for day in (DAY - one, end + one):
        with pytest.raises(TablesError):
            rows(day)


SECOND = [(table, second.column) for table in TABLES for second in table.second_dates]


@pytest.mark.parametrize(("table", "column"), SECOND)
def test_a_second_date_is_blank_until_the_day_after(table: Table, column: str) -> None:
    later = DAY + timedelta(days=5)
    frames = {"accounts": pd.DataFrame([ACCOUNT])}
    frames[table.name] = pd.DataFrame([row_of(table, **{column: later})])
    tables = ls.read_tables(frames, as_of="2023-09-01")
    cells = [tables.as_of(later + timedelta(days=k)).frame(table.name)[column][0] for k in (0, 1)]
    assert pd.isna(cells[0])
    assert cells[1] == pd.Timestamp(later)


def test_a_row_is_known_at_the_midnight_after_its_day() -> None:
    events = pd.DataFrame(
        {
            "account_id": ["a", "a"],
            "occurred_at": [DAY, DAY],
            "behavior": ["met", "called"],
            "recorded_at": [None, f"{DAY + timedelta(days=3)}T12:00:00"],
        }
    )
    frames = {"accounts": pd.DataFrame([ACCOUNT]), "behaviors": events}
    whole = Project(tables={"behaviors": TableSource(complete_from=date(2023, 1, 1))})
    tables = ls.read_tables(frames, project=whole)
    seen = [tables.as_of(DAY + timedelta(days=k)).coverage["behaviors"].rows for k in range(6)]
    assert seen == [0, 1, 1, 1, 2, 2]
    panel = ls.build_panel(tables.as_of(DAY + timedelta(days=5)), every="1d")
    counted = panel.frame.set_index("snapshot_on")["activity_events_30d"]
    days = [pd.Timestamp(DAY + timedelta(days=k)) for k in range(1, 6)]
    assert counted[days].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]


def ended() -> ls.Panel:
    accounts = pd.DataFrame(
        [
            {
                "account_id": "a",
                "started_on": DAY,
                "ended_on": DAY + timedelta(days=60),
                "end_known_on": DAY + timedelta(days=30),
            },
            {"account_id": "b", "started_on": DAY, "ended_on": None, "end_known_on": None},
        ]
    )
    tables = ls.read_tables({"accounts": accounts}, as_of=DAY + timedelta(days=200))
    return ls.build_panel(tables, every="7d")


@pytest.mark.parametrize(
    ("after", "end", "notice"), [(30, 0, 0), (31, 0, 1), (60, 0, 1), (61, 1, 1)]
)
def test_an_end_is_known_the_day_after_and_no_day_sooner(after: int, end: int, notice: int) -> None:
    panel, cut = ended(), DAY + timedelta(days=after)
    recut = panel.as_of(cut).frame
    assert (recut["snapshot_on"] < pd.Timestamp(cut)).all()
    mine = recut[recut["account_id"] == "a"]
    assert mine["event"].sum() == end
    assert mine["ended_within"].notna().all() == bool(end)
    assert mine["known_within"].notna().all() == bool(notice)
    assert (recut["days_observed"] <= after).all()
    assert (recut["stop"] <= after).all()
