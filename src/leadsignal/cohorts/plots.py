"""Pictures of comparisons: Axes in, Axes out, in colours and line styles that everyone can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.comparison import TITLES, Comparison, Contrast
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.measures import last_day_with
from leadsignal.cohorts.risk_intervals import RiskIntervals, follow_in_time
from leadsignal.cohorts.small_groups import SUPPRESSED, SmallGroups
from leadsignal.errors import ModelError, OptionError
from leadsignal.survival.curves import Curves, kaplan_meier, simon_makuch
from leadsignal.survival.plots import COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {"naive": "o", "time_dependent": "s", "landmark": "^", "target_trial": "D"}
MOST_CURVES = 4


def curves_of(cohorts: DatedCohorts) -> Curves:
    """Return the curves of a picture: by the cohort that accounts are in, day by day.

    Of dated cohorts Simon-Makuch's, from the first day on which each has had ten accounts at risk;
    of properties since the start Kaplan-Meier's. They stop where fewer than five are left. Ends
    that are no churn are censored. Raises ModelError where a cohort never has ten accounts.
    """
    rows = _while_populated(follow_in_time(cohorts))
    names = np.array(cohorts.levels, dtype=object)[rows.group].astype(str)
    often = np.bincount(rows.group).argsort()[::-1][:MOST_CURVES]
    kept = np.isin(rows.group, often)
    event, cluster = rows.cause == CHURN, cohorts.cluster[rows.account]
    if cohorts.since_the_start:
        return kaplan_meier(rows.stop[kept], event[kept], start=rows.start[kept], group=names[kept])
    try:
        return simon_makuch(
            rows.stop[kept], event[kept], names[kept], start=rows.start[kept],
            cluster=cluster[kept] if len(cohorts) <= 5000 else None,
        )  # fmt: skip
    except OptionError as error:
        raise ModelError(f"no curves of {cohorts.name}: {error}") from None


def _while_populated(rows: RiskIntervals) -> RiskIntervals:
    """Return the rows up to the last day on which their group has five at risk.

    A curve of fewer shows the luck of single accounts, and steps to zero with the last.
    """
    last = np.full(int(rows.group.max()) + 1, np.inf)
    for group in np.unique(rows.group):
        mine = rows.group == group
        last[group] = last_day_with(SUPPRESSED, rows.start[mine], rows.stop[mine])
        if not np.isfinite(last[group]):
            last[group] = rows.stop[mine].max()
    until = last[rows.group]
    cut = replace(
        rows, stop=np.minimum(rows.stop, until), cause=np.where(rows.stop <= until, rows.cause, 0)
    )
    return cut.where(rows.start < until)


def curves_picture(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the curves by cohort with intervals and the numbers at risk."""
    from matplotlib.ticker import PercentFormatter

    cohorts = comparison.dated
    curves = curves_of(cohorts)
    axes = curves.plot(ax)
    axes.set_xlabel(f"days since {cohorts.since}", labelpad=2)
    axes.set_ylabel("still a customer, no notice given")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    title = f"By {comparison.by.replace('_', ' ')}"
    if not cohorts.since_the_start:
        title += f", each day in the cohort held then (from day {curves[0].origin:g})"
    axes.set_title(title, loc="left", fontsize=11)
    return axes


def forest_picture(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the churn ratios of each cohort, naive and corrected in one row, with intervals."""
    import matplotlib.pyplot as plt

    drawn = [c for c in comparison.contrasts if c.hazard_ratio is not None and not c.adjusted_for]
    if not drawn:
        raise ModelError(f"{comparison.by}: there is no ratio to draw", "Plot its groups instead")
    cohorts = list(dict.fromkeys(c.cohort for c in drawn))
    methods = list(dict.fromkeys(c.method for c in drawn))
    if ax is None:
        ax = plt.subplots(figsize=(7.6, 1.7 + 0.85 * len(cohorts)), layout="constrained")[1]
    ax.axvline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
    for c in drawn:
        _forest_mark(ax, c, cohorts.index(c.cohort), methods)
    ax.set_xscale("log")
    limits = [limit for c in drawn if c.hazard_ratio for limit in _shown_limits(c)]
    _ticks(ax, min(*limits, 0.8), max(*limits, 1.25))
    ax.set_yticks(range(len(cohorts)), [f"{name}\nagainst {drawn[0].against}" for name in cohorts])
    ax.set_ylim(len(cohorts) - 0.45, -0.55)
    ax.set_xlabel(f"churn ratio, {comparison.level:.0%} interval (below 1: fewer leave)")
    by = comparison.by.replace("_", " ")
    ax.set_title(f"By {by}: churn, naive beside corrected", loc="left", fontsize=11, pad=24)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), frameon=False, ncols=min(len(unique), 4),
              loc="lower left", bbox_to_anchor=(0, 1), fontsize=9, handletextpad=0.2)  # fmt: skip
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _shown_limits(contrast: Contrast) -> tuple[float, float]:
    ratio = contrast.hazard_ratio
    return (1.0, 1.0) if ratio is None else (max(ratio.low, 0.01), min(ratio.high, 100.0))


def _forest_mark(ax: Axes, contrast: Contrast, row: int, methods: list[str]) -> None:
    ratio = contrast.hazard_ratio
    if ratio is None:
        return
    place = methods.index(contrast.method)
    y = row + (place - (len(methods) - 1) / 2) * 0.17
    wrong = contrast.method == "naive"
    colour = GREY if wrong else COLOURS[place % len(COLOURS)]
    ax.errorbar(
        [ratio.estimate], [y], xerr=[[ratio.estimate - ratio.low], [ratio.high - ratio.estimate]],
        fmt=MARKS[contrast.method], color=colour, ecolor=colour, markersize=6, elinewidth=1.6,
        markerfacecolor="white" if wrong else colour, label=TITLES[contrast.method],
    )  # fmt: skip
    text = f"{ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    ax.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)


def _ticks(ax: Axes, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    listed = [d * 10.0**e for e in range(-2, 3) for d in (1, 2, 5)]
    ax.xaxis.set_major_locator(FixedLocator([t for t in listed if low * 0.9 <= t <= high * 1.1]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(low * 0.85, high * 1.15)


def funnel_picture(groups: SmallGroups, ax: Axes | None = None) -> Axes:
    """Draw ended over expected by size, shrunken rates, and what chance alone allows.

    Limits of chance are those of Poisson counts with the expected mean, 95 % and 99.8 %
    (Spiegelhalter 2005).
    """
    import matplotlib.pyplot as plt
    from scipy.special import gammaincinv

    shown = [g for g in groups if g.accounts >= SUPPRESSED and g.expected > 0]
    if ax is None:
        ax = plt.subplots(figsize=(7.2, 4.4), layout="constrained")[1]
    most = 1.25 * max((g.expected for g in shown), default=1.0)
    expected = np.linspace(max(0.3, most / 400), most, 400)
    for share, style in ((0.95, "--"), (0.998, ":")):
        for side in (0.5 - share / 2, 0.5 + share / 2):
            label = f"{share:.1%} of chance".replace(".0%", "%") if side < 0.5 else None
            # Poisson limits made continuous: the quantiles of the gamma between two counts.
            limit = gammaincinv(expected + (side > 0.5), side) / expected
            ax.plot(expected, limit, color=GREY, linestyle=style, linewidth=1.1, label=label)
    ax.axhline(1, color=GREY, linewidth=1)
    x = [g.expected for g in shown]
    ax.scatter(x, [g.raw for g in shown], s=42, facecolor="white", edgecolor=COLOURS[1],
               linewidth=1.5, marker="o", label="ended / expected", zorder=3)  # fmt: skip
    ax.errorbar(
        x, [g.rate for g in shown],
        yerr=[[g.rate - g.low for g in shown], [g.high - g.rate for g in shown]],
        fmt="s", markersize=4.5, color=COLOURS[0], elinewidth=1.2, label="shrunken", zorder=2,
    )  # fmt: skip
    _names(ax, groups)
    top = max([2.2, *(1.1 * g.raw for g in shown), *(1.05 * g.high for g in shown)])
    ax.set(xlabel="churns expected", ylabel="churn relative to average", ylim=(0, top))
    ax.set_xlim(0, most)
    ax.set_title(
        f"Churn of {len(groups)} groups, beside what chance allows", loc="left", fontsize=11, pad=24
    )
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=4,
              columnspacing=1.2)  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _names(ax: Axes, groups: SmallGroups) -> None:
    """Name the groups whose own number lies outside what chance allows 95 times in 100."""
    from scipy.stats import poisson

    for g in groups:
        if g.accounts < SUPPRESSED or g.expected <= 0:
            continue
        low, high = poisson.ppf([0.025, 0.975], g.expected)
        if not low <= g.ended <= high:
            ax.annotate(g.name, (g.expected, g.raw), xytext=(6, 4), textcoords="offset points",
                        fontsize=9)  # fmt: skip
