"""Amounts in several currencies: refused, or converted by stated rates; counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.errors import ProjectError, TablesError

ACCOUNTS = """\
account_id,started_on,arr
A,2022-01-01,"USD 12,000.00"
B,2022-01-01,"EUR 8,000.00"
C,2022-01-01,"¥1,200,000"
D,2022-02-01,"£5,000"
"""
SETTINGS = '[project]\nas_of = 2024-01-01\n[tables.accounts]\ndecimal = "."\n'


def folder(where: Path, currency: str = "", **files: str) -> Path:
    for name, text in files.items():
        (where / f"{name}.csv").write_text(text)
    (where / "leadsignal.toml").write_text(SETTINGS + currency)
    return where


def arr(tables: ls.Tables) -> dict[str, float]:
    return dict(tables.frame("accounts").set_index("account_id")["arr"])


def problems(path: Path) -> list[str]:
    with pytest.raises(TablesError) as caught:
        ls.read_tables(path)
    return [str(fault) for fault in caught.value.faults]


def test_without_rates_several_currencies_are_a_fault(tmp_path: Path) -> None:
    first, *_ = problems(folder(tmp_path, accounts=ACCOUNTS))
    assert "amounts are in 4 currencies (EUR in 1 row, GBP in 1 row, USD in 1 row, ¥" in first
    assert "[currency]" in first


def test_stated_rates_convert(tmp_path: Path) -> None:
    """12,000 × 0.9; 8,000; 1,200,000 × 0.006; 5,000 × 1.2."""
    rates = '[currency]\nbase = "EUR"\nUSD = 0.9\nGBP = 1.2\nJPY = 0.006\n'
    path = folder(tmp_path, rates, accounts=ACCOUNTS)
    tables = ls.read_tables(path)
    assert arr(tables) == {"A": 10800, "B": 8000, "C": 7200, "D": 6000}
    assert "accounts: arr in GBP (1 row), JPY (1 row), USD (1 row): converted to EUR" in map(
        str, tables.warnings
    )


def test_a_currency_without_a_rate_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path, '[currency]\nbase = "EUR"\nUSD = 0.9\n', accounts=ACCOUNTS)
    found = problems(path)
    assert len(found) == 2
    assert "there is no rate to EUR for GBP in 1 row, ¥ in 1 row" in found[0]
    # The sign is yen or yuan: with a rate of both nobody knows which.
    both = '[currency]\nbase = "EUR"\nUSD = 0.9\nGBP = 1.2\nJPY = 0.006\nCNY = 0.13\n'
    (one,) = problems(folder(tmp_path, both))
    assert "there is no rate to EUR for ¥ in 1 row" in one
    path = folder(tmp_path, f'{both}"¥" = 0.13\n')
    assert arr(ls.read_tables(path))["C"] == 156_000


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('base = "EUR"\nGBB = 1', "is not a currency (given: 'GBB'). Did you mean 'GBP'?"),
        ('base = "Euro"', "Did you mean 'EUR'?"),
        ("USD = 0.9", "there are rates and no base"),
        ('base = "EUR"\nUSD = 0', "is not a rate"),
        ('base = "EUR"\nUSD = "0.9"', "is not a rate"),
    ],
)  # fmt: skip
def test_faults_of_the_section(section: str, problem: str, tmp_path: Path) -> None:
    path = folder(tmp_path, f"[currency]\n{section}\n", accounts=ACCOUNTS)
    with pytest.raises(ProjectError) as caught:
        ls.read_project(path)
    assert any(problem in str(fault) for fault in caught.value.faults)


RATES = """\
currency,valid_on,rate
usd,2022-01-01,0.8
USD,2022-07-01,1.0
USD,2023-07-01,0.9
GBP,2022-06-01,1.25
"""
CONTRACTS = """\
account_id,started_on,ended_on,mrr,currency
A,2022-03-01,2023-03-01,100,USD
A,2023-03-01,,100,USD
B,2022-07-01,,100,GBP
C,2021-01-01,,100,usd
D,2022-01-01,,100,
E,2022-01-01,,100,EUR
"""


def test_rates_of_the_day_that_a_row_is_about(tmp_path: Path) -> None:
    """A starts at 0.8 and renews at 1.0; C starts before the first rate, which is 0.8."""
    files = {"contracts": CONTRACTS, "exchange_rates": RATES}
    tables = ls.read_tables(folder(tmp_path, '[currency]\nbase = "EUR"\n', **files))
    assert arr(tables) == {"A": 960, "B": 1500, "C": 960, "D": 1200, "E": 1200}
    changes = tables.frame("contract_changes")
    assert changes.loc[changes["kind"] == "expansion", "arr_delta"].tolist() == [240]
    assert set(tables.frame("accounts")["currency"]) == {"EUR"}
    assert "contracts: 1 value of mrr without a currency: taken for EUR" in map(
        str, tables.warnings
    )


def test_changes_in_another_currency_are_converted(tmp_path: Path) -> None:
    files = {
        "accounts": "account_id,started_on,arr,currency\nA,2022-03-01,1000,USD\n",
        "contract_changes": "account_id,changed_at,kind,arr_delta,currency\n"
        "A,2023-08-01,expansion,100,USD\n",
        "exchange_rates": RATES,
    }
    tables = ls.read_tables(folder(tmp_path, '[currency]\nbase = "EUR"\n', **files))
    assert arr(tables) == {"A": 800}
    assert tables.frame("contract_changes")["arr_delta"].tolist() == [90]


def test_faults_of_rates(tmp_path: Path) -> None:
    files = {"contracts": CONTRACTS, "exchange_rates": RATES}
    fault, *_ = problems(folder(tmp_path, **files))
    assert "exchange_rates: there are rates and no base" in fault
    twice = files | {"exchange_rates": f"{RATES}USD,2022-07-01,1.1\n"}
    (fault,) = problems(folder(tmp_path, '[currency]\nbase = "EUR"\n', **twice))
    assert "USD has several rates on 1 day, first on 2022-07-01" in fault
    euro = files | {"exchange_rates": RATES.replace("GBP", "GPB")}
    (fault,) = problems(folder(tmp_path, '[currency]\nbase = "EUR"\n', **euro))
    assert "there is no rate to EUR for GBP in 1 row (given: 'GBP')." in fault
    assert "Did you mean GPB for GBP?" in fault


def test_one_currency_needs_no_rates() -> None:
    frame = pd.DataFrame({"account_id": ["a"], "started_on": ["2023-01-01"], "arr": [5]})
    options: dict[str, Any] = {"as_of": "2024-01-01"}
    tables = ls.read_tables({"accounts": frame.assign(currency="CHF")}, **options)
    assert tables.frame("accounts")["currency"].tolist() == ["CHF"]
