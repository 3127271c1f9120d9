"""Negative controls: other behaviours of the same accounts, turned into cohorts by the same rule.

A control should be like the exposure in all but its effect: the same kind of rule, and about the
same share of the accounts' time. Thresholds are chosen by that share alone, never by outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.named_comparisons import Changes, adopted_changes, event_day
from leadsignal.config.success import Process, SuccessAnalysis

if TYPE_CHECKING:
    import pandas as pd

MAX_CONTROLS = 30
"""Number of behaviours, those of the most accounts first, that serve as controls."""
MIN_SHARE_OF_ACCOUNTS = 0.05
"""Behaviours of fewer accounts are no controls."""


def control_names(context: AsOfContext, excluded: frozenset[str]) -> tuple[str, ...]:
    """Return the behaviours that can serve as controls, those of the most accounts first."""
    tables = context.tables
    if "behaviors" not in tables.names:
        return ()
    found: pd.DataFrame = (
        tables.connection.cursor()
        .execute(
            "SELECT behavior, count(DISTINCT account_id) AS accounts"
            f" FROM ({tables.sql('behaviors')}) AS t GROUP BY behavior"
            " ORDER BY accounts DESC, behavior"
        )
        .df()
    )
    enough = MIN_SHARE_OF_ACCOUNTS * len(context.accounts)
    names = found.loc[found["accounts"] >= enough, "behavior"].astype(str)
    return tuple(name for name in names if name not in excluded)[:MAX_CONTROLS]


def lasting_controls(
    context: AsOfContext, names: tuple[str, ...], share: float
) -> Iterator[tuple[str, Changes]]:
    """Yield controls of an event that counts for good: the N-th event of each behaviour.

    N is chosen so that accounts spend about the ``share`` of their time after it.
    """
    days = _event_days(context, names)
    lives = context.accounts[["account_id", "started_on", "ended_on"]]
    lives = lives.assign(ended_on=_last_days(context, lives))
    whole = float((lives["ended_on"] - lives["started_on"]).dt.days.clip(lower=0).sum())
    for name, mine in days.groupby("behavior", sort=False):
        nth = mine["number"].to_numpy()
        left = mine.merge(lives, on="account_id", how="left")
        after = (left["ended_on"] - left["on"]).dt.days.clip(lower=0).to_numpy(dtype=float)
        counts = np.unique(np.geomspace(1, nth.max(), 40).round().astype(int))
        shares = np.array([after[nth == n].sum() / max(whole, 1.0) for n in counts])
        chosen = counts[np.abs(shares - share).argmin()]
        frame = mine.loc[nth == chosen, ["account_id", "on"]].assign(state=1)
        yield str(name), Changes((f"fewer {name}", f"{chosen} {name}"), frame, "behaviors")


def lapsing_controls(
    context: AsOfContext, names: tuple[str, ...], rule: Process, share: float | None = None
) -> Iterator[tuple[str, Changes]]:
    """Yield controls of a state that lapses: the rule of ``rule`` with each other behaviour.

    The number of events required is chosen so that accounts meet it in about the ``share`` of
    their windows; by default in as many windows as they meet ``rule``.
    """
    counts = _window_counts(context, (*names, *rule.behaviors), rule)
    if share is None:
        own = counts[counts["behavior"].isin(rule.behaviors)]
        both = own.groupby(["account_id", "window_no"])[["events", "users"]].sum()
        share = float((both["events"] >= rule.at_least).sum()) / _windows(context, rule.within)
    target = share * _windows(context, rule.within)
    processes = tuple(
        replace(
            rule, name=f"control_{place}", behaviors=(name,), applies_to={}, adopt_by=None,
            at_least=_threshold(counts[counts["behavior"] == name], target, rule.by_users),
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    shared = AsOfContext(context.tables, SuccessAnalysis(processes))
    for name, process in zip(names, processes, strict=True):
        yield name, adopted_changes(process.name, shared)


def _event_days(context: AsOfContext, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the days of the events of these behaviours, numbered within account and behaviour."""
    key = ("event days", names)
    if key not in context.computed:
        context.computed[key] = _numbered_events(context, names)
    found: pd.DataFrame = context.computed[key]
    return found


def _numbered_events(context: AsOfContext, names: tuple[str, ...]) -> pd.DataFrame:
    tables, known = context.tables, event_day("occurred_at")
    frame: pd.DataFrame = (
        tables.connection.cursor()
        .execute(
            f'SELECT account_id, behavior, {known} AS "on",'
            f" row_number() OVER (PARTITION BY account_id, behavior ORDER BY {known}) AS number"
            f" FROM ({tables.sql('behaviors')}) AS t WHERE behavior IN ({_listed(names)})"
            " ORDER BY behavior, account_id, number"
        )
        .df()
    )
    return frame.assign(on=frame["on"].astype("datetime64[ns]"))


def _last_days(context: AsOfContext, lives: pd.DataFrame) -> pd.Series[Any]:
    import pandas as pd

    as_of = pd.Timestamp(context.tables.as_of_date)
    ended: pd.Series[Any] = lives["ended_on"].fillna(as_of)
    return ended.where(ended <= as_of, as_of)


def _window_counts(context: AsOfContext, names: tuple[str, ...], rule: Process) -> pd.DataFrame:
    """Return the events and users of each behaviour, account and window of the rule's length."""
    tables = context.tables
    users = "count(DISTINCT user_id)" if "user_id" in tables.columns("behaviors") else "1"
    frame: pd.DataFrame = (
        tables.connection.cursor()
        .execute(
            f"SELECT behavior, account_id, count(*) AS events, {users} AS users,"
            f" (CAST(occurred_at AS DATE) - DATE '1970-01-01') // {rule.within} AS window_no"
            f" FROM ({tables.sql('behaviors')}) AS t WHERE behavior IN ({_listed(names)})"
            " GROUP BY ALL"
        )
        .df()
    )
    return frame


def _windows(context: AsOfContext, within: int) -> float:
    """Return how many windows of this length the accounts were there for."""
    lives = context.accounts
    days = (_last_days(context, lives) - lives["started_on"]).dt.days.clip(lower=0)
    return max(1.0, float(days.sum()) / within)


def _threshold(counts: pd.DataFrame, target: float, by_users: int) -> int:
    """Return the number of events that about ``target`` windows reach."""
    reached = np.sort(counts.loc[counts["users"] >= by_users, "events"].to_numpy())[::-1]
    if not len(reached):
        return 1
    options = np.arange(1, int(reached[0]) + 1)
    windows = np.searchsorted(-reached, -options, side="right")
    return int(options[np.abs(windows - target).argmin()])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)
