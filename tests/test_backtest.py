"""The backtest: frozen history, equal alerts, honest baselines, and a slice of the simulation."""

from __future__ import annotations

import json
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.evaluation.methods import cut_offs
from leadsignal.evaluation.past_rows import on_grid, thinned

KEYS = {
    "auc", "auc_low", "auc_high", "brier", "calibration_slope", "precision_at_capacity",
    "recall_at_capacity", "arr_recall_at_capacity", "recall_ahead", "recall_before_drop",
    "unexpected_recall_ahead", "alert_precision", "distinct_alerted", "median_lead_days",
    "median_head_start_days",
}  # fmt: skip


@pytest.fixture(scope="module")
def simulation() -> ls.datasets.Simulation:
    return ls.simulate(500, seed=41, days=1200, noise_rate=0.25)


@pytest.fixture(scope="module")
def panel(simulation: ls.datasets.Simulation, tmp_path_factory: pytest.TempPathFactory) -> ls.Panel:
    folder = simulation.write(tmp_path_factory.mktemp("lead"))
    analysis = ls.read_success_analysis(folder / "success.toml")
    return ls.build_panel(ls.read_tables(folder), analysis)


@pytest.fixture(scope="module")
def oracle(simulation: ls.datasets.Simulation, panel: ls.Panel) -> pd.DataFrame:
    grid = on_grid(panel)[["account_id", "snapshot_on"]]
    grid = grid[grid["snapshot_on"] < pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=180)]
    return grid.assign(risk=simulation.truth.oracle_risk(grid, 180, draws=32))


@pytest.fixture(scope="module")
def backtest(panel: ls.Panel, oracle: pd.DataFrame) -> ls.Backtest:
    return ls.run_backtest(panel, origins=2, extra={"oracle": oracle})


def test_the_keys_that_others_rely_on(backtest: ls.Backtest) -> None:
    told = json.loads(json.dumps(backtest.to_dict()))
    assert told["horizon_days"] == 180
    assert len(told["cutoffs"]) == 2
    assert {"random", "context", "lagging", "leading", "all"} <= set(told["models"])
    for one in told["models"].values():
        assert set(one) >= KEYS
    assert told["models"]["random"]["brier"] is None
    assert told["models"]["leading"]["calibration_slope"] is not None


def test_calibration_by_quarter_holds_every_row_once(backtest: ls.Backtest) -> None:
    table = backtest.calibration_by_quarter
    assert set(table["method"]) >= {"context", "leading", "all", "oracle"}
    assert "random" not in set(table["method"])
    mine = table[table["method"] == "leading"]
    assert mine["quarter"].is_monotonic_increasing
    assert mine["rows"].sum() == len(backtest.alerts)
    assert mine["expected"].sum() == pytest.approx(backtest.alerts["leading_risk"].sum())
    assert mine["observed"].nunique() > 1
    assert backtest.to_dict()["calibration_by_quarter"][0]["quarter"] == table["quarter"].iloc[0]


def test_all_methods_alert_the_same_number(backtest: ls.Backtest) -> None:
    alerts = backtest.alerts
    counts = [
        tuple(alerts.groupby("snapshot_on")[f"{name}_alert"].sum()) for name in backtest.methods
    ]
    assert len(set(counts)) == 1
    size = alerts.groupby("snapshot_on").size()
    assert list(counts[0]) == [max(1, round(0.1 * n)) for n in size]


def test_what_is_caught_agrees_with_the_rows(backtest: ls.Backtest) -> None:
    for name, one in backtest.methods.items():
        churns = backtest.churns[backtest.churns["method"] == name]
        assert len(churns) == backtest.counts["churns"]
        if name == "random":
            continue
        surprise = churns[churns["verdict"] == "unexpected"]
        assert one.unexpected_recall_ahead == pytest.approx(surprise["recall_ahead"].mean())
        assert one.recall_ahead == pytest.approx(churns["recall_ahead"].mean())
        caught = surprise["recall_ahead"].astype(float)
        by_arr = np.average(caught, weights=surprise["arr"])
        assert one.arr_unexpected_recall_ahead == pytest.approx(by_arr)
        assert churns["lead_days"].between(0, backtest.horizon).all()
        assert (churns.loc[~churns["recall_ahead"], "lead_days"] == 0).all()
        assert (churns.loc[churns["recall_ahead"], "lead_days"] >= backtest.warning_time).all()


def test_leading_indicators_beat_what_is_usual(backtest: ls.Backtest) -> None:
    share = backtest.to_frame()["unexpected_recall_ahead"]
    assert share["leading"] > share["context"] > share["random"]
    assert share["leading"] > 2 * share["usage"]
    assert backtest.to_frame()["auc"]["oracle"] == backtest.to_frame()["auc"].max()
    assert abs(share["random"] - 0.1) < 0.03
    assert not backtest.beats_context("usage")
    assert "usage does not beat context" in repr(backtest)


def test_the_future_changes_nothing_before_it(panel: ls.Panel) -> None:
    # What happens after a cut-off may not change the risks given there: shuffle every outcome
    # known only later, and the risks of the first stretch stay the same.
    methods = ["context"]
    one = ls.run_backtest(panel, origins=2, methods=methods, estimator="logistic")
    frame = panel.frame.copy()
    last = pd.Timestamp(one.cutoffs[-1])
    later = frame["snapshot_on"] + pd.to_timedelta(frame["ended_within"], unit="D") >= last
    frame.loc[later, "end_cause"] = "closed"
    frame.loc[later, "ended_within"] += 3
    other = ls.run_backtest(
        replace(panel, frame=frame), origins=2, methods=methods, estimator="logistic"
    )
    mine = one.alerts.merge(other.alerts, on=["account_id", "snapshot_on"], suffixes=("", "_2"))
    assert len(mine) > 0.9 * len(one.alerts)
    assert (mine["context_risk"] == mine["context_risk_2"]).all()


def test_groups_hold_all_rows(backtest: ls.Backtest) -> None:
    groups = backtest.by_group
    assert set(groups["group"]) == {"segment", "renewal_within_horizon"}
    for _, part in groups.groupby(["method", "group"]):
        assert part["rows"].sum() == backtest.counts["rows"]
        assert part["unexpected"].sum() == backtest.counts["unexpected"]


def test_differences_are_paired(backtest: ls.Backtest) -> None:
    frame = backtest.differences.set_index(["method", "measure"])
    shares = backtest.to_frame()["unexpected_recall_ahead"]
    row = frame.xs(("leading", "unexpected_recall_ahead"))
    assert row["difference"] == pytest.approx(shares["leading"] - shares["context"])
    ends = "unexpected_recall_ahead"
    width = sum(
        getattr(backtest.methods[name], f"{ends}_high") - shares[name]
        for name in ("leading", "context")
    )
    assert row["high"] - row["difference"] < width


def test_pictures(backtest: ls.Backtest) -> None:
    mpl.use("Agg")
    account = backtest.churns.loc[backtest.churns["recall_ahead"], "account_id"].iloc[0]
    backtest.plot()
    backtest.plot_head_start()
    axes = backtest.plot_account(account)
    assert axes.get_title(loc="left") == account
    with pytest.raises(ls.OptionError, match="was not run"):
        backtest.plot_account(account, "oracel")
    with pytest.raises(ls.OptionError, match="was not evaluated"):
        backtest.plot_account("nobody")
    plt.close("all")
    assert "<table" in backtest._repr_html_()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"methods": ["leeding"]}, "leeding"),
        ({"origins": 0}, "origins"),
        ({"capacity": 0.0}, "capacity"),
        ({"estimator": "forest"}, "estimator"),
        ({"segment": "colour"}, "colour"),
        ({"horizon": "2000d"}, "2000 days"),
    ],
)
def test_what_is_not_allowed_is_refused(
    panel: ls.Panel, given: dict[str, object], told: str
) -> None:
    with pytest.raises(ls.OptionError, match=told):
        ls.run_backtest(panel, **given)  # type: ignore[arg-type]


def test_extra_rankings_must_cover_the_rows(panel: ls.Panel, oracle: pd.DataFrame) -> None:
    with pytest.raises(ls.OptionError, match="no risk for"):
        ls.run_backtest(panel, methods=["random"], extra={"mine": oracle.head(10)})
    with pytest.raises(ls.OptionError, match="is already a method"):
        ls.run_backtest(panel, methods=["random"], extra={"context": oracle})


def test_where_unexpected_cannot_be_told_all_churners_decide(panel: ls.Panel) -> None:
    told = ["usage_low", "flags_open", "health_band"]
    frame = panel.frame.drop(columns=told)
    kept = tuple(one for one in panel.indicators if one.name not in told)
    bare = replace(panel, frame=frame, indicators=kept)
    found = ls.run_backtest(bare, methods=["random", "context"], origins=1, estimator="logistic")
    assert found.headline == "recall_ahead"
    assert found.to_dict()["models"]["context"]["unexpected_recall_ahead"] is None
    assert "churners" in repr(found)
    assert "nan" not in repr(found)


def test_methods_without_their_tables_are_left_out_and_said_so(panel: ls.Panel) -> None:
    kept = tuple(i for i in panel.indicators if i.family not in ("usage", "health"))
    found = ls.run_backtest(replace(panel, indicators=kept), methods=["random", "usage", "health"])
    assert set(found.methods) == {"random"}
    assert set(found.left_out) == {"usage", "health"}
    assert "usage left out: there is no usage" in repr(found)


def test_cut_offs_lie_in_the_later_half_and_before_the_last_horizon(panel: ls.Panel) -> None:
    cuts = cut_offs(panel, 180, 6)
    assert len(cuts) == 6
    assert cuts == sorted(cuts)
    assert (panel.as_of_date - cuts[-1]).days > 180


def test_an_indicator_unknown_at_the_first_cut_off_joins_later(panel: ls.Panel) -> None:
    cuts = cut_offs(panel, 180, 2)
    frame = panel.frame.copy()
    # Known in the last weeks before the first cut-off only, too late to have been followed.
    early = frame["snapshot_on"] < pd.Timestamp(cuts[0]) - pd.Timedelta(days=29)
    frame.loc[early, "survey_score"] = np.nan
    found = ls.run_backtest(replace(panel, frame=frame), origins=2, methods=["context", "lagging"])
    assert not found.alerts["lagging_risk"].isna().any()


def test_weekly_panels_are_fitted_every_28_days(panel: ls.Panel) -> None:
    assert thinned(panel) is panel
    weekly = thinned(replace(panel, every=7))
    days = np.sort(weekly.frame["snapshot_on"].unique())
    assert (np.diff(days) >= np.timedelta64(28, "D")).all()
