"""Negative controls: other behaviours of the same accounts, turned into cohorts by the same rule.

A control should resemble the exposure in everything but its effect: the same kind of rule, met
for about the same share of the accounts' time. Thresholds depend only on that share, never on
outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.named_comparisons import Changes, adopted_changes, event_day
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.sources.parts import literals
from leadsignal.survival.inputs import Floats
from leadsignal.tables import queried

MAX_CONTROLS = 30
"""Maximum number of control behaviours; those shown by most accounts are used."""
MIN_SHARE_OF_ACCOUNTS = 0.05
"""Behaviours shown by a smaller share of accounts are not used as controls."""


def control_names(context: AsOfContext, excluded: frozenset[str]) -> tuple[str, ...]:
    """Return the behaviours usable as controls, those shown by most accounts first."""
    tables = context.tables
    if "behaviors" not in tables.names:
        return ()
    found = tables.accounts_with("behaviors", "behavior")
    enough = MIN_SHARE_OF_ACCOUNTS * len(context.accounts)
    names = sorted((name for name in found if found[name] >= enough), key=lambda n: (-found[n], n))
    return tuple(name for name in names if name not in excluded)[:MAX_CONTROLS]


def lasting_controls(
    context: AsOfContext, names: tuple[str, ...], share: float
) -> Iterator[tuple[str, Changes]]:
    """Yield controls for a permanent exposure: the N-th event of each behaviour.

    N is chosen so that accounts spend about ``share`` of their time after that event.
    """
    lives = context.accounts
    whole = float((_last_days(context, lives) - lives["started_on"]).dt.days.clip(lower=0).sum())
    found = context.once(("event days", names), lambda: _event_days(context, names))
    for name, (days, after) in found.items():
        counts = np.unique(np.geomspace(1, len(after), 40).round().astype(int))
        shares = after[counts - 1] / max(whole, 1.0)
        chosen = counts[np.abs(shares - share).argmin()]
        frame = days.loc[days["number"] == chosen, ["account_id", "on"]].assign(state=1)
        yield name, Changes((f"fewer {name}", f"{chosen} {name}"), frame, "behaviors")


def lapsing_controls(
    context: AsOfContext, names: tuple[str, ...], rule: Process, share: float | None = None
) -> Iterator[tuple[str, Changes]]:
    """Yield controls for an exposure that can lapse: ``rule`` applied to each other behaviour.

    The required number of events is chosen so that accounts meet the rule in about ``share`` of
    their windows; by default, in as many windows as they meet ``rule`` itself.
    """
    counts = _window_counts(context, names, rule.within, by_users=rule.by_users > 1)
    windows = _windows(context, rule.within)
    if share is None:
        share = _windows_met(context, rule) / windows
    processes = tuple(
        replace(
            rule, name=f"control_{place}", behaviors=(name,), applies_to={}, adopt_by=None,
            at_least=_threshold(
                counts[counts["behavior"] == name], share * windows, rule.by_users
            ),
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    shared = AsOfContext(context.tables, SuccessAnalysis(processes))
    for name, process in zip(names, processes, strict=True):
        yield name, adopted_changes(process.name, shared)


def _event_days(
    context: AsOfContext, names: tuple[str, ...]
) -> dict[str, tuple[pd.DataFrame, Floats]]:
    """Return, by behaviour, the event days, numbered within accounts.

    Each comes with the total number of days that accounts were customers after their N-th event.
    """
    tables, known = context.tables, event_day("occurred_at")
    events = queried(
        tables,
        f'SELECT account_id, behavior, {known} AS "on",'
        f" row_number() OVER (PARTITION BY account_id, behavior ORDER BY {known}) AS number"
        f" FROM ({tables.sql('behaviors')}) AS t WHERE behavior IN ({literals(names)})"
        " ORDER BY behavior, account_id, number",
    )
    events = events.assign(on=events["on"].astype("datetime64[ns]"))
    lives = context.accounts[["account_id"]].assign(until=_last_days(context, context.accounts))
    until = events[["account_id"]].merge(lives, on="account_id", how="left")["until"]
    after = (until - events["on"]).dt.days.clip(lower=0).to_numpy(dtype=float)
    return {
        str(name): (
            mine.drop(columns="behavior"),
            np.bincount(mine["number"] - 1, np.nan_to_num(after[mine.index])).astype(np.float64),
        )
        for name, mine in events.groupby("behavior", sort=False)
    }


def _last_days(context: AsOfContext, lives: pd.DataFrame) -> pd.Series[Any]:
    as_of = pd.Timestamp(context.tables.as_of_date)
    ended: pd.Series[Any] = lives["ended_on"].fillna(as_of)
    return ended.where(ended <= as_of, as_of)


def _window_counts(
    context: AsOfContext, names: tuple[str, ...], within: int, *, by_users: bool
) -> pd.DataFrame:
    """Return the number of windows with each number of events and users, by behaviour.

    A window is a period of ``within`` days of one account. Counting users is slow, so it is done
    only if ``by_users``; otherwise the number of users is 1.
    """
    tables = context.tables
    known = by_users and "user_id" in tables.columns("behaviors")
    # Grouping by user first takes half as long as counting distinct users.
    of_user = ", user_id" if known else ""
    sql = (
        "SELECT behavior, events, users, count(*) AS windows FROM ("
        " SELECT behavior, account_id, window_no, CAST(sum(events) AS BIGINT) AS events,"
        f" {'count(user_id)' if known else '1'} AS users FROM ("
        f" SELECT behavior, account_id, {_WINDOW} // {within} AS window_no{of_user},"
        " count(*) AS events"
        f" FROM ({tables.sql('behaviors')}) AS t WHERE behavior IN ({literals(names)})"
        " GROUP BY ALL) GROUP BY ALL) GROUP BY ALL"
    )
    key = ("window counts", names, within, by_users)
    return context.once(key, lambda: queried(tables, sql))


def _windows_met(context: AsOfContext, rule: Process) -> int:
    """Return the number of windows with the events that a rule requires."""
    met = queried(
        context.tables,
        f"SELECT 1 FROM ({context.tables.sql('behaviors')}) AS t"
        f" WHERE behavior IN ({literals(rule.behaviors)})"
        f" GROUP BY account_id, {_WINDOW} // {rule.within} HAVING count(*) >= {rule.at_least}",
    )
    return len(met)


_WINDOW = "(CAST(occurred_at AS DATE) - DATE '1970-01-01')"
"""SQL for the day of an event; divided by the window length, it gives the window number."""


def _windows(context: AsOfContext, within: int) -> float:
    """Return the number of windows of this length in the lifetimes of all accounts."""
    lives = context.accounts
    days = (_last_days(context, lives) - lives["started_on"]).dt.days.clip(lower=0)
    return max(1.0, float(days.sum()) / within)


def _threshold(counts: pd.DataFrame, target: float, by_users: int) -> int:
    """Return the number of events that is reached in about ``target`` windows."""
    enough = counts[counts["users"] >= by_users]
    if enough.empty:
        return 1
    reached = np.bincount(enough["events"], enough["windows"])[::-1].cumsum()[::-1][1:]
    return 1 + int(np.abs(reached - target).argmin())
