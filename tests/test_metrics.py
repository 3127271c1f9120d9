"""Metrics of a run: the text that Prometheus reads, of runs that end well or badly; and the log."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.ingestion.check_report import AFFECTS, DataWarning
from leadsignal.scoring.record import HELP, RunRecord, openmetrics
from leadsignal.scoring.scores import _with_warnings

PAGE = Path(__file__).parents[1] / "docs" / "scheduled-scoring.md"
LINE = re.compile(r'(leadsignal_\w+)\{((?:\w+="(?:[^"\\]|\\.)*",?)+)\} (\S+)')

RECORD: dict[str, Any] = {
    "command": "score",
    "outcome": "done in part",
    "started_at": "2025-01-06T06:00:00+00:00",
    "finished_at": "2025-01-06T06:00:14+00:00",
    "seconds": {"read": 3.25, "score": 9.0, "total": 14.0},
    "inputs": {
        "as_of": "2025-01-06",
        "tables": {"tickets": {"rows_read": 12, "rows_dropped": 2, "rows_visible": 9}},
    },
    "model": {"version": "20241230-cf920931", "trained_through": "2024-12-30", "rows": 34084,
              "events": 595},
    "dates": [
        {"snapshot_on": "2024-12-30", "outcome": "scored", "accounts": 600, "alerts": 60,
         "expected_churns": 40.25, "notice_given": 20, "held_out": None, "accounts_clipped": 25,
         "feeds": [], "warnings": []},
        {"snapshot_on": "2025-01-06", "outcome": "scored", "accounts": 601, "alerts": 61,
         "expected_churns": 41.5, "notice_given": 21, "held_out": 7, "accounts_clipped": 26,
         "feeds": [{"table": "tickets", "state": "late"}],
         "warnings": [{"kind": "stale", "table": "tickets", "column": None}] * 2},
        {"snapshot_on": "2024-12-02", "outcome": "kept"},
    ],
    "error": None,
    "versions": {"leadsignal": "0.1.0"},
}  # fmt: skip
MONITORING: dict[str, Any] = {
    "findings": [{"kind": "feed"}, {"kind": "feed"}, {"kind": "churn"}],
    "drift": [
        {"assessed": True, "change": -0.3, "tolerance": 0.2},
        {"assessed": True, "change": 0.1, "tolerance": 0.2},
        {"assessed": False, "change": 9.0, "tolerance": 0.1},
        {"assessed": True, "change": None, "tolerance": 0.1},
    ],
    "feeds": [
        {"table": "tickets", "silent_days": 10, "last_record": "2024-12-27"},
        {"table": "plans", "silent_days": 0, "last_record": None},
    ],
    "realised": [{"arm": "all", "expected": 12.5, "observed": 11}],
    "warnings": [],
}


def values(text: str) -> dict[tuple[str, ...], float]:
    """Return each sample by its name without the prefix, and its labels without ``run``."""
    assert text.endswith("# EOF\n")
    found: dict[tuple[str, ...], float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2])
            assert labels[0][0] == "run"
            key = (match[1].removeprefix("leadsignal_"), *(text for _, text in labels[1:]))
            assert key not in found
            found[key] = float(match[3])
    return found


def test_a_record_becomes_metrics() -> None:
    found = values(openmetrics(RECORD))
    midnight = datetime(2025, 1, 6, tzinfo=UTC).timestamp()
    assert found == {
        ("run_info", "score", "0.1.0", "20241230-cf920931"): 1,
        ("run_outcome", "done"): 0,
        ("run_outcome", "done in part"): 1,
        ("run_outcome", "failed"): 0,
        ("run_outcome", "interrupted"): 0,
        ("run_finished_timestamp_seconds",): midnight + 6 * 3600 + 14,
        ("run_duration_seconds",): 14,
        ("run_stage_duration_seconds", "read"): 3.25,
        ("run_stage_duration_seconds", "score"): 9,
        ("as_of_timestamp_seconds",): midnight,
        ("table_rows", "tickets", "read"): 12,
        ("table_rows", "tickets", "dropped"): 2,
        ("table_rows", "tickets", "visible"): 9,
        ("model_trained_through_timestamp_seconds",): midnight - 7 * 86_400,
        ("model_training_rows",): 34084,
        ("model_training_churns",): 595,
        ("dates", "scored"): 2,
        ("dates", "kept"): 1,
        ("scored_accounts",): 601,
        ("expected_churns",): 41.5,
        ("alerts",): 61,
        ("notice_given_accounts",): 21,
        ("held_out_accounts",): 7,
        ("clipped_accounts",): 26,
        ("faulty_feeds", "late"): 1,
        ("faulty_feeds", "missing"): 0,
        ("faulty_feeds", "empty"): 0,
        ("data_warnings", "stale"): 2,
    }


def test_monitoring_becomes_metrics() -> None:
    found = values(openmetrics(RECORD, monitoring=MONITORING))
    assert found["findings", "feed"] == 2
    assert found["findings", "churn"] == 1
    assert found["findings", "calibration"] == 0
    assert sum(key[0] == "findings" for key in found) == 10
    assert found["drift_ratio",] == pytest.approx(1.5)
    assert found["feed_silence_days", "tickets"] == 10
    assert ("feed_silence_days", "plans") not in found
    assert found["realised_churns", "all", "expected"] == 12.5
    assert found["realised_churns", "all", "observed"] == 11


def test_a_fit_says_which_feeds_are_at_fault_and_a_failure_how_many_faults() -> None:
    fit = {**RECORD, "command": "fit", "dates": [], "inputs": {
        **RECORD["inputs"], "feeds": [{"table": "plans", "state": "missing"}]}}  # fmt: skip
    assert values(openmetrics(fit))["faulty_feeds", "missing"] == 1
    faults = [{"table": "tickets", "column": "opened_at", "count": 3}, {"count": 2}]
    failed = {**RECORD, "outcome": "failed", "dates": [], "inputs": {}, "model": {},
              "error": {"kind": "TablesError", "faults": faults}}  # fmt: skip
    found = values(openmetrics(failed))
    assert found["input_faults",] == 5
    assert found["run_outcome", "failed"] == 1


@pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None,
    reason="prometheus_client is not installed: pip install prometheus-client",
)
def test_both_formats_of_prometheus_are_read_without_a_fault() -> None:
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as open_parser

    odd = 'größe "1" \\ of\nmine'
    text = openmetrics(RECORD, monitoring=MONITORING, run=odd)
    for read in (open_parser, parser):
        families = {one.name: one for one in read.text_string_to_metric_families(text)}
        samples = [sample for one in families.values() for sample in one.samples]
        assert len(samples) == len(values(text)) > 40
        assert {sample.labels["run"] for sample in samples} == {odd}
        assert {one.type for one in families.values()} == {"gauge"}
        assert all(one.documentation == HELP[name.removeprefix("leadsignal_")]
                   for name, one in families.items())  # fmt: skip
    open_families = list(open_parser.text_string_to_metric_families(text))
    assert {one.unit for one in open_families} == {"", "seconds", "days"}


def test_the_page_lists_the_metrics() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| ([\w, –]+) \| (.+) \|$", PAGE.read_text("utf-8"))
    listed = {name: (labels, words) for name, labels, words in rows if name in HELP}
    assert {name: f"{words}." for name, (_, words) in listed.items()} == dict(HELP)
    text = openmetrics(RECORD, monitoring=MONITORING)
    for name, labels in re.findall(r"(?m)^leadsignal_(\w+)\{(.+)\}", text):
        own = re.findall(r'(\w+)="', labels)[1:]
        assert ", ".join(own) == listed[name][0].replace("–", "")


@pytest.mark.parametrize(
    "wrong",
    [{}, {"command": "score"}, {**RECORD, "finished_at": "soon"}, {**RECORD, "dates": [1]},
     {**RECORD, "seconds": None}, {**RECORD, "inputs": {"as_of": "x"}}, 3, "nowhere.run.json"],
    ids=str,
)  # fmt: skip
def test_what_is_no_record_is_refused(wrong: Any) -> None:
    with pytest.raises(ls.OptionError, match=r"run record.*\.run\.json"):
        openmetrics(wrong)


@pytest.fixture(scope="module")
def saved(logistic_model: ls.ChurnModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ls.save_model(logistic_model, tmp_path_factory.mktemp("saved") / "model")


def test_a_command_writes_the_metrics_of_its_record(
    business_folder: Path, saved: Path, tmp_path: Path
) -> None:
    file = tmp_path / "churn.prom"
    given = ["score", str(business_folder), "--model", str(saved), "--out", str(tmp_path / "s.csv")]
    assert main([*given, "--metrics", str(file), "--quiet"]) == 0
    text = file.read_text(encoding="utf-8")
    found = values(text)
    record = json.loads((tmp_path / "s.csv.run.json").read_text())
    expected = values(openmetrics(tmp_path / "s.csv.run.json"))
    times = ("run_finished_timestamp_seconds", "run_duration_seconds")
    assert {k: v for k, v in found.items() if k[0] not in times} == {
        k: v for k, v in expected.items() if k[0] not in times
    }
    assert found["scored_accounts",] == record["dates"][0]["accounts"] > 0
    assert 'run="churn"' in text
    frame = ls.read_scores(tmp_path / "s.csv")
    assert found["expected_churns",] == pytest.approx(frame["risk"].sum())
    assert not any(account in text for account in frame["account_id"])
    # A failure replaces it.
    (tmp_path / "empty").mkdir()
    assert main(["score", str(tmp_path / "empty"), *given[2:], "--metrics", str(file)]) == 2
    failed = values(file.read_text(encoding="utf-8"))
    assert failed["run_outcome", "failed"] == 1
    assert ("scored_accounts",) not in failed


def test_the_outcome_of_a_record_is_in_part_where_something_is_missing() -> None:
    record = RunRecord("score")
    assert record.outcome == "done"
    record.dates = [{"outcome": "kept"}, {"outcome": "scored", "feeds": []}]
    assert record.outcome == "done"
    for date_ in ({"outcome": "not scored"}, {"outcome": "scored", "feeds": [{}]}):
        assert replace(record, dates=[*record.dates, date_]).outcome == "done in part"
    assert replace(record, inputs={"feeds": [{}]}).outcome == "done in part"


# The log ------------------------------------------------------------------------------------------


def test_what_takes_long_is_logged_once_with_its_time(
    business_folder: Path, business_panel: ls.Panel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="leadsignal"):
        ls.read_tables(business_folder)
        ls.run_backtest(business_panel, estimator="logistic", origins=1, methods=["context"])
    lines = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"\d.*", "", line) for line in lines] == [
        "read tables: done in ", "run backtest: done in "
    ]  # fmt: skip
    assert {(one.name, one.levelname) for one in caplog.records} == {("leadsignal", "INFO")}


def test_what_is_odd_is_logged_as_a_warning(
    business_scores: ls.Scores, caplog: pytest.LogCaptureFixture
) -> None:
    kind = next(kind for kind, results in AFFECTS.items() if "score" in results)
    odd = DataWarning(kind, "tickets", "it is odd")
    scores = replace(business_scores, as_of_date=date(2025, 1, 6), warnings=())
    with caplog.at_level(logging.WARNING, logger="leadsignal"):
        _with_warnings(scores, (odd,), None)
    assert "scores of 2025-01-06: tickets: it is odd" in [r.getMessage() for r in caplog.records]


def test_nothing_is_shown_unless_logging_is_configured() -> None:
    handlers = logging.getLogger("leadsignal").handlers
    assert any(isinstance(one, logging.NullHandler) for one in handlers)
