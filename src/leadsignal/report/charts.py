"""Inline SVG: scales, ticks and a time axis with a series above lanes of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, inf, log, log10
from textwrap import wrap

from leadsignal.formats import day_text, month_text
from leadsignal.html_pages import Html, join, number, tag

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
    return legend([(shape(name, kind, 7, 7), meaning) for name, kind, meaning in shapes])


def legend(meanings: Sequence[tuple[Html, str]], width: int = 14, kind: str = "key") -> Html:
    """Return a list of small drawings, each with its meaning."""
    items = [
        tag("li", tag("svg", drawing, viewBox=f"0 0 {width} 14", width=width, height=14,
                      aria_hidden="true"), " ", meaning)
        for drawing, meaning in meanings
    ]  # fmt: skip
    return tag("ul", *items, class_=kind)


def svg(
    width: float, height: float, *children: object, title: str, description: str, kind: str = ""
) -> Html:
    """Return a drawing that scales with its container and has a text description.

    The page shows drawings of the kind narrow on phones, wide ones on other screens.
    """
    kind = kind or ("narrow" if width <= NARROW else "wide")
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
    return svg(width, height, *parts, title=title, description=description)


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


# Rows: estimates and stacked bars -----------------------------------------------------------------


LINE_HEIGHT = 14
"""Distance between two lines of a label."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``shape`` is a name in ``charts.SHAPES``, ``kind`` a class."""

    value: float
    low: float | None
    high: float | None
    shape: str
    kind: str
    text: str


@dataclass(frozen=True)
class Row:
    """A label, its estimates one below the other, and the text at the right."""

    label: str
    estimates: Sequence[Estimate]
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """Axis of the estimates: limits, ticks with their labels, and the reference line."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    line: float | None = None
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value on the axis, clipped to its limits."""
        found = min(max(value, self.low), self.high)
        return log(found) if self.logarithmic else found


@dataclass(frozen=True)
class Part:
    """One part of a stacked bar: a count, with ``kind`` as its CSS class."""

    count: float
    kind: str
    text: str


@dataclass(frozen=True)
class Stack:
    """A stacked bar: its label, and its parts from left to right."""

    label: str
    parts: Sequence[Part]


def both(draw: Callable[..., Html], *args: object, **kwargs: object) -> Html:
    """Return a drawing for wide screens and one for phones; the page shows one of them."""
    return join([draw(*args, **kwargs, width=WIDE), draw(*args, **kwargs, width=NARROW)])


def ranges(
    rows: Sequence[Row], axis: Axis, *, title: str, description: str, width: int = WIDE
) -> Html:
    """Return estimates with their intervals, one per row, with the reference line of the axis."""
    narrow = width <= NARROW
    gutter, margin = (8, 8) if narrow else (328, 120)
    x = Scale(axis.at(axis.low), axis.at(axis.high), gutter, width - margin)
    step, top = 26 if narrow else 30, 0.0
    pauses: list[tuple[float, float]] = []
    parts: list[Html] = []
    for row in rows:
        lines = _label_lines(row.label, row.note, narrow)
        parts += _labels(lines, row.note, top, width, gutter, narrow)
        if narrow:  # The label is above its mark, where the lines of the axis are interrupted.
            pauses.append((top, top + 8 + LINE_HEIGHT * len(lines)))
            top = pauses[-1][1]
        parts += _estimates(row.estimates, axis, x, top + step / 2)
        top += step if narrow else step + 8 * (len(lines) - 1)
    height = top + 30
    parts = [*_grid(axis, x, height - 24, pauses), *parts]
    return svg(width, height, *parts, title=title, description=description)


def _grid(
    axis: Axis, x: Scale, bottom: float, pauses: Sequence[tuple[float, float]]
) -> Iterator[Html]:
    text = _roomy(axis, x)
    edges = [0.0, *(edge for pause in pauses for edge in pause), bottom]
    for value, words in axis.ticks:
        at = x(axis.at(value))
        kind = "reference" if value == axis.line else "grid"
        for top, end in zip(edges[::2], edges[1::2], strict=True):
            if end > top:
                yield tag("line", x1=at, x2=at, y1=top, y2=end, class_=kind)
        if value in text:
            place = _anchor(at, x)
            yield tag("text", words, x=at, y=bottom + 16, class_=f"tick {place}")


def _anchor(at: float, x: Scale) -> str:
    """Return the text anchor of a tick's label that keeps it inside the drawing."""
    return "start" if at - x.start < 14 else "end" if x.end - at < 26 else "middle"


def _roomy(axis: Axis, x: Scale) -> set[float]:
    """Return ticks whose labels do not overlap, with priority for the reference line and ends."""
    first = [tick for tick in axis.ticks if tick[0] == axis.line]
    taken: list[tuple[float, float]] = []
    kept = set()
    for value, words in [*first, axis.ticks[0], axis.ticks[-1], *axis.ticks]:
        at, half = x(axis.at(value)), 3.6 * len(words)
        middle = at + {"start": half, "end": -half, "middle": 0.0}[_anchor(at, x)]
        if value not in kept and all(middle + half < a or middle - half > b for a, b in taken):
            taken.append((middle - half, middle + half))
            kept.add(value)
    return kept


def _label_lines(label: str, note: str, narrow: bool) -> list[str]:
    """Return a label in one or two lines that leave room for the note."""
    most = 46 - len(note) if narrow else 44
    return wrap(label, max(most, 16), max_lines=2, placeholder=" …") or [""]


def _labels(
    lines: Sequence[str], note: str, top: float, width: int, gutter: float, narrow: bool
) -> Iterator[Html]:
    first = top + 16 if narrow else top + 19 - LINE_HEIGHT * (len(lines) - 1) / 2
    place = {"x": 0, "class_": "label"} if narrow else {"x": gutter - 14, "class_": "label end"}
    for n, line in enumerate(lines):
        yield tag("text", line, y=first + LINE_HEIGHT * n, **place)
    yield tag("text", note, x=width, y=top + (16 if narrow else 19), class_="tick end")


def _estimates(
    estimates: Sequence[Estimate], axis: Axis, x: Scale, middle: float
) -> Iterator[Html]:
    for n, one in enumerate(estimates):
        y = middle + 9 * (n - (len(estimates) - 1) / 2)
        if one.low is not None and one.high is not None:
            low, high = x(axis.at(one.low)), x(axis.at(one.high))
            yield tag("line", x1=low, x2=high, y1=y, y2=y, class_=f"range {one.kind}")
        yield shape(one.shape, one.kind, x(axis.at(one.value)), y, one.text)


def stacks(rows: Sequence[Stack], *, title: str, description: str, width: int = WIDE) -> Html:
    """Return stacked bars, one per row, on a common scale; counts are written where they fit."""
    narrow = width <= NARROW
    gutter = 0 if narrow else 190
    most = max([sum(part.count for part in row.parts) for row in rows] + [1])
    x = Scale(0, most, gutter, width - 44)
    step = 44 if narrow else 30
    parts: list[Html] = []
    for n, row in enumerate(rows):
        top = step * n + (18 if narrow else 4)
        if narrow:
            parts.append(tag("text", row.label, x=0, y=top - 5, class_="label"))
        else:
            parts.append(tag("text", row.label, x=gutter - 12, y=top + 16, class_="label end"))
        parts += _parts(row.parts, x, top)
    return svg(width, step * len(rows) + 6, *parts, title=title, description=description)


def _parts(parts: Sequence[Part], x: Scale, top: float) -> Iterator[Html]:
    begin, there = 0.0, [part for part in parts if part.count]
    for part in there:
        left, right = x(begin), x(begin + part.count)
        begin += part.count
        wide = round(max(right - left - 1.5, 1), 1)
        yield tag("rect", tag("title", part.text), x=left, y=top, width=wide, height=22,
                  class_=f"bar {part.kind}")  # fmt: skip
        words = f"{part.count:,.0f}"
        if len(there) > 1 and wide > 9 * len(words):  # a single part equals the total
            yield tag("text", words, x=round(left + wide / 2, 1), y=top + 15.5,
                      class_="tick strong middle")  # fmt: skip
    yield tag("text", f"{begin:,.0f}", x=x(begin) + 6, y=top + 15.5, class_="tick")


def stack_key(parts: Sequence[tuple[str, str]]) -> Html:
    """Return the legend of stacked bars: kind and meaning, in order."""
    return legend([
        (tag("rect", x=1, y=2, width=12, height=10, class_=f"bar {kind}"), meaning)
        for kind, meaning in parts
    ])  # fmt: skip


RATIO_TICKS = ((0.05, "1/20"), (0.1, "1/10"), (0.25, "a quarter"), (0.5, "half"),
               (1.0, "as often"), (2.0, "twice"), (4.0, "4 times"))  # fmt: skip


NEAR_TICKS = ((0.75, "25 % less"), (1.5, "50 % more"))
"""Additional ticks between those of the report, used if all ratios are near 1."""


def ratio_axis(rows: Sequence[Row]) -> Axis:
    """Return a logarithmic axis of ratios that covers all rows."""
    values = [
        value
        for row in rows
        for one in row.estimates
        for value in (one.value, one.low, one.high)
        if value is not None and 0 < value < inf
    ]
    low, high = max(0.02, min([*values, 0.9]) * 0.9), min(20.0, max([*values, 1.1]) * 1.1)
    ticks = [tick for tick in (*RATIO_TICKS, *NEAR_TICKS) if low <= tick[0] <= high]
    return Axis(low, high, ticks, 1.0, logarithmic=True)
