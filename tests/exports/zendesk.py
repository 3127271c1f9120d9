"""Zendesk: tickets as a view exports them, or as the API lists them, beside a list of accounts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from random import Random

from exports.business import (
    Happening,
    Truth,
    account_id,
    contracts,
    json_lines,
    name_of,
    tickets,
    truth_of,
    write_accounts,
    write_rows,
    write_text,
)

CUSTOMERS = 160
HEADER = (
    "Summation column",
    "Id",
    "Requester",
    "Requester id",
    "Requester email",
    "Requester domain",
    "Assignee",
    "Group",
    "Subject",
    "Tags",
    "Status",
    "Priority",
    "Via",
    "Created at",
    "Updated at",
    "Organization",
    "Solved at",
    "Satisfaction Score",
)


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``accounts.csv`` and ``tickets.csv``.

    Tickets name the organization, a dash where there is none; deleted tickets are still there.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    sent = tickets(random, given, 600)
    rows = [_row(one, name_of(one.customer)) for one in sent]
    others = tickets(random, given, 60)
    rows += [_row(one, "-", 5000) for one in others[:40]]
    rows += [_row(one, name_of(one.customer), 6000, "Deleted") for one in others[40:]]
    random.shuffle(rows)
    write_rows(folder / "tickets.csv", HEADER, rows)
    write_accounts(folder, given)
    return truth_of(given, sent)


def write_api(folder: Path, seed: int = 0) -> Truth:
    """Write ``accounts.csv``, ``organizations.jsonl`` and ``tickets.jsonl``.

    Tickets have Zendesk's number of the organization, which leads to the account by external_id.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    sent = tickets(random, given, 600)
    rows = [_object(one, _organization(one.customer)) for one in sent]
    others = tickets(random, given, 60)
    rows += [_object(one, None, 5000) for one in others[:40]]
    rows += [_object(one, _organization(one.customer), 6000, "deleted") for one in others[40:]]
    write_text(folder / "tickets.jsonl", json_lines(rows))
    organizations = [
        {"id": _organization(n), "name": name_of(n), "external_id": account_id(n),
         "shared_tickets": False, "created_at": "2021-02-03T04:05:06Z", "domain_names": []}
        for n in range(1, CUSTOMERS + 1)
    ]  # fmt: skip
    write_text(folder / "organizations.jsonl", json_lines(organizations))
    write_accounts(folder, given)
    return truth_of(given, sent)


def _row(
    one: Happening, organization: str, add: int = 0, status: str | None = None
) -> tuple[object, ...]:
    status = status or ("Closed" if one.closed else "Open")
    priority = "-" if one.what == "low" else one.what.capitalize()
    requester = 360_000_000_000 + one.customer
    return (1, one.number + add, "Kim Doe", requester, "kim@example.com", "example.com", "Ana Ruiz",
            "Support", "Help", "billing", status, priority, "Mail", _text(one.moment),
            _text(one.closed or one.moment), organization, _text(one.closed),
            "Not Offered")  # fmt: skip


def _object(
    one: Happening, organization: int | None, add: int = 0, status: str | None = None
) -> dict[str, object]:
    return {
        "id": one.number + add,
        "created_at": one.moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updated_at": (one.closed or one.moment).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "organization_id": organization,
        "requester_id": 360_000_000_000 + one.customer,
        "submitter_id": 360_000_000_000 + one.customer,
        "priority": None if one.what == "low" else one.what,
        "status": status or ("closed" if one.closed else "open"),
        "subject": "Help",
        "tags": ["billing"],
        "via": {"channel": "email"},
    }


def _organization(customer: int) -> int:
    return 114_000_000_000 + 17 * customer


def _text(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else ""
