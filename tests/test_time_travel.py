"""No row of the panel shows anything that its midnight could not have known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random

import pandas as pd
import pytest

from futures import as_bytes, disagreements, other_future, see, travel
from leadsignal.config.project import Project
from leadsignal.config.success import SuccessAnalysis
from leadsignal.panel import build_panel
from random_tables import Case, Row, random_case

IDS = {
    "account_id": 24,
    "customer_id": 25,
    "user_id": 3,
    "ticket_id": 7,
    "plan_id": 8,
    "commitment_id": 9,
}
"""Columns of ids, each with a number that its new names are made from."""


@pytest.mark.parametrize("seed", range(10))
def test_another_future_changes_nothing_before(seed: int) -> None:
    """A few of the cases of benchmarks/time_travel.py."""
    assert travel(random_case(seed), 2, seed) == []


def test_the_other_future_is_another() -> None:
    """The test would prove nothing if the changes did not reach the panel after the cut."""
    case, rng = random_case(3), Random(3)
    t = case.as_of - timedelta(days=200)
    here, there = see(case), see(other_future(case, t, rng))
    later = [seen.frame[seen.frame["snapshot_on"] > pd.Timestamp(t)] for seen in (here, there)]
    keys = ["account_id", "snapshot_on"]
    both = later[0][keys].merge(later[1][keys])
    left, right = (both.merge(frame) for frame in later)
    changed = [n for n in here.indicators if as_bytes(left[[n]]) != as_bytes(right[[n]])]
    assert len(changed) > len(here.indicators) / 2


def test_a_change_before_the_cut_is_seen() -> None:
    """A row known before t, taken away, must show: the comparison is not blind."""
    case = random_case(3)
    t = case.as_of - timedelta(days=100)
    usage = [row for row in case.tables["usage"] if row["used_on"] >= t]
    assert disagreements(see(case), see(case.with_tables({**case.tables, "usage": usage})), t)


# What must not matter -----------------------------------------------------------------------------


def panel_bytes(case: Case, shuffle: Random | None = None, threads: int | None = None) -> bytes:
    tables = case.read(shuffle)
    if threads:
        tables.connection.execute(f"SET threads = {threads}")
    return as_bytes(build_panel(tables, case.analysis).frame)


@pytest.mark.parametrize("seed", range(40, 43))
def test_order_of_rows_and_columns_does_not_matter(seed: int) -> None:
    case = random_case(seed)
    assert panel_bytes(case) == panel_bytes(case, Random(seed))


@pytest.mark.parametrize("seed", range(40, 43))
def test_number_of_threads_does_not_matter(seed: int) -> None:
    case = random_case(seed)
    assert panel_bytes(case, threads=1) == panel_bytes(case, Random(seed), threads=2)


def kept_order(column: str, given: str) -> str:
    return f"{column[0]}-{given}!"


def broken_order(column: str, given: str) -> str:
    """A name that sorts otherwise: the letters of the old one, shifted and turned around."""
    shift = IDS[column]
    turned = "".join(chr(0x21 + (ord(letter) * shift + 7) % 89) for letter in reversed(given))
    return turned + given


@pytest.mark.parametrize("rename", [kept_order, broken_order])
@pytest.mark.parametrize("seed", range(50, 52))
def test_names_of_ids_do_not_matter(seed: int, rename: Callable[[str, str], str]) -> None:
    case = random_case(seed)
    old: dict[str, str] = {}

    def renamed(row: Row) -> Row:
        new = {c: rename(c, v) if c in IDS and v is not None else v for c, v in row.items()}
        old.update({new[c]: row[c] for c in ("account_id", "customer_id") if row.get(c)})
        return new

    tables = {name: [renamed(row) for row in rows] for name, rows in case.tables.items()}
    frame = build_panel(case.with_tables(tables).read(), case.analysis).frame
    for column in ("account_id", "customer_id"):
        frame[column] = frame[column].map(old)
    frame = frame.sort_values(["account_id", "snapshot_on"], kind="stable")
    assert as_bytes(frame) == panel_bytes(case)


def test_an_end_that_is_told_late_takes_rows_but_changes_none() -> None:
    """On 1 June it was recorded that the account had ended on 1 March."""
    first: Row = {
        "account_id": "a",
        "started_on": date(2023, 1, 1),
        "ended_on": None,
        "end_known_on": None,
        "arr": 100,
        "recorded_at": pd.Timestamp("2023-01-01 08:00").to_pydatetime(),
    }
    told = {
        "ended_on": date(2023, 3, 1),
        "end_known_on": date(2023, 2, 1),
        "recorded_at": pd.Timestamp("2023-06-01 08:00").to_pydatetime(),
    }
    case = Case(
        {"accounts": [first, {**first, **told}]},
        {"accounts": tuple(first)},
        Project(),
        SuccessAnalysis(()),
        date(2023, 7, 1),
    )
    late = see(case)
    without = see(case.with_tables({"accounts": [first]}))
    kept = without.frame[without.frame["snapshot_on"] < pd.Timestamp("2023-03-01")]
    assert list(late.frame["snapshot_on"]) == list(kept["snapshot_on"])
    assert not late.frame["notice_given"].any()
    assert disagreements(late, without, date(2023, 6, 1)) == []
