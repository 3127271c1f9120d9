"""False alarms and delays of the CUSUMs of monitoring: churn, and records of each feed.

python benchmarks/lasting_changes.py [--years 3000] [--seeds 8] [--accounts 700]

Churn: Poisson streams of ends with the correct expectation, scored weekly. Prints false alarms per
year by direction, the average run length between them at several volumes, and the weeks from a
change of the rate until its detection. Feeds: simulated businesses without changes, whose feeds are
assessed on every Monday of the last three years; then each feed is thinned to 40 % from two
different days on.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date

import numpy as np
from numpy.typing import NDArray

import leadsignal as ls
from leadsignal.monitoring.monitor import LASTING
from leadsignal.monitoring.realised import limit_for, run_cusum
from leadsignal.monitoring.shifts import LOSS, _active_accounts, assess_loss
from leadsignal.scoring.feeds import daily_records

EVERY, YEAR = 7, 365
CHURN_LIMIT = limit_for(LASTING / 2, EVERY)
VOLUMES = (10, 35, 70, 200, 1000)


def weekly(daily: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the ends of each week."""
    weeks = len(daily) // EVERY
    ends: NDArray[np.float64] = daily[: EVERY * weeks].reshape(weeks, EVERY).sum(axis=1) * 1.0
    return ends


def found_churn(daily: NDArray[np.int64], a_day: float, ratio: float) -> NDArray[np.bool_]:
    """Return after which runs a change of churn is found."""
    observed = weekly(daily)
    return run_cusum(observed, np.full(len(observed), a_day * EVERY), ratio, CHURN_LIMIT).found


def alarms_a_year(a_year: float, ratio: float, years: int) -> float:
    """Return the false alarms per year if ends occur as expected."""
    a_day = a_year / YEAR
    random = np.random.default_rng(int(a_year))
    found = found_churn(random.poisson(a_day, YEAR * years), a_day, ratio)
    return float((np.diff(found.astype(int)) == 1).sum() / years)


def weeks_to_find(a_year: float, times: float, draws: int = 300) -> NDArray[np.float64]:
    """Return the weeks until churn that is ``times`` the expected is found, in each draw."""
    a_day, ratio = a_year / YEAR, 2.0 if times > 1 else 0.5
    random, start = np.random.default_rng(1), 2 * YEAR
    weeks = []
    for _ in range(draws):
        daily = random.poisson(a_day, 6 * YEAR)
        daily[start:] = random.poisson(a_day * times, 4 * YEAR)
        evaluated = EVERY * np.arange(1, len(daily) // EVERY + 1)
        late = evaluated[found_churn(daily, a_day, ratio) & (evaluated > start)]
        weeks.append((late[0] - start) / 7 if len(late) else np.inf)
    return np.array(weeks)


Feeds = dict[str, tuple[date, NDArray[np.float64], NDArray[np.float64]]]


def feeds_of(seed: int, world: str, accounts: int) -> Feeds:
    """Return, by table, its first day, its daily records and the active accounts."""
    with tempfile.TemporaryDirectory() as folder:
        ls.simulate(accounts, seed=seed, world=world).write(folder)
        tables = ls.read_tables(folder)
    found: Feeds = {}
    for name in tables.names:
        if name != "accounts":
            first, counts = daily_records(tables, name)
            if first is not None:
                found[name] = (first, counts, _active_accounts(tables, first, len(counts)))
    return found


def false_losses(name: str, feed: tuple[date, NDArray[np.float64], NDArray[np.float64]],
                 limit: float) -> tuple[int, int]:  # fmt: skip
    """Return the false alarms of a feed over the last three years, and the weeks assessed."""
    first, counts, active = feed
    before, alarms, weeks = False, 0, 0
    for end in range(len(counts) - 7 * 156, len(counts) + 1, 7):
        found = assess_loss(name, first, counts[: max(end, 0)], active[: max(end, 0)], limit)
        now = found is not None and found.found
        alarms, weeks = alarms + (now and not before), weeks + (found is not None)
        before = now
    return alarms, weeks


def loss_delays(name: str, feed: tuple[date, NDArray[np.float64], NDArray[np.float64]],
                limit: float, random: np.random.Generator) -> list[float]:  # fmt: skip
    """Return after how many weeks a loss of 60 % is found, from two days on."""
    first, counts, active = feed
    delays = []
    for start in (len(counts) - 500, len(counts) - 430):
        cut = counts.copy()
        cut[start:] = random.binomial(cut[start:].astype(int), LOSS)
        weeks = (
            week
            for week in range(1, 53)
            if (end := start + 7 * week)
            and (found := assess_loss(name, first, cut[:end], active[:end], limit)) is not None
            and found.found
        )
        delays.append(float(next(weeks, np.inf)))
    return delays


def print_churn(years: int) -> None:
    """Print the results of the CUSUM of churn."""
    print(f"churn: limit {CHURN_LIMIT:.2f}, {years:,} years each")
    for a_year in VOLUMES:
        alarms = [alarms_a_year(a_year, ratio, years) for ratio in (2.0, 0.5)]
        run_length = [f"{1 / one:,.0f}" if one else f"> {years:,}" for one in alarms]
        weeks = {times: weeks_to_find(a_year, times) for times in (2.0, 3.0, 0.5)}
        delays = ", ".join(
            f"times {times:g}: {np.median(one):.0f} ({np.sort(one)[int(0.9 * len(one))]:.0f})"
            for times, one in weeks.items()
        )
        print(
            f"  {a_year} ends a year: false alarms a year {alarms[0]:.4f} up, {alarms[1]:.4f} down"
            f" (average run length {run_length[0]}, {run_length[1]} years);"
            f" weeks until found, median (90 %): {delays}",
            flush=True,
        )


def print_feeds(seeds: int, accounts: int) -> None:
    """Print the results of the CUSUM of feeds."""
    alarms: dict[str, int] = {}
    delays: dict[str, list[float]] = {}
    weeks, random = 0, np.random.default_rng(0)
    for world in ("leading", "no_effect"):
        for seed in range(40, 40 + seeds):
            feeds = feeds_of(seed, world, accounts)
            limit = limit_for(LASTING / len(feeds), 7)
            for name, feed in feeds.items():
                false, assessed = false_losses(name, feed, limit)
                alarms[name] = alarms.get(name, 0) + false
                weeks += assessed
                delays.setdefault(name, []).extend(loss_delays(name, feed, limit, random))
    years = weeks * 7 / 365.25
    print(
        f"feeds: {sum(alarms.values())} false alarms in {years:.0f} feed-years,"
        f" {years / len(alarms):.0f} years of a business with {len(alarms)} feeds"
    )
    for name, found in delays.items():
        rank = np.sort(found)
        print(
            f"  {name}: {alarms[name]} false; 40 % of the records found after"
            f" {rank[len(rank) // 2]:g} weeks (90 %: {rank[int(0.9 * len(rank))]:g})"
        )


def main() -> None:
    """Measure churn, then feeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--accounts", type=int, default=700)
    options = parser.parse_args()
    print_churn(options.years)
    print_feeds(options.seeds, options.accounts)


if __name__ == "__main__":
    main()
