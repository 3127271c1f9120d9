"""Segment: the tables of tracks and groups, beside a list of accounts.

Tracks only say who did something; which account somebody works for is in groups.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from exports.business import (
    Happening,
    Truth,
    account_id,
    contracts,
    events,
    sent_twice,
    truth_of,
    write_accounts,
    write_rows,
)

CUSTOMERS = 120
TRACKS = ("id", "anonymous_id", "user_id", "event", "event_text", "original_timestamp",
          "received_at", "sent_at", "timestamp", "context_library_name")  # fmt: skip


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``accounts.csv``, ``tracks.csv`` and ``groups.csv``.

    Times end in UTC, some rows arrive twice, and some users are of no group or did not log in.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    happened = events(random, given, 1500)
    rows = [_row(one, one.user, again) for one, again in sent_twice(random, happened)]
    others = events(random, given, 80)
    rows += [_row(one, "" if n % 2 else f"visitor{n}", False, 9000) for n, one in enumerate(others)]
    write_rows(folder / "tracks.csv", TRACKS, rows)
    groups = [
        (f"g{n}-{k}-{call}", f"u{n}-{k}", account_id(n), f"2022-0{call}-03 04:05:06 UTC")
        for n in range(1, CUSTOMERS + 1)
        for k in range(1, 5)
        for call in range(1, 1 + random.randint(1, 2))
    ]
    write_rows(folder / "groups.csv", ("id", "user_id", "group_id", "received_at"), groups)
    write_accounts(folder, given)
    return truth_of(given, events=happened)


def _row(one: Happening, user: str, again: bool, add: int = 0) -> tuple[object, ...]:
    text = one.moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    received = one.moment.strftime(f"%Y-%m-%d %H:%M:%S.{5 + int(again)}00 UTC")
    return (f"ajs-{one.number + add:06d}", f"anon{one.number % 300}", user,
            one.what.replace(" ", "_"), one.what.title(), text, received, text, text,
            "analytics.js")  # fmt: skip
