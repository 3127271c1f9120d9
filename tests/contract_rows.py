"""Random contracts, and accounts derived from them slowly: day by day, one customer at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

Row = dict[str, Any]
BEGIN = date(2023, 1, 2)
GAP = 30


def days(number: int) -> timedelta:
    return timedelta(days=number)


# Random contracts ---------------------------------------------------------------------------------


def random_contracts(seed: int) -> list[Row]:
    """Contracts with gaps, overlaps, trials, upgrades, returns and, for odd seeds, versions."""
    rng = Random(seed)
    rows = [row for k in range(4) for row in _of_customer(rng, "abcd"[k])]
    rows = [{**row, "contract_id": f"c{n}"} for n, row in enumerate(rows)]
    if seed % 2:
        rows = [version for row in rows for version in _versions(rng, row)]
    rng.shuffle(rows)
    return rows


def _of_customer(rng: Random, customer: str) -> list[Row]:
    start, rows = BEGIN + days(rng.randint(0, 60)), []
    for _ in range(rng.randint(1, 5)):
        length = rng.choice([1, 20, 31, 90, 120, 0])
        end = start + days(length)
        row: Row = {
            "account_id": customer,
            "started_on": start,
            "ended_on": None if rng.random() < 0.15 else end,
            "cancelled_on": None,
            "trial_ends_on": None,
            "arr": rng.choice([0, 100, 100, 120, 250, None] if rng.random() < 0.2 else [100, 150]),
            "plan": rng.choice(["basic", "pro", None]),
            "term_months": rng.choice([1, 3, 12, None]),
        }
        if rng.random() < 0.4:
            row["cancelled_on"] = end - days(rng.choice([-3, 0, 1, 10, 40]))
        if rng.random() < 0.25:
            row["trial_ends_on"] = start + days(rng.choice([0, 14, length, length + 5]))
        rows.append(row)
        start = end + days(rng.choice([0, 0, 1, 5, 29, 30, 31, 60, -10, -length]))
    return rows


def _versions(rng: Random, row: Row) -> list[Row]:
    told = row["started_on"] + days(rng.choice([-5, 0, 0, 3, 40]))
    first = {**row, "ended_on": None, "cancelled_on": None}
    rows = [{**(first if rng.random() < 0.7 else row), "recorded_at": f"{told} 08:00"}]
    while rng.random() < 0.5:
        told += days(rng.choice([1, 20, 45]))
        moved = {
            "arr": rng.choice([100, 150, 90]),
            "ended_on": rng.choice([row["ended_on"], row["started_on"] + days(50), None]),
            "started_on": row["started_on"] + days(rng.choice([0, 0, 0, -40, 35])),
        }
        later = {**row, **moved, "recorded_at": f"{told} 08:00"}
        if later["ended_on"] is None or later["ended_on"] >= later["started_on"]:
            rows.append(later)
    return rows


# What they say on a day ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Contract:
    """A contract as known at a midnight: an end or a notice still to come is not known."""

    paid_on: date
    ended_on: date | None
    cancelled_on: date | None
    arr: int | None
    plan: str | None
    term_months: int | None

    def covers(self, day: date) -> bool:
        return self.paid_on <= day and (self.ended_on is None or day < self.ended_on)

    @property
    def is_empty(self) -> bool:
        return self.ended_on == self.paid_on

    @property
    def stops(self) -> date | None:
        return min(filter(None, (self.ended_on, self.cancelled_on)), default=None)


def known_contracts(rows: list[Row], t: date) -> dict[str, list[Contract]]:
    """The paid contracts of each customer as known at midnight of ``t``, by their start."""
    newest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.get("recorded_at") or ""):
        told = date.fromisoformat(row["recorded_at"][:10]) if row.get("recorded_at") else BEGIN
        if max(told, row["started_on"]) < t:
            newest[row["contract_id"]] = row
    found: dict[str, list[Contract]] = {}
    for row in newest.values():
        paid_on = max(row["started_on"], row["trial_ends_on"] or row["started_on"])
        end, notice = row["ended_on"], row["cancelled_on"]
        in_trial = end is not None and end <= paid_on and paid_on > row["started_on"]
        never = notice is not None and notice < paid_on and (end is None or end <= paid_on)
        if paid_on >= t or in_trial or never:
            continue
        ended, cancelled = (day if day is not None and day < t else None for day in (end, notice))
        facts = row["arr"], row["plan"], row["term_months"]
        contract = Contract(paid_on, ended, cancelled, *facts)
        found.setdefault(row["account_id"], []).append(contract)
    return {who: sorted(contracts, key=lambda c: c.paid_on) for who, contracts in found.items()}


def stays(contracts: list[Contract], gap: int = GAP) -> list[list[Contract]]:
    """Split a customer's contracts where more than ``gap`` days are covered by none."""
    found: list[list[Contract]] = []
    for contract in contracts:
        ends = [c.ended_on for c in found[-1]] if found else []
        last = None if None in ends else max((e for e in ends if e), default=None)
        if not found or (last is not None and (contract.paid_on - last).days > gap):
            found.append([])
        found[-1].append(contract)
    return found


def total(contracts: list[Contract]) -> int | None:
    amounts = [c.arr for c in contracts]
    return None if None in amounts else sum(a for a in amounts if a is not None)


def account_of(contracts: list[Contract]) -> Row:
    """What an account is, from the contracts of one stay."""
    started = contracts[0].paid_on
    first = [c for c in contracts if c.paid_on == started]
    ended = max((c.ended_on for c in contracts if c.ended_on), default=None)
    if any(c.ended_on is None for c in contracts):
        ended = None
    notice = max((c.stops for c in contracts if c.stops), default=None)
    if any(c.stops is None for c in contracts):
        notice = None
    if notice is not None and notice == ended and notice not in {c.cancelled_on for c in contracts}:
        notice = None
    return {
        "started_on": started,
        "ended_on": ended,
        "end_known_on": notice and max(notice, started),
        "arr": total([c for c in first if not c.is_empty] or first),
        "term_months": max((c.term_months for c in first if c.term_months), default=None),
        "plan": " + ".join(sorted({c.plan for c in first if c.plan})) or None,
    }


def accounts_on(rows: list[Row], t: date, gap: int = GAP) -> dict[str, Row]:
    """The accounts that the contracts known at midnight of ``t`` give."""
    return {
        (who if n == 1 else f"{who}/{n}"): {**account_of(stay), "customer_id": who}
        for who, contracts in known_contracts(rows, t).items()
        for n, stay in enumerate(stays(contracts, gap), 1)
    }


def changes_of(contracts: list[Contract], t: date) -> list[tuple[date, str, int, int | None]]:
    """The changes within one stay before ``t``: day, kind, change of ARR, new term."""
    contracts = [c for c in contracts if not c.is_empty]
    found: list[tuple[date, str, int, int | None]] = []
    if not contracts:
        return found
    begun_before = day = contracts[0].paid_on
    arr = total([c for c in contracts if c.covers(day)])
    while (day := day + days(1)) < t:
        covering = [c for c in contracts if c.covers(day)]
        begun = [c for c in covering if c.paid_on == day]
        if covering and (now := total(covering)) is not None:
            if arr is not None and now != arr:
                kind = "expansion" if now > arr else "reduction"
                found.append((day, kind, now - arr, None))
            arr = now
        if begun:
            followed = [
                c
                for c in contracts
                if c.ended_on
                and begun_before < c.ended_on <= day
                and (day - c.ended_on).days <= GAP
            ]
            plans, before = ({c.plan for c in some if c.plan} for some in (begun, followed))
            if followed:
                terms = [c.term_months for c in begun if c.term_months]
                found.append((day, "renewal", 0, max(terms, default=None)))
                if plans and before and plans != before:
                    found.append((day, "plan change", 0, None))
            begun_before = day
    return found


def changes_on(rows: list[Row], t: date) -> Counter[tuple[Any, ...]]:
    """All changes known at midnight of ``t``, with the account."""
    return Counter(
        (who if n == 1 else f"{who}/{n}", *change)
        for who, contracts in known_contracts(rows, t).items()
        for n, stay in enumerate(stays(contracts), 1)
        for change in changes_of(stay, t)
    )
