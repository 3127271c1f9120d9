"""Predict withdrawal from real courses within 28 days, with time-ordered folds.

Models are fitted on what was known at each cut-off and evaluated on the days from there to the next
one, including all later presentations. Prints the AUC by indicators and estimator, compared with
plain gradient boosting on the same rows and indicators (scikit-learn's defaults, no steps ahead, no
calibration), with the difference and its interval clustered by account. Needs the tables that
examples/oulad/leadsignal.toml names.

    python benchmarks/oulad.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import leadsignal as ls
from leadsignal.indicators.declare import Role
from leadsignal.model.features import Features
from leadsignal.model.stacked_model import Estimator

PROJECT = Path(__file__).resolve().parents[1] / "examples" / "oulad"
CUTS = ("2013-12-01", "2014-02-01", "2014-04-01", "2014-10-01")
"""Each fold is judged from one of these to the next."""
HORIZON = 28
DRAWS = 200
EVERYTHING: tuple[Role, ...] = ("leading", "lagging", "context")


def folds(panel: ls.Panel) -> Iterator[tuple[ls.Panel, pd.DataFrame]]:
    """Yield the panel as known on each cut-off, and the rows judged after it."""
    frame = panel.frame
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=HORIZON)
    followed = (frame["snapshot_on"] <= last) & ~frame["notice_given"]
    for cut, until in pairwise(CUTS):
        judged = (frame["snapshot_on"] >= cut) & (frame["snapshot_on"] < until)
        yield panel.as_of(cut), frame[judged & followed]


def withdrew(rows: pd.DataFrame) -> np.ndarray:
    """Whether each row's account withdrew within the horizon."""
    return ((rows["ended_within"] <= HORIZON) & (rows["end_cause"] == "churn")).to_numpy()


def plain_boosting(past: ls.Panel, rows: pd.DataFrame) -> np.ndarray:
    """Risks of a gradient boosting on the past rows that have been followed for the horizon."""
    last = pd.Timestamp(past.as_of_date) - pd.Timedelta(days=HORIZON)
    known = past.frame[(past.frame["snapshot_on"] <= last) & ~past.frame["notice_given"]]
    features = Features.learn(past, known, past.names())
    trees = HistGradientBoostingClassifier(
        categorical_features=features.is_category, random_state=0
    ).fit(features.matrix(known), withdrew(known))
    return np.asarray(trees.predict_proba(features.matrix(rows))[:, 1])


def fitted(
    past: ls.Panel, rows: pd.DataFrame, estimator: Estimator, roles: tuple[Role, ...]
) -> np.ndarray:
    """Risks of the library's model."""
    model = ls.ChurnModel("28d", "14d", estimator=estimator, roles=roles).fit(past)
    return model.predict(rows).risk


METHODS = {
    "context, ensemble": lambda past, rows: fitted(past, rows, "ensemble", ("context",)),
    "logistic": lambda past, rows: fitted(past, rows, "logistic", EVERYTHING),
    "cox": lambda past, rows: fitted(past, rows, "cox", EVERYTHING),
    "boosting": lambda past, rows: fitted(past, rows, "boosting", EVERYTHING),
    "ensemble": lambda past, rows: fitted(past, rows, "ensemble", EVERYTHING),
    "plain gradient boosting": plain_boosting,
}


def main() -> None:
    began = time.process_time()
    tables = ls.read_tables(PROJECT, drop_bad_rows=True)
    panel = ls.build_panel(tables, ls.read_success_analysis(PROJECT / "success.toml"))
    print(panel)
    print(f"dropped rows: {dict(tables.dropped_rows)}")
    print(f"read and built in {time.process_time() - began:.1f} CPU s", flush=True)
    risks: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    judged, seconds = [], dict.fromkeys(METHODS, 0.0)
    for past, rows in folds(panel):
        judged.append(rows)
        for name, method in METHODS.items():
            began = time.process_time()
            risks[name].append(method(past, rows))
            seconds[name] += time.process_time() - began
        left = withdrew(rows)
        told = "  ".join(
            f"{name} {roc_auc_score(left, risks[name][-1]):.3f},"
            f" {risks[name][-1].mean() / left.mean():.2f}"
            for name in METHODS
        )
        print(
            f"from {past.as_of_date}: {len(rows):,} rows, {left.sum():,} withdrew;"
            f" AUC, expected over observed\n  {told}",
            flush=True,
        )
    report(
        pd.concat(judged), {name: np.concatenate(parts) for name, parts in risks.items()}, seconds
    )


def report(rows: pd.DataFrame, risks: dict[str, np.ndarray], seconds: dict[str, float]) -> None:
    """Print each method's AUC over all folds, and the difference from plain boosting."""
    left = withdrew(rows)
    rng = np.random.default_rng(0)
    codes, accounts = pd.factorize(rows["account_id"])
    drawn = []
    for _ in range(DRAWS):
        weight = rng.multinomial(len(accounts), np.full(len(accounts), 1 / len(accounts)))[codes]
        drawn.append([roc_auc_score(left, risk, sample_weight=weight) for risk in risks.values()])
    table = pd.DataFrame(drawn, columns=list(risks))
    plain = "plain gradient boosting"
    for name, risk in risks.items():
        auc, (low, high) = roc_auc_score(left, risk), table[name].quantile([0.025, 0.975])
        over = auc - roc_auc_score(left, risks[plain])
        more, less = (table[name] - table[plain]).quantile([0.975, 0.025])
        print(
            f"{name:24s} AUC {auc:.3f} [{low:.3f}, {high:.3f}]"
            f"  minus plain {over:+.3f} [{less:+.3f}, {more:+.3f}]"
            f"  mean risk {risk.mean():.3f}, observed {left.mean():.3f}  {seconds[name]:.0f} CPU s"
        )


if __name__ == "__main__":
    main()
