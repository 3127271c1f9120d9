"""The engine against the slow reference: every indicator, outcome and episode, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd
import pytest

from leadsignal.panel import adoption_episodes, build_panel
from random_tables import Case, random_case
from reference_panel import Reference

SEEDS = range(60)


def plain(value: Any) -> Any:
    """A cell of a frame as a plain value; None where it is missing."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.date() if isinstance(value, pd.Timestamp) else value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{k: plain(v) for k, v in row.items()} for row in frame.to_dict("records")]


def differences(
    found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]
) -> list[tuple[str, date, str, Any, Any]]:
    """Cells that differ; rows must be the same rows."""
    key = [(row["account_id"], row["snapshot_on"]) for row in found]
    assert key == [(row["account_id"], row["snapshot_on"]) for row in expected]
    return [
        (*here, name, value, wanted[name])
        for here, row, wanted in zip(key, found, expected, strict=True)
        for name, value in row.items()
        if value != wanted[name]
    ]


def compare(case: Case) -> int:
    """Check a case, and return how many cells agreed."""
    tables, reference = case.read(), Reference(case)
    panel = build_panel(tables, case.analysis)
    found = records(panel.frame)
    assert differences(found, list(reference.panel(panel.indicators))) == []
    episodes = adoption_episodes(tables, case.analysis)
    assert [tuple(row.values()) for row in records(episodes)] == reference.episodes()
    return sum(len(row) for row in found)


@pytest.mark.parametrize("seed", SEEDS)
def test_engine_agrees_with_the_reference(seed: int) -> None:
    assert compare(random_case(seed)) > 0
