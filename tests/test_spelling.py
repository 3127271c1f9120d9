"""Dates, numbers and empty cells as an export writes them: read as said, never guessed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import leadsignal as ls

HEAD = "account_id,started_on,ended_on,arr\n"


def tables_of(folder: Path, settings: str, cells: str, delimiter: str = ";") -> ls.Tables:
    """Read one account whose cells are start, end and ARR."""
    rows = HEAD.replace(",", delimiter) + f"a{delimiter}{cells}\n"
    (folder / "accounts.csv").write_text(rows, encoding="utf-8")
    (folder / "leadsignal.toml").write_text(
        f"[project]\nas_of = 2030-01-01\n[tables.accounts]\n{settings}\n", encoding="utf-8"
    )
    return ls.read_tables(folder)


@pytest.mark.parametrize(
    ("order", "written"),
    [
        ("DD.MM.YYYY", "04.03.2023"),
        ("DD.MM.YYYY", "4.3.2023"),
        ("DD/MM/YYYY", "04/03/2023"),
        ("MM/DD/YYYY", "03/04/2023"),
        ("mm/dd/yyyy", "3/4/2023 9:05"),
        ("YYYY/MM/DD", "2023/03/04 17:30:00"),
        ("DD-MM-YYYY", " 04-03-2023 "),
        ("DD.MM.YYYY", "2023-03-04"),
        ("DD.MM.YYYY", "04.03.2023 5:00 PM"),
    ],
)
def test_a_date_is_read_in_the_order_that_was_said(
    tmp_path: Path, order: str, written: str
) -> None:
    tables = tables_of(tmp_path, f'dates = "{order}"', f"{written};;")
    assert tables.frame("accounts")["started_on"].dt.date.tolist() == [date(2023, 3, 4)]


@pytest.mark.parametrize(
    "written", ["31.02.2023", "03.31.2023", "04/03/2023", "4.3.23", "04.03.2023 17:00 PM", "soon"]
)
def test_what_is_no_date_of_that_order_is_a_fault_as_it_was_given(
    tmp_path: Path, written: str
) -> None:
    with pytest.raises(ls.TablesError) as caught:
        tables_of(tmp_path, 'dates = "DD.MM.YYYY"', f"{written};;")
    (fault,) = caught.value.faults
    assert fault.value == written
    assert "Write DD.MM.YYYY" in fault.remedy


@pytest.mark.parametrize(
    ("sign", "written", "value"),
    [
        (",", "55.080,00 €", 55080),
        (",", "€ 1.234.567,5", 1234567.5),
        (",", "1234,5", 1234.5),
        (",", "12 000,25 EUR", 12000.25),
        (",", "1.234", 1234),
        (".", "$55,080", 55080),
        (".", "$ 1,234.50", 1234.5),
        (".", "1'234.50 CHF", 1234.5),
        (".", "USD 12", 12),
        (".", "1.234", 1.23),
    ],
)
def test_a_number_is_read_with_the_sign_that_was_said(
    tmp_path: Path, sign: str, written: str, value: float
) -> None:
    cells = f'2023-03-04;;"{written}"'
    tables = tables_of(tmp_path, f'decimal = "{sign}"', cells)
    assert tables.frame("accounts")["arr"].astype(float).tolist() == [value]


@pytest.mark.parametrize(
    ("sign", "written"),
    [(",", "1234.5"), (",", "1.23,5"), (".", "1234,5"), (".", "12 %"), (",", "1e5"), (",", "€")],
)
def test_a_number_with_the_other_sign_is_a_fault(tmp_path: Path, sign: str, written: str) -> None:
    with pytest.raises(ls.TablesError) as caught:
        tables_of(tmp_path, f'decimal = "{sign}"', f"2023-03-04;;{written}")
    (fault,) = caught.value.faults
    assert fault.value == written
    assert fault.problem.startswith(("is not a number", "is not read as a number"))


def test_words_for_nothing_are_nothing(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, 'empty = ["N/A", "-"]', "2023-03-04;N/A; - ")
    row = tables.frame("accounts").iloc[0]
    assert row[["ended_on", "arr"]].isna().all()


def test_an_attribute_is_a_number_by_the_sign_that_was_said(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(
        'account_id;started_on;seats;plan\na;2023-03-04;"1.234";gold\nb;2023-03-04;"7,5";1.2\n'
    )
    (tmp_path / "leadsignal.toml").write_text(
        '[tables.accounts]\ndecimal = ","\nattributes = ["seats", "plan"]\n'
    )
    tables = ls.read_tables(tmp_path, as_of="2024-01-01")
    assert dict(tables.attributes) == {"seats": "number", "plan": "text"}
    assert tables.frame("accounts")["seats"].astype(float).tolist() == [1234, 7.5]
    assert tables.frame("accounts")["plan"].tolist() == ["gold", "1.2"]


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ('dates = "DDMMYYYYY"', "Write it with DD, MM and YYYY"),
        ('dates = "DMYYYY"', "Write it with DD, MM and YYYY"),
        ('dates = ["DD/MM/YYYY", "MM/DD/YY"]', "Keep one order of day and month"),
        ('dates = "DD.DD.YYYY"', "Write it with DD, MM and YYYY"),
        ('decimal = ";"', 'Write "," or "."'),
    ],
)
def test_a_spelling_that_is_none_is_refused(tmp_path: Path, settings: str, remedy: str) -> None:
    with pytest.raises(ls.ProjectError, match=remedy):
        tables_of(tmp_path, settings, "2023-03-04;;")


def test_without_a_word_nothing_is_guessed_and_the_remedy_says_how_to_say_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(ls.TablesError) as caught:
        tables_of(tmp_path, "", '04.03.2023;;"1.234,50"')
    remedies = [fault.remedy for fault in caught.value.faults]
    assert 'dates = "DD.MM.YYYY" or dates = "MM.DD.YYYY"' in remedies[0]
    assert 'decimal = ","' in remedies[1]


def test_a_folder_without_accounts_names_the_files_that_no_table_is_read_from(
    tmp_path: Path,
) -> None:
    (tmp_path / "Kunden.csv").write_text("Nr;Beginn\n1;2023-01-01\n")
    (tmp_path / "Tickets.csv").write_text("account_id,opened_at\n")
    faults = ls.check_tables(tmp_path).faults
    told = " ".join(map(str, faults))
    assert "there is no table accounts" in told
    assert 'path = "Kunden.csv"' in told
    assert "Did you mean 'tickets.csv'?" in told


def test_a_missing_column_is_not_guessed_to_be_one_that_is_another(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,started_on\na,2023-01-01\n")
    (tmp_path / "usage.csv").write_text("Account ID,Day,Logins\na,2023-02-01,4\n")
    faults = {fault.column: str(fault) for fault in ls.check_tables(tmp_path).faults}
    assert "is it 'Account ID'?" in faults["account_id"]
    assert "is it" not in faults["amount"]
    assert "Not read so far: 'Day', 'Logins'." in faults["amount"]


def test_an_id_in_other_capitals_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,started_on\nA-1,2023-01-01\n")
    (tmp_path / "tickets.csv").write_text("account_id,opened_at\na-1,2023-02-01\nb,2023-02-01\n")
    remedies = [fault.remedy for fault in ls.check_tables(tmp_path).faults]
    assert remedies == [
        "Add the account, or correct the id: accounts has A-1, with different capitals.",
        "Add the account, or correct the id.",
    ]
