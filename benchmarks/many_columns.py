"""The cost of 200 uninformative behaviour columns for a model fitted on few churns.

For each seed: a simulated business, its panel, and the same panel with ten columns for each of 20
behaviours that only follow the activity of the account (events and users in 30, 90 and 180 days,
days since, level, events per user, share of all events): strongly correlated with activity and with
each other, and unrelated to churn given activity. Both are fitted on what was known 540 days before
the end and compared on later rows that were followed for 180 days. Prints both AUCs, the difference
with its 95 % interval (resampled by customer, the same resamples for both), columns and churns.

    python benchmarks/many_columns.py [--seeds 4] [--accounts 400] [--estimator logistic]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.indicators.declare import Fact, Indicator
from leadsignal.stats import auc_of

HORIZON, HELD_OUT, BEHAVIORS, RESAMPLES = 180, 540, 20, 200


def business(seed: int, accounts: int, days: int) -> ls.Panel:
    """Return the panel of a simulated business."""
    simulation = ls.simulate(accounts, seed=seed, days=days)
    with tempfile.TemporaryDirectory() as folder:
        simulation.write(folder)
        tables = ls.read_tables(folder)
        return ls.build_panel(tables, ls.SuccessAnalysis.from_toml(simulation.analysis_toml))


def with_noise(panel: ls.Panel, seed: int) -> ls.Panel:
    """Return the panel with the columns of uninformative behaviours."""
    rng = np.random.default_rng(seed)
    frame = panel.frame.sort_values(["account_id", "snapshot_on"]).reset_index(drop=True)
    activity = frame["activity_events_30d"].astype(float).fillna(0).to_numpy()
    code = pd.factorize(frame["account_id"])[0]
    columns: dict[str, np.ndarray] = {}
    for number in range(BEHAVIORS):
        share = np.exp(rng.normal(-1, 0.7, code.max() + 1))[code]
        events = pd.Series(rng.poisson(activity * share)).astype(float)
        columns |= _columns(f"behavior_{number}", events, code, activity)
    declared = [
        Indicator(name, "behaviors", "leading", "events", name, Fact(name)) for name in columns
    ]
    frame = pd.concat([frame, pd.DataFrame(columns)], axis=1)
    return replace(panel, frame=frame, indicators=(*panel.indicators, *declared))


def _columns(
    name: str, events: pd.Series, code: np.ndarray, activity: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the ten columns of one behaviour from its events between snapshots."""
    by_account = events.groupby(code)
    found = {}
    for days, rows in ((30, 1), (90, 3), (180, 6)):
        total = by_account.rolling(rows, min_periods=1).sum().to_numpy()
        found[f"{name}_events_{days}d"] = total
        found[f"{name}_users_{days}d"] = np.ceil(total**0.6)
    row = np.arange(len(events))
    last = pd.Series(np.where(events > 0, row, np.nan)).groupby(code).ffill().to_numpy()
    half_year = found[f"{name}_events_180d"]
    found[f"{name}_days_since"] = 29.0 * (row - last)
    found[f"{name}_level"] = 6 * events.to_numpy() / np.where(half_year > 0, half_year, np.nan)
    users = found[f"{name}_users_90d"]
    found[f"{name}_per_user"] = found[f"{name}_events_90d"] / np.where(users > 0, users, np.nan)
    found[f"{name}_share"] = events.to_numpy() / np.maximum(activity, 1)
    return found


def rows_to_compare(panel: ls.Panel) -> tuple[ls.Panel, pd.DataFrame]:
    """Return the panel to fit on, and later rows followed for a whole horizon, before notice."""
    end = pd.Timestamp(panel.as_of_date)
    cut, last = (end - pd.Timedelta(days=days) for days in (HELD_OUT, HORIZON))
    frame = panel.frame
    later = (frame["snapshot_on"] >= cut) & (frame["snapshot_on"] <= last)
    return panel.as_of(cut.date()), frame[later & ~frame["notice_given"]]


def cost(
    left: np.ndarray, before: np.ndarray, after: np.ndarray, customer: np.ndarray
) -> tuple[float, float, float]:
    """Return the difference of two AUCs on the same rows, with its interval by customer."""
    rng = np.random.default_rng(0)
    code = pd.factorize(customer)[0]
    groups = [np.flatnonzero(code == one) for one in range(code.max() + 1)]
    differences = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([groups[one] for one in rng.integers(len(groups), size=len(groups))])
        differences.append(_difference(left[rows], before[rows], after[rows]))
    low, high = np.quantile(differences, [0.025, 0.975])
    return _difference(left, before, after), float(low), float(high)


def _difference(left: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    return auc_of(left, after).estimate - auc_of(left, before).estimate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=900)
    parser.add_argument("--accounts", type=int, default=400)
    parser.add_argument("--days", type=int, default=1300)
    parser.add_argument("--estimator", nargs="+", default=["logistic", "boosting", "ensemble"])
    options = parser.parse_args()
    costs: dict[str, list[float]] = {name: [] for name in options.estimator}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        panel = business(seed, options.accounts, options.days)
        noisy = with_noise(panel, seed)
        for name in options.estimator:
            risks = []
            for one in (panel, noisy):
                past, rows = rows_to_compare(one)
                rows = rows.sort_values(["account_id", "snapshot_on"])
                model = ls.ChurnModel(estimator=name).fit(past)
                risks.append(model.predict(rows).risk)
            left = (rows["ended_within"] <= HORIZON).to_numpy(dtype=bool, na_value=False)
            found = cost(left, risks[0], risks[1], rows["customer_id"].to_numpy(str))
            costs[name].append(found[0])
            print(
                f"seed {seed}  {name}: AUC {auc_of(left, risks[0]).estimate:.3f} without,"
                f" {auc_of(left, risks[1]).estimate:.3f} with; difference {found[0]:+.3f}"
                f" ({found[1]:+.3f} to {found[2]:+.3f}); {model.events_} churns,"
                f" {len(model.features_.names)} columns",
                flush=True,
            )
    for name, values in costs.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        print(f"{name}: mean difference {np.mean(values):+.4f}, standard error {error:.4f}")


if __name__ == "__main__":
    main()
