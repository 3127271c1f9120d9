"""A panel in a folder that is extended week by week, beside the one that is built at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

import leadsignal as ls
from futures import as_bytes, is_known
from leadsignal.config.project import Behaviors
from leadsignal.config.success import SuccessAnalysis
from leadsignal.panel_folder import PanelFolder, extend_panel
from leadsignal.schema import BY_NAME, Table
from leadsignal.tables import Tables
from random_tables import BEHAVIORS, Case, Row, Rows, random_case, tidy


def case_of(seed: int) -> Case:
    """A random case that says which behaviours have indicators, so that no week changes them."""
    case = random_case(seed)
    named = replace(case.project, behaviors=case.project.behaviors or Behaviors(BEHAVIORS))
    return replace(case, project=named)


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


def weeks_of(case: Case, rng: Random) -> list[date]:
    """Some days, the last of which is that of the case: weeks apart, or months, or one day."""
    ago = [rng.choice([1, 7, 14, 28, 35, 60, 100, rng.randint(1, 250)]) for _ in range(3)]
    return [case.as_of - timedelta(days=days) for days in sorted({0, *ago}, reverse=True)]


def equal(found: PanelFolder, tables: Tables, analysis: SuccessAnalysis) -> bool:
    """Whether a folder holds the rows of the panel that is built at once."""
    return as_bytes(found.frame()) == as_bytes(ls.build_panel(tables, analysis).frame)


def differences(
    seed: int, folder: Path, earlier: Callable[[Case, date, Random], Case] | None = None
) -> list[str]:
    """Extend a panel by several weeks; return the days on which it differs from a whole one.

    ``earlier`` makes the case that the panels before the last one are built from.
    """
    case, wrong = case_of(seed), []
    for day in weeks_of(case, Random(seed)):
        whole = case.read().as_of(day)
        if earlier and day < case.as_of:
            whole = earlier(case, day, Random(seed)).read()
        made = extend_panel(whole, case.analysis, folder)
        if not equal(made, whole, case.analysis):
            wrong.append(f"seed {seed}, {day}: {made.built_in_full}")
    return wrong


KINDS: dict[str, Callable[[Case, date, Random], Case] | None] = {
    "the same rows": None,
    "rows that were there": as_exported_on,
    "rows before corrections": before_corrections,
}
"""What the earlier panels were built from."""
