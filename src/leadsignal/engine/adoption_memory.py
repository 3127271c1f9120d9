"""How many days a process was adopted up to a day, and how often it lapsed, by running sums.

Up to day x an episode has ``x + 1 - adopted`` days or, once it has lapsed, ``lapsed - adopted``.
Over all episodes that is ``open * (x + 1) - sums``: ``open`` counts those that run on x, and
``sums`` adds the day of each adoption and takes away that of each lapse. The days adopted in a
window are those up to its end less those up to the day before it, whose sums are the same with all
changes put off by the window's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from leadsignal.engine.counts import Delta, Moment, summed
from leadsignal.engine.grid import Grid, Step
from leadsignal.indicators.declare import AdoptedShare, Lapses

NAME = "adoption_memory"
DATED = "dated_episodes"


def memory_column(what: str, measure: AdoptedShare | Lapses, days_ago: int | None = None) -> str:
    """Return the column of a running sum of one process, up to the day ``days_ago``."""
    days = measure.window if days_ago is None else days_ago
    return f"{what}_{days}_of_{measure.process}"


def memory_steps(grid: Grid, measures: Sequence[AdoptedShare | Lapses]) -> list[Step]:
    """Return the steps that make ``adoption_memory``; they read ``episodes``."""
    changes: dict[str, list[tuple[Moment, str, str, Literal[1, -1]]]] = {}
    for measure in measures:
        when = f"process = {grid.dialect.literal(measure.process)}"
        if isinstance(measure, Lapses):
            changes[memory_column("lapses", measure)] = [
                (Moment("lapsed"), "1", when, 1),
                (Moment("lapsed", measure.window), "1", when, -1),
            ]
            continue
        for days_ago in (0, measure.window):
            begins, ends = Moment("adopted", days_ago), Moment("lapsed", days_ago)
            changes[memory_column("open", measure, days_ago)] = [
                (begins, "1", when, 1),
                (ends, "1", when, -1),
            ]
            changes[memory_column("sums", measure, days_ago)] = [
                (begins, "adopted", when, 1),
                (ends, "lapsed", when, -1),
            ]
    deltas = [
        Delta(number, *change)
        for number, listed in enumerate(changes.values())
        for change in listed
    ]
    dated = f"SELECT account_no, first, process, adopted, lapsed FROM episodes JOIN {grid.spine}"
    return [
        Step(DATED, f"{dated} USING (account_no)"),
        summed(NAME, DATED, grid, deltas, list(changes)),
    ]
