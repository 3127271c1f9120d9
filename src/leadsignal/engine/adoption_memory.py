"""Running sums of the days for which a process was adopted, and of how often it lapsed.

Up to day x an episode has ``x + 1 - adopted`` days or, once it has lapsed, ``lapsed - adopted``.
The sum over all episodes is ``open * (x + 1) - sums``: ``open`` is the number of episodes running
on x, and ``sums`` adds the day of each adoption and subtracts that of each lapse. The days in a
window are those up to its end minus those up to the day before it. The latter use the same sums,
with all changes delayed by the window length.
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
    """Return the column name of a running sum for one process, up to ``days_ago`` days before t."""
    days = measure.window if days_ago is None else days_ago
    return f"{what}_{days}_of_{measure.process}"


def memory_steps(grid: Grid, measures: Sequence[AdoptedShare | Lapses]) -> list[Step]:
    """Return the steps that create ``adoption_memory`` from ``episodes``."""
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
