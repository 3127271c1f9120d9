"""Ids that two systems write differently; one line for each kind of fault."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls


def frames(accounts: list[str], ids: list[str]) -> dict[str, pd.DataFrame]:
    return {
        "accounts": pd.DataFrame({"account_id": accounts, "started_on": "2022-01-01"}),
        "behaviors": pd.DataFrame(
            {"account_id": ids, "occurred_at": "2022-02-01", "behavior": "x"}
        ),
    }


SALESFORCE = ["0015000000Gv7qJAAR", "0015000000Gv7qKAAZ"]


@pytest.mark.parametrize(
    ("accounts", "ids", "matched", "what"),
    [
        (["17850.0", "3.0"], ["17850", "3", "3"], ["17850.0", "3.0", "3.0"], "2 .* a .0 behind"),
        (["17850", "3"], ["17850.0", "3"], ["17850", "3"], "1 .* differs .* a .0 behind"),
        (["00123", "7"], ["123", "7"], ["00123", "7"], "1 .* zeros before numbers"),
        (["123", "7"], ["00123", "0007"], ["123", "7"], "2 .* zeros before numbers"),
        (SALESFORCE, ["0015000000Gv7qJ"], SALESFORCE[:1], "1 .* 15 or 18 characters"),
        (["0015000000Gv7qJ"], SALESFORCE[:1], ["0015000000Gv7qJ"], "1 .* 15 or 18 characters"),
    ],
)
def test_ids_that_one_rule_explains_are_matched_and_reported(
    accounts: list[str], ids: list[str], matched: list[str], what: str
) -> None:
    tables = ls.read_tables(frames(accounts, ids))
    assert sorted(tables.frame("behaviors")["account_id"]) == sorted(matched)
    (remark,) = [str(one) for one in tables.warnings if "one to one" in str(one)]
    assert pd.Series([remark]).str.contains(what).all()


@pytest.mark.parametrize(
    ("accounts", "ids", "told"),
    [
        (["17850.0", "00123"], ["17850", "123"], "accounts has 17850.0, written without .0"),
        (["00123", "123"], ["0123"], "no such account"),
        (["00123"], ["123", "0123"], "no such account"),
        (["00123", "5"], ["123", "6"], "accounts has 00123, with different leading zeros"),
        (SALESFORCE, ["0015000000Gv7qj"], "no such account"),
        ([*SALESFORCE, "x"], ["0015000000Gv7qJ", "y"], "accounts has .*, in 18 characters"),
        (["a"], ["A"], "with different capitals"),
    ],
)
def test_other_ids_are_faults_that_name_the_near_one(
    accounts: list[str], ids: list[str], told: str
) -> None:
    faults = ls.check_tables(frames(accounts, ids)).faults
    assert faults
    assert pd.Series([" ".join(map(str, faults))]).str.contains(told).all()


def test_ids_of_thousands_of_rows_are_matched() -> None:
    accounts = [f"{n:08}" for n in range(3_000)]
    tables = ls.read_tables(frames(accounts, [str(n) for n in range(3_000)] * 3))
    counts = tables.frame("behaviors")["account_id"].value_counts()
    assert set(counts.index) == set(accounts)
    assert set(counts) == {3}


def test_one_line_tells_a_kind_of_fault(tmp_path: Path) -> None:
    rows = "".join(f"A{n},{'soon' if n > 9 else '2022-01-01'}\n" for n in range(418))
    (tmp_path / "accounts.csv").write_text(f"account_id,started_on\n{rows}")
    report = ls.check_tables(tmp_path)
    (line,) = report.to_dict()["fault_lines"]
    assert line.startswith(
        "accounts.csv: 408 rows, first in line 12: started_on: is not a date (given: 'soon'). "
    )
    assert line in repr(report)
    assert len(report.faults) == len(report.to_dict()["faults"]) == report.count == 408
    with pytest.raises(ls.TablesError) as caught:
        ls.read_tables(tmp_path)
    assert str(caught.value).splitlines() == ["408 faults in the tables:", f"  {line}"]


def test_values_and_files_of_a_kind_are_shown_together(tmp_path: Path) -> None:
    (tmp_path / "accounts").mkdir()
    for part, days in enumerate((["2022-01-01", "never"], ["soon", "x", "y"])):
        rows = "".join(f"A{part}{n},{day}\n" for n, day in enumerate(days))
        (tmp_path / "accounts" / f"{part}.csv").write_text(f"account_id,started_on\n{rows}")
    (line,) = ls.check_tables(tmp_path).to_dict()["fault_lines"]
    assert line.startswith("accounts/0.csv: 4 rows in 2 files, first in line 3: started_on: ")
    assert "(given: 'never', 'soon', 'x')" in line


def test_rows_of_frames_are_counted_as_rows() -> None:
    frame = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["x", "x"]})
    (line,) = ls.check_tables({"accounts": frame}).to_dict()["fault_lines"]
    assert line.startswith("accounts: 2 rows, first in row 1: started_on: is not a date")


@pytest.mark.parametrize(
    "name",
    ["End", "Cancel Date", "Canceled At", "Churn Date", "Termination Date", "Expires", "Valid To",
     "Cancellation date", "Enddatum"],
)  # fmt: skip
def test_an_end_that_is_not_mapped_is_pointed_at(name: str) -> None:
    frame = pd.DataFrame({"account_id": ["a"], "started_on": ["2022-01-01"], name: [None]})
    tables = ls.read_tables({"accounts": frame})
    told = [str(one) for one in tables.warnings]
    assert any(
        f"column {name!r} is not read; if it is ended_on" in one
        and f'columns = {{ ended_on = "{name}" }}' in one
        for one in told
    )
