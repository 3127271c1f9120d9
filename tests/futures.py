"""Another future for a case: all that midnight t could not have known, changed.

Rows known before t stay, but for cells that were still hidden then. Everything else is deleted,
added, changed, pushed later and back. A panel row at or before t may not show any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from leadsignal.panel import adoption_episodes, build_panel
from leadsignal.schema import BY_NAME, Table
from random_tables import (
    BASE,
    Case,
    Row,
    Rows,
    Shape,
    at_midnight,
    draw_account,
    draw_events,
    later_account,
    latest_accounts,
    shape_of,
    tidy,
)

AT_ROW = ("account_id", "snapshot_on")
KNOWN_THEN = ("customer_id", "start", "notice_given", "arr")
"""The panel's key columns that speak of what was known at the snapshot; the rest is outcome."""


def is_known(table: Table, row: Row, t: date) -> bool:
    recorded = row.get("recorded_at")
    return row[table.time] < t and (recorded is None or recorded.date() < t)


def is_readable(account: Row, t: date) -> bool:
    """Whether the panel may read a row of accounts at midnight t: on its first day already."""
    recorded = account.get("recorded_at")
    return account["started_on"] <= t and (recorded is None or recorded.date() < t)


def other_future(case: Case, t: date, rng: Random) -> Case:
    """Return the case with everything changed that is not known at midnight t."""
    shape = shape_of(case)
    known: Rows = {
        name: [row for row in rows if is_known(BY_NAME[name], row, t)]
        for name, rows in case.tables.items()
        if name != "accounts"
    }
    told = {row["account_id"] for rows in known.values() for row in rows}
    before = case.tables["accounts"]
    accounts = _with_lost_segments(before, _other_accounts(rng, shape, before, t, told))
    drawn = {"accounts": accounts, **draw_events(rng, shape, accounts, 0.6)}
    fresh = tidy(drawn, case.columns)
    tables: Rows = {"accounts": accounts}
    for name, rows in known.items():
        table = BY_NAME[name]
        hidden = [row for row in case.tables[name] if not is_known(table, row, t)]
        later = [row for row in fresh[name] if not is_known(table, row, t)]
        changed = [made for row in hidden for made in _other_row(rng, table, row, later, t)]
        held = [_other_cells(rng, table, row, t) for row in rows]
        if len({tuple(row.values()) for row in held}) < len(held):
            held = rows  # Two rows became one, which the door may refuse.
        added = [row for row in later if rng.random() < 0.4]
        tables[name] = [*held, *changed, *added]
        tables[name] += _last_of_lost_names(name, case.tables[name], tables[name])
    made = tidy(tables, case.columns)
    for name, rows in known.items():
        kept = sum(is_known(BY_NAME[name], row, t) for row in made[name])
        assert kept == len(rows), f"{name}: the past was touched"
    return case.with_tables(made)


def _last_of_lost_names(table: str, before: list[Row], now: list[Row]) -> list[Row]:
    """Rows that keep every name that an analysis may use: one that occurs nowhere is a fault."""
    column = {"results": "metric", "behaviors": "behavior"}.get(table)
    if column is None:
        return []
    last = {row.get(column): row for row in before}
    there = {row.get(column) for row in now}
    return [row for name, row in last.items() if name not in there]


def _with_lost_segments(before: Sequence[Row], now: list[Row]) -> list[Row]:
    """Accounts that keep every segment, by putting accounts back as they were."""
    while lost := {row.get("segment") for row in before} - {row.get("segment") for row in now}:
        account = next(row["account_id"] for row in before if row.get("segment") in lost)
        now = [row for row in now if row["account_id"] != account]
        now += [row for row in before if row["account_id"] == account]
    return now


def _other_cells(rng: Random, table: Table, row: Row, t: date) -> Row:
    """A row known at t with its second dates changed where they were hidden then."""
    changed = dict(row)
    for second in table.second_dates:
        day = row.get(second.column)
        hidden = day is None or day >= t
        if hidden and second.column in row and rng.random() < 0.5:
            later = t + timedelta(days=rng.choice([0, 0, 1, rng.randint(0, 200)]))
            changed[second.column] = rng.choice([None, later, later])
            changed.update({also: rng.choice([None, "price", "completed"]) for also in second.also})
    return changed


def _other_row(rng: Random, table: Table, row: Row, fresh: Sequence[Row], t: date) -> list[Row]:
    """A row not known at t: deleted, kept, filled with other cells, or moved."""
    action = rng.choice(["delete", "keep", "fill", "move"])
    if action == "fill" and fresh:
        keys = {"account_id": row["account_id"]}
        if table.key and table.key in row:
            keys[table.key] = row[table.key]
        return [{**rng.choice(fresh), **keys}]
    if action == "move":
        return [_moved(rng, table, row, t)]
    return [] if action == "delete" else [row]


def _moved(rng: Random, table: Table, row: Row, t: date) -> Row:
    """A row on other days, possibly told late of a day before t, but not known at t."""
    shift = timedelta(days=rng.choice([-90, -28, -1, 1, 7, 28, 200]))
    moved = {c: v + shift if _is_day(v) and c != "recorded_at" else v for c, v in row.items()}
    recorded = moved.get("recorded_at")
    if recorded is not None and rng.random() < 0.5:
        moved["recorded_at"] = max(recorded + shift, at_midnight(t))
    return row if is_known(table, moved, t) else moved


def _is_day(value: Any) -> bool:
    return isinstance(value, date)


def _other_accounts(
    rng: Random, shape: Shape, rows: Sequence[Row], t: date, told: set[str]
) -> list[Row]:
    """Accounts: those known keep what was known; others are changed, taken out, put in."""
    accounts: list[Row] = []
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["account_id"], []).append(row)
    for account, versions in groups.items():
        known = any(is_readable(row, t) for row in versions)
        if not known and account not in told and rng.random() < 0.3:
            continue
        accounts += [
            _other_cells(rng, BY_NAME["accounts"], row, t)
            if is_readable(row, t)
            else _other_facts(rng, row)
            for row in versions
            if is_readable(row, t) or not known or rng.random() < 0.7
        ]
        held = [row for row in accounts if row["account_id"] == account]
        while shape.late["accounts"] and rng.random() < 0.3:
            held.append(_recorded_later(rng, held, t))
            accounts.append(held[-1])
    for number in range(3):
        drawn = draw_account(rng, shape, f"{rng.choice('0bz')}{number}")
        drawn = [{name: row[name] for name in shape.columns["accounts"]} for row in drawn]
        accounts += drawn if not any(is_readable(row, t) for row in drawn) else []
    return accounts


def _other_facts(rng: Random, row: Row) -> Row:
    facts = {
        "term_months": rng.choice([None, 4, 24]),
        "arr": rng.choice([None, 77]),
        "segment": rng.choice([None, "small", "mid"]),
        "employees": rng.choice([None, "1000"]),
    }
    return {**row, **{name: value for name, value in facts.items() if name in row}}


def _recorded_later(rng: Random, held: Sequence[Row], t: date) -> Row:
    """One more version of an account, recorded on t or later."""
    row = later_account(rng, held)
    row["recorded_at"] = max(
        row["recorded_at"], at_midnight(t) + timedelta(seconds=rng.randint(0, 10**7))
    )
    if row.get("ended_on") and row["ended_on"] < t:
        row["ended_on"] = held[-1].get("ended_on")
    return {name: value for name, value in row.items() if name in held[-1]}


# What midnight t knew -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """The panel and the episodes of a case."""

    frame: pd.DataFrame
    episodes: pd.DataFrame
    indicators: tuple[str, ...]
    ended: dict[str, date | None]


def see(case: Case, shuffle: Random | None = None) -> Seen:
    tables = case.read(shuffle)
    panel = build_panel(tables, case.analysis)
    last = latest_accounts(case.tables["accounts"])
    ended = {account: row.get("ended_on") for account, row in last.items()}
    return Seen(panel.frame, adoption_episodes(tables, case.analysis), tuple(panel.names()), ended)


def ended_by(one: Seen, other: Seen, t: date) -> set[str]:
    """Accounts whose end was moved to or from a day up to t by what was told later.

    An end that is told late takes away rows that were there at the time, which no panel can know.
    """
    return {
        account
        for account in one.ended.keys() & other.ended.keys()
        if one.ended[account] != other.ended[account]
        and min(one.ended[account] or date.max, other.ended[account] or date.max) <= t
    }


def disagreements(one: Seen, other: Seen, t: date) -> list[str]:
    """What the two say differently of the rows and episodes up to midnight t."""
    moved, found = ended_by(one, other, t), []
    rows = [_rows_until(seen, t) for seen in (one, other)]
    keys = [set(zip(*(frame[c] for c in AT_ROW), strict=True)) for frame in rows]
    found += [f"row {a} {day.date()}" for a, day in keys[0] ^ keys[1] if a not in moved]
    both = keys[0] & keys[1]
    kept = [
        # Of an empty frame a list would choose columns.
        frame[
            np.array([key in both for key in zip(*(frame[c] for c in AT_ROW), strict=True)], bool)
        ]
        for frame in rows
    ]
    found += [
        f"column {name}"
        for name in kept[0].columns
        if as_bytes(kept[0][[name]]) != as_bytes(kept[1][[name]])
    ]
    begun = [_episodes_until(seen, t, moved) for seen in (one, other)]
    found += [f"episode {episode}" for episode in begun[0] ^ begun[1]]
    return found


def _rows_until(seen: Seen, t: date) -> pd.DataFrame:
    columns = [*AT_ROW, *KNOWN_THEN, *seen.indicators]
    return seen.frame.loc[seen.frame["snapshot_on"] <= pd.Timestamp(t), columns]


def _episodes_until(seen: Seen, t: date, moved: set[str]) -> set[tuple[Any, ...]]:
    """Episodes begun by t, with the day they lapsed if that was by t too."""
    frame, cut = seen.episodes, pd.Timestamp(t)
    frame = frame[(frame["adopted_on"] <= cut) & ~frame["account_id"].isin(moved)]
    lapsed = [str(day) if day <= cut else None for day in frame["lapsed_on"]]
    columns = (frame["account_id"], frame["process"], frame["adopted_on"], lapsed)
    return set(zip(*columns, strict=True))


def as_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as Arrow writes it: equal bytes, equal frame, types and missing values included."""
    table = pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False)
    # pandas 3 leaves in unused bits of Arrow's columns what was there before; a copy has none.
    table = table.take(pa.array(range(len(table)), pa.int64()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def a_midnight(rng: Random, seen: Seen, case: Case) -> date:
    """A day to cut at: often a snapshot, or the day after one."""
    if len(seen.frame) and rng.random() < 0.7:
        day: date = rng.choice(list(seen.frame["snapshot_on"])).date()
        return min(day + timedelta(days=rng.choice([0, 0, 0, 1])), case.as_of)
    return BASE + timedelta(days=rng.randint(0, (case.as_of - BASE).days))


def travel(case: Case, times: int, seed: int) -> list[str]:
    """Change the future of a case at several midnights; return what that changed before them."""
    rng, here, found = Random(seed), see(case), []
    for number in range(times):
        t = a_midnight(rng, here, case)
        there = see(other_future(case, t, rng), shuffle=rng)
        found += [f"case {seed}.{number} at {t}: {what}" for what in disagreements(here, there, t)]
    return found
