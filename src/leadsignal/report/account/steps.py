"""What an account has missed, and what to agree on next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.report.account.parts import LATE, Missed
from leadsignal.report.account.review import Review
from leadsignal.scoring.next_steps import NextStep, account_steps

if TYPE_CHECKING:
    from leadsignal.stats.estimates import Estimate

FRESH = 90
"""Number of days after which a new result should be measured."""


def find_missed(review: Review) -> Iterator[Missed]:
    """Yield the items that need a new date: plan, processes, commitments."""
    if review.facts["ended_on"]:
        return
    as_of, plan, status = review.as_of_date, review.plan, review.status
    reached = status is not None and status.met
    if plan and plan["closed_on"] is None and plan["target_on"] and not reached:
        days = (as_of - plan["target_on"]).days
        if days > 0:
            yield Missed(f"plan: {plan['objective']}", "both", plan["target_on"], days)
    for process in review.processes:
        if process.state == "overdue" and process.due_on:
            days = (as_of - process.due_on).days
            yield Missed(f"adopt {process.name}", "customer", process.due_on, days)
    late = review.commitments[review.commitments["state"] == LATE]
    for row in late.to_dict("records"):
        yield Missed(row["action"], row["owner"], row["due_on"].date(), row["days_after_due"])


def next_steps(
    review: Review,
    now: Mapping[str, Any],
    analysis: SuccessAnalysis,
    effects: Mapping[str, Estimate],
) -> tuple[NextStep, ...]:
    """Return what to agree on, the most important first.

    The order is notice, plan, processes, new dates, measuring, showing results.
    """
    facts, plan, status, as_of = review.facts, review.plan, review.status, review.as_of_date
    if facts["ended_on"]:
        return ()
    steps = []
    if facts["notice_on"]:
        steps.append(NextStep("talk about the notice given on", facts["notice_on"]))
    if plan is None or plan["closed_on"] is not None:
        steps.append(NextStep("agree a success plan: objective, metric, target, date, sponsor"))
    if now:
        import pandas as pd

        rows = pd.DataFrame([dict(now)])
        steps += account_steps(rows, analysis.processes, effects).of(review.account_id)
    if review.missed:
        count = len(review.missed)
        items = "items" if count > 1 else "item"
        steps.append(NextStep(f"agree new dates for {count} missed {items}"))
    metric = analysis.bullseye_of(review.attributes).success_metric or "the result"
    if status is None:
        steps.append(NextStep(f"measure {metric}: there is no result yet"))
    elif (as_of - status.latest_on).days > FRESH:
        text = f"measure {metric} again: the latest result is of"
        steps.append(NextStep(text, status.latest_on))
    elif status.shown_on is None or status.shown_on < status.latest_on:
        steps.append(NextStep(f"show the latest {metric} to the customer"))
    return tuple(steps)
