"""Coverage of cohort comparisons with known effects, and the time for many accounts.

    python benchmarks/cohort_coverage.py [--runs 4000] [--seed 0] [--only WORLD]
    python benchmarks/cohort_coverage.py --few [--runs 1000]
    python benchmarks/cohort_coverage.py --timing [100000]

A run simulates 400 accounts that start over four years, churn with a smooth hazard or one of which
73 % is concentrated before each renewal, and are measured at a rate of 0.9 per year. Run r of world
w uses the seed (seed, number of w, r), so that any run can be repeated alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.cohorts.contrasts import groups_of, hazard_ratio
from leadsignal.cohorts.curves import shrink
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import (
    RiskIntervals,
    columns_of,
    follow_from_landmark,
    follow_in_time,
    follow_naively,
    propensity,
)
from leadsignal.cohorts.trial import clone_and_weight
from leadsignal.errors import ModelError
from leadsignal.stats import ClusteredEstimate, Estimate
from leadsignal.survival import logrank

LANDMARK, HORIZON, LONGEST = 90, 730, 1460
DAYS = np.arange(1, LONGEST + 1)


def smooth() -> np.ndarray:
    """Hazard per day that falls slowly with tenure, from 26 % per year at the start."""
    return 0.30 / 365.25 / (1 + 0.25 * DAYS / 365.25)


def renewal_peaked() -> np.ndarray:
    """Hazard per day of which 73 % is in the week before each yearly renewal."""
    even = smooth()
    near = (DAYS % 365 >= 358) | (DAYS % 365 == 0)
    return np.where(near, even * 0.73 * 365 / 8, even * 0.27)


@dataclass(frozen=True)
class World:
    """A simulated world: its hazard, the log hazard ratio of the event, and confounding."""

    name: str
    hazard: np.ndarray
    effect: float = 0.0
    confounding: float = 0.0

    def ends(self, event: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the day of each account's end, infinite beyond the last day simulated."""
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
        """Draw accounts as a company would observe them."""
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


def weighted(followed: RiskIntervals, X: np.ndarray) -> RiskIntervals:
    """Weight both groups to the accounts of both together."""
    treated = followed.group == 1
    p = propensity(X[followed.account], treated)
    return followed.weighted(np.where(treated, 1 / p, 1 / (1 - p)))


Interval = tuple[float, float, float]


def interval(value: ClusteredEstimate) -> Interval:
    """Return estimate and limits."""
    number = value.estimate()
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
    X = columns_of(cohorts.covariates) if world.confounding else None
    found: dict[str, Interval] = {}
    for name in ("naive", "time_dependent"):
        ratio, _ = hazard_ratio(follow[name], cohorts, 1)
        found[f"{name} log HR"] = interval(ratio)
    if X is not None:
        rows = follow["time_dependent"]
        ratio, _ = hazard_ratio(rows, cohorts, 1, X[rows.account])
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
    """Return one line per estimator: coverage, bias / standard deviation, truth, runs."""
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


def troubled(n: int, rng: np.random.Generator) -> tuple[DatedCohorts, DatedCohorts]:
    """Draw accounts that, once in trouble, are measured sooner (six times) and leave sooner (five).

    Measuring does nothing. Returned are the cohorts by measured and by trouble.
    """
    trouble = np.ceil(rng.exponential(60, n))

    def after(calm: float, troubled: float) -> np.ndarray:
        first = np.ceil(rng.exponential(calm, n))
        return np.where(first <= trouble, first, trouble + np.ceil(rng.exponential(troubled, n)))

    event, end = after(900, 150), after(2500, 500)
    last = rng.integers(400, 1200, n).astype(float)

    def dated(name: str, day: np.ndarray) -> DatedCohorts:
        return DatedCohorts.from_changes(
            name, ("no", "yes"), np.arange(n), np.minimum(end, last), (end <= last) * CHURN,
            (np.arange(n), day, np.ones(n)),
        )  # fmt: skip

    return dated("measured", event), dated("trouble", trouble)


def history(seed: int, runs: int) -> None:
    """A time-varying confounder: the trial unadjusted, and with the confounder in its weights."""
    print("| trial, 365 days, 1,000 accounts | coverage | bias/SD | runs |")
    print("|---|---|---|---|")
    found: dict[str, list[Interval]] = {"raw": [], "adjusted for history": []}
    for run in range(runs):
        cohorts, trouble = troubled(1000, np.random.default_rng((seed, 50, run)))
        for name, states in (("raw", ()), ("adjusted for history", (trouble,))):
            rows, _ = clone_and_weight(cohorts, 1, LANDMARK, None, states)
            days = groups_of(rows, cohorts, 1).mean_days(365)
            found[name].append(interval(days[1] - days[0]))
    for name, held in found.items():
        value, low, high = np.array(held).T
        share = ((low <= 0) & (high >= 0)).mean()
        print(f"| {name} | {share:.3f} | {value.mean() / value.std():+.3f} | {runs} |")


def reps(seed: int, runs: int) -> None:
    """Coverage of shrinkage intervals for reps whose true rates differ by a given spread."""
    print("| reps, spread of true rates | shrunken covers | named better or worse at 95 % | runs |")
    print("|---|---|---|---|")
    for number, spread in enumerate((0.0, 0.25, 0.5)):
        covered, named = 0, 0
        for run in range(runs):
            rng = np.random.default_rng((seed, 99 + number, run))
            expected = rng.gamma(2.0, 3.0, 15)
            rates = np.ones(15) if spread == 0 else rng.gamma(1 / spread**2, spread**2, 15)
            groups = shrink([str(k) for k in range(15)], rng.poisson(rates * expected), expected)
            held = zip(groups, rates, strict=True)
            covered += sum(group.low <= true <= group.high for group, true in held)
            named += sum(g.better > 0.95 or g.better < 0.05 for g in groups)
        total = 15 * runs
        print(f"| {spread} | {covered / total:.3f} | {named / total:.3f} | {runs} × 15 |")


FEW = ((200, 0.9), (100, 0.9), (400, 0.1))
"""Accounts, and the share of them that is measured if they stay; a third of the smooth hazard."""


def few_churns(n: int, share: float, rng: np.random.Generator) -> DatedCohorts:
    """Draw a few accounts that rarely leave; measuring is permanent and has no effect."""
    never, law = np.full(n, np.inf), World("few churns", smooth() / 3)
    end, last = law.ends(never, np.zeros(n), rng), rng.integers(60, LONGEST, n).astype(float)
    event = np.where(rng.uniform(size=n) < share, np.ceil(rng.exponential(150, n)), np.inf)
    return DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), np.arange(n), np.minimum(end, last),
        (end <= last) * CHURN, (np.arange(n), event, np.ones(n)),
    )  # fmt: skip


def with_few_churns(
    n: int, share: float, seed: tuple[int, ...], runs: int
) -> list[tuple[int, Estimate]]:
    """Return churns and hazard ratio of each draw that has one: none if all churns are alike."""
    found = []
    for run in range(runs):
        cohorts = few_churns(n, share, np.random.default_rng((*seed, run)))
        with suppress(ModelError):
            ratio, _ = hazard_ratio(follow_in_time(cohorts), cohorts, 1)
            found.append((int((cohorts.cause == CHURN).sum()), ratio.ratio()))
    return found


def few(seed: int, runs: int) -> None:
    """Coverage of the time-dependent hazard ratio with few churns and no effect."""
    print("| accounts | ever measured | churns, median | coverage | runs with a ratio |")
    print("|---|---|---|---|---|")
    for number, (n, share) in enumerate(FEW):
        found = with_few_churns(n, share, (seed, 200 + number), runs)
        covered = np.mean([not ratio.excludes(1.0) for _, ratio in found])
        churns = np.median([churns for churns, _ in found])
        print(f"| {n} | {share:.0%} | {churns:.0f} | {covered:.3f} | {len(found)} |", flush=True)


def many_accounts(n: int, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return the tables of a large business without effects, generated at once."""
    ids = np.char.add("A", np.arange(n).astype(str))
    first = np.datetime64("2020-01-01")
    started = first + rng.integers(0, 1400, n)
    life = WORLDS[0].ends(np.full(n, np.inf), np.zeros(n), rng)
    as_of = first + LONGEST
    ends = started + np.where(np.isfinite(life), life, 9999).astype(int)
    span_of = (np.minimum(ends, as_of) - started).astype(int)

    def table(mean: float, day: str, **columns: object) -> pd.DataFrame:
        account = np.repeat(np.arange(n), rng.poisson(mean, n))
        on = started[account] + (rng.uniform(size=len(account)) * span_of[account]).astype(int)
        made = {name: c(len(on)) if callable(c) else c for name, c in columns.items()}
        frame = pd.DataFrame({"account_id": ids[account], day: on} | made)
        return frame.drop_duplicates(["account_id", day], ignore_index=True)

    def one_of(*values: str) -> object:
        return lambda k: np.array(values)[rng.integers(0, len(values), k)]

    due = table(3, "agreed_on", action="call", owner="vendor")
    due["due_on"] = due["agreed_on"] + pd.Timedelta(days=20)
    taken = np.where(rng.uniform(size=len(due)) < 0.5, 30, 10)
    due["completed_on"] = due["agreed_on"] + pd.to_timedelta(taken, unit="D")
    flags = table(0.4, "flagged_on")
    stood = rng.integers(5, 300, len(flags))
    flags["cleared_on"] = flags["flagged_on"] + pd.to_timedelta(stood, unit="D")
    results = table(5, "measured_on", value=lambda k: rng.normal(size=k), target=0.0)
    results["shown_on"] = results["measured_on"] + pd.Timedelta(days=5)
    accounts = pd.DataFrame({"account_id": ids, "started_on": started})
    accounts["ended_on"] = pd.Series(ends).where(ends < as_of)
    accounts["sales_rep"] = np.char.add("rep ", rng.integers(0, 25, n).astype(str))
    accounts["purchase_reason"] = one_of("close", "audit", "growth")(n)  # type: ignore[operator]
    return {
        "accounts": accounts,
        "results": results,
        "tickets": table(5, "opened_at"),
        "contract_changes": table(0.5, "changed_at", kind=one_of("expansion", "reduction")),
        "plans": table(0.8, "agreed_on", objective="grow"),
        "commitments": due,
        "flags": flags,
        "surveys": table(2, "answered_on", score=lambda k: rng.integers(0, 11, k)),
        "behaviors": table(12, "occurred_at", behavior=one_of("reconciled", "diary_kept")),
    }


ANALYSIS = """
[tracking]
diary = ["diary_kept"]

[[process]]
name = "reconciliation"
behavior = "reconciled"
at_least = 2
within = "90d"
adopt_by = "90d"
"""


def timing(accounts: int) -> None:
    """Time all ready comparisons of a large business, without the bootstrap."""
    frames = many_accounts(accounts, np.random.default_rng(0))
    tables = ls.read_tables(frames, attributes=["sales_rep", "purchase_reason"], as_of="2023-12-30")
    analysis = ls.SuccessAnalysis.from_toml(ANALYSIS)
    began, busy = time.perf_counter(), time.process_time()
    for name in ls.cohorts.comparison_names(tables, analysis):
        start = time.perf_counter()
        ls.compare_cohorts(tables, name, analysis)
        print(f"  {name}: {time.perf_counter() - start:.1f} s", flush=True)
    wall, used = time.perf_counter() - began, time.process_time() - busy
    print(f"{accounts:,} accounts, all comparisons: {wall:.1f} s, {used:.1f} s of processor time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--timing", type=int, nargs="?", const=100_000, metavar="ACCOUNTS")
    parser.add_argument("--few", action="store_true")
    given = parser.parse_args()
    if given.timing:
        timing(given.timing)
    elif given.few:
        few(given.seed, given.runs)
    else:
        coverage(given.seed, given.runs, given.only)
        if given.only is None:
            history(given.seed, min(given.runs, 1000))
            reps(given.seed, min(given.runs, 400))
