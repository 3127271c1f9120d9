"""Episodes of adoption, to the day.

A process is adopted at t while each of the last ``sustained_for`` windows [t - (k+1)w, t - kw)
holds enough events by enough users. An event of day d, known on day r, lies in window k on the days
from max(d + kw, r) + 1 to d + (k+1)w. Only on the days on which something enters or leaves a window
can the state change: there the counts are summed along, and runs of "adopted" are the episodes.
"""

from __future__ import annotations

from leadsignal.config.success import Process
from leadsignal.engine.counts import condition, stays_steps
from leadsignal.engine.grid import Grid, Source, Step

WHOLE = 10**6


def episodes_steps(process: Process, number: int, source: Source, grid: Grid) -> list[Step]:
    """Return the steps that make ``episodes_<number>`` (account_no, process, adopted, lapsed)."""
    p = f"process_{number}"
    steps = [_rows(p, process, source, grid)]
    windows = grid.dialect.days_from_to("0", str(process.sustained_for - 1), 1)
    spans = f"CROSS JOIN (SELECT {windows} AS k) AS k"
    steps.append(
        Step(
            f"{p}_events",
            f"SELECT account_no, k, day + k * {process.within} AS day, quantity,"
            f" GREATEST(day + k * {process.within}, known) + 1 AS begins, user_id"
            f" FROM {p}_rows {spans}",
        )
    )
    changes = [_quantity_changes(p, process)]
    if process.by_users > 1:
        steps += _user_steps(p, process, source, grid, spans)
        changes.append(_user_changes(p, process))
    steps.append(Step(f"{p}_changes", _summed_changes(p, process, changes, grid)))
    steps.append(Step(f"{p}_states", _states(p, process)))
    steps.append(Step(f"episodes_{number}", _episodes(p, process, source, grid)))
    return steps


def _rows(p: str, process: Process, source: Source, grid: Grid) -> Step:
    d = grid.dialect
    where = condition((("behavior", process.behaviors),), d)
    return Step(
        f"{p}_rows",
        f"SELECT account_no, user_id, {d.day('occurred_at')} AS day, {d.day('known_on')} AS known,"
        f" {d.scaled('quantity', 6)} AS quantity"
        f" FROM ({source.sql}) AS source JOIN spine USING (account_id) WHERE {where}",
    )


def _quantity_changes(p: str, process: Process) -> str:
    seen = f"day + {process.within} >= begins"
    enters = f"SELECT account_no, k, begins AS x, quantity, 0 AS users FROM {p}_events WHERE {seen}"
    leaves = (
        f"SELECT account_no, k, day + {process.within + 1} AS x, -quantity, 0"
        f" FROM {p}_events WHERE {seen}"
    )
    return f"{enters} UNION ALL {leaves}"


def _user_steps(p: str, process: Process, source: Source, grid: Grid, spans: str) -> list[Step]:
    users = Step(
        f"{p}_users",
        f"SELECT user_id, {grid.dialect.number_of('user_id')} AS user_no FROM"
        f" (SELECT DISTINCT user_id FROM {p}_rows WHERE user_id IS NOT NULL) AS u",
    )
    if source.late:
        numbered = Step(
            f"{p}_numbered",
            f"SELECT account_no, user_no, k, day, begins FROM {p}_events"
            f" JOIN {p}_users USING (user_id)",
        )
        return [
            users,
            numbered,
            *stays_steps(p, numbered.name, "account_no, user_no, k", late=True),
        ]
    # Nothing is late: a user's stay in window k is the stay in window 0, shifted.
    numbered = Step(
        f"{p}_numbered",
        f"SELECT account_no, user_no, day, day + 1 AS begins FROM {p}_rows"
        f" JOIN {p}_users USING (user_id)",
    )
    *first, last = stays_steps(p, numbered.name, "account_no, user_no", late=False)
    shift = f"k * {process.within}"
    shifted = Step(
        f"{p}_stays",
        f"SELECT account_no, user_no, k, day + {shift} AS day, begins + {shift} AS begins, extends,"
        f" before + {shift} AS before, after + {shift} AS after FROM ({last.sql}) AS s {spans}",
    )
    return [users, numbered, *first, shifted]


def _user_changes(p: str, process: Process) -> str:
    w = process.within
    seen = f"extends AND day + {w} >= begins"
    return (
        f"SELECT account_no, k, begins AS x, 0 AS quantity, 1 AS users FROM {p}_stays"
        f" WHERE {seen} AND (before IS NULL OR before + {w + 1} < begins)"
        f" UNION ALL SELECT account_no, k, day + {w + 1} AS x, 0, -1 FROM {p}_stays"
        f" WHERE {seen} AND (after IS NULL OR after > day + {w + 1})"
    )


def _summed_changes(p: str, process: Process, changes: list[str], grid: Grid) -> str:
    sums = ", ".join(
        f"CAST(SUM(CASE WHEN k = {k} THEN quantity END) AS BIGINT) AS quantity_{k},"
        f" CAST(SUM(CASE WHEN k = {k} THEN users END) AS BIGINT) AS users_{k}"
        for k in range(process.sustained_for)
    )
    union = " UNION ALL ".join(changes)
    return (
        f"SELECT account_no, x, {sums} FROM ({union}) AS c"
        f" WHERE x <= {grid.as_of} GROUP BY account_no, x"
    )


def _states(p: str, process: Process) -> str:
    along = "OVER (PARTITION BY account_no ORDER BY x ROWS UNBOUNDED PRECEDING)"
    tests = []
    for k in range(process.sustained_for):
        tests.append(f"SUM(COALESCE(quantity_{k}, 0)) {along} >= {round(process.at_least * WHOLE)}")
        if process.by_users > 1:
            tests.append(f"SUM(COALESCE(users_{k}, 0)) {along} >= {process.by_users}")
    return f"SELECT account_no, x, {' AND '.join(tests)} AS adopted FROM {p}_changes"


def known_from(process: Process, source: Source) -> str:
    """SQL: the first day on which the state of a process is known (needs ``started``)."""
    whole = source.complete_from
    if whole is None:
        return "NULL"
    seen = whole + process.sustained_for * process.within
    return f"CASE WHEN started >= {whole} THEN started ELSE {seen} END"


def _episodes(p: str, process: Process, source: Source, grid: Grid) -> str:
    """Runs of "adopted", cut to the days on which the state is known and the account active."""
    until = [str(grid.as_of + 1), "ended"]
    if source.complete_through is not None:
        until.append(str(source.complete_through + 2))
    by_account = "(PARTITION BY account_no ORDER BY x)"
    runs = f"SELECT account_no, x, adopted, LAG(adopted) OVER {by_account} AS was FROM {p}_states"
    turns = (
        f"SELECT account_no, x, adopted, LEAD(x) OVER {by_account} AS next_x FROM ({runs}) AS r"
        f" WHERE adopted <> COALESCE(was, FALSE)"
    )
    return (
        f"SELECT account_no, {grid.dialect.literal(process.name)} AS process,"
        f" GREATEST(x, {known_from(process, source)}) AS adopted,"
        f" CASE WHEN next_x < LEAST({', '.join(until)}) THEN next_x END AS lapsed"
        f" FROM ({turns}) AS e JOIN spine USING (account_no)"
        f" WHERE adopted AND COALESCE(next_x > {known_from(process, source)}, TRUE)"
        f" AND GREATEST(x, {known_from(process, source)}) < LEAST({', '.join(until)})"
    )
