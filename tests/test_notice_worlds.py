"""A seeded slice of `benchmarks/notice.py`: customers stop at their notice, nothing acts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import leadsignal as ls
from benchmark_modules import benchmark_module

ACCOUNTS = 200


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return benchmark_module("notice")


@pytest.mark.parametrize("seed", [0, 1])
def test_without_an_effect_none_is_found_where_notice_is_recorded(
    benchmark: ModuleType, seed: int
) -> None:
    reading = benchmark.read_world(benchmark.world(seed, ACCOUNTS, notice_recorded=True))
    assert reading.covered == (True, True)
    assert reading.quoted == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_where_it_is_not_recorded_no_number_is_told(benchmark: ModuleType, seed: int) -> None:
    context = benchmark.world(seed, ACCOUNTS, notice_recorded=False)
    reading = benchmark.read_world(context)
    # This is the trap: practice stops at the notice, so that hardly anybody leaves with it.
    assert reading.covered == (False, False)
    assert reading.quoted == 0
    process = context.analysis.processes[1].name
    earlier = ls.cohorts.process_effect(
        context.tables, context.analysis, process, lag="90d", context=context
    )
    assert earlier is not None
    assert not earlier.excludes(1.0)


def test_a_strong_effect_is_told(benchmark: ModuleType) -> None:
    context = benchmark.world(0, 2 * ACCOUNTS, world="leading", notice_recorded=True)
    assert benchmark.read_world(context).quoted >= 1


def test_customers_stop_at_their_notice() -> None:
    options: dict[str, Any] = {"seed": 4, "days": 700, "world": "no_effect", "notice_days": 90}
    plain, stopped = (ls.simulate(60, stops_at_notice=stops, **options) for stops in (False, True))
    known = dict(zip(stopped.truth.who.account_id, stopped.truth.known, strict=True))
    ended = dict(zip(stopped.truth.who.account_id, stopped.truth.ended, strict=True))
    gone = [name for name, day in known.items() if day < stopped.as_of.toordinal() - 719163 - 30]
    assert len(gone) > 5
    assert {ended[name] - known[name] for name in gone} == {90}
    for table, time in (("behaviors", "occurred_at"), ("results", "measured_on")):
        rows = stopped.tables[table]
        day = rows[time].to_numpy().astype("datetime64[D]").astype(np.int64)
        assert (day < rows["account_id"].map(known)).all()
        before = plain.tables[table]
        day = before[time].to_numpy().astype("datetime64[D]").astype(np.int64)
        early = day < before["account_id"].map(known).to_numpy()
        assert not early.all()
        assert before[early].reset_index(drop=True).equals(rows)
    usage = stopped.tables["usage"]
    day = usage["used_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    after = day >= usage["account_id"].map(known).to_numpy()
    assert after.any()
    assert (usage["amount"][after] == 0).all()
    assert (usage["amount"][~after] > 0).all()


def test_the_day_of_the_notice_may_be_left_out() -> None:
    told, untold = (
        ls.simulate(40, seed=1, days=500, notice_recorded=recorded).tables["accounts"]
        for recorded in (True, False)
    )
    assert told["end_known_on"].notna().sum() > 3
    assert untold["end_known_on"].isna().all()
    assert told.drop(columns="end_known_on").equals(untold.drop(columns="end_known_on"))
