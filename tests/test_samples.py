"""Samples of all churned customers and a share of the others: who is in them, weights, refusals."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from benchmark_modules import benchmark_module
from leadsignal.cohorts.covariates import columns_of, propensity
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.evaluation.alerts import raise_alerts, rows_to_evaluate
from leadsignal.stats.proportions import auc_of, mean_of
from leadsignal.survival import brier, calibration, dynamic_auc


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return benchmark_module("samples")


@pytest.fixture(scope="module")
def part(business: ls.Tables) -> ls.Tables:
    return business.sample_accounts(0.4, keep_churned=True, seed=1)


@pytest.fixture(scope="module")
def panel(business: ls.Tables) -> ls.Panel:
    return ls.build_panel(business, every="28d")


@pytest.fixture(scope="module")
def sampled(part: ls.Tables) -> ls.Panel:
    return ls.build_panel(part, every="28d")


def test_whole_customers_are_drawn_and_all_that_churned_kept() -> None:
    """Customer c has two accounts of which one churned; d left for a reason that is no churn."""
    accounts = pd.DataFrame(
        {
            "account_id": ["a", "b", "c1", "c2", "d", *(f"e{n}" for n in range(60))],
            "customer_id": [None, None, "c", "c", None, *[None] * 60],
            "started_on": "2024-01-01",
            "ended_on": [None, "2024-03-01", "2024-04-01", None, "2024-04-01", *[None] * 60],
            "end_known_on": ["2024-05-01", *[None] * 64],
            "end_reason": [None, None, None, None, "merger", *[None] * 60],
        }
    )
    tables = ls.read_tables({"accounts": accounts}, as_of="2024-06-01", not_churn=["merger"])
    part = tables.sample_accounts(0.25, keep_churned=True)
    assert part.sample is not None
    weights = part.sample.weights
    assert set(weights[weights == 1].index) == {"a", "b", "c1", "c2"}
    assert set(weights[weights != 1]) == {4.0}
    assert sorted(weights.index) == sorted(part.frame("accounts")["account_id"])
    assert 5 < len(weights) < 40
    assert part.sample.to_dict() == {
        "share": 0.25, "customers": len(weights) - 1, "of": 64, "churned": 3
    }  # fmt: skip
    again = tables.sample_accounts(0.25, keep_churned=True)
    assert again.frame("accounts").equals(part.frame("accounts"))
    other = tables.sample_accounts(0.25, keep_churned=True, seed=1)
    assert not other.frame("accounts").equals(part.frame("accounts"))
    # The same customers are drawn without weights, of those that did not churn.
    plain = tables.sample_accounts(0.25)
    assert plain.sample is None
    assert set(plain.frame("accounts")["account_id"]) <= set(weights.index)
    # What had not churned on an earlier day is drawn like all others.
    early = tables.as_of("2024-02-01").sample_accounts(0.25, keep_churned=True)
    assert early.sample is not None
    assert set(early.sample.weights) == {4.0}


def test_what_a_sample_refuses(part: ls.Tables) -> None:
    with pytest.raises(ls.OptionError, match="a sample already"):
        part.sample_accounts(0.5)
    with pytest.raises(ls.OptionError, match=r"the day as of which the sample was drawn"):
        part.as_of("2090-01-01")
    with pytest.raises(ls.OptionError, match=r"share = 0 must be above 0"):
        part.sample_accounts(0)
    with pytest.raises(ls.OptionError, match=r"weights Spark's panel cannot hold"):
        ls.build_panel(part, engine="spark")


READS_WEIGHTS = {
    "adoption_episodes",
    "audit_health",
    "audit_indicators",
    "build_panel",
    "build_snapshot",
    "churn_events",
    "compare_all",
    "compare_cohorts",
    "comparison_names",
    "dated_cohorts",
    "process_effect",
    "run_backtest",
    "weigh_evidence",
}


def test_every_other_function_refuses_a_sample(part: ls.Tables, sampled: ls.Panel) -> None:
    """What does not know weights would take the churned customers for a share of all."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "make"))
    import reference

    refused = 0
    for name, function in reference.public_names().items():
        if not inspect.isfunction(function):
            continue
        own = {"Tables": part, "Panel": sampled}
        shape = inspect.signature(function).parameters
        passed = {
            parameter.name: own[kind]
            for parameter in shape.values()
            for kind in own
            if kind in {part.strip() for part in str(parameter.annotation).split("|")}
        }
        if not passed or name.rsplit(".", 1)[-1] in READS_WEIGHTS:
            continue
        needed = {p.name: None for p in shape.values() if p.default is inspect.Parameter.empty}
        with pytest.raises(ls.OptionError, match="is a sample of all churned customers"):
            function(**{**needed, **passed})
        refused += 1
    assert refused > 30
    with pytest.raises(ls.OptionError, match="sample"):
        sampled.to_counting_process()
    with pytest.raises(ls.OptionError, match="sample"):
        ls.ChurnModel(estimator="logistic").fit(sampled).score(sampled)


def test_a_panel_of_a_sample_has_the_rows_of_its_accounts(
    panel: ls.Panel, sampled: ls.Panel, part: ls.Tables
) -> None:
    assert part.sample is not None
    mine = panel.frame[panel.frame["account_id"].isin(part.sample.weights.index)]
    rows = sampled.frame.drop(columns="sample_weight")
    pd.testing.assert_frame_equal(rows, mine.reset_index(drop=True))
    assert set(sampled.frame["sample_weight"]) == {1.0, 2.5}
    ended = sampled.frame["event"] == 1
    assert (sampled.frame.loc[ended, "sample_weight"] == 1).all()


def test_weights_of_whole_numbers_are_copies() -> None:
    """An account of weight 3 counts as three equal accounts of one customer."""
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 4, 400)
    score, stop = rng.random(400).round(1), rng.integers(1, 20, 400).astype(float)
    cause = (rng.random(400) < 0.3 + 0.3 * score) * rng.integers(1, 3, 400)
    who = np.repeat(np.arange(400), weight)
    for weighted, copied in (
        (dynamic_auc(stop, cause, score, [9.0], cluster=np.arange(400), weights=weight),
         dynamic_auc(stop[who], cause[who], score[who], [9.0], cluster=who)),
        (brier(stop, cause, score, [9.0], cluster=np.arange(400), weights=weight),
         brier(stop[who], cause[who], score[who], [9.0], cluster=who)),
    ):  # fmt: skip
        for one, other in zip(vars(weighted).values(), vars(copied).values(), strict=True):
            if not isinstance(one, np.ndarray) or one.dtype.kind != "f":
                continue
            np.testing.assert_allclose(one, other, rtol=1e-10)
    slopes = [
        calibration(stop, cause, score, 9.0, cluster=np.arange(400), weights=weight),
        calibration(stop[who], cause[who], score[who], 9.0, cluster=who),
    ]
    np.testing.assert_allclose(slopes[0].slope, slopes[1].slope, rtol=1e-8)
    np.testing.assert_allclose(slopes[0].intercept, slopes[1].intercept, rtol=1e-8)
    absent = np.where(rng.random(400) < 0.3, 0, weight)
    there = absent > 0
    without = brier(stop[there], cause[there], score[there], [9.0], weights=absent[there])
    np.testing.assert_allclose(
        brier(stop, cause, score, [9.0], weights=absent).score, without.score
    )
    case = cause == 1
    area, copied_area = auc_of(case, score, weight.astype(float)), auc_of(case[who], score[who])
    assert area.estimate == pytest.approx(copied_area.estimate)
    assert area.std_err(np.arange(400)) == pytest.approx(copied_area.std_err(who))
    X = rng.normal(size=(400, 2))
    np.testing.assert_allclose(
        propensity(X, case, weight=weight.astype(float))[who], propensity(X[who], case[who])
    )


def test_weighted_cohorts_are_those_of_copies() -> None:
    rng = np.random.default_rng(1)
    n = 300
    event, last, size = rng.integers(1, 900, n), rng.integers(30, 900, n), rng.normal(size=n)
    weight = np.where(rng.random(n) < 0.5, 1.0, 2.0)
    cause = (rng.random(n) < 0.5).astype(int)
    who = np.repeat(np.arange(n), weight.astype(int))
    # Efron resolves ties as if copies were other accounts, so that times differ a little.
    end = last + rng.random(n)

    def cohorts(of: Any, **more: Any) -> DatedCohorts:
        return DatedCohorts.from_changes(
            "measured", ("no", "yes"), np.arange(len(of)), end[of], cause[of],
            (np.arange(len(of)), event[of], np.ones(len(of))),
            covariates={"size": size[of] > 0}, **more,
        )  # fmt: skip

    weighted = ls.cohorts.compare_dated(
        cohorts(np.arange(n), weight=weight), adjust=["size"], horizon=700
    )
    copied = ls.cohorts.compare_dated(cohorts(who, cluster=who), adjust=["size"], horizon=700)
    for one, other in zip(weighted.contrasts, copied.contrasts, strict=True):
        assert one.hazard_ratio is not None
        assert other.hazard_ratio is not None
        assert one.hazard_ratio.estimate == pytest.approx(other.hazard_ratio.estimate, rel=0.02)
        if one.rmst_days is not None and other.rmst_days is not None:
            assert one.rmst_days.estimate == pytest.approx(other.rmst_days.estimate, abs=0.2)
            assert one.rmst_days.std_err == pytest.approx(other.rmst_days.std_err, rel=0.01)
        assert one.log_rank_p is None
    for a, b in zip(weighted.cohorts, copied.cohorts, strict=True):
        assert a.accounts <= b.accounts
        assert a.rate == pytest.approx(b.rate, rel=0.02)
        assert a.days_before == pytest.approx(b.days_before)
    pd.testing.assert_frame_equal(
        weighted.curves()[["cohort"]].drop_duplicates(),
        copied.curves()[["cohort"]].drop_duplicates(),
    )
    with pytest.raises(ls.OptionError, match="weight is not above 0"):
        cohorts(np.arange(n), weight=np.zeros(n))


def test_alerts_take_a_share_of_the_weight(panel: ls.Panel, sampled: ls.Panel) -> None:
    evaluation = rows_to_evaluate(sampled, sampled.frame["snapshot_on"].min(), 180)
    risk = np.random.default_rng(0).random(len(evaluation.rows))
    alerted = raise_alerts(evaluation, risk, 0.2)
    for day in np.unique(evaluation.day):
        mine = evaluation.day == day
        weight, on = evaluation.weight[mine], alerted[mine]
        assert on.any()
        assert risk[mine][on].min() >= risk[mine][~on].max(initial=0)
        assert abs(weight[on].sum() - max(1, round(0.2 * weight.sum()))) <= weight.max()
    assert set(rows_to_evaluate(panel, panel.frame["snapshot_on"].min(), 180).weight) == {1.0}


def test_results_say_that_they_are_of_a_sample(part: ls.Tables, sampled: ls.Panel) -> None:
    assert part.sample is not None
    line = f"from a sample of {part.sample.customers} of {part.sample.of} customers"
    audit = ls.audit_indicators(sampled, resamples=20, leads=[0])
    backtest = ls.run_backtest(sampled, methods=["usage"], origins=2, horizon="90d")
    comparison = ls.compare_cohorts(part, "measured", methods=["time_dependent"])
    for result in (part, sampled, audit, backtest, comparison):
        assert line.removeprefix("from ") in repr(result)
    assert line in comparison.to_markdown()
    assert line in comparison.to_html()
    for found in (audit, backtest, comparison):
        assert found.to_dict()["sample"] == part.sample.to_dict()
    assert backtest.counts["churns"] > 10


def test_an_overview_of_a_sample_leaves_out_what_needs_all(part: ls.Tables) -> None:
    overview = ls.compare_all(part, methods=["time_dependent"])
    assert "from a sample of" in overview.verdict
    assert len(overview.lines) > 5
    reasons = [reason for reason in overview.left_out.values() if "all customers" in reason]
    many = [one for one in ls.compare_all(part).comparisons if one.groups is not None]
    assert many == []
    assert reasons


def test_cohorts_from_samples_agree_with_all(bench: ModuleType) -> None:
    """A slice of benchmarks/samples.py: near the full value, and the truth is held."""
    name = "effect-smooth"
    found = [bench.cohort_business(name, seed, 1000, 0.3) for seed in range(40)]
    table = bench.summary(found, bench.cohort_truth(name)).set_index("number")
    assert (table["apart"].abs() < 3.5 * table["apart_error"] + 0.05).all()
    assert (table["holds_full"] >= 0.84).all()
    assert (table["holds_truth"] >= 0.84).all()
    assert (table["error_ratio"] > 1.03).all()
    assert table["moved_over_added"].between(0.6, 1.5).all()


def test_audit_and_backtest_from_samples_agree_with_all(panel: ls.Panel, bench: ModuleType) -> None:
    """Samples of one business: their mean is the full value, as far as they scatter."""
    rows = rows_to_evaluate(panel, panel.frame["snapshot_on"].min(), 180)
    usage = rows.rows["usage_to_best"].to_numpy(float, na_value=0.0)
    account = panel.frame.groupby("account_id")["event"].max()
    aims = {"share": rows.churned.mean(), "auc": auc_of(rows.churned, usage).estimate}
    values_of: dict[str, list[float]] = {"share": [], "auc": [], "naive": []}
    rng = np.random.default_rng(3)
    for _ in range(80):
        kept = account[(account == 1) | (rng.random(len(account)) < 0.3)]
        found = kept.map({1: 1.0, 0: 1 / 0.3}).reindex(rows.rows["account_id"])
        weight = np.asarray(found, dtype=np.float64)
        mine = np.isfinite(weight)
        values_of["share"].append(mean_of(rows.churned[mine].astype(float), weight[mine]).estimate)
        values_of["naive"].append(float(rows.churned[mine].mean()))
        values_of["auc"].append(auc_of(rows.churned[mine], usage[mine], weight[mine]).estimate)
    for name, aim in aims.items():
        values = np.array(values_of[name])
        assert abs(values.mean() - aim) < 3.5 * values.std() / np.sqrt(80)
    assert np.mean(values_of["naive"]) > 1.3 * aims["share"]


def test_controls_of_a_sample_have_equal_chances(sampled: ls.Panel) -> None:
    """Those who churn later are all in the sample; as controls they would be too many."""
    from leadsignal.evaluation.matched_sets import _equally_likely, match_ends

    weight = np.repeat([1.0, 4.0], 4000)
    kept = _equally_likely(weight, np.arange(8000), 0)
    assert kept[4000:].all()
    assert abs(kept[:4000].mean() - 0.25) < 0.03
    sets = match_ends(sampled)
    assert len(sets) > 10
    same = match_ends(replace(sampled, frame=sampled.frame.assign(sample_weight=1.0)))
    assert len(same.control) > len(sets.control)


def test_splines_have_the_knots_of_all_accounts() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    copies = np.repeat(x[:1500], 2)
    weighted, names = columns_of({"x": x[:1500]}, np.full(1500, 2.0))
    plain, _ = columns_of({"x": copies})
    assert names == ("x",) * weighted.shape[1]
    np.testing.assert_allclose(np.repeat(weighted, 2, axis=0), plain, atol=0.02)
    assert CHURN == 1
