"""Plot of churned accounts by quarter, with and without a prior warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.picture_style import COLOURS, FAINT, LABEL, axes_of, write_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_QUARTERS = 12
"""Maximum number of quarters drawn; earlier ones are left out."""
HUES = {"unexpected": COLOURS[1], "signalled": COLOURS[0], "too young": COLOURS[4]}


def churns_by_quarter(
    quarters: pd.DataFrame, verdicts: Sequence[str], title: str, ax: Axes | None = None
) -> Axes:
    """Draw churned accounts of the latest quarters, stacked by verdict.

    ``quarters`` is indexed by quarter, with a column of account counts for each verdict.
    """
    from matplotlib.ticker import MaxNLocator

    axes = axes_of(ax, (7.6, 3.8))
    rows = quarters.tail(MAX_QUARTERS)
    names, below = [str(quarter) for quarter in rows.index], np.zeros(len(rows))
    for verdict in sorted(verdicts, key=lambda one: one not in HUES):
        height = rows[f"{verdict.replace(' ', '_')}_accounts"].to_numpy(dtype=float)
        if height.any():
            colour = HUES.get(verdict, FAINT)
            axes.bar(names, height, bottom=below, color=colour, label=verdict, edgecolor="white")
            below += height
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="x", rotation=45)
    axes.set(xlabel="quarter in which the end was known", ylabel="churned accounts")
    write_title(axes, title, room=24)
    axes.legend(frameon=False, fontsize=LABEL, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return axes
