"""Scores in a database table: in one transaction, the same however often."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.config.credentials import Source
from leadsignal.files.writing import exclusive_lock
from leadsignal.scoring.scores import Scores
from leadsignal.scoring.scores_table import write_scores_to
from leadsignal.sources.parts import quoted
from postgres_server import Server

pytest.importorskip("adbc_driver_postgresql")
pytest.importorskip("sqlalchemy")

Query = Callable[[str], list[tuple[Any, ...]]]
HOSTILE = "Robert'); DROP TABLE accounts;--\"\\ %s :x $1 =1+1 <b> 名前"


def scores_of(day: str, *accounts: str, version: str = "v1", **more: Any) -> Scores:
    frame = pd.DataFrame(
        {
            "account_id": list(accounts),
            "snapshot_on": pd.Timestamp(day),
            "risk": [0.1 * (i + 1) for i in range(len(accounts))],
            "still_active_30d": 0.9,
            "expected_arr_loss": [float("nan"), *[12.5] * (len(accounts) - 1)],
            "alert": [True, *[False] * (len(accounts) - 1)],
            "reason_1": HOSTILE,
            "model_version": version,
            **more,
        }
    )
    return Scores(frame, date.fromisoformat(day), 180, version, 0, {})


@pytest.fixture(params=["postgres", "duckdb", "sqlite"])
def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Source, Query]:
    """A database to write to, and a way to ask what it holds."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        monkeypatch.setenv("CRM_PASSWORD", server.password)
        server.run("DROP TABLE IF EXISTS scores")
        server.run("DROP TABLE IF EXISTS runs", "DROP TABLE IF EXISTS others")
        return Source("crm", server.url, password_env="CRM_PASSWORD"), server.query
    url = "duckdb:///crm.duckdb" if request.param == "duckdb" else "sqlite:///crm.db"
    file = tmp_path / url.rpartition("/")[2]

    def query(sql: str) -> list[tuple[Any, ...]]:
        if request.param == "duckdb":
            with duckdb.connect(str(file)) as duck:
                return duck.execute(sql).fetchall()
        connection = sqlite3.connect(file)
        try:
            return [*connection.execute(sql)]
        finally:
            connection.commit()
            connection.close()

    return Source("crm", url, folder=tmp_path), query


def held(query: Query) -> list[tuple[str, str, str]]:
    rows = query("SELECT account_id, snapshot_on, model_version FROM scores")
    return sorted((account, str(day), version) for account, day, version in rows)


def test_a_date_and_a_model_are_replaced_and_others_stay(target: tuple[Source, Query]) -> None:
    source, query = target
    first = write_scores_to(scores_of("2024-01-01", "a", "b"), "scores", source)
    assert (first.rows, first.replaced, first.table) == (2, 0, "scores")
    write_scores_to(scores_of("2024-02-01", "a"), "scores", source)
    write_scores_to(scores_of("2024-01-01", "a", version="v2"), "scores", source)
    again = write_scores_to(scores_of("2024-01-01", "b", "c"), "scores", source)
    assert (again.rows, again.replaced) == (2, 2)
    assert str(again) == "2 scores of 2024-01-01 written to crm: scores, 2 replaced"
    assert held(query) == [
        ("a", "2024-01-01", "v2"),
        ("a", "2024-02-01", "v1"),
        ("b", "2024-01-01", "v1"),
        ("c", "2024-01-01", "v1"),
    ]


def test_records_of_runs_are_kept_with_the_scores_or_neither(target: tuple[Source, Query]) -> None:
    source, query = target
    whole: dict[str, Any] = {"clipped": 0, "hindsight": False}
    for day, accounts in (("2024-01-01", "ab"), ("2024-02-01", "a"), ("2024-01-01", "abc")):
        write_scores_to(scores_of(day, *accounts, **whole), "scores", source, runs="runs")
    rows = query("SELECT snapshot_on, model_version, outcome, record FROM runs ORDER BY 1")
    assert [(str(row[0]), *row[1:3]) for row in rows] == [
        ("2024-01-01", "v1", "done"),
        ("2024-02-01", "v1", "done"),
    ]
    assert [json.loads(row[3])["dates"][0]["accounts"] for row in rows] == [3, 1]
    before = held(query)
    write_scores_to(scores_of("2024-01-01", "a"), "others", source)
    with pytest.raises(ls.SourceError, match=r"table others .* no column outcome, record"):
        write_scores_to(scores_of("2024-02-01", "z", **whole), "scores", source, runs="others")
    assert held(query) == before
    with pytest.raises(ls.OptionError, match="a table of their own"):
        write_scores_to(scores_of("2024-02-01", "z", **whole), "scores", source, runs="scores")


def test_values_come_back_as_they_are(target: tuple[Source, Query]) -> None:
    source, query = target
    write_scores_to(scores_of("2024-01-01", HOSTILE, "b"), "scores", source)
    asked = "SELECT account_id, risk, expected_arr_loss, alert, reason_1 FROM scores ORDER BY risk"
    first, second = query(asked)
    assert first == (HOSTILE, 0.1, None, True, HOSTILE)
    assert second == ("b", 0.2, 12.5, False, HOSTILE)


def test_all_or_nothing(target: tuple[Source, Query]) -> None:
    """The second row is refused by the table: the rows of before are still there."""
    source, query = target
    columns = "account_id varchar(300), snapshot_on date, risk float, still_active_30d float"
    rest = "expected_arr_loss float, alert boolean, reason_1 varchar(300), model_version text"
    query_only(source, query, f"CREATE TABLE scores ({columns}, {rest}, CHECK (risk < 0.15))")
    write_scores_to(scores_of("2024-01-01", "a"), "scores", source)
    with pytest.raises(ls.SourceError, match="cannot be written") as caught:
        write_scores_to(scores_of("2024-01-01", "b", "c"), "scores", source)
    assert HOSTILE not in str(caught.value)
    assert held(query) == [("a", "2024-01-01", "v1")]


def query_only(source: Source, query: Query, statement: str) -> None:
    """Run a statement; PostgreSQL's query does not commit."""
    if str(source.url).startswith("postgresql"):
        from adbc_driver_postgresql import dbapi

        from leadsignal.config.credentials import open_source

        with dbapi.connect(open_source(source).url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            connection.commit()
    else:
        query(statement)


def test_a_table_of_the_users_own_types(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PASSWORD", postgres.password)
    postgres.run(
        "DROP TABLE IF EXISTS scores",
        """CREATE TABLE scores (account_id uuid, snapshot_on timestamp, risk numeric(4, 3),
           still_active_30d real, expected_arr_loss numeric, alert boolean, reason_1 varchar,
           model_version char(8), written_at timestamptz DEFAULT now())""",
    )
    account = "29449ccc-293c-4027-9f5a-603c3d708fe4"
    source = Source("crm", postgres.url, password_env="CRM_PASSWORD")
    for _ in range(2):
        write_scores_to(scores_of("2024-01-01", account), ("public", "scores"), source)
    found = postgres.query("SELECT account_id::text, risk::text, written_at IS NULL FROM scores")
    assert found == [(account, "0.100", False)]


def test_a_table_that_lacks_columns_is_refused_by_name(target: tuple[Source, Query]) -> None:
    source, query = target
    write_scores_to(scores_of("2024-01-01", "a"), "scores", source)
    wider = scores_of("2024-01-01", "a", still_active_60d=0.8)
    with pytest.raises(
        ls.SourceError, match=r"no column still_active_60d.*ADD COLUMN still_active_60d"
    ):
        write_scores_to(wider, "scores", source)
    narrower = scores_of("2024-03-01", "a")
    frame = narrower.frame.drop(columns="still_active_30d")
    write_scores_to(replace(narrower, frame=frame), "scores", source)
    assert len(held(query)) == 2


@pytest.mark.parametrize("name", ['na"me', "a; DROP TABLE scores; --", "%s :x ?", "名前", "select"])
def test_hostile_names(name: str, target: tuple[Source, Query]) -> None:
    source, query = target
    query_only(source, query, f"DROP TABLE IF EXISTS {quoted(name)}")
    for replaced in (0, 1):
        written = write_scores_to(scores_of("2024-01-01", "a"), (name,), source)
        assert written.replaced == replaced
    assert query(f"SELECT count(*) FROM {quoted(name)}") == [(1,)]


def test_two_writers_leave_one_set_of_rows(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_PASSWORD", postgres.password)
    # Without a primary key, only the lock keeps the rows single.
    postgres.run(
        "DROP TABLE IF EXISTS scores",
        """CREATE TABLE scores (account_id text, snapshot_on date, risk float8, alert boolean,
           still_active_30d float8, expected_arr_loss float8, reason_1 text, model_version text)""",
    )
    source = Source("crm", postgres.url, password_env="CRM_PASSWORD")
    scores = scores_of("2024-01-01", *[f"a{i}" for i in range(500)])
    writers = [
        threading.Thread(target=write_scores_to, args=(scores, "scores", source)) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert postgres.query("SELECT count(*) FROM scores") == [(500,)]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (Source("crm", "postgresql://me@127.0.0.1:1/db"), "cannot be reached .*Connection refused"),
        (Source("crm", "nosuch://me@host/db"), "is not a supported database or object store"),
        (Source("crm", "oracle://me@host/db"), "driver that is not installed"),
        (Source("crm", "duckdb:////nowhere/at/all.duckdb"), "there is no folder"),
        (Source("crm", "sqlite:////nowhere/at/all.db"), "unable to open database file"),
        (Source("crm", "grpc://localhost:1"), "cannot be written through"),
        ("postgresql://me:hunter2@127.0.0.1:1/db", "cannot be reached"),
    ],
)
def test_what_cannot_be_written_to(source: Source | str, told: str) -> None:
    with pytest.raises(ls.SourceError, match=told) as caught:
        write_scores_to(scores_of("2024-01-01", "a"), "scores", source)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ls.OptionError, match="is not the name of a table"):
        write_scores_to(scores_of("2024-01-01", "a"), "a..b", source)


def test_no_right_and_no_schema(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PASSWORD", postgres.password)
    postgres.run("CREATE TABLE frozen (x int)", "CREATE USER writer PASSWORD 'hunter2'")
    source = Source("crm", postgres.url, password_env="CRM_PASSWORD")
    with pytest.raises(ls.SourceError, match=r"has no table nosuch\.scores"):
        write_scores_to(scores_of("2024-01-01", "a"), "nosuch.scores", source)
    monkeypatch.setenv("CRM_PASSWORD", "hunter2")
    writer = replace(source, url=postgres.url.replace("leadsignal@", "writer@"))
    with pytest.raises(ls.SourceError, match="does not allow frozen to be written"):
        write_scores_to(scores_of("2024-01-01", "a"), "frozen", writer)


def test_the_command_writes_to_a_table(
    business_folder: Path,
    business_model: ls.ChurnModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = (business_folder / "leadsignal.toml").read_text()
    project = tmp_path / "project"
    project.mkdir()
    for file in business_folder.iterdir():
        (project / file.name).symlink_to(file)
    (project / "leadsignal.toml").unlink()
    source = '\n[sources.crm]\nurl = "duckdb:///scores.duckdb"\n'
    (project / "leadsignal.toml").write_text(settings + source)
    model = ls.save_model(business_model, tmp_path / "model")
    arguments = ["score", str(project), "--model", str(model)]
    assert main([*arguments, "--to-table", "scores"]) == 0
    assert "written to crm: scores" in capsys.readouterr().out
    record = json.loads((tmp_path / "model.crm.scores.run.json").read_text())
    assert record["outcome"] == "done"
    assert {"model", "read", "score", "write"} <= set(record["seconds"])
    assert sorted(path.name for path in tmp_path.glob(".*")) == []  # no lock is left
    with exclusive_lock(tmp_path / "model.crm.scores"):
        assert main([*arguments, "--to-table", "scores"]) == 5
    assert "model.crm.scores is being written by process" in capsys.readouterr().err
    named = [*arguments, "--to-table", "odd.name/../x", "--record", str(tmp_path / "x.run.json")]
    (project / "scores.duckdb").rename(project / "kept.duckdb")
    (project / "scores.duckdb").mkdir()
    assert main(named) == 2
    assert json.loads((tmp_path / "x.run.json").read_text())["outcome"] == "failed"
    (project / "scores.duckdb").rmdir()
    (project / "kept.duckdb").rename(project / "scores.duckdb")
    out = tmp_path / "scores.csv"
    assert main([*arguments, "--to-table", "scores", "--out", str(out), "--quiet"]) == 0
    with duckdb.connect(str(project / "scores.duckdb")) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM scores").fetchall()
    assert rows == len(pd.read_csv(out))
    assert main([*arguments, "--out", str(out), "--record", str(tmp_path / "x.run.json")]) == 2
    assert "--record is for runs without --out" in capsys.readouterr().err
    assert main([*arguments, "--to-table", "scores", "--record", str(tmp_path / "x.txt")]) == 2
    assert "does not end in .run.json" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "neither --out nor --to-table is given" in capsys.readouterr().err
    assert main([*arguments, "--to-table", "scores", "--to-source", "crms"]) == 2
    assert "Did you mean 'crm'?" in capsys.readouterr().err
