"""Common style of all plots: colours, line styles, font sizes and percent axes.

Colours and line styles can be distinguished without colour vision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leadsignal.phrases import share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008), without yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
BLUES = ("#DCEAF4", "#A9CCE3", "#5DA3CF", COLOURS[0])
"""Colours of rings, from the outermost to the innermost."""
GREY = "#777777"
"""Colour of reference lines and annotations."""
FAINT = "#DDDDDD"
"""Colour of areas and markers that are not known yet or not counted."""
TITLE, LABEL, SMALL = 11.0, 9.0, 8.5
"""Font sizes in points: of titles, of labels, and of long lists."""


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return ``ax``, or new Axes of ``size`` inches, without the top and right spines."""
    import matplotlib.pyplot as plt

    axes = plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def write_title(axes: Axes, finding: str, *, room: float | None = None, wrap: bool = False) -> None:
    """Write the finding above the Axes; ``room`` is the space below it in points."""
    axes.set_title(finding, loc="left", fontsize=TITLE, pad=room, wrap=wrap)


def percent_axis(axis: Any) -> None:
    """Format an axis of proportions in percent."""
    axis.set_major_formatter(lambda value, _: share_text(value))


def whole_numbers(axis: Any) -> None:
    """Label an axis of counts with whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def name_rows(
    axes: Axes, names: Sequence[str], below: float = 0.5, above: float = 0.5, **style: Any
) -> None:
    """Name the rows of a plot, the first at the top, without ticks and without a line."""
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_ylim(len(names) - below, -above)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def write_beside(axes: Axes, row: float, text: str, at: float = 1.02, **style: Any) -> None:
    """Write a text to the right of a row of a plot, ``at`` a share of the width."""
    options = {"fontsize": SMALL, "va": "center", **style}
    axes.annotate(text, (at, row), xycoords=("axes fraction", "data"), **options)


def legend_above(axes: Axes, *handles: Any, left: float = 0.0, **options: Any) -> None:
    """Draw the legend between the title and the Axes."""
    options = {"frameon": False, "fontsize": LABEL, "bbox_to_anchor": (left, 1), **options}
    axes.legend(*handles, loc="lower left", **options)
