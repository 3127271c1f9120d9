"""Rows at risk and frames of events that callers bring themselves."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.errors import OptionError, TablesError

START = pd.Timestamp("2022-01-03")


def test_a_gap_between_rows_is_time_away() -> None:
    # Account 1: 4 days in care, away for 6, then 5 on its own; account 2: 8 days in care.
    cohorts = ls.cohorts.DatedCohorts.from_rows(
        "care", ["in care", "alone"], [1, 1, 2], [0, 10, 0], [4, 15, 8], [0, 1, 1], [0, 1, 0]
    )
    days = (cohorts.row_stop - cohorts.row_start)[cohorts.row_state == 0].sum()
    assert days == 4 + 8
    assert repr(cohorts).splitlines()[1] == "  in care: 2 accounts, 12 account-days, 1 churns"


def test_an_end_before_the_last_row_is_refused() -> None:
    with pytest.raises(OptionError, match="account 1 ends on day 4"):
        ls.cohorts.DatedCohorts.from_rows(
            "care", ["in care", "alone"], [1, 1, 2], [0, 4, 0], [4, 15, 8], [1, 0, 1], [0, 1, 0]
        )


def test_rows_that_overlap_are_refused() -> None:
    with pytest.raises(OptionError, match="account 1 has rows that overlap"):
        ls.cohorts.DatedCohorts.from_rows(
            "care", ["in care", "alone"], [1, 1, 2], [0, 2, 0], [4, 15, 8], [0, 1, 1], [0, 1, 0]
        )


@pytest.fixture(scope="module")
def business() -> ls.Tables:
    """Forty accounts with ids 500 to 539, every second of which ends after 200 to 390 days."""
    number = pd.Series(range(40))
    started = START + pd.to_timedelta(number * 7, unit="D")
    ended = (started + pd.to_timedelta(200 + 5 * number, unit="D")).where(number % 2 == 0)
    accounts = pd.DataFrame(
        {"account_id": (500 + number).astype(str), "started_on": started, "ended_on": ended}
    )
    return ls.read_tables({"accounts": accounts}, as_of="2024-01-01")


@pytest.fixture
def events() -> pd.DataFrame:
    """The first 30 accounts, each with its event 20 to 107 days after its start, most in 2022."""
    number = pd.Series(range(30))
    on = START + pd.to_timedelta(number * 7 + 20 + 3 * number, unit="D")
    return pd.DataFrame({"account_id": (500 + number).astype(str), "on": on})


def rows_of(business: ls.Tables, frame: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ls.cohorts.dated_cohorts(business, frame).to_frame().itertuples()]


def test_the_frame_is_read_as_it_stands(business: ls.Tables, events: pd.DataFrame) -> None:
    rows = rows_of(business, events)
    assert rows[:2] == [(0, "500", 0, 20, "before event", 0), (1, "500", 20, 200, "event", 1)]


@pytest.mark.parametrize(
    "spelt",
    [
        lambda f: f.assign(account_id=f.account_id.astype(float)),
        lambda f: f.assign(account_id=f.account_id.astype(int)),
        lambda f: f.assign(account_id=f.account_id.astype("category")),
        lambda f: f.assign(on=f.on.dt.strftime("%Y-%m-%d")),
        lambda f: f.assign(on=f.on.dt.date),
        lambda f: f.assign(on=f.on.dt.strftime("%Y-%m-%dT13:30:00Z")),
        lambda f: f.assign(state="event"),
        lambda f: f.assign(note="call"),
        lambda f: pd.concat([f, f]),
        lambda f: f.sample(frac=1, random_state=1),
        lambda f: f.assign(account_id=f.account_id + ".0"),
        lambda f: f.assign(account_id="00" + f.account_id),
        lambda f: __import__("polars").from_pandas(f),
        lambda f: __import__("polars").from_pandas(f).lazy(),
        lambda f: __import__("pyarrow").Table.from_pandas(f),
    ],
)
def test_what_reading_tables_accepts_is_accepted(
    business: ls.Tables, events: pd.DataFrame, spelt: Any
) -> None:
    try:
        frame = spelt(events)
    except ImportError as error:
        pytest.skip(str(error))
    assert rows_of(business, frame) == rows_of(business, events)


@pytest.mark.parametrize(
    ("spelt", "told"),
    [
        (lambda f: f.assign(on=f.on.dt.strftime("%Y%m%d").astype(int)), "on: is not a date"),
        (lambda f: f.assign(on=f.on.astype("int64") // 10**9), "on: is not a date"),
        (lambda f: f.assign(on=(f.on.astype("int64") // 10**9).astype(float)), "on: is not a date"),
        (lambda f: f.assign(on=f.on.dt.strftime("%Y%m%d")), "on: is not a date"),
        (lambda f: f.assign(on="05/04/2022"), "03/04/2023 may be March or April"),
        (lambda f: f.assign(on=f.on.where(f.index != 3)), "by_frame:4: on: is empty"),
        (lambda f: f.assign(on=START - pd.Timedelta(days=1)), "is before the account's start"),
        (lambda f: f.assign(on="2023-12-30"), "is after the account's end"),
        (lambda f: f.assign(account_id=None), "account_id: is empty"),
        (lambda f: f.assign(state=["a", None] * 15), "15 rows, first in row 2: state: is empty"),
        (lambda f: f.assign(state=["a", ""] * 15), "15 rows, first in row 2: state: is empty"),
        (
            lambda f: f.assign(state=["a", float("nan")] * 15),
            "15 rows, first in row 2: state: is empty",
        ),
        (lambda f: f.assign(State="a"), "is not a known column; is it state"),
        (lambda f: f.rename(columns={"on": "day"}), "on: the column is missing"),
        (lambda f: f.drop(columns="account_id"), "account_id: the column is missing"),
        (
            lambda f: f.assign(account_id=f.account_id + " "),
            "has 500, with different spaces around it",
        ),
        (lambda f: f.assign(account_id="x" + f.account_id), "no such account in accounts"),
        (lambda f: list(f.itertuples()), "a list is not a frame"),
    ],
)
def test_what_reading_tables_refuses_is_refused(
    business: ls.Tables, events: pd.DataFrame, spelt: Any, told: str
) -> None:
    with pytest.raises(TablesError, match=told):
        ls.compare_cohorts(business, by=spelt(events))


def test_every_fault_of_the_frame_is_told_at_once(
    business: ls.Tables, events: pd.DataFrame
) -> None:
    events["state"] = "seen"
    events["on"] = events["on"].dt.strftime("%Y-%m-%d")
    events.loc[0, "account_id"], events.loc[1, "on"], events.loc[2, "state"] = "x", "soon", None
    with pytest.raises(TablesError) as caught:
        ls.cohorts.dated_cohorts(business, events)
    assert {(fault.line, fault.column) for fault in caught.value.faults} == {
        (1, "account_id"), (2, "on"), (3, "state"),
    }  # fmt: skip
    # A refused frame leaves nothing behind: the next one is read.
    assert len(rows_of(business, events.iloc[3:])) > 40


def test_two_states_on_one_day_are_a_fault(business: ls.Tables, events: pd.DataFrame) -> None:
    both = pd.concat([events.assign(state="a"), events.iloc[:2].assign(state="b")])
    with pytest.raises(TablesError, match=r"2 faults[\s\S]*several states from 2022-01-23 on"):
        ls.cohorts.dated_cohorts(business, both)


def test_the_state_before_may_be_given(business: ls.Tables, events: pd.DataFrame) -> None:
    back = events.assign(on=events["on"] + pd.Timedelta(days=30), state="before")
    rows = rows_of(business, pd.concat([events.assign(state="seen"), back]))
    assert [row[2:5] for row in rows[:3]] == [
        (0, 20, "before seen"), (20, 50, "seen"), (50, 200, "before seen"),
    ]  # fmt: skip


def test_an_empty_frame_compares_nothing(business: ls.Tables, events: pd.DataFrame) -> None:
    with pytest.raises(ls.ModelError, match="every account is before event"):
        ls.compare_cohorts(business, by=events.iloc[:0])
