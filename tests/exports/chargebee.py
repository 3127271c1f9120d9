"""Chargebee: subscriptions and customers as its export writes them, a prefix before each column."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

from exports.business import EXPORTED, Contract, Truth, contracts, name_of, truth_of, write_rows

CUSTOMERS = 220
HEADER = (
    "subscriptions.id",
    "customers.id",
    "customers.email",
    "subscriptions.plan_id",
    "subscriptions.plan_quantity",
    "subscriptions.currency_code",
    "subscriptions.mrr",
    "subscriptions.status",
    "subscriptions.created_at",
    "subscriptions.started_at",
    "subscriptions.trial_end",
    "subscriptions.activated_at",
    "subscriptions.cancelled_at",
    "subscriptions.cancel_schedule_created_at",
)


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``Subscriptions.csv`` and ``Customers.csv``, with future and blank rows."""
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=True)
    rows = [_row(one) for one in given]
    begins = EXPORTED + timedelta(days=20)
    for number in range(6):
        future = Contract(f"F{number}", CUSTOMERS + 1 + number, "Team", begins, begins)
        rows.append((*_row(future)[:7], "Future", *_row(future)[8:]))
    rows += [("",) * len(HEADER)] * 3
    write_rows(folder / "Subscriptions.csv", HEADER, rows)
    header = ("customers.id", "customers.first_name", "customers.email", "customers.company",
              "customers.created_at")  # fmt: skip
    people = [
        (_customer(n), "Kim", f"kim{n}@example.com", name_of(n), "2021-03-01 08:00:00")
        for n in range(1, CUSTOMERS + 20)
    ]
    write_rows(folder / "Customers.csv", header, people)
    return truth_of(given)


def _row(one: Contract) -> tuple[object, ...]:
    trial = one.paid_from if one.paid_from > one.started_on else None
    over = one.ended_on is not None and one.ended_on <= EXPORTED
    status = "Cancelled" if over else "Active" if one.ended_on is None else "Non Renewing"
    if status == "Cancelled" and one.cancelled_on == one.ended_on:
        noticed = None  # cancelled at once: there was nothing to schedule
    else:
        noticed = one.cancelled_on
    return (
        f"Sub{one.contract_id}",
        _customer(one.customer),
        f"kim{one.customer}@example.com",
        f"{one.plan.lower()}-monthly",
        1,
        "EUR",
        f"{one.monthly:.2f}",
        status,
        _text(one.started_on, 8),
        _text(one.started_on, 8),
        _text(trial, 8),
        _text(one.paid_from, 8),
        _text(one.ended_on, 20),
        _text(noticed, 15),
    )


def _customer(number: int) -> str:
    return f"cb_{number}"


def _text(day: date | None, hour: int) -> str:
    return f"{day} {hour:02d}:14:05" if day else ""
