"""The sections of the report: what each result says, a picture, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from leadsignal.report.bar_charts import (
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
from leadsignal.report.charts import key
from leadsignal.report.page import Html, day, join, number, section, table, tag
from leadsignal.report.review_page import name_text
from leadsignal.report.section_summaries import ARTEFACT, HOLDS, PERHAPS
from leadsignal.report.wording import (
    METHOD_WORDS,
    how_often,
    interval_text,
    of_hundred,
    share_text,
    span,
)

Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

VERDICTS = (
    ("unexpected", "unexpected", "bad"), ("signalled", "a warning stood", "good"),
    ("too young", "too young to tell", "dim"), ("cannot be told", "cannot be told", "dim"),
)  # fmt: skip
OUTCOMES = (
    ("by_milestone", "by the milestone", "good"), ("later", "later", "fair"),
    ("overdue", "overdue", "late"), ("left", "left without", "bad"), ("open", "not yet due", "dim"),
)  # fmt: skip
RATIO_TICKS = ((0.05, "0.05"), (0.1, "0.1"), (0.25, "¼"), (0.5, "half"), (1.0, "as often"),
               (2.0, "twice"), (4.0, "4 times"))  # fmt: skip


def figure(title: str, drawn: Html, *below: object) -> Html:
    """Return a picture under the sentence that it shows."""
    return tag("figure", tag("figcaption", title), drawn, *below)


def folded(title: str, *held: object) -> Html:
    """Return what opens on demand."""
    return tag("details", tag("summary", title), *held)


def _without(name: str, title: str, why: object) -> Html:
    return section(name, title, tag("p", f"Not in this report: {why}."))


def _missing(summary: Summary, name: str) -> Html:
    return tag("p", f"{name.capitalize()}: not in this report ({summary['missing'][name]}).",
               class_="small soft")  # fmt: skip


def _day(value: str | None) -> Html:
    return day(None if value is None else date.fromisoformat(value))


# Churn --------------------------------------------------------------------------------------------


def churn_section(title: str, summary: Summary) -> Html:
    """Return churn by quarter and verdict, by cause, and retention."""
    churn = summary["churn"]
    if not churn["churned"]:
        return section("churn", title, tag("p", "No account has churned."))
    told = (
        f"{churn['churned']:,} accounts have churned; usage had dropped before"
        f" {churn['with_usage_drop']:,} of them."
    )
    return section("churn", title, tag("p", told), _quarters(churn["quarters"]),
                   tag("div", _causes(churn["causes"]), _retention(summary), class_="columns"),
                   )  # fmt: skip


def _quarters(quarters: Rows) -> Html:
    columns = [(f"{name.replace(' ', '_')}_accounts", words, kind) for name, words, kind in VERDICTS]
    rows = [
        Stack(_quarter(of["quarter"]), [Part(of[c], kind, words) for c, words, kind in columns])
        for of in quarters
    ]
    told = "; ".join(
        f"{row.label}: " + ", ".join(f"{p.count:.0f} {p.told}" for p in row.parts if p.count)
        for row in rows
    )
    title = "Churned accounts by the quarter in which their end became known"
    legend = stack_key([("bad", "unexpected"), ("good", "a warning stood"),
                        ("dim", "too young, or cannot be told")])  # fmt: skip
    return figure(title, both(stacks, rows, title=title, told=told), legend)


def _quarter(name: str) -> str:
    return f"{name[:4]} {name[4:]}"


def _causes(causes: Rows) -> Html:
    rows = [
        (of["cause"], ("number", number(of["accounts"])), ("number", number(of["arr"])),
         "" if of["churn"] else "not counted as churn")
        for of in causes
    ]  # fmt: skip
    return table(("Cause", "Accounts", "Revenue", ""), rows, "All ends by cause", class_="cards")


def _retention(summary: Summary) -> Html:
    rows = summary["retention"]
    if rows is None:
        return _missing(summary, "retention")
    head = ("Quarter", "Accounts at its start", "Stayed", "Revenue kept", "With expansion")
    told = [
        (_quarter(of["quarter"]), ("number", number(of["accounts"])),
         *(("number", share_text(of[name])) for name in ("logo", "gross", "net")))
        for of in rows
    ]  # fmt: skip
    return table(head, told, "Retention by quarter", class_="cards")


# Success ------------------------------------------------------------------------------------------


def success_section(title: str, summary: Summary) -> Html:
    """Return the bullseye, the processes and who adopts them, who succeeds and who does not."""
    return section(
        "success", title, _bullseye(summary["analysis"]), _processes(summary), _adoption(summary),
        tag("div", _milestones(summary), _red(summary), class_="columns"),
        tag("div", _successful(summary), _gaps(summary), class_="columns"),
    )  # fmt: skip


def _bullseye(analysis: Summary) -> Html:
    held = analysis["bullseye"]
    facts = [
        ("Customers want", held["objective"]),
        ("They measure", name_text(held["success_metric"])),
        ("They share", ", ".join(held["traits"])),
    ]
    pairs = [part for what, told in facts if told for part in (tag("dt", what), tag("dd", told))]
    return tag("dl", *pairs, class_="plan") if pairs else Html("")


def _processes(summary: Summary) -> Html:
    processes = summary["analysis"]["processes"]
    if not processes:
        return tag("p", "No essential process is written down (success.toml).")
    lines = summary["cohorts"]["lines"] if summary["cohorts"] else ()
    effects = {line["by"]: line for line in lines}
    rows = [
        (name_text(one["name"]), _definition(one), one["why"], _effect(effects.get(one["name"])))
        for one in processes
    ]
    head = ("Process", "Adopted means", "Why it matters", "Accounts that practise it")
    return table(head, rows, "Essential processes", class_="cards")


def _definition(one: Summary) -> str:
    users = f" by {one['by_users']} users" if one["by_users"] > 1 else ""
    again = f", {one['sustained_for']} times in a row" if one["sustained_for"] > 1 else ""
    due = f"; due by day {one['adopt_by']}" if one["adopt_by"] else ""
    events = " or ".join(name_text(behavior) for behavior in one["behaviors"])
    return f"{one['at_least']:g} × {events}{users} in {one['within']} days{again}{due}"


def _effect(line: Summary | None) -> str:
    if line is None:
        return ""
    ratio = line["hazard_ratio"]
    if line["verdict"] not in (HOLDS, PERHAPS):
        return "no difference is proven"
    return f"leave {how_often(ratio['estimate'])} ({_limits(ratio)} times)"


def _limits(ratio: Summary) -> str:
    if ratio["low"] is None or ratio["high"] is None:
        return "no limit"
    return f"{ratio['low']:.2f} to {ratio['high']:.2f}"


def _adoption(summary: Summary) -> Html:
    adoption = summary["adoption"]
    if adoption is None:
        return _missing(summary, "adoption")
    rows = [
        Stack(name_text(of["process"]), [Part(of[c], kind, f"{of[c]:,} {words}")
                                         for c, words, kind in OUTCOMES])
        for of in adoption["processes"]
    ]  # fmt: skip
    told = "; ".join(f"{row.label}: " + ", ".join(part.told for part in row.parts) for row in rows)
    said = [
        tag("li", f"{name_text(of['process'])}: {share_text(of['share_ever'])} have adopted it so"
            f" far{_in_time(of)}.")
        for of in adoption["processes"]
    ]  # fmt: skip
    legend = stack_key([(kind, words) for _, words, kind in OUTCOMES])
    left = (
        f" {adoption['left_out']:,} accounts that started before the tables are complete are left"
        " out." if adoption["left_out"] else ""
    )  # fmt: skip
    title = "What became of each account's adoption"
    drawn = figure(title + "." + left, both(stacks, rows, title=title, told=told), legend)
    return join([tag("h3", "Adoption"), tag("ul", *said), drawn])


def _in_time(of: Summary) -> str:
    share = of["share_by_milestone"]
    return "" if share is None else f", {share_text(share)} by the milestone"


def _milestones(summary: Summary) -> Html:
    held = summary["milestones"]
    if held is None:
        return _missing(summary, "milestones")
    told = (
        f"{held['due']:,} milestones fall due within {held['ahead_days']} days;"
        f" {held['will_miss']:,} will be missed as things stand, {held['out_of_reach']:,} of them"
        f" whatever happens. {held['overdue']:,} are overdue."
    )
    rows = [
        (of["account_id"], name_text(of["process"]), _day(of["due_on"]), _chance(of))
        for of in held["next"]
    ]
    listed = table(("Account", "Process", "Due", "Chance"), rows, "The next", class_="cards")
    shown = folded(f"The next {len(rows)}", listed) if rows else ""
    return tag("div", tag("h3", "Milestones"), tag("p", told), shown)


def _chance(of: Summary) -> str:
    if not of["can_be_met"]:
        return "cannot be met any more"
    if of["chance"] is None:
        return "too few past accounts to tell"
    return f"of 100 that stood there, {of_hundred(of['chance'])} made it"


def _red(summary: Summary) -> Html:
    held = summary["red"]
    if held is None:
        return _missing(summary, "red")
    told = f"{held['red']:,} of {held['active']:,} active accounts have at least one gap in care:"
    items = [tag("li", f"{count:,}: {reason}") for reason, count in held["reasons"].items()]
    return tag("div", tag("h3", "Nobody looks after"), tag("p", told), tag("ul", *items))


def _successful(summary: Summary) -> Html:
    held = summary["successful"]
    if held is None:
        return _missing(summary, "successful")
    told = (
        f"{held['accounts']:,} accounts reach their target, have held it and are not falling back:"
        " the ones to learn from."
    )
    beside = [
        tag("li", f"Of the {one['size']} {one['name']} ({one['by']}), {one['overlap']} are among the"
            f" {one['size']} best by results; chance alone gives {one['overlap_by_chance']:.1f}.")
        for one in held["yardsticks"]
    ]  # fmt: skip
    rows = [
        (of["account_id"], f"{number(of['value'])}, target {number(of['target'])}",
         _day(of["since"]), of["trend"])
        for of in held["rows"]
    ]  # fmt: skip
    listed = table(("Account", "Result", "On target since", "Trend"), rows, "The best by results",
                   class_="cards")  # fmt: skip
    shown = folded(f"The first {len(rows)}", listed) if rows else ""
    return tag("div", tag("h3", "The most successful"), tag("p", told), tag("ul", *beside), shown)


def _gaps(summary: Summary) -> Html:
    held = summary["gaps"]
    if held is None:
        return _missing(summary, "gaps")
    told = (
        f"{held['accounts']:,} of {held['judged']:,} accounts that use the product well and have"
        " adopted every process still miss their target."
    )
    apart = [
        tag("li", f"{name_text(of['what'])} {of['value']}: {share_text(of['gap_share'])} of them,"
            f" {share_text(of['reached_share'])} of those on target")
        for of in held["apart"] if of["value"]
    ]  # fmt: skip
    rows = [
        (of["account_id"], f"{number(of['value'])}, target {number(of['target'])}",
         _day(of["off_since"]), of["trend"])
        for of in held["rows"]
    ]  # fmt: skip
    listed = table(("Account", "Result", "Off target since", "Trend"), rows, "Success gaps",
                   class_="cards")  # fmt: skip
    return tag("div", tag("h3", "Everything right, and no result"), tag("p", told),
               tag("p", "What sets them apart:") if apart else "", tag("ul", *apart) if apart else "",
               folded(f"The first {len(rows)}", listed) if rows else "")  # fmt: skip


# Audit --------------------------------------------------------------------------------------------


def audit_section(title: str, summary: Summary) -> Html:
    """Return the verdicts on the indicators, and what goes with leaving."""
    audit = summary["audit"]
    if audit is None:
        return section("audit", title, tag("p", f"Not in this report: audit was"
                       f" {summary['missing']['audit']}."), _drivers(summary))  # fmt: skip
    counts, early = audit["counts"], span(audit["warning_time_days"])
    told = (
        f"Of {len(audit['indicators'])} indicators {counts['leading']} are proven to speak {early}"
        f" before the end, {counts['lagging']} speak only near it, {counts['neither']} say nothing"
        f" that matters, and {counts['undecided']} cannot be decided with {audit['ends']:,} ends."
    )
    usage = ""
    if audit["usage_declines"] is False:
        usage = "No decline of usage before the end was found."
    shown = [row for row in audit["indicators"] if row["auc"] is not None]
    decided = [row for row in shown if row["verdict"] in ("leading", "lagging")]
    strongest = sorted(shown, key=lambda row: (-abs(row["auc"] - 0.5), row["name"]))
    picked = (decided + [row for row in strongest if row not in decided])[:14]
    return section("audit", title, tag("p", told), tag("p", usage) if usage else "",
                   _audit_picture(picked, early), _health(audit), _verdicts(audit["indicators"]),
                   _drivers(summary))  # fmt: skip


def _audit_picture(rows: Rows, early: str) -> Html:
    drawn = []
    for of in rows:
        marks = [Estimate(of["auc"], of["low"], of["high"], "diamond", "accent",
                          f"{early} before: {of['auc']:.2f}")]  # fmt: skip
        if of["auc_last"] is not None:
            marks.append(Estimate(of["auc_last"], None, None, "dot", "plain hollow",
                                  f"at the last look: {of['auc_last']:.2f}"))  # fmt: skip
        drawn.append(Row(name_text(of["name"]), marks, of["verdict"]))
    axis = Axis(0.0, 1.0, ((0.0, "always lower"), (0.25, "¼"), (0.5, "no difference"),
                           (0.75, "¾"), (1.0, "always higher")), 0.5)  # fmt: skip
    title = "How often the account that left had the higher value than one like it that stayed"
    told = "; ".join(f"{row.label} {row.estimates[0].value:.2f}, {row.note}" for row in drawn)
    legend = key([("diamond", "accent", f"{early} before, with its 95 % interval"),
                  ("dot", "plain hollow", "at the last look before the end")])  # fmt: skip
    return figure(title, both(ranges, drawn, axis, title=title, told=told), legend)


def _health(audit: Summary) -> Html | str:
    return tag("p", ". ".join(audit["health"]) + ".") if audit["health"] else ""


def _verdicts(rows: Rows) -> Html:
    told = [
        (of["words"], of["family"], of["verdict"],
         ("number", "" if of["auc"] is None else f"{of['auc']:.2f}"),
         "" if of["auc"] is None or of["low"] is None else f"{of['low']:.2f} to {of['high']:.2f}",
         ("number", number(of.get("ends_to_decide"))))
        for of in rows
    ]  # fmt: skip
    head = ("Indicator", "Family", "Verdict", "Higher how often", "95 %", "Ends that would decide")
    listed = table(head, told, "1 is always higher before an end, 0 always lower, 0.5 says nothing",
                   class_="cards")  # fmt: skip
    return folded(f"All {len(told)} indicators", listed)


def _drivers(summary: Summary) -> Html:
    held = summary["ratios"]
    if held is None:
        return _missing(summary, "ratios")
    sure = [of for of in held["rows"] if of["low"] > 1 or of["high"] < 1]
    told = [tag("li", _driver(of)) for of in sure[:8]]
    said = tag("ul", *told) if told else tag("p", "None is told from chance.")
    rows = [
        (f"{of['words']}: {_step(of)}", ("number", f"{of['ratio']:.2f}"),
         f"{of['low']:.2f} to {of['high']:.2f}")
        for of in held["rows"]
    ]  # fmt: skip
    listed = table(("Compared", "Times as often", "95 %"), rows,
                   "Churn, all other indicators held equal", class_="cards")  # fmt: skip
    notes = tag("p", ". ".join(held["notes"]) + ".", class_="small soft") if held["notes"] else ""
    return join([tag("h3", "What goes with leaving, all else equal"), said,
                 folded(f"All {len(rows)}", listed), notes])  # fmt: skip


def _step(of: Summary) -> str:
    return f"{of['step']} against {of['reference']}"


def _driver(of: Summary) -> str:
    return (
        f"{of['words']}, {_step(of)}: leave {how_often(of['ratio'])}"
        f" ({of['low']:.2f} to {of['high']:.2f} times)"
    )


# Backtest -----------------------------------------------------------------------------------------


def backtest_section(title: str, summary: Summary) -> Html:
    """Return what each way to choose accounts would have caught, at equal alerts."""
    held = summary["backtest"]
    if held is None:
        return _without("backtest", title, f"backtest was {summary['missing']['backtest']}")
    counts, early = held["counts"], span(held["warning_time_days"])
    what = "unexpected churns" if held["headline"].startswith("unexpected") else "churns"
    ends = counts["unexpected"] if what != "churns" else counts["ends"]
    told = (
        f"Each way to choose alerts the {held['capacity']:.0%} riskiest of the active accounts at"
        f" {counts['snapshots']} past dates. The bars say how many of the {ends:,} {what} stood on"
        f" the list {early} before they were known."
    )
    behind = [METHOD_WORDS.get(one["name"], one["name"]) for one in held["methods"]
              if one["name"] not in ("random", "context") and not one["beats_context"]]  # fmt: skip
    weak = (
        tag("p", tag("b", "Not proven to beat contract and firm alone: "), ", ".join(behind) + ".")
        if behind else ""
    )  # fmt: skip
    left = [tag("li", f"{METHOD_WORDS.get(name, name)}: left out, {why}")
            for name, why in held["left_out"].items()]  # fmt: skip
    return section(
        "backtest", title, tag("p", told), _catches(held["methods"], what), weak,
        _methods(held["methods"]), tag("ul", *left) if left else "", _come_true(held),
    )  # fmt: skip


def _catches(methods: Rows, what: str) -> Html:
    rows = []
    for one in methods:
        name = one["name"]
        kind = "accent" if name in ("leading", "all") else "plain"
        told = f"{share_text(one['share'])} ({interval_text(one['low'], one['high'])})"
        shape = "diamond" if kind == "accent" else "dot"
        mark = Estimate(one["share"] or 0.0, one["low"], one["high"], shape, kind, told)
        rows.append(Row(METHOD_WORDS.get(name, name), [mark], share_text(one["share"])))
    top = max([one["high"] or 0 for one in methods] + [0.2])
    high = min(1.0, (int(top * 10) + 1) / 10)
    count = round(high * 10)
    step = 1 if count <= 5 else 2
    axis = Axis(0.0, high, [(n / 10, f"{n * 10} %") for n in range(0, count + 1, step)], 0.0)
    title = f"Share of {what} caught in time, with 95 % intervals"
    told = "; ".join(f"{row.label} {row.estimates[0].told}" for row in rows)
    return figure(title, both(ranges, rows, axis, title=title, told=told))


def _methods(methods: Rows) -> Html:
    head = ("Alerts chosen by", "Caught in time", "95 %", "Known before (median of caught)",
            "Alerts that came true", "New alerts a month", "Puts leavers first (AUC)")  # fmt: skip
    rows = [
        (METHOD_WORDS.get(one["name"], one["name"]), ("number", share_text(one["share"])),
         ("number", interval_text(one["low"], one["high"])),
         ("number", _days(one["lead_days_of_caught"])),
         ("number", f"{of_hundred(one['alert_precision'])} of 100"),
         ("number", number(one["new_alerts_a_month"], 2)),
         ("number", "" if one["auc"] is None else f"{one['auc']:.2f}"))
        for one in methods
    ]  # fmt: skip
    return table(head, rows, "All methods alert the same number", class_="cards")


def _days(value: float | None) -> str:
    return "–" if value is None else f"{int(value + 0.5):,} days"


def _come_true(held: Summary) -> Html:
    rows = [
        (f"{of_hundred(of['risk'])} of 100", ("number", number(of["rows"])),
         f"{of_hundred(of['observed'])} of 100", interval_text(of["lower"], of["upper"]))
        for of in held["calibration"]
    ]  # fmt: skip
    if not rows:
        return Html("")
    head = ("Said to leave", "Times said", "Did leave", "95 %")
    return folded("Did the risks come true?", table(head, rows, "Risks said in the backtest, and"
                  f" what came within {span(held['horizon_days'])}", class_="cards"))  # fmt: skip


# Cohorts ------------------------------------------------------------------------------------------


def cohort_section(title: str, summary: Summary) -> Html:
    """Return every cohort comparison, the usual number beside the corrected one."""
    held = summary["cohorts"]
    if held is None:
        return _without("cohorts", title, f"cohorts were {summary['missing']['cohorts']}")
    lines = [line for line in held["lines"] if line["hazard_ratio"]["estimate"]]
    dated = [line for line in lines if line["naive"] is not None]
    fooled = [line for line in dated if line["verdict"] == ARTEFACT]
    holds = [line for line in lines if line["verdict"] == HOLDS]
    told = (
        f"In {len(fooled)} of {len(dated)} comparisons the usual chart shows a difference that is"
        " made by the counting; counted day by day, none is proven."
    )
    return section(
        "cohorts", title, tag("p", told), tag("p", _holding(holds, len(lines))),
        _example(fooled), _forest(dated[:24]), _lines(lines),
        tag("p", "Left out: " + "; ".join(held["left_out"]) + ".", class_="small soft")
        if held["left_out"] else "",
    )  # fmt: skip


def _holding(holds: Rows, of: int) -> str:
    if not holds:
        return f"No difference holds once corrected for {of} comparisons."
    told = [f"{_cohort(line)} (leave {how_often(line['hazard_ratio']['estimate'])})"
            for line in holds]  # fmt: skip
    return f"Differences that hold, corrected for {of} comparisons: {'; '.join(told)}."


def _cohort(line: Summary) -> str:
    by, cohort = name_text(line["by"]), name_text(line["cohort"])
    return cohort if by == cohort else f"{by}, {cohort}"


def _example(fooled: Rows) -> Html | str:
    if not fooled:
        return ""
    line = next((one for one in fooled if one["by"] == "measured"), fooled[0])
    usual, corrected = line["naive"]["estimate"], line["hazard_ratio"]
    return tag("p", f"For example {_cohort(line)} against {line['against']}: the usual chart says"
               f" they leave {how_often(usual)}; counted day by day {how_often(corrected['estimate'])},"
               f" and anything from {_limits(corrected)} times fits the data.")  # fmt: skip


def _forest(lines: Rows) -> Html | str:
    if not lines:
        return ""
    rows = []
    for line in lines:
        usual, corrected = line["naive"], line["hazard_ratio"]
        marks = [
            Estimate(usual["estimate"] or 1.0, None, None, "dot", "plain hollow",
                     f"the usual chart: {number(usual['estimate'], 2)}"),
            Estimate(corrected["estimate"], corrected["low"], corrected["high"], "diamond",
                     "accent", f"corrected: {number(corrected['estimate'], 2)}"),
        ]  # fmt: skip
        rows.append(Row(f"{_cohort(line)} / {line['against']}", marks, line["verdict"]))
    axis = Axis(0.04, 5.0, RATIO_TICKS, 1.0, logarithmic=True)
    title = "How often each cohort leaves, against the other"
    told = "; ".join(f"{row.label}: {row.estimates[0].told}, {row.estimates[1].told}, {row.note}"
                     for row in rows)  # fmt: skip
    legend = key([("dot", "plain hollow", "the usual chart"),
                  ("diamond", "accent", "counted day by day, with its 95 % interval")])  # fmt: skip
    return figure(title, both(ranges, rows, axis, title=title, told=told), legend)


def _lines(lines: Rows) -> Html:
    rows = [
        (_cohort(line), name_text(line["against"]),
         "" if line["naive"] is None else how_often(line["naive"]["estimate"] or 0.0),
         how_often(line["hazard_ratio"]["estimate"]), _limits(line["hazard_ratio"]),
         f"{line['p_holm']:.3f}", line["verdict"])
        for line in lines
    ]  # fmt: skip
    head = ("Cohort", "Against", "Usual chart: leave", "Corrected: leave", "Times, 95 %",
            "P of all", "Verdict")  # fmt: skip
    return folded(f"All {len(rows)} comparisons", table(head, rows, "Holds: beyond chance once"
                  " corrected for all. May be chance: only by itself. Artefact: the usual chart's"
                  " difference is made by the counting.", class_="cards"))  # fmt: skip


# Reasons ------------------------------------------------------------------------------------------


def reason_section(title: str, summary: Summary) -> Html:
    """Return which reasons to buy are reasons to stay."""
    held = summary["reasons"]
    if held is None:
        return _without("reasons", title, f"reasons: {summary['missing']['reasons']}")
    known = [of for of in held["rows"] if of["churn"] is not None]
    stays = [of["value"] for of in known if of["verdict"] == "stays longer"]
    leaves = [of["value"] for of in known if of["verdict"] == "leaves sooner"]
    told = [
        f"Also reasons to stay: {', '.join(stays)}." if stays else "",
        f"No reasons to stay: {', '.join(leaves)}." if leaves else "",
        "" if stays or leaves else "No reason to buy is told from the average: the differences may"
        " be chance.",
    ]  # fmt: skip
    return section("reasons", title, *(tag("p", one) for one in told if one), _reasons(known))


def _reasons(known: Rows) -> Html:
    rows = [
        Row(str(of["value"]),
            [Estimate(of["churn"], of["churn_low"], of["churn_high"], "diamond", "accent",
                      f"leave {how_often(of['churn'])}")],
            f"{of['churned']:.0f} of {of['accounts']:.0f} left")
        for of in known
    ]  # fmt: skip
    lows = [of["churn_low"] for of in known] + [0.5]
    highs = [of["churn_high"] for of in known] + [2.0]
    ticks = [tick for tick in RATIO_TICKS if min(lows) * 0.9 <= tick[0] <= max(highs) * 1.1]
    axis = Axis(min(lows) * 0.9, max(highs) * 1.1, ticks, 1.0, logarithmic=True)
    title = "How often they leave, against the average of customers as long with us"
    told = "; ".join(f"{row.label}: {row.estimates[0].told}" for row in rows)
    return figure(title, both(ranges, rows, axis, title=title, told=told))

