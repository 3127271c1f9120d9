"""Numbers and reasons in the words of the people who act on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leadsignal.indicators.declare import Attribute, DaysInState, ProcessState
from leadsignal.phrases import how_often as how_often
from leadsignal.phrases import how_often_between as how_often_between
from leadsignal.phrases import interval_text as interval_text
from leadsignal.phrases import of_hundred as of_hundred
from leadsignal.phrases import share_text as share_text

if TYPE_CHECKING:
    from leadsignal.indicators import Indicator

SPANS = {
    7: "a week", 14: "two weeks", 21: "three weeks", 28: "four weeks", 30: "one month",
    42: "six weeks", 56: "eight weeks", 60: "two months",
    90: "three months", 120: "four months", 180: "six months", 270: "nine months", 360: "a year",
    365: "a year", 730: "two years",
}  # fmt: skip
METHODS = {
    "random": "random picks",
    "usage": "low usage",
    "health": "your health score",
    "leading": "leading behaviours",
    "all": "all indicators",
    "model": "what the model reads",
}
"""What each method of a backtest goes by; models read the profile as well."""

ESTIMATORS = {
    "ensemble": "an ensemble of boosting and logistic regression",
    "boosting": "boosted trees",
    "logistic": "logistic regression",
    "cox": "a landmark Cox model",
}

LAGGING = {
    "usage": "usage",
    "activity": "activity",
    "satisfaction": "surveys",
    "flags": "flags",
    "health": "health scores",
}
RESULTS = {
    "result_gap": ("the latest result is {} short of its target",
                   "the latest result is {} beyond its target"),
    "result_gap_90d": ("results of the last 90 days: {} short of target on average",
                       "results of the last 90 days: {} beyond target on average"),
    "result_gap_change": ("results fell: {} of the target below those of the last 270 days",
                          "results rose: {} of the target above those of the last 270 days"),
}  # fmt: skip
"""How distances to a target read, below zero and above."""

_PROOF = re.compile(r"([^;]+) leave ([\d.]+) times as often \(([\d.]+) to ([\d.]+)\)([^;]*)")


def profile_words(panel: Mapping[str, Any]) -> str:
    """Return what context is among these tables; not all have contracts.

    >>> profile_words({"has_contract": False})
    'tenure and profile'
    """
    return "contract and firm" if panel["has_contract"] else "tenure and profile"


def method_words(name: str, panel: Mapping[str, Any]) -> str:
    """Return what a method of a backtest goes by, of a summary's ``panel``."""
    if name == "context":
        return f"{profile_words(panel)} only"
    if name == "lagging":
        told = [family for family in panel["lagging"] if family in LAGGING]
        # Where usage is recorded, activity is told with it.
        without = "activity" if "usage" in told else ""
        return listed([LAGGING[family] for family in told if family != without] or ["the past"])
    return METHODS.get(name, name)


def estimator_words(name: str) -> str:
    """Return what an estimator goes by."""
    return ESTIMATORS.get(name, name)


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words.

    >>> listed(["usage", "surveys", "flags"])
    'usage, surveys and flags'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def span(days: int) -> str:
    """Return a time in words where there are some.

    >>> span(180), span(200)
    ('six months', '200 days')
    """
    return SPANS.get(days, f"{days} days")


def proof_text(step: str) -> str:
    """Return the proven effect that a next step tells, in words; empty where it tells none.

    >>> proof_text("go; accounts that practise it leave 0.41 times as often (0.27 to 0.61), soon")
    'accounts that practise it leave 59 % less often (39 to 73 %), soon'
    """
    found = _PROOF.search(step)
    if found is None:
        return ""
    ratio, low, high = (float(part) for part in found.groups()[1:4])
    return f"{found[1].strip()} leave {how_often(ratio)} ({how_often_between(low, high)}){found[5]}"


def by_name(indicators: Iterable[Indicator]) -> dict[str, Indicator]:
    """Return indicators by name, the longest name first, so that no name hides a longer one."""
    held = {indicator.name: indicator for indicator in indicators}
    return {name: held[name] for name in sorted(held, key=len, reverse=True)}


def reason_text(reason: str, indicators: Mapping[str, Indicator]) -> str:
    """Return a reason of the scores as a phrase: what is counted, and how much it is.

    A reason of an indicator that is not among them stays as it is, without underscores.
    """
    return _told(*_reason_parts(reason, indicators))


def evidence(reasons: Iterable[str], indicators: Mapping[str, Indicator]) -> list[str]:
    """Return reasons as phrases, but those that are attributes of the account.

    A sales rep or a segment is nothing to call about, and may be a person's name.
    """
    parts = [_reason_parts(reason, indicators) for reason in reasons]
    return [_told(indicator, told) for indicator, told in parts if not _is_attribute(indicator)]


def _told(indicator: Indicator | None, told: str) -> str:
    return told.replace("_", " ") if indicator is None else _phrase(indicator, told)


def _is_attribute(indicator: Indicator | None) -> bool:
    return indicator is not None and isinstance(indicator.rule, Attribute)


def _reason_parts(reason: str, indicators: Mapping[str, Indicator]) -> tuple[Indicator | None, str]:
    """Return the indicator of a reason, None where there is no such, and what is told of it."""
    told = reason.partition(": ")[2] or reason
    for name, indicator in indicators.items():
        if told.startswith(f"{name} "):
            return indicator, told[len(name) + 1 :]
    return None, told


def _phrase(indicator: Indicator, value: str) -> str:
    if isinstance(indicator.rule, ProcessState):
        return f"{indicator.rule.process.replace('_', ' ')} {value}"
    if indicator.unit == "as given":
        return f"{indicator.name.replace('_', ' ')} {value}"
    if indicator.name == "usage_low":
        return "usage is low" if float(value) else "usage is not low"
    if isinstance(indicator.rule, DaysInState):
        process = indicator.rule.process.replace("_", " ")
        return f"{process}: no change for {value} days"
    told = meaning_text(indicator)
    if value.endswith("missing"):
        return f"{told}: none known"
    if indicator.name in RESULTS:
        below, above = RESULTS[indicator.name]
        share = float(value.replace(",", ""))
        return (below if share < 0 else above).format(share_text(abs(share)))
    if indicator.unit.startswith("share"):
        return f"{told}: {_percent(value)}"
    count = value.removesuffix(".0")
    if told.startswith("days since"):
        return f"{count} {told}"
    if told.startswith("quantity of "):
        what = told.removeprefix("quantity of ").removeprefix("all ")
        return f"no {what}" if count == "0" else f"{count} × {what}"
    return f"{told}: {count}"


def meaning_text(indicator: Indicator) -> str:
    """Return what an indicator counts, without its small print."""
    return re.split("[;:]", indicator.meaning)[0].replace("_", " ")


def _percent(value: str) -> str:
    number = float(value.replace(",", ""))
    return f"{number * 100:.0f} %".replace("-", "\N{MINUS SIGN}")


def indicator_text(name: Any, indicators: Mapping[str, Indicator]) -> str:
    """Return what an indicator is, in words; its name where nothing is known of it."""
    found = indicators.get(str(name))
    words = str(name).replace("_", " ")
    if found is None or found.unit == "as given":
        return words
    if isinstance(found.rule, ProcessState):
        return f"state of {found.rule.process.replace('_', ' ')}"
    return meaning_text(found)
