"""What the rows of a panel depend on, to detect that they would not be the same today.

A later panel has the same row for a day, except for its outcome, if the settings and everything
known by that day are unchanged. The rows of the tables are summarised by the sum of their digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import Recipe
from leadsignal.engine.grid import Source
from leadsignal.ingestion.dialect import EPOCH
from leadsignal.sources.parts import quoted
from leadsignal.tables import Tables

NOT_READ = {"name", "owner", "currency", "event_id"}
"""Columns of the schema that rows of a panel do not use, unless declared as attributes."""
ENDS = {"ended_on", "end_known_on", "end_reason"}
"""Columns with the end of an account."""
BELOW = 2**63
MAX_LISTED = 3


def rows_digest(tables: Tables, name: str, since: date | None = None) -> int:
    """Return the sum of the digests of a table's rows, or of those known from a day on.

    The ends of accounts without versions are left out: they may become known at any time.
    """
    cursor, history = tables.connection.cursor(), tables.history(name)
    left = NOT_READ - set(tables.attributes)
    if name == "accounts" and not tables.loaded[name].has_versions:
        left |= ENDS
    columns = [quoted(c) for c in cursor.sql(f"FROM ({history}) LIMIT 0").columns if c not in left]
    where = f" WHERE known_on >= DATE '{since}'" if since else ""
    digest = f"SELECT sum(hash({', '.join(columns)})) % {BELOW} FROM ({history}){where}"
    ((total,),) = cursor.execute(digest).fetchall()
    return int(total or 0)


def _sources(recipe: Recipe) -> list[Source]:
    return [recipe.accounts, *recipe.sources.values()]


def settings_of(recipe: Recipe) -> dict[str, str]:
    """Return the settings that a row depends on, in words or as digests."""
    from leadsignal import __version__

    kept = recipe.behaviors.keep if recipe.behaviors else ()
    processes = {f"process {p.name}": digest_of(replace(p, why="")) for p in recipe.processes}
    indicators = {f"indicator {one.name}": digest_of(one) for one in recipe.indicators}
    return {
        "version of leadsignal": __version__,
        "every": f"{recipe.grid.every} days",
        "tables": ", ".join(sorted(one.name for one in _sources(recipe))),
        "attributes": ", ".join(f"{name} ({kind})" for name, kind in recipe.attributes.items()),
        "behaviours with indicators": ", ".join(sorted(kept)),
        "metrics of results": digest_of(_metrics(recipe.metrics)),
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


def digest_of(what: object) -> str:
    """Return a short text that differs if the thing is declared differently."""
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
    if name.split()[0] in ("process", "indicator", "metrics", "options"):
        return "declared differently"
    shown = [f"{text[:57]}…" if len(text) > 60 else text or "none" for text in (then, now)]
    return "{} then, {} now".format(*shown) if shown[0] != shown[1] else "others"
