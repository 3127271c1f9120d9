"""The audit: matched sets, verdicts where the truth is planted, multiplicity, the health score."""

from __future__ import annotations

import json
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.evaluation.past_rows import TENURE_WITHIN, MatchedPairs, MatchedSets, match_ends
from leadsignal.stats import holm


@pytest.fixture(scope="module")
def sets(business_panel: ls.Panel) -> MatchedSets:
    return match_ends(business_panel)


def test_controls_are_like_their_ends_and_there_on_the_day(sets: MatchedSets) -> None:
    case, control = sets.rows_at(0)
    assert (case >= 0).all()
    assert (control >= 0).all()
    mine, other = sets.rows.iloc[case[sets.of]], sets.rows.iloc[control]
    assert (mine["snapshot_on"].to_numpy() == other["snapshot_on"].to_numpy()).all()
    assert (mine["term_months"].to_numpy() == other["term_months"].to_numpy()).all()
    assert (np.abs(mine["start"].to_numpy() - other["start"].to_numpy()) <= TENURE_WITHIN).all()
    assert (mine["account_id"].to_numpy() != other["account_id"].to_numpy()).all()
    assert (sets.day[case] <= sets.known).all()


def test_values_are_read_at_least_so_many_days_before(sets: MatchedSets) -> None:
    for lead in (30, 90, 200):
        case, _ = sets.rows_at(lead)
        seen = case >= 0
        before = sets.known[seen] - sets.day[case[seen]]
        assert before.min() >= lead
        assert before.max() < lead + 28


def planted(panel: ls.Panel, seed: int) -> ls.Panel:
    """The panel with usage that falls in the last 40 days and tickets that rise 200 before."""
    rng = np.random.default_rng(seed)
    frame = panel.frame.copy()
    left = frame["known_within"].fillna(9999).to_numpy()
    frame["usage_to_best"] = rng.normal(size=len(frame)) - 2.0 * (left < 40)
    frame["tickets_opened_90d"] = rng.normal(size=len(frame)) + 1.2 * (left < 200)
    frame["survey_score"] = rng.normal(size=len(frame))
    chosen = ("usage_to_best", "tickets_opened_90d", "survey_score", "tenure_days", "term_months")
    kept = tuple(one for one in panel.indicators if one.name in chosen)
    return replace(panel, frame=frame, indicators=kept)


def test_what_was_planted_is_found(business_panel: ls.Panel) -> None:
    audit = ls.audit_indicators(planted(business_panel, 0))
    verdict = audit.frame.set_index("name")["verdict"]
    assert verdict["tickets_opened_90d"] == "leading"
    assert verdict["usage_to_best"] == "lagging"
    assert verdict["survey_score"] in ("neither", "undecided")
    assert audit.usage_declines
    row = audit.frame.set_index("name").loc["usage_to_best"]
    assert row["auc_last"] < 0.5
    assert row["rise"] > 0


def test_limits_of_an_auc_near_1_stay_in_range(business_panel: ls.Panel) -> None:
    panel = planted(business_panel, 3)
    frame = panel.frame
    ending = frame.loc[frame["known_within"].notna(), "account_id"].unique()
    frame = frame[~frame["account_id"].isin(ending[24:])].copy()
    close = frame["known_within"].fillna(9999).to_numpy() < 200
    frame["tickets_opened_90d"] = np.random.default_rng(3).normal(size=len(frame)) + 2.4 * close
    audit = ls.audit_indicators(replace(panel, frame=frame), leads=[0, 90])
    for found in (audit.frame, audit.curves):
        known = found.dropna(subset=["auc", "low", "high"])
        assert ((known["low"] >= 0) & (known["low"] <= known["auc"])).all()
        assert ((known["auc"] <= known["high"]) & (known["high"] <= 1)).all()
        # Mirrored, the other limit would lie beyond 1: the case is one that could leave the range.
        assert (2 * known["auc"] - known["low"] > 1).any()
    rise = audit.frame.dropna(subset=["rise_low", "rise_high"])
    assert ((rise["rise_low"] >= -0.5) & (rise["rise_high"] <= 0.5)).all()


def test_noise_is_not_called_leading(business_panel: ls.Panel) -> None:
    # 20 seeds of one pure-noise indicator: each has at most a 5 % chance, and far less at 0.53.
    wrong = 0
    for seed in range(20):
        panel = planted(business_panel, 100 + seed)
        audit = ls.audit_indicators(panel, leads=[0, 90], seed=seed)
        wrong += "survey_score" in audit.names("leading")
    assert wrong <= 2


def test_an_audit_of_the_business(business_panel: ls.Panel) -> None:
    audit = ls.audit_indicators(business_panel)
    names = {one.name for one in business_panel.indicators if one.role != "context"}
    assert set(audit.frame["name"]) == names
    undecided = audit.frame["verdict"] == "undecided"
    assert audit.frame.loc[~undecided, "ends_to_decide"].isna().all()
    assert (audit.frame["p_holm"].dropna() >= audit.frame["p"][audit.frame["p"].notna()]).all()
    told = json.loads(json.dumps(audit.to_dict()))
    one = told["indicators"][0]
    assert {"name", "family", "auc_by_lead", "verdict"} <= set(one)
    assert "90" in one["auc_by_lead"]
    assert told["health_score"]["churned"] == audit.health.churned  # type: ignore[union-attr]
    mpl.use("Agg")
    audit.plot()
    plt.close("all")
    assert "<table" in audit._repr_html_()
    assert len(audit.to_frame()) == len(names)


def drawn_pairs(rng: np.random.Generator) -> tuple[MatchedPairs, np.ndarray]:
    """Return 80 sets of three of 60 controls, and whether the churned has the higher value."""
    of = np.repeat(np.arange(80), 3)
    churned, control = np.repeat(rng.permutation(140)[:80], 3), rng.integers(80, 140, 240)
    value = rng.normal(size=140)
    higher = (value[churned] > value[control]).astype(float)
    return MatchedPairs(of, churned, control, np.full(240, 1 / 3)), higher


def test_the_error_counts_all_pairs_that_share_a_customer() -> None:
    pairs, higher = drawn_pairs(np.random.default_rng(0))
    higher[[4, 9]] = np.nan
    found = pairs.auc(higher[:, None], np.ones(80, dtype=bool))
    known = ~np.isnan(higher)
    share = np.average(higher[known], weights=pairs.weight[known])
    assert found.auc[0] == pytest.approx(share)
    influence = np.where(known, pairs.weight * (higher - share), 0) / pairs.weight[known].sum()
    total = 0.0
    for one in range(240):
        mine = {pairs.churned[one], pairs.control[one]}
        for two in range(240):
            if mine & {pairs.churned[two], pairs.control[two]}:
                total += influence[one] * influence[two]
    assert found.std_err[0] == pytest.approx(np.sqrt(total * 80 / 79))
    assert found.ends[0] == 80


def test_the_error_is_the_deviation_between_businesses() -> None:
    """A bootstrap of customers, as in earlier versions, is 1.5 times as wide here."""
    rng = np.random.default_rng(1)
    drawn = [drawn_pairs(rng) for _ in range(600)]
    found = [pairs.auc(higher[:, None], np.ones(80, dtype=bool)) for pairs, higher in drawn]
    deviation = np.std([one.auc[0] for one in found])
    error = np.sqrt(np.mean([one.std_err[0] ** 2 for one in found]))
    assert error == pytest.approx(deviation, rel=0.1)


def test_the_same_seed_gives_the_same_audit(business_panel: ls.Panel) -> None:
    one, two = (ls.audit_indicators(business_panel, leads=[0, 90], seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one.frame, two.frame)


def test_holm_by_hand() -> None:
    # 0.01 × 3; 0.03 × 2 = 0.06; 0.04 × 1 is raised to the one before; NaN does not count.
    assert list(holm(np.array([0.01, 0.04, 0.03]))) == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm(np.array([np.nan, 0.5]))[0])
    assert holm(np.array([np.nan, 0.04]))[1] == pytest.approx(0.04)


def test_leads_must_be_days(business_panel: ls.Panel) -> None:
    for leads in ([], [-1]):
        with pytest.raises(ls.OptionError, match="leads"):
            ls.audit_indicators(business_panel, leads=leads)


def test_nobody_alike_is_said(business_panel: ls.Panel) -> None:
    from dataclasses import replace

    ended = business_panel.frame.loc[business_panel.frame["event"] == 1, "account_id"]
    one = business_panel.frame["account_id"] == ended.iloc[0]
    alone = replace(business_panel, frame=business_panel.frame[one].reset_index(drop=True))
    with pytest.raises(ls.ModelError, match="similar tenure"):
        ls.audit_indicators(alone)
