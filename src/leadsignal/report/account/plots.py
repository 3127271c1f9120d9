"""Plot of an account review: results and target above events, on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.picture_style import COLOURS, GREY, LABEL, axes_of, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from leadsignal.report.charts import Lane, Series

BLUE, RED, GREEN = COLOURS[:3]
KINDS = {"good": GREEN, "warn": COLOURS[5], "bad": RED, "accent": "black"}
"""Colours of marks by the first word of their kind; others are grey."""
MARKERS = {"dot": "o", "up": "^", "down": "v", "diamond": "D", "square": "s", "tick": "|",
           "cross": "x"}  # fmt: skip
"""Markers of matplotlib by the shape of a mark."""
LANE = 0.075
"""Height of a lane as a fraction of the plot."""


def plot_timeline(
    title: str,
    series: Series | None,
    lanes: Sequence[Lane],
    first: date,
    last: date,
    ax: Axes | None = None,
) -> Axes:
    """Draw results above lanes of events on one time axis, and return the Axes.

    The data are those of `leadsignal.report.charts.timeline`, which draws the same as SVG.
    """
    axes = axes_of(ax, (9, 5.2))
    axes.xaxis_date()
    measured = f"{series.label}, and what happened" if series else "what happened"
    write_title(axes, f"{title}: {measured}")
    if series is None:
        axes.set_yticks([])
        axes.annotate("nothing measured yet", (0.02, 0.5), xycoords="axes fraction", color=GREY)
    else:
        _draw_series(series, axes)
    room = _make_room(axes, len(lanes))
    for n, lane in enumerate(lanes):
        _draw_lane(axes, lane, room * (1 - (n + 0.8) / len(lanes)))
    start = _number(first)
    axes.set_xlim(start, max(_number(last), start + 1))
    return axes


def _make_room(axes: Axes, lanes: int) -> float:
    """Lengthen the axis downwards for the lanes; return the share of it that they take."""
    room = min(LANE * lanes, 0.7)
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    axes.set_ylim(low - (high - low) * room / (1 - room), high)
    axes.set_yticks(ticks)
    axes.spines["left"].set_bounds(low, high)
    return room


def _draw_series(series: Series, axes: Axes) -> None:
    points = series.points
    axes.plot([_number(p.on) for p in points], [p.value for p in points], color=BLUE, linewidth=1.8)
    if series.targets:
        days, targets = zip(*series.targets, strict=True)
        axes.step([_number(day) for day in days], targets, where="post", color="black",
                  linestyle="--", linewidth=1.2, label="target")  # fmt: skip
    for met, face, label in ((True, GREEN, "met"), (False, "white", "missed")):
        shown = [point for point in points if point.good is met]
        if shown:
            axes.scatter([_number(p.on) for p in shown], [p.value for p in shown], s=34, zorder=3,
                         label=label, facecolor=face, edgecolor=GREEN if met else RED)  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=LABEL)


def _draw_lane(axes: Axes, lane: Lane, y: float) -> None:
    place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    if lane.bars:
        spans = [(_number(b.since), _number(b.until) - _number(b.since)) for b in lane.bars]
        axes.broken_barh(spans, (y - 0.02, 0.04), color=BLUE, alpha=0.35, **place)
    for mark in lane.marks:
        colour = KINDS.get(mark.kind.split()[0], GREY)
        axes.plot([_number(mark.on)], [y], marker=MARKERS[mark.shape], color=colour, markersize=6,
                  linestyle="", **place)  # fmt: skip
    axes.annotate(lane.label, (0, y), xycoords="axes fraction", xytext=(-6, 0), ha="right",
                  va="center", textcoords="offset points", fontsize=LABEL,
                  annotation_clip=False)  # fmt: skip


def _number(day: date) -> float:
    """Return a day as matplotlib counts them, from 1970."""
    return float(day.toordinal() - date(1970, 1, 1).toordinal())
