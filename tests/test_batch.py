"""Scores by date: each once and whole, then frozen; late feeds said; the same bytes every time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.model.features import Layout, design
from leadsignal.model.trees import Binned, Growth, Node, Split, grown_trees, splits_of
from leadsignal.scoring.batch import dates_to_score
from leadsignal.scoring.scores import write_scores
from small_business import write_small_business

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    return write_small_business(folder, "accounts", "behaviors", "tickets", "usage", "plans")


@pytest.fixture(scope="module")
def tables(project: Path) -> ls.Tables:
    return ls.read_tables(project)


@pytest.fixture(scope="module")
def fitted(project: Path, tables: ls.Tables) -> ls.ChurnModel:
    analysis = ls.read_success_analysis(project / "success.toml")
    return ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables, analysis))


@pytest.fixture(scope="module")
def model(fitted: ls.ChurnModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ls.save_model(fitted, tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tables, and processes whose effects are weighed."""
    return ls.simulate(160, seed=11, days=800).write(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def panel(whole: Path) -> ls.Panel:
    return ls.build_panel(ls.read_tables(whole), ls.read_success_analysis(whole / "success.toml"))


@pytest.fixture(scope="module")
def ensemble(panel: ls.Panel) -> ls.ChurnModel:
    return ls.ChurnModel().fit(panel)


def score(project: Path, model: Path, out: Path, *more: str) -> int:
    given = ["score", str(project), "--model", str(model), "--out", str(out)]
    return main([*given, *more])


def without(project: Path, to: Path, *tables: str) -> Path:
    shutil.copytree(project, to)
    for table in tables:
        (to / f"{table}.csv").unlink()
    return to


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_each_date_is_scored_once_and_then_frozen(
    project: Path, model: Path, tables: ls.Tables, tmp_path: Path
) -> None:
    out, since = tmp_path / "scores", tables.as_of_date - timedelta(days=60)
    assert score(project, model, out, "--since", str(since), "--quiet") == 0
    dates = [str(day) for day in dates_to_score(tables.as_of_date, 28, since)]
    assert sorted(path.name for path in out.iterdir()) == [f"snapshot_on={day}" for day in dates]
    assert len(dates) == 3
    before = content(out)
    assert score(project, model, out, "--since", str(since), "--capacity", "0.5") == 0
    assert content(out) == before
    record = json.loads((tmp_path / "scores.run.json").read_text())
    assert [day["outcome"] for day in record["dates"]] == ["kept"] * 3
    again = [str(project), "--model", str(model), "--out", str(out), "--quiet"]
    assert main(["score", *again, "--capacity", "0.5", "--replace", dates[1]]) == 0
    changed = {name for name, held in content(out).items() if held != before[name]}
    assert {name.split("/")[0] for name in changed} == {f"snapshot_on={dates[1]}"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores", "scores.run.json"]


def test_a_folder_reads_back_as_the_files_do(
    project: Path, model: Path, tables: ls.Tables, tmp_path: Path
) -> None:
    out, csv, pages = tmp_path / "scores", tmp_path / "today.csv", tmp_path / "pages"
    people = ("--call-list", str(csv), "--accounts-dir", str(pages), "--quiet")
    assert score(project, model, out, *people) == 0
    assert score(project, model, tmp_path / "one.parquet", "--quiet") == 0
    frame = ls.read_scores(out)
    pd.testing.assert_frame_equal(frame, ls.read_scores(tmp_path / "one.parquet"))
    assert list(frame.columns[:3]) == ["account_id", "snapshot_on", "risk"]
    assert set(frame["snapshot_on"]) == {pd.Timestamp(tables.as_of_date)}
    by_others = pd.read_parquet(out)
    assert set(by_others["snapshot_on"].astype(str)) == {str(tables.as_of_date)}
    listed, written = csv.read_bytes(), content(pages)
    assert len(pd.read_csv(csv)) == frame["alert"].sum()
    linked = [str((tmp_path / path).relative_to(pages)) for path in pd.read_csv(csv)["Page"]]
    assert sorted([*linked, "index.html"]) == sorted(written)
    with pytest.raises(ls.OptionError, match="holds no scores"):
        ls.read_scores(tmp_path)
    csv.unlink()
    shutil.rmtree(pages)
    assert score(project, model, out, *people) == 0
    assert csv.read_bytes() == listed
    assert content(pages) == written


def test_kept_scores_of_another_model_have_no_pages(
    project: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, pages = tmp_path / "scores", tmp_path / "pages"
    assert score(project, model, out, "--quiet") == 0
    (file,) = out.glob("*/scores.parquet")
    kept = ls.read_scores(file).drop(columns="snapshot_on")
    kept.assign(model_version="20200101-old").to_parquet(file, index=False)
    assert score(project, model, out, "--accounts-dir", str(pages)) == 2
    assert "are kept, and are of model 20200101-old" in capsys.readouterr().err
    assert not pages.exists()


@pytest.mark.parametrize("every", [7, 28, 30])
def test_the_dates_are_those_of_the_panels_grid(every: int) -> None:
    as_of = date(2024, 5, 17)
    got = dates_to_score(as_of, every, date(2024, 1, 1))
    grid = [d for d in (as_of - timedelta(days=n) for n in range(1, 138))
            if (d - date(1970, 1, 5)).days % every == 0 and d >= date(2024, 1, 1)]  # fmt: skip
    assert got == [*sorted(grid), as_of]
    with pytest.raises(ls.OptionError, match="after as_of"):
        dates_to_score(as_of, every, "2024-06-01")


def test_scores_of_a_day_before_the_models_are_marked(
    project: Path,
    model: Path,
    fitted: ls.ChurnModel,
    tables: ls.Tables,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, csv, told = tmp_path / "scores", tmp_path / "today.csv", tmp_path / "told.json"
    through = fitted.trained_through_
    since = str(tables.as_of_date - timedelta(days=30))
    more = ("--since", since, "--call-list", str(csv), "--json", str(told))
    assert score(project, model, out, *more) == 0
    frame = ls.read_scores(out)
    assert frame.columns[-1] == "hindsight"
    assert frame["hindsight"].dtype == bool
    assert frame["hindsight"].tolist() == (frame["snapshot_on"] < pd.Timestamp(through)).tolist()
    assert set(frame["hindsight"]) == {True, False}
    assert set(pd.read_csv(csv)["Change"].fillna("")) <= {"", "new", "off the list"}
    past = [str(day) for day in frame.loc[frame["hindsight"], "snapshot_on"].dt.date.unique()]
    said = f"scores of {past[0]} in hindsight: the model is trained through {through}"
    assert capsys.readouterr().err.endswith(f" leadsignal score: {said}\n")
    record = json.loads((tmp_path / "scores.run.json").read_text())
    marks = {day["snapshot_on"]: day["hindsight"] for day in record["dates"]}
    assert marks == {past[0]: True, str(tables.as_of_date): False}
    printed = json.loads(told.read_text())
    assert printed["hindsight"] is False
    assert printed["dates"] == record["dates"]


def test_scores_of_before_are_marked_by_the_models_version(
    project: Path, model: Path, tables: ls.Tables, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    since = str(tables.as_of_date - timedelta(days=30))
    assert score(project, model, out, "--since", since, "--quiet") == 0
    frame = ls.read_scores(out)
    for file in out.glob("*/scores.parquet"):
        pd.read_parquet(file).drop(
            columns=["hindsight", "snapshot_on"], errors="ignore"
        ).to_parquet(file, index=False)
    pd.testing.assert_frame_equal(ls.read_scores(out), frame)
    mine = frame.drop(columns="hindsight").assign(model_version="mine")
    mine.to_csv(tmp_path / "mine.csv", index=False)
    assert not ls.read_scores(tmp_path / "mine.csv")["hindsight"].any()


def test_the_record_counts_and_names_nobody(
    project: Path, model: Path, tables: ls.Tables, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    assert score(project, model, out, "--quiet") == 0
    text = (tmp_path / "scores.csv.run.json").read_text()
    record = json.loads(text)
    assert record["outcome"] == "done"
    assert record["inputs"]["tables"]["tickets"]["rows_read"] == tables.rows_read["tickets"]
    assert record["dates"][0]["accounts"] == len(ls.read_scores(out))
    assert record["seconds"]["total"] > 0
    assert record["versions"]["leadsignal"] == ls.__version__
    assert record["model"]["version"] == ls.load_model(model).version_
    held = tables.frame("plans")
    names = {*held["objective"], *tables.frame("accounts")["account_id"]}
    assert not [name for name in names if json.dumps(name) in text]


def test_a_failed_run_is_recorded_and_the_old_scores_stay(
    project: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    assert score(project, model, out, "--quiet") == 0
    old = out.read_bytes()
    bad = without(project, tmp_path / "bad")
    with (bad / "tickets.csv").open("a") as file:
        file.write("Anna Secret,2024-01-01\n")
    assert score(bad, model, out, "--quiet") == 2
    assert out.read_bytes() == old
    text = (tmp_path / "scores.csv.run.json").read_text()
    record = json.loads(text)
    assert (record["outcome"], record["error"]["kind"]) == ("failed", "TablesError")
    assert {fault["table"] for fault in record["error"]["faults"]} == {"tickets"}
    assert "Anna" not in text


def test_a_missing_table_counts_as_unknown_and_is_said(
    project: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = without(project, tmp_path / "project", "tickets")
    assert score(part, model, tmp_path / "scores.csv") == 4
    count = list(ls.load_model(model).families_.values()).count("tickets")
    told = f"score: tickets is missing: {count} indicators count as unknown"
    assert count > 1
    assert told in capsys.readouterr().err
    record = json.loads((tmp_path / "scores.csv.run.json").read_text())
    assert record["outcome"] == "done in part"
    assert [feed["table"] for feed in record["dates"][0]["feeds"]] == ["tickets"]


def test_a_late_table_is_unknown_and_not_calm(
    project: Path,
    tables: ls.Tables,
    fitted: ls.ChurnModel,
    tmp_path: Path,
) -> None:
    part = without(project, tmp_path / "project")
    tickets = pd.read_csv(part / "tickets.csv")
    last = str(tables.as_of_date - timedelta(days=45))
    kept = tickets[tickets["opened_at"] < last]
    kept = kept.assign(closed_at=kept["closed_at"].where(kept["closed_at"] < last))
    kept.to_csv(part / "tickets.csv", index=False)
    late = ls.read_tables(part, as_of=tables.as_of_date)
    scores = ls.score_accounts(fitted, late)
    assert [(feed.table, feed.state) for feed in scores.feeds] == [("tickets", "late")]
    assert "tickets is late: its last record is of" in repr(scores)
    last_record = scores.feeds[0].last_record
    assert last_record is not None
    ended = late.complete_through({"tickets": last_record})
    panel = ls.build_panel(ended, fitted.analysis_)
    assert panel.current()["tickets_opened_30d"].isna().all()
    told = ls.score_accounts(fitted, ended)
    assert told.feeds == ()
    pd.testing.assert_frame_equal(told.frame, scores.frame)


def test_the_model_of_essential_processes_needs_behaviors(
    project: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = without(project, tmp_path / "project", "behaviors")
    assert score(part, model, tmp_path / "scores.csv") == 3
    assert "there is no table behaviors" in capsys.readouterr().err


def test_dates_that_cannot_be_scored_do_not_stop_the_others(
    project: Path, model: Path, tmp_path: Path
) -> None:
    given = ["--since", "2020-11-01", "--as-of", "2021-06-01", "--every", "12w", "--quiet"]
    assert score(project, model, tmp_path / "scores", *given) == 4
    record = json.loads((tmp_path / "scores.run.json").read_text())
    outcomes = {day["outcome"] for day in record["dates"]}
    assert outcomes == {"not scored", "scored"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--since", "2030-01-01"], "after as_of"),
        (["--replace", "2030-01-01"], "is after as_of"),
        (["--call-list", "today.txt"], "Name a .csv or .xlsx file"),
    ],
)
def test_wrong_dates_and_places_are_told(
    more: list[str],
    told: str,
    project: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert score(project, model, tmp_path / "scores", *more) == 2
    assert told in capsys.readouterr().err


def test_since_needs_a_folder(project: Path, model: Path, tmp_path: Path) -> None:
    assert score(project, model, tmp_path / "s.csv", "--since", "2024-01-01") == 2


def test_the_same_bytes_with_any_order_of_rows_and_threads(
    whole: Path,
    ensemble: ls.ChurnModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shuffled = without(whole, tmp_path / "shuffled")
    for file in shuffled.glob("*.csv"):
        pd.read_csv(file, dtype=str).sample(frac=1, random_state=7).to_csv(file, index=False)
    written = []
    for number, (project, threads) in enumerate([(whole, "1"), (shuffled, "2")]):
        monkeypatch.setenv("LEADSIGNAL_THREADS", threads)
        tables = ls.read_tables(project)
        tables.connection.execute(f"SET threads = {threads}")
        scores = ls.score_accounts(ensemble, tables)
        place = tmp_path / str(number)
        place.mkdir()
        write_scores(scores, place / "s.csv")
        write_scores(scores, place / "s.parquet")
        written.append(content(place))
    assert written[0] == written[1]


def value_of(node: Node, row: np.ndarray) -> float:
    """Walk a tree with one row."""
    while isinstance(node, Split):
        value = row[node.column]
        if np.isnan(value):
            left = node.missing_left
        elif node.codes is None:
            left = value <= node.threshold
        else:
            left = (value in node.codes) != node.missing_left
        node = node.left if left else node.right
    return node


def test_trees_by_columns_are_walks_to_the_bit(ensemble: ls.ChurnModel, panel: ls.Panel) -> None:
    hazards = ensemble.hazards_
    rows = panel.frame.sample(9_000, replace=True, random_state=1)
    matrix = ensemble.features_.matrix(rows)
    matrix[np.random.default_rng(0).random(matrix.shape) < 0.1] = np.nan
    row, step = np.repeat(np.arange(len(rows)), 6), np.tile(np.arange(6), len(rows))
    stacked = design(hazards.features, matrix, hazards.ends, row, step)
    in_blocks = hazards.step_hazards(matrix)[0]
    assert np.array_equal(in_blocks, hazards.churn.probability(stacked).reshape(-1, 6))
    few, layout = stacked[:3_000], Layout.of(hazards.features, hazards.ends)
    ended = np.random.default_rng(1).random(len(few)) < 0.2 + 0.3 * (few[:, 0] == 1)
    binned = Binned.of(few, np.ones(len(few)), layout.is_category)
    growth = Growth(10, 8, 1.0, 20.0)
    trees = grown_trees(binned, ended, np.ones(len(few)), 0 * layout.signs, growth, 0)
    assert any(split.codes for tree in trees.trees for split in splits_of(tree))
    walked = np.full(300, trees.baseline)
    for tree in trees.trees:
        walked += [value_of(tree, one) for one in stacked[-300:]]
    assert np.array_equal(trees(stacked)[-300:], walked)


def test_kills_leave_the_old_or_the_new() -> None:
    """A seeded slice of `benchmarks/kills.py`."""
    script = ROOT / "benchmarks" / "kills.py"
    done = subprocess.run(
        [
            *(sys.executable, str(script), "--moments", "3", "--seed", "3"),
            *("--commands", "score", "--signals", "KILL", "TERM"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "score: 3 moments" in done.stdout
