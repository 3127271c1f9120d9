"""Counts at each snapshot, computed with difference arrays, and the latest values before it.

A row counts from ``first_day`` to ``last_day``. Its weight is added at the first snapshot on or
after ``first_day``, and subtracted at the first snapshot after ``last_day``; the running sum along
the account's rows is the count. Weights are integers, so that sums do not depend on the order of
the rows. The cost does not depend on the window.

For the latest value, each row becomes known at one snapshot, and the largest (day, value) so far is
carried forward along the account's rows. For the best row, the pair is (value, day).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from leadsignal.engine.grid import (
    Carried,
    CarriedColumn,
    Change,
    Grid,
    How,
    Source,
    Step,
    Term,
    Users,
    carried,
    users_on_one_day,
)
from leadsignal.errors import OptionError
from leadsignal.indicators.declare import (
    DaysSince,
    DaysSinceBest,
    Early,
    Latest,
    Running,
    Standing,
    Trailing,
    Where,
)
from leadsignal.ingestion.dialect import Dialect
from leadsignal.schema import BY_NAME

Count = Trailing | Standing | Running | Early
Seen = Latest | DaysSince | DaysSinceBest


def condition(where: Where, d: Dialect) -> str:
    """Return SQL for conditions that must all hold."""
    if not where:
        return "TRUE"
    return " AND ".join(
        f"{d.quoted(column)} IN ({', '.join(map(d.literal, values))})" for column, values in where
    )


@dataclass(frozen=True)
class Moment:
    """A day in each row: ``later`` days after ``day`` (SQL)."""

    day: str
    later: int = 0


@dataclass(frozen=True)
class Span:
    """When a row enters and leaves a measure, its weight, and whether it counts, as SQL."""

    enters: Moment
    leaves: Moment | None
    weight: str
    when: str


def _span(measure: Count, source: Source, d: Dialect) -> Span:
    day = measure.since if isinstance(measure, Standing) else measure.day
    begins, total = d.quoted(f"{day}_no"), _total(measure)
    weight = d.quoted(f"{total}_whole") if total else "1"
    when = [own_condition(measure, source, d)]
    if isinstance(measure, Early):
        when.append(f"{begins} >= started AND {begins} < started + {measure.window}")
    if not BY_NAME[source.name].by_column[day].required:
        when.append(f"{begins} IS NOT NULL")
    enters = known_first(day, source, d)
    ends = []
    if isinstance(measure, Trailing):
        if enters.later:
            leaves = Moment(begins, measure.window + 1)
            return Span(enters, leaves, weight, all_of(when))
        ends.append(f"{begins} + {measure.window}")
    if isinstance(measure, Standing):
        ends.append(d.quoted(f"{measure.until}_no"))
    if source.versioned:
        ends.append("superseded")
    last = f"LEAST({', '.join(ends)})" if len(ends) > 1 else (ends[0] if ends else "NULL")
    if isinstance(measure, Standing) or source.late or source.versioned:
        # A row superseded or closed before it was known never counts: add neither +1 nor -1.
        first = f"({enters.day} + {enters.later})"
        when.append(f"COALESCE({last} >= {first}, TRUE)")
    return Span(enters, Moment(last, 1) if ends else None, weight, all_of(when))


def known_first(day: str, source: Source, d: Dialect) -> Moment:
    """Return the first midnight at which a row with ``day`` may be known (in ``rows_<table>``)."""
    number = d.quoted(f"{day}_no")
    if not source.late and not source.versioned and day == BY_NAME[source.name].time:
        return Moment(number, 1)
    return Moment(f"(GREATEST({number}, known) + 1)")


def all_of(tests: Sequence[str]) -> str:
    """Return SQL for whether all tests hold."""
    return " AND ".join(test for test in tests if test != "TRUE") or "TRUE"


@dataclass(frozen=True)
class Member:
    """The member that a measure counts, if each row belongs to one member: its number.

    ``numbers`` is the column with the member numbers of a table's rows.
    """

    numbers: str
    number: int


def member_of(measure: Count | Seen, source: Source) -> Member | None:
    """Return the member of a measure, if its condition is the one by which rows are grouped."""
    if isinstance(measure, Running) or len(measure.where) != 1:
        return None
    ((column, values),) = measure.where
    members = source.members.get(column, ())
    if len(values) != 1 or values[0] not in members:
        return None
    return Member(_numbers(column), members.index(values[0]))


def _numbers(column: str) -> str:
    return f"{column}_no"


def own_condition(measure: Count | Seen, source: Source, d: Dialect) -> str:
    """Return SQL for the conditions of a measure, except the one by which rows are grouped."""
    if isinstance(measure, Running) or member_of(measure, source):
        return "TRUE"
    return condition(measure.where, d)


def rows_steps(source: Source, grid: Grid, measures: Sequence[Count | Seen]) -> list[Step]:
    """Create the table's rows with account numbers, day numbers and integer weights."""
    d = grid.dialect
    standing = [m for m in measures if isinstance(m, Standing)]
    seen = [m for m in measures if isinstance(m, Latest | DaysSinceBest)]
    days = {m.since if isinstance(m, Standing) else m.day for m in measures}
    totals = sorted({total for total in map(_total, measures) if total})
    tested = [m for m in measures if not isinstance(m, Running)]
    members = sorted({m.where[0][0] for m in tested if member_of(m, source)})
    raw = {column for m in tested if not member_of(m, source) for column, _ in m.where}
    raw |= {m.column for m in seen} | {c for m in seen if isinstance(m, Latest) for c in m.among}
    users = any(isinstance(m, Trailing) and m.users for m in measures)
    numbers = has_numbers(d)
    columns = [
        "account_no",
        "first",
        *(["started"] if any(isinstance(m, Early) for m in measures) else []),
        f"{d.day('known_on')} AS known",
        *([f"{d.day('superseded_on')} AS superseded"] if source.versioned else []),
        *[
            f"{d.day(d.quoted(day))} AS {d.quoted(f'{day}_no')}"
            for day in sorted(days | {m.until for m in standing})
        ],
        *[
            f"{d.scaled(d.quoted(t), _places(source, t))} AS {d.quoted(f'{t}_whole')}"
            for t in totals
        ],
        *map(d.quoted, sorted(raw)),
        *[_member_number(source, column, d) for column in members],
        *([f"{'user_id AS ' * (not numbers)}user_no"] if users else []),
    ]
    rows = f"({source.sql}) AS source JOIN {grid.spine} USING ({grid.key})"
    select, still_read = f"SELECT {', '.join(columns)} FROM {rows}", _since(source, grid, measures)
    leaves = tuple(sorted({m.window for m in measures if isinstance(m, Trailing) and not m.users}))
    kept = Step(f"rows_{source.name}", select + still_read, by_account=True)
    if can_be_carried(source, grid, measures):
        kept = replace(kept, table=source.name, back=max(leaves, default=0) + 1, leaves=leaves)
    if not (users and numbers):
        return [kept]
    numbered = Step(
        f"users_of_{source.name}",
        f"SELECT user_id, {d.number_of('user_id')} AS user_no FROM"
        f" (SELECT DISTINCT user_id FROM ({source.sql}) AS source WHERE user_id IS NOT NULL) AS u",
    )
    joined = f"{select} LEFT JOIN {numbered.name} USING (user_id){still_read}"
    return [numbered, replace(kept, sql=joined)]


def can_be_carried(source: Source, grid: Grid, measures: Sequence[Count | Seen]) -> bool:
    """Whether the measures of a table at a snapshot follow from those at an earlier one.

    Needed are the rows that became known since, and those that leave a window.
    """
    alike = all(
        isinstance(m, Trailing | Running | Early | DaysSince) and m.day == BY_NAME[source.name].time
        for m in measures
    )
    return alike and not source.versioned and grid.key == Grid.key


def has_numbers(d: Dialect) -> bool:
    """Whether users are numbered; if not, a join with their numbers would only move all rows."""
    return d.number_of("user_id") != "user_id"


def _since(source: Source, grid: Grid, measures: Sequence[Count | Seen]) -> str:
    """Return SQL that selects the rows needed when the grid starts later than the accounts.

    Rows that have left every window are skipped, except the last of each kind, which determines the
    days since it.
    """
    d, time = grid.dialect, BY_NAME[source.name].time
    windows = [m.window for m in measures if isinstance(m, Trailing) and m.day == time]
    last = [m for m in measures if isinstance(m, DaysSince) and m.day == time]
    if grid.first == Grid.first or source.versioned or len(windows) + len(last) < len(measures):
        return ""
    if grid.since is not None:
        return ""
    longest = max(windows, default=0) + 1
    if grid.one_day:
        return f" WHERE known_on >= {d.date(str(grid.as_of - longest))}"
    recent = f"{d.day('known_on')} >= first - {longest}"
    if not last:
        return f" WHERE {recent}"
    kinds = ["account_id", *sorted({column for m in last for column, _ in m.where})]
    listed = ", ".join(f"COALESCE(CAST({d.quoted(kind)} AS STRING), '')" for kind in kinds)
    before = (
        f"SELECT {listed}, MAX({time}) FROM ({source.sql}) AS source JOIN {grid.spine}"
        f" USING ({grid.key}) WHERE NOT {recent} GROUP BY {listed}"
    )
    return f" WHERE {recent} OR ({listed}, {time}) IN ({before})"


def last_rows_step(source: Source, grid: Grid, measures: Sequence[Count | Seen]) -> Step | None:
    """Create the last row of each kind, if `_since` skips those that days since it need."""
    if not (grid.one_day and _since(source, grid, measures)):
        return None
    d, time = grid.dialect, BY_NAME[source.name].time
    last = [m for m in measures if isinstance(m, DaysSince)]
    kinds = sorted({column for m in last for column, _ in m.where})
    members = sorted({m.where[0][0] for m in last if member_of(m, source)})
    listed = [*map(d.quoted, kinds), *[_member_number(source, column, d) for column in members]]
    by = ", ".join(dict.fromkeys([*grid.key.split(", "), *map(d.quoted, kinds)]))
    return Step(
        f"last_{source.name}",
        f"SELECT {', '.join(['account_no', 'first', 'known', d.quoted(f'{time}_no'), *listed])}"
        f" FROM (SELECT {by}, MAX({d.day('known_on')}) AS known,"
        f" MAX({d.day(d.quoted(time))}) AS {d.quoted(f'{time}_no')} FROM ({source.sql}) AS source"
        f" WHERE {d.quoted(time)} < {d.date(str(grid.as_of))} GROUP BY {by}) AS source"
        f" JOIN {grid.spine} USING ({grid.key})",
    )


def _member_number(source: Source, column: str, d: Dialect) -> str:
    """Return SQL for the number of the member that a row belongs to."""
    number = d.position(d.quoted(column), source.members[column])
    return f"CAST({number} AS SMALLINT) AS {_numbers(column)}"


def _places(source: Source, column: str) -> int:
    return (source.decimals or {}).get(column, 0)


def _total(measure: Count | Seen) -> str | None:
    return measure.total if isinstance(measure, Trailing | Running) else None


def scale(source: Source, measure: Count) -> int:
    """Return the factor by which an integer total exceeds the total."""
    total = _total(measure)
    return 10 ** _places(source, total) if total else 1


@dataclass(frozen=True)
class Delta:
    """One change of a measure's count: when, by how much, and under which condition.

    With a ``member``, only the rows of that member count.
    """

    measure: int
    on: Moment
    weight: str
    when: str
    sign: Literal[1, -1] = 1
    member: Member | None = None


def counts_step(
    source: Source, grid: Grid, measures: Sequence[Count], columns: Sequence[str]
) -> Carried:
    """Return the step for all measures of a table that do not count distinct users."""
    deltas = []
    for index, measure in enumerate(measures):
        span, member = _span(measure, source, grid.dialect), member_of(measure, source)
        deltas.append(Delta(index, span.enters, span.weight, span.when, 1, member))
        if span.leaves:
            deltas.append(Delta(index, span.leaves, span.weight, span.when, -1, member))
    step = summed(f"counts_{source.name}", f"rows_{source.name}", grid, deltas, columns)
    return replace(step, table=source.name)


def summed(
    name: str, rows: str, grid: Grid, deltas: Sequence[Delta], columns: Sequence[str]
) -> Carried:
    """Sum changes along the grid. Changes from the same day, with any delay, share their rows."""
    together: dict[tuple[str, str | None], list[Delta]] = {}
    for delta in deltas:
        by = delta.member.numbers if delta.member else None
        together.setdefault((delta.on.day, by), []).append(delta)
    changes: list[Change] = []
    terms: dict[str, list[Term]] = {column: [] for column in columns}
    for (day, by), here in together.items():
        values = dict.fromkeys((delta.weight, delta.when) for delta in here)
        names = {key: f"v{index}" for index, key in enumerate(values)}
        numbers: dict[int, int] = {}
        for later in dict.fromkeys(delta.on.later for delta in here):
            numbers[later] = len(changes)
            changes.append(change(rows, Moment(day, later), by, names))
        for delta in here:
            value, member = names[delta.weight, delta.when], delta.member
            term = Term(
                numbers[delta.on.later], value, member.number if member else None, delta.sign
            )
            terms[columns[delta.measure]].append(term)
    summed_columns = [CarriedColumn(column, tuple(listed)) for column, listed in terms.items()]
    return carried(name, grid, changes, summed_columns)


def change(rows: str, on: Moment, by: str | None, names: Mapping[tuple[str, str], str]) -> Change:
    """Return a change of rows; ``names`` maps (value, condition) to the names of its values."""
    tests = {when for _, when in names}
    shared = tests.pop() if len(tests) == 1 else "TRUE"
    listed = ["account_no", "first", f"{on.day} AS day", *([f"{by} AS member"] if by else [])]
    for (value, when), name in names.items():
        known = value if when in ("TRUE", shared) else f"CASE WHEN {when} THEN {value} END"
        listed.append(f"{known} AS {name}")
    where = all_of([f"{on.day} IS NOT NULL", shared])
    select = f"SELECT {', '.join(listed)} FROM {rows} WHERE {where}"
    return Change(select, by is not None, on.later)


def users_together(measure: Trailing, source: Source) -> Hashable:
    """Return a key that is equal for measures of users computed in one pass."""
    member = member_of(measure, source)
    return measure.day, member.numbers if member else measure.where


def users_steps(
    source: Source, grid: Grid, measures: Sequence[Trailing], columns: Sequence[str], name: str
) -> list[Step]:
    """Count distinct users in trailing windows, for measures with the same `users_together`.

    Overlapping rows of a user form one stay, which each row extends by the part beyond the rows
    before. ``before`` is the latest day among the user's earlier-known rows, ``after`` the first
    day of the user's next extending row.
    """
    d = grid.dialect
    day = d.quoted(f"{measures[0].day}_no")
    numbered = f"{name}_rows"
    member = member_of(measures[0], source)
    number = member.numbers if member else "0"
    who = "account_no, first, user_no" + (f", {member.numbers}" if member else "")
    some = condition(measures[0].where, d)
    if member:
        read = sorted({one.number for one in (member_of(m, source) for m in measures) if one})
        some = f"{member.numbers} IN ({', '.join(map(str, read))})"
    where, known = all_of(["user_no IS NOT NULL", some]), known_first(measures[0].day, source, d)
    rows = (
        f"SELECT account_no, user_no, {day} AS day, known, {number} AS member"
        f" FROM rows_{source.name}"
    )
    windows = {}
    for measure, column in zip(measures, columns, strict=True):
        one = member_of(measure, source)
        windows[column] = (measure.window, one.number if one else 0)
    numbers = member.numbers if member else ""
    # On the only day, it does not matter when a row became known.
    late = source.late and not grid.one_day
    users = Users(f"{rows} WHERE {where}", windows, numbers, late)
    if grid.one_day:
        return [users_on_one_day(name, grid, users)]
    steps = [
        Step(
            numbered,
            f"SELECT {who}, {day} AS day, {known.day} + {known.later} AS begins"
            f" FROM rows_{source.name} WHERE {where}",
        ),
        *stays_steps(name, numbered, who, late=source.late),
    ]
    deltas = []
    for index, measure in enumerate(measures):
        # A record that arrives later than the window length never counts.
        seen = f"extends AND day + {measure.window} >= begins"
        fresh = f"{seen} AND (before IS NULL OR before + {measure.window} + 1 < begins)"
        gone = f"{seen} AND (after IS NULL OR after > day + {measure.window} + 1)"
        one = member_of(measure, source)
        deltas.append(Delta(index, Moment("begins"), "1", fresh, 1, one))
        deltas.append(Delta(index, Moment("day", measure.window + 1), "1", gone, -1, one))
    counted = replace(summed(name, f"{name}_stays", grid, deltas, columns), table=source.name)
    before = () if source.late else tuple(step.name for step in steps)
    return [*steps, replace(counted, users=users, steps_before=before)]


def stays_steps(name: str, rows: str, who: str, *, late: bool) -> list[Step]:
    """Mark whether each row extends its user's stay, and find its neighbours in that stay."""
    if not late:
        window = f"(PARTITION BY {who} ORDER BY day)"
        return [
            Step(
                f"{name}_stays",
                f"SELECT *, TRUE AS extends, LAG(day) OVER {window} AS before,"
                f" LEAD(begins) OVER {window} AS after FROM {rows}",
            )
        ]
    # Of the rows of a user that became known together, only the latest matters. The others must be
    # dropped: one too late for a window would hide that the stay starts again in that window.
    together = f"SELECT {who}, begins, MAX(day) AS day FROM {rows} GROUP BY {who}, begins"
    rows_before = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    earlier = f"(PARTITION BY {who} ORDER BY begins {rows_before})"
    extending = f"(PARTITION BY {who}, extends ORDER BY begins)"
    return [
        Step(
            f"{name}_seen",
            f"SELECT *, MAX(day) OVER {earlier} AS before FROM ({together}) AS r",
        ),
        Step(
            f"{name}_stays",
            f"SELECT *, LEAD(begins) OVER {extending} AS after"
            f" FROM (SELECT *, COALESCE(day > before, TRUE) AS extends FROM {name}_seen) AS s",
        ),
    ]


def latest_step(
    source: Source, grid: Grid, measures: Sequence[Seen], columns: Sequence[str], rows: str
) -> Carried:
    """Return the step for latest values, and latest days (as day numbers), from a table's rows."""
    if source.versioned:
        raise OptionError(
            f"{source.name} has versions, and a version that is replaced cannot be taken out of "
            "what was seen so far. Count what stands instead (Standing, Trailing)"
        )
    d = grid.dialect
    together: dict[tuple[str, str | None], list[tuple[Seen, str]]] = {}
    for measure, column in zip(measures, columns, strict=True):
        member = member_of(measure, source)
        by = member.numbers if member else None
        together.setdefault((measure.day, by), []).append((measure, column))
    changes: list[Change] = []
    latest_columns: list[CarriedColumn] = []
    for number, ((day, by), here) in enumerate(together.items()):
        values = {measure: _value(measure, source, d) for measure, _ in here}
        known = dict.fromkeys((value, when) for value, when, _, _ in values.values())
        names = {key: f"v{index}" for index, key in enumerate(known)}
        changes.append(change(rows, known_first(day, source, d), by, names))
        for measure, column in here:
            value, when, how, part = values[measure]
            member = member_of(measure, source)
            term = Term(number, names[value, when], member.number if member else None)
            latest_columns.append(CarriedColumn(column, (term,), how, part))
    step = carried(f"latest_{source.name}", grid, changes, latest_columns)
    return replace(step, table=source.name)


def _value(measure: Seen, source: Source, d: Dialect) -> tuple[str, str, How, str]:
    """Return SQL for the compared value, its condition, how to compare, and the part to return."""
    day = d.quoted(f"{measure.day}_no")
    where = own_condition(measure, source, d)
    if isinstance(measure, DaysSince):
        return day, all_of([where, f"{day} IS NOT NULL"]), "largest", ""
    column = d.quoted(measure.column)
    when = all_of([where, f"{day} IS NOT NULL", f"{column} IS NOT NULL"])
    if not isinstance(measure, Latest):
        # Keep the day together with its value.
        return d.pair(column, day), when, "largest pair", ".b"
    value = column
    for order in (*map(d.quoted, reversed(measure.among)), day):
        value = d.pair(order, value)
    return value, when, "largest pair", ".b" * (1 + len(measure.among))
