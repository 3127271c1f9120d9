"""Properties of accounts are compared within calendar quarters: nobody answers for a bad year."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import leadsignal as ls
from leadsignal.cohorts import DatedCohorts, compare_dated, dated_cohorts
from leadsignal.cohorts.contrasts import hazard_ratio
from leadsignal.cohorts.risk_intervals import compared_in_time, follow_in_time, within_quarters
from leadsignal.survival import logrank

JUMP, LAST = 1000.0, 1500.0


def two_reps(seed: int = 0, accounts: int = 1500) -> DatedCohorts:
    """Return equal reps of whom one has newer accounts; the hazard quadruples on day 1,000."""
    rng = np.random.default_rng(seed)
    rep = rng.random(accounts) < 0.5
    began = np.where(rep, rng.uniform(300, 1100, accounts), rng.uniform(0, 800, accounts))
    # A unit of hazard is spent at 0.0004 a day before the jump and at 0.0016 after it.
    need = rng.exponential(1, accounts)
    before = 0.0004 * np.maximum(JUMP - began, 0)
    late = np.maximum(began, JUMP) + (need - before) / 0.0016
    end = np.where(need < before, began + need / 0.0004, late)
    stop = np.minimum(end, LAST) - began
    return DatedCohorts.from_changes(
        "rep", ("a", "b"), np.arange(accounts), stop, (end <= LAST).astype(int),
        (np.flatnonzero(rep), np.zeros(rep.sum()), np.ones(rep.sum())), zero_days=began,
    )  # fmt: skip


def test_equal_reps_do_not_differ_within_quarters() -> None:
    plain = two_reps()
    within = replace(plain, in_quarters=True)
    ratios = [compare_dated(one).contrast("time_dependent") for one in (plain, within)]
    without, corrected = (one.hazard_ratio for one in ratios if one is not None)
    assert without is not None
    assert without.low > 1.2
    assert corrected is not None
    assert not corrected.excludes(1.0)


def test_ratio_and_log_rank_are_those_of_strata() -> None:
    cohorts = replace(two_reps(1, 300), in_quarters=True)
    found = compare_dated(cohorts).contrast("time_dependent")
    assert found is not None
    rows, quarter = within_quarters(follow_in_time(cohorts), cohorts)
    expected, _ = hazard_ratio(rows, cohorts, 1, strata=quarter)
    assert found.hazard_ratio == expected.ratio()
    test = logrank(rows.stop, rows.cause == 1, rows.group, start=rows.start, strata=quarter)
    assert found.log_rank_p == test.p
    same = compared_in_time(cohorts, (0, 1))
    assert same.stratum is not None
    assert same.of((0,)).stratum is not None
    assert compared_in_time(replace(cohorts, in_quarters=False), (0, 1)).stratum is None


@pytest.mark.parametrize(("by", "expected"), [("segment", True), ("measured", False)])
def test_attributes_are_compared_within_quarters(
    business: ls.Tables, by: str, expected: bool
) -> None:
    assert dated_cohorts(business, by).in_quarters == expected


def test_at_most_six_in_a_hundred_equal_reps_are_called_different() -> None:
    """A slice of the 40 businesses of docs/cohorts.md, in which churn quadruples on one day."""
    called = []
    for seed in range(3):
        simulation = ls.simulate(500, seed=seed, days=1095, world="jump")
        frames = {"accounts": simulation.tables["accounts"]}
        tables = ls.read_tables(frames, as_of=simulation.as_of, attributes=["sales_rep"])
        groups = ls.compare_cohorts(tables, by="sales_rep").groups
        assert groups is not None
        called += [group.low > 1 or group.high < 1 for group in groups.groups]
    assert np.mean(called) <= 0.06
