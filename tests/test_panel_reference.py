"""The engine against the slow reference: every indicator, outcome and episode, exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from futures import as_bytes
from leadsignal.engine.build import KEY_COLUMNS
from leadsignal.panel import (
    Panel,
    adoption_episodes,
    build_panel,
    build_snapshot,
)
from leadsignal.panel_files import write_panel
from leadsignal.schema import TABLES
from leadsignal.tables import Tables
from random_tables import Case, random_case
from reference_panel import Reference

SEEDS = range(20)
"""A few of the cases that benchmarks/panel_reference.py compares."""


def plain(value: Any) -> Any:
    """A cell of a frame as a plain value; None where it is missing."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.date() if isinstance(value, pd.Timestamp) else value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): plain(v) for k, v in row.items()} for row in frame.to_dict("records")]


def differences(
    found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]
) -> list[tuple[str, date, str, Any, Any]]:
    """Cells that differ; rows must be the same rows."""
    key = [(row["account_id"], row["snapshot_on"]) for row in found]
    assert key == [(row["account_id"], row["snapshot_on"]) for row in expected]
    return [
        (*here, name, value, wanted[name])
        for here, row, wanted in zip(key, found, expected, strict=True)
        for name, value in row.items()
        if value != wanted[name]
    ]


@cache
def built(seed: int) -> tuple[Case, Tables, Panel]:
    """A random case, its tables and their panel; several tests look at the same."""
    case = random_case(seed)
    tables = case.read()
    return case, tables, build_panel(tables, case.analysis)


def compare(case: Case) -> int:
    """Check a case, and return how many cells agreed."""
    tables = case.read()
    return agreement(case, tables, build_panel(tables, case.analysis))


def agreement(case: Case, tables: Tables, panel: Panel) -> int:
    """Check a panel, and return how many cells agreed."""
    reference = Reference(case)
    found = records(panel.frame)
    assert differences(found, list(reference.panel(panel.indicators))) == []
    episodes = adoption_episodes(tables, case.analysis)
    assert [tuple(row.values()) for row in records(episodes)] == reference.episodes()
    return sum(len(row) for row in found)


def test_random_tables_fill_every_column_of_the_schema() -> None:
    """A column that is always empty proves nothing: whoever adds one has to draw values for it."""
    filled = {
        (name, column)
        for seed in SEEDS
        for name, rows in random_case(seed).tables.items()
        for row in rows
        for column, value in row.items()
        if value is not None
    }
    # Rows sent twice are left out while tables are read: tests/cases/test_chosen_rows.py.
    schema = {
        (table.name, column.name)
        for table in TABLES
        for column in table.columns
        if column.name != "event_id"
    }
    assert schema - filled == set()


@pytest.mark.parametrize("seed", SEEDS[:15])
def test_engine_agrees_with_the_reference(seed: int) -> None:
    assert agreement(*built(seed)) > 0


@pytest.mark.parametrize("seed", range(60, 64))
def test_the_snapshot_is_the_rows_of_the_panel_on_as_of(seed: int) -> None:
    case, tables, panel = built(seed)
    whole = panel.current().reset_index(drop=True)
    assert as_bytes(build_snapshot(tables, case.analysis).frame) == as_bytes(whole)


@pytest.mark.parametrize("seed", range(60, 66))
def test_the_panel_of_a_past_day_is_the_panel_cut_there(seed: int) -> None:
    """Indicators as they stand, outcomes as ``Panel.as_of`` recuts them.

    Accounts with several versions are left out: an end that was recorded late is cut by the tables,
    and cannot be by the panel, which does not know when it was recorded.
    """
    (case, tables, panel), rng = built(seed), Random(seed)
    cut = case.as_of - timedelta(days=rng.choice([0, 1, 7, rng.randint(1, 250)]))
    past = build_panel(tables.as_of(cut), case.analysis)
    number = Counter(row["account_id"] for row in case.tables["accounts"])
    several = {account for account, versions in number.items() if versions > 1}

    def before(frame: pd.DataFrame) -> list[dict[str, Any]]:
        kept = frame["snapshot_on"] < pd.Timestamp(cut)
        return records(frame[kept & ~frame["account_id"].isin(several)])

    recut = panel.as_of(cut)
    assert (recut.frame["snapshot_on"] < pd.Timestamp(cut)).all()  # no row of the day itself
    assert recut.as_of_date == past.as_of_date
    assert differences(before(recut.frame), before(past.frame)) == []
    assert tuple(recut.frame.columns[: len(KEY_COLUMNS)]) == KEY_COLUMNS


@pytest.mark.parametrize("seed", SEEDS[:15:5])
def test_portions_of_the_accounts_make_the_same_panel(seed: int, tmp_path: Path) -> None:
    (case, tables, panel), file = built(seed), tmp_path / "panel.parquet"
    rows = sum(held.rows for held in tables.coverage.values())
    told: list[tuple[int, int]] = []
    written = write_panel(
        tables,
        case.analysis,
        file,
        rows_at_once=rows // 3,
        progress=lambda done, of: told.append((done, of)),
    )
    found = pd.read_parquet(file)
    assert records(found) == records(panel.frame)
    assert list(found) == list(panel.frame)
    assert (written.rows, written.accounts) == (len(found), found["account_id"].nunique())
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
