"""Tables from PostgreSQL, DuckDB files and SQLite: checked as files are."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.credentials import Source
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.sources.database import RowRequest
from leadsignal.sources.databases import Databases, open_rows
from leadsignal.sources.parts import UnreadableError, literal, quoted
from leadsignal.tables import check_tables, read_tables
from postgres_server import Server
from random_tables import random_case
from typed_rows import fill_duckdb, fill_postgres, fill_sqlite, in_source, ingest

pytest.importorskip("adbc_driver_postgresql")
pytest.importorskip("sqlalchemy")

PASSWORD = "LEADSIGNAL_TEST_PASSWORD"


@pytest.fixture
def crm(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Source:
    """The PostgreSQL server as a source."""
    monkeypatch.setenv(PASSWORD, postgres.password)
    return Source("crm", postgres.url, password_env=PASSWORD)


def faults(project: Project) -> list[str]:
    return [str(fault) for fault in check_tables(".", project=project).faults]


def of(source: Source, **tables: str | tuple[str, ...]) -> Project:
    """A project of queries (texts) and tables (parts of names) in one source."""
    taken = {
        name: TableSource(source=source.name, query=asked)
        if isinstance(asked, str)
        else TableSource(source=source.name, table=asked)
        for name, asked in tables.items()
    }
    return Project(tables=taken, sources={source.name: source})


# The same panel ----------------------------------------------------------------------------------


def from_postgres(case: Any, folder: Path, server: Server | None) -> Project:
    assert server is not None
    os.environ[PASSWORD] = server.password
    schema = f'case "{folder.name}"; ü'
    fill_postgres(server, schema, case.tables, case.columns)
    source = Source("crm", server.url, password_env=PASSWORD)
    return in_source(case.project, source, list(case.columns), schema)


def from_duckdb(case: Any, folder: Path, server: Server | None) -> Project:
    fill_duckdb(folder / "crm.duckdb", case.tables, case.columns)
    source = Source("crm", "duckdb:///crm.duckdb", folder=folder)
    return in_source(case.project, source, list(case.columns))


def from_sqlite(case: Any, folder: Path, server: Server | None) -> Project:
    fill_sqlite(folder / "crm.db", case.tables, case.columns)
    source = Source("crm", "sqlite:///crm.db", folder=folder)
    return in_source(case.project, source, list(case.columns))


def same_panel(case: Any, project: Project) -> None:
    tables, wanted = read_tables(".", project=project, as_of=case.as_of), case.read()
    panel = ls.build_panel(tables, case.analysis).frame
    pd.testing.assert_frame_equal(panel, ls.build_panel(wanted, case.analysis).frame)
    assert tables.coverage == wanted.coverage


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fill", [from_duckdb, from_sqlite])
def test_the_panel_from_a_file_database_is_that_of_the_files(
    fill: Callable[..., Project], seed: int, tmp_path: Path
) -> None:
    case = random_case(seed)
    same_panel(case, fill(case, tmp_path, None))


@pytest.mark.parametrize("seed", range(2))
def test_the_panel_from_postgresql_is_that_of_the_files(
    seed: int, postgres: Server, crm: Source, tmp_path: Path
) -> None:
    case = random_case(seed)
    same_panel(case, from_postgres(case, tmp_path, postgres))


def test_a_business_from_postgresql(postgres: Server, crm: Source, business_folder: Path) -> None:
    project = ls.read_project(business_folder)
    names = list(read_tables(business_folder).names)
    with duckdb.connect() as connection:
        for name in names:
            read = f"SELECT * FROM read_csv('{business_folder / name}.csv', header = true)"
            ingest(postgres, f"business {name}", connection.sql(read).arrow().read_all())
    tables = {
        name: replace(
            project.tables.get(name, TableSource()), source="crm", table=(f"business {name}",)
        )
        for name in names
    }
    elsewhere = replace(project, tables=tables, sources={"crm": crm})
    given = read_tables(business_folder, project=elsewhere)
    wanted = read_tables(business_folder)
    assert (given.names, given.coverage) == (wanted.names, wanted.coverage)
    for name in names:
        listed = list(given.frame(name))
        pd.testing.assert_frame_equal(given.frame(name), wanted.frame(name)[listed])


# Types -------------------------------------------------------------------------------------------


def test_postgresql_types_keep_their_meaning(postgres: Server, crm: Source) -> None:
    postgres.run(
        "CREATE TYPE size AS ENUM ('small', 'mid')",
        """CREATE TABLE typed (account_id uuid, started_on timestamptz, ended_on date,
           arr money, term_months smallint, customer_id bigint, end_reason char(8), size size,
           seats numeric(10, 1), vip boolean, tags text[], ip inet, extra jsonb, raw bytea)""",
        """INSERT INTO typed VALUES ('29449ccc-293c-4027-9f5a-603c3d708fe4',
           '2024-01-01 23:30+00', '2024-06-01', 1234.56, 12, 9007199254740993, 'price', 'mid',
           2.5, true, '{a}', '127.0.0.1', '{"a": 1}', 'x')""",
    )
    attributes = ("size", "seats", "vip", "ip", "extra")
    source = TableSource(source="crm", table=("typed",), attributes=attributes)
    project = Project(tables={"accounts": source}, sources={"crm": crm}, as_of=date(2025, 1, 1))
    row = read_tables(".", project=project).frame("accounts").iloc[0].to_dict()
    assert row["account_id"] == "29449ccc-293c-4027-9f5a-603c3d708fe4"
    assert (str(row["started_on"].date()), str(row["ended_on"].date())) == (
        "2024-01-01",
        "2024-06-01",
    )
    assert (row["arr"], row["term_months"]) == (1234.56, 12)
    assert (row["customer_id"], row["end_reason"]) == ("9007199254740993", "price")
    told = [row[name] for name in attributes]
    assert told == ["mid", 2.5, "true", "127.0.0.1/32", '{"a": 1}']
    assert set(row) & {"tags", "raw"} == set()
    in_berlin = replace(project, timezone="Europe/Berlin")
    row = read_tables(".", project=in_berlin).frame("accounts").iloc[0].to_dict()
    assert str(row["started_on"].date()) == "2024-01-02"


def test_decimals_are_exact(postgres: Server, crm: Source, tmp_path: Path) -> None:
    accounts = "SELECT 'a' AS account_id, DATE '2024-01-01' AS started_on"
    usage = (
        "SELECT 'a' AS account_id, DATE '2024-01-02' AS used_on,"
        " CAST(x AS numeric(18, 6)) AS amount"
        " FROM (VALUES ('0.1'), ('0.2'), ('999999999999.999999')) AS v (x)"
    )
    duckdb.connect(str(tmp_path / "crm.duckdb")).close()
    for source in (crm, Source("crm", "duckdb:///crm.duckdb", folder=tmp_path)):
        tables = read_tables(".", project=of(source, accounts=accounts, usage=usage))
        summed = (
            tables.connection.cursor().execute("SELECT sum(amount)::text FROM usage").fetchall()
        )
        assert summed == [("1000000000000.299999",)]


def test_columns_of_the_wrong_type_are_told(postgres: Server, crm: Source) -> None:
    query = "SELECT ARRAY['a'] AS account_id, true AS started_on, '{}'::bytea AS end_reason"
    told = faults(of(crm, accounts=query))
    assert told == [
        "accounts: account_id: a column of this type cannot be read as text"
        " (given: 'varchar[]'). Store it as text.",
        "accounts: started_on: a column of this type cannot be read as a date"
        " (given: 'boolean'). Store it as a date.",
        "accounts: end_reason: a column of this type cannot be read as text"
        " (given: 'blob'). Store it as text.",
    ]


BAD_ROWS = """SELECT * FROM (VALUES
 ('a', '2024-01-01', NULL, 'x1', '2'), (NULL, '2024-13-01', NULL, '2', '1.5'),
 ('c', NULL, '2023-01-01', '-1', '0'), ('d', '2024-01-01', '2023-01-01', NULL, NULL)
) AS v (account_id, started_on, ended_on, arr, term_months)"""
WANTED = {
    (1, "arr", "x1"), (2, "account_id", None), (2, "started_on", "2024-13-01"),
    (2, "term_months", "1.5"), (3, "started_on", None), (3, "term_months", "0"),
    (4, "ended_on", "2023-01-01"),
}  # fmt: skip


def test_faults_have_table_row_and_column(postgres: Server, crm: Source, tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "crm.duckdb")).close()
    sqlite3.connect(tmp_path / "crm.db").execute("CREATE TABLE t (x)").connection.close()
    in_sqlite = BAD_ROWS.replace("SELECT *", "SELECT column1 AS account_id, column2 AS started_on, "
        "column3 AS ended_on, column4 AS arr, column5 AS term_months"
    ).partition(" AS v (")[0]  # fmt: skip
    for source, query in [
        (crm, BAD_ROWS),
        (Source("crm", "duckdb:///crm.duckdb", folder=tmp_path), BAD_ROWS),
        (Source("crm", "sqlite:///crm.db", folder=tmp_path), in_sqlite),
    ]:
        report = check_tables(".", project=of(source, accounts=query))
        told = {
            (f.line, f.column, f.value) for f in report.faults if f.column != "arr" or f.line == 1
        }
        assert told == WANTED
        assert all((f.table, f.file) == ("accounts", None) for f in report.faults)
        assert str(report.faults[0]).startswith("accounts:2: account_id: is empty")
        with_good = f"{query} UNION ALL SELECT 'e', '2024-01-01', NULL, NULL, NULL"
        kept = check_tables(".", project=of(source, accounts=with_good), drop_bad_rows=True)
        assert (kept.ok, kept.dropped_rows) == (True, {"accounts": 4})


def test_infinity_is_a_fault_and_no_day(postgres: Server, crm: Source) -> None:
    query = "SELECT 'a' AS account_id, DATE '2024-01-01' AS started_on, {} AS ended_on"
    for given in ("DATE 'infinity'", "TIMESTAMP 'infinity'", "TIMESTAMPTZ '-infinity'"):
        (told,) = faults(of(crm, accounts=query.format(given)))
        assert "accounts:1: ended_on: is not a date" in told


def test_sqlite_keeps_to_no_type_and_is_read_as_text(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "crm.db")
    connection.executescript(
        "CREATE TABLE accounts (account_id, started_on, arr);"
        "INSERT INTO accounts VALUES (1, '2024-01-01', NULL), ('b', '2024-01-02T23:30', 12.5);"
    )
    connection.close()
    source = Source("crm", "sqlite:///crm.db", folder=tmp_path)
    frame = read_tables(".", project=of(source, accounts=("accounts",))).frame("accounts")
    assert frame["account_id"].tolist() == ["1", "b"]
    assert frame["arr"].tolist()[1] == 12.5
    connection = sqlite3.connect(tmp_path / "crm.db")
    connection.executescript("INSERT INTO accounts VALUES (x'00ff', '2024-01-01', 1)")
    connection.close()
    (told,) = faults(of(source, accounts=("accounts",)))
    assert "holds bytes" in told
    assert "'account_id'" in told


# What is asked for -------------------------------------------------------------------------------


def test_only_declared_columns_leave_the_database(postgres: Server, crm: Source) -> None:
    # Reading either column would divide by zero.
    postgres.run(
        "CREATE TABLE base (account_id text, started_on date, zero int)",
        "INSERT INTO base VALUES ('a', '2024-01-01', 0)",
        "CREATE VIEW narrow AS SELECT account_id, started_on, 1 / zero AS note, 1 / zero AS size "
        "FROM base",
    )
    project = of(crm, accounts=("narrow",))
    assert read_tables(".", project=project).columns("accounts") == ("account_id", "started_on")
    source = replace(project.tables["accounts"], attributes=("size",))
    assert "division by zero" in faults(replace(project, tables={"accounts": source}))[0]
    misspelt = replace(project.tables["accounts"], attributes=("sise",))
    assert "Did you mean 'size'?" in faults(replace(project, tables={"accounts": misspelt}))[0]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS account_id, DATE '2024-01-01' AS started_on;",
        "SELECT 'a' AS account_id, DATE '2024-01-01' AS started_on -- a remark",
        "SELECT 'a' AS account_id, DATE '2024-01-01' AS started_on; -- a remark\n",
        "WITH x AS (SELECT 'a' AS account_id) SELECT *, DATE '2024-01-01' AS started_on FROM x",
        "SELECT 'a' AS account_id, DATE '2024-01-01' AS started_on ORDER BY 1 LIMIT 1",
        "SELECT 'a; --%s :x' AS account_id, DATE '2024-01-01' AS started_on",
    ],
)
def test_queries_as_people_write_them(
    query: str, postgres: Server, crm: Source, tmp_path: Path
) -> None:
    duckdb.connect(str(tmp_path / "crm.duckdb")).close()
    sqlite3.connect(tmp_path / "crm.db").execute("CREATE TABLE t (x)").connection.close()
    for source, asked in [
        (crm, query),
        (Source("crm", "duckdb:///crm.duckdb", folder=tmp_path), query),
        (Source("crm", "sqlite:///crm.db", folder=tmp_path), query.replace("DATE ", "")),
    ]:
        assert read_tables(".", project=of(source, accounts=asked)).rows_read == {"accounts": 1}


def test_all_tables_are_of_one_moment(postgres: Server, crm: Source) -> None:
    """A row that arrives between two tables is in neither: no event of an unknown account."""
    postgres.run(
        "CREATE TABLE moving (account_id text, started_on date)",
        "INSERT INTO moving VALUES ('a', '2024-01-01')",
        "CREATE TABLE moving_tickets (account_id text, opened_at date)",
    )
    databases = Databases({"crm": crm})
    database = databases.get("crm")
    assert database is not None
    assert database.columns(RowRequest(("moving",))) == ["account_id", "started_on"]
    postgres.run("INSERT INTO moving_tickets VALUES ('late', '2024-02-01')")
    part = open_rows("tickets", RowRequest(("moving_tickets",)), database)
    part.requested = ("account_id", "opened_at")
    assert part.reader().read_all().num_rows == 0
    databases.close()


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM precious RETURNING account_id, started_on",
        "WITH x AS (DELETE FROM precious RETURNING *) SELECT * FROM x",
        "SELECT * FROM precious; DELETE FROM precious",
        "SELECT * FROM precious) AS x; DELETE FROM precious; --",
        "SELECT empty_precious() AS account_id, DATE '2024-01-01' AS started_on",
    ],
)
def test_a_query_changes_nothing(query: str, postgres: Server, crm: Source, tmp_path: Path) -> None:
    made = "CREATE TABLE precious (account_id text, started_on date)"
    row = "INSERT INTO precious VALUES ('a', '2024-01-01')"
    postgres.run(
        "DROP TABLE IF EXISTS precious CASCADE", made, row,
        "CREATE OR REPLACE FUNCTION empty_precious() RETURNS text LANGUAGE plpgsql AS "
        "'BEGIN DELETE FROM precious; RETURN 1; END'",
    )  # fmt: skip
    with duckdb.connect(str(tmp_path / "crm.duckdb")) as connection:
        connection.execute(made).fetchall()
        connection.execute(row).fetchall()
    lite = sqlite3.connect(tmp_path / "crm.db")
    lite.executescript(f"{made}; {row};")
    lite.close()
    for url in ("duckdb:///crm.duckdb", "sqlite:///crm.db"):
        assert faults(of(Source("crm", url, folder=tmp_path), accounts=query))
    assert faults(of(crm, accounts=query))
    assert postgres.query("SELECT count(*) FROM precious") == [(1,)]
    with duckdb.connect(str(tmp_path / "crm.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM precious").fetchall() == [(1,)]
    lite = sqlite3.connect(tmp_path / "crm.db")
    assert lite.execute("SELECT count(*) FROM precious").fetchall() == [(1,)]
    lite.close()


# Hostile names -----------------------------------------------------------------------------------

HOSTILE = (
    'na"me', "na'me", "a; DROP TABLE accounts; --", 'a"; DROP TABLE accounts; --', "select",
    "Ünïcode 名前 🦊", "with space", "tab\there", "new\nline", "a.b", "%s %(x)s %%", ":name ::int",
    "$1 $$", "?", "\\", "[x]", "`x`", "{x}", "A" * 60, "a/*b*/", "=1+1", "<script>",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_schemas_tables_and_columns(
    name: str, postgres: Server, crm: Source, tmp_path: Path
) -> None:
    rows = [f"{quoted(name)} text", "started_on date"]
    row = "VALUES ('a', '2024-01-01')"
    postgres.run(f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE", f"CREATE SCHEMA {quoted(name)}")
    nested = f"{quoted(name)}.{quoted(name)}"
    postgres.run(f"CREATE TABLE {nested} ({', '.join(rows)})", f"INSERT INTO {nested} {row}")
    with duckdb.connect(str(tmp_path / "crm.duckdb")) as connection:
        for statement in [
            f"CREATE SCHEMA {quoted(name)}",
            f"CREATE TABLE {nested} ({', '.join(rows)})",
            f"INSERT INTO {nested} {row}",
        ]:
            connection.execute(statement).fetchall()
    lite = sqlite3.connect(tmp_path / "crm.db")
    lite.execute(f"CREATE TABLE {quoted(name)} ({', '.join(rows)})")
    lite.execute(f"INSERT INTO {quoted(name)} {row}")
    lite.commit()
    connection.close()
    for source, table in [
        (crm, (name, name)),
        (Source("crm", "duckdb:///crm.duckdb", folder=tmp_path), (name, name)),
        (Source("crm", "sqlite:///crm.db", folder=tmp_path), (name,)),
        (Source("crm", "sqlite:///crm.db", folder=tmp_path), ("main", name)),
    ]:
        databases = Databases({"crm": source})
        database = databases.get("crm")
        assert database is not None
        part = open_rows("accounts", RowRequest(table), database)
        part.requested = (name, "started_on")
        assert list(part.columns) == [name, "started_on"]
        assert part.reader().read_all().column(0).to_pylist() == ["a"]
        with pytest.raises(UnreadableError, match="has no table"):
            open_rows("accounts", RowRequest((*table[:-1], f"{name}x")), database)
        databases.close()


def test_a_hostile_name_through_the_door(postgres: Server, crm: Source) -> None:
    name = 'a"; DROP TABLE accounts; --'
    postgres.run(
        f"CREATE TABLE {quoted(name)} ({quoted(name)} text, started_on date)",
        f"INSERT INTO {quoted(name)} VALUES ({literal(name)}, '2024-01-01')",
    )
    project = of(crm, accounts=(name,))
    mapped = replace(project.tables["accounts"], columns={"account_id": name})
    tables = read_tables(".", project=replace(project, tables={"accounts": mapped}))
    assert tables.frame("accounts")["account_id"].tolist() == [name]


# What is said when it fails ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("acounts_here",), "has no table acounts_here .*Did you mean 'accounts_here'"),
        (("crms", "accounts_here"), "has no table crms.accounts_here"),
        ("SELECT nosuch FROM accounts_here", "no such column for the query .*nosuch"),
        ("SELECT * FROM nosuch", "no such table for the query .*nosuch"),
        ("SELEC 1", "the query is not a SELECT"),
        ("SELECT account_id, account_id FROM accounts_here", "has this column twice"),
        ("SELECT account_id, started_on + 1 / (arr - arr) AS started_on FROM accounts_here",
         "division by zero"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "the query calls pg_terminate_backend"),
        (("ender",), "ended the connection .*Run again"),
    ],
)  # fmt: skip
def test_what_postgresql_refuses(asked: Any, told: str, postgres: Server, crm: Source) -> None:
    postgres.run(
        "CREATE TABLE IF NOT EXISTS accounts_here (account_id text, started_on date, arr int)",
        "INSERT INTO accounts_here VALUES ('a', '2024-01-01', 1)",
        "CREATE OR REPLACE VIEW ender AS SELECT DATE '2024-01-01' AS started_on, "
        "pg_terminate_backend(pg_backend_pid())::text AS account_id",
    )
    with pytest.raises(ls.TablesError, match=told) as caught:
        read_tables(".", project=of(crm, accounts=asked))
    assert caught.value.count == 1
    assert postgres.password not in str(caught.value)
    assert "Query was" not in str(caught.value)


def test_a_stream_that_breaks_is_one_fault_and_other_tables_are_still_read(
    postgres: Server, crm: Source
) -> None:
    breaking = (
        "SELECT i::text AS account_id, CASE WHEN i < 200000 THEN DATE '2024-01-01' "
        "ELSE DATE '2024-01-01' + 1 / (i - 200000) END AS started_on "
        "FROM generate_series(1, 300000) AS i"
    )
    wrong = "SELECT 'a' AS account_id, 'soon' AS opened_at"
    told = faults(of(crm, accounts=breaking, tickets=wrong))
    assert len([text for text in told if text.startswith("accounts:")]) == 1
    assert "division by zero" in told[0]
    assert any(text.startswith("tickets:1: opened_at: is not a date") for text in told)


def test_after_a_refusal_sqlalchemy_reads_on(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "crm.db")
    connection.executescript("CREATE TABLE tickets (account_id, opened_at);"
                             "INSERT INTO tickets VALUES ('a', 'soon')")  # fmt: skip
    connection.close()
    source = Source("crm", "sqlite:///crm.db", folder=tmp_path)
    told = faults(of(source, accounts="SELEC 1", tickets=("tickets",), usage=("nosuch",)))
    assert [text.partition(" (given")[0] for text in told] == [
        "accounts: the query is not a SELECT. A query is one SELECT, which reads and does "
        "nothing else.",
        "usage: source 'crm' has no table nosuch",
        "tickets:1: opened_at: is not a date",
    ]


@pytest.mark.parametrize("package", ["adbc_driver_postgresql", "sqlalchemy", "fsspec"])
def test_a_package_that_is_not_installed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    url = {"adbc_driver_postgresql": "postgresql://host/db", "sqlalchemy": "sqlite:///x.db"}
    project = of(Source("crm", url.get(package)), accounts=("accounts",))
    if package == "fsspec":
        project = Project(tables={"accounts": TableSource(path="s3://bucket/accounts.csv")})
    (told,) = faults(project)
    assert 'python3 -m pip install "leadsignal[databases]"' in told


def test_a_url_that_a_driver_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_URL", "postgresql://me:hun%ter2@127.0.0.1:1/db")
    (told,) = faults(of(Source("crm", url_env="CRM_URL"), accounts=("accounts",)))
    assert "ter2" not in told


def test_what_cannot_be_reached_is_told_once_without_the_password(
    postgres: Server, crm: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = "hunter2 with/@ %signs"
    tables = {name: (name,) for name in ("accounts", "usage", "tickets")}
    here = f"127.0.0.1:{postgres.port}"
    for url, said in [
        (crm.url, "refuses the user or the password .*password_env"),
        (str(crm.url).replace(here, "127.0.0.1:1"), "cannot be reached .*Connection refused"),
        (str(crm.url).replace(here, "nohost.invalid"), "cannot be reached .*nohost.invalid"),
        (str(crm.url).replace("leadsignal@", "nobody@"), "refuses the user or the password"),
        (f"{crm.url}?sslmode=require", "server does not support SSL"),
        (f"{crm.url}?nosuch=1", "nosuch"),
    ]:
        monkeypatch.setenv(PASSWORD, planted)
        project = of(replace(crm, url=url), **tables)
        with pytest.raises(ls.TablesError, match=said) as caught:
            read_tables(".", project=project)
        assert caught.value.count == 1
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv(PASSWORD, postgres.password)
    (told,) = faults(of(replace(crm, url=str(crm.url).replace("/postgres", "/nosuch")), **tables))
    assert "has no such database" in told


def test_rights(postgres: Server, crm: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres.run("CREATE TABLE locked (account_id text)", "CREATE USER reader PASSWORD 'hunter2'")
    monkeypatch.setenv(PASSWORD, "hunter2")
    reader = replace(crm, url=str(crm.url).replace("leadsignal@", "reader@"))
    (told,) = faults(of(reader, accounts=("locked",)))
    assert "does not allow locked to be read" in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///absent.db", "there is no file"),
        ("duckdb:///absent.duckdb", "there is no file"),
        ("sqlite:///words.txt", "is not a database file"),
        ("duckdb:///words.txt", "is not a DuckDB file"),
        ("duckdb:///crm.db", "is not a DuckDB file"),
        ("sqlite:///crm.db", "has no table accounts .*Did you mean 'acounts'"),
        ("nosuch://me@host/db", "nosuch: is not a supported database or object store"),
        ("oracle+nosuch://me@host/db", "oracle.nosuch: is not a supported database"),
        ("oracle://me@host/db", "needs a driver that is not installed"),
        ("grpc://localhost:1", "needs the package adbc-driver-flightsql"),
    ],
)
def test_what_is_no_database(url: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("no database at all " * 200)
    connection = sqlite3.connect(tmp_path / "crm.db")
    connection.execute("CREATE TABLE acounts (x)")
    connection.close()
    with pytest.raises(ls.TablesError, match=told):
        read_tables(".", project=of(Source("crm", url, folder=tmp_path), accounts=("accounts",)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crm.db", "words.txt"]


def test_a_source_that_nobody_named() -> None:
    project = Project(tables={"accounts": TableSource(source="crm", table=("accounts",))})
    assert faults(project) == ["accounts: 'crm' is not a source. Give it in Project(sources=…)."]


def test_an_adbc_driver_by_name(tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    connection = sqlite3.connect(tmp_path / "crm.db")
    connection.executescript(
        "CREATE TABLE accounts (account_id TEXT, started_on TEXT, arr REAL);"
        "INSERT INTO accounts VALUES ('a', '2024-01-01', 1.5), ('b', '2024-01-02', NULL);"
    )
    connection.close()
    source = Source("crm", f"file:{tmp_path / 'crm.db'}", driver="adbc_driver_sqlite")
    frame = read_tables(".", project=of(source, accounts=("accounts",))).frame("accounts")
    assert frame["account_id"].tolist() == ["a", "b"]
    assert "has no table nosuch" in faults(of(source, accounts=("nosuch",)))[0]


# leadsignal.toml ---------------------------------------------------------------------------------


def test_a_project_file_names_source_table_and_query(
    postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRM_URL", postgres.full_url)
    postgres.run(
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.customers (id int, since date, segment text, secret text)",
        "INSERT INTO sales.customers VALUES (1, '2024-01-01', 'mid', 'x')",
        "INSERT INTO sales.customers VALUES (2, '2024-02-01', 'low', 'x')",
        "CREATE TABLE sales.cases (customer int, opened timestamptz, closed timestamptz)",
        "INSERT INTO sales.cases VALUES (1, '2024-03-01 10:00Z', NULL)",
    )
    (tmp_path / "usage.csv").write_text("account_id,used_on,amount\n2,2024-03-01,5\n")
    (tmp_path / "leadsignal.toml").write_text("""
[sources.crm]
url_env = "CRM_URL"

[tables.accounts]
table = "sales.customers"
columns = { account_id = "id", started_on = "since" }
attributes = ["segment"]

[tables.tickets]
source = "crm"
query = "SELECT customer AS account_id, opened AS opened_at, closed AS closed_at FROM sales.cases"
""")
    tables = read_tables(tmp_path)
    assert tables.rows_read == {"accounts": 2, "tickets": 1, "usage": 1}
    assert tables.columns("accounts") == ("account_id", "started_on", "segment")
    assert postgres.password not in repr(tables.project)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('query = "x"', "does not say which source it is in"),
        ('table = "x"\nsource = "crms"', "is not a source .*Did you mean 'crm'"),
        ('table = "x"\nquery = "y"', "both say where the rows are"),
        ('path = "x.csv"\ntable = "y"', "both say where the rows are"),
        ('table = "a..b"\nsource = "crm"', "is not the name of a table"),
        ('table = "a.b.c.d"\nsource = "crm"', "is not the name of a table"),
        ("table = []\nsource = 'crm'", "must be a text"),
    ],
)
def test_what_a_table_may_not_say(table: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "leadsignal.toml").write_text(
        '[sources.crm]\nurl = "duckdb:///x"\n[sources.erp]\nurl = "duckdb:///x"\n'
        f"[tables.usage]\n{table}\n"
    )
    with pytest.raises(ls.ProjectError, match=told):
        ls.read_project(tmp_path)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "has no url"),
        ('url = "host"', "must be a URL"),
        ('url_env = "a b"', "must be the name of an environment variable"),
        ('url = "x://y"\ndriver = "os"', "must be a supported ADBC driver package"),
        ('url = "x://y"\nurls = "z"', "is not a known key"),
        ('url = "x://y"\ncredentials = "/nowhere/x.toml"', "no such file"),
    ],
)
def test_what_a_source_may_not_say(source: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "leadsignal.toml").write_text(f"[sources.crm]\n{source}\n")
    with pytest.raises(ls.ProjectError, match=told):
        ls.read_project(tmp_path)


def test_row_order_does_not_matter(postgres: Server, crm: Source, tmp_path: Path) -> None:
    case = random_case(11)
    mixed = case.with_tables(
        {name: Random(3).sample(rows, len(rows)) for name, rows in case.tables.items()}
    )
    same_panel(case, from_postgres(mixed, tmp_path, postgres))
