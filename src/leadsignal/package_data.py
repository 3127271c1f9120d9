"""Texts and tables that are stored as files beside the code."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


def packaged_text(package: str, file: str) -> str:
    """Return a file of a package of the library as text."""
    return files(package).joinpath(file).read_text(encoding="utf-8")


def packaged_toml(package: str, file: str) -> dict[str, Any]:
    """Return a TOML file of a package of the library as a dictionary.

    >>> sorted(packaged_toml("leadsignal.datasets", "names.toml")["account_owners"])
    ['Central', 'North', 'South', 'West']
    """
    return tomllib.loads(packaged_text(package, file))


@cache
def packaged_queries(package: str, file: str) -> dict[str, str]:
    """Return the queries of a SQL file by name, without comments.

    The name of each query is on the line before it, behind three dashes.

    >>> sorted(packaged_queries("leadsignal.ingestion", "contracts.sql"))[:2]
    ['accounts_now', 'accounts_of_their_day']
    """
    _, *parts = packaged_text(package, file).split("\n--- ")
    named = (part.partition("\n") for part in parts)
    return {name: re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE) for name, _, sql in named}
