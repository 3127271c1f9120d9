"""How the number of expected churns depends on the weekday of scoring, and on a late feed.

A simulated business in which only the recording depends on the weekday: contracts start and end on
Mondays, and usage is recorded once a week. It is scored on eight consecutive days by one model.
Expected churns are compared with those observed within 180 days, which vary too: all contracts end
on Mondays, so that 25 or 26 days with ends are ahead, and accounts that end on a Monday are gone on
Tuesday. So both are given for all accounts and for those active on all eight days. Then each feed
of the sample is late by 3, 7 and 14 days.

    python benchmarks/weekday.py [--seeds 5] [--estimator ensemble] [--every 29d] [--no-feeds]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.ingestion.feed_health import FeedHealth
from leadsignal.model.stacked_model import Estimator
from leadsignal.monitoring.shifts import assess_feeds
from leadsignal.panel import build_snapshot
from leadsignal.schema import BY_NAME

WEEKS, FIRST, HORIZON = 160, pd.Timestamp("2022-01-03"), timedelta(days=180)
LAST = FIRST + pd.Timedelta(weeks=WEEKS)
SCORED = FIRST + pd.Timedelta(weeks=WEEKS - 26)
ANALYSIS = """[bullseye]
objective = "Good reviews"

[[process]]
name = "reviews"
behavior = "review_held"
at_least = 4
by_users = 2
within = "30d"
adopt_by = "90d"
"""
PATTERNS = ("any day", "own weekday", "Mondays", "Thursdays", "monthly")
"""On which day of its week an account's usage of that week is recorded."""


def weekly_business(seed: int, pattern: str = "any day", accounts: int = 900) -> ls.Tables:
    """Return the tables of a business with one usage record a week, less in the last three."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, WEEKS - 30, accounts)
    good = rng.random(accounts) < 0.5
    end = start + np.ceil(rng.exponential(np.where(good, 160, 70))).astype(int) + 4
    names = np.array([f"a{number:04d}" for number in range(accounts)])
    length = np.minimum(end, WEEKS) - start
    owner = np.repeat(np.arange(accounts), length)
    week = start[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
    amount = rng.gamma(20, 1, len(owner)) * np.where(week >= end[owner] - 3, 0.2, 1)
    used = _days(week) + _within_week(rng, pattern, owner)
    if pattern == "monthly":
        used = used.to_period("M").shift(1).to_timestamp()
    usage = pd.DataFrame({"account_id": names[owner], "used_on": used, "amount": amount})
    usage = usage.groupby(["account_id", "used_on"])["amount"].sum().reset_index()
    held = np.repeat(np.arange(len(owner)), rng.poisson(np.where(good, 1.6, 0.4)[owner]))
    behaviors = pd.DataFrame(
        {
            "account_id": names[owner[held]],
            "occurred_at": _days(week[held]) + pd.to_timedelta(rng.integers(0, 7, len(held)), "D"),
            "behavior": "review_held",
            "user_id": [f"u{user}" for user in rng.integers(0, 4, len(held))],
        }
    )
    ended = pd.Series(_days(end)).where(end < WEEKS)
    known = pd.DataFrame({"account_id": names, "started_on": _days(start), "ended_on": ended})
    until = known.set_index("account_id")["ended_on"].fillna(LAST)
    return ls.read_tables(
        {
            "accounts": known,
            "usage": usage[usage["used_on"] < usage["account_id"].map(until)],
            "behaviors": behaviors[behaviors["occurred_at"] < behaviors["account_id"].map(until)],
        },
        as_of=str(LAST.date()),
    )


def _days(week: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([FIRST]).repeat(len(week)) + pd.to_timedelta(7 * week, unit="D")


def _within_week(rng: np.random.Generator, pattern: str, owner: np.ndarray) -> pd.TimedeltaIndex:
    days = {"own weekday": owner % 7, "Mondays": 0 * owner, "Thursdays": 0 * owner + 3}
    return pd.to_timedelta(days.get(pattern, rng.integers(0, 7, len(owner))), unit="D")


def fitted(tables: ls.Tables, estimator: Estimator, every: str | None = None) -> ls.ChurnModel:
    """Return a model of what was known half a year before the end."""
    known = tables.as_of(str(SCORED.date()))
    panel = ls.build_panel(known, ls.SuccessAnalysis.from_toml(ANALYSIS), every=every)
    return ls.ChurnModel(horizon=f"{HORIZON.days}d", estimator=estimator).fit(panel)


def eight_days(model: ls.ChurnModel, tables: ls.Tables) -> pd.DataFrame:
    """Return risks of each account (rows) on each of eight consecutive days (columns)."""
    risks = {}
    for back in range(7, -1, -1):
        day = SCORED - timedelta(days=back)
        panel = build_snapshot(tables.as_of(str(day.date())), model.analysis_)
        forecast = model.predict(panel)
        risks[day] = pd.Series(forecast.risk, index=forecast.account_id)
    return pd.DataFrame(risks)


def came(risks: pd.DataFrame, tables: ls.Tables) -> pd.Series:
    """Return how many accounts scored on each day ended within the horizon."""
    ended = tables.frame("accounts").set_index("account_id")["ended_on"]
    within = {
        day: (ended.reindex(risk.dropna().index) <= pd.Timestamp(str(day)) + HORIZON).sum()
        for day, risk in risks.items()
    }
    return pd.Series(within)


def spread(sums: pd.Series) -> float:
    """Return the ratio of the largest value to the smallest, minus 1."""
    return float(sums.max() / sums.min() - 1)


def late_feeds(estimator: Estimator) -> Iterator[tuple[FeedHealth, int, float, bool]]:
    """Yield each feed of the sample, how late it is, by how much the sum changes, if reported."""
    folder = ls.sample_folder()
    tables = ls.read_tables(folder)
    analysis = ls.read_success_analysis(folder / "success.toml")
    model = ls.ChurnModel(estimator=estimator).fit(ls.build_panel(tables, analysis))
    usual = ls.score_accounts(model, tables, effects={}).frame["risk"].sum()
    files = {file.stem: pd.read_csv(file, dtype=str) for file in folder.glob("*.csv")}
    files |= {file.stem: pd.read_parquet(file) for file in folder.glob("*.parquet")}
    for name in [name for name in tables.names if name != "accounts"]:
        for lag in (3, 7, 14):
            until = str(tables.as_of_date - timedelta(days=lag))
            rows = files[name][files[name][BY_NAME[name].time] < until]
            late = ls.read_tables(
                {**files, name: rows}, project=tables.project, as_of=str(tables.as_of_date)
            )
            scores = ls.score_accounts(model, late, effects={})
            told = name in [feed.table for feed in scores.feeds]
            pace = next(pace for pace in assess_feeds(late) if pace.table == name)
            yield pace, lag, float(scores.frame["risk"].sum() / usual - 1), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--estimator", default="ensemble")
    parser.add_argument("--every", help="time between snapshots; default: the library's")
    parser.add_argument("--patterns", default=",".join(PATTERNS))
    parser.add_argument("--no-feeds", action="store_true")
    options = parser.parse_args()
    for pattern in options.patterns.split(","):
        for seed in range(options.seeds):
            tables = weekly_business(seed, pattern)
            risks = eight_days(fitted(tables, options.estimator, options.every), tables)
            print(f"usage {pattern}, seed {seed}")
            for who, rows in (("all", risks), ("same", risks.dropna())):
                expected, observed = rows.sum(), came(rows, tables)
                told = "  ".join(
                    f"{pd.Timestamp(str(day)):%a} {risk:.1f}/{ends}"
                    for (day, risk), ends in zip(expected.items(), observed, strict=True)
                )
                print(
                    f"  {who:4}  {told}  spread {spread(expected):.1%}/{spread(observed):.1%},"
                    f" of expected/came {spread(expected / observed):.1%}",
                    flush=True,
                )
    if not options.no_feeds:
        for pace, lag, change, is_told in late_feeds(options.estimator):
            said = "reported" if is_told else "not reported"
            silent = f"silent for {pace.silent_days} days, usual gap {pace.usual_days}"
            print(f"{pace.table} {lag} days late: {change:+.1%}, {said} ({silent})", flush=True)


if __name__ == "__main__":
    main()
