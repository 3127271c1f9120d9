"""Trials at renewals: who is in them, and what they find where a change acts, or only marks."""

from __future__ import annotations

import numpy as np
import pytest

import leadsignal as ls
from leadsignal.cohorts import DatedCohorts, compare_dated, dated_cohorts
from leadsignal.cohorts.dated import ContractTerms
from leadsignal.cohorts.risk_intervals import follow_from_renewals
from leadsignal.datasets import simulate

LEVELS = ("no change", "expansion")


def terms(*rows: tuple[int, float, float]) -> ContractTerms:
    account, day, months = zip(*rows, strict=True)
    return ContractTerms(np.array(account), np.array(day, dtype=float), np.array(months))


def test_rows_by_hand() -> None:
    """A renews on days 365 and 730 and leaves on 900; b has two years; c leaves in its first."""
    cohorts = DatedCohorts.from_changes(
        "contract", LEVELS, ["a", "b", "c"], [900, 800, 300], [1, 0, 1],
        ([0, 1], [700, 200], [1, 1]),
        terms=terms((0, 730, 12), (0, 0, 12), (0, 365, 12), (1, 0, 24), (2, 0, 12)),
    )  # fmt: skip
    rows = follow_from_renewals(cohorts, 90)
    # Trials of a on days 365 - 90 and 730 - 90, of b on 730 (24 months) - 90, of c on 365 - 90.
    assert rows.account.tolist() == [0, 0, 1, 2]
    # The expansion of a on day 700 is less than 90 days before its second renewal.
    assert rows.group.tolist() == [0, 0, 1, 0]
    assert rows.start.tolist() == [0, 0, 0, 0]
    assert rows.stop.tolist() == [365, 260, 160, 25]
    assert rows.cause.tolist() == [0, 1, 0, 1]
    assert rows.stratum is not None
    assert rows.stratum[0] == rows.stratum[3]
    assert len(set(rows.stratum.tolist())) == 3
    assert follow_from_renewals(cohorts, 20).group.tolist() == [0, 1, 1]


def test_what_is_due_does_not_depend_on_what_is_renewed_later() -> None:
    """Months from day 0: those due 90 days later, whoever leaves before they come."""
    due = terms((0, 0, 1), (0, 30, 1)).trials(np.array([45.0]), 90)
    # 3 · 30 - 90 = 0 in the first term; 30 + 3 · 30 - 90 = 30 in the second.
    assert due.day.tolist() == [0, 30]
    shorter = terms((0, 0, 1)).trials(np.array([45.0]), 90)
    assert shorter.day.tolist() == [0, 30]


def test_who_is_not_seen_before_is_in_no_trial() -> None:
    cohorts = DatedCohorts.from_changes(
        "contract", LEVELS, ["a", "b"], [900, 900], [0, 0], ([1], [20], [1]), entry=[300, 0],
        terms=terms((0, 0, 12), (1, 0, 24)),
    )  # fmt: skip
    rows = follow_from_renewals(cohorts, 90)
    assert list(zip(rows.account.tolist(), rows.stop.tolist(), strict=True)) == [(0, 260), (1, 260)]
    twice = follow_from_renewals(cohorts.chosen(np.array([1, 1])), 90)
    assert twice.account.tolist() == [0, 1]


def business(seed: int, *, acts: bool) -> DatedCohorts:
    """Accounts that renew yearly, of which a quarter leaves at each renewal.

    Where it acts, an expansion makes that a tenth from then on; where it does not, those who are
    going to renew expand 30 days before.
    """
    rng, n = np.random.default_rng(seed), 1500
    stop, cause = np.full(n, 1600.0), np.zeros(n, dtype=int)
    changes: list[tuple[int, float]] = []
    rows: list[tuple[int, float, float]] = []
    for account in range(n):
        rows.append((account, 0.0, 12))
        expanded = False
        for day in (365.0, 730.0, 1095.0, 1460.0):
            expands = rng.random() < 0.4
            if expands and acts:
                changes.append((account, day - rng.integers(100, 300)))
            expanded |= expands
            if rng.random() < (0.1 if acts and expanded else 0.25):
                stop[account], cause[account] = day, 1
                break
            if expands and not acts:
                changes.append((account, day - 30))
            rows.append((account, day, 12))
    who, on = (np.array(part) for part in zip(*changes, strict=True))
    return DatedCohorts.from_changes(
        "contract", LEVELS, np.arange(n), stop, cause, (who, on, np.ones(len(who))),
        terms=terms(*rows),
    )  # fmt: skip


def test_what_only_those_do_who_stay_is_no_effect_at_renewals() -> None:
    found = compare_dated(business(2, acts=False), methods=["time_dependent"])
    ratio, daily = (found.contrast(m) for m in ("at_renewals", "time_dependent"))
    assert ratio is not None
    assert ratio.hazard_ratio is not None
    assert not ratio.hazard_ratio.excludes(1.0)
    assert daily is not None
    assert daily.hazard_ratio is not None
    assert daily.hazard_ratio.high < 0.9
    assert found.verdict.startswith("Not proven: ")


def test_an_effect_is_found_at_renewals() -> None:
    """Leaving falls from 25 % to 10 % of renewals: log(0.9) / log(0.75) = 0.366."""
    found = compare_dated(business(2, acts=True), methods=["time_dependent"])
    ratio = found.contrast("at_renewals")
    assert ratio is not None
    assert ratio.hazard_ratio is not None
    assert ratio.hazard_ratio.low < 0.366 < ratio.hazard_ratio.high < 0.5
    assert ratio.rmst_days is None
    assert ratio.retention_12m is None
    assert ratio.hazard_ratio.estimate == pytest.approx(_by_hand(business(2, acts=True)), rel=0.02)


def _by_hand(cohorts: DatedCohorts) -> float:
    """Return the pooled log(1 - share) ratio over the renewals, weighted by who is exposed."""
    first = cohorts.first_day(1)
    logs, weights = [], []
    for day in (365, 730, 1095, 1460):
        there = cohorts.stop >= day
        left = there & (cohorts.stop == day)
        exposed = first <= day - 90
        one, other = (left[there & part].mean() for part in (exposed, ~exposed))
        logs.append(np.log(np.log1p(-one) / np.log1p(-other)))
        a, b = (there & exposed).sum(), (there & ~exposed).sum()
        weights.append(1 / ((1 - one) / (a * one) + (1 - other) / (b * other)))
    return float(np.exp(np.average(logs, weights=weights)))


def test_other_comparisons_have_no_renewals() -> None:
    cohorts = DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), ["a", "b"], [900, 600], [1, 0], ([0], [70], [1])
    )
    with pytest.raises(ls.ModelError, match="the terms of the contracts are not known"):
        follow_from_renewals(cohorts, 90)
    with pytest.raises(ls.OptionError, match="at_renewals is a method of the comparison contract"):
        compare_dated(cohorts, methods=["at_renewals"])


@pytest.mark.parametrize("world", ["expansion_at_renewal", "expansion_before_renewal"])
def test_no_direction_is_claimed_where_only_those_expand_that_renew(world: str) -> None:
    simulation = simulate(800, seed=1, days=1095, world=world)
    frames = {name: simulation.tables[name] for name in ("accounts", "contract_changes")}
    tables = ls.read_tables(frames, as_of=simulation.as_of)
    cohorts = dated_cohorts(tables, "contract")
    found = compare_dated(cohorts, methods=["time_dependent"])
    naive, ratio = found.contrast("naive", "expansion"), found.contrast("at_renewals", "expansion")
    assert naive is not None
    assert naive.hazard_ratio is not None
    assert naive.hazard_ratio.high < 0.5
    assert ratio is not None
    assert ratio.hazard_ratio is not None
    assert not ratio.hazard_ratio.excludes(1.0)
    assert found.explanation.startswith("expansion against no change: churn at ")
    assert "times the rate, compared at renewals, not proven" in found.explanation
    assert found.verdict.startswith("Not proven: ")
