"""Dates and numbers as exports write them: the unambiguous is read, the rest is asked about."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.table_settings import Notation, TableSource

THIRD = date(2022, 1, 3)


def project(**spelling: Any) -> Project:
    return Project(tables={"accounts": TableSource(spelling=Notation(**spelling))})


def starts(cells: list[Any], **spelling: Any) -> list[date]:
    frame = {"account_id": [f"{n:03}" for n in range(len(cells))], "started_on": cells}
    tables = ls.read_tables(
        {"accounts": pa.table(frame)}, as_of="2100-01-01", project=project(**spelling)
    )
    days: list[date] = tables.frame("accounts")["started_on"].dt.date.tolist()
    return days


def faults(cells: list[Any], **spelling: Any) -> list[str]:
    frame = {"account_id": [f"{n:03}" for n in range(len(cells))], "started_on": cells}
    found = ls.check_tables({"accounts": pa.table(frame)}, project=project(**spelling)).faults
    return [str(fault) for fault in found]


@pytest.mark.parametrize(
    "written",
    [
        "2022-01-03", "2022/01/03", "2022/1/3", "2022.01.03", "2022-1-3", "2022-01-03 15:05",
        "2022-01-03 15:05:00 UTC", "2022-01-03 15:05:00.123 UTC", "2022-01-03 15:05:00 GMT",
        "2022-01-03T15:05:00Z", "2022-01-03T15:05:00.000+0000", "2022-01-03 15:05:00 +0000 UTC",
        "2022-01-03 3:05 PM", "2022-01-03 03:05:00 pm", "20220103T150500Z", "20220103T150500",
        "03-Jan-2022", "3-Jan-2022", "03-Jan-2022 15:05", "03-JAN-2022 15:05:09", "3 Jan 2022",
        "3 January 2022", "03 Jan 2022, 15:05", "3. January 2022", "3rd January 2022",
        "Jan 3, 2022", "January 3, 2022 3:05 PM", "Jan 03 2022", "January 3rd, 2022",
        "Jan. 3, 2022, 3:05 p.m.", "January 3, 2022 at 3:05 PM", "Jan-03-2022",
        "Mon, 03 Jan 2022 15:05:00 GMT", "Monday, January 3, 2022", "Mon Jan  3 15:05:00 2022",
        "Mon Jan 03 15:05:00 UTC 2022", "Mon Jan 03 15:05:00 +0000 2022", "2022-Jan-03",
        "Mon Jan 03 2022 15:05:00",
    ],
)  # fmt: skip
def test_what_everybody_reads_alike_is_read(written: str) -> None:
    assert starts([written]) == [THIRD]


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2022-01-03 23:30:00 UTC", date(2022, 1, 4)),
        ("Mon, 03 Jan 2022 23:30:00 GMT", date(2022, 1, 4)),
        ("2022-01-03 11:30 PM -05:00", date(2022, 1, 4)),
        ("2022-01-03 23:30:00", date(2022, 1, 3)),
        ("January 3, 2022 12:05 AM", date(2022, 1, 3)),
        ("January 3, 2022 12:05 PM", date(2022, 1, 3)),
    ],
)
def test_times_with_an_offset_become_local_days(written: str, day: date) -> None:
    frame = pd.DataFrame({"account_id": ["a"], "started_on": [written]})
    tables = ls.read_tables({"accounts": frame}, timezone="Europe/Berlin", as_of="2030-01-01")
    assert tables.frame("accounts")["started_on"].dt.date.tolist() == [day]


def test_a_moment_keeps_its_time_of_day() -> None:
    moments = [
        ("2022-01-03 3:05:07 PM", datetime(2022, 1, 3, 15, 5, 7)),
        ("Jan 4, 2022 12:30 am", datetime(2022, 1, 4, 0, 30)),
        ("05-Jan-2022 09:07:08.5", datetime(2022, 1, 5, 9, 7, 8, 500_000)),
        ("2022/01/06 4:5", None),
    ]
    for written, moment in moments:
        frame = pd.DataFrame(
            {"account_id": ["a"], "started_on": ["2022-01-01"], "recorded_at": [written]}
        )
        report = ls.check_tables({"accounts": frame})
        assert report.ok is (moment is not None)
        if moment:
            tables = ls.read_tables({"accounts": frame}, as_of="2030-01-01")
            assert tables.frame("accounts")["recorded_at"].tolist() == [moment]


@pytest.mark.parametrize(
    "written",
    [
        "2022-02-30", "2022/13/01", "30-Feb-2022", "Jan 32, 2022", "2022-01-03 13:05 PM",
        "2022-01-03 25:00", "Smarch 3, 2022", "Jan 3 22", "03-Jan-22", "1899-12-31",
    ],
)  # fmt: skip
def test_what_is_no_date_is_a_fault(written: str) -> None:
    (fault,) = faults([written])
    assert repr(written) in fault


@pytest.mark.parametrize(
    ("setting", "written"),
    [
        ("DD/MM/YYYY", "03/01/2022"),
        ("DD/MM/YYYY", "3/1/2022 3:05 PM"),
        ("MM/DD/YYYY", "1/3/2022 15:05:09"),
        ("MM/DD/YYYY", "01/03/2022 3:05:09 PM"),
        ("MM/DD/YY", "1/3/22"),
        ("DD.MM.YY", "03.01.22"),
        ("YY-MM-DD", "22-01-03"),
        ("DD-MMM-YY", "03-Jan-22"),
        ("DD-MMM-YYYY", "03-Jan-2022"),
        ("DD MMM YY", "3 Jan 22 15:05"),
        ("YYYYMMDD", "20220103"),
        ("YYYYMMDD", 20220103),
        ("YYYYMMDD", 20220103.0),
        ("DDMMYYYY", "03012022"),
        ("epoch", "1641222300"),
        ("epoch", 1641222300),
        ("epoch", 1641222300.25),
        ("epoch ms", "1641222300000"),
        ("epoch ms", 1641222300000),
        ("epoch us", 1641222300000000),
        ("epoch ns", 1641222300000000000),
        ("excel", "44564"),
        ("excel", 44564.6284),
        ("excel", "44564,6284"),
    ],
)
def test_what_was_declared_is_read(setting: str, written: Any) -> None:
    assert starts([written], dates=(setting,)) == [THIRD]


def test_a_month_is_its_first_day_and_years_of_two_digits_are_near() -> None:
    assert starts(["2022-01"], dates=("YYYY-MM",)) == [date(2022, 1, 1)]
    assert starts(["Jan 2022"], dates=("MMM YYYY",)) == [date(2022, 1, 1)]
    assert starts(["1/3/68", "1/3/69"], dates=("MM/DD/YY",)) == [
        date(2068, 1, 3), date(1969, 1, 3),
    ]  # fmt: skip


def test_several_patterns_are_tried_in_their_order() -> None:
    cells = ["20220103", "03.01.2022", "2022-01-03", None]
    with pytest.raises(ls.TablesError):
        starts(cells)
    assert starts(cells[:3], dates=("YYYYMMDD", "DD.MM.YYYY")) == [THIRD] * 3


@pytest.mark.parametrize(
    ("cells", "what", "settings"),
    [
        (["1538173362000"], "milliseconds since 1970", 'dates = "epoch ms"'),
        (["1538173362"], "seconds since 1970", 'dates = "epoch"'),
        (["20140927"], "year, month and day", 'dates = "YYYYMMDD"'),
        (["44562"], "days since 1900 of a spreadsheet", 'dates = "excel"'),
        (["44562.25"], "days since 1900 of a spreadsheet", 'dates = "excel"'),
        ([1538173362000], "milliseconds since 1970", 'dates = "epoch ms"'),
        (["2022-01"], "a month without a day", 'dates = "YYYY-MM"'),
        (["03-Jan-22"], "a year of two digits", 'dates = "DD-MMM-YY"'),
        (["1/3/22"], "may be DD/MM/YY or MM/DD/YY", 'dates = "DD/MM/YY" or dates = "MM/DD/YY"'),
        (["1/3/22", "1/31/22"], "all cells like it fit", ': dates = "MM/DD/YY".'),
        (["3.4.2022", "31.4.2022"], "all cells like it fit", ': dates = "DD.MM.YYYY".'),
        (["N/A"], "is a word for an empty cell", 'empty = ["N/A"]'),
    ],
)
def test_the_fault_names_the_spelling_and_the_setting(
    cells: list[Any], what: str, settings: str
) -> None:
    found = faults(cells)
    assert all(what in fault for fault in found)
    assert settings in found[0]
    if " or " not in settings:
        name, _, value = settings.strip(": .").partition(" = ")
        listed = tuple(value.strip('["]').split('", "'))
        assert faults(cells, **{name: listed}) != found


def test_a_column_of_every_spelling_has_a_fault_for_each() -> None:
    found = faults(
        ["20140927", "1538173362000", "1538173362", "44562", "2022-01-03 15:05:00 UTC",
         "03-Jan-2022 15:05", "1/3/22", "1/3/2022 3:05 PM", "2022-01"]
    )  # fmt: skip
    assert len(found) == 7
    assert not any("time zone" in fault for fault in found)


# Numbers -----------------------------------------------------------------------------------------


def amounts(cells: list[Any], kind: str = "arr", **spelling: Any) -> list[float]:
    frame = {"account_id": [str(n) for n in range(len(cells))], "started_on": "2022-01-01"}
    accounts = pd.DataFrame({**frame, "arr": cells}) if kind == "arr" else pd.DataFrame(frame)
    frames = {"accounts": accounts}
    if kind != "arr":
        frames["results"] = pd.DataFrame(
            {"account_id": frame["account_id"], "measured_on": "2022-02-01", "value": cells}
        )
    source = TableSource(spelling=Notation(**spelling))
    tables = ls.read_tables(
        frames, as_of="2030-01-01", project=Project(tables={"accounts": source, "results": source})
    )
    column = tables.frame("accounts")["arr"] if kind == "arr" else tables.frame("results")["value"]
    return [float(value) for value in column]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1234.5", 1234.5), ("1,234.50", 1234.5), ("$1,234.50", 1234.5), ("$1234.50", 1234.5),
        ("1,234,567", 1234567), ("1 234.50", 1234.5), ("1'234.50 CHF", 1234.5), ("€ 12", 12),
        ("12 EUR", 12), ("US$ 12.50", 12.5), ("1e3", 1000), ("+5", 5), ("0", 0),
    ],
)  # fmt: skip
def test_numbers_that_everybody_reads_alike_are_read(written: str, value: float) -> None:
    assert amounts([written]) == [value]


@pytest.mark.parametrize(
    ("written", "value", "decimal"),
    [
        ("(1,234.50)", -1234.5, None), ("($1,234.50)", -1234.5, None), ("−5", -5, None),
        ("–5.25", -5.25, None), ("-5", -5, None), ("1,234.50-", -1234.5, None), ("(5)", -5, None),
        ("$(1234.50)", None, None), ("-(5)", None, None), ("(1.234,50)", -1234.5, ","),
        ("−1.234,50 €", -1234.5, ","), ("1.234,50-", -1234.5, ","), ("(1,234)", -1234, "."),
        ("1,234", 1234, "."), ("1,234", 1.234, ","), ("1.234", 1234, ","),
    ],
)  # fmt: skip
def test_negative_numbers_as_accountants_write_them(
    written: str, value: float | None, decimal: str | None
) -> None:
    if value is None:
        with pytest.raises(ls.TablesError):
            amounts([written], "value", decimal=decimal)
    else:
        assert amounts([written], "value", decimal=decimal) == [value]


@pytest.mark.parametrize(
    ("cells", "what", "setting"),
    [
        (["1.234,50"], "written with a decimal comma", 'decimal = ","'),
        (["1234,5", "2"], "written with a decimal comma", 'decimal = ","'),
        (["1.234.567"], "written with a decimal comma", 'decimal = ","'),
        (["1,234"], "may be a thousands separator or a decimal comma",
         'decimal = "." (1,234 is 1234) or decimal = "," (1,234 is 1.234)'),
        (["1,234", "99.50"], "show to be a thousands separator", 'decimal = "."'),
        (["95%"], "is a percentage", "without the sign"),
        (["n/a"], "is a word for an empty cell", 'empty = ["n/a"]'),
    ],
)  # fmt: skip
def test_other_numbers_are_asked_about(cells: list[str], what: str, setting: str) -> None:
    with pytest.raises(ls.TablesError) as caught:
        amounts(cells)
    assert what in str(caught.value)
    assert setting in str(caught.value)


def test_currencies_are_noticed_without_a_setting(tmp_path: Path) -> None:
    with pytest.raises(ls.TablesError, match="amounts are in 2 currencies"):
        amounts(["$1,200.50", "€ 5", "7"])
    assert amounts(["$1,200.50", "7"]) == [1200.5, 7]


def test_all_formats_read_texts_alike(tmp_path: Path) -> None:
    rows = [["a", "03-Jan-2022 3:05 PM", "(0.00)"], ["b", "Jan 3, 2022", "$1,234.50"]]
    frame = pd.DataFrame(rows, columns=["account_id", "started_on", "arr"])
    frame.to_csv(tmp_path / "accounts.csv", index=False)
    frame.to_json(tmp_path / "accounts.jsonl", orient="records", lines=True)
    frame.to_excel(tmp_path / "accounts.xlsx", index=False)
    frame.to_parquet(tmp_path / "accounts.parquet")
    for source in [*sorted(tmp_path.iterdir()), frame]:
        read = ls.read_tables({"accounts": source}, as_of="2030-01-01").frame("accounts")
        assert read["started_on"].dt.date.tolist() == [THIRD, THIRD]
        assert read["arr"].astype(float).tolist() == [0, 1234.5]
