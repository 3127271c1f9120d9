"""Edges of the stretches: no time at risk, neighbours alike, the state in which accounts enter."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cohorts import DatedCohorts, dated_cohorts
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import OptionError


def made(entry: int, stop: int, *changes: tuple[int, int]) -> list[tuple[Any, ...]]:
    """Return the stretches of account a with these changes; b is in state 1, c in 0."""
    cohorts = DatedCohorts.from_changes(
        "used", ("no", "yes"), ["a", "b", "c"], [stop, 9, 9], [1, 0, 0],
        ([0] * len(changes) + [1], [d for d, _ in changes] + [-1], [s for _, s in changes] + [1]),
        entry=[entry, 0, 0],
    )  # fmt: skip
    rows = cohorts.to_frame()
    return [tuple(row)[1:] for row in rows[rows["account_id"] == "a"].itertuples(index=False)]


@pytest.mark.parametrize(("entry", "stop"), [(0, 0), (30, 30), (30, 20)])
def test_an_account_without_time_at_risk_is_refused(entry: int, stop: int) -> None:
    with pytest.raises(OptionError, match="1 accounts have no time at risk, the first 'a'"):
        made(entry, stop)


def test_one_day_at_risk_is_enough() -> None:
    assert made(29, 30) == [(29, 30, "no", 1)]


def test_changes_to_the_same_state_make_one_stretch() -> None:
    assert made(0, 90, (10, 0), (40, 1), (50, 1), (60, 1)) == [(0, 40, "no", 0), (40, 90, "yes", 1)]
    # And rows of a caller, which say that nobody moves.
    cohorts = DatedCohorts.from_rows(
        "used", ("no", "yes"), [1, 1, 2], [0, 5, 0], [5, 9, 7], [0, 1, 0], [0, 0, 1]
    )
    assert cohorts.row_stop.tolist() == [9, 7]
    # Rows of two accounts stay apart, though their state and their days are alike.
    alike = DatedCohorts.from_rows(
        "used", ("no", "yes"), [1, 2, 3], [0, 5, 0], [5, 9, 7], [0, 1, 0], [0, 0, 1]
    )
    assert alike.row_stop.tolist() == [5, 9, 7]


def test_a_change_before_or_at_entry_is_the_state_of_entry() -> None:
    assert made(50, 90, (20, 1)) == [(50, 90, "yes", 1)]
    assert made(50, 90, (50, 1)) == [(50, 90, "yes", 1)]
    assert made(50, 90, (51, 1)) == [(50, 51, "no", 0), (51, 90, "yes", 1)]
    assert made(50, 90, (10, 1), (30, 0)) == [(50, 90, "no", 1)]


def test_a_change_at_the_end_or_later_changes_nothing() -> None:
    assert made(0, 90, (90, 1), (95, 1)) == [(0, 90, "no", 1)]
    assert made(0, 90, (89, 1)) == [(0, 89, "no", 0), (89, 90, "yes", 1)]


def test_of_two_changes_on_one_day_the_later_given_stands() -> None:
    assert made(0, 90, (40, 1), (40, 0)) == [(0, 90, "no", 1)]


def test_the_state_of_a_day_is_the_one_just_after_it() -> None:
    cohorts = DatedCohorts.from_changes(
        "used", ("no", "yes"), ["a", "b"], [90, 60], [1, 0], ([0], [40], [1]), entry=[10, 0]
    )
    held = {day: cohorts.state_at(day).tolist() for day in (9, 10, 39, 40, 59, 60, 89, 90)}
    assert held == {
        9: [-1, 0], 10: [0, 0], 39: [0, 0], 40: [1, 0], 59: [1, 0], 60: [1, -1], 89: [1, -1],
        90: [-1, -1],
    }  # fmt: skip


def test_accounts_that_start_once_the_table_has_stopped_are_left_out() -> None:
    # Results are complete through 2022-03-31: whoever starts on 2022-04-01 has no day at risk.
    accounts = pd.DataFrame(
        {"account_id": list("abc"), "started_on": ["2022-01-01", "2022-03-31", "2022-04-01"]}
    )
    results = pd.DataFrame(
        {"account_id": ["a"], "measured_on": ["2022-02-01"], "value": [1.0], "target": [2.0]}
    )
    project = Project(
        tables={
            "results": TableSource(
                complete_from=date(2022, 1, 1), complete_through=date(2022, 3, 31)
            )
        }
    )
    tables = ls.read_tables(
        {"accounts": accounts, "results": results}, as_of="2022-12-01", project=project
    )
    cohorts = dated_cohorts(tables, "measured")
    assert cohorts.accounts.tolist() == ["a", "b"]
    assert cohorts.stop.tolist() == [90, 1]
