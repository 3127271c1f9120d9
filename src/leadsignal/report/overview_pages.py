"""All comparisons of cohorts: the section of the report, and the explorer.

The explorer shows each comparison on one page, also within segments.
Without JavaScript all comparisons are shown, one below the other; with it the reader chooses a
cohort and a segment. The script only hides and shows, and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.arguments import checked
from leadsignal.cohorts.overview import Line, Overview, Segment, compare_segments
from leadsignal.cohorts.verdict import between
from leadsignal.errors import OptionError
from leadsignal.formats import how_often, how_often_between, p_text
from leadsignal.html_pages import (
    Html,
    bullets,
    figure,
    folded,
    join,
    packaged_script,
    page,
    page_path,
    remark,
    section,
    table,
    tag,
    write_page,
)
from leadsignal.model.reasons import name_text
from leadsignal.report.charts import RATIO_TICKS, Axis, Estimate, Row, both, key, ranges, ratio_axis
from leadsignal.report.comparison_page import (
    FOOTER,
    cautions,
    details,
    doubts,
    grid_section,
    numbers,
    picture,
    size_header,
    small_picture,
    verdict,
)
from leadsignal.report.success_sections import estimate_of, limits_text, missing_line
from leadsignal.report.summary import ARTEFACT, DISAGREE, HOLDS, PERHAPS, UNPROVEN
from leadsignal.report.summary_types import (
    CohortLine,
    CohortsSummary,
    EffectSummary,
    RatioSummary,
    Summary,
    as_of_text,
    listed,
    sentence,
)

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Comparison


Lines = Sequence[CohortLine]

MAX_COHORTS = 10
"""Number of comparisons in the chart; the folded table has all."""

VERDICTS = (HOLDS, ARTEFACT, DISAGREE, PERHAPS, UNPROVEN)
"""Verdicts in the order in which they matter to a reader."""


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
        marks = _marks(
            None if usual is None else (estimate_of(usual), _ratio(usual)),
            (estimate_of(corrected), _ratio(corrected)), corrected["low"], corrected["high"],
        )  # fmt: skip
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
    return figure(
        title, both(ranges, rows, axis, title=title, description=description), LEGEND,
        source="Hazard ratios: the usual chart sorts customers by what they did in the end;"
        " corrected, each day counts for the cohort of that day (time-dependent Cox regression,"
        f" intervals by customer). All accounts until {as_of_text(summary)}.",
    )  # fmt: skip


LEGEND = key([("dot", "plain hollow", "the usual chart"),
              ("diamond", "accent", "corrected, with its 95 % interval")])  # fmt: skip


def _marks(
    usual: tuple[float, str] | None, corrected: tuple[float, str], low: float | None,
    high: float | None,
) -> list[Estimate]:  # fmt: skip
    """Return the marks of the naive estimate, if there is one, and of the corrected estimate."""
    value, text = corrected
    mark = Estimate(value, low, high, "diamond", "accent", f"corrected: {text}")
    if usual is None:
        return [mark]
    value, text = usual
    return [Estimate(value, None, None, "dot", "plain hollow", f"the usual chart: {text}"), mark]


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


# The explorer -------------------------------------------------------------------------------------


MAX_ROWS = 12
"""Number of cohorts in the picture, those with the lowest p-values."""


@checked
def write_explorer(file: str | Path, overview: Overview, *, force: bool = False) -> Path:
    """Write all comparisons as one self-contained HTML page with a choice of cohort and segment.

    The page needs no server and no network. Equal input gives identical bytes.

    Parameters
    ----------
    file : str or Path
        A name that ends in ``.html``.
    overview : Overview
        The comparisons, from `compare_all`.
    force : bool, default False
        Replace a file that is not a page of leadsignal.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    OptionError
        If the name does not end in ``.html``, the file exists and is not a page of leadsignal, or
        there is no comparison.

    Examples
    --------
    >>> import tempfile, leadsignal as ls
    >>> business = ls.simulate(200, seed=1)
    >>> frames = {name: frame for name, frame in business.tables.items() if len(frame)}
    >>> tables = ls.read_tables(frames, as_of=business.as_of)
    >>> overview = ls.compare_all(tables, methods=["time_dependent"])
    >>> write_explorer(tempfile.gettempdir() + "/explorer.html", overview).name
    'explorer.html'
    """
    path = page_path(file, force=force)
    if not overview.comparisons:
        raise OptionError("there is no comparison to show", "Provide tables with more churns")
    return write_page(path, explorer_page(overview), force=force)


def explorer_page(overview: Overview) -> str:
    """Return the explorer of an overview as text."""
    segments = [tuple(compare_segments(one)) for one in overview.comparisons]
    largest = max(overview.comparisons, key=lambda one: len(one.dated))
    pairs = zip(overview.comparisons, segments, strict=True)
    return page(
        "Which customers leave less often?",
        tag("a", "Skip to the comparisons", href="#explorer-title", class_="skip"),
        size_header("Which customers leave less often?", largest),
        tag(
            "main",
            doubts(largest),
            _summary(overview),
            section("explorer", "One comparison at a time",
                    _tools(overview.comparisons, segments)),
            *(_article(place, one, inside) for place, (one, inside) in enumerate(pairs)),
            grid_section(largest),
            _not_compared(overview),
        ),
        tag("footer", tag("p", FOOTER)),
        description="Every comparison of cohorts, also within segments",
        kind="report explorer",
        script=packaged_script("explorer.js"),
    )  # fmt: skip


def _summary(overview: Overview) -> Html:
    """Return a sentence on what holds, a chart of the clearest comparisons, and a table of all."""
    if not overview.lines:
        return section("verdict", "Verdict", tag("p", "No cohort has a hazard ratio."))
    place = {one.by: number for number, one in enumerate(overview.comparisons)}
    first = sorted(overview.lines, key=lambda line: line.p_holm)[:MAX_ROWS]
    found = tag("p", f"{overview.verdict}.", class_="first")
    every = folded(f"All {len(overview.lines)} cohorts", _table_of_lines(overview.lines, place))
    return join([
        section("verdict", "Verdict", found, class_="next"),
        section("clearest", "The clearest differences", _clearest(first), every),
    ])  # fmt: skip


def _clearest(lines: Sequence[Line]) -> Html:
    rows = []
    for line in lines:
        one, often = line.corrected, how_often(line.corrected.estimate)
        naive = None if line.naive is None else line.naive.estimate
        usual = None if naive is None else (naive, how_often(naive))
        marks = _marks(usual, (one.estimate, often), one.low, one.high)
        rows.append(Row(f"{line.title} / {line.against}", marks, often))
    holding = sum(line.holds for line in lines)
    title = (
        "How often their accounts leave, against the other cohort; "
        f"{f'the first {holding}' if holding else 'none'} beyond chance"
    )
    read = "; ".join(f"{row.label}: {row.estimates[-1].text}" for row in rows)
    drawing = both(ranges, rows, ratio_axis(rows), title=title, description=read)
    return figure(title, drawing, LEGEND)


def _table_of_lines(lines: Sequence[Line], place: dict[str, int]) -> Html:
    rows = [
        (
            tag("a", name_text(line.title), href=f"#comparison-{place[line.by]}"),
            name_text(line.against),
            "" if line.naive is None else how_often(line.naive.estimate),
            how_often(line.corrected.estimate),
            between(line.corrected),
            p_text(line.p_holm),
            "" if line.evidence is None else line.evidence.wording,
        )
        for line in lines
    ]
    head = ("Cohort", "Against", "Usual chart", "Corrected: leave", "95 %", "P of all", "Evidence")
    caption = f"P-values are corrected for the number of cohorts ({len(rows)})."
    return table(head, rows, caption, class_="cards")


def _tools(
    comparisons: Sequence[Comparison], segments: Sequence[Sequence[Segment]]
) -> Html:  # fmt: skip
    """Return the two choices, hidden until the script runs."""
    cohorts = [tag("option", "all, one below the other", value="all")]
    cohorts += [
        tag("option", name_text(one.by), value=place) for place, one in enumerate(comparisons)
    ]
    titles = dict.fromkeys(one.title for inside in segments for one in inside)
    inside = [tag("option", "all accounts", value=""), *(tag("option", one) for one in titles)]
    return join(
        [
            tag("p", "A cohort is a group of accounts that share something, such as having measured"
                " their results. A segment is a property that an account has from its start."),
            tag(
                "div",
                tag("label", "Cohort ", tag("select", *cohorts, id="explorer-cohort")),
                tag("label", "Segment ", tag("select", *inside, id="explorer-segment")),
                tag("p", id="explorer-state", role="status"),
                id="explorer-tools", class_="tools", hidden=True,
            ),
        ]
    )  # fmt: skip


def _article(place: int, comparison: Comparison, segments: Sequence[Segment]) -> Html:
    name = name_text(comparison.by)
    whole = tag(
        "div",
        verdict(comparison), picture(comparison), numbers(comparison),
        tag("h3", "Before you rely on it"), cautions(comparison), details(comparison),
        data_whole=True,
    )  # fmt: skip
    summary = tag("summary", f"{name}: in each segment ({len(segments)})")
    warning = remark(
        f"{len(segments)} segments are compared, and about one in twenty differs by chance alone."
        " What is checked further (control behaviours, earlier days) is checked for all accounts"
        " only."
    )
    within = tag("details", summary, warning, *map(_segment, segments), class_="segments")
    none = tag("p", "Too few accounts of this segment to compare.", class_="soft", data_none=True,
               hidden=True)  # fmt: skip
    title = tag("h2", name, id=f"comparison-{place}-title")
    return tag(
        "article", title, whole, within if segments else "", none,
        id=f"comparison-{place}", data_title=name, aria_labelledby=f"comparison-{place}-title",
    )  # fmt: skip


def _segment(segment: Segment) -> Html:
    found = segment.comparison
    count = f"{len(found.dated):,} accounts, {int((found.dated.cause == 1).sum()):,} have left"
    head = join([segment.title, tag("span", count, class_="note")])
    return tag(
        "div", tag("h3", head), verdict(found), small_picture(found), class_="segment",
        data_segment=segment.title,
    )  # fmt: skip


def _not_compared(overview: Overview) -> Html | str:
    items = bullets(f"{name_text(by)}: {why}" for by, why in overview.left_out.items())
    return section("left-out", "Not compared", items) if items else ""
