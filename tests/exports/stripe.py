"""Stripe: subscriptions and customers as the dashboard exports them, or as the API lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

from exports.business import (
    EXPORTED,
    Contract,
    Truth,
    contracts,
    epoch,
    moment,
    name_of,
    truth_of,
    write_rows,
    write_text,
)

CUSTOMERS = 220
HEADER = (
    "id",
    "Customer ID",
    "Customer Description",
    "Customer Email",
    "Plan",
    "Quantity",
    "Currency",
    "Interval",
    "Amount",
    "Status",
    "Created (UTC)",
    "Start Date (UTC)",
    "Trial Start (UTC)",
    "Trial End (UTC)",
    "Canceled At (UTC)",
    "Cancel At Period End",
    "Ended At (UTC)",
)


@dataclass(frozen=True)
class Subscription:
    """A subscription as Stripe keeps it; the last ones never became paid, or are tests."""

    number: str
    customer: int
    plan: str
    monthly: int
    status: str
    start: datetime
    trial_end: datetime | None = None
    cancelled: datetime | None = None
    ended: datetime | None = None
    livemode: bool = True


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``subscriptions.csv``, ``customers.csv`` and ``invoices.csv``: times in UTC, units."""
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=True)
    subscriptions = [one for one in _subscriptions(random, given) if one.livemode]
    random.shuffle(subscriptions)
    write_rows(folder / "subscriptions.csv", HEADER, map(_row, subscriptions))
    header = ("id", "Description", "Email", "Name", "Created (UTC)", "Delinquent", "Currency")
    rows = [
        (_customer(n), "", _email(n), name_of(n), _text(_created(n)), "false", "usd")
        for n in range(1, CUSTOMERS + 30)
    ]
    write_rows(folder / "customers.csv", header, rows)
    invoices = ("id", "Amount Due", "Currency", "Customer", "Date (UTC)", "Paid", "Subscription",
                "Subtotal", "Total")  # fmt: skip
    billed = [
        (f"in_{one.number}", f"{one.monthly:.2f}", "usd", _customer(one.customer), _text(one.start),
         "TRUE", f"sub_{one.number}", f"{one.monthly:.2f}", f"{one.monthly:.2f}")
        for one in subscriptions
    ]  # fmt: skip
    write_rows(folder / "invoices.csv", invoices, billed)
    return truth_of(given)


def write_api(folder: Path, seed: int = 0) -> Truth:
    """Write ``subscriptions.json`` and ``customers.json``: seconds since 1970, cents, tests."""
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=True)
    subscriptions = [_object(one) for one in _subscriptions(random, given)]
    listed = {
        "object": "list",
        "data": subscriptions,
        "has_more": False,
        "url": "/v1/subscriptions",
    }
    write_text(folder / "subscriptions.json", json.dumps(listed))
    customers = [
        {"id": _customer(n), "object": "customer", "created": epoch(_created(n)),
         "delinquent": False, "email": _email(n), "livemode": True, "name": name_of(n)}
        for n in range(1, CUSTOMERS + 30)
    ]  # fmt: skip
    write_text(folder / "customers.json", json.dumps({"object": "list", "data": customers}))
    return truth_of(given)


def _subscriptions(random: Random, given: list[Contract]) -> Iterator[Subscription]:
    for contract in given:
        start, trial = moment(random, contract.started_on), None
        if contract.paid_from > contract.started_on:
            trial = start + (contract.paid_from - contract.started_on)
        over = contract.ended_on is not None and contract.ended_on <= EXPORTED
        status = "canceled" if over else "past_due" if random.random() < 0.04 else "active"
        # What happens on the day of the start happens after it.
        cancelled = _later(random, contract.cancelled_on or (contract.ended_on if over else None))
        ended = _later(random, contract.ended_on) if over else None
        number = contract.contract_id
        yield Subscription(number, contract.customer, contract.plan, contract.monthly, status,
                           start, trial, cancelled, ended)  # fmt: skip
    yield from _never_paid(random)


def _later(random: Random, day: date | None) -> datetime | None:
    if day is None:
        return None
    return datetime(day.year, day.month, day.day, 23, random.randint(0, 59))


def _never_paid(random: Random) -> Iterator[Subscription]:
    """Yield trials that run or were cancelled, cards that were refused, and tests."""
    for number in range(40):
        customer = CUSTOMERS + 1 + number % 29
        day = EXPORTED - timedelta(days=random.randint(100, 700))
        start = moment(random, day)
        trial, stopped = start + timedelta(days=14), start + timedelta(days=5)
        name, kind = f"x{number:03d}", number % 4
        if kind == 0:
            start = moment(random, EXPORTED - timedelta(days=5))
            trial = start + timedelta(days=14)
            yield Subscription(name, customer, "Team", 199, "trialing", start, trial)
        elif kind == 1:
            yield Subscription(
                name, customer, "Team", 199, "canceled", start, trial, stopped, stopped
            )
        elif kind == 2:
            yield Subscription(name, customer, "Team", 199, "incomplete_expired", start,
                               ended=start + timedelta(hours=23))  # fmt: skip
        else:
            yield Subscription(name, customer, "Team", 199, "active", start, livemode=False)


def _row(one: Subscription) -> tuple[object, ...]:
    return (
        f"sub_{one.number}",
        _customer(one.customer),
        "",
        _email(one.customer),
        one.plan,
        1,
        "usd",
        "month",
        f"{one.monthly:.2f}",
        one.status,
        _text(one.start),
        _text(one.start),
        _text(one.start) if one.trial_end else "",
        _text(one.trial_end),
        _text(one.cancelled),
        "true" if one.cancelled and not one.ended else "false",
        _text(one.ended),
    )


def _object(one: Subscription) -> dict[str, object]:
    return {
        "id": f"sub_{one.number}",
        "object": "subscription",
        "cancel_at_period_end": bool(one.cancelled and not one.ended),
        "canceled_at": epoch(one.cancelled) if one.cancelled else None,
        "created": epoch(one.start),
        "currency": "usd",
        "customer": _customer(one.customer),
        "ended_at": epoch(one.ended) if one.ended else None,
        "livemode": one.livemode,
        "plan": {"id": one.plan.lower(), "amount": 100 * one.monthly, "interval": "month"},
        "quantity": 1,
        "start_date": epoch(one.start),
        "status": one.status,
        "trial_end": epoch(one.trial_end) if one.trial_end else None,
    }


def _customer(number: int) -> str:
    return f"cus_{number:06X}"


def _email(number: int) -> str:
    return f"billing{number}@example.com"


def _created(number: int) -> datetime:
    return datetime(2021, 1, 1, 9, 30) + timedelta(days=number)


def _text(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else ""
