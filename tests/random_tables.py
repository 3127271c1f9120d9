"""Random tables of a small vendor, rich in edges, all drawn from one seed.

A ``Case`` holds rows as plain Python values, so that the slow reference can read them as they are;
``Case.read`` hands the same rows to the library as text.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa

from leadsignal.config.project import Behaviors, Project, UsageLow
from leadsignal.config.success import (
    KEYS_OF,
    BehaviorMetric,
    Bullseye,
    Process,
    Segment,
    SuccessAnalysis,
    Tracking,
)
from leadsignal.config.table_settings import TableSource
from leadsignal.schema import BY_NAME, EVENT_TABLES, TABLES
from leadsignal.tables import Tables, read_tables

Row = dict[str, Any]
Rows = dict[str, list[Row]]

BASE = date(2022, 12, 19)
BEHAVIORS = ("planned", "reviewed", "exported", "met")
EXTRAS = ("segment", "employees")


@dataclass(frozen=True)
class Case:
    """Tables as rows, and all options that the panel is built with."""

    tables: Rows
    columns: Mapping[str, tuple[str, ...]]
    project: Project
    analysis: SuccessAnalysis
    as_of: date

    def read(self, shuffle: Random | None = None) -> Tables:
        """Read the rows as the library does; ``shuffle`` mixes rows and columns first."""
        frames = {}
        for name, columns in self.columns.items():
            rows, listed = list(self.tables[name]), list(columns)
            if shuffle:
                shuffle.shuffle(rows)
                shuffle.shuffle(listed)
            cells = {c: pa.array([_text(row[c]) for row in rows], pa.string()) for c in listed}
            frames[name] = pa.table(cells)
        return read_tables(frames, project=self.project, as_of=self.as_of)

    def with_tables(self, tables: Rows) -> Case:
        return replace(self, tables=tables)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def days(number: int) -> timedelta:
    return timedelta(days=number)


def month_end(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


@dataclass
class Shape:
    """What a case looks like before its rows are drawn."""

    columns: Mapping[str, tuple[str, ...]]
    as_of: date
    every: int
    late: Mapping[str, bool]
    windows: Sequence[int] = (7, 14, 30, 90, 180, 270, 365)
    special: list[date] = field(default_factory=list)

    def day(self, rng: Random, first: date, last: date, near: Sequence[date] = ()) -> date:
        """A day in [first, last], often on an edge: a snapshot, a window before it, an end."""
        if rng.random() < 0.5 or last <= first:
            return first + days(rng.randint(0, max((last - first).days, 0)))
        snapshot = rng.choice([*near, first, last, self.as_of, *self.special])
        back = rng.choice([0, 0, 0, 1, -1, *self.windows])
        day = snapshot - days(back) - days(rng.choice([0, 0, 1, -1]))
        return min(max(day, first), last)


def random_case(seed: int, only: Collection[str] = ()) -> Case:
    """Draw a case: options, Success Analysis, accounts, and events of all tables.

    ``only`` names the tables that it may have beside accounts; none are all.
    """
    rng = Random(seed)
    as_of = BASE + days(rng.randint(300, 500))
    every = rng.choice([28, 28, 30, 21, 45])
    on_grid = as_of - days(((as_of - date(1970, 1, 5)).days) % every)
    as_of = on_grid if rng.random() < 0.2 else as_of
    columns = _columns(rng)
    if only:
        columns = {name: held for name, held in columns.items() if name in {"accounts", *only}}
    late = {name: "recorded_at" in columns[name] for name in columns}
    shape = Shape(columns, as_of, every, late)
    shape.special = [on_grid - days(every * k) for k in range(12)]
    analysis = _analysis(rng, columns)
    project = _project(rng, shape)
    accounts = draw_accounts(rng, shape, rng.randint(8, 15))
    tables = {"accounts": accounts, **draw_events(rng, shape, accounts, 1.0)}
    tables = tidy(tables, columns)
    analysis = replace(_occurring(analysis, tables), metrics=_metrics(rng, project, tables))
    return Case(tables, columns, project, analysis, as_of)


def _occurring(analysis: SuccessAnalysis, tables: Rows) -> SuccessAnalysis:
    """The analysis without segments and metrics that occur nowhere: these are refused as typos."""
    metrics = {row.get("metric") for row in tables.get("results", [])} | {""}
    values = {row.get("segment") for row in tables["accounts"]}
    segments = tuple(
        s
        for s in analysis.segments
        if s.bullseye.success_metric in metrics and values.issuperset(s.applies_to["segment"])
    )
    bullseye = analysis.bullseye if analysis.bullseye.success_metric in metrics else Bullseye()
    return replace(analysis, bullseye=bullseye, segments=segments)


def shape_of(case: Case) -> Shape:
    """Return the shape that a case was drawn from, to draw more rows like its own."""
    late = {name: "recorded_at" in held for name, held in case.columns.items()}
    return Shape(case.columns, case.as_of, case.project.every, late)


def _columns(rng: Random) -> dict[str, tuple[str, ...]]:
    kept: dict[str, tuple[str, ...]] = {}
    for table in TABLES:
        if table.name != "accounts" and rng.random() < 0.12:
            continue
        names = [
            c.name
            for c in table.columns
            if c.name != "event_id"
            if c.required or rng.random() < (0.45 if c.name == "recorded_at" else 0.85)
        ]
        if table.name == "accounts":
            names += EXTRAS
        kept[table.name] = tuple(names)
    return kept


def _analysis(rng: Random, columns: Mapping[str, tuple[str, ...]]) -> SuccessAnalysis:
    metric = rng.choice(["", "speed", "cost"])
    bullseye = Bullseye(success_metric=metric)
    segments = tuple(_segment(rng) for _ in range(rng.choice([0, 0, 1, 2])))
    if "behaviors" not in columns:
        return SuccessAnalysis((), bullseye, segments=segments)
    has_users = "user_id" in columns["behaviors"]
    processes = tuple(_process(rng, f"p{k}", has_users) for k in range(rng.randint(1, 3)))
    tracking = Tracking(
        sponsor=("met",),
        handoff=tuple(rng.sample(BEHAVIORS, rng.randint(0, 2))),
        diary=("never_seen",) if rng.random() < 0.3 else (),
    )
    return SuccessAnalysis(processes, bullseye, tracking, segments=segments)


def _segment(rng: Random) -> Segment:
    applies_to = {"segment": tuple(rng.sample(("small", "mid", "large"), rng.randint(1, 2)))}
    bullseye = Bullseye("their own", success_metric=rng.choice(["", "speed", "cost", "rarely"]))
    return Segment(applies_to, bullseye)


def _process(rng: Random, name: str, has_users: bool) -> Process:
    at_least = rng.choice([1, 1, 2, 2.5, 3, 0.5])
    return Process(
        name,
        tuple(rng.sample(BEHAVIORS, rng.randint(1, 2))),
        at_least,
        rng.choice([5, 7, 14, 30, 40, 90]),
        by_users=rng.randint(1, 3) if has_users else 1,
        sustained_for=rng.choice([1, 1, 2, 3]),
        adopt_by=rng.choice([None, 1, 28, 90, 150]),
        applies_to={"segment": ("mid", "large")} if rng.random() < 0.4 else {},
    )


def _metrics(rng: Random, project: Project, tables: Rows) -> tuple[BehaviorMetric, ...]:
    """Metrics of behaviours that occur, of every measure, some of them twice."""
    occurring = sorted({row["behavior"] for row in tables.get("behaviors", [])})
    if not occurring:
        return ()
    pers = ["user"] if "user_id" in tables["behaviors"][0] else []
    pers += ["arr"] if "arr" in tables["accounts"][0] else []
    pers += [a for a in ("employees", "term_months") if a in project.tables["accounts"].attributes]
    listed = [measure for measure in KEYS_OF if measure != "rate" or pers]
    listed += rng.sample(listed, 2)
    metrics = [_metric(rng, f"m{k}", one, occurring, pers) for k, one in enumerate(listed)]
    return (*metrics, _on_its_edge(rng, tables))


def _metric(
    rng: Random, name: str, measure: str, occurring: Sequence[str], pers: Sequence[str]
) -> BehaviorMetric:
    def behaviors() -> tuple[str, ...]:
        return tuple(rng.sample(occurring, rng.randint(1, min(2, len(occurring)))))

    within = rng.choice([1, 5, 14, 30, 90])
    own = {
        "per_behavior": behaviors(),
        "per": rng.choice(pers or [""]),
        "within": within,
        "before": within + rng.choice([0, 0, 1, 60]),
        "by_day": rng.choice([1, 2, 14, 30, 90, 200]),
    }
    keys = {key: own[key] for key in KEYS_OF[measure]}
    sign = rng.choice([-1, 0, 1])
    return BehaviorMetric(name, measure, behaviors(), expected_sign=sign, **keys)  # type: ignore[arg-type]


def _on_its_edge(rng: Random, tables: Rows) -> BehaviorMetric:
    """Whether a behaviour was done by the day on which an account first did it, or the day before.

    The account started after the first row of all, so that its first days may be known.
    """
    started = {row["account_id"]: row["started_on"] for row in tables["accounts"]}
    rows = sorted(tables["behaviors"], key=lambda r: (r["occurred_at"], r["behavior"]))
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        if started[row["account_id"]] > rows[0]["occurred_at"]:
            days_after = (row["occurred_at"] - started[row["account_id"]]).days
            first.setdefault((row["account_id"], row["behavior"]), days_after)
    edges = [(behavior, n) for (_, behavior), n in first.items() if n > 0] or [
        (rows[0]["behavior"], 1)
    ]
    behavior, days_after = rng.choice(edges or [(rows[0]["behavior"], 1)])
    return BehaviorMetric("edge", "first by", (behavior,), by_day=days_after + rng.choice([0, 1]))


def _project(rng: Random, shape: Shape) -> Project:
    sources = {}
    for name in shape.columns:
        first = BASE + days(rng.randint(-20, 150)) if rng.random() < 0.3 else None
        last = shape.as_of - days(rng.randint(-10, 120)) if rng.random() < 0.2 else None
        sources[name] = TableSource(complete_from=first, complete_through=last)
    attributes = [a for a in (*EXTRAS, "arr", "term_months") if rng.random() < 0.6]
    attributes = [a for a in attributes if a in shape.columns["accounts"]]
    kinds = {"employees": "number"} if "employees" in attributes else {}
    sources["accounts"] = replace(
        sources["accounts"],
        complete_from=BASE + days(rng.randint(0, 90)) if rng.random() < 0.4 else None,
        attributes=tuple(dict.fromkeys([*attributes, "segment"])),
        attribute_kinds={**kinds, "segment": "text"},
    )
    window, best = rng.choice([(28, 84), (7, 21), (14, 14), (10, 30)])
    within = rng.choice([365, best + window, best + window + 40])
    series = rng.choice(SERIES) if "series" in shape.columns.get("usage", ()) else ()
    return Project(
        every=shape.every,
        not_churn=rng.choice([(), ("completed",)]),
        causes=rng.choice([{}, {"acquired": ("acquired", "merged")}]),
        usage_low=UsageLow(window, rng.choice([0.5, 0.8]), best, within, series),
        tables=sources,
        behaviors=Behaviors(BEHAVIORS[1:3]) if shape.as_of.day % 3 == 0 else None,
    )


# Accounts -----------------------------------------------------------------------------------------


def draw_accounts(rng: Random, shape: Shape, number: int, prefix: str = "a") -> list[Row]:
    return [row for k in range(number) for row in draw_account(rng, shape, f"{prefix}{k:02d}")]


def draw_account(rng: Random, shape: Shape, account: str) -> list[Row]:
    """One account: a row, or several versions where rows are recorded."""
    last = shape.as_of + days(5)
    start = shape.day(rng, BASE - days(60), rng.choice([BASE + days(200), last]))
    start = month_end(start) if rng.random() < 0.3 else start
    end = None
    if rng.random() < 0.5:
        end = start + days(rng.choice([0, 1, 2, 27, 28, rng.randint(10, 400)]))
        end = shape.day(rng, start, end)
    told = (end or last) - days(rng.choice([0, 1, 30, 100]))
    row = {
        "account_id": account,
        "started_on": start,
        "ended_on": end,
        "end_known_on": max(told, start) if rng.random() < (0.5 if end else 0.1) else None,
        "end_reason": rng.choice(["completed", "price", "merged", "acquired", None]),
        "term_months": rng.choice([None, 1, 3, 5, 12]),
        "arr": rng.choice([None, Decimal(0), Decimal(rng.randint(0, 10**7)) / 100]),
        "customer_id": rng.choice([None, account, f"c{rng.randint(0, 5)}"]),
        "recorded_at": moment(rng, start, early=True),
        "segment": rng.choice([None, "small", "mid", "large"]),
        "employees": rng.choice([None, "0", "12", "3.5"]),
        "name": rng.choice([None, f"Company {account}"]),
        "owner": rng.choice([None, "Ann", "Bo"]),
        "currency": "EUR",
    }
    rows = [row]
    while shape.late["accounts"] and rng.random() < 0.3:
        rows.append(later_account(rng, rows))
    return rows


def later_account(rng: Random, rows: Sequence[Row]) -> Row:
    """A later version of an account: other facts, an end that was not yet known."""
    row = dict(rows[-1])
    held = [r["recorded_at"] or at_midnight(r["started_on"]) for r in rows]
    row["recorded_at"] = max(held) + timedelta(seconds=rng.choice([1, 3600, rng.randint(1, 10**7)]))
    row["term_months"] = rng.choice([None, 2, 12])
    row["arr"] = rng.choice([None, Decimal(rng.randint(0, 10**7)) / 100])
    row["segment"] = rng.choice([None, "small", "mid", "large"])
    row["employees"] = rng.choice([None, "7", "9.25"])
    if rng.random() < 0.3:
        row["started_on"] -= days(rng.randint(0, 40))
    if "ended_on" in row and row["ended_on"] is None and rng.random() < 0.3:
        row["ended_on"] = row["started_on"] + days(rng.randint(60, 400))
    return row


def at_midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time())


def moment(rng: Random, day: date, early: bool = False) -> datetime | None:
    """When a row of a day was recorded: never said, that day, soon, or long after."""
    if rng.random() < 0.2:
        return None
    delays = [0, 0, 0, 1, 2, 3, 14, 29, 30, 31, 45, 91, 200]
    delay = rng.choice([-30, -1, 0, 0, 1, 5] if early else [*delays, -2])
    return at_midnight(day) + timedelta(days=delay, seconds=rng.randint(0, 86_399))


# Events -------------------------------------------------------------------------------------------


def draw_events(rng: Random, shape: Shape, accounts: Sequence[Row], much: float) -> Rows:
    """Rows of every event table of the case, for each account as it was last recorded."""
    tables: Rows = {table.name: [] for table in EVENT_TABLES if table.name in shape.columns}
    for row in latest_accounts(accounts).values():
        first = max(r["started_on"] for r in accounts if r["account_id"] == row["account_id"])
        last = shape.as_of + days(15)
        last = min(last, row["ended_on"]) if row.get("ended_on") else last
        if last < first:
            continue
        for name, rows in tables.items():
            number = int(rng.choice([0, 1, 3, OFTEN.get(name, 5)]) * much)
            for k in range(number):
                day = shape.day(rng, first, last, [first, last])
                made = DRAW[name](rng, shape, day, f"{name[0]}{row['account_id']}_{k}")
                rows += [{"account_id": row["account_id"], **values} for values in made]
    return tables


def latest_accounts(accounts: Sequence[Row]) -> dict[str, Row]:
    """Each account as it was last recorded."""
    ordered = sorted(accounts, key=lambda r: r.get("recorded_at") or datetime.min)
    return {row["account_id"]: row for row in ordered}


SERIES = ((), ("log ins",), ("log ins", "exports"), ("exports", "never"))
OFTEN = {"behaviors": 60, "usage": 120, "results": 12, "tickets": 10}


def _behavior(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    row = {
        "occurred_at": day,
        "behavior": rng.choice(BEHAVIORS),
        "user_id": rng.choice([None, "u1", "u2", "u3", f"{key[1:4]}u"]),
        "quantity": rng.choice([None, 1, 1, 0, 2, Decimal("0.5"), Decimal("1.000001")]),
        "recorded_at": moment(rng, day),
    }
    again = {**row, "user_id": rng.choice([row["user_id"], "u2"]), "recorded_at": moment(rng, day)}
    return [row, again] if rng.random() < 0.2 else [row]


def _versions(
    rng: Random, shape: Shape, name: str, row: Row, change: Callable[[Row], Row]
) -> list[Row]:
    """A row, and later versions of it where the table keeps versions."""
    rows = [row]
    table = BY_NAME[name]
    keeps = shape.late[name] and table.key in shape.columns[name] and row[str(table.key)]
    while keeps and rng.random() < 0.45:
        before = rows[-1]["recorded_at"] or at_midnight(rows[-1][table.time])
        after = timedelta(seconds=rng.choice([1, 60, 7200, rng.randint(1, 60 * 86_400)]))
        rows.append({**change(dict(rows[-1])), "recorded_at": before + after})
    return rows


def _ticket(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    def closing() -> date | None:
        return rng.choice([None, day, day + days(1), day + days(rng.randint(1, 90))])

    row = {
        "opened_at": day,
        "ticket_id": rng.choice([key, key, key, None]),
        "severity": rng.choice([None, "high", "low"]),
        "closed_at": closing(),
        "recorded_at": moment(rng, day),
    }
    change = lambda r: {**r, "closed_at": closing()}  # noqa: E731
    return _versions(rng, shape, "tickets", row, change)


def _contract_change(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    day = month_end(day) if rng.random() < 0.1 and month_end(day) <= shape.as_of else day
    return [
        {
            "changed_at": day,
            "kind": rng.choice(["expansion", "reduction", "renewal", "renewal", "odd"]),
            "arr_delta": rng.choice([None, Decimal(rng.randint(-(10**6), 10**6)) / 100]),
            "term_months": rng.choice([None, None, 1, 6, 12]),
            "recorded_at": moment(rng, day),
        }
    ]


def _result(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    row: Row = {
        "measured_on": day,
        "value": rng.choice([0.0, round(rng.uniform(-20, 150), 3)]),
        "metric": rng.choice(["speed", "speed", "cost", "cost", None, "rarely"]),
        "target": rng.choice([None, 0.0, 100.0, 37.3, -5.0]),
        "higher_is_better": rng.choice([None, True, False]),
        "shown_on": rng.choice([None, day, day + days(rng.randint(0, 60))]),
        "recorded_at": moment(rng, day),
    }
    again = {**row, "value": row["value"] + 1, "recorded_at": moment(rng, day)}
    return [row, again] if rng.random() < 0.2 else [row]


def _usage(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    amount = rng.choice([0, 1, 5, Decimal("2.25"), Decimal("0.000001"), rng.randint(0, 40)])
    series = rng.choice(["log ins", "exports", None])
    row = {"used_on": day, "amount": amount, "series": series, "recorded_at": moment(rng, day)}
    return [row]


def _plan(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    def change(row: Row) -> Row:
        target, closed = day + days(rng.randint(0, 200)), day + days(rng.randint(0, 200))
        return {
            **row,
            "target_on": rng.choice([None, target]),
            "closed_on": rng.choice([None, closed]),
        }

    row = {
        "agreed_on": day,
        "objective": f"grow {key}",
        "plan_id": rng.choice([key, key, None]),
        "metric": "speed",
        "target": 10.0,
        "sponsor": rng.choice([None, "chief"]),
        "next_phase": rng.choice([None, "group close"]),
        "recorded_at": moment(rng, day),
    }
    return _versions(rng, shape, "plans", change(row), change)


def _commitment(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    def change(row: Row) -> Row:
        due = day + days(rng.choice([0, 1, rng.randint(0, 150)]))
        done = rng.choice([None, due, due + days(1), day + days(rng.randint(0, 150))])
        return {**row, "due_on": due, "completed_on": done}

    row = {
        "agreed_on": day,
        "action": f"do {key}",
        "owner": rng.choice(["customer", "vendor"]),
        "commitment_id": rng.choice([key, key, None]),
        "recorded_at": moment(rng, day),
    }
    return _versions(rng, shape, "commitments", change(row), change)


def _survey(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    score = rng.choice([0.0, 7.5, -1.0, float(rng.randint(0, 10))])
    return [{"answered_on": day, "score": score, "recorded_at": moment(rng, day)}]


def _flag(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    cleared = rng.choice([None, day, day + days(rng.randint(0, 120))])
    return [{"flagged_on": day, "cleared_on": cleared, "recorded_at": moment(rng, day)}]


def _health(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    return [
        {
            "scored_on": day,
            "score": float(rng.randint(0, 100)),
            "band": rng.choice([None, "green", "yellow", "red"]),
            "recorded_at": moment(rng, day),
        }
    ]


def _account_change(rng: Random, shape: Shape, day: date, key: str) -> list[Row]:
    attribute = rng.choice([*EXTRAS, "term_months", "other"])
    texts = ["small", "mid", "large", None]
    values = {"employees": ["4", "5.5", "400", None], "term_months": ["1", "24", None]}
    return [
        {
            "changed_on": day,
            "attribute": attribute,
            "value": rng.choice(values.get(attribute, texts)),
            "recorded_at": moment(rng, day),
        }
    ]


DRAW: dict[str, Callable[[Random, Shape, date, str], list[Row]]] = {
    "behaviors": _behavior,
    "tickets": _ticket,
    "contract_changes": _contract_change,
    "results": _result,
    "usage": _usage,
    "plans": _plan,
    "commitments": _commitment,
    "surveys": _survey,
    "flags": _flag,
    "health_scores": _health,
    "account_changes": _account_change,
}


# What the door would refuse is taken out ----------------------------------------------------------


def tidy(tables: Rows, columns: Mapping[str, tuple[str, ...]]) -> Rows:
    """Keep the columns of the case; drop rows that the door refuses: repeats, outside the life."""
    tidied: Rows = {}
    for name, listed in columns.items():
        rows = [{column: row.get(column) for column in listed} for row in tables[name]]
        tidied[name] = rows if name == "accounts" else _allowed(name, rows, tidied["accounts"])
    return tidied


def _allowed(name: str, rows: list[Row], accounts: list[Row]) -> list[Row]:
    table, latest = BY_NAME[name], latest_accounts(accounts)
    keyed = table.key in (rows[0] if rows else ())
    single = keyed and "recorded_at" not in rows[0]
    kept, seen = [], set()
    for row in rows:
        account = latest.get(row["account_id"])
        if account is None or row[table.time] < account["started_on"]:
            continue
        if account.get("ended_on") and row[table.time] > account["ended_on"]:
            continue
        named = single and row[str(table.key)]
        mark = row[str(table.key)] if named else tuple(row.values())
        once = named or table.repeats == "fault" or (keyed and not single)
        if once and mark in seen:
            continue
        seen.add(mark)
        kept.append(row)
    return kept
