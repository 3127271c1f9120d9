"""AUC of the model on each behaviour's indicators, compared with plain boosting on counts.

The data are a folder of tables or simulated businesses, without a success analysis unless
``--analysis`` is given. Models are fitted at cut-offs in time on what was known then, and rank the
accounts that were active on that day and had not given notice. Plain boosting is scikit-learn's
default on tenure and the counts of each behaviour over 30, 90 and 180 days, fitted on rows whose
horizon had passed by then. The interval of the difference is from 500 bootstrap resamples of
customers.

    python benchmarks/behaviors.py FOLDER [--horizon 90d] [--every 28d] [--cuts 4 | --folds 5]
    python benchmarks/behaviors.py --world leading [--seeds 20] [--accounts 800] [--analysis]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import leadsignal as ls
from leadsignal.arguments import days_in
from leadsignal.evaluation.methods import cut_offs
from leadsignal.model.stacked_model import Estimator

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """Accounts of all cut-offs with their outcome and the risks by method."""

    customer: NDArray[np.object_]
    cut: NDArray[np.int64]
    churned: NDArray[np.bool_]
    risks: dict[str, Floats]

    def auc(self, method: str, rows: NDArray[np.intp]) -> float:
        """Return the AUC within cut-offs, averaged over the churns."""
        found, weights = [], []
        for cut in np.unique(self.cut[rows]):
            here = rows[self.cut[rows] == cut]
            churned = self.churned[here]
            if 0 < churned.sum() < len(here):
                found.append(roc_auc_score(churned, self.risks[method][here]))
                weights.append(churned.sum())
        return float(np.average(found, weights=weights)) if found else float("nan")


def plain_columns(panel: ls.Panel) -> list[str]:
    """Return tenure, and the counts of each behaviour."""
    names = panel.names(family="behaviors")
    return ["tenure_days", *[name for name in names if "_events_" in name and name[-1] == "d"]]


def outcome(panel: ls.Panel, rows: pd.DataFrame, horizon: int) -> NDArray[np.bool_]:
    """Return whether each row's account churned within the horizon."""
    within = (rows["ended_within"] <= horizon).to_numpy(dtype=bool, na_value=False)
    other: NDArray[np.bool_] = rows["end_cause"].isin(panel.project.not_churn).to_numpy()
    return within & ~other


def risks_of(
    known: ls.Panel, rows: pd.DataFrame, horizon: int, estimators: list[Estimator]
) -> dict[str, Floats]:
    """Fit all methods on a panel and return their risks of the rows."""
    plain, followed = plain_columns(known), pd.Timedelta(days=horizon)
    past = known.frame[~known.frame["notice_given"]]
    past = past[past["snapshot_on"] <= pd.Timestamp(known.as_of_date) - followed]
    boosting = HistGradientBoostingClassifier(random_state=0)
    boosting.fit(past[plain].to_numpy(dtype=float, na_value=np.nan), outcome(known, past, horizon))
    counts = rows[plain].to_numpy(dtype=float, na_value=np.nan)
    risks = {"plain boosting": boosting.predict_proba(counts)[:, 1]}
    for estimator in estimators:
        model = ls.ChurnModel(horizon=f"{horizon}d", estimator=estimator).fit(known)
        risks[estimator] = model.predict(rows).risk
    return risks


def in_parts(panel: ls.Panel, horizon: int, options: argparse.Namespace) -> Ranked:
    """Rank the accounts at each cut-off, or those of each fold of customers."""
    frames, found = [], []
    if options.folds:
        codes = pd.factorize(panel.frame["customer_id"])[0]
        fold = np.random.default_rng(0).permutation(codes.max() + 1)[codes] % options.folds
        last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)
        for number in range(options.folds):
            rows = panel.frame[(fold == number) & (panel.frame["snapshot_on"] <= last)]
            frames.append(rows[~rows["notice_given"]])
            known = replace(panel, frame=panel.frame[fold != number].reset_index(drop=True))
            found.append(risks_of(known, frames[-1], horizon, options.estimators))
    else:
        for cut in cut_offs(panel, horizon, options.cuts):
            rows = panel.frame[panel.frame["snapshot_on"] == pd.Timestamp(cut)]
            frames.append(rows[~rows["notice_given"]])
            found.append(risks_of(panel.as_of(cut), frames[-1], horizon, options.estimators))
    rows = pd.concat(frames)
    return Ranked(
        rows["customer_id"].to_numpy(),
        pd.factorize(rows["snapshot_on"])[0],
        outcome(panel, rows, horizon),
        {name: np.concatenate([one[name] for one in found]) for name in found[0]},
    )


def table(ranked: Ranked, draws: int = 500) -> pd.DataFrame:
    """Return the AUC of each method, and its difference to plain boosting with an interval."""
    codes, members = np.unique(ranked.customer, return_inverse=True)
    of_customer = [np.flatnonzero(members == code) for code in range(len(codes))]
    rng, everything = np.random.default_rng(0), np.arange(len(members))
    samples = [
        np.concatenate([of_customer[one] for one in rng.integers(0, len(codes), len(codes))])
        for _ in range(draws)
    ]
    base = np.array([ranked.auc("plain boosting", rows) for rows in samples])
    lines = []
    for method in ranked.risks:
        others = np.array([ranked.auc(method, rows) for rows in samples])
        low, high = np.nanpercentile(others - base, [2.5, 97.5])
        whole = ranked.auc(method, everything)
        more = whole - ranked.auc("plain boosting", everything)
        lines.append((method, whole, more, low, high, int(ranked.churned.sum())))
    return pd.DataFrame(lines, columns=["method", "auc", "more", "low", "high", "churns"])


def panels(options: argparse.Namespace) -> Iterator[ls.Panel]:
    """Yield the panel of the folder, or those of the simulated businesses."""
    if options.folder:
        yield ls.build_panel(ls.read_tables(options.folder), every=options.every)
        return
    for seed in range(options.first, options.first + options.seeds):
        with TemporaryDirectory() as folder:
            ls.simulate(options.accounts, seed=seed, world=options.world).write(folder)
            analysis = ls.read_success_analysis(Path(folder)) if options.analysis else None
            yield ls.build_panel(ls.read_tables(folder), analysis, every=options.every)


def main() -> None:
    """Print the table of a folder, or the mean of the tables of the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--world", default="leading")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=500, help="the first seed")
    parser.add_argument("--accounts", type=int, default=800)
    parser.add_argument("--analysis", action="store_true")
    parser.add_argument("--horizon", default="180d")
    parser.add_argument("--every", default="28d")
    parser.add_argument("--cuts", type=int, default=4)
    parser.add_argument("--folds", type=int, default=0, help="folds of customers, not cut-offs")
    parser.add_argument("--estimators", nargs="+", default=["logistic", "boosting", "ensemble"])
    options = parser.parse_args()
    tables = []
    for panel in panels(options):
        ranked = in_parts(panel, days_in(options.horizon), options)
        tables.append(table(ranked))
        print(tables[-1].round(3).to_string(index=False), flush=True)
    if len(tables) > 1:
        together = pd.concat(tables).groupby("method", sort=False)["more"]
        error = together.sem()
        print(pd.DataFrame({"more": together.mean(), "standard error": error}).round(4))


if __name__ == "__main__":
    main()
