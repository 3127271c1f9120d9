"""Rescued accounts: flags that were cleared, and the outcome two renewals later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
from leadsignal.panel import Panel
from leadsignal.phrases import share_between
from leadsignal.results import Result, to_html
from leadsignal.stats.row_estimates import mean_of
from leadsignal.tables import Tables

STAYED, LEFT_FIRST, LEFT_SECOND = "stayed", "left by the first renewal", "left by the second"
NOT_YET, NO_TERM = "not yet known", "no renewal date"
OUTCOMES = (STAYED, LEFT_FIRST, LEFT_SECOND, NOT_YET, NO_TERM)


@dataclass(frozen=True, repr=False, eq=False)
class Rescues(Result):
    """Accounts whose flag was cleared, and what happened at their next two renewals.

    Attributes
    ----------
    frame : DataFrame
        One row per cleared flag: account_id, customer_id, flagged_on, cleared_on, first_renewal
        and second_renewal (the next two renewals under the contract of that day), ended_on,
        flagged_again, outcome.
    """

    frame: pd.DataFrame

    @property
    def known(self) -> pd.DataFrame:
        """The rescues that have passed their second renewal, or left before it."""
        return self.frame[self.frame["outcome"].isin(OUTCOMES[:3])]

    def counts(self) -> pd.Series[int]:
        """Return rescues by outcome."""
        return self.frame["outcome"].value_counts().reindex(OUTCOMES, fill_value=0)

    def stayed(self) -> tuple[float, float, float]:
        """Return the share that stayed past the second renewal, with 95 % interval by customer."""
        known = self.known
        if not len(known):
            return float("nan"), float("nan"), float("nan")
        share = mean_of(np.asarray(known["outcome"] == STAYED, dtype=np.float64))
        customer = pd.factorize(known["customer_id"])[0].astype(np.int64)
        return share.estimate, *share.interval(customer)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        share, low, high = (None if np.isnan(x) else x for x in self.stayed())
        counts = {str(name): int(count) for name, count in self.counts().items()}
        return {"rescues": len(self.frame), "outcomes": counts, "stayed": share, "stayed_low": low,
                "stayed_high": high}  # fmt: skip

    def __repr__(self) -> str:
        if not len(self.frame):
            return "No flag was cleared"
        outcomes = ", ".join(f"{count:,} {name}" for name, count in self.counts().items() if count)
        share, low, high = self.stayed()
        again = int(self.frame["flagged_again"].sum())
        lines = [f"{len(self.frame):,} flags cleared: {outcomes}; {again:,} flagged again"]
        if len(self.known):
            lines.append(f"{share_between(share, low, high)} there after the second renewal")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return to_html(repr(self), self.frame)


@checked
def find_rescues(tables: Tables, panel: Panel) -> Rescues:
    """Return the outcome of each cleared flag at the account's second renewal afterwards.

    An account leaves at the end of its contract; one that ends on the day of a renewal has not
    renewed. Renewal dates are those of the account's first snapshot on or after the clearing.
    Raises OptionError if there are no flags, or if the panel is a sample of its rows.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> rescues = find_rescues(tables, ls.build_panel(tables))
    >>> rescues["cleared_on"].isna().any().item()
    False
    """
    panel.refuse_sample("a list of rescues")
    if "flags" not in tables.names:
        raise OptionError(
            "there is no table flags",
            "Add flags.csv, with the accounts that the team marked as at risk",
        )
    flags = tables.frame("flags")
    cleared = flags[flags["cleared_on"].notna()].sort_values(["cleared_on", "account_id"])
    cleared = cleared[["account_id", "flagged_on", "cleared_on"]]
    later = _first_snapshots(panel, cleared)
    first = later["snapshot_on"] + pd.to_timedelta(later["days_to_renewal"], unit="D")
    second = _add_months(first, later["term_months"])
    accounts = tables.frame("accounts").set_index("account_id")
    ended = cleared["account_id"].map(accounts["ended_on"])
    customer = cleared["account_id"].map(accounts["customer_id"])
    frame = cleared.assign(
        customer_id=customer.fillna(cleared["account_id"]),
        first_renewal=first.to_numpy(),
        second_renewal=second.to_numpy(),
        ended_on=ended,
        flagged_again=_flagged_again(cleared, flags),
    )
    frame["outcome"] = _outcomes(frame, pd.Timestamp(tables.as_of_date))
    return Rescues(frame.reset_index(drop=True))


def _first_snapshots(panel: Panel, cleared: pd.DataFrame) -> pd.DataFrame:
    """Return, in the order of ``cleared``, the account's first row on or after the clearing."""
    columns = ["account_id", "snapshot_on", "days_to_renewal", "term_months"]
    rows = panel.frame.reindex(columns=columns).sort_values("snapshot_on")
    found = pd.merge_asof(
        cleared.assign(order=np.arange(len(cleared)), snapshot=_to_the_day(cleared["cleared_on"])),
        rows.assign(snapshot=_to_the_day(rows["snapshot_on"])),
        on="snapshot",
        by="account_id",
        direction="forward",
    )
    return found.sort_values("order")


def _to_the_day(dates: pd.Series[Any]) -> NDArray[Any]:
    """Return dates in a common unit, since tables and panels use different ones."""
    return dates.to_numpy().astype("datetime64[ns]")


def _add_months(dates: pd.Series[Any], months: pd.Series[Any]) -> pd.Series[Any]:
    moved = [
        day + pd.DateOffset(months=int(term)) if pd.notna(day) and pd.notna(term) else pd.NaT
        for day, term in zip(dates, months, strict=True)
    ]
    return pd.Series(moved, dtype="datetime64[ns]")


def _flagged_again(cleared: pd.DataFrame, flags: pd.DataFrame) -> Any:
    last = flags.groupby("account_id")["flagged_on"].max()
    return (cleared["account_id"].map(last) >= cleared["cleared_on"]).to_numpy()


def _outcomes(frame: pd.DataFrame, as_of: pd.Timestamp) -> Any:
    ended, first, second = frame["ended_on"], frame["first_renewal"], frame["second_renewal"]
    return np.select(
        [
            ended.notna() & (first.isna() | (ended <= first)),
            ended.notna() & (ended <= second),
            second < as_of,
            second.notna(),
        ],
        [LEFT_FIRST, LEFT_SECOND, STAYED, NOT_YET],
        default=NO_TERM,
    )
