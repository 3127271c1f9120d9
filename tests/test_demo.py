"""The sample makes the case: the demo finds four things in it anew, and says them in ten lines."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.demo import Findings, find_all
from leadsignal.scoring.batch import COLUMNS, call_list


@pytest.fixture(scope="module")
def findings() -> Findings:
    return find_all(ls.sample_folder())


def test_the_sample_shows_all_four_findings(findings: Findings) -> None:
    assert findings.shown() == dict.fromkeys(("discovery", "audit", "backtest", "measured"), True)


def test_discovery_finds_both_processes_from_data_alone(findings: Findings) -> None:
    named = findings.discovery.frame[findings.discovery.frame["essential"]]
    assert set(named["behavior"]) == {"reconciliation_completed", "close_review_held"}
    assert (named["high"] < 0.7).all()
    assert (named["q_value"] < 0.02).all()


def test_processes_and_results_lead_and_usage_lags(findings: Findings) -> None:
    frame = findings.audit.frame
    verdicts = frame.set_index("name")["verdict"]
    for process in ("weekly_reconciliation", "monthly_close_review"):
        assert verdicts[f"{process}_state"] == "leading"
    by_family = frame.groupby("family")["verdict"].agg(set)
    assert "leading" in by_family["results"]
    assert "lagging" in by_family["usage"]
    assert "leading" not in by_family["usage"]
    assert set(frame.loc[frame["verdict"] == "leading", "family"]) == {
        "processes",
        "results",
        "behaviors",
    }


def test_the_backtest_beats_context_and_the_health_score(findings: Findings) -> None:
    """By both measures, and with intervals that are apart."""
    leading, context, health = (
        findings.backtest.methods[name] for name in ("leading", "context", "health")
    )
    for one in (context, health):
        assert leading.auc_low > one.auc_high
        assert leading.unexpected_recall_ahead_low > one.unexpected_recall_ahead_high
    assert findings.backtest.beats_context("leading")
    assert not findings.backtest.beats_context("health")


def test_measured_customers_look_better_than_they_are(findings: Findings) -> None:
    naive, fair = (findings.comparison.contrast(name) for name in ("naive", "landmark"))
    assert naive is not None
    assert fair is not None
    assert naive.rmst_days is not None
    assert fair.rmst_days is not None
    assert naive.rmst_days.low > 150
    assert fair.rmst_days.low < 0 < fair.rmst_days.high < naive.rmst_days.low
    assert fair.artefact


def test_what_data_do_not_show_is_not_said_to_be_shown(findings: Findings) -> None:
    """A backtest in which the models trade places, and so on: each finding can fail."""
    methods = dict(findings.backtest.methods)
    methods["leading"], methods["health"] = methods["health"], methods["leading"]
    nothing = replace(
        findings,
        discovery=replace(findings.discovery, processes=findings.discovery.processes[:1]),
        audit=replace(
            findings.audit,
            frame=findings.audit.frame.assign(
                verdict=findings.audit.frame["verdict"].replace("lagging", "undecided")
            ),
        ),
        backtest=replace(findings.backtest, methods=methods),
        comparison=replace(
            findings.comparison,
            contrasts=tuple(replace(one, rmst_days=None) for one in findings.comparison.contrasts),
        ),
    )
    assert not any(nothing.shown().values())


def test_the_demo_says_so_in_about_ten_lines(
    findings: Findings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In two processes, and with the same numbers as in one."""
    monkeypatch.setenv("LEADSIGNAL_THREADS", "2")
    told = tmp_path / "told.json"
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json", str(told)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 11
    assert [line[:2] for line in said if re.match(r"\d\. ", line)] == ["1.", "2.", "3.", "4."]
    assert "\n".join(said).count(repr(findings)) == 1
    found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    assert all(found["findings"]["shown"].values())
    scores = pd.read_csv(tmp_path / "demo" / "scores.csv")
    assert scores.loc[scores["alert"], ["name", "owner", "currency"]].notna().all(axis=None)
    assert pd.read_parquet(tmp_path / "demo" / "panel.parquet").shape[0] > 30_000


def test_the_call_list_of_the_sample_is_filled() -> None:
    tables = ls.read_tables(ls.sample_folder())
    panel = ls.build_panel(tables)
    model = ls.ChurnModel(estimator="logistic").fit(panel)
    listed = call_list(ls.score_accounts(model, tables, panel=panel, effects={}))
    assert set(COLUMNS) == set(listed.columns)
    wanted = ["name", "owner", "arr", "currency", "next_renewal", "risk", "why"]
    assert len(listed) > 40
    assert listed[wanted].notna().all(axis=None)
    assert (listed[["name", "owner", "currency"]] != "").all(axis=None)
    assert (listed["next_renewal"] >= pd.Timestamp(tables.as_of_date)).all()
