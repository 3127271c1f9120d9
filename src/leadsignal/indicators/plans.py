"""Success plans, and commitments of customer and vendor."""

from __future__ import annotations

from leadsignal.indicators.declare import (
    AvailableData,
    Difference,
    Family,
    Indicator,
    Ratio,
    Standing,
    Trailing,
)

PLANS = "plans"
COMMITMENTS = "commitments"
_plan = Family(PLANS, "leading")
_commitment = Family(COMMITMENTS, "leading")

ROW_COLUMNS = {
    "kept": (
        "CASE WHEN completed_on IS NOT NULL AND completed_on <= due_on THEN 'yes' ELSE 'no' END"
    )
}
"""Columns computed in each row of commitments, as SQL: ``kept`` means done by the due date."""


def declare(available: AvailableData) -> list[Indicator]:
    """Declare open and overdue plans, and open, overdue and kept commitments by owner."""
    indicators = _plans(available) if available.has("plans") else []
    if available.has("commitments", "completed_on"):
        for owner in ("customer", "vendor"):
            indicators += _commitments(owner)
    return indicators


def _plans(available: AvailableData) -> list[Indicator]:
    indicators = [
        _plan(
            "plans_open",
            "plans",
            "success plans agreed and not closed",
            Standing("plans", "agreed_on", "closed_on"),
        )
    ]
    if available.has("plans", "target_on"):
        indicators.append(
            _plan(
                "plans_overdue",
                "plans",
                "open plans past their target date",
                Standing("plans", "target_on", "closed_on"),
            )
        )
    return indicators


def _commitments(owner: str) -> list[Indicator]:
    where = (("owner", (owner,)),)

    def kept(days: int) -> Ratio:
        return Ratio(
            Trailing("commitments", "due_on", days, (*where, ("kept", ("yes",)))),
            Trailing("commitments", "due_on", days, where),
        )

    return [
        _commitment(
            f"{owner}_commitments_open",
            "commitments",
            f"commitments of the {owner} not yet done",
            Standing("commitments", "agreed_on", "completed_on", where),
        ),
        _commitment(
            f"{owner}_commitments_overdue",
            "commitments",
            f"commitments of the {owner} past their date and not done",
            Standing("commitments", "due_on", "completed_on", where),
        ),
        _commitment(
            f"{owner}_commitments_kept_180d",
            "share",
            f"share of the {owner}'s commitments due in the last 180 days done by their date",
            kept(180),
        ),
        _commitment(
            f"{owner}_commitments_kept_365d",
            "share",
            f"share of the {owner}'s commitments due in the last 365 days done by their date",
            kept(365),
        ),
        _commitment(
            f"{owner}_commitments_kept_trend",
            "share",
            f"share of the {owner}'s commitments kept in the last 180 days, less that in the last"
            " 365",
            Difference(kept(180), kept(365)),
        ),
    ]
