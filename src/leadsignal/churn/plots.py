"""The picture of retention: accounts and revenue kept, quarter by quarter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leadsignal.survival.plots import COLOURS, GREY, STYLES, axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = {"net": "net revenue", "logo": "accounts", "gross": "gross revenue"}
MAX_TICKS = 12
"""Number of quarters that are named below the axis."""


def retention_picture(total: pd.DataFrame, every: str, unit: str, ax: Axes | None = None) -> Axes:
    """Draw the retention of accounts and of revenue by period; what is unknown is a gap.

    ``total`` has one row per period, as `Retention.total` returns it.
    """
    from matplotlib.ticker import PercentFormatter

    axes = axes_of(ax, (8.4, 4.4))
    known = [name for name in MEASURES if total[name].notna().any()]
    at = np.arange(len(total))
    axes.axhline(1, color=GREY, linewidth=1, linestyle=":", zorder=0)
    ends = []
    for number, name in enumerate(known):
        values = total[name].to_numpy(dtype=float)
        axes.plot(
            at, values, color=COLOURS[number], linestyle=STYLES[number], marker="o", markersize=3.5
        )
        last = np.flatnonzero(~np.isnan(values))[-1]
        ends.append(
            (
                float(values[last]),
                f"{f'{unit}s' if name == 'logo' else MEASURES[name]} {values[last]:.1%}",
                COLOURS[number],
            )
        )
    step = -(-len(total) // MAX_TICKS)
    shown = at[::-1][::step][::-1]
    axes.set_xticks(shown, [_label(total["period"].iloc[place]) for place in shown])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(ylabel=f"kept over the {every}", xlabel=every)
    axes.set_title(_title(total, known, every, unit), loc="left", fontsize=11)
    _name_ends(axes, ends)
    return axes


def _label(period: object) -> str:
    """Return "2024Q1" as "Q1\\n2024"; two lines take less room. Months and years stay."""
    year, quarter, number = str(period).partition("Q")
    return f"Q{number}\n{year}" if quarter else year


def _title(total: pd.DataFrame, known: list[str], every: str, unit: str) -> str:
    said = [name for name in ("logo", "net") if name in known]
    if not said:
        return f"Retention by {every}"
    last = total.dropna(subset=said).iloc[-1]
    parts = [
        f"{last['stayed']:,.0f} of {last['accounts']:,.0f} {unit}s stayed",
        f"net revenue retention was {last['net']:.1%}" if "net" in said else "",
    ]
    return f"{last['period']}: {', '.join(filter(None, parts))}"


def _name_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write the names right of the lines, in their order, at least a line apart."""
    low, high = axes.get_ylim()
    gap, height = 0.05 * (high - low), -np.inf
    for value, text, colour in sorted(ends):
        height = max(value, height + gap)
        axes.annotate(
            text, (1, height), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", color=colour, fontsize=9, va="center",
            annotation_clip=False,
        )  # fmt: skip
