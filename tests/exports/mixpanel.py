"""Mixpanel: raw events, one JSON object a line, beside a list of accounts.

The property of the account is a number, where the list of accounts has zeros before it.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from exports.business import (
    OWNERS,
    Happening,
    Truth,
    contracts,
    epoch,
    events,
    json_lines,
    name_of,
    sent_twice,
    truth_of,
    write_rows,
    write_text,
)

CUSTOMERS = 120


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``accounts.csv`` and ``events.jsonl``: seconds since 1970, some events sent twice."""
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    happened = events(random, given, 1500)
    rows = [_event(one, one.customer) for one, _ in sent_twice(random, happened)]
    rows += [_event(one, None) for one in events(random, given, 60)]
    write_text(folder / "events.jsonl", json_lines(rows))
    header = ("account_id", "name", "owner", "started_on", "ended_on", "end_known_on", "arr")
    accounts = [
        (f"{c.customer:05d}", name_of(c.customer), OWNERS[c.customer % 3], c.started_on, c.ended_on,
         c.cancelled_on, 12 * c.monthly)
        for c in given
    ]  # fmt: skip
    write_rows(folder / "accounts.csv", header, accounts)
    return truth_of(given, events=happened)


def _event(one: Happening, company: int | None) -> dict[str, object]:
    user = one.user if company else f"$device:{one.number:08x}"
    known = {"$user_id": one.user, "company_id": company} if company else {}
    return {
        "event": one.what.title(),
        "properties": {
            "time": epoch(one.moment),
            "distinct_id": user,
            "$insert_id": f"{one.number:016x}" + ("" if company else "d"),
            "$browser": "Chrome",
            "mp_lib": "web",
            **known,
        },
    }
