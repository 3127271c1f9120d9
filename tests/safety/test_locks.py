"""A lock that another holds is waited for with a limit; then the exit code says: try again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.config.credentials import Source
from leadsignal.errors import BusyError
from leadsignal.files.writing import exclusive_lock
from leadsignal.scoring.scores import Scores
from leadsignal.scoring.scores_table import write_scores_to
from postgres_server import Server

BUSY = 5


def scores() -> Scores:
    columns = {"account_id": ["a"], "snapshot_on": [pd.Timestamp("2024-01-01")], "risk": [0.1]}
    frame = pd.DataFrame({**columns, "alert": [True], "model_version": ["v1"]})
    return Scores(frame, date(2024, 1, 1), 180, "v1", 0, {})


@pytest.fixture(autouse=True)
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSIGNAL_LOCK_WAIT", "1")


def refused(source: Source, table: str = "scores") -> None:
    with pytest.raises(BusyError, match="is being written by another") as caught:
        write_scores_to(scores(), table, source)
    assert caught.value.exit_code == BUSY
    assert "LEADSIGNAL_LOCK_WAIT" in str(caught.value)


def test_a_table_of_postgresql(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    from adbc_driver_postgresql import dbapi

    monkeypatch.setenv("CRM_PASSWORD", postgres.password)
    source = Source("crm", postgres.url, password_env="CRM_PASSWORD")
    postgres.run("DROP TABLE IF EXISTS held")
    write_scores_to(scores(), "held", source)
    with dbapi.connect(postgres.full_url) as other, other.cursor() as cursor:
        for mode in ("ROW EXCLUSIVE", "ACCESS EXCLUSIVE"):
            cursor.execute(f"LOCK TABLE held IN {mode} MODE")
            refused(source, "held")
            other.rollback()
    assert write_scores_to(scores(), "held", source).replaced == 1


def test_a_command_that_writes_to_postgresql(
    postgres: Server,
    business_folder: Path,
    business_model: ls.ChurnModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    from adbc_driver_postgresql import dbapi

    project = tmp_path / "project"
    project.mkdir()
    for file in business_folder.iterdir():
        (project / file.name).symlink_to(file)
    settings = (project / "leadsignal.toml").read_text()
    (project / "leadsignal.toml").unlink()
    named = f'\n[sources.crm]\nurl = "{postgres.url}"\npassword_env = "CRM_PASSWORD"\n'
    (project / "leadsignal.toml").write_text(settings + named)
    monkeypatch.setenv("CRM_PASSWORD", postgres.password)
    model = ls.save_model(business_model, tmp_path / "model")
    postgres.run("DROP TABLE IF EXISTS held", "CREATE TABLE held (account_id text)")
    command = ["score", str(project), "--model", str(model), "--to-table", "held", "--quiet"]
    with dbapi.connect(postgres.full_url) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        assert main(command) == BUSY
    assert "held of source 'crm' is being written by another" in capsys.readouterr().err


def test_a_sqlite_file(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    source = Source("crm", "sqlite:///crm.db", folder=tmp_path)
    write_scores_to(scores(), "scores", source)
    other = sqlite3.connect(tmp_path / "crm.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    refused(source)
    other.execute("ROLLBACK")
    other.close()
    assert write_scores_to(scores(), "scores", source).replaced == 1


def test_a_duckdb_file(tmp_path: Path) -> None:
    source = Source("crm", "duckdb:///crm.duckdb", folder=tmp_path)
    write_scores_to(scores(), "scores", source)
    holding = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path / "crm.duckdb")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused(source)
        other.communicate("\n")
    assert write_scores_to(scores(), "scores", source).replaced == 1


def test_a_file(tmp_path: Path) -> None:
    place, told = tmp_path / "scores.csv", r"scores\.csv is being written by process"
    with exclusive_lock(place), pytest.raises(BusyError, match=told), exclusive_lock(place):
        pass
    with exclusive_lock(place):
        pass


@pytest.mark.parametrize("given", ["soon", "-1", "1e9", "9" * 400])
def test_a_limit_that_is_no_number(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSIGNAL_LOCK_WAIT", given)
    told = "is not a number of seconds"
    with (
        pytest.raises(ls.OptionError, match=told) as caught,
        exclusive_lock(tmp_path / "scores.csv"),
    ):
        pass
    assert len(str(caught.value)) < 200
