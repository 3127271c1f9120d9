"""Whether an account's measured results rise a warning time after it adopts a process.

Each result is compared with the account's other results for that metric, by whether the process was
adopted a warning time earlier. Fixed properties of the account cancel out; tenure, and activity and
usage on the earlier day, are adjusted for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.covariates import columns_of
from leadsignal.success_analysis.discovery.at_risk import LAGGED, in_order, whose
from leadsignal.survival.inputs import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.panel import Panel
    from leadsignal.tables import Tables

CANDIDATES_AT_ONCE = 64
MIN_ACCOUNTS = 30
"""Minimum number of accounts with two or more results; with fewer, results are not tested."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Results, each with the panel row a warning time earlier.

    ``account`` (n) is the account's code, ``row`` (n) the panel row of the earlier day (sorted by
    account and day), and ``group`` (n) the code of account and metric. ``value`` (n) is in standard
    deviations of its metric, higher is better, minus the group's mean and what ``adjusters`` (n ×
    p) explain.
    """

    account: Ints
    row: Ints
    group: Ints
    value: Floats
    adjusters: Floats

    def __len__(self) -> int:
        return len(self.value)


def measured_results(
    tables: Tables, panel: Panel, accounts: np.ndarray, warning_time: int
) -> Measured | None:
    """Return the results of accounts with at least two; None if there are too few such accounts."""
    import pandas as pd

    if "results" not in tables.names:
        return None
    found = tables.frame("results").dropna(subset=["value"])
    metric = found["metric"].fillna("") if "metric" in found else pd.Series("", found.index)
    number = pd.Index(accounts).get_indexer(pd.Index(found["account_id"]))
    day = found["measured_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    frame = pd.DataFrame({"account": number, "metric": metric, "on": day})
    better = np.where(found["higher_is_better"].eq(False), -1.0, 1.0)
    spread = found["value"].astype(float).groupby(metric).transform("std")
    frame["value"] = better * found["value"].astype(float) / spread
    frame = frame[(frame["account"] >= 0) & np.isfinite(frame["value"])]
    frame = _with_earlier(frame, panel, warning_time)
    frame["group"] = frame.groupby(["account", "metric"]).ngroup()
    frame = frame[frame.groupby("group")["value"].transform("size") >= 2]
    if frame["account"].nunique() < MIN_ACCOUNTS:
        return None
    group = pd.factorize(frame["group"])[0].astype(np.int64)
    Z, _ = columns_of({name: frame[name].to_numpy(dtype=float) for name in _adjusted(panel)})
    Z = _within(Z, group)
    Z = Z[:, Z.std(axis=0) > 1e-9]
    value = _within(frame["value"].to_numpy()[:, None], group)
    return Measured(
        frame["account"].to_numpy(np.int64),
        frame["row"].to_numpy(np.int64),
        group,
        _freed(value, Z)[:, 0],
        Z,
    )


def _adjusted(panel: Panel) -> list[str]:
    return [one.name for one in panel.indicators if one.family in LAGGED] + ["tenure"]


def _with_earlier(frame: pd.DataFrame, panel: Panel, warning_time: int) -> pd.DataFrame:
    """Join the latest panel row at least one warning time before each result."""
    import pandas as pd

    rows = in_order(panel)
    account, _, earlier = whose(rows)
    known = pd.DataFrame({
        "account": account,
        "row": np.arange(len(rows)),
        "earlier": earlier,
        "began": earlier - rows["start"].to_numpy(dtype=np.int64),
    })  # fmt: skip
    for name in _adjusted(panel)[:-1]:
        known[name] = np.log1p(np.maximum(rows[name].astype(float), 0))
    known = known.sort_values("earlier")
    frame = frame.assign(until=frame["on"] - warning_time).sort_values("until")
    joined = pd.merge_asof(
        frame, known, left_on="until", right_on="earlier", by="account", tolerance=panel.every
    )
    joined = joined.dropna(subset=["earlier"])
    return joined.assign(tenure=joined["on"] - joined["began"])


@dataclass(frozen=True, eq=False)
class Rises:
    """Score and information by customer and candidate (customers × candidates).

    ``customers`` (customers) are the codes of the customers that have results.
    """

    customers: Ints
    score: Floats
    information: Floats

    def at(self, place: Ints) -> Rises:
        """Return the statistics of the candidates at ``place``."""
        return Rises(self.customers, self.score[:, place], self.information[:, place])

    @property
    def effect(self) -> Floats:
        """Difference in results with and without the process earlier, in standard deviations."""
        information = self.information.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(information > 0, self.score.sum(axis=0) / information, np.nan)

    @property
    def std_err(self) -> Floats:
        """Standard error of the effect, clustered by customer."""
        information = self.information.sum(axis=0)
        rest = self.score - self.information * np.nan_to_num(self.effect)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(information > 0, np.sqrt((rest**2).sum(axis=0)) / information, np.nan)

    def z(self, weights: Floats | None = None) -> Floats:
        """Return z statistics; ``weights`` (draws × customers) give those of resamples."""
        if weights is None:
            return np.asarray(self.z(np.ones((1, len(self.score))))[0])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num((weights @ self.score) / np.sqrt(weights @ np.square(self.score)))

    def permuted_maxima(self, draws: int, *, seed: int) -> Floats:
        """Return the maximum statistic of each draw of random signs for the customers."""
        rng = np.random.default_rng(seed)
        signs = rng.choice(np.array([-1.0, 1.0]), (draws, len(self.score)))
        spread = np.sqrt(np.square(self.score).sum(axis=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            z = (signs @ self.score) / spread
        return np.asarray(np.where(np.isfinite(z), z, -np.inf).max(axis=1))


def rises_of(measured: Measured, customers: Ints, states: np.ndarray) -> Rises:
    """Return each customer's evidence from results on each candidate's ``states`` (n × candidates).

    ``customers`` (accounts) are the codes of the accounts' customers.
    """
    cluster = customers[measured.account]
    order = np.argsort(cluster, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(cluster[order]) != 0))
    parts = [
        _parts(measured, states[:, begin : begin + CANDIDATES_AT_ONCE], order, first)
        for begin in range(0, states.shape[1], CANDIDATES_AT_ONCE)
    ]
    score, information = (np.hstack(part) for part in zip(*parts, strict=True))
    return Rises(cluster[order][first], score, information)


def _parts(
    measured: Measured, states: np.ndarray, order: Ints, first: Ints
) -> tuple[Floats, Floats]:
    """Return score and information of each customer (customers × candidates)."""
    X = _freed(_within(states.astype(np.float64), measured.group), measured.adjusters)
    score = np.add.reduceat((X * measured.value[:, None])[order], first, axis=0)
    information = np.add.reduceat(np.square(X)[order], first, axis=0)
    # If no account ever changes its state, only rounding errors are left.
    seen = information.sum(axis=0) > 1e-6
    return np.where(seen, score, 0.0), np.where(seen, information, 0.0)


def _within(values: Floats, group: Ints) -> Floats:
    """Return values minus their group's mean."""
    count = np.bincount(group).astype(float)
    order = np.argsort(group, kind="stable")
    first = np.concatenate(([0], np.cumsum(count)[:-1])).astype(np.int64)
    means = np.add.reduceat(values[order], first, axis=0) / count[:, None]
    less: Floats = values - means[group]
    return less


def _freed(values: Floats, adjusters: Floats) -> Floats:
    """Return the residuals of ``values`` after regression on the adjusters."""
    if not adjusters.shape[1]:
        return values
    gram = adjusters.T @ adjusters
    scale = np.trace(gram) / len(gram)
    solved = np.linalg.solve(gram + 1e-9 * scale * np.eye(len(gram)), adjusters.T @ values)
    return values - adjusters @ solved
