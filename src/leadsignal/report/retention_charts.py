"""Inline SVG of retention curves, and the retention grid as a shaded table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadsignal.html_pages import Html, join, table, tag
from leadsignal.report.charts import NARROW, Scale, svg
from leadsignal.report.wording import share_text

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


def curve_charts(
    curves: Sequence[Curve], widths: Sequence[int], *, title: str, since: str, last: float
) -> Html:
    """Return curves up to a day, drawn at each width."""
    alone = len(widths) == 1
    return join([_chart(curves, title, since, last, width, alone) for width in widths])


def _chart(
    curves: Sequence[Curve], title: str, since: str, last: float, width: int, alone: bool
) -> Html:
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
    kind = "alone" if alone else "narrow" if width <= NARROW else "wide"
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


def grid_table(head: Sequence[str], rows: Sequence[tuple[str, int, Sequence[float]]],
               caption: str) -> Html:  # fmt: skip
    """Return the retention grid: start quarter, accounts, then one shaded share per column."""
    body = [
        (quarter, ("number", f"{count:,}"), *(_shaded(share) for share in shares))
        for quarter, count, shares in rows
    ]
    return table(head, body, caption, class_="heat")


def _shaded(share: float) -> tuple[str, str]:
    if share != share:
        return "number", ""
    return f"number h{min(int(share * SHADES), SHADES - 1)}", share_text(share).removesuffix(" %")
