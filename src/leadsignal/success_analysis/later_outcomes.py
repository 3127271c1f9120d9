"""Later retention of the accounts that each selection criterion would have chosen in the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked
from leadsignal.config.success import SuccessAnalysis
from leadsignal.durations import Duration, days_in
from leadsignal.end_of_risk import known_ends
from leadsignal.errors import ModelError
from leadsignal.files.records import json_rows
from leadsignal.phrases import share_between
from leadsignal.results import Result
from leadsignal.stats.row_estimates import mean_of
from leadsignal.success_analysis.criteria import CRITERIA, best
from leadsignal.success_analysis.plots import plot_later_retention
from leadsignal.success_analysis.successful import most_successful
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        return {
            "dates": [day.isoformat() for day in self.dates],
            "follow_days": self.follow_days,
            "lists": json_rows(self.frame),
        }

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
        return plot_later_retention(self.frame, len(self.dates), self.follow_days, ax)


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
