"""Facts of the account, its contract, its tickets and its usage, the lagging signal."""

from __future__ import annotations

import re

from leadsignal.config.project import UsageLow
from leadsignal.indicators.declare import (
    Attribute,
    AvailableData,
    Below,
    DaysSince,
    Fact,
    Family,
    Indicator,
    Least,
    Ratio,
    RelativeRate,
    Standing,
    Trailing,
    UsageToBest,
    Where,
)

_context = Family("context", "context")

ACCOUNT_CHANGE_COLUMNS = {"value_or_empty": "COALESCE(value, '')"}
"""Columns computed in each row of account_changes, as SQL: an empty value counts as a value."""


def declare_context(available: AvailableData) -> list[Indicator]:
    """Declare tenure, term and renewal if terms are known, and ARR and attributes if declared."""
    indicators = [_context("tenure_days", "days", "days since the start", Fact("tenure_days"))]
    if available.has("accounts", "term_months") or available.has("contract_changes", "term_months"):
        indicators += [
            _context("term_months", "months", "the contract's term", Fact("term_months")),
            _context(
                "days_to_renewal", "days", "days to the next renewal", Fact("days_to_renewal")
            ),
        ]
    if "arr" in available.attributes:
        indicators.append(_context("arr_now", "currency", "annual recurring revenue", Fact("arr")))
    facts = ("arr", "term_months")
    return indicators + [
        _attribute(available, name) for name in available.attributes if name not in facts
    ]


def _attribute(available: AvailableData, name: str) -> Indicator:
    dated = available.has("account_changes")
    return _context(
        name,
        "as given",
        f"the account's {name}",
        Attribute(name, dated),
        kind="number" if available.attributes[name] == "number" else "category",
    )


_contract = Family("contract", "leading")


def declare_contract(available: AvailableData) -> list[Indicator]:
    """Declare expansions and reductions of the last year, and their amount."""
    if not available.has("contract_changes"):
        return []
    indicators = []
    for kind in ("expansion", "reduction"):
        where = (("kind", (kind,)),)
        indicators += [
            _contract(
                f"contract_{kind}s_365d",
                "changes",
                f"{kind}s of the contract in the last 365 days",
                Trailing("contract_changes", "changed_at", 365, where),
            ),
            _contract(
                f"contract_days_since_{kind}",
                "days",
                f"days since the last {kind} of the contract",
                DaysSince("contract_changes", "changed_at", where),
            ),
        ]
    if available.has("contract_changes", "arr_delta") and available.has("accounts", "arr"):
        change = Trailing("contract_changes", "changed_at", 365, total="arr_delta")
        indicators.append(
            _contract(
                "contract_arr_change_365d",
                "share of ARR",
                "change of ARR in the last 365 days as a share of ARR",
                Ratio(change, Fact("arr")),
            )
        )
    return indicators


_ticket = Family("tickets", "leading")


def declare_tickets(available: AvailableData) -> list[Indicator]:
    """Declare recently opened tickets and open tickets."""
    if not available.has("tickets"):
        return []
    indicators = [
        _ticket(
            f"tickets_opened_{days}d",
            "tickets",
            f"tickets opened in the last {days} days",
            Trailing("tickets", "opened_at", days),
        )
        for days in (30, 90, 365)
    ]
    if available.has("tickets", "closed_at"):
        indicators.append(
            _ticket(
                "tickets_open",
                "tickets",
                "tickets open now",
                Standing("tickets", "opened_at", "closed_at"),
            )
        )
    return indicators


_usage = Family("usage", "lagging")


def declare_usage(available: AvailableData) -> list[Indicator]:
    """Declare the level, the level relative to the account's best period, and whether it is low.

    Each series has its own indicators; usage is low if the lowest of them is.
    """
    if not available.has("usage"):
        return []
    low = available.usage_low
    since = _usage(
        "usage_days_since",
        "days",
        "days since usage was last recorded",
        DaysSince("usage", "used_on"),
    )
    if not low.series:
        return [*_series(low, "", "", ()), since]
    each = [one for name in low.series for one in _of_series(low, name)]
    least = Least(tuple(_to_best(low, _where(name)) for name in low.series))
    meaning = "the lowest usage_to_best of the series"
    return [
        *each,
        _usage("usage_to_best", "ratio", meaning, least),
        _low(low, "usage_low", "usage_to_best", least),
        since,
    ]


def _where(series: str) -> Where:
    return (("series", (series,)),)


def _of_series(low: UsageLow, name: str) -> list[Indicator]:
    column = re.sub(r"\W+", "_", name).strip("_").lower()
    return _series(low, f"_{column}", f" of {name}", _where(name))


def _series(low: UsageLow, suffix: str, of: str, where: Where) -> list[Indicator]:
    lately = Trailing("usage", "used_on", low.window, where, total="amount")
    quarter = Trailing("usage", "used_on", 3 * low.window, where, total="amount")
    year = Trailing("usage", "used_on", 365, where, total="amount")
    season = Trailing("usage", "used_on", 90, where, total="amount")
    to_best = _to_best(low, where)
    return [
        _usage(
            f"usage_amount{suffix}", "amount", f"usage{of} in the last {low.window} days", lately
        ),
        _usage(
            f"usage_share_of_quarter{suffix}",
            "share",
            f"usage{of} in the last {low.window} days over that in the last {3 * low.window}",
            Ratio(lately, quarter),
        ),
        _usage(
            f"usage_trend{suffix}",
            "times normal",
            f"usage{of} a day in the last 90 days over that in the 275 before",
            RelativeRate(season, year),
        ),
        _usage(
            f"usage_to_best{suffix}",
            "ratio",
            f"mean usage{of} of the last {low.window} days over that of the best {low.best} days",
            to_best,
        ),
        _low(low, f"usage_low{suffix}", f"usage_to_best{suffix}", to_best),
    ]


def _to_best(low: UsageLow, where: Where) -> UsageToBest:
    return UsageToBest(low.window, low.best, low.within, where)


def _low(low: UsageLow, name: str, of: str, value: UsageToBest | Least) -> Indicator:
    meaning = f"1 where {of} is below {low.ratio:g}"
    return _usage(name, "0 or 1", meaning, Below(value, low.ratio))
