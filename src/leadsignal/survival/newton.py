"""Newton's method for the partial likelihood, which notices where no maximum exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from leadsignal.errors import ModelError
from leadsignal.survival.columns import refuse_dead_columns
from leadsignal.survival.inputs import Floats, Ints
from leadsignal.survival.partial_likelihood import Evaluation, PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

MOST_STEPS = 60
MOST_HALVINGS = 30
# A Newton step of δ standard errors changes the information by about δ/√events of itself.
PRECISION = 1e-9
SAMPLE_FROM = 40_000  # rows from which a fit on a sample of them finds the way faster
SAMPLE_SHARE = 16


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where the (penalised) partial likelihood is largest, and what it was at zero."""

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
    at_zero = likelihood.evaluate(np.zeros(len(ridge)))
    free = ridge == 0
    if free.any():
        named = [name for name, is_free in zip(names, free, strict=True) if is_free]
        refuse_dead_columns(at_zero.information[np.ix_(free, free)], at_zero.spread[free], named)
    search = _Search(likelihood, ridge, names, at_zero)
    coef = search.run(_begin(likelihood, ridge, names) if begin is None else begin)
    return Maximum(coef, search.now, at_zero, search.evaluations)


class _Search:
    def __init__(
        self,
        likelihood: PartialLikelihood,
        ridge: Floats,
        names: Sequence[str],
        at_zero: Evaluation,
    ) -> None:
        self.likelihood, self.ridge, self.names = likelihood, ridge, names
        self.now = at_zero
        self.evaluations = 1
        # Units in which a step is comparable between columns: one deviation within risk sets.
        events = max(1, len(likelihood.sets.events))
        self.unit = np.sqrt(np.maximum(np.diag(at_zero.information), 1e-300) / events)
        self.close = PRECISION * np.sqrt(events)

    def run(self, begin: Floats) -> Floats:
        if begin.any():
            self._try(begin)
        previous = np.zeros_like(begin)
        for _ in range(MOST_STEPS):
            step = self._step()
            decrement = float(np.sqrt(max(0.0, float(self._score() @ step))))
            if decrement < 1e-2:
                self._refuse_separation(step, previous)
            if decrement <= self.close:
                coef: Floats = self.now.coef + step
                return coef
            if not self._climb(step):
                return self.now.coef
            previous = step
        raise ModelError(
            f"the Cox fit did not settle within {MOST_STEPS} steps; scale or bound extreme "
            "values, or pass ridge= a small positive number"
        )

    def _climb(self, step: Floats) -> bool:
        """Take ``step``, halved until the likelihood rises; False when it no longer does."""
        start, height = self.now.coef, self._height(self.now)
        noise = 1e-12 * abs(height)
        for halving in range(MOST_HALVINGS):
            candidate = self.likelihood.evaluate(start + step * 0.5**halving)
            self.evaluations += 1
            if candidate.usable and self._height(candidate) >= height - noise:
                self.now = candidate
                return True
        return False

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
        matrix = self.now.information + np.diag(self.ridge)
        scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
        scaled = matrix * scale[:, None] * scale
        try:
            step = cho_solve(cho_factor(scaled, lower=True), self._score() * scale) * scale
        except (LinAlgError, ValueError):
            # The information fades along a direction in which the events are separated.
            step = np.linalg.lstsq(scaled, self._score() * scale, rcond=1e-14)[0] * scale
        finite: Floats = np.nan_to_num(step)
        return finite

    def _refuse_separation(self, step: Floats, previous: Floats) -> None:
        """Raise when steps stay long although the likelihood has stopped rising.

        Near a maximum each step is shorter by orders than the last. Where a combination of
        columns separates the events, log L − sup log L falls by e a unit, and every step is one.
        """
        size, before = np.abs(step) * self.unit, np.abs(previous) * self.unit
        long = size.max()
        if long > 1e-3 and long > 0.5 * before.max() > 0:
            # By now the coefficients themselves point where the likelihood rises for ever.
            run_off = self.now.coef * self.unit
            guilty = np.flatnonzero(np.abs(run_off) > 0.2 * np.abs(run_off).max()).tolist()
            named = ", ".join(
                f"{self.names[j]!r} ({'rising' if run_off[j] > 0 else 'falling'})" for j in guilty
            )
            together = "" if len(guilty) == 1 else " together"
            raise ModelError(
                f"the events are separated: {named}{together} ranks every event first among those "
                "at risk, so its coefficient has no finite estimate. Leave it out, group it more "
                "coarsely, or pass ridge= a small positive number."
            )


def _begin(likelihood: PartialLikelihood, ridge: Floats, names: Sequence[str]) -> Floats:
    """Return where to begin: zero, or for many rows the estimate from a sample of them."""
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
    is_event = np.zeros(len(likelihood.X), dtype=bool)
    is_event[sets.events] = True
    position = np.full(len(likelihood.X), -1)
    position[rows] = np.arange(len(rows))
    events = sets.events[position[sets.events] >= 0]
    deaths = np.bincount(sets.upper[events] - 1, minlength=len(sets))
    kept = deaths > 0
    number = np.concatenate(([0], np.cumsum(kept)))
    return PartialLikelihood(
        likelihood.X[rows],
        RiskSets(
            sets.time[kept],
            sets.stratum[kept],
            number[sets.first],
            number[sets.lower[rows]],
            number[sets.upper[rows]],
            position[events],
            deaths[kept],
        ),
        likelihood.weights[rows],
        None if likelihood.offset is None else likelihood.offset[rows],
        likelihood.efron,
    )
