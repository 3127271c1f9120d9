"""PostHog: events as JSON lines, beside a list of customers that a person keeps.

Times have the offset of the browser. The list has a title, German dates and amounts, and a total.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

from exports.business import (
    Contract,
    Happening,
    Truth,
    account_id,
    contracts,
    events,
    json_lines,
    name_of,
    owner_of,
    sent_twice,
    truth_of,
    write_rows,
    write_text,
)

CUSTOMERS = 120
OFFSETS = (0, 2, -5, -8)


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``customers.csv`` and ``events.jsonl``; some events are sent twice, some of nobody."""
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    happened = events(random, given, 1500)
    rows = [_event(one, account_id(one.customer)) for one, _ in sent_twice(random, happened)]
    rows += [_event(one, None, 9000) for one in events(random, given, 60)]
    write_text(folder / "events.jsonl", json_lines(rows))
    header = ("Account", "Company", "Looked after by", "Customer since", "Left on", "Notice on",
              "ARR")  # fmt: skip
    title = ("Customers with contracts;;;;;;", "as of 30.09.2025;;;;;;", "")
    total = sum(12 * contract.monthly for contract in given)
    write_rows(folder / "customers.csv", header, map(_row, given), above=title,
               below=("", f"Total;;;;;;{_german(total)}"), delimiter=";")  # fmt: skip
    return truth_of(given, events=happened)


def _row(one: Contract) -> tuple[object, ...]:
    dates = map(_day, (one.started_on, one.ended_on, one.cancelled_on))
    name, owner = name_of(one.customer), owner_of(one.customer)
    return (account_id(one.customer), name, owner, *dates, _german(12 * one.monthly))


def _event(one: Happening, account: str | None, add: int = 0) -> dict[str, object]:
    offset = OFFSETS[one.number % 4]
    local = one.moment + timedelta(hours=offset)
    groups = {"$groups": {"company": account}} if account else {}
    return {
        "uuid": f"0190aa00-0000-7000-8000-{one.number + add:012x}",
        "event": one.what,
        "distinct_id": one.user if account else f"anon-{one.number}",
        "timestamp": f"{local:%Y-%m-%dT%H:%M:%S}.250{offset:+03d}:00",
        "properties": {"$lib": "web", "$os": "Linux", **groups},
        "person_id": f"p-{one.user}" if account else None,
    }


def _day(day: date | None) -> str:
    return day.strftime("%d.%m.%Y") if day else ""


def _german(amount: int) -> str:
    return f"{amount:,}".replace(",", ".") + ",00 €"
