"""Customers, contracts, tickets and events of a small vendor, and what is true of them.

The writers of this folder put these records into the files of one system, with the dirt that it
produces. Everything happens before the day of the export; only ends that are planned come later.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

EXPORTED = date(2025, 9, 30)
GAP = 30
PLANS = {"Starter": 49, "Team": 199, "Business": 640}
BEHAVIORS = ("report created", "invoice sent", "data imported", "member invited")
FIRST = ("Alder", "Bråten", "Coral", "Dune", "Ember", "Fjord", "Grüne", "Harbor", "Iris", "Juniper")
SECOND = ("Foods", "Logistics", "Labs", "& Sons, Ltd", "Works", "Health", "Media", "Energie GmbH")
OWNERS = ("Ana Ruiz", "Ben Ode", "Chen Li")


@dataclass(frozen=True)
class Contract:
    """One contract; ``paid_from`` is its start, or the end of its trial."""

    contract_id: str
    customer: int
    plan: str
    started_on: date
    paid_from: date
    ended_on: date | None = None
    cancelled_on: date | None = None

    @property
    def monthly(self) -> int:
        return PLANS[self.plan]


@dataclass(frozen=True)
class Happening:
    """A ticket or an event: of which customer, when (UTC), what, by whom, until when."""

    number: int
    customer: int
    moment: datetime
    what: str
    user: str = ""
    closed: datetime | None = None


@dataclass(frozen=True)
class Truth:
    """What is true of a folder on the day of the export.

    An account is a stay: contracts of a customer that follow each other within 30 days. It has
    ``churned`` if its last contract has ended; ``notified`` are active accounts whose end is known.
    Tickets and events are those of accounts, each once, from their start to the day of their end;
    those before and after are ``outside``.
    """

    as_of: date
    customers: int
    accounts: int
    churned: int
    active: int
    notified: int
    arr_active: int
    first_start: date
    last_start: date
    last_end: date
    could_last_a_year: int
    lasted_a_year: int
    tickets: int | None = None
    tickets_outside: int = 0
    events: int | None = None
    events_outside: int = 0
    users: int | None = None
    first_event: date | None = None
    last_event: date | None = None
    scores: int | None = None
    flags: int | None = None
    plans: int | None = None


# Records ------------------------------------------------------------------------------------------


def name_of(customer: int) -> str:
    return f"{FIRST[customer % 10]} {SECOND[customer // 10 % 8]} {customer}"


def owner_of(customer: int) -> str:
    return OWNERS[customer % 3]


def moment(random: Random, day: date) -> datetime:
    """Return a moment of a day (UTC)."""
    return datetime(day.year, day.month, day.day) + timedelta(seconds=random.randrange(86_400))


def contracts(random: Random, customers: int, *, histories: bool) -> list[Contract]:
    """Return one contract a customer; with ``histories``, some have several, and some trials."""
    made: list[Contract] = []
    for customer in range(1, customers + 1):
        start = EXPORTED - timedelta(days=random.randint(60, 1300))
        kind = random.choices(("one", "upgrade", "gap", "return", "beside"), (60, 15, 8, 8, 9))[0]
        if not histories or kind == "one":
            made.append(_contract(random, customer, start, trial=histories))
        elif kind == "beside":
            made.append(_contract(random, customer, start, trial=False))
            later = start + timedelta(days=random.randint(10, 50))
            made.append(_contract(random, customer, later, trial=False))
        else:
            end = start + timedelta(days=random.randint(30, 400))
            pause = {"upgrade": (0, 0), "gap": (4, 25), "return": (45, 200)}[kind]
            again = end + timedelta(days=random.randint(*pause))
            if again > EXPORTED - timedelta(days=2):
                made.append(_contract(random, customer, start, trial=False))
                continue
            notice = None if kind == "upgrade" else end - timedelta(days=random.randint(0, 20))
            made.append(Contract(_id(customer, 1), customer, "Starter", start, start, end, notice))
            following = _contract(random, customer, again, trial=False)
            made.append(following)
    return [_numbered(one, number) for number, one in enumerate(made, 1)]


def _contract(random: Random, customer: int, start: date, *, trial: bool) -> Contract:
    paid = start + timedelta(days=14) if trial and random.random() < 0.2 else start
    end = paid + timedelta(days=30 * (1 + int(random.expovariate(1 / 20))))
    plan, notice = random.choice(tuple(PLANS)), random.randint(0, min(45, (end - paid).days))
    if end < EXPORTED:
        cancelled = end - timedelta(days=notice)
        return Contract(_id(customer, 0), customer, plan, start, paid, end, cancelled)
    if random.random() > 0.08:
        return Contract(_id(customer, 0), customer, plan, start, paid)
    end = EXPORTED + timedelta(days=random.randint(5, 60))
    cancelled = max(paid, EXPORTED - timedelta(days=random.randint(2, 40)))
    return Contract(_id(customer, 0), customer, plan, start, paid, end, cancelled)


def _id(customer: int, number: int) -> str:
    return f"{customer}-{number}"


def _numbered(one: Contract, number: int) -> Contract:
    return Contract(f"{number:05d}", *list(vars(one).values())[1:])


def tickets(random: Random, given: Sequence[Contract], count: int) -> list[Happening]:
    """Return tickets, most of them within the contract of their customer."""
    made = []
    for number in range(1, count + 1):
        contract = random.choice(given)
        opened = moment(random, _day(random, contract))
        closed = opened + timedelta(hours=random.randint(1, 200))
        done = closed if closed.date() < EXPORTED - timedelta(days=1) else None
        priority = random.choice(("low", "normal", "high", "urgent"))
        user = f"u{contract.customer}-{random.randint(1, 4)}"
        made.append(Happening(number, contract.customer, opened, priority, user, done))
    return made


def events(random: Random, given: Sequence[Contract], count: int) -> list[Happening]:
    """Return events, most of them within the contract of their customer."""
    made = []
    for number in range(1, count + 1):
        contract = random.choice(given)
        what = random.choices(BEHAVIORS, (6, 3, 2, 1))[0]
        user = f"u{contract.customer}-{random.randint(1, 4)}"
        day = moment(random, _day(random, contract))
        made.append(Happening(number, contract.customer, day, what, user))
    return made


def _day(random: Random, contract: Contract) -> date:
    """Return a day of a contract; one in twenty is before it, or after its end."""
    last = min(contract.ended_on or EXPORTED, EXPORTED - timedelta(days=2))
    length = max((last - contract.started_on).days, 0)
    day = contract.started_on + timedelta(days=random.randint(0, length))
    if random.random() > 0.05:
        return day
    before = contract.started_on - timedelta(days=random.randint(1, 20))
    after = last + timedelta(days=random.randint(1, 40))
    return random.choice((before, min(after, EXPORTED - timedelta(days=2))))


# Truth --------------------------------------------------------------------------------------------


def stays(given: Iterable[Contract]) -> list[list[Contract]]:
    """Return the contracts of each account, counted contract by contract."""
    found: list[list[Contract]] = []
    for contract in sorted(given, key=lambda one: (one.customer, one.paid_from)):
        last = found[-1] if found and found[-1][0].customer == contract.customer else None
        if last is not None and (contract.paid_from - _covered(last)).days <= GAP:
            last.append(contract)
        else:
            found.append([contract])
    return found


def _covered(stay: Sequence[Contract]) -> date:
    return max(contract.ended_on or date.max for contract in stay)


def _is_leaving(stay: Sequence[Contract]) -> bool:
    """Whether an account is active and every contract that still runs has been cancelled."""
    running = [one for one in stay if one.ended_on is None or one.ended_on > EXPORTED]
    return bool(running) and all(one.cancelled_on is not None for one in running)


def truth_of(
    given: Sequence[Contract],
    tickets: Sequence[Happening] | None = None,
    events: Sequence[Happening] | None = None,
    **others: int,
) -> Truth:
    """Return what is true of these records; those of customers without a contract do not count."""
    accounts = stays(given)
    starts = [min(one.paid_from for one in stay) for stay in accounts]
    ends = [_covered(stay) for stay in accounts]
    ended = [end for end in ends if end <= EXPORTED]
    early = [n for n, start in enumerate(starts) if (EXPORTED - start).days >= 365]
    covering = [c for c in given if c.paid_from <= EXPORTED < (c.ended_on or date.max)]
    inside_tickets, outside_tickets = _split(tickets or (), accounts)
    inside, outside = _split(events or (), accounts)
    days = sorted(event.moment.date() for event in inside)
    return Truth(
        as_of=EXPORTED,
        customers=len({contract.customer for contract in given}),
        accounts=len(accounts),
        churned=len(ended),
        active=len(accounts) - len(ended),
        notified=sum(_is_leaving(stay) for stay in accounts),
        arr_active=sum(12 * contract.monthly for contract in covering),
        first_start=min(starts),
        last_start=max(starts),
        last_end=max(ended),
        could_last_a_year=len(early),
        lasted_a_year=sum((ends[n] - starts[n]).days >= 365 for n in early),
        tickets=None if tickets is None else len(inside_tickets),
        tickets_outside=len(outside_tickets),
        events=None if events is None else len(inside),
        events_outside=len(outside),
        users=None if events is None else len({event.user for event in inside}),
        first_event=days[0] if days else None,
        last_event=days[-1] if days else None,
        **others,
    )


def _split(
    given: Iterable[Happening], accounts: Sequence[Sequence[Contract]]
) -> tuple[list[Happening], list[Happening]]:
    """Return what happened within the life of an account, and what happened outside."""
    inside, outside = [], []
    for one in given:
        lives = [stay for stay in accounts if stay[0].customer == one.customer]
        within = [stay[0].paid_from <= one.moment.date() <= _covered(stay) for stay in lives]
        if any(within):
            inside.append(one)
        elif lives:
            outside.append(one)
    return inside, outside


# Files --------------------------------------------------------------------------------------------


def write_rows(
    file: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    above: Sequence[str] = (),
    below: Sequence[str] = (),
    encoding: str = "utf-8",
    delimiter: str = ",",
) -> None:
    """Write a CSV file, with lines above its header and below its rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding=encoding, newline="") as out:
        out.writelines(f"{line}\n" for line in above)
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
        out.writelines(f"{line}\n" for line in below)


def json_lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\n")


def epoch(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1)).total_seconds())


def sent_twice(
    random: Random, given: Sequence[Happening], share: float = 0.04
) -> list[tuple[Happening, bool]]:
    """Return the records in a random order, some of them a second time (True)."""
    every = [(one, False) for one in given]
    every += [(one, True) for one in given if random.random() < share]
    random.shuffle(every)
    return every


def write_accounts(folder: Path, given: Iterable[Contract], key: str = "account_id") -> None:
    """Write the small list of accounts beside the files of another system."""
    header = (key, "name", "owner", "started_on", "ended_on", "end_known_on", "arr")
    rows = [
        (
            account_id(c.customer),
            name_of(c.customer),
            owner_of(c.customer),
            c.started_on,
            c.ended_on,
            c.cancelled_on,
            12 * c.monthly,
        )
        for c in given
    ]
    write_rows(folder / "accounts.csv", header, rows)


def account_id(customer: int) -> str:
    return f"ACC-{customer:04d}"
