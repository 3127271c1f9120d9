"""Matched sets of churns and similar accounts, and means over their pairs.

A set consists of a churn and of accounts that were active, and had not given notice, at the last
snapshot before the churn was known. They have similar tenure, the same contract term, and the same
decile of a risk predicted from context only, so that the comparison is not affected by these.

In a sample of customers, controls are chosen with equal probability: all churned customers are in
the sample, so a random part of them is dropped, in proportion to the sampling of the others. The
mean of a set is then unbiased, however few controls it has.

Two pairs are dependent if a customer is in both, as churned or as control. The variance is the sum
of the products of all dependent pairs (Fafchamps & Gubert 2007; Aronow, Samii & Assenova 2015): the
squared sums by customer, less the squared sums by two customers, which those count twice. Resamples
of customers would count what is peculiar to a pair three times (Owen 2007): their errors were 1.3
to 1.4 times the deviation of the AUC between simulated businesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.engine.duckdb import in_order
from leadsignal.errors import ModelError
from leadsignal.evaluation.alerts import on_grid
from leadsignal.evaluation.methods import risks_in_parts, thinned
from leadsignal.model.churn_model import ChurnModel
from leadsignal.panel import Panel
from leadsignal.stats import normal_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


TENURE_WITHIN = 45
DECILES = 10
MAX_CONTROLS = 10
"""Maximum number of controls per churn, chosen at random; more would add little precision."""


@dataclass(frozen=True, eq=False)
class MatchedSets:
    """Churns, each with one or more controls; all values are looked up in ``rows``.

    ``rows`` are panel rows sorted by account and snapshot. ``case`` (sets) and ``control`` (pairs)
    are account numbers. ``of`` (pairs) is the set to which a control belongs, ``known`` (sets) the
    day on which the churn became known. ``without`` is the number of churns without a control.
    """

    rows: pd.DataFrame
    account: Ints
    day: Ints
    case: Ints
    control: Ints
    of: Ints
    known: Ints
    customer: Ints
    without: int
    on_risk: bool

    def __len__(self) -> int:
        return len(self.case)

    def rows_at(self, lead: int) -> tuple[Ints, Ints]:
        """Return the rows of cases (sets) and controls (pairs) ``lead`` days before, or −1.

        Both are read at the same snapshot: the last one at least ``lead`` days before the churn.
        """
        days = np.unique(self.day)
        place = np.searchsorted(days, self.known - lead, side="right") - 1
        at = np.where(place >= 0, days[np.maximum(place, 0)], -1)
        return self._find(self.case, at), self._find(self.control, at[self.of])

    def _find(self, account: Ints, day: Ints) -> Ints:
        keys = self.account * _SPAN + self.day
        sought = account * _SPAN + day
        place = np.minimum(np.searchsorted(keys, sought), max(len(keys) - 1, 0))
        return np.where(keys[place] == sought, place, -1)


_SPAN = 1_000_000


def match_ends(panel: Panel, *, seed: int = 0) -> MatchedSets:
    """Return matched sets for all churned accounts that have a control.

    If there are too few churns to fit a model of context, sets are matched without it and
    ``on_risk`` is False. Raises ModelError if no churn has a control.
    """
    rows = in_order(on_grid(panel))
    account, ids = pd.factorize(rows["account_id"])
    day = rows["snapshot_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    risk, on_risk = _context_risk(panel, rows)
    weight = np.ones(len(rows)) if panel.weight is None else rows[SAMPLE_WEIGHT].to_numpy()
    stratum = _strata(rows, risk, weight)
    last = np.append(account[1:] != account[:-1], True) if len(rows) else np.zeros(0, bool)
    churns = ~rows["end_cause"].isin(panel.project.not_churn).to_numpy()
    ended = rows["ended_within"].notna().to_numpy()
    ends = np.flatnonzero(last & churns & ended)
    customer = pd.factorize(rows["customer_id"])[0]
    fair = np.flatnonzero(_equally_likely(weight, customer, seed))
    case, control, of = _pairs(ends, fair, stratum, rows["start"].to_numpy(), seed)
    if not len(control):
        none = "no churned account is matched by another of similar tenure, term and context"
        raise ModelError(
            none if len(ends) else "no account has churned",
            "Give more accounts or a longer history"
            + ("" if len(ends) else ", and the accounts that left too"),
        )
    known = day[case] + rows["known_within"].to_numpy(dtype=float)[case].astype(np.int64)
    first = np.zeros(len(ids), dtype=np.int64)
    first[account] = customer
    return MatchedSets(
        rows, account.astype(np.int64), day, account[case], account[control], of, known, first,
        len(ends) - len(case), on_risk,
    )  # fmt: skip


def _context_risk(panel: Panel, rows: pd.DataFrame) -> tuple[Floats, bool]:
    model = ChurnModel(f"{panel.project.horizon}d", estimator="logistic", roles=("context",))
    try:
        model.fit(thinned(panel.narrowed(panel.names(role="context"))))
    except ModelError:
        return np.zeros(len(rows)), False
    return risks_in_parts(model, rows), True


def _equally_likely(weight: Floats, customer: Ints, seed: int) -> NDArray[np.bool_]:
    """Select rows of customers with probability proportional to their weight."""
    if (weight == weight[:1]).all():
        return np.ones(len(weight), dtype=bool)
    lot = np.random.default_rng(seed).random(int(customer.max()) + 1)
    return np.asarray(lot[customer] < weight / weight.max())


def _strata(rows: pd.DataFrame, risk: Floats, weight: Floats) -> Ints:
    """Return a number by row that is equal for rows of the same snapshot, term and risk decile."""
    decile = np.minimum(
        (_ranks(rows["snapshot_on"], risk, weight) * DECILES).astype(int), DECILES - 1
    )
    term = rows["term_months"].fillna(-1) if "term_months" in rows else pd.Series(0, rows.index)
    parts = pd.DataFrame({"day": rows["snapshot_on"], "term": term, "decile": decile})
    return np.asarray(parts.groupby(["day", "term", "decile"]).ngroup().to_numpy(np.int64))


def _ranks(day: pd.Series[Any], risk: Floats, weight: Floats) -> Floats:
    """Return the mean rank of each row among those of its day, as a share of the total weight."""
    frame = pd.DataFrame({"day": day.to_numpy(), "risk": risk, "weight": weight})
    equal = frame.groupby(["day", "risk"])["weight"].sum().rename("equal").reset_index()
    equal["below"] = equal.groupby("day")["equal"].cumsum() - equal["equal"]
    equal["all"] = equal.groupby("day")["equal"].transform("sum")
    found = frame.merge(equal, on=["day", "risk"], how="left")
    ranks = (found["below"] + (found["equal"] + 1) / 2) / found["all"]
    return np.asarray(ranks, dtype=np.float64)


def _pairs(
    ends: Ints, controls: Ints, stratum: Ints, tenure: Ints, seed: int
) -> tuple[Ints, Ints, Ints]:
    """Return the rows of cases, the rows of their controls, and the case of each control."""
    rng = np.random.default_rng(seed)
    order = controls[np.lexsort((tenure[controls], stratum[controls]))]
    key = stratum[order].astype(np.float64) * _SPAN + tenure[order]
    position = stratum[ends].astype(np.float64) * _SPAN + tenure[ends]
    begin = np.searchsorted(key, position - TENURE_WITHIN, side="left")
    stop = np.searchsorted(key, position + TENURE_WITHIN, side="right")
    none = np.zeros(0, np.int64)
    case: list[int] = []
    control, of = [none], [none]
    for end, first, after in zip(ends, begin, stop, strict=True):
        near = order[first:after]
        near = near[near != end]
        if not len(near):
            continue
        if len(near) > MAX_CONTROLS:
            near = np.sort(rng.choice(near, MAX_CONTROLS, replace=False))
        of.append(np.full(len(near), len(case)))
        case.append(end)
        control.append(near)
    return np.array(case, dtype=np.int64), np.concatenate(control), np.concatenate(of)


LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Estimates:
    """AUC of each indicator (k), its standard error, and the number of churns used."""

    auc: Floats
    std_err: Floats
    ends: Ints

    def within(self, least: float, most: float) -> tuple[Floats, Floats]:
        """Return the confidence limits, kept between two bounds."""
        margin = normal_quantile(LEVEL) * self.std_err
        return np.maximum(self.auc - margin, least), np.minimum(self.auc + margin, most)


@dataclass(frozen=True, eq=False)
class MatchedPairs:
    """The pairs of matched sets: their set, and the customers of the churned and the control.

    ``weight`` (pairs) sums to 1 in each set.
    """

    of: Ints
    churned: Ints
    control: Ints
    weight: Floats

    @classmethod
    def of_sets(cls, sets: MatchedSets) -> MatchedPairs:
        """Return the pairs of matched sets."""
        churned, control = sets.customer[sets.case[sets.of]], sets.customer[sets.control]
        return cls(sets.of, churned, control, 1 / np.bincount(sets.of)[sets.of])

    @cached_property
    def _sums(self) -> tuple[csr_array, csr_array, csr_array]:
        """Matrices that sum pairs by customer, by two customers, and by churned customer."""
        other = self.churned != self.control
        every = np.arange(len(self.of))
        customers = int(max(self.churned.max(), self.control.max())) + 1
        low, high = np.minimum(self.churned, self.control), np.maximum(self.churned, self.control)
        both = np.unique(low * customers + high, return_inverse=True)[1]
        by_customer = (
            np.append(self.churned, self.control[other]),
            np.append(every, every[other]),
        )
        ones = np.ones(len(by_customer[0]))
        return (
            csr_array((ones, by_customer)),
            csr_array((other.astype(np.float64), (both, every))),
            csr_array((ones[: len(every)], (self.churned, every))),
        )

    def auc(self, pairs: Floats, kept: NDArray[np.bool_]) -> Estimates:
        """Return the means of ``pairs`` (pairs, k) over the sets that are kept, ignoring NaN."""
        known = ~np.isnan(pairs) & kept[self.of][:, None]
        value = np.where(known, pairs, 0.0)
        total = self.weight @ known
        with np.errstate(invalid="ignore", divide="ignore"):
            estimate = (self.weight @ value) / total
            influence = self.weight[:, None] * known * (value - estimate) / total
        first = np.flatnonzero(np.append(True, self.of[1:] != self.of[:-1]))
        ends = (np.add.reduceat(known, first, axis=0) > 0).sum(axis=0)
        return Estimates(estimate, self._std_err(influence, ends), ends)

    def _std_err(self, influence: Floats, ends: Ints) -> Floats:
        """Return standard errors; at least those of independent sets, as few pairs can give 0."""
        by_customer, by_both, by_churned = (
            ((matrix @ influence) ** 2).sum(axis=0) for matrix in self._sums
        )
        variance = np.maximum(by_customer - by_both, by_churned)
        found: Floats = np.sqrt(variance * ends / np.maximum(ends - 1, 1))
        return found

    def rise(self, last: Floats, early: Floats) -> Estimates:
        """Return how much further from 0.5 the AUC is at the last snapshot, for the same pairs."""
        both = last - early
        away = np.nan_to_num(np.where(np.isnan(both), 0.0, last - 0.5))
        side = np.sign(away.T @ self.weight)
        found = self.auc(both, np.ones(int(self.of.max()) + 1, dtype=bool))
        return Estimates(side * found.auc, found.std_err, found.ends)
