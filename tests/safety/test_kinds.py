"""What we wrote is known again, whatever the kind; what others wrote is not taken for ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import _parser, main
from leadsignal.cli.shared import write_json
from leadsignal.demo import ESTIMATOR, METHODS, DemoResult, Findings
from leadsignal.files import outputs
from leadsignal.files.outputs import (
    BULLSEYE,
    COMPARISON,
    METRICS,
    OUTCOME,
    PAGE,
    PANEL,
    PICTURE,
    PROCESSES,
    RUN_RECORD,
    SCORES,
    FileKind,
    is_ours,
)
from leadsignal.report import summarise
from leadsignal.scoring.record import RunRecord
from leadsignal.scoring.scores import Scores, write_scores

Write = Callable[[Path], object]
Results = tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings]


def unrelated(path: Path) -> None:
    """Write what somebody else may have written with this ending."""
    frame = pd.DataFrame({"account_id": ["A"], "snapshot_on": ["2024-01-01"], "note": ["mine"]})
    ending = path.suffix
    if ending == ".csv":
        frame.to_csv(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path, index=False)
    elif ending == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    elif ending in (".png", ".svg", ".pdf"):
        figure = pytest.importorskip("matplotlib.figure").Figure()
        figure.subplots().plot([1, 2])
        figure.savefig(path)
    else:
        path.write_text(
            {
                ".html": "<!DOCTYPE html><title>Mine</title><style>p {color: red}</style>",
                ".md": "# My notes\n\n| cohort | mine |\n",
                ".json": json.dumps({"name": "mine", "rows": 1}, indent=2),
                ".prom": "# TYPE mine gauge\nmine 1\n",
                ".toml": "# My processes\n\n[[process]]\n",
            }[ending]
        )


def same_kind(path: Path, kind: FileKind, write: Write) -> None:
    """Assert that what is written is known, and that what others wrote with its ending is not."""
    write(path)
    assert path.stat().st_size
    assert is_ours(path, kind)
    path.unlink()
    unrelated(path)
    assert not is_ours(path, kind)
    with pytest.raises(ls.OptionError, match="there, and is not"):
        outputs.check_file(path, kind)


@pytest.fixture(scope="module")
def scores(business_model: ls.ChurnModel, business: ls.Tables) -> Scores:
    return ls.score_accounts(business_model, business, effects={})


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_scores(ending: str, scores: Scores, tmp_path: Path) -> None:
    same_kind(tmp_path / f"s{ending}", SCORES, lambda path: write_scores(scores, path))


def test_a_panel(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis, tmp_path: Path
) -> None:
    write = partial(ls.write_panel, business, business_analysis)
    same_kind(tmp_path / "p.parquet", PANEL, write)


def test_pages(business: ls.Tables, business_panel: ls.Panel, tmp_path: Path) -> None:
    account = str(business_panel.frame["account_id"].iloc[0])
    review = partial(ls.write_review, ls.review_account(business, account))
    same_kind(tmp_path / "a.html", PAGE, lambda path: ls.write_report(path, business_panel))
    same_kind(tmp_path / "r.html", PAGE, review)


@pytest.mark.parametrize("ending", [".md", ".csv", ".xlsx"])
def test_a_comparison(
    ending: str, business: ls.Tables, business_analysis: ls.SuccessAnalysis, tmp_path: Path
) -> None:
    if ending == ".xlsx":
        pytest.importorskip("openpyxl")
    made = ls.compare_cohorts(business, "measured", business_analysis, methods=["naive"])
    same_kind(tmp_path / f"c{ending}", COMPARISON, made.write)


@pytest.mark.parametrize("ending", [".md", ".html"])
def test_a_bullseye(business_analysis: ls.SuccessAnalysis, ending: str, tmp_path: Path) -> None:
    page = ls.success_analysis.bullseye_page(business_analysis)
    same_kind(tmp_path / f"b{ending}", BULLSEYE, page.write)


@pytest.fixture(scope="module")
def found(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> ls.Discovery:
    """A discovery that names a process, whether it would or not."""
    made = ls.discover_processes(business, at_least=[2], by_users=[2], within=["45d"], draws=200)
    return replace(made, processes=business_analysis.processes[:1])


def test_processes_that_were_found(found: ls.Discovery, tmp_path: Path) -> None:
    same_kind(tmp_path / "p.toml", PROCESSES, found.write)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_picture(ending: str, found: ls.Discovery, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    same_kind(tmp_path / f"p{ending}", PICTURE, found.draw)


def test_run_records(small: Path, tmp_path: Path) -> None:
    record = (small / "m.run.json").read_bytes()
    same_kind(tmp_path / "x.run.json", RUN_RECORD, lambda path: path.write_bytes(record))


def test_metrics(small: Path, tmp_path: Path) -> None:
    written = json.loads(RunRecord.place(small / "m").read_text(encoding="utf-8"))
    record = RunRecord("fit", inputs=written["inputs"])
    same_kind(tmp_path / "x.prom", METRICS, record.write_metrics)


GIVEN = ["--every", "84d", "--quiet", "--json", "told.json"]
RUNS = {
    "check": ["check", "t"],
    "panel": ["panel", "t", "--out", "p.parquet"],
    "score into a file": ["score", "t", "--model", "m", "--out", "s.csv"],
    "score into a folder": ["score", "t", "--model", "m", "--out", "s"],
    "compare": ["compare", "t", "--by", "complained", "--method", "naive"],
    "review": ["review", "t", "--account", "A-10001", "--out", "r.html"],
    "a fault": ["review", "t", "--account", "nobody", "--out", "r.html"],
}


@pytest.mark.parametrize("what", RUNS)
def test_a_command_replaces_what_it_wrote(
    what: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the same command: all that the first wrote, the second may replace."""
    for name in ("t", "m"):
        (tmp_path / name).symlink_to(small / name)
    monkeypatch.chdir(tmp_path)
    codes = [main([*RUNS[what], *GIVEN]) for _ in range(2)]
    assert codes == ([2, 2] if what == "a fault" else [0, 0])
    assert is_ours(Path("told.json"), OUTCOME)


def test_the_json_of_all_other_commands(
    business_folder: Path,
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
    business_results: Results,
    found: ls.Discovery,
    small: Path,
    tmp_path: Path,
) -> None:
    panel, backtest, scores, findings = business_results
    assert findings.audit is not None
    compared = ls.compare_cohorts(business, "measured", methods=["naive", "landmark"])
    replayed = ls.run_backtest(panel, origins=1, methods=METHODS, estimator=ESTIMATOR)
    shown = Findings(found, findings.audit, replayed, compared, business_analysis)
    told = {
        "audit": findings.audit.to_dict(),
        "backtest": backtest.to_dict(),
        "compare": ls.compare_all(business, business_analysis, methods=["naive"]).to_dict(),
        "discover": found.to_dict(),
        "init": ls.propose_project(business_folder).to_dict(),
        "fit": json.loads((small / "fit.json").read_text()),
        "monitor": ls.monitor_scores(panel, business, scores.frame).to_dict(),
        "report": summarise(panel, backtest, scores, findings),
        "demo": DemoResult(scores, panel, shown, tmp_path).to_dict(),
    }
    (choices,) = [a.choices for a in _parser()._actions if isinstance(a.choices, dict)]
    assert set(choices) == set(told) | {run[0] for run in RUNS.values()}
    for command, content in told.items():
        path = tmp_path / f"{command}.json"
        same_kind(path, OUTCOME, partial(write_told, content))


def write_told(content: dict[str, Any], path: Path) -> None:
    write_json(content, str(path))
