"""Pictures of results: Axes in, Axes out, in colours and line styles that everyone can tell apart.

Each draws numbers that its result also gives as a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leadsignal.stats.normal import normal_quantile
from leadsignal.survival.inputs import Floats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from leadsignal.survival.baseline import Baseline
    from leadsignal.survival.curves import Curve, Curves
    from leadsignal.survival.horizon_risks import BrierScore, Calibration
    from leadsignal.survival.proportionality import ProportionalityTest

# Okabe & Ito (2008), without yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
GREY = "#777777"


def forest(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw hazard ratios with intervals, one line a covariate, on a logarithmic axis."""
    height = 1.2 + 0.36 * len(summary)
    axes = axes_of(ax, (7.2, height))
    ratio = summary["exp(coef)"].to_numpy()
    lower, upper = (
        summary.filter(like=f"exp(coef) {side}").to_numpy()[:, 0] for side in ("lower", "upper")
    )
    y = np.arange(len(summary))
    axes.axvline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
    axes.errorbar(
        ratio, y, xerr=np.vstack((ratio - lower, upper - ratio)), fmt="s", markersize=5,
        color=COLOURS[0], ecolor=COLOURS[0], elinewidth=1.6, capsize=0,
    )  # fmt: skip
    axes.set_xscale("log")
    _plain_log_ticks(axes, float(lower.min()), float(upper.max()))
    axes.set_yticks(y, [str(name) for name in summary.index])
    axes.set_ylim(len(summary) - 0.5, -0.5)
    for position, (value, low, high) in enumerate(zip(ratio, lower, upper, strict=True)):
        axes.annotate(
            f"{value:.2f} ({low:.2f} to {high:.2f})", (1.02, position),
            xycoords=("axes fraction", "data"), va="center", fontsize=9,
        )  # fmt: skip
    level = str(summary.filter(like="exp(coef) lower").columns[0]).split()[-1]
    axes.set_xlabel(f"hazard ratio ({level} interval)")
    tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return axes


def step_curves(curves: Curves, ax: Axes | None = None, *, at_risk: bool = True) -> Axes:
    """Draw curves as steps with intervals, and the numbers at risk below."""
    axes = axes_of(ax, (7.2, 4.6))
    groups = list(dict.fromkeys(curve.group for curve in curves))
    causes = list(dict.fromkeys(curve.cause for curve in curves))
    for curve in curves:
        place = groups.index(curve.group)
        colour = COLOURS[(place if len(groups) > 1 else causes.index(curve.cause)) % len(COLOURS)]
        style = STYLES[(causes.index(curve.cause) if len(causes) > 1 else place) % len(STYLES)]
        time, estimate, lower, upper = _as_steps(curve)
        axes.step(
            time, estimate, where="post", color=colour, linestyle=style, linewidth=1.8,
            label=_label(curve, len(groups), len(causes)),
        )  # fmt: skip
        axes.fill_between(time, lower, upper, step="post", color=colour, alpha=0.15, linewidth=0)
    quantity = curves[0].quantity if len(causes) == 1 else "probability"
    axes.set(xlabel="time", ylabel=quantity, xlim=(curves[0].origin, None))
    if quantity != "cumulative hazard":
        axes.set_ylim(0, 1.02)
    if len(curves) > 1:
        axes.legend(frameon=False)
    tidy(axes)
    if at_risk:
        numbers_at_risk(axes, curves)
    return axes


def baseline_hazard(baseline: Baseline, ax: Axes | None = None) -> Axes:
    """Draw the cumulative baseline hazard by stratum."""
    axes = axes_of(ax, (7.2, 4.4))
    for place, stratum in enumerate(baseline.strata):
        time, hazard = baseline.cumulative(stratum)
        axes.step(
            time, hazard, where="post", color=COLOURS[place % len(COLOURS)],
            linestyle=STYLES[place % len(STYLES)], label=str(stratum), linewidth=1.8,
        )  # fmt: skip
    axes.set(xlabel="time", ylabel="cumulative baseline hazard")
    axes.set_ylim(bottom=0)
    if len(baseline.strata) > 1:
        axes.legend(frameon=False, title="stratum")
    tidy(axes)
    return axes


def coefficient_over_time(test: ProportionalityTest, name: str, ax: Axes | None = None) -> Axes:
    """Draw scaled Schoenfeld residuals of one column, their running mean and the coefficient."""
    axes = axes_of(ax, (7.2, 4.4))
    column = test.names.index(name)
    order = np.argsort(test.time, kind="stable")
    time, residual = test.time[order], test.scaled_schoenfeld[order, column]
    axes.scatter(time, residual, s=14, color=GREY, alpha=0.5, linewidths=0, label="events")
    middle, smooth, error = _running_mean(time, residual)
    axes.plot(middle, smooth, color=COLOURS[0], linewidth=2, label="coefficient, smoothed")
    reach = normal_quantile(0.95) * error
    axes.fill_between(
        middle, smooth - reach, smooth + reach, color=COLOURS[0], alpha=0.18,
        linewidth=0,
    )  # fmt: skip
    axes.axhline(
        test.coef[column],
        color=COLOURS[1],
        linestyle="--",
        linewidth=1.5,
        label="coefficient, fitted",
    )
    low, high = np.quantile(residual, (0.01, 0.99))
    margin = 0.15 * (high - low) + 1e-9
    axes.set(xlabel="time", ylabel=f"coefficient of {name}", ylim=(low - margin, high + margin))
    axes.legend(frameon=False)
    tidy(axes)
    return axes


def auc_over_time(
    time: Floats, auc: Floats, lower: Floats, upper: Floats, label: str, ax: Axes | None = None
) -> Axes:
    """Draw an AUC over time with its intervals and the line of no skill."""
    axes = axes_of(ax, (7.2, 4.2))
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(
        "no skill", (0.01, 0.5), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", color=GREY, fontsize=9,
    )  # fmt: skip
    axes.fill_between(time, lower, upper, color=COLOURS[0], alpha=0.18, linewidth=0)
    axes.plot(time, auc, color=COLOURS[0], marker="o", markersize=4, linewidth=1.8)
    bottom = min(0.45, float(np.nanmin(np.append(lower, 0.45))))
    axes.set(xlabel="time", ylabel=label, ylim=(bottom, 1.0))
    tidy(axes)
    return axes


def brier_over_time(result: BrierScore, ax: Axes | None = None) -> Axes:
    """Draw the Brier score over horizons beside that of giving everyone the observed share."""
    axes = axes_of(ax, (7.2, 4.2))
    axes.fill_between(
        result.times, result.lower, result.upper, color=COLOURS[0], alpha=0.18, linewidth=0
    )
    axes.plot(
        result.times, result.score, color=COLOURS[0], marker="o", markersize=4, label="these risks"
    )
    axes.plot(
        result.times,
        result.no_skill,
        color=GREY,
        linestyle="--",
        label="the observed share for all",
    )
    axes.set(xlabel="time", ylabel="Brier score")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    tidy(axes)
    return axes


def calibration_plot(result: Calibration, ax: Axes | None = None) -> Axes:
    """Draw observed shares against risks by group of like risk, with intervals."""
    axes = axes_of(ax, (5.2, 5.2))
    end = 1.05 * float(np.nanmax(np.concatenate((result.risk, result.upper))))
    end = min(1.0, end)
    axes.plot([0, end], [0, end], color=GREY, linestyle="--", linewidth=1, label="risks come true")
    below, above = result.share - result.lower, result.upper - result.share
    axes.errorbar(
        result.risk, result.share, yerr=np.maximum(np.vstack((below, above)), 0), fmt="o",
        color=COLOURS[0], markersize=5, elinewidth=1.4, label="groups of like risk",
    )  # fmt: skip
    axes.set(
        xlabel=f"risk within {result.horizon:g}", ylabel="observed share", xlim=(0, end),
        ylim=(0, end), aspect="equal",
    )  # fmt: skip
    axes.set_title(
        f"slope {result.slope[0]:.2f}, intercept {result.intercept[0]:.2f}", fontsize=10, loc="left"
    )
    axes.legend(frameon=False, loc="upper left")
    tidy(axes)
    return axes


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the Axes given, or those of a new figure of ``size`` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def tidy(axes: Axes) -> None:
    """Take away the lines above and to the right."""
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(False)


def _plain_log_ticks(axes: Axes, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers, few enough not to collide."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(low, 0.9), max(high, 1.1)
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps: tuple[float, ...] = (1, 2, 5) if len(decades) <= 3 else (1,)
    if high / low < 20:
        steps = (1, 1.5, 2, 3, 5, 7) if high / low > 4 else (1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    ticks = [
        step * 10.0**decade
        for decade in decades
        for step in steps
        if low * 0.95 <= step * 10.0**decade <= high * 1.05
    ]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(low * 0.93, high * 1.07)


def _as_steps(curve: Curve) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the curve from its origin to its last time, the limits carried forward."""
    first = curve.first_value
    columns = [
        np.concatenate(([first], values, values[-1:] if len(values) else [first]))
        for values in (curve.estimate, curve.lower, curve.upper)
    ]
    time = np.concatenate(([curve.origin], curve.time, [max(curve.last, curve.origin)]))
    return time, columns[0], columns[1], columns[2]


def _label(curve: Curve, groups: int, causes: int) -> str:
    parts = [] if groups == 1 else [str(curve.group)]
    if causes > 1:
        parts.append("still here" if curve.cause == 0 else f"cause {curve.cause}")
    return ", ".join(parts) or curve.quantity


def numbers_at_risk(axes: Axes, curves: Curves) -> None:
    """Write, under each tick, how many of each group were at risk just after that time."""
    groups = list(dict.fromkeys(curve.group for curve in curves))
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(ticks)
    axes.set_xlim(low, high)
    axes.annotate(
        "at risk", (0, 0), xycoords="axes fraction", xytext=(-24, -44), textcoords="offset points",
        ha="right", fontsize=9, color=GREY,
    )  # fmt: skip
    for line, group in enumerate(groups):
        drop = -44 - 13 * (line + 1 if len(groups) > 1 else 0)
        colour = COLOURS[line % len(COLOURS)] if len(groups) > 1 else "black"
        if len(groups) > 1:
            axes.annotate(
                str(group), (0, 0), xycoords="axes fraction", xytext=(-24, drop), ha="right",
                textcoords="offset points", fontsize=9, color=colour,
            )  # fmt: skip
        for tick, count in zip(ticks, curves.steps.at_risk_at(group, np.array(ticks)), strict=True):
            axes.annotate(
                f"{count:,.0f}", (tick, 0), xycoords=("data", "axes fraction"), xytext=(0, drop),
                textcoords="offset points", ha="center", fontsize=9, color=colour,
            )  # fmt: skip


def _running_mean(time: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a running mean over neighbouring events with its standard error."""
    width = max(5, len(time) // 5)
    if len(time) <= width:
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        return time, np.full(len(time), values.mean()), np.full(len(time), error)
    windows = np.lib.stride_tricks.sliding_window_view
    middle = windows(time, width).mean(axis=1)
    near = windows(values, width)
    return middle, near.mean(axis=1), near.std(axis=1, ddof=1) / np.sqrt(width)
