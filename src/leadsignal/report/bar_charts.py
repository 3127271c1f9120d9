"""Inline SVG of rows: estimates with intervals and a reference line, and stacked bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from textwrap import wrap

from leadsignal.html_pages import Html, join, tag
from leadsignal.report.charts import NARROW, WIDE, Scale, shape, svg

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
    kind = "narrow" if narrow else "wide"
    return svg(width, height, *parts, title=title, description=description, kind=kind)


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
    kind = "narrow" if narrow else "wide"
    return svg(width, step * len(rows) + 6, *parts, title=title, description=description, kind=kind)


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
    items = [
        tag("li", tag("svg", tag("rect", x=1, y=2, width=12, height=10, class_=f"bar {kind}"),
                      viewBox="0 0 14 14", width=14, height=14, aria_hidden="true"), " ", meaning)
        for kind, meaning in parts
    ]  # fmt: skip
    return tag("ul", *items, class_="key")
