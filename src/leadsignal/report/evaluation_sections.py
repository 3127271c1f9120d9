"""Evaluation in the report: leading and lagging indicators, and the backtest of the alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from leadsignal.formats import (
    day_text,
    days_text,
    how_often,
    how_often_between,
    interval_text,
    of_hundred,
    share_text,
)
from leadsignal.html_pages import Html, bullets, figure, folded, number, remark, section, table, tag
from leadsignal.report.charts import Axis, Estimate, Row, both, key, ranges
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
    as_of_text,
    estimator_words,
    listed,
    method_words,
    profile_words,
    sentence,
    span,
)

MAX_DRAWN, MAX_ALIKE = 12, 3
"""Number of indicators in the chart, and of those with the same family and verdict."""

ORDER = {"leading": 0, "lagging": 1}
"""Order of the verdicts that are drawn first."""

MAX_WIDTH = 20
"""Maximum ratio of the limits of an interval for a hazard ratio to be drawn; the table has all."""


# Audit --------------------------------------------------------------------------------------------


def audit_section(topic: str, summary: Summary) -> Html:
    """Return the verdicts on the indicators, and the hazard ratios."""
    audit = summary["audit"]
    if audit is None:
        return section("audit", topic, missing_line(summary, "audit"), _drivers(summary))
    counts, early = audit["counts"], span(audit["warning_time_days"])
    text = (
        f"Of {len(audit['indicators'])} indicators, all but {profile_words(summary['panel'])},"
        f" {_counted(counts, early, audit['ends'])}."
    )
    usage = ""
    if audit["usage_declines"] is False:
        usage = "No decline of usage before churn was found."
    return section(
        "audit", _leads(audit["indicators"], early), tag("p", text),
        tag("p", usage) if usage else "", _audit_picture(audit, summary), _health(audit),
        _verdicts(audit["indicators"]), _drivers(summary), topic=topic,
    )  # fmt: skip


def _leads(rows: Sequence[IndicatorRow], early: str) -> str:
    """Return a heading that names the leading and the lagging families of indicators."""
    leading, late = _families(rows)
    if not leading:
        return f"No indicator is proven to warn {early} before churn"
    text = f"{listed(leading)} warn {early} before churn"
    return sentence(f"{text}; {listed(late)} only near it" if late else text)


def _families(rows: Sequence[IndicatorRow]) -> tuple[list[str], list[str]]:
    """Return the families with a leading indicator, and those with only lagging ones.

    Families with the most such indicators come first.
    """
    leading, lagging = (
        [name for name, _ in Counter(of["family"] for of in rows if of["verdict"] == verdict)
         .most_common()]
        for verdict in ("leading", "lagging")
    )  # fmt: skip
    return leading, [name for name in lagging if name not in leading]


def _picked(rows: Sequence[IndicatorRow]) -> list[IndicatorRow]:
    """Return the indicators to draw: leading, lagging, then the strongest of the others.

    At most three of a family have the same verdict, since they measure nearly the same.
    """
    late = _families(rows)[1]

    def order(of: IndicatorRow) -> tuple[int, bool, float, str]:
        verdict = ORDER.get(of["verdict"], len(ORDER))
        auc = of["auc_last"] if of["verdict"] == "lagging" else of["auc"]
        return verdict, of["family"] not in late, -abs((auc or 0.5) - 0.5), of["name"]

    kept: list[IndicatorRow] = []
    taken: Counter[tuple[str, str]] = Counter()
    for of in sorted((of for of in rows if of["auc"] is not None), key=order):
        kind = (of["family"], of["verdict"])
        if taken[kind] < MAX_ALIKE:
            kept.append(of)
            taken[kind] += 1
    return kept[:MAX_DRAWN]


def _counted(counts: Mapping[str, int], early: str, ends: int) -> str:
    """Return how many indicators have each verdict; leading is named even if there are none."""
    text = (
        ("leading", "is", f"leading: proven {early} before churn"),
        ("lagging", "is", "lagging: only near it"),
        ("neither", "is", "neither, with a difference that is too small to matter"),
        (
            "undecided",
            "cannot",
            f"be decided with the {ends:,} churned accounts that found a match",
        ),
    )
    many = {"is": "are"}
    parts = [
        f"{counts[name] or 'none'} {verb if counts[name] < 2 else many.get(verb, verb)} {words}"
        for name, verb, words in text
        if counts[name] or name == "leading"
    ]
    return listed(parts)


def _audit_picture(audit: AuditSummary, summary: Summary) -> Html:
    early, chart_rows = span(audit["warning_time_days"]), []
    for of in _picked(audit["indicators"]):
        auc = of["auc"] or 0.0
        marks = [Estimate(auc, of["low"], of["high"], "diamond", "accent",
                          f"{early} before: {auc:.2f}")]  # fmt: skip
        if of["auc_last"] is not None:
            marks.append(Estimate(of["auc_last"], None, None, "dot", "plain hollow",
                                  f"at the last snapshot: {of['auc_last']:.2f}"))  # fmt: skip
        chart_rows.append(Row(of["words"], marks, of["verdict"]))
    axis = Axis(0.0, 1.0, ((0.0, "always lower"), (0.25, "1 in 4"), (0.5, "no difference"),
                           (0.75, "3 in 4"), (1.0, "always higher")), 0.5)  # fmt: skip
    title = "How often the account that left had the higher value than one like it that stayed"
    description = "; ".join(
        f"{row.label} {row.estimates[0].value:.2f}, {row.note}" for row in chart_rows
    )
    legend = key([("diamond", "accent", f"{early} before, with its 95 % interval"),
                  ("dot", "plain hollow", "at the last snapshot before churn")])  # fmt: skip
    return figure(
        title, both(ranges, chart_rows, axis, title=title, description=description), legend,
        source=f"AUC of matched pairs: {audit['ends']:,} churned accounts, each beside active ones"
        f" of similar tenure, term and risk by {profile_words(summary['panel'])}, until"
        f" {as_of_text(summary)}; intervals by customer.",
    )  # fmt: skip


def _health(audit: AuditSummary) -> Html | str:
    health = audit["health"]
    if not health or not health["churned"]:
        return ""
    text = (
        f"Your health score: of {health['churned']:,} churned accounts that were customers"
        f" {span(audit['warning_time_days'])} before they were known to leave,"
        f" {health['green_at_warning_time']:,} were green then, {health['green_at_last']:,} still"
        " at the last look."
    )
    if health["false_alarms"] is not None:
        text += (
            f" It turned red {health['red_episodes']:,} times;"
            f" {share_text(health['false_alarms'])} of the times no churn followed."
        )
    return tag("p", text)


def _verdicts(rows: Sequence[IndicatorRow]) -> Html:
    items = [
        (of["words"], of["family"], of["verdict"],
         ("number", "" if of["auc"] is None else f"{of['auc']:.2f}"),
         "" if of["auc"] is None or of["low"] is None else f"{of['low']:.2f} to {of['high']:.2f}",
         ("number", number(of.get("ends_to_decide"))))
        for of in rows
    ]  # fmt: skip
    head = (
        "Indicator",
        "Family",
        "Verdict",
        "Higher how often",
        "95 %",
        "Churns that would decide",
    )
    caption = "1 is always higher before churn, 0 always lower, 0.5 is no difference"
    listing = table(head, items, caption, class_="cards")
    return folded(f"All {len(items)} indicators", listing)


def _drivers(summary: Summary) -> Html:
    ratios = summary["ratios"]
    if ratios is None:
        return missing_line(summary, "ratios")
    sure = [
        of
        for of in ratios["rows"]
        if (of["low"] > 1 or of["high"] < 1) and of["high"] < MAX_WIDTH * of["low"]
    ]
    summary_list = bullets(map(_driver, sure[:MAX_DRAWN]))
    summary_list = summary_list or tag("p", "No indicator differs from chance.")
    rows = [
        (_compared(of), ("number", f"{of['ratio']:.2f}"),
         f"{of['low']:.2f} to {of['high']:.2f}")
        for of in ratios["rows"]
    ]  # fmt: skip
    listing = table(("Compared", "Hazard ratio", "95 %"), rows,
                   "Churn, all other indicators equal", class_="cards")  # fmt: skip
    notes = (
        remark(" ".join(f"{sentence(note)}." for note in ratios["notes"]))
        if ratios["notes"]
        else ""
    )
    return folded(
        f"What goes with leaving, all else equal: {len(rows)} ratios", summary_list, listing, notes
    )


def _compared(of: HazardRatioRow) -> str:
    words = of["words"].removeprefix("state of ")
    return f"{words}: {of['step']} against {of['reference']}"


def _driver(of: HazardRatioRow) -> str:
    return (
        f"{_compared(of)}: leave {how_often(of['ratio'])}"
        f" ({how_often_between(of['low'], of['high'])})"
    )


# Backtest -----------------------------------------------------------------------------------------


def backtest_section(topic: str, summary: Summary) -> Html:
    """Return what each method would have caught with the same number of alerts."""
    backtest = summary["backtest"]
    if backtest is None:
        return section("backtest", topic, missing_line(summary, "backtest"))
    counts, early = backtest["counts"], span(backtest["warning_time_days"])
    what = "unexpected churns" if backtest["headline"].startswith("unexpected") else "churns"
    churns = counts["unexpected"] if what != "churns" else counts["churns"]
    text = (
        f"Each way to choose alerts the {share_text(backtest['capacity'])} riskiest of the active"
        f" accounts at {counts['snapshots']} past dates. The marks say how many of the {churns:,}"
        f" {what} were on the list {early} before they were known."
    )
    panel, unlike = summary["panel"], unlike_line(summary["catch"])
    behind = [method_words(one["name"], panel) for one in backtest["methods"]
              if one["name"] not in ("random", "context") and not one["beats_context"]]  # fmt: skip
    weak = (
        tag("p", tag("b", f"Not proven to beat {profile_words(panel)} alone: "),
            "; ".join(behind) + ".") if behind else ""
    )  # fmt: skip
    left = bullets(
        f"{method_words(name, panel)}: left out, {why}"
        for name, why in backtest["left_out"].items()
    )
    return section(
        "backtest", _beats(backtest, panel), tag("p", text), tag("p", unlike) if unlike else "",
        _catches(backtest, what, early, panel), weak,
        _methods(backtest["methods"], panel), left,
        _come_true(backtest), topic=topic,
    )  # fmt: skip


def _beats(found: BacktestSummary, panel: PanelSummary) -> str:
    """Return a heading that says whether the alerts beat methods without behaviours."""
    profile = profile_words(panel)
    proven = next(
        (one["beats_context"] for one in found["methods"] if one["name"] == found["alerting"]), None
    )
    if proven is None:
        return "What past alerts would have caught"
    if proven:
        return f"The alerts would have caught more churn than {profile} alone"
    return f"The alerts are not proven to catch more churn than {profile} alone"


def unlike_line(catch: CatchSummary | None) -> Html | str:
    """Return a warning if the backtest is of a different model from the scores."""
    unlike = catch["unlike_scores"] if catch else []
    if not unlike:
        return ""
    text = f"Not the model of the scores: this backtest has {', '.join(unlike)}."
    return tag("b", text, class_="warn")


def _whose(found: BacktestSummary, panel: PanelSummary) -> str:
    """Return which model was backtested, on which dates, and the method that raises the alerts."""
    cutoffs = [day_text(date.fromisoformat(one)) for one in found["cutoffs"]]
    dates = f"Fitted on {listed(cutoffs[:: max(len(cutoffs) - 1, 1)])}"
    if len(cutoffs) > 2:
        dates = f"Fitted anew on {len(cutoffs)} dates from {cutoffs[0]} to {cutoffs[-1]}"
    if found["recipe"] is None:
        return f"{dates}, on what was known then."
    return (
        f"{dates}, on what was known then, as {estimator_words(found['recipe']['estimator'])},"
        f" looking {span(found['horizon_days'])} ahead; the alerts of this report are chosen by"
        f" {method_words(found['alerting'], panel)}. Intervals by customer."
    )


def _catches(found: BacktestSummary, what: str, early: str, panel: PanelSummary) -> Html:
    rows, methods = [], found["methods"]
    for one in methods:
        name = one["name"]
        kind = "accent" if name in ("leading", "all", "model") else "plain"
        description = f"{share_text(one['share'])} ({interval_text(one['low'], one['high'])})"
        shape = "diamond" if kind == "accent" else "dot"
        mark = Estimate(one["share"] or 0.0, one["low"], one["high"], shape, kind, description)
        rows.append(Row(method_words(name, panel), [mark], share_text(one["share"])))
    top = max([one["high"] or 0 for one in methods] + [0.2])
    high = min(1.0, (int(top * 10) + 1) / 10)
    count = round(high * 10)
    step = 1 if count <= 5 else 2
    axis = Axis(0.0, high, [(n / 10, share_text(n / 10)) for n in range(0, count + 1, step)], 0.0)
    title = f"Share of {what} caught {early} before, with 95 % intervals"
    description = "; ".join(f"{row.label} {row.estimates[0].text}" for row in rows)
    picture = both(ranges, rows, axis, title=title, description=description)
    return figure(title, picture, source=_whose(found, panel))


def _methods(methods: Sequence[MethodRow], panel: PanelSummary) -> Html:
    head = ("Alerts chosen by", "Known before (median of caught)", "Alerts that came true",
            "New alerts a month", "Puts leavers first (AUC)")  # fmt: skip
    rows = [
        (method_words(one["name"], panel), ("number", days_text(one["lead_days_of_caught"])),
         ("number", share_text(one["alert_precision"])),
         ("number", number(one["new_alerts_a_month"], 2)),
         ("number", "" if one["auc"] is None else f"{one['auc']:.2f}"))
        for one in methods
    ]  # fmt: skip
    listing = table(head, rows, "All methods alert the same number", class_="cards")
    return folded("How early, how often right, and how many alerts", listing)


def _come_true(found: BacktestSummary) -> Html:
    rows = [
        (f"{of_hundred(of['risk'])} of 100", ("number", number(of["rows"])),
         f"{of_hundred(of['observed'])} of 100",
         interval_text(of["lower"], of["upper"]).replace("%", "of 100"))
        for of in found["calibration"]
    ]  # fmt: skip
    if not rows:
        return Html("")
    head = ("Said to leave", "Times said", "Did leave", "95 %")
    return folded("Did the risks come true?", table(head, rows, "Risks said in the backtest, and"
                  f" what came within {span(found['horizon_days'])}", class_="cards"))  # fmt: skip
