"""The page of a cohort comparison: verdict, picture, four rows, four cautions, the rest folded.

The page shows the text and numbers of `Comparison`; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.arguments import checked
from leadsignal.cohorts.comparison import MAX_CAUTIONS
from leadsignal.cohorts.contrasts import MIN_ACCOUNTS, TITLES, Contrast, best_of, cohorts_of
from leadsignal.cohorts.curves import YEARS
from leadsignal.cohorts.evidence import RUNG_TEXT
from leadsignal.cohorts.verdict import between, in_digits, main_contrasts, method_words
from leadsignal.cohorts.wording import QUANTITIES, cohort_line, numbers_of, share_there
from leadsignal.errors import ModelError
from leadsignal.formats import how_often, share_text
from leadsignal.html_pages import (
    Html,
    bullets,
    figure,
    folded,
    header,
    join,
    page,
    page_path,
    remark,
    section,
    table,
    tag,
    write_page,
)
from leadsignal.model.reasons import name_text
from leadsignal.report.charts import (
    NARROW,
    Estimate,
    Row,
    Scale,
    both,
    ranges,
    ratio_axis,
    svg,
)

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.cohorts.comparison import Comparison

MAX_GROUPS = 12
"""Number of groups in the chart, those farthest from the average."""


@checked
def write_comparison(
    file: str | Path, comparison: Comparison, *, force: bool = False
) -> Path:  # fmt: skip
    """Write a comparison of cohorts as one self-contained HTML page.

    Equal input gives identical bytes. The file is written atomically.

    Parameters
    ----------
    file : str or Path
        A name that ends in ``.html``.
    comparison : Comparison
        The comparison.
    force : bool, default False
        Replace a file that is not a page of leadsignal.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    OptionError
        If the name does not end in ``.html``, or the file exists and is not a page of leadsignal.

    Examples
    --------
    >>> import tempfile, leadsignal as ls
    >>> comparison = ls.compare_cohorts(ls.read_tables(ls.sample_folder()), by="segment")
    >>> write_comparison(tempfile.gettempdir() + "/segment.html", comparison).name
    'segment.html'
    """
    path = page_path(file, force=force)
    return write_page(path, comparison_page(comparison), force=force)


def comparison_page(comparison: Comparison) -> str:
    """Return the page of a comparison as text."""
    title = f"Customers by {name_text(comparison.by)}"
    return page(
        title,
        size_header(title, comparison),
        tag(
            "main", doubts(comparison), *comparison_sections(comparison), details(comparison),
        ),
        tag("footer", tag("p", FOOTER)),
        description=f"Comparison of cohorts by {comparison.by}",
        kind="report",
    )  # fmt: skip


FOOTER = "Every churn counts on the day on which it became known. Made with leadsignal."


def size_header(title: str, comparison: Comparison) -> Html:
    """Return the heading of a page with the size of the data."""
    dated = comparison.dated
    facts = [("Accounts", f"{len(dated):,}"), ("Left", f"{int((dated.cause == 1).sum()):,}")]
    return header(title, "Is the difference more than chance?", facts)


def doubts(comparison: Comparison) -> Html | str:
    """Return the warnings about the tables, shown above everything else."""
    if not comparison.warnings:
        return ""
    title = tag("span", "Check the data first", class_="warn")
    return section("doubts", title, bullets(map(str, comparison.warnings)))


def comparison_sections(comparison: Comparison) -> list[Html]:
    """Return verdict, picture and table, then cautions next to the retention grid."""
    beside = [
        section("cautions", "Before you rely on it", cautions(comparison)),
        grid_section(comparison),
    ]
    return [
        section("verdict", "Verdict", verdict(comparison), class_="next"),
        section("picture", "What the usual chart shows, and what is left of it"
                if comparison.contrasts else "Each group against the average",
                picture(comparison)),
        section("numbers", "The numbers", numbers(comparison)),
        tag("div", *beside, class_="columns"),
    ]  # fmt: skip


def verdict(comparison: Comparison) -> Html:
    """Return the verdict."""
    return tag("p", comparison.verdict, class_="first")


def cautions(comparison: Comparison) -> Html:
    """Return the most important cautions."""
    return bullets(map(sentence, comparison.cautions[:MAX_CAUTIONS]))


def sentence(text: str) -> str:
    """Return a caution as a sentence."""
    words = name_text(text)
    return f"{words[:1].upper()}{words[1:]}."


def picture(comparison: Comparison) -> Html:
    """Return the naive and corrected curves side by side, or the rates of many groups."""
    if not comparison.contrasts:
        return _groups(comparison)
    try:
        curves = comparison.curves()
    except ModelError as error:
        return remark(f"No curves: {error}")
    note = (
        "Both show the share that is still a customer and has given no notice. On the right all"
        " accounts share one rate of leaving by age, and the cohorts differ by the ratio of the"
        " verdict; the shaded band is its 95 % interval."
    )
    return join([_both_curves(comparison, curves, HALF, NARROW), remark(note)])


def small_picture(comparison: Comparison) -> Html | str:
    """Return the same curves drawn small, at a single width; nothing without curves."""
    try:
        return _both_curves(comparison, comparison.curves(), NARROW, every=2)
    except ModelError:
        return ""


def _both_curves(
    comparison: Comparison, curves: pd.DataFrame, *widths: int, every: int = 1
) -> Html:
    """Return both pictures; only every N-th day of a curve is drawn."""
    last, since = float(curves["day"].max()), comparison.dated.since
    usual, corrected = _titles(comparison, curves)
    pairs = ((usual, "usual"), (corrected, "retention"))
    curves = curves[curves.groupby("cohort").cumcount() % every == 0]
    kind, parts = "alone" if len(widths) == 1 else "", []
    for title, column in pairs:
        shown = _curves(curves, column)
        parts.append(figure(title, join(_chart(shown, title, since, last, width, kind)
                                        for width in widths)))  # fmt: skip
    return tag("div", *parts, class_="columns")


def _titles(comparison: Comparison, curves: pd.DataFrame) -> tuple[str, str]:
    """Return the titles of both pictures, which state their findings."""
    cohorts = cohorts_of(comparison.contrasts)
    after_usual, after_corrected = _after_a_year(curves)
    naive = comparison.contrast("naive", cohorts[0])
    best = best_of(comparison.contrasts, cohorts[0])
    if len(cohorts) > 1 or best is None or best.hazard_ratio is None:
        return f"The usual chart{after_usual}", f"Corrected{after_corrected}"
    ratio = best.hazard_ratio
    proof = "" if ratio.excludes(1.0) else ", not proven"
    right = f"Corrected: {best.cohort} leave {how_often(ratio.estimate)}{proof}{after_corrected}"
    if naive is None or naive.hazard_ratio is None:
        return f"The usual chart{after_usual}", right
    usual = how_often(naive.hazard_ratio.estimate)
    return f"The usual chart: {naive.cohort} leave {usual}{after_usual}", right


def _after_a_year(curves: pd.DataFrame) -> tuple[str, str]:
    """Return naive and corrected retention after a year; nothing where it is unknown."""
    there = list(share_there(curves, YEARS[0]))
    names = [name for name, _, _ in there]
    usual = _in_brackets(names, [left for _, _, left in there])
    return usual, _in_brackets(names, [right for _, right, _ in there])


def _in_brackets(names: Sequence[str], shares: Sequence[float]) -> str:
    if not names or any(share != share for share in shares):
        return ""
    items = [f"{name} {share_text(share)}" for name, share in zip(names, shares, strict=True)]
    return f" (after a year {', '.join(items)})"


def _curves(frame: pd.DataFrame, column: str) -> list[Curve]:
    found = []
    for place, (name, rows) in enumerate(frame.groupby("cohort", sort=False)):
        limits = [
            np.asarray(rows[side]).tolist() if place and column == "retention" else []
            for side in ("low", "high")
        ]
        days, shares = rows["day"].tolist(), rows[column].tolist()
        found.append(Curve(str(name), days, shares, *limits))
    return found


def _groups(comparison: Comparison) -> Html:
    groups = () if comparison.groups is None else comparison.groups.groups
    public = [g for g in groups if g.accounts >= MIN_ACCOUNTS and g.low > 0]
    apart = sorted(public, key=lambda g: -max(g.rate, 1 / g.rate))[:MAX_GROUPS]
    if not apart:
        return tag("p", "No group is large enough to be shown.")
    rows = [
        Row(g.name, [Estimate(g.rate, g.low, g.high, "diamond", "accent",
                              f"leave {how_often(g.rate)}")], f"{g.ended} of {g.accounts} left")
        for g in sorted(apart, key=lambda g: g.rate)
    ]  # fmt: skip
    title = "How often their accounts leave, against the average of accounts of the same age"
    return figure(title, both(ranges, rows, ratio_axis(rows), title=title,
                              description="; ".join(f"{r.label}: {r.estimates[0].text}"
                                                    for r in rows)))  # fmt: skip


def numbers(comparison: Comparison) -> Html:
    """Return the table next to the verdict, with at most four rows."""
    chosen = main_contrasts(comparison.contrasts)
    if not chosen:
        return _group_table(comparison)
    several = len({c.cohort for c in chosen}) > 1
    rows = [_numbers_row(c, comparison.landmark, several) for c in chosen]
    against = f"Against {chosen[0].against}; the verdict rests on the first corrected row"
    caption = f"{against}{' of each cohort' if several else ''}."
    head = ("Counted by", "Accounts leave", "95 %", "Hazard ratio", "Accounts in it / against",
            "Left in it / against")  # fmt: skip
    return table(head, rows, caption, class_="cards")


def _numbers_row(contrast: Contrast, landmark: int, several: bool) -> tuple[object, ...]:
    words = method_words(contrast, landmark)
    label = f"{contrast.cohort}: {words}" if several else f"{words[:1].upper()}{words[1:]}"
    name = join([label, tag("span", TITLES[contrast.method], class_="note")])
    if contrast.suppressed:
        few = f"fewer than {MIN_ACCOUNTS} accounts"
        return name, few, "", "", "", ""
    ratio = contrast.hazard_ratio
    inside, outside = contrast.accounts
    pairs = [("number", f"{inside:,} / {outside:,}"), ("number", "{:,} / {:,}".format(
        *contrast.ended))]  # fmt: skip
    if ratio is None:
        return name, "not known", "", "", *pairs
    return name, how_often(ratio.estimate), between(ratio), in_digits(ratio), *pairs


def _group_table(comparison: Comparison) -> Html:
    groups = () if comparison.groups is None else comparison.groups.groups
    public = [g for g in groups if g.accounts >= MIN_ACCOUNTS]
    apart = sorted(public, key=lambda g: -max(g.rate, 1 / g.rate))[:4]
    rows = [
        (g.name, how_often(g.rate), f"{g.low:.2f} to {g.high:.2f}",
         ("number", f"{g.ended:,} of {g.accounts:,}"), ("number", f"{g.expected:.0f}"))
        for g in apart
    ]  # fmt: skip
    head = ("Group", "Accounts leave", "95 %, as a ratio", "Left", "Expected")
    caption = "The four farthest from the average; small groups are drawn towards it."
    return table(head, rows, caption, class_="cards")


def grid_section(comparison: Comparison) -> Html | str:
    """Return the retention grid by start quarter."""
    grid = comparison.retention_grid()
    if grid is None:
        return ""
    ages = [str(name) for name in grid if str(name).endswith(" months")]
    rows = [
        (str(row["quarter"]), ("number", f"{int(row['accounts']):,}"),
         *(_shaded(float(row[age])) for age in ages))
        for row in grid.to_dict("records")
    ]  # fmt: skip
    head = ("Started", "Accounts", *(age.removesuffix("onths") for age in ages))
    caption = (
        "Of 100 accounts that started in a quarter, how many were still customers that many months"
        " later. Empty: not all of them have been followed that long. All cohorts together: it says"
        " when customers leave, not what keeps them."
    )
    listed = table(head, rows, caption, class_="heat")
    return section("grid", "Retention by start quarter", listed)


def details(comparison: Comparison) -> Html:
    """Return everything else, folded."""
    first = comparison.cohorts[0].name if comparison.contrasts else None
    cohorts = [cohort_line(one, first).strip() for one in comparison.cohorts]
    explained = [tag("p", line) for line in comparison.explanation.splitlines()]
    rest = [sentence(one) for one in comparison.cautions[MAX_CAUTIONS:]]
    found = [
        tag("h3", "In ratios"), *explained,
        *_evidence(comparison),
        tag("h3", "Cohorts"), bullets(cohorts),
        *([tag("h3", "Every method"), _every_method(comparison)] if comparison.contrasts else []),
        *([tag("h3", "More cautions"), bullets(rest)] if rest else []),
    ]  # fmt: skip
    return folded("Details: every number, method and caution", *found)


def _evidence(comparison: Comparison) -> list[Html]:
    if not comparison.evidence:
        return []
    items = [
        f"{one.sentence} Rung {int(one.rung)} of 4: {RUNG_TEXT[one.rung]}."
        for one in comparison.evidence
    ]
    return [tag("h3", "Evidence"), bullets(items)]


def _every_method(comparison: Comparison) -> Html:
    rows = []
    for c in comparison.contrasts:
        small = [f"fewer than {MIN_ACCOUNTS}", *[""] * (len(QUANTITIES) - 1)]
        method = TITLES[c.method] + (f", adjusted for {', '.join(c.adjusted_for)}"
                                     if c.adjusted_for else "")  # fmt: skip
        rows.append((c.cohort, method, *(small if c.suppressed else numbers_of(c))))
    head = ("Cohort", "Method", *(f"{name[:1].upper()}{name[1:]}" for name in QUANTITIES))
    caption = f"Against {comparison.contrasts[0].against}, with 95 % intervals; mean days from"
    caption += f" day {comparison.landmark} or the start to day {comparison.horizon:g}."
    return table(head, rows, caption, class_="cards")


# Retention curves ---------------------------------------------------------------------------------


HALF = 560
"""Width of each of two charts side by side."""
DAYS_IN_MONTH = 365.25 / 12
SHADES = 10
"""Number of shades of the grid; the shade of a cell is its share in tenths."""


@dataclass(frozen=True)
class Curve:
    """Shares over days, with or without limits; NaN is not drawn."""

    label: str
    days: Sequence[float]
    shares: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def _chart(
    curves: Sequence[Curve], title: str, since: str, last: float, width: int, kind: str
) -> Html:
    """Return curves up to a day, drawn at a width."""
    height, below = 270, 40
    x = Scale(0, last / DAYS_IN_MONTH, 40, width - 118)
    y = Scale(0, 1, height - below, 12)
    parts = [*_axes(x, y, since, width)]
    for curve in curves:
        parts += _band(curve, x, y)
    for place, curve in enumerate(curves):
        parts += _line(curve, place, x, y)
    parts += _names(curves, x, y)
    read = "; ".join(f"{c.label}: {_at_end(c)}" for c in curves)
    return svg(width, height, *parts, title=title, description=read, kind=kind)


def _axes(x: Scale, y: Scale, since: str, width: int) -> Iterator[Html]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield tag("line", x1=x.start, x2=x.end, y1=y(share), y2=y(share), class_="grid")
        yield tag("text", share_text(share), x=x.start - 6, y=y(share) + 4, class_="tick end")
    step = next(s for s in (3, 6, 12, 24, 60, 120) if x.high / s <= 6 or s == 120)
    for month in range(0, int(x.high) + 1, step):
        yield tag("text", month, x=x(month), y=y.start + 17, class_="tick middle")
    words = f"months since {since}"
    yield tag("text", words, x=x.start, y=y.start + 34, class_="tick start")


def _points(curve: Curve, shares: Sequence[float]) -> list[tuple[float, float]]:
    """Return months and shares, without those that are missing."""
    pairs = zip(curve.days, shares, strict=True)
    return [(day / DAYS_IN_MONTH, share) for day, share in pairs if share == share]


def _line(curve: Curve, place: int, x: Scale, y: Scale) -> Iterator[Html]:
    points = " ".join(f"{x(m):g},{y(s):g}" for m, s in _points(curve, curve.shares))
    if points:
        yield tag("polyline", points=points, class_=f"curve c{place}")


def _band(curve: Curve, x: Scale, y: Scale) -> Iterator[Html]:
    if not curve.low:
        return
    there = [*_points(curve, curve.low), *reversed(_points(curve, curve.high))]
    yield tag("polygon", points=" ".join(f"{x(m):g},{y(s):g}" for m, s in there), class_="band")


def _names(curves: Sequence[Curve], x: Scale, y: Scale) -> Iterator[Html]:
    """Write each name at the end of its curve, moved apart if they would overlap."""
    ends: list[tuple[float, float, int, str]] = []
    for place, curve in enumerate(curves):
        if found := _points(curve, curve.shares):
            month, share = found[-1]
            ends.append((y(share), x(month), place, curve.label))
    ends.sort()
    heights: list[float] = []
    for height, *_ in ends:
        heights.append(max(height, heights[-1] + 15) if heights else height)
    over = max([0.0, *(height - y.start for height in heights)])
    for height, (_, month, place, label) in zip(heights, ends, strict=True):
        text = label if len(label) <= 16 else label[:15] + "…"
        at = round(height - over + 4, 1)
        yield tag("text", text, x=month + 6, y=at, class_=f"label name{place}")


def _at_end(curve: Curve) -> str:
    found = _points(curve, curve.shares)
    return f"{share_text(found[-1][1])} after {found[-1][0]:.0f} months" if found else "not known"


def _shaded(share: float) -> tuple[str, str]:
    if share != share:
        return "number", ""
    return f"number h{min(int(share * SHADES), SHADES - 1)}", share_text(share).removesuffix(" %")
