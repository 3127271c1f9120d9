"""Bias, standard errors and coverage of samples of customers, compared with all customers.

    python benchmarks/samples.py [--businesses 100] [--first 0] [--accounts 500] [--share 0.3]
        [--only cohorts | panels] [--world WORLD] [--keep FILE]

Each simulated business is analysed with all customers, and with a sample of all churned customers
and a share of the others. ``apart`` is the mean of sample - full, over the root mean square of the
standard errors of samples. ``moved / added`` compares sample - full with the error that sampling
adds, and ``holds full`` is the share of intervals with that error only that contain the full value;
it follows from the influence of each account, which is at hand for cohorts only. ``holds truth`` is
the share of the printed intervals that contain the truth, next to that of the intervals with all
customers, and ``bias`` the mean distance from the truth, in standard errors.

For cohorts the truth is that of the simulation, for audit and hazard ratios the mean of the full
values of all businesses of a world. For a figure of a backtest it is the figure of the same models
for 5,000 new accounts of the same world: what an interval says that takes the models as given.
"Same models" are those of all customers, evaluated for the sample; "own models" of a sample are
fitted to it.

FILE keeps what was found, so that a run can be continued.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LEADSIGNAL_THREADS": "1"})

import argparse
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent))
import cohort_coverage as law
import leadsignal as ls
from leadsignal.cohorts.contrasts import groups_of, hazard_ratio
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import columns_of, follow_from_landmark, follow_in_time
from leadsignal.cohorts.trial import clone_and_weight
from leadsignal.config.project import read_project
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.evaluation.evaluation_rows import MethodEvaluation, calibrate, measure
from leadsignal.evaluation.methods import Ranked, cut_offs, fitted, models_to_fit, rules
from leadsignal.evaluation.past_rows import (
    EvaluableChurns,
    EvaluationRows,
    churns_to_evaluate,
    rows_to_evaluate,
)
from leadsignal.panel import Panel
from leadsignal.stats import ClusteredEstimate

Number = tuple[float, float, float, float, float]
"""Value, error, limits of the interval, and the error that sampling adds (NaN: not known)."""
RARER = 3
"""How many times fewer leave than in the worlds of benchmarks/cohort_coverage.py."""
ORIGINS, HORIZON = 2, 180
METHODS = ("usage", "leading")
CAPACITY = 0.1
NEW = 5_000
"""Accounts of the new customers whose outcomes give the truth of a backtest."""
FIGURES = (
    ("AUC", "auc", True),
    ("recall ahead", "recall_ahead", True),
    ("Brier score", "brier", False),
    ("calibration slope", "calibration_slope", False),
)


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
    each = np.sum(~churned) / np.sum(~churned[kept])
    part = replace(cohorts, weight=np.where(churned, 1.0, each)).chosen(kept)
    return replace(part, cluster=np.arange(len(kept)))


def of_cohorts(cohorts: DatedCohorts, adjusted: bool) -> Iterator[tuple[str, Number]]:
    """Yield the corrected numbers of a comparison."""
    X = columns_of(cohorts.covariates, cohorts.weight) if adjusted else None
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
    """Return the figures of audit and backtest of one business, in full and from a sample.

    A figure of a backtest comes with its truth: that of the same models for many new customers.
    """
    tables, analysis = business(world, seed, accounts)
    full = panel_for(world, tables, analysis)
    part = panel_of(full, tables.sample_accounts(share, keep_churned=True, seed=seed))
    found: dict[str, Any] = {}
    for of in (of_audit, of_ratios):
        whole, sample = (dict(of(one)) for one in (full, part))
        found |= {key: (whole[key], sample[key]) for key in whole if key in sample}
    return found | of_backtests(world, full, part)


def panel_for(world: str, tables: ls.Tables, analysis: ls.SuccessAnalysis) -> Panel:
    """Return a panel with the indicators of the panel of new customers."""
    names = set(new_customers(world).names())
    panel = ls.build_panel(tables, analysis, every="28d")
    return panel.narrowed([name for name in panel.names() if name in names])


@cache
def new_customers(world: str) -> Panel:
    """Return the panel of a business of many accounts, with context, usage and some others."""
    panel = ls.build_panel(*business(world, 1_000_000, NEW), every="28d")
    return panel.narrowed([*panel.names(role="context"), *_some(panel)])


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


def of_audit(panel: Panel) -> Iterator[tuple[str, Number]]:
    """Yield the AUC of each indicator at the warning time."""
    frame = ls.audit_indicators(panel).frame
    columns = [frame[name].to_numpy(dtype=float) for name in ("ends", "auc", "low", "high")]
    for name, ends, auc, low, high in zip(frame["name"], *columns, strict=True):
        if ends >= 20 and 0 < low < high < 1:
            error = (high - low) / 2 / norm.ppf(0.975)
            yield f"audit: {name}", (auc, error, low, high, np.nan)


def of_ratios(panel: Panel) -> Iterator[tuple[str, Number]]:
    """Yield the logarithms of hazard ratios of segment, usage, and three other indicators."""
    others = [name for name in _some(panel) if not name.startswith("usage")][:3]
    wanted = ["segment", "usage_to_best", "usage_amount", *others]
    chosen = [name for name in wanted if name in panel.names()]
    table = ls.model.hazard_ratios(panel, indicators=chosen, over_tenure=False).table
    columns = [table[name].to_numpy(dtype=float) for name in ("coef", "se(coef)")]
    for name, coef, error in zip(table.index, *columns, strict=True):
        margin = norm.ppf(0.975) * error
        yield f"hazard ratio: {name}", (coef, error, coef - margin, coef + margin, np.nan)


@dataclass(frozen=True)
class Replay:
    """What a backtest evaluates: rows, churns, and the risks of each method."""

    rows: EvaluationRows
    churns: EvaluableChurns
    ranked: dict[str, Ranked]

    @classmethod
    def of(cls, panel: Panel, cuts: list[date], models: Mapping[str, Any]) -> Replay:
        """Rank the rows of a panel by models that may be fitted to another panel."""
        rows = rows_to_evaluate(panel, cuts[0], HORIZON)
        churns = churns_to_evaluate(rows, panel, ls.churn_events(panel))
        ranked = [*rules(rows, ["usage"], 0), *fitted(rows, cuts, models, None)]
        return cls(rows, churns, {one.name: one for one in ranked})

    def with_risks_of(self, whole: Replay) -> Replay:
        """Return the replay with the models of all customers, of which these are a sample."""
        keys = [pd.MultiIndex.from_frame(one.rows.rows[["account_id", "snapshot_on"]])
                for one in (whole, self)]  # fmt: skip
        place = keys[0].get_indexer(keys[1])
        ranked = {name: replace(one, risk=one.risk[place]) for name, one in whole.ranked.items()}
        return replace(self, ranked=ranked)

    def figures(self) -> dict[str, Number]:
        """Return the figures that have an interval."""
        found = {}
        for name, ranked in self.ranked.items():
            one = MethodEvaluation.of(ranked, self.rows, self.churns, CAPACITY)
            slope = calibrate(one, self.rows) if ranked.is_probability else None
            result = measure(one, self.rows, self.churns, slope)
            for title, key, logit in FIGURES:
                value, low, high = (getattr(result, key + end) for end in ("", "_low", "_high"))
                if high > low:
                    error = _error(value, low, high, logit)
                    found[f"{name} {title}"] = value, error, low, high, np.nan
        return found


def of_backtests(world: str, full: Panel, part: Panel) -> dict[str, Any]:
    """Return figures in full and from a sample, with the truth of each.

    "Same models" are those of all customers, evaluated for a sample; other models of a sample are
    fitted to it.
    """
    like, cuts = (
        ls.ChurnModel(f"{HORIZON}d", estimator="logistic"),
        cut_offs(full, HORIZON, ORIGINS),
    )
    models = [models_to_fit(one, METHODS, like, None).models for one in (full, part)]
    whole, own = (
        Replay.of(one, cuts, fits) for one, fits in zip((full, part), models, strict=True)
    )
    new = [Replay.of(new_customers(world), cuts, fits).figures() for fits in models]
    in_full, fixed, refitted = (one.figures() for one in (whole, own.with_risks_of(whole), own))
    found: dict[str, Any] = {}
    for name in in_full.keys() & fixed.keys() & refitted.keys() & new[0].keys() & new[1].keys():
        truths = [one[name][0] for one in new]
        kind = "" if name.startswith("usage") else ", same models"
        found[f"backtest: {name}{kind}"] = in_full[name], fixed[name], truths[0], truths[0]
        if kind:
            found[f"backtest: {name}, own models"] = in_full[name], refitted[name], *truths
    return found


def _error(value: float, low: float, high: float, logit: bool) -> float:
    """Return the standard error of an interval, which may be symmetric on the logit scale."""
    z = 2 * norm.ppf(0.975)
    if not logit or not 0 < low < high < 1:
        return float((high - low) / z)
    wide = np.log(high / (1 - high)) - np.log(low / (1 - low))
    return float(wide / z * value * (1 - value))


# All businesses ---------------------------------------------------------------------------------


def summary(found: list[dict[str, Any]], truth: dict[str, float] | None) -> pd.DataFrame:
    """Return one row a number (all indicators together): bias, errors and coverage."""
    by_name: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    pairs: dict[str, list[Any]] = defaultdict(list)
    for one in found:
        for name, values in one.items():
            pairs[name].append(values)
    for name, all_values in pairs.items():
        of = name.split(":")[0]
        if of in POOLED and len(all_values) < len(found) / 2:
            continue  # an indicator that is seldom known
        mean = float(np.mean([values[0][0] for values in all_values]))
        for full, part, *own in all_values:
            true = tuple(own) if own else (mean if truth is None else truth[name],) * 2
            by_name[POOLED.get(of, name)].append(_compared(full, part, true))
    rows = []
    for name, lines in by_name.items():
        apart, wide, error, added, ahead, full_ahead, *inside = np.array(lines, dtype=float).T
        typical = np.sqrt((wide**2).mean())
        rows.append((
            name, len(lines), apart.mean() / typical,
            apart.std(ddof=1) / np.sqrt(len(lines)) / typical, (wide / error).mean(),
            np.sqrt((apart**2).mean() / np.maximum((added**2).mean(), 1e-12)),
            *np.mean(inside, axis=1),
            ahead.mean() / typical, full_ahead.mean() / np.sqrt((error**2).mean()),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


POOLED = {"audit": "audit: AUC 90 days before", "hazard ratio": "log hazard ratios"}
COLUMNS = ["number", "count", "apart", "apart_error", "error_ratio", "moved_over_added",
           "holds_full", "holds_truth", "full_holds_truth", "bias", "full_bias"]  # fmt: skip


def _compared(full: Number, part: Number, true: tuple[float, float]) -> tuple[float, ...]:
    """Return the distances, errors and whether intervals hold, of one number of one business."""
    (whole, error, lowest, highest, _), (value, wide, low, high, design) = full, part
    apart = value - whole
    inside = abs(apart) <= norm.ppf(0.975) * design if design == design else np.nan
    return (
        apart, wide, error, design, value - true[1], whole - true[0],
        inside, low <= true[1] <= high, lowest <= true[0] <= highest,
    )  # fmt: skip


def printed(world: str, table: pd.DataFrame) -> None:
    row: Any
    for row in table.itertuples():
        added = [float(cell) for cell in (row.moved_over_added, row.holds_full)]
        cells = [
            world, row.number, row.count, f"{row.apart:+.3f} ± {row.apart_error:.3f}",
            f"{row.error_ratio:.2f}", *("" if np.isnan(cell) else f"{cell:.3f}" for cell in added),
            f"{row.bias:+.2f}", f"{row.holds_truth:.3f}", f"{row.full_bias:+.2f}",
            f"{row.full_holds_truth:.3f}",
        ]  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


HEAD = """\
| world | number | values | apart | error: sample / full | moved / added | holds full |\
 bias | holds truth | bias, in full | full holds truth |
|---|---|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--businesses", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--only", choices=("cohorts", "panels"))
    parser.add_argument("--world")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(HEAD)
    kinds = {"cohorts": (cohort_business, tuple(cohort_worlds()), 2000),
             "panels": (panel_business, PANEL_WORLDS, options.accounts)}  # fmt: skip
    kept = _kept(options.keep)
    for kind, (make, worlds, accounts) in kinds.items():
        if options.only not in (None, kind):
            continue
        for world in worlds:
            if options.world not in (None, world):
                continue
            found = []
            for seed in range(options.first, options.first + options.businesses):
                if (world, seed) not in kept:
                    try:
                        kept[world, seed] = make(world, seed, accounts, options.share)
                    except ls.ModelError as error:
                        print(f"{world}, {seed}: {error}", file=sys.stderr)
                        continue
                    _keep(options.keep, world, seed, kept[world, seed])
                found.append(kept[world, seed])
            printed(world, summary(found, cohort_truth(world) if kind == "cohorts" else None))


def _kept(file: Path | None) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the businesses that an earlier run has kept."""
    if file is None or not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {(world, seed): found for world, seed, found in lines}


def _keep(file: Path | None, world: str, seed: int, found: dict[str, Any]) -> None:
    if file is not None:
        with file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps([world, seed, found]) + "\n")


if __name__ == "__main__":
    main()
