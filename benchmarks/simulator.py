"""Difficulty of the simulated worlds: accuracy of the oracle, of context and of simple rules.

python benchmarks/simulator.py [--seeds 5] [--accounts 2000] [--worlds leading no_effect …]
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leadsignal.datasets import WORLDS, Simulation, simulate

HORIZON, WARNING, CAPACITY, EVERY = 180, 90, 0.10, 28
FAR = pd.Timestamp("2200-01-01")


def snapshots(simulation: Simulation) -> pd.DataFrame:
    """Accounts active and without notice on each day of the 28-day grid, with what followed."""
    accounts = simulation.tables["accounts"]
    as_of = pd.Timestamp(simulation.as_of)
    first = simulation.tables["usage"]["used_on"].min() + pd.Timedelta(days=112)
    days = pd.date_range("1970-01-05", as_of, freq=f"{EVERY}D")
    grid = accounts.merge(pd.DataFrame({"snapshot_on": days[days >= first]}), how="cross")
    ended = grid["ended_on"].fillna(FAR)
    known = grid["end_known_on"].fillna(FAR)
    here = (grid["started_on"] < grid["snapshot_on"]) & (known >= grid["snapshot_on"])
    grid = grid[here & (ended > grid["snapshot_on"])].reset_index(drop=True)
    left = (grid["ended_on"] - grid["snapshot_on"]).dt.days
    churned = grid["end_reason"] != "completed"
    grid["event"] = ((left <= HORIZON) & churned).astype(int)
    grid["judged"] = grid["snapshot_on"] + pd.Timedelta(days=HORIZON) < as_of
    return grid.sort_values(["snapshot_on", "account_id"], ignore_index=True)


def context(grid: pd.DataFrame) -> pd.DataFrame:
    """Tenure, days to renewal, attributes at the start."""
    tenure = (grid["snapshot_on"] - grid["started_on"]).dt.days
    term = grid["term_months"] * 30.4375
    x = pd.DataFrame({"tenure": tenure, "to_renewal": term - tenure % term})
    x["renews"] = (x["to_renewal"] < HORIZON).astype(float)
    x["soon"] = (x["to_renewal"] < 45).astype(float)
    x["between"] = ((x["to_renewal"] >= 45) & (x["to_renewal"] < HORIZON + 10)).astype(float)
    x["monthly"] = (grid["term_months"] == 1).astype(float)
    x["log_tenure"] = np.log1p(tenure)
    x["log_employees"] = np.log(grid["employees"])
    dummies = ["segment", "purchase_reason", "sales_rep", "close_owner", "term_months"]
    return pd.concat([x, pd.get_dummies(grid[dummies].astype(str)).astype(float)], axis=1)


def trailing(grid: pd.DataFrame, table: pd.DataFrame, time: str, days: int) -> np.ndarray:
    """Rows of ``table`` in the window before each snapshot."""
    ids = pd.Index(grid["account_id"].unique())
    base = np.datetime64("1990-01-01")
    table = table[table["account_id"].isin(ids)]

    def code(account: pd.Series, day: pd.Series, shift: int) -> np.ndarray:
        number = (day.to_numpy() - base) // np.timedelta64(1, "D") - shift
        return np.asarray(ids.get_indexer(pd.Index(account)) * 100_000 + number)

    events = np.sort(code(table["account_id"], table[time], 0))
    upto = np.searchsorted(events, code(grid["account_id"], grid["snapshot_on"], 0))
    return upto - np.searchsorted(events, code(grid["account_id"], grid["snapshot_on"], days))


def latest(grid: pd.DataFrame, table: pd.DataFrame, time: str, *columns: str) -> pd.DataFrame:
    """The last row of ``table`` strictly before each snapshot, and its age in days."""
    right = table[["account_id", time, *columns]].sort_values(time)
    left = grid[["account_id", "snapshot_on"]]
    found = pd.merge_asof(
        left,
        right,
        left_on="snapshot_on",
        right_on=time,
        by="account_id",
        allow_exact_matches=False,
    )
    found["age"] = (found["snapshot_on"] - found[time]).dt.days
    return found


def adoption(grid: pd.DataFrame, simulation: Simulation) -> pd.DataFrame:
    """Adopted, for how long, since when lapsed; by the definition of the analysis."""
    out: dict[str, Any] = {}
    for name, part in simulation.truth.episodes.groupby("process"):
        found = latest(grid, part, "adopted_on", "lapsed_on")
        adopted = found["age"].notna() & ~(found["lapsed_on"] < found["snapshot_on"])
        since = (found["snapshot_on"] - found["lapsed_on"]).dt.days
        out[f"{name}_adopted"] = adopted.astype(float)
        out[f"{name}_log_days"] = np.where(adopted, np.log1p(found["age"].fillna(0)), 0.0)
        out[f"{name}_lapsed"] = np.where(~adopted, np.exp(-since.fillna(9999) / 60), 0.0)
    return pd.DataFrame(out)


def leading(grid: pd.DataFrame, simulation: Simulation) -> pd.DataFrame:
    """Processes, results, tickets, commitments, contract changes, handoffs."""
    tables = simulation.tables
    x = adoption(grid, simulation)
    result = latest(grid, tables["results"], "measured_on", "value", "target")
    fresh = result["age"] <= 90
    x["result"] = np.where(fresh, result["target"] - result["value"], -2.5)
    x["measured"] = fresh.astype(float)
    for days in (30, 90):
        x[f"tickets_{days}"] = trailing(grid, tables["tickets"], "opened_at", days)
        for kind in ("reconciliation_completed", "close_review_held"):
            events = tables["behaviors"]
            events = events[events["behavior"] == kind]
            x[f"{kind}_{days}"] = trailing(grid, events, "occurred_at", days)
    changes = tables["contract_changes"]
    for kind in ("expansion", "reduction"):
        x[kind] = trailing(grid, changes[changes["kind"] == kind], "changed_at", 182) > 0
    x["handoff"] = trailing(grid, tables["account_changes"], "changed_on", 91) > 0
    promised = tables["commitments"][tables["commitments"]["owner"] == "customer"]
    kept = promised[promised["completed_on"] <= promised["due_on"]]
    due = trailing(grid, promised, "due_on", 9000)
    x["kept"] = np.where(due > 0, trailing(grid, kept, "due_on", 9000) / np.maximum(due, 1), 0.6)
    return x.astype(float)


def usage_state(grid: pd.DataFrame, simulation: Simulation) -> pd.DataFrame:
    """Usage low (design, section 6) and the 28-day mean over the best 84-day mean."""
    table = simulation.tables["usage"].pivot_table(
        index="account_id", columns="used_on", values="amount", aggfunc="sum"
    )
    wide = table.fillna(0.0).to_numpy()
    total = np.cumsum(np.pad(wide, ((0, 0), (1, 0))), axis=1)
    row = table.index.get_indexer(pd.Index(grid["account_id"]))
    at = np.searchsorted(table.columns.to_numpy(), grid["snapshot_on"].to_numpy())
    begin = np.argmax(table.notna().to_numpy(), axis=1)[row]
    now = (total[row, at] - total[row, at - 4]) / 4
    best = np.zeros(len(grid))
    for back in range(4, 41):
        stop = at - back
        ok = stop - 12 >= begin
        mean = (total[row, np.maximum(stop, 0)] - total[row, np.maximum(stop - 12, 0)]) / 12
        best = np.where(ok, np.maximum(best, mean), best)
    young = (grid["snapshot_on"] - grid["started_on"]).dt.days < 112
    ratio = np.where(young | (best <= 0), 1.0, now / np.maximum(best, 1e-9))
    return pd.DataFrame({"low": (ratio < 0.5) & ~young, "ratio": np.minimum(ratio, 1.5)})


def cross_fitted(
    x: pd.DataFrame, y: np.ndarray, groups: np.ndarray, judged: np.ndarray, boost: bool
) -> np.ndarray:
    """Risk of each row from accounts other than its own."""
    out = np.zeros(len(x))
    for train, test in GroupKFold(5).split(x, y, groups):
        train = train[judged[train]]
        model = (
            HistGradientBoostingClassifier(
                max_iter=60,
                learning_rate=0.1,
                max_leaf_nodes=12,
                min_samples_leaf=150,
                l2_regularization=5.0,
            )
            if boost
            else make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        )
        model.fit(x.to_numpy()[train], y[train])
        out[test] = model.predict_proba(x.to_numpy()[test])[:, 1]
    return out


def both(x: pd.DataFrame, grid: pd.DataFrame) -> np.ndarray:
    """Average of boosting and logistic on the log-odds, cross-fitted over accounts."""
    y, groups = grid["event"].to_numpy(), grid["customer_id"].to_numpy()
    judged = grid["judged"].to_numpy()
    risks = [cross_fitted(x, y, groups, judged, boost) for boost in (True, False)]
    odds = [np.log(r / (1 - r)) for r in np.clip(risks, 1e-6, 1 - 1e-6)]
    return np.asarray(np.mean(odds, axis=0))


def unexpected(grid: pd.DataFrame, simulation: Simulation, low: np.ndarray) -> pd.Series:
    """Whether each churned account had no warning during the whole warning time."""
    flag = latest(grid, simulation.tables["flags"], "flagged_on", "cleared_on")
    flagged = flag["age"].notna() & ~(flag["cleared_on"] < flag["snapshot_on"])
    score = latest(grid, simulation.tables["health_scores"], "scored_on", "band")
    warned = pd.Series(low | flagged.to_numpy() | (score["band"] == "red").to_numpy())
    known = grid["end_known_on"]
    ends = grid["ended_on"].notna() & (grid["end_reason"] != "completed")
    since = (known - grid["snapshot_on"]).dt.days
    frame = pd.DataFrame({"account_id": grid["account_id"], "warned": warned, "since": since})
    frame = frame[ends & (since >= 0)]
    # A warning stands from the snapshot before the warning time on, at each later one.
    before = frame[frame["since"] >= WARNING].groupby("account_id").tail(1)
    after = frame[frame["since"] < WARNING].groupby("account_id")["warned"].all()
    stood = before.set_index("account_id")["warned"] & after.reindex(before["account_id"]).fillna(
        True
    ).astype(bool)
    return ~stood


def catches(
    grid: pd.DataFrame, scores: dict[str, np.ndarray], surprise: pd.Series
) -> dict[str, float]:
    """Share of unexpected churners alerted at the last snapshot the warning time before."""
    since = (grid["end_known_on"] - grid["snapshot_on"]).dt.days
    ends = grid["ended_on"].notna() & (since >= WARNING)
    last = grid[ends].groupby("account_id").tail(1)
    last = last[last["account_id"].map(surprise).fillna(False).astype(bool)]
    out = {}
    for name, score in scores.items():
        rank = (
            pd.Series(score, index=grid.index)
            .groupby(grid["snapshot_on"])
            .rank(ascending=False, method="first")
        )
        count = grid.groupby("snapshot_on")["account_id"].transform("size")
        alert = rank <= np.ceil(CAPACITY * count)
        out[name] = float(alert[last.index].mean())
        out[name + "_precision"] = float(grid.loc[alert & grid["judged"], "event"].mean())
    return out


def measure(world: str, seed: int, accounts: int) -> dict[str, float]:
    begin = time.perf_counter()
    simulation = simulate(accounts, seed=seed, world=world)
    seconds = time.perf_counter() - begin
    grid = snapshots(simulation)
    begin = time.perf_counter()
    truth = simulation.truth.oracle_risk(grid, HORIZON)
    oracle_seconds = time.perf_counter() - begin
    usage = usage_state(grid, simulation)
    base = context(grid)
    lead = pd.concat([base, leading(grid, simulation)], axis=1)
    rng = np.random.default_rng(seed)
    scores = {
        "oracle": truth,
        "context": both(base, grid),
        "leading": both(lead, grid),
        "all": both(pd.concat([lead, usage.astype(float)], axis=1), grid),
        "usage": (usage["low"] - usage["ratio"]).to_numpy(),
        "random": rng.random(len(grid)),
    }
    judged = grid["judged"].to_numpy()
    y = grid["event"].to_numpy()[judged]
    auc = {f"auc_{name}": roc_auc_score(y, np.asarray(s)[judged]) for name, s in scores.items()}
    surprise = unexpected(grid, simulation, usage["low"].to_numpy())
    caught = catches(grid, scores, surprise)
    ends = simulation.tables["accounts"]
    churned = (ends["ended_on"].notna() & (ends["end_reason"] != "completed")).sum()
    years = len(grid) * EVERY / 365.25
    return {
        "seconds": seconds,
        "oracle_s": oracle_seconds,
        "ends": float(churned),
        "churn_a_year": (grid.groupby("account_id").tail(1)["end_known_on"].notna().sum()) / years,
        "event_rate": float(y.mean()),
        "expected": float(truth[judged].mean()),
        "unexpected": float(surprise.mean()),
        "usage_low": float(usage["low"].mean()),
        **auc,
        "reach": (auc["auc_all"] - 0.5) / (auc["auc_oracle"] - 0.5),
        **{f"catch_{name}": value for name, value in caught.items()},
    }


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS))
    options = parser.parse_args()
    for world in options.worlds:
        rows = [measure(world, seed, options.accounts) for seed in range(options.seeds)]
        frame = pd.DataFrame(rows)
        table = pd.DataFrame({world: frame.mean(), "between seeds": frame.std()})
        print(table.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
