"""Results that hold a table behave like it, whatever they are results of."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.model.churn_model import Forecast
from leadsignal.results import Result

SOURCE = Path(__file__).parents[1] / "src" / "leadsignal"
OWN_FILES = {"BullseyePage", "Distilled", "SuccessAnalysis"}
"""Their `write` writes a document of its own, not the table."""
NOT_ONE_TABLE = {"Curves"}


def test_a_panel_behaves_like_its_rows(business_panel: ls.Panel, tmp_path: Path) -> None:
    assert len(business_panel) == len(business_panel.frame)
    assert business_panel["event"].equals(business_panel.frame["event"])
    assert len(business_panel.head(3)) == 3
    copy = business_panel.to_frame()
    copy["event"] = 9
    assert business_panel["event"].max() == 1
    with pytest.raises(ls.OptionError, match=r"Panel has no column 'evnt'. Did you mean 'event'\?"):
        business_panel["evnt"]


def test_a_forecast_behaves_like_its_table(
    business_model: ls.ChurnModel, business_panel: ls.Panel, tmp_path: Path
) -> None:
    forecast: Forecast = business_model.predict(business_panel.current())
    assert len(forecast) == len(forecast["risk"]) == len(forecast.account_id)
    assert list(forecast.head(2)) == list(forecast.to_frame())
    assert forecast.write(tmp_path / "forecast.csv").read_text().startswith("account_id,")
    assert forecast._repr_html_().startswith("<p>Forecast of")


def test_hazard_ratios_keep_their_covariates_when_written(
    business_panel: ls.Panel, tmp_path: Path
) -> None:
    ratios = ls.model.hazard_ratios(business_panel, indicators=["tickets_open"])
    assert len(ratios) == len(ratios.table)
    assert ratios["exp(coef)"].gt(0).all()
    written = ratios.write(tmp_path / "ratios.csv").read_text().splitlines()
    assert written[0].startswith("covariate,coef,")
    assert written[1].startswith("tickets_open,")


def test_every_class_with_a_table_is_a_result() -> None:
    """One base class: nobody writes ``to_frame`` for a table of their own."""
    own = {
        node.name
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name != Result.__name__
        for part in node.body
        if isinstance(part, ast.FunctionDef) and part.name == "to_frame"
    }
    assert own - OWN_FILES - NOT_ONE_TABLE == set()
