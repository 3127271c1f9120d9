"""One thing that may be wrong with a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that may be wrong with a row: a condition in SQL, and the message.

    In the condition ``t`` is the table and ``a`` the account as it was last recorded. ``value``
    is the SQL of the value to show, if that is not the column; ``detail`` is the SQL of a text
    that is added to the remedy.
    """

    column: str
    condition: str
    problem: str
    remedy: str
    value: str | None = None
    detail: str | None = None
