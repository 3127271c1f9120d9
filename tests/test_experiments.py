"""Experiments: planned size, arms, and the comparison as assigned."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.experiments import (
    ExperimentPlan,
    analyse_experiment,
    draw_arms,
    plan_experiment,
    simulated_power,
)

STOP = "2025-06-30"


@pytest.fixture(scope="module")
def business_scores(business: ls.Tables, business_model: ls.ChurnModel) -> ls.Scores:
    return ls.score_accounts(business_model, business, effects={})


@pytest.fixture(scope="module")
def plan(business: ls.Tables, business_scores: ls.Scores) -> ExperimentPlan:
    return plan_experiment(business_scores, business, reduction=0.4, months=12)


def test_the_plan_by_hand(plan: ExperimentPlan) -> None:
    # (1.95996 + 0.84162)² / (0.25 · ln²(0.6)) = 7.8489 / 0.065235 = 120.32 churns.
    row = plan.frame.set_index("months").loc[12]
    assert row["churns"] == pytest.approx(120.32, abs=0.01)
    days = 365.25
    hazards = plan.hazards
    assert row["churn_control"] == pytest.approx((1 - np.exp(-hazards * days)).mean())
    assert row["churn_treated"] == pytest.approx((1 - np.exp(-hazards * 0.6 * days)).mean())
    least = row["churns"] / (row["churn_control"] + row["churn_treated"]) * 2
    assert least <= plan.accounts < 1.5 * least


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
    with pytest.raises(ls.OptionError, match="'A' is no arm"):
        analyse_experiment(good.assign(arm=["A", "control"]), tables, stop_on=STOP)
    more = arms_of([("a", "a", "treated"), ("z", "z", "control")])
    with pytest.raises(ls.OptionError, match="1 accounts of the arms are not in the tables"):
        analyse_experiment(more, tables, stop_on=STOP)
