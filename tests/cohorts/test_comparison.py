"""What a comparison says: side by side, cautions, words, tables, pictures, small groups."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.cohorts import Comparison, DatedCohorts, compare_dated
from leadsignal.cohorts.contrasts import e_value, groups_of, hazard_ratio
from leadsignal.cohorts.curves import shrink
from leadsignal.cohorts.risk_intervals import follow_from_landmark, follow_in_time
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import safe_frame
from leadsignal.stats import ClusteredEstimate, Estimate, holm

mpl.use("Agg")


def drawn(n: int = 400, seed: int = 3, effect: float = 1.0, **more: Any) -> DatedCohorts:
    """Accounts of which half are measured some day, which multiplies churn by ``effect``."""
    rng = np.random.default_rng(seed)
    event, end = rng.exponential(400, n).round(), np.ceil(rng.exponential(700, n))
    end = np.where(end > event, np.ceil(event + (end - event) / effect), end)
    last = rng.integers(100, 1400, n)
    return DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), np.arange(n).astype(str), np.minimum(end, last),
        (end <= last).astype(int), (np.arange(n), event, np.ones(n)), **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def nothing() -> Comparison:
    return compare_dated(drawn())


def test_all_methods_stand_side_by_side(nothing: Comparison) -> None:
    assert [c.method for c in nothing.contrasts] == [
        "naive", "time_dependent", "landmark", "target_trial",
    ]  # fmt: skip
    naive, daily, landmark, trial = nothing.contrasts
    assert naive.hazard_ratio is not None
    assert naive.hazard_ratio.high < 0.6
    for corrected in (daily, landmark, trial):
        assert corrected.hazard_ratio is not None
        assert not corrected.hazard_ratio.excludes(1.0)
        assert corrected.artefact
    assert daily.rmst_days is None  # of groups in motion no restricted mean is told
    assert landmark.rmst_days is not None
    assert landmark.origin == 90
    assert daily.log_rank_p is not None


def test_no_artefact_is_claimed_within_chance() -> None:
    # Twelve accounts: naive and corrected differ by much, and by no more than chance.
    few = compare_dated(drawn(14, seed=1), methods=["time_dependent"], landmark=30)
    found = few.contrast("time_dependent")
    assert found is not None
    if found.shrinkage is not None and not found.artefact:
        assert "artefact of immortal time" not in few.explanation


def test_a_real_effect_is_partly_an_artefact() -> None:
    works = compare_dated(drawn(1500, effect=0.4))
    found = works.contrast("time_dependent")
    assert found is not None
    assert found.hazard_ratio is not None
    assert found.hazard_ratio.high < 0.6
    assert "% of it is an artefact of immortal time" in works.explanation


def test_naive_is_never_alone() -> None:
    assert "naive" in [c.method for c in compare_dated(drawn(), methods=["landmark"]).contrasts]
    with pytest.raises(OptionError, match="Choose from naive, time_dependent"):
        compare_dated(drawn(), methods=["landmarks"])


def test_the_landmark_mean_is_the_area_between_the_curves() -> None:
    # Four accounts there at day 10: yes ends 20 and stays, no ends 30 and 40. Until day 40,
    # yes lives 10 and 30 days, mean 20; no 20 and 30, mean 25.
    cohorts = DatedCohorts.from_changes(
        "used", ("no", "yes"), list("abcd"), [20, 50, 30, 40], [1, 0, 1, 1],
        ([0, 1], [5, 5], [1, 1]),
    )  # fmt: skip
    rows = follow_from_landmark(cohorts, 10)
    days = groups_of(rows, cohorts, 1).mean_days(40)
    assert (days[1].value, days[0].value) == (20, 25)


def test_ends_that_are_no_churn_compete() -> None:
    # Of four, one churns on day 10, one completes on day 5: P(churn by 20) = 3/4 · 1/3 = 1/4.
    cohorts = DatedCohorts.from_changes(
        "kind", ("p", "q"), list("abcdwxyz"), [10, 5, 30, 30] * 2, [1, 2, 0, 0] * 2,
        (range(8), [0] * 8, [0] * 4 + [1] * 4),
    )  # fmt: skip
    there = groups_of(follow_in_time(cohorts), cohorts, 1).retention(20)
    assert there[1].value == pytest.approx(3 / 4)


def test_influence_is_the_leave_one_out_change() -> None:
    cohorts = drawn(60)
    rows = follow_in_time(cohorts)
    whole, _ = hazard_ratio(rows, cohorts, 1)
    left_out = []
    for account in range(60):
        kept = np.arange(60) != account
        part = cohorts.chosen(kept)
        left_out.append(whole.value - hazard_ratio(follow_in_time(part), part, 1)[0].value)
    assert np.corrcoef(whole.influence[cohorts.cluster], left_out)[0, 1] > 0.99


def test_the_bootstrap_agrees_with_the_influence_functions() -> None:
    frame = compare_dated(drawn(300), methods=["landmark"]).bootstrap(120, seed=2)
    row: Any
    for row in frame.itertuples():
        if row.method == "landmark":
            width, other = row.high - row.low, row.bootstrap_high - row.bootstrap_low
            assert 0.7 < width / other < 1.4


def test_customers_with_several_accounts_are_one_cluster() -> None:
    cohorts = drawn(200)
    alone = compare_dated(cohorts).contrast("time_dependent")
    twice = compare_dated(
        replace(cohorts.chosen(np.repeat(np.arange(200), 2)), cluster=np.repeat(np.arange(200), 2))
    ).contrast("time_dependent")
    assert alone is not None
    assert alone.hazard_ratio is not None
    assert twice is not None
    assert twice.hazard_ratio is not None
    assert twice.hazard_ratio.low == pytest.approx(alone.hazard_ratio.low, rel=0.03)


def test_adjusting_says_which_covariate_moved_it() -> None:
    rng = np.random.default_rng(0)
    n, size = 1500, rng.normal(size=1500)
    event = np.ceil(rng.exponential(400, n) * np.exp(-0.8 * size))
    end = np.ceil(rng.exponential(600, n) * np.exp(0.8 * size))
    cohorts = DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), np.arange(n), np.minimum(end, 1200),
        (end <= 1200).astype(int), (np.arange(n), event, np.ones(n)),
        covariates={"size": size, "noise": rng.normal(size=n)},
    )  # fmt: skip
    compared = compare_dated(cohorts, adjust=["size", "noise"])
    raw = compared.contrast("time_dependent")
    adjusted = compared.contrast("time_dependent", adjusted=True)
    assert raw is not None
    assert raw.hazard_ratio is not None
    assert raw.hazard_ratio.excludes(1.0)
    assert adjusted is not None
    assert adjusted.hazard_ratio is not None
    assert not adjusted.hazard_ratio.excludes(1.0)
    assert any("size moved the hazard ratio most" in caution for caution in compared.cautions)
    assert any("differ at the start in size" in c for c in compare_dated(cohorts).cautions)


def test_a_covariate_the_event_may_change_is_refused(business: ls.Tables) -> None:
    with pytest.raises(OptionError, match="may have changed it"):
        ls.compare_cohorts(business, "measured", adjust=["complained"])
    named = ls.compare_cohorts(
        business, "measured", adjust=["complained"], mediators=["complained"]
    )
    assert named.contrast("time_dependent", adjusted=True) is not None
    assert named.contrast("landmark", adjusted=True) is not None
    assert any("naive cannot adjust for complained" in c for c in named.cautions)
    trial = ls.compare_cohorts(
        business, "measured", adjust=["complained"], methods=["target_trial"]
    )
    assert trial.contrast("target_trial", adjusted=True) is not None
    with pytest.raises(OptionError, match="is not a covariate"):
        ls.compare_cohorts(business, "measured", adjust=["colour"])


def test_cautions_count_what_they_say() -> None:
    # Both measured on day 100; a lives 400 days, b 200, of which 100 each before: 200 of 600.
    cohorts = DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), list("abcd"), [400, 200, 50, 300], [1, 1, 1, 0],
        ([0, 1], [100, 100], [1, 1]),
    )  # fmt: skip
    compared = compare_dated(cohorts)
    assert any("33 % of the days of accounts ever measured" in c for c in compared.cautions)
    assert any("leaves out 1 accounts: 1 had ended" in c for c in compared.cautions)
    assert all(c.suppressed and c.hazard_ratio is None for c in compared.contrasts)
    assert all(cohort.suppressed for cohort in compared.cohorts)
    assert "fewer than 5" in compared.to_markdown()
    assert compared.to_dict()["cohorts"][0]["accounts"] is None
    assert "4" not in {str(c["accounts"]) for c in compared.to_dict()["contrasts"]}


def test_e_values_are_those_of_the_paper() -> None:
    # VanderWeele & Ding (2017): a risk ratio of 3.9 has 7.26, its limit 1.8 has 3.0.
    from leadsignal.cohorts.contrasts import _e_value

    def hazard_of(risk: float) -> float:
        tried = np.linspace(1, 60, 200_000)
        risks = (1 - 0.5 ** np.sqrt(tried)) / (1 - 0.5 ** np.sqrt(1 / tried))
        return float(tried[np.argmin(np.abs(risks - risk))])

    assert _e_value(hazard_of(3.9)) == pytest.approx(7.26, abs=0.01)
    assert _e_value(hazard_of(1.8)) == pytest.approx(3.0, abs=0.01)
    assert e_value(Estimate(1.2, 0.8, 1.8, 0.4))[1] == 1.0


def test_holm_by_hand() -> None:
    # 0.01 · 3, then 0.02 · 2 = 0.04, then 0.5.
    assert holm(np.array([0.5, 0.01, 0.02])).tolist() == pytest.approx([0.5, 0.03, 0.04])


def test_few_clusters_widen_the_interval() -> None:
    many = ClusteredEstimate(1.0, np.tile([0.1, -0.1], 200))
    few = ClusteredEstimate(1.0, np.array([3.0, *[0.01] * 50]))
    assert many.df > 1000
    assert few.df < 3


def test_reps_are_drawn_to_the_average() -> None:
    groups = shrink(["few", "many", "plain"], [3, 60, 30], [1.0, 30.0, 30.0])
    few, many, plain = groups
    assert few.raw == 3
    assert 1 < few.rate < many.rate < many.raw
    assert many.better < 0.05 < 0.3 < plain.better
    assert plain.low < 1 < plain.high


def test_many_values_are_compared_by_shrunken_rates(business: ls.Tables) -> None:
    reps = ls.compare_cohorts(business, "sales_rep")
    assert reps.groups is not None
    assert reps.contrasts == ()
    assert sum(g.expected for g in reps.groups) == pytest.approx(sum(g.ended for g in reps.groups))
    axes = reps.groups.plot()
    assert axes.get_xlabel() == "churns expected"
    with pytest.raises(ModelError, match="no hazard ratio to draw"):
        reps.plot_forest()


def test_pictures_show_what_the_numbers_say(nothing: Comparison) -> None:
    axes = nothing.plot()
    assert axes.get_title(loc="left").startswith("measured against unmeasured: accounts leave ")
    assert [line.get_label() for line in axes.lines][:2] == [
        "unmeasured, the usual chart", "unmeasured, corrected",
    ]  # fmt: skip
    forest = nothing.plot_forest()
    texts = [text.get_text() for text in forest.texts]
    naive = nothing.contrast("naive")
    assert naive is not None
    assert naive.hazard_ratio is not None
    assert any(text.startswith(f"{naive.hazard_ratio.estimate:.2f} (") for text in texts)


def test_tables_can_be_pasted(nothing: Comparison, tmp_path: Path) -> None:
    for ending in (".md", ".csv"):
        nothing.write(tmp_path / f"table{ending}")
    frame = pd.read_csv(tmp_path / "table.csv")
    assert frame["method"].tolist() == [c.method for c in nothing.contrasts]
    assert (tmp_path / "table.md").read_text().count("\n| measured") == 4
    with pytest.raises(OptionError, match="write_comparison writes the page"):
        nothing.write(tmp_path / "table.html")
    with pytest.raises(OptionError, match=r"\.xlsx"):
        nothing.write(tmp_path / "table.pdf")


def test_xlsx_or_a_clear_error(nothing: Comparison, tmp_path: Path) -> None:
    try:
        import openpyxl
    except ImportError:
        with pytest.raises(OptionError, match="needs openpyxl"):
            nothing.write(tmp_path / "table.xlsx")
        return
    nothing.write(tmp_path / "table.xlsx")
    assert openpyxl.load_workbook(tmp_path / "table.xlsx").active["A1"].value == "cohort"


def test_names_that_look_like_formulas_stay_text() -> None:
    frame = safe_frame(pd.DataFrame({"cohort": ["=1+1", "@x", "plain"], "n": [-1.0, 2.0, 3.0]}))
    assert frame["cohort"].tolist() == ["'=1+1", "'@x", "plain"]
    assert frame["n"].tolist() == [-1.0, 2.0, 3.0]
    odd = compare_dated(replace(drawn(60), levels=("<b>", "a|b")), landmark=30)
    assert "<b>" not in odd.to_html()
    assert "a\\|b" in odd.to_markdown()


def test_every_ready_comparison_runs(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> None:
    names = ls.cohorts.comparison_names(business, business_analysis)
    assert {"measured", "results", "complained", "contract", "adopted", "planned", "commitments",
            "satisfied", "rescued", "sponsor_seen", "diary"} <= set(names)  # fmt: skip
    overview = ls.compare_all(business, business_analysis)
    assert all(line.p_holm >= line.corrected.p for line in overview.lines)
    assert len(overview.to_frame()) == len(overview.lines)
    assert len(overview.comparisons) + len(overview.left_out) >= len(names)
    json.dumps(overview.to_dict(), allow_nan=False)


def test_a_process_has_one_corrected_number(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> None:
    name = business_analysis.processes[0].name
    found = ls.cohorts.process_effect(business, business_analysis, name)
    assert found is not None
    assert found.low < found.estimate < found.high
    with pytest.raises(OptionError, match="is not a process"):
        ls.cohorts.process_effect(business, business_analysis, "nothing")


def test_compare_writes_the_contract(
    business_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "measured.md"
    arguments = ["compare", str(business_folder), "--by", "measured", "--json", "-"]
    assert main([*arguments, "--landmark", "60d", "--adjust", "segment", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) >= {"by", "cohorts", "contrasts"}
    assert set(told["cohorts"][0]) >= {
        "name", "accounts", "account_days", "ended", "retention_12m", "retention_24m",
        "median_days",
    }  # fmt: skip
    first = next(c for c in told["contrasts"] if c["method"] == "target_trial")
    assert (first["cohort"], first["against"]) == ("measured", "unmeasured")
    assert set(first["rmst_days"]) == {"estimate", "low", "high"}
    assert set(first) >= {"hazard_ratio", "rmst_ratio", "adjusted_for"}
    assert told["landmark_days"] == 60
    assert out.read_text().startswith("| cohort |")


def test_compare_all_and_bad_names(
    business_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(business_folder), "--by", "all", "--method", "time_dependent"]) == 0
    assert "corrected for their number" in capsys.readouterr().out
    table = str(tmp_path / "all.csv")
    assert main(["compare", str(business_folder), "--by", "all", "--out", table]) == 2
    assert "writes an explorer, not .csv" in capsys.readouterr().err
    assert main(["compare", str(business_folder), "--by", "mesured"]) == 2
    assert "Choose from measured" in capsys.readouterr().err
