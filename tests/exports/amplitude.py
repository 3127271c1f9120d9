"""Amplitude: raw events as compressed JSON lines, beside a list of accounts."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

from exports.business import (
    Happening,
    Truth,
    account_id,
    contracts,
    events,
    json_lines,
    sent_twice,
    truth_of,
    write_accounts,
)

CUSTOMERS = 120


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``accounts.csv`` and ``events.json.gz``: times in UTC, some events sent twice.

    Events of people who did not log in have neither a user nor an account.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    happened = events(random, given, 1500)
    rows = [_event(one, one.user, again) for one, again in sent_twice(random, happened)]
    rows += [_event(one, None, False, 9000) for one in events(random, given, 60)]
    write_accounts(folder, given)
    (folder / "events.json.gz").write_bytes(gzip.compress(json_lines(rows).encode(), mtime=0))
    return truth_of(given, events=happened)


def _event(one: Happening, user: str | None, again: bool, add: int = 0) -> dict[str, object]:
    account = account_id(one.customer) if user else None
    return {
        "$insert_id": f"{one.number + add:08x}-5d1f",
        "amplitude_id": 700_000_000 + one.number % 97,
        "app": 345678,
        "event_id": one.number,
        "event_time": one.moment.strftime("%Y-%m-%d %H:%M:%S.000000"),
        "server_upload_time": one.moment.strftime("%Y-%m-%d %H:%M:%S.412000"),
        "event_type": one.what,
        "event_properties": {"source": "web"},
        "groups": {"company": [account]} if account else {},
        "user_id": user,
        "user_properties": {"company_id": account} if account else {},
        "uuid": f"{one.number:08x}-{int(again)}-{add}",
    }
