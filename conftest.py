"""What tests and the examples of docstrings share: small simulated businesses, written once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import leadsignal as ls

# Modules are compiled once, also where the environment says otherwise: every worker imports all
# tests, and hundreds of tests start a process that imports the library.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def business_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred accounts of another seed, as CSV files without names."""
    return ls.simulate(300, seed=5, days=1200).write(tmp_path_factory.mktemp("business"))


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first quarter of the sample's accounts, for what would take four times as long on it."""
    return ls.datasets.write_sample(tmp_path_factory.mktemp("sample"), accounts=300)


@pytest.fixture(scope="session")
def sample_in_use(small_sample: Path) -> ls.Tables:
    """The tables of the small sample: while they are in use, examples share their panel."""
    return ls.read_tables(small_sample)


@pytest.fixture(autouse=True)
def _examples_read_the_small_sample(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        # Examples are run one after the other, as in a user's session.
        monkeypatch.setenv("LEADSIGNAL_SESSION_CACHE", "1")
        folder = request.getfixturevalue("small_sample")
        request.getfixturevalue("sample_in_use")
        monkeypatch.setattr(ls, "sample_folder", lambda: folder)
