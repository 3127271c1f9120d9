"""Processes whose names begin or end like another's: each has its own indicators and no other's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import UsageLow
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.indicators import Indicator, declare_indicators
from leadsignal.indicators.behaviors import PROCESS_PARTS, process_columns
from leadsignal.indicators.declare import AvailableData
from leadsignal.model.cox_design import one_of_each
from leadsignal.model.explanation import MIN_ADOPTERS
from leadsignal.model.features import Features
from leadsignal.model.provenance import Origin
from leadsignal.model.reasons import indicator_text, reason_text
from leadsignal.success_analysis.discovery import _apart

NAMES = ("alpha", "alpha_beta", "alpha_adopted")


def _analysis(*names: str) -> SuccessAnalysis:
    return SuccessAnalysis(tuple(Process(name, (name,), 1, 30) for name in names))


def _declared(*names: str, users: bool = True, attributes: tuple[str, ...] = ()) -> list[Indicator]:
    columns = {"accounts": frozenset({"account_id", "started_on"})}
    columns["behaviors"] = frozenset({"account_id", "behavior", "occurred_at"})
    columns["behaviors"] |= {"user_id"} if users else set()
    kinds = dict.fromkeys(attributes, "number")
    given = AvailableData(columns, kinds, _analysis(*names), UsageLow())  # type: ignore[arg-type]
    return list(declare_indicators(given))


@dataclass
class FirstColumns:
    """Hazards whose risk tells every column apart."""

    read: list[np.ndarray] = field(default_factory=list)

    def curves(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.read.append(matrix.copy())
        return np.zeros((len(matrix), 1)), np.ones((len(matrix), 1))


def _changed(indicators: list[Indicator], process: str) -> set[str]:
    """Return the columns that risk_if_adopted changes in the row of an account without it."""
    names = tuple(i.name for i in indicators)
    levels = {i.name: ("adopted", "pending") for i in indicators if i.kind == "category"}
    model = ls.ChurnModel()
    model.features_ = Features(names, levels)
    model.families_ = {i.name: i.family for i in indicators}
    model.analysis_ = _analysis(*NAMES)
    model.origin_ = Origin()
    model.hazards_ = FirstColumns()  # type: ignore[assignment]
    adopters = MIN_ADOPTERS + 1
    rows = pd.DataFrame({n: np.ones(adopters + 1) for n in names if n not in levels})
    for name in levels:
        rows[name] = ["adopted"] * adopters + ["pending"]
    rows.loc[adopters, [n for n in names if n not in levels]] = 5.0
    rows["account_id"] = [f"A-{k}" for k in range(len(rows))]
    before = model.features_.matrix(rows)[-1]
    ls.model.risk_if_adopted(model, rows, process, alike=())
    (after,) = model.hazards_.read  # type: ignore[attr-defined]
    return {name for name, a, b in zip(names, before, after[0], strict=True) if a != b}


@pytest.mark.parametrize("process", NAMES)
def test_adopting_a_process_changes_its_own_indicators_only(process: str) -> None:
    parts = ["state", "days_in_state", "events", "days_since", "users"]
    parts += [f"adopted_share_{days}d" for days in (90, 180, 365)]
    parts += ["adopted_trend", "lapses_365d"]
    assert _changed(_declared(*NAMES), process) == {f"{process}_{part}" for part in parts}


def test_an_attribute_named_like_an_indicator_is_not_the_process() -> None:
    declared = _declared(*NAMES, users=False, attributes=("alpha_users", "alpha_region"))
    assert not {"alpha_users", "alpha_region"} & _changed(declared, "alpha")


def test_two_processes_that_would_share_a_column_are_refused() -> None:
    with pytest.raises(ls.OptionError, match="alpha_days_in_state"):
        _declared("alpha", "alpha_days_in")


def test_a_state_stands_for_its_own_process_only() -> None:
    declared = _declared(*NAMES, attributes=("alpha_region",))
    kept, left_out = one_of_each(declared)
    assert {f"{name}_state" for name in NAMES} | {"alpha_region"} <= {i.name for i in kept}
    details = [one for one in left_out if one.name.startswith("alpha")]
    assert len(details) == (len(PROCESS_PARTS) - 1) * len(NAMES)
    for one in details:
        (process,) = [name for name in NAMES if one.name in process_columns(name)]
        assert f"{process}_state;" in one.reason


def _words(name: str, value: Any, indicators: dict[str, Indicator]) -> str:
    return reason_text(name, value, indicators[name])


@pytest.mark.parametrize("process", ["alpha", "alpha_state", "alpha_days_in_state"])
def test_words_name_the_process_and_not_what_is_left_of_a_column(process: str) -> None:
    indicators = {i.name: i for i in _declared(process)}
    words = process.replace("_", " ")
    assert indicator_text(f"{process}_state", indicators) == f"state of {words}"
    assert _words(f"{process}_state", "lapsed", indicators) == f"{words} lapsed"
    days = _words(f"{process}_days_in_state", 40.0, indicators)
    assert days == f"{words}: no change for 40 days"


def test_an_attribute_called_usage_low_is_told_as_it_is() -> None:
    indicators = {i.name: i for i in _declared("alpha", attributes=("usage_low",))}
    assert _words("usage_low", "often", indicators) == "usage low often"


def test_discovered_names_stay_apart_from_names_that_look_numbered() -> None:
    twice, numbered = Process("a", ("A",), 1, 30), Process("a_2", ("a 2",), 1, 30)
    for order in ([twice, twice, numbered], [twice, numbered, twice], [numbered, twice, twice]):
        names = [process.name for process in _apart(order)]
        assert len(set(names)) == 3
        assert {"a", "a_2"} < set(names)
