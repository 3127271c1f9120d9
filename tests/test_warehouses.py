"""The panel in a warehouse: the same cells as DuckDB's, and what is refused.

PostgreSQL and ClickHouse run here; where one is not installed its tests are skipped and say why.
More random tables than these: benchmarks/warehouse_panels.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from random_tables import random_case
from warehouses import connected, missing, put

pytestmark = pytest.mark.xdist_group("warehouses")


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    if reason := missing(request.param):
        pytest.skip(reason)
    with connected(request.param) as connection:
        yield request.param, connection


@pytest.mark.parametrize("seed", [0, 2, 14])
def test_random_tables_give_the_same_panel(
    seed: int, warehouse: tuple[str, Any], tmp_path: Path
) -> None:
    dialect, connection = warehouse
    case = random_case(seed)
    tables = case.read()
    names = put(connection, dialect, tables, tmp_path)
    there = ls.warehouse.read_warehouse_tables(
        connection, names, dialect=dialect, project=case.project, as_of=case.as_of
    )
    assert there.coverage == tables.coverage
    assert there.attributes == tables.attributes
    found, expected = ls.build_panel(there, case.analysis), ls.build_panel(tables, case.analysis)
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)
    assert found.indicators == expected.indicators
    assert found.notes == expected.notes
