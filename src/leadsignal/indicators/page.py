"""The page of the docs that lists the indicators, written from their declarations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from leadsignal.indicators import Given, Indicator, declare_indicators
from leadsignal.project import UsageLow
from leadsignal.schema import TABLES
from leadsignal.success import Bullseye, Process, SuccessAnalysis, Tracking

HEAD = """# Indicators

Written from the declarations by `python -m leadsignal.indicators.page docs/indicators.md`; a test
keeps it so. Shown is what all twelve tables with all columns give, for an essential process named
`process` (4 events by 2 users in each window of 30 days), a success metric, tracking of all three
kinds, and one declared attribute, `segment`. Without a table or a column, its indicators are not
there.

A missing value is a state of its own: nothing was seen yet, or the data do not say.
"""
ROLES = {
    "leading": "Leading: what comes before",
    "lagging": "Lagging: what is seen once it is late",
    "context": "Context: what the account is",
}


def everything() -> tuple[Indicator, ...]:
    """Return the indicators that all tables with all their columns give."""
    analysis = SuccessAnalysis(
        (Process("process", ("reconciled",), 4, 30, by_users=2),),
        Bullseye(success_metric="metric"),
        Tracking(("sponsor_meeting",), ("owner_changed",), ("diary_kept",)),
    )
    columns = {table.name: frozenset(table.by_column) for table in TABLES}
    return declare_indicators(
        Given(columns, {"arr": "number", "segment": "text"}, analysis, UsageLow())
    )


def table_of(indicators: Iterable[Indicator]) -> str:
    """Return indicators as a Markdown table, in their order.

    >>> from leadsignal.indicators.declare import Fact
    >>> tenure = Indicator("tenure", "context", "context", "days", "since", Fact("tenure_days"))
    >>> print(table_of([tenure]))
    | indicator | family | unit | meaning |
    |---|---|---|---|
    | `tenure` | context | days | since |
    """
    lines = ["| indicator | family | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{i.name}` | {i.family} | {i.unit} | {i.meaning} |" for i in indicators]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    order = list(ROLES)
    ordered = sorted(everything(), key=lambda indicator: order.index(indicator.role))
    parts = [HEAD]
    for role, indicators in groupby(ordered, lambda indicator: indicator.role):
        parts.append(f"## {ROLES[role]}\n\n{table_of(indicators)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
