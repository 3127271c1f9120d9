"""The panel as its definitions say it, slowly: plain rows, one account and one midnight at a time.

Nothing here knows how the engine works. ``Reference.rows_at`` cuts a table at a midnight by the
rules of visibility; everything else reads the rows that are left.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Any

from leadsignal.config.success import Process
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    Below,
    DaysInState,
    DaysSince,
    DaysSinceBest,
    Difference,
    Early,
    Fact,
    FirstBy,
    Indicator,
    Lapses,
    Latest,
    Least,
    ProcessState,
    Ratio,
    RelativeRate,
    Rule,
    Running,
    Standing,
    Trailing,
    UsageToBest,
    Where,
)
from leadsignal.schema import BY_NAME, Table
from random_tables import Case, Row

MONDAY = date(1970, 1, 5)
DAY = timedelta(days=1)
Episode = tuple[date, date | None]


def recorded_day(row: Row) -> date | None:
    moment = row.get("recorded_at")
    return moment.date() if moment else None


def known_on(table: Table, row: Row) -> date:
    """The day on which a row was known: its time, or the day it was recorded if that is later."""
    happened: date = row[table.time]
    return max(happened, recorded_day(row) or happened)


def moment_of(table: Table, row: Row) -> datetime:
    """When a version was recorded, to the moment."""
    return row.get("recorded_at") or datetime.combine(row[table.time], datetime.min.time())


def at_midnight(table: Table, row: Row, t: date) -> Row:
    """A row with every second date that has not come empty, and defaults where cells are."""
    cut = dict(row)
    for second in table.second_dates:
        day = row.get(second.column)
        if day is None or not day < t:
            cut.update(dict.fromkeys((second.column, *second.also)))
    for column in table.columns:
        if cut.get(column.name) is None:
            cut[column.name] = column.default
    return cut


def add_months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def with_row_columns(name: str, row: Row) -> Row:
    """Add what is computed in a row: whether a promise was kept, a result against its target."""
    if name == "commitments":
        done = row["completed_on"]
        row["kept"] = "yes" if done and done <= row["due_on"] else "no"
    if name == "results":
        value, target = row["value"], row["target"]
        row["better"] = value if row["higher_is_better"] else -value
        row["reached"] = -1e300
        row.update(met=None, gap=None, gap_known="no")
        if target is not None:
            better = value - target if row["higher_is_better"] else target - value
            row["reached"] = better
            row["met"] = "yes" if better >= -1e-9 * max(abs(target), 1e-9) else "no"
            if target != 0:
                row["gap_known"] = "yes"
                share = min(10.0, max(-10.0, better / abs(target)))
                row["gap"] = floor(share * 1_000_000 + 0.5) / 1_000_000
    return row


class Reference:
    """All answers about one case, each found by reading every row of an account."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.as_of = case.as_of
        self.of_account = {name: _grouped(rows) for name, rows in case.tables.items()}
        self.accounts = [a for a in sorted(self.of_account["accounts"]) if self.snapshots(a)]
        self._cut: dict[tuple[str, str, date], list[Row]] = {}
        self._episodes: dict[tuple[str, str], list[Episode]] = {}
        self._adopted_days: dict[tuple[str, str], frozenset[date]] = {}

    # What is visible ------------------------------------------------------------------------------

    def rows_at(self, name: str, account: str, t: date) -> list[Row]:
        """Rows of an account visible at midnight t, as they stood then."""
        if (name, account, t) not in self._cut:
            table = BY_NAME[name]
            rows = [r for r in self.of_account[name].get(account, []) if known_on(table, r) < t]
            held = [r for r in rows if not self._replaced(table, r, rows)]
            cut = [with_row_columns(name, at_midnight(table, r, t)) for r in held]
            if name == "behaviors":
                cut = [{**row, **self.of_behavior(row["behavior"])} for row in cut]
            if name == "results":
                own = self.own_metric(cut, account, t)
                cut = [{**r, "own": "yes" if (r.get("metric") or "") == own else "no"} for r in cut]
            self._cut[name, account, t] = cut
        return self._cut[name, account, t]

    def of_behavior(self, behavior: str) -> Row:
        """Whether a behaviour has indicators of its own, and whether a process covers it."""
        covered = {name for p in self.case.analysis.processes for name in p.behaviors}
        return {
            "counted_as": behavior if behavior in self.kept else "",
            "in_process": "yes" if behavior in covered else "no",
        }

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """The behaviours with indicators of their own: those asked for, else of most accounts."""
        if self.case.project.behaviors is not None:
            return self.case.project.behaviors.keep
        rows = [
            row for row in self.case.tables["behaviors"]
            if known_on(BY_NAME["behaviors"], row) < self.as_of
        ]  # fmt: skip
        pairs = {(row["behavior"], row["account_id"]) for row in rows}
        accounts = Counter(behavior for behavior, _ in pairs)
        return tuple(sorted(accounts, key=lambda name: (-accounts[name], name))[:20])

    def own_metric(self, results: Sequence[Row], account: str, t: date) -> str | None:
        """The metric of the account's bullseye at t, else the one it has measured most by then."""
        if "metric" in self.case.columns["results"]:
            dated = "account_changes" in self.case.tables
            for segment in self.case.analysis.segments:
                asked = segment.applies_to.items()
                if all(
                    self.attribute(Attribute(a, dated), account, t) in values for a, values in asked
                ):
                    named = segment.bullseye.success_metric
                    break
            else:
                named = ""
            if named or self.case.analysis.bullseye.success_metric:
                return named or self.case.analysis.bullseye.success_metric
        listed = [r.get("metric") or "" for r in results]
        told = [r.get("metric") or "" for r in results if r["target"] is not None]
        by_name = sorted(set(listed))
        return max(by_name, key=lambda m: (told.count(m), listed.count(m)), default=None)

    def _replaced(self, table: Table, row: Row, among: Sequence[Row]) -> bool:
        """Whether a later version of the same key is among the rows."""
        key = table.key
        if key is None or row.get(key) is None or "recorded_at" not in row:
            return False
        mine = moment_of(table, row)
        return any(r[key] == row[key] and moment_of(table, r) > mine for r in among)

    def complete_from(self, name: str) -> tuple[date, bool] | None:
        """From when a table is complete, and whether that was said rather than seen."""
        source, table = self.case.project.tables.get(name), BY_NAME[name]
        if source and source.complete_from:
            return source.complete_from, True
        known = [known_on(table, row) for row in self.case.tables[name]]
        seen = [day for day in known if day < self.as_of]
        return (min(seen), False) if seen else None

    def is_whole(self, name: str, t: date) -> bool:
        """Whether what the table held just before t is known.

        Where nobody said from when the table is complete, its first record says so, and on the day
        of that record itself nobody had seen it yet.
        """
        source, begun = self.case.project.tables.get(name), self.complete_from(name)
        if begun is None:
            return False
        first, said = begun
        through = source.complete_through if source else None
        return (t >= first if said else t > first) and (through is None or t - DAY <= through)

    # The account ----------------------------------------------------------------------------------

    def versions(self, account: str) -> list[Row]:
        """Rows of accounts known at as_of, in the order in which they were recorded."""
        table = BY_NAME["accounts"]
        rows = [r for r in self.of_account["accounts"][account] if known_on(table, r) < self.as_of]
        return sorted(rows, key=lambda row: moment_of(table, row))

    def entry_of(self, row: Row) -> date:
        """The first midnight at which a version of an account may be read."""
        recorded = recorded_day(row)
        days = [row["started_on"], *([recorded + DAY] if recorded else [])]
        begun = self.case.project.tables["accounts"].complete_from
        known: list[date] = [*days, *([begun] if begun else [])]
        return max(known)

    def first_version(self, account: str) -> Row:
        """The version that gives the account its start: the first that may be read."""
        rows = self.versions(account)
        first = min(map(self.entry_of, rows))
        return next(row for row in reversed(rows) if self.entry_of(row) == first)

    def facts(self, account: str, t: date) -> Row:
        """The account's row as it was recorded at midnight t."""
        readable = [row for row in self.versions(account) if self.entry_of(row) <= t]
        return at_midnight(BY_NAME["accounts"], readable[-1], t)

    def started(self, account: str) -> date:
        started: date = self.first_version(account)["started_on"]
        return started

    def ending(self, account: str) -> Row:
        """The account as it was last recorded: its end, if that came before as_of."""
        return at_midnight(BY_NAME["accounts"], self.versions(account)[-1], self.as_of)

    def snapshots(self, account: str) -> list[date]:
        """The days on which the account is seen."""
        if not self.versions(account):
            return []
        entry, ended = self.entry_of(self.first_version(account)), self.ending(account)["ended_on"]
        days, t = [], entry
        while t <= self.as_of and (ended is None or t < ended):
            on_grid = (t - MONDAY).days % self.case.project.every == 0
            if t == entry or t == self.as_of or on_grid:
                days.append(t)
            t += DAY
        return days

    # The panel ------------------------------------------------------------------------------------

    def panel(self, indicators: Sequence[Indicator]) -> Iterator[Row]:
        for account in self.accounts:
            days = self.snapshots(account)
            for t, following in zip(days, [*days[1:], None], strict=True):
                row = self.outcome(account, t, following)
                for indicator in indicators:
                    row[indicator.name] = self.value(indicator.rule, account, t)
                yield row

    def outcome(self, account: str, t: date, following: date | None) -> Row:
        started, last, facts = self.started(account), self.ending(account), self.facts(account, t)
        ended, stop = last["ended_on"], following or self.as_of
        over = ended is not None and ended <= stop
        cause = self.cause(last["end_reason"]) if ended else None
        churn = last["end_reason"] not in self.case.project.not_churn or not last["end_reason"]
        told = facts["end_known_on"]
        known = min((d for d in (ended, last["end_known_on"]) if d is not None), default=None)
        return {
            "account_id": account,
            "customer_id": self.first_version(account).get("customer_id") or account,
            "snapshot_on": t,
            "start": (t - started).days,
            "stop": (min(stop, ended or stop) - started).days,
            "event": int(over and churn),
            "cause": cause if over else None,
            "days_observed": (min(self.as_of, ended or self.as_of) - t).days,
            "ended_within": (ended - t).days if ended else None,
            "known_within": (known - t).days if known else None,
            "end_cause": cause,
            "notice_given": told is not None and told < t,
            "arr": self.arr(account, t),
        }

    def cause(self, reason: str | None) -> str | None:
        for cause, reasons in self.case.project.causes.items():
            if reason in reasons:
                return cause
        return reason if reason and reason in self.case.project.not_churn else "churn"

    # Rules ----------------------------------------------------------------------------------------

    def value(self, rule: Rule, account: str, t: date) -> Any:
        """The value of a rule for an account at midnight t; None where unknown or missing."""
        answers: dict[type, Callable[[Any, str, date], Any]] = {
            Trailing: self.trailing,
            Standing: self.standing,
            Running: self.running,
            Early: self.early,
            Latest: self.latest,
            DaysSince: self.days_since,
            DaysSinceBest: self.days_since_best,
            ProcessState: lambda r, a, t: self.state(self.process(r.process), a, t)[0],
            DaysInState: lambda r, a, t: self.state(self.process(r.process), a, t)[1],
            AdoptedShare: self.adopted_share,
            Lapses: self.lapses,
            UsageToBest: self.usage_to_best,
            Fact: lambda r, a, t: getattr(self, r.column)(a, t),
            Attribute: self.attribute,
            Ratio: self.ratio,
            RelativeRate: self.relative_rate,
            Difference: self.difference,
            Least: self.least,
            Below: self.below,
            FirstBy: self.first_by,
        }
        return answers[type(rule)](rule, account, t)

    def matching(self, table: str, where: Where, account: str, t: date) -> list[Row]:
        rows = self.rows_at(table, account, t)
        return [r for r in rows if all(r.get(column) in values for column, values in where)]

    def trailing(self, rule: Trailing, account: str, t: date) -> Any:
        window_start = t - timedelta(days=rule.window)
        begun = self.complete_from(rule.table)
        if begun is None or not self.is_whole(rule.table, t):
            return None
        if max(window_start, self.started(account)) < begun[0]:
            return None
        rows = self.matching(rule.table, rule.where, account, t)
        rows = [r for r in rows if r[rule.day] and window_start <= r[rule.day] < t]
        if rule.users:
            return float(len({r["user_id"] for r in rows if r["user_id"] is not None}))
        return total_of(rows, rule.total) if rule.total else float(len(rows))

    def standing(self, rule: Standing, account: str, t: date) -> Any:
        if not self.is_whole(rule.table, t):
            return None
        rows = self.matching(rule.table, rule.where, account, t)
        begun = [r for r in rows if r[rule.since] is not None and r[rule.since] < t]
        return float(sum(1 for r in begun if r[rule.until] is None))

    def running(self, rule: Running, account: str, t: date) -> Any:
        return total_of(self.rows_at(rule.table, account, t), rule.total)

    def early(self, rule: Early, account: str, t: date) -> Any:
        start, begun = self.started(account), self.complete_from(rule.table)
        if begun is None or not self.is_whole(rule.table, t) or start < begun[0]:
            return None
        end = start + timedelta(days=rule.window)
        rows = self.matching(rule.table, rule.where, account, t)
        return float(sum(1 for r in rows if start <= r[rule.day] < end))

    def _last(self, rule: Latest | DaysSince, column: str, account: str, t: date) -> Any:
        rows = self.matching(rule.table, rule.where, account, t)
        among = rule.among if isinstance(rule, Latest) else ()
        seen = [
            (r[rule.day], *(r[order] for order in among), r[column])
            for r in rows
            if r[rule.day] and r[rule.day] < t and r[column] is not None
        ]
        return max(seen, default=None)

    def latest(self, rule: Latest, account: str, t: date) -> Any:
        last = self._last(rule, rule.column, account, t) if self.is_whole(rule.table, t) else None
        return last and last[-1]

    def days_since(self, rule: DaysSince, account: str, t: date) -> Any:
        last = self._last(rule, rule.day, account, t) if self.is_whole(rule.table, t) else None
        return last and float((t - last[0]).days)

    def days_since_best(self, rule: DaysSinceBest, account: str, t: date) -> Any:
        if not self.is_whole(rule.table, t):
            return None
        rows = self.matching(rule.table, rule.where, account, t)
        best = max((r[rule.column] for r in rows), default=None)
        days = [r[rule.day] for r in rows if r[rule.column] == best]
        return float((t - max(days)).days) if days else None

    def ratio(self, rule: Ratio, account: str, t: date) -> Any:
        over, under = self.value(rule.over, account, t), self.value(rule.under, account, t)
        return None if over is None or not under else over / under

    def relative_rate(self, rule: RelativeRate, account: str, t: date) -> Any:
        few, many = self.value(rule.lately, account, t), self.value(rule.longer, account, t)
        before = min(rule.longer.window, (t - self.started(account)).days) - rule.lately.window
        if few is None or many is None or before < rule.lately.window or many == few:
            return None
        # One division: (few / days) / ((many - few) / before).
        return (few * before) / ((many - few) * rule.lately.window)

    def difference(self, rule: Difference, account: str, t: date) -> Any:
        first, second = self.value(rule.first, account, t), self.value(rule.second, account, t)
        return None if first is None or second is None else first - second

    def least(self, rule: Least, account: str, t: date) -> Any:
        values = [self.value(value, account, t) for value in rule.values]
        return min((value for value in values if value is not None), default=None)

    def below(self, rule: Below, account: str, t: date) -> Any:
        value = self.value(rule.value, account, t)
        return None if value is None else float(value < rule.limit)

    def first_by(self, rule: FirstBy, account: str, t: date) -> Any:
        done = self.value(rule.done, account, t)
        if done is None or done:
            return done and 1.0
        return 0.0 if t >= self.started(account) + timedelta(days=rule.done.window) else None

    def attribute(self, rule: Attribute, account: str, t: date) -> Any:
        value = None
        if rule.dated:
            where = (("attribute", (rule.name,)),)
            rows = self.matching("account_changes", where, account, t)
            rows = [row for row in rows if row["changed_on"] < t]
            if rows:
                last = max(rows, key=lambda r: (r["changed_on"], r.get("value") or ""))
                value = last.get("value") or None
            else:
                value = self.facts(account, t).get(rule.name)
        else:
            value = self.facts(account, t).get(rule.name)
        if rule.name in BY_NAME["accounts"].by_column:
            numeric = BY_NAME["accounts"].by_column[rule.name].kind != "text"
        else:
            kinds = self.case.project.tables["accounts"].attribute_kinds
            numeric = kinds.get(rule.name) == "number"
        return float(value) if numeric and value is not None else value

    # Facts ----------------------------------------------------------------------------------------

    def changes(self, account: str, t: date) -> list[Row]:
        has = "contract_changes" in self.case.tables
        return self.rows_at("contract_changes", account, t) if has else []

    def arr(self, account: str, t: date) -> float | None:
        first = self.facts(account, t)["arr"]
        deltas = [r["arr_delta"] for r in self.changes(account, t) if r["arr_delta"] is not None]
        return None if first is None else float(first + sum(deltas, Decimal(0)))

    def tenure_days(self, account: str, t: date) -> float:
        return float((t - self.started(account)).days)

    def term_months(self, account: str, t: date) -> float | None:
        rows = self.changes(account, t)
        terms = [(r["changed_at"], r["term_months"]) for r in rows if r["term_months"]]
        term = max(terms)[1] if terms else self.facts(account, t)["term_months"]
        return None if term is None else float(term)

    def days_to_renewal(self, account: str, t: date) -> float | None:
        term = self.term_months(account, t)
        if term is None:
            return None
        renewed = [r["changed_at"] for r in self.changes(account, t) if r["kind"] == "renewal"]
        anchor, terms = max(renewed, default=self.started(account)), 1
        while add_months(anchor, terms * int(term)) < t:
            terms += 1
        return float((add_months(anchor, terms * int(term)) - t).days)

    # Usage against the best stretch ---------------------------------------------------------------

    def usage_to_best(self, rule: UsageToBest, account: str, t: date) -> Any:
        begun = self.complete_from("usage")
        if begun is None or not self.is_whole("usage", t):
            return None
        history = max(self.started(account), begun[0])
        if (t - history).days < rule.best + rule.window:
            return None
        stretches = []
        u = max(t - timedelta(days=rule.within - rule.best), history + timedelta(days=rule.best))
        while u <= t - timedelta(days=rule.window):
            stretches.append(self.stretch(rule, account, u))
            u += DAY
        best = max(stretches, default=Fraction(0))
        window = t - timedelta(days=rule.window)
        rows = self.matching("usage", rule.where, account, t)
        lately = sum((Fraction(r["amount"]) for r in rows if window <= r["used_on"]), Fraction(0))
        # One division of whole millionths: means of window days and of best days.
        over, under = lately * 10**6 * rule.best, best * 10**6 * rule.window
        return None if best == 0 else float(over) / float(under)

    def stretch(self, rule: UsageToBest, account: str, u: date) -> Fraction:
        """Usage in [u - best, u), of rows known before u + window."""
        rows = self.matching("usage", rule.where, account, u + timedelta(days=rule.window))
        first = u - timedelta(days=rule.best)
        return sum((Fraction(r["amount"]) for r in rows if first <= r["used_on"] < u), Fraction(0))

    # Processes ------------------------------------------------------------------------------------

    def process(self, name: str) -> Process:
        return next(p for p in self.case.analysis.processes if p.name == name)

    def known_from(self, process: Process, account: str) -> date | None:
        begun = self.complete_from("behaviors")
        if begun is None:
            return None
        if self.started(account) >= begun[0]:
            return self.started(account)
        return begun[0] + timedelta(days=process.sustained_for * process.within)

    def is_known(self, process: Process, account: str, t: date) -> bool:
        first = self.known_from(process, account)
        return first is not None and first <= t and self.is_whole("behaviors", t)

    def is_adopted(self, process: Process, account: str, t: date) -> bool:
        """Whether each of the last windows holds enough events by enough users."""
        where = (("behavior", process.behaviors),)
        rows = self.matching("behaviors", where, account, t)
        for k in range(process.sustained_for):
            last = t - timedelta(days=k * process.within)
            first = last - timedelta(days=process.within)
            here = [r for r in rows if first <= r["occurred_at"] < last]
            users = {r["user_id"] for r in here if r["user_id"] is not None}
            quantity = sum((Fraction(r["quantity"]) for r in here), Fraction(0))
            if quantity < Fraction(process.at_least):
                return False
            if process.by_users > 1 and len(users) < process.by_users:
                return False
        return True

    def episodes_of(self, process: Process, account: str) -> list[Episode]:
        """Runs of adopted days, day by day over the days on which the state is known."""
        if (process.name, account) not in self._episodes:
            self._episodes[process.name, account] = list(self._runs(process, account))
        return self._episodes[process.name, account]

    def _runs(self, process: Process, account: str) -> Iterator[Episode]:
        ended = self.ending(account)["ended_on"] or date.max
        t, since = self.known_from(process, account) or date.max, None
        source = self.case.project.tables["behaviors"]
        through = source.complete_through
        end = min(self.as_of + DAY, ended, through + 2 * DAY if through else date.max)
        while t < end:
            adopted = self.is_adopted(process, account, t)
            if adopted and since is None:
                since = t
            if not adopted and since is not None:
                yield since, t
                since = None
            t += DAY
        if since is not None:
            yield since, None

    def episodes(self) -> list[tuple[str, str, date, date | None]]:
        if "behaviors" not in self.case.tables:
            return []
        return [
            (account, process.name, *episode)
            for account in self.accounts
            for process in sorted(self.case.analysis.processes, key=lambda p: p.name)
            for episode in self.episodes_of(process, account)
        ]

    def remembered(self, name: str, window: int, account: str, t: date) -> list[date] | None:
        """The days of a window, t included, if the state of a process is known on all of them."""
        process, dated = self.process(name), "account_changes" in self.case.tables
        for attribute, values in process.applies_to.items():
            if self.attribute(Attribute(attribute, dated), account, t) not in values:
                return None
        count = min(window, (t - self.started(account)).days + 1)
        listed = [t - timedelta(days=ago) for ago in range(count)]
        first = self.known_from(process, account)
        known = first is not None and first <= min(listed) and self.is_whole("behaviors", t)
        return listed if known else None

    def adopted_days(self, process: Process, account: str) -> frozenset[date]:
        """All days on which the account has adopted the process, up to as_of."""
        if (process.name, account) not in self._adopted_days:
            self._adopted_days[process.name, account] = frozenset(
                begun + timedelta(days=number)
                for begun, lapsed in self.episodes_of(process, account)
                for number in range(((lapsed or self.as_of + DAY) - begun).days)
            )
        return self._adopted_days[process.name, account]

    def adopted_share(self, rule: AdoptedShare, account: str, t: date) -> Any:
        listed = self.remembered(rule.process, rule.window, account, t)
        if listed is None:
            return None
        adopted = self.adopted_days(self.process(rule.process), account)
        return len(adopted.intersection(listed)) / len(listed)

    def lapses(self, rule: Lapses, account: str, t: date) -> Any:
        if self.remembered(rule.process, rule.window, account, t) is None:
            return None
        episodes = self.episodes_of(self.process(rule.process), account)
        first = t - timedelta(days=rule.window - 1)
        return float(sum(1 for _, lapsed in episodes if lapsed and first <= lapsed <= t))

    def state(self, process: Process, account: str, t: date) -> tuple[str, float | None]:
        """The state of a process at t, and for how many days it has been so."""
        tenure, dated = self.tenure_days(account, t), "account_changes" in self.case.tables
        held = {a: self.attribute(Attribute(a, dated), account, t) for a in process.applies_to}
        if any(held[a] not in values for a, values in process.applies_to.items()):
            return "not applicable", None
        if not self.is_known(process, account, t):
            return "unknown", None
        begun = [e for e in self.episodes_of(process, account) if e[0] <= t]
        if begun:
            adopted, lapsed = begun[-1]
            if lapsed is None or lapsed > t:
                return "adopted", float((t - adopted).days)
            return "lapsed", float((t - lapsed).days)
        if process.adopt_by is not None and tenure >= process.adopt_by:
            return "overdue", tenure - process.adopt_by
        return "pending", tenure


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["account_id"], []).append(row)
    return groups


def total_of(rows: Sequence[Row], column: str) -> float:
    """The exact sum of a column, once, as a float."""
    values = [row[column] for row in rows if row[column] is not None]
    exact = (Fraction(Decimal(str(value))) for value in values)
    return float(sum(exact, Fraction(0)))
