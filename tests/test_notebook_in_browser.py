"""Results in a cell of a notebook, in a real Chromium: they fit, and axe finds nothing."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from in_browser import axe_violations, visit

CELL = 1000
"""Width of a notebook's cell in pixels."""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that holds scores with long names, reasons and steps, as a cell shows them."""
    step = "start monthly_close_review: it was due on 2021-12-09; accounts that practise it stay"
    frame = pd.DataFrame(
        {
            "account_id": [f"A-{number:05d}" for number in range(276)],
            "name": "The Langridge Electrical and Mechanical Company",
            "owner": "Maximiliane von Hohenstein",
            "arr": 1_234_567.0,
            "currency": "EUR",
            "next_renewal": pd.Timestamp("2025-06-12"),
            "risk": 0.35,
            "expected_arr_loss": 432_098.5,
            "alert": True,
            "reason_1": "behavior_reconciliation_completed_events_per_user_of_the_last_quarter 0.4",
            "next_step": f"{step}, {step}",
            "model_version": "v",
        }
    )
    scores = ls.Scores(frame, date(2024, 1, 1), 180, "v", 0, {}, typical_risk=0.1)
    path = tmp_path_factory.mktemp("cell") / "cell.html"
    style = "body{margin:0;font:13px sans-serif}td,th{padding:.5em}"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>cell</title>'
        f"<style>{style}</style></head><body><main><h1>cell</h1>{scores._repr_html_()}</main>"
        "</body></html>",
        encoding="utf-8",
    )
    return path


def test_scores_fit_a_cell(browser: Any, cell: Path) -> None:
    with visit(browser, cell, CELL, "light") as visited:
        visited.is_silent(CELL)
        assert visited.page.evaluate("document.querySelector('table').scrollWidth") <= CELL
        text = visited.page.inner_text("main")
    assert "10 of 276 rows" in text
    assert "ARR, EUR a year" in text
    assert re.search(r"\b\d\d?\s%", text)


def test_axe_finds_nothing_in_a_cell(browser: Any, cell: Path) -> None:
    assert axe_violations(browser, cell, CELL, "light") == []
