"""A query only reads: one SELECT, nothing outside the project's folder, no extension."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.errors import SourceError
from leadsignal.ingestion.check_report import CheckReport
from leadsignal.sources.database import one_select

TICKETS = "account_id, opened_at"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project beside a file that is none of its business."""
    import duckdb

    (tmp_path / "secret.csv").write_text("account_id,started_on\nstolen,2024-01-01\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "inside.csv").write_text("account_id,started_on\na,2024-01-01\n")
    with duckdb.connect(str(project / "crm.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'a' AS account_id, '2024-01-01' AS started_on")
        connection.execute(
            f"CREATE VIEW leak AS SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')"
        )
    lite = sqlite3.connect(project / "crm.db")
    lite.execute("CREATE TABLE t AS SELECT 'a' AS account_id, '2024-01-01' AS started_on")
    lite.commit()
    lite.close()
    return project


def check(folder: Path, url: str, query: str, driver: str = "") -> CheckReport:
    named = f"driver = '{driver}'\n" if driver else ""
    (folder / "leadsignal.toml").write_text(
        f"[sources.crm]\nurl = '{url}'\n{named}[tables.accounts]\nquery = '''{query}'''\n"
    )
    return ls.check_tables(folder)


def files(folder: Path) -> dict[str, bytes]:
    held = {str(path): path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    return {name: content for name, content in held.items() if not name.endswith(".toml")}


GOOD = [
    "SELECT * FROM t",
    "select account_id, started_on from t;",
    "SELECT * FROM t; -- all of them\n",
    "WITH x AS (SELECT * FROM t) SELECT * FROM x /* a ) remark */ -- ; and another",
    "(SELECT * FROM t)",
    "SELECT ';' AS end_reason, \"account_id\", started_on FROM t WHERE ')' <> '('",
]
SOURCES = [
    ("duckdb:///crm.duckdb", ""),
    ("sqlite:///crm.db", ""),
    ("file:{}/crm.db", "adbc_driver_sqlite"),
]


@pytest.mark.parametrize("query", GOOD)
@pytest.mark.parametrize(("url", "driver"), SOURCES)
def test_what_only_reads_is_read(folder: Path, url: str, driver: str, query: str) -> None:
    if driver:
        pytest.importorskip(driver)
        if query.startswith("("):
            query = query.strip("()")
    elif url.startswith("sqlite"):
        pytest.importorskip("sqlalchemy")
        query = query.strip("()")
    report = check(folder, url.format(folder), query, driver)
    assert report.ok, report
    assert report.tables == {"accounts": 1}


EVIL = [
    "SELECT * FROM t) AS x; COPY t TO '{out}'; SELECT * FROM (SELECT * FROM t",
    "SELECT * FROM t; COPY t TO '{out}'",
    "COPY t TO '{out}'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "ATTACH DATABASE '{out}' AS x",
    "SELECT * FROM t; ATTACH '{out}' AS x",
    "SELECT * FROM t) AS x; ATTACH '{out}' AS y; --",
    "INSTALL httpfs",
    "LOAD 'x.duckdb_extension'",
    "SELECT load_extension('{out}')",
    "SET enable_external_access = true",
    "PRAGMA journal_mode = delete",
    "PRAGMA user_version = 7",
    "VACUUM INTO '{out}'",
    "DROP TABLE t",
    "INSERT INTO t VALUES ('b', '2024-01-01') RETURNING *",
    "WITH x AS (INSERT INTO t VALUES ('b', '2024-01-01') RETURNING *) SELECT * FROM x",
    "CREATE TABLE u AS SELECT * FROM t",
    "EXPLAIN SELECT 1",
    "SELECT * FROM enable_logging(storage = 'file', storage_config = {{'path': '{out}'}})",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT content AS account_id, '2024-01-01' AS started_on FROM read_text('{secret}')",
    "SELECT file AS account_id, '2024-01-01' AS started_on FROM glob('{around}/*')",
    "SELECT * FROM read_csv('{inside}/../secret.csv')",
    "SELECT * FROM leak",
    "SELECT * FROM query('SELECT * FROM t')",
    "SELECT readfile('{secret}') AS account_id, '2024-01-01' AS started_on",
    "",
    ";",
    "-- nothing",
]


@pytest.mark.parametrize("query", EVIL)
@pytest.mark.parametrize(("url", "driver"), SOURCES)
def test_what_writes_or_reads_elsewhere_is_refused(
    folder: Path, url: str, driver: str, query: str
) -> None:
    pytest.importorskip(driver or "sqlalchemy")
    out, before = folder.parent / "out", files(folder)
    query = query.format(
        out=out, secret=folder.parent / "secret.csv", around=folder.parent, inside=folder
    )
    try:
        report = check(folder, url.format(folder), query, driver)
    except ls.ProjectError:
        pass  # An empty query is a fault of the project file.
    else:
        assert not report.ok
        assert "stolen" not in repr(report)
    assert files(folder) == before
    assert not out.exists()


def test_duckdb_reads_files_of_the_project_alone(folder: Path) -> None:
    assert check(folder, "duckdb:///crm.duckdb", f"SELECT * FROM '{folder}/inside.csv'").ok
    os.symlink(folder.parent / "secret.csv", folder / "link.csv")
    report = check(folder, "duckdb:///crm.duckdb", f"SELECT * FROM '{folder}/link.csv'")
    assert not report.ok


def test_a_pipe_in_the_folder_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    report = check(folder, "duckdb:///crm.duckdb", f"SELECT * FROM '{folder}/pipe.csv'")
    assert not report.ok


def test_another_connection_to_the_file_keeps_its_settings(folder: Path) -> None:
    import duckdb

    assert check(folder, "duckdb:///crm.duckdb", "SELECT * FROM t").ok
    with duckdb.connect(str(folder / "crm.duckdb"), read_only=True) as own:
        own.execute("SET threads = 1")
        assert own.execute(f"SELECT count(*) FROM '{folder.parent}/secret.csv'").fetchone() == (1,)


@pytest.mark.parametrize("name", ["memory", "temp", "main", "odd name"])
def test_a_file_may_have_any_name(folder: Path, name: str) -> None:
    (folder / "crm.duckdb").rename(folder / f"{name}.duckdb")
    assert check(folder, f"duckdb:///{name}.duckdb", "SELECT * FROM t").ok


@pytest.mark.parametrize(
    ("query", "dialect", "told"),
    [
        ("SELECT 1) AS x, (SELECT 2", "", "closes a parenthesis"),
        ("SELECT (1", "", "does not close"),
        ("SELECT 1; SELECT 2", "", "more than one statement"),
        ("SELECT 'a", "", "never closed"),
        ("SELECT 1 /* x", "", "never closed"),
        ("SELECT /* /* */ 1 */ 2", "", "comment"),
        ("SELECT 'it\\'; DROP TABLE x; --'", "", "backslash"),
        ("SELECT $$;$$", "postgresql", "dollar"),
        ("SELECT /*! 1; DROP TABLE x */ 2", "mysql", "comment"),
        ("SELECT 1 --1; DROP TABLE x", "mysql", "comment"),
        ("SELECT 1 # it's; DROP TABLE x\n, 2", "mysql", "comment|never closed"),
        ("SELECT * INTO OUTFILE '/tmp/x' FROM t", "mysql", "INTO"),
        ("SELECT * INTO copied FROM t", "mssql", "INTO"),
        ("SELECT 1 DROP TABLE x", "mssql", "DROP"),
        ("SELECT 1 EXEC xp_cmdshell 'x'", "mssql", "EXEC"),
        ("SELECT [it's] ; DROP TABLE x --'", "mssql", "square brackets"),
        ("SELECT q'[it's]' FROM dual", "oracle", "special notation"),
        ("SELECT 1 -- x\r' \n; DROP TABLE x; SELECT '", "postgresql", "carriage return"),
        ("SELECT pg_read_file('/etc/passwd')", "postgresql", "calls pg_read_file"),
        ('SELECT "pg_read_file"(\'/etc/passwd\')', "postgresql", "calls pg_read_file"),
        ("SELECT U&\"\\0070g_read_file\"('x')", "postgresql", "special notation|backslash"),
        ("SELECT lo_export(1, '/tmp/x')", "postgresql", "calls lo_export"),
        ("SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)", "postgresql", "calls dblink"),
        ("SELECT set_config('transaction_read_only', 'off', false)", "postgresql", "set_config"),
        ("SELECT query_to_xml('DELETE FROM t', true, true, '')", "postgresql", "query_to_xml"),
        ("SELECT * FROM t FOR UPDATE", "postgresql", "UPDATE"),
        ("SELECT load_file('/etc/passwd')", "mysql", "load_file"),
        ("DELETE FROM t", "", "is not a SELECT"),
        ("EXPLAIN ANALYZE DELETE FROM t", "", "is not a SELECT"),
        ("DO $$BEGIN END$$", "", "dollar"),
        ("", "", "is not a SELECT"),
    ],
)  # fmt: skip
def test_what_is_not_one_select(query: str, dialect: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        one_select(query, dialect)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a, b - -1 FROM t -- it's all; really\n WHERE c = ';' ORDER BY 1;",
        'SELECT count(*) FILTER (WHERE x) FROM "into" AS t, pg_catalog.pg_class',
        "SELECT pg_typeof(a), data #>> '{a,b}', arr[1], ARRAY['a'], '{}'::bytea FROM t",
        "SELECT TOP 5 [account id] FROM [dbo].[accounts]",
        "SELECT insert('abc', 1, 1, 'x'), replace(a, 'b', 'c'), 'a\\_b' FROM `t`",
        "VALUES (1), (2)",
    ],
)
def test_usual_queries_are_let_through(query: str) -> None:
    assert one_select(query)
