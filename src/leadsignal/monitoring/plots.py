"""Plot of the changes since the last run, with their tolerances."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_drift(drift: pd.DataFrame, shown: int, as_of: date, ax: Axes | None = None) -> Axes:
    """Draw changes as dots over their tolerance, the largest first."""
    from leadsignal.survival.plots import COLOURS, GREY, axes_of

    rows = drift[drift["change"].notna() & drift["tolerance"].notna()]
    order = (rows["change"].abs() / rows["tolerance"]).sort_values(ascending=False, kind="stable")
    rows = rows.loc[order.index].head(shown)
    size = (7.2, 1.3 + 0.34 * max(len(rows), 1))
    axes = axes_of(ax, size)
    y = np.arange(len(rows))
    tolerance, change = rows["tolerance"].to_numpy(), rows["change"].to_numpy()
    axes.barh(
        y, 2 * tolerance, left=-tolerance, height=0.5, color="#E4E8EC", label="within its past"
    )
    found = rows["found"].to_numpy(dtype=bool) | (np.abs(change) > tolerance)
    for mine, colour, marker, label in (
        (~found, GREY, "o", "change since the last run"),
        (found, COLOURS[1], "D", "finding"),
    ):
        if mine.any():
            axes.scatter(change[mine], y[mine], color=colour, marker=marker, label=label, zorder=3)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    axes.set_yticks(y, rows["series"])
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    widest = max([0.3, *tolerance, *np.abs(change)])
    axes.set_xlim(-1.08 * widest, 1.08 * widest)
    axes.set_xlabel("change beyond the usual, in standard deviations between accounts")
    axes.set_title(f"Drift on {as_of}", loc="left", fontsize=11)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(rows):
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes
