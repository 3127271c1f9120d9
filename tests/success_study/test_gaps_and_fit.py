"""Planted success gaps are found; reasons to buy are told from chance, or not."""

from __future__ import annotations

import json
from datetime import date

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource


@pytest.fixture(scope="module")
def simulation() -> ls.datasets.Simulation:
    return ls.simulate(900, seed=3, noise_rate=0.2)


@pytest.fixture(scope="module")
def gaps(simulation: ls.datasets.Simulation) -> ls.success_analysis.SuccessGaps:
    tables = ls.read_tables(
        {name: simulation.tables[name] for name in ("accounts", "behaviors", "results", "usage")},
        as_of=simulation.as_of, attributes=["segment", "close_owner", "region"],
    )  # fmt: skip
    return ls.success_analysis.find_success_gaps(
        tables, ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    )


def test_planted_gaps_are_found(
    simulation: ls.datasets.Simulation, gaps: ls.success_analysis.SuccessGaps
) -> None:
    who = simulation.truth.who
    meant = pd.Series((who.owner == 1) & (who.gap < 0.7), index=who.account_id)
    planted = meant.reindex(gaps.eligible["account_id"]).to_numpy(dtype=bool)
    listed = gaps.eligible["group"].eq("gap").to_numpy()
    # benchmarks/success.py lists 95 % of those planted and 1 in 1,000 others. Of eleven, fewer
    # than nine would then be listed one time in 60; of 120 others, three or more one in 3,000.
    assert planted.sum() == 11
    assert listed[planted].sum() >= 9
    assert listed[~planted].sum() <= 2
    top = gaps.sets_apart.iloc[0]
    assert (top["what"], top["value"]) == ("close_owner", "shared")
    assert set(gaps.sets_apart["what"]) == {"close_owner"}


def test_a_gap_has_its_evidence(gaps: ls.success_analysis.SuccessGaps) -> None:
    assert (gaps.frame["mean_gap"] < -gaps.margin).all()
    assert (gaps.frame["adopted_days"] >= 90).all()
    assert gaps.frame["off_since"].notna().all()
    assert gaps.share.count == len(gaps)
    # Noise of 0.45 days against targets of 5.5 to 6.5: 1.645 x 0.075 / sqrt(3) = 0.071; what
    # an account truly moves from month to month comes on top.
    assert 0.071 < gaps.margin < 0.13
    told = gaps.to_dict()
    json.dumps(told)
    assert list(told["steps"].values()) == sorted(told["steps"].values(), reverse=True)
    assert "close_owner shared" in repr(gaps)
    assert "<table" in gaps._repr_html_()
    axes = gaps.plot()
    assert axes.get_yticklabels()[0].get_text() == "close_owner: shared"
    plt.close("all")


def test_gaps_need_processes_and_say_what_is_missing(simulation: ls.datasets.Simulation) -> None:
    tables = ls.read_tables(
        {name: simulation.tables[name] for name in ("accounts", "behaviors", "results")},
        as_of=simulation.as_of,
    )
    with pytest.raises(ls.OptionError, match="names none"):
        ls.success_analysis.find_success_gaps(tables, ls.SuccessAnalysis(()))
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    assert (
        "there is no table usage"
        in ls.success_analysis.find_success_gaps(tables, analysis).notes[0]
    )
    few = ls.success_analysis.find_success_gaps(tables.as_of("2021-06-01"), analysis)
    assert "no comparison of what sets them apart" in few.notes[-1]
    with pytest.raises(ls.ModelError, match="nothing to draw"):
        few.plot()


def reasons(effect: float, seed: int, accounts: int = 1500) -> ls.success_analysis.CustomerFit:
    simulation = ls.simulate(accounts, seed=seed, reason_effect=effect, noise_rate=0.0)
    tables = {name: simulation.tables[name] for name in ("accounts", "results")}
    return ls.success_analysis.reasons_to_buy(
        ls.read_tables(tables, attributes=["purchase_reason"], as_of=simulation.as_of)
    )


def test_a_discount_is_no_reason_to_stay() -> None:
    fit = reasons(1.0, seed=1)
    assert set(fit.no_reasons_to_stay) <= {"end-of-year discount", "bridge until the new ERP"}
    assert "bridge until the new ERP" in fit.no_reasons_to_stay
    assert set(fit.reasons_to_stay) <= {
        "close the month faster", "auditor's finding", "group reporting", "replace spreadsheets",
    }  # fmt: skip
    assert fit.reasons_to_stay
    assert "no reason to stay" in repr(fit)
    kept = fit.frame.set_index("value")["retention_12m"]
    assert kept["close the month faster"] > kept["bridge until the new ERP"] + 0.1
    axes = fit.plot()
    assert len(axes.get_yticklabels()) == 6
    plt.close("all")


def test_where_reasons_do_nothing_none_is_told() -> None:
    fit = reasons(0.0, seed=2, accounts=800)
    assert fit.reasons_to_stay == fit.no_reasons_to_stay == ()
    assert "no value differs from the average" in fit.notes[-1]


def hand_made() -> ls.Tables:
    """Ten accounts of each kind; x end on day 100 or stay, y stay; results every 30 days."""
    days = pd.date_range("2023-01-31", periods=6, freq="30D")
    accounts, results = [], []
    for k in range(20):
        kind, name = "xy"[k % 2], f"a{k:02d}"
        ended = "2023-04-11" if kind == "x" and k < 10 else None
        accounts.append((name, "2023-01-01", ended, kind, float(k)))
        value = 5.0 if k < 8 else 7.0
        results += [(name, day, value, 6.0, False) for day in days[: 3 if ended else 6]]
    frames = {
        "accounts": pd.DataFrame(
            accounts, columns=["account_id", "started_on", "ended_on", "kind", "size"]
        ),
        "results": pd.DataFrame(
            results, columns=["account_id", "measured_on", "value", "target", "higher_is_better"]
        ),
    }
    sources = {
        "accounts": TableSource(attributes=("kind", "size")),
        "results": TableSource(complete_from=date(2022, 1, 1)),
    }
    return ls.read_tables(frames, project=Project(tables=sources), as_of="2024-02-01")


def test_fit_counts_by_hand() -> None:
    frame = ls.success_analysis.fit_by(hand_made(), "kind").frame.set_index("value")
    assert frame["accounts"].to_dict() == {"x": 10, "y": 10}
    assert frame["churned"].to_dict() == {"x": 5, "y": 0}
    # All five ends on day 100, with all 20 at risk: a quarter of each kind was to be expected.
    assert frame["expected"].to_dict() == pytest.approx({"x": 2.5, "y": 2.5})
    assert frame.loc["x", "retention_12m"] == pytest.approx(0.5)
    # a00 to a07 are on target with the third result, on day 90: four of each.
    assert frame["reached"].to_dict() == {"x": 4, "y": 4}
    assert frame["reached_12m"].to_dict() == pytest.approx({"x": 0.4, "y": 0.4})
    churn = frame["churn"]
    assert churn["x"] > 1 > churn["y"]


def test_fit_of_all_attributes_and_what_is_refused() -> None:
    tables = hand_made()
    fit = ls.success_analysis.fit_by(tables)
    assert fit.by == ("kind", "size")
    assert set(fit.frame["attribute"]) == {"kind", "size"}
    assert len(fit.frame) == 2 + 3
    json.dumps(fit.to_dict())
    assert "kind x: churn" in repr(fit)
    adjusted = ls.success_analysis.fit_by(tables, "kind", adjust=["size"])
    assert adjusted.adjusted_for == ("size",)
    assert np.isfinite(adjusted.frame["expected"]).all()
    with pytest.raises(ls.OptionError, match="accounts have no attribute purchase_reason"):
        ls.success_analysis.reasons_to_buy(tables)
    with pytest.raises(ls.OptionError, match="is in by= and adjust="):
        ls.success_analysis.fit_by(tables, "kind", adjust=["kind"])
    accounts = tables.frame("accounts")[["account_id", "started_on", "ended_on", "kind"]]
    bare = ls.read_tables({"accounts": accounts}, attributes=["kind"], as_of="2024-02-01")
    alone = ls.success_analysis.fit_by(bare, "kind")
    assert "success" not in alone.frame
    assert "success is unknown" in alone.notes[0]
