"""Recurly: subscriptions and accounts as its exports write them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

from exports.business import EXPORTED, Contract, Truth, contracts, name_of, truth_of, write_rows

CUSTOMERS = 220
HEADER = (
    "uuid",
    "account_code",
    "email",
    "state",
    "plan_code",
    "quantity",
    "unit_amount",
    "total_recurring_amount",
    "currency",
    "created_at",
    "activated_at",
    "trial_started_at",
    "trial_ends_at",
    "canceled_at",
    "expires_at",
)


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``subscriptions.csv`` and ``accounts.csv``; all plans are billed monthly.

    Times end in UTC; cards that were refused (``failed``) and later starts (``future``) are no
    customers.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=True)
    rows = [_row(one) for one in given]
    for number in range(12):
        day = EXPORTED + timedelta(days=9 if number % 3 else -300)
        state = "future" if number % 3 else "failed"
        never = Contract(f"9{number:04d}", CUSTOMERS + 1 + number, "Team", day, day)
        rows.append((*_row(never)[:3], state, *_row(never)[4:]))
    random.shuffle(rows)
    write_rows(folder / "subscriptions.csv", HEADER, rows, encoding="utf-8-sig")
    header = ("account_code", "username", "email", "company_name", "vat_number", "status",
              "created_at", "closed_at")  # fmt: skip
    people = [
        (_account(n), "", f"kim{n}@example.com", name_of(n), "", "active", _text(date(2021, 5, 4)),
         "")
        for n in range(1, CUSTOMERS + 20)
    ]  # fmt: skip
    write_rows(folder / "accounts.csv", header, people, encoding="utf-8-sig")
    return truth_of(given)


def _row(one: Contract) -> tuple[object, ...]:
    trial = one.paid_from if one.paid_from > one.started_on else None
    over = one.ended_on is not None and one.ended_on <= EXPORTED
    state = "expired" if over else "active" if one.ended_on is None else "canceled"
    seats = 1 + one.customer % 3
    return (
        f"{int(one.contract_id):032x}",
        _account(one.customer),
        f"kim{one.customer}@example.com",
        state,
        one.plan.lower(),
        seats,
        f"{one.monthly / seats:.2f}",
        f"{one.monthly:.2f}",
        "USD",
        _text(one.started_on),
        _text(one.started_on),
        _text(one.started_on if trial else None),
        _text(trial),
        _text(one.cancelled_on, 17),
        _text(one.ended_on, 21),
    )


def _account(number: int) -> str:
    return f"{number:05d}"


def _text(day: date | None, hour: int = 10) -> str:
    return f"{day} {hour:02d}:30:00 UTC" if day else ""
