"""What an as-of date hides of a table, counted: nothing is left out without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.ingestion.data_warnings import DataWarning
from leadsignal.phrases import count_of

if TYPE_CHECKING:
    from leadsignal.ingestion.loaded_table import Loaded

Query = Callable[[str], list[tuple[Any, ...]]]


def hidden_rows(query: Query, loaded: Loaded, as_of: date) -> Iterator[DataWarning]:
    """Yield what of a settled table was not known at midnight of ``as_of``."""
    for message in _hidden(query, loaded, as_of):
        yield DataWarning("hidden_rows", loaded.table.name, message)


def _hidden(query: Query, loaded: Loaded, as_of: date) -> Iterator[str]:
    day = f"DATE '{as_of}'"
    if loaded.table.name == "accounts":
        yield from _accounts(query, loaded, as_of)
        return
    ((later,),) = query(
        f"SELECT count(*) FROM {loaded.table.name} WHERE {loaded.known_on} >= {day}"
    )
    if later:
        recorded = ", or recorded only then" if "recorded_at" in loaded.columns else ""
        yield f"{count_of(later, 'row')} on or after {as_of}{recorded}: left out"


def _accounts(query: Query, loaded: Loaded, as_of: date) -> Iterator[str]:
    day, known = f"DATE '{as_of}'", loaded.known_on
    newest, then = "true", f"{known} < {day}"
    if loaded.has_versions:
        newest = "superseded_on IS NULL"
        then += f" AND coalesce(superseded_on >= {day}, true)"
    ended = "ended_on" if "ended_on" in loaded.columns else "CAST(NULL AS DATE)"
    ((unstarted, unrecorded, later, unread),) = query(
        f"SELECT count(*) FILTER (WHERE started >= {day}), "
        f"count(*) FILTER (WHERE started < {day} AND known >= {day}), "
        f"count(*) FILTER (WHERE known < {day} AND ended >= {day}), "
        f"count(*) FILTER (WHERE known < {day} AND ended < {day} AND seen IS NULL) "
        f"FROM (SELECT min(started_on) AS started, min({known}) AS known, "
        f"max({ended}) FILTER (WHERE {newest}) AS ended, "
        f"max({ended}) FILTER (WHERE {then}) AS seen FROM accounts GROUP BY account_id)"
    )
    if unstarted:
        yield f"{count_of(unstarted, 'account')} not yet started on {as_of}: left out"
    if unrecorded:
        yield f"{count_of(unrecorded, 'account')} recorded only on or after {as_of}: left out"
    if later:
        yield f"{count_of(later, 'end')} on or after {as_of}: treated as active"
    if unread:
        yield f"{count_of(unread, 'end')} recorded only on or after {as_of}: treated as active"
