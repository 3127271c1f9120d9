"""Measured results over time, against each account's target and around each adoption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import ModelError, OptionError, one_of
from leadsignal.files.writing import json_fields
from leadsignal.formats import share_text
from leadsignal.panel import adoption_episodes
from leadsignal.plots import COLOURS, GREY, LABEL, axes_of, write_title
from leadsignal.results import Result
from leadsignal.stats import normal_quantile
from leadsignal.tables import Tables
from leadsignal.targets import own_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PERIODS = {"week": "W-SUN", "month": "M", "quarter": "Q"}
DRAWS = 400


@dataclass(frozen=True, repr=False, eq=False)
class ResultHistory(Result):
    """One row per account and calendar period in which it was measured.

    ``frame`` has account_id; ``period``, its first day; ``results``, the number of results;
    ``value``, their mean; ``target`` of the latest result; ``gap``, the mean distance to the target
    as a share of it (positive is better); ``met``, the share of results that met it; and ``shown``,
    the number of results shown to the customer.
    """

    frame: pd.DataFrame
    every: str
    metric: str

    def of(self, account: str) -> pd.DataFrame:
        """Return one account's rows; raise OptionError if it has none."""
        mine = self.frame[self.frame["account_id"] == account]
        if not len(mine):
            raise OptionError(
                f"account {account!r} has no results", "Choose an account with results"
            )
        return mine.reset_index(drop=True)

    def total(self) -> pd.DataFrame:
        """Return measured accounts, their mean gap and the share that met targets, by period."""
        return self.frame.groupby("period", as_index=False).agg(
            accounts=("account_id", "nunique"), results=("results", "sum"), gap=("gap", "mean"),
            met=("met", "mean"), shown=("shown", "sum"),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, ready for JSON."""
        return json_fields(self, "every", "metric", "rows", rows="frame")

    def plot(self, account: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot one account's value against its target, or the share of results that met theirs."""
        axes = axes_of(ax, (8, 4))
        rows = self.total() if account is None else self.of(account)
        name = self.metric.replace("_", " ")
        if account is None:
            axes.plot(rows["period"], rows["met"], color=COLOURS[0], marker="o", markersize=4)
            axes.set(ylim=(0, 1), ylabel="share of results that met the target")
            write_title(axes, f"{name}: results that met their target, by {self.every}")
        else:
            axes.plot(rows["period"], rows["value"], color=COLOURS[0], marker="o", label=name)
            axes.step(rows["period"], rows["target"], where="post", color="black", linestyle="--",
                      label="target")  # fmt: skip
            axes.set(ylabel=name)
            write_title(axes, f"{account}: {name} by {self.every}")
            axes.legend(frameon=False)
        axes.tick_params(axis="x", rotation=30)
        return axes

    def __repr__(self) -> str:
        accounts = self.frame["account_id"].nunique()
        lines = [f"{self.metric} of {accounts:,} accounts by {self.every}; the last:"]
        for row in self.total().tail(4).to_dict("records"):
            met = f", {share_text(row['met'])} met their target" if row["met"] == row["met"] else ""
            lines.append(f"  {row['period']:%Y-%m-%d}: {row['accounts']:,} accounts measured{met}")
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.total().tail(10).round(3)


@dataclass(frozen=True)
class Change:
    """Change in mean results from before to after the adoption of a process.

    ``change`` is the mean over the ``accounts`` measured both before and after; ``others`` is the
    change over the same tenure in accounts that had not adopted by the end of it; ``difference`` is
    change minus others, with its 95 % interval (bootstrap of accounts). The latter are None if
    there are no such accounts.
    """

    process: str
    accounts: int
    before: float
    after: float
    change: float
    others: float | None
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, repr=False, eq=False)
class ResultsAroundAdoption(Result):
    """Results in periods of ``every`` days before and after the first adoption of each process.

    ``frame`` has process, period (-1 is the last before adoption, 0 the first after), the number of
    accounts measured in it, and their ``mean`` distance to target with limits ``low`` and ``high``
    (95 %). ``changes`` compare after with before, and with accounts that did not adopt. ``unit``
    describes what is averaged. These are associations; they do not prove that a process caused the
    change.
    """

    frame: pd.DataFrame
    changes: tuple[Change, ...]
    every: int
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """Return curves and changes, ready for JSON."""
        names = {"every_days": "every", "unit": "unit", "rows": "frame", "changes": "changes"}
        return json_fields(self, *names, **names)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the mean result of each period around the adoption, with intervals."""
        axes = axes_of(ax, (8, 4.2))
        axes.axvline(-0.5, color="black", linewidth=1)
        axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
        for n, (name, rows) in enumerate(self.frame.groupby("process", sort=False)):
            at = rows["period"] + 0.08 * n
            reach = np.vstack((rows["mean"] - rows["low"], rows["high"] - rows["mean"]))
            label = str(name).replace("_", " ")
            axes.errorbar(at, rows["mean"], yerr=reach, color=COLOURS[n], marker="os^"[n % 3],
                          markersize=5, linewidth=1.6, label=label)  # fmt: skip
        axes.annotate("adopted", (-0.5, 1), xycoords=("data", "axes fraction"), xytext=(4, -10),
                      textcoords="offset points", fontsize=LABEL)  # fmt: skip
        axes.set(xlabel=f"periods of {self.every} days from the adoption", ylabel=self.unit)
        write_title(axes, "Results before and after adoption")
        axes.legend(frameon=False)
        return axes

    def __repr__(self) -> str:
        lines = [f"Change in results after adoption ({self.unit}):"]
        for change in self.changes:
            line = f"  {change.process}: {change.change:+.3f} in {change.accounts:,} accounts"
            if change.difference is not None:
                line += (
                    f"; others over the same tenure {change.others:+.3f}, difference"
                    f" {change.difference:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
                )
            lines.append(line)
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame.round(3)


@checked
def result_history(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, every: str = "month"
) -> ResultHistory:
    """Return each account's results by week, month or quarter, against its target.

    Only results of the account's own metric are used (see ``leadsignal.targets``).

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the success metrics.
    every : {"week", "month", "quarter"}, default "month"
        The period.

    Returns
    -------
    ResultHistory
        One row per account and period.

    Raises
    ------
    OptionError
        If the tables have no results, or ``every`` is not one of the periods.

    Examples
    --------
    >>> import leadsignal as ls
    >>> history = result_history(ls.read_tables(ls.sample_folder()), every="quarter")
    >>> bool((history.frame["results"] >= 1).all())
    True
    """
    if every not in PERIODS:
        raise OptionError(f"every = {every!r} is not a period", one_of(PERIODS, every))
    rows, metric = _measured(tables, analysis or SuccessAnalysis(()))
    rows["period"] = rows["measured_on"].dt.to_period(PERIODS[every]).dt.start_time
    frame = rows.groupby(["account_id", "period"], as_index=False).agg(
        results=("value", "size"), value=("value", "mean"), target=("target", "last"),
        gap=("gap", "mean"), met=("met", "mean"), shown=("shown_on", "count"),
    )  # fmt: skip
    return ResultHistory(frame, every, metric)


@checked
def results_around_adoption(
    tables: Tables,
    analysis: SuccessAnalysis,
    *,
    every: Duration = "30d",
    before: int = 3,
    after: int = 6,
    seed: int = 0,
) -> ResultsAroundAdoption:
    """Return mean results in the periods before and after each process's first adoption.

    The distance to the target is averaged within an account and period, then over accounts. If no
    result has a target, the value itself is used, signed so that higher is better. Adopters are
    compared with accounts of the same tenure that do not adopt the process before the end of the
    last period.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis
        The success analysis, which names the processes and their milestones.
    every : Duration, default "30d"
        Length of a period.
    before, after : int, default 3 and 6
        Number of periods before and after the adoption.
    seed : int, default 0
        Seed of the bootstrap for the intervals.

    Returns
    -------
    ResultsAroundAdoption
        Means by process and period, and the changes with 95 % intervals.

    Raises
    ------
    OptionError
        If there are no results or no processes.
    ModelError
        If no adopter has results.

    Examples
    --------
    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> analysis = ls.read_success_analysis(folder)
    >>> around = ls.success_analysis.results_around_adoption(ls.read_tables(folder), analysis)
    >>> [change.process for change in around.changes]
    ['weekly_reconciliation', 'monthly_close_review']
    """
    if not analysis.processes:
        raise OptionError("the analysis names no process", "Add a [[process]] to success.toml")
    if before < 1 or after < 1:
        raise OptionError("before and after must be 1 or more", "Compare at least one period each")
    step = days_in(every)
    rows, _ = _measured(tables, analysis)
    has_target = bool(rows["gap"].notna().any())
    rows["what"] = rows["gap"] if has_target else rows["better"]
    rows = rows.dropna(subset=["what"])
    accounts = tables.frame("accounts").set_index("account_id")
    rows["tenure"] = (rows["measured_on"] - rows["account_id"].map(accounts["started_on"])).dt.days
    episodes = adoption_episodes(tables, analysis)
    first = episodes.groupby(["process", "account_id"])["adopted_on"].min()
    frames, changes = [], []
    for process in analysis.processes:
        adopted = first.get(process.name, pd.Series(dtype="datetime64[us]"))
        day = (adopted - accounts["started_on"].reindex(adopted.index)).dt.days
        curve = _curve(rows, day, step, before, after)
        if len(curve):
            frames.append(curve.assign(process=process.name))
            changes += _change(process.name, rows, day, step, before, after, seed)
    if not frames:
        raise ModelError(
            "no account has results both before and after an adoption", "Record more results"
        )
    frame = pd.concat(frames, ignore_index=True)
    columns = ["process", "period", "accounts", "mean", "low", "high"]
    unit = "distance to target, share of the target" if has_target else "result, more is better"
    return ResultsAroundAdoption(frame[columns], tuple(changes), step, unit)


def _measured(tables: Tables, analysis: SuccessAnalysis) -> tuple[pd.DataFrame, str]:
    """Return the results of each account's own metric, and its name if all have the same."""
    if "results" not in tables.names:
        raise OptionError(
            "there is no table results", "Add results.csv, with the results that customers measure"
        )
    rows = own_results(tables, analysis)
    metrics = rows["metric"].unique()
    if not len(rows):
        named = " or ".join(analysis.success_metrics) or "any metric"
        raise OptionError(f"no result of {named}", "Correct success_metric")
    rows = rows.assign(met=rows["met"].astype(float))
    return rows, metrics[0] if len(metrics) == 1 and metrics[0] else "results"


def _curve(
    rows: pd.DataFrame, day: pd.Series[Any], step: int, before: int, after: int
) -> pd.DataFrame:
    since = rows["tenure"] - rows["account_id"].map(day)
    inside = rows[(since >= -before * step) & (since < after * step)]
    inside = inside.assign(period=(since[inside.index] // step).astype(int))
    each = inside.groupby(["period", "account_id"])["what"].mean()
    curve = each.groupby("period").agg(["size", "mean", "std"]).reset_index()
    reach = normal_quantile(0.95) * curve["std"] / np.sqrt(curve["size"])
    return curve.assign(accounts=curve["size"], low=curve["mean"] - reach,
                        high=curve["mean"] + reach)  # fmt: skip


def _change(
    process: str, rows: pd.DataFrame, day: pd.Series[Any], step: int, before: int, after: int,
    seed: int,
) -> list[Change]:  # fmt: skip
    """Return the change of adopters compared with non-adopters of the same tenure."""
    code, names = pd.factorize(rows["account_id"])
    what, tenure = rows["what"].to_numpy(dtype=float), rows["tenure"].to_numpy(dtype=float)
    adopted = day.reindex(names).to_numpy(dtype=float)
    who = np.flatnonzero(~np.isnan(adopted))
    spans = (-before * step, after * step)
    means = _sides(code, what, tenure - adopted[code], spans, len(names))[:, who]
    changes = means[1] - means[0]
    # Round tenure to whole steps, so that accounts within a step share their comparison.
    place = (adopted[who] // step).astype(int)
    kept = ~np.isnan(changes)
    if not kept.any():
        return []
    others = {}
    for number in np.unique(place[kept]):
        middle = (number + 0.5) * step
        sides = _sides(code, what, tenure - middle, spans, len(names))
        still = np.isnan(adopted) | (adopted >= middle + after * step)
        others[int(number)] = np.where(still, sides[1] - sides[0], np.nan)
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), DRAWS
    )
    weights = np.vstack((np.ones(len(names), dtype=int), draws))
    differences, control = _differences(changes, kept, who, place, others, weights)
    compared: list[float | None] = [None] * 4
    if np.isfinite(differences[0]):
        limits = np.nanquantile(differences[1:], (0.025, 0.975)).tolist()
        compared = [control, float(differences[0]), *limits]
    averages = [float(each[kept].mean()) for each in (*means, changes)]
    return [Change(process, int(kept.sum()), *averages, *compared)]


def _sides(
    code: NDArray[Any], what: NDArray[np.float64], since: NDArray[np.float64],
    spans: tuple[int, int], accounts: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Return each account's mean before and after day 0 of ``since``; NaN if not measured."""
    sides = np.full((2, accounts), np.nan)
    early = (since < 0) & (since >= spans[0])
    late = (since >= 0) & (since < spans[1])
    for n, inside in enumerate((early, late)):
        count = np.bincount(code[inside], minlength=accounts).astype(float)
        total = np.bincount(code[inside], weights=what[inside], minlength=accounts)
        np.divide(total, count, out=sides[n], where=count > 0)
    return sides


def _differences(
    changes: NDArray[np.float64], kept: NDArray[np.bool_], who: NDArray[Any], place: NDArray[Any],
    others: dict[int, NDArray[np.float64]], weights: NDArray[Any],
) -> tuple[NDArray[np.float64], float]:  # fmt: skip
    """Return adopters' mean change minus that of others, by row of weights (the first are ones)."""
    total, of, control = (np.zeros(len(weights)) for _ in range(3))
    for tenure, change in others.items():
        mine = kept & (place == tenure)
        known = ~np.isnan(change)
        weight = weights[:, known].sum(axis=1)
        mean = np.divide(weights[:, known] @ change[known], weight,
                         out=np.full(len(weights), np.nan), where=weight > 0)  # fmt: skip
        count = weights[:, who[mine]].sum(axis=1)
        # Adopters at a tenure without non-adopters cannot be compared.
        there = np.isfinite(mean)
        total[there] += (weights[:, who[mine]] @ changes[mine] - count * mean)[there]
        control[there] += (count * mean)[there]
        of[there] += count[there]
    none = np.full(len(weights), np.nan)
    return np.divide(total, of, out=none, where=of > 0), float(control[0] / of[0]) if of[0] else 0.0
