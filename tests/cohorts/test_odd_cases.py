"""Random small cohorts: nothing but a told refusal may come of them, and JSON stays JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from leadsignal.cohorts import DatedCohorts, compare_dated
from leadsignal.errors import LeadsignalError


def odd(seed: int) -> DatedCohorts:
    rng = np.random.default_rng(seed)
    n, levels, m = int(rng.integers(2, 40)), int(rng.integers(2, 5)), int(rng.integers(0, 80))
    entry = np.where(rng.uniform(size=n) < 0.2, rng.integers(0, 50, n), 0)
    stop = entry + rng.integers(1, rng.choice([5, 100, 1200]), n)
    changes = (rng.integers(0, n, m), rng.integers(-20, 400, m), rng.integers(0, levels, m))
    return DatedCohorts.from_changes(
        "odd", [f"level {k}" for k in range(levels)], np.arange(n), stop,
        rng.integers(0, rng.integers(1, 4), n), changes, entry=entry,
        cluster=rng.integers(0, n, n),
        covariates={"a": rng.normal(size=n), "b": rng.choice(["p", "q", "r"], n)},
    )  # fmt: skip


@pytest.mark.parametrize("block", range(4))
def test_odd_cohorts_are_compared_or_refused(block: int) -> None:
    done = 0
    for seed in range(40 * block, 40 * block + 40):
        rng = np.random.default_rng((seed, 1))
        try:
            compared = compare_dated(
                odd(seed), landmark=int(rng.integers(0, 120)),
                adjust=[["a", "b"], [], ["b"]][seed % 3], horizon=[None, 365][seed % 2],
            )  # fmt: skip
        except LeadsignalError:
            continue
        done += 1
        json.dumps(compared.to_dict(), allow_nan=False)
        for told in (repr(compared), compared.details, compared.to_markdown(), compared.to_html()):
            assert "nan" not in told.lower()
        for c in compared.contrasts:
            if c.hazard_ratio is not None:
                assert c.hazard_ratio.low <= c.hazard_ratio.estimate <= c.hazard_ratio.high
                assert not c.suppressed
    assert done > 10


@pytest.mark.parametrize("seed", range(20))
def test_stretches_fill_each_accounts_time_once(seed: int) -> None:
    try:
        cohorts = odd(seed)
    except LeadsignalError:
        return
    days = np.bincount(cohorts.row_account, cohorts.row_stop - cohorts.row_start, len(cohorts))
    assert days == pytest.approx(cohorts.stop - cohorts.entry)
    again = DatedCohorts.from_rows(
        "odd", cohorts.levels, cohorts.accounts[cohorts.row_account], cohorts.row_start,
        cohorts.row_stop, cohorts.row_cause, cohorts.row_state,
    )  # fmt: skip
    assert again.to_frame().equals(cohorts.to_frame())
