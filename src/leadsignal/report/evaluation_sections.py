"""The proof in the report: which indicators speak early, what past alerts would have caught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leadsignal.report.bar_charts import Axis, Estimate, Row, both, ranges
from leadsignal.report.charts import key
from leadsignal.report.html import Html, figure, folded, join, number, section, table, tag
from leadsignal.report.success_sections import missing_line
from leadsignal.report.summary_types import (
    AuditSummary,
    BacktestSummary,
    CatchSummary,
    HazardRatioRow,
    IndicatorRow,
    MethodRow,
    PanelSummary,
    Summary,
)
from leadsignal.report.wording import (
    estimator_words,
    how_often,
    how_often_between,
    interval_text,
    listed,
    method_words,
    name_text,
    of_hundred,
    profile_words,
    sentence,
    share_text,
    span,
)

WIDEST = 20
"""A ratio whose limits lie so many times apart is told in the list of all, not before it."""


# Audit --------------------------------------------------------------------------------------------


def audit_section(title: str, summary: Summary) -> Html:
    """Return the verdicts on the indicators, and what goes with leaving."""
    audit = summary["audit"]
    if audit is None:
        return section("audit", title, missing_line(summary, "audit"), _drivers(summary))
    counts, early = audit["counts"], span(audit["warning_time_days"])
    told = (
        f"Of {len(audit['indicators'])} indicators, all but {profile_words(summary['panel'])},"
        f" {_counted(counts, early, audit['ends'])}."
    )
    usage = ""
    if audit["usage_declines"] is False:
        usage = "No decline of usage before the end was found."
    shown = [row for row in audit["indicators"] if row["auc"] is not None]
    decided = [row for row in shown if row["verdict"] in ("leading", "lagging")]
    strongest = sorted(shown, key=lambda row: (-abs((row["auc"] or 0.0) - 0.5), row["name"]))
    picked = (decided + [row for row in strongest if row not in decided])[:14]
    return section("audit", title, tag("p", told), tag("p", usage) if usage else "",
                   _audit_picture(picked, early), _health(audit), _verdicts(audit["indicators"]),
                   _drivers(summary))  # fmt: skip


def _counted(counts: Mapping[str, int], early: str, ends: int) -> str:
    """Return how many indicators have each verdict; of verdicts that none has, only leading."""
    told = (
        ("leading", "is", f"proven to speak {early} before the end"),
        ("lagging", "speaks", "only near it"),
        ("neither", "says", "nothing that matters"),
        (
            "undecided",
            "cannot",
            f"be decided with the {ends:,} churned accounts that found a match",
        ),
    )
    many = {"is": "are", "speaks": "speak", "says": "say"}
    parts = [
        f"{counts[name] or 'none'} {verb if counts[name] < 2 else many.get(verb, verb)} {words}"
        for name, verb, words in told
        if counts[name] or name == "leading"
    ]
    return listed(parts)


def _audit_picture(rows: Sequence[IndicatorRow], early: str) -> Html:
    drawn = []
    for of in rows:
        auc = of["auc"] or 0.0
        marks = [Estimate(auc, of["low"], of["high"], "diamond", "accent",
                          f"{early} before: {auc:.2f}")]  # fmt: skip
        if of["auc_last"] is not None:
            marks.append(Estimate(of["auc_last"], None, None, "dot", "plain hollow",
                                  f"at the last look: {of['auc_last']:.2f}"))  # fmt: skip
        drawn.append(Row(name_text(of["name"]), marks, of["verdict"]))
    axis = Axis(0.0, 1.0, ((0.0, "always lower"), (0.25, "1 in 4"), (0.5, "no difference"),
                           (0.75, "3 in 4"), (1.0, "always higher")), 0.5)  # fmt: skip
    title = "How often the account that left had the higher value than one like it that stayed"
    told = "; ".join(f"{row.label} {row.estimates[0].value:.2f}, {row.note}" for row in drawn)
    legend = key([("diamond", "accent", f"{early} before, with its 95 % interval"),
                  ("dot", "plain hollow", "at the last look before the end")])  # fmt: skip
    return figure(title, both(ranges, drawn, axis, title=title, told=told), legend)


def _health(audit: AuditSummary) -> Html | str:
    held = audit["health"]
    if not held or not held["churned"]:
        return ""
    told = (
        f"Your health score: of {held['churned']:,} churned accounts that were customers"
        f" {span(audit['warning_time_days'])} before they were known to leave,"
        f" {held['green_at_warning_time']:,} were green then, {held['green_at_last']:,} still at"
        " the last look."
    )
    if held["false_alarms"] is not None:
        told += (
            f" It turned red {held['red_episodes']:,} times;"
            f" {of_hundred(held['false_alarms'])} of 100 times no churn followed."
        )
    return tag("p", told)


def _verdicts(rows: Sequence[IndicatorRow]) -> Html:
    told = [
        (of["words"], of["family"], of["verdict"],
         ("number", "" if of["auc"] is None else f"{of['auc']:.2f}"),
         "" if of["auc"] is None or of["low"] is None else f"{of['low']:.2f} to {of['high']:.2f}",
         ("number", number(of.get("ends_to_decide"))))
        for of in rows
    ]  # fmt: skip
    head = ("Indicator", "Family", "Verdict", "Higher how often", "95 %", "Ends that would decide")
    shown = table(head, told, "1 is always higher before an end, 0 always lower, 0.5 says nothing",
                   class_="cards")  # fmt: skip
    return folded(f"All {len(told)} indicators", shown)


def _drivers(summary: Summary) -> Html:
    held = summary["ratios"]
    if held is None:
        return missing_line(summary, "ratios")
    sure = [of for of in held["rows"]
            if (of["low"] > 1 or of["high"] < 1) and of["high"] < WIDEST * of["low"]]  # fmt: skip
    told = [tag("li", _driver(of)) for of in sure[:8]]
    said = tag("ul", *told) if told else tag("p", "No indicator is told from chance.")
    rows = [
        (_compared(of), ("number", f"{of['ratio']:.2f}"),
         f"{of['low']:.2f} to {of['high']:.2f}")
        for of in held["rows"]
    ]  # fmt: skip
    shown = table(("Compared", "Times as often", "95 %"), rows,
                   "Churn, all other indicators held equal", class_="cards")  # fmt: skip
    notes = (
        tag("p", " ".join(f"{sentence(note)}." for note in held["notes"]), class_="small soft")
        if held["notes"]
        else ""
    )
    return join([tag("h3", "What goes with leaving, all else equal"), said,
                 folded(f"All {len(rows)} ratios", join([shown, notes]))])  # fmt: skip


def _compared(of: HazardRatioRow) -> str:
    words = of["words"].removeprefix("state of ")
    return f"{words}: {of['step']} against {of['reference']}"


def _driver(of: HazardRatioRow) -> str:
    return (
        f"{_compared(of)}: leave {how_often(of['ratio'])}"
        f" ({how_often_between(of['low'], of['high'])})"
    )


# Backtest -----------------------------------------------------------------------------------------


def backtest_section(title: str, summary: Summary) -> Html:
    """Return what each way to choose accounts would have caught, at equal alerts."""
    held = summary["backtest"]
    if held is None:
        return section("backtest", title, missing_line(summary, "backtest"))
    counts, early = held["counts"], span(held["warning_time_days"])
    what = "unexpected churns" if held["headline"].startswith("unexpected") else "churns"
    ends = counts["unexpected"] if what != "churns" else counts["ends"]
    told = (
        f"Each way to choose alerts the {share_text(held['capacity'])} riskiest of the active"
        f" accounts at {counts['snapshots']} past dates. The marks say how many of the {ends:,}"
        f" {what} stood on the list {early} before they were known."
        f"{_whose(held, summary['panel'])}"
    )
    panel, unlike = summary["panel"], unlike_line(summary["catch"])
    behind = [method_words(one["name"], panel) for one in held["methods"]
              if one["name"] not in ("random", "context") and not one["beats_context"]]  # fmt: skip
    weak = (
        tag("p", tag("b", f"Not proven to beat {profile_words(panel)} alone: "),
            "; ".join(behind) + ".") if behind else ""
    )  # fmt: skip
    left = [tag("li", f"{method_words(name, panel)}: left out, {why}")
            for name, why in held["left_out"].items()]  # fmt: skip
    return section(
        "backtest", title, tag("p", told), tag("p", unlike) if unlike else "",
        _catches(held["methods"], what, panel), weak,
        _methods(held["methods"], panel), tag("ul", *left) if left else "", _come_true(held),
    )  # fmt: skip


def unlike_line(catch: CatchSummary | None) -> Html | str:
    """Return a warning if the backtest is of another model than the scores."""
    unlike = catch["unlike_scores"] if catch else []
    if not unlike:
        return ""
    told = f"Not the model of the scores: this backtest has {', '.join(unlike)}."
    return tag("b", told, class_="warn")


def _whose(held: BacktestSummary, panel: PanelSummary) -> str:
    """Return which model was backtested, and which of the methods raises the alerts."""
    if held["recipe"] is None:
        return ""
    return (
        f" Models are fitted as {estimator_words(held['recipe']['estimator'])}, looking"
        f" {span(held['horizon_days'])} ahead; the alerts of this report are chosen by"
        f" {method_words(held['alerting'], panel)}."
    )


def _catches(methods: Sequence[MethodRow], what: str, panel: PanelSummary) -> Html:
    rows = []
    for one in methods:
        name = one["name"]
        kind = "accent" if name in ("leading", "all", "model") else "plain"
        told = f"{share_text(one['share'])} ({interval_text(one['low'], one['high'])})"
        shape = "diamond" if kind == "accent" else "dot"
        mark = Estimate(one["share"] or 0.0, one["low"], one["high"], shape, kind, told)
        rows.append(Row(method_words(name, panel), [mark], share_text(one["share"])))
    top = max([one["high"] or 0 for one in methods] + [0.2])
    high = min(1.0, (int(top * 10) + 1) / 10)
    count = round(high * 10)
    step = 1 if count <= 5 else 2
    axis = Axis(0.0, high, [(n / 10, f"{n * 10} %") for n in range(0, count + 1, step)], 0.0)
    title = f"Share of {what} caught in time, with 95 % intervals"
    told = "; ".join(f"{row.label} {row.estimates[0].told}" for row in rows)
    return figure(title, both(ranges, rows, axis, title=title, told=told))


def _methods(methods: Sequence[MethodRow], panel: PanelSummary) -> Html:
    head = ("Alerts chosen by", "Caught in time", "95 %", "Known before (median of caught)",
            "Alerts that came true", "New alerts a month", "Puts leavers first (AUC)")  # fmt: skip
    rows = [
        (method_words(one["name"], panel), ("number", share_text(one["share"])),
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


def _come_true(held: BacktestSummary) -> Html:
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
