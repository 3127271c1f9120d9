"""The indicators: each declared once, by a function for each family."""

from __future__ import annotations

from leadsignal.errors import OptionError
from leadsignal.indicators.account import (
    ACCOUNT_CHANGE_COLUMNS,
    declare_context,
    declare_contract,
    declare_results,
    declare_satisfaction,
    declare_tickets,
    declare_usage,
)
from leadsignal.indicators.behaviors import (
    COMMITMENT_COLUMNS,
    declare_activity,
    declare_behaviors,
    declare_metrics,
    declare_plans,
    declare_processes,
    declare_tracking,
)
from leadsignal.indicators.declare import AvailableData, Indicator
from leadsignal.targets import ROW_COLUMNS as RESULT_COLUMNS

FAMILIES = (
    declare_processes,
    declare_metrics,
    declare_tracking,
    declare_results,
    declare_plans,
    declare_tickets,
    declare_contract,
    declare_usage,
    declare_activity,
    declare_behaviors,
    declare_satisfaction,
    declare_context,
)


ROW_COLUMNS = {
    "results": RESULT_COLUMNS,
    "commitments": COMMITMENT_COLUMNS,
    "account_changes": ACCOUNT_CHANGE_COLUMNS,
}
"""Columns computed in each row of a table before aggregation, as SQL."""


def declare_indicators(available: AvailableData) -> tuple[Indicator, ...]:
    """Return all indicators that the given tables and analysis support, in panel order.

    Raises OptionError if two indicators would have the same column.
    """
    declared = tuple(indicator for declare in FAMILIES for indicator in declare(available))
    names = [indicator.name for indicator in declared]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(
            f"two indicators are named {', '.join(twice)}",
            "Rename the process, the metric, the attribute or the series",
        )
    return declared


__all__ = ["FAMILIES", "ROW_COLUMNS", "AvailableData", "Indicator", "declare_indicators"]
