"""Facts of the account: tenure, contract term and attributes."""

from __future__ import annotations

from leadsignal.indicators.declare import Attribute, AvailableData, Fact, Family, Indicator

FAMILY = "context"
_indicator = Family(FAMILY, "context")

ROW_COLUMNS = {"value_or_empty": "COALESCE(value, '')"}
"""Columns computed in each row of account_changes, as SQL: an empty value counts as a value."""


def declare(available: AvailableData) -> list[Indicator]:
    """Declare tenure, term and renewal if terms are known, and ARR and attributes if declared."""
    indicators = [_indicator("tenure_days", "days", "days since the start", Fact("tenure_days"))]
    if available.has("accounts", "term_months") or available.has("contract_changes", "term_months"):
        indicators += [
            _indicator("term_months", "months", "the contract's term", Fact("term_months")),
            _indicator(
                "days_to_renewal", "days", "days to the next renewal", Fact("days_to_renewal")
            ),
        ]
    if "arr" in available.attributes:
        indicators.append(
            _indicator("arr_now", "currency", "annual recurring revenue", Fact("arr"))
        )
    facts = ("arr", "term_months")
    return indicators + [
        _attribute(available, name) for name in available.attributes if name not in facts
    ]


def _attribute(available: AvailableData, name: str) -> Indicator:
    dated = available.has("account_changes")
    return _indicator(
        name,
        "as given",
        f"the account's {name}",
        Attribute(name, dated),
        kind="number" if available.attributes[name] == "number" else "category",
    )
