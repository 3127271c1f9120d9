"""A panel that is built on one of an earlier day, beside the one that is built at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pandas as pd

import leadsignal as ls
from futures import as_bytes, is_known
from leadsignal.config.project import Behaviors
from leadsignal.panel import Panel
from leadsignal.schema import BY_NAME, Table
from random_tables import BEHAVIORS, Case, Row, Rows, random_case, tidy

DAYS_AGO = (0, 1, 7, 28)


def case_of(seed: int) -> Case:
    """A random case that says which behaviours have indicators, so that no week changes them."""
    case = random_case(seed)
    named = replace(case.project, behaviors=case.project.behaviors or Behaviors(BEHAVIORS))
    return replace(case, project=named)


def a_day_before(case: Case, rng: Random) -> date:
    return case.as_of - timedelta(days=rng.choice([*DAYS_AGO, rng.randint(1, 250)]))


def as_exported_on(case: Case, day: date, rng: Random) -> Case:
    """The rows that were there on a day, without the cells that were still to come."""
    tables = {
        name: [
            _without_later_cells(BY_NAME[name], row, day)
            for row in rows
            if is_known(BY_NAME[name], row, day)
        ]
        for name, rows in case.tables.items()
    }
    return replace(case, tables=tidy(tables, case.columns), as_of=day)


def _without_later_cells(table: Table, row: Row, day: date) -> Row:
    later = [
        column
        for second in table.second_dates
        if (row.get(second.column) or date.min) >= day
        for column in (second.column, *second.also)
    ]
    return {name: None if name in later else value for name, value in row.items()}


def before_corrections(case: Case, day: date, rng: Random) -> Case:
    """The case as it was on a day, before rows of the past were added, moved and changed.

    The first row of each table stays: it says from when the table is complete.
    """
    tables: Rows = {}
    for name, rows in case.tables.items():
        first = min((_known(name, row) for row in rows), default=date.max)
        before = (_before_correction(name, row, rng, first) for row in rows)
        tables[name] = [row for row in before if row is not None]
    return replace(case.with_tables(tidy(tables, case.columns)), as_of=day)


def _known(name: str, row: Row) -> date:
    day: date = row[BY_NAME[name].time]
    recorded = row.get("recorded_at")
    return max(day, recorded.date()) if recorded else day


def _before_correction(name: str, row: Row, rng: Random, first: date) -> Row | None:
    table, kind = BY_NAME[name], rng.random()
    if name == "accounts":
        return {**row, "arr": 5} if "arr" in row and kind < 0.1 else row
    if _known(name, row) == first or kind > 0.04:
        return row
    moves = kind > 0.02 and not table.ordered
    return {**row, table.time: row[table.time] + timedelta(days=30)} if moves else None


def differing(found: Panel, expected: Panel) -> list[str]:
    """What of two panels is not the same, to the byte."""
    pairs: dict[str, tuple[pd.DataFrame | None, pd.DataFrame | None]] = {
        "rows": (found.frame, expected.frame),
        "episodes": (found.episodes, expected.episodes),
        "accounts without rows": (found.without_rows, expected.without_rows),
    }
    wrong = [name for name, (one, other) in pairs.items() if _bytes(one) != _bytes(other)]
    names = ("indicators", "past", "warnings", "columns", "as_of_date", "every", "behaviors")
    return wrong + [name for name in names if getattr(found, name) != getattr(expected, name)]


def _bytes(frame: pd.DataFrame | None) -> bytes | None:
    return None if frame is None else as_bytes(frame)


def differences(
    seed: int, earlier: Callable[[Case, date, Random], Case] | None = None
) -> list[str]:
    """Extend the panel of a random day; return what differs from the panel that is built at once.

    ``earlier`` makes the case that the first panel is built from.
    """
    case, rng = case_of(seed), Random(seed)
    day = a_day_before(case, rng)
    tables = case.read()
    before = earlier(case, day, rng).read() if earlier else tables.as_of(day)
    since = ls.build_panel(before, case.analysis)
    found = ls.build_panel(tables, case.analysis, since=since)
    expected = ls.build_panel(tables, case.analysis)
    return [f"seed {seed}, {day}: {what}" for what in differing(found, expected)]


KINDS: dict[str, Callable[[Case, date, Random], Case] | None] = {
    "the same rows": None,
    "rows that were there": as_exported_on,
    "rows before corrections": before_corrections,
}
"""What the earlier panel was built from."""
