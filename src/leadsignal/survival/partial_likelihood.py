"""Cox's partial likelihood for start/stop rows: value, score, information, score residuals.

Efron's (1977) and Breslow's (1974) treatments of ties have one form. Let r_i = w_i exp(η_i), S0, S1
the risk-set sums of r and r·x, D0, D1 the same over the d tied events of a group, w̄ the mean
weight of those events, and den_k = S0 − (k/d) D0, k = 0 … d−1 (Breslow: k/d → 0):

    a = w̄ Σ 1/den_k,   b = w̄ Σ (k/d)/den_k,   c_m = w̄ Σ (k/d)^m / den_k²
    v_i = r_i (Σ a over the row's groups − δ_i b)
    log L = Σ_events w η − Σ_groups w̄ Σ_k log den_k,   score = X'(wδ − v)
    information = X' diag(v) X − Σ_groups [c0 S1 S1' − c1 (S1 D1' + D1 S1') + c2 D1 D1']

``docs/survival.md`` derives this. One evaluation reads the matrix twice, in blocks that fit in the
cache; the caller's matrix is never copied as a whole. If risks span too many orders of magnitude
for these sums to be precise, ``by_risk_set`` computes the same numbers more slowly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from leadsignal.survival.by_risk_set import RiskSetTerms, RiskSetTree, terms_by_risk_set
from leadsignal.survival.inputs import Floats, Ints, Labels, sums_by_code
from leadsignal.survival.risk_sets import RiskSets, from_the_first, from_the_last

BLOCK = 8192  # rows; 8,192 × 20 doubles are 1.3 MB, which stay in a second-level cache
OFF_CENTRE = 30.0  # mean / standard deviation above which centring is worth copying each block
EPS = float(np.finfo(np.float64).eps)
MAX_ROUNDING_ERROR = 1e-10  # tolerated rounding error of a coefficient, in standard errors
RANGE = 1e100  # squares of risk sums beyond it (or below its inverse) are close to overflowing
MIN_VARIANCE_LEFT = 1e-5  # minimum share of the sum of squares left after centring by risk set
RIDGE_TELLS = 1e4  # multiple of the ridge penalty added before that comparison
MIN_SPREAD = 1e-12  # minimum relative deviation within risk sets of a column that varies
Matrix = NDArray[Any]


@dataclass(frozen=True, eq=False)
class GroupTerms:
    """Terms of the likelihood by event group; letters as in the module's formulas.

    ``risk`` (n) is r divided by exp(``shift``), to avoid overflow; a, b, c0, c1, c2 (G), S1 and D1
    (G × p) and the log-likelihood follow from it. ``lost`` estimates the rounding error of a
    coefficient, in standard errors.
    """

    coef: Floats
    shift: float
    lost: float
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
        """Expected covariate totals of the events of each group (G × p)."""
        return self.a[:, None] * self.S1 - self.b[:, None] * self.D1

    @cached_property
    def mean_covariate(self) -> Floats:
        """Mean covariates that an event is compared with: (a S1 − b D1)/(d w̄), G × p."""
        return self.expected_total / self.event_weight[:, None]

    @cached_property
    def mean_increment(self) -> Floats:
        """Risk-set mean times hazard, summed over the ties: c0 S1 − c1 D1, G × p."""
        return self.c0[:, None] * self.S1 - self.c1[:, None] * self.D1

    @property
    def log_step(self) -> Floats:
        """Logarithm of the baseline's step (G)."""
        return np.log(self.a) - self.shift

    @property
    def log_square(self) -> Floats:
        """Logarithm of the variance of the baseline's step (G)."""
        return np.log(self.c0) - 2 * self.shift

    @property
    def step_mean(self) -> Floats:
        """Mean covariates at risk, weighted by the step of each tie, G × p."""
        return self.mean_increment / self.a[:, None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The partial likelihood at ``coef``: value, score (p), information (p × p).

    ``constant`` (p) is the information that rounding alone gives a column that is constant in every
    risk set.
    """

    coef: Floats
    loglik: float
    score: Floats
    information: Floats
    constant: Floats

    @property
    def usable(self) -> bool:
        """False if coefficients are so large that linear predictors overflow."""
        return bool(np.isfinite(self.loglik) and np.isfinite(self.information).all())


class PartialLikelihood:
    """Partial likelihood of prepared rows, to be evaluated at any coefficients.

    Arrays are not checked: X (n × p), ``weights`` and ``offset`` (n) must be finite, and weights
    positive in rows with an event. ``ridge`` (p) is the curvature that a penalty adds for each
    coefficient; it is not part of the results, but columns that it identifies need less precision.
    """

    def __init__(
        self,
        X: Matrix,
        sets: RiskSets,
        weights: Floats,
        offset: Floats | None,
        efron: bool,
        ridge: Floats | float = 0.0,
    ) -> None:
        self.X = X
        self.sets = sets
        self.weights = weights
        self.offset = offset
        self.efron = efron
        self.ridge = ridge
        self.centre = _centre(X)
        # Rows that are not at risk at any event time must not overflow, whatever their covariates.
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

    def without_offset(self) -> PartialLikelihood:
        """Return the likelihood of the same rows with an offset of zero."""
        return PartialLikelihood(self.X, self.sets, self.weights, None, self.efron, self.ridge)

    def rows(self, which: Ints | slice) -> Floats:
        """Return rows of the matrix as centred doubles; a view if nothing has to change."""
        block = self.X[which]
        if self.centre is not None:
            return np.subtract(block, self.centre, dtype=np.float64, order="C")
        return np.ascontiguousarray(block, dtype=np.float64)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield the matrix block by block."""
        for begin in range(0, len(self.X), BLOCK):
            block = slice(begin, min(begin + BLOCK, len(self.X)))
            yield block, self.rows(block)

    def evaluate(self, coef: Floats) -> Evaluation:
        """Return value, score and information at ``coef``."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            terms = self.terms(coef)
            if isinstance(terms, GroupTerms):
                information = self._information(terms)
                if information is not None:
                    # X'v needs no pass over the rows: it is Σ_groups (a S1 − b D1).
                    score = self._event_total - terms.expected_total.sum(axis=0)
                    return Evaluation(coef, terms.loglik, score, information, self._constant)
                terms = self.terms_by_risk_set(coef)
            return Evaluation(coef, terms.loglik, terms.score, terms.information(), self._constant)

    def weighted_information(
        self, terms: GroupTerms | RiskSetTerms, group_weights: Floats
    ) -> Floats:
        """Return Σ_groups weight × the group's part of the information."""
        if isinstance(terms, GroupTerms):
            if self._information(terms) is not None:
                return self._gram(terms, group_weights) - self._group_part(terms, group_weights)
            terms = self.terms_by_risk_set(terms.coef)
        return terms.weighted_information(group_weights)

    def _information(self, terms: GroupTerms) -> Floats | None:
        """Return the information, or None if the subtraction loses too much precision."""
        gram = self._gram(terms)
        information: Floats = gram - self._group_part(terms)
        left = np.diag(information) + RIDGE_TELLS * self.ridge >= MIN_VARIANCE_LEFT * np.diag(gram)
        return information if bool(left.all()) else None

    def _gram(self, terms: GroupTerms, group_weights: Floats | None = None) -> Floats:
        v = self.hazards(terms, group_weights)
        gram = self._second_pass(v)
        if group_weights is not None and bool((v < 0).any()):
            gram -= self._second_pass(-v)
        return gram

    def hazards(
        self, terms: GroupTerms | RiskSetTerms, group_weights: Floats | None = None
    ) -> Floats:
        """Return v (n): each row's expected events, times its weight."""
        if isinstance(terms, RiskSetTerms):
            return terms.hazards()
        a, b = terms.a, terms.b
        if group_weights is not None:
            a, b = a * group_weights, b * group_weights
        v = self.sets.over_rows(a)
        v[self.sets.events] -= b[self.sets.group]
        v *= terms.risk
        return v

    def terms(self, coef: Floats) -> GroupTerms | RiskSetTerms:
        """Return the risks, their sums over risk sets and the log-likelihood (first pass)."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            terms = self._terms_of_all(coef)
        return terms if terms.lost <= MAX_ROUNDING_ERROR else self.terms_by_risk_set(coef)

    def terms_by_risk_set(self, coef: Floats) -> RiskSetTerms:
        """Return the same terms with linear predictors centred in each risk set."""
        tree, Z, log_weights = self._filed
        log_risk = Z @ coef + log_weights
        if self.offset is not None:
            log_risk += self.offset
        return terms_by_risk_set(tree, self.sets, Z, self.weights, log_risk, self.efron)

    @cached_property
    def tree(self) -> RiskSetTree:
        """Rows with positive weight, assigned to the nodes of a tree over event groups."""
        return RiskSetTree(self.sets, self.weights > 0)

    @cached_property
    def _filed(self) -> tuple[RiskSetTree, Floats, Floats]:
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        return self.tree, self.rows(slice(None)), log_weights

    def _terms_of_all(self, coef: Floats) -> GroupTerms:
        sets = self.sets
        risk, S0, S1 = self._first_pass(coef)
        event_risk = risk[sets.events]
        D0 = sums_by_code(sets.group, event_risk, len(sets))
        # Recover η − shift of the events from their risks.
        event_eta = np.log(event_risk / self._event_weights)
        D1 = self._tied_sums(event_risk)
        weight = sums_by_code(sets.group, self._event_weights, len(sets))
        ties = _sums_over_ties(sets, S0, D0, weight / sets.deaths, self.efron)
        loglik = float(self._event_weights @ event_eta - ties["log"].sum())
        return GroupTerms(
            coef=coef, shift=self.shift, lost=_lost(sets, S0, ties["a"], risk),
            risk=risk, S1=S1, D1=D1, event_weight=weight, loglik=loglik,
            **{name: ties[name] for name in ("a", "b", "c0", "c1", "c2")},
        )  # fmt: skip

    @cached_property
    def _constant(self) -> Floats:
        """Information of a column that varies within risk sets only by rounding."""
        kind = self.X.dtype if self.X.dtype.kind == "f" else np.dtype(np.float64)
        least = max(MIN_SPREAD, 20 * float(np.finfo(kind).eps))
        square = np.asarray(self.X[self.sets.events], dtype=np.float64) ** 2
        if self.centre is not None:
            square += self.centre**2
        return least**2 * (self._event_weights @ square)

    def score_residuals(self, terms: GroupTerms | RiskSetTerms) -> Iterator[tuple[slice, Floats]]:
        """Yield the rows' score residuals block by block (Therneau & Grambsch 2000, §7.1).

        U_i = δ_i w_i (x_i − m_g) − v_i x_i + r_i (E_i − δ_i f_g), where m is the mean covariate of
        the group, E_i the sum of c0 S1 − c1 D1 over the row's groups, and f = c1 S1 − c2 D1.
        """
        if isinstance(terms, RiskSetTerms):
            yield slice(0, len(self.X)), terms.score_residuals()
            return
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

    def cluster_scores(self, terms: GroupTerms | RiskSetTerms, cluster: Labels) -> Floats:
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
        """Return X' diag(v) X for non-negative v."""
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
        return terms.S1.T @ at_risk + terms.D1.T @ tied

    def _tied_sums(self, event_risk: Floats) -> Floats:
        self._tied.data[:] = event_risk
        sums: Floats = self._tied @ self.event_X
        return sums


class _Selectors:
    """Sparse matrices that add a block's rows to the groups where they enter and leave.

    A row at risk in one group only is added to that group directly (position G + g). Any other row
    is added where it leaves and subtracted where it enters, and a cumulative sum over groups gives
    the totals. Direct rows cost half as much and lose no precision to subtraction.
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
        """Return the sums over risk sets from the changes (2G, or 2G × p)."""
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
        """Return the positions that occur, and store their numbers in the scratch array."""
        self._scratch[:] = 0
        self._scratch[group] = 1
        touched = np.flatnonzero(self._scratch)
        self._scratch[touched] = np.arange(len(touched), dtype=np.int32)
        return touched


def _centre(X: Matrix) -> Floats | None:
    """Return the column means if some column is far from zero relative to its spread.

    Shifting columns does not change score and information, only the precision lost. About 2,000
    rows are enough to decide.
    """
    sample = np.asarray(X[:: max(1, len(X) // 2_000)], dtype=np.float64)
    mean: Floats = sample.mean(axis=0)
    if bool((np.abs(mean) > OFF_CENTRE * sample.std(axis=0)).any()):
        return mean
    return None


def _lost(sets: RiskSets, S0: Floats, a: Floats, risk: Floats) -> float:
    """Estimate the rounding error of a coefficient, in standard errors.

    Sums over risk sets are running sums from the last group backwards, and sums over a row's groups
    are running sums from the first. Each accumulates rounding errors, which matter only if risks
    differ by orders of magnitude. Infinite if risk sums overflow or underflow.
    """
    if not (S0.min() > 1 / RANGE and S0.max() < RANGE and risk[sets.events].min() > 1 / RANGE):
        return np.inf
    events = float(np.sqrt(len(sets.events)))
    later = np.maximum.accumulate(S0[::-1])[::-1]
    in_sums = EPS * float(sets.deaths @ (later / S0)) / events if sets.lower.any() else 0.0
    in_hazards = EPS * float((np.cumsum(a) * S0).max()) / events
    return max(in_sums, in_hazards)


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
