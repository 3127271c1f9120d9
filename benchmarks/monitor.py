"""False alarms of weekly monitoring on a stable business, and the detection of simulated failures.

python benchmarks/monitor.py [--seeds 0 1 2 3] [--accounts 700]

One simulated business per seed over four years, whose rates never change. A model is fitted on the
first two years; then feeds, indicators, scores and outcomes are monitored on every Monday of the
last two, where every finding is false. Then each feed is stopped, and each numeric indicator raised
by half a standard deviation (--raise), on several days, to count the runs until it is reported.
Feeds with rare records must be reported within the time stated before the stop.

The panel is built once and cut by week: its rows are point-in-time, so that those up to a week are
what they would have been then. Only ranks are computed over all weeks; ``honest`` counts the weeks
on which `monitor_scores`, on the cut panel and tables, has different findings.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.evaluation.past_rows import on_grid
from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence, detected_after
from leadsignal.monitoring import monitor as m
from leadsignal.monitoring.realised import alert_volume, evaluate_outcomes, find_outcomes
from leadsignal.monitoring.shifts import Levels, find_shifts, levels_of
from leadsignal.scoring.feeds import daily_records

FIRST, WEEK, ALARMS = 104, 7, 1.0
A_RUN = ALARMS * WEEK / 365.25


@dataclass(frozen=True, eq=False)
class Business:
    """A business with weekly rows, weekly scores of a model of its first two years."""

    tables: ls.Tables
    panel: ls.Panel
    rows: pd.DataFrame
    levels: Levels
    scores: pd.DataFrame
    counts: dict[str, tuple[date, np.ndarray]]

    @property
    def runs(self) -> range:
        """The runs that are evaluated."""
        return range(FIRST, len(self.levels.days))


def business(seed: int, accounts: int) -> Business:
    """Simulate, read, build and score one business."""
    with tempfile.TemporaryDirectory() as folder:
        ls.simulate(accounts, seed=seed).write(folder)
        tables = ls.read_tables(folder)
        analysis = ls.read_success_analysis(Path(folder) / "success.toml")
        panel = ls.build_panel(tables, analysis, every="7d")
    rows = on_grid(panel)
    levels = levels_of(rows, panel.names(), WEEK)
    model = ls.ChurnModel(estimator="logistic").fit(panel.as_of(pd.Timestamp(levels.days[FIRST])))
    counts = {name: daily_records(tables, name) for name in tables.names if name != "accounts"}
    past = {name: (first, held) for name, (first, held) in counts.items() if first is not None}
    return Business(tables, panel, rows, levels, _scores(model, rows, levels), past)


def _scores(model: ls.ChurnModel, rows: pd.DataFrame, levels: Levels) -> pd.DataFrame:
    kept = rows[rows["snapshot_on"] >= pd.Timestamp(levels.days[FIRST])]
    frame = model.predict(kept).to_frame().assign(model_version=model.version_)
    rank = frame.groupby("snapshot_on")["risk"].rank(ascending=False, method="first")
    return frame.assign(alert=rank <= 0.1 * frame.groupby("snapshot_on")["risk"].transform("size"))


def find(of: Business, at: int) -> list[str]:
    """All findings of the run: feeds, indicators, scores and outcomes."""
    day = pd.Timestamp(of.levels.days[at])
    tables = of.tables.as_of(day.date())
    paces = [
        assess_feed(name, first, counts[: (day.date() - first).days], _chance(of))
        for name, (first, counts) in of.counts.items()
        if first < day.date()
    ]
    names = set(m._followed(of.panel, paces))
    mine = np.array([series.indicator in names for series in of.levels.series])
    series = tuple(one for one, kept in zip(of.levels.series, mine, strict=True) if kept)
    levels = replace(
        of.levels, series=series, level=of.levels.level[mine], known=of.levels.known[mine]
    )
    drift = find_shifts(levels, at, alarms=m.INDICATORS * A_RUN, least=m.MIN_SHIFT)
    scores = m._before(of.scores, day.date())
    outcomes = find_outcomes(tables, scores)
    realised = evaluate_outcomes(outcomes, tables.project.warning_time)
    lasting = m._lasting(tables, scores, outcomes, paces, m.LASTING * ALARMS)
    found = [
        *(m._of_feed(pace) for pace in paces if pace.broken),
        *(m._of_lasting(change) for change in lasting if change.found),
        *(m._of_shift("indicator", shift, WEEK) for shift in drift.shifts),
        *m._of_scores(scores, alert_volume(scores), WEEK, m.SCORES * A_RUN),
        *m._of_outcomes(realised, m.OUTCOMES * A_RUN),
    ]
    return [f"{one.kind} {one.subject}" for one in found]


def _chance(of: Business) -> float:
    return chance_of_silence(len(of.tables.names) - 1, false_alarms=ALARMS, every=WEEK)


def honest(of: Business, at: int) -> list[str]:
    """The same by `monitor_scores`, on what was there that week."""
    day = pd.Timestamp(of.levels.days[at])
    frame = of.panel.frame[of.panel.frame["snapshot_on"] <= day]
    panel = replace(of.panel, frame=frame, as_of_date=day.date())
    found = ls.monitor_scores(panel, of.tables.as_of(day.date()), of.scores)
    return [f"{one.kind} {one.subject}" for one in found.findings]


def raised(of: Business, name: str, at: int, by: float) -> int:
    """In which run after an indicator is raised (by standard deviations) it is named; 9: none.

    Raised are all its values from that run on.
    """
    rows = of.rows[of.rows["snapshot_on"] <= pd.Timestamp(of.levels.days[at + 1])]
    values = rows[name].astype(float)
    after = (rows["snapshot_on"] >= pd.Timestamp(of.levels.days[at])).to_numpy()
    moved = rows[["snapshot_on"]].assign(**{name: values + after * by * values.std()})
    levels = levels_of(moved, [name], WEEK)
    for run in (at, at + 1):
        judged = find_shifts(
            levels, run, alarms=m.INDICATORS * A_RUN, least=m.MIN_SHIFT,
            rooms=len(of.levels.series),
        )  # fmt: skip
        if judged.shifts:
            return run - at + 1
    return 9


def stopped(of: Business, name: str, day: int) -> tuple[int, bool] | None:
    """In which run after the first record that failed to come the feed is named; 99: in none.

    And whether in the first run after the time that was stated before the stop, or sooner.
    ``day`` counts from the table's first. None where no record would have come, or the time
    ended before the feed had to be named.
    """
    first, counts = of.counts[name]
    cut = counts.copy()
    cut[day:] = 0
    missed = np.flatnonzero(counts[day:])
    stated = detected_after(first, counts[:day], _chance(of))
    if not len(missed):
        return None
    last, at = int(np.flatnonzero(cut)[-1]), day + int(missed[0]) + 1
    for number in range(60):
        upto = at + number * WEEK + WEEK - 1
        if upto > len(cut):
            return None
        due = stated is not None and upto - 1 - last - WEEK >= stated
        if assess_feed(name, first, cut[:upto], _chance(of)).broken:
            return number + 1, stated is not None and not due
    return 99, False


def numbers(of: Business) -> list[str]:
    """Numeric indicators that vary between accounts."""
    frame = of.rows[of.panel.names()]
    kept = [str(name) for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    return [name for name in kept if float(frame[name].astype(float).std()) > 0]


def one_seed(seed: int, accounts: int, check: int, by: float) -> dict[str, object]:
    """All measurements of one business."""
    began = time.process_time()
    of = business(seed, accounts)
    found = {at: find(of, at) for at in of.runs}
    told = Counter(what for whats in found.values() for what in whats)
    checked = list(of.runs)[:: max(len(of.runs) // check, 1)][:check] if check else []
    return {
        "seed": seed,
        "years": len(of.runs) * WEEK / 365.25,
        "runs_with_findings": sum(bool(whats) for whats in found.values()),
        "findings": dict(told),
        "honest": f"{sum(honest(of, at) != found[at] for at in checked)} of {len(checked)}",
        "raised": {
            name: [raised(of, name, at, by) for at in (FIRST + 26, FIRST + 49, FIRST + 78)]
            for name in numbers(of)
        },
        "stopped": {
            name: [
                runs
                for day in range(len(counts) - 700, len(counts) - 50, 43)
                if day > 200 and (runs := stopped(of, name, day)) is not None
            ]
            for name, (_, counts) in of.counts.items()
        },
        "seconds": round(time.process_time() - began, 1),
    }


def main() -> None:
    """Measure the seeds, one line each, then all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--accounts", type=int, default=700)
    parser.add_argument("--raise", type=float, default=0.5, dest="by", help="standard deviations")
    parser.add_argument("--check", type=int, default=3, help="weeks monitored the honest way")
    options = parser.parse_args()
    done = []
    for seed in options.seeds:
        one = one_seed(seed, options.accounts, options.check, options.by)
        done.append(one)
        print({name: one[name] for name in one if name not in ("raised", "stopped")}, flush=True)
    years = sum(float(str(one["years"])) for one in done)
    alarms = sum(int(str(one["runs_with_findings"])) for one in done)
    print(f"runs with a false alarm: {alarms} in {years:.1f} years, {alarms / years:.2f} a year")
    tell("raised", together(done, "raised"))
    stops = together(done, "stopped")
    tell("stopped", {name: [runs for runs, _ in held] for name, held in stops.items()})
    in_time = {name: [runs <= 2 or stated for runs, stated in held] for name, held in stops.items()}
    every = [one for held in in_time.values() for one in held]
    print(f"stopped: named within two runs or the stated time {np.mean(every):.1%} of {len(every)}")
    for name, held in in_time.items():
        print(f"  {name}: {np.mean(held):.0%} of {len(held)}")


def together(done: list[dict[str, object]], what: str) -> dict[str, list[Any]]:
    """Measurements of all seeds combined, by name."""
    held: dict[str, list[Any]] = {}
    for one in done:
        for name, runs in one[what].items():  # type: ignore[attr-defined]
            held.setdefault(name, []).extend(runs)
    return held


def tell(what: str, named: dict[str, list[int]]) -> None:
    """Print the share that was named within two runs, and by name where it is not all."""
    every = [run for runs in named.values() for run in runs]
    print(f"{what}: named within two runs {np.mean(np.array(every) <= 2):.1%} of {len(every)}")
    for name, runs in named.items():
        share = np.mean(np.array(runs) <= 2) if runs else float("nan")
        if what == "stopped" or share < 1:
            print(f"  {name}: {share:.0%} within two runs; {dict(sorted(Counter(runs).items()))}")


if __name__ == "__main__":
    main()
