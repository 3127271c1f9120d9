"""Files in object stores: fsspec's memory:// and file:// stand for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from bad_input_kinds import GOOD, write_good
from leadsignal.tables import check_tables, read_tables

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory() -> Any:
    """An empty store in memory."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def put(files: Any, folder: str) -> str:
    for name, text in GOOD.items():
        files.pipe(f"/{folder}/{name}", text.encode())
    return f"memory://{folder}"


def same(given: ls.Tables, wanted: ls.Tables) -> None:
    assert (given.names, given.coverage) == (wanted.names, wanted.coverage)
    for name in given.names:
        pd.testing.assert_frame_equal(given.frame(name), wanted.frame(name))


def test_a_folder_in_a_store_is_read_as_a_folder(memory: Any, tmp_path: Path) -> None:
    write_good(tmp_path)
    for file in ("leadsignal.toml", "success.toml"):
        (tmp_path / file).unlink()
    wanted = read_tables(tmp_path)
    same(read_tables(put(memory, "crm")), wanted)
    same(read_tables(put(memory, "crm") + "/"), wanted)
    same(read_tables(f"file://{tmp_path}"), wanted)


def test_the_panel_is_that_of_the_files(memory: Any, tmp_path: Path) -> None:
    write_good(tmp_path)
    put(memory, "crm")
    paths = "".join(
        f'[tables.{name}]\npath = "memory://crm/{name}.csv"\n'
        for name in ("behaviors", "tickets", "commitments")
    )
    there = tmp_path / "there"
    there.mkdir()
    accounts = GOOD["leadsignal.toml"] + 'path = "memory://crm/accounts.csv"\n'
    (there / "leadsignal.toml").write_text(accounts + paths)
    (there / "success.toml").write_text(GOOD["success.toml"])
    given, wanted = read_tables(there), read_tables(tmp_path)
    same(given, wanted)
    analysis = ls.read_success_analysis(there / "success.toml")
    one, other = (ls.build_panel(tables, analysis).frame for tables in (given, wanted))
    pd.testing.assert_frame_equal(one, other)


def test_patterns_parts_and_parquet(memory: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2023-01-01", "2023-02-01"]})
    frame.to_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    memory.pipe("/crm/accounts/part-0.parquet", content)
    memory.pipe("/crm/accounts/_SUCCESS", b"")
    memory.pipe("/crm/2023/a1.csv", b"account_id,started_on\na,2023-01-01\n")
    memory.pipe("/crm/2023/a2.csv", b"account_id,started_on\nb,2023-13-01\n")
    for path in ("memory://crm/accounts", "memory://crm/accounts/*.parquet", "memory://crm"):
        given: Any = path if path.endswith("crm") else {"accounts": path}
        assert read_tables(given).rows_read == {"accounts": 2}
    (told,) = check_tables({"accounts": "memory://crm/2023/a*.csv"}).faults
    assert (told.file, told.line, told.column) == ("2023/a2.csv", 2, "started_on")
    memory.pipe("/crm/accounts/part-1.csv", b"account_id\n")
    (told,) = check_tables({"accounts": "memory://crm/accounts"}).faults
    assert told.problem == "holds both CSV and Parquet"


def test_a_source_with_options_and_paths(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(tmp_path)
    monkeypatch.setenv("LAKE", f"file://{tmp_path}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "leadsignal.toml").write_text(
        '[sources.lake]\nurl_env = "LAKE"\noptions = { auto_mkdir = false }\n'
        '[tables.accounts]\nsource = "lake"\npath = "accounts.csv"\n'
    )
    assert read_tables(project).rows_read == {"accounts": 3}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("memory://crm/nosuch.csv", "no such file"),
        ("memory://crm/no*.csv", "no file matches"),
        ("nosuch://bucket/x.csv", "is not a supported database or object store"),
        ("memory://crm/empty", "a folder without parts|no such file"),
        ("memory://crm/empty.csv", "is empty"),
    ],
)
def test_what_cannot_be_read(url: str, told: str, memory: Any) -> None:
    put(memory, "crm")
    memory.pipe("/crm/empty.csv", b"")
    with pytest.raises(ls.TablesError, match=told):
        read_tables({"accounts": url})


def test_folders_that_are_none(memory: Any) -> None:
    with pytest.raises(ls.TablesError, match="no such file"):
        read_tables("memory://nowhere")
    memory.pipe("/other/readme.txt", b"x")
    with pytest.raises(ls.TablesError, match="there is no table accounts"):
        read_tables("memory://other")
    put(memory, "crm")
    memory.pipe("/crm/accounts.parquet", b"x")
    with pytest.raises(ls.TablesError, match="two sources for one table"):
        read_tables("memory://crm")
    with pytest.raises(ls.TablesError, match=r"is a database.*\[sources\.NAME\]") as caught:
        read_tables("postgresql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_what_a_store_raises_shows_no_secret(
    memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = tmp_path / "lake.toml"
    held.write_text('url = "memory://crm"\n[options]\nkey = "hunter2"\n')

    def refuse(url: str, **options: Any) -> Any:
        raise PermissionError(f"403 Forbidden: {url} with {options} hunter3")

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")
    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "leadsignal.toml").write_text(
        f'[sources.lake]\ncredentials = "{held}"\n'
        '[tables.accounts]\nsource = "lake"\npath = "accounts.csv"\n'
    )
    with pytest.raises(ls.TablesError, match="may not be read") as caught:
        read_tables(folder)
    assert "hunter" not in str(caught.value)
    with pytest.raises(ls.TablesError) as caught:
        read_tables({"accounts": "memory://me:hunter2@crm/accounts.csv?token=hunter2"})
    assert "hunter2" not in str(caught.value)


def test_names_that_try_to_leave_the_folder_leave_nothing(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/crm/accounts/../../../../../tmp/leadsignal-left.csv", b"account_id\n")
    memory.pipe("/crm/accounts/a b;$(touch x).csv", b"account_id,started_on\na,2023-01-01\n")
    check_tables({"accounts": "memory://crm/accounts"})
    assert not Path("/tmp/leadsignal-left.csv").exists()
    assert not Path("x").exists()


def test_the_copies_go_with_the_tables(memory: Any) -> None:
    tables = read_tables(put(memory, "crm"))
    folder = Path(tables._store.folder)
    assert not (folder / "copies").exists()
    assert folder.exists()
