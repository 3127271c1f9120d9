"""Arguments of the wrong kind: each public function names what was given and what to give."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.arguments import SOURCES, _classes, checked, refuse_name

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "make"))
import reference

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: value for name, value in reference.public_names().items() if inspect.isfunction(value)
}
MISTAKES: dict[str, Any] = {
    "a path": Path("data/sample"),
    "text": '[[process]]\nname = "x"',
    "a frame": pd.DataFrame({"account_id": ["a"]}),
    "a number": 7,
    "a class": ls.ChurnModel,
    "an unfitted model": ls.ChurnModel(),
    "an analysis": ls.SuccessAnalysis(()),
    "a project": ls.Project(),
}
PARAMETERS = [
    (name, parameter.name)
    for name, function in FUNCTIONS.items()
    for parameter in inspect.signature(function).parameters.values()
    if _classes(parameter.annotation)
]


def test_every_public_function_is_checked() -> None:
    """A function that takes one of our classes has the decorator."""
    assert len(PARAMETERS) > 80
    for name, _ in PARAMETERS:
        assert hasattr(FUNCTIONS[name], "__wrapped__"), f"{name}: write @checked above it"


def test_each_class_says_what_returns_it() -> None:
    known = {name for name, value in reference.public_names().items() if inspect.isclass(value)}
    assert set(SOURCES) <= known


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_wrong_kind_is_refused_by_name(name: str, parameter: str, mistake: str) -> None:
    function, value = FUNCTIONS[name], MISTAKES[mistake]
    shape = inspect.signature(function)
    kinds = _classes(shape.parameters[parameter].annotation)
    if type(value).__name__ in kinds:
        return
    needed = {
        p.name: None for p in shape.parameters.values() if p.default is inspect.Parameter.empty
    }
    with pytest.raises(ls.OptionError) as caught:
        function(**{**needed, parameter: value})
    message = str(caught.value)
    assert f"{name}: " in message
    assert f"{parameter} is " in message
    assert kinds[0] in message
    assert SOURCES[kinds[0]] in message
    assert len(message) < 900


def test_all_faults_at_once() -> None:
    swapped: Any = (ls.SuccessAnalysis(()), "data/sample")
    with pytest.raises(ls.OptionError) as caught:
        ls.build_panel(*swapped)
    assert str(caught.value) == (
        "build_panel: tables is a SuccessAnalysis, not Tables or SparkTables or WarehouseTables;"
        " analysis is a str ('data/sample'), not SuccessAnalysis. Give what read_tables(folder) or"
        " spark.read_spark_tables(frames) or warehouse.read_warehouse_tables(connection, tables)"
        " returns; Give what read_success_analysis(file) returns."
    )


def test_a_model_that_is_not_fitted_is_named(business: ls.Tables) -> None:
    with pytest.raises(
        ls.ModelError, match=r"score_accounts: model is not fitted\. Call model.fit"
    ):
        ls.score_accounts(ls.ChurnModel(), business)


def test_missing_arguments_are_left_to_python() -> None:
    with pytest.raises(TypeError, match="missing 1 required"):
        ls.build_panel()  # type: ignore[call-arg]


def test_other_annotations_are_not_checked() -> None:
    @checked
    def function(tables: ls.Tables | str, number: int) -> int:
        return number

    assert function("x", 1) == 1


class SparkTables:
    """What has its rows in Spark is known by the name of its class: no Spark is needed here."""


class SparkPanel:
    """A panel whose rows are in Spark."""


class WarehouseTables:
    """What has its rows in a warehouse is known so too."""


Frame = type("DataFrame", (), {"__module__": "pyspark.sql.connect.dataframe"})
IN_SPARK_THINGS: dict[str, Any] = {
    "tables": SparkTables(),
    "a panel": SparkPanel(),
    "a frame": Frame(),
    "a mapping of frames": {"accounts": Frame()},
}
METHODS = [
    *((f"ChurnModel.{name}", getattr(ls.ChurnModel, name))
      for name in ("fit", "score", "recalibrated", "predict", "predict_proba", "typical_risk",
                   "reasons")),
    ("AsOfContext", ls.AsOfContext),
]  # fmt: skip
TAKES_ROWS = re.compile(r"Tables|Panel|DataFrame|AsOfContext|Mapping\[str, Any\]")
MADE_FOR_IT = {
    *((name, "tables", "tables") for name in ("build_panel", "build_spark_panel", "sample_panel")),
    ("read_spark_tables", "frames", "a mapping of frames"),
    ("save_scores", "scores", "a frame"),
}
TAKEN = [
    (name, function, parameter.name, thing)
    for name, function in (*FUNCTIONS.items(), *METHODS)
    for parameter in inspect.signature(function).parameters.values()
    for thing in IN_SPARK_THINGS
    if TAKES_ROWS.search(str(parameter.annotation))
    and ("mapping" not in thing or str(parameter.annotation).startswith("Mapping"))
    and (name, parameter.name, thing) not in MADE_FOR_IT
]


def test_enough_is_tried() -> None:
    assert len(TAKEN) > 250
    assert {"run_backtest", "ChurnModel.fit", "read_tables"} <= {name for name, *_ in TAKEN}


@pytest.mark.parametrize(("name", "function", "parameter", "thing"), TAKEN)
def test_what_is_in_spark_is_refused_with_what_to_do(
    name: str, function: Callable[..., Any], parameter: str, thing: str
) -> None:
    """Each function that takes tables, a panel or a frame names what to do instead."""
    needed: dict[str, Any] = {
        p.name: None
        for p in inspect.signature(function).parameters.values()
        if p.default is inspect.Parameter.empty
    }
    if "self" in needed:
        needed["self"] = ls.ChurnModel()
    with pytest.raises(ls.OptionError) as caught:
        function(**{**needed, parameter: IN_SPARK_THINGS[thing]})
    assert f"{parameter} is " in str(caught.value)
    assert "collect()" in str(caught.value) or "read_spark_tables" in str(caught.value)


def test_names_that_only_rows_in_memory_have_say_so() -> None:
    for thing, like, name in (
        (SparkTables(), ls.Tables, "frame"),
        (SparkPanel(), ls.Panel, "names"),
    ):
        with pytest.raises(ls.OptionError, match=r"the rows are in Spark\. .*collect\(\)"):
            refuse_name(thing, name, like)
        with pytest.raises(AttributeError, match="no attribute 'other'"):
            refuse_name(thing, "other", like)


def test_what_is_in_a_warehouse_is_refused_with_what_to_do() -> None:
    there: Any = WarehouseTables()
    told = r"in a warehouse\. .*build_panel\(tables\)"
    with pytest.raises(ls.OptionError, match=told):
        ls.compare_cohorts(there, by="anything")
    with pytest.raises(ls.OptionError, match=told):
        refuse_name(there, "frame", ls.Tables)
