"""The panel on Apache Spark: the same rows as DuckDB's, cell for cell.

Needs pyspark and a Java runtime; without them every test here is skipped and says why. More random
tables than these: benchmarks/spark_panels.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.engine.dialect import Spark
from random_tables import random_case

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'leadsignal[spark]'")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs a Java runtime, and there is none", allow_module_level=True)

# py4j, which speaks to Java, leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

SEEDS = (0, 2, 8, 13, 21)
"""Between them all tables, late records, versions, users, dated attributes."""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A small session: little memory, few partitions, no code generation for so few rows."""
    from spark_session import small_session

    session = small_session(tmp_path_factory.mktemp("spark"))
    yield session
    session.stop()


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_tables_give_the_same_rows(spark: Any, seed: int) -> None:
    case = random_case(seed)
    tables = case.read()
    expected = ls.build_panel(tables, case.analysis)
    found = ls.build_panel(tables, case.analysis, session=spark)
    assert len(expected.frame)
    assert_same(found.frame, expected.frame)
    assert found.indicators == expected.indicators


@pytest.fixture(scope="module")
def sample(spark: Any) -> Iterator[tuple[ls.Tables, ls.SuccessAnalysis, ls.SparkPanel]]:
    tables = ls.read_tables(ls.sample_folder())
    analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    with ls.build_spark_panel(tables, analysis, session=spark) as panel:
        yield tables, analysis, panel


def test_the_sample_gives_the_same_rows(sample: Any) -> None:
    tables, analysis, panel = sample
    assert_same(panel.collect().frame, ls.build_panel(tables, analysis).frame)
