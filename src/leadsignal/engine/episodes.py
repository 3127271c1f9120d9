"""Spells of an account, to the day: adoption episodes, and the best period of usage.

A process is adopted at t if each of the last ``sustained_for`` windows [t - (k+1)w, t - kw)
contains enough events by enough users. An event on day d, known on day r, is in window k from
day max(d + kw, r) + 1 to d + (k+1)w. The state can only change on days on which something enters
or leaves a window. Counts are summed along these days, and runs of "adopted" are the episodes.

Processes with the same windows that count different behaviours are computed in one pass. If no
record is late, `leadsignal.engine.duckdb` computes the sums instead of DuckDB.

Up to day x an episode has ``x + 1 - adopted`` days or, once it has lapsed, ``lapsed - adopted``.
The sum over all episodes is ``open * (x + 1) - sums``: ``open`` is the number of episodes running
on x, and ``sums`` adds the day of each adoption and subtracts that of each lapse. The days in a
window are those up to its end minus those up to the day before it. The latter use the same sums,
with all changes delayed by the window length.

For the best period, let S(u) be the amount in [u - best, u), of rows known before u + window. It is
a step function of u, computed with a difference array. The best period at t is the largest S(u)
with t - within + best <= u <= t - window. A step is in that range if its first or last day is, or
if it covers the range, in which case it is the value at the end of the range. A row that arrives
more than ``window`` days after a period never counts in it, since it would change what earlier
snapshots saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from leadsignal.config.success import Process
from leadsignal.engine.counts import Delta, Moment, condition, has_numbers, stays_steps, summed
from leadsignal.engine.grid import Grid, Source, Step
from leadsignal.indicators.declare import AdoptedShare, Lapses, UsageToBest

WHOLE = 10**6


Batch = Sequence[Process]
"""Processes with the same windows and number of users, none of which share a behaviour."""


def batches(processes: Iterable[Process]) -> list[Batch]:
    """Group the processes into batches that are computed in one pass each.

    >>> closed, filed = (Process(name, (name,), 4, 30) for name in ("closed", "filed"))
    >>> [len(batch) for batch in batches([closed, filed, Process("again", ("filed",), 1, 30)])]
    [2, 1]
    """
    found: list[list[Process]] = []
    for process in processes:
        alike = next((batch for batch in found if _fits(process, batch)), None)
        if alike is None:
            found.append([process])
        else:
            alike.append(process)
    return [*found]


def _fits(process: Process, batch: Batch) -> bool:
    counted = {name for one in batch for name in one.behaviors}
    return _windows(process) == _windows(batch[0]) and counted.isdisjoint(process.behaviors)


def _windows(process: Process) -> tuple[int, int, int]:
    return process.within, process.sustained_for, process.by_users


def _who(batch: Batch) -> str:
    """Return SQL for the columns that identify a state and its process."""
    return "account_no" if len(batch) == 1 else "account_no, process_no"


def _by_process(values: Sequence[str]) -> str:
    """Return SQL for the value of the row's process."""
    if len(values) == 1:
        return values[0]
    cases = " ".join(f"WHEN {number} THEN {value}" for number, value in enumerate(values))
    return f"CASE process_no {cases} END"


@dataclass(frozen=True)
class Adopted(Step):
    """The runs in which processes are adopted: account_no, process_no, x and next_x.

    ``read`` selects account_no, process_no, user_no (0 for none), day and quantity of the counted
    rows; with it, the ``steps_before`` are not needed. ``at_least`` is the quantity that each
    process requires in a window.
    """

    read: str = ""
    at_least: tuple[int, ...] = ()
    by_users: int = 1
    within: int = 1
    sustained_for: int = 1
    as_of: int = 0
    steps_before: tuple[str, ...] = ()


def episodes_steps(batch: Batch, number: int, source: Source, grid: Grid) -> list[Step]:
    """Return the steps that create ``episodes_<number>`` (account_no, process, adopted, lapsed)."""
    p, process = f"process_{number}", batch[0]
    rows, *users = _rows_steps(p, batch, source, grid)
    steps = _states_steps(p, batch, source, grid)
    adopted = Step(f"{p}_adopted", _adopted(p, batch))
    if not source.late:
        user_no = "COALESCE(user_no, 0)" if users else "0"
        joined = f"LEFT JOIN {users[0].name} USING (user_id)" if users else ""
        process_no = "0 AS process_no" if len(batch) == 1 else "process_no"
        adopted = Adopted(
            adopted.name,
            adopted.sql,
            read=f"SELECT account_no, {process_no}, {user_no} AS user_no, day,"
            f" COALESCE(quantity, 0) AS quantity FROM {rows.name} {joined}",
            at_least=tuple(_enough(one) for one in batch),
            by_users=process.by_users,
            within=process.within,
            sustained_for=process.sustained_for,
            as_of=grid.as_of,
            steps_before=tuple(step.name for step in steps),
        )
    episodes = Step(f"episodes_{number}", _episodes(p, batch, source, grid))
    return [rows, *users, *steps, adopted, episodes]


def _states_steps(p: str, batch: Batch, source: Source, grid: Grid) -> list[Step]:
    """Return the steps that create ``<p>_states``: the day on which each state begins."""
    process = batch[0]
    windows = grid.dialect.days_from_to("0", str(process.sustained_for - 1), 1)
    spans = f"CROSS JOIN (SELECT {windows} AS k) AS k"
    steps, changes = (_late_changes if source.late else _punctual_changes)(p, batch, spans, grid)
    return [
        *steps,
        Step(f"{p}_changes", _summed_changes(p, batch, changes, grid)),
        Step(f"{p}_states", _states(p, batch)),
    ]


def _punctual_changes(p: str, batch: Batch, spans: str, grid: Grid) -> tuple[list[Step], str]:
    """Return steps, and SQL for changes, if no record is late: all windows have the same, shifted.

    There is no union, after which Spark would move all rows to their accounts again.
    """
    who, within, steps = _who(batch), batch[0].within, []
    rows, users = f"{p}_rows", "0"
    if batch[0].by_users > 1:
        of_user = f"(PARTITION BY {who}, user_id ORDER BY day)"
        steps.append(
            Step(
                f"{p}_stays",
                f"SELECT {who}, user_id, day, quantity, LAG(day) OVER {of_user} AS before,"
                f" LEAD(day) OVER {of_user} AS after FROM {rows}",
            )
        )
        rows = f"{p}_stays"
        comes = f"sign = 1 AND COALESCE(before + {within} < day, TRUE)"
        goes = f"sign = -1 AND COALESCE(after > day + {within}, TRUE)"
        users = f"CASE WHEN user_id IS NOT NULL AND ({comes} OR {goes}) THEN sign ELSE 0 END"
    x = f"day + k * {within} + CASE WHEN sign = 1 THEN 1 ELSE {within + 1} END"
    return steps, (
        f"SELECT {who}, k, {x} AS x, sign * quantity AS quantity, {users} AS users"
        f" FROM {rows} {spans} CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1 AS sign) AS signs"
    )


def _late_changes(p: str, batch: Batch, spans: str, grid: Grid) -> tuple[list[Step], str]:
    """Return steps, and SQL for changes, if some records became known after their day."""
    process = batch[0]
    steps = [
        Step(
            f"{p}_events",
            f"SELECT {_who(batch)}, k, day + k * {process.within} AS day, quantity,"
            f" GREATEST(day + k * {process.within}, known) + 1 AS begins, user_id"
            f" FROM {p}_rows {spans}",
        )
    ]
    changes = _quantity_changes(p, batch)
    if process.by_users > 1:
        steps += _user_steps(p, batch, has_numbers(grid.dialect))
        changes += f" UNION ALL {_user_changes(p, batch)}"
    return steps, changes


def _rows_steps(p: str, batch: Batch, source: Source, grid: Grid) -> list[Step]:
    """Return the steps that create the counted rows and, if users count, the user numbers."""
    d = grid.dialect
    tests = [condition((("behavior", process.behaviors),), d) for process in batch]
    which = ""
    if len(batch) > 1:
        cases = " ".join(f"WHEN {test} THEN {number}" for number, test in enumerate(tests))
        which = f" CASE {cases} END AS process_no,"
    counted = tuple(name for process in batch for name in process.behaviors)
    where = condition((("behavior", counted),), d)
    rows = Step(
        f"{p}_rows",
        f"SELECT account_no,{which} user_id, {d.day('occurred_at')} AS day,"
        f" {d.day('known_on')} AS known, {d.scaled('quantity', 6)} AS quantity"
        f" FROM ({source.sql}) AS source JOIN spine USING (account_id) WHERE {where}",
        table=source.name,
        back=batch[0].within * batch[0].sustained_for + 1,
    )
    if batch[0].by_users == 1:
        return [rows]
    users = Step(
        f"{p}_users",
        f"SELECT user_id, {d.number_of('user_id')} AS user_no FROM"
        f" (SELECT DISTINCT user_id FROM {p}_rows WHERE user_id IS NOT NULL) AS u",
    )
    return [rows, users]


def _quantity_changes(p: str, batch: Batch) -> str:
    who, within = _who(batch), batch[0].within
    seen = f"day + {within} >= begins"
    enters = f"SELECT {who}, k, begins AS x, quantity, 0 AS users FROM {p}_events WHERE {seen}"
    leaves = f"SELECT {who}, k, day + {within + 1} AS x, -quantity, 0 FROM {p}_events WHERE {seen}"
    return f"{enters} UNION ALL {leaves}"


def _user_steps(p: str, batch: Batch, numbers: bool) -> list[Step]:
    who, rows = _who(batch), f"{p}_events"
    named = f"{rows} JOIN {p}_users USING (user_id)"
    if not numbers:
        named = f"(SELECT *, user_id AS user_no FROM {rows} WHERE user_id IS NOT NULL) AS named"
    numbered = Step(f"{p}_numbered", f"SELECT {who}, user_no, k, day, begins FROM {named}")
    return [numbered, *stays_steps(p, numbered.name, f"{who}, user_no, k", late=True)]


def _user_changes(p: str, batch: Batch) -> str:
    who, w = _who(batch), batch[0].within
    seen = f"extends AND day + {w} >= begins"
    return (
        f"SELECT {who}, k, begins AS x, 0 AS quantity, 1 AS users FROM {p}_stays"
        f" WHERE {seen} AND (before IS NULL OR before + {w + 1} < begins)"
        f" UNION ALL SELECT {who}, k, day + {w + 1} AS x, 0, -1 FROM {p}_stays"
        f" WHERE {seen} AND (after IS NULL OR after > day + {w + 1})"
    )


def _summed_changes(p: str, batch: Batch, changes: str, grid: Grid) -> str:
    who = _who(batch)
    sums = ", ".join(
        f"CAST(SUM(CASE WHEN k = {k} THEN quantity END) AS BIGINT) AS quantity_{k},"
        f" CAST(SUM(CASE WHEN k = {k} THEN users END) AS BIGINT) AS users_{k}"
        for k in range(batch[0].sustained_for)
    )
    until = f"WHERE x <= {grid.as_of} GROUP BY {who}, x"
    return f"SELECT {who}, x, {sums} FROM ({changes}) AS c {until}"


def _states(p: str, batch: Batch) -> str:
    who, process = _who(batch), batch[0]
    along = f"OVER (PARTITION BY {who} ORDER BY x ROWS UNBOUNDED PRECEDING)"
    enough = _by_process([str(_enough(one)) for one in batch])
    tests = []
    for k in range(process.sustained_for):
        tests.append(f"SUM(COALESCE(quantity_{k}, 0)) {along} >= {enough}")
        if process.by_users > 1:
            tests.append(f"SUM(COALESCE(users_{k}, 0)) {along} >= {process.by_users}")
    return f"SELECT {who}, x, {' AND '.join(tests)} AS adopted FROM {p}_changes"


def _enough(process: Process) -> int:
    """Return the integer quantity that each window must contain."""
    return round(process.at_least * WHOLE)


def _adopted(p: str, batch: Batch) -> str:
    """Return runs of "adopted": from x to before next_x, which is missing for the current run."""
    who = _who(batch)
    by_account = f"(PARTITION BY {who} ORDER BY x)"
    runs = f"SELECT {who}, x, adopted, LAG(adopted) OVER {by_account} AS was FROM {p}_states"
    turns = (
        f"SELECT {who}, x, adopted, LEAD(x) OVER {by_account} AS next_x FROM ({runs}) AS r"
        f" WHERE adopted <> COALESCE(was, FALSE)"
    )
    return f"SELECT {who}, x, next_x FROM ({turns}) AS t WHERE adopted"


def known_from(process: Process, source: Source) -> str:
    """Return SQL for the first day on which a process has a known state (needs ``started``)."""
    whole = source.complete_from
    if whole is None:
        return "NULL"
    seen = whole + process.sustained_for * process.within
    return f"CASE WHEN started >= {whole} THEN started ELSE {seen} END"


def _episodes(p: str, batch: Batch, source: Source, grid: Grid) -> str:
    """Return runs of "adopted", cut to days with a known state and an active account."""
    process = batch[0]
    names = _by_process([grid.dialect.literal(one.name) for one in batch])
    until = [str(grid.as_of + 1), "ended"]
    if source.complete_through is not None:
        until.append(str(source.complete_through + 2))
    return (
        f"SELECT account_no, {names} AS process,"
        f" GREATEST(x, {known_from(process, source)}) AS adopted,"
        f" CASE WHEN next_x < LEAST({', '.join(until)}) THEN next_x END AS lapsed"
        f" FROM {p}_adopted JOIN spine USING (account_no)"
        f" WHERE COALESCE(next_x > {known_from(process, source)}, TRUE)"
        f" AND GREATEST(x, {known_from(process, source)}) < LEAST({', '.join(until)})"
    )


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
            came, left = Moment("lapsed"), Moment("lapsed", measure.window)
            changes[memory_column("lapses", measure)] = [
                (came, "1", when, 1),
                (left, "1", when, -1),
            ]
            continue
        for days_ago in (0, measure.window):
            begins, ends = Moment("adopted", days_ago), Moment("lapsed", days_ago)
            for what, adopted, lapsed in (("open", "1", "1"), ("sums", "adopted", "lapsed")):
                column = memory_column(what, measure, days_ago)
                changes[column] = [(begins, adopted, when, 1), (ends, lapsed, when, -1)]
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


def history_start(source: Source) -> str:
    """Return SQL for the first day of an account's usage history (needs ``started``)."""
    return "NULL" if source.complete_from is None else f"GREATEST(started, {source.complete_from})"


def best_usage_steps(
    source: Source, grid: Grid, measure: UsageToBest, column: str, name: str
) -> list[Step]:
    """Compute the total of the best period, as an integer number of millionths, in ``made``."""
    d = grid.dialect
    first = f"GREATEST(day + 1, known - {measure.window - 1})"
    last = f"day + {measure.best}"
    by_day = "OVER (PARTITION BY account_no ORDER BY x)"
    lookback = max(measure.within - measure.best - measure.window, 0)
    recent, best = "", _carried_best(name, measure, column, lookback)
    if grid.one_day:
        # What is in no period that the snapshot compares has entered and left every sum before.
        earliest = grid.as_of - measure.window - lookback - measure.best
        recent = f" AND used_on >= {d.date(str(earliest))}"
        best = _best_on_one_day(name, column, grid.as_of - measure.window, lookback)
    return [
        Step(
            f"{name}_amounts",
            f"SELECT account_no, {d.day('used_on')} AS day, {d.day('known_on')} AS known,"
            f" {d.scaled('amount', 6)} AS amount"
            f" FROM ({source.sql}) AS source JOIN spine USING (account_id)"
            f" WHERE {d.day('used_on')} >= {history_start(source)}"
            f" AND {condition(measure.where, d)}{recent}",
            table=source.name,
            back=max(measure.within, measure.best + measure.window) + 1,
        ),
        Step(
            f"{name}_steps",
            "SELECT account_no, x, change,"
            f" CAST(SUM(change) {by_day} AS BIGINT) AS total, LEAD(x) {by_day} - 1 AS last_x FROM ("
            "  SELECT account_no, x, CAST(SUM(change) AS BIGINT) AS change FROM ("
            f"   SELECT account_no, CASE WHEN sign = 1 THEN {first} ELSE {last} + 1 END AS x,"
            f"   sign * amount AS change FROM {name}_amounts"
            # Not a union: Spark then need not move the rows again to their accounts.
            "   CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1 AS sign) AS signs"
            f"   WHERE {first} <= {last}) AS c GROUP BY 1, 2) AS g",
        ),
        best,
    ]


def _best_on_one_day(name: str, column: str, end: int, lookback: int) -> Step:
    """Select the largest total of the steps that reach into the ``lookback`` days up to ``end``."""
    compared = f"x <= {end} AND COALESCE(last_x >= {end - lookback}, TRUE)"
    return Step(
        name,
        f"SELECT account_no, t, COALESCE(most, 0) AS {column} FROM grid LEFT JOIN ("
        f"SELECT account_no, MAX(total) AS most FROM {name}_steps WHERE {compared}"
        " GROUP BY account_no) AS b USING (account_no)",
    )


def _carried_best(name: str, measure: UsageToBest, column: str, lookback: int) -> Step:
    """Select the largest total at each snapshot, with the steps and the snapshots in one order."""
    by_day = "OVER (PARTITION BY account_no ORDER BY x)"
    none = "CAST(NULL AS INTEGER)"
    return Step(
        name,
        f"SELECT account_no, t, GREATEST(COALESCE(most, 0), standing) AS {column} FROM ("
        f"  SELECT account_no, t,"
        f"  CAST(SUM(change) {by_day} AS BIGINT) AS standing,"
        f"  MAX(total) OVER (PARTITION BY account_no ORDER BY x"
        f"   RANGE BETWEEN {lookback} PRECEDING AND CURRENT ROW) AS most"
        "  FROM ("
        f"   SELECT account_no, x, change, total, {none} AS t FROM {name}_steps"
        f"   UNION ALL SELECT account_no, last_x, 0, total, {none} FROM {name}_steps"
        "   WHERE last_x IS NOT NULL"
        f"  UNION ALL SELECT account_no, t - {measure.window}, 0, NULL, t FROM grid"
        "  ) AS u) AS w WHERE t IS NOT NULL",
    )
