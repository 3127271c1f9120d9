"""Method and caveats: what each number rests on, and what it must not be read as."""

from __future__ import annotations

from datetime import date

from leadsignal.report.html import Html, day_text, number, section, tag
from leadsignal.report.summary_types import Summary
from leadsignal.report.wording import profile_words, share_text, span


def method_section(title: str, summary: Summary) -> Html:
    """Return how the numbers were made, what they do not say, and what is missing."""
    return section(
        "method", title, tag("h3", "How the numbers were made"), _items(_made(summary)),
        tag("h3", "What they do not say"), _items(_not_said(summary)), _missing(summary),
    )  # fmt: skip


def _items(told: list[str]) -> Html:
    return tag("ul", *(tag("li", one) for one in told))


def _made(summary: Summary) -> list[str]:
    panel, early = summary["panel"], span(summary["warning_time_days"])
    first = panel["first"]
    since = f" from {day_text(date.fromisoformat(first))}" if first else ""
    told = [
        f"Data: {number(panel['accounts'])} accounts{since}, looked at every"
        f" {panel['every_days']} days with {panel['indicators']} indicators;"
        f" {number(panel['events'])} churned. Each look knows only what was recorded by that"
        " midnight. What a table cannot know yet is unknown, not zero.",
        _unexpected(summary["churn"]["warnings"], early),
    ]
    if summary["backtest"]:
        told.append(
            f"Backtest: models were fitted on {len(summary['backtest']['cutoffs'])} past dates on"
            " what was known then, and judged on what followed. Every method alerts the same"
            f" number of accounts, {share_text(summary['backtest']['capacity'])} of those active."
            f" Caught in time means on the list {span(summary['backtest']['warning_time_days'])}"
            " before the end was known. Intervals (95 %) count"
            " customers, not rows."
        )
    if summary["cohorts"]:
        told.append(
            "Cohorts: the usual chart sorts customers by what they did later, so the time they"
            " first had to survive counts for them. Counted day by day, that time belongs to the"
            " others. P-values are corrected for the number of comparisons."
        )
    if summary["audit"]:
        told.append(
            "Audit: each churned account beside active ones of like tenure, term and risk by"
            f" {profile_words(panel)}. A verdict of leading needs a difference beyond chance"
            f" {span(summary['audit']['warning_time_days'])} before, corrected for the number of"
            " indicators."
        )
    return told


def _unexpected(warnings: list[str], early: str) -> str:
    """Return what could have been a warning, of those that these tables have."""
    if not warnings:
        return "Unexpected: not told, for there is no usage, no flag and no health score to warn."
    low = (
        " Low usage is the last 28 days below half of the account's own best 84 days of the last"
        " year." if "low usage" in warnings else ""
    )  # fmt: skip
    return (
        f"Unexpected: no warning ({', '.join(warnings)}) stood without a break from {early} before"
        f" the end was known until then.{low}"
    )


def _not_said(summary: Summary) -> list[str]:
    return [
        "“Of 100 accounts like this, about 18 leave” is a count of accounts alike, not the fate"
        " of one. Most alerted accounts stay, and most who are called would have stayed.",
        "Who leaves less is not why they leave less. Corrections remove what is recorded and the"
        " time trap; what nobody wrote down can still stand behind a difference.",
        "The past judged here had other products, prices and people. Judge the alerts again each"
        " quarter (leadsignal backtest).",
        "What is not recorded did not happen for this report: a sponsor met without an entry, a"
        " promise nobody wrote down.",
    ]


def _missing(summary: Summary) -> Html | str:
    missing = summary["missing"]
    if not missing:
        return ""
    told = [f"{name}: {why}" for name, why in sorted(missing.items())]
    return tag("div", tag("h3", "Not in this report"), _items(told))
