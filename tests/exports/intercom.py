"""Intercom: companies and conversations as the API lists them, and which contact is of which."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from random import Random

from exports.business import (
    Contract,
    Happening,
    Truth,
    account_id,
    contracts,
    epoch,
    json_lines,
    name_of,
    tickets,
    truth_of,
    write_rows,
    write_text,
)

CUSTOMERS = 160


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``companies.json``, ``conversations.jsonl`` and ``contacts.csv``.

    Times are seconds since 1970. Campaigns begin conversations too, and some contacts are of no
    company.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    sent = tickets(random, given, 600)
    listed = [_company(one) for one in given]
    companies = {"type": "list", "data": listed, "total_count": len(given)}
    write_text(folder / "companies.json", json.dumps(companies, ensure_ascii=False))
    rows = [_conversation(one, _contact(one.user), "customer_initiated") for one in sent]
    others = tickets(random, given, 120)
    rows += [_conversation(o, _contact(o.user), "operator_initiated", 9000) for o in others[:90]]
    rows += [_conversation(o, f"64ff{o.number:020x}", "customer_initiated", 9000)
             for o in others[90:]]  # fmt: skip
    random.shuffle(rows)
    write_text(folder / "conversations.jsonl", json_lines(rows))
    people = [
        (_contact(f"u{n}-{k}"), account_id(n), f"kim{k}@customer{n}.example")
        for n in range(1, CUSTOMERS + 1)
        for k in range(1, 5)
    ]
    write_rows(folder / "contacts.csv", ("contact_id", "company_id", "email"), people)
    return truth_of(given, sent)


def _company(one: Contract) -> dict[str, object]:
    ends = {"churned_at": _seconds(one.ended_on)} if one.ended_on else {}
    return {
        "type": "company",
        "id": f"63aa{one.customer:020x}",
        "company_id": account_id(one.customer),
        "name": name_of(one.customer),
        "remote_created_at": _seconds(one.started_on),
        "created_at": _seconds(one.started_on) + 90,
        "updated_at": 1_759_000_000,
        "monthly_spend": one.monthly,
        "session_count": 40,
        "user_count": 4,
        "plan": {"type": "plan", "name": one.plan},
        "custom_attributes": ends,
    }


def _conversation(one: Happening, contact: str, how: str, add: int = 0) -> dict[str, object]:
    return {
        "type": "conversation",
        "id": str(100_000 + one.number + add),
        "created_at": epoch(one.moment),
        "updated_at": epoch(one.closed or one.moment),
        "waiting_since": None if one.closed else epoch(one.moment),
        "state": "closed" if one.closed else "open",
        "priority": "priority" if one.what in ("high", "urgent") else "not_priority",
        "source": {"type": "conversation", "delivered_as": how,
                   "author": {"type": "user", "id": contact}},
        "contacts": {"type": "contact.list", "contacts": [{"type": "contact", "id": contact}]},
        "statistics": {"last_close_at": epoch(one.closed) if one.closed else None},
    }  # fmt: skip


def _contact(user: str) -> str:
    customer, number = user[1:].split("-")
    return f"64bb{int(customer):018x}{int(number):02x}"


def _seconds(day: date) -> int:
    return epoch(datetime(day.year, day.month, day.day, 11, 5))
