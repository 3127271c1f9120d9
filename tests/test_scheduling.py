"""The examples of schedulers, as they are in the repository: their commands run, twice."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from small_business import write_small_business

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the examples describe it: tables/, models/current and .venv/bin/leadsignal."""
    folder = tmp_path_factory.mktemp("churn")
    project = write_small_business(folder / "tables", "accounts", "behaviors", "usage")
    analysis = ls.read_success_analysis(project / "success.toml")
    panel = ls.build_panel(ls.read_tables(project), analysis)
    (folder / "models").mkdir()
    ls.save_model(ls.ChurnModel(estimator="logistic").fit(panel), folder / "models" / "current")
    program = folder / ".venv" / "bin" / "leadsignal"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m leadsignal "$@"\n')
    program.chmod(0o755)
    return folder


def run(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    path = f"{place / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=place, env={**os.environ, "PATH": path, "CHURN": str(place)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_cron_scores_what_is_missing_and_is_silent(place: Path) -> None:
    as_of = ls.read_tables(place / "tables").as_of_date
    os.environ["SINCE"] = str(as_of)
    try:
        for _ in range(2):
            done = run(["sh", str(EXAMPLES / "cron" / "weekly.sh")], place)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    finally:
        del os.environ["SINCE"]
    assert len(ls.read_scores(place / "scores")) > 0
    assert "Account" in pd.read_csv(place / "calls.csv").columns[0]


def test_cron_mails_what_went_wrong(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / ".venv", tmp_path / ".venv")
    done = run(["sh", str(EXAMPLES / "cron" / "weekly.sh")], tmp_path)
    assert done.returncode == 2
    assert "ended with exit code 2" in done.stdout
    assert "tables" in done.stdout


def test_systemd_runs_the_command(place: Path) -> None:
    service = configparser.ConfigParser()
    service.optionxform = str  # type: ignore[assignment,method-assign]
    service.read(EXAMPLES / "systemd" / "churn-scores.service")
    command = service["Service"]["ExecStart"].replace("/srv/churn/", "")
    command = command.replace("2025-10-01", str(ls.read_tables(place / "tables").as_of_date))
    done = run(["sh", "-c", command.replace("--out scores", "--out by_systemd")], place)
    assert done.returncode == 0, done.stderr
    assert len(ls.read_scores(place / "by_systemd")) > 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", ["churn-scores.service", "churn-scores.timer"])
def test_systemd_accepts_the_units(unit: str, place: Path, tmp_path: Path) -> None:
    for name in ("churn-scores.service", "churn-scores.timer"):
        text = (EXAMPLES / "systemd" / name).read_text()
        # The program and the user have to be there; /srv/churn is not.
        text = text.replace("/srv/churn", str(place)).replace("User=churn\n", "")
        (tmp_path / name).write_text(text)
    done = run(["systemd-analyze", "verify", str(tmp_path / unit)], place)
    mine = [line for line in done.stderr.splitlines() if "churn-scores" in line]
    assert mine == []


def airflow_command() -> str:
    """Return the command of the DAG, as the file has it."""
    tree = ast.parse((EXAMPLES / "airflow" / "churn_scores.py").read_text())
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: str = ast.literal_eval(values["SCORE"])
    return found


def test_airflow_s_command_scores_a_day_once(place: Path) -> None:
    day = str(ls.read_tables(place / "tables").as_of_date)
    command = re.sub(r"\{\{.*?\}\}", day, airflow_command())
    command = command.replace("--out scores", "--out by_airflow")
    for _ in range(2):
        done = run(["sh", "-ec", command], place)
        assert done.returncode == 0, done.stderr
    assert ls.read_scores(place / "by_airflow")["snapshot_on"].astype(str).unique() == [day]
    failed = run(["sh", "-ec", command.replace("tables", "nothing")], place)
    assert failed.returncode == 2


def test_github_actions_runs_its_steps(place: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    text = (EXAMPLES / "github-actions" / "churn-scores.yml").read_text()
    steps: list[dict[str, Any]] = yaml.safe_load(text)["jobs"]["score"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[0] == "pip install leadsignal"
    shutil.copytree(place / "tables", tmp_path / "tables")
    shutil.copytree(place / ".venv", tmp_path / ".venv")
    done = run(["bash", "-e", "-o", "pipefail", "-c", commands[1]], tmp_path)
    assert done.returncode == 0, done.stderr
    kept = next(step["with"]["path"] for step in steps if "upload" in step.get("uses", ""))
    assert [name for name in kept.split() if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.py")), ids=lambda file: file.parent.name)
def test_examples_use_public_names_only(file: Path) -> None:
    tree = ast.parse(file.read_text())
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    ]
    assert [name for name in imported if str(name).startswith("leadsignal.")] == []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("ls."):
            found: Any = ls
            for name in ast.unparse(node).removeprefix("ls.").split("."):
                assert name in dir(found), ast.unparse(node)
                found = getattr(found, name)
