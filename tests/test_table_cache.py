"""Tables that are kept beside a project are what a new reading gives, or they are not used."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pandas as pd
import pytest

import leadsignal as ls
from contract_rows import random_contracts
from exports.test_init import proposed
from leadsignal.cli import main
from leadsignal.config.project import Project, read_project
from leadsignal.errors import OptionError, ProjectError, TablesError
from leadsignal.ingestion import table_cache
from leadsignal.ingestion.table_cache import ENTRY, NOT_IN_READING, TABLES, TableCache
from leadsignal.ingestion.table_reader import TableReader
from leadsignal.schema import BY_NAME
from leadsignal.sources.project_files import is_repeatable
from leadsignal.tables import Tables, check_tables, read_tables
from random_tables import random_case

FOLDER = ".leadsignal-cache"
SAMPLE = (
    ("accounts.csv", "account_id,started_on,ended_on,arr,segment,colour\n"
     "a,2023-01-01,2023-06-01,10.50,x,red\nb,2023-02-01,,7,y,blue\nc,2023-03-01,,,,\n"),
    ("behaviors.csv", "account_id,occurred_at,behavior\n"
     "a,2023-01-05,close\nb,2023-02-05,close\nb,2023-02-05,close\na,2022-01-01,early\n"),
    ("leadsignal.toml", '[project]\ncache = true\n[tables.accounts]\nattributes = ["segment"]\n'),
    ("notes.docx", "not read"),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "project"
    where.mkdir()
    for name, content in SAMPLE:
        (where / name).write_text(content, encoding="utf-8")
    return where


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Project]:
    """The projects whose files were really read, one a reading."""
    found: list[Project] = []
    real = TableReader.read

    def read(self: TableReader, *arguments: Any) -> None:
        found.append(self.project)
        real(self, *arguments)

    monkeypatch.setattr(TableReader, "read", read)
    return found


def facts(tables: Tables) -> dict[str, Any]:
    """Return all that tables say of themselves; ``cache`` itself is an option of the project."""
    found = {field.name: getattr(tables, field.name) for field in fields(tables)}
    del found["_store"], found["cache_notice"]
    found["project"] = replace(tables.project, cache=False)
    found["_loaded"] = {name: replace(one, parts=[]) for name, one in tables._loaded.items()}
    found["orders"] = [list(found[name]) for name in ("attributes", "rows_read", "_loaded")]
    found |= {name: getattr(tables, name) for name in ("warnings", "coverage", "hidden")}
    found |= {"text": repr(tables), "html": tables._repr_html_(), "dict": tables.to_dict()}
    for name in tables.names:
        found[f"columns of {name}"] = (tables.columns(name), tables.unread(name))
        described = tables.connection.cursor().execute(f"DESCRIBE {tables.sql(name)}").fetchall()
        found[f"types of {name}"] = described
        rows = tables.connection.cursor().execute(tables.history(name))
        found[f"rows of {name}"] = rows.fetchall()  # in the order in which they are stored
    return found


def assert_alike(tables: Tables, other: Tables) -> None:
    one, two = facts(tables), facts(other)
    assert one.keys() == two.keys()
    for name in one:
        assert one[name] == two[name], name
    for name in tables.names:
        pd.testing.assert_frame_equal(tables.frame(name), other.frame(name))
    earlier = tables.as_of_date - pd.Timedelta(days=90).to_pytimedelta()
    assert facts(tables.as_of(earlier)) == facts(other.as_of(earlier))


def read_thrice(folder: Path, project: Project, readings: list[Project], **options: Any) -> Tables:
    """Read without a cache, with a new one and from it; all must be alike, the last not read."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    plain = read_tables(folder, project=project.replace(cache=False), **options)
    kept = project.replace(cache=True)
    cold, before = read_tables(folder, project=kept, **options), len(readings)
    assert_alike(plain, cold)
    assert (folder / FOLDER / ENTRY).is_file()
    warm = read_tables(folder, project=kept, **options)
    assert len(readings) == before
    assert_alike(plain, warm)
    assert cold.cache_notice == warm.cache_notice == ""
    return warm


# What is kept is what is read


def test_the_sample(readings: list[Project], tmp_path: Path) -> None:
    folder = shutil.copytree(ls.sample_folder(), tmp_path / "sample")
    read_thrice(folder, read_project(folder), readings)


def test_a_small_folder_with_remarks(folder: Path, readings: list[Project]) -> None:
    warm = read_thrice(folder, read_project(folder), readings)
    assert warm.not_read == ("notes.docx",)
    assert {one.kind for one in warm.warnings} >= {"reading", "repeated_rows"}
    assert warm.unread("accounts") == ("colour",)


@pytest.mark.parametrize("seed", range(6))
def test_random_tables(seed: int, tmp_path: Path, readings: list[Project]) -> None:
    case = random_case(seed)
    for name, columns in case.columns.items():
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(columns)
            rows.writerows([row[column] for column in columns] for row in case.tables[name])
    project = replace(case.project, folder=tmp_path)
    for as_of in (case.as_of, None):
        read_thrice(tmp_path, replace(project, as_of=as_of), readings)


@pytest.mark.parametrize("listed", ["not at all", "without ends", "with ends"])
@pytest.mark.parametrize("seed", range(4))
def test_random_contracts(seed: int, listed: str, tmp_path: Path, readings: list[Project]) -> None:
    contracts = pd.DataFrame(random_contracts(seed))
    contracts.to_csv(tmp_path / "contracts.csv", index=False)
    customers = pd.DataFrame({"account_id": list("abcde"), "name": list("ABCDE")})
    customers["started_on"], customers["ended_on"] = "2020-01-01", None
    if listed != "not at all":
        columns = ["account_id", "name", *["started_on", "ended_on"] * (listed == "with ends")]
        customers[columns].to_csv(tmp_path / "accounts.csv", index=False)
    project = Project(folder=tmp_path)
    try:
        read_tables(tmp_path, project=project)
    except TablesError:
        pytest.skip("these contracts have faults")
    read_thrice(tmp_path, project, readings)


@pytest.mark.parametrize("system", ["chargebee", "gainsight", "mixpanel", "segment", "zendesk"])
def test_exports(system: str, tmp_path: Path, readings: list[Project]) -> None:
    truth, _, _ = proposed(system, tmp_path)
    read_thrice(tmp_path, read_project(tmp_path).replace(as_of=truth.as_of), readings)


def test_dropped_rows(folder: Path, readings: list[Project]) -> None:
    change(folder / "behaviors.csv", "2023-02-05", "yesterday")
    change(folder / "accounts.csv", "2023-03-01", "1723-03-01")
    warm = read_thrice(folder, read_project(folder), readings, drop_bad_rows=True)
    assert [fault.line for fault in warm.dropped] == [4, 3]
    with pytest.raises(TablesError):
        read_tables(folder)


def test_a_frame_is_read_beside_kept_tables(folder: Path) -> None:
    cold, warm = read_tables(folder), read_tables(folder)
    frame = pd.DataFrame({"account_id": ["a", "z"], "flagged_on": ["2023-01-05"] * 2})
    arms = replace(BY_NAME["flags"], name="arms")
    said = []
    for tables in (cold, warm):
        good = tables.read_beside(arms, frame[:1])
        assert good["account_id"].tolist() == ["a"]
        with pytest.raises(TablesError, match="no such account") as error:
            tables.read_beside(arms, frame)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_results_are_the_same(business_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(business_folder, tmp_path / "kept")
    project = read_project(folder).replace(cache=True)
    cold, warm = (read_tables(folder, project=project) for _ in range(2))
    analysis = ls.read_success_analysis(folder / "success.toml")
    one, two = (ls.build_panel(tables, analysis).frame for tables in (cold, warm))
    pd.testing.assert_frame_equal(one, two)


def test_check_prints_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for text in ("cache = false", "cache = true", "cache = true"):
        change(folder / "leadsignal.toml", "cache = true", text)
        assert main(["check", str(folder), "--json", "-"]) == 0
        printed.append(capsys.readouterr())
        file = folder / "leadsignal.toml"
        file.write_text(file.read_text().replace("cache = false", "cache = true"))
    assert printed[0].out
    assert printed[0] == printed[1] == printed[2]


# What makes it read anew


def test_other_days_and_options_use_what_is_kept(folder: Path, readings: list[Project]) -> None:
    read_tables(folder)
    for options in ({"as_of": "2023-03-05"}, {"horizon": "90d", "every": "7d"}, {"people": "ids"}):
        project = read_project(folder).replace(**options)
        before = len(readings)
        warm = read_tables(folder, project=project)
        assert len(readings) == before
        assert_alike(read_tables(folder, project=project.replace(cache=False)), warm)


def add_table(folder: Path) -> None:
    (folder / "flags.csv").write_text("account_id,flagged_on\na,2023-02-02\n", encoding="utf-8")


def touch_content(folder: Path) -> None:
    """Change one byte and nothing else: neither the size nor the time of the file."""
    file = folder / "behaviors.csv"
    status = file.stat()
    change(file, "close", "clone")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size


CHANGES: Mapping[str, Callable[[Path], None]] = {
    "a byte": touch_content,
    "a row": lambda folder: change(folder / "behaviors.csv", "a,2022-01-01,early\n", ""),
    "a file more": add_table,
    "a file less": lambda folder: (folder / "behaviors.csv").unlink(),
    "a file renamed": lambda folder: change(
        (folder / "behaviors.csv").rename(folder / "old.csv").parent / "leadsignal.toml",
        "[tables.accounts]", '[tables.behaviors]\npath = "old.csv"\n[tables.accounts]',
    ),
    "a setting of a table": lambda folder: change(
        folder / "leadsignal.toml", '"segment"', '"segment", "colour"'
    ),
    "the time zone": lambda folder: change(
        folder / "leadsignal.toml", "cache", 'timezone = "Asia/Tokyo"\ncache'
    ),
    "what is not churn": lambda folder: change(
        folder / "leadsignal.toml", "cache", 'not_churn = ["moved"]\ncache'
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_is_read_anew(what: str, folder: Path, readings: list[Project]) -> None:
    read_tables(folder)
    entry = (folder / FOLDER / ENTRY).read_bytes()
    CHANGES[what](folder)
    before = len(readings)
    tables = read_tables(folder)
    assert len(readings) == before + 1
    assert tables.cache_notice == ""
    assert_alike(read_tables(folder, project=read_project(folder).replace(cache=False)), tables)
    assert (folder / FOLDER / ENTRY).read_bytes() != entry
    assert sorted(os.listdir(folder / FOLDER)) == [".gitignore", ENTRY, TABLES]
    read_tables(folder)
    assert len(readings) == before + 2


@pytest.mark.parametrize("name", ["FORMAT", "_versions", "memory_bytes", "unpacked_limit"])
def test_other_versions_and_limits_read_anew(
    name: str, folder: Path, readings: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_tables(folder)
    value = getattr(table_cache, name)
    other = "another" if isinstance(value, int) else lambda: "another"
    monkeypatch.setattr(table_cache, name, other)
    tables = read_tables(folder)
    assert len(readings) == 2
    assert tables.cache_notice == ""


def test_another_treatment_of_bad_rows_reads_anew(folder: Path, readings: list[Project]) -> None:
    read_tables(folder)
    read_tables(folder, drop_bad_rows=True)
    assert len(readings) == 2


def test_what_changes_while_it_is_read_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TableReader.read

    def read(self: TableReader, *arguments: Any) -> None:
        real(self, *arguments)
        touch_content(folder)

    monkeypatch.setattr(TableReader, "read", read)
    read_tables(folder)
    assert not (folder / FOLDER).exists()


def test_faults_are_not_kept(folder: Path) -> None:
    change(folder / "behaviors.csv", "2023-02-05", "yesterday")
    reports = [check_tables(folder) for _ in range(2)]
    assert reports[0] == reports[1]
    assert not reports[0].ok
    assert not (folder / FOLDER).exists()


def test_the_default_day_is_that_of_the_run(
    folder: Path, readings: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date still to come is a plan: which dates are, another day decides anew."""
    from leadsignal.ingestion import table_reader

    change(folder / "accounts.csv", "a,2023-01-01,2023-06-01", "a,2023-01-01,2024-06-01")
    found = []
    for today in (date(2024, 1, 1), date(2025, 1, 1)):
        monkeypatch.setattr(table_reader, "day_of_the_run", lambda _, today=today: today)
        found.append(read_tables(folder).as_of_date)
    assert len(readings) == 1
    assert found == [date(2023, 3, 2), date(2024, 6, 2)]


def test_settings_that_do_not_count_are_not_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that reading or warnings use must be part of the key."""
    used: set[str] = set()

    class Watched(Project):
        def __getattribute__(self, name: str) -> Any:
            used.add(name)
            return super().__getattribute__(name)

    plain = read_project(folder)
    watched = Watched(**{field.name: getattr(plain, field.name) for field in fields(plain)})
    used.clear()
    reader = TableReader(watched)
    reader.read(None)
    from leadsignal.ingestion.check_report import CheckedRows
    from leadsignal.ingestion.plausibility import find_warnings

    loaded = reader.loaded
    find_warnings(CheckedRows(watched, reader.store, loaded, {}, (), date(2024, 1, 1)))
    assert {"tables", "timezone"} <= used
    # Where the files are is in their paths, and all is of files; what is not read is listed anew.
    elsewhere = {"folder", "url", "sources", "analysis"}
    assert used & NOT_IN_READING <= elsewhere
    names = {field.name for field in fields(Project)}
    assert names >= NOT_IN_READING


# What is not ours, or damaged


def truncate(file: Path, to: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * to)])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rewrite(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    entry = json.loads((folder / ENTRY).read_text())
    entry["tables_checksum"] = table_cache._digest(folder / TABLES)
    edit(entry)
    entry["checksum"] = table_cache._checksum(entry)
    (folder / ENTRY).write_text(json.dumps(entry))


def with_statement(sql: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        with duckdb.connect(folder / TABLES) as connection:
            connection.execute(sql)
        rewrite(folder, lambda entry: entry)

    return edit


def with_text(folder: Path) -> None:
    (folder / TABLES).write_text("x" * 9999)
    rewrite(folder, lambda entry: entry)


DAMAGES: Mapping[str, Callable[[Path], Any]] = {
    "an empty entry": lambda folder: truncate(folder / ENTRY, 0),
    "half an entry": lambda folder: truncate(folder / ENTRY, 0.5),
    "an entry that says something else": lambda folder: change(
        folder / ENTRY, " another in every", " no other in every"
    ),
    "an entry of another kind": lambda folder: (folder / ENTRY).write_text("[1]"),
    "an entry nested deeply": lambda folder: (folder / ENTRY).write_text("[" * 100_000),
    "no entry": lambda folder: (folder / ENTRY).unlink(),
    "an entry without a part": lambda folder: rewrite(folder, lambda e: e.pop("reading")),
    "an entry of other tables": lambda folder: rewrite(folder, lambda e: e["shape"].pop()),
    "empty tables": lambda folder: truncate(folder / TABLES, 0),
    "half of the tables": lambda folder: truncate(folder / TABLES, 0.5),
    "all but the end of the tables": lambda folder: truncate(folder / TABLES, 0.99),
    "a bit of the tables": lambda folder: flip(folder / TABLES),
    "no tables": lambda folder: (folder / TABLES).unlink(),
    "tables that are no database": with_text,
    "a view more": with_statement("CREATE VIEW v AS SELECT * FROM read_csv('/etc/hosts')"),
    "a macro more": with_statement("CREATE MACRO coalesce_all(a) AS a"),
    "a table more": with_statement("CREATE TABLE more (a INTEGER)"),
    "a default": with_statement("ALTER TABLE behaviors ALTER behavior SET DEFAULT 'x'"),
    "another type": with_statement("ALTER TABLE behaviors ALTER occurred_at TYPE TIMESTAMP"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_entry_is_read_anew_and_replaced(
    what: str, folder: Path, readings: list[Project]
) -> None:
    read_tables(folder)
    DAMAGES[what](folder / FOLDER)
    tables = read_tables(folder)
    assert len(readings) == 2
    assert "damaged or not ours: the tables were read anew" in tables.cache_notice
    assert_alike(read_tables(folder, project=read_project(folder).replace(cache=False)), tables)
    mended = read_tables(folder)
    assert len(readings) == 3  # that without the cache
    assert mended.cache_notice == ""
    assert_alike(tables, mended)


def foreign_folder(place: Path) -> None:
    place.mkdir()
    (place / "thesis.txt").write_text("three years of work")


def foreign_file(place: Path) -> None:
    place.write_text("three years of work")


def foreign_beside_ours(place: Path) -> None:
    read_tables(place.parent)
    (place / "thesis.txt").write_text("three years of work")
    change(place.parent / "behaviors.csv", "early", "later")


def link_in_ours(place: Path) -> None:
    read_tables(place.parent)
    (place / TABLES).rename(place.parent.parent / "moved.duckdb")
    (place / TABLES).symlink_to(place.parent.parent / "moved.duckdb")


FOREIGN = [foreign_folder, foreign_file, foreign_beside_ours, link_in_ours]


@pytest.mark.parametrize("make", FOREIGN)
def test_what_is_not_ours_stays(
    make: Callable[[Path], None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder / FOLDER)
    place = folder / FOLDER
    kept = {
        file: file.read_bytes() for file in [place, *folder.glob(f"{FOLDER}/*")] if file.is_file()
    }
    tables = read_tables(folder)
    assert "the tables are not kept" in tables.cache_notice
    assert_alike(read_tables(folder, project=read_project(folder).replace(cache=False)), tables)
    assert {file: file.read_bytes() for file in kept} == kept
    assert any(FOLDER in name for name in tables.not_read)
    assert main(["check", str(folder)]) == 0
    assert "leadsignal check: the tables are not kept" in capsys.readouterr().err
    assert main(["check", str(folder), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.chmod(0o500)
    try:
        tables = read_tables(folder)
    finally:
        folder.chmod(0o700)
    assert "the tables are not kept: cannot write" in tables.cache_notice
    assert_alike(read_tables(folder, project=read_project(folder).replace(cache=False)), tables)


def test_a_disk_that_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_cache, "_write", refuse)
    tables = read_tables(folder)
    assert "the tables are not kept: cannot write" in tables.cache_notice
    assert sorted(os.listdir(folder)) == sorted(name for name, _ in SAMPLE)


def test_only_the_owner_may_read_the_copy(folder: Path) -> None:
    read_tables(folder)
    assert (folder / FOLDER).stat().st_mode & 0o777 == 0o700
    assert (folder / FOLDER / ".gitignore").read_text().endswith("\n*\n")


def test_no_more_is_kept_than_is_needed(folder: Path) -> None:
    """Neither columns that are not declared, nor rows and texts that were dropped."""
    change(folder / "behaviors.csv", "a,2022-01-01,early", "a,someday,early")
    read_tables(folder, drop_bad_rows=True)
    with duckdb.connect(folder / FOLDER / TABLES, read_only=True) as connection:
        tables = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
        columns = [row[0] for row in connection.execute("DESCRIBE behaviors").fetchall()]
    assert tables == {"accounts", "accounts_now", "behaviors"}
    assert columns == ["account_id", "occurred_at", "behavior"]
    content = (folder / FOLDER / TABLES).read_bytes()
    assert b"close" in content
    assert not any(text in content for text in (b"blue", b"someday", b"early"))


# What is not kept


def test_only_files_are_kept(folder: Path) -> None:
    project = read_project(folder)
    frames = {"accounts": pd.read_csv(folder / "accounts.csv")}
    read_tables(frames, project=project)
    users = pd.DataFrame({"user_id": ["u"], "account_id": ["a"]})
    with_users = {"behaviors": {"users": users}}
    (folder / "behaviors.csv").write_text("user_id,occurred_at,behavior\nu,2023-01-05,close\n")
    read_tables(folder, project=project, options=with_users)
    rows = "SELECT account_id, today() - 1 AS occurred_at, 'x' AS behavior FROM 'accounts.csv'"
    query = {"behaviors": {"query": rows, "source": "files"}}
    read_tables(folder, project=project, options=query)
    assert not (folder / FOLDER).exists()


def test_files_of_users_are_part_of_the_key(folder: Path, readings: list[Project]) -> None:
    (folder / "behaviors.csv").write_text("user_id,occurred_at,behavior\nu,2023-02-05,close\n")
    (folder / "users.csv").write_text("user_id,account_id\nu,a\n")
    change(
        folder / "leadsignal.toml", "[tables", '[tables.behaviors]\nusers = "users.csv"\n[tables'
    )
    warm = read_thrice(folder, read_project(folder), readings)
    assert warm.frame("behaviors")["account_id"].tolist() == ["a"]
    change(folder / "users.csv", "u,a", "u,b")
    assert read_tables(folder).frame("behaviors")["account_id"].tolist() == ["b"]


def test_files_of_a_query_are_part_of_the_key(folder: Path, readings: list[Project]) -> None:
    (folder / "events.csv").write_text("who,day\na,2023-02-05\n")
    (folder / "behaviors.csv").unlink()
    rows = "SELECT who AS account_id, day AS occurred_at, 'x' AS behavior FROM 'events.csv'"
    section = f'[tables.behaviors]\nquery = "{rows}"\n[tables'
    change(folder / "leadsignal.toml", "[tables", section)
    warm = read_thrice(folder, read_project(folder), readings)
    assert warm.frame("behaviors")["account_id"].tolist() == ["a"]
    change(folder / "events.csv", "a,", "b,")
    assert read_tables(folder).frame("behaviors")["account_id"].tolist() == ["b"]


@pytest.mark.parametrize(
    ("query", "yes"),
    [
        ("SELECT * FROM 'a.csv' WHERE coalesce(CAST(\"now()\" AS VARCHAR), 'now()') <> ''", True),
        ("SELECT a, current_date FROM 'a.csv'", False),
        ("SELECT a FROM 'a.csv' WHERE day < Now ()", False),
        ("SELECT a FROM 'a.csv' WHERE day < \"now\"()", False),
        ("SELECT a, age(day) FROM 'a.csv'", False),
        ("SELECT a, day.age() FROM 'a.csv'", False),
        ("SELECT a FROM 'a.csv' WHERE day < now/**/()", False),
        ("SELECT a FROM 'a.csv' USING SAMPLE 10", False),
        ("SELECT a FROM 'a.csv' ORDER BY random()", False),
    ],
)
def test_queries_that_may_give_something_else_another_day(query: str, yes: bool) -> None:
    assert is_repeatable(query) is yes


def test_it_is_off_unless_asked_for(folder: Path) -> None:
    change(folder / "leadsignal.toml", "cache = true\n", "")
    tables = read_tables(folder)
    assert tables.project.cache is False
    assert not (folder / FOLDER).exists()


def test_a_setting_that_is_no_answer(folder: Path) -> None:
    change(folder / "leadsignal.toml", "cache = true", 'cache = "yes"')
    with pytest.raises(ProjectError, match="is not true or false"):
        read_project(folder)
    with pytest.raises(OptionError, match="is not true or false"):
        Project().replace(cache=1)


# Several at once


def read_often(folder: str, seed: int) -> list[tuple[str, str, list[str]]]:
    """Read while others write and change the settings; return what was read, by settings."""
    rng, found = Random(seed), []
    for _ in range(12):
        zone = rng.choice(["UTC", "Asia/Tokyo"])
        project = read_project(folder).replace(timezone=zone)
        tables = read_tables(folder, project=project)
        days = tables.frame("behaviors")["occurred_at"].astype(str).tolist()
        found.append((zone, tables.cache_notice, days))
    return found


def test_processes_that_read_and_write_at_once(folder: Path) -> None:
    (folder / "behaviors.csv").write_text(
        "account_id,occurred_at,behavior\na,2023-02-05T20:00:00Z,close\n", encoding="utf-8"
    )
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        found = pool.starmap(read_often, [(str(folder), seed) for seed in range(3)])
    days = {"UTC": ["2023-02-05"], "Asia/Tokyo": ["2023-02-06"]}
    for zone, notice, read in (one for each in found for one in each):
        assert (notice, read) == ("", days[zone])
    assert sorted(os.listdir(folder / FOLDER)) == [".gitignore", ENTRY, TABLES]
    assert sorted(os.listdir(folder)) == sorted([FOLDER, *(name for name, _ in SAMPLE)])


def test_an_entry_that_is_replaced_while_it_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of one entry with the JSON of another are no damage: it is opened again."""
    read_tables(folder)
    real, times = TableCache._copy, iter(range(9))

    def copy(self: TableCache, file: Path, checksum: str) -> None:
        if next(times) == 0:
            rewrite(folder / FOLDER, lambda entry: entry.update(as_of="2001-01-01"))
            raise ValueError("the tables are not what was written")
        real(self, file, checksum)

    monkeypatch.setattr(TableCache, "_copy", copy)
    tables = read_tables(folder)
    assert tables.cache_notice == ""
    assert next(times) == 2
