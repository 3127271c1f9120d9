"""Readable texts for indicators and their values, from the indicators' declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from leadsignal.indicators.declare import DaysInState, Fact, FirstBy, ProcessState
from leadsignal.phrases import share_text

if TYPE_CHECKING:
    from leadsignal.indicators.declare import Indicator

RESULTS = {
    "result_gap": ("the latest result is {} short of its target",
                   "the latest result is {} beyond its target"),
    "result_gap_90d": ("results of the last 90 days: {} short of target on average",
                       "results of the last 90 days: {} beyond target on average"),
    "result_gap_change": ("results fell: {} of the target below those of the last 270 days",
                          "results rose: {} of the target above those of the last 270 days"),
}  # fmt: skip
"""Wording of distances to a target below and above zero."""
SIDES = {
    "result_gap": ("{} short of it", "{} beyond it", "on target"),
    "result_gap_90d": ("{} short", "{} beyond", "on target"),
    "result_gap_change": ("{} below", "{} above", "unchanged"),
}
"""Wording of the usual distance below zero, above zero and at zero."""
FACTS = {
    "days_to_renewal": "renews in {} days",
    "tenure_days": "a customer for {} days",
    "term_months": "a term of {} months",
}
"""Wording of facts about the account."""
LAST = re.compile(r"days since the (?:last|latest) (.+)$")
COUNTED = re.compile(r"quantity of (?:all )?(.+?)( in \d+ days)?$")


def name_text(name: str) -> str:
    """Return the name of a column or process as words.

    >>> name_text("weekly_reconciliation")
    'weekly reconciliation'
    """
    return name.replace("_", " ")


def by_name(indicators: Iterable[Indicator]) -> dict[str, Indicator]:
    """Return indicators by name, longest name first, so that a prefix does not match first."""
    found = {indicator.name: indicator for indicator in indicators}
    return {name: found[name] for name in sorted(found, key=len, reverse=True)}


def indicator_text(name: Any, indicators: Mapping[str, Indicator]) -> str:
    """Return what an indicator is, in words; its name if it is not declared."""
    found = indicators.get(str(name))
    if found is None or found.unit == "as given":
        return name_text(str(name))
    if isinstance(found.rule, ProcessState):
        return f"state of {name_text(found.rule.process)}"
    return meaning_text(found)


def meaning_text(indicator: Indicator) -> str:
    """Return what an indicator measures, without the details."""
    return name_text(re.split("[;:]", indicator.meaning)[0])


def reason_text(
    name: str, value: Any, indicator: Indicator | None = None, reference: Any = None
) -> str:
    """Return an indicator's value as a phrase: what it measures, its value, and what is usual.

    Parameters
    ----------
    name : str
        The indicator's name, used as text if ``indicator`` is None.
    value : object
        Its value; None if it is missing.
    indicator : Indicator, optional
        Its declaration, which describes what is measured and over which window.
    reference : object, optional
        The usual value; omitted if None or equal to ``value``.

    Examples
    --------
    >>> from leadsignal.indicators.declare import Indicator, Trailing
    >>> meaning = "tickets opened in the last 30 days"
    >>> rule = Trailing("tickets", "opened_at", 30)
    >>> tickets = Indicator("tickets_30d", "tickets", "leading", "tickets", meaning, rule)
    >>> reason_text("tickets_30d", 1.0, tickets, 4.5)
    '1 ticket opened in 30 days, usually 4.5'
    >>> reason_text("tickets_30d", 0.0, tickets, 2.0)
    'no tickets opened in 30 days, usually 2'
    """
    return f"{_phrase(name, value, indicator)}{_usually(name, value, indicator, reference)}"


def _usually(name: str, value: Any, indicator: Indicator | None, reference: Any) -> str:
    """Return the usual value as the end of a phrase; empty if it is the same or unknown."""
    if value is None or reference in (None, value) or name == "usage_low":
        return ""
    if indicator is not None and isinstance(indicator.rule, FirstBy):
        return ""
    if name in SIDES and indicator is not None:
        below, above, none = SIDES[name]
        distance = share_text(abs(reference))
        side = none if distance == share_text(0.0) else below if reference < 0 else above
        return f", usually {side.format(distance)}"
    mine, usual = (_amount(one, indicator) for one in (value, reference))
    if mine == usual:
        usual = f"{reference:,.6g}"
    is_count = indicator is not None and re.fullmatch(r"(?!days|months)\w+s", indicator.unit)
    return f", usually {'none' if usual == '0' and is_count else name_text(usual)}"


def _phrase(name: str, value: Any, indicator: Indicator | None) -> str:
    amount = _amount(value, indicator)
    if indicator is None or indicator.unit == "as given":
        return f"{name_text(name)} {name_text(amount)}"
    if isinstance(indicator.rule, ProcessState):
        return f"{name_text(indicator.rule.process)} {name_text(amount)}"
    meaning = _short(indicator)
    if isinstance(indicator.rule, FirstBy):
        return f"{meaning}: {'not known yet' if value is None else 'done' if value else 'not done'}"
    if value is None:
        found = LAST.match(meaning)
        return f"no record of {found[1]}" if found else f"{meaning}: none known"
    if name == "usage_low":
        return "usage is low" if value else "usage is not low"
    if isinstance(indicator.rule, DaysInState):
        unchanged = _singular(f"no change for {amount} days", amount, "days")
        return f"{name_text(indicator.rule.process)}: {unchanged}"
    if name in RESULTS:
        below, above = RESULTS[name]
        return (below if value < 0 else above).format(share_text(abs(value)))
    if isinstance(indicator.rule, Fact) and name in FACTS:
        return _singular(FACTS[name].format(amount), amount, FACTS[name].split()[-1])
    return _counted(indicator, meaning, amount)


def _counted(indicator: Indicator, meaning: str, amount: str) -> str:
    """Return a number together with what it counts."""
    if meaning.startswith("days since"):
        return _singular(f"{amount} {meaning}", amount, "days")
    if found := COUNTED.match(meaning):
        what, window = found[1], found[2] or ""
        return f"no {what}{window}" if amount == "0" else f"{what}: {amount}{window}"
    if _counts(indicator):
        counted = _singular(meaning, amount, indicator.unit)
        return f"{'no' if amount == '0' else amount} {counted}"
    return f"{meaning}: {amount}"


def _short(indicator: Indicator) -> str:
    """Return what an indicator measures, with a shorter text for its window."""
    return re.sub(r"\bin the last (\d+) days", r"in \1 days", meaning_text(indicator))


def _counts(indicator: Indicator) -> bool:
    """Whether the unit names what is counted, as "tickets" in "tickets opened in 30 days"."""
    unit = indicator.unit
    return unit.endswith("s") and re.search(rf"\b{unit}\b", indicator.meaning) is not None


def _singular(text: str, amount: str, unit: str) -> str:
    """Return the text in the singular if the amount is 1: "ticket opened"."""
    if amount != "1":
        return text
    return re.sub(rf"\b{unit}\b", unit[:-1], text, count=1).replace(" their ", " its ")


def _amount(value: Any, indicator: Indicator | None) -> str:
    """Return a value as text, with few digits."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value
    number = float(value)
    if indicator is not None and indicator.unit.startswith("share"):
        return share_text(number).replace("-", "\N{MINUS SIGN}")
    if abs(number) >= 10:
        return f"{number:,.0f}"
    return f"{number:.2g}".replace("-", "\N{MINUS SIGN}")
