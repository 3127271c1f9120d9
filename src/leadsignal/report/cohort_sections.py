"""Cohorts in the report, with naive and corrected estimates; reasons to buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leadsignal.formats import how_often, how_often_between, p_text
from leadsignal.html_pages import Html, figure, folded, remark, section, table, tag
from leadsignal.model.reasons import name_text
from leadsignal.report.charts import Axis, Estimate, Row, both, key, ranges
from leadsignal.report.success_sections import estimate_of, limits_text, missing_line
from leadsignal.report.summary import ARTEFACT, DISAGREE, HOLDS, PERHAPS, UNPROVEN
from leadsignal.report.summary_types import (
    CohortLine,
    CohortsSummary,
    EffectSummary,
    RatioSummary,
    ReasonRow,
    Summary,
    as_of_text,
    listed,
    sentence,
)

Lines = Sequence[CohortLine]

MAX_COHORTS = 10
"""Number of comparisons in the chart; the folded table has all."""

VERDICTS = (HOLDS, ARTEFACT, DISAGREE, PERHAPS, UNPROVEN)
"""Verdicts in the order in which they matter to a reader."""

RATIO_TICKS = ((0.05, "1/20"), (0.1, "1/10"), (0.25, "a quarter"), (0.5, "half"),
               (1.0, "as often"), (2.0, "twice"), (4.0, "4 times"))  # fmt: skip


# Cohorts ------------------------------------------------------------------------------------------


def cohort_section(topic: str, summary: Summary) -> Html:
    """Return the comparisons of cohorts, with naive and corrected estimates."""
    cohorts = summary["cohorts"]
    if cohorts is None:
        return section("cohorts", topic, missing_line(summary, "cohorts"))
    lines = sorted((line for line in cohorts["lines"] if line["hazard_ratio"]["estimate"]),
                   key=_weight)  # fmt: skip
    dated = [line for line in lines if line["naive"] is not None]
    artefacts = [line for line in dated if line["verdict"] == ARTEFACT]
    leading = _leading(lines)
    shown = lines[:MAX_COHORTS]
    if leading is not None and leading not in shown:
        shown[-1] = leading
    return section(
        "cohorts", topic if leading is None else _finding(leading),
        tag("p", _distorted(len(artefacts), len(dated))) if dated else "", _example(leading),
        _forest(shown, len(lines), summary), _two_estimates(lines, summary["effects"]),
        _lines(lines) if lines else "", _left_out(cohorts), topic=topic if leading else None,
    )  # fmt: skip


def _weight(line: CohortLine) -> tuple[int, float, str, str]:
    """Return the sort key of a comparison: by verdict, then by p-value."""
    return VERDICTS.index(line["verdict"]), line["p_holm"], line["by"], line["cohort"]


def _leading(lines: Lines) -> CohortLine | None:
    """Return the comparison that begins the section: that of measuring, otherwise the first."""
    of_measuring = [line for line in lines if line["by"] == "measured"]
    return next(iter([*of_measuring, *lines]), None)


def _finding(line: CohortLine) -> str:
    """Return the finding of a comparison as a heading."""
    who, than = _cohort(line), name_text(line["against"])
    who = who[:1].upper() + who[1:]
    ratio = estimate_of(line["hazard_ratio"])
    direction = "less" if ratio < 1 else "more"
    found = {
        HOLDS: f"{who} customers leave {direction} often than {than} ones, also once corrected",
        PERHAPS: f"{who} customers leave {direction} often than {than} ones, which may be chance",
        DISAGREE: f"{who} against {than} customers: the methods disagree",
        ARTEFACT: f"{who} customers are not proven to stay longer, once corrected",
        UNPROVEN: f"{who} customers are not proven to stay longer than {than} ones",
    }
    return found[line["verdict"]]


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


def _two_estimates(lines: Lines, effects: Mapping[str, EffectSummary]) -> Html | str:
    """Return why the effect of a process differs from that elsewhere on the page."""
    both = [name_text(line["by"]) for line in lines if line["by"] in effects]
    if not both:
        return ""
    lag = next(iter(effects.values()))["lag_days"]
    return remark(
        f"{sentence(listed(both))}: the effect beside the essential processes is another"
        f" number, since it compares accounts with similar attributes, {lag} days later. The"
        " comparisons here are not adjusted for attributes."
    )


def _left_out(found: CohortsSummary) -> Html | str:
    items = []
    if many := [name_text(name) for name in found["many_values"]]:
        items.append(f"Not compared, with too many values: {', '.join(many)}.")
    if found["left_out"]:
        reasons = [f"{by}: {reason}" for by, reason in found["left_out"].items()]
        items.append(f"Left out: {'; '.join(map(name_text, reasons))}.")
    return remark(" ".join(items)) if items else ""


def _cohort(line: CohortLine) -> str:
    by = "all processes" if line["by"] == "adopted" else name_text(line["by"])
    cohort = name_text(line["cohort"])
    return cohort if by == cohort else f"{by}, {cohort}"


def _example(line: CohortLine | None) -> Html | str:
    """Return the naive and corrected estimates of the comparison in the heading."""
    if line is None:
        return ""
    corrected, usual = line["hazard_ratio"], line["naive"]
    chart = (
        f"the usual chart says they leave {how_often(estimate_of(usual))}; in the time-dependent"
        " comparison it is" if usual else "they leave"
    )  # fmt: skip
    evidence = f" Evidence: {line['evidence']}." if line["rung"] else ""
    return tag(
        "p", sentence(f"{_cohort(line)} against {line['against']}: {chart}"),
        f" {how_often(estimate_of(corrected))}, and anything from"
        f" {how_often_between(corrected['low'], corrected['high'])} fits the data.{evidence}",
    )  # fmt: skip


def _forest(lines: Lines, of: int, summary: Summary) -> Html | str:
    if not lines:
        return ""
    rows = []
    for line in lines:
        corrected, usual = line["hazard_ratio"], line["naive"]
        marks = [
            Estimate(estimate_of(corrected), corrected["low"], corrected["high"], "diamond",
                     "accent", f"corrected: {_ratio(corrected)}"),
        ]  # fmt: skip
        if usual is not None:
            marks.insert(0, Estimate(estimate_of(usual), None, None, "dot", "plain hollow",
                                     f"the usual chart: {_ratio(usual)}"))  # fmt: skip
        rows.append(Row(f"{_cohort(line)} / {name_text(line['against'])}", marks, line["verdict"]))
    every = [
        value
        for line in lines
        for ratio in (line["naive"], line["hazard_ratio"])
        if ratio is not None
        for value in (ratio["estimate"], ratio["low"], ratio["high"])
        if value
    ]
    low, high = max(0.02, min(every) * 0.9), min(8.0, max(every) * 1.1)
    ticks = [tick for tick in RATIO_TICKS if low <= tick[0] <= high]
    axis = Axis(min(low, 0.9), max(high, 1.1), ticks, 1.0, logarithmic=True)
    first = f"the {len(rows)} of {of} comparisons that matter most" if of > len(rows) else (
        "by verdict")  # fmt: skip
    title = f"How often each cohort leaves, against the other: {first}"
    description = "; ".join(
        f"{row.label}: {', '.join(one.text for one in row.estimates)}, {row.note}" for row in rows
    )
    legend = key([("dot", "plain hollow", "the usual chart"),
                  ("diamond", "accent", "corrected, with its 95 % interval")])  # fmt: skip
    return figure(
        title, both(ranges, rows, axis, title=title, description=description), legend,
        source="Hazard ratios: the usual chart sorts customers by what they did in the end;"
        " corrected, each day counts for the cohort of that day (time-dependent Cox regression,"
        f" intervals by customer). All accounts until {as_of_text(summary)}.",
    )  # fmt: skip


def _ratio(of: RatioSummary) -> str:
    return "–" if of["estimate"] is None else f"{of['estimate']:.2f}"


def _lines(lines: Lines) -> Html:
    rows = [
        (_cohort(line), name_text(line["against"]), line["verdict"],
         ("number", "" if line["naive"] is None else _ratio(line["naive"])),
         ("number", _ratio(line["hazard_ratio"])), ("number", limits_text(line["hazard_ratio"])),
         ("number", p_text(line["p_holm"])))
        for line in lines
    ]  # fmt: skip
    head = ("Cohort", "Against", "Verdict", "Usual chart: hazard ratio", "Corrected: hazard ratio",
            "95 %", "P of all")  # fmt: skip
    return folded(f"All {len(rows)} comparisons", table(head, rows, "Holds: beyond chance once"
                  " corrected for all. May be chance: only by itself. Artefact: the usual chart's"
                  " difference is caused by immortal time. Methods disagree: no direction is"
                  " claimed.", class_="cards"))  # fmt: skip


# Reasons ------------------------------------------------------------------------------------------


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
