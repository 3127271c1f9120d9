"""The indicators: one file per family, each indicator declared once."""

from __future__ import annotations

from leadsignal.errors import OptionError
from leadsignal.indicators import (
    activity,
    behavior_metrics,
    behaviors,
    context,
    contract,
    plans,
    processes,
    results,
    satisfaction,
    tickets,
    tracking,
    usage,
)
from leadsignal.indicators.declare import AvailableData, Indicator
from leadsignal.targets import ROW_COLUMNS as RESULT_COLUMNS

FAMILIES = (
    processes,
    behavior_metrics,
    tracking,
    results,
    plans,
    tickets,
    contract,
    usage,
    activity,
    behaviors,
    satisfaction,
    context,
)


ROW_COLUMNS = {
    "results": RESULT_COLUMNS,
    "commitments": plans.ROW_COLUMNS,
    "account_changes": context.ROW_COLUMNS,
}
"""Columns computed in each row of a table before aggregation, as SQL."""


def declare_indicators(available: AvailableData) -> tuple[Indicator, ...]:
    """Return all indicators that the given tables and analysis support, in panel order.

    Raises OptionError if two indicators would have the same column.
    """
    declared = tuple(indicator for family in FAMILIES for indicator in family.declare(available))
    names = [indicator.name for indicator in declared]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(
            f"two indicators are named {', '.join(twice)}",
            "Rename the process, the metric, the attribute or the series",
        )
    return declared


__all__ = ["FAMILIES", "ROW_COLUMNS", "AvailableData", "Indicator", "declare_indicators"]
