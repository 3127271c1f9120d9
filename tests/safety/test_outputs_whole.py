"""What is accepted as an output runs whole, and changes nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "outputs.py"


def test_nothing_but_the_output_changes_when_a_command_runs() -> None:
    """A seeded slice of `benchmarks/outputs.py`."""
    quick = ["check", "fit", "score"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--some", "5", "--seed", "3", "--commands", *quick],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("5 outputs in ")
    assert done.stdout.endswith(": 0 wrong\n")
