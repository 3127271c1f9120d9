"""How many threads are used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import leadsignal as ls
from leadsignal import workers
from leadsignal.survival import cox, newton
from leadsignal.workers import threads


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)]
)
def test_a_container_counts_the_cores_of_its_quota(
    quota: str, cores: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(workers, "QUOTA", tmp_path / "cpu.max")
    for name in ("LEADSIGNAL_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads() == (cores or 8)


def test_duckdb_uses_as_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSIGNAL_THREADS", "3")
    (tmp_path / "accounts.csv").write_text("account_id,started_on\na,2024-01-01\n")
    tables = ls.read_tables(tmp_path, as_of="2024-02-01")
    assert tables.connection.execute("SELECT current_setting('threads')").fetchone() == (3,)


def test_cox_uses_one_thread_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = newton.maximise

    def watched(*args: object, **kwargs: object) -> object:
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(cox, "maximise", watched)
    rng = np.random.default_rng(1)
    ls.survival.fit_cox(rng.normal(size=(50, 2)), rng.uniform(1, 9, 50), rng.random(50) < 0.5)
    assert seen
    assert set(seen) == {1}
