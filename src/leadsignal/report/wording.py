"""Numbers and next steps in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from leadsignal.model.indicator_words import by_name as by_name
from leadsignal.model.indicator_words import indicator_text as indicator_text
from leadsignal.model.indicator_words import name_text as name_text
from leadsignal.package_data import packaged_toml
from leadsignal.phrases import day_text
from leadsignal.phrases import how_often as how_often
from leadsignal.phrases import how_often_between as how_often_between
from leadsignal.phrases import interval_text as interval_text
from leadsignal.phrases import money as money
from leadsignal.phrases import of_hundred as of_hundred
from leadsignal.phrases import rate_text as rate_text
from leadsignal.phrases import share_text as share_text

if TYPE_CHECKING:
    from leadsignal.report.summary_types import PanelSummary, RatioSummary, Summary

WORDS = packaged_toml("leadsignal.report", "words.toml")
LAGGING: Mapping[str, str] = WORDS["lagging"]


def profile_words(panel: PanelSummary) -> str:
    """Return the name of an account's context, which depends on whether there are contracts.

    >>> profile_words({"has_contract": False})
    'tenure and profile'
    """
    return "contract and firm" if panel["has_contract"] else "tenure and profile"


def method_words(name: str, panel: PanelSummary) -> str:
    """Return the name of a method of a backtest; ``panel`` is the part of a summary."""
    if name == "context":
        return f"{profile_words(panel)} only"
    if name == "lagging":
        families = [family for family in panel["lagging"] if family in LAGGING]
        # Usage includes activity if both are recorded.
        without = "activity" if "usage" in families else ""
        return listed([LAGGING[family] for family in families if family != without] or ["the past"])
    return str(WORDS["methods"].get(name, name))


def estimator_words(name: str) -> str:
    """Return the name of an estimator."""
    return str(WORDS["estimators"].get(name, name))


def listed(names: Sequence[str]) -> str:
    """Return names joined as in a sentence.

    >>> listed(["usage", "surveys", "flags"])
    'usage, surveys and flags'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def span(days: int) -> str:
    """Return a number of days in words, if there is a common expression for it.

    >>> span(180), span(200)
    ('six months', '200 days')
    """
    return str(WORDS["spans"].get(str(days), f"{days} days"))


def effect_words(effect: RatioSummary, lag_days: int) -> str:
    """Return the proven effect of a process in words.

    >>> effect_words({"estimate": 0.41, "low": 0.27, "high": 0.61}, 90)
    'accounts that practise it leave 59 % less often (39 to 73 %), 90 days later'
    """
    often = how_often(effect["estimate"] or 1.0)
    between = how_often_between(effect["low"], effect["high"])
    return f"accounts that practise it leave {often} ({between}), {lag_days} days later"


def as_of_text(summary: Summary) -> str:
    """Return the day of a report as plain text."""
    return day_text(date.fromisoformat(summary["as_of"]))


def sentence(text: str) -> str:
    """Return the text with underscores in names replaced by spaces, beginning with a capital.

    >>> sentence("start weekly_close")
    'Start weekly close'
    """
    words = name_text(text)
    return words[:1].upper() + words[1:]


def step_words(text: str, day: date | None) -> str:
    """Return a next step as a sentence that ends with its day.

    >>> step_words("start weekly_close: it was due on", date(2023, 8, 2))
    'Start weekly close: it was due on 2 Aug 2023'
    """
    return sentence(text) if day is None else f"{sentence(text)} {day_text(day)}"
