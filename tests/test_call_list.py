"""The call list: who is on it, since when, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.scoring.batch import COLUMNS, call_list, write_call_list


def scores_of(day: str, **risks: float) -> pd.DataFrame:
    """Return scores as a file holds them; a risk from 0.3 on is alerted."""
    rows = [
        {
            "account_id": account,
            "name": f"={account} Ltd",
            "snapshot_on": pd.Timestamp(day),
            "risk": risk,
            "arr": 1000.4 * (1 + (account == "b")),
            "next_renewal": pd.Timestamp("2024-09-01"),
            "expected_arr_loss": risk * 1000 * (1 + (account == "b")),
            "alert": risk >= 0.3,
            "reason_1": "export: 0 in 30 days, usually 9",
            "reason_2": "" if account == "b" else "report: 1 in 30 days, usually 4",
            "reason_3": "third",
            "next_step": "talk",
        }
        for account, risk in risks.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def earlier() -> pd.DataFrame:
    days = [
        scores_of("2024-01-01", a=0.5, b=0.1, c=0.4, d=0.4),
        scores_of("2024-02-01", a=0.2, b=0.3, c=0.4, d=0.4),
        scores_of("2024-03-01", a=0.5, b=0.3, c=0.4, d=0.6),
        scores_of("2024-05-01", a=0.9, b=0.9, c=0.9, e=0.9),
    ]
    return pd.concat(days, ignore_index=True)


TODAY: dict[str, Any] = {"a": 0.62, "b": 0.35, "c": 0.1, "e": 0.4}


def test_a_list_says_since_when_and_what_changed(earlier: pd.DataFrame) -> None:
    listed = call_list(scores_of("2024-04-01", **TODAY), earlier).set_index("account_id")
    assert list(listed.index) == ["a", "e", "b", "c", "d"]
    since = listed["listed_since"].dt.strftime("%m").fillna("").tolist()
    assert since == ["03", "04", "02", "", ""]
    assert listed["change"].tolist() == [
        "up from about 50 of 100",
        "new",
        "",
        "off the list",
        "off the list: ended, or notice given",
    ]
    why = listed["why"].tolist()
    assert why[0] == "export: 0 in 30 days, usually 9; report: 1 in 30 days, usually 4"
    assert why[2] == "export: 0 in 30 days, usually 9"


def test_it_is_sorted_by_what_would_be_lost_if_asked() -> None:
    listed = call_list(scores_of("2024-04-01", **TODAY), by="expected_arr_loss")
    assert listed["account_id"].tolist() == ["b", "a", "e"]
    assert set(listed["change"]) == {""}
    with pytest.raises(ls.OptionError, match="Sort by risk or expected_arr_loss"):
        call_list(scores_of("2024-04-01", **TODAY), by="name")  # type: ignore[arg-type]


def test_accounts_that_are_held_out_are_not_on_it(earlier: pd.DataFrame) -> None:
    today = scores_of("2024-04-01", **TODAY).assign(held_out=[True, False, False, False])
    assert "a" not in call_list(today)["account_id"].tolist()
    again = call_list(today, earlier).set_index("account_id")
    assert again["change"].to_dict()["a"] == "off the list"


def test_nobody_alerted_is_an_empty_list(tmp_path: Path) -> None:
    nobody = scores_of("2024-04-01", a=0.1)
    assert call_list(nobody).empty
    write_call_list(nobody, tmp_path / "calls.xlsx")


def test_a_workbook_is_ready_to_read(earlier: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "calls.xlsx"
    write_call_list(scores_of("2024-04-01", **TODAY), file, earlier)
    sheet = openpyxl.load_workbook(file).active
    assert sheet is not None
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[0] == tuple(
        heading for name, (heading, _) in COLUMNS.items() if name not in ("owner", "currency")
    )
    first = dict(zip(rows[0], sheet[2], strict=True))
    assert (first["Risk of leaving"].value, first["Risk of leaving"].number_format) == (
        62,
        '"about "0" of 100"',
    )
    assert first["Name"].value == "'=a Ltd"
    assert sheet.freeze_panes == "B2"
    assert sheet.column_dimensions["A"].width == COLUMNS["account_id"][1]
    write_call_list(scores_of("2024-04-01", **TODAY), file)  # one of ours may be replaced


def test_a_csv_has_the_same_words(earlier: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    write_call_list(scores_of("2024-04-01", **TODAY), file, earlier)
    table = pd.read_csv(file)
    assert table["Risk of leaving"].tolist()[:2] == ["about 62 of 100", "about 40 of 100"]
    assert table["ARR"].tolist()[0] == 1000
    assert table["Next renewal"].tolist()[0] == "2024-09-01"
    (tmp_path / "mine.csv").write_text("Account,phone\n")
    with pytest.raises(ls.OptionError, match="is not a call list"):
        write_call_list(scores_of("2024-04-01", **TODAY), tmp_path / "mine.csv")
    with pytest.raises(ls.OptionError, match=r"Name a \.csv or \.xlsx file"):
        write_call_list(scores_of("2024-04-01", **TODAY), tmp_path / "calls.pdf")
