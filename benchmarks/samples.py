"""Bias, standard errors and coverage of samples of customers, compared with all customers.

    python benchmarks/samples.py [--businesses 100] [--accounts 700] [--share 0.3]
        [--only cohorts | panels] [--world WORLD] [--keep FILE]

Each simulated business is analysed with all customers, and with a sample of all churned customers
and a share of the others. For each estimate, ``apart`` is (sample - full) / standard error of the
sample, averaged over the businesses. ``holds full`` is the share of intervals, with only the error
that sampling adds, that contain the full value; that error comes from the influence of each account
for cohorts, and is the sample's squared error minus the full one for audit and backtest. ``holds
truth`` is the share of the printed intervals that contain the truth, next to that of the intervals
with all customers. For cohorts the truth is that of the simulation; for audit and backtest it is
the mean of the full values of all businesses of a world.

The models of a backtest are fitted on the sample, or on all customers.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LEADSIGNAL_THREADS": "1"})

import argparse
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent))
import cohort_coverage as law
import leadsignal as ls
from leadsignal.cohorts.covariates import columns_of
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.measures import groups_of, hazard_ratio
from leadsignal.cohorts.risk_intervals import follow_from_landmark, follow_in_time
from leadsignal.cohorts.trial import clone_and_weight
from leadsignal.config.project import read_project
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.panel import Panel
from leadsignal.stats.estimates import ClusteredEstimate

Number = tuple[float, float, float, float, float]
"""Value, error, limits of the interval, and the error that sampling adds (NaN: not known)."""
RARER = 3
"""How many times fewer leave than in the worlds of benchmarks/cohort_coverage.py."""
ORIGINS, HORIZON = 2, 180
METHODS = ("usage", "leading")


# Cohorts --------------------------------------------------------------------------------------


def cohort_worlds() -> dict[str, law.World]:
    """Return the laws of the cohorts, with fewer churns."""
    named = {world.name: world for world in law.WORLDS}
    chosen = ("no_effect-renewal", "effect-smooth", "confounded-smooth")
    return {name: replace(named[name], hazard=named[name].hazard / RARER) for name in chosen}


def sampled(cohorts: DatedCohorts, share: float, rng: np.random.Generator) -> DatedCohorts:
    """Draw all that churned and a share of the others."""
    churned = cohorts.cause == CHURN
    kept = np.flatnonzero(churned | (rng.random(len(cohorts)) < share))
    part = replace(cohorts, weight=np.where(churned, 1.0, 1 / share)).chosen(kept)
    return replace(part, cluster=np.arange(len(kept)))


def of_cohorts(cohorts: DatedCohorts, adjusted: bool) -> Iterator[tuple[str, Number]]:
    """Yield the corrected numbers of a comparison."""
    X = columns_of(cohorts.covariates, cohorts.weight)[0] if adjusted else None
    rows = follow_in_time(cohorts)
    ratio, _ = hazard_ratio(rows, cohorts, 1, None if X is None else X[rows.account])
    yield "time-dependent log hazard ratio", _number(ratio, cohorts)
    trial = clone_and_weight(cohorts, 1, law.LANDMARK, X)[0]
    for name, intervals in (
        ("landmark", None if adjusted else follow_from_landmark(cohorts, law.LANDMARK)),
        ("target trial", trial),
    ):
        if intervals is not None:
            days = groups_of(intervals, cohorts, 1).mean_days(law.HORIZON)
            yield f"{name}, difference in mean days", _number(days[1] - days[0], cohorts)


def _number(estimate: ClusteredEstimate, cohorts: DatedCohorts) -> Number:
    """Return an estimate and its errors; accounts are clusters, drawn with chance 1 / weight."""
    limits = estimate.estimate()
    added = float(np.sqrt((1 - 1 / cohorts.weights) @ estimate.influence**2))
    return estimate.value, estimate.std_err, limits.low, limits.high, added


def cohort_business(name: str, seed: int, accounts: int, share: float) -> dict[str, Any]:
    """Return the numbers of one business, in full and from a sample."""
    world = cohort_worlds()[name]
    rng = np.random.default_rng((seed, 77))
    full = world.cohorts(accounts, rng)
    part, adjusted = sampled(full, share, rng), world.confounding > 0
    of_part = dict(of_cohorts(part, adjusted))
    return {key: (value, of_part[key]) for key, value in of_cohorts(full, adjusted)}


def cohort_truth(name: str) -> dict[str, float]:
    """Return what the numbers of a law aim at."""
    found = law.truth(cohort_worlds()[name])
    return {
        "time-dependent log hazard ratio": found["time_dependent"],
        "landmark, difference in mean days": found["landmark"],
        "target trial, difference in mean days": found["target_trial"],
    }


# Audit and backtest -----------------------------------------------------------------------------


def plain_tables(accounts: int, seed: int) -> dict[str, pd.DataFrame]:
    """Draw a business by another law than the simulator's: a health that drifts for each customer.

    Customers have one to three accounts with a health in common. It drifts from month to month;
    events and usage follow it at once, churn three months later.
    """
    rng = np.random.default_rng((seed, 5))
    months, first = 36, pd.Timestamp("2021-01-01")
    customer = np.repeat(np.arange(accounts), rng.choice([1, 2, 3], accounts, p=[0.8, 0.15, 0.05]))
    customer = customer[:accounts]
    health = np.zeros((accounts, months))
    health[:, 0] = rng.normal(0, 0.8, accounts)
    for month in range(1, months):
        health[:, month] = 0.95 * health[:, month - 1] + rng.normal(0, 0.25, accounts)
    mine = health[customer] + rng.normal(0, 0.3, (len(customer), 1))
    begins = rng.integers(0, 24, len(customer))
    large = rng.random(len(customer)) < 0.4
    rows, events, usage = [], [], []
    for place in range(len(customer)):
        ended = None
        day = first + pd.DateOffset(months=int(begins[place])) + pd.Timedelta(days=place % 27)
        for month in range(begins[place], months):
            since, now = month - begins[place], first + pd.DateOffset(months=month)
            earlier = mine[place, max(month - 3, begins[place])]
            hazard = 0.012 * np.exp(-1.1 * earlier - 0.5 * large[place])
            hazard *= 2.5 if since % 12 == 11 else 1.0
            if since > 1 and rng.random() < hazard:
                ended = now + pd.Timedelta(days=int(rng.integers(1, 28)))
            stop = min(now + pd.Timedelta(days=28), ended or pd.Timestamp.max)
            when = [now + pd.Timedelta(days=d) for d in rng.integers(0, 28, rng.poisson(
                2.5 * np.exp(0.6 * mine[place, month])))]  # fmt: skip
            name = f"a{place:05d}"
            events += [
                (name, d, rng.choice(["exported", "shared"])) for d in when if day < d < stop
            ]
            if day < now < stop:
                usage.append(
                    (name, now, float(np.exp(0.4 * mine[place, month] + rng.normal(0, 0.3))))
                )
            if ended is not None:
                break
        rows.append((f"a{place:05d}", f"c{customer[place]:05d}", day, ended,
                     "large" if large[place] else "small", 12))  # fmt: skip
    account = pd.DataFrame(rows, columns=["account_id", "customer_id", "started_on", "ended_on",
                                          "segment", "term_months"])  # fmt: skip
    return {
        "accounts": account.assign(ended_on=pd.to_datetime(account["ended_on"])),
        "behaviors": pd.DataFrame(events, columns=["account_id", "occurred_at", "behavior"]),
        "usage": pd.DataFrame(usage, columns=["account_id", "used_on", "amount"]),
    }


def business(world: str, seed: int, accounts: int) -> tuple[ls.Tables, ls.SuccessAnalysis]:
    """Return the tables of a business of the simulator, or of `plain_tables`."""
    if world == "drifting health":
        frames = plain_tables(accounts, seed)
        return ls.read_tables(frames, as_of="2024-01-01", attributes=["segment"]), EMPTY
    simulated = ls.simulate(accounts, seed=seed, days=1095, world=world)
    with TemporaryDirectory() as folder:
        Path(folder, "success.toml").write_text(simulated.analysis_toml, encoding="utf-8")
        Path(folder, "leadsignal.toml").write_text(simulated.project_toml, encoding="utf-8")
        filled = {name: table for name, table in simulated.tables.items() if len(table)}
        tables = ls.read_tables(filled, project=read_project(folder))
    return tables, ls.SuccessAnalysis.from_toml(simulated.analysis_toml)


EMPTY = ls.SuccessAnalysis(())
PANEL_WORLDS = ("leading", "drifting health")


def panel_business(world: str, seed: int, accounts: int, share: float) -> dict[str, Any]:
    """Return the figures of audit and backtest of one business, in full and from a sample."""
    tables, analysis = business(world, seed, accounts)
    full = ls.build_panel(tables, analysis, every="28d")
    full = full.narrowed([*full.names(role="context"), *_some(full)])
    part = panel_of(full, tables.sample_accounts(share, keep_churned=True, seed=seed))
    found: dict[str, Any] = {}
    audits = [dict(of_audit(ls.audit_indicators(one, resamples=200))) for one in (full, part)]
    found |= {key: (audits[0][key], audits[1][key]) for key in audits[0] if key in audits[1]}
    tests = [dict(of_backtest(one)) for one in (full, part)]
    return found | {key: (tests[0][key], tests[1][key]) for key in tests[0] if key in tests[1]}


def _some(panel: Panel) -> list[str]:
    """Return usage, which is a method, and some of the other indicators."""
    names = [one.name for one in panel.indicators if one.role != "context"]
    return [*(name for name in names if name.startswith("usage")), *names[:: len(names) // 20 or 1]]


def panel_of(full: Panel, sample: ls.Tables) -> Panel:
    """Return the panel of a sample, which has the rows of its accounts (tests/test_samples.py)."""
    if sample.sample is None:
        raise ValueError("tables without weights are no sample")
    weight = sample.sample.weight_of(full.frame["account_id"])
    frame = full.frame.assign(**{SAMPLE_WEIGHT: weight})[np.isfinite(weight)]
    return replace(full, frame=frame.reset_index(drop=True), sample=sample.sample)


def of_audit(audit: ls.Audit) -> Iterator[tuple[str, Number]]:
    """Yield the AUC of each indicator at the warning time."""
    frame = audit.frame
    columns = [frame[name].to_numpy(dtype=float) for name in ("ends", "auc", "low", "high")]
    for name, ends, auc, low, high in zip(frame["name"], *columns, strict=True):
        if ends >= 20 and 0 < low < high < 1:
            error = (high - low) / 2 / norm.ppf(0.975)
            yield f"audit: {name}", (auc, error, low, high, np.nan)


def of_backtest(panel: Panel) -> Iterator[tuple[str, Number]]:
    """Yield the figures that have an interval."""
    result = ls.run_backtest(
        panel, horizon=HORIZON, methods=METHODS, estimator="logistic", origins=ORIGINS
    )
    for method, one in result.methods.items():
        for title, key, logit in (
            ("AUC", "auc", True), ("recall ahead", "recall_ahead", True),
            ("Brier score", "brier", False), ("calibration slope", "calibration_slope", False),
        ):  # fmt: skip
            value, low, high = (getattr(one, key + end) for end in ("", "_low", "_high"))
            if value == value and low == low and high > low:
                error = _error(value, low, high, logit)
                yield f"backtest: {method} {title}", (value, error, low, high, np.nan)


def _error(value: float, low: float, high: float, logit: bool) -> float:
    """Return the standard error of an interval, which may be symmetric on the logit scale."""
    z = 2 * norm.ppf(0.975)
    if not logit or not 0 < low < high < 1:
        return float((high - low) / z)
    wide = np.log(high / (1 - high)) - np.log(low / (1 - low))
    return float(wide / z * value * (1 - value))


# All businesses ---------------------------------------------------------------------------------


def summary(found: list[dict[str, Any]], truth: dict[str, float] | None) -> pd.DataFrame:
    """Return one row a number (audit: all indicators together): bias, errors and coverage."""
    by_name: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    pairs: dict[str, list[tuple[Number, Number]]] = defaultdict(list)
    for one in found:
        for name, (full, part) in one.items():
            pairs[name].append((full, part))
    for name, values in pairs.items():
        if truth is None and name.startswith("audit") and len(values) < len(found) / 2:
            continue  # an indicator that is seldom known
        true = truth[name] if truth else float(np.mean([full[0] for full, _ in values]))
        group = "audit: AUC 90 days before" if name.startswith("audit") else name
        for (whole, error, lowest, highest, _), (value, wide, low, high, design) in values:
            added = np.sqrt(max(wide**2 - error**2, 0)) if np.isnan(design) else design
            apart = value - whole
            by_name[group].append(
                (apart / wide, wide / error, apart**2, added**2,
                 abs(apart) <= norm.ppf(0.975) * added, low <= true <= high,
                 lowest <= true <= highest)
            )  # fmt: skip
    rows = []
    for name, lines in by_name.items():
        z, ratio, away, added, full, true, own = np.array(lines, dtype=float).T
        rows.append((name, len(lines), z.mean(), z.std(ddof=1) / np.sqrt(len(z)), ratio.mean(),
                     np.sqrt(away.mean() / max(added.mean(), 1e-12)), full.mean(), true.mean(),
                     own.mean()))  # fmt: skip
    return pd.DataFrame(rows, columns=["number", "count", "apart", "apart_error", "error_ratio",
                                       "moved_over_added", "holds_full", "holds_truth",
                                       "full_holds_truth"])  # fmt: skip


def printed(world: str, table: pd.DataFrame) -> None:
    for row in table.itertuples():
        print(
            f"| {world} | {row.number} | {row.count} | {row.apart:+.3f} ± {row.apart_error:.3f} |"
            f" {row.error_ratio:.2f} | {row.moved_over_added:.2f} | {row.holds_full:.3f} |"
            f" {row.holds_truth:.3f} | {row.full_holds_truth:.3f} |",
            flush=True,
        )


HEAD = """\
| world | number | values | apart | error: sample / full | moved / added | holds full |\
 holds truth | full holds truth |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--businesses", type=int, default=100)
    parser.add_argument("--accounts", type=int, default=700)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--only", choices=("cohorts", "panels"))
    parser.add_argument("--world")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(HEAD)
    kinds = {"cohorts": (cohort_business, tuple(cohort_worlds()), 2000),
             "panels": (panel_business, PANEL_WORLDS, options.accounts)}  # fmt: skip
    for kind, (make, worlds, accounts) in kinds.items():
        if options.only not in (None, kind):
            continue
        for world in worlds:
            if options.world not in (None, world):
                continue
            found = []
            for seed in range(options.businesses):
                try:
                    found.append(make(world, seed, accounts, options.share))
                except ls.ModelError as error:
                    print(f"{world}, {seed}: {error}", file=sys.stderr)
                    continue
                if options.keep:
                    with options.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([world, seed, found[-1]]) + "\n")
            printed(world, summary(found, cohort_truth(world) if kind == "cohorts" else None))


if __name__ == "__main__":
    main()
