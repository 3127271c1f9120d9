"""Which claims are made in each world, and how often, compared with five usual analyses.

Each world is simulated with known effects; a claim is a direction stated above the first rung of
`leadsignal.cohorts.Rung`, or a number in a next step. Where there is no effect, any claim is
false. The usual analyses claim a direction if p < 0.05.

    python benchmarks/worlds.py [--seeds 40] [--accounts 800] [--worlds marker quiet] [--docs]

``--keep FILE`` stores the result of each simulation and does not repeat it; ``--docs`` also writes
docs/evidence.md. benchmarks/worlds.jsonl holds the simulations of docs/evidence.md, which take
about two hours of processor time: delete it after changing the evidence code. ``--known`` only
writes the tables from the stored results.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LEADSIGNAL_THREADS": "1"})

import argparse
import json
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, ttest_ind

import leadsignal as ls
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts import Rung, weigh_evidence
from leadsignal.config.project import read_project
from leadsignal.formats import share_text
from leadsignal.scoring.scores import proven_effects

PROCESSES = ("weekly_reconciliation", "monthly_close_review")
CLAIMS = (*PROCESSES, "measured", "complained", "expansion")
NULL: dict[str, tuple[str, ...]] = {
    "no_effect": CLAIMS,
    "confounded": (*PROCESSES, "measured", "complained"),
    "notice": CLAIMS,
    "unrecorded_notice": CLAIMS,
    "quiet": CLAIMS,
    "marker": CLAIMS,
    "hidden_trouble": CLAIMS,
    "expansion_at_renewal": CLAIMS,
    "expansion_before_renewal": CLAIMS,
    "late_results": CLAIMS,
    "survivors": CLAIMS,
    "backfilled": CLAIMS,
    "jump": CLAIMS,
    "crossing": ("complained",),
    "halved": (),
    "leading": (),
    "twin": (),
    "one_segment": (),
    "few_adopt": (),
    "most_adopt": (),
    "feed_loss": (),
}
"""Claims that are false in a world; in those below, the processes act."""
ACTS = (
    "halved",
    "leading",
    "twin",
    "one_segment",
    "few_adopt",
    "most_adopt",
    "feed_loss",
)
HALVED = {"process_effect": math.log(2)}
"""In the world ``halved`` the processes halve the hazard, and nothing else acts."""
DAYS = 1095


@dataclass(frozen=True)
class Seen:
    """Results of one seed of a world: rungs and directions by claim, usual claims by analysis."""

    rungs: dict[str, int]
    lower: dict[str, bool]
    calibrated: dict[str, tuple[float, float, float]]
    quoted: tuple[str, ...]
    usual: dict[str, bool]


def look(world: str, seed: int, accounts: int) -> Seen:
    """Simulate a world and make every claim that can be made."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder:
        law = {"world": "no_effect", **HALVED} if world == "halved" else {"world": world}
        business = ls.simulate(accounts, seed=seed, days=DAYS, **law)
        Path(folder, "success.toml").write_text(business.analysis_toml, encoding="utf-8")
        Path(folder, "leadsignal.toml").write_text(business.project_toml, encoding="utf-8")
        filled = {name: table for name, table in business.tables.items() if len(table)}
        tables = ls.read_tables(filled, project=read_project(folder))
        analysis = ls.SuccessAnalysis.from_toml(business.analysis_toml)
        context = AsOfContext(tables, analysis)
        rungs, lower, calibrated = {}, {}, {}
        for claim in CLAIMS:
            by, cohort = ("contract", claim) if claim == "expansion" else (claim, None)
            by = f"process:{claim}" if claim in PROCESSES else by
            try:
                found = weigh_evidence(tables, by, analysis, cohort=cohort, context=context)
            except ls.ModelError:
                rungs[claim] = int(Rung.NOT_PROVEN)
                continue
            rungs[claim] = int(found.rung)
            effect = found.effect
            lower[claim] = effect is not None and effect.estimate < 1
            if found.calibrated is not None:
                one = found.calibrated
                calibrated[claim] = (one.estimate, one.low, one.high)
        quoted = tuple(proven_effects(tables, analysis, context))
        frame = _frame(context)
        usual = {name: bool(claims(frame)) for name, claims in USUAL.items()}
    return Seen(rungs, lower, calibrated, quoted, usual)


# Five usual analyses ------------------------------------------------------------------------------


def _frame(context: AsOfContext) -> pd.DataFrame:
    """One row per account: days, churned, ever-flags, counts and the latest health score."""
    tables = context.tables
    accounts = context.accounts.set_index("account_id")
    as_of = pd.Timestamp(tables.as_of_date)
    stop = accounts["ended_on"].fillna(as_of)
    frame = pd.DataFrame(
        {
            "days": (stop - accounts["started_on"]).dt.days.clip(lower=1).astype(float),
            "churned": accounts["ended_on"].notna().astype(float),
        }
    )
    events = tables.frame("behaviors")
    events = events[events["behavior"] == "reconciliation_completed"]
    counts = events.groupby("account_id").size().reindex(frame.index)
    frame["events"] = counts.fillna(0).astype(float)
    recent = events[events["occurred_at"] >= as_of - pd.Timedelta(days=90)]
    late = recent.groupby("account_id").size().reindex(frame.index)
    frame["recent"] = late.fillna(0).astype(float)
    measured = set(tables.frame("results")["account_id"])
    frame["measured"] = np.isin(frame.index, list(measured)).astype(float)
    adopted = set(context.episodes.loc[context.episodes["process"] == PROCESSES[0], "account_id"])
    frame["adopted"] = np.isin(frame.index, list(adopted)).astype(float)
    if "health_scores" in tables.names:
        scores = tables.frame("health_scores").sort_values("scored_on")
        frame["health"] = scores.groupby("account_id")["score"].last().reindex(frame.index)
    return frame


def _log_rank(frame: pd.DataFrame) -> bool:
    """Kaplan-Meier curves of ever against never adopted, with the log-rank test."""
    from lifelines.statistics import logrank_test

    ever = frame["adopted"] == 1
    if not ever.any() or ever.all():
        return False
    found = logrank_test(frame["days"][ever], frame["days"][~ever],
                         frame["churned"][ever], frame["churned"][~ever])  # fmt: skip
    return float(found.p_value) < 0.05


def _correlation(frame: pd.DataFrame) -> bool:
    """Correlation of the events of a behaviour with retention."""
    return float(pearsonr(frame["events"], 1 - frame["churned"])[1]) < 0.05


def _classifier(frame: pd.DataFrame) -> bool:
    """A logistic regression of churn on today's values; the sign of the recent events."""
    from sklearn.linear_model import LogisticRegression

    X = frame[["recent", "measured"]].to_numpy()
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)
    fit = LogisticRegression(C=np.inf, max_iter=1000).fit(X, frame["churned"])
    p = fit.predict_proba(X)[:, 1]
    design = np.column_stack((np.ones(len(X)), X))
    covariance = np.linalg.pinv(design.T @ (design * (p * (1 - p))[:, None]))
    return bool(abs(fit.coef_[0, 0]) > 1.96 * np.sqrt(covariance[1, 1]))


def _ever_flags(frame: pd.DataFrame) -> bool:
    """lifelines' Cox model with a flag of ever having been measured."""
    from lifelines import CoxPHFitter

    frame = frame[["days", "churned", "measured"]]
    if frame["measured"].nunique() < 2:
        return False
    fit = CoxPHFitter().fit(frame, "days", "churned")
    return float(fit.summary["p"].iloc[0]) < 0.05


def _health(frame: pd.DataFrame) -> bool:
    """The last health score of those who left against the others'."""
    if "health" not in frame:
        return False
    left = frame.loc[frame["churned"] == 1, "health"].dropna()
    there = frame.loc[frame["churned"] == 0, "health"].dropna()
    return float(ttest_ind(left, there, equal_var=False).pvalue) < 0.05


USUAL: dict[str, Callable[[pd.DataFrame], bool]] = {
    "Kaplan-Meier, ever or never": _log_rank,
    "correlation with retention": _correlation,
    "classifier on today's values": _classifier,
    "Cox with ever-flags": _ever_flags,
    "health score": _health,
}


# Tables -------------------------------------------------------------------------------------------


def _share(hits: list[bool]) -> str:
    if not hits:
        return ""
    share = float(np.mean(hits))
    error = float(np.sqrt(share * (1 - share) / len(hits)))
    return f"{share_text(share)} ± {share_text(error)}"


def rows_of(seen: dict[str, list[Seen]]) -> Iterator[dict[str, Any]]:
    """Yield one row per world: the share of seeds with a claim, by claim and usual analysis."""
    for world, found in seen.items():
        row: dict[str, Any] = {
            "world": world,
            "acts": "yes" if world in ACTS else "no",
            "seeds": len(found),
        }
        for claim in CLAIMS:
            claimed = [one.rungs.get(claim, 0) > Rung.ASSOCIATION for one in found]
            row[claim.replace("_", " ")] = _share(claimed)
        row["number in next step"] = _share([bool(one.quoted) for one in found])
        for name in USUAL:
            row[name] = _share([one.usual[name] for one in found])
        yield row


def markdown(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def page(rows: list[dict[str, Any]], accounts: int, power: str) -> str:
    """Return docs/evidence.md."""
    ours = ["world", "acts", "seeds", *(c.replace("_", " ") for c in CLAIMS), "number in next step"]
    head = PAGE_HEAD.format(accounts=accounts)
    theirs = markdown(rows, ["world", "acts", *USUAL])
    found = f"{head}\n{markdown(rows, ours)}\n{PAGE_POWER}\n{power}\n"
    return f"{found}{PAGE_DILUTED}{PAGE_USUAL}\n{theirs}\n{PAGE_LIMITS}"


PAGE_HEAD = """\
# What the evidence is worth

Generated by `benchmarks/worlds.py` from simulated businesses of {accounts} accounts with known
effects (see [the simulator](simulator.md)); `seeds` is the number of businesses per world. A
*claim* is a direction stated above the first rung ([evidence](cohorts.md#evidence)), or a number in
a next step. In a world without effects, every claim is false. Shares are of the seeds, with their
Monte Carlo error.

## What leadsignal claims
"""
PAGE_POWER = """
In the world `halved`, where practising a process halves the hazard and nothing else has an effect:
"""
PAGE_DILUTED = """
Claims are based on practice 90 days earlier, which some accounts have since stopped: in one
business of 6,000 accounts of this world the ratios are 0.52 and 0.53 with current practice, and
0.58 and 0.59 when measured 90 days earlier. The calibrated intervals contain the latter in all 40
seeds.
"""
PAGE_USUAL = """
## What five usual analyses claim in the same worlds

They claim a direction if p < 0.05. The first uses the adoption of a process, the second and
third its events, the fourth measuring, the fifth the health score.
"""
PAGE_LIMITS = """
## What cannot be known

A confounder that affects one process and churn, but nothing else that is recorded, looks like
an effect of that process, and no control behaviour reveals it. Late recording without `recorded_at`
cannot be distinguished from early measuring. Only an experiment resolves both.
"""


def kept(path: Path | None) -> dict[tuple[str, int, int], Seen]:
    """Return the results of earlier simulations, by world, seed and accounts."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(world, seed, accounts): Seen(**seen) for world, seed, accounts, seen in lines}


def all_seen(
    jobs: list[tuple[str, int, int]], path: Path | None, workers: int
) -> Iterator[tuple[tuple[str, int, int], Seen]]:
    """Yield each job with what its simulation gave, now or earlier."""
    earlier = kept(path)
    yield from ((job, earlier[job]) for job in jobs if job in earlier)
    rest = [job for job in jobs if job not in earlier]
    with ProcessPoolExecutor(workers) as pool:
        for job, one in zip(rest, pool.map(look, *zip(*rest, strict=True)), strict=True):
            if path is not None:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([*job, asdict(one)]) + "\n")
            yield job, one


def halved(found: list[Seen]) -> str:
    """Return the rungs and the coverage in the world where the hazard ratio is 0.5."""
    lines = []
    for process in PROCESSES:
        third = [one.rungs.get(process, 0) >= Rung.CONTROLLED for one in found]
        known = [one.calibrated[process] for one in found if process in one.calibrated]
        covers = [low <= 0.5 <= high for _, low, high in known]
        middle = float(np.median([estimate for estimate, _, _ in known]))
        lines.append(
            f"- {process}: third rung in {_share(third)} of the seeds; the calibrated interval"
            f" holds 0.5 in {_share(covers)}; median estimate {middle:.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate all worlds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--accounts", type=int, default=800)
    parser.add_argument("--worlds", nargs="+", default=[*NULL], choices=[*NULL])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--known", action="store_true")
    chosen = parser.parse_args()
    seen: dict[str, list[Seen]] = defaultdict(list)
    jobs = [
        (world, seed, chosen.accounts) for seed in range(chosen.seeds) for world in chosen.worlds
    ]
    if chosen.known:
        jobs = [job for job in jobs if job in kept(chosen.keep)]
    began = time.perf_counter()
    for (world, seed, _), one in all_seen(jobs, chosen.keep, chosen.jobs):
        seen[world].append(one)
        false = [c for c in NULL[world] if one.rungs.get(c, 0) > Rung.ASSOCIATION]
        print(f"{world} {seed}: {one.rungs}, quoted {list(one.quoted)}, false {false}", flush=True)
    rows = list(rows_of(seen))
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"{len(jobs)} simulations in {time.perf_counter() - began:,.0f} s")
    if "halved" in seen:
        print(halved(seen["halved"]))
    if chosen.docs:
        place = Path(__file__).parents[1] / "docs" / "evidence.md"
        text = page(rows, chosen.accounts, halved(seen["halved"]))
        place.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
