"""Retention of accounts and revenue by period, reconciled to the movements of ARR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal import plots
from leadsignal.accounts import known_ends
from leadsignal.arguments import checked
from leadsignal.errors import OptionError, one_of
from leadsignal.files.writing import json_rows
from leadsignal.formats import share_text
from leadsignal.results import MAX_ROWS, Result
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

START = "start_quarter"
PERIODS = {"month": "M", "quarter": "Q", "year": "Y"}
UNITS = ("account", "customer")


@dataclass(frozen=True, repr=False, eq=False)
class Retention(Result):
    """Retention with one row per cohort and calendar period.

    A period opens with the accounts and ARR of the last day before it and closes with those of its
    own last day; a start, an end or a change on its first day belongs to it. For the units
    (accounts or customers) present at the opening, ``logo`` is the share still present at the
    closing. ``gross`` is their closing ARR over their opening ARR, with each unit capped at its
    opening ARR; ``net`` is the same without the cap. The movements of ARR add up:
    ``opening_arr`` + ``new_arr`` + ``reactivated_arr`` + ``expansion_arr`` − ``reduction_arr`` −
    ``churned_arr`` − ``other_ended_arr`` = ``closing_arr``, which is the next period's opening.

    With ``over=12`` each row covers the 12 periods that end with its own: it opens on the day
    before the first of them, and its movements are those of all 12.

    Expansion and reduction are netted by unit over the period. New units count with their closing
    ARR, as reactivated if their customer had left before; ``came_and_went`` counts units that
    started and ended within the period.

    ARR is summed over the units whose ARR is known (``arr_known`` of ``accounts``,
    ``left_arr_known`` of those that left). Unless it is known for all of them, ``gross`` and
    ``net`` are NaN; without a column ``arr``, so is all ARR. Accounts are dated by the start and
    end of the contract, whenever the end became known.

    Parameters
    ----------
    frame : DataFrame
        The rows; ``accounts`` counts units.
    by : str
        Definition of the cohorts: ``"start_quarter"`` or an attribute.
    every : {"month", "quarter", "year"}
        Length of a period.
    unit : {"account", "customer"}
        What is counted.
    over : int
        Number of periods that each row covers; ``period`` is the last of them.
    """

    frame: pd.DataFrame
    by: str
    every: str = "quarter"
    unit: str = "account"
    over: int = 1

    def total(self) -> pd.DataFrame:
        """Return the table by period, summed over all cohorts."""
        sums = self.frame.drop(columns=["cohort", "logo", "gross", "net"])
        return _with_shares(sums.groupby("period", as_index=False).sum(min_count=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, ready for JSON."""
        rows = json_rows(self.frame.assign(period=self.frame["period"].astype(str)))
        settings = {"by": self.by, "every": self.every, "unit": self.unit, "over": self.over}
        return {**settings, "rows": rows}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the retention of accounts and of revenue by period, with gaps where it is unknown.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        Axes
        """
        total = self.total()
        axes = plots.axes_of(ax, (8.4, 4.4))
        known = [name for name in MEASURES if total[name].notna().any()]
        at = np.arange(len(total))
        axes.axhline(1, color=plots.GREY, linewidth=1, linestyle=":", zorder=0)
        ends = []
        for number, name in enumerate(known):
            values = total[name].to_numpy(dtype=float)
            colour, style = plots.COLOURS[number], plots.STYLES[number]
            axes.plot(at, values, color=colour, linestyle=style, marker="o", markersize=3.5)
            last = np.flatnonzero(~np.isnan(values))[-1]
            what = f"{self.unit}s" if name == "logo" else MEASURES[name]
            text = f"{what} {share_text(values[last], 1)}"
            ends.append((float(values[last]), text, colour))
        step = -(-len(total) // MAX_TICKS)
        shown = at[::-1][::step][::-1]
        axes.set_xticks(shown, [_label(total["period"].iloc[place]) for place in shown])
        plots.percent_axis(axes.yaxis)
        axes.set(ylabel=f"kept over the {self._span}", xlabel=self.every)
        plots.write_title(axes, _title(total, known, self.every, self.unit))
        low, high = axes.get_ylim()
        plots.name_ends(axes, ends, 0.05 * (high - low), (4, 0))
        return axes

    @property
    def _span(self) -> str:
        """The time that a row covers, as text."""
        return self.every if self.over == 1 else f"{self.over} {self.every}s"

    def __repr__(self) -> str:
        last = self.total().tail(4)
        head = f"Retention by {self.by}, by the end of the contract"
        if self.over > 1:
            head += f", over the {self._span} until then"
        lines = [f"{head}; over all, the last {self.every}s:"]
        lines += [
            f"  {row['period']}: {row['accounts']:,.0f} {self.unit}s, "
            + ", ".join(f"{name} {share_text(row[name], 1)}" for name in ("logo", "gross", "net"))
            for row in last.to_dict("records")
        ]
        return "\n".join([*lines, *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        columns = ["period", f"{self.unit}s", "stayed", "churned", "new", "logo", "gross", "net"]
        total = self.total().rename(columns={"accounts": f"{self.unit}s"})
        return total[columns].tail(MAX_ROWS)

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on missing ARR, for the last period with any."""
        total = self.total()
        missing = total[total["arr_known"] < total["accounts"]]
        if not len(missing) or not total["arr_known"].any():
            return ()
        row = missing.iloc[-1]
        left = row["accounts"] - row["stayed"]
        return (
            f"ARR is known for {row['arr_known']:,.0f} of {row['accounts']:,.0f} {self.unit}s,"
            f" {row['left_arr_known']:,.0f} of {left:,.0f} that left ({row['period']}):"
            f" gross and net are blank in {len(missing)} of {len(total)} {self.every}s",
        )


@checked
def retention_table(
    tables: Tables, *, by: str = START, every: str = "quarter", unit: str = "account", over: int = 1
) -> Retention:
    """Return retention by calendar period and cohort, for complete periods only.

    An account is present on [started_on, ended_on), whether or not notice was given. Its ARR on a
    day is ``arr`` at the start plus the changes up to that day. Periods before
    ``accounts.complete_from`` are left out.

    Parameters
    ----------
    tables : Tables
        The tables.
    by : str, default "start_quarter"
        Cohorts: the quarter in which a unit started, or a declared attribute.
    every : {"month", "quarter", "year"}, default "quarter"
        Length of a period.
    unit : {"account", "customer"}, default "account"
        What is counted. A customer is present while any of its accounts is. Gains and losses of its
        accounts within a period are netted, and its cohort is that of its first account.
    over : int, default 1
        Number of periods that each row covers. ``every="month", over=12`` gives the trailing year
        by month, as finance defines gross and net revenue retention.

    Returns
    -------
    Retention

    Raises
    ------
    OptionError
        For a cohort, period or unit that does not exist, or with fewer than ``over`` complete
        periods.

    Examples
    --------
    >>> import leadsignal as ls
    >>> table = ls.churn.retention_table(ls.read_tables(ls.sample_folder()))
    >>> bool((table.total()["net"] >= table.total()["gross"] - 1e-12).all())
    True
    """
    for name, value, allowed in (("every", every, (*PERIODS,)), ("unit", unit, UNITS)):
        if value not in allowed:
            raise OptionError(f"{name} = {value!r} is not allowed", one_of(allowed, value))
    accounts = tables.frame("accounts")
    if not isinstance(over, int) or over < 1:
        raise OptionError(f"over = {over!r} is not allowed", "Give a number of periods, 1 or more")
    if by != START and by not in tables.attributes:
        raise OptionError(
            f"by = {by!r} is not an attribute of accounts", one_of([START, *tables.attributes], by)
        )
    cohort = (
        accounts["started_on"].dt.to_period("Q").astype(str)
        if by == START
        else accounts[by].astype("string").fillna("unknown").astype(object)
    )
    units = _units(tables, accounts, cohort.to_numpy(dtype=object), unit)
    begins = _periods(tables, accounts, every, over)
    arr = _arr_on(tables, accounts, begins)
    parts = [
        _period(units, begins[n], begins[n + over], arr[:, n], arr[:, n + over])
        for n in range(len(begins) - over)
    ]
    return Retention(pd.concat(parts, ignore_index=True), by, every, unit, over)


@dataclass(frozen=True, eq=False)
class _Units:
    """Accounts (n) and the units (u) that they belong to.

    ``code`` (n) is the unit of an account, ``cohort`` (u) that of its first account, ``left`` (n)
    the day by which all earlier accounts of its customer had ended; NaT without any.
    """

    accounts: pd.DataFrame
    is_churn: NDArray[np.bool_]
    code: NDArray[np.intp]
    cohort: NDArray[Any]
    left: pd.Series[Any]

    def any(self, where: Any) -> NDArray[np.bool_]:
        """Return whether any account of each unit is marked."""
        return np.bincount(self.code, where, len(self.cohort)) > 0

    def sum(self, values: Any) -> NDArray[np.float64]:
        """Return the sum over the accounts of each unit; NaN if one is unknown."""
        return np.bincount(self.code, values, len(self.cohort)).astype(np.float64)


def _units(tables: Tables, accounts: pd.DataFrame, cohort: Any, unit: str) -> _Units:
    customer = accounts["customer_id"].where(
        accounts["customer_id"].notna(), accounts["account_id"]
    )
    order = accounts.assign(customer=customer).sort_values("started_on", kind="stable")
    ended = order["ended_on"].fillna(pd.Timestamp.max.normalize())
    before = ended.groupby(order["customer"]).cummax().groupby(order["customer"]).shift()
    ids = accounts["account_id"] if unit == "account" else customer
    code, names = pd.factorize(ids)
    first = np.full(len(names), -1)
    by_start = np.argsort(accounts["started_on"].to_numpy(), kind="stable")[::-1]
    first[code[by_start]] = by_start  # the earliest is assigned last
    is_churn = known_ends(tables, accounts)["is_churn"].to_numpy(dtype=bool)
    return _Units(accounts, is_churn, code, cohort[first], before.reindex(accounts.index))


def _periods(tables: Tables, accounts: pd.DataFrame, every: str, over: int) -> list[pd.Period]:
    """Return the complete periods between the start of the data and as_of, and the one after."""
    freq = PERIODS[every]
    since = tables.coverage["accounts"].complete_from
    first = pd.Timestamp(since) if since else accounts["started_on"].min()
    begin = first.to_period(freq)
    if since and first > begin.start_time:
        begin += 1
    end = pd.Timestamp(tables.as_of_date).to_period(freq)
    if begin + (over - 1) >= end:
        few = f"no complete calendar {every}" if over == 1 else f"fewer than {over} whole {every}s"
        raise OptionError(f"the data cover {few}", "Provide a longer history")
    return list(pd.period_range(begin, end, freq=freq))


def _arr_on(tables: Tables, accounts: pd.DataFrame, periods: list[Any]) -> Any:
    """Return ARR by account on the last day before each period, shape (accounts, periods)."""
    arr = np.repeat(accounts["arr"].to_numpy(dtype=float)[:, None], len(periods), axis=1)
    if "contract_changes" not in tables.names:
        return arr
    changes = tables.frame("contract_changes").dropna(subset=["arr_delta"])
    row = pd.Index(accounts["account_id"]).get_indexer(changes["account_id"])
    begins = np.array([period.start_time.to_datetime64() for period in periods])
    place = np.searchsorted(begins, changes["changed_at"].to_numpy(), side="right")
    deltas = np.zeros((len(accounts), len(periods) + 1))
    np.add.at(deltas, (row, place), changes["arr_delta"].to_numpy(dtype=float))
    return arr + np.cumsum(deltas, axis=1)[:, :-1]


def _period(units: _Units, first: Any, after: Any, opening: Any, closing: Any) -> pd.DataFrame:
    begin, end = first.start_time, after.start_time
    started, ended = units.accounts["started_on"], units.accounts["ended_on"]
    account_here = ((started < begin) & ~(ended < begin)).to_numpy()
    account_later = ((started < end) & ~(ended < end)).to_numpy()
    inside = ((started >= begin) & (started < end)).to_numpy()
    here, later = units.any(account_here), units.any(account_later)
    came = units.any(inside) & ~here
    back = came & units.any(inside & (units.left <= started).to_numpy(dtype=bool))
    churns = units.any(account_here & ~account_later & units.is_churn)
    gone, stayed, new = here & ~later, here & later, came & ~back
    first = units.sum(np.where(account_here, opening, 0.0))
    last = units.sum(np.where(account_later, closing, 0.0))
    columns = {
        "accounts": here,
        "stayed": stayed,
        "churned": gone & churns,
        "other_ended": gone & ~churns,
        "new": new & later,
        "reactivated": back & later,
        "came_and_went": came & ~later,
        "arr_known": here & ~np.isnan(first),
        "left_arr_known": gone & ~np.isnan(first),
        "opening_arr": first,
        "new_arr": np.where(new & later, last, 0.0),
        "reactivated_arr": np.where(back & later, last, 0.0),
        "expansion_arr": np.where(stayed, np.maximum(last - first, 0.0), 0.0),
        "reduction_arr": np.where(stayed, np.maximum(first - last, 0.0), 0.0),
        "churned_arr": np.where(gone & churns, first, 0.0),
        "other_ended_arr": np.where(gone & ~churns, first, 0.0),
        "closing_arr": last,
    }
    frame = pd.DataFrame({name: np.asarray(of, dtype=float) for name, of in columns.items()})
    sums = frame.groupby(units.cohort).sum(min_count=1).rename_axis("cohort").reset_index()
    sums.insert(1, "period", after - 1)
    there = sums[["accounts", "new", "reactivated", "came_and_went"]].sum(axis=1) > 0
    return _with_shares(sums[there])


def _with_shares(sums: pd.DataFrame) -> pd.DataFrame:
    """Add logo, gross and net retention; NaN where no unit was present or some ARR is unknown."""
    there = sums["accounts"].where(sums["accounts"] > 0)
    known = (sums["opening_arr"] > 0) & (sums["arr_known"] == sums["accounts"])
    opening = sums["opening_arr"].where(known)
    lost = sums["churned_arr"] + sums["other_ended_arr"] + sums["reduction_arr"]
    return sums.assign(
        logo=sums["stayed"] / there,
        gross=(sums["opening_arr"] - lost) / opening,
        net=(sums["opening_arr"] - lost + sums["expansion_arr"]) / opening,
    )


MEASURES = {"net": "net revenue", "logo": "accounts", "gross": "gross revenue"}
MAX_TICKS = 12
"""Maximum number of periods labelled on the axis."""


def _label(period: object) -> str:
    """Return "2024Q1" as "Q1\\n2024", which is narrower; months and years are unchanged."""
    year, quarter, number = str(period).partition("Q")
    return f"Q{number}\n{year}" if quarter else year


def _title(total: pd.DataFrame, known: list[str], every: str, unit: str) -> str:
    said = [name for name in ("logo", "net") if name in known]
    if not said:
        return f"Retention by {every}"
    last = total.dropna(subset=said).iloc[-1]
    parts = [
        f"{last['stayed']:,.0f} of {last['accounts']:,.0f} {unit}s stayed",
        f"net revenue retention was {share_text(last['net'], 1)}" if "net" in said else "",
    ]
    return f"{last['period']}: {', '.join(filter(None, parts))}"
