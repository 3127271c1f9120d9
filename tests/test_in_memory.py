"""Sums and largest values along snapshots, in portions of accounts, against plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.engine import duckdb, in_memory
from leadsignal.engine.build import episode_steps, panel_steps
from leadsignal.engine.duckdb import plain_measures, sorted_together, temporary_tables
from leadsignal.engine.episodes import Adopted
from leadsignal.engine.grid import Step, spine_steps
from leadsignal.engine.in_memory import Portion
from leadsignal.engine.recipe import panel_recipe


@pytest.fixture(scope="module")
def portion() -> Portion:
    """Three accounts from number 5: snapshots on days 3, 7, 14; on day 9; on days 0 and 1."""
    return Portion.of(5, np.array([3, 7, 14, 9, 0, 1]), np.array([0, 3, 4, 6]))


def test_a_day_falls_on_the_first_snapshot_not_before_it(portion: Portion) -> None:
    days = np.arange(-2, 20)
    for account, snapshots in ((5, {3: 0, 7: 1, 14: 2}), (6, {9: 3}), (7, {0: 4, 1: 5})):
        expected = [
            next((row for t, row in snapshots.items() if t >= day), 6) for day in days.tolist()
        ]
        got = portion.row_of(portion.days(np.full(len(days), account), days))
        assert got.tolist() == expected


def test_values_do_not_leak_into_the_next_account(portion: Portion) -> None:
    assert portion.along(np.array([1, 2, 3, 4, 5, 6])).tolist() == [1, 3, 6, 4, 5, 11]
    assert portion.largest(np.array([0, 9, 2, 1, 0, 0])).tolist() == [0, 9, 9, 1, 0, 0]
    assert portion.next_t().to_pylist() == [7, 14, None, None, 1, None]


def test_a_grid_without_accounts_has_no_rows() -> None:
    none = Portion.of(1, np.zeros(0, np.int64), np.zeros(1, np.int64))
    empty = np.zeros(0, np.int64)
    assert (
        len(none.row_of(none.days(empty, empty)))
        == len(none.along(empty))
        == len(none.next_t())
        == 0
    )


@pytest.mark.parametrize("largest", [9, 2**40], ids=["in one number", "too large for one"])
def test_columns_are_sorted_together(largest: int) -> None:
    rng = np.random.default_rng(4)
    columns = rng.integers(0, largest, (3, 50))
    columns[0] %= 3
    expected = sorted(map(tuple, columns.T.tolist()))
    assert list(map(tuple, np.array(sorted_together(*columns)).T.tolist())) == expected


def test_portions_do_not_change_the_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = ls.simulate(40, seed=8)
    simulation.write(tmp_path)
    tables = ls.read_tables(tmp_path)
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    whole = ls.build_panel(tables, analysis).frame
    portions, seen = in_memory.portions, []

    def counted(cursor: Any, at_once: int) -> Iterator[Portion]:
        for portion in portions(cursor, at_once):
            seen.append(portion)
            yield portion

    monkeypatch.setattr(in_memory, "portions", counted)
    monkeypatch.setattr(in_memory, "CELLS_AT_ONCE", 100_000)
    pd.testing.assert_frame_equal(ls.build_panel(tables, analysis).frame, whole)
    assert len(seen) > 1


@pytest.fixture(scope="module")
def weekly(tmp_path_factory: pytest.TempPathFactory) -> tuple[ls.Tables, ls.SuccessAnalysis]:
    """Accounts whose processes ask for two users in windows that follow each other."""
    simulation = ls.simulate(40, seed=8)
    tables = ls.read_tables(simulation.write(tmp_path_factory.mktemp("weekly")))
    return tables, ls.SuccessAnalysis.from_toml(simulation.analysis_toml)


def test_episodes_of_arrays_are_those_of_sql(
    weekly: tuple[ls.Tables, ls.SuccessAnalysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, analysis = weekly
    monkeypatch.setattr(duckdb, "ROWS_AT_ONCE", 500)
    recipe = panel_recipe(tables, analysis, tables.project.every, tables.history)
    steps = [*spine_steps(recipe.grid, recipe.accounts), *episode_steps(recipe)]
    assert any(isinstance(step, Adopted) for step in steps)
    rows = []
    for run in (steps, [Step(step.name, step.sql) for step in steps]):
        with temporary_tables(tables.connection, run) as cursor:
            rows.append(cursor.sql("FROM episodes ORDER BY ALL").fetchall())
    assert rows[0] == rows[1]
    assert len(rows[0]) > 50


def test_numbers_of_arrays_are_those_of_sql(
    weekly: tuple[ls.Tables, ls.SuccessAnalysis],
) -> None:
    tables, analysis = weekly
    plan = panel_steps(panel_recipe(tables, analysis, tables.project.every, tables.history))
    assert sum(map(bool, map(plain_measures, plan.numbers.values()))) > 100
    steps = [Step(step.name, step.sql) for step in plan.steps]
    with temporary_tables(tables.connection, steps) as cursor:
        expected = cursor.sql(f"{plan.select} ORDER BY account_no, t").df()
    frame = ls.build_panel(tables, analysis).frame
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False, check_exact=True)
