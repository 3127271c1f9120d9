"""The partial likelihood with the linear predictor centred in each risk set (log-sum-exp).

Slower than ``partial_likelihood``, but accurate for linear predictors of any range. Nothing is ever
subtracted from a sum, so small risk sets lose no precision next to large ones:

- The event groups are the leaves of a binary tree. A row is assigned to the few nodes that together
  cover the groups in which it is at risk without an event there. A risk set is then the union of
  the nodes above its group, and sums over it only add.
- A sum of risks is stored as its logarithm L and the risk-weighted mean of the covariates; two
  of them merge into (log(e^L1 + e^L2), weighted mean).
- The information is a sum of squares: rows around the mean of their node, nodes around the mean of
  the risk set, events around the mean of the tied events, and events versus the others.

Let N be the rows at risk without an event in group g and D its d tied events. The k-th term of
Efron's (1977) likelihood has total risk N0 + (1 − k/d) D0 (Breslow: N0 + D0), of which the shares p
and 1 − p belong to N and D. Let w̄ be the mean weight of the events, m_N and m_D the risk-weighted
means of the covariates, and

    n = w̄ Σ_k p_k,   e = w̄ Σ_k (1 − p_k),   γ = w̄ Σ_k p_k (1 − p_k),   δ = m_D − m_N

    score = Σ_events w (x − m_D) + Σ_g n δ,   information = Σ_g [n cov_N + e cov_D + γ δ δ']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from leadsignal.survival.inputs import Bools, Floats, Ints, sums_by_code
from leadsignal.survival.risk_sets import RiskSets

BLOCK = 16_384  # rows whose squares are summed at once


class RiskSetTree:
    """Rows assigned to the nodes of a binary tree over event groups.

    Node 1 is the root, node i has the children 2i and 2i + 1, and ``size`` + g is the leaf of group
    g. ``row`` and ``node`` list which row is assigned to which node, ordered by node.
    """

    def __init__(self, sets: RiskSets, counts: Bools) -> None:
        self.groups = len(sets)
        self.size = 1 << (self.groups - 1).bit_length()
        upper = sets.upper.copy()
        upper[sets.events] -= 1
        row = np.flatnonzero(counts & (sets.lower < upper))
        self.row, self.node = _filed(row, sets.lower[row] + self.size, upper[row] + self.size)
        self.used, self.begin, self.place = _runs(self.node)

    def own(self, log_risk: Floats, Z: Floats) -> tuple[Floats, Floats, Floats]:
        """Return each node's log sum of risks, mean (2 size × p) and its rows' shares."""
        total = np.full(2 * self.size, -np.inf)
        mean = np.zeros((2 * self.size, Z.shape[1]))
        if not len(self.row):
            return total, mean, np.zeros(0)
        filed = log_risk[self.row]
        total[self.used], share = _log_sums(filed, self.begin, self.place)
        pointers = np.append(self.begin, len(self.row))
        pick = csr_array((share, self.row, pointers), shape=(len(self.used), len(Z)))
        mean[self.used] = pick @ Z
        return total, mean, share

    def down(self, total: Floats, mean: Floats) -> tuple[Floats, Floats]:
        """Return, for each group, the log sum and the mean over its leaf and all nodes above it."""
        total, mean = total.copy(), mean.copy()
        begin = 2
        while begin <= self.size:
            here, above = slice(begin, 2 * begin), np.arange(begin, 2 * begin) >> 1
            total[here], mean[here] = _merged(total[above], mean[above], total[here], mean[here])
            begin *= 2
        leaves = slice(self.size, self.size + self.groups)
        return total[leaves], mean[leaves]

    def up(self, weight: Floats, mean: Floats) -> tuple[Floats, Floats]:
        """Return, for each node, the log sum of weights and the mean of the groups below it."""
        total = np.full(2 * self.size, -np.inf)
        means = np.zeros((2 * self.size, mean.shape[1]))
        total[self.size : self.size + self.groups] = weight
        means[self.size : self.size + self.groups] = mean
        begin = self.size // 2
        while begin:
            left, right = slice(2 * begin, 4 * begin, 2), slice(2 * begin + 1, 4 * begin, 2)
            here = slice(begin, 2 * begin)
            total[here], means[here] = _merged(total[left], means[left], total[right], means[right])
            begin //= 2
        return total, means

    def largest(self, values: Floats) -> Ints:
        """Return, for each group, the row at risk without an event that has the largest value.

        ``values`` has one value per row. The result is -1 for a group without such rows.
        """
        best = np.full(2 * self.size, -1)
        if len(self.row):
            order = np.lexsort((values[self.row], self.node))
            best[self.used] = self.row[order[np.append(self.begin[1:], len(self.row)) - 1]]
        worth = np.append(values, -np.inf)  # value of "row" -1
        begin = 2
        while begin <= self.size:
            own, above = best[begin : 2 * begin], best[np.arange(begin, 2 * begin) >> 1]
            best[begin : 2 * begin] = np.where(worth[above] > worth[own], above, own)
            begin *= 2
        return best[self.size : self.size + self.groups]

    def levels(self) -> Iterator[Ints]:
        """Yield, from the leaves to the root, the node above each group."""
        node = np.arange(self.size, self.size + self.groups)
        while node[0]:
            yield node
            node = node >> 1


@dataclass(frozen=True, eq=False)
class RiskSetTerms:
    """The partial likelihood at one point, by risk set; letters as in the module's formulas.

    ``total``, ``mean`` and ``share`` are those of ``RiskSetTree.own``; ``log_others`` (G) is the
    logarithm of N0; ``mean_others``, ``mean_events`` (G × p), ``others_risk`` and ``events_risk``
    (G) are m_N, m_D, n and e; ``share_events`` is each event's share of D0; ``log_step`` (G) the
    logarithm of the baseline's step, ``log_square`` that of its variance and ``step_mean`` (G × p)
    the mean covariates at risk, weighted by the step.
    """

    tree: RiskSetTree
    sets: RiskSets
    Z: Floats
    weights: Floats
    total: Floats
    mean: Floats
    share: Floats
    log_others: Floats
    mean_others: Floats
    mean_events: Floats
    share_events: Floats
    others_risk: Floats
    events_risk: Floats
    gamma: Floats
    log_step: Floats
    log_square: Floats
    step_mean: Floats
    loglik: float

    @cached_property
    def difference(self) -> Floats:
        """Mean of the events minus that of the others at risk; 0 if there are no others (G × p)."""
        return np.where(
            np.isfinite(self.log_others)[:, None], self.mean_events - self.mean_others, 0.0
        )

    @cached_property
    def mean_covariate(self) -> Floats:
        """Mean covariates that an event is compared with (G × p)."""
        share = self.others_risk / (self.others_risk + self.events_risk)
        return self.mean_events - share[:, None] * self.difference

    @property
    def score(self) -> Floats:
        """Derivative of the log-likelihood (p)."""
        events = self.sets.events
        within = self.weights[events] @ (self.Z[events] - self.mean_events[self.sets.group])
        return within + self.others_risk @ self.difference

    def hazards(self) -> Floats:
        """Return each row's expected events, times its weight (n)."""
        expected = sums_by_code(self.tree.row, self._expected, len(self.Z))
        expected[self.sets.events] += self.share_events * self.events_risk[self.sets.group]
        return expected

    def score_residuals(self) -> Floats:
        """Return each row's contribution to the score (n × p)."""
        sets, tree, group = self.sets, self.tree, self.sets.group
        pairs = (self._expected, (tree.row, tree.place))
        pick = csr_array(pairs, shape=(len(self.Z), len(tree.used)))
        residuals: Floats = pick @ self._below[1][tree.used]
        residuals -= pick.sum(axis=1)[:, None] * self.Z
        x = self.Z[sets.events]
        own = self.events_risk[group, None] * (x - self.mean_events[group])
        own += (self.gamma[:, None] * self.difference)[group]
        own = self.weights[sets.events, None] * (x - self.mean_covariate[group]) - (
            self.share_events[:, None] * own
        )
        residuals[sets.events] += own
        return residuals

    def information(self, group_weights: Floats | None = None) -> Floats:
        """Return the information (p × p), with non-negative weights of the groups' parts."""
        factor = np.ones(len(self.sets)) if group_weights is None else group_weights
        alpha, group = self.others_risk * factor, self.sets.group
        p = self.Z.shape[1]
        information = np.zeros((p, p))
        for weight, x in self._squares(alpha):
            information += (x * weight[:, None]).T @ x
        x = self.Z[self.sets.events] - self.mean_events[group]
        information += (x * (self.share_events * (self.events_risk * factor)[group])[:, None]).T @ x
        between = self.difference
        information += (between * (self.gamma * factor)[:, None]).T @ between
        return information

    def weighted_information(self, group_weights: Floats) -> Floats:
        """Return Σ_groups weight × the group's part of the information; weights may be negative."""
        more = self.information(np.maximum(group_weights, 0.0))
        return more - self.information(np.maximum(-group_weights, 0.0))

    def _squares(self, alpha: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Yield the weights and deviations whose squares add up to Σ α cov_N."""
        tree = self.tree
        below = tree.up(_log(alpha) - _finite(self.log_others), np.zeros((len(alpha), 0)))[0]
        weight = self.share * np.exp(self.total + below)[tree.node]
        for begin in range(0, len(weight), BLOCK):
            part = slice(begin, begin + BLOCK)
            yield weight[part], self.Z[tree.row[part]] - self.mean[tree.node[part]]
        for node in tree.levels():
            there = np.isfinite(self.total[node])
            own, group = node[there], np.flatnonzero(there)
            share = np.exp(self.total[own] - self.log_others[group])
            yield alpha[group] * share, self.mean[own] - self.mean_others[group]

    @cached_property
    def _below(self) -> tuple[Floats, Floats]:
        """Expected events per unit of risk below each node, and the covariates to compare with."""
        pull = np.divide(
            self.gamma, self.others_risk, out=np.zeros(len(self.gamma)), where=self.others_risk > 0
        )
        compared = self.mean_others + pull[:, None] * self.difference
        return self.tree.up(_log(self.others_risk) - _finite(self.log_others), compared)

    @cached_property
    def _expected(self) -> Floats:
        """Expected events of each row under each of its nodes."""
        return self.share * np.exp(self.total + self._below[0])[self.tree.node]


def terms_by_risk_set(
    tree: RiskSetTree, sets: RiskSets, Z: Floats, weights: Floats, log_risk: Floats, efron: bool
) -> RiskSetTerms:
    """Return the terms of rows ``Z`` (n × p) with log w + η in ``log_risk`` (n)."""
    total, mean, share = tree.own(log_risk, Z)
    LN, mean_others = tree.down(total, mean)
    events, group = sets.events, sets.group
    LD, share_events = _log_sums(log_risk[events], sets.offsets[:-1], group)
    pick = csr_array((share_events, np.arange(len(events)), sets.offsets))
    mean_events = pick @ Z[events]
    tie = np.zeros(len(group))
    if efron:
        tie = (np.arange(len(group)) - sets.offsets[group]) / sets.deaths[group]
    gap = LN - LD
    den = np.logaddexp(gap[group], np.log(1 - tie))  # log of N0 + (1 − k/d) D0, less LD
    p_N, p_D = np.exp(gap[group] - den), (1 - tie) * np.exp(-den)
    event_weight = weights[events]
    mean_weight = sums_by_code(group, event_weight, len(sets)) / sets.deaths
    larger = np.maximum(gap, 0.0)
    inverse = np.exp(larger[group] - den)

    def over_ties(values: Floats) -> Floats:
        return sums_by_code(group, values, len(sets))

    steps, tied = over_ties(inverse), over_ties(inverse * p_D)
    others = np.where(np.isfinite(LN)[:, None], mean_others, mean_events)
    relative = log_risk[events] - np.log(event_weight) - LD[group]
    return RiskSetTerms(
        tree, sets, Z, weights, total, mean, share, LN, mean_others, mean_events, share_events,
        others_risk=mean_weight * over_ties(p_N),
        events_risk=mean_weight * over_ties(p_D),
        gamma=mean_weight * over_ties(p_N * p_D),
        log_step=np.log(mean_weight * steps) - LD - larger,
        log_square=np.log(mean_weight * over_ties(inverse**2)) - 2 * (LD + larger),
        step_mean=others + (tied / steps)[:, None] * (mean_events - others),
        loglik=float(event_weight @ relative - mean_weight[group] @ den),
    )  # fmt: skip


def _filed(row: Ints, lower: Ints, upper: Ints) -> tuple[Ints, Ints]:
    """Return the pairs of rows and nodes that cover each row's [lower, upper), ordered by node.

    >>> row, node = _filed(np.array([7]), np.array([4]), np.array([7]))
    >>> row, node  # leaves 4 and 5 are node 2, leaf 6 is alone
    (array([7, 7]), array([2, 6]))
    """
    rows, nodes = [row[:0]], [row[:0]]
    while len(row):
        for odd, node in ((lower & 1 == 1, lower), (upper & 1 == 1, upper - 1)):
            rows.append(row[odd])
            nodes.append(node[odd])
        lower, upper = (lower + 1) >> 1, upper >> 1
        left = lower < upper
        row, lower, upper = row[left], lower[left], upper[left]
    found = np.concatenate(nodes)
    order = np.argsort(found, kind="stable")
    return np.concatenate(rows)[order], found[order]


def _runs(codes: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the distinct values of sorted ``codes``, where each begins, and each code's number."""
    fresh = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
    begin = np.flatnonzero(fresh)
    return codes[begin], begin, np.cumsum(fresh) - 1


def _log_sums(logs: Floats, begin: Ints, run: Ints) -> tuple[Floats, Floats]:
    """Return the log-sum-exp of each run of ``logs``, and each element's share of it."""
    top = np.maximum.reduceat(logs, begin)
    risk = np.exp(logs - top[run])
    sums = np.add.reduceat(risk, begin)
    return top + np.log(sums), risk / sums[run]


def _merged(
    total: Floats, mean: Floats, other: Floats, other_mean: Floats
) -> tuple[Floats, Floats]:
    """Return the log sum and the mean of two sums merged; an empty sum has the logarithm −∞."""
    both = np.logaddexp(total, other)
    share = np.exp(other - _finite(both))[:, None]
    return both, mean + share * (other_mean - mean)


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(values)
    return logs


def _finite(logs: Floats) -> Floats:
    """Return ``logs`` with −∞ replaced by 0, so that subtracting it leaves −∞ as it is."""
    return np.where(np.isfinite(logs), logs, 0.0)
