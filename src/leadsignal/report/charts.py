"""Inline SVG: scales, ticks and a time axis with a series above lanes of events.

Colours come from the page's style by class, so that one drawing works in light and dark mode and in
print. Coordinates are rounded to a tenth, so that equal numbers give identical bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, log10

from leadsignal.html_pages import Html, number, tag
from leadsignal.phrases import day_text, month_text

NARROW, WIDE = 360, 960
"""Widths at which a chart is drawn, for phones and other screens. The page shows one of them."""


@dataclass(frozen=True)
class Scale:
    """A linear map from values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value, rounded to a tenth."""
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Point:
    """One value of a series: its day, whether it is good (None if unknown) and its tooltip."""

    on: date
    value: float
    good: bool | None
    text: str


@dataclass(frozen=True)
class Series:
    """Values over time, with a target that may change: pairs of (first day, target)."""

    label: str
    points: Sequence[Point]
    targets: Sequence[tuple[date, float]]


@dataclass(frozen=True)
class Bar:
    """An interval of a lane, from one day to another; ``kind`` is a CSS class."""

    since: date
    until: date
    kind: str
    text: str


@dataclass(frozen=True)
class Mark:
    """A day of a lane; ``shape`` is a name in ``SHAPES``, ``kind`` a CSS class."""

    on: date
    shape: str
    kind: str
    text: str


@dataclass(frozen=True)
class Lane:
    """One row below the series: a label, intervals and days."""

    label: str
    bars: Sequence[Bar] = ()
    marks: Sequence[Mark] = ()


SHAPES = {
    "dot": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "up": "M0,-5L5,4L-5,4z",
    "down": "M0,5L5,-4L-5,-4z",
    "diamond": "M0,-6L5,0L0,6L-5,0z",
    "square": "M-3.5,-3.5h7v7h-7z",
    "tick": "M-1,-5h2v10h-2z",
    "cross": "M-4,-4L4,4M4,-4L-4,4",
}
"""Marks that differ in shape, not only in colour."""


def shape(name: str, kind: str, x: float, y: float, text: str = "") -> Html:
    """Return a mark at a position; ``text`` is its tooltip."""
    title = tag("title", text) if text else ""
    return tag(
        "path", title, d=SHAPES[name], transform=f"translate({x:g} {y:g})", class_=f"mark {kind}"
    )


def key(shapes: Sequence[tuple[str, str, str]]) -> Html:
    """Return the legend: each shape and kind with its meaning."""
    items = [
        tag(
            "li",
            tag("svg", shape(name, kind, 7, 7), viewBox="0 0 14 14", width=14, height=14,
                aria_hidden="true"),
            " ",
            meaning,
        )
        for name, kind, meaning in shapes
    ]  # fmt: skip
    return tag("ul", *items, class_="key")


def svg(
    width: float, height: float, *children: object, title: str, description: str, kind: str
) -> Html:
    """Return a drawing that scales with its container and has a text description."""
    return tag(
        "svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="img",
        aria_label=f"{title}. {description}", class_=f"chart {kind}",
        preserveAspectRatio="xMinYMin meet",
    )  # fmt: skip


def value_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return round values between low and high, at most ``most`` + 1.

    >>> value_ticks(3.5, 9.8)
    [4.0, 6.0, 8.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [round(n * step, 10) for n in range(ceil(low / step - 1e-9), floor(high / step) + 1)]


def month_ticks(first: date, last: date, most: int) -> list[date]:
    """Return first days of months, spaced so that there are at most ``most``.

    >>> month_ticks(date(2023, 1, 15), date(2024, 1, 15), 5)
    [datetime.date(2023, 4, 1), datetime.date(2023, 7, 1), datetime.date(2023, 10, 1),
     datetime.date(2024, 1, 1)]
    """
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    steps = (1, 2, 3, 6, 12, 24, 60, 120)
    step = next((step for step in steps if months / step <= most), steps[-1])
    begin = first.year * 12 + first.month - 1
    ticks = (date(m // 12, m % 12 + 1, 1) for m in range(begin, begin + months) if m % step == 0)
    return [tick for tick in ticks if first <= tick <= last]


def timeline(
    series: Series | None,
    lanes: Sequence[Lane],
    first: date,
    last: date,
    *,
    title: str,
    description: str,
    width: int = WIDE,
) -> Html:
    """Return a series above lanes on one time axis, drawn at the given width."""
    narrow = width <= NARROW
    gutter, top = (34 if narrow else 168), 22
    plot = (150 if narrow else 170) if series else 0
    step = 34 if narrow else 25
    x = Scale(first.toordinal(), max(last, first + timedelta(1)).toordinal(), gutter, width - 14)
    lanes_from = top + plot + (14 if series else 0)
    height = lanes_from + step * len(lanes) + 24
    parts = [*_months(x, first, last, top, height - 22, 4 if narrow else 9)]
    if series:
        parts += _draw_series(series, x, Scale(0, 1, top + plot, top), width, narrow)
    for n, lane in enumerate(lanes):
        middle = lanes_from + step * n + step / 2
        parts += _draw_lane(lane, x, middle + (7 if narrow else 0), gutter, narrow, width)
    kind = "narrow" if narrow else "wide"
    return svg(width, height, *parts, title=title, description=description, kind=kind)


def _months(
    x: Scale, first: date, last: date, top: float, bottom: float, most: int
) -> Iterator[Html]:
    for tick in month_ticks(first, last, most):
        at = x(tick.toordinal())
        yield tag("line", x1=at, x2=at, y1=top, y2=bottom, class_="grid")
        label = month_text(tick)
        if at > x.end - 26:
            yield tag("text", label, x=x.end, y=bottom + 15, class_="tick end")
        else:
            yield tag("text", label, x=at, y=bottom + 15, class_="tick middle")


def _draw_series(
    series: Series, x: Scale, place: Scale, width: int, narrow: bool
) -> Iterator[Html]:
    values = [p.value for p in series.points] + [target for _, target in series.targets]
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or max(1.0, abs(high)) * 0.1
    y = Scale(low - room, high + room, place.start, place.end)
    for value in value_ticks(y.low, y.high):
        yield tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid")
        yield tag("text", number(value), x=x.start - 6, y=y(value) + 4, class_="tick end")
    yield tag("text", series.label, x=0, y=12, class_="label strong")
    yield from _draw_target(series.targets, x, y)
    line = " ".join(f"{x(p.on.toordinal()):g},{y(p.value):g}" for p in series.points)
    yield tag("polyline", points=line, class_="line")
    for point in series.points:
        kind = {True: "good", False: "bad hollow", None: "plain"}[point.good]
        yield shape("dot", kind, x(point.on.toordinal()), y(point.value), point.text)


def _draw_target(targets: Sequence[tuple[date, float]], x: Scale, y: Scale) -> Iterator[Html]:
    """Draw the target as a step function, labelled with its last value at the left."""
    if not targets:
        return
    path, found = [], None
    for on, value in targets:
        at = x(on.toordinal())
        if found is None:
            path.append(f"M{x.start:g},{y(value):g}")
        elif value != found:
            path.append(f"H{at:g}V{y(value):g}")
        found = value
    path.append(f"H{x.end:g}")
    yield tag("path", d="".join(path), class_="target")
    last = targets[-1][1]
    yield tag("text", f"target {number(last)}", x=x.start + 4, y=y(last) - 5, class_="tick halo")


def _draw_lane(
    lane: Lane, x: Scale, y: float, gutter: float, narrow: bool, width: int
) -> Iterator[Html]:
    most = 44 if narrow else 22
    label = lane.label if len(lane.label) <= most else lane.label[: most - 1] + "…"
    if narrow:
        yield tag("text", label, x=0, y=y - 11, class_="label")
    else:
        yield tag("text", label, x=gutter - 12, y=y + 4, class_="label end")
    yield tag("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="lane")
    for bar in lane.bars:
        left, right = x(bar.since.toordinal()), x(bar.until.toordinal())
        span = f"{bar.text}, {day_text(bar.since)} to {day_text(bar.until)}"
        wide = round(max(right - left, 2), 1)
        yield tag("rect", tag("title", span), x=left, y=y - 5, width=wide, height=10, rx=2,
                  class_=f"bar {bar.kind}")  # fmt: skip
    for mark in lane.marks:
        yield shape(mark.shape, mark.kind, x(mark.on.toordinal()), y, mark.text)
