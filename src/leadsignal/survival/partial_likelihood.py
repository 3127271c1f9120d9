"""Cox's partial likelihood for start/stop rows: value, score, information, score residuals.

Efron's (1977) and Breslow's (1974) treatment of ties in one form. With r_i = w_i exp(η_i),
S0, S1 the risk-set sums of r and r·x, D0, D1 the same over the d tied events of a group, w̄ the
mean weight of those events and den_k = S0 − (k/d) D0, k = 0 … d−1 (Breslow: k/d → 0):

    a = w̄ Σ 1/den_k,   b = w̄ Σ (k/d)/den_k,   c_m = w̄ Σ (k/d)^m / den_k²
    v_i = r_i (Σ a over the row's groups − δ_i b)
    log L = Σ_events w η − Σ_groups w̄ Σ_k log den_k,   score = X'(wδ − v)
    information = X' diag(v) X − Σ_groups [c0 S1 S1' − c1 (S1 D1' + D1 S1') + c2 D1 D1']

``docs/survival.md`` derives this. One evaluation reads the matrix twice, in blocks that stay in
the cache; the caller's matrix is never copied as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from leadsignal.survival.inputs import Floats, Ints, Labels, sums_by_code
from leadsignal.survival.risk_sets import RiskSets, from_the_first, from_the_last

BLOCK = 8192  # rows; 8,192 × 20 doubles are 1.3 MB, which stay in a second-level cache
OFF_CENTRE = 30.0  # mean over deviation; beyond it, centring is worth its copy of each block
Matrix = NDArray[Any]


@dataclass(frozen=True, eq=False)
class GroupTerms:
    """What an evaluation knows of each event group; letters as in the module's formulas.

    ``risk`` (n) is r; with it go a, b, c0, c1, c2 (G), S1 and D1 (G × p) and the log-likelihood.
    """

    risk: Floats
    S1: Floats
    D1: Floats
    a: Floats
    b: Floats
    c0: Floats
    c1: Floats
    c2: Floats
    event_weight: Floats
    loglik: float

    @property
    def expected_total(self) -> Floats:
        """Covariates that the events of a group are expected to have together, G × p."""
        total: Floats = self.a[:, None] * self.S1 - self.b[:, None] * self.D1
        return total

    @cached_property
    def mean_covariate(self) -> Floats:
        """What an event's covariates are compared with: (a S1 − b D1)/(d w̄), G × p."""
        return self.expected_total / self.event_weight[:, None]

    @cached_property
    def mean_increment(self) -> Floats:
        """Risk-set mean times hazard, summed over the ties: c0 S1 − c1 D1, G × p."""
        return self.c0[:, None] * self.S1 - self.c1[:, None] * self.D1


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The partial likelihood at ``coef``: value, score (p), information (p × p).

    ``spread`` (p) is the diagonal of the information before the groups' part is taken off: what
    is left of it after that subtraction tells a constant column from one that varies.
    """

    coef: Floats
    loglik: float
    score: Floats
    information: Floats
    spread: Floats

    @property
    def usable(self) -> bool:
        """False where coefficients are so large that risks left the range of numbers."""
        return bool(np.isfinite(self.loglik) and np.isfinite(self.information).all())


class PartialLikelihood:
    """Rows made ready once; then ``evaluate`` at any coefficients.

    Arrays are trusted: X (n × p) finite, ``weights`` and ``offset`` (n) finite, weights positive
    wherever there is an event.
    """

    def __init__(
        self, X: Matrix, sets: RiskSets, weights: Floats, offset: Floats | None, efron: bool
    ) -> None:
        self.X = X
        self.sets = sets
        self.weights = weights
        self.offset = offset
        self.efron = efron
        self.centre = _centre(X)
        # Rows at risk at no event time: whatever their covariates, they must not overflow.
        idle = sets.lower >= sets.upper
        self._idle = idle if idle.any() else None
        self._selectors = _Selectors(sets)
        self.event_X = self.rows(sets.events)
        self._event_weights = weights[sets.events]
        self._tied = csr_array(
            (np.empty(len(sets.events)), np.arange(len(sets.events)), sets.offsets),
            shape=(len(sets), len(sets.events)),
        )
        self._event_total = self._event_weights @ self.event_X
        self.shift = 0.0 if offset is None else float(offset.max())

    def rows(self, which: Ints | slice) -> Floats:
        """Return rows of the matrix as centred doubles; a view where nothing has to change."""
        block = self.X[which]
        if self.centre is not None:
            return np.subtract(block, self.centre, dtype=np.float64, order="C")
        return np.ascontiguousarray(block, dtype=np.float64)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Go through the matrix block by block."""
        for begin in range(0, len(self.X), BLOCK):
            block = slice(begin, min(begin + BLOCK, len(self.X)))
            yield block, self.rows(block)

    def evaluate(self, coef: Floats) -> Evaluation:
        """Return value, score and information at ``coef``."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            terms = self.terms(coef)
            gram = self._second_pass(self.hazards(terms))
            # X'v needs no pass over the rows: it is Σ_groups (a S1 − b D1).
            score = self._event_total - terms.expected_total.sum(axis=0)
            information = gram - self._group_part(terms)
        return Evaluation(coef, terms.loglik, score, information, np.diag(gram).copy())

    def weighted_information(self, terms: GroupTerms, group_weights: Floats) -> Floats:
        """Return Σ_groups weight × the group's part of the information."""
        scaled = self.hazards(terms, group_weights)
        negative = np.minimum(scaled, 0.0)
        gram = self._second_pass(scaled - negative)
        if negative.any():
            gram = gram - self._second_pass(-negative)
        information: Floats = gram - self._group_part(terms, group_weights)
        return information

    def hazards(self, terms: GroupTerms, group_weights: Floats | None = None) -> Floats:
        """Return v (n): each row's expected events, times its weight."""
        a, b = terms.a, terms.b
        if group_weights is not None:
            a, b = a * group_weights, b * group_weights
        v = self.sets.over_rows(a)
        v[self.sets.events] -= b[self.sets.group]
        v *= terms.risk
        return v

    def terms(self, coef: Floats) -> GroupTerms:
        """First pass: risks, their sums over risk sets and the log-likelihood."""
        sets = self.sets
        risk, S0, S1 = self._first_pass(coef)
        event_risk = risk[sets.events]
        with np.errstate(divide="ignore", invalid="ignore"):
            D0 = sums_by_code(sets.group, event_risk, len(sets))
            # η − shift of the events comes back from the risks they have.
            event_eta = np.log(event_risk / self._event_weights)
            D1 = self._tied_sums(event_risk)
            weight = sums_by_code(sets.group, self._event_weights, len(sets))
            ties = _sums_over_ties(sets, S0, D0, weight / sets.deaths, self.efron)
            loglik = float(self._event_weights @ event_eta - ties["log"].sum())
        return GroupTerms(
            risk=risk, S1=S1, D1=D1, event_weight=weight, loglik=loglik,
            **{name: ties[name] for name in ("a", "b", "c0", "c1", "c2")},
        )  # fmt: skip

    def score_residuals(self, terms: GroupTerms) -> Iterator[tuple[slice, Floats]]:
        """Go through the rows' score residuals block by block (Therneau & Grambsch 2000, §7.1).

        U_i = δ_i w_i (x_i − m_g) − v_i x_i + r_i (E_i − δ_i f_g), m the groups' mean covariate,
        E_i the sum of c0 S1 − c1 D1 over the row's groups, f = c1 S1 − c2 D1.
        """
        sets, v = self.sets, self.hazards(terms)
        running = from_the_first(terms.mean_increment)
        tied = terms.c1[:, None] * terms.S1 - terms.c2[:, None] * terms.D1
        extra = (
            self._event_weights[:, None] * (self.event_X - terms.mean_covariate[sets.group])
            - terms.risk[sets.events, None] * tied[sets.group]
        )
        order = np.argsort(sets.events, kind="stable")
        events = sets.events[order]
        for block, Z in self.blocks():
            path = running[sets.upper[block]] - running[sets.lower[block]]
            residuals = terms.risk[block, None] * path - v[block, None] * Z
            inside = slice(*np.searchsorted(events, (block.start, block.stop)))
            residuals[events[inside] - block.start] += extra[order[inside]]
            yield block, residuals

    def cluster_scores(self, terms: GroupTerms, cluster: Labels) -> Floats:
        """Return the score residuals summed over each cluster (clusters × p)."""
        sums = np.zeros((len(cluster), self.X.shape[1]))
        for block, residuals in self.score_residuals(terms):
            present, local = np.unique(cluster.codes[block], return_inverse=True)
            pick = csc_array(
                (np.ones(len(local)), local, np.arange(len(local) + 1)),
                shape=(len(present), len(local)),
            )
            sums[present] += pick @ residuals
        return sums

    def _first_pass(self, coef: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the risks (n) and, for each group, S0 (G) and S1 (G × p)."""
        risk = np.empty(len(self.X))
        change0 = np.zeros(self._selectors.size)
        change1 = np.zeros((self._selectors.size, len(coef)))
        for index, (block, Z) in enumerate(self.blocks()):
            eta = Z @ coef
            if self.offset is not None:
                eta += self.offset[block]
            eta -= self.shift
            if self._idle is not None:
                eta[self._idle[block]] = 0.0
            np.exp(eta, out=eta)
            eta *= self.weights[block]
            risk[block] = eta
            self._selectors.add(index, eta, Z, change0, change1)
        return risk, self._selectors.sums(change0), self._selectors.sums(change1)

    def _second_pass(self, v: Floats) -> Floats:
        """Return X' diag(v) X for v of 0 or more."""
        gram = np.zeros((self.X.shape[1],) * 2)
        root = np.sqrt(np.maximum(v, 0.0))
        scratch = np.empty((min(BLOCK, len(self.X)), self.X.shape[1]))
        for block, Z in self.blocks():
            scaled = np.multiply(Z, root[block, None], out=scratch[: len(Z)])
            gram += scaled.T @ scaled
        return gram

    def _group_part(self, terms: GroupTerms, weights: Floats | None = None) -> Floats:
        at_risk = terms.mean_increment
        tied = terms.c2[:, None] * terms.D1 - terms.c1[:, None] * terms.S1
        if weights is not None:
            at_risk, tied = at_risk * weights[:, None], tied * weights[:, None]
        part: Floats = terms.S1.T @ at_risk + terms.D1.T @ tied
        return part

    def _tied_sums(self, event_risk: Floats) -> Floats:
        self._tied.data[:] = event_risk
        sums: Floats = self._tied @ self.event_X
        return sums


class _Selectors:
    """Sparse matrices that add a block's rows to the groups where they enter and leave.

    A row at risk in one group only is added to that group directly (position G + g); any other
    is added where it leaves and taken off where it enters, and the cumulative sum over groups
    does the rest. Direct rows cost half and lose no digits to subtraction.
    """

    def __init__(self, sets: RiskSets) -> None:
        self.size = 2 * len(sets)
        self._scratch = np.zeros(self.size, dtype=np.int32)
        self._blocks = [
            self._selector(sets.lower[begin : begin + BLOCK], sets.upper[begin : begin + BLOCK])
            for begin in range(0, len(sets.lower), BLOCK)
        ]

    def add(self, index: int, risk: Floats, Z: Floats, change0: Floats, change1: Floats) -> None:
        """Add the risks of block ``index`` to ``change0`` (2G), times Z to ``change1`` (2G × p)."""
        touched, rows, signs, matrix = self._blocks[index]
        np.multiply(risk[rows], signs, out=matrix.data)
        change0[touched] += sums_by_code(matrix.indices, matrix.data, len(touched))
        change1[touched] += matrix @ Z

    def sums(self, change: Floats) -> Floats:
        """Turn what enters and leaves (2G, or 2G × p) into sums over risk sets."""
        groups = self.size // 2
        total = from_the_last(change[:groups])
        total += change[groups:]
        return total

    def _selector(self, lower: Ints, upper: Ints) -> tuple[Ints, Ints, NDArray[Any], Any]:
        groups = self.size // 2
        length = upper - lower
        leaves = length > 0
        enters = (length > 1) & (lower > 0)
        pointers = np.zeros(len(lower) + 1, dtype=np.int32)
        np.cumsum(leaves.astype(np.int32) + enters, out=pointers[1:])
        group, sign = np.empty(pointers[-1], np.intp), np.ones(pointers[-1], np.int8)
        group[pointers[:-1][leaves]] = (upper - 1 + groups * (length == 1))[leaves]
        second = pointers[:-1][enters] + 1
        group[second], sign[second] = lower[enters] - 1, -1
        row: Ints = np.repeat(np.arange(len(lower), dtype=np.int32), np.diff(pointers))
        touched = self._touched(group)
        matrix = csc_array(
            (np.empty(len(row)), self._scratch[group], pointers), shape=(len(touched), len(lower))
        )
        return touched, row, sign, matrix

    def _touched(self, group: Ints) -> Ints:
        """Return the positions that occur, and number them in the scratch."""
        self._scratch[:] = 0
        self._scratch[group] = 1
        touched = np.flatnonzero(self._scratch)
        self._scratch[touched] = np.arange(len(touched), dtype=np.int32)
        return touched


def _centre(X: Matrix) -> Floats | None:
    """Return the column means where some column lies far from zero for its spread.

    Score and information do not change when columns move; only the digits lost do. Means and
    deviations of some 2,000 rows are enough to decide.
    """
    sample = np.asarray(X[:: max(1, len(X) // 2_000)], dtype=np.float64)
    mean: Floats = sample.mean(axis=0)
    if bool((np.abs(mean) > OFF_CENTRE * sample.std(axis=0)).any()):
        return mean
    return None


def _sums_over_ties(
    sets: RiskSets, S0: Floats, D0: Floats, mean_weight: Floats, efron: bool
) -> dict[str, Floats]:
    """Return a, b, c0, c1, c2 and w̄ Σ log den of each group."""
    group = sets.group
    tie = np.zeros(len(group))
    if efron:
        tie = (np.arange(len(group)) - sets.offsets[group]) / sets.deaths[group]
    den = S0[group] - tie * D0[group]
    inverse = 1.0 / den
    square = inverse * inverse
    each = {
        "a": inverse, "b": tie * inverse, "c0": square, "c1": tie * square,
        "c2": tie * tie * square, "log": np.log(den),
    }  # fmt: skip
    return {
        name: mean_weight * sums_by_code(group, value, len(sets)) for name, value in each.items()
    }
