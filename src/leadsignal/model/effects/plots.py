"""The forest plot of hazard ratios by family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.survival.plots import COLOURS, forest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAINT = "#DDDDDD"
"""Colour of the lines between families."""
TOTAL = "exp(coef) all churn"
"""Column with the ratios of all churn."""


def forest_by_family(ratios: pd.DataFrame, title: str, ax: Axes | None = None) -> Axes:
    """Draw one line per covariate of the table of `HazardRatios`, grouped by family.

    Where only some causes count, the ratios of all churn are hollow points.
    """
    table = ratios.sort_values(
        "family", kind="stable", key=lambda names: names.map(_order(list(ratios["family"])))
    )
    families = list(table["family"])
    labels = [_label(str(name), row) for name, row in table.iterrows()]
    axes = forest(table.set_axis(labels), ax, (12.5, 1.6 + 0.36 * len(table)))
    if TOTAL in table:
        axes.plot(
            table[TOTAL], np.arange(len(table)) + 0.25, "o", markersize=5, markerfacecolor="white",
            color=COLOURS[1], label="all churn",
        )  # fmt: skip
        axes.legend(frameon=False, loc="lower right")
    for line in range(1, len(families)):
        if families[line] != families[line - 1]:
            axes.axhline(line - 0.5, color=FAINT, linewidth=1, zorder=0)
    for family in dict.fromkeys(families):
        axes.annotate(
            family, (0.01, families.index(family) - 0.38), xycoords=("axes fraction", "data"),
            fontsize=8, color="#555555", va="center", style="italic",
        )  # fmt: skip
    axes.set_title(title.replace(" (", "\n("), fontsize=10, loc="left")
    return axes


def _label(name: str, row: pd.Series[Any]) -> str:
    """Return the covariate with what its ratio compares."""
    return f"{name}  against {row['reference']}" if ":" in name else f"{name}  {row['step']}"


def _order(families: list[str]) -> dict[str, int]:
    return {family: place for place, family in enumerate(dict.fromkeys(families))}
