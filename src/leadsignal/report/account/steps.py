"""What an account has missed, and what to agree on next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.report.account.parts import LATE, Missed
from leadsignal.report.account.review import Review
from leadsignal.scoring.scores import open_steps

FRESH = 90
"""A result older than so many days no longer says how things stand."""


def find_missed(made: Review) -> Iterator[Missed]:
    """Yield what needs a new date, the longest due first within its kind."""
    if made.facts["ended_on"]:
        return
    as_of, plan, standing = made.as_of_date, made.plan, made.standing
    reached = standing is not None and standing.met
    if plan and plan["closed_on"] is None and plan["target_on"] and not reached:
        days = (as_of - plan["target_on"]).days
        if days > 0:
            yield Missed(f"plan: {plan['objective']}", "both", plan["target_on"], days)
    for process in made.processes:
        if process.state == "overdue" and process.due_on:
            days = (as_of - process.due_on).days
            yield Missed(f"adopt {process.name}", "customer", process.due_on, days)
    late = made.commitments[made.commitments["state"] == LATE]
    for row in late.to_dict("records"):
        yield Missed(row["action"], row["owner"], row["due_on"].date(), row["days_after_due"])


def next_steps(
    made: Review, now: Mapping[str, Any], analysis: SuccessAnalysis, advised: str
) -> tuple[str, ...]:
    """Return what to agree on, the first first: plan, process, new dates, measuring, showing."""
    facts, plan, standing, as_of = made.facts, made.plan, made.standing, made.as_of_date
    if facts["ended_on"]:
        return ()
    steps = []
    if facts["notice_on"]:
        steps.append(f"talk about the notice given on {facts['notice_on']}")
    if plan is None or plan["closed_on"] is not None:
        steps.append("agree a success plan: objective, metric, target, date, sponsor")
    processes = [step for _, step in open_steps(now, analysis.processes, {})] if now else []
    steps += [advised, *processes[1:]] if advised else processes
    if made.missed:
        many = len(made.missed)
        steps.append(f"agree new dates for {many} missed {'items' if many > 1 else 'item'}")
    metric = analysis.bullseye_of(made.attributes).success_metric or "the result"
    if standing is None:
        steps.append(f"measure {metric}: there is no result yet")
    elif (as_of - standing.latest_on).days > FRESH:
        steps.append(f"measure {metric} again: the latest result is of {standing.latest_on}")
    elif standing.shown_on is None or standing.shown_on < standing.latest_on:
        steps.append(f"show the latest {metric} to the customer")
    return tuple(dict.fromkeys(steps))
