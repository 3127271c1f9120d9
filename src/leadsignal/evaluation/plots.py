"""Plots of the audit and the backtest, from frames and plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.formats import (
    COLOURS,
    GREY,
    LABEL,
    SMALL,
    STYLES,
    axes_of,
    legend_above,
    percent_axis,
    share_text,
    whole_numbers,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BANDS = ("green", "yellow", "red")
"""Bands of a health score, the best first."""


def audit_curves(
    indicators: pd.DataFrame,
    named: pd.DataFrame,
    curves: pd.DataFrame,
    warning_time: int,
    ax: Axes | None = None,
) -> Axes:
    """Plot the AUC by days before churn for the indicators ``named``.

    ``indicators`` and ``curves`` are the ``frame`` and ``curves`` of an `Audit`.
    """
    axes = axes_of(ax, (9.2, 5.4))
    families = list(dict.fromkeys(named["family"]))
    ends = []
    for name in named["name"]:
        curve = curves[curves["name"] == name]
        family = curve["family"].iloc[0]
        colour = COLOURS[families.index(family) % len(COLOURS)]
        verdict = named.loc[named["name"] == name, "verdict"].iloc[0]
        style = "-" if verdict == "leading" else "--"
        axes.plot(curve["lead"], curve["auc"], color=colour, linestyle=style, linewidth=1.7)
        axes.fill_between(
            curve["lead"], curve["low"], curve["high"], color=colour, alpha=0.1, linewidth=0
        )
        ends.append((float(curve["auc"].iloc[0]), str(name).replace("_", " "), colour))
    _name_lines(axes, ends)
    axes.set_xlim(float(curves["lead"].max()), 0)
    _audit_frame(axes, indicators, warning_time, families)
    return axes


def _name_lines(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write labels to the right of the lines, at least 0.022 apart."""
    height = -np.inf
    for auc, name, colour in sorted(ends):
        height = max(auc, height + 0.022)
        axes.annotate(
            name, (0, height), xytext=(6, 0), textcoords="offset points", color=colour,
            fontsize=SMALL, va="center", annotation_clip=False,
        )  # fmt: skip


def _audit_frame(
    axes: Axes, indicators: pd.DataFrame, warning_time: int, families: list[str]
) -> None:
    from matplotlib.lines import Line2D

    axes.axhspan(0.47, 0.53, color=GREY, alpha=0.12, linewidth=0)
    axes.axvline(warning_time, color=GREY, linestyle=":", linewidth=1.2)
    axes.annotate(
        f"warning time, {warning_time} days", (warning_time, 1), (-4, -4),
        xycoords=("data", "axes fraction"), textcoords="offset points", ha="right", va="top",
        fontsize=SMALL, color=GREY,
    )  # fmt: skip
    counts = indicators["verdict"].value_counts()
    write_title(
        axes,
        f"{counts.get('leading', 0)} of {len(indicators)} indicators change {warning_time} days"
        f" before churn, {counts.get('lagging', 0)} only later",
    )
    axes.set(
        xlabel="days before churn was known",
        ylabel="AUC against matched accounts\n(below 0.5: low values precede churn)",
    )
    handles = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], label=family)
        for n, family in enumerate(families)
    ]
    handles += [
        Line2D([], [], color="black", linestyle="-", label="leading"),
        Line2D([], [], color="black", linestyle="--", label="lagging"),
    ]
    axes.legend(
        handles=handles, frameon=False, fontsize=SMALL, ncols=5,
        loc="upper center", bbox_to_anchor=(0.5, -0.11),
    )  # fmt: skip


def bands_before_churn(
    bands: pd.DataFrame, warning_time: int, title: str, ax: Axes | None = None
) -> Axes:
    """Plot churned accounts by the band of their health score, early and at the last snapshot.

    ``bands`` has the bands as index, and the columns ``early`` and ``last``.
    """
    axes = axes_of(ax, (7.2, 1.2 + 0.62 * len(bands)))
    order = [*BANDS, *(band for band in bands.index if band not in BANDS)]
    bands = bands.reindex([band for band in order if band in bands.index])
    y = np.arange(len(bands))
    for shift, column, colour, label in (
        (-0.19, "early", COLOURS[0], f"{warning_time} days before the end was known"),
        (0.19, "last", GREY, "at the last snapshot"),
    ):
        count = bands[column].to_numpy()
        axes.barh(y + shift, count, height=0.36, color=colour, label=label)
        for place, value in zip(y + shift, count, strict=True):
            axes.annotate(f"{value:,}", (value, place), (4, 0), textcoords="offset points",
                          va="center", fontsize=LABEL)  # fmt: skip
    axes.set_yticks(y, [str(band) for band in bands.index])
    axes.set_ylim(len(bands) - 0.5, -0.5)
    whole_numbers(axes.xaxis)
    axes.margins(x=0.1)
    axes.set_xlabel("churned accounts")
    write_title(axes, title, room=24)
    legend_above(axes, ncols=2)
    return axes


def catch_by_method(recall: pd.DataFrame, title: str, xlabel: str, ax: Axes | None = None) -> Axes:
    """Plot the recall of each method as a bar with its interval.

    ``recall`` has the methods as index and the columns ``share``, ``low``, ``high`` and
    ``beats_context``, which colours the bar.
    """
    axes = axes_of(ax, (7.2, 0.9 + 0.45 * len(recall)))
    share, low, high = (recall[name].to_numpy(dtype=float) for name in ("share", "low", "high"))
    colours = [COLOURS[0] if beats else GREY for beats in recall["beats_context"]]
    y = np.arange(len(recall))
    axes.barh(y, share, color=colours, alpha=0.85, height=0.62)
    axes.errorbar(
        share, y, xerr=np.maximum(np.vstack((share - low, high - share)), 0), fmt="none",
        ecolor="black", elinewidth=1.1,
    )  # fmt: skip
    for place, value in enumerate(share):
        axes.annotate(
            f"{share_text(value)}", (high[place], place), (5, 0), textcoords="offset points",
            va="center", fontsize=LABEL,
        )  # fmt: skip
    axes.set_yticks(y, list(recall.index))
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, 1.15 * float(np.nanmax(high)) + 0.02))
    percent_axis(axes.xaxis)
    axes.set_xlabel(xlabel)
    write_title(axes, title)
    return axes


def head_starts(
    days_ahead: Mapping[str, NDArray[np.float64]], horizon: int, ax: Axes | None = None
) -> Axes:
    """Plot, by method, the share of churners alerted at least N days before usage dropped.

    ``days_ahead`` has each method's days from alert to drop, one value per churner.
    """
    axes = axes_of(ax, (7.2, 4.4))
    days = np.arange(0, horizon + 1)
    for place, (name, ahead) in enumerate(days_ahead.items()):
        if not len(ahead):
            continue
        share = [(ahead >= day).mean() for day in np.maximum(days, 1)]
        axes.plot(
            days, share, color=COLOURS[place % len(COLOURS)],
            linestyle=STYLES[place // len(COLOURS) % len(STYLES)], label=name, linewidth=1.8,
        )  # fmt: skip
    axes.set(
        xlim=(0, horizon),
        xlabel="days alerted before usage dropped (before churn was known, if it did not)",
        ylabel="share of churners",
    )
    axes.set_ylim(bottom=0)
    percent_axis(axes.yaxis)
    axes.legend(frameon=False, ncols=2)
    write_title(axes, "How long before the usage drop churners were alerted")
    return axes


def account_history(
    account_id: str,
    alerts: pd.DataFrame,
    dates: Sequence[tuple[Any, str, str]],
    ax: Axes | None = None,
) -> Axes:
    """Plot an account's rank in a method's list by snapshot, with alerts and dates.

    ``alerts`` has the columns ``snapshot_on``, ``rank`` (1 for the highest risk) and ``alerted``;
    ``dates`` holds date, label and line style.
    """
    axes = axes_of(ax, (9.2, 2.6))
    days, rank = alerts["snapshot_on"], alerts["rank"]
    alerted = alerts["alerted"].to_numpy(dtype=bool)
    axes.plot(days, rank, color=GREY, linewidth=1.3, zorder=1)
    axes.scatter(days, rank, s=16, color=GREY, zorder=2)
    axes.scatter(days[alerted], rank[alerted], s=44, color=COLOURS[1], zorder=3, label="alerted")
    for date, label, style in dates:
        axes.axvline(date, color="black", linestyle=style, label=label)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("rank in the list\n(1: the highest risk)")
    write_title(axes, account_id)
    axes.legend(frameon=False, fontsize=SMALL, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes
