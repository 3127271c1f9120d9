"""Churn events, with their causes, usage drops and warnings; and rescued accounts.

These results are retrospective. A usage drop is defined only once the account has ended, so nothing
here is an indicator and nothing enters the panel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal import plots
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.errors import OptionError
from leadsignal.formats import share_between
from leadsignal.panel import Panel
from leadsignal.results import Result, text_table, to_html
from leadsignal.stats import mean_of
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_QUARTERS = 12
"""Maximum number of quarters drawn; earlier ones are left out."""
HUES = {
    "unexpected": plots.COLOURS[1],
    "signalled": plots.COLOURS[0],
    "too young": plots.COLOURS[4],
}

SIGNALLED, UNEXPECTED = "signalled", "unexpected"
TOO_YOUNG, UNKNOWN = "too young", "unknown"
VERDICTS = (SIGNALLED, UNEXPECTED, TOO_YOUNG, UNKNOWN)
RED = "red"
WARN_BY = ("usage_low", "flags_open", "health_band")
"""The indicators from which warnings are derived."""


@dataclass(frozen=True, repr=False, eq=False)
class ChurnEvents(Result):
    """One row per ended account.

    ``frame`` has account_id, customer_id, started_on, known_on (the day the end was known),
    ended_on, cause, churn, arr, usage_drop_on, warned_since and verdict. ``sources`` names the
    warnings that the tables contain: low usage, an open flag, a red health score; without warnings,
    no end is unexpected. ``warning_time`` is in days.
    """

    frame: pd.DataFrame
    sources: tuple[str, ...]
    warning_time: int

    @property
    def can_tell(self) -> bool:
        """Whether the tables contain any warnings; otherwise no end can be called unexpected."""
        return bool(self.sources)

    @property
    def churned(self) -> pd.DataFrame:
        """The ends that count as churn."""
        return self.frame[self.frame["churn"]]

    def counts(self) -> pd.DataFrame:
        """Return churned accounts and their ARR by verdict."""
        return self._sums(self.churned.groupby("verdict")).reindex(VERDICTS, fill_value=0)

    def by_cause(self) -> pd.DataFrame:
        """Return all ends, churn or not, and their ARR by cause."""
        return self._sums(self.frame.groupby("cause"))

    def by_quarter(self) -> pd.DataFrame:
        """Return ends and ARR by the quarter in which the end became known, churn by verdict."""
        quarter = self.frame["known_on"].dt.to_period("Q").rename("quarter")
        every = self._sums(self.frame.groupby(quarter))
        churned = self._sums(self.churned.groupby([quarter, "verdict"]))
        for verdict in VERDICTS:
            for what in ("accounts", "arr"):
                of = churned[what].unstack("verdict").reindex(columns=VERDICTS)  # noqa: PD010
                every[f"{verdict.replace(' ', '_')}_{what}"] = of[verdict]
        return every.fillna(0)

    @staticmethod
    def _sums(groups: Any) -> pd.DataFrame:
        sums: pd.DataFrame = groups.agg(accounts=("account_id", "size"), arr=("arr", "sum"))
        return sums

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw churned accounts by quarter, with and without a prior warning.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        Axes
        """
        rows = self.by_quarter().tail(MAX_QUARTERS)
        axes = plots.axes_of(ax, (7.6, 3.8))
        parts = []
        for verdict in sorted(VERDICTS, key=lambda one: one not in HUES):
            height = rows[f"{verdict.replace(' ', '_')}_accounts"].to_numpy(dtype=float)
            if height.any():
                parts.append((verdict, height, HUES.get(verdict, plots.FAINT)))
        plots.stacked_bars(axes, [str(quarter) for quarter in rows.index], parts)
        plots.whole_numbers(axes.yaxis)
        axes.tick_params(axis="x", rotation=45)
        axes.set(xlabel="quarter in which the end was known", ylabel="churned accounts")
        plots.write_title(axes, self._title, room=24)
        plots.legend_above(axes, ncols=4)
        return axes

    @property
    def _title(self) -> str:
        unexpected, churned = int(self.counts()["accounts"][UNEXPECTED]), len(self.churned)
        if not self.can_tell:
            return f"{churned:,} accounts churned"
        return (
            f"{unexpected:,} of {churned:,} churned accounts gave no warning"
            f" {self.warning_time} days before"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        counts = self.counts()
        return {
            "ends": len(self.frame),
            "churned": len(self.churned),
            "with_usage_drop": int(self.churned["usage_drop_on"].notna().sum()),
            "warnings": list(self.sources),
            "warning_time_days": self.warning_time,
            "by_verdict": {str(name): int(n) for name, n in counts["accounts"].items()},
            "arr_by_verdict": {str(name): float(arr) for name, arr in counts["arr"].items()},
        }

    def _head(self) -> list[str]:
        """Return the lines on the number of ends and on the warnings available."""
        churned = self.churned
        lines = [
            f"{len(self.frame):,} ends, {len(churned):,} of them churn; usage had dropped before"
            f" {churned['usage_drop_on'].notna().sum():,}"
        ]
        known = int(churned["arr"].notna().sum())
        if 0 < known < len(churned):
            lines.append(
                f"ARR is known for {known:,} of {len(churned):,}; sums leave the others out"
            )
        if not self.can_tell:
            lines.append(
                "unexpected ends are unknown: there is no usage, no flag and no health score"
            )
            return lines
        lines.append(f"warned {self.warning_time} days before by {', '.join(self.sources)}:")
        return lines

    def __repr__(self) -> str:
        lines, counts = self._head(), self.counts()
        if not self.can_tell:
            return "\n".join(lines)
        shown = counts[counts["accounts"] > 0].rename_axis("verdict").reset_index()
        lines.append(text_table(shown.rename(columns={"arr": "ARR lost, a year"}), indent="  "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        columns = ["account_id", "known_on", "cause", "verdict", "arr", "usage_drop_on",
                   "warned_since"]  # fmt: skip
        sums = self.counts()["accounts"]
        shown = ", ".join(f"{sums[verdict]:,} {verdict}" for verdict in VERDICTS)
        text = "\n".join([*self._head(), shown] if self.can_tell else self._head())
        return to_html(text, self.frame[columns])


@checked
@reads_weights
def churn_events(panel: Panel, *, warning_time: Duration | None = None) -> ChurnEvents:
    """Return the ended accounts of a panel, each with its usage drop and whether it was expected.

    The usage drop is the first snapshot of the run of low-usage snapshots that lasts until the
    account's last snapshot. A warning is low usage, an open flag or a red health score. An end is
    *signalled* if at least one warning was active at every snapshot from ``warning_time``
    (default: the project's) before the end was known. It is *too young* if the account had no
    snapshot that early (accounts that ended on the day of their start have none), *unknown* if
    no warning was recorded at that time, and otherwise *unexpected*.

    >>> import leadsignal as ls
    >>> ends = ls.churn_events(ls.build_panel(ls.read_tables(ls.sample_folder())))
    >>> ends.sources
    ('low usage', 'open flag', 'red health score')
    """
    panel.refuse_sample("the list of ends", of_rows=True)
    panel = panel.narrowed(WARN_BY)
    time = panel.project.warning_time if warning_time is None else days_in(warning_time)
    rows = panel.frame[panel.frame["ended_within"].notna()]
    warnings = _warnings(rows)
    warned = _any_known(warnings, len(rows))
    frame = _accounts(rows, panel)
    low = rows["usage_low"].to_numpy() == 1 if "usage_low" in rows else np.zeros(len(rows), bool)
    frame["usage_drop_on"] = _run_at_the_end(rows, low).reindex(frame["account_id"]).array
    before = (rows["known_within"] >= 0).to_numpy()
    since = _run_at_the_end(rows[before], warned[before] == 1)
    frame["warned_since"] = since.reindex(frame["account_id"]).array
    frame["verdict"] = _verdicts(frame, rows, warned, time)
    return ChurnEvents(frame, tuple(warnings), time)


def _accounts(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return one row per ended account, including those that ended on the day they started."""
    last = rows.groupby("account_id", sort=False).tail(1).reset_index(drop=True)
    frame = _dated(last, panel.project.not_churn)
    if panel.ended_at_once is None:
        return frame
    at_once = _dated(panel.ended_at_once, panel.project.not_churn)
    both = pd.concat([frame, at_once.astype(frame.dtypes)]) if len(frame) else at_once
    return both.sort_values("account_id", ignore_index=True)


def _dated(last: pd.DataFrame, not_churn: tuple[str, ...]) -> pd.DataFrame:
    def later(days: pd.Series[Any]) -> pd.Series[Any]:
        return last["snapshot_on"] + pd.to_timedelta(days, unit="D")

    return last[["account_id", "customer_id"]].assign(
        started_on=later(-last["start"]), known_on=later(last["known_within"]),
        ended_on=later(last["ended_within"]), cause=last["end_cause"],
        churn=~last["end_cause"].isin(not_churn), arr=last["arr"],
    )  # fmt: skip


def _warnings(rows: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return each warning of the panel: 1 where it is active, 0 where not, NaN where unknown."""
    found = {}
    if "usage_low" in rows:
        found["low usage"] = rows["usage_low"].to_numpy(dtype=float, na_value=np.nan)
    if "flags_open" in rows:
        flags = rows["flags_open"].to_numpy(dtype=float, na_value=np.nan)
        found["open flag"] = np.where(np.isnan(flags), np.nan, flags > 0)
    if "health_band" in rows:
        band = rows["health_band"]
        red = (band == RED).to_numpy(dtype=bool)
        found["red health score"] = np.where(band.isna(), np.nan, red)
    return found


def _any_known(warnings: Mapping[str, NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """Return 1 where a warning is active, 0 where the known ones are not, NaN if none is known."""
    if not warnings:
        return np.full(rows, np.nan)
    each = np.column_stack(list(warnings.values()))
    active = np.nansum(each == 1, axis=1) > 0
    return np.where(np.isnan(each).all(axis=1), np.nan, active)


def _run_at_the_end(rows: pd.DataFrame, on: NDArray[np.bool_]) -> pd.Series[Any]:
    """Return, by account, the first snapshot of the run of ``on`` that lasts until its last row."""
    flag = pd.Series(on.astype(np.int8), index=rows.index)[::-1]
    unbroken = flag.groupby(rows["account_id"][::-1], sort=False).cummin()[::-1] == 1
    kept = rows[unbroken.to_numpy()]
    return kept.groupby("account_id", sort=False)["snapshot_on"].min()


def _verdicts(
    frame: pd.DataFrame, rows: pd.DataFrame, warned: NDArray[np.float64], time: int
) -> NDArray[Any]:
    early = (rows["known_within"] >= time).to_numpy()
    decisive = rows.loc[early, ["account_id"]].assign(warned=warned[early])
    has_early = frame["account_id"].isin(decisive["account_id"]).to_numpy()
    # Not ``last``, which would skip unknown values.
    tail = decisive.groupby("account_id", sort=False).tail(1).set_index("account_id")["warned"]
    known = tail.reindex(frame["account_id"]).notna().to_numpy()
    signalled = ((frame["known_on"] - frame["warned_since"]).dt.days >= time).to_numpy()
    return np.select(
        [signalled, ~has_early, ~known], [SIGNALLED, TOO_YOUNG, UNKNOWN], default=UNEXPECTED
    )


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
    last_flag = flags.groupby("account_id")["flagged_on"].max()
    frame = cleared.assign(
        customer_id=customer.fillna(cleared["account_id"]),
        first_renewal=first.to_numpy(),
        second_renewal=second.to_numpy(),
        ended_on=ended,
        flagged_again=cleared["account_id"].map(last_flag) >= cleared["cleared_on"],
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
        on="snapshot", by="account_id", direction="forward",
    )  # fmt: skip
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


def _outcomes(frame: pd.DataFrame, as_of: pd.Timestamp) -> Any:
    ended, first, second = frame["ended_on"], frame["first_renewal"], frame["second_renewal"]
    left_first = ended.notna() & (first.isna() | (ended <= first))
    left_second = ended.notna() & (ended <= second)
    known = [left_first, left_second, second < as_of, second.notna()]
    return np.select(known, [LEFT_FIRST, LEFT_SECOND, STAYED, NOT_YET], default=NO_TERM)
