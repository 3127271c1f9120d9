"""Churn and retention over time: the section of the report for finance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from leadsignal.formats import day_text, level_text, money, month_text, rate_text, share_text
from leadsignal.html_pages import Html, bullets, figure, folded, join, number, section, table, tag
from leadsignal.report.charts import (
    LINE_HEIGHT,
    NARROW,
    WIDE,
    Part,
    Scale,
    both,
    legend,
    stack_key,
    svg,
    value_ticks,
)
from leadsignal.report.success_sections import missing_line
from leadsignal.report.summary_types import (
    WORDS,
    ChurnSummary,
    QuarterCount,
    QuarterRow,
    RetentionRow,
    RetentionShare,
    Summary,
    profile_words,
    span,
)
from leadsignal.stats import p_value

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
    names = stack_key([(kind, words) for _, words, kind in VERDICTS]) if churn["warnings"] else ""
    early = span(churn["warning_time_days"])
    unexpected = f"; unexpected is churn without a warning {early} before" if names else ""
    return figure(
        title, both(columns, bars, title=title, description=description), names,
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


# Charts -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A period, its parts from bottom to top, and the text above them."""

    period: str
    year: str
    parts: Sequence[Part]
    note: str


@dataclass(frozen=True)
class Line:
    """A series of values, one per period, None if unknown; ``kind`` is a CSS class."""

    label: str
    kind: str
    values: Sequence[float | None]


def line_key(rows: Sequence[Line]) -> Html:
    """Return the legend of lines."""
    items = [
        (tag("line", x1=0, x2=22, y1=7, y2=7, class_=f"line {row.kind}"), row.label)
        for row in rows
    ]  # fmt: skip
    return legend(items, 22, "key lines")


def columns(rows: Sequence[Column], *, title: str, description: str, width: int = WIDE) -> Html:
    """Return a stacked column for each period; on phones only the last eight."""
    narrow = width <= NARROW
    rows = rows[-8:] if narrow else rows
    top, bottom = 22, 200
    most = max([sum(part.count for part in row.parts) for row in rows] + [0.0])
    y = Scale(0.0, most or 1.0, bottom, top)
    step = width / max(len(rows), 1)
    wide = min(0.72 * step, 64.0)
    parts: list[Html] = []
    for n, row in enumerate(rows):
        middle, height = round((n + 0.5) * step, 1), 0.0
        for part in filter(lambda part: part.count, row.parts):
            low, height = y(height), height + part.count
            parts.append(_rectangle(part, middle - wide / 2, wide, y(height), low))
        parts.append(_words(row.note, middle, y(height) - 6, "tick strong middle"))
        parts.append(_words(row.period, middle, bottom + LINE_HEIGHT, "tick middle"))
        if not n or rows[n - 1].year != row.year:
            parts.append(_words(row.year, middle, bottom + 2 * LINE_HEIGHT, "tick middle"))
    parts.append(tag("line", x1=0, x2=width, y1=bottom, y2=bottom, class_="reference"))
    height_all = bottom + 2 * LINE_HEIGHT + 6
    return svg(width, height_all, *parts, title=title, description=description)


def _rectangle(part: Part, left: float, wide: float, top: float, bottom: float) -> Html:
    return tag("rect", tag("title", part.text), x=round(left, 1), y=top, width=round(wide, 1),
               height=round(max(bottom - top, 0.5), 1), class_=f"bar {part.kind}")  # fmt: skip


def _words(words: str, x: float, y: float, kind: str) -> Html:
    return tag("text", words, x=x, y=round(y, 1), class_=kind)


def lines(
    rows: Sequence[Line],
    periods: Sequence[tuple[str, str]],
    words: Callable[[float], str],
    *,
    title: str,
    description: str,
    width: int = WIDE,
) -> Html:
    """Return shares over periods as lines, each labelled with its last value at its end.

    ``periods`` are pairs of the tick label of a period (empty where there is no room) and its
    name; ``words`` formats a value.
    """
    narrow = width <= NARROW
    left, right, top, bottom = 46, width - (52 if narrow else 176), 10, 196
    known = [value for row in rows for value in row.values if value is not None]
    low, high = min([*known, 1.0]), max([*known, 1.0])
    room = 0.06 * (high - low) or 0.01
    x = Scale(0, max(len(periods) - 1, 1), left, right)
    y = Scale(low - room, high + room, bottom, top)
    parts = [*_value_grid(x, y), *_period_names(periods, x, bottom, narrow)]
    for row in rows:
        parts += [tag("polyline", points=points, class_=f"line {row.kind}")
                  for points in _pieces(row.values, x, y)]  # fmt: skip
    parts += _names(rows, x, y, words, narrow)
    return svg(width, bottom + 24, *parts, title=title, description=description)


def _value_grid(x: Scale, y: Scale) -> Iterator[Html]:
    for value in value_ticks(y.low, y.high):
        kind = "reference" if value == 1.0 else "grid"
        yield tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_=kind)
        yield _words(level_text(value), x.start - 6, y(value) + 4, "tick end")


def _period_names(
    periods: Sequence[tuple[str, str]], x: Scale, bottom: float, narrow: bool
) -> Iterator[Html]:
    named = [n for n, (words, _) in enumerate(periods) if words]
    every = -(-len(named) // (4 if narrow else 12)) if named else 1
    for n in named[::every]:
        yield tag("line", x1=x(n), x2=x(n), y1=bottom, y2=bottom + 4, class_="grid")
        yield _words(periods[n][0], x(n), bottom + 18, "tick middle")


def _pieces(values: Sequence[float | None], x: Scale, y: Scale) -> Iterator[str]:
    """Yield the points of each run of known values."""
    run: list[str] = []
    for n, value in enumerate([*values, None]):
        if value is not None:
            run.append(f"{x(n):g},{y(value):g}")
        elif run:
            yield " ".join(run)
            run = []


def _names(
    rows: Sequence[Line], x: Scale, y: Scale, words: Callable[[float], str], narrow: bool
) -> Iterator[Html]:
    """Yield the name and last value of each line at its end, without overlaps."""
    last = [(row, next((v for v in reversed(row.values) if v is not None), None)) for row in rows]
    below = y.end - LINE_HEIGHT
    for row, value in sorted(((r, v) for r, v in last if v is not None), key=lambda one: -one[1]):
        below = max(y(value) + 4, below + LINE_HEIGHT)
        name = words(value) if narrow else f"{words(value)} {row.label}"
        yield _words(name, x.end + 8, below, f"tick strong {row.kind}")


# Method -------------------------------------------------------------------------------------------


def method_section(title: str, summary: Summary) -> Html:
    """Return how the numbers are computed, their limitations, and what is missing."""
    return section(
        "method", title, tag("h3", "How the numbers are computed"), bullets(_methods(summary)),
        tag("h3", "What they do not say"), bullets(WORDS["method"]["not_said"]), _missing(summary),
    )  # fmt: skip


def _methods(summary: Summary) -> list[str]:
    method, panel = WORDS["method"], summary["panel"]
    first, backtest, audit = panel["first"], summary["backtest"], summary["audit"]
    numbers = {name: number(panel[name]) for name in ("accounts", "events")}
    since = f" from {day_text(date.fromisoformat(first))}" if first else ""
    every, indicators = panel["every_days"], panel["indicators"]
    items = [
        method["data"].format(since=since, every=every, indicators=indicators, **numbers),
        _unexpected(summary["churn"]["warnings"], span(summary["warning_time_days"])),
    ]
    if backtest:
        cutoffs, capacity = len(backtest["cutoffs"]), share_text(backtest["capacity"])
        early = span(backtest["warning_time_days"])
        items.append(method["backtest"].format(cutoffs=cutoffs, capacity=capacity, early=early))
    if summary["cohorts"]:
        items.append(method["cohorts"])
    if audit:
        early = span(audit["warning_time_days"])
        items.append(method["audit"].format(profile=profile_words(panel), early=early))
    return items


def _unexpected(warnings: list[str], early: str) -> str:
    """Return which warnings the tables have, and when churn counts as unexpected."""
    method: dict[str, str] = WORDS["method"]
    if not warnings:
        return method["no_warnings"]
    low = method["low_usage"] if "low usage" in warnings else ""
    return method["unexpected"].format(warnings=", ".join(warnings), early=early) + low


def _missing(summary: Summary) -> Html | str:
    missing = summary["missing"]
    if not missing:
        return ""
    items = [f"{name}: {why}" for name, why in sorted(missing.items())]
    return tag("div", tag("h3", "Not in this report"), bullets(items))
