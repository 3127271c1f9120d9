"""Hazard ratios: known truths come back, and what is left out is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from hand_panels import indicator, lives, panel_of
from leadsignal.stats import shrunken_means
from leadsignal.survival import fit_cox

STATE = indicator("state", "category", "processes")
LOAD = indicator("load")
TRUTH = {"state: lapsed": 0.7, "state: overdue": 1.1}
SLOPE = 0.4


def known_frame(seed: int, accounts: int = 300, **options: Any) -> pd.DataFrame:
    """Accounts whose process and load change over time, with known effects."""
    rng = np.random.default_rng(seed)

    def columns(account: np.ndarray, step: np.ndarray) -> dict[str, np.ndarray]:
        state = rng.choice(["adopted", "lapsed", "overdue"], len(account), p=[0.5, 0.3, 0.2])
        base = rng.normal(size=accounts)[account]
        return {"state": state, "load": base + 0.5 * rng.normal(size=len(account))}

    def log_hazard(rows: pd.DataFrame) -> np.ndarray:
        effect = rows["state"].map({"adopted": 0, "lapsed": 0.7, "overdue": 1.1})
        return effect.to_numpy(dtype=float) + SLOPE * rows["load"].to_numpy()

    return lives(rng, accounts, columns, log_hazard, **options)


@pytest.fixture(scope="module")
def known() -> ls.Panel:
    return panel_of(known_frame(1), STATE, LOAD)


def quartiles(values: pd.Series) -> float:
    low, high = np.percentile(values, (25, 75))
    return float(high - low)


def test_known_ratios_lie_in_their_intervals_as_often_as_stated() -> None:
    inside, errors = [], []
    for seed in range(30):
        frame = known_frame(seed)
        table = ls.model.hazard_ratios(panel_of(frame, STATE, LOAD)).to_frame()
        for name, truth in {**TRUTH, "load": SLOPE * quartiles(frame["load"])}.items():
            row = table.loc[name]
            inside.append(row["coef lower 95%"] <= truth <= row["coef upper 95%"])
            errors.append(row["coef"] - truth)
    assert np.mean(inside) >= 0.90
    assert abs(np.mean(errors)) < 0.04


def test_few_churns_do_not_look_certain() -> None:
    inside = []
    for seed in range(40):
        frame = known_frame(seed, 100, rate=0.0006)
        table = ls.model.hazard_ratios(panel_of(frame, STATE, LOAD)).to_frame()
        for name in set(TRUTH) & set(table.index):
            row = table.loc[name]
            inside.append(row["coef lower 95%"] <= TRUTH[name] <= row["coef upper 95%"])
    assert np.mean(inside) >= 0.90


def test_the_same_as_a_cox_fit_of_the_matrix_by_hand(known: ls.Panel) -> None:
    frame = known.frame
    low, high = np.percentile(frame["load"], (25, 75))
    matrix = np.column_stack(
        [
            frame["state"] == "lapsed",
            frame["state"] == "overdue",
            (frame["load"] - low) / (high - low),
        ]
    ).astype(float)
    by_hand = fit_cox(
        matrix, frame["stop"], frame["event"], start=frame["start"],
        cluster=frame["customer_id"].to_numpy(), ridge=0.25,
    )  # fmt: skip
    table = ls.model.hazard_ratios(known).to_frame()
    assert list(table.index) == ["state: lapsed", "state: overdue", "load"]
    np.testing.assert_allclose(table["coef"], by_hand.coef, atol=1e-9)
    assert by_hand.robust_se is not None
    careful = np.maximum(by_hand.robust_se, by_hand.se)
    np.testing.assert_allclose(table["se(coef)"], careful, atol=1e-9)


def test_steps_and_references_are_named(known: ls.Panel) -> None:
    table = ls.model.hazard_ratios(known).to_frame()
    low, high = np.percentile(known.frame["load"], (25, 75))
    assert table.loc["load", "step"] == f"{low:.3g} to {high:.3g} units"
    assert set(table["reference"][:2]) == {"adopted"}
    lapsed = known.frame[known.frame["state"] == "lapsed"]
    assert table.loc["state: lapsed", "rows"] == len(lapsed)
    assert table.loc["state: lapsed", "churns"] == lapsed["event"].sum()


def test_row_order_and_account_names_do_not_matter(known: ls.Panel) -> None:
    shuffled = known.frame.sample(frac=1, random_state=3)
    shuffled["account_id"] = "z" + shuffled["account_id"].str[::-1]
    shuffled["customer_id"] = shuffled["account_id"]
    again = panel_of(shuffled.fillna({"cause": ""}), STATE, LOAD)
    first, second = (
        ls.model.hazard_ratios(known).to_frame(),
        ls.model.hazard_ratios(again).to_frame(),
    )
    np.testing.assert_allclose(first["coef"], second["coef"], atol=1e-10)
    np.testing.assert_allclose(first["se(coef)"], second["se(coef)"], atol=1e-10)


def test_money_in_another_currency_has_the_same_ratio(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""})
    cheap = panel_of(frame.assign(load=np.exp(frame["load"])), LOAD)
    dear = panel_of(frame.assign(load=700 * np.exp(frame["load"])), LOAD)
    first, second = (ls.model.hazard_ratios(panel).to_frame() for panel in (cheap, dear))
    assert first["step"].str.endswith("log scale").all()
    np.testing.assert_allclose(first["coef"], second["coef"], atol=1e-9)


def test_an_end_stands_where_notice_was_given(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""})
    last = ~frame["account_id"].duplicated(keep="last")
    ended = frame[last & frame["cause"].ne("")]
    after = ended.assign(start=ended["stop"], stop=ended["stop"] + 20, notice_given=True)
    before = frame.assign(cause="", notice_given=False)
    told = panel_of(pd.concat([before, after], ignore_index=True), STATE, LOAD)
    plain, moved = ls.model.hazard_ratios(known), ls.model.hazard_ratios(told)
    assert moved.fit.n_events == plain.fit.n_events
    np.testing.assert_allclose(moved.table["coef"], plain.table["coef"], atol=1e-10)


def test_notice_without_an_end_yet_is_counted_and_said(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""})
    staying = frame["account_id"] == frame.groupby("account_id")["event"].max().idxmin()
    noticed = frame.assign(notice_given=staying & (frame["start"] > 100))
    ratios = ls.model.hazard_ratios(panel_of(noticed, STATE, LOAD))
    assert "given notice and not ended yet, counted as churn: 1" in ratios.notes


def test_notice_before_the_first_row_is_said(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""})
    gone = frame["account_id"] == frame.groupby("account_id")["event"].max().idxmax()
    ratios = ls.model.hazard_ratios(panel_of(frame.assign(notice_given=gone), STATE, LOAD))
    assert ratios.fit.n_events == known.frame["event"].sum() - 1
    assert "end known before their first row, so not counted: 1" in ratios.notes


def reasons(ratios: ls.model.HazardRatios) -> dict[str, str]:
    return {part.name: part.reason for part in ratios.left_out}


def test_what_says_nothing_is_left_out_by_name(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""}).assign(
        empty=np.nan, flat=3.0, one="here", twice=lambda rows: 2 * rows["load"] + 1,
        tenure=lambda rows: rows["start"],
    )  # fmt: skip
    more = [indicator(name) for name in ("empty", "flat", "twice", "tenure")]
    panel = panel_of(frame, STATE, LOAD, *more, indicator("one", "category"))
    ratios = ls.model.hazard_ratios(panel)
    assert list(ratios.table.index) == ["state: lapsed", "state: overdue", "load"]
    assert reasons(ratios) == {
        "empty": "it has no value in any row",
        "flat": "it is the same everywhere",
        "one": "it is 'here' everywhere",
        "twice": "collinear: 100.0 % of its variance is explained by load",
        "tenure": "accounts of equal tenure (and stratum) share it",
    }


def test_missing_is_a_state_of_its_own() -> None:
    frame = known_frame(4)
    rng = np.random.default_rng(9)
    frame["load"] = frame["load"].where(rng.random(len(frame)) < 0.7)
    table = ls.model.hazard_ratios(panel_of(frame, STATE, LOAD)).to_frame()
    assert str(table.loc["load: no value", "reference"]).startswith("the median, ")
    assert table.loc["load: no value", "rows"] == frame["load"].isna().sum()


def test_rare_states_are_adjusted_for_and_not_shown() -> None:
    frame = known_frame(4)
    frame.loc[frame.index[:9], "state"] = "odd"
    ratios = ls.model.hazard_ratios(panel_of(frame, STATE, LOAD))
    assert "state: odd" not in ratios.table.index
    assert "state: odd" in ratios.fit.names
    assert reasons(ratios)["state: odd"].startswith("rare: ")


def test_several_rare_states_are_counted_together() -> None:
    frame = known_frame(4)
    few = np.arange(len(frame)) % 8 == 0
    frame.loc[few, "state"] = [f"odd{number % 12}" for number in range(few.sum())]
    ratios = ls.model.hazard_ratios(panel_of(frame, STATE, LOAD))
    assert ratios.table.loc["state: rarer states", "rows"] == few.sum()
    assert "counted under rarer states" in reasons(ratios)["state: odd3"]


def test_without_churn_there_are_no_ratios(known: ls.Panel) -> None:
    none = panel_of(known.frame.assign(cause=""), STATE, LOAD)
    with pytest.raises(ls.errors.ModelError, match="0 churns"):
        ls.model.hazard_ratios(none)


def test_no_indicator_left_is_refused_with_the_reasons(known: ls.Panel) -> None:
    flat = panel_of(known.frame.fillna({"cause": ""}).assign(flat=1.0), indicator("flat"))
    with pytest.raises(ls.errors.ModelError, match="flat: it is the same everywhere"):
        ls.model.hazard_ratios(flat)


def test_every_wrong_argument_is_named_at_once(known: ls.Panel) -> None:
    with pytest.raises(ls.errors.OptionError) as caught:
        ls.model.hazard_ratios(
            known, roles=["leadin"], indicators=["x"], by="load", level=95, ridge=-1, strata="y"
        )
    for part in ("'leadin'", "'x'", "'y'", "by is 'load'", "level is 95", "ridge is -1"):
        assert part in str(caught.value)


def test_unknown_causes_are_refused(known: ls.Panel) -> None:
    with pytest.raises(ls.errors.OptionError, match="no churn by cause 'merged'"):
        ls.model.hazard_ratios(known, cause="merged")
    with pytest.raises(ls.errors.OptionError, match="both given"):
        ls.model.hazard_ratios(known, cause="churn", without="churn")


@pytest.fixture(scope="module")
def causes() -> ls.Panel:
    frame = known_frame(2, causes=("churn", "acquired", "completed"), rate=0.003)
    return panel_of(frame, STATE, LOAD, not_churn=("completed",))


def test_a_cause_left_out_shows_all_churn_beside(causes: ls.Panel) -> None:
    only, total = ls.model.hazard_ratios(causes, cause="churn"), ls.model.hazard_ratios(causes)
    assert only.causes_left_out == ("acquired",)
    assert total.fit.n_events == causes.frame["event"].sum()
    assert only.fit.n_events == (causes.frame["cause"] == "churn").sum()
    np.testing.assert_allclose(only.table["exp(coef) all churn"], total.table["exp(coef)"])
    same = ls.model.hazard_ratios(causes, without=["acquired"])
    pd.testing.assert_frame_equal(only.table, same.table)
    assert "left out: acquired" in repr(only)


def test_strata_have_their_own_baseline(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""})
    frame["region"] = np.where(frame["account_id"].str[-1] < "5", "north", "south")
    panel = panel_of(frame, STATE, LOAD, indicator("region", "category", "context"))
    ratios = ls.model.hazard_ratios(panel, strata="region")
    assert "2 strata" in ratios.fit.title
    assert not any("region" in name for name in ratios.fit.names)


def test_a_ratio_that_changes_is_shown_over_tenure() -> None:
    rng = np.random.default_rng(8)

    def columns(account: np.ndarray, step: np.ndarray) -> dict[str, np.ndarray]:
        return {"load": rng.normal(size=len(account)), "other": rng.normal(size=len(account))}

    def log_hazard(rows: pd.DataFrame) -> np.ndarray:
        sign = np.where(rows["start"] < 140, 1.0, -1.0)
        return np.asarray(sign * rows["load"] + 0.5 * rows["other"])

    frame = lives(rng, 500, columns, log_hazard)
    panel = panel_of(frame, LOAD, indicator("other"))
    ratios = ls.model.hazard_ratios(panel)
    assert list(ratios.proportionality["changes"]) == [True, False]
    over = ratios.over_tenure
    assert over is not None
    assert set(over["covariate"]) == {"load"}
    assert over["churns"].sum() == ratios.fit.n_events
    early, late = np.log(over["exp(coef)"].to_numpy()[[0, -1]]) / quartiles(frame["load"])
    assert early == pytest.approx(1, abs=0.3)
    assert late == pytest.approx(-1, abs=0.4)
    assert "Changes over tenure, see over_tenure: load." in repr(ratios)
    brief = ls.model.hazard_ratios(panel, over_tenure=False)
    assert brief.over_tenure is None
    assert "Changes over tenure: load." in repr(brief)
    assert brief.to_frame().equals(ratios.to_frame())


def test_a_steady_ratio_is_not_said_to_change() -> None:
    said = [
        bool(
            ls.model.hazard_ratios(panel_of(known_frame(s, 150), STATE, LOAD))
            .proportionality["changes"]
            .any()
        )
        for s in range(20)
    ]
    assert sum(said) <= 3


def test_segments_are_drawn_towards_their_mean() -> None:
    frame = known_frame(6, accounts=600)
    frame["size"] = np.array(["large", "mid", "small"])[frame["account_id"].str[1:].astype(int) % 3]
    size = indicator("size", "category", "context")
    segments = ls.model.hazard_ratios(panel_of(frame, STATE, LOAD, size), by="size").by_segment
    assert segments is not None
    assert set(segments["covariate"]) == {"state: lapsed", "state: overdue", "load"}
    own, drawn, mean = (
        np.log(segments[name]) for name in ("exp(coef) own", "exp(coef)", "mean of segments")
    )
    for _, rows in segments.groupby("covariate"):
        assert np.ptp(np.log(rows["exp(coef)"])) < np.ptp(np.log(rows["exp(coef) own"]))
    assert ((drawn - mean).abs() <= (own - mean).abs() + 0.05).all()
    load = segments[segments["covariate"] == "load"]
    truth = np.exp(SLOPE * quartiles(frame["load"]))
    assert (load["exp(coef) lower 95%"] < truth).all()
    assert (load["exp(coef) upper 95%"] > truth).all()


def test_segments_without_churns_are_refused(known: ls.Panel) -> None:
    frame = known.frame.fillna({"cause": ""}).assign(size="all")
    panel = panel_of(frame, STATE, LOAD, indicator("size", "category", "context"))
    with pytest.raises(ls.errors.ModelError, match="comparing takes two"):
        ls.model.hazard_ratios(panel, by="size")


@pytest.mark.parametrize(("groups", "spread"), [(3, 0.0), (3, 0.6), (8, 0.3)])
def test_shrunk_intervals_cover_and_errors_fall(groups: int, spread: float) -> None:
    rng = np.random.default_rng(groups)
    inside, drawn, own = [], [], []
    for _ in range(250):
        error = rng.uniform(0.2, 0.6, groups)
        truth = 0.4 + spread * rng.standard_normal(groups)
        seen = truth + error * rng.standard_normal(groups)
        result = shrunken_means(seen, error)
        inside.append(np.abs(result.estimate - truth) < 1.96 * result.std_err)
        drawn.append((result.estimate - truth) ** 2)
        own.append((seen - truth) ** 2)
    assert np.mean(inside) > 0.92
    assert np.mean(drawn) < np.mean(own)


def test_what_is_unknown_goes_to_the_mean() -> None:
    result = shrunken_means(np.array([0.1, 0.2, np.nan]), np.array([0.1, 0.1, np.nan]))
    assert result.estimate[2] == pytest.approx(result.mean)
    assert result.std_err[2] > result.std_err[0]


def test_the_business_reads_one_indicator_of_each_kind(business_panel: ls.Panel) -> None:
    ratios = ls.model.hazard_ratios(business_panel)
    told = set(ratios.table["indicator"]) | {part.name.split(":")[0] for part in ratios.left_out}
    asked = business_panel.names(role="leading") + business_panel.names(role="context")
    assert told == set(asked)
    assert "weekly_reconciliation_events" in reasons(ratios)
    assert {"p (Holm)", "changes"} <= set(ratios.proportionality)
    named = ls.model.hazard_ratios(business_panel, indicators=["weekly_reconciliation_events"])
    assert list(named.table["indicator"].unique()) == ["weekly_reconciliation_events"]


def test_results_print_draw_and_become_json(causes: ls.Panel) -> None:
    ratios = ls.model.hazard_ratios(causes, cause="churn")
    assert "do not say what a change would do" in repr(ratios)
    assert "<table" in ratios._repr_html_()
    data = json.loads(json.dumps(ratios.to_dict()))
    assert [row["covariate"] for row in data["ratios"]] == list(ratios.table.index)
    axes = ratios.plot()
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels[0] == "state: lapsed  against adopted"
    assert len(labels) == len(ratios.table)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["all churn"]
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_examples_of_the_page_run(business_panel: ls.Panel) -> None:
    import matplotlib.pyplot as plt

    page = (Path(__file__).parents[1] / "docs" / "why.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    exec(example, {"ls": ls, "panel": business_panel})
    plt.close("all")
