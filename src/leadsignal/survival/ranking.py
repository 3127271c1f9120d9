"""How well a score ranks the order of events: concordance, and AUC by event time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadsignal.errors import ModelError
from leadsignal.formats import level_text
from leadsignal.plots import auc_over_time
from leadsignal.results import ArrayResult
from leadsignal.stats import logit_limits
from leadsignal.survival.inputs import (
    ArrayValidator,
    Bools,
    Floats,
    Ints,
    Labels,
    snapped,
    sums_by_code,
    sums_by_label,
)
from leadsignal.survival.risk_sets import Censoring, RiskSets, from_the_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Concordance:
    """The share of comparable pairs in which the row with the higher score has the event first.

    Attributes: ``estimate``, ``std_err``, ``lower`` and ``upper`` at ``level``; weighted numbers of
    pairs that are ``concordant``, ``discordant`` and ``tied`` in score (counted half).
    """

    estimate: float
    std_err: float
    lower: float
    upper: float
    concordant: float
    discordant: float
    tied: float
    level: float

    def to_dict(self) -> dict[str, float]:
        """Return the concordance as a plain dictionary, ready for JSON."""
        return dict(self.__dict__)

    def __repr__(self) -> str:
        return (
            f"concordance {self.estimate:.4f} ({level_text(self.level)} {self.lower:.4f} to "
            f"{self.upper:.4f}), {self.concordant + self.discordant + self.tied:,.6g} pairs"
        )


@dataclass(frozen=True, eq=False, repr=False)
class IncidentAuc(ArrayResult):
    """AUC of rows with an event in each interval versus rows still at risk then.

    Attributes: ``begin``, ``end`` (k) of the intervals (begin, end]; ``auc``, ``std_err``,
    ``lower``, ``upper`` and ``events`` (k), NaN where an interval has no comparable event.
    """

    COLUMNS = ("begin", "end", "auc", "std_err", "lower", "upper", "events")

    begin: Floats
    end: Floats
    auc: Floats
    std_err: Floats
    lower: Floats
    upper: Floats
    events: Ints
    level: float

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the AUC by time interval, with confidence intervals, and return the Axes."""
        middle = (self.begin + self.end) / 2
        return auc_over_time(middle, self.auc, self.lower, self.upper, "incident/dynamic AUC", ax)

    def __repr__(self) -> str:
        lines = [
            f"  ({row.begin:g}, {row.end:g}]: {row.auc:.4f} ({row.lower:.4f} to {row.upper:.4f})"
            for row in self._table().itertuples()
        ]
        return "\n".join(["incident/dynamic AUC", *lines])


def concordance(
    stop: ArrayLike,
    event: ArrayLike,
    score: ArrayLike,
    *,
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    horizon: float | None = None,
    censoring: str = "none",
    level: float = 0.95,
) -> Concordance:
    """Return Harrell's concordance of a score with event times; a higher score means sooner.

    An event at t is compared with every other row at risk at t (of its stratum) that has no event
    at t; ties in the score count half (Harrell 1982; Therneau & Watson 2015). Standard errors use
    the infinitesimal jackknife. The cost is O(n log n).

    Parameters
    ----------
    stop, event, score : array-like of shape (n,)
        Time, event (1) or censoring (0), and score. A row is at risk on (start, stop].
    start : array-like of shape (n,), optional
        When each row came under observation.
    weights, strata, cluster : array-like of shape (n,), optional
        Case weights; groups within which rows are compared; clusters for the standard error.
    horizon : float, optional
        Count only events up to this time. Default: all events.
    censoring : {"none", "inverse"}, default "none"
        "inverse" weights an event by 1/G(t−)², so that the value does not depend on the censoring
        distribution (Uno et al. 2011); it cannot be combined with ``start``.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Concordance
        Estimate between 0 and 1, interval and number of pairs.

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    ModelError
        If there are no comparable pairs.

    Examples
    --------
    >>> concordance([1, 2, 3, 4], [1, 1, 0, 1], [0.9, 0.2, 0.4, 0.1])
    concordance 0.8000 (95 % 0.2475 to 0.9799), 5 pairs
    """
    validator = ArrayValidator.of("concordance", "stop", stop)
    (stops, starts), events = validator.times(stop, start), validator.flags("event", event)
    scores = validator.numbers("score", score)
    case_weights = validator.weights(weights)
    stratum, clusters = validator.labels("strata", strata), validator.labels("cluster", cluster)
    validator.one_of("censoring", censoring, ("none", "inverse"))
    validator.level(level)
    if horizon is not None:
        validator.number("horizon", horizon, "a finite number, or None for all events")
    inverse = isinstance(censoring, str) and censoring == "inverse"
    if inverse and start is not None:
        validator.refuse('censoring="inverse" is for rows without start; leave one of the two out')
    validator.close()
    event_weights = case_weights
    if inverse:
        event_weights = case_weights / Censoring.of(stops, ~events).own ** 2
    events = events & (case_weights > 0)
    if horizon is not None:
        events &= stops <= snapped(np.array(horizon, dtype=np.float64), stops)
    pairs = _Pairs(RiskSets.of(stops, events, starts, stratum), events, scores, case_weights)
    return pairs.concordance(event_weights, clusters, level)


def incident_auc(
    stop: ArrayLike,
    event: ArrayLike,
    score: ArrayLike,
    times: ArrayLike,
    *,
    start: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
) -> IncidentAuc:
    """Return the incident/dynamic AUC in the intervals between ``times`` (Heagerty & Zheng 2005).

    In each interval (begin, end] it is the proportion of pairs in which a row with an event has a
    higher score than a row at risk at that time without one.

    Parameters
    ----------
    stop, event, start
        As in `kaplan_meier`.
    score : array_like of shape (n,)
        Score of each row; higher means sooner.
    times : array_like of shape (k + 1,)
        Limits of the intervals, in increasing order.
    cluster : array_like of shape (n,), optional
        Labels of independent units.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    IncidentAuc

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.

    Examples
    --------
    >>> incident_auc([1, 2, 3, 4], [1, 1, 0, 1], [0.9, 0.2, 0.4, 0.1], [0, 1, 2]).auc
    array([1. , 0.5])
    """
    validator = ArrayValidator.of("incident_auc", "stop", stop)
    (stops, starts), events = validator.times(stop, start), validator.flags("event", event)
    scores = validator.numbers("score", score)
    clusters = validator.labels("cluster", cluster)
    edges = validator.rising("times", times, 2)
    validator.level(level)
    validator.close()
    inside = snapped(edges, np.concatenate((stops, [] if starts is None else starts)))
    found = [
        _in_interval(stops, events, starts, scores, clusters, interval, level)
        for interval in pairwise(inside.tolist())
    ]
    auc, error, lower, upper, count = np.array(found, dtype=np.float64).T
    events_there = count.astype(np.intp)
    return IncidentAuc(edges[:-1], edges[1:], auc, error, lower, upper, events_there, level)


def _in_interval(
    stop: Floats, event: Bools, start: Floats | None, score: Floats, cluster: Labels | None,
    interval: tuple[float, float], level: float,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    begin, end = interval
    there = stop > begin if start is None else (stop > begin) & (start < end)
    mine = event[there] & (stop[there] <= end)
    some = None if cluster is None else cluster.at(there)
    sets = RiskSets.of(stop[there], mine, None if start is None else start[there])
    pairs = _Pairs(sets, mine, score[there], np.ones(len(mine)))
    events = int(mine.sum())
    try:
        value = pairs.concordance(np.ones(len(mine)), some, level)
    except ModelError:
        return np.nan, np.nan, np.nan, np.nan, events
    return value.estimate, value.std_err, value.lower, value.upper, events


class _Pairs:
    """Pairs of an event and a row that is at risk at that time but has no event then."""

    def __init__(self, sets: RiskSets, event: Bools, score: Floats, weights: Floats) -> None:
        self.sets, self.weights, self.score = sets, weights, score
        self.leave = sets.upper - event
        self.plain = bool((weights == 1).all())
        pivots = np.unique(score[sets.events])
        self.rank = ranks_among(score, pivots) if len(pivots) else np.zeros(len(score), np.int32)

    def concordance(
        self, event_weights: Floats, cluster: Labels | None, level: float
    ) -> Concordance:
        rows = self.sets.events
        weight = event_weights[rows]
        lower, tied = self._of_events()
        comparable = self._comparable()
        total = float(weight @ comparable)
        if total <= 0:
            raise ModelError(
                "no pair can be compared: no other row is at risk at the time of any event"
            )
        concordant, ties = float(weight @ lower), float(weight @ tied)
        estimate = (concordant + ties / 2) / total
        influence = self._of_rows(weight, estimate)
        influence[rows] += weight * (lower + tied / 2 - estimate * comparable)
        influence /= total
        if cluster is not None:
            influence = sums_by_label(cluster, influence)
        error = float(np.sqrt(influence @ influence))
        lower, upper = logit_limits(estimate, error, level)
        return Concordance(
            estimate, error, float(lower), float(upper),
            concordant, total - concordant - ties, ties, level,
        )  # fmt: skip

    def _comparable(self) -> Floats:
        """Return, for each event, the weight of the rows it is compared with."""
        sets = self.sets
        others = sets.at_risk(self.weights) - sets.at_events(self.weights)
        return np.maximum(others, 0.0)[sets.group]

    def _of_events(self) -> tuple[Floats, Floats]:
        """Return, for each event, the weight of compared rows with lower and with equal score.

        Rows are counted from the group where they enter and subtracted where they leave.
        """
        stays = np.flatnonzero(self.leave > self.sets.lower)
        entered = self._counted(stays, self.sets.lower)
        left = self._counted(stays[self.leave[stays] < len(self.sets)], self.leave)
        return entered[0] - left[0], entered[1] - left[1]

    def _counted(self, rows: Ints, place: Ints) -> tuple[Floats, Floats]:
        """Return, for each event, the weight of ``rows`` in its group or earlier, by score."""
        sets = self.sets
        query = self.rank[sets.events]
        first = place[rows] == 0
        below, equal = self._everywhere(rows[first], query)
        rows = rows[~first]
        if len(rows):
            order = np.argsort(place[rows].astype(np.int32), kind="stable")
            rows = rows[order]
            upto = np.searchsorted(place[rows], np.arange(len(sets)), side="right")[sets.group]
            weight = None if self.plain else self.weights[rows]
            begin = np.zeros_like(upto)
            more = count_below_and_equal(self.rank[rows], weight, begin, upto, query)
            below, equal = below + more[0], equal + more[1]
        return below, equal

    def _everywhere(self, rows: Ints, query: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Return the same for rows at risk from the beginning, which a histogram can count."""
        weight = None if self.plain else self.weights[rows]
        by_rank = sums_by_code(self.rank[rows].astype(np.intp), weight, int(self.rank.max()) + 1)
        running = from_the_first(by_rank)
        return running[query], running[query + 1] - running[query]

    def _of_rows(self, event_weight: Floats, estimate: float) -> Floats:
        """Return each compared row's contribution to concordant − estimate × all pairs."""
        sets = self.sets
        stays = np.flatnonzero(self.leave > sets.lower)
        left, right = sets.offsets[sets.lower[stays]], sets.offsets[self.leave[stays]]
        plain = bool((event_weight == 1).all())
        below, equal = count_below_and_equal(
            self.rank[sets.events], None if plain else event_weight, left, right, self.rank[stays]
        )
        running = from_the_first(event_weight)
        pairs = running[right] - running[left]
        part = np.zeros(len(self.weights))
        part[stays] = pairs - below - equal / 2 - estimate * pairs
        part *= self.weights
        return part


# Counting pairs


Small = NDArray[np.int32]


def ranks_among(values: Floats, pivots: Floats) -> Small:
    """Rank ``values`` against sorted distinct ``pivots``: 2k + 1 at pivot k, 2k just below it."""
    left = np.searchsorted(pivots, values)
    inside = np.minimum(left, len(pivots) - 1)
    ranks: Small = (2 * left + (pivots[inside] == values)).astype(np.int32)
    return ranks


def count_below_and_equal(
    rank: Small, weight: Floats | None, left: Ints, right: Ints, query: Small
) -> tuple[Floats, Floats]:
    """Return, for each query, the weight of points in its range below and at its rank.

    ``rank`` (n), non-negative, and ``weight`` (n; None: 1 each) describe the points in order;
    ``left`` and ``right`` (q) are positions with 0 <= left <= right <= n; ``query`` (q) holds
    ranks.
    """
    below = np.zeros(len(query))
    left, right = left.astype(np.int32), right.astype(np.int32)
    bits = int(max(rank.max(initial=0), query.max(initial=0))).bit_length()
    for bit in reversed(range(bits)):
        ones = (rank >> bit) & 1
        zero = ones == 0
        zeros = _count(zero)
        bit_set = ((query >> bit) & 1).astype(bool)
        zeros_left, zeros_right = zeros[left], zeros[right]
        if weight is None:
            below += bit_set * (zeros_right - zeros_left)
        else:
            total = from_the_first(np.where(zero, weight, 0.0))
            below += bit_set * (total[right] - total[left])
        count = zeros[-1]
        left = np.where(bit_set, count + left - zeros_left, zeros_left)
        right = np.where(bit_set, count + right - zeros_right, zeros_right)
        one = ~zero
        rank = np.concatenate((rank[zero], rank[one]))
        if weight is not None:
            weight = np.concatenate((weight[zero], weight[one]))
    # The points left in each range are those at the query's own rank.
    if weight is None:
        return below, (right - left).astype(np.float64)
    total = from_the_first(weight)
    return below, total[right] - total[left]


def _count(marked: Bools) -> Small:
    total = np.zeros(len(marked) + 1, dtype=np.int32)
    np.cumsum(marked, out=total[1:], dtype=np.int32)
    return total
