"""One model on one page: a figure belongs to the model that scores, or says to which it belongs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import leadsignal as ls
from leadsignal.as_of_context import AsOfContext
from leadsignal.cli import main
from leadsignal.errors import ModelError, OptionError


@pytest.fixture(scope="module")
def short_model(business_panel: ls.Panel) -> ls.ChurnModel:
    """A model that differs from the defaults in estimator, horizon and step."""
    return ls.ChurnModel("90d", step="45d", estimator="logistic").fit(business_panel)


@pytest.fixture(scope="module")
def other_analysis(business_analysis: ls.SuccessAnalysis) -> ls.SuccessAnalysis:
    first, *others = business_analysis.processes
    return replace(
        business_analysis, processes=(replace(first, at_least=first.at_least + 1), *others)
    )


# Backtest -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_model(business_panel: ls.Panel, short_model: ls.ChurnModel) -> ls.Backtest:
    return ls.run_backtest(business_panel, origins=1, methods=["random"], model=short_model)


def test_a_backtest_of_a_model_has_its_settings(
    of_model: ls.Backtest, short_model: ls.ChurnModel
) -> None:
    assert of_model.horizon == 90
    assert of_model.recipe == short_model.recipe
    assert of_model.alerting == "all"  # It reads all that the panel has, so it is no method more.
    assert set(of_model.methods) == {"random", "all"}
    assert f"logistic, 90 days ahead, as model {short_model.version_}" in repr(of_model)
    assert of_model.to_dict()["model_version"] == short_model.version_


def test_the_risks_are_those_of_the_model_fitted_at_the_cut_off(
    business_panel: ls.Panel, of_model: ls.Backtest, short_model: ls.ChurnModel
) -> None:
    known = business_panel.as_of(of_model.cutoffs[0])
    fitted = ls.ChurnModel("90d", step="45d", estimator="logistic").fit(known)
    keys = ["account_id", "snapshot_on"]
    rows = of_model.alerts[keys].merge(business_panel.frame, on=keys, how="left")
    assert of_model.alerts["all_risk"].to_numpy() == pytest.approx(fitted.predict(rows).risk)


def test_a_model_that_reads_something_else_is_a_method_of_its_own(business_panel: ls.Panel) -> None:
    names = [name for name in business_panel.names() if not name.startswith("tickets")][:12]
    model = ls.ChurnModel("90d", estimator="logistic").fit(business_panel.narrowed(names))
    found = ls.run_backtest(business_panel, origins=1, methods=["random", "context"], model=model)
    assert found.alerting == "model"
    assert list(found.methods) == ["random", "context", "model"]
    assert found.recipe == model.recipe
    with pytest.raises(ModelError, match="lacks"):
        ls.run_backtest(business_panel.narrowed(names[:6]), origins=1, model=model)


@pytest.mark.parametrize("given", [{"horizon": "180d"}, {"estimator": "ensemble"}])
def test_settings_that_contradict_the_model_are_refused(
    business_panel: ls.Panel, short_model: ls.ChurnModel, given: dict[str, str]
) -> None:
    with pytest.raises(OptionError, match=r"not the model's, which is logistic and looks 90 days"):
        ls.run_backtest(business_panel, model=short_model, **given)  # type: ignore[arg-type]


def test_a_report_says_when_the_backtest_is_of_another_model(
    business_panel: ls.Panel, business: ls.Tables, of_model: ls.Backtest,
    short_model: ls.ChurnModel, business_model: ls.ChurnModel,
) -> None:  # fmt: skip
    own = ls.score_accounts(short_model, business, effects={})
    summary = ls.report.summarise(business_panel, of_model, own)
    assert summary["catch"] is not None
    assert summary["catch"]["unlike_scores"] == []
    assert "Not the model of the scores" not in ls.report.report_page(summary)

    other = ls.score_accounts(business_model, business, effects={}, capacity=0.05)
    summary = ls.report.summarise(business_panel, of_model, other)
    page = ls.report.report_page(summary)
    told = (
        "Not the model of the scores: this backtest has estimator logistic instead of ensemble,"
        " horizon 90 days instead of 180 days, step 45 days instead of 30 days, 10\xa0% alerted"
        " instead of 5\xa0%."
    )
    assert page.count(told) == 2  # On the first screen, and in the backtest's section.
    assert "logistic regression, looking three months ahead" in page
    assert summary["capacity"] == 0.05


def test_the_command_backtests_the_model_that_scores(
    business_folder: Path, short_model: ls.ChurnModel, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    saved = str(ls.save_model(short_model, tmp_path / "model"))
    out, told = tmp_path / "r.html", tmp_path / "r.json"
    command = ["report", str(business_folder), "--out", str(out), "--origins", "1", "--quiet"]
    assert main([*command, "--model", saved, "--json", str(told)]) == 0
    summary = json.loads(told.read_text())
    assert summary["horizon_days"] == summary["backtest"]["horizon_days"] == 90
    assert summary["backtest"]["recipe"]["estimator"] == "logistic"
    assert summary["catch"] is not None
    assert summary["catch"]["unlike_scores"] == []
    for contradiction in (["--estimator", "cox"], ["--horizon", "180d"]):
        for start in (command, ["backtest", str(business_folder), "--quiet"]):
            assert main([*start, "--model", saved, *contradiction]) == 2
            assert "not the model's" in capsys.readouterr().err


# One analysis -------------------------------------------------------------------------------------


def test_rules_differ_and_words_do_not(
    business_analysis: ls.SuccessAnalysis, other_analysis: ls.SuccessAnalysis
) -> None:
    first, *others = business_analysis.processes
    reworded = replace(business_analysis, processes=(replace(first, why="because"), *others))
    assert business_analysis.differences(reworded) == ()
    assert business_analysis.differences(other_analysis) == (
        f"process {first.name} has other rules",
    )
    fewer = replace(business_analysis, processes=tuple(others))
    assert business_analysis.differences(fewer) == (f"process {first.name} is missing",)
    assert fewer.differences(business_analysis) == (f"process {first.name} is new",)
    aim = replace(business_analysis.bullseye, success_metric="another")
    assert business_analysis.differences(replace(business_analysis, bullseye=aim)) == (
        "success metrics differ",
    )
    tracking = replace(business_analysis.tracking, diary=("wrote",))
    assert business_analysis.differences(replace(business_analysis, tracking=tracking)) == (
        "tracked behaviours differ",
    )


def test_two_analyses_are_refused(
    business: ls.Tables, business_panel: ls.Panel, business_model: ls.ChurnModel,
    other_analysis: ls.SuccessAnalysis, business_results: tuple[object, ...],
) -> None:  # fmt: skip
    panel = replace(business_panel, analysis=other_analysis)
    scores = business_results[2]
    assert isinstance(scores, ls.Scores)
    account = scores.frame["account_id"].iloc[0]
    attempts: dict[str, Callable[[], object]] = {
        "review of a model": lambda: ls.review_account(
            business, account, other_analysis, model=business_model
        ),
        "review of scores": lambda: ls.review_account(
            business, account, other_analysis, scores=scores
        ),
        "scores of a panel": lambda: ls.scoring.score_panel(business_model, panel),
        "scores of a day": lambda: ls.score_accounts(
            business_model, business, context=AsOfContext(business, other_analysis)
        ),
        "report": lambda: ls.report.summarise(panel, scores=scores),
        "backtest": lambda: ls.run_backtest(panel, model=business_model),
    }
    for attempt in attempts.values():
        with pytest.raises(
            OptionError, match=r"trained with another success analysis.*other rules"
        ):
            attempt()


def test_scores_of_another_day_are_no_part_of_a_report(
    business_panel: ls.Panel, business_results: tuple[object, ...]
) -> None:
    scores = business_results[2]
    assert isinstance(scores, ls.Scores)
    with pytest.raises(OptionError, match="the scores are of"):
        ls.report.summarise(business_panel.as_of("2022-01-01"), scores=scores)


def test_without_an_analysis_that_of_the_scores_is_taken(
    business: ls.Tables, business_results: tuple[object, ...], business_analysis: ls.SuccessAnalysis
) -> None:
    scores = business_results[2]
    assert isinstance(scores, ls.Scores)
    made = ls.review_account(business, scores.frame["account_id"].iloc[0], scores=scores)
    assert [process.name for process in made.processes] == [
        process.name for process in business_analysis.processes
    ]


# The typical account ------------------------------------------------------------------------------


def test_the_typical_account_has_one_risk(
    business: ls.Tables, business_panel: ls.Panel, business_model: ls.ChurnModel,
    business_results: tuple[object, ...],
) -> None:  # fmt: skip
    scores = business_results[2]
    assert isinstance(scores, ls.Scores)
    account = scores.frame["account_id"].iloc[0]
    review = ls.review_account(business, account, scores=scores)
    told = ls.explain_account(business_model, business_panel.current(), account)
    active = business_panel.current()
    typical = business_model.typical_risk(active[~active["notice_given"]])
    assert review.risk is not None
    assert review.risk.typical == scores.typical_risk == told.typical_risk == typical
    odds = told.risk / (1 - told.risk) / np.prod(told.table["factor"])
    assert odds / (1 + odds) == pytest.approx(typical)
    words = told.sentence().split(": ", 1)[1].split(".")[0].lower()
    assert str(review.risk).lower().startswith(words)
