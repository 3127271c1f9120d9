"""The most successful accounts by results, other criteria, and their later retention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.accounts import known_ends
from leadsignal.arguments import Duration, checked, days_in
from leadsignal.as_of_context import TOGETHER, AsOfContext
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import json_fields
from leadsignal.formats import month_text, share_between, share_text
from leadsignal.indicators import Indicator
from leadsignal.results import Result
from leadsignal.stats import Share, mean_of, normal_quantile
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CRITERIA = {"happiest": "latest survey score of the last year", "heaviest": "usage of 84 days"}
TENTH = 0.1
MAX_ROWS = 12
"""Maximum number of accounts in a plot; the frame has all."""
AXIS_NAMES = {"happiest": "latest survey score", "heaviest": "usage in the last 84 days"}
ONE_SIDED = 1.645


@dataclass(frozen=True, repr=False, eq=False)
class SelectionCriterion(Result):
    """Accounts selected by another criterion, compared with the selection by results.

    Among the ``among`` accounts that have a current result and a value of this criterion, each
    criterion selects the ``size`` best. ``overlap`` is the number of accounts in both selections,
    ``by_chance`` the number expected for two random selections. ``miss`` is the share of this
    selection that misses its target, ``miss_all`` the share of all accounts. ``correlation`` is
    Spearman's correlation of the criterion with the mean distance to target of the last three
    results (``mean_gap``), with limits ``low`` and ``high``. ``frame`` has account_id, value,
    mean_gap, chosen (by this criterion), successful (chosen by results), on_target.
    """

    name: str
    frame: pd.DataFrame
    overlap: int
    by_chance: float
    miss: Share
    miss_all: Share
    correlation: float
    low: float
    high: float

    @property
    def among(self) -> int:
        """Number of accounts with both values."""
        return len(self.frame)

    @property
    def size(self) -> int:
        """Number of accounts that each criterion selects."""
        return int(self.frame["chosen"].sum())

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison, ready for JSON."""
        renamed = {"overlap_by_chance": "by_chance", "miss_target": "miss",
                   "miss_target_all": "miss_all"}  # fmt: skip
        shared = json_fields(self, "among", "size", "overlap", *renamed, **renamed)
        limits = json_fields(self, "correlation", "low", "high")
        return {"name": self.name, "by": CRITERIA[self.name], **shared, **limits}

    def __repr__(self) -> str:
        if not self.size:
            return f"{self.name}: no account has both a result and a value"
        return (
            f"{self.name}, by {CRITERIA[self.name]}: {self.overlap} of the best {self.size} are"
            f" also among the {self.size} best by results (by chance {self.by_chance:.1f});"
            f" {self.miss} miss their target, of all {self.miss_all}; correlation"
            f" {self.correlation:.2f} ({self.low:.2f} to {self.high:.2f})"
        )


def compare_criterion(everyone: pd.DataFrame, name: str, at_least: int = 10) -> SelectionCriterion:
    """Compare the selection by another criterion with the selection by results.

    ``everyone`` has account_id, mean_gap, on_target, score (missing if the account does not
    qualify) and a column named after the criterion. Each selection is the best tenth of the
    accounts, but at least ``at_least`` of them and at most half.
    """
    frame = everyone[everyone[name].notna() & everyone["on_target"].notna()]
    frame = frame.sort_values("account_id", ignore_index=True)
    size = min(max(at_least, int(np.ceil(TENTH * len(frame)))), len(frame) // 2)
    chosen = best(frame[name], size)
    good = best(frame["score"], size)
    on = frame["on_target"].eq(True).to_numpy()
    compared = frame[["account_id", "mean_gap"]].assign(
        value=frame[name], chosen=chosen, successful=good, on_target=on
    )
    rho, low, high = spearman(compared["value"].to_numpy(), compared["mean_gap"].to_numpy())
    expected = chosen.sum() * good.sum() / len(frame) if len(frame) else 0.0
    return SelectionCriterion(
        name, compared, int((chosen & good).sum()), float(expected),
        Share(int((chosen & ~on).sum()), int(chosen.sum())), Share(int((~on).sum()), len(on)),
        rho, low, high,
    )  # fmt: skip


def best(values: Any, size: int) -> Any:
    """Return a mask (n) of the ``size`` highest values; ties go to the earlier row."""
    order = np.argsort(-np.asarray(values, dtype=float), kind="stable")[:size]
    chosen = np.zeros(len(values), dtype=bool)
    chosen[order] = True
    return chosen & np.isfinite(np.asarray(values, dtype=float))


def spearman(x: Any, y: Any) -> tuple[float, float, float]:
    """Return Spearman's correlation with its 95 % interval; NaN for fewer than ten pairs.

    The interval uses Fisher's transformation with the variance (1 + ρ²/2)/(n − 3) of Bonett &
    Wright (2000).
    """
    from scipy.stats import rankdata

    known = np.isfinite(x) & np.isfinite(y)
    n = int(known.sum())
    if n < 10 or len(set(x[known])) < 2 or len(set(y[known])) < 2:
        return float("nan"), float("nan"), float("nan")
    rho = float(np.corrcoef(rankdata(x[known]), rankdata(y[known]))[0, 1])
    reach = normal_quantile(0.95) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    middle = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return rho, float(np.tanh(middle - reach)), float(np.tanh(middle + reach))


COLUMNS = (
    "account_id", "customer_id", "metric", "value", "target", "higher_is_better", "measured_on",
    "results", "level", "mean_gap", "since", "days_on_target", "slope", "slope_low", "slope_high",
    "trend", "processes", "tenure_days", "score",
)  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class SuccessfulAccounts(Result):
    """The most successful accounts, best first, each with its evidence.

    ``frame`` has one row per chosen account: account_id, customer_id, metric, value and target of
    the latest result (``measured_on``); ``results``, the number of results in the last year, and
    ``level``, their mean distance to target (share of the target, positive is better); ``since``,
    the start of its current time on target, and ``days_on_target``; ``slope`` of the distance per
    90 days with its limits, and ``trend``; ``processes`` adopted; ``tenure_days``; ``score`` (0 to
    1). ``everyone`` has the same columns for all accounts with a current result, and why an account
    was not chosen (``left_out``). ``steps`` is the number of accounts left after each condition.
    ``criteria`` compare the selection with the happiest and the heaviest users.
    """

    frame: pd.DataFrame
    everyone: pd.DataFrame
    steps: Mapping[str, int]
    criteria: tuple[SelectionCriterion, ...]
    notes: tuple[str, ...]
    at_least: int
    as_of_date: date

    @property
    def accounts(self) -> tuple[str, ...]:
        """Ids of the chosen accounts, best first."""
        return tuple(self.frame["account_id"])

    def to_dict(self) -> dict[str, Any]:
        """Return the accounts, counts and comparisons, ready for JSON."""
        names = ("as_of", "accounts", "steps", "criteria", "notes")
        return json_fields(self, *names, as_of="as_of_date", accounts="frame")

    def __repr__(self) -> str:
        text = ", ".join(f"{count:,} {what}" for what, count in self.steps.items())
        lines = [f"The {len(self)} most successful accounts on {self.as_of_date} ({text}):"]
        for row in self.frame.head(10).to_dict("records"):
            lines.append(
                f"  {row['account_id']}: {row['metric'] or 'result'} {row['value']:g}, target"
                f" {row['target']:g}, on target since {row['since']:%Y-%m-%d}, {row['trend']}"
            )
        if len(self) > 10:
            lines.append(f"  … and {len(self) - 10} more")
        return "\n".join([*lines, *map(str, self.criteria), *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame[["account_id", "metric", "value", "target", "since", "trend"]]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot how far beyond target the chosen accounts are and since when; return the Axes."""
        rows = self.frame.head(MAX_ROWS)
        axes = plots.axes_of(ax, (8.0, 1.5 + 0.27 * max(len(rows), 3)))
        y = np.arange(len(rows))
        axes.axvline(0, color=plots.GREY, linewidth=1)
        axes.hlines(y, 0, rows["level"], color=plots.FAINT, linewidth=2, zorder=1)
        axes.scatter(rows["level"], y, s=42, color=plots.COLOURS[0], zorder=3,
                     label="last year's mean")  # fmt: skip
        axes.scatter(rows["mean_gap"], y, s=34, facecolor="white", edgecolor=plots.COLOURS[1],
                     linewidth=1.5, zorder=3, label="last three results")  # fmt: skip
        for place, row in enumerate(rows.to_dict("records")):
            plots.write_beside(axes, place, f"since {month_text(row['since'])}, {row['trend']}")
        plots.name_rows(axes, list(rows["account_id"].map(plots.literal)), 0.4, 0.6)
        axes.spines["left"].set_visible(True)
        axes.set_xlabel("beyond target, as a share of it")
        plots.percent_axis(axes.xaxis)
        more = f", the first {MAX_ROWS}" if len(self) > MAX_ROWS else ""
        title = f"{len(self)} most successful accounts, {self.as_of_date}{more}"
        plots.write_title(axes, title, room=22)
        plots.legend_above(axes, **plots.CLOSE)
        return axes

    def plot_criterion(self, name: str = "happiest", ax: Axes | None = None) -> Axes:
        """Plot results against satisfaction or usage, one point per account; return the Axes."""
        found = [criterion for criterion in self.criteria if criterion.name == name]
        if not found:
            compared = ", ".join(criterion.name for criterion in self.criteria) or "none"
            raise OptionError(f"{name!r} was not compared", f"Compared here: {compared}")
        return _plot_criterion(found[0], plots.axes_of(ax, (7.4, 4.8)))


def _plot_criterion(one: SelectionCriterion, axes: Axes) -> Axes:
    """Plot results against another criterion, and the accounts that each chooses."""
    frame = one.frame
    axes.axhline(0, color=plots.GREY, linewidth=1)
    x = frame["value"].to_numpy(dtype=float)
    if one.name == "happiest":  # jitter the scores, which are few whole numbers, reproducibly
        x = x + 0.55 * (np.argsort(np.argsort(frame["account_id"])) % 11 / 10 - 0.5)
    chosen, reached, best = frame["chosen"], frame["on_target"], frame["successful"]
    blue, red, green = plots.COLOURS[:3]
    parts: dict[str, tuple[Any, dict[str, Any]]] = {
        "other accounts": (~chosen, {"facecolor": plots.FAINT, "edgecolor": "none", "s": 20}),
        "chosen, on target": (chosen & reached, {"color": blue, "s": 36}),
        "chosen, below target": (chosen & ~reached, {"color": red, "marker": "X", "s": 44}),
        "best by results": (best, {"s": 95, "facecolor": "none", "edgecolor": green,
                                   "linewidth": 1.4, "zorder": 3}),
    }  # fmt: skip
    for label, (which, style) in parts.items():
        axes.scatter(x[which], frame.loc[which, "mean_gap"], label=label, **{"zorder": 2, **style})
    axes.set(xlabel=AXIS_NAMES[one.name], ylabel="beyond target, last three results")
    plots.percent_axis(axes.yaxis)
    missed = share_between(one.miss.estimate, *one.miss.interval)
    finding = f"{missed} of the {one.name} miss their target"
    plots.write_title(axes, f"{finding};\n{share_text(one.miss_all.estimate)} of all {len(frame)}")
    axes.legend(frameon=False, fontsize=plots.SMALL, ncols=4, loc="upper left", columnspacing=0.9,
                bbox_to_anchor=(-0.02, -0.13), handletextpad=0.1)  # fmt: skip
    return axes


@checked
def most_successful(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    at_least: int = 10,
    on_target_for: Duration = "90d",
    current: Duration = "120d",
    context: AsOfContext | None = None,
) -> SuccessfulAccounts:
    """Return the accounts that have been on target for a while and whose results are not falling.

    An active account that has not given notice qualifies if the mean of its last three results is
    on target, has been on target for ``on_target_for``, and the trend over the last year is not
    falling. Accounts are ranked by the mean of three ranks: mean distance to target over the last
    year, days on target, and trend. The best tenth of the accounts with a current result are
    chosen, and at least ``at_least`` if enough qualify. Satisfaction and usage are not considered.

    Parameters
    ----------
    tables : Tables
        Tables with results and targets.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the metrics and processes. Default: none.
    at_least : int, default 10
        Minimum number of accounts to choose, if enough qualify.
    on_target_for : Duration, default "90d"
        How long the mean of three results must have been on target.
    current : Duration, default "120d"
        Maximum age of the latest result.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    SuccessfulAccounts
        The chosen accounts, all accounts considered, and the counts at each step.

    Raises
    ------
    OptionError
        If the tables have no results with targets, or ``at_least`` is below 1.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> len(ls.success_analysis.most_successful(tables, analysis)) >= 10
    True
    """
    if at_least < 1:
        raise OptionError(f"at_least is {at_least}; it must be 1 or more", "Choose 10 if you can")
    now = current_status(AsOfContext.of(tables, analysis, context), days_in(current))
    everyone, steps = now.frame, now.steps
    enough = days_in(on_target_for)
    reasons = {
        "below target": everyone["on_target"].ne(True),
        f"on target for less than {enough} days": ~(everyone["days_on_target"] >= enough),
        "falling": everyone["trend"].eq("falling"),
    }
    everyone["left_out"] = np.select(list(reasons.values()), list(reasons), default="")
    fit = everyone["left_out"].eq("")
    everyone["score"] = _score(everyone[fit]).reindex(everyone.index)
    steps["on target"] = int((~reasons["below target"]).sum())
    steps[f"for {enough} days, not falling"] = int(fit.sum())
    count = max(at_least, int(np.ceil(TENTH * len(everyone))))
    ranked = everyone.sort_values(["score", "account_id"], ascending=[False, True])
    frame = ranked[fit.reindex(ranked.index)].head(count).reset_index(drop=True)
    compared = [name for name in CRITERIA if name in everyone]
    criteria = tuple(compare_criterion(everyone, name, at_least) for name in compared)
    notes = _notes(tables, everyone, steps, len(frame), at_least)
    return SuccessfulAccounts(
        frame[list(COLUMNS)], everyone.reset_index(drop=True), steps, criteria, notes, at_least,
        tables.as_of_date,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ResultStatus:
    """Active accounts with a current result, and how many were left after each of ``steps``.

    ``frame`` has the columns of ``standings``, the account's ``indicators`` on that day, the
    ``processes`` adopted, and the values of the other selection criteria, ``happiest`` and
    ``heaviest``.
    """

    frame: pd.DataFrame
    steps: dict[str, int]
    indicators: tuple[Indicator, ...]


def current_status(context: AsOfContext, current: int) -> ResultStatus:
    """Return the active accounts without notice whose result is no older than ``current`` days."""
    statuses, panel = context.standings, context.snapshot
    now = panel.frame
    here = now[~now["notice_given"]].set_index("account_id")
    steps = {"active": len(here)}
    own = statuses.drop(columns=statuses.columns.intersection(here.columns))
    both = own.join(here, how="inner")
    steps["with results against a target"] = len(both)
    both = both[both["days_old"] <= current]
    steps["with a current one"] = len(both)
    both = both.assign(**_others_choice(both))
    both["processes"] = _adopted(both, [process.name for process in context.analysis.processes])
    return ResultStatus(both.reset_index(), steps, panel.indicators)


def _adopted(now: pd.DataFrame, names: list[str]) -> pd.Series[Any]:
    """Return the names of the processes that each account has adopted, as tuples."""
    known = [name for name in names if f"{name}_state" in now]
    states = now[[f"{name}_state" for name in known]].to_numpy(dtype=object) == "adopted"
    listed = [tuple(name for name, yes in zip(known, row, strict=True) if yes) for row in states]
    return pd.Series(listed, index=now.index, dtype=object)


def days_all_adopted(now: pd.DataFrame, names: list[str]) -> Any:
    """Return for how many days all applicable processes have been adopted; −1 if not all are."""
    days = np.full(len(now), np.inf)
    for name in names:
        state = now[f"{name}_state"].to_numpy(dtype=object)
        since = np.where(state == "adopted", now[f"{name}_days_in_state"].to_numpy(float), -1.0)
        days = np.where(state == "not applicable", days, np.minimum(days, since))
    return np.where(np.isfinite(days), days, -1.0)


def margin_of_three(rows: pd.DataFrame) -> float:
    """Return the one-sided 95 % margin of error of the mean of three results.

    The standard deviation is estimated robustly from differences between successive results of an
    account, between which the true level hardly changes: 1.4826 · median |difference| / √2.
    """
    step = rows.groupby("account_id")["gap"].diff().abs().median()
    spread = 1.4826 * step / np.sqrt(2) if np.isfinite(step) else 0.0
    return float(ONE_SIDED * spread / np.sqrt(TOGETHER))


def off_target_since(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return, by account, the first day of the current run of results off target."""
    on = rows["on_target"].ne(False)
    later = on[::-1].groupby(rows["account_id"][::-1]).cumsum()[::-1]
    off = rows[~on & (later == 0)]
    return off.groupby("account_id")["measured_on"].min()


def _others_choice(now: pd.DataFrame) -> dict[str, Any]:
    """Return the values of the other selection criteria, satisfaction and usage."""
    choices = {}
    if "survey_score" in now:
        choices["happiest"] = now["survey_score"].where(now["survey_days_since"] <= 365)
    if "usage_amount" in now:
        share = now["usage_share_of_quarter"]
        amount = now["usage_amount"]
        # The share is undefined without usage in the quarter; otherwise a missing share is unknown.
        choices["heaviest"] = (amount / share).where(share > 0, amount.where(amount == 0))
    return choices


def _score(fit: pd.DataFrame) -> pd.Series[Any]:
    """Return the mean of three ranks between 0 and 1; an unknown trend gets a rank of 0.5."""
    ranks = [
        fit[column].rank(pct=True).fillna(0.5)
        for column in ("level", "days_on_target", "slope")
    ]  # fmt: skip
    return sum(ranks[1:], start=ranks[0]) / len(ranks)


def _notes(
    tables: Tables, everyone: pd.DataFrame, steps: Mapping[str, int], chosen: int, at_least: int
) -> tuple[str, ...]:
    notes = []
    if chosen < at_least:
        left = everyone["left_out"].value_counts()
        reasons = ", ".join(f"{n:,} {why}" for why, n in left.items() if why)
        notes.append(
            f"fewer than {at_least}: {steps['with a current one']:,} accounts have a current"
            f" result against a target{f' ({reasons})' if reasons else ''}; the list is not"
            " filled up with others"
        )
    if len(set(everyone["metric"])) > 1:
        notes.append(
            "accounts are measured by different metrics; each is compared with its own target"
        )
    if not any(everyone["processes"].map(len)) and len(everyone):
        notes.append("no account has adopted a process of the analysis, or there is none")
    notes += [f"there is no table {name}" for name in ("surveys", "usage")
              if name not in tables.names]  # fmt: skip
    return tuple(notes)


SUCCESSFUL, EVERYONE = "successful", "everyone"
RESULT_TABLE_DAYS = 270
"""Days after the first result before which hardly any account can have been on target for long."""


@dataclass(frozen=True, repr=False, eq=False)
class LaterRetention(Result):
    """Share of each list that stayed ``follow_days`` later, over all replayed ``dates``.

    ``frame`` has one row per list (successful, happiest, heaviest, everyone): ``chosen``, the
    number of accounts (an account chosen on two dates counts twice); ``customers``; ``stayed``, the
    share that stayed, with limits ``low`` and ``high`` (95 %, clustered by customer); and ``less``,
    its difference from the successful accounts, with limits ``less_low`` and ``less_high``.
    ``rows`` has every account on every date.
    """

    frame: pd.DataFrame
    rows: pd.DataFrame
    dates: tuple[date, ...]
    follow_days: int

    def to_dict(self) -> dict[str, Any]:
        """Return dates and retention by list, ready for JSON."""
        return json_fields(self, "dates", "follow_days", "lists", lists="frame")

    def __repr__(self) -> str:
        dates = ", ".join(map(str, self.dates))
        lines = [f"Contract not ended {self.follow_days} days later, chosen on {dates}:"]
        for row in self.frame.to_dict("records"):
            stayed = share_between(row["stayed"], row["low"], row["high"], 1)
            less = share_between(row["less"], row["less_low"], row["less_high"], 1, signed=True)
            lines.append(
                f"  {row['list']}: {stayed} of"
                f" {row['chosen']:,}{'' if row['list'] == SUCCESSFUL else f'; {less}'}"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the share of each list that stayed and return the Axes."""
        axes = plots.axes_of(ax, (7.0, 2.6))
        rows, stayed = self.frame, self.frame["stayed"]
        limits = plots.reach(stayed, rows["low"], rows["high"])
        axes.errorbar(stayed, np.arange(len(rows)), xerr=limits, fmt="s", markersize=6,
                      color=plots.COLOURS[0], elinewidth=1.6)  # fmt: skip
        plots.name_rows(axes, list(rows["list"].map(plots.literal)))
        plots.percent_axis(axes.xaxis)
        axes.set_xlabel(f"contract not ended {self.follow_days} days later")
        plots.write_title(axes, f"Chosen on {len(self.dates)} past dates")
        for place, row in enumerate(rows.to_dict("records")):
            text = f"{share_text(row['stayed'])} of {row['chosen']}"
            plots.write_beside(axes, place, text, fontsize=plots.LABEL)
        return axes


@checked
def later_retention(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    follow: Duration = "365d",
    every: Duration = "182d",
    at_least: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> LaterRetention:
    """Compare later retention by the criterion that would have chosen the accounts in the past.

    On each past date, lists of equal length are chosen from the same accounts by results,
    satisfaction and usage, using only what was known on that date. An account stayed if its
    contract had not ended. Ends that are not churn are left out.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the success metrics.
    follow : Duration, default "365d"
        Time after each date until retention is measured.
    every : Duration, default "182d"
        Time between the dates; the last is ``follow`` before ``as_of_date``.
    at_least : int, default 10
        Minimum length of a list.
    progress : callable, optional
        Called with the number of dates done and the total.

    Returns
    -------
    LaterRetention
        Retention by criterion, with intervals.

    Raises
    ------
    ModelError
        If no date has enough data.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> len(later_retention(tables, analysis, every="365d").frame)
    4
    """
    days = days_in(follow)
    dates = _dates(tables, days, days_in(every))
    parts = []
    for number, day in enumerate(dates):
        rows = _replayed(tables.as_of(day), analysis, at_least)
        if rows is not None:
            parts.append(rows.assign(date=pd.Timestamp(day)))
        if progress:
            progress(number + 1, len(dates))
    if not parts:
        raise ModelError(
            f"on no date {days} days ago or earlier were {at_least} accounts on target for long",
            "Give a shorter follow=, or wait for a longer history of results",
        )
    rows = _with_outcome(pd.concat(parts, ignore_index=True), tables, days)
    lists = [name for name in (SUCCESSFUL, *CRITERIA, EVERYONE) if name in rows]
    used = tuple(sorted(day.date() for day in rows["date"].unique()))
    return LaterRetention(_shares(rows, lists), rows, used, days)


def _dates(tables: Tables, follow: int, every: int) -> list[date]:
    """Return the dates to replay, earliest first."""
    first = tables.coverage["results"].complete_from if "results" in tables.names else None
    if first is None:
        return []
    latest = tables.as_of_date - timedelta(days=follow)
    room = (latest - first).days - RESULT_TABLE_DAYS
    return [latest - timedelta(days=back) for back in range(0, room + 1, every)][::-1]


def _replayed(tables: Tables, analysis: SuccessAnalysis | None, at_least: int) -> Any:
    """Return which accounts are on which list; None if too few were on target long enough."""
    chosen = most_successful(tables, analysis, at_least=at_least)
    if len(chosen) < at_least:
        return None
    everyone, size = chosen.everyone, len(chosen)
    names = [name for name in CRITERIA if name in everyone]
    among = everyone[everyone[names].notna().all(axis=1)] if names else everyone
    among = among.sort_values("account_id", ignore_index=True)
    lists = {SUCCESSFUL: best(among["score"], size)}
    lists |= {name: best(among[name], size) for name in names}
    lists[EVERYONE] = np.ones(len(among), dtype=bool)
    return among[["account_id"]].assign(**lists)


def _with_outcome(rows: pd.DataFrame, tables: Tables, follow: int) -> pd.DataFrame:
    """Add customer and whether the account stayed; leave out ends that are not churn."""
    accounts = tables.frame("accounts")
    accounts = accounts.assign(churns=known_ends(tables, accounts)["is_churn"])
    accounts = accounts.set_index("account_id")
    ended = rows["account_id"].map(accounts["ended_on"])
    gone = (ended - rows["date"]).dt.days <= follow
    other = ~rows["account_id"].isin(accounts.index[accounts["churns"]])
    customer = rows["account_id"].map(accounts["customer_id"]).fillna(rows["account_id"])
    return rows.assign(customer_id=customer, stayed=~gone)[~(gone & other)]


def _shares(rows: pd.DataFrame, lists: list[str]) -> pd.DataFrame:
    cluster = pd.factorize(rows["customer_id"])[0].astype(np.int64)
    stayed = rows["stayed"].to_numpy(dtype=float)
    means = {name: mean_of(stayed, rows[name].to_numpy(dtype=float)) for name in lists}
    shares = []
    for name, mean in means.items():
        low, high = mean.interval(cluster)
        less = mean - means[SUCCESSFUL]
        less_low, less_high = less.interval(cluster)
        shares.append(
            {"list": name, "chosen": int(rows[name].sum()),
             "customers": int(rows.loc[rows[name], "customer_id"].nunique()),
             "stayed": mean.estimate, "low": low, "high": high, "less": less.estimate,
             "less_low": less_low, "less_high": less_high}
        )  # fmt: skip
    return pd.DataFrame(shares)
