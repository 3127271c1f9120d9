"""Write docs/indicators.md and a page for each family from the declarations.

    python docs/make/indicators.py docs

How an indicator is counted, and when it is empty, is said from its rule, so that the pages cannot
say anything else than what is computed. The examples are rows of the packaged sample. A test
holds the committed pages to what this writes.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import leadsignal as ls
from leadsignal.config.project import Behaviors, UsageLow
from leadsignal.config.success import BehaviorMetric, Bullseye, Process, SuccessAnalysis, Tracking
from leadsignal.indicators import AvailableData, Indicator, declare_indicators
from leadsignal.indicators.behaviors import COUNTED_AS
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    Below,
    DaysInState,
    DaysSince,
    DaysSinceBest,
    Difference,
    Early,
    Fact,
    FirstBy,
    Lapses,
    Latest,
    Least,
    Measure,
    ProcessState,
    Ratio,
    RelativeRate,
    Rule,
    Standing,
    Trailing,
    UsageToBest,
    Where,
    measures,
)
from leadsignal.schema import BY_NAME, TABLES

ROOT = Path(__file__).parents[2]
ABOUT = tomllib.loads(Path(__file__).with_name("families.toml").read_text(encoding="utf-8"))
"""What the page of each family says of it, in the order of the panel."""
ROLES = {
    "leading": "Leading: what comes before",
    "lagging": "Lagging: what is seen once it is late",
    "context": "Context: what the account is",
}
ACCOUNT, DAY = "A-10983", date(2024, 11, 25)
"""The account of the sample, and the snapshot, that the examples show."""
ANALYSIS = SuccessAnalysis(
    (
        Process(
            "process",
            ("reconciliation_completed",),
            4,
            30,
            by_users=2,
            sustained_for=2,
            adopt_by=120,
        ),
    ),
    Bullseye(success_metric="days_to_close"),
    Tracking(("sponsor_meeting",), ("owner_changed",), ("diary_kept",)),
    metrics=(
        BehaviorMetric(
            "ratio",
            "ratio",
            ("report_exported",),
            per_behavior=("dashboard_viewed",),
            within=90,
            expected_sign=1,
        ),
        BehaviorMetric("rate", "rate", ("report_exported",), per="user", within=90),
        BehaviorMetric("change", "change", ("report_exported",), within=30, before=90),
        BehaviorMetric("days_since", "days since", ("report_exported",), expected_sign=-1),
        BehaviorMetric("first_by", "first by", ("report_exported",), by_day=30),
    ),
)
BEHAVIOR = "report_exported"
"""The behaviour whose indicators stand for those of all."""
HEAD = """# Indicators

Every indicator of the panel, by role. Each family has its own page, which says how each indicator is computed, when
it is empty, and what its value was for one account of the sample.

`python docs/make/indicators.py docs` writes this page from the declarations, and a test checks it. It shows the
indicators of all twelve tables with all columns, for an essential process named `process` (4 events by 2 users in
each window of 30 days), a metric of behaviours for each measure, a success metric, all three kinds of tracking, one
behaviour, `report_exported`, besides others, and one declared attribute, `segment`. If a table or column is missing,
so are its indicators.

A missing value is a state of its own: nothing has happened yet, or it is unknown.
"""
PREFACE = """A row with `recorded_at` is not known before that moment either. A window of the last N days ends at the
midnight of the snapshot. If it starts before the table is complete, the indicator is empty, unless the
account started later, so that the table covers its whole life. After its `complete_through`, a table is
unknown."""


def everything() -> tuple[Indicator, ...]:
    """Return the indicators that all tables with all their columns give."""
    columns = {table.name: frozenset(table.by_column) for table in TABLES}
    attributes = {"arr": "number", "segment": "text"}
    available = AvailableData(columns, attributes, ANALYSIS, UsageLow(), Behaviors((BEHAVIOR,)))  # type: ignore[arg-type]
    return declare_indicators(available)


def by_family(indicators: Iterable[Indicator]) -> dict[str, list[Indicator]]:
    """Return the indicators of each family, families in the order of the panel."""
    families: dict[str, list[Indicator]] = {family: [] for family in ABOUT}
    for indicator in indicators:
        families[indicator.family].append(indicator)
    return families


# Rules in words ----------------------------------------------------------------------------------

WORDS = {
    "met": "that have a target",
    "gap_known": "that have a target other than zero",
    "kept": "done by their date",
    "own": "of the account's own metric",
    "in_process": "that no essential process covers",
}
"""What conditions on columns that are computed in each row mean."""


def which(where: Where) -> str:
    """Return conditions in words, after the rows that they hold for.

    >>> which((("kind", ("expansion",)),))
    ' with `kind` *expansion*'
    """
    texts = []
    for column, allowed in where:
        if (column, allowed) == ("met", ("yes",)):
            texts.append("that met their target")
        elif column == COUNTED_AS:
            of = " or ".join(f"*{value}*" for value in allowed)
            texts.append(f"with `behavior` {of}" if any(allowed) else "of the other behaviours")
        elif column in WORDS:
            texts.append(WORDS[column])
        else:
            texts.append(f"with `{column}` {' or '.join(f'*{value}*' for value in allowed)}")
    return "".join(f" {one}" for one in texts)


def trailing(rule: Trailing) -> str:
    """Return a trailing count, sum or number of users in words."""
    rows = f"`{rule.table}`{which(rule.where)}, `{rule.day}` in the last {rule.window} days"
    if rule.users:
        return f"distinct `user_id` of {rows}"
    named = {"gap": "distance to target"}.get(rule.total or "", f"`{rule.total}`")
    return f"sum of {named} of {rows}" if rule.total else f"number of rows of {rows}"


def ratio(rule: Ratio) -> str:
    """Return a ratio in words: a mean, a share of rows, or one thing over another."""
    over, under = rule.over, rule.under
    if not (isinstance(over, Trailing) and isinstance(under, Trailing)):
        return f"{counted(over)}; divided by {counted(under)}"
    if under.total or under.users:
        return f"{counted(over)}; divided by {counted(under)}"
    if over.total:
        return trailing(over).replace("sum of", "mean", 1)
    theirs = set(over.where) - set(under.where)
    return f"share{which(tuple(theirs))} among {trailing(under).removeprefix('number of rows of ')}"


def state_of(process: Process) -> str:
    """Return in words when a process is in which state."""
    return (
        f"*adopted* where each of the last {process.sustained_for} windows of {process.within} days holds "
        f"{process.at_least:g} events by {process.by_users} users; *lapsed* where that was so before; "
        f"*overdue* where it never was and {process.adopt_by} days have passed; *pending* until then; "
        "*not applicable* where `applies_to` says so ([tracking](../tracking.md))"
    )


def relative_rate(rule: RelativeRate) -> str:
    """Describe how a rate is compared with the one before."""
    before = rule.longer.window - rule.lately.window
    return (
        f"{trailing(rule.lately)}, a day, over that of the {before} days before; of an account that"
        " started in these, of the days since its start"
    )


def usage_to_best(rule: UsageToBest) -> str:
    """Describe how usage is compared with its best stretch."""
    return (
        f"mean daily `amount` of `usage`{which(rule.where)} in the last {rule.window} days, over that of the account's best "
        f"{rule.best} days in a row within the last {rule.within} days, ending at least "
        f"{rule.window} days ago"
    )


FACTS = {
    "tenure_days": (
        "days from `started_on` of `accounts`",
        ("accounts.started_on",),
        "never",
    ),
    "term_months": (
        "`term_months` of the latest of `contract_changes` that has one, else of `accounts`",
        ("accounts.term_months", "contract_changes.changed_at", "contract_changes.term_months"),
        "where no term is given",
    ),
    "days_to_renewal": (
        "days to the next end of a whole term in calendar months, from the start or the latest renewal",
        ("accounts.started_on", "accounts.term_months", "contract_changes.changed_at",
         "contract_changes.kind", "contract_changes.term_months"),
        "where no term is given",
    ),
    "arr": (
        "`arr` of `accounts`, at the start, and every `arr_delta` of `contract_changes` since",
        ("accounts.arr", "contract_changes.changed_at", "contract_changes.arr_delta"),
        "where no `arr` is given",
    ),
}  # fmt: skip
"""Fact: how it is found, the columns it reads, when it is empty."""


def counted(rule: Rule) -> str:
    """Return in words how a rule is computed, at a snapshot."""
    match rule:
        case Trailing():
            return trailing(rule)
        case Standing():
            return (
                f"number of rows of `{rule.table}`{which(rule.where)} with `{rule.since}` past and "
                f"`{rule.until}` not yet come"
            )
        case Early():
            return (
                f"number of rows of `{rule.table}`{which(rule.where)}, `{rule.day}` in the account's"
                f" first {rule.window} days"
            )
        case Latest():
            named = {"gap": "distance to target"}.get(rule.column, f"`{rule.column}`")
            best = "; of several on one day, of the best" if rule.among else ""
            return (
                f"{named} of the row of `{rule.table}`{which(rule.where)} with the latest"
                f" `{rule.day}`{best}"
            )
        case DaysSince():
            return f"days since the latest `{rule.day}` of `{rule.table}`{which(rule.where)}"
        case DaysSinceBest():
            return f"days since the row of `{rule.table}`{which(rule.where)} with the best value"
        case ProcessState():
            return state_of(next(p for p in ANALYSIS.processes if p.name == rule.process))
        case DaysInState():
            return "days since the state began, found to the day"
        case AdoptedShare():
            return (
                f"share of the last {rule.window} days, the snapshot's included, on which the process"
                " was adopted; of a younger account, of the days since its start"
            )
        case Lapses():
            return f"number of times that the process lapsed in the last {rule.window} days"
        case UsageToBest():
            return usage_to_best(rule)
        case Fact():
            return FACTS[rule.column][0]
        case Attribute():
            later = (
                f", or the latest value of `{rule.name}` in `account_changes`" if rule.dated else ""
            )
            return f"`{rule.name}` of `accounts`{later}"
        case Ratio():
            return ratio(rule)
        case RelativeRate():
            return relative_rate(rule)
        case Difference():
            return f"{counted(rule.first)}; less {counted(rule.second)}"
        case FirstBy():
            return f"1 where this is above zero, else 0: {counted(rule.done)}"
        case Least():
            return f"the smallest of: {'; '.join(map(counted, rule.values))}"
        case Below():
            return f"1 where that is below {rule.limit:g}, else 0"
    raise TypeError(f"no words for {type(rule).__name__}: add them here")


def emptiness(rule: Rule) -> Iterator[str]:
    """Yield in words the snapshots at which a rule has no value."""
    match rule:
        case Trailing():
            yield f"the last {rule.window} days reach before `{rule.table}` is complete"
        case Early():
            yield f"`{rule.table}` is not complete from the account's start"
        case FirstBy():
            yield from emptiness(rule.done)
            yield f"it was not done, and the {rule.done.window} days have not passed"
        case Standing():
            yield f"`{rule.table}` is not yet complete"
        case Latest() | DaysSince() | DaysSinceBest():
            yield f"`{rule.table}` is not yet complete"
            yield "there is no such row yet"
        case ProcessState() | DaysInState():
            yield "the account is older than the data and its windows reach before `behaviors` is complete"
        case AdoptedShare() | Lapses():
            yield "`applies_to` says that the process is not meant for the account"
            yield "its state is not known on all of these days"
        case UsageToBest():
            yield f"there are fewer than {rule.best + rule.window} days of usage history"
            yield "nothing was used in the best stretch"
        case Fact():
            if FACTS[rule.column][2] != "never":
                yield FACTS[rule.column][2].removeprefix("where ")
        case Attribute():
            yield "the cell is empty"
        case Ratio():
            yield from emptiness(rule.over)
            yield from emptiness(rule.under)
            yield "the divisor is zero"
        case RelativeRate():
            yield from emptiness(rule.longer)
            yield f"the account started less than {2 * rule.lately.window} days ago"
            yield "there was nothing in the days before"
        case Difference():
            yield from emptiness(rule.first)
            yield from emptiness(rule.second)
        case Least():
            for value in rule.values:
                yield from emptiness(value)
        case Below():
            yield from emptiness(rule.value)


def when_empty(indicator: Indicator) -> str:
    """Return when an indicator is empty, as one sentence without its stop."""
    if isinstance(indicator.rule, ProcessState):
        (why,) = emptiness(indicator.rule)
        return f"never; *unknown* where {why}"
    told = list(dict.fromkeys(emptiness(indicator.rule)))
    longest: dict[str, int] = {}
    for one in told:  # of two windows on one table the longer says it all
        if one.startswith("the last "):
            table = one.split("`")[1]
            longest[table] = max(longest.get(table, 0), int(one.split()[2]))
    told = [
        one
        for one in told
        if not one.startswith("the last ") or int(one.split()[2]) == longest[one.split("`")[1]]
    ]
    return "where " + ", or where ".join(told) if told else "never"


# What a family reads -----------------------------------------------------------------------------

INSIDE = {
    "met": ("value", "target", "higher_is_better"),
    "gap": ("value", "target", "higher_is_better"),
    "gap_known": ("target",),
    "better": ("value", "higher_is_better"),
    "own": ("metric",),
    "kept": ("completed_on", "due_on"),
    COUNTED_AS: ("behavior",),
    "in_process": ("behavior",),
}
"""Columns that are computed in each row, and what they are computed from."""


def columns_of(measure: Measure) -> Iterator[str]:
    """Yield the columns a measure reads, as table.column."""
    match measure:
        case Fact():
            yield from FACTS[measure.column][1]
            return
        case Attribute():
            yield f"accounts.{measure.name}"
            if measure.dated:
                yield from ("account_changes.changed_on", "account_changes.attribute")
                yield "account_changes.value"
            return
        case ProcessState() | DaysInState() | AdoptedShare() | Lapses():
            for column in ("occurred_at", "behavior", "quantity", "user_id"):
                yield f"behaviors.{column}"
            return
        case UsageToBest():
            yield from ("usage.used_on", "usage.amount")
            yield from (f"usage.{column}" for column, _ in measure.where)
            return
    named = [getattr(measure, part, None) for part in ("day", "since", "until", "total", "column")]
    named += [column for column, _ in getattr(measure, "where", ())]
    named += ["user_id"] if getattr(measure, "users", False) else []
    for column in filter(None, named):
        for source in INSIDE.get(column, (column,)):
            yield f"{measure.table}.{source}"


def read_by(indicators: Iterable[Indicator]) -> dict[str, list[str]]:
    """Return the columns that indicators read, by table, both in the order of the schema."""
    read = {
        column
        for indicator in indicators
        for measure in measures(indicator.rule)
        for column in columns_of(measure)
    }
    tables = {table.name: list(table.by_column) for table in TABLES}
    tables["accounts"] += sorted(c.split(".")[1] for c in read if c.startswith("accounts.")
                                 and c.split(".")[1] not in tables["accounts"])  # fmt: skip
    used = {name: [c for c in cs if f"{name}.{c}" in read] for name, cs in tables.items()}
    return {name: columns for name, columns in used.items() if columns}


def known_when(name: str, columns: Iterable[str]) -> str:
    """Return what of a table's row is known at a snapshot, as a sentence."""
    table = BY_NAME[name]
    told = f"A row counts from the midnight after its `{table.time}`"
    later = [s.column for s in table.second_dates if s.column in columns]
    if name == "accounts":
        told = "An account is there from the midnight of its `started_on`"
    if later:
        those = " and ".join(f"`{column}`" for column in later)
        told += f"; {those} {'are' if len(later) > 1 else 'is'} empty until the midnight after"
    return told + "."


# Pages -------------------------------------------------------------------------------------------


def table_of(indicators: Iterable[Indicator]) -> str:
    """Return indicators as a Markdown table, in their order."""
    lines = ["| indicator | family | unit | meaning |", "|---|---|---|---|"]
    lines += [
        f"| [`{i.name}`](indicators/{i.family}.md#{i.name}) | {i.family} | {i.unit} | {i.meaning} |"
        for i in indicators
    ]
    return "\n".join(lines)


def index() -> str:
    """Return the page that lists all indicators."""
    order = list(ROLES)
    ordered = sorted(everything(), key=lambda indicator: order.index(indicator.role))
    parts = [HEAD]
    for role, indicators in groupby(ordered, lambda indicator: indicator.role):
        parts.append(f"## {ROLES[role]}\n\n{table_of(indicators)}\n")
    return "\n".join(parts)


def example() -> dict[str, Any]:
    """Return the row of the sample that the examples show."""
    tables = ls.read_tables(ROOT / "data" / "sample", attributes=["segment", "arr"])
    frame = ls.build_panel(tables, ANALYSIS).frame
    row = frame[(frame["account_id"] == ACCOUNT) & (frame["snapshot_on"] == str(DAY))]
    return dict(row.iloc[0].dropna())


def shown(value: Any) -> str:
    """Return a value as an example shows it.

    >>> shown(0.123456), shown(12.0), shown(None), shown("green")
    ('0.123', '12', 'empty', 'green')
    """
    if value is None:
        return "empty"
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


HELPS = {
    1: "more keeps customers: gradient boosting may not conclude the opposite",
    -1: "less keeps customers: gradient boosting may not conclude the opposite",
    0: "either way: the data decide",
}


def section(indicator: Indicator, row: dict[str, Any]) -> str:
    """Return what a family's page says of one indicator."""
    meaning = indicator.meaning[0].upper() + indicator.meaning[1:]
    return "\n".join(
        [
            f"## {indicator.name}",
            "",
            f"{meaning}.",
            "",
            f"- **Unit:** {indicator.unit}",
            f"- **Counted:** {counted(indicator.rule)}",
            f"- **Direction:** {HELPS[indicator.expected_sign]}",
            f"- **Empty:** {when_empty(indicator)}",
            f"- **Example:** {shown(row.get(indicator.name))}",
            "",
        ]
    )


def family_page(family: str, indicators: list[Indicator], row: dict[str, Any]) -> str:
    """Return the page of a family."""
    roles = " and ".join(dict.fromkeys(indicator.role for indicator in indicators))
    lines = [f"# {family.capitalize()}", "", ABOUT[family], "", f"**Role:** {roles}.", ""]
    lines += ["**Reads:**", ""]
    read = read_by(indicators)
    for name, columns in read.items():
        listed = ", ".join(f"`{column}`" for column in columns)
        lines.append(
            f"- [`{name}`](../tables.md#the-tables): {listed}. {known_when(name, columns)}"
        )
    lines += ["", PREFACE, "", f"The examples are {ACCOUNT} of the sample at {DAY:%Y-%m-%d}.", ""]
    return "\n".join(lines) + "\n" + "\n".join(section(one, row) for one in indicators)


def pages() -> dict[str, str]:
    """Return the text of each page by its path from docs/."""
    row = example()
    made = {"indicators.md": index()}
    for family, indicators in by_family(everything()).items():
        made[f"indicators/{family}.md"] = family_page(family, indicators, row)
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        there = Path(sys.argv[1]) / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text, encoding="utf-8")
