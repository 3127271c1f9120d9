"""Method and caveats: how the numbers are computed, and their limitations."""

from __future__ import annotations

from datetime import date

from leadsignal.html_pages import Html, number, section, tag
from leadsignal.phrases import day_text
from leadsignal.report.summary_types import Summary
from leadsignal.report.wording import profile_words, share_text, span


def method_section(title: str, summary: Summary) -> Html:
    """Return how the numbers are computed, their limitations, and what is missing."""
    return section(
        "method", title, tag("h3", "How the numbers are computed"), _items(_methods(summary)),
        tag("h3", "What they do not say"), _items(_not_said(summary)), _missing(summary),
    )  # fmt: skip


def _items(items: list[str]) -> Html:
    return tag("ul", *(tag("li", one) for one in items))


def _methods(summary: Summary) -> list[str]:
    panel, early = summary["panel"], span(summary["warning_time_days"])
    first = panel["first"]
    since = f" from {day_text(date.fromisoformat(first))}" if first else ""
    items = [
        f"Data: {number(panel['accounts'])} accounts{since}, looked at every"
        f" {panel['every_days']} days with {panel['indicators']} indicators;"
        f" {number(panel['events'])} churned. Each look knows only what was recorded by that"
        " midnight. What a table cannot know yet is unknown, not zero.",
        _unexpected(summary["churn"]["warnings"], early),
    ]
    if summary["backtest"]:
        items.append(
            f"Backtest: models were fitted on {len(summary['backtest']['cutoffs'])} past dates on"
            " what was known then, and evaluated on what followed. Every method alerts the same"
            f" number of accounts, {share_text(summary['backtest']['capacity'])} of those active."
            f" Caught means on the list at least {span(summary['backtest']['warning_time_days'])}"
            " before the end was known. Intervals (95 %) count"
            " customers, not rows."
        )
    if summary["cohorts"]:
        items.append(
            "Cohorts: the usual chart sorts customers by what they did later, so the time they"
            " first had to survive counts for them. In the time-dependent comparison, that time"
            " belongs to the others. P-values are corrected for the number of comparisons."
        )
    if summary["audit"]:
        items.append(
            "Audit: each churned account beside active ones of similar tenure, term and risk by"
            f" {profile_words(panel)}. A verdict of leading needs a difference beyond chance"
            f" {span(summary['audit']['warning_time_days'])} before, corrected for the number of"
            " indicators."
        )
    return items


def _unexpected(warnings: list[str], early: str) -> str:
    """Return which warnings the tables have, and when churn counts as unexpected."""
    if not warnings:
        return "Unexpected: unknown, because there is no usage, no flag and no health score."
    low = (
        " Low usage is the last 28 days below half of the account's own best 84 days of the last"
        " year." if "low usage" in warnings else ""
    )  # fmt: skip
    return (
        f"Unexpected: no warning ({', '.join(warnings)}) was active without a break in the {early}"
        f" before the end was known.{low}"
    )


def _not_said(summary: Summary) -> list[str]:
    return [
        "“Of 100 accounts like this, about 18 leave” is a count of accounts alike, not the fate"
        " of one. Most alerted accounts stay, and most who are called would have stayed.",
        "Who leaves less is not why they leave less. Corrections remove what is recorded and the"
        " time trap; unmeasured confounders can still explain a difference.",
        "The past evaluated here had other products, prices and people. Repeat the backtest each"
        " quarter (leadsignal backtest).",
        "This report knows only what is recorded. A meeting with a sponsor that was not entered, or"
        " a promise that was not written down, is missing from it.",
    ]


def _missing(summary: Summary) -> Html | str:
    missing = summary["missing"]
    if not missing:
        return ""
    items = [f"{name}: {why}" for name, why in sorted(missing.items())]
    return tag("div", tag("h3", "Not in this report"), _items(items))
