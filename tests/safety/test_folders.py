"""Every file in a project's folder is read, or listed as not read."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.cli import main

ACCOUNTS = "account_id,started_on\na,2024-01-01\nb,2024-02-01\n"
USAGE = "account_id,used_on,amount\na,2024-03-01,1\nb,2024-03-02,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "accounts.csv").write_text(ACCOUNTS)
    return tmp_path


def parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = pa.array(["2024-03-01", "2024-03-02"])
    pq.write_table(pa.table({"account_id": ["a", "b"], "used_on": days, "amount": [1, 2]}), path)


def spark_folder(folder: Path, ending: str, parts: int = 2) -> None:
    """Write what Spark writes: parts, their checksums, and a marker."""
    folder.mkdir(parents=True)
    (folder / "_SUCCESS").write_text("")
    (folder / "._SUCCESS.crc").write_bytes(b"crc")
    for number in range(parts):
        part = folder / f"part-{number:05}-c000.{ending}"
        (folder / f".{part.name}.crc").write_bytes(b"crc")
        parquet(part) if ending.endswith("parquet") else part.write_text(USAGE)


@pytest.mark.parametrize("name", ["usage.parquet", "usage.csv", "usage"])
@pytest.mark.parametrize("ending", ["snappy.parquet", "csv"])
def test_the_output_of_spark_is_a_table(folder: Path, name: str, ending: str) -> None:
    spark_folder(folder / name, ending)
    report = ls.check_tables(folder)
    assert report.ok, report
    assert report.tables == {"accounts": 2, "usage": 4}
    assert f"{name}/_SUCCESS" in report.not_read


def test_a_folder_in_a_folder_of_parts_is_read_once(folder: Path) -> None:
    spark_folder(folder / "usage" / "x.parquet", "parquet", parts=1)
    spark_folder(folder / "usage" / "year=2024" / "month=1", "parquet", parts=1)
    for hidden in (".ipynb_checkpoints", "_temporary"):
        spark_folder(folder / "usage" / hidden, "parquet", parts=1)
    report = ls.check_tables(folder)
    assert report.tables["usage"] == 4
    assert {"usage/.ipynb_checkpoints/", "usage/_temporary/"} <= set(report.not_read)


def test_a_column_that_stands_in_the_names_of_folders_alone_is_a_fault(folder: Path) -> None:
    spark_folder(folder / "usage" / "series=api", "csv")
    (fault, _) = ls.check_tables(folder).faults
    assert "series: its values are in the names of folders" in str(fault)


def special(path: Path, what: str) -> None:
    if what == "dangling":
        path.symlink_to(path.with_name("nowhere"))
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # The path of a socket may have no more than some 100 characters.
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)
    elif what == "loop":
        path.symlink_to(path.name)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("what", ["dangling", "pipe", "socket", "loop", "device"])
@pytest.mark.parametrize("name", ["usage.csv", "usage.parquet", "usage", "usage/part.csv"])
def test_what_is_named_like_a_table_and_cannot_be_read_is_a_fault(
    folder: Path, what: str, name: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    special(folder / name, what)
    (fault,) = ls.check_tables(folder).faults
    kinds = {"pipe": "is a pipe", "socket": "is a socket", "device": "is a device"}
    assert fault.table == "usage"
    assert kinds.get(what, "is a link to a file that does not exist") in fault.problem


@pytest.mark.parametrize("what", ["pipe", "device", "dangling"])
def test_a_path_of_the_project_file_and_of_the_caller(folder: Path, what: str) -> None:
    special(folder / "odd.csv", what)
    (folder / "leadsignal.toml").write_text('[tables.usage]\npath = "odd.csv"\n')
    assert not ls.check_tables(folder).ok
    given = {"accounts": folder / "accounts.csv", "usage": folder / "odd.csv"}
    assert not ls.check_tables(given).ok
    given["usage"] = f"file://{folder}/odd.csv"  # type: ignore[assignment]
    pytest.importorskip("fsspec")
    assert not ls.check_tables(given).ok


@pytest.mark.parametrize("name", ["leadsignal.toml", "success.toml"])
def test_settings_that_are_a_pipe_do_not_hang(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(ls.LeadsignalError, match="is a pipe or a device"):
        ls.read_success_analysis(folder / name)
    assert main(["check", str(folder)]) == 2


@pytest.mark.parametrize("name", ["leadsignal.toml", "success.toml"])
def test_settings_that_are_a_link_to_nothing_are_not_left_out(folder: Path, name: str) -> None:
    (folder / name).symlink_to("nowhere")
    assert main(["check", str(folder)]) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it(folder: Path) -> None:
    (folder / "usage.csv").write_text(USAGE)
    (folder / "usage.csv").chmod(0)
    (fault,) = ls.check_tables(folder).faults
    assert "permission denied" in fault.problem


def test_links_are_read_once(folder: Path) -> None:
    (folder / "usage").mkdir()
    (folder / "usage" / "a.csv").write_text(USAGE)
    (folder / "usage" / "b.csv").symlink_to("a.csv")
    os.link(folder / "usage" / "a.csv", folder / "usage" / "c.csv")
    (folder / "usage" / "again").symlink_to(folder / "usage")
    report = ls.check_tables(folder)
    assert report.tables["usage"] == 2
    assert report.not_read == ("usage/again/", "usage/b.csv", "usage/c.csv")


def test_two_names_for_one_table(folder: Path) -> None:
    spark_folder(folder / "usage.parquet", "parquet")
    (folder / "usage.csv").write_text(USAGE)
    (fault,) = ls.check_tables(folder).faults
    assert str(fault).startswith("usage.csv and usage.parquet/: two sources for one table")


def test_everything_else_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("usage.csv.zip", "notes.txt", ".DS_Store", "usage.CSV", "usage"):
        (folder / name).write_bytes(b"x")
    (folder / "model").mkdir()
    report = ls.check_tables({"accounts": folder / "accounts.csv"})
    assert report.not_read == ()
    (folder / "usage.CSV").unlink()
    (folder / "\x1b[2J").write_text("")
    report = ls.check_tables(folder)
    assert report.not_read == (
        "\\x1b[2J", ".DS_Store", "model/", "notes.txt", "usage", "usage.csv.zip",
    )  # fmt: skip
    assert "not read: \\x1b[2J, .DS_Store, model/, notes.txt" in repr(report)
    assert main(["check", str(folder), "--json", str(folder.parent / "told.json")]) == 0
    assert "not read: " in capsys.readouterr().out
    told = json.loads((folder.parent / "told.json").read_text())
    assert told["not_read"] == list(report.not_read)


def test_what_the_project_file_names_is_read_and_another_is_not(folder: Path) -> None:
    (folder / "crm").mkdir()
    (folder / "crm" / "u.csv").write_text(USAGE)
    (folder / "crm" / "v.csv").write_text(USAGE)
    (folder / "my.toml").write_text('[tables.usage]\npath = "crm/u.csv"\n')
    (folder / "leadsignal.toml").write_text("")
    report = ls.check_tables(folder / "my.toml")
    assert report.not_read == ("crm/v.csv", "leadsignal.toml")


def test_compressed_files_that_are_not_unpacked_are_faults(folder: Path) -> None:
    (folder / "leadsignal.toml").write_text('[tables.usage]\npath = "u.csv.bz2"\n')
    (folder / "u.csv.bz2").write_bytes(b"BZh9")
    (fault,) = ls.check_tables(folder).faults
    assert (fault.problem, fault.remedy) == (
        "is compressed", "Unpack it, or compress it as .gz or .zst.",
    )  # fmt: skip
    (folder / "leadsignal.toml").unlink()
    spark_folder(folder / "usage", "csv")
    (folder / "usage" / "part-9.csv.zip").write_bytes(b"PK")
    (fault,) = ls.check_tables(folder).faults
    assert (fault.file, fault.problem) == ("usage/part-9.csv.zip", "is compressed")


@pytest.mark.parametrize("name", ["part[1].parquet", "part*.parquet", "part?.parquet"])
def test_signs_of_patterns_in_names_stand_for_themselves(folder: Path, name: str) -> None:
    (folder / "usage").mkdir()
    for file in (name, "part1.parquet"):
        parquet(folder / "usage" / file)
    assert ls.check_tables(folder).tables["usage"] == 4
    (folder / "leadsignal.toml").write_text(f"[tables.usage]\npath = 'usage/{name}'\n")
    assert ls.check_tables(folder).tables["usage"] == 2


def test_names_that_are_no_text(folder: Path) -> None:
    (folder / "usage").mkdir()
    Path(os.fsdecode(bytes(folder / "usage") + b"/\xff.csv")).write_text(USAGE + "a,soon,1\n")
    (fault,) = ls.check_tables(folder).faults
    assert "\\udcff.csv" in str(fault)
