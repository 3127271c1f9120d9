"""Results that several modules of ``survival`` return, and plots of arrays and frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from leadsignal.errors import OptionError
from leadsignal.formats import (
    COLOURS,
    GREY,
    LABEL,
    STYLES,
    axes_of,
    level_text,
    name_rows,
    p_phrase,
    write_beside,
    write_title,
)
from leadsignal.results import Result
from leadsignal.stats.estimates import Estimate, normal_quantile, p_value, without_rounding
from leadsignal.survival.inputs import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ArrayResult(Result):
    """Base class of dataclasses whose arrays, all of one length, are the columns of a table.

    A subclass names these columns in ``COLUMNS``, or overrides `_table`.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame({name: getattr(self, name) for name in self.COLUMNS})

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a plain dictionary, ready for JSON."""
        return fields_of(self, *self.__dict__)


def fields_of(result: object, *names: str) -> dict[str, object]:
    """Return attributes of a result by name, with arrays and tuples as lists."""
    values = {name: getattr(result, name) for name in names}
    return {name: _listed(value) for name, value in values.items()}


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square test: its ``statistic``, degrees of freedom ``df`` and ``p``-value."""

    name: str
    statistic: float
    df: int
    p: float

    @classmethod
    def of(cls, name: str, statistic: float, df: int) -> ChiSquare:
        """Return the test with its p-value, which is 1 for zero degrees of freedom."""
        return cls(name, float(statistic), int(df), float(chdtrc(df, statistic)) if df else 1.0)

    def __repr__(self) -> str:
        return f"{self.name}: chi-square {self.statistic:.4g} on {self.df} df, {p_phrase(self.p)}"

    def to_dict(self) -> dict[str, object]:
        """Return the test as a plain dictionary, ready for JSON."""
        return {"name": self.name, "statistic": self.statistic, "df": self.df, "p": self.p}


@dataclass(frozen=True, kw_only=True, repr=False)
class Contrast(Estimate):
    """The difference or ratio of two groups.

    Parameters
    ----------
    what : str
        Name of the difference or ratio.
    group, against : object
        The two groups; the second is the reference.
    level : float
        Confidence level of the interval.
    """

    what: str
    group: object
    against: object
    level: float

    def __repr__(self) -> str:
        return (
            f"{self.what}, {self.group} against {self.against}: {self.estimate:.4g} "
            f"({level_text(self.level)} {self.low:.4g} to {self.high:.4g}), {p_phrase(self.p)}"
        )

    def at(self, level: float) -> Self:
        """Return the contrast with its interval at another confidence level."""
        return replace(super().at(level), level=level)

    def to_dict(self) -> dict[str, object]:
        """Return the contrast as a plain dictionary, ready for JSON."""
        names = ("what", "group", "against", "estimate", "std_err", "low", "high", "p", "level")
        return fields_of(self, *names)


NUMBERS = ("estimate", "std_err", "lower", "upper")


@dataclass(frozen=True, eq=False)
class Estimates(Result):
    """One estimate per group, with their joint covariance for contrasts between groups.

    Attributes: ``what``, the name of the quantity; ``groups`` (k); ``estimate`` (k); ``cov`` (k ×
    k), cluster-robust if clusters were given; ``level`` of the intervals; ``bounds``, the possible
    range of the quantity; ``influence`` (clusters × k), the influence of each cluster in the order
    of the sorted labels (None without clusters); ``note``, why limits are missing (NaN), if any
    are.
    """

    what: str
    groups: tuple[object, ...]
    estimate: Floats
    cov: Floats
    level: float = 0.95
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False)
    influence: Floats | None = field(default=None, repr=False, compare=False)
    note: str = ""

    @property
    def std_err(self) -> Floats:
        """Standard errors (k)."""
        return np.sqrt(np.maximum(np.diag(self.cov), 0.0))

    @property
    def lower(self) -> Floats:
        """Lower limits (k), clipped to ``bounds``."""
        return np.clip(self.estimate - self._margin, *self.bounds)

    @property
    def upper(self) -> Floats:
        """Upper limits (k), clipped to ``bounds``."""
        return np.clip(self.estimate + self._margin, *self.bounds)

    @property
    def _margin(self) -> Floats:
        return normal_quantile(self.level) * self.std_err

    def difference(self, group: object, against: object) -> Contrast:
        """Return ``group`` minus ``against``; raise OptionError for an unknown group."""
        i, j = self._position(group), self._position(against)
        estimate = float(self.estimate[i] - self.estimate[j])
        scales = (*self.estimate[[i, j]], *self.std_err[[i, j]])
        estimate = float(without_rounding(estimate, scales))
        error = float(without_rounding(self._error(i, j, np.array([1.0, -1.0])), scales))
        widest = self.bounds[1] - self.bounds[0]
        name = f"difference in {self.what}"
        return self._contrast(name, group, against, estimate, error, bounds=(-widest, widest))

    def ratio(self, group: object, against: object) -> Contrast:
        """Return ``group`` divided by ``against``, with an interval by the delta method."""
        i, j = self._position(group), self._position(against)
        top, bottom = float(self.estimate[i]), float(self.estimate[j])
        if top <= 0 or bottom <= 0:
            raise OptionError(
                f"ratio of {self.what}: {group!r} is {top:.4g} and {against!r} is {bottom:.4g}; "
                "a ratio needs both above zero, so use difference()"
            )
        logarithm = float(without_rounding(np.log(top / bottom), 1.0))
        gradient = np.array([1 / top, -1 / bottom])
        error = float(without_rounding(self._error(i, j, gradient), 1.0))
        return self._contrast(f"ratio of {self.what}", group, against, logarithm, error, log=True)

    def _contrast(
        self, what: str, group: object, against: object, value: float, error: float,
        *, log: bool = False, bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Contrast:  # fmt: skip
        """Return a contrast with its interval; ``value`` is a logarithm if ``log``."""
        known = error > 0 or value == 0
        margin = normal_quantile(self.level) * error if known else np.nan
        limits = (max(value - margin, bounds[0]), min(value + margin, bounds[1]))
        with np.errstate(over="ignore"):
            estimate, low, high = (float(np.exp(x)) if log else x for x in (value, *limits))
        return Contrast(
            estimate=estimate, low=low, high=high, p=p_value(value, error), std_err=error,
            df=np.inf, log=log, bounds=bounds, what=what, group=group, against=against,
            level=self.level,
        )  # fmt: skip

    def _table(self) -> pd.DataFrame:
        """Return one row per group: estimate, std_err, lower, upper."""
        return pd.DataFrame(
            {"group": self.groups, **{name: getattr(self, name) for name in NUMBERS}}
        )

    def to_dict(self) -> dict[str, object]:
        """Return the estimates as a plain dictionary, ready for JSON."""
        plain = fields_of(self, "what", "level", "groups", *NUMBERS)
        return {**plain, **({"note": self.note} if self.note else {})}

    def __repr__(self) -> str:
        rows = zip(self.groups, self.estimate, self.lower, self.upper, strict=True)
        lines = [
            f"  {group}: {one:.4g} ({low:.4g} to {high:.4g})" for group, one, low, high in rows
        ]
        notes = [f"  {self.note}"] if self.note else []
        return "\n".join([f"{self.what} ({level_text(self.level)} intervals)", *lines, *notes])

    def _error(self, i: int, j: int, gradient: Floats) -> float:
        """Return the standard error of a contrast, from influence where it is known."""
        if self.influence is not None and np.isfinite(self.cov[[i, j], [i, j]]).all():
            moved = self.influence[:, [i, j]] @ gradient
            return float(np.sqrt(moved @ moved))
        variance = gradient @ self.cov[np.ix_([i, j], [i, j])] @ gradient
        return float(np.sqrt(np.maximum(variance, 0.0)))

    def _position(self, group: object) -> int:
        if group not in self.groups:
            allowed = ", ".join(map(repr, self.groups))
            raise OptionError(f"there is no group {group!r}; the groups are {allowed}")
        return self.groups.index(group)


def forest(
    summary: pd.DataFrame, ax: Axes | None = None, size: tuple[float, float] | None = None
) -> Axes:
    """Plot hazard ratios with intervals, one line per covariate, on a logarithmic axis."""
    axes = axes_of(ax, size or (7.2, 1.2 + 0.36 * len(summary)))
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
    plain_log_ticks(axes, float(lower.min()), float(upper.max()))
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
        axes.step(
            line.time, line.value, where="post", color=colour, label=line.label, linewidth=1.8,
            linestyle=STYLES[line.style % len(STYLES)],
        )  # fmt: skip
        if line.limits is not None:
            axes.fill_between(
                line.time, *line.limits, step="post", color=colour, alpha=0.15, linewidth=0
            )
    axes.set(xlabel="time", ylabel=ylabel)
    if origin is not None:
        axes.set_xlim(origin, None)
    axes.set_ylim(0, top)
    if len(lines) > 1:
        axes.legend(frameon=False, title=title)
    return axes


def coefficient_over_time(
    time: Floats, residual: Floats, coef: float, name: str, ax: Axes | None = None
) -> Axes:
    """Plot a column's scaled Schoenfeld residuals, their running mean and the coefficient."""
    axes = axes_of(ax, (7.2, 4.4))
    order = np.argsort(time, kind="stable")
    time, residual = time[order], residual[order]
    axes.scatter(time, residual, s=14, color=GREY, alpha=0.5, linewidths=0, label="events")
    middle, smooth, error = _running_mean(time, residual)
    axes.plot(middle, smooth, color=COLOURS[0], linewidth=2, label="coefficient, smoothed")
    margin = normal_quantile(0.95) * error
    axes.fill_between(
        middle, smooth - margin, smooth + margin, color=COLOURS[0], alpha=0.18, linewidth=0
    )
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
    axes.annotate(
        "no skill", (0.01, 0.5), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", color=GREY, fontsize=LABEL,
    )  # fmt: skip
    axes.fill_between(time, lower, upper, color=COLOURS[0], alpha=0.18, linewidth=0)
    axes.plot(time, auc, color=COLOURS[0], marker="o", markersize=4, linewidth=1.8)
    bottom = min(0.45, float(np.nanmin(np.append(lower, 0.45))))
    axes.set(xlabel="time", ylabel=label, ylim=(bottom, 1.0))
    return axes


def brier_over_time(scores: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot the Brier score by horizon next to that of always predicting the observed share."""
    axes = axes_of(ax, (7.2, 4.2))
    times = scores["times"]
    axes.fill_between(
        times, scores["lower"], scores["upper"], color=COLOURS[0], alpha=0.18, linewidth=0
    )
    axes.plot(
        times, scores["score"], color=COLOURS[0], marker="o", markersize=4, label="these risks"
    )
    axes.plot(
        times, scores["no_skill"], color=GREY, linestyle="--", label="the observed share for all"
    )
    axes.set(xlabel="time", ylabel="Brier score")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return axes


def calibration_plot(
    bins: pd.DataFrame, horizon: float, slope: float, intercept: float, ax: Axes | None = None
) -> Axes:
    """Plot observed shares against risks, by group of similar risk, with intervals."""
    axes = axes_of(ax, (5.2, 5.2))
    risk, share = bins["risk"].to_numpy(), bins["observed"].to_numpy()
    lower, upper = bins["lower"].to_numpy(), bins["upper"].to_numpy()
    end = min(1.0, 1.05 * float(np.nanmax(np.concatenate((risk, upper)))))
    axes.plot([0, end], [0, end], color=GREY, linestyle="--", linewidth=1, label="risks come true")
    axes.errorbar(
        risk, share, yerr=np.maximum(np.vstack((share - lower, upper - share)), 0), fmt="o",
        color=COLOURS[0], markersize=5, elinewidth=1.4, label="groups of similar risk",
    )  # fmt: skip
    axes.set(
        xlabel=f"risk within {horizon:g}", ylabel="observed share", xlim=(0, end), ylim=(0, end),
        aspect="equal",
    )  # fmt: skip
    write_title(axes, f"slope {slope:.2f}, intercept {intercept:.2f}")
    axes.legend(frameon=False, loc="upper left")
    return axes


def plain_log_ticks(axes: Axes, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers that do not overlap."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(low, 0.9), max(high, 1.1)
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps: tuple[float, ...] = (1, 2, 5) if len(decades) <= 3 or high / low < 200 else (1,)
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


def numbers_at_risk(axes: Axes, counts: Mapping[str, Callable[[Floats], Floats]]) -> None:
    """Write the number at risk in each group, just after each tick's time, below the axis.

    ``counts`` maps each group to a function of time that returns its number at risk.
    """
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(ticks)
    axes.set_xlim(low, high)
    axes.annotate(
        "at risk", (0, 0), xycoords="axes fraction", xytext=(-24, -44), textcoords="offset points",
        ha="right", fontsize=LABEL, color=GREY,
    )  # fmt: skip
    for line, (group, count_at) in enumerate(counts.items()):
        drop = -44 - 13 * (line + 1 if len(counts) > 1 else 0)
        colour = COLOURS[line % len(COLOURS)] if len(counts) > 1 else "black"
        if len(counts) > 1:
            axes.annotate(
                group, (0, 0), xycoords="axes fraction", xytext=(-24, drop), ha="right",
                textcoords="offset points", fontsize=LABEL, color=colour,
            )  # fmt: skip
        for tick, count in zip(ticks, count_at(np.array(ticks)), strict=True):
            axes.annotate(
                f"{count:,.0f}", (tick, 0), xycoords=("data", "axes fraction"), xytext=(0, drop),
                textcoords="offset points", ha="center", fontsize=LABEL, color=colour,
            )  # fmt: skip


def _running_mean(time: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a running mean over neighbouring events, with its standard error."""
    width = max(5, len(time) // 5)
    if len(time) <= width:
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        return time, np.full(len(time), values.mean()), np.full(len(time), error)
    windows = np.lib.stride_tricks.sliding_window_view
    middle = windows(time, width).mean(axis=1)
    near = windows(values, width)
    return middle, near.mean(axis=1), near.std(axis=1, ddof=1) / np.sqrt(width)
