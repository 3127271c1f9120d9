"""A panel as rows on (start, stop] that lifelines fits unchanged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxTimeVaryingFitter

import leadsignal as ls
from hand_panels import indicator, lives, panel_of
from leadsignal.survival import fit_cox

KEYS = ["account_id", "start", "stop", "event"]


def fitted(rows: pd.DataFrame) -> CoxTimeVaryingFitter:
    return CoxTimeVaryingFitter().fit(
        rows, id_col="account_id", start_col="start", stop_col="stop", event_col="event"
    )


def world(accounts: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(4)

    def columns(account: np.ndarray, step: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "load": rng.normal(size=len(account)),
            "segment": np.array(["small", "mid", "large"], dtype=object)[account % 3],
        }

    return lives(rng, accounts, columns, lambda rows: 0.5 * rows["load"].to_numpy())


LOAD, SEGMENT = indicator("load"), indicator("segment", "category", "context")


def test_lifelines_fits_all_indicators_of_the_sample_as_we_do(business_panel: ls.Panel) -> None:
    rows = business_panel.to_counting_process()
    names = list(rows.columns[4:])
    ours = fit_cox(rows[names], rows["stop"], rows["event"], start=rows["start"], names=names)
    theirs = fitted(rows).params_[names].to_numpy()
    assert len(names) > 80
    assert np.abs(theirs - ours.coef).max() < 1e-9
    assert np.isfinite(rows[names].to_numpy(dtype=float)).all()


def test_the_true_coefficient_is_found() -> None:
    fit = fitted(panel_of(world(), LOAD, SEGMENT).to_counting_process())
    ((low, high),) = fit.confidence_intervals_.loc[["load"]].to_numpy()
    assert low < 0.5 < high
    assert high - low < 0.4


def test_rows_end_where_the_notice_was_given() -> None:
    frame = world(60).assign(notice_given=False)
    last = frame.groupby("account_id")["start"].transform("max") == frame["start"]
    ended = frame.groupby("account_id")["cause"].transform("last") != ""
    frame["notice_given"] = last & ended
    rows = panel_of(frame, LOAD).to_counting_process()
    whole = panel_of(world(60), LOAD).to_counting_process()
    moved = whole.groupby("account_id")["event"].sum() > 0
    assert 5 < moved.sum() == rows["event"].sum() + (frame[last & ended]["start"] == 0).sum()
    # The row before the notice now ends with the churn, 28 days or fewer before the old one.
    assert set(rows.loc[rows["event"] == 1, "stop"]) <= set(frame.loc[last & ended, "start"])


def test_unknown_numbers_are_the_median_and_a_flag() -> None:
    frame = world()
    frame.loc[::3, "load"] = np.nan
    rows = panel_of(frame, LOAD).to_counting_process()
    assert list(rows) == [*KEYS, "load", "load: unknown"]
    unknown = rows["load: unknown"] == 1
    assert unknown.sum() == -(-len(frame) // 3)
    assert set(rows.loc[unknown, "load"]) == {frame["load"].median()}
    assert fitted(rows).params_.notna().all()


def test_states_are_flags_beside_the_most_frequent() -> None:
    frame = world()
    frame.loc[frame["segment"] == "mid", "segment"] = None
    small = frame.index[frame["segment"] == "small"]
    frame.loc[small[: len(small) // 3], "segment"] = "large"
    rows = panel_of(frame, SEGMENT).to_counting_process()
    assert list(rows) == [*KEYS, "segment: small", "segment: unknown"]
    assert rows["segment: unknown"].sum() == frame["segment"].isna().sum()
    assert rows.attrs["left_out"] == {"segment: large": "the reference of the other states"}


def test_what_says_nothing_new_is_left_out_by_name() -> None:
    frame = world().assign(always=3.0, never=np.nan, flag=0.0)
    frame["twice"], frame["tenure_days"] = 2 * frame["load"] + 1, frame["start"] + 1
    frame.loc[frame.index[:20], "flag"] = 1.0
    names = ("load", "always", "never", "twice", "tenure_days", "flag")
    rows = panel_of(frame, *map(indicator, names)).to_counting_process()
    assert list(rows) == [*KEYS, "load"]
    reasons = rows.attrs["left_out"]
    assert reasons["always"] == "it is 3 everywhere"
    assert reasons["never"] == "it has no value in any row"
    assert reasons["flag"].startswith("rare: ")
    assert reasons["flag"].endswith("churns are expected where it is set")
    assert reasons["twice"] == reasons["tenure_days"]
    assert reasons["twice"] == "collinear: tenure and the columns before it determine it"


def test_ends_that_are_no_churn_are_censored() -> None:
    frame = world()
    ends = frame.index[frame["cause"] != ""]
    frame.loc[ends[::2], "cause"] = "merger"
    all_ends = panel_of(frame, LOAD).to_counting_process()
    churns = panel_of(frame, LOAD, not_churn=("merger",)).to_counting_process()
    assert all_ends["event"].sum() == len(ends)
    assert churns["event"].sum() == len(ends) // 2
    pd.testing.assert_frame_equal(all_ends[["start", "stop"]], churns[["start", "stop"]])


def test_indicators_are_picked_by_name() -> None:
    panel = panel_of(world(), LOAD, SEGMENT)
    assert list(panel.to_counting_process(["load"])) == [*KEYS, "load"]
    assert list(panel.to_counting_process("load")) == [*KEYS, "load"]
    assert list(panel.to_counting_process([])) == KEYS
    with pytest.raises(ls.OptionError, match=r"no indicator 'lod'. Did you mean 'load'\?"):
        panel.to_counting_process(["lod"])


def test_a_sample_of_a_panel_is_refused(business: ls.Tables) -> None:
    sample = ls.panel.sample_panel(business, share=0.2)
    with pytest.raises(ls.OptionError, match="a counting process needs the whole panel"):
        sample.to_counting_process()
