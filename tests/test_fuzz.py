"""A seeded slice of `benchmarks/fuzz.py`: spoilt files give a message, never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

import leadsignal as ls
from benchmark_modules import benchmark_module


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return benchmark_module("fuzz")


def test_spoilt_files_break_nothing(fuzz: ModuleType, tmp_path: Path) -> None:
    fuzz.good(tmp_path)
    shutil.copytree(fuzz.SAVED, tmp_path / "model")
    seen, broken, slowest = fuzz.fuzz(tmp_path, 120, seed=5)
    assert broken == []
    assert slowest < fuzz.SLOWEST
    assert sum(seen.values()) == 120
    assert {"CSV read", "JSON refused", "TOML refused", "folder refused"} <= set(seen)


def read_all(folder: Path) -> None:
    project = ls.read_project(folder)
    ls.read_success_analysis(folder)
    ls.read_tables(folder, project=project)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("accounts.csv", b"account_id," * 2001 + b"started_on\n", "2,002 columns"),
        ("accounts.csv", b"a" * 1_100_000 + b"\n", "header is longer than"),
        ("leadsignal.toml", b"#" * 1_100_000, "larger than 1,000,000 bytes"),
        ("success.toml", b"#" * 1_100_000, "larger than 1,000,000 bytes"),
        ("leadsignal.toml", b"a = " + b"[" * 5000, "not valid TOML|too deep"),
        ("usage.parquet", b"PAR1" + b"x" * 100, "not a Parquet file"),
    ],
)
def test_sizes_have_limits_and_clear_messages(
    fuzz: ModuleType, name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    fuzz.good(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ls.LeadsignalError, match=told) as caught:
        read_all(tmp_path)
    assert len(str(caught.value)) < 5_000


def test_a_parquet_file_cannot_hold_more_rows_than_bytes_allow(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.array(["a"]).take(pa.array([0] * 3_000_000))
    pq.write_table(pa.table({"account_id": rows}), tmp_path / "accounts.parquet")
    assert (tmp_path / "accounts.parquet").stat().st_size < 10_000
    with pytest.raises(ls.TablesError, match="says it holds 3,000,000 rows"):
        ls.read_tables(tmp_path)
