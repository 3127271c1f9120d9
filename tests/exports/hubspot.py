"""HubSpot: companies, deals and tickets as the record pages export them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from random import Random

from exports.business import (
    Truth,
    contracts,
    name_of,
    owner_of,
    tickets,
    truth_of,
    write_rows,
)

CUSTOMERS = 160


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``companies.csv``, ``deals.csv`` and ``tickets.csv``.

    Half of the companies are prospects, who send tickets too. Tickets may be of no company, or of
    several; the primary one counts.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    header = ("Record ID", "Company name", "Company owner", "Create Date", "Lifecycle Stage",
              "Annual Revenue", "Became a Customer Date", "Churn Date", "Churn Notice Date",
              "Churn Reason", "ARR", "Industry")  # fmt: skip
    rows: list[tuple[object, ...]] = [
        (_company(c.customer), name_of(c.customer), owner_of(c.customer), _at(date(2021, 3, 1)),
         "Customer" if c.ended_on is None else "Other", 5_000_000, _at(c.started_on), c.ended_on,
         c.cancelled_on, "Price" if c.ended_on else "", 12 * c.monthly,
         random.choice(("Retail", "Finance")))
        for c in given
    ]  # fmt: skip
    rows += [
        (_company(n), name_of(n), "", _at(date(2022, 3, 1)), "Lead", "", "", "", "", "", "", "")
        for n in range(CUSTOMERS + 1, 2 * CUSTOMERS)
    ]
    random.shuffle(rows)
    write_rows(folder / "companies.csv", header, rows, encoding="utf-8-sig")
    _write_deals(folder, [(c.customer, c.started_on, 12 * c.monthly) for c in given])
    sent = tickets(random, given, 500)
    columns = ("Ticket ID", "Ticket name", "Pipeline", "Ticket status", "Priority", "Create date",
               "Close date", "Associated Company IDs",
               "Associated Company IDs (Primary)")  # fmt: skip
    lines: list[tuple[object, ...]] = []
    for one in sent:
        primary = _company(one.customer)
        every = f"{primary};{_company(one.customer % 9 + 1)}" if one.number % 20 == 0 else primary
        times = [at.strftime("%Y-%m-%d %H:%M") if at else "" for at in (one.moment, one.closed)]
        status = "Closed" if one.closed else "New"
        lines.append((70_000_000 + one.number, "Help", "Support Pipeline", status, one.what.upper(),
                      *times, every, primary))  # fmt: skip
    for number in range(30):
        company = _company(CUSTOMERS + 1 + number) if number % 3 == 0 else ""
        lines.append((80_000_000 + number, "Hello", "Support Pipeline", "New", "LOW",
                      "2025-02-03 10:00", "", company, company))  # fmt: skip
    write_rows(folder / "tickets.csv", columns, lines, encoding="utf-8-sig")
    return truth_of(given, sent)


def _write_deals(folder: Path, given: list[tuple[int, date, int]]) -> None:
    header = ("Record ID", "Deal Name", "Pipeline", "Deal Stage", "Deal Type", "Amount",
              "Close Date", "Create Date", "Associated Company IDs (Primary)")  # fmt: skip
    won = [
        (50_000_000 + n, f"Deal {n}", "Sales Pipeline", "Closed Won", "New Business", amount,
         _at(start), _at(start), _company(company))
        for n, (company, start, amount) in enumerate(given)
    ]  # fmt: skip
    lost = [
        (60_000_000 + n, f"Deal {n}", "Sales Pipeline", "Closed Lost", "New Business", 900,
         "2025-03-30 09:15", "2025-01-30 09:15", _company(CUSTOMERS + 1 + n))
        for n in range(40)
    ]  # fmt: skip
    write_rows(folder / "deals.csv", header, [*won, *lost], encoding="utf-8-sig")


def _company(number: int) -> int:
    return 9_120_000_000 + 37 * number


def _at(day: date) -> str:
    return f"{day} 09:15"
