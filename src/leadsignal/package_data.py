"""Texts and tables that are stored as files beside the code."""

from __future__ import annotations

import tomllib
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
