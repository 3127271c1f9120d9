"""Coverage of cohort comparisons where the truth is known, and the time that many accounts take.

    python benchmarks/cohorts.py [--runs 4000] [--seed 0] [--only no_effect-smooth]
    python benchmarks/cohorts.py --timing

A run draws 400 accounts that start over four years, churn by a smooth hazard or by one of which
73 % lies in bumps before each renewal, and are measured at a rate of 0.9 a year. Run r of world w
uses the seed (seed, number of w, r), so that any run can be had alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leadsignal.cohorts.covariates import columns_of, propensity
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.followed import (
    Followed,
    follow_from_landmark,
    follow_in_time,
    follow_naively,
)
from leadsignal.cohorts.measures import groups_of, hazard_ratio
from leadsignal.cohorts.numbers import Influenced
from leadsignal.cohorts.trial import clone_and_weight
from leadsignal.survival import logrank

LANDMARK, HORIZON, LONGEST = 90, 730, 1460
DAYS = np.arange(1, LONGEST + 1)


def smooth() -> np.ndarray:
    """Hazard a day, falling slowly with tenure: 26 % a year at the start."""
    return 0.30 / 365.25 / (1 + 0.25 * DAYS / 365.25)


def renewal_peaked() -> np.ndarray:
    """Hazard a day of which 73 % lies in the week before each yearly renewal."""
    even = smooth()
    near = (DAYS % 365 >= 358) | (DAYS % 365 == 0)
    return np.where(near, even * 0.73 * 365 / 8, even * 0.27)


@dataclass(frozen=True)
class World:
    """A law: the hazard, the log hazard ratio of the event, how a covariate confounds."""

    name: str
    hazard: np.ndarray
    effect: float = 0.0
    confounding: float = 0.0

    def ends(self, event: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the day of each account's end, infinite beyond the last day of the law."""
        total = np.concatenate(([0.0], np.cumsum(self.hazard)))
        level, ratio = np.exp(-self.confounding * x), np.exp(self.effect)
        drawn = rng.exponential(size=len(event)) / level
        before = total[np.minimum(event, LONGEST).astype(int)]
        drawn = np.where(drawn <= before, drawn, before + (drawn - before) / ratio)
        day = np.searchsorted(total, drawn, side="left").astype(float)
        return np.where(day > LONGEST, np.inf, day)

    def accounts(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return covariate, day of the event, day of the end, day of censoring."""
        x = rng.normal(size=n)
        rate = 0.9 / 365.25 * np.exp(self.confounding * x)
        event = np.ceil(rng.exponential(size=n) / rate)
        return x, event, self.ends(event, x, rng), rng.integers(60, LONGEST, n).astype(float)

    def cohorts(self, n: int, rng: np.random.Generator) -> DatedCohorts:
        """Draw accounts as a company would see them."""
        x, event, end, last = self.accounts(n, rng)
        changes = (np.arange(n), event, np.ones(n))
        return DatedCohorts.from_changes(
            "measured", ("unmeasured", "measured"), np.arange(n), np.minimum(end, last),
            (end <= last) * CHURN, changes, covariates={"size": x},
        )  # fmt: skip


WORLDS = (
    World("no_effect-smooth", smooth()),
    World("no_effect-renewal", renewal_peaked()),
    World("effect-smooth", smooth(), effect=-0.7),
    World("effect-renewal", renewal_peaked(), effect=-0.7),
    World("confounded-smooth", smooth(), confounding=0.6),
)


def truth(world: World, seed: int = 1, n: int = 4_000_000) -> dict[str, float]:
    """Return what each estimator aims at, from drawing its groups without any censoring.

    The trial's arm "by day 90" draws its event from the law's density up to then.
    """
    rng = np.random.default_rng(seed)
    known = {"time_dependent": world.effect, "landmark": 0.0, "target_trial": 0.0}
    if world.effect == 0:
        return known
    _, event, end, _ = world.accounts(n, rng)
    there = np.minimum(end[end > LANDMARK], HORIZON) - LANDMARK
    early = event[end > LANDMARK] <= LANDMARK
    known["landmark"] = float(there[early].mean() - there[~early].mean())
    rate, x = 0.9 / 365.25, np.zeros(n)
    by_then = -np.expm1(-rate * LANDMARK)
    first = np.ceil(-np.log1p(-rng.uniform(size=n) * by_then) / rate)
    later = LANDMARK + np.ceil(rng.exponential(size=n) / rate)
    arms = [np.minimum(world.ends(e, x, rng), HORIZON).mean() for e in (first, later)]
    known["target_trial"] = float(arms[0] - arms[1])
    return known


def weighted(followed: Followed, X: np.ndarray) -> Followed:
    """Weight both groups to the accounts of both together."""
    treated = followed.group == 1
    p = propensity(X[followed.account], treated)
    return followed.weighted(np.where(treated, 1 / p, 1 / (1 - p)))


Interval = tuple[float, float, float]


def interval(value: Influenced) -> Interval:
    """Return estimate and limits."""
    number = value.number()
    return number.estimate, number.low, number.high


def one_run(world: World, seed: tuple[int, ...], n: int = 400) -> dict[str, Interval]:
    """Return estimate and interval of every estimator, and the p-value of the log-rank."""
    cohorts = world.cohorts(n, np.random.default_rng(seed))
    follow = {
        "naive": follow_naively(cohorts),
        "time_dependent": follow_in_time(cohorts),
        "landmark": follow_from_landmark(cohorts, LANDMARK),
        "target_trial": clone_and_weight(cohorts, 1, LANDMARK)[0],
    }
    X = columns_of(cohorts.covariates)[0] if world.confounding else None
    found: dict[str, Interval] = {}
    for name in ("naive", "time_dependent"):
        ratio, _ = hazard_ratio(follow[name], cohorts, 1)
        found[f"{name} log HR"] = interval(ratio)
    if X is not None:
        ratio, _ = hazard_ratio(follow["time_dependent"], cohorts, 1, X)
        found["time_dependent log HR, adjusted"] = interval(ratio)
        follow["landmark, adjusted"] = weighted(follow["landmark"], X)
        follow["target_trial, adjusted"] = clone_and_weight(cohorts, 1, LANDMARK, X)[0]
    for name, rows in follow.items():
        if name != "time_dependent":
            days = groups_of(rows, cohorts, 1).mean_days(HORIZON)
            found[f"{name} mean days"] = interval(days[1] - days[0])
    rows = follow["time_dependent"]
    test = logrank(rows.stop, rows.cause == CHURN, rows.group, start=rows.start)
    found["log-rank"] = test.p, 0.0, 0.0
    return found


def table(world: World, seed: int, runs: int) -> list[tuple[str, float, float, float, int]]:
    """Return a line an estimator: coverage, bias in its own deviations, truth, runs."""
    known, number = truth(world), WORLDS.index(world)
    drawn: dict[str, list[Interval]] = defaultdict(list)
    for run in range(runs):
        for name, held in one_run(world, (seed, number, run)).items():
            drawn[name].append(held)
        if run % 500 == 499:
            print(f"{world.name}: {run + 1} runs", file=sys.stderr, flush=True)
    lines = []
    for name, intervals in drawn.items():
        value, low, high = np.array(intervals).T
        if name == "log-rank":
            lines.append((name, float((value < 0.05).mean()), np.nan, np.nan, runs))
            continue
        aim = known.get(name.split(" ")[0].rstrip(","), known["target_trial"])
        if name == "naive log HR":
            aim = world.effect
        covers = (low <= aim) & (aim <= high)
        lines.append((name, float(covers.mean()), float((value.mean() - aim) / value.std()),
                      aim, runs))  # fmt: skip
    return lines


def coverage(seed: int, runs: int, only: str | None) -> None:
    print("| world | estimator | coverage (log-rank: share p < 0.05) | bias/SD | truth | runs |")
    print("|---|---|---|---|---|---|")
    for world in WORLDS:
        if only in (None, world.name):
            for name, share, bias, aim, done in table(world, seed, runs):
                print(f"| {world.name} | {name} | {share:.3f} | {bias:+.3f} | {aim:.4g} | {done} |",
                      flush=True)  # fmt: skip


def reps(seed: int, runs: int) -> None:
    """Reps without differences: do the intervals of shrunken rates hold 1?"""
    from leadsignal.cohorts.small_groups import shrink

    covered, total, better = 0, 0, 0.0
    for run in range(runs):
        rng = np.random.default_rng((seed, 99, run))
        expected = rng.gamma(2.0, 3.0, 15)
        ended = rng.poisson(expected)
        groups = shrink([f"rep {k}" for k in range(15)], ended, expected)
        covered += sum(row.low <= 1 <= row.high for row in groups)
        better += sum(row.better > 0.95 or row.better < 0.05 for row in groups)
        total += 15
    print(f"reps without differences, {runs} runs of 15: intervals of shrunken rates cover "
          f"{covered / total:.3f}; called better or worse with 95 %: {better / total:.3f}")  # fmt: skip


def timing(accounts: int = 100_000) -> None:
    """Time all ready comparisons of a large business, without the bootstrap."""
    import leadsignal as ls

    folder = Path("/tmp") / f"cohorts-{accounts}"
    tables, analysis = many_accounts(accounts), None
    began = time.perf_counter()
    overview = ls.compare_all(ls.read_tables(tables, attributes=["segment"]), analysis)
    print(overview)
    print(f"{accounts:,} accounts: {time.perf_counter() - began:.1f} s, {folder.name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--timing", action="store_true")
    given = parser.parse_args()
    if given.timing:
        timing()
    else:
        coverage(given.seed, given.runs, given.only)
        reps(given.seed, 400)
