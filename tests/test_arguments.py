"""Arguments of the wrong kind: each public function names what was given and what to give."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.arguments import SOURCES, _classes, checked

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
        "build_panel: tables is a SuccessAnalysis, not Tables or SparkTables; analysis is a str"
        " ('data/sample'), not SuccessAnalysis. Give what read_tables(folder) or"
        " spark.read_spark_tables(frames) returns; Give what read_success_analysis(file) returns."
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
