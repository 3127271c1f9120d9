"""A panel in portions of its accounts, where the whole would not fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from leadsignal.engine.build import Recipe
from leadsignal.sources.parts import literal

Query = Callable[[str], list[tuple[Any, ...]]]


def portions_of(recipe: Recipe, count: int, query: Query) -> list[Recipe]:
    """Return the recipes of ``count`` portions, in the order of account_id.

    A row of the panel rests on its own account only, so each portion is a small panel, and their
    rows one after the other are those of the whole.
    """
    if count <= 1:
        return [recipe]
    source = recipe.accounts
    ids = f"SELECT DISTINCT account_id FROM ({source.sql}) AS accounts"
    tiles = f"SELECT account_id, ntile({count}) OVER (ORDER BY account_id) AS tile FROM ({ids})"
    firsts = f"SELECT min(account_id) FROM ({tiles}) GROUP BY tile ORDER BY tile"
    begins = [literal(first) for (first,) in query(firsts)]
    if not begins:
        return [recipe]
    within = [
        f"account_id >= {begin}" + (f" AND account_id < {end}" if end else "")
        for begin, end in zip(begins, [*begins[1:], ""], strict=True)
    ]
    return [
        replace(recipe, accounts=replace(source, sql=f"SELECT * FROM ({source.sql}) WHERE {one}"))
        for one in within
    ]
