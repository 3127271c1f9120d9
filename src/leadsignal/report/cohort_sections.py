"""Cohorts in the report, with the usual and the corrected number; reasons to buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leadsignal.report.bar_charts import Axis, Estimate, Row, both, ranges
from leadsignal.report.charts import key
from leadsignal.report.html import Html, figure, folded, join, section, table, tag
from leadsignal.report.section_summaries import ARTEFACT, HOLDS
from leadsignal.report.success_sections import estimate_of, limits_text, missing_line
from leadsignal.report.summary_types import (
    CohortLine,
    CohortsSummary,
    EffectSummary,
    RatioSummary,
    ReasonRow,
    Summary,
)
from leadsignal.report.wording import how_often, how_often_between, name_text

Lines = Sequence[CohortLine]
NaiveLines = Sequence[tuple[CohortLine, RatioSummary]]
"""Comparisons with the ratio of the usual chart."""

RATIO_TICKS = ((0.05, "1/20"), (0.1, "1/10"), (0.25, "a quarter"), (0.5, "half"),
               (1.0, "as often"), (2.0, "twice"), (4.0, "4 times"))  # fmt: skip


# Cohorts ------------------------------------------------------------------------------------------


def cohort_section(title: str, summary: Summary) -> Html:
    """Return every cohort comparison, with the usual and the corrected number."""
    cohorts = summary["cohorts"]
    if cohorts is None:
        return section("cohorts", title, missing_line(summary, "cohorts"))
    lines = [line for line in cohorts["lines"] if line["hazard_ratio"]["estimate"]]
    dated = [(line, line["naive"]) for line in lines if line["naive"] is not None]
    artefacts = [(line, naive) for line, naive in dated if line["verdict"] == ARTEFACT]
    holds = [line for line in lines if line["verdict"] == HOLDS]
    return section(
        "cohorts", title, tag("p", _distorted(len(artefacts), len(dated))) if dated else "",
        _example(artefacts), _forest(dated[:24]), _holding(holds, len(lines)),
        _two_estimates(lines, summary["effects"]), _lines(lines), _left_out(cohorts),
    )  # fmt: skip


def _distorted(count: int, of: int) -> str:
    if not count:
        return (
            f"In none of {of} comparisons is the usual chart's difference caused by immortal"
            " time alone; only the corrected mark says how large it is."
        )
    return (
        f"In {count} of {of} comparisons the usual chart shows a difference that is caused by"
        " immortal time: in the time-dependent comparison, none is proven."
    )


def _holding(holds: Lines, of: int) -> Html:
    if not holds:
        return tag("p", f"No difference holds once corrected for {of} comparisons.")
    items = [tag("li", _difference(line)) for line in holds]
    head = tag("p", f"Differences that hold, corrected for {of} comparisons:")
    return join([head, tag("ul", *items)])


def _difference(line: CohortLine) -> str:
    often = how_often(estimate_of(line["hazard_ratio"]))
    beside = "as" if often.endswith("as often") else "than"
    text = f"{_cohort(line)}: leave {often} {beside} {name_text(line['against'])}"
    return text if line["rung"] is None else f"{text} ({line['evidence']})"


def _two_estimates(lines: Lines, effects: Mapping[str, EffectSummary]) -> Html | str:
    """Return why a process has another effect here than elsewhere on the page."""
    items = [
        f"{name_text(line['by'])} {how_often(estimate_of(line['hazard_ratio']))} here and"
        f" {how_often(estimate_of(effects[line['by']]))} there"
        for line in lines
        if line["by"] in effects
    ]
    if not items:
        return ""
    lag = next(iter(effects.values()))["lag_days"]
    return tag(
        "p", "The comparisons here are time-dependent and not adjusted for attributes; the effects"
        " beside the essential processes and the calls compare accounts with similar attributes,"
        f" {lag} days later."
        f" So those that practise it leave: {'; '.join(items)}.", class_="small soft",
    )  # fmt: skip


def _left_out(found: CohortsSummary) -> Html | str:
    items = []
    if many := [name_text(name) for name in found["many_values"]]:
        items.append(f"Not compared, with too many values: {', '.join(many)}.")
    if found["left_out"]:
        reasons = [f"{by}: {reason}" for by, reason in found["left_out"].items()]
        items.append(f"Left out: {'; '.join(map(name_text, reasons))}.")
    return tag("p", " ".join(items), class_="small soft") if items else ""


def _cohort(line: CohortLine) -> str:
    by, cohort = name_text(line["by"]), name_text(line["cohort"])
    return cohort if by == cohort else f"{by}, {cohort}"


def _example(artefacts: NaiveLines) -> Html | str:
    if not artefacts:
        return ""
    line, usual = next((pair for pair in artefacts if pair[0]["by"] == "measured"), artefacts[0])
    corrected = line["hazard_ratio"]
    right = how_often(estimate_of(corrected))
    text = (
        f"For example {_cohort(line)} against {line['against']}: the usual chart says they leave"
        f" {how_often(estimate_of(usual))}; in the time-dependent comparison it is {right},"
        " and anything from"
        f" {how_often_between(corrected['low'], corrected['high'])} fits the data."
    )
    return tag("p", text)


def _forest(lines: NaiveLines) -> Html | str:
    if not lines:
        return ""
    rows = []
    for line, usual in lines:
        corrected = line["hazard_ratio"]
        marks = [
            Estimate(estimate_of(usual), None, None, "dot", "plain hollow",
                     f"the usual chart: {_ratio(usual)}"),
            Estimate(estimate_of(corrected), corrected["low"], corrected["high"], "diamond",
                     "accent", f"corrected: {_ratio(corrected)}"),
        ]  # fmt: skip
        rows.append(Row(f"{_cohort(line)} / {line['against']}", marks, line["verdict"]))
    every = [
        value
        for line, usual in lines
        for ratio in (usual, line["hazard_ratio"])
        for value in (ratio["estimate"], ratio["low"], ratio["high"])
        if value
    ]
    low, high = max(0.02, min(every) * 0.9), min(8.0, max(every) * 1.1)
    ticks = [tick for tick in RATIO_TICKS if low <= tick[0] <= high]
    axis = Axis(min(low, 0.9), max(high, 1.1), ticks, 1.0, logarithmic=True)
    title = "How often each cohort leaves, against the other"
    description = "; ".join(
        f"{row.label}: {row.estimates[0].text}, {row.estimates[1].text}, {row.note}" for row in rows
    )
    legend = key([("dot", "plain hollow", "the usual chart"),
                  ("diamond", "accent", "time-dependent, with its 95 % interval")])  # fmt: skip
    return figure(title, both(ranges, rows, axis, title=title, description=description), legend)


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def _ratio(of: RatioSummary) -> str:
    return "–" if of["estimate"] is None else f"{of['estimate']:.2f}"


def _lines(lines: Lines) -> Html:
    rows = [
        (_cohort(line), name_text(line["against"]),
         "" if line["naive"] is None else _ratio(line["naive"]), _ratio(line["hazard_ratio"]),
         limits_text(line["hazard_ratio"]),
         _p(line["p_holm"]), line["verdict"])
        for line in lines
    ]  # fmt: skip
    head = ("Cohort", "Against", "Usual chart: hazard ratio", "Corrected: hazard ratio", "95 %",
            "P of all", "Verdict")  # fmt: skip
    return folded(f"All {len(rows)} comparisons", table(head, rows, "Holds: beyond chance once"
                  " corrected for all. May be chance: only by itself. Artefact: the usual chart's"
                  " difference is caused by immortal time. Methods disagree: no direction is"
                  " claimed.", class_="cards"))  # fmt: skip


# Reasons ------------------------------------------------------------------------------------------


def reason_section(title: str, summary: Summary) -> Html:
    """Return which reasons to buy are reasons to stay."""
    reasons = summary["reasons"]
    if reasons is None:
        return section("reasons", title, missing_line(summary, "reasons"))
    known = [of for of in reasons["rows"] if of["churn"] is not None]
    stays = [of["value"] for of in known if of["verdict"] == "stays longer"]
    leaves = [of["value"] for of in known if of["verdict"] == "leaves sooner"]
    items = [
        f"Also reasons to stay: {', '.join(stays)}." if stays else "",
        f"No reasons to stay: {', '.join(leaves)}." if leaves else "",
        "" if stays or leaves else "No reason to buy differs from the average beyond chance.",
    ]  # fmt: skip
    return section("reasons", title, *(tag("p", one) for one in items if one), _reasons(known))


def _reasons(known: Sequence[ReasonRow]) -> Html:
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
    return figure(title, both(ranges, rows, axis, title=title, description=description))
