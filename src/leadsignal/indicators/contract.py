"""Requests to change the contract."""

from __future__ import annotations

from leadsignal.indicators.declare import (
    AvailableData,
    DaysSince,
    Fact,
    Family,
    Indicator,
    Ratio,
    Trailing,
)

FAMILY = "contract"
_indicator = Family(FAMILY, "leading")


def declare(available: AvailableData) -> list[Indicator]:
    """Declare expansions and reductions of the last year, and their amount."""
    if not available.has("contract_changes"):
        return []
    indicators = []
    for kind in ("expansion", "reduction"):
        where = (("kind", (kind,)),)
        indicators += [
            _indicator(
                f"contract_{kind}s_365d",
                "changes",
                f"{kind}s of the contract in the last 365 days",
                Trailing("contract_changes", "changed_at", 365, where),
            ),
            _indicator(
                f"contract_days_since_{kind}",
                "days",
                f"days since the last {kind} of the contract",
                DaysSince("contract_changes", "changed_at", where),
            ),
        ]
    if available.has("contract_changes", "arr_delta") and available.has("accounts", "arr"):
        change = Trailing("contract_changes", "changed_at", 365, total="arr_delta")
        indicators.append(
            _indicator(
                "contract_arr_change_365d",
                "share of ARR",
                "change of ARR in the last 365 days as a share of ARR",
                Ratio(change, Fact("arr")),
            )
        )
    return indicators
