"""Pictures: colours, axes, intervals, curves and legends, the same everywhere.

Colours and line styles can be distinguished without colour vision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadsignal.formats import share_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

# Okabe & Ito (2008), without yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
BLUES = ("#DCEAF4", "#A9CCE3", "#5DA3CF", COLOURS[0])
"""Colours of rings, from the outermost to the innermost."""
GREY = "#777777"
"""Colour of reference lines and annotations."""
FAINT = "#DDDDDD"
"""Colour of areas and markers that are not known yet or not counted."""
TITLE, LABEL, SMALL = 11.0, 9.0, 8.5
"""Font sizes in points: of titles, of labels, and of long lists."""
RATIO_LIMITS = (0.01, 100.0)
"""Ratios at which an axis of ratios ends at the latest."""
CLOSE: dict[str, Any] = {"left": -0.01, "ncols": 2, "borderaxespad": 0.1, "handletextpad": 0.2}
"""Options of a legend close to the Axes."""


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return ``ax``, or new Axes of ``size`` inches, without the top and right spines."""
    import matplotlib.pyplot as plt

    axes = plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def write_title(axes: Axes, finding: str, *, room: float | None = None, wrap: bool = False) -> None:
    """Write the finding above the Axes; ``room`` is the space below it in points."""
    axes.set_title(finding, loc="left", fontsize=TITLE, pad=room, wrap=wrap)


def percent_axis(axis: Any) -> None:
    """Format an axis of proportions in percent."""
    axis.set_major_formatter(lambda value, _: share_text(value))


def whole_numbers(axis: Any) -> None:
    """Label an axis of counts with whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def ratio_axis(axes: Axes, low: float, high: float) -> None:
    """Make the horizontal axis logarithmic, with plain numbers and a line at a ratio of 1."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(low, 0.9), max(high, 1.1)
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps: tuple[float, ...] = (1, 2, 5) if len(decades) <= 3 or high / low < 200 else (1,)
    if high / low < 20:
        steps = (1, 1.5, 2, 3, 5, 7) if high / low > 4 else (1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.axvline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
    axes.set_xscale("log")
    inside = [tick for tick in ticks if low * 0.95 <= tick <= high * 1.05]
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(low * 0.93, high * 1.07)


def ratios_between(axes: Axes, limits: ArrayLike) -> None:
    """Make the horizontal axis logarithmic, long enough for ratios and their limits."""
    shown = np.clip(limits, *RATIO_LIMITS)
    ratio_axis(axes, min(float(np.nanmin(shown)), 0.8), max(float(np.nanmax(shown)), 1.25))


def name_rows(
    axes: Axes, names: Sequence[str], below: float = 0.5, above: float = 0.5, **style: Any
) -> None:
    """Name the rows of a plot, the first at the top, without ticks and without a line."""
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_ylim(len(names) - below, -above)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def write_beside(axes: Axes, row: float, text: str, at: float = 1.02, **style: Any) -> None:
    """Write a text to the right of a row of a plot, ``at`` a share of the width."""
    options = {"fontsize": SMALL, "va": "center", **style}
    axes.annotate(text, (at, row), xycoords=("axes fraction", "data"), **options)


def write_at(
    axes: Axes, text: str, point: tuple[Any, float], offset: tuple[float, float], **style: Any
) -> None:
    """Write a text ``offset`` points away from a point."""
    options = {"fontsize": LABEL, **style}
    axes.annotate(text, point, offset, textcoords="offset points", **options)


def name_ends(
    axes: Axes, ends: Iterable[tuple[float, str, str]], gap: float, offset: tuple[float, float],
    **style: Any,
) -> None:  # fmt: skip
    """Write names beside the right ends of lines, in order of height and at least ``gap`` apart.

    ``ends`` has the height, the name and the colour of each line.
    """
    height = -np.inf
    for value, name, colour in sorted(ends):
        height = max(value, height + gap)
        write_at(axes, name, (1, height), offset, xycoords=("axes fraction", "data"), color=colour,
                 va="center", annotation_clip=False, **style)  # fmt: skip


def literal(text: object) -> str:
    """Escape dollar signs, so that matplotlib does not parse the text as a formula."""
    return str(text).replace("$", r"\$")


def legend_above(axes: Axes, *handles: Any, left: float = 0.0, **options: Any) -> None:
    """Draw the legend between the title and the Axes."""
    options = {"frameon": False, "fontsize": LABEL, "bbox_to_anchor": (left, 1), **options}
    axes.legend(*handles, loc="lower left", **options)


def line_style(number: int) -> dict[str, Any]:
    """Return the colour and the style of the line with this number, the first with 0."""
    style = STYLES[number // len(COLOURS) % len(STYLES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style}


def reach(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """Return the distances from values to their lower and upper limits (2 × n)."""
    both = np.array([np.subtract(value, low), np.subtract(high, value)], dtype=np.float64)
    return np.maximum(both.reshape(2, -1), 0.0)


def band(
    axes: Axes, x: Any, low: ArrayLike, high: ArrayLike, colour: str = COLOURS[0],
    alpha: float = 0.18, **style: Any,
) -> None:  # fmt: skip
    """Fill the area between two limits, such as an interval over time."""
    axes.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0, **style)


def stacked_bars(
    axes: Axes, names: Any, parts: Iterable[tuple[str, Floats, str]], **style: Any
) -> None:
    """Draw one bar for each name; ``parts`` has labels, heights and colours, the lowest first."""
    below = np.zeros(len(names))
    for label, height, colour in parts:
        axes.bar(names, height, bottom=below, color=colour, label=label, edgecolor="white", **style)
        below += height


def forest(
    summary: pd.DataFrame, ax: Axes | None = None, size: tuple[float, float] | None = None
) -> Axes:
    """Plot hazard ratios with intervals, one line per covariate, on a logarithmic axis."""
    axes = axes_of(ax, size or (7.2, 1.2 + 0.36 * len(summary)))
    ratio = summary["exp(coef)"].to_numpy()
    lower, upper = (
        summary.filter(like=f"exp(coef) {side}").to_numpy()[:, 0] for side in ("lower", "upper")
    )
    axes.errorbar(ratio, np.arange(len(summary)), xerr=reach(ratio, lower, upper), fmt="s",
                  markersize=5, color=COLOURS[0], elinewidth=1.6)  # fmt: skip
    ratio_axis(axes, float(lower.min()), float(upper.max()))
    name_rows(axes, [str(name) for name in summary.index])
    for position, (value, low, high) in enumerate(zip(ratio, lower, upper, strict=True)):
        write_beside(axes, position, f"{value:.2f} ({low:.2f} to {high:.2f})", fontsize=LABEL)
    level = str(summary.filter(like="exp(coef) lower").columns[0]).split()[-1]
    axes.set_xlabel(f"hazard ratio ({level.replace('%', ' %')} interval)")
    return axes


@dataclass(frozen=True, eq=False)
class StepLine:
    """A step curve to plot.

    Parameters
    ----------
    label : str
        Name in the legend.
    time, value : ndarray of shape (m,)
        Times, and the value from each time on.
    limits : tuple of ndarray, optional
        Lower and upper limits of the values.
    colour, style : int
        Positions in `COLOURS` and `STYLES`.
    """

    label: str
    time: Floats
    value: Floats
    limits: tuple[Floats, Floats] | None = None
    colour: int = 0
    style: int = 0


def step_lines(
    lines: Sequence[StepLine],
    ylabel: str,
    ax: Axes | None = None,
    *,
    origin: float | None = None,
    top: float | None = None,
    title: str | None = None,
) -> Axes:
    """Plot step curves with their intervals; ``title`` is the legend's title."""
    axes = axes_of(ax, (7.2, 4.6))
    for line in lines:
        colour = COLOURS[line.colour % len(COLOURS)]
        axes.step(line.time, line.value, where="post", color=colour, label=line.label,
                  linewidth=1.8, linestyle=STYLES[line.style % len(STYLES)])  # fmt: skip
        if line.limits is not None:
            band(axes, line.time, *line.limits, colour, 0.15, step="post")
    axes.set(xlabel="time", ylabel=ylabel)
    if origin is not None:
        axes.set_xlim(origin, None)
    axes.set_ylim(0, top)
    if len(lines) > 1:
        axes.legend(frameon=False, title=title)
    return axes


def numbers_at_risk(axes: Axes, counts: Mapping[str, Callable[[Floats], Floats]]) -> None:
    """Write the number at risk in each group, just after each tick's time, below the axis.

    ``counts`` maps each group to a function of time that returns its number at risk.
    """
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(ticks)
    axes.set_xlim(low, high)
    left: dict[str, Any] = {"xycoords": "axes fraction", "ha": "right"}
    write_at(axes, "at risk", (0, 0), (-24, -44), color=GREY, **left)
    several = len(counts) > 1
    for line, (group, count_at) in enumerate(counts.items()):
        drop = -44 - 13 * (line + 1) * several
        colour = COLOURS[line % len(COLOURS)] if several else "black"
        if several:
            write_at(axes, group, (0, 0), (-24, drop), color=colour, **left)
        for tick, count in zip(ticks, count_at(np.array(ticks)), strict=True):
            write_at(axes, f"{count:,.0f}", (tick, 0), (0, drop), color=colour, ha="center",
                     xycoords=("data", "axes fraction"))  # fmt: skip


def coefficient_over_time(
    time: Floats, residual: Floats, smooth: tuple[Floats, Floats, Floats], coef: float, name: str,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Plot a column's scaled Schoenfeld residuals, their running mean and the coefficient.

    ``smooth`` has the times, values and margins of the running mean.
    """
    axes = axes_of(ax, (7.2, 4.4))
    axes.scatter(time, residual, s=14, color=GREY, alpha=0.5, linewidths=0, label="events")
    middle, mean, margin = smooth
    axes.plot(middle, mean, color=COLOURS[0], linewidth=2, label="coefficient, smoothed")
    band(axes, middle, mean - margin, mean + margin)
    axes.axhline(coef, color=COLOURS[1], linestyle="--", linewidth=1.5, label="coefficient, fitted")
    low, high = np.quantile(residual, (0.01, 0.99))
    space = 0.15 * (high - low) + 1e-9
    axes.set(xlabel="time", ylabel=f"coefficient of {name}", ylim=(low - space, high + space))
    axes.legend(frameon=False)
    return axes


def auc_over_time(
    time: Floats, auc: Floats, lower: Floats, upper: Floats, label: str, ax: Axes | None = None
) -> Axes:
    """Plot an AUC over time with its intervals and the no-skill line."""
    axes = axes_of(ax, (7.2, 4.2))
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    place = ("axes fraction", "data")
    write_at(axes, "no skill", (0.01, 0.5), (0, 3), color=GREY, xycoords=place)
    band(axes, time, lower, upper)
    axes.plot(time, auc, color=COLOURS[0], marker="o", markersize=4, linewidth=1.8)
    bottom = min(0.45, float(np.nanmin(np.append(lower, 0.45))))
    axes.set(xlabel="time", ylabel=label, ylim=(bottom, 1.0))
    return axes


def brier_over_time(scores: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot the Brier score by horizon next to that of always predicting the observed share."""
    axes = axes_of(ax, (7.2, 4.2))
    times = scores["times"]
    band(axes, times, scores["lower"], scores["upper"])
    dots: dict[str, Any] = {"marker": "o", "markersize": 4, "label": "these risks"}
    axes.plot(times, scores["score"], color=COLOURS[0], **dots)
    label = "the observed share for all"
    axes.plot(times, scores["no_skill"], color=GREY, linestyle="--", label=label)
    axes.set(xlabel="time", ylabel="Brier score")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return axes


def calibration_plot(
    bins: pd.DataFrame, horizon: float, slope: float, intercept: float, ax: Axes | None = None
) -> Axes:
    """Plot observed shares against risks, by group of similar risk, with intervals."""
    axes = axes_of(ax, (5.2, 5.2))
    risk, share, upper = bins["risk"], bins["observed"], bins["upper"]
    end = min(1.0, 1.05 * float(np.nanmax([risk, upper])))
    axes.plot([0, end], [0, end], color=GREY, linestyle="--", linewidth=1, label="risks come true")
    axes.errorbar(risk, share, yerr=reach(share, bins["lower"], upper), fmt="o", color=COLOURS[0],
                  markersize=5, elinewidth=1.4, label="groups of similar risk")  # fmt: skip
    axes.set(xlabel=f"risk within {horizon:g}", ylabel="observed share", aspect="equal")
    axes.set(xlim=(0, end), ylim=(0, end))
    write_title(axes, f"slope {slope:.2f}, intercept {intercept:.2f}")
    axes.legend(frameon=False, loc="upper left")
    return axes


def share_bars(
    shares: pd.DataFrame, marked: Sequence[bool], title: str, label: str, ax: Axes | None = None
) -> Axes:
    """Plot proportions as bars with their intervals, those ``marked`` in colour.

    ``shares`` has the names of the bars as index, and the columns share, low and high.
    """
    axes = axes_of(ax, (7.2, 0.9 + 0.45 * len(shares)))
    share, low, high = (shares[name].to_numpy(dtype=float) for name in ("share", "low", "high"))
    colours = [COLOURS[0] if mark else GREY for mark in marked]
    y = np.arange(len(shares))
    axes.barh(y, share, color=colours, alpha=0.85, height=0.62)
    axes.errorbar(share, y, xerr=reach(share, low, high), fmt="none", ecolor="black",
                  elinewidth=1.1)  # fmt: skip
    for place, value in enumerate(share):
        write_at(axes, share_text(value), (high[place], place), (5, 0), va="center")
    axes.set_yticks(y, list(shares.index))
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, 1.15 * float(np.nanmax(high)) + 0.02))
    percent_axis(axes.xaxis)
    axes.set_xlabel(label)
    write_title(axes, title)
    return axes


MAX_REASON = 60
"""Maximum length of a reason beside a risk, in characters."""


def risk_picture(
    scores: pd.DataFrame, horizon: int, typical: float | None, title: str, ax: Axes | None = None
) -> Axes:
    """Plot the risks of accounts in descending order, each with its value and first reason.

    ``scores`` are rows of `Scores`; ``typical`` is the risk of the typical account.
    """
    axes = axes_of(ax, (9.2, 1.5 + 0.27 * len(scores)))
    at, risk = np.arange(len(scores)), scores["risk"].to_numpy(dtype=float)
    alert = scores["alert"].to_numpy(dtype=bool)
    for chosen, colour, face, label in (
        (alert, COLOURS[1], COLOURS[1], "alert"),
        (~alert, GREY, "white", "no alert"),
    ):
        axes.hlines(at[chosen], 0, risk[chosen], color=colour, linewidth=1.6)
        if chosen.any():
            mark: dict[str, Any] = {"color": colour, "markerfacecolor": face, "label": label}
            axes.plot(risk[chosen], at[chosen], "o", **mark)
    if typical is not None:
        label = f"typical account, {share_text(typical)}"
        axes.axvline(typical, color=GREY, linestyle="--", linewidth=1, label=label, zorder=0)
    for place, reason in enumerate(scores["reason_1"].fillna("").astype(str)):
        text = f"{share_text(risk[place])}  {_short(reason)}"
        write_at(axes, text, (risk[place], place), (8, 0), va="center", fontsize=SMALL)
    accounts = scores["account_id"].astype(str)
    names = scores["name"].astype(str) if "name" in scores else accounts
    axes.set_yticks(at, names.where(names != "", accounts), fontsize=LABEL)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    # The reasons stand to the right of the risks, and need about as much room.
    axes.set_xlim(0, 2.1 * float(risk.max(initial=typical or 0.0)) or 1.0)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(1.0, 1.05 * risk.max())])
    axes.spines["bottom"].set_bounds(0, axes.get_xticks()[-1])
    percent_axis(axes.xaxis)
    axes.set_xlabel(f"risk of churn within {horizon} days, and its first reason", loc="left")
    write_title(axes, title, room=24)
    legend_above(axes, ncols=3)
    return axes


def _short(reason: str) -> str:
    """Return a reason with readable names, and without its comparison if it is too long."""
    words = reason.replace("_", " ")
    if len(words) > MAX_REASON:
        words = words.partition(", usually ")[0]
    return words if len(words) <= MAX_REASON else f"{words[: MAX_REASON - 1].rstrip()}…"
