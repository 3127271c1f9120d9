"""Plot of a discovery: the hazard ratio of each behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.survival.plots import COLOURS, GREY, axes_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_ROWS = 20
"""Number of behaviours that are drawn; further ones are in the frame."""


def plot_ratios(
    frame: pd.DataFrame, floor: float, warning_time: int, ax: Axes | None = None
) -> Axes:
    """Draw each behaviour's hazard ratio with its interval, essential processes in colour.

    ``floor`` is the hazard ratio above which no behaviour is an essential process.
    """
    rows = frame.head(MAX_ROWS)
    ax = axes_of(ax, (9.6, 1.5 + 0.46 * len(rows)))
    ax.axvline(1, color=GREY, linewidth=1, zorder=0)
    ax.axvline(floor, color=GREY, linewidth=1, linestyle=":", zorder=0)
    low, high = _limits(rows, floor)
    for place, (_, row) in enumerate(rows.iterrows()):
        colour = COLOURS[0] if row["essential"] else GREY
        limits = np.clip([row["low"], row["high"]], low, high)
        ax.plot(limits, [place, place], color=colour, linewidth=2.4 if row["essential"] else 1.3)
        ax.plot(np.clip(row["hazard_ratio"], low, high), place, "o", color=colour, markersize=6)
        ax.annotate(
            _evidence(row), (1.01, place), xycoords=("axes fraction", "data"), va="center",
            fontsize=8.5, color="black" if row["essential"] else GREY, annotation_clip=False,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5) if low <= t <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_yticks(np.arange(len(rows)), [_defined(row) for _, row in rows.iterrows()], fontsize=8.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(
        f"hazard ratio of leaving, adopted {warning_time} days before against not, with 95 %"
        f" interval\n(dotted: {floor:g}, the weakest that is named)"
    )
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _limits(rows: pd.DataFrame, floor: float) -> tuple[float, float]:
    """Return limits that show all estimates, and intervals as far as they go by the half."""
    low = min(float(rows["low"].min()), floor) * 0.9
    high = max(float(rows["high"].max()), 1.3) * 1.1
    return max(low, 0.1), min(high, 5.0)


def _defined(row: pd.Series[Any]) -> str:
    users = f" by {row['by_users']} users" if row["by_users"] > 1 else ""
    again = f" × {row['sustained_for']}" if row["sustained_for"] > 1 else ""
    return f"{row['behavior']}\n{row['at_least']}{users} in {row['within_days']} d{again}"


def _evidence(row: pd.Series[Any]) -> str:
    effect = float(row["result_effect"])
    results = "" if np.isnan(effect) else f"; results {effect:+.2f} SD"
    ratio = float(row["hazard_ratio"])
    return f"{ratio:.2f}{results}\n{row['verdict']}"
