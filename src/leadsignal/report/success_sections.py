"""Success analysis in the report: adoption of processes, successful accounts and success gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from leadsignal.formats import how_often, how_often_between, of_hundred, share_text
from leadsignal.html_pages import (
    Html,
    account_cell,
    bullets,
    day,
    figure,
    folded,
    join,
    number,
    remark,
    section,
    table,
    tag,
    terms,
)
from leadsignal.model.reasons import name_text
from leadsignal.report.charts import (
    RATIO_TICKS,
    Axis,
    Estimate,
    Part,
    Row,
    Stack,
    both,
    ranges,
    stack_key,
    stacks,
)
from leadsignal.report.summary import HOLDS, PERHAPS
from leadsignal.report.summary_types import (
    AnalysisSummary,
    CohortLine,
    EffectSummary,
    GapRow,
    MilestoneRow,
    Outcome,
    ProcessSummary,
    RatioSummary,
    ReasonRow,
    SuccessfulRow,
    Summary,
    as_of_text,
    effect_words,
    listed,
    sentence,
    span,
)

Section = Literal[
    "retention", "trailing_retention", "adoption", "milestones", "red", "successful", "gaps",
    "audit", "cohorts", "reasons", "ratios", "backtest",
]  # fmt: skip
"""Names of the parts of a summary that may be missing."""

OUTCOMES: tuple[tuple[Outcome, str, str], ...] = (
    ("by_milestone", "by the milestone", "good"), ("later", "later", "fair"),
    ("overdue", "overdue", "late"), ("left", "left without", "bad"), ("open", "not yet due", "dim"),
)  # fmt: skip


def missing_line(summary: Summary, name: Section) -> Html:
    """Return the line shown in place of a missing result, with the reason."""
    why = summary["missing"][name].removesuffix(".")
    words = "Unattended accounts" if name == "red" else sentence(name)
    return remark(f"{words}: not in this report ({why}).")


def limits_text(ratio: RatioSummary) -> str:
    """Return the interval of a ratio.

    >>> limits_text({"estimate": 0.41, "low": 0.27, "high": 0.613})
    '0.27 to 0.61'
    """
    if ratio["low"] is None or ratio["high"] is None:
        return "no limit"
    return f"{ratio['low']:.2f} to {ratio['high']:.2f}"


def estimate_of(ratio: RatioSummary) -> float:
    """Return the estimate of a ratio; 1 if it is not finite."""
    return ratio["estimate"] or 1.0


def _day(value: str | None) -> Html:
    return day(None if value is None else date.fromisoformat(value))


# Success ------------------------------------------------------------------------------------------


def success_section(topic: str, summary: Summary) -> Html:
    """Return the bullseye, the adoption of processes, successful accounts and success gaps."""
    title = _least_adopted(summary)
    return section(
        "success", title or topic, _bullseye(summary["analysis"]), _processes(summary),
        _adoption(summary),
        tag("div", _milestones(summary), _unattended(summary), class_="columns"),
        tag("div", _successful(summary), _gaps(summary), class_="columns"),
        topic=topic if title else None,
    )  # fmt: skip


def _least_adopted(summary: Summary) -> str:
    """Return a heading that names the process adopted in time by the fewest accounts."""
    rows = summary["adoption"]["processes"] if summary["adoption"] else []
    shares = {of["process"]: of["share_by_milestone"] for of in rows}
    known = {name: share for name, share in shares.items() if share is not None}
    if not known:
        return ""
    least = min(known, key=lambda name: (known[name], name))
    only = "only " if known[least] < 0.5 else ""
    return sentence(f"{least} is adopted in time by {only}{share_text(known[least])} of accounts")


def _bullseye(analysis: AnalysisSummary) -> Html:
    bullseye = analysis["bullseye"]
    facts = [
        ("Customers want", bullseye["objective"]),
        ("They measure", name_text(bullseye["success_metric"])),
        ("They share", ", ".join(bullseye["traits"])),
    ]
    return terms(facts, class_="plan")


def _processes(summary: Summary) -> Html:
    processes = summary["analysis"]["processes"]
    if not processes:
        return tag("p", "No essential process is written down (success.toml).")
    lines = summary["cohorts"]["lines"] if summary["cohorts"] else ()
    by_day = {line["by"]: line for line in lines}
    rows = [
        (
            name_text(one["name"]),
            _definition(one),
            one["why"],
            _effect(summary["effects"].get(one["name"]), by_day.get(one["name"])),
        )
        for one in processes
    ]
    head = ("Process", "Adopted means", "Why it matters", "Accounts that practise it")
    return table(head, rows, "Essential processes", class_="cards")


def _definition(one: ProcessSummary) -> str:
    users = f" by {one['by_users']} users" if one["by_users"] > 1 else ""
    again = f", {one['sustained_for']} times in a row" if one["sustained_for"] > 1 else ""
    due = f"; due by day {one['adopt_by']}" if one["adopt_by"] else ""
    events = " or ".join(name_text(behavior) for behavior in one["behaviors"])
    return f"{one['at_least']:g} × {events}{users} in {one['within']} days{again}{due}"


def _effect(proven: EffectSummary | None, by_day: CohortLine | None) -> str:
    """Return how much less often accounts that practise a process leave, and the estimate's source.

    The proven effect of the next steps has priority, so that the page states one number for it.
    """
    if proven is not None:
        words = effect_words(proven, proven["lag_days"]).removeprefix("accounts that practise it ")
        return f"{sentence(words)}, among accounts with similar attributes"
    if by_day is None:
        return ""
    ratio = by_day["hazard_ratio"]
    if by_day["verdict"] not in (HOLDS, PERHAPS):
        return "No difference is proven"
    chance = "; may be chance" if by_day["verdict"] == PERHAPS else ""
    between = how_often_between(ratio["low"], ratio["high"])
    often = how_often(estimate_of(ratio))
    return f"Leave {often} ({between}), in the time-dependent comparison{chance}"


def _adoption(summary: Summary) -> Html:
    adoption = summary["adoption"]
    if adoption is None:
        return missing_line(summary, "adoption")
    rows = [
        Stack(name_text(of["process"]), [Part(of[c], kind, f"{of[c]:,} {words}")
                                         for c, words, kind in OUTCOMES])
        for of in adoption["processes"]
    ]  # fmt: skip
    description = "; ".join(
        f"{row.label}: " + ", ".join(part.text for part in row.parts) for row in rows
    )
    legend = stack_key([(kind, words) for c, words, kind in OUTCOMES
                        if any(of[c] for of in adoption["processes"])])  # fmt: skip
    left = (
        f" {adoption['left_out']:,} accounts that started before the tables are complete are left"
        " out." if adoption["left_out"] else ""
    )  # fmt: skip
    title = "What became of each account's adoption"
    return figure(
        title, both(stacks, rows, title=title, description=description), legend,
        source=f"Accounts by process, as of {as_of_text(summary)}.{left}",
    )  # fmt: skip


def _milestones(summary: Summary) -> Html:
    milestones = summary["milestones"]
    if milestones is None:
        return missing_line(summary, "milestones")
    text = f"No milestone falls due within {span(milestones['ahead_days'])}."
    if milestones["due"]:
        text = (
            f"{milestones['due']:,} milestones fall due within {span(milestones['ahead_days'])};"
            f" {milestones['will_miss']:,} will be missed as things are,"
            f" {milestones['out_of_reach']:,} of them whatever happens."
        )
    text += f" {milestones['overdue']:,} are overdue."
    rows = [
        (_account(summary, of), name_text(of["process"]), _day(of["due_on"]), _chance(of))
        for of in milestones["next"]
    ]
    listed = table(("Account", "Process", "Due", "Chance"), rows, "The next", class_="cards")
    details = folded(f"The next {len(rows)}", listed) if rows else ""
    return tag("div", tag("h3", "Milestones"), tag("p", text), details)


def _account(summary: Summary, of: MilestoneRow | SuccessfulRow | GapRow) -> Html:
    account = of["account_id"]
    return account_cell(account, summary["names"].get(account), summary["pages"].get(account))


def _chance(of: MilestoneRow) -> str:
    if not of["can_be_met"]:
        return "cannot be met any more"
    if of["chance"] is None:
        return "too few past accounts for an estimate"
    return f"of 100 accounts at this point, {of_hundred(of['chance'])} made it"


def _unattended(summary: Summary) -> Html:
    unattended = summary["red"]
    if unattended is None:
        return missing_line(summary, "red")
    count, active = unattended["red"], unattended["active"]
    text = f"{count:,} of {active:,} active accounts are unattended for at least one reason:"
    items = [f"{count:,}: {reason}" for reason, count in unattended["reasons"].items()]
    return tag("div", tag("h3", "Unattended accounts"), tag("p", text), bullets(items))


def _successful(summary: Summary) -> Html:
    successful = summary["successful"]
    if successful is None:
        return missing_line(summary, "successful")
    text = (
        f"{successful['accounts']:,} accounts reach their target, have kept it and are not falling"
        " back: the ones to learn from."
    )
    beside = [
        f"Of the {one['size']} {one['name']} ({one['by']}), {_are(one['overlap'])} among"
        f" the {one['size']} best by results; chance gives {one['overlap_by_chance']:.1f}."
        for one in successful["criteria"]
    ]  # fmt: skip
    found = [(of, of["since"]) for of in successful["rows"]]
    details = _first(summary, found, "On target since", "The best by results")
    return tag("div", tag("h3", "The most successful"), tag("p", text), bullets(beside), details)


def _are(count: int) -> str:
    return f"{count or 'none'} {'is' if count == 1 else 'are'}"


def _gaps(summary: Summary) -> Html:
    gaps = summary["gaps"]
    if gaps is None:
        return missing_line(summary, "gaps")
    using = "use the product well and " if "use the product well" in gaps["steps"] else ""
    whom = f"{gaps['eligible']:,} accounts that {using}have adopted every process"
    text = f"{gaps['accounts']:,} of {whom} still miss their target."
    if not gaps["accounts"]:
        text = f"Of {whom}, none misses its target."
    apart = [
        f"{name_text(of['what'])} {of['value']}: {share_text(of['gap_share'])} of them,"
        f" {share_text(of['reached_share'])} of those on target"
        for of in gaps["apart"] if of["value"]
    ]  # fmt: skip
    found = [(of, of["off_since"]) for of in gaps["rows"]]
    details = _first(summary, found, "Off target since", "Success gaps")
    why = join([tag("p", "What sets them apart:"), bullets(apart)]) if apart else ""
    title = tag("h3", "Everything right, and no result")
    return tag("div", title, tag("p", text), why, details)


def _first(
    summary: Summary,
    found: Sequence[tuple[SuccessfulRow | GapRow, str | None]],
    since: str,
    caption: str,
) -> Html | str:
    """Return the table of the first accounts, each with the day since which it is so, folded."""
    rows = [
        (_account(summary, of), f"{number(of['value'])}, target {number(of['target'])}",
         _day(day), of["trend"])
        for of, day in found
    ]  # fmt: skip
    listed = table(("Account", "Result", since, "Trend"), rows, caption, class_="cards")
    return folded(f"The first {len(rows)}", listed) if rows else ""


def reason_section(topic: str, summary: Summary) -> Html:
    """Return which reasons to buy are reasons to stay."""
    reasons = summary["reasons"]
    if reasons is None:
        return section("reasons", topic, missing_line(summary, "reasons"))
    known = [of for of in reasons["rows"] if of["churn"] is not None]
    stays = [of["value"] for of in known if of["verdict"] == "stays longer"]
    leaves = [of["value"] for of in known if of["verdict"] == "leaves sooner"]
    items = [
        f"Who bought for {listed(stays)} also stays" if stays else "",
        f"who bought for {listed(leaves)} leaves sooner" if leaves else "",
    ]
    title = "; ".join(one for one in items if one)
    title = title or "No reason to buy is proven to be a reason to stay, or to leave"
    return section("reasons", title[:1].upper() + title[1:], _reasons(known, summary), topic=topic)


def _reasons(known: Sequence[ReasonRow], summary: Summary) -> Html:
    rows = [
        Row(str(of["value"]),
            [Estimate(churn, of["churn_low"], of["churn_high"], "diamond", "accent",
                      f"leave {how_often(churn)}")],
            f"{of['churned']:.0f} of {of['accounts']:.0f} left")
        for of in known if (churn := of["churn"]) is not None
    ]  # fmt: skip
    lows = [0.5, *(low for of in known if (low := of["churn_low"]) is not None)]
    highs = [2.0, *(high for of in known if (high := of["churn_high"]) is not None)]
    ticks = [tick for tick in RATIO_TICKS if min(lows) * 0.9 <= tick[0] <= max(highs) * 1.1]
    axis = Axis(min(lows) * 0.9, max(highs) * 1.1, ticks, 1.0, logarithmic=True)
    title = "How often they leave, relative to the average of customers of similar tenure"
    description = "; ".join(f"{row.label}: {row.estimates[0].text}" for row in rows)
    return figure(
        title, both(ranges, rows, axis, title=title, description=description),
        source="Churned over expected accounts by reason, shrunken to 1, with 95 % intervals."
        f" All accounts until {as_of_text(summary)}.",
    )  # fmt: skip
