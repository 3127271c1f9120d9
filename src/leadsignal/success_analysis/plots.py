"""Plots of successful accounts, other selection criteria, success gaps and customer fit."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.errors import ModelError
from leadsignal.formats import (
    COLOURS,
    FAINT,
    GREY,
    LABEL,
    SMALL,
    axes_of,
    legend_above,
    level_text,
    month_text,
    name_rows,
    p_phrase,
    percent_axis,
    share_between,
    share_text,
    write_beside,
    write_title,
)
from leadsignal.stats.estimates import Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAX_ROWS = 12
"""Maximum number of accounts in a plot; the frame has all."""
LEGEND: dict[str, Any] = {
    "left": -0.01, "ncols": 2, "borderaxespad": 0.1, "handletextpad": 0.2,
}  # fmt: skip
AXIS_NAMES = {"happiest": "latest survey score", "heaviest": "usage in the last 84 days"}


def plot_successful(chosen: pd.DataFrame, as_of: date, ax: Axes | None = None) -> Axes:
    """Plot each chosen account's distance to target and since when it has been on target."""
    rows = chosen.head(MAX_ROWS)
    axes = axes_of(ax, (8.0, 1.5 + 0.27 * max(len(rows), 3)))
    y = np.arange(len(rows))
    axes.axvline(0, color=GREY, linewidth=1)
    axes.hlines(y, 0, rows["level"], color=FAINT, linewidth=2, zorder=1)
    axes.scatter(rows["level"], y, s=42, color=COLOURS[0], zorder=3, label="last year's mean")
    axes.scatter(rows["mean_gap"], y, s=34, facecolor="white", edgecolor=COLOURS[1], linewidth=1.5,
                 zorder=3, label="last three results")  # fmt: skip
    for place, row in enumerate(rows.to_dict("records")):
        text = f"since {month_text(row['since'])}, {row['trend']}"
        write_beside(axes, place, text)
    name_rows(axes, list(rows["account_id"].map(_literal)), 0.4, 0.6)
    axes.spines["left"].set_visible(True)
    axes.set_xlabel("beyond target, as a share of it")
    percent_axis(axes.xaxis)
    more = f", the first {MAX_ROWS}" if len(chosen) > MAX_ROWS else ""
    write_title(axes, f"{len(chosen)} most successful accounts, {as_of}{more}", room=22)
    legend_above(axes, **LEGEND)
    return axes


def _literal(text: object) -> str:
    """Escape dollar signs, so that matplotlib does not parse the text as a formula."""
    return str(text).replace("$", r"\$")


def plot_criterion(
    frame: pd.DataFrame, name: str, miss: Share, miss_all: Share, ax: Axes | None = None
) -> Axes:
    """Plot results against another selection criterion, and the accounts that each chooses."""
    axes = axes_of(ax, (7.4, 4.8))
    axes.axhline(0, color=GREY, linewidth=1)
    x = frame["value"].to_numpy(dtype=float)
    if name == "happiest":  # jitter the scores, which are few whole numbers, reproducibly
        x = x + 0.55 * (np.argsort(np.argsort(frame["account_id"])) % 11 / 10 - 0.5)
    parts: list[tuple[Any, dict[str, Any], str]] = [
        (~frame["chosen"], {"facecolor": FAINT, "edgecolor": "none", "s": 20}, "other accounts"),
        (frame["chosen"] & frame["on_target"], {"color": COLOURS[0], "s": 36},
         "chosen, on target"),
        (frame["chosen"] & ~frame["on_target"], {"color": COLOURS[1], "marker": "X", "s": 44},
         "chosen, below target"),
    ]  # fmt: skip
    for which, style, label in parts:
        axes.scatter(x[which], frame.loc[which, "mean_gap"], label=label, zorder=2, **style)
    good = frame["successful"].to_numpy()
    axes.scatter(x[good], frame.loc[good, "mean_gap"], s=95, facecolor="none", edgecolor=COLOURS[2],
                 linewidth=1.4, label="best by results", zorder=3)  # fmt: skip
    axes.set(xlabel=AXIS_NAMES[name], ylabel="beyond target, last three results")
    percent_axis(axes.yaxis)
    low, high = miss.interval
    write_title(
        axes,
        f"{share_between(miss.estimate, low, high)} of the {name} miss"
        f" their target;\n{share_text(miss_all.estimate)} of all {len(frame)}",
    )
    axes.legend(frameon=False, fontsize=SMALL, ncols=4, loc="upper left", columnspacing=0.9,
                bbox_to_anchor=(-0.02, -0.13), handletextpad=0.1)  # fmt: skip
    return axes


def plot_later_retention(
    rows: pd.DataFrame, dates: int, follow_days: int, ax: Axes | None = None
) -> Axes:
    """Plot the share of each list that stayed, with intervals."""
    axes = axes_of(ax, (7.0, 2.6))
    stayed, low, high = rows["stayed"], rows["low"], rows["high"]
    axes.errorbar(
        stayed, np.arange(len(rows)), xerr=[stayed - low, high - stayed], fmt="s", markersize=6,
        color=COLOURS[0], elinewidth=1.6,
    )  # fmt: skip
    name_rows(axes, [_literal(name) for name in rows["list"]])
    percent_axis(axes.xaxis)
    axes.set_xlabel(f"contract not ended {follow_days} days later")
    write_title(axes, f"Chosen on {dates} past dates")
    for place, row in enumerate(rows.to_dict("records")):
        write_beside(axes, place, f"{share_text(row['stayed'])} of {row['chosen']}", fontsize=LABEL)
    return axes


def plot_gap_differences(apart: pd.DataFrame, gaps: int, ax: Axes | None = None) -> Axes:
    """Plot the share of accounts with each value, among those with a gap and those on target."""
    if not len(apart):
        raise ModelError(
            "there is nothing to draw: too few accounts with a gap, or without",
            "See the accounts in frame",
        )
    rows = apart[apart["value"] != ""].head(8)
    axes = axes_of(ax, (8.2, 1.7 + 0.42 * len(rows)))
    y = np.arange(len(rows))
    axes.hlines(y, rows["reached_share"], rows["gap_share"], color=FAINT, linewidth=2.5, zorder=1)
    axes.scatter(rows["gap_share"], y, s=62, color=COLOURS[1], marker="X", zorder=3,
                 label="success gap")  # fmt: skip
    axes.scatter(rows["reached_share"], y, s=48, color=COLOURS[0], zorder=3,
                 label="does the same, on target")  # fmt: skip
    sure = rows["p_holm"].to_numpy() < 0.05
    names = [f"{_literal(r['what'])}: {_literal(r['value'])}" for r in rows.to_dict("records")]
    name_rows(axes, names)
    axes.spines["left"].set_visible(True)
    for label, yes in zip(axes.get_yticklabels(), sure, strict=True):
        label.set_fontweight("bold" if yes else "normal")
    for place, p in enumerate(rows["p_holm"]):
        write_beside(axes, place, p_phrase(min(p, 1.0)))
    axes.set_xlim(-0.03, 1.03)
    percent_axis(axes.xaxis)
    axes.set_xlabel("share of the group (p corrected for all comparisons)")
    write_title(axes, f"What sets {gaps} success gaps apart", room=22)
    legend_above(axes, **LEGEND)
    return axes


def plot_customer_fit(frame: pd.DataFrame, level: float, ax: Axes | None = None) -> Axes:
    """Plot churn by value relative to the average, and how often accounts get on target."""
    rows = frame[frame["churn"].notna()].reset_index(drop=True)
    axes = axes_of(ax, (8.6, 1.7 + 0.42 * len(rows)))
    y = np.arange(len(rows), dtype=float)
    axes.axvline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
    colours = {"stays longer": COLOURS[2], "leaves sooner": COLOURS[1]}
    for n, row in enumerate(rows.to_dict("records")):
        colour = colours.get(row["verdict"], GREY)
        axes.errorbar(row["churn"], n - 0.11, fmt="s", markersize=6, color=colour, elinewidth=2,
                      xerr=[[row["churn"] - row["churn_low"]], [row["churn_high"] - row["churn"]]],
                      )  # fmt: skip
        write_beside(axes, n, row["verdict"], fontsize=LABEL, color=colour)
    if "success" in rows and rows["success"].notna().any():
        axes.errorbar(
            rows["success"], y + 0.16, fmt="o", markersize=4.5, color=COLOURS[0], elinewidth=1,
            markerfacecolor="white",
            xerr=[rows["success"] - rows["success_low"], rows["success_high"] - rows["success"]],
            label="getting on target (above 1: more often)",
        )  # fmt: skip
    axes.plot([], [], "s", color=GREY, label="churn (below 1: fewer leave)")
    several = len(set(frame["attribute"])) > 1
    names = [
        f"{_literal(row['attribute'])}: {_literal(row['value'])}" if several
        else _literal(row["value"]) for row in rows.to_dict("records")
    ]  # fmt: skip
    name_rows(axes, names, 0.45, 0.55)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"relative to the average, {level_text(level)} interval, shrunken")
    legend_above(axes, **LEGEND)
    return axes
