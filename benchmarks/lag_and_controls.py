"""Two trials of the bias that lag and control behaviours correct, next to the planned figures.

Negative controls: an unmeasured quality drives the adoption of a process and of ten other
behaviours (loadings with a spread of 0.35), and is the only cause of churn; 800 accounts, 104
weeks. Reverse causation: accounts that leave open no ticket in the last 120 days, or all accounts
stop a process at a notice of 90 days.

    python benchmarks/lag_and_controls.py [--seeds 30] [--runs 200]

What the planned trials left open (rates of adoption and churn, the effect of the quality) is
chosen to reproduce their uncorrected ratios approximately; the correction is what is compared.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LEADSIGNAL_THREADS": "1"})

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadsignal.cohorts import DatedCohorts
from leadsignal.cohorts.contrasts import hazard_ratio
from leadsignal.cohorts.risk_intervals import follow_in_time
from leadsignal.stats import ClusteredEstimate, Estimate, empirical_null

Floats = NDArray[np.float64]
ACCOUNTS, WEEKS, CONTROLS = 800, 104, 10
SPREAD = 0.35
"""Standard deviation of the loadings of the behaviours on the quality, around their mean of 1."""
QUALITY, BASE = 1.0, 0.006
"""Effect of the quality on the log hazard of churn, and the hazard a week."""
ADOPTS, LAPSES = 0.03, 0.03
"""Probability a week of adopting and of dropping a behaviour, where the quality is average."""
DAYS, HAZARD, NOTICE, QUIET, LAG = 730, 0.0008, 90, 120, 130
TICKETS = 0.0033
"""Tickets a day."""


@dataclass(frozen=True)
class Corrected:
    """Hazard ratio without and with the correction, of one run."""

    raw: Estimate
    corrected: Estimate


def cohorts_of(
    states: NDArray[np.bool_], stop: NDArray[np.int64], churned: NDArray[np.bool_]
) -> DatedCohorts:
    """Return the cohorts of accounts whose state of each period is given (accounts × periods)."""
    before = np.column_stack((np.zeros(len(states), dtype=bool), states[:, :-1]))
    account, period = np.nonzero(states != before)
    return DatedCohorts.from_changes(
        "exposed", ("not exposed", "exposed"), np.arange(len(states)), stop, churned.astype(int),
        (account, period, states[account, period].astype(int)),
    )  # fmt: skip


def log_ratio(cohorts: DatedCohorts) -> ClusteredEstimate:
    """Return the time-dependent log hazard ratio, with errors by account."""
    return hazard_ratio(follow_in_time(cohorts), cohorts, 1)[0]


# Negative controls --------------------------------------------------------------------------------


def practised(rng: np.random.Generator, loading: float, quality: Floats) -> NDArray[np.bool_]:
    """Return in which weeks each account practises a behaviour (accounts × weeks)."""
    tilt = np.exp(loading * quality / 2)
    adopts, lapses = np.minimum(ADOPTS * tilt, 1), np.minimum(LAPSES / tilt, 1)
    state = rng.random(len(quality)) < adopts / (adopts + lapses)
    weeks = []
    for _ in range(WEEKS):
        weeks.append(state)
        turn = rng.random(len(quality))
        state = np.where(state, turn >= lapses, turn < adopts)
    return np.column_stack(weeks)


def with_controls(seed: int, effect: float) -> Corrected:
    """Return the ratio of a process, raw and calibrated by ten other behaviours."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=ACCOUNTS)
    loadings = rng.normal(1, SPREAD, CONTROLS + 1)
    behaviors = [practised(rng, loading, quality) for loading in loadings]
    hazard = BASE * np.exp(-QUALITY * quality[:, None] + effect * behaviors[0])
    leaves = rng.random(hazard.shape) < 1 - np.exp(-hazard)
    churned = np.asarray(leaves.any(axis=1))
    stop = np.where(churned, leaves.argmax(axis=1) + 1, WEEKS)
    found = [log_ratio(cohorts_of(states, stop, churned)) for states in behaviors]
    null = empirical_null([one.value for one in found[1:]], [one.std_err for one in found[1:]])
    return Corrected(found[0].ratio(), null.calibrate(found[0].value, found[0].std_err))


# Reverse causation --------------------------------------------------------------------------------


def _ends(rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    end = np.ceil(rng.exponential(1 / HAZARD, ACCOUNTS))
    return np.minimum(end, DAYS), end <= DAYS


def _first_events(first: Floats, stop: Floats, churned: NDArray[np.bool_]) -> DatedCohorts:
    seen = np.flatnonzero(first < stop)
    return DatedCohorts.from_changes(
        "complained", ("no ticket", "complained"), np.arange(ACCOUNTS), stop, churned.astype(int),
        (seen, first[seen], np.ones(len(seen))),
    )  # fmt: skip


def quiet_leavers(seed: int) -> Corrected:
    """Return the ratio of a first ticket, unlagged and counted 130 days later; none is true."""
    rng = np.random.default_rng(seed)
    stop, churned = _ends(rng)
    first = np.ceil(rng.exponential(1 / TICKETS, ACCOUNTS))
    first = np.where(churned & (first > stop - QUIET), np.inf, first)
    raw, lagged = (log_ratio(_first_events(first + lag, stop, churned)) for lag in (0, LAG))
    return Corrected(raw.ratio(), lagged.ratio())


def stop_at_notice(seed: int) -> Corrected:
    """Return the ratio of a process that stops at notice, by the end and by the day it was known.

    Windows of 22 to 113 days pass until the process counts as lapsed: a quarter of those that leave
    have it still at the end.
    """
    rng = np.random.default_rng(seed)
    known, churned = _ends(rng)
    stop = np.where(churned, known + NOTICE, known)
    days = int(stop.max())
    lengths = np.ceil(rng.exponential(100, (ACCOUNTS, 60)))
    turns = lengths.cumsum(axis=1)
    began = rng.random(ACCOUNTS) < 0.5
    number = (turns[:, :, None] <= np.arange(days)[None, None, :]).sum(axis=1)
    states = (number % 2 == 1) ^ began[:, None]
    lapse = np.where(churned, known + rng.integers(22, 113, ACCOUNTS), np.inf)
    frozen = states[np.arange(ACCOUNTS), np.minimum(known, days - 1).astype(int)]
    day = np.arange(days)
    after = churned[:, None] & (day >= known[:, None])
    states = np.where(after, frozen[:, None] & (day < lapse[:, None]), states)
    raw, corrected = (
        log_ratio(cohorts_of(states, last.astype(np.int64), churned)) for last in (stop, known)
    )
    return Corrected(raw.ratio(), corrected.ratio())


# Tables -------------------------------------------------------------------------------------------


def line(name: str, runs: list[Corrected], truth: float, *, planned: str) -> str:
    """Return mean log ratio, coverage and share that exclude 1, raw and corrected, as a row."""
    cells = []
    for part in ("raw", "corrected"):
        found = [getattr(one, part) for one in runs]
        logs = np.log([one.estimate for one in found])
        covers = np.mean([one.low <= np.exp(truth) <= one.high for one in found])
        excludes = np.mean([one.excludes(1.0) for one in found])
        error = np.std(logs, ddof=1) / np.sqrt(len(runs))
        chance = np.sqrt(covers * (1 - covers) / len(runs))
        cells += [f"{np.mean(logs):+.2f} ± {error:.2f}", f"{covers:.0%} ± {chance:.0%}",
                  f"{excludes:.0%}"]  # fmt: skip
    return "| " + " | ".join([name, *cells, planned]) + " |"


HEAD = """\
| trial | raw: mean log ratio | covers | excludes 1 | corrected | covers | excludes 1 | planned |
|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Run both trials and print them beside the figures of the planned ones.

    These are the raw and the corrected mean, the coverage, and the share that excludes 1.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    print(HEAD)
    for effect, planned in ((0.0, "-0.64, -0.02, 97 %, 0 %"), (-0.7, "-1.30, -0.58, 97 %, 57 %")):
        found = [with_controls(seed, effect) for seed in range(options.seeds)]
        print(line(f"controls, true {effect:g}", found, effect, planned=planned), flush=True)
    quiet = [quiet_leavers(seed) for seed in range(options.runs)]
    print(line("quiet leavers, lag", quiet, 0.0, planned="-0.82, -0.01, 100 %, 0 %"), flush=True)
    notice = [stop_at_notice(seed) for seed in range(options.runs)]
    print(line("notice, day known", notice, 0.0, planned="-1.92, 0.00, 95 %, 5 %"))


if __name__ == "__main__":
    main()
