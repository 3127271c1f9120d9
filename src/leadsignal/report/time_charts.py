"""Inline SVG over calendar time: stacked columns and lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from leadsignal.html_pages import Html, tag
from leadsignal.phrases import level_text
from leadsignal.report.bar_charts import LINE_HEIGHT, Part
from leadsignal.report.charts import NARROW, WIDE, Scale, svg, value_ticks


@dataclass(frozen=True)
class Column:
    """A period, its parts from bottom to top, and the text above them."""

    period: str
    year: str
    parts: Sequence[Part]
    note: str


@dataclass(frozen=True)
class Line:
    """A series of values, one per period, None if unknown; ``kind`` is a CSS class."""

    label: str
    kind: str
    values: Sequence[float | None]


def line_key(rows: Sequence[Line]) -> Html:
    """Return the legend of lines."""
    items = [
        tag("li", tag("svg", tag("line", x1=0, x2=22, y1=7, y2=7, class_=f"line {row.kind}"),
                      viewBox="0 0 22 14", width=22, height=14, aria_hidden="true"), " ", row.label)
        for row in rows
    ]  # fmt: skip
    return tag("ul", *items, class_="key lines")


def columns(rows: Sequence[Column], *, title: str, description: str, width: int = WIDE) -> Html:
    """Return a stacked column for each period; on phones only the last eight."""
    narrow = width <= NARROW
    rows = rows[-8:] if narrow else rows
    top, bottom = 22, 200
    most = max([sum(part.count for part in row.parts) for row in rows] + [0.0])
    y = Scale(0.0, most or 1.0, bottom, top)
    step = width / max(len(rows), 1)
    wide = min(0.72 * step, 64.0)
    parts: list[Html] = []
    for n, row in enumerate(rows):
        middle, height = round((n + 0.5) * step, 1), 0.0
        for part in filter(lambda part: part.count, row.parts):
            low, height = y(height), height + part.count
            parts.append(_rectangle(part, middle - wide / 2, wide, y(height), low))
        parts.append(_words(row.note, middle, y(height) - 6, "tick strong middle"))
        parts.append(_words(row.period, middle, bottom + LINE_HEIGHT, "tick middle"))
        if not n or rows[n - 1].year != row.year:
            parts.append(_words(row.year, middle, bottom + 2 * LINE_HEIGHT, "tick middle"))
    parts.append(tag("line", x1=0, x2=width, y1=bottom, y2=bottom, class_="reference"))
    kind = "narrow" if narrow else "wide"
    height_all = bottom + 2 * LINE_HEIGHT + 6
    return svg(width, height_all, *parts, title=title, description=description, kind=kind)


def _rectangle(part: Part, left: float, wide: float, top: float, bottom: float) -> Html:
    return tag("rect", tag("title", part.text), x=round(left, 1), y=top, width=round(wide, 1),
               height=round(max(bottom - top, 0.5), 1), class_=f"bar {part.kind}")  # fmt: skip


def _words(words: str, x: float, y: float, kind: str) -> Html:
    return tag("text", words, x=x, y=round(y, 1), class_=kind)


def lines(
    rows: Sequence[Line],
    periods: Sequence[tuple[str, str]],
    words: Callable[[float], str],
    *,
    title: str,
    description: str,
    width: int = WIDE,
) -> Html:
    """Return shares over periods as lines, each labelled with its last value at its end.

    ``periods`` are pairs of the tick label of a period (empty where there is no room) and its
    name; ``words`` formats a value.
    """
    narrow = width <= NARROW
    left, right, top, bottom = 46, width - (52 if narrow else 176), 10, 196
    known = [value for row in rows for value in row.values if value is not None]
    low, high = min([*known, 1.0]), max([*known, 1.0])
    room = 0.06 * (high - low) or 0.01
    x = Scale(0, max(len(periods) - 1, 1), left, right)
    y = Scale(low - room, high + room, bottom, top)
    parts = [*_value_grid(x, y), *_period_names(periods, x, bottom, narrow)]
    for row in rows:
        parts += [tag("polyline", points=points, class_=f"line {row.kind}")
                  for points in _pieces(row.values, x, y)]  # fmt: skip
    parts += _names(rows, x, y, words, narrow)
    kind = "narrow" if narrow else "wide"
    return svg(width, bottom + 24, *parts, title=title, description=description, kind=kind)


def _value_grid(x: Scale, y: Scale) -> Iterator[Html]:
    for value in value_ticks(y.low, y.high):
        kind = "reference" if value == 1.0 else "grid"
        yield tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_=kind)
        yield _words(level_text(value), x.start - 6, y(value) + 4, "tick end")


def _period_names(
    periods: Sequence[tuple[str, str]], x: Scale, bottom: float, narrow: bool
) -> Iterator[Html]:
    named = [n for n, (words, _) in enumerate(periods) if words]
    every = -(-len(named) // (4 if narrow else 12)) if named else 1
    for n in named[::every]:
        yield tag("line", x1=x(n), x2=x(n), y1=bottom, y2=bottom + 4, class_="grid")
        yield _words(periods[n][0], x(n), bottom + 18, "tick middle")


def _pieces(values: Sequence[float | None], x: Scale, y: Scale) -> Iterator[str]:
    """Yield the points of each run of known values."""
    run: list[str] = []
    for n, value in enumerate([*values, None]):
        if value is not None:
            run.append(f"{x(n):g},{y(value):g}")
        elif run:
            yield " ".join(run)
            run = []


def _names(
    rows: Sequence[Line], x: Scale, y: Scale, words: Callable[[float], str], narrow: bool
) -> Iterator[Html]:
    """Yield the name and last value of each line at its end, without overlaps."""
    last = [(row, next((v for v in reversed(row.values) if v is not None), None)) for row in rows]
    below = y.end - LINE_HEIGHT
    for row, value in sorted(((r, v) for r, v in last if v is not None), key=lambda one: -one[1]):
        below = max(y(value) + 4, below + LINE_HEIGHT)
        name = words(value) if narrow else f"{words(value)} {row.label}"
        yield _words(name, x.end + 8, below, f"tick strong {row.kind}")
