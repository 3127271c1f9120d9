"""Experiments: planned size, arms, and the comparison as assigned."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.experiments import (
    ExperimentPlan,
    _log_rank_moments,
    analyse_experiment,
    draw_arms,
    plan_experiment,
    simulated_power,
)
from leadsignal.scoring.feeds import chance_of
from leadsignal.survival import logrank

STOP = "2025-06-30"


@pytest.fixture(scope="module")
def business_scores(business: ls.Tables, business_model: ls.ChurnModel) -> ls.Scores:
    return ls.score_accounts(business_model, business, effects={})


@pytest.fixture(scope="module")
def plan(business: ls.Tables, business_scores: ls.Scores) -> ExperimentPlan:
    return plan_experiment(business_scores, business, reduction=0.4, months=12)


def test_the_plan_by_hand(plan: ExperimentPlan) -> None:
    row = plan.frame.set_index("months").loc[12]
    days = 365.25
    hazards = plan.hazards
    assert row["churn_control"] == pytest.approx((1 - np.exp(-hazards * days)).mean())
    assert row["churn_treated"] == pytest.approx((1 - np.exp(-hazards * 0.6 * days)).mean())
    least = row["churns"] / (row["churn_control"] + row["churn_treated"]) * 2
    assert least <= plan.accounts < 1.5 * least
    # (1.95996 + 0.84162)² / (0.25 · ln²(0.6)) = 7.8489 / 0.065235 = 120.32 churns, and some more.
    assert 120.32 < row["churns"] < 160


def test_small_reductions_need_as_many_churns_as_schoenfeld_says() -> None:
    hazards = np.full(100, 1e-6)
    mean, variance, actual = _log_rank_moments(hazards, 10.0, 0.02, 0.5)
    z = 1.9599640 + 0.8416212
    churns = 100 * (1 - np.exp(-1e-5 * 0.99)) / 100  # of one account
    needed = z**2 * variance / mean**2 * churns
    assert needed == pytest.approx(z**2 / (0.25 * np.log(0.98) ** 2), rel=2e-4)
    assert actual == pytest.approx(variance, rel=1e-3)


def test_the_moments_of_the_log_rank_statistic_are_those_of_simulated_arms() -> None:
    """One stratum of two kinds of accounts a stratum, each arm drawn 2,000 times."""
    rng = np.random.default_rng(0)
    hazards = np.sort(np.tile([0.0005, 0.004], 200))[::-1]
    mean, _, actual = _log_rank_moments(hazards, 365.0, 0.5, 0.3)
    stratum = np.arange(400) * 4 // 400
    found = []
    for _ in range(600):
        treated = rng.random(400) < 0.3
        end = rng.exponential(1 / (hazards * np.where(treated, 0.5, 1.0)))
        test = logrank(np.minimum(end, 365), end <= 365, treated, strata=stratum)
        found.append(test.observed[1] - test.expected[1])
    error = np.std(found) / np.sqrt(600)
    assert np.mean(found) == pytest.approx(400 * mean, abs=4 * error)
    assert np.var(found) == pytest.approx(400 * actual, rel=0.25)


def test_longer_experiments_and_larger_effects_need_fewer_accounts(
    plan: ExperimentPlan, business: ls.Tables, business_scores: ls.Scores
) -> None:
    assert plan.frame["accounts"].is_monotonic_decreasing
    larger = plan_experiment(business_scores, business, reduction=0.6)
    surer = plan_experiment(business_scores, business, reduction=0.4, power=0.9)
    riskier = plan_experiment(business_scores, business, reduction=0.4, accounts=40)
    assert larger.accounts < plan.accounts < surer.accounts
    assert riskier.accounts < plan.accounts
    assert riskier.available == 40


def test_planned_power_is_reached_and_nothing_is_found_where_nothing_is(
    plan: ExperimentPlan,
) -> None:
    """A slice of benchmarks/experiments.py: within 3 standard errors of 300 runs."""
    assert 0.73 <= simulated_power(plan, times=300, seed=2) <= 0.87
    assert simulated_power(plan, reduction=0, times=300, seed=3) <= 0.09


def test_refusals_of_a_plan(business: ls.Tables, business_scores: ls.Scores) -> None:
    with pytest.raises(ls.OptionError, match="reduction = 30 is not between 0 and 1"):
        plan_experiment(business_scores, business, reduction=30)
    with pytest.raises(ls.OptionError, match="accounts = 0 is less than 1"):
        plan_experiment(business_scores, business, reduction=0.3, accounts=0)


def test_arms_are_of_whole_customers_and_the_same_every_time(
    business: ls.Tables, business_scores: ls.Scores
) -> None:
    arms = draw_arms(business_scores, business, seed=4)
    assert (arms.groupby("customer_id")["arm"].nunique() == 1).all()
    again = draw_arms(business_scores, business, seed=4)
    pd.testing.assert_frame_equal(arms, again)
    assert not draw_arms(business_scores, business, seed=5)["arm"].equals(arms["arm"])
    by_stratum = arms.drop_duplicates("customer_id").groupby("stratum")["arm"]
    treated = by_stratum.apply(lambda arm: (arm == "treated").mean())
    assert treated.between(0.4, 0.6).all()
    risk = arms.groupby("stratum")["risk"].max()
    assert risk.is_monotonic_decreasing


def test_the_hold_out_of_scores_is_the_control_arm(
    business: ls.Tables, business_model: ls.ChurnModel, business_scores: ls.Scores
) -> None:
    held = ls.score_accounts(business_model, business, holdout=0.4, effects={})
    arms = draw_arms(held, business)
    control = set(arms.loc[arms["arm"] == "control", "account_id"])
    frame = held.to_frame()
    assert control == set(frame.loc[frame["held_out"], "account_id"].astype(str))
    expected = ls.scoring.hold_out(arms["customer_id"], 0.4, business.project.holdout_seed)
    assert ((arms["arm"] == "control") == expected).all()
    with pytest.raises(ls.OptionError, match="the scores have a hold-out"):
        draw_arms(held, business, share=0.5)
    # Without strata, the same customers are left alone up to the rounding of the share.
    drawn = draw_arms(business_scores, business, share=0.6, strata=1)
    lowest = drawn.drop_duplicates("customer_id").set_index("customer_id")
    chance = pd.Series({name: chance_of(name, 0) for name in lowest.index})
    alone = lowest["arm"] == "control"
    assert chance[alone].max() < chance[~alone].min()


def test_all_accounts_of_a_customer_are_held_out_together() -> None:
    customers = ["a", "a", "b", "c", "c"]
    held = ls.scoring.hold_out(customers, 0.5, seed=3)
    assert held[0] == held[1]
    assert held[3] == held[4]


def arms_of(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["account_id", "customer_id", "arm"])
    return frame.assign(stratum=0, assigned_on=pd.Timestamp("2025-01-01"))


def tables_of(ends: dict[str, str | None], as_of: str = "2025-12-31") -> ls.Tables:
    accounts = pd.DataFrame(
        {"account_id": list(ends), "started_on": "2024-01-01", "ended_on": list(ends.values())}
    )
    return ls.read_tables({"accounts": accounts}, as_of=as_of)


def test_the_comparison_by_hand() -> None:
    """Of four treated one churned by the last day; of four controls two, one more after it."""
    ends = {"a": "2025-03-01", "b": None, "c": None, "d": None, "e": "2025-02-01",
            "f": "2025-04-01", "g": "2025-09-01", "h": None}  # fmt: skip
    arms = arms_of([(n, n, "treated" if n in "abcd" else "control") for n in ends])
    found = analyse_experiment(arms, tables_of(ends), stop_on=STOP)
    assert found.frame.set_index("arm")["churned"].to_dict() == {"treated": 1, "control": 2}
    assert found.hazard_ratio is not None
    assert found.hazard_ratio.estimate < 1
    assert found.finding.startswith("Not proven")
    assert found.stop_on == date(2025, 6, 30)


def test_who_had_ended_before_does_not_count() -> None:
    ends: dict[str, str | None] = {"a": "2024-12-01", "b": None, "c": "2025-02-01", "d": None}
    arms = arms_of([(n, n, "treated" if n in "ab" else "control") for n in ends])
    found = analyse_experiment(arms, tables_of(ends), stop_on=STOP)
    assert found.not_at_risk == 1
    assert found.hazard_ratio is None
    assert "nobody churned in one of them" in found.finding
    assert found.frame.set_index("arm")["accounts"].to_dict() == {"treated": 1, "control": 2}


def test_refusals_of_an_analysis() -> None:
    ends = {"a": "2025-02-01", "b": None}
    good = arms_of([("a", "a", "treated"), ("b", "b", "control")])
    with pytest.raises(ls.OptionError, match="the tables end at 2025-03-01"):
        analyse_experiment(good, tables_of(ends, "2025-03-01"), stop_on=STOP)
    tables = tables_of(ends)
    both = arms_of([("a", "x", "treated"), ("b", "x", "control")])
    with pytest.raises(ls.OptionError, match="1 customers are in both arms"):
        analyse_experiment(both, tables, stop_on=STOP)
    with pytest.raises(ls.OptionError, match="no column stratum"):
        analyse_experiment(good.drop(columns="stratum"), tables, stop_on=STOP)
    with pytest.raises(ls.OptionError, match="'A' is not an arm"):
        analyse_experiment(good.assign(arm=["A", "control"]), tables, stop_on=STOP)
    more = arms_of([("a", "a", "treated"), ("z", "z", "control")])
    with pytest.raises(ls.OptionError, match="1 accounts of the arms are not in the tables"):
        analyse_experiment(more, tables, stop_on=STOP)
