"""Scores do not jump: not with the weekday of scoring, and not beyond what a model has seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from benchmark_modules import benchmark_module
from leadsignal.datasets.simulation import simulated
from leadsignal.model.features import Features
from leadsignal.monitoring.monitor import _of_clipped
from leadsignal.panel import build_snapshot
from leadsignal.schema import BY_NAME
from leadsignal.scoring.feeds import Feed, hold_late
from leadsignal.scoring.reasons import account_steps
from leadsignal.scoring.scores import score_rows


@pytest.fixture(scope="module")
def weekday() -> ModuleType:
    return benchmark_module("weekday")


def test_the_sum_of_risks_does_not_depend_on_the_weekday(weekday: ModuleType) -> None:
    """A seeded slice of `benchmarks/weekday.py`."""
    tables = weekday.weekly_business(0)
    same = weekday.eight_days(weekday.fitted(tables, "boosting"), tables).dropna().sum()
    # Of snapshots on Mondays alone it would be 0.35.
    assert weekday.spread(same) < 0.08


def test_the_default_grid_meets_every_weekday() -> None:
    every = ls.Project().every
    assert len({(number * every) % 7 for number in range(7)}) == 7


FEATURES = Features(
    ("tenure_days", "plan", "usage_days_since"),
    {"plan": ("a", "b")},
    ranges={"tenure_days": (0.0, 400.0), "usage_days_since": (1.0, 7.0)},
)


def rows(*since: float) -> pd.DataFrame:
    plans = ["a"] * len(since)
    return pd.DataFrame({"tenure_days": 380.0, "plan": plans, "usage_days_since": since})


def test_numbers_are_held_within_what_fitting_has_seen() -> None:
    given = rows(0.0, 7.0, 12.0, np.nan)
    assert FEATURES.matrix(given)[:, 2].tolist()[:3] == [1.0, 7.0, 7.0]
    assert np.isnan(FEATURES.matrix(given)[3, 2])
    assert FEATURES.clipped(given)[:, 2].tolist() == [True, False, True, False]
    assert not FEATURES.clipped(given)[:, :2].any()


def test_tenure_moves_ahead_only_as_far_as_fitting_has_seen() -> None:
    moved = FEATURES.matrix(rows(3.0))
    FEATURES.move_ahead(moved, np.array([150.0]))
    assert moved[0].tolist() == [400.0, 0.0, 3.0]


def test_ranges_are_learned_from_the_rows_of_the_fit(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    features, frame = business_model.features_, business_panel.frame
    fitted = frame[frame["snapshot_on"] < pd.Timestamp(business_panel.as_of_date)]
    fitted = fitted[~fitted["notice_given"]]
    numbers = [name for name in features.names if name not in features.levels]
    assert set(features.ranges) == set(numbers)
    for name in numbers:
        assert features.ranges[name] == (fitted[name].min(), fitted[name].max())
    assert not features.clipped(fitted).any()


@pytest.fixture(scope="module")
def beyond(business_panel: ls.Panel) -> pd.DataFrame:
    """Rows of which the first three have a value that no fit has seen."""
    held = business_panel.current()
    held = held[~held["notice_given"]].reset_index(drop=True)
    held.loc[:2, "usage_amount"] = 1e12
    held.loc[0, "tickets_opened_30d"] = 1e6
    return held


def test_no_learner_extrapolates(business_model: ls.ChurnModel, beyond: pd.DataFrame) -> None:
    model = business_model
    nearest = beyond.copy()
    for name in ("tickets_opened_30d", "usage_amount"):
        nearest[name] = nearest[name].clip(*model.features_.ranges[name])
    assert (model.predict(beyond).risk == model.predict(nearest).risk).all()
    assert (model.reasons(beyond) == model.reasons(nearest)).all(axis=None)


def test_what_is_clipped_is_told(
    business_model: ls.ChurnModel, business_panel: ls.Panel, beyond: pd.DataFrame
) -> None:
    usual = ls.scoring.score_panel(business_model, business_panel)
    day = business_panel.current()
    panel = replace(business_panel, frame=beyond, indicators=business_panel.indicators)
    scores = ls.scoring.score_panel(business_model, panel)
    frame = scores.frame.set_index("account_id")
    first, second = beyond["account_id"].iloc[0], beyond["account_id"].iloc[1]
    told = frame.loc[first, "clipped_indicators"].split("; ")
    assert {"tickets_opened_30d", "usage_amount"} <= set(told)
    assert "usage_amount" in frame.loc[second, "clipped_indicators"].split("; ")
    assert frame.loc[first, "clipped"] == len(told)
    assert scores.clipped["usage_amount"] == usual.clipped.get("usage_amount", 0) + 3
    held = scores.to_dict()
    assert held["clipped"] == scores.clipped
    assert held["accounts_clipped"] == (scores.frame["clipped"] > 0).sum() >= 3
    first_named = next(iter(scores.clipped))
    assert f"{first_named} ({scores.clipped[first_named]})" in repr(scores)
    one = ls.explain_account(business_model, beyond, first, against=day)
    limit = business_model.features_.ranges["usage_amount"][1]
    assert one.clipped["usage_amount"] == limit
    assert f"usage_amount {limit:,.4g}" in one.sentence()
    assert one.to_dict()["clipped"] == one.clipped


def test_monitoring_finds_many_clipped_accounts() -> None:
    days = pd.to_datetime(["2024-01-01"] * 10 + ["2024-01-08"] * 10)
    scores = pd.DataFrame({"snapshot_on": days, "clipped": [1] * 10 + [2] + [0] * 9})
    scores["clipped_indicators"] = ["usage_amount"] * 10 + ["usage_amount; tenure_days"] + [""] * 9
    assert _of_clipped(scores) == []  # one in ten of the last run; the first is over
    scores.loc[11, "clipped"] = 1
    scores.loc[11, "clipped_indicators"] = "tenure_days"
    (finding,) = _of_clipped(scores)
    assert (finding.kind, finding.subject, finding.value) == ("clipped", "tenure_days", 0.2)
    assert "2 of 10 accounts" in finding.message
    assert "tenure_days (2), usage_amount (1)" in finding.message
    without = scores.drop(columns="clipped_indicators")
    assert [one.subject for one in _of_clipped(without)] == ["clipped"]
    assert _of_clipped(scores[["snapshot_on"]]) == []


def test_models_of_totals_clip_too() -> None:
    totals = simulated(300, seed=0)
    model = ls.model.LifetimeModel(horizon=3, estimator="logistic").fit(totals)
    far = replace(totals, columns=totals.columns.assign(x=1e6))
    nearest = replace(totals, columns=totals.columns.assign(x=totals.columns["x"].max()))
    forecast = model.predict(far)
    assert (forecast.risk == model.predict(nearest).risk).all()
    assert forecast.clipped == {"x": 300} == forecast.to_dict()["clipped"]
    assert "x (300)" in repr(forecast)


def test_scored_rows_say_nothing_where_nothing_is_clipped(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    frame = business_panel.frame
    seen = frame[frame["snapshot_on"] < pd.Timestamp(business_panel.as_of_date)]
    rows = seen[~seen["notice_given"]].head(50)
    scored, _ = score_rows(business_model, rows, 0.1, account_steps(rows, (), {}))
    assert (scored["clipped"] == 0).all()
    assert (scored["clipped_indicators"] == "").all()


def test_a_late_feed_says_what_it_said_last() -> None:
    start, last = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-06-10")
    days = pd.date_range(start, last)
    accounts = pd.DataFrame({"account_id": ["a", "b", "new"], "started_on": [start, start, last]})
    accounts.loc[2, "started_on"] = pd.Timestamp("2024-06-13")
    usage = pd.concat(
        [pd.DataFrame({"account_id": name, "used_on": days, "amount": 1.0}) for name in "ab"]
    )
    tables = ls.read_tables({"accounts": accounts, "usage": usage}, as_of="2024-06-18")
    snapshot = build_snapshot(tables)
    held = hold_late(
        snapshot,
        tables,
        (Feed("usage", "late", last.date(), 1, 5, 7, pd.Timestamp("2024-06-11").date()),),
    )
    frame = held.frame.set_index("account_id")
    assert snapshot.frame["usage_days_since"].tolist()[:2] == [8.0, 8.0]
    assert frame.loc[["a", "b"], "usage_days_since"].tolist() == [1.0, 1.0]
    assert frame.loc[["a", "b"], "usage_amount"].tolist() == [28.0, 28.0]
    assert frame["tenure_days"].tolist() == snapshot.frame["tenure_days"].tolist()
    assert frame.loc["new", "usage_amount"] == 0.0
    gone = (Feed("usage", "late", pd.Timestamp("2024-06-02").date(), 1, 5, 15),)
    assert hold_late(snapshot, tables, gone).frame.equals(snapshot.frame)


def test_a_state_goes_on_while_its_feed_is_late() -> None:
    start, last = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-06-10")
    days = pd.date_range(start, last, freq="7D")
    done = pd.DataFrame({"account_id": "a", "occurred_at": days, "behavior": "review_held"})
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": [start]})
    process = '[bullseye]\nobjective = "x"\n[[process]]\nname = "reviews"\n'
    process += 'behavior = "review_held"\nat_least = 1\nwithin = "8d"\n'
    analysis = ls.SuccessAnalysis.from_toml(process)
    tables = ls.read_tables({"accounts": accounts, "behaviors": done}, as_of="2024-06-25")
    snapshot = build_snapshot(tables, analysis)
    held = hold_late(
        snapshot,
        tables,
        (Feed("behaviors", "late", last.date(), 7, 5, 14, pd.Timestamp("2024-06-11").date()),),
    ).frame
    assert snapshot.frame["reviews_state"].tolist() == ["lapsed"]
    assert held["reviews_state"].tolist() == ["adopted"]
    adopted = pd.Timestamp("2024-06-25") - pd.Timedelta(days=held["reviews_days_in_state"].iloc[0])
    assert adopted < pd.Timestamp("2024-02-01")
    assert held["reviews_days_since"].tolist() == [1.0]


@pytest.mark.parametrize("table", ["behaviors", "usage"])
def test_a_late_feed_moves_the_sum_little_and_is_told(
    business_folder: Path, business: ls.Tables, business_model: ls.ChurnModel, table: str
) -> None:
    day = pd.Timestamp("2024-04-15").date()  # a Monday: usage comes on Sundays
    assert business.as_of_date - timedelta(days=7) < day < business.as_of_date
    usual = ls.score_accounts(business_model, business.as_of(day), effects={})
    assert usual.feeds == ()
    time = BY_NAME[table].time
    rows = pd.read_csv(business_folder / f"{table}.csv", dtype=str)
    files = {name: business_folder / f"{name}.csv" for name in business.names}
    for lag, most in ((3, 0.05), (7, 0.10), (14, 0.20)):
        kept = rows[rows[time] < str(day - timedelta(days=lag))]
        late = ls.read_tables({**files, table: kept}, project=business.project, as_of=day)
        scores = ls.score_accounts(business_model, late, effects={})
        (feed,) = scores.feeds
        assert (feed.table, feed.state) == (table, "late")
        assert f"{table} is late" in repr(scores)
        assert f"its state of {feed.state_as_of} is used" in repr(scores)
        change = scores.frame["risk"].sum() / usual.frame["risk"].sum() - 1
        assert abs(change) < most, lag
