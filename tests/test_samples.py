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
from numpy.typing import NDArray

import leadsignal as ls
from benchmark_modules import benchmark_module
from leadsignal.account_sample import AccountSample
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import columns_of, propensity
from leadsignal.evaluation.past_rows import raise_alerts, rows_to_evaluate
from leadsignal.stats import RowEstimate, auc_of, mean_of
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
    # Of 64 customers, 61 have not churned.
    assert set(weights[weights != 1]) == {61 / (len(weights) - 4)}
    assert weights[weights != 1].sum() == pytest.approx(61)
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
    assert set(early.sample.weights) == {64 / early.sample.customers}


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
    "hazard_ratios",
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
    assert part.sample is not None
    others = part.sample.of - part.sample.churned
    drawn = part.sample.customers - part.sample.churned
    assert set(sampled.frame["sample_weight"]) == {1.0, others / drawn}
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


def test_hazard_ratios_of_weights_are_those_of_copies(panel: ls.Panel) -> None:
    """An account of weight 2 counts as two accounts of one customer."""
    customer = panel.frame["customer_id"].fillna(panel.frame["account_id"])
    churned = panel.frame["event"].groupby(customer).transform("max") == 1
    twice = ~churned & (pd.util.hash_pandas_object(customer, index=False) % 2 == 0)
    weight = np.where(twice, 2.0, 1.0)
    frame = panel.frame.assign(customer_id=customer)
    again = frame[twice].assign(account_id="again " + frame["account_id"])
    names = ["usage_to_best", "tickets_open", "segment"]
    chosen = [name for name in names if name in panel.names()]
    sample = AccountSample(0.5, 1, 2, 1, panel.as_of_date, pd.Series(dtype=float))
    weighted, copied = (
        ls.model.hazard_ratios(one, indicators=chosen)
        for one in (
            replace(panel, frame=panel.frame.assign(sample_weight=weight), sample=sample),
            replace(panel, frame=pd.concat([frame, again], ignore_index=True)),
        )
    )
    assert len(weighted.table) >= 3
    for column in ("coef", "se(coef)"):
        np.testing.assert_allclose(
            weighted.table[column], copied.table[column], rtol=0.01, atol=1e-3
        )
    assert "from a sample of" in repr(weighted)
    assert weighted.to_dict()["sample"] == sample.to_dict()
    assert weighted.proportionality["p"].isna().all()
    assert weighted.over_tenure is None
    assert copied.to_dict()["sample"] is None


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
    # With weights of 1, errors are those of a sample as well.
    copies = cohorts(who, cluster=who, weight=np.ones(len(who)))
    copied = ls.cohorts.compare_dated(copies, adjust=["size"], horizon=700)
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
    audit = ls.audit_indicators(sampled, leads=[0])
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


@pytest.mark.parametrize(
    ("name", "accounts"), [("effect-smooth", 1000), ("confounded-smooth", 2000)]
)
def test_cohorts_from_samples_agree_with_all(bench: ModuleType, name: str, accounts: int) -> None:
    """A slice of benchmarks/samples.py: near the full value, and the truth is held.

    With weights of the trial taken as known, adjusted mean days moved 1.9 times as far as the error
    of sampling said.
    """
    found = [bench.cohort_business(name, seed, accounts, 0.3) for seed in range(40)]
    table = bench.summary(found, bench.cohort_truth(name)).set_index("number")
    assert (table["apart"].abs() < 3.5 * table["apart_error"] + 0.05).all()
    assert (table["holds_full"] >= 0.84).all()
    assert (table["holds_truth"] >= 0.84).all()
    assert (table["error_ratio"] > 1.03).all()
    assert table["moved_over_added"].between(0.6, 1.5).all()


def drawn(panel: ls.Panel, rng: np.random.Generator) -> pd.Series[float]:
    """Return the weights of accounts, if all that churned and 30 % of the others are drawn."""
    ended = panel.frame.groupby("account_id")["event"].max() == 1
    kept = ended | (rng.random(len(ended)) < 0.3)
    weight = pd.Series(np.where(ended, 1.0, (~ended).sum() / (~ended & kept).sum()), ended.index)
    return weight.where(kept)


def test_figures_from_samples_agree_with_all(panel: ls.Panel) -> None:
    """Samples of one business: their mean is the full value, and they scatter as errors say."""
    rows = rows_to_evaluate(panel, panel.frame["snapshot_on"].min(), 180)
    usage = rows.rows["usage_to_best"].to_numpy(float, na_value=0.0)
    cluster = rows.account

    def figures(mine: NDArray[np.bool_], weight: NDArray[np.float64]) -> dict[str, RowEstimate]:
        churned = rows.churned[mine]
        return {
            "share": mean_of(churned.astype(float), weight),
            "auc": auc_of(churned, usage[mine], weight),
            "naive": mean_of(churned.astype(float)),
        }

    full = figures(np.ones(len(usage), dtype=bool), np.ones(len(usage)))
    values: dict[str, list[tuple[float, float]]] = {"share": [], "auc": [], "naive": []}
    rng = np.random.default_rng(3)
    for _ in range(80):
        weight = drawn(panel, rng).reindex(rows.rows["account_id"]).to_numpy()
        mine = np.isfinite(weight)
        for name, one in figures(mine, weight[mine].astype(np.float64)).items():
            values[name].append((one.estimate, one.std_err(cluster[mine])))
    for name in ("share", "auc"):
        value, error = np.array(values[name]).T
        assert abs(value.mean() - full[name].estimate) < 3.5 * value.std() / np.sqrt(80)
        # Errors take no credit for weights that add up, so that those of shares are too wide.
        added = np.sqrt((error**2).mean() - full[name].std_err(cluster) ** 2)
        assert 0.75 < added / value.std() < (1.3 if name == "auc" else 4)
    assert np.mean(values["naive"], axis=0)[0] > 1.3 * full["share"].estimate


def test_hazard_ratios_from_samples_agree_with_all(panel: ls.Panel) -> None:
    """Samples of one business: their mean is the ratio of all customers, and errors are wider."""
    names = ["usage_to_best", "usage_amount"]
    rng = np.random.default_rng(5)
    sample = AccountSample(0.3, 1, 2, 1, panel.as_of_date, pd.Series(dtype=float))

    def ratios(of: ls.Panel) -> NDArray[np.float64]:
        table = ls.model.hazard_ratios(of, indicators=names, over_tenure=False).table
        return table.loc[names, ["coef", "se(coef)"]].to_numpy(float)

    full, found = ratios(panel), []
    for _ in range(12):
        weight = panel.frame["account_id"].map(drawn(panel, rng))
        frame = panel.frame.assign(sample_weight=weight)[weight.notna()]
        found.append(ratios(replace(panel, frame=frame.reset_index(drop=True), sample=sample)))
    coef, error = np.moveaxis(np.array(found), 2, 0)
    assert (np.abs(coef.mean(axis=0) - full[:, 0]) < 3.5 * coef.std(axis=0) / np.sqrt(12)).all()
    assert (error.mean(axis=0) > full[:, 1]).all()


def test_controls_of_a_sample_have_equal_chances(sampled: ls.Panel) -> None:
    """Those who churn later are all in the sample; as controls they would be too many."""
    from leadsignal.evaluation.past_rows import _equally_likely, match_ends

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
    weighted = columns_of({"x": x[:1500]}, np.full(1500, 2.0))
    plain = columns_of({"x": copies})
    assert weighted.shape == (1500, 4)  # linear, and three knots between the outer two
    np.testing.assert_allclose(np.repeat(weighted, 2, axis=0), plain, atol=0.02)
    assert CHURN == 1
