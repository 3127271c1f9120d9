"""Churn and retention over time: the section of the report for finance."""

from __future__ import annotations

from datetime import date

from leadsignal.html_pages import Html, figure, folded, join, number, section, table, tag
from leadsignal.phrases import month_text
from leadsignal.report.bar_charts import Part, both, stack_key
from leadsignal.report.success_sections import missing_line
from leadsignal.report.summary_types import (
    ChurnSummary,
    QuarterCount,
    QuarterRow,
    RetentionRow,
    RetentionShare,
    Summary,
)
from leadsignal.report.time_charts import Column, Line, columns, line_key, lines
from leadsignal.report.wording import money, rate_text, span
from leadsignal.stats.normal import p_value

VERDICTS: tuple[tuple[tuple[QuarterCount, ...], str, str], ...] = (
    (("unexpected_accounts",), "unexpected", "bad"),
    (("signalled_accounts",), "with a warning", "good"),
    (("too_young_accounts", "unknown_accounts"), "too young, or unknown", "dim"),
)  # fmt: skip
MEASURES: tuple[tuple[RetentionShare, str], ...] = (
    ("net", "net revenue"), ("gross", "gross revenue"), ("logo", "accounts"),
)  # fmt: skip
"""Retention measures in the order of the legend; their names are CSS classes."""
SURE = 0.05


def churn_section(topic: str, summary: Summary) -> Html:
    """Return the churn rate over time, the retention of revenue and accounts, and the causes."""
    churn = summary["churn"]
    if not churn["churned"]:
        return section("churn", "No account has churned", topic=topic)
    text = f"{churn['churned']:,} accounts have churned"
    if "low usage" in churn["warnings"]:
        text += f"; usage had dropped before {churn['with_usage_drop']:,} of them"
    return section(
        "churn", _title(summary), tag("p", f"{text}."), _quarters(churn), _retention(summary),
        _causes(summary), topic=topic,
    )  # fmt: skip


def _title(summary: Summary) -> str:
    """Return a heading that says whether churn has changed year on year beyond chance."""
    rows = summary["trailing_retention"] or []
    if len(rows) < 13:
        return f"{summary['churn']['churned']:,} accounts have churned"
    before, now = ((row["churned"], row["accounts"]) for row in (rows[-13], rows[-1]))
    rates = [churned / accounts for churned, accounts in (before, now)]
    variance = sum(r * (1 - r) / n for r, (_, n) in zip(rates, (before, now), strict=True))
    changed = variance > 0 and p_value(rates[1] - rates[0], variance**0.5) < SURE
    verb = "is about what it was" if not changed else "has risen" if rates[1] > rates[0] else (
        "has fallen")  # fmt: skip
    return (
        f"Churn {verb}: {rate_text(rates[1])} of accounts in the year to"
        f" {month_name(rows[-1]['month'])}, {rate_text(rates[0])} in the year before"
    )


def month_name(month: str) -> str:
    """Return a month of a table in words.

    >>> month_name("2024-11")
    'Nov 2024'
    """
    return month_text(date.fromisoformat(f"{month[:7]}-01"))


def _quarters(churn: ChurnSummary) -> Html:
    rows = [of for of in churn["quarters"] if of["whole"] and of["accounts"]]
    if not rows:
        return Html("")
    bars = [_column(of, bool(churn["warnings"])) for of in rows]
    description = "; ".join(
        f"{row.year} {row.period}: {row.note}, of which "
        + ", ".join(part.text for part in row.parts if part.count)
        for row in bars
    )
    title = "Churn rate by quarter, in percent of the accounts that were there when it began"
    legend = stack_key([(kind, words) for _, words, kind in VERDICTS]) if churn["warnings"] else ""
    early = span(churn["warning_time_days"])
    unexpected = f"; unexpected is churn without a warning {early} before" if legend else ""
    return figure(
        title, both(columns, bars, title=title, description=description), legend,
        source=f"Whole quarters, by the day on which the end became known{unexpected}.",
    )  # fmt: skip


def _column(of: QuarterRow, divided: bool) -> Column:
    """Return a quarter's churn rate by verdict, or undivided if the tables have no warnings."""
    verdicts = VERDICTS if divided else (
        (tuple(name for names, _, _ in VERDICTS for name in names), "churned", "dim"),
    )  # fmt: skip
    counts = [sum(of[name] for name in names) for names, _, _ in verdicts]
    parts = [
        Part(count / of["accounts"], kind, f"{count:,.0f} of {of['accounts']:,} {words}")
        for count, (_, words, kind) in zip(counts, verdicts, strict=True)
    ]
    rate = rate_text(sum(counts) / of["accounts"])
    return Column(of["quarter"][4:], of["quarter"][:4], parts, rate)


# Retention ----------------------------------------------------------------------------------------


def _retention(summary: Summary) -> Html:
    months, years = summary["retention"], summary["trailing_retention"]
    if months is None:
        return missing_line(summary, "retention")
    if not months:
        return tag("p", "Retention: no account was there at the beginning of a whole month.")
    where = f" in {summary['currency']}" if summary["currency"] else ""
    dated = "By the end of the contract, whole months"
    revenue = f"; revenue is that of the contracts{where}" if _measured(months) != ("logo",) else ""
    shown = [
        _lines(years, _year_finding(years), f"{dated}; each point looks back over 12"
               f" months, at the accounts that were there then{revenue}.")
        if years else missing_line(summary, "trailing_retention") if years is None else "",
        _lines(months, _month_finding(months), f"{dated}; each point looks at the accounts that"
               f" were there when the month began{revenue}."),
        folded("Retention month by month", _months(months, years or [])),
    ]  # fmt: skip
    return join(shown)


def _measured(rows: list[RetentionRow]) -> tuple[RetentionShare, ...]:
    """Return the measures known in any row; without revenue, only retention of accounts."""
    return tuple(name for name, _ in MEASURES if any(row[name] is not None for row in rows))


def _lines(rows: list[RetentionRow], title: str, source: str) -> Html:
    series = [
        Line(words, name, [row[name] for row in rows])
        for name, words in MEASURES if name in _measured(rows)
    ]  # fmt: skip
    periods = [
        (month_name(row["month"]) if row["month"][5:] in ("01", "04", "07", "10") else "",
         month_name(row["month"]))
        for row in rows
    ]  # fmt: skip
    last = rows[-1]
    description = f"{periods[-1][1]}: " + ", ".join(
        f"{words} {rate_text(last[name])}" for name, words in MEASURES if last[name] is not None
    )
    picture = both(lines, series, periods, rate_text, title=title, description=description)
    return figure(title, picture, line_key(series), source=source)


def _year_finding(rows: list[RetentionRow]) -> str:
    net = rows[-1]["net"]
    if net is None:
        return "Accounts kept over the year before"
    makes_up = "more than makes" if net > 1 else "does not make"
    return f"Kept over the year before: expansion {makes_up} up for what churn and reductions take"


def _month_finding(rows: list[RetentionRow]) -> str:
    known = [row["net"] for row in rows[-12:] if row["net"] is not None]
    if not known:
        return "Accounts kept month by month"
    lost = sum(net < 1 for net in known)
    return (
        f"Kept month by month: the revenue of existing customers shrank in {lost} of the last"
        f" {len(known)} months"
    )


def _months(months: list[RetentionRow], years: list[RetentionRow]) -> Html:
    """Return the numbers of each month, the latest first, and of the year up to it."""
    yearly = {row["month"]: row for row in years}
    both_measured = [(name, words) for name, words in MEASURES if name in _measured(months)]
    items = [
        (month_name(row["month"]), ("number", number(row["accounts"])),
         *(("number", rate_text(row[name])) for name, _ in both_measured),
         *(("number", rate_text(yearly[row["month"]][name] if row["month"] in yearly else None))
           for name, _ in both_measured))
        for row in reversed(months)
    ]  # fmt: skip
    head = (
        "Month", "Accounts at its start", *(f"Kept, {words}" for _, words in both_measured),
        *(f"Over a year, {words}" for _, words in both_measured),
    )  # fmt: skip
    return table(head, items, "Kept in the month, and over the year until its end", class_="cards")


def _causes(summary: Summary) -> Html:
    arr = ["Revenue"] if summary["panel"]["has_arr"] else []
    rows = [
        (of["cause"], ("number", number(of["accounts"])),
         *(("number", money(of["arr"], summary["currency"])) for _ in arr),
         "yes" if of["churn"] else "no")
        for of in summary["churn"]["causes"]
    ]  # fmt: skip
    since = summary["churn"]["first_known"]
    caption = "All ends by cause" + (f", since {month_name(since)}" if since else "")
    return table(("Cause", "Accounts", *arr, "Counts as churn"), rows, caption, class_="cards few")
