"""A business that is small enough for commands that run as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.cli import main

KEPT = ("accounts", "behaviors", "tickets", "usage")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a business (``t``) and a saved model (``m``); nobody writes into it."""
    root = tmp_path_factory.mktemp("small")
    ls.simulate(160, seed=11, days=800).write(root / "t")
    for file in (root / "t").glob("*.csv"):
        if file.stem not in KEPT:
            file.unlink()
    fit = ["fit", str(root / "t"), "--every", "84d", "--estimator", "logistic", "--quiet"]
    assert main([*fit, "--out", str(root / "m"), "--json", str(root / "fit.json")]) == 0
    return root
