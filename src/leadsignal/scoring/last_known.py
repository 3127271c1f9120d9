"""Indicators of late feeds, as of the day after the last record of the feed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from leadsignal.indicators.declare import DaysInState
from leadsignal.model.provenance import tables_of
from leadsignal.panel import Panel, build_snapshot
from leadsignal.scoring.feeds import Feed

if TYPE_CHECKING:
    from leadsignal.tables import Tables


def hold_late(snapshot: Panel, tables: Tables, feeds: tuple[Feed, ...]) -> Panel:
    """Compute the indicators of late feeds as of the day after the last record of the feed.

    Otherwise, days without records would count as days without events, for all accounts at once.
    The number of days in a state still increases. Accounts that did not exist on that day keep
    their values.
    """
    late: dict[date, set[str]] = {}
    for feed in feeds:
        if feed.state_as_of:
            late.setdefault(feed.state_as_of, set()).add(feed.table)
    for day, names in sorted(late.items()):
        snapshot = _with_last_state(snapshot, tables, day, names)
    return snapshot


def _with_last_state(snapshot: Panel, tables: Tables, day: date, names: set[str]) -> Panel:
    then = build_snapshot(
        tables.as_of(day).with_behaviors(snapshot.behaviors), snapshot.analysis
    ).frame.set_index("account_id")
    frame = snapshot.frame.copy()
    there = frame["account_id"].isin(then.index).to_numpy()
    for one in snapshot.indicators:
        if names.intersection(tables_of(one)):
            values = then[one.name].reindex(frame["account_id"])
            if isinstance(one.rule, DaysInState):
                values = values + (tables.as_of_date - day).days
            frame.loc[there, one.name] = values.to_numpy()[there]
    return replace(snapshot, frame=frame)
