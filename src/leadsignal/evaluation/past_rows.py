"""Rows on past dates with what followed: alerts, the churns they announce, and matched sets.

Functions take and return arrays. Every method has the same number of alerts at each snapshot.

A matched set consists of a churn and of accounts that were active, and had not given notice, at the
last snapshot before the churn was known. They have similar tenure, the same contract term, and the
same decile of a risk predicted from context only, so that the comparison is not affected by these.

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

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from leadsignal.churn.events import UNEXPECTED, ChurnEvents
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.engine.duckdb import in_order
from leadsignal.errors import ModelError
from leadsignal.model.churn_model import ChurnModel
from leadsignal.panel import Panel
from leadsignal.stats import normal_quantile

if TYPE_CHECKING:
    pass

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


Days = NDArray[np.int64]


MONTH = 365.25 / 12
NOWHERE = -1


@dataclass(frozen=True, eq=False)
class EvaluationRows:
    """The evaluated rows, sorted by account and snapshot, with their outcomes.

    ``rows`` are panel rows on the calendar grid, before any notice, each followed for
    the whole ``horizon``. ``day``, ``account`` and ``customer`` are integer codes. ``stop`` is the
    number of days followed and ``outcome`` the state at the horizon: 0 still there, 1 churned, 2
    ended otherwise. ``weight`` is the number of rows that each represents: 1, unless the customers
    are a sample.
    """

    rows: pd.DataFrame
    day: Days
    account: Days
    customer: Days
    stop: Floats
    outcome: Days
    arr: Floats
    horizon: int
    every: int
    weight: Floats

    @property
    def churned(self) -> Bools:
        """Which rows are followed by churn within the horizon."""
        return np.asarray(self.outcome == 1)

    @property
    def months(self) -> float:
        """Number of months covered by the snapshots."""
        return len(np.unique(self.day)) * self.every / MONTH


def on_grid(panel: Panel) -> pd.DataFrame:
    """Return the rows on the calendar grid, of accounts that have not given notice."""
    frame = panel.frame
    mine = (_days(frame["snapshot_on"]) - 4) % panel.every == 0  # 1970-01-05 is day 4
    rows: pd.DataFrame = frame[mine & ~frame["notice_given"].to_numpy(dtype=bool)]
    return rows


def rows_to_evaluate(panel: Panel, first: Any, horizon: int) -> EvaluationRows:
    """Return the rows from ``first`` on that have been followed for the whole horizon."""
    rows = on_grid(panel)
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)
    rows = rows[(rows["snapshot_on"] >= pd.Timestamp(first)) & (rows["snapshot_on"] < last)]
    rows = in_order(rows)
    within = rows["ended_within"].to_numpy(dtype=float, na_value=np.inf)
    ended = within <= horizon
    churns = ~rows["end_cause"].isin(panel.project.not_churn).to_numpy()
    account, customer = (
        pd.factorize(rows[name])[0].astype(np.int64) for name in ("account_id", "customer_id")
    )
    stop, outcome = np.minimum(within, horizon + 1.0), np.where(ended, np.where(churns, 1, 2), 0)
    arr = rows["arr"].to_numpy(dtype=float, na_value=np.nan)
    weight = np.ones(len(rows)) if panel.weight is None else rows[SAMPLE_WEIGHT].to_numpy(float)
    return EvaluationRows(
        rows, _days(rows["snapshot_on"]), account, customer, stop, outcome.astype(np.int64), arr,
        horizon, panel.every, weight,
    )  # fmt: skip


def _days(dates: Any) -> Days:
    return np.asarray(dates.to_numpy().astype("datetime64[D]").astype(np.int64))


def raise_alerts(evaluation: EvaluationRows, risk: Floats, capacity: float) -> Bools:
    """Return which rows are alerted: a share ``capacity`` of each snapshot, at least one account.

    Ties are broken by a fixed random order of the accounts, so that no account is favoured and
    alerts are stable over time. A missing risk counts as the lowest.
    """
    known = np.where(np.isnan(risk), -np.inf, risk)
    draw = np.random.default_rng(0).permutation(int(evaluation.account.max(initial=-1)) + 1)
    order = np.lexsort((draw[evaluation.account], -known, evaluation.day))
    day = evaluation.day[order]
    first = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
    size = np.diff(np.append(first, len(day)))
    weight = evaluation.weight[order]
    whole = np.add.reduceat(weight, first) if len(day) else weight
    allowed = np.maximum(1, np.round(capacity * whole))
    # A row represents as many rows as its weight; it is alerted if at least half of them are.
    before = np.cumsum(weight) - weight / 2
    before -= np.repeat(before[first] - weight[first] / 2, size)
    alerted = np.zeros(len(day), dtype=bool)
    alerted[order] = before < np.repeat(allowed, size)
    alerted[order[first]] = True
    return alerted


@dataclass(frozen=True, eq=False)
class Episodes:
    """Unbroken runs of alerted snapshots: first and last row of each, and the run of each row."""

    first: Days
    last: Days
    of_row: Days


def find_episodes(evaluation: EvaluationRows, alerted: Bools) -> Episodes:
    """Return the runs of ``alerted`` rows (n) within each account; other rows have −1."""
    before = np.append(False, alerted[:-1] & (evaluation.account[1:] == evaluation.account[:-1]))
    after = np.append(alerted[1:] & (evaluation.account[1:] == evaluation.account[:-1]), False)
    begins = alerted & ~before
    number = np.cumsum(begins) - 1
    return Episodes(
        np.flatnonzero(begins), np.flatnonzero(alerted & ~after), np.where(alerted, number, NOWHERE)
    )


@dataclass(frozen=True, eq=False)
class EvaluableChurns:
    """Churn events that an alert at one of the evaluation rows could have announced.

    Attributes
    ----------
    frame : DataFrame
        One row per churn event, with the columns of ``ChurnEvents.frame``.
    chance : array of int
        Evaluation row of the last snapshot at least one warning time before the churn was known.
    before_drop : array of int
        Evaluation row of the last snapshot strictly before usage dropped (or before the churn was
        known, if usage did not drop); −1 if that is before the first evaluation row.
    known, drop : array of int
        Days on which the churn became known and on which usage dropped.
    customer : array of int
        Cluster of each account.
    """

    frame: pd.DataFrame
    chance: Days
    before_drop: Days
    known: Days
    drop: Days
    customer: Days

    @property
    def unexpected(self) -> Bools:
        """Which churns no warning had announced."""
        return (self.frame["verdict"] == UNEXPECTED).to_numpy()

    @property
    def arr(self) -> Floats:
        """ARR of each account at its last snapshot."""
        return self.frame["arr"].to_numpy(dtype=float, na_value=np.nan)


def churns_to_evaluate(
    evaluation: EvaluationRows, panel: Panel, churns: ChurnEvents
) -> EvaluableChurns:
    """Find the two rows of each churned account at which it should have been alerted."""
    churned = churns.churned.reset_index(drop=True)
    known = _days(churned["known_on"])
    drop = np.minimum(_days(churned["usage_drop_on"].fillna(pd.Timestamp.max.floor("D"))), known)
    rows = on_grid(panel)
    rows = rows[rows["account_id"].isin(churned["account_id"])]
    place = pd.Index(churned["account_id"]).get_indexer(rows["account_id"])
    day = _days(rows["snapshot_on"])
    chance = _last_day(place, day, day <= known[place] - churns.warning_time, len(churned))
    before = _last_day(place, day, day < drop[place], len(churned))
    where = pd.MultiIndex.from_arrays([evaluation.rows["account_id"], evaluation.day])
    at = [
        where.get_indexer(pd.MultiIndex.from_arrays([churned["account_id"], when]))
        for when in (chance, before)
    ]
    kept = at[0] >= 0
    chance, before = (one[kept] for one in at)
    own, customer = churned[kept].reset_index(drop=True), evaluation.customer[chance]
    return EvaluableChurns(own, chance, before, known[kept], drop[kept], customer)


def _last_day(place: Days, day: Days, allowed: Bools, size: int) -> Days:
    last = np.full(size, np.iinfo(np.int32).min, dtype=np.int64)
    np.maximum.at(last, place[allowed], day[allowed])
    return last


@dataclass(frozen=True, eq=False)
class Catches:
    """What a method's alerts achieved for each evaluated churn.

    ``in_time`` and ``before_drop`` say whether it was caught (NaN if that cannot be evaluated).
    ``lead`` and ``head_start`` are in days, at most the horizon, and 0 if it was not caught.
    """

    in_time: Bools
    before_drop: Floats
    lead: Floats
    head_start: Floats


def catch(evaluation: EvaluationRows, episodes: Episodes, churns: EvaluableChurns) -> Catches:
    """Return which churns were caught by alert episodes, and how long before."""
    since = np.append(evaluation.day[episodes.first], 0)  # NOWHERE selects the last element
    in_time, lead = _caught(evaluation, episodes, churns.chance, churns.known, since)
    dropped, head = _caught(evaluation, episodes, churns.before_drop, churns.drop, since)
    evaluated = churns.before_drop >= 0
    before_drop, head = (np.where(evaluated, one, np.nan) for one in (dropped, head))
    return Catches(in_time, before_drop, lead, head)


def _caught(
    evaluation: EvaluationRows, episodes: Episodes, at: Days, event: Days, since: Days
) -> tuple[Bools, Floats]:
    number = np.where(at >= 0, episodes.of_row[at], NOWHERE)
    caught = number >= 0
    days = np.minimum(event - since[number], evaluation.horizon).astype(np.float64)
    return caught, np.where(caught, days, 0.0)


def churned_after(evaluation: EvaluationRows, episodes: Episodes) -> tuple[Bools, Bools]:
    """Return whether churn followed within the horizon of the start and of the end of each episode.

    The first array counts the horizon from the first snapshot of an episode, the second from the
    last.
    """
    return evaluation.churned[episodes.first], evaluation.churned[episodes.last]


FIT_EVERY = 28
"""Models are fitted on snapshots at least this many days apart, as closer ones are redundant."""


ROWS_AT_ONCE = 20_000


def thinned(panel: Panel) -> Panel:
    """Return the panel with snapshots at least 28 days apart, for fitting models."""
    step = -(-FIT_EVERY // panel.every)
    if step <= 1:
        return panel
    days = np.sort(on_grid(panel)["snapshot_on"].unique())[::-step]
    frame = panel.frame
    return replace(panel, frame=frame[frame["snapshot_on"].isin(days)].reset_index(drop=True))


def risks_in_parts(model: ChurnModel, rows: pd.DataFrame) -> Floats:
    """Return the risks of rows, computed for a part of them at a time."""
    parts = [
        model.predict(rows.iloc[begin : begin + ROWS_AT_ONCE]).risk
        for begin in range(0, len(rows), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


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
    day = _days(rows["snapshot_on"])
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
