"""What needs attention now: milestones that fall due, and accounts that nobody attends to.

The milestone calendar says when each account is due on each process, and which will miss it. For
each account, it gives the events in its windows, the events still needed, whether the milestone can
still be met in the days left, and how many past accounts met it from the same stage with the same
number of days left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.accounts import known_ends
from leadsignal.arguments import Duration, checked, days_in
from leadsignal.as_of_context import AsOfContext
from leadsignal.config.success import Process, SuccessAnalysis, applies_to_rows
from leadsignal.errors import OptionError
from leadsignal.files.writing import json_fields, json_rows
from leadsignal.formats import day_text, share_text
from leadsignal.plots import COLOURS, LABEL, axes_of, whole_numbers, write_title
from leadsignal.results import Result
from leadsignal.sources.parts import literals
from leadsignal.stats import wilson_limits
from leadsignal.tables import Tables, queried

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Days = NDArray[np.int64]

MIN_SIMILAR = 20
"""Minimum number of past accounts for a share to be given."""

NEARBY = (0, -7, 7, -14, 14, -21, 21, -28, 28)
"""Differences in days left, tried in turn while too few past accounts are comparable."""

STAGES = ("no events", "some events", "enough now", "enough in every window")


@dataclass(frozen=True, repr=False, eq=False)
class MilestoneCalendar(Result):
    """Milestones due within ``ahead`` days, next first, one row per account and process.

    ``frame`` has account_id, process, due_on, days_left; ``events`` (of ``at_least``) and ``users``
    (of ``by_users``) in the current window; ``more_events`` and ``more_users``, the minimum still
    needed; ``can_be_met``, whether that is possible in the days left; ``stage``; ``past``, the
    number of past accounts at that stage with as many days left; and ``chance``, the share of them
    that met the milestone, with a 95 % interval ``low`` to ``high`` (0 if it cannot be met, missing
    with fewer than 20 past accounts). ``overdue`` has account_id, process, due_on and days_over of
    milestones that have passed.
    """

    frame: pd.DataFrame
    overdue: pd.DataFrame
    ahead: int
    as_of_date: date

    @property
    def will_miss(self) -> pd.DataFrame:
        """Milestones that can no longer be met, or that most past accounts missed (high < 0.5)."""
        return self.frame[~self.frame["can_be_met"] | (self.frame["high"] < 0.5)]

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, ready for JSON."""
        names = {"as_of": "as_of_date", "ahead_days": "ahead", "due": "frame"}
        more = {"will_miss": len(self.will_miss), **json_fields(self, "overdue")}
        return {**json_fields(self, *names, **names), **more}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the milestones due in each coming week: on course, at risk, out of reach."""
        axes = axes_of(ax, (8, 3.8))
        week = (self.frame["days_left"] - 1) // 7
        can, likely = self.frame["can_be_met"], self.frame["high"] < 0.5
        groups = (
            ("others", can & ~likely, COLOURS[2]),
            ("most past accounts missed it from here", can & likely, COLOURS[5]),
            ("can no longer be met", ~can, COLOURS[1]),
        )
        weeks = np.arange(-(-self.ahead // 7))
        below = np.zeros(len(weeks))
        for name, mine, colour in groups:
            height = np.bincount(week[mine].astype(int), minlength=len(weeks))
            axes.bar(weeks, height, bottom=below, color=colour, label=name, edgecolor="white")
            below += height
        starts = [self.as_of_date + timedelta(days=int(7 * w + 1)) for w in weeks]
        axes.set_xticks(weeks, [day_text(day, year=False) for day in starts], rotation=45)
        axes.set(xlabel="week from", ylabel="milestones due")
        whole_numbers(axes.yaxis)
        write_title(axes, "Milestones of the coming weeks")
        axes.legend(frameon=False, fontsize=LABEL)
        return axes

    def __repr__(self) -> str:
        lines = [
            f"{len(self.frame):,} milestones fall due in the {self.ahead} days from"
            f" {self.as_of_date}; {len(self.will_miss):,} will be missed as things stand,"
            f" {int((~self.frame['can_be_met']).sum()):,} of them whatever happens;"
            f" {len(self.overdue):,} are overdue"
        ]
        for row in self.frame.head(5).to_dict("records"):
            lines.append(
                f"  {row['due_on']:%Y-%m-%d} {row['account_id']} {row['process']}: {_outlook(row)}"
            )
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame.round(2)


def _outlook(row: dict[Any, Any]) -> str:
    if not row["can_be_met"]:
        return "can no longer be met"
    chance = f"; {share_text(row['chance'])} of {row['past']:,} met it from here" if (
        row["chance"] == row["chance"]) else ""  # fmt: skip
    return f"{row['more_events']:g} more events needed{chance}"


@dataclass(frozen=True, eq=False)
class _Events:
    """Events of one process, sorted by account and the day each was known.

    ``user`` is None if each row sums the events of a day.
    """

    process: Process
    account: Days
    day: Days
    quantity: NDArray[np.float64]
    user: NDArray[Any]

    def between(self, account: Days, first: Days, last: Days) -> NDArray[np.float64]:
        """Return the quantity of each account's events with first <= day < last."""
        ends = np.searchsorted(self._key, account * SPAN + last)
        begins = np.searchsorted(self._key, account * SPAN + first)
        return np.asarray(self._summed[ends] - self._summed[begins])

    @cached_property
    def _key(self) -> Days:
        return np.asarray(self.account * SPAN + self.day)

    @cached_property
    def _summed(self) -> NDArray[np.float64]:
        return np.concatenate(([0.0], np.cumsum(self.quantity)))

    def of(self, account: int) -> slice:
        """Return the positions of one account's events."""
        return slice(*np.searchsorted(self.account, [account, account + 1]))


SPAN = 1_000_000
"""Exceeds any day number, so that account × SPAN + day sorts by account, then day."""


@checked
def milestone_calendar(
    tables: Tables,
    analysis: SuccessAnalysis,
    *,
    ahead: Duration = "8w",
    context: AsOfContext | None = None,
) -> MilestoneCalendar:
    """Return the milestones due within ``ahead``, for active accounts that have not given notice.

    A milestone can be met if the definition of adoption can still be fulfilled on a day up to it.
    ``chance`` is the share of comparable past accounts that met it. These had not adopted the
    process, and were at the same ``stage`` (events in their windows) with as many days left (up to
    four weeks more or less if fewer than 20 are comparable). Leaving before the milestone, dated by
    the day it was known, counts as not met.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis
        The success analysis, which names the processes and their milestones.
    ahead : Duration, default "8w"
        How far to look ahead.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    MilestoneCalendar
        One row per account and process, by due date.

    Raises
    ------
    OptionError
        If no process has a milestone.

    Examples
    --------
    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> tables, analysis = ls.read_tables(folder), ls.read_success_analysis(folder)
    >>> calendar = milestone_calendar(tables, analysis)
    >>> bool(calendar.frame["due_on"].is_monotonic_increasing)
    True
    """
    due = [process for process in analysis.processes if process.adopt_by is not None]
    if not due:
        raise OptionError("no process has a milestone", "Add adopt_by to a [[process]]")
    reach = days_in(ahead)
    context = AsOfContext.of(tables, analysis, context)
    now = context.snapshot.frame
    now = now[~now["notice_given"]].reset_index(drop=True)
    accounts = context.attributes.reset_index()
    frames = [_due_soon(context, process, now, accounts, reach) for process in due]
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.sort_values(["due_on", "account_id", "process"], ignore_index=True)
    overdue = pd.concat([_overdue(process, now) for process in due], ignore_index=True)
    overdue = overdue.sort_values(
        ["days_over", "account_id"], ascending=[False, True], ignore_index=True
    )
    return MilestoneCalendar(frame, overdue, reach, tables.as_of_date)


def _overdue(process: Process, now: pd.DataFrame) -> pd.DataFrame:
    mine = now[now[f"{process.name}_state"] == "overdue"]
    over = mine[f"{process.name}_days_in_state"].astype(int)
    due = mine["snapshot_on"] - pd.to_timedelta(over, unit="D")
    return mine[["account_id"]].assign(process=process.name, due_on=due, days_over=over)


def _due_soon(
    context: AsOfContext, process: Process, now: pd.DataFrame, accounts: pd.DataFrame, reach: int
) -> pd.DataFrame:
    """Return the rows of one process, unsorted."""
    tables = context.tables
    adopt_by = process.adopt_by or 0
    left = adopt_by - now["start"].astype(int)
    rows = now[(now[f"{process.name}_state"] == "pending") & (left <= reach)]
    left = left[rows.index]
    place = pd.Index(accounts["account_id"]).get_indexer(pd.Index(rows["account_id"]))
    as_of = tables.as_of_date.toordinal()
    each = _events(tables, process, place.tolist())
    needed = [_needed(each, int(a), as_of, int(d)) for a, d in zip(place, left, strict=True)]
    events = _days_of_events(tables, process)
    stage = _stage(events, place.astype(np.int64), np.full(len(place), as_of))
    frame = rows[["account_id"]].assign(
        process=process.name,
        due_on=rows["snapshot_on"] + pd.to_timedelta(left, unit="D"), days_left=left,
        events=rows[f"{process.name}_events"], at_least=process.at_least,
        users=rows.get(f"{process.name}_users", np.nan), by_users=process.by_users,
        more_events=[more for more, _ in needed], more_users=[more for _, more in needed],
        can_be_met=[np.isfinite(more) for more, _ in needed],
        stage=[STAGES[code] for code in stage],
    )  # fmt: skip
    more = ["more_events", "more_users"]
    frame[more] = frame[more].where(frame["can_be_met"])
    past = _past(tables, process, accounts, context.episodes)
    chances = _chances(past, events, left.to_numpy(), stage)
    frame[["past", "chance", "low", "high"]] = chances
    frame = frame.astype({"past": int, "can_be_met": bool})
    frame.loc[~frame["can_be_met"], ["chance", "low", "high"]] = 0.0
    return frame


def _events(tables: Tables, process: Process, places: Sequence[int]) -> _Events:
    """Return the individual events of some accounts."""
    within = ", ".join(map(str, places)) or "NULL"
    sql = f"SELECT * FROM ({_of_process(tables, process)}) WHERE place IN ({within}) ORDER BY ALL"
    return _events_in(process, queried(tables, sql))


def _days_of_events(tables: Tables, process: Process) -> _Events:
    """Return the events of all accounts summed by day, because there may be millions."""
    events = _of_process(tables, process)
    sums = "SELECT place, day, CAST(sum(quantity) AS DOUBLE) AS quantity"
    sql = f"{sums} FROM ({events}) GROUP BY place, day ORDER BY place, day"
    return _events_in(process, queried(tables, sql).assign(user_id=None))


def _events_in(process: Process, frame: pd.DataFrame) -> _Events:
    place, quantity = frame["place"].to_numpy(np.int64), frame["quantity"].to_numpy(float)
    users = frame["user_id"].to_numpy(dtype=object)
    return _Events(process, place, _ordinals(frame["day"]), quantity, users)


def _of_process(tables: Tables, process: Process) -> str:
    """Return SQL for a process's events with the position of their account in the table."""
    return (
        "SELECT place, greatest(occurred_at, e.known_on) AS day, quantity, user_id"
        f" FROM ({tables.sql('behaviors')}) AS e JOIN (SELECT account_id,"
        f" row_number() OVER (ORDER BY account_id) - 1 AS place FROM ({tables.sql('accounts')}))"
        f" USING (account_id) WHERE behavior IN ({literals(process.behaviors)})"
    )


def _ordinals(column: pd.Series[Any]) -> Days:
    """Return dates as Python ordinals; 0 if missing."""
    moments = column.to_numpy(dtype="datetime64[D]")
    days = moments.astype(np.int64) + date(1970, 1, 1).toordinal()
    return np.where(np.isnat(moments), 0, days).astype(np.int64)


def _needed(events: _Events, account: int, as_of: int, left: int) -> tuple[float, float]:
    """Return the minimum number of further events and users needed to adopt by the milestone.

    Adoption at t requires enough events in each window [t - (k+1)w, t - kw); windows that end by
    ``as_of`` can no longer be filled. Infinite if no t up to the milestone is possible.
    """
    process, mine = events.process, events.of(account)
    day, quantity, user = events.day[mine], events.quantity[mine], events.user[mine]
    best = (np.inf, np.inf)
    for t in range(as_of + 1, as_of + left + 1):
        more_events, more_users = 0.0, 0.0
        for k in range(process.sustained_for):
            end = t - k * process.within
            inside = (day >= end - process.within) & (day < end)
            lacks = max(0.0, process.at_least - float(quantity[inside].sum()))
            people = max(0, process.by_users - len(set(user[inside]) - {None}))
            if process.by_users == 1:
                people = 0
            if end <= as_of and (lacks or people):
                more_events = np.inf
            more_events, more_users = more_events + lacks, max(more_users, float(people))
        best = min(best, (max(more_events, more_users), more_users))
    return best


def _stage(events: _Events, account: Days, day: Days) -> Days:
    """Return the stage (a position in STAGES) of accounts on given days, from their windows."""
    process = events.process
    counts = [
        events.between(account, day - (k + 1) * process.within, day - k * process.within)
        for k in range(process.sustained_for)
    ]
    enough = [quantity >= process.at_least for quantity in counts]
    every = np.logical_and.reduce(enough)
    return np.select([every, enough[0], counts[0] > 0], [3, 2, 1], default=0).astype(np.int64)


def _chances(past: _Past, events: _Events, left: NDArray[Any], stage: Days) -> NDArray[np.float64]:
    """Return past, chance, low and high for each pair of days left and stage."""
    seen: dict[int, tuple[Days, Days]] = {}
    chances = np.full((len(left), 4), np.nan)
    chances[:, 0] = 0
    for days_left, code in sorted({(int(d), int(c)) for d, c in zip(left, stage, strict=True)}):
        similar = _alike(past, events, seen, days_left, code)
        if len(similar) >= MIN_SIMILAR:
            success = int(past.met[similar].sum())
            mine = (left == days_left) & (stage == code)
            share = success / len(similar)
            chances[mine] = (len(similar), share, *wilson_limits(share, len(similar)))
    return chances


def _alike(
    past: _Past, events: _Events, seen: dict[int, tuple[Days, Days]], days_left: int, code: int
) -> Days:
    """Return the past accounts that were at a stage with about ``days_left`` days left.

    If these are too few, the number of days left may differ by up to four weeks.
    """
    similar = np.zeros(0, dtype=np.int64)
    for off in NEARBY:
        on = days_left + off
        if not 1 <= on < (events.process.adopt_by or 0):
            continue
        if on not in seen:
            there = np.flatnonzero(past.there(on)).astype(np.int64)
            seen[on] = there, _stage(events, past.place[there], past.due[there] - on)
        there, codes = seen[on]
        similar = np.union1d(similar, there[codes == code])
        if len(similar) >= MIN_SIMILAR:
            break
    return similar


@dataclass(frozen=True, eq=False)
class _Past:
    """Accounts past their milestone: position, due day, first adoption, known end (0: none)."""

    place: Days
    due: Days
    adopted: Days
    ended: Days

    @property
    def met(self) -> NDArray[np.bool_]:
        """Whether each account adopted by the milestone."""
        return np.asarray((self.adopted > 0) & (self.adopted <= self.due))

    def there(self, days_left: int) -> NDArray[np.bool_]:
        """Return which accounts were active and had not adopted ``days_left`` days before due."""
        on = self.due - days_left
        open_still = (self.adopted == 0) | (self.adopted > on)
        return np.asarray(((self.ended == 0) | (self.ended > on)) & open_still)


def _past(
    tables: Tables, process: Process, accounts: pd.DataFrame, episodes: pd.DataFrame
) -> _Past:
    """Return the accounts the process applies to, observed from start until past the milestone."""
    begun = [tables.coverage[name].complete_from for name in ("accounts", "behaviors")]
    since = max((day.toordinal() for day in begun if day is not None), default=0)
    started = _ordinals(accounts["started_on"])
    due = started + (process.adopt_by or 0)
    known = (started >= since) & (due < tables.as_of_date.toordinal())
    known &= applies_to_rows(process.applies_to, accounts)
    mine = episodes[episodes["process"] == process.name]
    first = mine.groupby("account_id")["adopted_on"].min().reindex(accounts["account_id"])
    place = np.flatnonzero(known).astype(np.int64)
    ended = _ordinals(known_ends(tables, accounts)["known_on"])
    adopted = _ordinals(first)
    adopted[(ended > 0) & (adopted > ended)] = 0
    return _Past(place, due[place], adopted[place], ended[place])


# Unattended accounts ------------------------------------------------------------------------------


NO_PLAN, NOT_MEASURED = "no plan", "nobody measuring"
NO_SPONSOR, LOST = "no sponsor contact", "handed off and not seen since"
REASONS = (NO_PLAN, NOT_MEASURED, NO_SPONSOR, LOST)


RECENT = 90
"""Number of days within which there must be a result, and a contact with the sponsor."""


@dataclass(frozen=True, repr=False, eq=False)
class UnattendedAccounts(Result):
    """Active accounts with at least one reason, those with most reasons first, then by revenue.

    ``frame`` has account_id, started_on, arr, ``count`` of reasons, ``reasons`` as text, and one
    column per reason: True, False, or missing if unknown. ``active`` is the number of active
    accounts; ``checked`` names the reasons that can be checked with these tables and this analysis.
    """

    frame: pd.DataFrame
    active: int
    checked: tuple[str, ...]
    as_of_date: date

    def counts(self) -> dict[str, int]:
        """Return the number of accounts with each reason."""
        return {reason: int(self.frame[reason].fillna(False).sum()) for reason in self.checked}

    def to_dict(self) -> dict[str, Any]:
        """Return counts and rows, ready for JSON."""
        return {
            "as_of": self.as_of_date.isoformat(),
            "active": self.active,
            "red": len(self.frame),
            "checked": list(self.checked),
            "reasons": self.counts(),
            "accounts": json_rows(self.frame),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the number of active accounts with each reason."""
        axes = axes_of(ax, (7, 2.8))
        counts = dict(reversed(self.counts().items()))
        bars = axes.barh(list(counts), list(counts.values()), color=COLOURS[1])
        shares = [f"{n:,} ({share_text(n / max(self.active, 1))})" for n in counts.values()]
        axes.bar_label(bars, labels=shares, padding=4, fontsize=LABEL)
        axes.set_xlim(0, max([*counts.values(), 1]) * 1.25)
        write_title(axes, f"Unattended accounts, of {self.active:,} active")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return axes

    def __repr__(self) -> str:
        text = ", ".join(f"{count:,} {reason}" for reason, count in self.counts().items())
        lines = [f"{len(self.frame):,} of {self.active:,} active accounts are unattended: {text}"]
        lines += [f"  {row.account_id}: {row.reasons}" for row in self.frame.head(5).itertuples()]
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame[["account_id", "started_on", "arr", "reasons"]]


@checked
def unattended_accounts(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    grace: Duration = "30d",
    context: AsOfContext | None = None,
) -> UnattendedAccounts:
    """Return the active accounts that are unattended, each with its reasons.

    *No plan*: no plan is open. *Nobody measuring*: no result of the success metric in 90 days. *No
    sponsor contact*: no sponsor event in 90 days. *Handed off and not seen since*: no sponsor or
    diary event after the last handoff (no behaviour in 30 days if neither is tracked). The last two
    need ``[tracking]`` in the analysis. Accounts that have given notice are left out.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the behaviours of ``[tracking]`` and the success metrics.
    grace : Duration, default "30d"
        Minimum age of an account, and minimum time since a handoff, to be listed.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    UnattendedAccounts
        Accounts with at least one reason, those with most reasons first.

    Raises
    ------
    OptionError
        If none of the reasons can be checked with these tables.

    Examples
    --------
    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> tables, analysis = ls.read_tables(folder), ls.read_success_analysis(folder)
    >>> unattended_accounts(tables, analysis).checked
    ('no plan', 'nobody measuring', 'no sponsor contact')
    """
    wait = days_in(grace)
    panel = AsOfContext.of(tables, analysis, context).snapshot
    rows = panel.frame[~panel.frame["notice_given"]].reset_index(drop=True)
    listed = _reasons(rows, wait).items()
    found = {reason: applies for reason, applies in listed if applies is not None}
    if not found:
        raise OptionError(
            "the tables allow none of these reasons to be checked: " + ", ".join(REASONS),
            "Add plans or results, or name sponsor and handoff behaviours in [tracking]",
        )
    old = rows["start"] >= wait
    holds = {name: (on & old).mask(on.isna()).astype("boolean") for name, on in found.items()}
    is_red = pd.DataFrame(holds).fillna(False)
    frame = pd.DataFrame(
        {
            "account_id": rows["account_id"],
            "started_on": rows["snapshot_on"] - pd.to_timedelta(rows["start"], unit="D"),
            "arr": rows["arr"],
            "count": is_red.sum(axis=1),
            "reasons": [", ".join(r for r in found if row[r]) for row in is_red.to_dict("records")],
        }
    ).join(pd.DataFrame(holds))
    frame = frame[frame["count"] > 0].sort_values(
        ["count", "arr", "account_id"], ascending=[False, False, True], ignore_index=True
    )
    return UnattendedAccounts(frame, len(rows), tuple(found), tables.as_of_date)


def _reasons(rows: pd.DataFrame, wait: int) -> Mapping[str, pd.Series[Any] | None]:
    """Return, by reason, whether it holds (missing: unknown); None if it cannot be checked."""
    return {
        NO_PLAN: _is_zero(rows, "plans_open"),
        NOT_MEASURED: _is_zero(rows, f"results_{RECENT}d"),
        NO_SPONSOR: _is_zero(rows, f"sponsor_events_{RECENT}d"),
        LOST: _lost(rows, wait),
    }


def _is_zero(rows: pd.DataFrame, name: str) -> pd.Series[Any] | None:
    if name not in rows:
        return None
    return (rows[name] == 0).astype("boolean").mask(rows[name].isna())


def _lost(rows: pd.DataFrame, wait: int) -> pd.Series[Any] | None:
    """Whether the last handoff was at least ``wait`` days ago and nobody was seen since."""
    if "handoff_days_since" not in rows:
        return None
    handed = rows["handoff_days_since"].astype(float)
    kinds = [kind for kind in ("sponsor", "diary") if f"{kind}_days_since" in rows]
    if kinds:
        seen = rows[[f"{kind}_days_since" for kind in kinds]].astype(float).min(axis=1)
        quiet = seen.fillna(np.inf) >= handed
    else:
        quiet = rows["activity_events_30d"].astype(float) == 0
    return ((handed >= wait) & quiet).astype("boolean")
