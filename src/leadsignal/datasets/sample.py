"""The packaged sample: the world "leading" with a fixed seed."""

from __future__ import annotations

from pathlib import Path

from leadsignal.datasets.simulation import simulate

SEED, ACCOUNTS = 4, 1200
LARGE = ("behaviors", "usage", "health_scores")
"""Tables of the sample that are stored as Parquet files."""


def sample_folder() -> Path:
    """Return the folder of the packaged sample, with its tables and both TOML files.

    >>> (sample_folder() / "accounts.csv").exists()
    True
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "sample"
    return installed if installed.exists() else package.parents[1] / "data" / "sample"


def write_sample(
    folder: str | Path, *, seed: int = SEED, accounts: int = ACCOUNTS, force: bool = False
) -> Path:
    """Generate the packaged sample in ``folder``, with the same values every time.

    Another ``seed`` gives another business of the same kind; with fewer ``accounts``, only the
    first ones are kept. Existing files with other content are replaced only with ``force``, as in
    `Simulation.write`.
    """
    # As a team would score: on a Monday, 52 times four weeks after the first. Accounts start within
    # 42 months, so that most of them have a long history.
    simulation = simulate(
        accounts, seed=seed, days=52 * 28, named=True, before_days=365, intake_days=900
    )
    return simulation.write(folder, parquet=LARGE, force=force)
