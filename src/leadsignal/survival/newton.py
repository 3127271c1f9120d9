"""Newton's method for the partial likelihood, and a test of whether a maximum exists.

The likelihood increases without bound along d if and only if x·d of every event is the largest in
its risk set (ties allowed) and strictly larger than some other value in at least one risk set
(Albert & Anderson 1984 for logistic regression, Bryson & Johnson 1981 for the Cox model). Such
directions form a cone, and linear programming decides whether it contains more than 0. There is one
condition per event and row at risk; only conditions violated by a direction found so far are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from leadsignal.errors import ModelError
from leadsignal.survival.inputs import Floats, Ints
from leadsignal.survival.partial_likelihood import Evaluation, PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

EQUAL = 1e-12  # values of x·d count as equal if this close, relative to their summands
MAX_ROUNDS = 60  # rounds of adding conditions
MAX_CONDITIONS = 1_000  # conditions added per round
MIN_PART = 1e-6  # components of a direction below this share of the largest are rounding errors
STANDS_OUT = 0.2  # share of the largest coefficient above which a coefficient may be diverging


@dataclass(frozen=True, eq=False)
class Ranking:
    """How a direction ranks the rows at risk.

    ``separates`` is true if the likelihood increases without bound along it; ``broken`` (k × p)
    holds the violated conditions: differences between an event and a row at risk that outranks it.
    """

    separates: bool
    broken: Floats


class Separation:
    """Search for a direction along which the likelihood increases without bound.

    ``unit`` (p) scales the coefficients so that they are comparable, ``rise`` (p) is the score at
    zero, and ``free`` (p) marks the columns without a penalty: with a penalty, a maximum exists.
    """

    def __init__(self, likelihood: PartialLikelihood, unit: Floats, rise: Floats, free: Ints):
        self.likelihood = likelihood
        self.scale = 1.0 / unit
        self.rise = rise * self.scale
        self.free = free
        self.Z = likelihood.rows(slice(None))

    def direction(self, *hints: Floats) -> Floats | None:
        """Return a direction of separation that uses few columns, or None if there is none.

        ``hints`` are directions to start from: growing coefficients, and steps.
        """
        parts = [hint / self.scale for hint in hints]
        size = np.max([np.abs(part) / max(np.abs(part).max(), 1e-300) for part in parts], axis=0)
        order = self.free[np.argsort(-size[self.free], kind="stable")]
        standing_out = order[size[order] > STANDS_OUT]
        for j in standing_out:
            one = np.zeros(len(self.scale))
            one[j] = np.sign(self.rise[j]) * self.scale[j]
            if self.ranking(one).separates:
                return one
        if 1 < len(standing_out) < len(order):
            found = self._solve(standing_out)
            if found is not None:
                return found
        return self._solve(order) if len(order) > 1 else None

    def ranking(self, direction: Floats) -> Ranking:
        """Return how ``direction`` ranks the rows."""
        tree, sets = self.likelihood.tree, self.likelihood.sets
        value = self.Z @ direction
        # The event rows with the smallest and the largest value in each group.
        order = sets.events[np.lexsort((value[sets.events], sets.group))]
        first, last = order[sets.offsets[:-1]], order[sets.offsets[1:] - 1]
        others = tree.largest(value)
        best = np.where(np.append(value, -np.inf)[others] > value[last], others, last)
        lowest = tree.largest(-value)
        least = np.where(np.append(value, np.inf)[lowest] < value[first], lowest, first)
        short, ahead = value[best] - value[first], value[first] - value[least]
        equal = [EQUAL * self._size(direction, first, other) for other in (best, least)]
        broken = np.flatnonzero(short > equal[0])
        worst = broken[np.argsort(-short[broken], kind="stable")[:MAX_CONDITIONS]]
        separates = not len(broken) and bool((ahead > equal[1]).any())
        return Ranking(separates, self.Z[first[worst]] - self.Z[best[worst]])

    def _size(self, direction: Floats, rows: Ints, others: Ints) -> Floats:
        """Return the magnitude of the summands of x·d in either row."""
        parts = np.abs(direction)
        size: Floats = np.maximum(np.abs(self.Z[rows]) @ parts, np.abs(self.Z[others]) @ parts)
        return size

    def _solve(self, columns: Ints) -> Floats | None:
        """Return a direction of separation in these columns, or None if there is none.

        The score at zero is the sum of all differences between events and rows at risk, so the cone
        contains more than 0 if and only if score·d > 0 for some d in it.
        """
        from scipy.optimize import linprog

        scale = self.scale[columns]
        rise = self.rise[columns]
        conditions = np.zeros((0, len(columns)))
        trial = np.zeros(len(self.scale))
        trial[columns] = np.sign(rise) * scale
        for _ in range(MAX_ROUNDS):
            ranking = self.ranking(trial)
            if ranking.separates:
                return trial
            if not len(ranking.broken):
                return None
            more = ranking.broken[:, columns] * scale
            more /= np.maximum(np.abs(more).max(axis=1, keepdims=True), 1e-300)
            conditions = np.vstack((conditions, more))
            solved = linprog(-rise / np.abs(rise).max(), -conditions, np.zeros(len(conditions)),
                             bounds=(-1, 1))  # fmt: skip
            if solved.x is None or np.abs(solved.x).max() < MIN_PART:
                return None
            trial[columns] = _polished(solved.x, conditions) * scale
        return None


def _polished(direction: Floats, conditions: Floats) -> Floats:
    """Return the direction projected onto conditions met only within the solver's tolerance."""
    direction = np.where(np.abs(direction) < MIN_PART * np.abs(direction).max(), 0.0, direction)
    parts = np.flatnonzero(direction)
    tight = conditions[np.abs(conditions @ direction) < MIN_PART][:, parts]
    polished = direction.copy()
    if len(tight):
        polished[parts] -= np.linalg.lstsq(tight, tight @ direction[parts], rcond=1e-9)[0]
    return polished


MAX_STEPS = 200  # steps of Newton's method
MAX_HALVINGS = 60  # reductions of a step that decreased the likelihood, each by a factor of 2 to 10
# A Newton step of δ standard errors changes the information by a fraction of about δ/√events.
PRECISION = 1e-9
ROUNDING = 1e-13  # changes of the log-likelihood below this share (of it plus events) are noise
COARSE = 100  # multiple of the rounding error that a sum of many terms can have
ENOUGH_RISE = 1e-4  # share of the increase predicted by the slope that a step must achieve
LATE = 20  # number of steps after which the existence of a maximum is always tested
FADED = 1e-6  # if less of the information at zero is left, the existence of a maximum is tested
SAMPLE_FROM = 40_000  # number of rows from which starting values from a sample save time
SAMPLE_SHARE = 16  # the sample has one row in this many


@dataclass(frozen=True, eq=False)
class Maximum:
    """Maximum of the (penalised) partial likelihood, and the evaluation at zero."""

    coef: Floats
    at_coef: Evaluation
    at_zero: Evaluation
    evaluations: int


def maximise(
    likelihood: PartialLikelihood, ridge: Floats, names: Sequence[str], begin: Floats | None = None
) -> Maximum:
    """Return the maximum of log L − ½ Σ ridge β².

    Raises ModelError naming the columns that are constant, collinear or separate the events.
    """
    zero = np.zeros(len(ridge))
    at_zero = likelihood.evaluate(zero)
    # Collinearity does not depend on the offset, which may reduce risk sets to one row.
    plain = at_zero
    if likelihood.offset is not None:
        plain = likelihood.without_offset().evaluate(zero)
    free = ridge == 0
    if free.any():
        named = [name for name, is_free in zip(names, free, strict=True) if is_free]
        refuse_dead_columns(plain.information[np.ix_(free, free)], plain.constant[free], named)
    search = _Search(likelihood, ridge, names, at_zero, plain)
    coef = search.run(_begin(likelihood, ridge, names) if begin is None else begin)
    return Maximum(coef, search.now, at_zero, search.evaluations)


class _Search:
    def __init__(
        self,
        likelihood: PartialLikelihood,
        ridge: Floats,
        names: Sequence[str],
        at_zero: Evaluation,
        plain: Evaluation,
    ) -> None:
        self.likelihood, self.ridge, self.names = likelihood, ridge, names
        self.now, self.plain = at_zero, plain
        self.evaluations = 1
        # Units that make steps comparable between columns: the standard deviation within risk sets
        # or, if larger, between events.
        events = max(1, len(likelihood.sets.events))
        within = np.sqrt(np.maximum(np.diag(plain.information), 1e-300) / events)
        self.unit = np.maximum(within, likelihood.event_X.std(axis=0))
        self.close = PRECISION * np.sqrt(events)
        self.rounding = ROUNDING * (events + abs(at_zero.loglik))
        # With a penalty on every column a maximum exists.
        self.exists = not bool((ridge == 0).any())

    def run(self, begin: Floats) -> Floats:
        if begin.any():
            self._try(begin)
        before = np.inf
        for number in range(MAX_STEPS):
            step = self._step()
            rise = max(0.0, float(self._score() @ step))
            decrement, size = float(np.sqrt(rise)), float((np.abs(step) * self.unit).max())
            # Near a proper maximum, each step is orders of magnitude shorter than the last.
            lasting = decrement < 1e-2 and size > 1e-3 and 0.5 * before < size < np.inf
            if lasting or number == LATE:
                self._refuse_separation(step)
            largest = max(1.0, float((np.abs(self.now.coef) * self.unit).max()))
            small = size <= PRECISION * largest
            at_rounding = size <= 1e3 * PRECISION * largest and size > 0.1 * before
            if decrement <= self.close and (small or at_rounding):
                if self._faded():
                    self._refuse_separation(step)
                return self.now.coef + step
            if not self._climb(step, rise):
                self._refuse_separation(step)
                break
            before = size
        raise ModelError(
            f"the Cox fit did not converge within {self.evaluations} evaluations; scale or bound "
            "extreme values, or pass ridge= a small positive number"
        )

    def _climb(self, step: Floats, rise: float) -> bool:
        """Take ``step``, shortened until the likelihood increases enough for the slope.

        ``rise`` is the slope along the step. Return False if no part of the step increases it.
        """
        start, height, part = self.now.coef, self._height(self.now), 1.0
        for _ in range(MAX_HALVINGS):
            candidate = self.likelihood.evaluate(start + part * step)
            self.evaluations += 1
            gained = self._height(candidate) - height
            enough = gained >= ENOUGH_RISE * part * rise - self.rounding
            if candidate.usable and (enough or self._levelled(candidate, step, part, rise, gained)):
                self.now = candidate
                return True
            # Maximum of the parabola through the known values, within bounds.
            short = part * rise - gained
            top = part * rise / (2 * short) if candidate.usable and short > 0 else 0.0
            part *= min(0.5, max(0.1, top))
        return False

    def _levelled(
        self, at: Evaluation, step: Floats, part: float, rise: float, gained: float
    ) -> bool:
        """Whether the slope is halved, if heights are too inexact to tell (Hager & Zhang 2005).

        Near the maximum, the expected increase is below the rounding error of the likelihood, a sum
        over all events, while the slope is still accurate.
        """
        if max(part * rise, -gained) > COARSE * self.rounding:
            return False
        slope = float((at.score - self.ridge * at.coef) @ step)
        return abs(slope) <= 0.5 * rise

    def _try(self, begin: Floats) -> None:
        candidate = self.likelihood.evaluate(begin)
        self.evaluations += 1
        if candidate.usable and self._height(candidate) > self._height(self.now):
            self.now = candidate

    def _height(self, at: Evaluation) -> float:
        return at.loglik - 0.5 * float(self.ridge @ at.coef**2)

    def _score(self) -> Floats:
        return self.now.score - self.ridge * self.now.coef

    def _step(self) -> Floats:
        """Return the Newton step, damped if the information is nearly singular."""
        matrix = self.now.information + np.diag(self.ridge)
        scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-60 * self.unit**2))
        scaled, score = matrix * scale[:, None] * scale, self._score() * scale
        for damping in (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-4):
            try:
                factor = cho_factor(scaled + damping * np.eye(len(scale)), lower=True)
            except (LinAlgError, ValueError):
                continue
            step: Floats = cho_solve(factor, score) * scale
            if np.isfinite(step).all():
                return step
        uphill: Floats = score * scale
        return uphill

    def _faded(self) -> bool:
        left = np.diag(self.now.information) < FADED * np.diag(self.plain.information)
        return bool((left & (self.ridge == 0)).any())

    def _refuse_separation(self, step: Floats) -> None:
        """Raise ModelError if the likelihood is unbounded in some direction; once per fit."""
        if self.exists:
            return
        free = np.flatnonzero(self.ridge == 0)
        separation = Separation(self.likelihood, self.unit, self.plain.score, free)
        direction = separation.direction(self.now.coef, step)
        self.exists = True
        if direction is None:
            return
        parts = direction * self.unit
        guilty = np.flatnonzero(np.abs(parts) > 1e-6 * np.abs(parts).max()).tolist()
        named = ", ".join(
            f"{self.names[j]!r} ({'rising' if parts[j] > 0 else 'falling'})" for j in guilty
        )
        together = "" if len(guilty) == 1 else " together"
        raise ModelError(
            f"the events are separated: {named}{together} ranks every event first among those "
            "at risk, so its coefficient has no finite estimate. Leave it out, group it more "
            "coarsely, or pass ridge= a small positive number."
        )


def _begin(likelihood: PartialLikelihood, ridge: Floats, names: Sequence[str]) -> Floats:
    """Return starting values: zero or, for many rows, the estimate from a sample of them."""
    rows, zero = len(likelihood.X), np.zeros(len(ridge))
    enough = len(likelihood.sets.events) >= SAMPLE_SHARE * 20 * len(ridge)
    if rows < SAMPLE_FROM or not enough:
        return zero
    chosen = np.sort(np.random.default_rng(0).choice(rows, rows // SAMPLE_SHARE, replace=False))
    sample = _restricted(likelihood, chosen)
    try:
        return maximise(sample, ridge / SAMPLE_SHARE, names, zero).coef
    except ModelError:
        return zero


def _restricted(likelihood: PartialLikelihood, rows: Ints) -> PartialLikelihood:
    """Return the likelihood of some of the rows, in the same event groups."""
    sets = likelihood.sets
    position = np.full(len(likelihood.X), -1)
    position[rows] = np.arange(len(rows))
    events = sets.events[position[sets.events] >= 0]
    deaths = np.bincount(sets.upper[events] - 1, minlength=len(sets))
    kept = deaths > 0
    number = np.concatenate(([0], np.cumsum(kept)))
    first, lower, upper = (number[at] for at in (sets.first, sets.lower[rows], sets.upper[rows]))
    some = RiskSets(
        sets.time[kept], sets.stratum[kept], first, lower, upper, position[events], deaths[kept]
    )
    offset = None if likelihood.offset is None else likelihood.offset[rows]
    ridge = likelihood.ridge / SAMPLE_SHARE
    X, weights = likelihood.X[rows], likelihood.weights[rows]
    return PartialLikelihood(X, some, weights, offset, likelihood.efron, ridge)


# Columns that carry no information


COLLINEAR = 1e-10  # share of a column's variance that earlier columns must leave unexplained


def refuse_dead_columns(information: Floats, constant: Floats, names: Sequence[str]) -> None:
    """Raise ModelError naming every constant or collinear column.

    ``information`` (p × p) is taken at coefficients of zero; ``constant`` (p) is the diagonal that
    rounding alone can produce. Not called for columns that a ridge identifies.
    """
    variance = np.diag(information)
    is_constant = ~(variance > constant)
    problems = [
        f"{names[j]!r} is constant among those at risk at every event"
        for j in np.flatnonzero(is_constant).tolist()
    ]
    live = np.flatnonzero(~is_constant)
    scale = 1.0 / np.sqrt(variance[live])
    correlation = information[np.ix_(live, live)] * scale[:, None] * scale
    for column, combination in collinear(correlation):
        parts = ", ".join(repr(names[live[j]]) for j in combination)
        how = "repeats" if len(combination) == 1 else "is a combination of"
        problems.append(f"{names[live[column]]!r} {how} {parts}")
    if problems:
        raise ModelError(
            "some columns are collinear:\n  "
            + "\n  ".join(problems)
            + "\nLeave these columns out, or pass ridge= a small positive number to keep them."
        )


def collinear(correlation: Floats) -> list[tuple[int, list[int]]]:
    """Return each column that earlier columns determine, with those earlier columns.

    Cholesky elimination in column order, so the first columns of a collinear set are kept.
    """
    kept: list[int] = []
    found: list[tuple[int, list[int]]] = []
    factor = np.zeros_like(correlation)
    for j in range(len(correlation)):
        size = len(kept)
        row = np.zeros(0)
        if kept:
            row = solve_triangular(factor[:size, :size], correlation[kept, j], lower=True)
        left = correlation[j, j] - row @ row
        if left > COLLINEAR:
            factor[size, :size], factor[size, size] = row, np.sqrt(left)
            kept.append(j)
        else:
            weights = solve_triangular(factor[:size, :size], row, lower=True, trans="T")
            found.append((j, [kept[k] for k in np.flatnonzero(np.abs(weights) > 1e-6)]))
    return found
