"""Adoption of the essential processes: by start quarter, and how long it takes.

Accounts must be observed from their start. Those that started before the tables are complete are
left out and counted, because earlier adoptions are unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.accounts import known_ends
from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.config.success import Process, SuccessAnalysis, applies_to_rows
from leadsignal.errors import ModelError, OptionError, one_of
from leadsignal.files.writing import json_rows
from leadsignal.formats import share_between, share_text
from leadsignal.results import Result
from leadsignal.survival.curves import Curves, aalen_johansen
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


ADOPTED, LEFT = 1, 2
MAX_DRAWN, MIN_DRAWN = 12, 5
"""Maximum number of processes in a plot; minimum number of accounts in a quarter."""
OUTCOMES = ("by_milestone", "later", "left", "overdue", "open")
OUTCOME_NAMES = {
    "by_milestone": "adopted by the milestone",
    "later": "adopted later",
    "left": "left without",
    "overdue": "overdue",
    "open": "open: not yet due",
}
OUTCOME_COLOURS = {
    "by_milestone": plots.COLOURS[2], "later": plots.COLOURS[4], "left": plots.COLOURS[1],
    "overdue": plots.COLOURS[5], "open": plots.FAINT,
}  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class Adoption(Result):
    """Adoption by process and by the quarter in which accounts started, one row each.

    Each of the ``accounts`` counts in one column: ``by_milestone`` (adopted by the milestone),
    ``later`` (adopted later), ``left`` (left without adopting, dated by the day it was known),
    ``overdue`` (still active) or ``open`` (not adopted, milestone still to come).
    ``share_by_milestone`` is the share so far, and ``share_at_most`` the share if all open accounts
    make it; the two are equal once no account is open. ``share_ever`` includes late adoption.
    Shares by the milestone are missing for a process without one. ``left_out`` is the number of
    accounts that started before the tables are complete.
    """

    frame: pd.DataFrame
    left_out: int

    def total(self) -> pd.DataFrame:
        """Return the same columns by process, over all quarters."""
        sums = self.frame.groupby("process", sort=False)[["accounts", *OUTCOMES]].sum()
        has = self.frame.groupby("process", sort=False)["share_at_most"].count() > 0
        return _with_shares(sums.reset_index(), has.to_numpy())

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, ready for JSON."""
        return {"left_out": self.left_out, "rows": json_rows(self.frame)}

    def plot(self, process: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot the adoption of all processes, or the outcomes of all accounts for one process.

        Parameters
        ----------
        process : str, optional
            Process whose outcomes are plotted by start quarter. By default, if there are several
            processes, the share of each quarter's accounts that adopted each process by its
            milestone.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        Axes

        Raises
        ------
        OptionError
            If there is no such process.
        """
        names = list(dict.fromkeys(self.frame["process"]))
        if process is None and len(names) > 1:
            return _plot_processes(self, names, plots.axes_of(ax, (8, 4.4)))
        name = names[0] if process is None else process
        if name not in names:
            raise OptionError(f"there is no process {name!r}", one_of(names, name))
        axes = plots.axes_of(ax, (8, 4.4))
        mine = self.frame[self.frame["process"] == name]
        parts = [
            (OUTCOME_NAMES[one], mine[one].to_numpy(dtype=float), OUTCOME_COLOURS[one])
            for one in OUTCOMES
        ]
        plots.stacked_bars(axes, mine["start_quarter"], parts)
        words = name.replace("_", " ")
        plots.write_title(axes, f"{words}: what became of each quarter's new accounts")
        axes.set(xlabel="quarter of the start", ylabel="accounts")
        plots.whole_numbers(axes.yaxis)
        axes.tick_params(axis="x", rotation=45)
        axes.legend(frameon=False, fontsize=plots.LABEL, loc="upper left", bbox_to_anchor=(1, 1))
        return axes

    def __repr__(self) -> str:
        lines = ["Adoption by start quarter; over all quarters:"]
        for row in self.total().to_dict("records"):
            met = row["share_by_milestone"]
            by = f"{share_text(met)} by the milestone, " if met == met else ""
            lines.append(
                f"  {row['process']}: of {row['accounts']:,} accounts {by}"
                f"{share_text(row['share_ever'])} so far; {row['open']:,} open,"
                f" {row['overdue']:,} overdue"
            )
        if self.left_out:
            lines.append(f"{self.left_out:,} accounts started before the tables are complete")
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame.tail(10).round(3)


def _plot_processes(found: Adoption, names: Sequence[str], axes: Axes) -> Axes:
    """Plot the share that adopted each process by its milestone, or ever if it has none."""
    total = found.total().set_index("process")
    quarters, said = sorted(set(found.frame["start_quarter"])), []
    for place, name in enumerate(names[:MAX_DRAWN]):
        mine = found.frame[found.frame["process"] == name].set_index("start_quarter")
        mine = mine[mine["accounts"] >= MIN_DRAWN].reindex(quarters)
        column = "share_ever" if mine["share_by_milestone"].isna().all() else "share_by_milestone"
        words = f"{name.replace('_', ' ')}, {'so far' if column == 'share_ever' else 'in time'}"
        said.append(f"{words} {share_text(total[column][name])}")
        axes.plot(quarters, mine[column], marker="o", label=words, linewidth=1.8,
                  **plots.line_style(place))  # fmt: skip
    plots.percent_axis(axes.yaxis)
    axes.set_ylim(0, 1)
    axes.tick_params(axis="x", rotation=45)
    axes.set(
        xlabel=f"quarter of the start, with {MIN_DRAWN} accounts or more",
        ylabel="accounts that adopted the process",
    )
    plots.write_title(axes, "Adopted: " + "; ".join(said[:2]))
    axes.legend(frameon=False, fontsize=plots.LABEL)
    return axes


@dataclass(frozen=True, repr=False, eq=False)
class AdoptionCurves(Result):
    """Time to adoption: the probability of having adopted by each day since the start.

    Leaving without having adopted is a competing event. ``frame`` has ``adopted`` and ``left`` with
    intervals, by group (a process, or a process and a value of ``by``) and day; ``curves`` has the
    full step functions (cause 1: adopted, 2: left without adopting); ``milestones`` the day of each
    group's milestone; ``half_by`` the day by which half had adopted, infinite if they never had.
    """

    frame: pd.DataFrame
    curves: Curves
    milestones: dict[str, int]
    half_by: dict[str, float]
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, ready for JSON; ``half_by`` is None if half never had adopted."""
        half = {name: day if np.isfinite(day) else None for name, day in self.half_by.items()}
        return {"rows": json_rows(self.frame), "milestones": self.milestones, "half_by": half,
                "left_out": self.left_out}  # fmt: skip

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the share that had adopted by each day, with intervals and milestones."""
        axes = plots.axes_of(ax, (8, 4.6))
        for n, group in enumerate(self.half_by):
            curve = self.curves.of(group, ADOPTED)
            colour = plots.COLOURS[n % len(plots.COLOURS)]
            time = np.concatenate(([0.0], curve.time, [curve.last]))
            steps = [np.concatenate(([0.0], part, part[-1:])) for part in
                     (curve.estimate, curve.lower, curve.upper)]  # fmt: skip
            style = plots.STYLES[n % len(plots.STYLES)]
            axes.step(time, steps[0], where="post", color=colour, linestyle=style, linewidth=1.8,
                      label=group.replace("_", " "))  # fmt: skip
            plots.band(axes, time, steps[1], steps[2], colour, 0.15, step="post")
            if group in self.milestones:
                at = self.milestones[group]
                axes.plot([at], curve.at([at]), marker="D", color=colour, markeredgecolor="white",
                          markersize=9)  # fmt: skip
        axes.set(xlabel="days since the start", ylabel="share that had adopted", ylim=(0, 1),
                 xlim=(0, None))  # fmt: skip
        plots.write_title(axes, "How long adoption takes; diamonds are milestones")
        axes.axhline(0.5, color=plots.GREY, linewidth=0.8, linestyle=":")
        axes.legend(frameon=False)
        return axes

    def __repr__(self) -> str:
        lines = ["Time to adoption; leaving first competes, dated by the day it was known:"]
        for group, half in self.half_by.items():
            text = f"half by day {half:,.0f}" if np.isfinite(half) else "half never did"
            if group in self.milestones:
                due = self.milestones[group]
                of = (self.frame["group"] == group) & (self.frame["day"] == due)
                share, low, high = self.frame.loc[of, ["adopted", "adopted_low",
                                                       "adopted_high"]].iloc[0]  # fmt: skip
                if share == share:
                    text += f"; {share_between(share, low, high)} by the milestone, day {due}"
            lines.append(f"  {group}: {text}")
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame.round(3)


@checked
def adoption_table(
    tables: Tables, analysis: SuccessAnalysis, *, context: AsOfContext | None = None
) -> Adoption:
    """Count how many of each quarter's new accounts adopted each process, and by when.

    An account has adopted by its milestone if it was in the state adopted on any day up to and
    including the milestone.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis
        The success analysis, which names the processes and their milestones.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    Adoption
        One row per quarter and process.

    Raises
    ------
    OptionError
        If the analysis names no process.
    ModelError
        If no account is observed from its start.

    Examples
    --------
    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> analysis = ls.read_success_analysis(folder)
    >>> frame = ls.success_analysis.adoption_table(ls.read_tables(folder), analysis).frame
    >>> bool((frame[["by_milestone", "later", "left", "overdue", "open"]].sum(axis=1)
    ...       == frame["accounts"]).all())
    True
    """
    rows, left_out = _first_adoptions(AsOfContext.of(tables, analysis, context))
    rows["outcome"] = _outcomes(rows)
    rows["start_quarter"] = rows["started_on"].dt.to_period("Q").astype(str)
    dummies = pd.get_dummies(rows["outcome"]).reindex(columns=list(OUTCOMES), fill_value=False)
    keyed = pd.concat([rows[["process", "start_quarter"]], dummies.astype(int)], axis=1)
    counted = keyed.groupby(["process", "start_quarter"], as_index=False).sum()
    counted.insert(2, "accounts", counted[list(OUTCOMES)].sum(axis=1))
    order = {process.name: n for n, process in enumerate(analysis.processes)}
    counted = counted.sort_values(
        ["process", "start_quarter"], key=lambda c: c.map(order) if c.name == "process" else c,
        ignore_index=True,
    )  # fmt: skip
    has = {process.name: process.adopt_by is not None for process in analysis.processes}
    return Adoption(_with_shares(counted, counted["process"].map(has).to_numpy(bool)), left_out)


@checked
def adoption_curves(
    tables: Tables,
    analysis: SuccessAnalysis,
    *,
    by: str | None = None,
    days: Sequence[int] = (30, 60, 90, 120, 180, 270, 365),
) -> AdoptionCurves:
    """Estimate the share of adopters by days since the start, for each process.

    The Aalen-Johansen estimator (1978) is used. Leaving without having adopted is a competing
    event, dated by the day it became known; other accounts are censored. Standard errors are
    clustered by customer.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis
        The success analysis, which names the processes and their milestones.
    by : str, optional
        A declared text attribute to group by.
    days : sequence of int
        Days since the start at which the share is listed.

    Returns
    -------
    AdoptionCurves
        Share of adopters with 95 % intervals, by process (and group).

    Raises
    ------
    OptionError
        If the analysis names no process, or ``by`` is not an attribute.
    ModelError
        If no account is observed from its start.

    Examples
    --------
    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> tables, analysis = ls.read_tables(folder), ls.read_success_analysis(folder)
    >>> curves = adoption_curves(tables, analysis)
    >>> sorted(curves.milestones)
    ['monthly_close_review', 'weekly_reconciliation']
    """
    texts = [name for name, kind in tables.attributes.items() if kind == "text"]
    if by is not None and by not in texts:
        raise OptionError(f"{by!r} is not a declared text attribute", one_of(texts, by))
    rows, left_out = _first_adoptions(AsOfContext.of(tables, analysis))
    rows["group"] = rows["process"]
    if by is not None:
        value = rows[by].astype("string").fillna("not given").astype(str)
        rows["group"] = rows["process"] + ", " + value
    adopted = rows["days"].notna()
    curves = aalen_johansen(
        rows["days"].where(adopted, rows["seen"]).clip(lower=1.0).to_numpy(dtype=float),
        np.where(adopted, ADOPTED, np.where(rows["ended"], LEFT, 0)),
        group=rows["group"].to_numpy(dtype=str),
        cluster=rows["customer"].to_numpy(dtype=str),
    )
    groups = list(dict.fromkeys(rows["group"]))
    due = rows.groupby("group")["adopt_by"].first().dropna()
    milestones = {group: int(due[group]) for group in groups if group in due.index}
    frame = _values_on(curves, groups, days, milestones)
    half = {group: _half(curves, group) for group in groups}
    return AdoptionCurves(frame, curves, milestones, half, left_out)


def _half(curves: Curves, group: str) -> float:
    curve = curves.of(group, ADOPTED)
    reached = np.flatnonzero(curve.estimate >= 0.5 - 1e-12)
    return float(curve.time[reached[0]]) if len(reached) else float("inf")


def _values_on(
    curves: Curves, groups: Sequence[str], days: Sequence[int], milestones: dict[str, int]
) -> pd.DataFrame:
    """Return the curves on some days and at the milestones; NaN after the last day observed."""
    codes = {curve.cause for curve in curves}
    rows = []
    for group in groups:
        for on in sorted({*days, *([milestones[group]] if group in milestones else [])}):
            row: dict[str, Any] = {"group": group, "day": on}
            for code, name in ((ADOPTED, "adopted"), (LEFT, "left")):
                row |= _value_on(curves, group, code, name, on) if code in codes else {name: 0.0}
            rows.append(row)
    return pd.DataFrame(rows)


def _value_on(curves: Curves, group: str, code: int, name: str, on: int) -> dict[str, float]:
    curve = curves.of(group, code)
    step = int(np.searchsorted(curve.time, on, side="right")) - 1
    parts = (("", curve.estimate), ("_low", curve.lower), ("_high", curve.upper))
    if on > curve.last:
        return {f"{name}{end}": np.nan for end, _ in parts}
    return {f"{name}{end}": float(part[step]) if step >= 0 else 0.0 for end, part in parts}


def _first_adoptions(context: AsOfContext) -> tuple[pd.DataFrame, int]:
    """Return one row per account and process, and the number of accounts left out.

    Processes are those that apply to the account by its attributes on the as-of date. The columns
    are ``days`` from the start to the first adoption (NaN: none so far), ``seen``, the days under
    observation until the end was known, ``ended``, ``adopt_by``, and the account's own columns.
    """
    tables, analysis = context.tables, context.analysis
    if not analysis.processes:
        raise OptionError("the analysis names no process", "Add a [[process]] to success.toml")
    accounts = context.accounts
    accounts = accounts.assign(customer=accounts["customer_id"].fillna(accounts["account_id"]))
    begun = [tables.coverage[name].complete_from for name in ("accounts", "behaviors")
             if name in tables.names]  # fmt: skip
    since = pd.Timestamp(max((day for day in begun if day is not None), default=date(1700, 1, 1)))
    early = accounts["started_on"] < since
    through = tables.coverage["behaviors"].complete_through if "behaviors" in tables.names else None
    last = pd.Timestamp(tables.as_of_date)
    if through is not None:
        last = min(last, pd.Timestamp(through) + pd.Timedelta(days=1))
    known_on = known_ends(tables, accounts)["known_on"]
    stop = known_on.where(known_on <= last, last)
    accounts = accounts.assign(
        seen=(stop - accounts["started_on"]).dt.days, ended=known_on <= last
    )[~early]
    accounts = accounts[accounts["seen"] > 0]
    if not len(accounts):
        raise ModelError("no account is observed from its start", "Provide a longer history")
    first = context.episodes.groupby(["account_id", "process"])["adopted_on"].min()
    attributes = context.attributes.loc[accounts["account_id"]]
    parts = [
        _of_process(accounts[applies_to_rows(process.applies_to, attributes)], process, first)
        for process in analysis.processes
    ]
    return pd.concat(parts, ignore_index=True), int(early.sum())


def _of_process(mine: pd.DataFrame, process: Process, first: pd.Series[Any]) -> pd.DataFrame:
    of_process = first[first.index.get_level_values("process") == process.name]
    adopted = mine["account_id"].map(of_process.droplevel("process")).astype("datetime64[us]")
    days = (adopted - mine["started_on"]).dt.days.astype(float)
    due = np.nan if process.adopt_by is None else float(process.adopt_by)
    return mine.assign(process=process.name, days=days.where(days <= mine["seen"]), adopt_by=due)


def _outcomes(rows: pd.DataFrame) -> Any:
    """Return the outcome of each account; adoption of a process without a milestone is "later"."""
    adopted, due = rows["days"].notna(), rows["adopt_by"]
    return np.select(
        [adopted & (rows["days"] <= due), adopted, rows["ended"], rows["seen"] >= due],
        ["by_milestone", "later", "left", "overdue"],
        default="open",
    )


def _with_shares(counts: pd.DataFrame, has_milestone: Any) -> pd.DataFrame:
    there, met = counts["accounts"].where(counts["accounts"] > 0), counts["by_milestone"]
    return counts.assign(
        share_by_milestone=(met / there).where(has_milestone),
        share_at_most=((met + counts["open"]) / there).where(has_milestone),
        share_ever=(met + counts["later"]) / there,
    )
