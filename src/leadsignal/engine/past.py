"""Digests of the tables at the time a panel was built, to detect changes of the past.

A later panel has the same row for a day, except for its outcome, if the settings and everything
known by that day are unchanged. The rows of the tables are therefore summarised twice: by account,
and by the day on which they became known. If a digest differs, past records have changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Self

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import Recipe
from leadsignal.engine.grid import Source
from leadsignal.ingestion.dialect import EPOCH
from leadsignal.sources.parts import literal, quoted
from leadsignal.tables import Tables

NOT_READ = {"name", "owner", "currency", "event_id"}
"""Columns of the schema that rows of a panel do not use, unless declared as attributes."""
MAX_GROUPS = 2**12
"""Maximum number of groups of accounts with a digest, which keeps the stored data small."""
BELOW = 2**63
MAX_LISTED = 3
Sums = Mapping[int, int]


@dataclass(frozen=True)
class Past:
    """Digest of the tables of a panel before ``as_of`` (a day number), and of the settings.

    ``settings`` are all other things a row depends on, by name. ``complete_through`` is that of
    each table. ``accounts`` and ``events`` are digests of the rows of accounts and of all other
    tables, by group of accounts; ``days`` are digests of the latter by the day on which they became
    known.
    """

    as_of: int
    settings: Mapping[str, str]
    complete_through: Mapping[str, int | None]
    groups: int
    accounts: Sums
    events: Sums
    days: Sums

    @classmethod
    def of(cls, tables: Tables, recipe: Recipe, groups: int | None = None) -> Past:
        """Compute the digests of the tables from which a panel is built."""
        rows = tables.coverage["accounts"].rows
        groups = groups or min(MAX_GROUPS, 1 << (4 * rows).bit_length())
        accounts, _ = _sums(tables, ["accounts"], groups)
        events, days = _sums(tables, recipe.sources, groups)
        through = {one.name: one.complete_through for one in _sources(recipe)}
        return cls(recipe.grid.as_of, settings_of(recipe), through, groups, accounts, events, days)

    def to_text(self) -> str:
        """Return a short text to store in a file."""
        content = json.dumps(asdict(self)).encode()
        return base64.b64encode(zlib.compress(content)).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the text that `to_text` returned."""
        content: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
        for name in ("accounts", "events", "days"):
            content[name] = {int(key): value for key, value in content[name].items()}
        return cls(**content)


def group_of_account(groups: int) -> str:
    """Return SQL for the number of the group that an account belongs to."""
    return f"CAST(hash(account_id) % {groups} AS INTEGER)"


def _sums(tables: Tables, names: Iterable[str], groups: int) -> tuple[Sums, Sums]:
    """Compute digests of tables by group of accounts, and by the day rows became known."""
    by_group: dict[int, int] = {}
    by_day: dict[int, int] = {}
    cursor = tables.connection.cursor()
    for name in names:
        history = tables.history(name)
        columns = [
            quoted(column)
            for column in cursor.sql(f"FROM ({history}) LIMIT 0").columns
            if column not in NOT_READ or column in tables.attributes
        ]
        rows = (
            f"SELECT {group_of_account(groups)} AS g, known_on - DATE '{EPOCH}' AS day,"
            f" hash({literal(name)}, {', '.join(columns)}) AS digest FROM ({history})"
        )
        found = cursor.execute(
            f"SELECT g, day, CAST(sum(digest) % {BELOW} AS BIGINT) FROM ({rows})"
            " GROUP BY GROUPING SETS ((g), (day))"
        ).fetchall()
        for group, day, total in found:
            sums, key = (by_day, day) if group is None else (by_group, group)
            sums[key] = (sums.get(key, 0) + total) % BELOW
    return by_group, by_day


def _sources(recipe: Recipe) -> list[Source]:
    return [recipe.accounts, *recipe.sources.values()]


def settings_of(recipe: Recipe) -> dict[str, str]:
    """Return the settings that a row depends on, in words or as digests."""
    from leadsignal import __version__

    kept = recipe.behaviors.keep if recipe.behaviors else ()
    processes = {f"process {p.name}": _digest(replace(p, why="")) for p in recipe.processes}
    indicators = {f"indicator {one.name}": _digest(one) for one in recipe.indicators}
    return {
        "version of leadsignal": __version__,
        "every": f"{recipe.grid.every} days",
        "tables": ", ".join(sorted(one.name for one in _sources(recipe))),
        "attributes": ", ".join(f"{name} ({kind})" for name, kind in recipe.attributes.items()),
        "behaviours with indicators": ", ".join(sorted(kept)),
        "metrics of results": _digest(_metrics(recipe.metrics)),
        **processes,
        **indicators,
        **settings_of_tables(recipe),
    }


def settings_of_tables(recipe: Recipe) -> dict[str, str]:
    """Return when each table becomes complete, and whether it records when rows became known."""
    found = {}
    for one in _sources(recipe):
        first = "not known" if one.complete_from is None else f"{day_of(one.complete_from)}"
        found[f"first day of {one.name}"] = f"{first}{', assumed' if one.assumed else ''}"
        found[f"recorded_at of {one.name}"] = "there" if one.late else "not there"
    return found


def day_of(day: int) -> date:
    """Convert a day number to a date."""
    return date.fromordinal(EPOCH.toordinal() + day)


def _metrics(analysis: SuccessAnalysis) -> tuple[Any, ...]:
    """Return the parts of an analysis that determine an account's own metric."""
    segments = [(one.applies_to, one.bullseye.success_metric) for one in analysis.segments]
    return (analysis.bullseye.success_metric, *segments)


def _digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield the settings that differ, with their old and new values if these are short.

    >>> list(differing({"every": "28 days"}, {"every": "7 days", "process a": "1f"}))
    ['every (28 days then, 7 days now)', 'process a (not there then)']
    """
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    indicators = [name for name in names if name.startswith("indicator ")]
    for name in [one for one in names if one not in indicators] + indicators[:MAX_LISTED]:
        yield f"{name} ({_change(name, then.get(name), now.get(name))})"
    if len(indicators) > MAX_LISTED:
        yield f"{len(indicators) - MAX_LISTED:,} more indicators"


def _change(name: str, then: str | None, now: str | None) -> str:
    if then is None or now is None:
        return f"not there {'then' if then is None else 'now'}"
    if name.split()[0] in ("process", "indicator", "metrics"):
        return "declared differently"
    shown = [f"{text[:57]}…" if len(text) > 60 else text or "none" for text in (then, now)]
    return "{} then, {} now".format(*shown) if shown[0] != shown[1] else "others"
