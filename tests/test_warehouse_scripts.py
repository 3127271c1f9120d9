"""Scripts for warehouses that nobody runs here, as far as parsing and golden files reach.

Anew, after a look at the difference: python tests/test_warehouse_scripts.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Behaviors
from leadsignal.config.success import Process, SuccessAnalysis
from random_tables import random_case

sqlglot = pytest.importorskip("sqlglot")

GOLDEN = Path(__file__).parent / "warehouse_scripts"
NOT_RUN = ("snowflake", "bigquery", "databricks")
FRAMES: dict[str, dict[str, Any]] = {
    "accounts": {"account_id": ["a"], "started_on": ["2024-01-01"], "term_months": [12]},
    "behaviors": {"account_id": ["a"], "occurred_at": ["2024-01-05"], "behavior": ["it's met"]},
    "surveys": {"account_id": ["a"], "answered_on": ["2024-01-05"], "score": [7.0]},
}
NULLS = re.compile(r"\b(LEAST|GREATEST)\(")


def small_script(dialect: str) -> str:
    tables = ls.read_tables({n: pd.DataFrame(c) for n, c in FRAMES.items()}, as_of="2024-06-01")
    analysis = SuccessAnalysis((Process("p", ("it's met",), 1, 30),))
    names = {"accounts": "crm.accounts"}
    tables = tables.with_behaviors(Behaviors(keep=()))
    return ls.warehouse.panel_sql(tables, analysis, dialect=dialect, names=names, into="crm.panel")


def statements(script: str) -> list[str]:
    return [statement for statement in script.split(";\n\n") if statement]


@pytest.mark.parametrize("dialect", NOT_RUN)
def test_the_script_is_the_golden_file(dialect: str) -> None:
    assert small_script(dialect) == (GOLDEN / f"{dialect}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", NOT_RUN)
def test_scripts_of_random_tables_parse_and_stay_what_they_are(dialect: str) -> None:
    case = random_case(14)
    script = ls.warehouse.panel_sql(case.read(), case.analysis, dialect=dialect)
    assert not re.search(r"\bLS_[A-Z]+", script)
    assert not re.search(r"leadsignal_raw_", script)
    # Where these are missing as soon as one argument is.
    plain = NULLS.findall(script.replace("COALESCE(LEAST(", "").replace("COALESCE(GREATEST(", ""))
    assert bool(plain) == (dialect == "databricks")
    for statement in statements(script):
        once = sqlglot.parse_one(statement, read=dialect).sql(dialect, identify=True)
        assert sqlglot.parse_one(once, read=dialect).sql(dialect, identify=True) == once


def test_every_made_table_is_dropped_again() -> None:
    script = small_script("databricks")
    made = re.findall(r"CREATE OR REPLACE TABLE (\S+) ", script)
    after = script[script.index("CREATE TABLE crm.panel") :]
    assert made == re.findall(r"DROP TABLE IF EXISTS (\S+);", after)[::-1] != []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dialect": "postgress"}, "Did you mean 'postgres'"),
        ({}, "dialect = '' is not known"),
        ({"dialect": "postgres", "names": {"acounts": "x"}}, "Did you mean 'accounts'"),
        ({"dialect": "postgres", "names": {"accounts": "x; DROP TABLE y"}}, "not the name of a"),
        ({"dialect": "postgres", "names": {"accounts": "(SELECT 1)"}}, "not the name of a table"),
        ({"dialect": "postgres", "into": "a b"}, "not the name of a table"),
        ({"dialect": "postgres", "into": ""}, "not the name of a table"),
        ({"dialect": "postgres", "into": None}, "not the name of a table"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    tables = ls.read_tables({"accounts": pd.DataFrame(FRAMES["accounts"])}, as_of="2024-06-01")
    with pytest.raises(ls.OptionError, match=re.escape(told)):
        ls.warehouse.panel_sql(tables, **options)


def test_names_that_postgres_would_cut_are_refused() -> None:
    tables = ls.read_tables({n: pd.DataFrame(c) for n, c in FRAMES.items()}, as_of="2024-06-01")
    analysis = SuccessAnalysis((Process("p" * 64, ("it's met",), 1, 30),))
    with pytest.raises(ls.OptionError, match="postgres cuts names after 63 bytes: "):
        ls.warehouse.panel_sql(tables, analysis, dialect="postgres")
    assert ls.warehouse.panel_sql(tables, analysis, dialect="clickhouse")


def test_what_is_no_connection_is_refused() -> None:
    with pytest.raises(ls.OptionError, match=r"connection is a str, which has no cursor\(\)"):
        ls.warehouse.read_warehouse_tables("postgresql://x", {"accounts": "a"}, dialect="postgres")


def test_what_is_no_mapping_is_refused() -> None:
    connection = type("Connection", (), {"cursor": None})()
    wrong: Any = ["accounts"]
    with pytest.raises(ls.OptionError, match="tables is a list"):
        ls.warehouse.read_warehouse_tables(connection, wrong, dialect="postgres")
    tables = ls.read_tables({"accounts": pd.DataFrame(FRAMES["accounts"])}, as_of="2024-06-01")
    with pytest.raises(ls.OptionError, match="names is a list"):
        ls.warehouse.panel_sql(tables, dialect="postgres", names=wrong)


def test_without_sqlglot_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadsignal.engine.warehouse_sql.find_spec", lambda name: None)
    with pytest.raises(ls.OptionError, match=r"pip install 'leadsignal\[warehouse\]'"):
        small_script("postgres")


if __name__ == "__main__":
    for dialect in NOT_RUN:
        (GOLDEN / f"{dialect}.sql").write_text(small_script(dialect), encoding="utf-8")
