"""A business that is scored in a second: few accounts, few tables, a process that nobody does."""

from __future__ import annotations

from pathlib import Path

import leadsignal as ls

NOBODY_DOES = """\
[[process]]
name = "weekly_reconciliation"
behavior = "reconciliation_completed"
at_least = 1000
within = "30d"
"""
"""Without adopters there is no effect to weigh, which takes longer than the rest of a score."""


def write_small_business(folder: Path, *tables: str) -> Path:
    """Write the business with these tables only, and return the folder."""
    ls.simulate(160, seed=11, days=800).write(folder)
    for file in folder.glob("*.csv"):
        if file.stem not in tables:
            file.unlink()
    (folder / "success.toml").write_text(NOBODY_DOES)
    return folder
