"""The packaged sample: one seed of the leading world."""

from __future__ import annotations

from pathlib import Path

from leadsignal.datasets.simulation import simulate


def sample_folder() -> Path:
    """Return the folder of the packaged sample: tables as CSV, and both toml files.

    >>> (sample_folder() / "accounts.csv").exists()
    True
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "sample"
    return installed if installed.exists() else package.parents[1] / "data" / "sample"


def write_sample(folder: str | Path, *, force: bool = False) -> Path:
    """Write the packaged sample anew into ``folder``; the bytes are the same every time.

    What is there under the same names is replaced by ``force`` only, as in `Simulation.write`.
    """
    # Fewer of the behaviours that mean nothing, so that the files stay small.
    simulation = simulate(400, seed=7, days=987, noise_rate=0.25, before_days=330, intake_days=940)
    return simulation.write(folder, force=force)
