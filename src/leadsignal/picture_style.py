"""Common style of all plots: colours, line styles, font sizes and percent axes.

Colours and line styles can be distinguished without colour vision.
"""

from __future__ import annotations

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
