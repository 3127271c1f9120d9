"""Plots of comparisons; markers and line styles are distinguishable without colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leadsignal.errors import ModelError
from leadsignal.formats import (
    COLOURS,
    GREY,
    LABEL,
    SMALL,
    STYLES,
    axes_of,
    legend_above,
    level_text,
    name_rows,
    p_phrase,
    percent_axis,
    write_beside,
    write_title,
)
from leadsignal.survival.estimates import plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {
    "naive": "o", "at_renewals": "v", "time_dependent": "s", "landmark": "^", "target_trial": "D",
}  # fmt: skip
RATIO_LIMITS = (0.01, 100.0)
"""Hazard ratios at which the axis ends at the latest."""


def curves_picture(curves: pd.DataFrame, since: str, title: str, ax: Axes | None = None) -> Axes:
    """Plot corrected retention with its interval, and thin lines for the usual chart.

    ``curves`` is the result of `curve_frame`. Its first cohort is the reference, without interval.
    """
    axes = axes_of(ax, (7.6, 4.6))
    for place, (name, rows) in enumerate(curves.groupby("cohort", sort=False)):
        colour = COLOURS[place - 1] if place else GREY
        style = STYLES[max(place - 1, 0) % len(STYLES)]
        axes.plot(rows["day"], rows["usual"], color=colour, linewidth=0.9, linestyle=":", alpha=0.8,
                  label=f"{name}, the usual chart")  # fmt: skip
        axes.plot(rows["day"], rows["retention"], color=colour, linewidth=2.2, linestyle=style,
                  label=f"{name}, corrected")  # fmt: skip
        if place:
            axes.fill_between(rows["day"], rows["low"], rows["high"], color=colour, alpha=0.13,
                              linewidth=0)  # fmt: skip
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"days since {since}", labelpad=2)
    axes.set_ylabel("still a customer, no notice given")
    percent_axis(axes.yaxis)
    write_title(axes, title, wrap=True)
    axes.legend(frameon=False, fontsize=LABEL, loc="best")
    return axes


def forest_picture(
    by: str,
    contrasts: pd.DataFrame,
    titles: Mapping[str, str],
    level: float,
    ax: Axes | None = None,
) -> Axes:
    """Plot the hazard ratios of each cohort, naive and corrected in one row, with intervals.

    ``contrasts`` has one row per contrast; adjusted ones are not plotted. ``titles`` maps methods
    to their names in the legend.
    """
    plotted = contrasts
    if len(contrasts):
        plotted = contrasts[contrasts["hazard_ratio"].notna() & (contrasts["adjusted_for"] == "")]
    if not len(plotted):
        raise ModelError(
            f"{by}: there is no hazard ratio to draw", "Plot its groups with plot() instead"
        )
    cohorts, methods = (list(plotted[name].unique()) for name in ("cohort", "method"))
    ax = axes_of(ax, (7.6, 1.7 + 0.85 * len(cohorts)))
    ax.axvline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
    for row in plotted.to_dict("records"):
        method, place = row["method"], methods.index(row["method"])
        y = cohorts.index(row["cohort"]) + (place - (len(methods) - 1) / 2) * 0.17
        colour = GREY if method == "naive" else COLOURS[place % len(COLOURS)]
        ratio, low, high = (row[f"hazard_ratio{part}"] for part in ("", "_low", "_high"))
        ax.errorbar(
            [ratio], [y], xerr=[[ratio - low], [high - ratio]], fmt=MARKS[method], color=colour,
            ecolor=colour, markersize=6, elinewidth=1.6, label=titles[method],
            markerfacecolor="white" if method == "naive" else colour,
        )  # fmt: skip
        write_beside(ax, y, f"{ratio:.2f} ({low:.2f} to {high:.2f})")
    ax.set_xscale("log")
    limits = plotted[["hazard_ratio_low", "hazard_ratio_high"]].clip(*RATIO_LIMITS)
    plain_log_ticks(ax, min(limits.min().min(), 0.8), max(limits.max().max(), 1.25))
    against = plotted["against"].iloc[0]
    name_rows(ax, [f"{name}\nagainst {against}" for name in cohorts], 0.45, 0.55)
    ax.set_xlabel(f"hazard ratio, {level_text(level)} interval (below 1: fewer leave)")
    title = f"By {by.replace('_', ' ')}: churn, naive beside corrected"
    write_title(ax, title, room=24)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    columns = min(len(unique), 4)
    legend_above(ax, unique.values(), unique.keys(), ncols=columns, handletextpad=0.2)
    return ax


def overview_picture(lines: pd.DataFrame, most: int, ax: Axes | None = None) -> Axes:
    """Plot the naive and corrected hazard ratio of each cohort, lowest p-value first."""
    if not len(lines):
        raise ModelError("there is no hazard ratio to draw", "Provide tables with more churns")
    plotted = lines.sort_values("p_holm", kind="stable").head(most)
    ax = axes_of(ax, (9.0, 1.5 + 0.42 * len(plotted)))
    ax.axvline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
    at = np.arange(len(plotted))
    ratio, low, high = (
        plotted[f"hazard_ratio_{part}"].to_numpy(dtype=float)
        for part in ("estimate", "low", "high")
    )
    naive = plotted["naive_estimate"].to_numpy(dtype=float)
    ax.errorbar(
        ratio, at, xerr=[ratio - low, high - ratio], fmt="s", color=COLOURS[0], markersize=5.5,
        elinewidth=1.6, label="corrected",
    )  # fmt: skip
    ax.plot(naive, at - 0.22, "o", color=GREY, markerfacecolor="white", label="naive")
    for place, p in enumerate(plotted["p_holm"]):
        text = f"{ratio[place]:.2f} ({low[place]:.2f} to {high[place]:.2f}), {p_phrase(p)}"
        write_beside(ax, place, text)
    ax.set_xscale("log")
    limits = np.clip(np.concatenate([low, high, naive[~np.isnan(naive)]]), *RATIO_LIMITS)
    plain_log_ticks(ax, min(float(limits.min()), 0.8), max(float(limits.max()), 1.25))
    named = zip(plotted["by"], plotted["cohort"], plotted["against"], strict=True)
    names = [f"{_plain(by)}\n{one} against {other}" for by, one, other in named]
    name_rows(ax, names, above=0.6, fontsize=SMALL)
    label = "hazard ratio of churn, 95 % interval; p corrected for all (Holm)"
    if len(plotted) < len(lines):
        label += "\nthe cohorts with the lowest p"
    ax.set_xlabel(label)
    write_title(ax, _overview_title(lines), room=24)
    legend_above(ax, ncols=2)
    return ax


def _plain(by: str) -> str:
    """Return the name of a comparison in words."""
    return by.replace("_", " ").replace(":", ": ")


def _overview_title(lines: pd.DataFrame) -> str:
    proven = int((lines["p_holm"] < 0.05).sum())
    have = "has" if proven == 1 else "have"
    return f"{proven} of {len(lines)} cohorts {have} a proven difference in churn"


def funnel_picture(groups: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot observed over expected churns by group size, with shrunken rates and control limits.

    The control limits are the 95 % and 99.8 % limits of Poisson counts with the expected mean
    (Spiegelhalter 2005). ``groups`` has one row per group; suppressed ones are not plotted.
    """
    from scipy.special import gammaincinv

    plotted = groups[~groups["suppressed"] & (groups["expected"] > 0)]
    x, raw, shrunken, low, high = (
        plotted[name].to_numpy(dtype=float) for name in ("expected", "raw", "rate", "low", "high")
    )
    ax = axes_of(ax, (7.2, 4.4))
    most = 1.25 * float(x.max(initial=0.0)) or 1.25
    expected = np.linspace(max(0.3, most / 400), most, 400)
    for share, style in ((0.95, "--"), (0.998, ":")):
        for side in (0.5 - share / 2, 0.5 + share / 2):
            label = f"{level_text(share)} of chance" if side < 0.5 else None
            # Continuous Poisson limits: gamma quantiles interpolate between two counts.
            limit = gammaincinv(expected + (side > 0.5), side) / expected
            ax.plot(expected, limit, color=GREY, linestyle=style, linewidth=1.1, label=label)
    ax.axhline(1, color=GREY, linewidth=1)
    ax.scatter(x, raw, s=42, facecolor="white", edgecolor=COLOURS[1], linewidth=1.5, marker="o",
               label="observed / expected", zorder=3)  # fmt: skip
    ax.errorbar(x, shrunken, yerr=[shrunken - low, high - shrunken], fmt="s", markersize=4.5,
                color=COLOURS[0], elinewidth=1.2, label="shrunken", zorder=2)  # fmt: skip
    _name_outliers(ax, plotted)
    top = max(2.2, 1.1 * float(raw.max(initial=0.0)), 1.05 * float(high.max(initial=0.0)))
    ax.set(xlabel="churns expected", ylabel="churn relative to average", ylim=(0, top))
    ax.set_xlim(0, most)
    write_title(ax, f"Churn of {len(groups)} groups, beside what chance allows", room=24)
    legend_above(ax, ncols=4, columnspacing=1.2)
    return ax


def _name_outliers(ax: Axes, groups: pd.DataFrame) -> None:
    """Label the groups whose observed count lies outside the 95 % control limits."""
    from scipy.stats import poisson

    for g in groups.to_dict("records"):
        low, high = poisson.ppf([0.025, 0.975], g["expected"])
        if not low <= g["ended"] <= high:
            ax.annotate(
                g["name"], (g["expected"], g["raw"]), xytext=(6, 4), textcoords="offset points",
                fontsize=LABEL,
            )  # fmt: skip
