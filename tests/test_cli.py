"""The command line: what it prints, writes and returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ls.simulate(250, seed=3, days=1100).write(tmp_path_factory.mktemp("business"))


@pytest.fixture(scope="module")
def fitted(business: Path) -> Path:
    model = business.parent / "model"
    assert main(["fit", str(business), "--out", str(model), "--estimator", "logistic"]) == 0
    return model


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leadsignal", *arguments], capture_output=True, text=True
    )


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"leadsignal {ls.__version__}\n")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, leadsignal.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pandas', 'numpy', 'duckdb', 'sklearn', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "check",
        "discover",
        "panel",
        "audit",
        "backtest",
        "fit",
        "score",
        "monitor",
        "compare",
        "report",
        "review",
    ],
)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_check_says_what_is_there(business: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(business), "--json", "-"]) == 0
    out = capsys.readouterr()
    report = json.loads(out.out)
    assert report["ok"] is True
    assert report["tables"]["accounts"] > 200
    assert set(report) >= {"ok", "tables", "faults", "warnings"}
    assert "no faults" in out.err


def test_check_lists_every_fault_and_returns_2(
    business: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "accounts.csv").write_text(
        "account_id,started_on,ended_on\na,2023-01-01,2022-01-01\nb,2023-13-01,\n"
    )
    (tmp_path / "tickets.csv").write_text("account_id,opened_at\nc,2023-02-01\n")
    assert main(["check", str(tmp_path), "--json", str(tmp_path / "report.json")]) == 2
    err = capsys.readouterr().err
    assert "accounts.csv:2: ended_on" in err
    assert "accounts.csv:3: started_on" in err
    assert "tickets.csv:2: account_id" in err
    faults = json.loads((tmp_path / "report.json").read_text())["faults"]
    assert {fault["line"] for fault in faults} >= {2, 3}
    assert set(faults[0]) == {"table", "file", "line", "column", "value", "problem", "remedy"}


def test_dropping_bad_rows_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,started_on\na,2023-01-01\nb,yesterday\n")
    assert main(["check", str(tmp_path), "--drop-bad-rows"]) == 0
    assert "dropped accounts.csv:3" in capsys.readouterr().out


def test_panel_is_written_as_parquet(
    business: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, told = tmp_path / "panel.parquet", tmp_path / "panel.json"
    given = ["panel", str(business), "--every", "8w", "--out", str(out), "--json", str(told)]
    assert main(given) == 0
    frame = pd.read_parquet(out)
    tables = ls.read_tables(business)
    analysis = ls.read_success_analysis(business / "success.toml")
    panel = ls.build_panel(tables, analysis, every="8w")
    assert capsys.readouterr().out == f"{panel}\nwritten to {out}\n"
    assert json.loads(told.read_text()) == {"ok": True, **panel.to_dict(), "panel": str(out)}
    frame["snapshot_on"] = frame["snapshot_on"].astype(panel.frame["snapshot_on"].dtype)
    pd.testing.assert_frame_equal(frame, panel.frame, check_dtype=False, check_exact=True)
    assert {"account_id", "snapshot_on", "start", "stop", "event", "cause"} <= set(frame)
    on_grid = (frame["snapshot_on"] - pd.Timestamp("1970-01-05")).dt.days % 56 == 0
    assert on_grid.mean() > 0.8


def test_fit_and_score(
    business: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.csv"
    arguments = ["score", str(business), "--model", str(fitted), "--out", str(out)]
    assert main([*arguments, "--json", "-", "--capacity", "0.2"]) == 0
    told = json.loads(capsys.readouterr().out)
    scores = pd.read_csv(out)
    wanted = ["account_id", "snapshot_on", "risk", "still_active_30d", "still_active_180d"]
    wanted += ["expected_arr_loss", "alert", "reason_1", "reason_2", "reason_3"]
    wanted += ["open_processes", "next_step", "model_version", "hindsight"]
    assert [c for c in scores.columns if c in wanted] == wanted
    assert told["accounts"] == len(scores)
    assert told["ok"] is True
    assert told["alerted"] == scores.loc[scores["alert"], "account_id"].tolist()
    assert told["alerts"] == scores["alert"].sum() == round(0.2 * len(scores))
    first = out.read_bytes()
    assert main([*arguments, "--capacity", "0.2", "--quiet"]) == 0
    assert out.read_bytes() == first


def test_scoring_in_the_past_knows_only_the_past(
    business: Path, fitted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    arguments = ["score", str(business), "--model", str(fitted), "--out", str(out)]
    assert main([*arguments, "--as-of", "2023-01-02", "--quiet"]) == 0
    scores = pd.read_parquet(out)
    assert set(scores["snapshot_on"]) == {pd.Timestamp("2023-01-02")}


def test_a_model_that_does_not_fit_returns_3(
    business: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("accounts.csv", "behaviors.csv", "leadsignal.toml", "success.toml"):
        (tmp_path / name).write_bytes((business / name).read_bytes())
    arguments = ["score", str(tmp_path), "--model", str(fitted), "--out", str(tmp_path / "s.csv")]
    assert main(arguments) == 3
    assert "indicators that the panel does not have" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()


def test_too_few_churns_returns_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,started_on\na,2023-01-01\n")
    arguments = ["fit", str(tmp_path), "--out", str(tmp_path / "m"), "--as-of", "2024-01-01"]
    assert main(arguments) == 3
    assert "0 accounts that churned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "/nowhere/at/all"], "no such folder"),
        (["check", "{business}", "--as-of", "soon"], "as_of"),
        (["check", "{business}", "--every", "monthly"], "monthly"),
        (["check", "{business}", "--capacity", "7"], "capacity"),
        (["panel", "{business}", "--out", "/nowhere/panel.parquet"], "no folder"),
        (["score", "{business}", "--model", "{business}", "--out", "s.csv"], "not a model folder"),
    ],
)
def test_usage_errors_are_one_clear_message(
    business: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main([a.format(business=business) for a in arguments])
    err = capsys.readouterr().err
    assert code in (2, 3)
    assert told in err
    assert "Traceback" not in err


def test_audit_says_what_leads(business: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(business), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"name", "family", "auc_by_lead", "verdict"} <= set(told["indicators"][0])
    assert told["churn"]["warnings"] == ["low usage", "open flag", "red health score"]


def test_an_audit_fits_a_screen_and_details_show_all(
    business: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(business)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    assert "more: --details" in lines
    assert main(["audit", str(business), "--details"]) == 0
    told = capsys.readouterr().out
    assert "more: --details" not in told
    panel = ls.build_panel(ls.read_tables(business))
    assert [name for name in panel.names(family="tickets") if name not in told] == []


def test_backtest_prints_and_writes(
    business: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "backtest.json"
    arguments = ["--origins", "1", "--estimator", "logistic", "--json", str(out)]
    assert main(["backtest", str(business), *arguments]) == 0
    assert "in time is 90 days" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert {"random", "context", "lagging", "leading", "all"} <= set(told["models"])


def test_backtest_refuses_a_horizon_that_never_followed(
    business: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", str(business), "--horizon", "3000d"]) == 2
    assert "3000 days" in capsys.readouterr().err
