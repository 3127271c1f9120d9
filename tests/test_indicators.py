"""Every indicator says what it is, once, and the docs say the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from leadsignal.config.project import UsageLow
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.engine.build import KEY_COLUMNS
from leadsignal.errors import OptionError
from leadsignal.indicators import AvailableData, Indicator, declare_indicators

DOCS = Path(__file__).parents[1] / "docs"

sys.path.insert(0, str(DOCS / "make"))
import indicators as indicator_pages  # noqa: E402  # beside the pages, no part of the library

everything = indicator_pages.everything


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


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return indicator_pages.pages()


def test_the_committed_pages_are_the_generated_ones(pages: dict[str, str]) -> None:
    made = {
        "indicators.md",
        *(f"indicators/{file.name}" for file in (DOCS / "indicators").iterdir()),
    }
    assert made == set(pages)
    for path, text in pages.items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, (
            f"{path}: python docs/make/indicators.py docs"
        )


def test_each_family_has_a_page_that_says_all_of_each_indicator(pages: dict[str, str]) -> None:
    for indicator in everything():
        text = pages[f"indicators/{indicator.family}.md"]
        (told,) = re.findall(rf"(?ms)^## {indicator.name}\n(.+?)(?=^## |\Z)", text)
        for part in ("Unit", "Counted", "Direction", "Empty", "Example"):
            assert re.search(rf"(?m)^- \*\*{part}:\*\* \S", told), f"{indicator.name}: {part}"
        assert indicator.role in text.partition("**Reads:**")[0]


def test_a_page_says_which_columns_its_family_reads() -> None:
    families = indicator_pages.by_family(everything())
    assert indicator_pages.read_by(families["plans"]) == {
        "plans": ["agreed_on", "target_on", "closed_on"]
    }
    assert indicator_pages.read_by(families["commitments"])["commitments"] == [
        "agreed_on", "due_on", "owner", "completed_on"
    ]  # fmt: skip
    assert set(indicator_pages.read_by(families["context"])) == {
        "accounts", "contract_changes", "account_changes"
    }  # fmt: skip


def test_what_a_page_calls_never_empty_is_never_empty_in_the_sample(
    pages: dict[str, str],
) -> None:
    never = [i.name for i in everything() if indicator_pages.when_empty(i).startswith("never")]
    assert never == ["process_state", "tenure_days"]
    row = indicator_pages.example()
    assert all(name in row for name in never)


def test_usage_of_several_series_has_words_too() -> None:
    columns = {"accounts": frozenset({"account_id"}), "usage": frozenset({"amount", "series"})}
    low = UsageLow(series=("logins", "exports"))
    declared = declare_indicators(AvailableData(columns, {}, SuccessAnalysis(()), low))
    usage = [one for one in declared if one.family == "usage"]
    told = " ".join(indicator_pages.counted(one.rule) for one in usage)
    assert "with `series` *logins*" in told
    assert indicator_pages.read_by(usage) == {"usage": ["used_on", "amount", "series"]}


def test_two_indicators_of_one_name_are_refused() -> None:
    analysis = SuccessAnalysis((Process("activity", ("x",), 1, 7), Process("tenure", ("x",), 1, 7)))
    given = AvailableData(
        {"accounts": frozenset(), "behaviors": frozenset()},
        {"tenure_days": "number"},
        analysis,
        UsageLow(),
    )
    with pytest.raises(OptionError, match="two indicators are named tenure_days"):
        declare_indicators(given)
