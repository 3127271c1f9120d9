"""Every indicator says what it is, once, and the docs say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadsignal.errors import OptionError
from leadsignal.indicators import Given, Indicator, declare_indicators
from leadsignal.indicators.page import everything, page
from leadsignal.panel import KEY_COLUMNS
from leadsignal.project import UsageLow
from leadsignal.success import Process, SuccessAnalysis

PAGE = Path(__file__).parents[1] / "docs" / "indicators.md"


@pytest.mark.parametrize("indicator", everything(), ids=lambda indicator: indicator.name)
def test_an_indicator_says_what_it_is(indicator: Indicator) -> None:
    assert indicator.name == indicator.name.strip().lower()
    assert indicator.family
    assert indicator.unit
    assert indicator.meaning
    assert not indicator.meaning.endswith(".")
    assert indicator.role in ("leading", "lagging", "context")


def test_names_are_unique_and_no_key_column() -> None:
    names = [indicator.name for indicator in everything()]
    assert len(set(names)) == len(names)
    assert not set(names) & set(KEY_COLUMNS)


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_two_indicators_of_one_name_are_refused() -> None:
    analysis = SuccessAnalysis((Process("activity", ("x",), 1, 7), Process("tenure", ("x",), 1, 7)))
    given = Given(
        {"accounts": frozenset(), "behaviors": frozenset()},
        {"tenure_days": "number"},
        analysis,
        UsageLow(),
    )
    with pytest.raises(OptionError, match="two indicators are named tenure_days"):
        declare_indicators(given)
