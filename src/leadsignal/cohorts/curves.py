"""Retention curves of a comparison, and churn rates of small groups.

The corrected curves are standardised: all accounts share one churn hazard by tenure, which is
multiplied in each cohort by the hazard ratio of the verdict. The shared hazard is Breslow's
estimator with the ratios fixed:

    dH(t) = churns on t / sum over cohorts of (accounts at risk on t) * ratio

So the curves agree with the verdict and differ in nothing else. Curves by time-dependent cohort,
each with a hazard of its own (Simon & Makuch 1984), can contradict the verdict: the hazard of a
small cohort at the start, or of the few accounts left, shifts the curve from then on.

The expected churns of a group follow from the covariates of its accounts, not from the group
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal import plots
from leadsignal.cohorts.contrasts import (
    MIN_ACCOUNTS,
    MIN_AT_RISK,
    Contrast,
    best_of,
    cohorts_of,
    last_day_with,
)
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import (
    RiskIntervals,
    follow_in_time,
    follow_naively,
    within_quarters,
)
from leadsignal.errors import ModelError
from leadsignal.formats import level_text, share_text
from leadsignal.results import Result
from leadsignal.stats import Estimate, shrunken_rates
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.curves import kaplan_meier, nelson_aalen
from leadsignal.survival.inputs import ArrayValidator, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAX_CURVES = 4
"""Maximum number of cohorts plotted: the reference and the largest others."""
POINTS = 49
"""Number of days at which curves are evaluated."""
YEARS = (365.0, 730.0)
"""Days at which curves are always evaluated."""
MAX_RATIO = 1e6
"""Ratio at which an infinite limit is plotted."""


def curve_frame(cohorts: DatedCohorts, contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """Return corrected and usual retention by cohort and day, with limits for the corrected one.

    Raises
    ------
    ModelError
        If no cohort has a hazard ratio, or none has ten accounts at risk.
    """
    ratios = _ratios(cohorts, contrasts)
    rows = follow_in_time(cohorts).of(tuple(ratios))
    days = _days(cohorts, rows, list(ratios))
    hazard = _shared_hazard(rows, cohorts.weights[rows.account], ratios, days)
    naive = follow_naively(cohorts)
    frames = []
    for level, ratio in ratios.items():
        columns = {
            "retention": np.exp(-hazard * ratio.estimate),
            "low": np.exp(-hazard * min(ratio.high, MAX_RATIO)),
            "high": np.exp(-hazard * ratio.low),
            "usual": _kaplan_meier(naive.of((level,)), cohorts, days),
        }
        frames.append(pd.DataFrame({"cohort": cohorts.levels[level], "day": days, **columns}))
    return pd.concat(frames, ignore_index=True)


def _ratios(cohorts: DatedCohorts, contrasts: Sequence[Contrast]) -> Mapping[int, Estimate]:
    """Return the hazard ratio of the verdict for each level, the reference first."""
    found = {}
    for name in cohorts_of(contrasts):
        best = best_of(contrasts, name)
        ratio = None if best is None else best.hazard_ratio
        if ratio is not None and 0 < ratio.estimate < MAX_RATIO and ratio.low == ratio.low:
            found[cohorts.levels.index(name)] = ratio
    if not found:
        raise ModelError(
            f"{cohorts.name}: there is no hazard ratio, so no curves to draw",
            "Look at the groups instead",
        )
    size = np.bincount(cohorts.row_state, minlength=len(cohorts.levels))
    largest = sorted(found, key=lambda level: -size[level])[: MAX_CURVES - 1]
    return {0: Estimate(1.0, 1.0, 1.0, 1.0)} | {level: found[level] for level in sorted(largest)}


def _days(cohorts: DatedCohorts, rows: RiskIntervals, levels: Sequence[int]) -> Floats:
    """Return the days to evaluate, up to the last with ten accounts at risk in every cohort."""
    starts = np.sort(rows.start)
    first = float(starts[min(MIN_AT_RISK, len(starts)) - 1])
    each = [rows.of((level,)) for level in levels]
    last = min(last_day_with(MIN_AT_RISK, one.start, one.stop) for one in each)
    if not first < last < np.inf:
        raise ModelError(
            f"the curves of {cohorts.name} cannot be drawn: a cohort never has"
            f" {MIN_AT_RISK} accounts at risk",
            "Provide a longer history",
        )
    years = [day for day in YEARS if first < day < last]
    return np.unique(np.concatenate((np.linspace(first, last, POINTS).round(), years)))


def _shared_hazard(
    rows: RiskIntervals, weight: Floats, ratios: Mapping[int, Estimate], days: Floats
) -> Floats:
    """Return the cumulative hazard of the reference from the first day to each day."""
    churned = (rows.cause == CHURN) & (rows.stop > days[0])
    moments, place = np.unique(rows.stop[churned], return_inverse=True)
    churns = np.bincount(place, weight[churned], len(moments))
    at_risk = np.zeros(len(moments))
    for level, ratio in ratios.items():
        mine = rows.group == level
        begun = _weight_before(rows.start[mine], weight[mine], moments)
        ended = _weight_before(rows.stop[mine], weight[mine], moments)
        at_risk += ratio.estimate * (begun - ended)
    steps = np.concatenate(([0.0], np.cumsum(churns / at_risk)))
    return steps[np.searchsorted(moments, days, side="right")]


def _weight_before(times: Floats, weight: Floats, moments: Floats) -> Floats:
    """Return the total weight of the times before each moment."""
    order = np.argsort(times)
    running = np.concatenate(([0.0], np.cumsum(weight[order])))
    return running[np.searchsorted(times[order], moments, side="left")]


def _kaplan_meier(rows: RiskIntervals, cohorts: DatedCohorts, days: Floats) -> Floats:
    """Return the retention of a group from the first day, while it has ten accounts at risk."""
    if not len(rows.account):
        return np.full(len(days), np.nan)
    weight = cohorts.weights[rows.account]
    curve = kaplan_meier(rows.stop, rows.cause == CHURN, start=rows.start, weights=weight)[0]
    left = np.concatenate(([1.0], curve.estimate))
    there: Floats = left[np.searchsorted(curve.time, days, side="right")]
    share = there / there[0] if there[0] > 0 else np.full(len(days), np.nan)
    share[days > last_day_with(MIN_AT_RISK, rows.start, rows.stop)] = np.nan
    return np.asarray(share, dtype=np.float64)


def curves_picture(curves: pd.DataFrame, since: str, title: str, ax: Axes | None = None) -> Axes:
    """Plot corrected retention with its interval, and thin lines for the usual chart.

    ``curves`` is the result of `curve_frame`. Its first cohort is the reference, without interval.
    """
    axes = plots.axes_of(ax, (7.6, 4.6))
    for place, (name, rows) in enumerate(curves.groupby("cohort", sort=False)):
        colour = plots.COLOURS[place - 1] if place else plots.GREY
        style = plots.STYLES[max(place - 1, 0) % len(plots.STYLES)]
        axes.plot(rows["day"], rows["usual"], color=colour, linewidth=0.9, linestyle=":", alpha=0.8,
                  label=f"{name}, the usual chart")  # fmt: skip
        axes.plot(rows["day"], rows["retention"], color=colour, linewidth=2.2, linestyle=style,
                  label=f"{name}, corrected")  # fmt: skip
        if place:
            plots.band(axes, rows["day"], rows["low"], rows["high"], colour, 0.13)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"days since {since}", labelpad=2)
    axes.set_ylabel("still a customer, no notice given")
    plots.percent_axis(axes.yaxis)
    plots.write_title(axes, title, wrap=True)
    axes.legend(frameon=False, fontsize=plots.LABEL, loc="best")
    return axes


AGES = (3, 6, 9, 12, 18, 24, 36)
"""Numbers of months after the start in the grid."""
DAYS_IN_MONTH = 365.25 / 12


def retention_grid(cohorts: DatedCohorts) -> pd.DataFrame | None:
    """Return the share of accounts still there, by start quarter and months since the start.

    An account is there until its end is known. A cell is missing if some accounts of the quarter
    have not been followed that long. Quarters with fewer than five accounts are left out, and so
    are accounts not observed from their start: those that left earlier are not in the data.

    Returns
    -------
    DataFrame or None
        Columns quarter (such as "2023 Q1"), accounts, and one per number of months. None if the
        start days are unknown.
    """
    seen = cohorts.entry <= 0
    if cohorts.zero_days is None or cohorts.since != "the start" or not seen.any():
        return None
    zero, stop, cause = cohorts.zero_days[seen], cohorts.stop[seen], cohorts.cause[seen]
    weight = cohorts.weights[seen]
    last_day = (zero + stop).max()
    months = np.floor(zero).astype(np.int64).astype("datetime64[D]").astype("datetime64[M]")
    quarter = months.astype(np.int64) // 3
    rows = []
    for one in np.unique(quarter):
        mine = quarter == one
        if mine.sum() < MIN_ACCOUNTS:
            continue
        latest = zero[mine].max()
        row: dict[str, object] = {
            "quarter": f"{1970 + one // 4} Q{one % 4 + 1}",
            "accounts": int(mine.sum()),
        }
        for age in AGES:
            day = round(age * DAYS_IN_MONTH)
            row[f"{age} months"] = (
                _share(stop[mine], cause[mine], weight[mine], day)
                if latest + day <= last_day
                else np.nan
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _share(stop: np.ndarray, cause: np.ndarray, weight: np.ndarray, day: int) -> float:
    """Return the share still there after a day, among accounts whose state then is known."""
    there = (stop > day) | ((stop == day) & (cause == 0))
    known = there | (cause > 0)
    if known.sum() < MIN_ACCOUNTS:
        return float("nan")
    return float(weight[there].sum() / weight[known].sum())


@dataclass(frozen=True)
class SmallGroup:
    """One group: its churns ``ended`` against ``expected``, and its rate relative to the average.

    ``rate`` is the shrunken ratio, with limits ``low`` and ``high``; ``raw`` is ended over
    expected. ``better`` is the probability that the group loses fewer accounts than the average.
    """

    name: str
    accounts: int
    ended: int
    expected: float
    raw: float
    rate: float
    low: float
    high: float
    better: float


@dataclass(frozen=True, repr=False)
class SmallGroups(Result):
    """All groups in the order of their names, also by iteration. ``spread`` is the mean of τ."""

    groups: tuple[SmallGroup, ...]
    spread: float
    level: float

    def __iter__(self) -> Any:
        return iter(self.groups)

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame(self.to_dict()["groups"])

    def to_dict(self) -> dict[str, Any]:
        """Return the groups as plain dictionaries, ready for JSON."""
        return {"spread": self.spread, "groups": [_plain(group) for group in self.groups]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot observed over expected churns by group size, with control limits (funnel plot)."""
        return _funnel(self._table(), plots.axes_of(ax, (7.2, 4.4)))

    def __repr__(self) -> str:
        lines = [
            f"Churn by group, relative to the average of 1 ({level_text(self.level)} intervals;"
            f" spread between groups {self.spread:.2f})"
        ]
        for g in self.groups:
            if g.accounts < MIN_ACCOUNTS:
                lines.append(f"  {g.name}: fewer than {MIN_ACCOUNTS} accounts")
                continue
            lines.append(
                f"  {g.name}: {g.rate:.2f} ({g.low:.2f} to {g.high:.2f}), {g.ended} ended of"
                f" {g.expected:.1f} expected, better than average with {share_text(g.better)}"
            )
        return "\n".join(lines)


def _funnel(groups: pd.DataFrame, axes: Axes) -> Axes:
    """Plot observed over expected churns by group size, with shrunken rates and control limits.

    The control limits are the 95 % and 99.8 % limits of Poisson counts with the expected mean
    (Spiegelhalter 2005). ``groups`` has one row per group; suppressed ones are not plotted.
    """
    from scipy.special import gammaincinv

    plotted = groups[~groups["suppressed"] & (groups["expected"] > 0)]
    x, raw, shrunken, low, high = (
        plotted[name].to_numpy(dtype=float) for name in ("expected", "raw", "rate", "low", "high")
    )
    most = 1.25 * float(x.max(initial=0.0)) or 1.25
    expected = np.linspace(max(0.3, most / 400), most, 400)
    for share, dashes in ((0.95, "--"), (0.998, ":")):
        style: dict[str, Any] = {"color": plots.GREY, "linestyle": dashes, "linewidth": 1.1}
        for side in (0.5 - share / 2, 0.5 + share / 2):
            label = f"{level_text(share)} of chance" if side < 0.5 else None
            # Continuous Poisson limits: gamma quantiles interpolate between two counts.
            limit = gammaincinv(expected + (side > 0.5), side) / expected
            axes.plot(expected, limit, label=label, **style)
    axes.axhline(1, color=plots.GREY, linewidth=1)
    axes.scatter(x, raw, s=42, facecolor="white", edgecolor=plots.COLOURS[1], linewidth=1.5,
                 marker="o", label="observed / expected", zorder=3)  # fmt: skip
    axes.errorbar(x, shrunken, yerr=plots.reach(shrunken, low, high), fmt="s", markersize=4.5,
                  color=plots.COLOURS[0], elinewidth=1.2, label="shrunken", zorder=2)  # fmt: skip
    _name_outliers(axes, plotted)
    top = max(2.2, 1.1 * float(raw.max(initial=0.0)), 1.05 * float(high.max(initial=0.0)))
    axes.set(xlabel="churns expected", ylabel="churn relative to average", ylim=(0, top))
    axes.set_xlim(0, most)
    title = f"Churn of {len(groups)} groups, beside what chance allows"
    plots.write_title(axes, title, room=24)
    plots.legend_above(axes, ncols=4, columnspacing=1.2)
    return axes


def _name_outliers(axes: Axes, groups: pd.DataFrame) -> None:
    """Label the groups whose observed count lies outside the 95 % control limits."""
    from scipy.stats import poisson

    for g in groups.to_dict("records"):
        low, high = poisson.ppf([0.025, 0.975], g["expected"])
        if not low <= g["ended"] <= high:
            plots.write_at(axes, g["name"], (g["expected"], g["raw"]), (6, 4))


def _plain(group: SmallGroup) -> dict[str, Any]:
    plain: dict[str, Any] = {**group.__dict__, "suppressed": group.accounts < MIN_ACCOUNTS}
    if plain["suppressed"]:
        plain |= {key: None for key in plain if key not in ("name", "suppressed")}
    if plain["raw"] is not None and not np.isfinite(plain["raw"]):
        plain["raw"] = None  # no churn was expected, so there is no ratio
    return plain


def shrink(
    names: Sequence[str],
    ended: ArrayLike,
    expected: ArrayLike,
    *,
    accounts: Sequence[int] | None = None,
    level: float = 0.95,
) -> SmallGroups:
    """Return shrunken rates of groups from their observed and expected numbers of churns (k each).

    Raises OptionError with all faults of the counts.

    >>> few = shrink(["a", "b", "c"], [2, 10, 6], [6.0, 6.0, 6.0]).groups[1]
    >>> 1 < few.rate < few.raw
    True
    """
    validator = ArrayValidator("shrink", len(names))
    N, E = validator.numbers("ended", ended), validator.numbers("expected", expected)
    if (N < 0).any() or (E < 0).any():
        validator.refuse("ended or expected is negative; both are counts")
    validator.level(level)
    validator.close()
    counts = accounts if accounts is not None else [MIN_ACCOUNTS] * len(N)
    shrunken = shrunken_rates(N, E, level)
    raw = np.divide(N, E, out=np.full(len(N), np.nan), where=E > 0)
    numbers = (N.astype(int), E, raw, shrunken.rate, shrunken.low, shrunken.high)
    columns = [column.tolist() for column in (*numbers, shrunken.below_average)]
    rows = zip(map(str, names), map(int, counts), *columns, strict=True)
    return SmallGroups(tuple(SmallGroup(*row) for row in rows), shrunken.spread, level)


def expected_ends(cohorts: DatedCohorts, X: Floats | None = None) -> Floats:
    """Return the expected churns of each level (k), given tenure and ``X`` but not the level.

    Accounts are compared within calendar quarters, so that a group is not blamed for having its
    accounts at a time of high churn. Expected churns add up to the observed ones: they are observed
    churns minus Cox martingale residuals, or Nelson-Aalen hazards without covariates.
    """
    if cohorts.weight is not None:  # estimates from a sample would have an error of their own
        raise ModelError(
            f"expected churns of {cohorts.name} need all customers, and these are a sample",
            "Take all customers",
        )
    rows, quarter = within_quarters(follow_in_time(cohorts), cohorts)
    event = rows.cause == CHURN
    if X is not None and X.size and event.any():
        fit = fit_cox(X[rows.account], rows.stop, event, start=rows.start, strata=quarter,
                      ridge=1e-2)  # fmt: skip
        each = event - fit.residuals().martingale
    else:
        each = np.zeros(len(event))
        for one in np.unique(quarter):
            mine = quarter == one
            each[mine] = _cumulated(rows.where(mine))
    return np.bincount(rows.group, each, len(cohorts.levels)).astype(np.float64)


def _cumulated(rows: RiskIntervals) -> Floats:
    """Return the increase of the Nelson-Aalen cumulative hazard over each row."""
    curve = nelson_aalen(rows.stop, rows.cause == CHURN, start=rows.start)[0]
    hazard = np.concatenate(([0.0], curve.estimate))
    until, since = (hazard[np.searchsorted(curve.time, t, "right")]
                    for t in (rows.stop, rows.start))  # fmt: skip
    return until - since
