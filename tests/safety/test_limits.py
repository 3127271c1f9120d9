"""Limits: what is unpacked, what can be computed with, how many parts, how far ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.ingestion import store
from leadsignal.model.stacked_model import Estimator

ACCOUNTS = "account_id,started_on,arr\na,2024-01-01,1\nb,2024-02-01,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "accounts.csv").write_text(ACCOUNTS)
    return tmp_path


def bomb(path: Path, rows: int, length: int) -> None:
    """Write long texts that are packed to next to nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.array([f"{number}" + "x" * length for number in range(rows)])
    columns = {"account_id": ["a"] * rows, "opened_at": ["2024-03-01"] * rows, "severity": texts}
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)


def test_a_file_that_unpacks_to_more_than_the_limit_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb(folder / "tickets.parquet", rows=20_000, length=10_000)
    assert (folder / "tickets.parquet").stat().st_size < 2_000_000
    monkeypatch.setenv("LEADSIGNAL_UNPACKED", "20MB")
    monkeypatch.setenv("LEADSIGNAL_MEMORY", "100MB")
    report = ls.check_tables(folder)
    (fault,) = report.faults
    assert str(fault).startswith("tickets.parquet: unpacks to more than 20,000,000 bytes")
    assert "LEADSIGNAL_UNPACKED" in fault.remedy


def test_the_rest_is_not_read_after_that_and_smaller_files_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb(folder / "tickets.parquet", rows=100, length=10)
    (folder / "usage.csv").write_text("account_id,used_on,amount\na,2024-03-01,x\n")
    monkeypatch.setenv("LEADSIGNAL_UNPACKED", "20MB")
    (fault,) = ls.check_tables(folder).faults
    assert fault.table == "usage"
    monkeypatch.setenv("LEADSIGNAL_UNPACKED", "1KB")
    (fault,) = ls.check_tables(folder).faults
    assert fault.table == "accounts"
    monkeypatch.setenv("LEADSIGNAL_UNPACKED", "much")
    with pytest.raises(ls.OptionError, match="LEADSIGNAL_UNPACKED = 'much' is not a size"):
        ls.check_tables(folder)


def test_sizes_are_read_with_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, size in (("1.5 GB", 1_500_000_000), ("2KiB", 2048), ("1TB", 10**12)):
        monkeypatch.setenv("LEADSIGNAL_UNPACKED", given)
        assert store.unpacked_limit() == size


# Numbers -----------------------------------------------------------------------------------------

COLUMNS = [
    ("contract_changes", "changed_at", "arr_delta", {"kind": "expansion"}),
    ("usage", "used_on", "amount", {}),
    ("behaviors", "occurred_at", "quantity", {"behavior": "close"}),
    ("results", "measured_on", "value", {}),
    ("surveys", "answered_on", "score", {}),
]


def frames(table: str, time: str, more: dict[str, str], column: str, values: list[str]) -> Any:
    rows = {"account_id": "a", time: "2024-03-01", **more}
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2024-01-01"]})
    return {"accounts": accounts, table: pd.DataFrame([{**rows, column: v} for v in values])}


@pytest.mark.parametrize(("table", "time", "column", "more"), COLUMNS)
@pytest.mark.parametrize(
    "values", [["2e14"], ["1e12", "-1e12"], ["999999999999.99"] * 9, ["1e11", "7"], ["1e300"]]
)
def test_what_is_accepted_can_be_computed_with(
    table: str, time: str, column: str, more: dict[str, str], values: list[str]
) -> None:
    given = frames(table, time, more, column, values)
    report = ls.check_tables(given, as_of="2024-06-01")
    known = ("too large", "adds up to", "is below 0", "repeats an earlier row")
    for fault in report.faults:
        assert any(told in fault.problem for told in known)
    if report.ok:
        panel = ls.build_panel(ls.read_tables(given, as_of="2024-06-01"))
        numbers = panel.frame.select_dtypes("number")
        assert (numbers.abs().fillna(0) < 1e16).all().all()


def test_large_usage_is_summed(tmp_path: Path) -> None:
    given = frames("usage", "used_on", {}, "amount", ["2000000000", "123456789012"])
    panel = ls.build_panel(ls.read_tables(given, as_of="2024-06-01"))
    assert panel.frame.filter(like="usage").max().max() > 1e9


def test_a_total_that_cannot_be_exact_is_a_fault() -> None:
    given = frames("usage", "used_on", {}, "amount", ["999999999999"] * 10)
    found = ls.check_tables(given)
    assert not found.ok
    assert "adds up to 9,999,999,999,990; sums are exact below 9,000,000,000,000" in repr(found)
    assert ls.check_tables(given, drop_bad_rows=True).ok


@pytest.mark.parametrize("months", ["1201", "2000000000"])
def test_a_term_is_at_most_a_century(months: str) -> None:
    accounts = pd.DataFrame(
        {"account_id": ["a"], "started_on": ["2024-01-01"], "term_months": [months]}
    )
    assert "term_months: is too large" in repr(ls.check_tables({"accounts": accounts}))


# Parts -------------------------------------------------------------------------------------------


def write_parts(folder: Path, ending: str, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        rows = pd.DataFrame(
            {"account_id": ["a", "b"], "used_on": ["2024-03-01", "2024-03-02"], "amount": number}
        )
        file = folder / f"{number:05}.{ending}"
        rows.to_csv(file, index=False) if ending == "csv" else rows.to_parquet(file)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_many_parts_are_read_as_one(
    folder: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(folder / "usage", ending, 60)
    loads = []
    load = store.Store.load

    def counted(*given: Any) -> Any:
        loads.append(1)
        return load(*given)

    monkeypatch.setattr(store.Store, "load", counted)
    report = ls.check_tables(folder)
    assert report.tables["usage"] == 120
    assert len(loads) == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_many_parts_are_found_by_file_and_line(folder: Path, ending: str) -> None:
    write_parts(folder / "usage", ending, 9)
    bad = pd.DataFrame({"account_id": ["a", "b"], "used_on": ["2024-03-01", "soon"], "amount": 1})
    file = folder / "usage" / f"00004.{ending}"
    bad.to_csv(file, index=False) if ending == "csv" else bad.to_parquet(file)
    (fault,) = ls.check_tables(folder).faults
    line = 3 if ending == "csv" else 2
    assert str(fault).startswith(f"usage/00004.{ending}:{line}: used_on: is not a date")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_one_part_that_is_damaged_is_named_alone(folder: Path, ending: str) -> None:
    write_parts(folder / "usage", ending, 9)
    file = folder / "usage" / f"00004.{ending}"
    content = file.read_bytes()
    if ending == "csv":
        file.write_bytes(content + b'"a,2024-03-01,1\na,b\n')
    else:
        file.write_bytes(content[:40] + b"\xff" * 40 + content[80:])
    faults = ls.check_tables(folder).faults
    assert {fault.file for fault in faults} == {f"usage/00004.{ending}"}


def test_ragged_rows_of_many_parts_are_counted_once(folder: Path) -> None:
    write_parts(folder / "usage", "csv", 5)
    with (folder / "usage" / "00002.csv").open("a") as file:
        file.write("a,2024-03-01\n")
    (folder / "usage" / "00003.csv").write_text('account_id,used_on,amount\n"a,2024-03-01,1\n')
    faults = ls.check_tables(folder).faults
    assert sorted(str(fault.file) for fault in faults) == ["usage/00002.csv", "usage/00003.csv"]


# How far ahead -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sparse(business: ls.Tables) -> ls.Panel:
    return ls.build_panel(business, every="364d")


@pytest.mark.parametrize("horizon", ["7d", "30000d"])
@pytest.mark.parametrize("estimator", ["logistic", "ensemble"])
def test_a_horizon_that_the_history_cannot_show_is_refused(
    sparse: ls.Panel, horizon: str, estimator: Estimator
) -> None:
    with pytest.raises(ls.LeadsignalError, match="horizon"):
        ls.ChurnModel(horizon=horizon, estimator=estimator).fit(sparse)
    with pytest.raises(ls.LeadsignalError, match="horizon"):
        ls.run_backtest(sparse, horizon=horizon)
