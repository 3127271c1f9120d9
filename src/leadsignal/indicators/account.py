"""What each table says of an account: its contract, tickets, usage, results and judgements.

These indicators need no key behaviours.
"""

from __future__ import annotations

import re

from leadsignal.config.project import UsageLow
from leadsignal.indicators.declare import (
    Attribute,
    AvailableData,
    Below,
    DaysSince,
    DaysSinceBest,
    Difference,
    Fact,
    Family,
    Indicator,
    Kind,
    Latest,
    Least,
    Ratio,
    RelativeRate,
    Standing,
    Trailing,
    UsageToBest,
    Where,
)
from leadsignal.targets import BEST, OWN

_context = Family("context", "context")

ACCOUNT_CHANGE_COLUMNS = {"value_or_empty": "COALESCE(value, '')"}
"""Columns computed in each row of account_changes, as SQL: an empty value counts as a value."""


def declare_context(available: AvailableData) -> list[Indicator]:
    """Declare tenure, term and renewal if terms are known, and ARR and attributes if declared."""
    indicators = [_context("tenure_days", "days", "days since the start", Fact("tenure_days"))]
    if available.has("accounts", "term_months") or available.has("contract_changes", "term_months"):
        renewal = Fact("days_to_renewal")
        indicators += [
            _context("term_months", "months", "the contract's term", Fact("term_months")),
            _context("days_to_renewal", "days", "days to the next renewal", renewal),
        ]
    if "arr" in available.attributes:
        indicators.append(_context("arr_now", "currency", "annual recurring revenue", Fact("arr")))
    for name, kind in available.attributes.items():
        if name not in ("arr", "term_months"):
            value = Attribute(name, dated=available.has("account_changes"))
            shown: Kind = "number" if kind == "number" else "category"
            indicators.append(_context(name, "as given", f"the account's {name}", value, shown))
    return indicators


_contract = Family("contract", "leading")


def declare_contract(available: AvailableData) -> list[Indicator]:
    """Declare expansions and reductions of the last year, and their amount."""
    if not available.has("contract_changes"):
        return []
    indicators = []
    for kind in ("expansion", "reduction"):
        where = (("kind", (kind,)),)
        number, lately = f"contract_{kind}s_365d", f"{kind}s of the contract in the last 365 days"
        year = Trailing("contract_changes", "changed_at", 365, where)
        since, last = f"contract_days_since_{kind}", f"days since the last {kind} of the contract"
        days = DaysSince("contract_changes", "changed_at", where)
        indicators += [
            _contract(number, "changes", lately, year),
            _contract(since, "days", last, days),
        ]
    if available.has("contract_changes", "arr_delta") and available.has("accounts", "arr"):
        change = Trailing("contract_changes", "changed_at", 365, total="arr_delta")
        share, meaning = "share of ARR", "change of ARR in the last 365 days as a share of ARR"
        rule = Ratio(change, Fact("arr"))
        indicators.append(_contract("contract_arr_change_365d", share, meaning, rule))
    return indicators


_ticket = Family("tickets", "leading")


def declare_tickets(available: AvailableData) -> list[Indicator]:
    """Declare recently opened tickets and open tickets."""
    if not available.has("tickets"):
        return []
    indicators = []
    for days in (30, 90, 365):
        name, meaning = f"tickets_opened_{days}d", f"tickets opened in the last {days} days"
        opened = Trailing("tickets", "opened_at", days)
        indicators.append(_ticket(name, "tickets", meaning, opened))
    if available.has("tickets", "closed_at"):
        still = Standing("tickets", "opened_at", "closed_at")
        indicators.append(_ticket("tickets_open", "tickets", "tickets open now", still))
    return indicators


_usage = Family("usage", "lagging")


def declare_usage(available: AvailableData) -> list[Indicator]:
    """Declare the level, the level relative to the account's best period, and whether it is low.

    Each series has its own indicators; usage is low if the lowest of them is.
    """
    if not available.has("usage"):
        return []
    low, last = available.usage_low, DaysSince("usage", "used_on")
    since = _usage("usage_days_since", "days", "days since usage was last recorded", last)
    if not low.series:
        return [*_series(low, "", "", ()), since]
    indicators, best = [], []
    for name in low.series:
        column = re.sub(r"\W+", "_", name).strip("_").lower()
        where = (("series", (name,)),)
        indicators += _series(low, f"_{column}", f" of {name}", where)
        best.append(_to_best(low, where))
    least, meaning = Least(tuple(best)), "the lowest usage_to_best of the series"
    return [
        *indicators,
        _usage("usage_to_best", "ratio", meaning, least),
        _low(low, "usage_low", "usage_to_best", least),
        since,
    ]


def _series(low: UsageLow, suffix: str, of: str, where: Where) -> list[Indicator]:
    lately, quarter, year, season = (
        Trailing("usage", "used_on", days, where, total="amount")
        for days in (low.window, 3 * low.window, 365, 90)
    )
    now, to_best = f"usage{of} in the last {low.window} days", _to_best(low, where)
    of_quarter = f"{now} over that in the last {3 * low.window}"
    trend = f"usage{of} a day in the last 90 days over that in the 275 before"
    of_best = f"mean usage{of} of the last {low.window} days over that of the best {low.best} days"
    share, times = Ratio(lately, quarter), RelativeRate(season, year)
    return [
        _usage(f"usage_amount{suffix}", "amount", now, lately),
        _usage(f"usage_share_of_quarter{suffix}", "share", of_quarter, share),
        _usage(f"usage_trend{suffix}", "times normal", trend, times),
        _usage(f"usage_to_best{suffix}", "ratio", of_best, to_best),
        _low(low, f"usage_low{suffix}", f"usage_to_best{suffix}", to_best),
    ]


def _to_best(low: UsageLow, where: Where) -> UsageToBest:
    return UsageToBest(low.window, low.best, low.within, where)


def _low(low: UsageLow, name: str, of: str, value: UsageToBest | Least) -> Indicator:
    meaning = f"1 where {of} is below {low.ratio:g}"
    return _usage(name, "0 or 1", meaning, Below(value, low.ratio))


_result = Family("results", "leading")


def declare_results(available: AvailableData) -> list[Indicator]:
    """Declare the indicators of the results of the account's own metric."""
    if not available.has("results"):
        return []
    latest = Latest("results", "measured_on", "value", OWN, BEST)
    since = DaysSince("results", "measured_on", OWN)
    indicators = [
        _result("result_value", "metric", "the latest result", latest),
        _result("result_days_since", "days", "days since the latest result", since),
    ]
    for days in (90, 365):
        meaning, measured = f"results measured in the last {days} days", _measured(days, OWN)
        indicators.append(_result(f"results_{days}d", "results", meaning, measured))
    # Stagnation: days since the best result, and further results that did not beat it.
    best = DaysSinceBest("results", "measured_on", "better", OWN)
    days_since = "days since the best result; of equals the latest"
    stalled = "days from the best result to the latest: measured on, and not better"
    indicators += [
        _result("result_days_since_best", "days", days_since, best),
        _result("result_stalled_days", "days", stalled, Difference(best, since)),
    ]
    if available.has("results", "target"):
        indicators += _against_target()
    if available.has("results", "shown_on"):
        last = "days since a result was last shown to the customer"
        hidden = "results measured and not shown to the customer"
        shown = DaysSince("results", "shown_on", OWN)
        not_shown = Standing("results", "measured_on", "shown_on", OWN)
        indicators += [
            _result("result_days_since_shown", "days", last, shown),
            _result("results_not_shown", "results", hidden, not_shown),
        ]
    return indicators


def _measured(days: int, where: Where, total: str | None = None) -> Trailing:
    return Trailing("results", "measured_on", days, where, total)


def _against_target() -> list[Indicator]:
    compared, known = (*OWN, ("met", ("yes", "no"))), (*OWN, ("gap_known", ("yes",)))
    met, unit = (*OWN, ("met", ("yes",))), "share of target"
    latest = Latest("results", "measured_on", "gap", OWN, BEST)
    lately, longer = (
        Ratio(_measured(days, known, "gap"), _measured(days, known)) for days in (90, 270)
    )
    share_met = Ratio(_measured(365, met), _measured(365, compared))
    now = "distance of the latest result to its target; positive is good"
    mean = "mean distance to target of the results of the last 90 days"
    change = "mean distance to target in the last 90 days, less that of the last 270"
    of_year = "share of the last 365 days' results that met their target"
    return [
        _result("result_gap", unit, now, latest, expected_sign=1),
        _result("result_gap_90d", unit, mean, lately, expected_sign=1),
        _result("result_gap_change", unit, change, Difference(lately, longer)),
        _result("results_met_365d", "share", of_year, share_met, expected_sign=1),
    ]


_survey = Family("satisfaction", "lagging")
_flag = Family("flags", "lagging")
_health = Family("health", "lagging")


def declare_satisfaction(available: AvailableData) -> list[Indicator]:
    """Declare the latest survey, open and raised flags, and the latest health score and band."""
    indicators: list[Indicator] = []
    if available.has("surveys"):
        score, since = (
            Latest("surveys", "answered_on", "score"),
            DaysSince("surveys", "answered_on"),
        )
        indicators += [
            _survey("survey_score", "score", "the latest survey score", score),
            _survey("survey_days_since", "days", "days since the latest survey", since),
        ]
    if available.has("flags"):
        still = Standing("flags", "flagged_on", "cleared_on")
        raised = Trailing("flags", "flagged_on", 365)
        indicators += [
            _flag("flags_open", "flags", "open at-risk flags", still),
            _flag("flags_365d", "flags", "flags raised in the last 365 days", raised),
        ]
    if available.has("health_scores"):
        health = Latest("health_scores", "scored_on", "score")
        indicators.append(_health("health_score", "score", "the latest health score", health))
    if available.has("health_scores", "band"):
        band = Latest("health_scores", "scored_on", "band")
        meaning = "the latest band of the health score"
        indicators.append(_health("health_band", "band", meaning, band, kind="category"))
    return indicators
