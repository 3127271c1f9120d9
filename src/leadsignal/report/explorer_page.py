"""The explorer: every comparison of cohorts on one page, also within segments.

Without JavaScript all comparisons are shown, one below the other; with it the reader chooses a
cohort and a segment. The script only hides and shows, and computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.arguments import checked
from leadsignal.cohorts.overview import Line, Overview, Segment, compare_segments
from leadsignal.cohorts.verdict import between
from leadsignal.errors import OptionError
from leadsignal.formats import how_often, p_text
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
from leadsignal.report.charts import Estimate, Row, both, key, ranges
from leadsignal.report.comparison_page import (
    FOOTER,
    cautions,
    details,
    doubts,
    grid_section,
    numbers,
    picture,
    ratio_axis,
    size_header,
    small_picture,
    verdict,
)

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Comparison

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
            _left_out(overview),
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
    return join(
        [
            section("verdict", "Verdict", found, class_="next"),
            section(
                "clearest",
                "The clearest differences",
                _forest(first),
                folded(f"All {len(overview.lines)} cohorts", _lines(overview.lines, place)),
            ),
        ]
    )


def _forest(lines: Sequence[Line]) -> Html:
    rows = []
    for line in lines:
        one = line.corrected
        marks = [Estimate(one.estimate, one.low, one.high, "diamond", "accent",
                          f"corrected: {how_often(one.estimate)}")]  # fmt: skip
        if line.naive is not None:
            usual = line.naive.estimate
            marks.insert(0, Estimate(usual, None, None, "dot", "plain hollow",
                                     f"the usual chart: {how_often(usual)}"))  # fmt: skip
        rows.append(Row(f"{line.title} / {line.against}", marks, how_often(one.estimate)))
    holding = sum(line.holds for line in lines)
    title = (
        "How often their accounts leave, against the other cohort; "
        f"{f'the first {holding}' if holding else 'none'} beyond chance"
    )
    read = "; ".join(f"{row.label}: {row.estimates[-1].text}" for row in rows)
    legend = key([("dot", "plain hollow", "the usual chart"),
                  ("diamond", "accent", "corrected, with its 95 % interval")])  # fmt: skip
    drawing = both(ranges, rows, ratio_axis(rows), title=title, description=read)
    return figure(title, drawing, legend)


def _lines(lines: Sequence[Line], place: dict[str, int]) -> Html:
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
    inside = [_segment(one) for one in segments]
    summary = tag("summary", f"{name}: in each segment ({len(inside)})")
    within = [tag("details", summary, _warning(len(inside)), *inside, class_="segments")]
    none = tag("p", "Too few accounts of this segment to compare.", class_="soft", data_none=True,
               hidden=True)  # fmt: skip
    title = tag("h2", name, id=f"comparison-{place}-title")
    return tag(
        "article", title, whole, *(within if inside else []), none,
        id=f"comparison-{place}", data_title=name, aria_labelledby=f"comparison-{place}-title",
    )  # fmt: skip


def _warning(count: int) -> Html:
    text = (
        f"{count} segments are compared, and about one in twenty differs by chance alone. What is"
        " checked further (control behaviours, earlier days) is checked for all accounts only."
    )
    return remark(text)


def _segment(segment: Segment) -> Html:
    found = segment.comparison
    count = f"{len(found.dated):,} accounts, {int((found.dated.cause == 1).sum()):,} have left"
    head = join([segment.title, tag("span", count, class_="note")])
    return tag(
        "div", tag("h3", head), verdict(found), small_picture(found), class_="segment",
        data_segment=segment.title,
    )  # fmt: skip


def _left_out(overview: Overview) -> Html | str:
    items = bullets(f"{name_text(by)}: {why}" for by, why in overview.left_out.items())
    return section("left-out", "Not compared", items) if items else ""
