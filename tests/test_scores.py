"""Scores: who is in, who is alerted, what is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.scoring.scores import proven_effects, write_scores


@pytest.fixture(scope="module")
def scores(business_scores: ls.Scores) -> ls.Scores:
    return business_scores


def test_every_active_account_without_notice_is_scored_once(
    scores: ls.Scores, business: ls.Tables
) -> None:
    accounts = business.frame("accounts")
    active = accounts[accounts["ended_on"].isna()]
    told = active["end_known_on"].notna()
    assert set(scores.frame["account_id"]) == set(active.loc[~told, "account_id"])
    assert scores.frame["account_id"].is_unique
    assert scores.notice_given == told.sum()


def test_the_riskiest_share_is_alerted(scores: ls.Scores) -> None:
    frame = scores.frame
    assert frame["alert"].sum() == round(0.1 * len(frame))
    assert frame.loc[frame["alert"], "risk"].min() >= frame.loc[~frame["alert"], "risk"].max()


def test_risk_and_staying_fit_together(scores: ls.Scores) -> None:
    active = scores.frame.filter(like="still_active")
    assert list(active) == [f"still_active_{days}d" for days in range(30, 181, 30)]
    assert (active.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert (scores.frame["risk"] + active.iloc[:, -1] <= 1 + 1e-12).all()


def test_reasons_raise_the_risk_and_the_strongest_comes_first(
    scores: ls.Scores, business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    rows = business_panel.current()
    rows = rows[~rows["notice_given"]].set_index("account_id", drop=False)
    parts = business_model.reasons(rows)
    for account in scores.frame["account_id"].head(20):
        listed = [one for one in scores.reasons[account] if one.subject in parts]
        effects = [one.effect for one in listed]
        assert effects == [parts.loc[account, one.subject] for one in listed]
        assert effects == sorted(effects, reverse=True)
        assert min(effects, default=1) >= 0.05


def test_open_processes_and_the_next_step(
    scores: ls.Scores,
    business_panel: ls.Panel,
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
) -> None:
    effects = proven_effects(business, business_analysis)
    rows = business_panel.current().set_index("account_id")
    for _, row in scores.frame.iterrows():
        states = {
            name.removesuffix("_state"): rows.loc[row["account_id"], name]
            for name in business_panel.names(family="processes")
            if name.endswith("_state")
        }
        waiting = {p for p, state in states.items() if state in ("overdue", "lapsed", "pending")}
        told = {p.split(" ")[0] for p in row["open_processes"].split("; ") if p}
        assert told == waiting
        assert bool(row["next_step"]) == bool(waiting)
        proven = [p for p in waiting if p in effects]
        if proven:
            assert row["next_step"].split(" ")[1].rstrip(":") in proven
            assert "times as often" in row["next_step"]
        elif "overdue" in states.values():
            assert row["next_step"].startswith("start ")
            assert "times as often" not in row["next_step"]


def test_a_panel_that_is_there_is_scored_as_the_tables_are(
    business_model: ls.ChurnModel, business: ls.Tables, business_panel: ls.Panel
) -> None:
    expected = ls.score_accounts(business_model, business, effects={})
    found = ls.scoring.score_panel(business_model, business_panel)
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    assert found.to_dict() == expected.to_dict()


def test_a_panel_saves_building_the_last_rows_again(
    scores: ls.Scores,
    business: ls.Tables,
    business_model: ls.ChurnModel,
    business_panel: ls.Panel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("leadsignal.scoring.scores.build_snapshot", None)
    monkeypatch.setattr("leadsignal.as_of_context.build_snapshot", None)
    again = ls.score_accounts(business_model, business, panel=business_panel)
    pd.testing.assert_frame_equal(again.frame, scores.frame)


def test_a_panel_of_another_day_is_refused(
    business: ls.Tables, business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    with pytest.raises(ls.OptionError, match="the panel ends at"):
        ls.score_accounts(business_model, business, as_of="2022-01-03", panel=business_panel)


def test_the_next_step_has_a_number_only_where_an_effect_is_proven(
    business_model: ls.ChurnModel, business: ls.Tables, scores: ls.Scores
) -> None:
    without = ls.score_accounts(business_model, business, effects={}).frame["next_step"]
    assert not without.str.contains("times as often").any()
    proven = proven_effects(business, business_model.analysis_)
    assert scores.frame["next_step"].str.contains("times as often").any() == bool(proven)
    assert all(effect.high < 1 for effect in proven.values())


def test_expected_loss_is_risk_times_arr(scores: ls.Scores, business_panel: ls.Panel) -> None:
    arr = business_panel.current().set_index("account_id")["arr"]
    expected = scores.frame["risk"] * scores.frame["account_id"].map(arr)
    pd.testing.assert_series_equal(
        scores.frame["expected_arr_loss"], expected, check_names=False, rtol=1e-12
    )


def test_scores_of_the_past_are_the_panels_rows(
    business_model: ls.ChurnModel, business: ls.Tables, business_panel: ls.Panel
) -> None:
    on_grid = business_panel.frame["snapshot_on"].unique()[-3]
    past = ls.score_accounts(business_model, business, as_of=str(pd.Timestamp(on_grid).date()))
    rows = business_panel.frame[business_panel.frame["snapshot_on"] == on_grid]
    rows = rows[~rows["notice_given"] & (rows["start"] > 0)]
    expected = pd.Series(business_model.predict(rows).risk, rows["account_id"])
    got = past.frame.set_index("account_id")["risk"]
    assert got.loc[expected.index].tolist() == expected.tolist()


def test_nobody_active_is_refused(business_model: ls.ChurnModel, business: ls.Tables) -> None:
    with pytest.raises(ls.ModelError, match="no account is active"):
        ls.score_accounts(business_model, business, as_of="1990-01-01")


def test_files_round_trip_and_other_endings_are_refused(scores: ls.Scores, tmp_path: Path) -> None:
    write_scores(scores, tmp_path / "scores.parquet")
    back = pd.read_parquet(tmp_path / "scores.parquet").astype(scores.frame.dtypes)  # pandas 3: str
    pd.testing.assert_frame_equal(back, scores.frame)
    write_scores(scores, tmp_path / "scores.csv")
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(scores.frame)
    with pytest.raises(ls.OptionError, match="xlsx"):
        write_scores(scores, tmp_path / "scores.xlsx")


def test_the_printout_names_the_riskiest(scores: ls.Scores) -> None:
    assert scores.frame["account_id"].iloc[0] in repr(scores)
    assert "<table" in scores._repr_html_()
    assert scores.to_dict()["accounts"] == len(scores.frame)
