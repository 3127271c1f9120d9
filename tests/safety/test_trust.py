"""A project file says where rows are: it loads no code, and nothing is imported from the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.config.credentials import Source, open_source
from leadsignal.errors import SourceError

EVIL_URLS = [
    ("profile://evil", "adbc_driver_manager"),
    ("profile://evil", "adbc_driver_postgresql"),
    ("profile:evil", "adbc_driver_sqlite"),
    ("file:crm.db", "adbc_driver_manager"),
    ("file:crm.db", "adbc_driver_evil"),
    ("file:crm.db", "os"),
    ("evil://host/db", None),
    ("sqlite+evil:///crm.db", None),
    ("sqlite+pysqlcipher:///crm.db", None),
    ("postgresql+evil://host/db", None),
    ("sqlite:///crm.db?plugin=evil", None),
    ("sqlite:///crm.db?uri=true", None),
    ("mysql://host/db?plugin=evil", None),
    ("mysql://host/db?init_command=DROP+TABLE+x", None),
    ("mysql://host/db?read_default_file=evil.cnf", None),
    ("mysql+mysqldb://host/db?plugin_dir=.", None),
    ("mssql+pyodbc://host/db?driver=/tmp/evil.so", None),
    ("mssql+pyodbc://host/db?driver=evil", None),
    ("mssql+pyodbc:///?odbc_connect=DRIVER%3Devil.so", None),
    ("oracle://host/db?thick_mode=true", None),
    ("redshift+redshift_connector://host/db?credentials_provider=evil.Provider", None),
    ("postgresql://host/db?service=evil", None),
    ("postgresql://host/db?sslkey=dynamic:evil", None),
    ("simplecache::s3://bucket/x", None),
    ("python://evil", None),
    ("github://a:b@/x", None),
    ("reference::file:///x", None),
    ("s3::evil://x", None),
]
EVIL_OPTIONS = [
    ("sqlite:///crm.db", None, {"factory": "evil.Connection"}),
    ("sqlite:///crm.db", None, {"uri": True}),
    ("mysql://host/db", None, {"init_command": "DROP TABLE x"}),
    ("mysql://host/db", None, {"cursorclass": "evil"}),
    ("mysql://host/db", None, {"local_infile": True}),
    ("oracle://host/db", None, {"config_dir": "."}),
    ("postgresql://host/db", "adbc_driver_postgresql", {"driver": "evil.so"}),
    ("postgresql://host/db", "adbc_driver_postgresql", {"entrypoint": "evil"}),
    ("file:crm.db", "adbc_driver_sqlite", {"adbc.sqlite.load_extension.path": "evil.so"}),
    ("mssql+pyodbc://host/db", None, {"driver": "./evil.so"}),
    ("s3://bucket", None, {"protocol": "evil"}),
    ("s3://bucket", None, {"target_protocol": "evil"}),
    ("file:///x", None, {"fs": "evil"}),
    ("sqlite:///crm.db", None, {"creator": "evil"}),
    ("sqlite:///crm.db", None, {"poolclass": "evil"}),
]


def written(options: dict[str, object]) -> str:
    values = {key: str(value).lower() if value is True else f'"{value}"'
              for key, value in options.items()}  # fmt: skip
    return "".join(f'"{key}" = {value}\n' for key, value in values.items())


@pytest.mark.parametrize(
    ("url", "driver", "options"), [*((u, d, {}) for u, d in EVIL_URLS), *EVIL_OPTIONS]
)
def test_what_loads_code_is_a_fault_of_the_project_file(
    url: str, driver: str | None, options: dict[str, object], tmp_path: Path
) -> None:
    named = f'driver = "{driver}"\n' if driver else ""
    (tmp_path / "leadsignal.toml").write_text(
        f'[sources.crm]\nurl = "{url}"\n{named}[sources.crm.options]\n{written(options)}'
    )
    with pytest.raises(ls.ProjectError):
        ls.read_project(tmp_path)
    with pytest.raises(SourceError):
        open_source(Source("crm", url, driver=driver, options=options))


@pytest.mark.parametrize("url", [url for url, driver in EVIL_URLS if driver is None])
def test_the_environment_is_held_to_the_same_lists(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM", url)
    with pytest.raises(SourceError):
        open_source(Source("crm", url_env="CRM"))


@pytest.mark.parametrize(
    "path", ["simplecache::file:///etc/passwd", "python://evil", "zip://x::file:///y", "evil://x"]
)
def test_a_table_is_not_read_through_a_chain(path: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "leadsignal.toml").write_text(f'[tables.accounts]\npath = "{path}"\n')
    assert not ls.check_tables(tmp_path).ok


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://me@host:5432/db?sslmode=require&application_name=x", None),
        ("postgresql+psycopg2://me@host/db?options=-csearch_path%3Dcrm", None),
        ("mssql+pyodbc://me@host/db?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes", None),
        ("mysql+pymysql://me@[::1]/db?charset=utf8mb4", None),
        ("snowflake://me@account/db/schema?warehouse=w&role=r", None),
        ("grpc+tls://host:31337", None),
        ("snowflake://me@account/db", "adbc_driver_snowflake"),
        ("s3://bucket/folder", None),
    ],
)
def test_usual_urls_are_let_through(url: str, driver: str | None) -> None:
    assert open_source(Source("crm", url, driver=driver)).url == url


MODULES = (
    "adbc_driver_postgresql", "sqlalchemy", "fsspec", "numpy", "pandas", "duckdb", "pyarrow",
    "json", "tomllib", "argparse", "pysqlite", "s3fs",
)  # fmt: skip


def trap(folder: Path) -> Path:
    """Put modules beside the tables that leave a mark where they are imported."""
    (folder / "accounts.csv").write_text("account_id,started_on\na,2024-01-01\n")
    (folder / "crm.db").write_bytes(b"")
    (folder / "leadsignal.toml").write_text(
        '[sources.crm]\nurl = "postgresql://127.0.0.1:1/x"\n[sources.lite]\n'
        'url = "sqlite:///crm.db"\n[tables.usage]\nsource = "crm"\n'
        '[tables.tickets]\nsource = "lite"\n[tables.results]\npath = "file:///nowhere.csv"\n'
    )
    mark = folder.parent / "imported"
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    return mark


SCRIPT = "import sys; from leadsignal.cli import main; sys.exit(main())"


@pytest.mark.parametrize("how", ["module", "console"])
@pytest.mark.parametrize("project", [".", "absolute"])
def test_nothing_is_imported_from_the_current_folder(
    how: str, project: str, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    mark = trap(folder)
    script = tmp_path / "bin" / "leadsignal"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    begin = ["-m", "leadsignal"] if how == "module" else [str(script)]
    source = str(Path(ls.__file__).parents[1])
    given = str(folder) if project == "absolute" else project
    run = subprocess.run(
        [sys.executable, *begin, "check", given],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert not mark.exists(), mark.read_text()


def test_drivers_are_not_imported_from_the_folder_of_a_session(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    mark = trap(folder)
    # A session imports these from where it is, as Python does.
    for name in ("json", "tomllib", "argparse", "numpy", "pandas", "duckdb", "pyarrow"):
        (folder / f"{name}.py").unlink()
    code = "import leadsignal as ls; print(ls.check_tables('.'))"
    env = {**os.environ, "PYTHONPATH": str(Path(ls.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "faults" in run.stdout
    assert not mark.exists(), mark.read_text()
