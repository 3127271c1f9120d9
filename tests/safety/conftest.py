"""A business that is small enough for commands that run as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadsignal.cli import main
from small_business import write_small_business


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a business (``t``) and a saved model (``m``); nobody writes into it."""
    root = tmp_path_factory.mktemp("small")
    write_small_business(root / "t", "accounts", "behaviors", "tickets", "usage")
    fit = ["fit", str(root / "t"), "--every", "84d", "--estimator", "logistic", "--quiet"]
    assert main([*fit, "--out", str(root / "m"), "--json", str(root / "fit.json")]) == 0
    return root
