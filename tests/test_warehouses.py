"""The panel in a warehouse: the same cells as DuckDB's, and what is refused.

PostgreSQL and ClickHouse run here; where one is not installed its tests are skipped and say why.
Larger random tables than these: benchmarks/warehouse_panels.py. Scripts for other warehouses are
in test_warehouse_scripts.py: nobody runs them here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from engine_cases import CASES, OTHERS, WIDE, case_of
from leadsignal.config.success import KEYS_OF, Process, SuccessAnalysis
from leadsignal.engine.warehouse import run
from leadsignal.engine.warehouse_sql import WAREHOUSE, Translator, spelling_of
from small_business import write_small_business
from warehouses import connected, missing, put, rows_of

pytestmark = pytest.mark.xdist_group("warehouses")


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    if reason := missing(request.param):
        pytest.skip(reason)
    with connected(request.param) as connection:
        yield request.param, connection


def test_the_random_cases_have_all_tables_and_late_records_and_versions() -> None:
    cases = [*map(case_of, CASES), case_of(WIDE, wide=True)]
    columns = [(name, set(held)) for case, _, _ in cases for name, held in case.columns.items()]
    late = {name for name, held in columns if "recorded_at" in held}
    assert {name for name, _ in columns} == {"accounts", *OTHERS}
    assert late == {"accounts", *OTHERS}
    measures = {metric.measure for case, _, _ in cases for metric in case.analysis.metrics}
    assert len(measures) > len(KEYS_OF) / 2
    processes = [process for case, _, _ in cases for process in case.analysis.processes]
    assert sum(process.by_users > 1 for process in processes) > 2
    assert sum(bool(case.project.tables["accounts"].attributes) for case, _, _ in cases) > 2
    assert len(processes) > 5
    assert all(len(panel.frame) for _, _, panel in cases)


@pytest.mark.parametrize(("seed", "wide"), [*((seed, False) for seed in CASES), (WIDE, True)])
def test_random_tables_give_the_same_panel(
    seed: int, wide: bool, warehouse: tuple[str, Any], tmp_path: Path
) -> None:
    dialect, connection = warehouse
    case, tables, expected = case_of(seed, wide=wide)
    names = put(connection, dialect, tables, tmp_path)
    there = ls.warehouse.read_warehouse_tables(
        connection, names, dialect=dialect, project=case.project, as_of=case.as_of
    )
    assert there.coverage == tables.coverage
    assert there.attributes == tables.attributes
    found = ls.build_panel(there, case.analysis)
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)
    assert found.indicators == expected.indicators
    assert found.notes == expected.notes


ODD = "it's \\ \"so\" `called` \\' {x} {0} -- é"
"""What would end a text or a name, were it not spelt as the warehouse wants it."""

ACCOUNTS = {
    "account_id": [ODD, "b", "c", "D"],
    "started_on": ["2024-01-01", "2024-01-05", "2024-01-05", "2090-01-01"],
    "ended_on": ["2024-03-01", "2024-04-01", "2024-01-05", None],
    "end_known_on": [None, "2024-03-20", None, None],
    "end_reason": [ODD, "price", None, None],
    "term_months": [1, 12, None, 3],
    "seats": ["2.5", "1e3", None, "-.5"],
    ODD: [ODD, "x", None, "X"],
}
EVENTS = {
    "account_id": [ODD, ODD, "b", "b", "c", ODD],
    "occurred_at": [*("2024-01-05", "2024-02-05", "2024-02-06", "2024-01-04"),
                    *("2024-01-05", "2024-06-01")],
    "behavior": [ODD, ODD, "other", ODD, ODD, ODD],
    "user_id": [ODD, "u", "u", None, "u", "u"],
}  # fmt: skip
SCORES = {
    "account_id": [ODD, ODD, "b"],
    "answered_on": ["2024-01-06", "2024-01-06", "2024-02-01"],
    "score": [0.1 + 0.2, -1.5, 7.0],
}
OPTIONS: dict[str, Any] = {
    "attributes": [ODD, "seats"],
    "not_churn": [ODD],
    "causes": {"dear": ["price"]},
}
PROCESS = Process("p", (ODD,), 1, 30, by_users=2, applies_to={ODD: (ODD, "x")})


def odd_frames() -> dict[str, pd.DataFrame]:
    frames = {"accounts": ACCOUNTS, "behaviors": EVENTS, "surveys": SCORES}
    return {name: pd.DataFrame(columns) for name, columns in frames.items()}


def test_odd_texts_what_is_left_out_and_the_default_day_are_the_same(
    warehouse: tuple[str, Any], tmp_path: Path
) -> None:
    dialect, connection = warehouse
    here = ls.read_tables(odd_frames(), **OPTIONS)
    names = rows_of(connection, dialect, odd_frames(), tmp_path)
    there = ls.warehouse.read_warehouse_tables(connection, names, dialect=dialect, **OPTIONS)
    assert there.as_of_date == here.as_of_date == date(2024, 3, 21)
    assert there.coverage == here.coverage
    assert there.attributes == here.attributes == {ODD: "text", "seats": "number"}
    assert [str(one) for one in there.warnings] == [
        str(one) for one in here.warnings if "left out: " in str(one)
    ]
    assert there.warnings
    analysis = SuccessAnalysis((PROCESS,))
    found, expected = (
        ls.build_panel(there, analysis, every=7),
        ls.build_panel(here, analysis, every=7),
    )
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)
    assert found.notes == expected.notes != ()
    assert {"adopted", "pending", "lapsed"} & set(found.frame["p_state"])


def test_the_script_and_the_table_hold_the_same_rows(
    warehouse: tuple[str, Any], tmp_path: Path
) -> None:
    """The script is made without a connection, of tables read here, and run by somebody else."""
    dialect, connection = warehouse
    names = rows_of(connection, dialect, odd_frames(), tmp_path)
    there = ls.warehouse.read_warehouse_tables(connection, names, dialect=dialect, **OPTIONS)
    here = ls.read_tables(odd_frames(), **OPTIONS)
    with pytest.raises(ls.OptionError, match="engine and session cannot be used"):
        ls.build_panel(there, engine="spark")
    with pytest.raises(ls.OptionError, match="Leave both out"):
        ls.warehouse.panel_sql(there, dialect="snowflake")
    rows = ls.warehouse.create_panel(there, into="made_here")
    assert rows == len(ls.build_panel(here).frame) > 3
    with pytest.raises(ls.SourceError, match="made_here"):
        ls.warehouse.create_panel(there, into="made_here")
    for tables, told in ((here, {"dialect": dialect, "names": names}), (there, {})):
        script = ls.warehouse.panel_sql(tables, into="made_by_script", **told)  # type: ignore[arg-type]
        there.run(statement for statement in script.split(";\n\n") if statement)
        made = [there.run([f"SELECT * FROM {name}"]) for name in ("made_by_script", "made_here")]
        assert sorted(map(repr, made[0])) == sorted(map(repr, made[1]))
        there.run(["DROP TABLE made_by_script"])
    there.run(["DROP TABLE made_here"])
    there.commit()
    with pytest.raises(ls.SourceError, match="leadsignal_spine"):
        there.run(["SELECT * FROM leadsignal_spine"])


def test_faults_are_told_all_at_once(warehouse: tuple[str, Any], tmp_path: Path) -> None:
    dialect, connection = warehouse
    accounts = {
        "account_id": ["a", "a"],
        "started_on": ["2024-01-01", "2024-01-01"],
        "ended_on": ["2024-02-01", "2023-01-01"],
        "arr": [-1.0, 1e12],
        "seats": ["12d", "7"],
    }
    results = {
        "account_id": ["b", None, "a"],
        "measured_on": ["2024-01-05", "2024-01-06", "2250-01-01"],
        "value": [1.0, float("inf"), 2.0],
    }
    frames = {"accounts": pd.DataFrame(accounts), "results": pd.DataFrame(results)}
    names = rows_of(connection, dialect, frames, tmp_path)
    with connection.cursor() as cursor:
        nan = "CAST('nan' AS DOUBLE PRECISION)"
        cursor.execute(f"INSERT INTO {names['results']} SELECT 'a', DATE '2024-01-07', {nan}")
    with pytest.raises(ls.TablesError) as told:
        ls.warehouse.read_warehouse_tables(
            connection, names, dialect=dialect, attributes={"seats": "number"}
        )
    for problem in (
        *("1 rows: is before started_on", "1 keys appear in several", "1 rows: is below 0"),
        *("1 rows: no such account", "1 rows: is empty", "1 rows: is outside 1900 to 2199"),
        *("2 rows: is not a number", "seats: 1 rows: is not a number", "1 rows: is too large"),
    ):
        assert problem in str(told.value)
    with pytest.raises(ls.TablesError, match="attribute but is no column") as told:
        ls.warehouse.read_warehouse_tables(
            connection, {"accounts": names["results"]}, dialect=dialect, attributes=["size"]
        )
    assert "started_on" in str(told.value)
    with pytest.raises(ls.SourceError, match="nowhere cannot be read"):
        ls.warehouse.read_warehouse_tables(connection, {"accounts": "nowhere"}, dialect=dialect)


PAGE = Path(__file__).parents[1] / "docs" / "warehouses.md"
RUN_HERE = r"(?ms)^<!-- not run: tests/test_warehouses.py [^\n]+ -->\n```python\n(.*?)^```"
SHOWN = re.findall(RUN_HERE, PAGE.read_text("utf-8"))
"""The examples of the page, in their order."""


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one behaviour that has indicators of its own, as few are sooner made."""
    if reason := missing("postgres"):
        pytest.skip(reason)
    here = ls.read_tables(write_small_business(tmp_path, "accounts", "behaviors"))
    monkeypatch.chdir(tmp_path)
    with connected("postgres") as connection:
        monkeypatch.setattr("adbc_driver_postgresql.dbapi.connect", lambda url: connection)
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA crm")
            for name, place in put(connection, "postgres", here, tmp_path).items():
                cursor.execute(f"CREATE VIEW crm.{name} AS SELECT * FROM {place}")
        names: dict[str, Any] = {}
        for example in SHOWN:
            exec(example, names)
    # The example declares nothing, as the folder does.
    rows = {name: here.connection.cursor().sql(f"FROM {name}").df() for name in here.names}
    bare = ls.read_tables(
        {name: frame[list(here.columns(name))] for name, frame in rows.items()},
        as_of=names["tables"].as_of_date,
    )
    expected = ls.build_panel(bare, names["analysis"], every=28)
    pd.testing.assert_frame_equal(names["panel"].frame, expected.frame, check_exact=True)
    assert names["rows"] == len(expected.frame) > 1000
    assert "CREATE TABLE crm.churn_panel AS" in names["script"]


def test_doubles_are_rounded_to_whole_units_not_cut(
    warehouse: tuple[str, Any], tmp_path: Path
) -> None:
    dialect, connection = warehouse
    whole = [*range(-600_000, -590_000), *range(29_000, 30_000)]
    values = pd.DataFrame({"score": [n / 1_000_000 for n in whole], "whole": whole})
    names = rows_of(connection, dialect, {"surveys": values}, tmp_path)
    translator = Translator(spelling_of(dialect), names)
    wrong = f"SUM(CASE WHEN {WAREHOUSE.scaled('score', 6)} <> whole THEN 1 ELSE 0 END)"
    counted = translator.statement(f"SELECT {wrong} FROM leadsignal_raw_surveys AS s")
    assert [int(count) for (count,) in run(connection, [counted])] == [0]
