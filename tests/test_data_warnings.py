"""Warnings of the data: leaks of a simulated business are found, and reach the results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.evaluation.backtest import (
    doubt_of_auc,
    doubt_of_expected,
    last_horizon,
    last_horizon_of_panel,
)
from leadsignal.evaluation.past_rows import on_grid
from leadsignal.ingestion.check_report import AFFECTS, RESULTS, DataWarning, affecting
from leadsignal.ingestion.plausibility import _too_many_alike, poisson_tail
from leadsignal.report.churn_page import report_page
from leadsignal.report.summary import summarise
from leadsignal.scoring.batch import counts

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
leaks: Any = import_module("leaks")
DAYS, ACCOUNTS = 1095, 400


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ls.Tables]:
    """The tables with a leak of a kind, simulated once."""

    @cache
    def tables(kind: str) -> ls.Tables:
        folder = str(tmp_path_factory.mktemp(kind))
        found: ls.Tables = leaks.simulated(folder, ACCOUNTS, 0, "no_effect", kind)
        return found

    return tables


@pytest.mark.parametrize("kind", leaks.KINDS)
def test_each_leak_is_found_and_nothing_else(
    kind: str, simulated: Callable[[str], ls.Tables]
) -> None:
    """A seeded slice of benchmarks/leaks.py."""
    tables = simulated(kind)
    assert {one.kind for one in leaks.leaks_in(tables)} == {leaks.KINDS[kind]}
    (found, *_) = leaks.leaks_in(tables)
    assert found in affecting(tables.warnings, "backtest")
    assert f"warning: {found}" in repr(tables).splitlines()


@pytest.mark.parametrize("world", leaks.CLEAN)
def test_a_clean_business_has_no_leak(world: str, tmp_path: Path) -> None:
    assert not list(leaks.false_warnings(world, 2, ACCOUNTS))


def test_todays_values_of_the_messy_world_are_found(tmp_path: Path) -> None:
    simulation = ls.simulate(ACCOUNTS, seed=2, world="messy", days=DAYS)
    tables = ls.read_tables(dict(simulation.tables), attributes=["seats", "region"])
    # Without the project file nobody says that ends are complete from the first day on only.
    kinds = {one.column: one.kind for one in leaks.leaks_in(tables)}
    assert kinds == {"seats": "column_reveals_churn", "ended_on": "survivors"}


def test_the_sample_has_no_warning_that_affects_a_result() -> None:
    tables = ls.read_tables(ls.sample_folder())
    assert [one for one in tables.warnings if one.affects] == []
    assert repr(tables).startswith("Tables as of")


def test_reading_computes_no_warnings_and_a_cut_has_its_own() -> None:
    tables = ls.read_tables(_piled())
    assert "warnings" not in vars(tables)
    assert [one.kind for one in tables.warnings] == ["ends_on_one_day"]
    assert tables.warnings is tables.warnings
    assert [one.kind for one in tables.as_of("2021-03-01").warnings] == ["hidden_rows"]


# By hand ------------------------------------------------------------------------------------------


def _accounts(churned: int, others: int) -> pd.DataFrame:
    """Accounts that start on one day; those that churn do so one a day, from day 400 on."""
    count = churned + others
    ended = [pd.Timestamp("2021-02-05") + pd.Timedelta(days=k) for k in range(churned)]
    return pd.DataFrame(
        {
            "account_id": [f"k{k:03d}" for k in range(count)],
            "started_on": pd.Timestamp("2020-01-01"),
            "ended_on": [*ended, *[pd.NaT] * others],
        }
    )


def _piled() -> dict[str, pd.DataFrame]:
    accounts = _accounts(30, 30)
    accounts.loc[:25, "ended_on"] = pd.Timestamp("2021-05-01")
    return {"accounts": accounts, "surveys": _surveys(60)}


def _surveys(count: int, day: str = "2020-06-01") -> pd.DataFrame:
    names = [f"k{k:03d}" for k in range(count)]
    return pd.DataFrame({"account_id": names, "answered_on": pd.Timestamp(day), "score": 5})


def _kinds(**frames: pd.DataFrame) -> list[str]:
    return [one.kind for one in ls.read_tables(frames, as_of="2021-06-01").warnings]


@pytest.mark.parametrize(
    ("surveyed", "churned", "found"),
    [
        (20, 20, True),  # 0.5 to the power of 20 is 1e-6
        (19, 19, False),  # 2e-6
        (40, 39, False),  # two in a hundred may be others; one of 40 is more
        (60, 59, True),
        (100, 50, False),
    ],
)
def test_a_table_of_churned_accounts_only(surveyed: int, churned: int, found: bool) -> None:
    accounts = _accounts(churned, churned)
    kinds = _kinds(accounts=accounts, surveys=_surveys(surveyed))
    assert ("only_churned_accounts" in kinds) is found


def test_ends_that_are_no_churn_are_others() -> None:
    accounts = _accounts(40, 40).assign(end_reason="completed")
    accounts["end_reason"] = accounts["end_reason"].where(accounts["ended_on"].notna())
    frames = {"accounts": accounts, "surveys": _surveys(40)}
    kept = ls.read_tables(frames, as_of="2021-06-01", not_churn=["completed"]).warnings
    lost = ls.read_tables(frames, as_of="2021-06-01").warnings
    assert "only_churned_accounts" not in {one.kind for one in kept}
    assert "only_churned_accounts" in {one.kind for one in lost}


def test_chance_knows_who_was_active_on_the_day() -> None:
    """At first there are only accounts that will churn: a survey of them says nothing."""
    accounts = _accounts(40, 40)
    accounts.loc[40:, "started_on"] = pd.Timestamp("2020-09-01")
    assert "only_churned_accounts" not in _kinds(accounts=accounts, surveys=_surveys(40))
    late = _surveys(40, "2020-10-01")
    assert "only_churned_accounts" in _kinds(accounts=accounts, surveys=late)


@pytest.mark.parametrize(("at_end", "found"), [(8, True), (4, False)])
def test_tickets_closed_with_the_account(at_end: int, found: bool) -> None:
    accounts = _accounts(40, 40)
    ended = accounts["ended_on"].iloc[:40]
    closed = ended - pd.to_timedelta([0 if k < at_end else 100 + k for k in range(40)], unit="D")
    tickets = pd.DataFrame(
        {
            "account_id": accounts["account_id"].iloc[:40],
            "opened_at": pd.Timestamp("2020-02-01"),
            "closed_at": closed,
        }
    )
    active = tickets.assign(account_id=accounts["account_id"].iloc[40:].to_numpy())
    kinds = _kinds(accounts=accounts, tickets=pd.concat([tickets, active], ignore_index=True))
    assert ("closed_at_end" in kinds) is found


def test_a_value_that_only_ended_accounts_have() -> None:
    accounts = _accounts(60, 60)
    accounts["region"] = ["gone"] * 20 + ["north", "south"] * 50
    frames = {"accounts": accounts}
    (one,) = leaks_of_columns(frames)
    assert (one.table, one.column) == ("accounts", "region")
    assert one.message.startswith("attribute 'region' is 'gone' for 20 accounts, of which 100 %")
    accounts.loc[:1, "region"] = "north"
    assert not leaks_of_columns(frames)


def leaks_of_columns(frames: dict[str, pd.DataFrame]) -> list[DataWarning]:
    found = ls.read_tables(frames, as_of="2021-06-01", attributes=["region"]).warnings
    return [one for one in found if one.kind == "column_reveals_churn"]


@pytest.mark.parametrize(
    ("alike", "second", "ends", "found"),
    [
        (3, 1, 5, True),
        (2, 1, 3, False),
        (10, 3, 300, True),
        (10, 4, 300, False),
        (9, 1, 200, False),
        (10, 3, 400, False),
    ],
)
def test_many_ends_on_one_day(alike: int, second: int, ends: int, found: bool) -> None:
    assert _too_many_alike(alike, second, ends) is found


@pytest.mark.parametrize(("count", "mean"), [(0, 0.5), (1, 0.5), (12, 1.5), (40, 60.0), (90, 60.0)])
def test_poisson_tail_is_that_of_scipy(count: int, mean: float) -> None:
    assert poisson_tail(count, mean) == pytest.approx(poisson.sf(count - 1, mean), rel=1e-9)


# Doubts about results -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "last", "found"),
    [
        (3.0, (50, 400), True),
        (60.0, (20, 400), True),
        (39.0, (20, 400), False),  # less than twice
        (5.0, (2, 400), False),  # chance
        (30.0, (0, 400), True),
        (100.0, (25, 100), False),  # four times the accounts, the same share
        (3.0, None, False),
        (3.0, (0, 0), False),
    ],
)
def test_expected_churns_far_from_those_of_the_last_horizon(
    expected: float, last: tuple[int, int] | None, found: bool
) -> None:
    doubt = doubt_of_expected(expected, 400, last, 180)
    assert [one.kind for one in doubt] == ["expected_churns"] * found


def test_an_auc_above_the_limit() -> None:
    (one,) = doubt_of_auc({"usage": 0.95, "all": 0.9871, "none": float("nan")})
    assert "(all 0.987)" in str(one)


def test_the_last_horizon_counted_by_hand() -> None:
    accounts = _accounts(30, 30)  # 30 end from 2021-02-05 to 2021-03-06
    tables = ls.read_tables({"accounts": accounts}, as_of="2021-06-01")
    assert last_horizon(tables, 100) == (14, 44)  # from 2021-02-21 on, 8 in February, 6 in March
    assert last_horizon(tables, 1000) is None


def test_both_ways_to_count_the_last_horizon_agree(leaking: ls.Tables, panel: ls.Panel) -> None:
    """On a day of the grid both see the same accounts."""
    grid = on_grid(panel)["snapshot_on"]
    days = (pd.Timestamp(leaking.as_of_date) - grid).dt.days
    horizon = int(days[days >= 180].min())
    assert last_horizon(leaking, horizon) == last_horizon_of_panel(panel, horizon)


# In the results -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaking_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    simulation = ls.simulate(
        250, seed=0, world="no_effect", days=DAYS, recording=("backfilled", "export_day")
    )
    return simulation.write(tmp_path_factory.mktemp("leaking"))


@pytest.fixture(scope="module")
def leaking(leaking_folder: Path) -> ls.Tables:
    return ls.read_tables(leaking_folder)


@pytest.fixture(scope="module")
def panel(leaking: ls.Tables, leaking_folder: Path) -> ls.Panel:
    return ls.build_panel(leaking, ls.read_success_analysis(leaking_folder))


@pytest.fixture(scope="module")
def model(panel: ls.Panel) -> ls.ChurnModel:
    return ls.ChurnModel(estimator="logistic").fit(panel)


def shows(result: Any, *kinds: str) -> bool:
    """Whether a result has the kinds of warnings, as data and once in print, above everything."""
    lines = repr(result).splitlines()
    first = [f"warning: {one}" for one in result.warnings]
    once = all(lines.count(line) == 1 for line in first)
    data = json.loads(json.dumps(result.to_dict()))["warnings"]
    return (
        set(kinds) <= {one.kind for one in result.warnings}
        and lines[: len(first)] == first
        and once
        and data == [one.to_dict() for one in result.warnings]
    )


LEAKS = ("only_churned_accounts", "ends_on_one_day")


def test_warnings_reach_the_summary_of_a_model_and_its_copy_on_disk(
    model: ls.ChurnModel, tmp_path: Path
) -> None:
    assert shows(model.summary(), *LEAKS)
    ls.save_model(model, tmp_path / "model")
    assert ls.load_model(tmp_path / "model").warnings_ == model.warnings_


def test_warnings_reach_scores_backtest_and_audit(
    leaking: ls.Tables, panel: ls.Panel, model: ls.ChurnModel
) -> None:
    scores = ls.score_accounts(model, leaking, effects={})
    assert shows(scores, *LEAKS)
    assert shows(ls.scoring.score_panel(model, panel), *LEAKS)
    assert shows(ls.audit_indicators(panel), *LEAKS)
    truth = panel.frame[["account_id", "snapshot_on"]].assign(
        risk=-panel.frame["ended_within"].to_numpy(dtype=float, na_value=9e9)
    )
    backtest = ls.run_backtest(panel, origins=1, methods=("usage",), extra={"oracle": truth})
    assert shows(backtest, *LEAKS, "high_auc")
    assert "oracle 1.000" in repr(backtest)


@pytest.mark.parametrize("kind", ["backfilled", "attribute_today", "arr_today"])
def test_a_leak_is_named_above_a_real_backtest(
    kind: str, simulated: Callable[[str], ls.Tables]
) -> None:
    panel = ls.build_panel(simulated(kind), every="28d")
    backtest = ls.run_backtest(panel, origins=1, methods=("context",), estimator="logistic")
    assert shows(backtest, leaks.KINDS[kind])
    assert repr(backtest).startswith("warning: ")


def test_warnings_reach_discovery_hazard_ratios_and_monitoring(
    leaking: ls.Tables, panel: ls.Panel, model: ls.ChurnModel
) -> None:
    found = ls.discover_processes(
        leaking, at_least=[2], by_users=[1], within=["45d"], sustained_for=[1], draws=100
    )
    assert shows(found, *LEAKS)
    title, first, *_ = found.to_toml().splitlines()
    assert title.startswith("# Discovery in ")
    assert first.startswith("# warning: ")
    ratios = ls.model.hazard_ratios(panel, indicators=["segment"], over_tenure=False)
    assert shows(ratios, *LEAKS)
    assert ratios._repr_html_().startswith("<p>warning: ")
    weekly = ls.build_panel(leaking, every="7d")
    scores = ls.score_accounts(model, leaking, effects={})
    assert shows(ls.monitor_scores(weekly, leaking, scores.to_frame()), *LEAKS)
    assert {one["kind"] for one in counts(scores)["warnings"]} >= set(LEAKS)
    assert "exit_call" not in json.dumps(counts(scores)["warnings"])


def test_late_records_of_survivors_are_found(tmp_path: Path) -> None:
    tables = leaks.simulated(str(tmp_path), ACCOUNTS, 1, "no_effect", "late_results")
    (one,) = (one for one in tables.warnings if one.kind == "recorded_by_survivors")
    assert (one.table, one.column) == ("results", "recorded_at")
    assert "0 of them had ended by then" in one.message
    assert one in affecting(tables.warnings, "compare")


def _late_surveys(recorded: list[int], days: int) -> dict[str, pd.DataFrame]:
    """Accounts of which 40 end from day 400 on; the surveys of some are recorded days later."""
    surveys = _surveys(80).iloc[recorded]
    day = pd.Timestamp("2020-06-01") + pd.Timedelta(days=days)
    return {"accounts": _accounts(40, 40), "surveys": surveys.assign(recorded_at=day)}


@pytest.mark.parametrize(
    ("recorded", "days", "expected"),
    [
        # Half of the accounts have ended by then: of 40 survivors 20 are missing.
        (list(range(40, 80)), 400, True),
        # All accounts, ended or not.
        (list(range(80)), 400, False),
        # On time, and late by no more than 90 days.
        (list(range(40, 80)), 90, False),
        # Too few to say: of 20 survivors 10 are missing.
        (list(range(40, 60)), 400, False),
    ],
    ids=["survivors", "all", "on_time", "few"],
)
def test_late_records_by_hand(recorded: list[int], days: int, expected: bool) -> None:
    tables = ls.read_tables(_late_surveys(recorded, days), as_of="2022-01-01")
    kinds = [one.kind for one in tables.warnings]
    assert ("recorded_by_survivors" in kinds) == expected


def test_warnings_reach_comparisons(leaking: ls.Tables) -> None:
    comparison = ls.compare_cohorts(leaking, by="segment")
    assert shows(comparison, *LEAKS)
    for text in (comparison.to_markdown(), comparison.to_html()):
        assert text.count("are on 20") == 1


def test_warnings_reach_the_report(panel: ls.Panel) -> None:
    summary = summarise(panel)
    assert {one["kind"] for one in summary["warnings"]} == set(LEAKS)
    page = report_page(summary)
    assert page.index("Check the data first") < page.index("At a glance")
    assert page.count("exit_call") == 1
    assert "Check the data first" not in report_page(summarise(replace(panel, warnings=())))


def test_a_kind_affects_known_results_only() -> None:
    assert all(set(results) <= set(RESULTS) for results in AFFECTS.values())
    one = DataWarning("arr_partly_known", "accounts", "text", "arr")
    assert affecting([one, one], "score") == (one,)
    assert affecting([one], "fit") == ()
    assert DataWarning.from_dict(one.to_dict()) == one


@pytest.mark.parametrize(
    "change", [{"kind": "other"}, {"message": "a\x1b[31m"}, {"table": 1}, {"column": "a\nb"}]
)
def test_a_warning_of_a_file_is_checked(change: dict[str, Any]) -> None:
    plain = DataWarning("survivors", "accounts", "text", None).to_dict()
    with pytest.raises(ValueError, match="not a"):
        DataWarning.from_dict({**plain, **change})


# Commands -----------------------------------------------------------------------------------------


def test_check_lists_them_and_strict_makes_them_faults(
    leaking_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(leaking_folder)]) == 0
    assert "warning: behaviors: 'exit_call'" in capsys.readouterr().out
    assert main(["check", str(leaking_folder), "--strict", "--json", "-"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert {(one["table"], one["column"]) for one in found["faults"]} == {
        ("behaviors", "behavior"),
        ("accounts", "ended_on"),
    }
    assert not found["ok"]


def test_strict_commands_write_nothing(
    leaking_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    assert main(["fit", str(leaking_folder), "--out", str(out), "--strict"]) == 2
    assert not out.exists()
    assert "2 faults in the tables" in capsys.readouterr().err


def test_fit_prints_each_once(
    leaking_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", str(leaking_folder), "--out", str(tmp_path / "m"), "--json", "-"]
    assert main([*arguments, "--estimator", "logistic"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("warning: behaviors") == 1
    assert {one["kind"] for one in json.loads(printed.out)["warnings"]} == set(LEAKS)


def test_strict_passes_where_nothing_affects_the_command(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    accounts = _accounts(5, 30).assign(arr=rng.integers(100, 200, 35).astype(float))
    accounts.loc[0, "arr"] = np.nan
    accounts.to_csv(tmp_path / "accounts.csv", index=False)
    (tmp_path / "leadsignal.toml").write_text("[project]\nas_of = 2021-06-01\n")
    arguments = [str(tmp_path), "--by", "contract", "--strict", "--quiet"]
    assert [one.kind for one in ls.read_tables(tmp_path).warnings] == ["arr_partly_known"]
    assert main(["check", str(tmp_path), "--strict"]) == 2
    assert main(["compare", *arguments]) in (0, 2, 3)
