"""Draw the pictures of README and docs from simulated businesses, into docs/pictures.

    python docs/make/pictures.py [docs/pictures] [NAME …]

Drawn with the library's own plots where it has one. The same versions give the same picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, YearLocator
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

sys.path.insert(0, str(Path(__file__).parent))
import leadsignal as ls
from gallery import business, entry, horizon_analysis, lives, tables_of
from leadsignal.survival import aalen_johansen, kaplan_meier

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


def bare(axes: Axes, title: str) -> None:
    """Leave out what draws nothing, and say what is shown."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11)


@cache
def panel() -> ls.Panel:
    """Return the panel of a business of the size of the sample, and of another seed."""
    simulation = ls.simulate(1200, seed=11, noise_rate=0.25)
    return ls.build_panel(tables_of(simulation), horizon_analysis(simulation))


@cache
def backtest() -> ls.Backtest:
    """Return its alerts replayed."""
    methods = ["random", "usage", "health", "context", "leading"]
    return ls.run_backtest(panel(), origins=3, methods=methods)


def caught() -> Figure:
    """Draw the recall 90 days ahead by method: the picture of README."""
    figure, axes = plt.subplots(figsize=(8.2, 3.3), layout="constrained")
    backtest().plot(axes)
    axes.set_title(
        "Called by processes and results, more of those who leave are reached in time",
        loc="left", fontsize=11,
    )  # fmt: skip
    return figure


def audit() -> Figure:
    """Leading and lagging indicators."""
    figure, axes = plt.subplots(figsize=(8.2, 4.6), layout="constrained")
    ls.audit_indicators(panel()).plot(axes)
    return figure


def lead() -> Figure:
    """One account: risk, alert, usage drop, notice."""
    found = backtest()
    rows = found.churns.query("method == 'leading' and recall_ahead and usage_drop_on.notna()")
    rows = rows[rows["lead_days"] < found.horizon].sort_values("head_start_days", ascending=False)
    figure, axes = plt.subplots(figsize=(8.2, 3.0), layout="constrained")
    found.plot_account(rows["account_id"].iloc[0], ax=axes)
    return figure


def immortal_time() -> Figure:
    """The same accounts sorted by what they ever did, and day by day."""
    tables = tables_of(business("measuring_nothing", 3000, 4, measuring_rate=0.9))
    accounts = lives(tables)
    ever = accounts["account_id"].isin(tables.frame("results")["account_id"])
    seen = accounts["days"] > entry(accounts)
    names = np.where(ever, "measured at some time", "never measured")[seen]
    naive = kaplan_meier(
        accounts["days"][seen], accounts["ended"][seen], start=entry(accounts)[seen], group=names
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 3.9), layout="constrained")
    naive.plot(left, at_risk=False)
    ls.compare_cohorts(tables, "measured", methods=["time_dependent"]).plot(right)
    for axes in (left, right):
        axes.set_xlim(0, 900)
        axes.set_ylim(0, 1)
        axes.set_xlabel("days since the start")
        axes.set_ylabel("still a customer")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    bare(left, "Sorted by what they ever did: a gap out of nothing")
    bare(right, "Each day in the cohort of that day: hardly a gap is left")
    return figure


def censoring() -> Figure:
    """Ten accounts as calendar shows them and as tenure does."""
    accounts = lives(tables_of(business("leading", 900, 2)))
    accounts = accounts[entry(accounts) == 0]
    drawn = accounts.sample(10, random_state=3).sort_values("days").reset_index(drop=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 3.4), layout="constrained")
    for y, row in drawn.iterrows():
        start = row["started_on"]
        for axes, begin, end in (
            (left, start, start + pd.Timedelta(days=row["days"])),
            (right, 0, row["days"]),
        ):
            colour = ORANGE if row["ended"] else BLUE
            axes.plot([begin, end], [y, y], color=colour, linewidth=2)
            face = colour if row["ended"] else "white"
            axes.plot([end], [y], marker="o", color=colour, markerfacecolor=face, markersize=6)
    left.xaxis.set_major_locator(YearLocator())  # type: ignore[no-untyped-call]
    left.xaxis.set_major_formatter(DateFormatter("%Y"))  # type: ignore[no-untyped-call]
    left.set_xlabel("calendar")
    right.set_xlabel("days since the start")
    for axes in (left, right):
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    bare(left, "Filled: has left. Open: still here on the last day")
    bare(right, "The same ten by tenure: an open end says «at least»")
    return figure


def lifetimes() -> Figure:
    """A survival curve beside what the leavers alone would say."""
    accounts = lives(tables_of(business("leading", 900, 2)))
    seen = accounts["days"] > entry(accounts)
    left = accounts["ended"] & seen
    days = np.concatenate([accounts["days"][seen], accounts["days"][left]])
    ended = np.concatenate([accounts["ended"][seen], np.ones(left.sum(), bool)])
    start = np.concatenate([entry(accounts)[seen], np.zeros(left.sum())])
    names = np.repeat(["all customers", "only those who left"], [seen.sum(), left.sum()])
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    kaplan_meier(days, ended, start=start, group=names).plot(axes, at_risk=False)
    axes.set_xlabel("days since the start")
    axes.set_ylabel("still a customer")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    bare(axes, "Leaving out those still here makes everybody leave")
    return figure


def competing_ends() -> Figure:
    """Time to adoption with leaving as a competing end, and without."""
    simulation = business("leading", 900, 2)
    tables, analysis = tables_of(simulation), horizon_analysis(simulation)
    episodes = ls.panel.adoption_episodes(tables, analysis)
    episodes = episodes[episodes["process"] == analysis.processes[0].name]
    first = episodes.groupby("account_id")["adopted_on"].min()
    accounts = lives(tables)
    accounts = accounts[entry(accounts) == 0].set_index("account_id")
    adopted = (first.reindex(accounts.index) - accounts["started_on"]).dt.days
    stop = adopted.fillna(accounts["days"]).clip(lower=1)
    cause = np.where(adopted.notna(), 1, np.where(accounts["ended"], 2, 0))
    wrong = kaplan_meier(stop, adopted.notna())[0]
    figure, axes = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    days = np.arange(0, 1001)
    right = {curve.cause: curve.at(days) for curve in aalen_johansen(stop, cause)}
    axes.plot(days, 1 - wrong.at(days), color=GREY, linestyle="--")
    axes.plot(days, right[1], color=BLUE, linewidth=2)
    axes.plot(days, right[2], color=ORANGE, linestyle="-.")
    for y, text, colour in (
        (1 - wrong.at([1000])[0], "adopted, leavers\ntaken as if they\ncould still adopt", GREY),
        (right[1][-1], "adopted", BLUE),
        (right[2][-1], "left without", ORANGE),
    ):
        axes.annotate(text, (1000, y), (8, 0), textcoords="offset points", color=colour,
                      va="center", fontsize=9)  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1000)
    axes.set_xlabel("days since the start")
    axes.set_ylabel("share of all customers")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    bare(axes, "Who has left cannot adopt any more")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "caught": caught,
    "audit": audit,
    "lead": lead,
    "immortal-time": immortal_time,
    "censoring": censoring,
    "lifetimes": lifetimes,
    "competing-ends": competing_ends,
}


def draw(folder: Path, names: list[str]) -> list[Path]:
    """Draw pictures by name (all, if none is given) and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in names or list(PICTURES):
        figure = PICTURES[name]()
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110, metadata={"Software": None})
        plt.close(figure)
    return files


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "pictures"
    draw(target, sys.argv[2:])
