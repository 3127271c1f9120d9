"""The panel on Apache Spark: the same rows as DuckDB's, cell for cell.

Needs pyspark and a Java runtime; without them every test here is skipped and says why. More random
tables than these: benchmarks/spark_panels.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

import leadsignal as ls
from engine_cases import CASES, WIDE, case_of
from leadsignal.accounts import with_names
from leadsignal.config.project import Behaviors
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.engine.spark import Rows, exported, source_view, staging_folder
from leadsignal.evaluation.backtest import last_horizon
from leadsignal.ingestion.dialect import DuckDB, Spark
from leadsignal.model import explanation
from leadsignal.panel import build_snapshot
from leadsignal.scoring import scores as scores_module
from leadsignal.scoring import spark_panel
from leadsignal.scoring.feeds import find_feeds
from leadsignal.scoring.spark_panel import last_horizon_in_spark, silent_feeds
from leadsignal.stats import Estimate
from random_tables import random_case
from small_business import write_small_business
from spark_session import connect_session, missing, no_connect, small_session

if reason := missing():
    pytest.skip(reason, allow_module_level=True)

# py4j, which speaks to Java, leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A small session: little memory, few partitions, no code generation for so few rows."""
    session = small_session(tmp_path_factory.mktemp("spark"))
    yield session
    session.stop()


@pytest.fixture(scope="module", params=["classic", "connect"])
def spark(request: pytest.FixtureRequest, classic: Any) -> Iterator[Any]:
    """The classic session, and one that reaches the same Spark through Spark Connect."""
    if request.param == "classic":
        yield classic
        return
    if reason := no_connect():
        pytest.skip(reason)
    session = connect_session(classic)
    yield session
    session.stop()


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("seed", CASES)
def test_random_tables_give_the_same_panel(spark: Any, seed: int) -> None:
    case, tables, expected = case_of(seed)
    found = ls.build_panel(tables, case.analysis, session=spark)
    assert_same(found.frame, expected.frame)
    assert found.indicators == expected.indicators
    assert found.columns == expected.columns
    assert found.to_dict() == expected.to_dict()


@pytest.mark.parametrize(("seed", "wide"), [*((seed, False) for seed in CASES[:6]), (WIDE, True)])
def test_rows_of_one_day_are_those_of_the_whole_panel(classic: Any, seed: int, wide: bool) -> None:
    case, tables, whole = case_of(seed, wide=wide)
    expected = whole.current().reset_index(drop=True)
    assert_same(build_snapshot(tables, case.analysis).frame, expected)
    with ls.spark.build_spark_panel(
        tables, case.analysis, only_as_of=True, session=classic
    ) as panel:
        assert_same(panel.collect().frame, expected)


def test_a_panel_in_spark_is_written_and_leaves_the_session_as_it_was(
    spark: Any, tmp_path: Path
) -> None:
    spark.sql("SELECT 1 AS mine").createOrReplaceTempView("grid")
    before, views = settings(spark), views_of(spark)
    case, tables, expected = case_of(CASES[0])
    with ls.spark.build_spark_panel(tables, case.analysis, session=spark) as panel:
        assert panel.frame.sparkSession is spark
        assert "SparkPanel every" in repr(panel)
        assert len(views_of(spark)) > len(views)
        assert_same(panel.collect().frame, expected.frame)
        panel.write(tmp_path / "panel")
        with pytest.raises(Exception, match="already exists"):
            panel.write(tmp_path / "panel")
    assert spark.table("grid").columns == ["mine"]
    assert settings(spark) == before
    assert views_of(spark) == views
    assert_same(read_rows(tmp_path / "panel", "account_id", "snapshot_on"), expected.frame)


def test_spark_draws_the_sample_that_duckdb_draws(spark: Any) -> None:
    case, tables, expected = case_of(CASES[0])
    drawn = ls.panel.sample_panel(
        tables, case.analysis, share=0.4, horizon="30d", session=spark
    ).frame
    assert_same(drawn, ls.panel.sample_panel(tables, case.analysis, share=0.4, horizon="30d").frame)
    assert 0 < len(drawn) < len(expected.frame)


def read_rows(folder: Path, *order: str) -> pd.DataFrame:
    """The rows of Parquet files in their order, as a panel or scores hold them."""
    table = pq.read_table(folder)
    rows: pd.DataFrame = table.to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
    return rows.sort_values(list(order), ignore_index=True)


def settings(spark: Any) -> dict[str, str]:
    return {row["key"]: row["value"] for row in spark.sql("SET").collect()}


def views_of(spark: Any) -> list[str]:
    """All temporary views that the session sees: its own and those of all sessions."""
    return sorted(row["viewName"] for row in spark.sql("SHOW VIEWS IN global_temp").collect())


def in_spark(spark: Any, tables: ls.Tables, folder: Path) -> dict[str, Any]:
    """The rows of tables as frames of Spark, typed, as someone's warehouse would have them."""
    frames = {}
    for name in tables.names:
        listed = ", ".join(f'"{column}"' for column in tables.columns(name))
        tables.connection.cursor().execute(
            f"COPY (SELECT {listed} FROM {name}) TO '{folder / name}.parquet' (FORMAT parquet)"
        ).fetchall()
        frames[name] = spark.read.parquet(f"{folder / name}.parquet")
    return frames


@pytest.fixture(scope="module")
def there(classic: Any, tmp_path_factory: pytest.TempPathFactory) -> ls.spark.SparkTables:
    """All tables of the wide case, in Spark."""
    case, tables, _ = case_of(WIDE, wide=True)
    frames = in_spark(classic, tables, tmp_path_factory.mktemp("wide"))
    return ls.spark.read_spark_tables(frames, project=case.project, as_of=case.as_of)


def test_all_tables_in_spark_are_read_as_they_are_here(there: ls.spark.SparkTables) -> None:
    case, tables, expected = case_of(WIDE, wide=True)
    assert there.coverage == tables.coverage
    assert there.attributes == tables.attributes
    assert_same(ls.build_panel(there.collect(), case.analysis).frame, expected.frame)
    assert_same(ls.build_panel(there, case.analysis).frame, expected.frame)


def test_tables_that_are_in_spark_give_the_same_rows(spark: Any, tmp_path: Path) -> None:
    case, tables, expected = case_of(55)
    assert {"behaviors", "tickets"} < set(tables.names)
    there = ls.spark.read_spark_tables(
        in_spark(spark, tables, tmp_path), project=case.project, as_of=case.as_of
    )
    assert_same(ls.build_panel(there, case.analysis).frame, expected.frame)


def test_some_customers_come_into_memory_with_all_their_rows(there: ls.spark.SparkTables) -> None:
    _, tables, _ = case_of(WIDE, wide=True)
    part = there.sample_accounts(0.5, seed=1).collect()
    accounts = tables.frame("accounts")
    chosen = set(part.frame("accounts")["account_id"])
    assert 0 < len(chosen) < accounts["account_id"].nunique()
    for name in tables.names:
        rows = tables.frame(name)
        rows = rows[rows["account_id"].isin(chosen)]
        assert sorted(map(str, part.frame(name).to_dict("records"))) == sorted(
            map(str, rows.to_dict("records"))
        )
    with pytest.raises(ls.OptionError, match="above 0 and at most 1"):
        there.sample_accounts(1.5)
    with pytest.raises(ls.OptionError, match=r"SparkTables.frame does not exist.*collect"):
        there.frame("accounts")  # type: ignore[attr-defined]


def test_a_weighted_sample_is_that_of_tables_in_memory(spark: Any, tmp_path: Path) -> None:
    case = random_case(2)
    tables = case.read()
    there = ls.spark.read_spark_tables(
        in_spark(spark, tables, tmp_path), project=case.project, as_of=case.as_of
    ).sample_accounts(0.5, keep_churned=True, seed=1)
    here = tables.sample_accounts(0.5, keep_churned=True, seed=1)
    part = there.collect()
    assert part.sample is not None
    assert here.sample is not None
    assert part.sample.to_dict() == here.sample.to_dict()
    pd.testing.assert_series_equal(
        part.sample.weights.sort_index(), here.sample.weights.sort_index(), check_names=False
    )
    assert 0 < part.sample.customers < part.sample.of
    for name in tables.names:
        assert len(part.frame(name)) == len(here.frame(name))
    with pytest.raises(ls.OptionError, match="a sample already"):
        part.sample_accounts(0.5)
    with pytest.raises(ls.OptionError, match="weights Spark's panel cannot hold"):
        ls.build_panel(there, case.analysis)
    with pytest.raises(ls.OptionError, match="is a sample of all churned customers"):
        ls.spark.build_spark_panel(there, case.analysis)


def test_what_is_left_out_and_the_default_day_are_the_same_in_spark(
    spark: Any, tmp_path: Path
) -> None:
    accounts = pd.DataFrame(
        {
            "account_id": ["a", "b", "c", "d"],
            "started_on": ["2024-01-05", "2024-01-05", "2024-02-01", "2090-01-01"],
            "ended_on": ["2024-01-05", "2024-06-01", None, None],
            "end_known_on": [None, "2024-04-01", None, None],
        }
    )
    events = pd.DataFrame(
        {
            "account_id": ["a", "b", "b", "c"],
            "occurred_at": ["2024-01-04", "2024-01-05", "2024-06-02", "2024-03-01"],
            "behavior": "met",
        }
    )
    for frame in (accounts, events):
        for column in frame.filter(regex="_on$|_at$"):
            frame[column] = pd.to_datetime(frame[column])
    frames = {"accounts": accounts, "behaviors": events}
    here = ls.read_tables(frames)
    assert here.coverage["behaviors"].rows == 2
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet", coerce_timestamps="us")
    there = ls.spark.read_spark_tables(
        {name: spark.read.parquet(str(tmp_path / f"{name}.parquet")) for name in frames}
    )
    assert there.as_of_date == here.as_of_date == date(2024, 4, 2)
    assert there.coverage == here.coverage
    assert [str(one) for one in there.warnings] == [
        str(one) for one in here.warnings if "left out: " in str(one)
    ]
    panels = [ls.build_panel(tables.as_of("2024-03-20")) for tables in (here, there)]
    assert panels[0].notes == panels[1].notes != ()
    typo = ls.SuccessAnalysis.from_toml(
        '[[process]]\nname = "p"\nbehavior = "mt"\nat_least = 1\nwithin = "30d"\n'
    )
    with pytest.raises(ls.SuccessAnalysisError, match="Did you mean 'met'"):
        ls.build_panel(there, typo)


def test_faults_of_tables_in_spark_are_told_all_at_once(spark: Any) -> None:
    accounts = spark.sql(
        "SELECT * FROM VALUES ('a', DATE '2024-01-01', DATE '2024-02-01'),"
        " ('a', DATE '2024-01-01', DATE '2023-01-01') AS v(account_id, started_on, ended_on)"
    )
    tickets = spark.sql("SELECT 'b' AS account_id, DATE '2024-01-05' AS opened_at")
    usage = spark.sql("SELECT 'a' AS account_id, '2024-01-05' AS used_on, 1 AS amount")
    with pytest.raises(ls.TablesError, match="type string is not read as used_on"):
        ls.spark.read_spark_tables({"accounts": accounts, "usage": usage})
    with pytest.raises(ls.TablesError) as told:
        ls.spark.read_spark_tables({"accounts": accounts, "tickets": tickets})
    for problem in ("1 rows: is before started_on", "1 keys appear in several", "no such account"):
        assert problem in str(told.value)


@pytest.fixture
def spark_rows(
    spark: Any,
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
    business_panel: ls.Panel,
    tmp_path: Path,
) -> ls.spark.SparkPanel:
    """The panel of the business, of rows that are there: how Spark makes them is tested above."""
    ls.write_panel(business, business_analysis, tmp_path / "panel.parquet")
    rows = spark.read.parquet(str(tmp_path / "panel.parquet"))
    read = exported(business, spark, tmp_path / "staged")
    kept = {each.name: getattr(business_panel, each.name) for each in fields(business_panel)}
    for name in ("episodes", "without_rows", "warnings", "sample"):  # not kept in Spark
        del kept[name]
    return ls.spark.SparkPanel(**{**kept, "frame": rows, "_rows": Rows(rows, (), (), read)})


def with_some_names(
    panel: ls.spark.SparkPanel, scores: pd.DataFrame
) -> tuple[ls.spark.SparkPanel, pd.DataFrame]:
    """Return a panel whose tables call every second account something, and scores that do too."""
    named = [(one, f"Acme {one}", "EUR") for one in sorted(scores["account_id"])[::2]]
    names = pd.DataFrame(named, columns=["account_id", "name", "currency"])
    session, read = panel.frame.sparkSession, dict(panel._rows.read)
    rows = read[source_view("accounts")].drop("name", "currency")
    known = rows.join(session.createDataFrame(names), "account_id", "left")
    listed = ["name", "currency", "superseded_on"]
    old = {"name": "'old'", "currency": "'USD'", "superseded_on": "DATE '2024-01-01'"}
    kept = [name for name in known.columns if name not in old]
    both = [known.selectExpr(*kept, *(f"{old[o]} AS {o}" for o in listed)), known]
    versions = both[1].selectExpr(*kept, *listed).union(both[0])
    panel = replace(
        panel,
        columns={**panel.columns, "accounts": ("account_id", "name", "currency")},
        _rows=replace(panel._rows, read={**read, source_view("accounts"): versions}),
    )
    return panel, with_names(scores, names.set_index("account_id"))


@pytest.mark.parametrize("many", [False, True])
def test_scores_from_spark_are_those_of_this_machine(
    many: bool,
    spark_rows: ls.spark.SparkPanel,
    business: ls.Tables,
    logistic_model: ls.ChurnModel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Cell for cell, also where only some accounts have reasons and are compared with."""
    if many:
        monkeypatch.setattr(explanation, "COMPARED", 50)
        monkeypatch.setattr(spark_panel, "COMPARED", 50)
        monkeypatch.setattr(scores_module, "MIN_EXPLAINED", 20)
    process = logistic_model.analysis_.processes[0].name
    effects = {process: Estimate(0.5, 0.4, 0.6, 0.1)}
    options: dict[str, Any] = {"capacity": 0.07, "holdout": 0.3 * many, "effects": effects}
    expected = ls.score_accounts(logistic_model, business, **options).frame
    if many:
        spark_rows, expected = with_some_names(spark_rows, expected)
    spark_rows.score(logistic_model, **options).write.parquet(str(tmp_path / "scores"))
    spark_rows.close()
    found = read_rows(tmp_path / "scores", "rank")
    assert found.pop("rank").tolist() == list(range(1, len(expected) + 1))
    assert_same(found, expected)
    assert found["reason_1"].str.len().gt(0).sum() > 15
    assert found["next_step"].str.contains("times as often").any()


def test_doubts_about_scores_in_spark_are_those_of_this_machine(
    spark_rows: ls.spark.SparkPanel, business: ls.Tables, logistic_model: ls.ChurnModel
) -> None:
    read, day, project = spark_rows._rows.read, business.as_of_date, business.project
    accounts, view = read[source_view("accounts")], source_view("usage")
    found = last_horizon_in_spark(accounts, project, day, 180)
    assert found == last_horizon(business, 180)
    assert found is not None
    assert found[0] > 0
    tables = {name for names in logistic_model.origin_.indicators.values() for name in names}
    late = [feed.table for feed in find_feeds(logistic_model, business) if feed.state == "late"]
    assert [text.split()[0] for text in silent_feeds(read, tables, project, day)] == late
    cut = {**read, view: read[view].where(f"known_on < DATE '{day}' - INTERVAL 70 DAYS")}
    assert any(text.startswith("usage is late") for text in silent_feeds(cut, tables, project, day))


def test_scores_from_spark_refuse_what_scores_here_refuse(
    spark_rows: ls.spark.SparkPanel, logistic_model: ls.ChurnModel
) -> None:
    narrow = replace(spark_rows, frame=spark_rows.frame.drop(logistic_model.features_.names[0]))
    with pytest.raises(ls.ModelError, match="indicators that the panel does not have"):
        narrow.score(logistic_model)
    early = replace(spark_rows, as_of_date=date(1999, 1, 1))
    with pytest.raises(ls.ModelError, match="no account is active"):
        early.score(logistic_model)
    other = replace(spark_rows, analysis=ls.SuccessAnalysis(()))
    with pytest.raises(ls.OptionError, match="analysis"):
        other.score(logistic_model)


def small_scores(spark: Any, day: str, *accounts: str, risk: str = "0.5D") -> Any:
    """The columns of scores that saving them reads."""
    listed = ", ".join(f"('{account}')" for account in accounts)
    return spark.sql(
        f"SELECT account_id, DATE '{day}' AS snapshot_on, {risk} AS risk, true AS alert,"
        f" 1L AS clipped, 'v1' AS model_version FROM VALUES {listed} AS v(account_id)"
    )


def saved_in(spark: Any, place: Any) -> list[tuple[str, str]]:
    frame = spark.table(place) if isinstance(place, str) else spark.read.parquet(str(place))
    rows = frame.selectExpr("account_id", "CAST(snapshot_on AS STRING)").collect()
    return sorted((row[0], row[1]) for row in rows)


@pytest.fixture(params=["table", "folder"])
def places(request: pytest.FixtureRequest, spark: Any, tmp_path: Path) -> Iterator[Any]:
    """Where scores and the records of runs may be kept."""
    if request.param == "folder":
        yield tmp_path / "scores", tmp_path / "runs"
        return
    yield "kept_scores", "kept_runs"
    for name in ("kept_scores", "kept_runs"):
        spark.sql(f"DROP TABLE IF EXISTS {name}")


def test_scores_are_kept_once_a_date_in_tables_and_folders(spark: Any, places: Any) -> None:
    scores, runs = places
    ls.spark.save_scores(small_scores(spark, "2024-01-01", "a", "b"), scores, runs=runs)
    ls.spark.save_scores(small_scores(spark, "2024-01-08", "a"), scores, runs=runs)
    again = ls.spark.save_scores(
        small_scores(spark, "2024-01-01", "b", "c", "d"), scores, runs=runs
    )
    assert (again.rows, again.replaced, again.snapshot_on) == (3, 2, "2024-01-01")
    kept = [("a", "2024-01-08"), ("b", "2024-01-01"), ("c", "2024-01-01"), ("d", "2024-01-01")]
    assert saved_in(spark, scores) == kept
    frame = spark.table(runs) if isinstance(runs, str) else spark.read.parquet(str(runs))
    found = frame.orderBy("snapshot_on").toPandas()
    assert found["snapshot_on"].astype(str).tolist() == ["2024-01-01", "2024-01-08"]
    records = [json.loads(text) for text in found["record"]]
    assert [one["dates"][0]["accounts"] for one in records] == [3, 1]
    assert records[0]["outcome"] == "done"


def test_scores_that_fail_leave_the_folder_as_it_was(spark: Any, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    ls.spark.save_scores(small_scores(spark, "2024-01-01", "a"), folder)
    broken = small_scores(spark, "2024-01-01", "b", "c", risk="CAST(raise_error('full') AS DOUBLE)")
    with pytest.raises(Exception, match="full"):
        ls.spark.save_scores(broken, folder)
    assert saved_in(spark, folder) == [("a", "2024-01-01")]
    assert [path.name for path in folder.iterdir()] == ["snapshot_on=2024-01-01"]


def test_scores_that_do_not_belong_there_are_refused(spark: Any, tmp_path: Path) -> None:
    one, two = (small_scores(spark, day, "a") for day in ("2024-01-01", "2024-01-08"))
    spark.sql("CREATE TABLE kept_flat (account_id STRING, snapshot_on DATE) USING parquet")
    one.write.saveAsTable("kept_whole")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused: tuple[tuple[Any, str | Path, str], ...] = (
        (one.union(two), "kept", "are of 2024-01-01 to 2024-01-08"),
        (one.where("false"), "kept", "there are no scores"),
        (one.drop("alert"), "kept", "no column alert"),
        (pd.DataFrame(), "kept", "not a Spark DataFrame"),
        (one, "kept_flat", r"has no column risk.*ADD COLUMNS \(risk double"),
        (one, "kept_whole", "not partitioned by snapshot_on"),
        (one, tmp_path / "mine", "notes.txt"),
    )
    for scores, to, said in refused:
        with pytest.raises(ls.OptionError, match=f"(?s){said}"):
            ls.spark.save_scores(scores, to)
    with pytest.raises(ls.OptionError, match="a place of their own"):
        ls.spark.save_scores(one, "kept", runs="kept")
    assert not spark.catalog.tableExists("kept")
    for name in ("kept_flat", "kept_whole"):
        spark.sql(f"DROP TABLE {name}")


ODD = "it's \\ \"so\" `called` \\' {x} -- é"
"""What would end a text or a name, were it not spelt as the engine wants it."""


def test_odd_texts_and_names_stay_what_they_are(spark: Any) -> None:
    frames = {
        "accounts": pd.DataFrame(
            {
                "account_id": [ODD, "b", "c"],
                "started_on": "2024-01-01",
                "ended_on": ["2024-03-01", "2024-04-01", None],
                "end_reason": [ODD, "price", None],
                ODD: [ODD, "x", None],
            }
        ),
        "behaviors": pd.DataFrame(
            {
                "account_id": [ODD, ODD, "b"],
                "occurred_at": ["2024-01-05", "2024-02-05", "2024-02-06"],
                "behavior": [ODD, ODD, "other"],
                "user_id": [ODD, "u", "u"],
            }
        ),
    }
    tables = ls.read_tables(
        frames, as_of="2024-05-01", attributes=[ODD], not_churn=[ODD], causes={"dear": ["price"]}
    )
    tables = tables.with_behaviors(Behaviors(keep=(ODD,)))
    process = Process("p", (ODD,), 1, 30, applies_to={ODD: (ODD,)})
    analysis = SuccessAnalysis((process,))
    found = ls.build_panel(tables, analysis, session=spark).frame
    assert_same(found, ls.build_panel(tables, analysis).frame)
    assert set(found["end_cause"].dropna()) == {ODD, "dear"}
    assert "adopted" in set(found["p_state"])


NUMBERS = (
    *("1", " 2.5 ", "-.5", "5.", "+3", "1e3", "1E-2", "12d", "1f", "0x10", "", " ", "1 2", "NaN"),
    *("inf", "-Infinity", "abc", "1,5", "1_000", "é", "1e", ".", "1e999", "1__0", "_1", "INF"),
)


def test_texts_are_numbers_in_both_or_in_neither(spark: Any) -> None:
    rows = ", ".join(f"({Spark().literal(text)})" for text in NUMBERS)
    found = spark.sql(f"SELECT {Spark().number('x')} AS y FROM VALUES {rows} AS v(x)").toPandas()
    rows = ", ".join(f"({DuckDB().literal(text)})" for text in NUMBERS)
    query = f"SELECT {DuckDB().number('x')} AS y FROM (VALUES {rows}) AS v(x)"
    expected = duckdb.connect().execute(query).df()
    assert found["y"].tolist() == pytest.approx(expected["y"].tolist(), nan_ok=True)


PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
RUN_HERE = r"(?ms)^<!-- not run: tests/test_spark.py [^\n]+ -->\n```python\n(.*?)^```"
SHOWN = re.findall(RUN_HERE, PAGE.read_text("utf-8"))
"""The examples on the page that need Spark, in their order."""


def test_the_examples_of_the_page_on_scale_run(
    classic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two tables and one behaviour: the fewer indicators, the sooner is a panel planned."""
    tables = ls.read_tables(write_small_business(tmp_path / "small", "accounts", "behaviors"))
    tables = tables.with_behaviors(Behaviors(keep=("reconciliation_completed",)))
    analysis = ls.read_success_analysis(tmp_path / "small" / "success.toml")
    model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables, analysis))
    monkeypatch.setattr(ls, "read_tables", lambda _: tables)
    monkeypatch.setattr(ls, "read_project", lambda _: tables.project)
    here, connect, scores = SHOWN
    names: dict[str, Any] = {"model": model}
    # Spark's process has a working folder of its own.
    exec(here.replace('"panel"', f'"{tmp_path / "panel"}"'), names)
    assert len(pq.read_table(tmp_path / "panel")) == len(names["small"].frame) > 1000
    exec(scores, names)
    assert {"rank", "alert", "next_step"} <= set(names["scores"].columns)
    if reason := no_connect():
        pytest.skip(reason)
    classic.sql(f"CREATE SCHEMA crm LOCATION '{tmp_path / 'crm'}'")
    for name, frame in in_spark(classic, tables, tmp_path).items():
        frame.write.saveAsTable(f"crm.{name}")
    address = f"localhost:{classic.conf.get('spark.connect.grpc.binding.port')}"
    assert "spark.example.com:15002" in connect
    connect = connect.replace("spark.example.com:15002", address)
    # Beside a classic session the builder has to be that of Connect.
    connect = connect.replace("pyspark.sql ", "pyspark.sql.connect.session ")
    remote: dict[str, Any] = {"ls": ls, "model": model}
    exec(connect, remote)
    expected = ls.score_accounts(model, tables, effects={}).frame
    found = classic.table("crm.churn_scores").toPandas().sort_values("rank")
    assert found["account_id"].tolist() == expected["account_id"].tolist()
    assert found["alert"].tolist() == expected["alert"].tolist()
    remote["spark"].stop()
    classic.sql("DROP SCHEMA crm CASCADE")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "sparc"}, "Did you mean 'spark'"),
        ({"engine": "duckdb", "session": object()}, "with a Spark session"),
        ({"session": object()}, "not a session that can run"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    case = random_case(8)
    with pytest.raises(ls.OptionError, match=told):
        ls.build_panel(case.read(), case.analysis, **options)


@pytest.mark.parametrize(
    ("kind", "conf", "host"),
    [
        ("classic", {"spark.master": "yarn"}, ""),
        ("connect", {"spark.master": "local[2]"}, "spark.example.com"),
        ("connect", {"spark.master": "yarn"}, "localhost"),
        ("connect", {}, "localhost"),
    ],
)
def test_a_cluster_needs_a_folder_that_it_can_read(
    kind: str, conf: dict[str, str], host: str
) -> None:
    module = "pyspark.sql.connect.session" if kind == "connect" else "pyspark.sql.session"
    session = type("SparkSession", (), {"__module__": module})()
    session.conf, session.client = conf, SimpleNamespace(host=host)
    with pytest.raises(ls.OptionError, match="Give staging"):
        staging_folder(session, None)
