"""Retention of accounts and revenue by quarter, reconciled to the movements of ARR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.arguments import checked
from leadsignal.churn.plots import retention_picture
from leadsignal.config.toml_files import one_of
from leadsignal.end_of_risk import known_ends
from leadsignal.errors import OptionError
from leadsignal.results import Result, or_dash
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

START = "start_quarter"
MOVES = ("new_arr", "expansion_arr", "reduction_arr", "churned_arr", "other_ended_arr")


@dataclass(frozen=True, repr=False, eq=False)
class Retention(Result):
    """One row a cohort and calendar quarter, from the first quarter in which it was there.

    A quarter begins with the accounts and the ARR of the last day before it, and ends with those
    of its own last day; what happens on its first day (a start, an end, a change) is its own.
    Of the accounts there when the quarter begins: ``logo`` is the share still there when it ends;
    ``gross`` their ARR then, none counted above what it was at the beginning, over their ARR at
    the beginning; ``net`` their ARR then over the same. Movements: ``opening_arr`` + ``new_arr`` +
    ``expansion_arr`` − ``reduction_arr`` − ``churned_arr`` − ``other_ended_arr`` =
    ``closing_arr``, which is the next quarter's opening. Expansion and reduction are net by
    account over the quarter; new accounts count as new with their ARR when the quarter ends;
    ``came_and_went`` counts those that did both inside it.

    Sums of ARR are of the accounts whose ARR is known (``arr_known`` of ``accounts``,
    ``left_arr_known`` of those that left); where it is not known of all, ``gross`` and ``net`` are
    blank, and so is all ARR without ``arr``. Accounts are dated by the start and end of the
    contract, whenever the end became known.
    """

    frame: pd.DataFrame
    by: str

    def total(self) -> pd.DataFrame:
        """Return the same by quarter, over all cohorts."""
        sums = self.frame.drop(columns=["cohort", "logo", "gross", "net"])
        return _with_shares(sums.groupby("quarter", as_index=False).sum(min_count=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, ready for JSON."""
        rows = self.frame.assign(quarter=self.frame["quarter"].astype(str)).to_dict("records")
        return {
            "by": self.by,
            "rows": [
                {str(k): None if isinstance(v, float) and np.isnan(v) else v for k, v in r.items()}
                for r in rows
            ],
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the retention of accounts and of revenue by quarter, over all cohorts.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        Axes
        """
        return retention_picture(self.total(), ax)

    def __repr__(self) -> str:
        last = self.total().tail(4)
        head = f"Retention by {self.by}, by the end of the contract"
        lines = [f"{head}; over all, the last quarters:"]
        lines += [
            f"  {row['quarter']}: {row['accounts']:,.0f} accounts, "
            + ", ".join(f"{name} {or_dash(row[name], '.1%')}" for name in ("logo", "gross", "net"))
            for row in last.to_dict("records")
        ]
        return "\n".join([*lines, *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        return self.total().round(3)

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on missing ARR, for the last quarter in which some is missing."""
        total = self.total()
        missing = total[total["arr_known"] < total["accounts"]]
        if not len(missing) or not total["arr_known"].any():
            return ()
        row = missing.iloc[-1]
        left = row["accounts"] - row["stayed"]
        return (
            f"ARR is known for {row['arr_known']:,.0f} of {row['accounts']:,.0f} accounts,"
            f" {row['left_arr_known']:,.0f} of {left:,.0f} that left ({row['quarter']}):"
            f" gross and net are blank in {len(missing)} of {len(total)} quarters",
        )


@checked
def retention_table(tables: Tables, *, by: str = START) -> Retention:
    """Return retention by calendar quarter and cohort, whole quarters only.

    ``by`` is "start_quarter" (the quarter in which an account started) or a declared attribute.
    An account is there on [started_on, ended_on), notice given or not; its ARR on a day is ``arr``
    at the start and the changes up to that day. Quarters before ``accounts.complete_from`` are
    left out. Raises OptionError for a cohort that is not there, or where no quarter is whole.

    >>> import leadsignal as ls
    >>> table = ls.churn.retention_table(ls.read_tables(ls.sample_folder()))
    >>> bool((table.total()["net"] >= table.total()["gross"] - 1e-12).all())
    True
    """
    import pandas as pd

    accounts = tables.frame("accounts")
    if by != START and by not in tables.attributes:
        raise OptionError(
            f"by = {by!r} is not an attribute of accounts", one_of([START, *tables.attributes], by)
        )
    cohort = (
        accounts["started_on"].dt.to_period("Q").astype(str)
        if by == START
        else accounts[by].astype("string").fillna("unknown").astype(object)
    )
    begins = _quarters(tables, accounts)
    arr = _arr_on(tables, accounts, begins)
    parts = [
        _quarter(tables, accounts, cohort, quarter, arr[:, n], arr[:, n + 1])
        for n, quarter in enumerate(begins[:-1])
    ]
    return Retention(pd.concat(parts, ignore_index=True), by)


def _quarters(tables: Tables, accounts: pd.DataFrame) -> list[pd.Period]:
    """Return the full quarters between the start of the data and as_of, and the one after."""
    import pandas as pd

    since = tables.coverage["accounts"].complete_from
    first = pd.Timestamp(since) if since else accounts["started_on"].min()
    begin = first.to_period("Q")
    if since and first > begin.start_time:
        begin += 1
    end = pd.Timestamp(tables.as_of_date).to_period("Q")
    if begin >= end:
        raise OptionError("the data cover no complete calendar quarter", "Provide a longer history")
    return list(pd.period_range(begin, end, freq="Q"))


def _arr_on(tables: Tables, accounts: pd.DataFrame, quarters: list[Any]) -> Any:
    """Return ARR by account on the last day before each quarter, shape (accounts, quarters)."""
    import pandas as pd

    arr = np.repeat(accounts["arr"].to_numpy(dtype=float)[:, None], len(quarters), axis=1)
    if "contract_changes" not in tables.names:
        return arr
    changes = tables.frame("contract_changes").dropna(subset=["arr_delta"])
    row = pd.Index(accounts["account_id"]).get_indexer(changes["account_id"])
    begins = np.array([quarter.start_time.to_datetime64() for quarter in quarters])
    place = np.searchsorted(begins, changes["changed_at"].to_numpy(), side="right")
    deltas = np.zeros((len(accounts), len(quarters) + 1))
    np.add.at(deltas, (row, place), changes["arr_delta"].to_numpy(dtype=float))
    return arr + np.cumsum(deltas, axis=1)[:, :-1]


def _quarter(
    tables: Tables, accounts: pd.DataFrame, cohort: Any, quarter: Any, opening: Any, closing: Any
) -> pd.DataFrame:
    import pandas as pd

    begin, end = quarter.start_time, (quarter + 1).start_time
    started, ended = accounts["started_on"], accounts["ended_on"]
    here = ((started < begin) & ~(ended < begin)).to_numpy()
    later = ((started < end) & ~(ended < end)).to_numpy()
    came = ((started >= begin) & (started < end)).to_numpy()
    churns = known_ends(tables, accounts)["is_churn"].to_numpy()
    gone, stayed = here & ~later, here & later
    columns = {
        "accounts": here,
        "stayed": stayed,
        "churned": gone & churns,
        "other_ended": gone & ~churns,
        "new": came & later,
        "came_and_went": came & ~later,
        "arr_known": here & ~np.isnan(opening),
        "left_arr_known": gone & ~np.isnan(opening),
        "opening_arr": np.where(here, opening, 0.0),
        "new_arr": np.where(came & later, closing, 0.0),
        "expansion_arr": np.where(stayed, np.maximum(closing - opening, 0.0), 0.0),
        "reduction_arr": np.where(stayed, np.maximum(opening - closing, 0.0), 0.0),
        "churned_arr": np.where(gone & churns, opening, 0.0),
        "other_ended_arr": np.where(gone & ~churns, opening, 0.0),
        "closing_arr": np.where(later, closing, 0.0),
    }
    frame = pd.DataFrame({name: np.asarray(of, dtype=float) for name, of in columns.items()})
    sums = frame.groupby(cohort.to_numpy()).sum(min_count=1).rename_axis("cohort").reset_index()
    sums.insert(1, "quarter", quarter)
    there = sums[["accounts", "new", "came_and_went"]].sum(axis=1) > 0
    return _with_shares(sums[there])


def _with_shares(sums: pd.DataFrame) -> pd.DataFrame:
    """Add logo, gross and net retention; blank where nobody was there, or some ARR is unknown."""
    there = sums["accounts"].where(sums["accounts"] > 0)
    known = (sums["opening_arr"] > 0) & (sums["arr_known"] == sums["accounts"])
    opening = sums["opening_arr"].where(known)
    lost = sums["churned_arr"] + sums["other_ended_arr"] + sums["reduction_arr"]
    return sums.assign(
        logo=sums["stayed"] / there,
        gross=(sums["opening_arr"] - lost) / opening,
        net=(sums["opening_arr"] - lost + sums["expansion_arr"]) / opening,
    )
