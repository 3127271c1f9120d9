"""Who is successful: counted by hand, blind to satisfaction and usage, blind to the future."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.as_of_context import results_over_time, standings
from leadsignal.stats import Share
from leadsignal.success_analysis.successful import best, spearman


def tables_of(
    values: dict[str, list[float]], *, target: float = 6.0, better: bool = False, **more: Any
) -> ls.Tables:
    """Accounts with a result every 30 days from 10 January 2023, as of 1 December 2023."""
    accounts = pd.DataFrame({"account_id": list(values), "started_on": "2023-01-01"})
    results = pd.concat(
        pd.DataFrame(
            {"account_id": name, "value": listed, "target": target, "higher_is_better": better,
             "measured_on": pd.date_range("2023-01-10", periods=len(listed), freq="30D")}
        )
        for name, listed in values.items()
    )  # fmt: skip
    return ls.read_tables({"accounts": accounts, "results": results, **more}, as_of="2023-12-01")


def test_since_when_on_target_by_hand() -> None:
    tables = tables_of(
        {
            "a": [10, 8, 6, 4, 4, 4],  # means of three: 8, 6, 4.67, 4
            "b": [5, 5, 5, 8, 5, 5],  # one bad month: means 5, 6, 6, 6
            "c": [5, 5, 5, 9, 9, 5],  # 5, 6.3, 7.7, 7.7
            "d": [5, 5],  # two are too few
        }
    )
    held = standings(tables)
    assert held["mean_gap"].to_dict() == pytest.approx(
        {"a": 2 / 6, "b": 0.0, "c": (6 - 23 / 3) / 6, "d": float("nan")}, nan_ok=True
    )
    assert held.loc["a", "since"] == pd.Timestamp("2023-04-10")  # the fourth result
    assert held.loc["b", "since"] == pd.Timestamp("2023-03-11")  # the third
    assert held.loc["a", "days_on_target"] == (date(2023, 12, 1) - date(2023, 4, 10)).days
    assert held["since"].isna().to_dict() == {"a": False, "b": False, "c": True, "d": True}
    assert held.loc["a", "level"] == pytest.approx(np.mean([-4, -2, 0, 2, 2, 2]) / 6)
    assert (held.loc["a", "trend"], held.loc["d", "trend"]) == ("rising", "not known")


def test_higher_may_be_better_and_a_target_may_be_zero() -> None:
    values = {"a": [7.0, 8, 9, 9], "b": [5.0, 5, 4, 3]}
    held = standings(tables_of(values, better=True))
    assert held["on_target"].to_dict() == {"a": True, "b": False}
    zero = standings(tables_of({"a": [1.0, 0, -1, -2]}, target=0))
    assert bool(zero.loc["a", "on_target"]) is True
    assert np.isnan(zero["mean_gap"]["a"])


def test_each_segment_is_held_to_its_own_metric() -> None:
    accounts = pd.DataFrame(
        {"account_id": ["a", "b"], "started_on": "2023-01-01", "segment": ["small", "large"]}
    )
    days = pd.date_range("2023-01-10", periods=4, freq="30D")
    results = pd.concat(
        pd.DataFrame({"account_id": who, "measured_on": days, "metric": metric, "value": 1.0,
                      "target": 2.0, "higher_is_better": metric == "volume"})
        for who in "ab" for metric in ("days", "volume")
    )  # fmt: skip
    tables = ls.read_tables(
        {"accounts": accounts, "results": results}, attributes=["segment"], as_of="2023-06-01"
    )
    analysis = ls.SuccessAnalysis.from_toml(
        '[bullseye]\nsuccess_metric = "days"\n[[segment]]\napplies_to = { segment = ["large"] }\n'
        'success_metric = "volume"\n[[process]]\nname = "p"\nbehavior = "b"\nat_least = 1\n'
        'within = "30d"\n'
    )
    held = standings(tables, analysis)
    assert held["metric"].to_dict() == {"a": "days", "b": "volume"}
    assert held["on_target"].to_dict() == {"a": True, "b": False}


def test_the_list_has_its_evidence(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> None:
    found = ls.success_analysis.most_successful(business, business_analysis)
    frame = found.frame
    assert len(found) >= 10
    assert (frame["mean_gap"] >= 0).all()
    assert (frame["days_on_target"] >= 90).all()
    assert not frame["trend"].eq("falling").any()
    assert frame["score"].is_monotonic_decreasing
    accounts = business.frame("accounts").set_index("account_id")
    assert accounts.loc[frame["account_id"], "ended_on"].isna().all()
    rows = results_over_time(business, business_analysis)
    first = frame.iloc[0]
    own = rows[
        (rows["account_id"] == first["account_id"]) & (rows["measured_on"] >= first["since"])
    ]
    assert own["on_target"].all()
    told = found.to_dict()
    json.dumps(told)
    assert told["accounts"][0]["processes"] == list(first["processes"])
    assert list(told["steps"].values()) == sorted(told["steps"].values(), reverse=True)
    assert "on target since" in repr(found)


NEEDED = ("accounts", "results", "behaviors", "account_changes")


def frames_of(tables: ls.Tables) -> dict[str, pd.DataFrame]:
    """The tables that say who is successful, without behaviours of no process."""
    frames = {
        name: tables.frame(name).drop(columns=["known_on", "superseded_on"]) for name in NEEDED
    }
    events = frames["behaviors"]
    essential = ["reconciliation_completed", "close_review_held"]
    frames["behaviors"] = events[events["behavior"].isin(essential)]
    return frames


def test_satisfaction_and_usage_have_no_say(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> None:
    found = ls.success_analysis.most_successful(business, business_analysis)
    attributes = dict(business.attributes)
    tables = ls.read_tables(frames_of(business), as_of=business.as_of_date, attributes=attributes)
    bare = ls.success_analysis.most_successful(tables, business_analysis)
    assert bare.accounts == found.accounts
    assert bare.criteria == ()
    assert {"there is no table surveys", "there is no table usage"} <= set(bare.notes)


def test_the_future_has_no_say(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> None:
    then = date(2023, 6, 1)
    found = ls.success_analysis.most_successful(business.as_of(then), business_analysis)
    frames = frames_of(business)
    later = frames["results"]["measured_on"] >= pd.Timestamp(then)
    assert later.sum() > 100
    frames["results"].loc[later, "value"] = 0.5
    ended = frames["accounts"]["ended_on"]
    frames["accounts"]["ended_on"] = ended.where(ended < pd.Timestamp(then))
    changed = ls.read_tables(frames, as_of=then, attributes=dict(business.attributes))
    again = ls.success_analysis.most_successful(changed, business_analysis)
    assert again.accounts == found.accounts
    pd.testing.assert_frame_equal(again.frame, found.frame, check_dtype=False)


def test_fewer_than_ten_is_said() -> None:
    found = ls.success_analysis.most_successful(
        tables_of({name: [5.0] * 10 for name in "abc"} | {"d": [7.0] * 10, "e": [7.0]})
    )
    assert found.accounts == ("a", "b", "c")
    assert "fewer than 10: 4 accounts have a current result" in found.notes[0]
    assert "1 below target" in found.notes[0]
    with pytest.raises(ls.OptionError, match="with its column target"):
        ls.success_analysis.most_successful(ls.read_tables({"accounts": pd.DataFrame(
            {"account_id": ["a"], "started_on": ["2023-01-01"]})}, as_of="2023-02-01"))  # fmt: skip


def test_happiest_by_hand() -> None:
    """Twenty accounts: the happier, the worse; usage follows results."""
    names = [f"a{k:02d}" for k in range(20)]
    values = {name: [4 + 0.2 * k] * 10 for k, name in enumerate(names)}  # on target up to k = 10
    surveys = pd.DataFrame({"account_id": names, "answered_on": "2023-11-01", "score": range(20)})
    usage = pd.concat(
        pd.DataFrame({"account_id": names, "used_on": day, "amount": range(20, 0, -1)})
        for day in pd.date_range("2023-01-10", "2023-11-28", freq="7D")
    )
    found = ls.success_analysis.most_successful(
        tables_of(values, surveys=surveys, usage=usage), at_least=5
    )
    assert found.accounts[:2] == ("a00", "a01")
    happiest, heaviest = found.criteria
    assert (happiest.among, happiest.size, happiest.overlap, happiest.by_chance) == (20, 5, 0, 1.25)
    assert (happiest.miss.count, happiest.miss.of) == (5, 5)
    assert (happiest.miss_all.count, happiest.miss_all.of) == (9, 20)
    assert happiest.correlation == pytest.approx(-1)
    assert (heaviest.overlap, heaviest.miss.count) == (5, 0)


def test_small_numbers() -> None:
    # Wilson's interval of 3 in 10 (Newcombe 1998, method 3, worked by hand): 0.1078 to 0.6032.
    assert Share(3, 10).interval == pytest.approx((0.10779, 0.60323), abs=1e-4)
    assert Share(0, 0).to_dict()["share"] is None
    assert best([1, np.nan, 3, 3], 2).tolist() == [False, False, True, True]
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        z = rng.normal(size=(2, 40))
        x, y = z[0], 0.5 * z[0] + np.sqrt(0.75) * z[1]
        _, low, high = spearman(x, y)
        held += low <= 6 / np.pi * np.arcsin(0.25) <= high  # the true rank correlation
    assert 0.92 <= held / 400 <= 0.98


def test_what_became_of_them(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> None:
    later = ls.success_analysis.later_retention(
        business, business_analysis, follow="182d", every="182d", at_least=5
    )
    frame = later.frame.set_index("list")
    rows = later.rows
    assert list(frame.index) == ["successful", "happiest", "heaviest", "everyone"]
    assert max(later.dates) <= date.fromordinal(business.as_of_date.toordinal() - 182)
    by_hand = rows[rows["happiest"]]
    ended = business.frame("accounts").set_index("account_id")["ended_on"]
    left = (by_hand["account_id"].map(ended) - by_hand["date"]).dt.days <= 182
    assert frame.loc["happiest", "stayed"] == pytest.approx(1 - left.mean())
    assert frame.loc["happiest", "chosen"] == len(by_hand)
    assert (frame["low"] <= frame["stayed"]).all()
    assert (frame["stayed"] <= frame["high"]).all()
    json.dumps(later.to_dict())
    with pytest.raises(ls.ModelError, match="no date"):
        ls.success_analysis.later_retention(business, business_analysis, follow="1100d")


def test_pictures(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> None:
    found = ls.success_analysis.most_successful(business, business_analysis)
    assert len(found.plot().get_yticklabels()) == min(len(found), 12)
    axes = found.plot_criterion("happiest")
    assert "of the happiest miss their target" in axes.get_title(loc="left")
    with pytest.raises(ls.OptionError, match="'loudest' was not compared"):
        found.plot_criterion("loudest")
    plt.close("all")
