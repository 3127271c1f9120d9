"""Discrete-time hazards of churn and of other ends, calibrated on accounts that were held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.model.learners import LEARNERS, Learner, TrainingData, one_thread
from leadsignal.model.person_period import Layout, Stacked, design, stack
from leadsignal.model.trees import by_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.model.features import Features

    Floats = NDArray[np.float64]

Estimator = Literal["ensemble", "boosting", "logistic", "cox"]
ESTIMATORS: tuple[Estimator, ...] = ("ensemble", "boosting", "logistic", "cox")

MOST_ROWS = 200_000
"""Of more stacked rows, a weighted sample is fitted on."""
MOST_CROSS_FITTED = 40_000
"""Calibration is learned from so many rows; more would cost more than they tell."""
FOLDS = 3
PRIOR_SPREAD = 0.5
"""How far a member's weight is expected to lie from an equal share."""
LEAST_SLOPE = 0.05
NEAREST = 1e-9


@dataclass(frozen=True, eq=False)
class StackedModel:
    """Learners and what their log-odds are multiplied with: intercept + Σ weight · log-odds."""

    members: tuple[Learner, ...]
    weights: Floats
    intercept: float

    def probability(self, rows: Floats) -> Floats:
        """Return the chance of ending in each row, shape (n,)."""
        from scipy.special import expit

        score = np.full(len(rows), self.intercept)
        for member, weight in zip(self.members, self.weights, strict=True):
            if weight:
                score += weight * member.log_odds(rows)
        chance: Floats = expit(score)
        return chance


@dataclass(frozen=True, eq=False)
class Hazards:
    """Fitted hazards of churn and, where accounts end otherwise, of other ends."""

    features: Features
    ends: NDArray[np.int64]
    churn: StackedModel
    other: StackedModel | None

    def curves(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return P(churned by) and P(still active) at each step's end, both (rows, steps).

        P(churned by step k) is the sum over steps of P(still active before) times the hazard of
        churn. Neither falls, nor rises, against time.
        """
        return curves_of(*self.step_hazards(matrix))

    def step_hazards(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return the hazards of churn and of other ends in each step, both (rows, steps).

        Raises ModelError where a hazard is no probability: nothing is said of such rows.
        """
        rows, steps = len(matrix), len(self.ends)
        churn, other = np.zeros((rows, steps)), np.zeros((rows, steps))

        def fill(part: slice) -> None:
            churn[part], other[part] = self._of_part(matrix[part])

        # Blocks are worked on in threads, and none of them starts threads of its own.
        if rows:
            with one_thread():
                by_blocks(fill, rows)
        wrong = ~(_is_chance(churn) & _is_chance(other)).all(axis=1)
        if wrong.any():
            raise ModelError(
                f"the model's forecasts of {wrong.sum():,} of {rows:,} rows are no probabilities",
                "Fit the model again",
            )
        return churn, other

    def _of_part(self, matrix: Floats) -> tuple[Floats, Floats]:
        rows, steps = len(matrix), len(self.ends)
        row, step = np.repeat(np.arange(rows), steps), np.tile(np.arange(steps), rows)
        stacked = design(self.features, matrix, self.ends, row, step)
        churn = self.churn.probability(stacked).reshape(rows, steps)
        if self.other is None:
            return churn, np.zeros_like(churn)
        other = self.other.probability(stacked).reshape(rows, steps)
        return churn, np.minimum(other, 1 - churn)


def _is_chance(numbers: Floats) -> NDArray[np.bool_]:
    chance: NDArray[np.bool_] = (numbers >= 0) & (numbers <= 1)
    return chance


def curves_of(churn: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return P(churned by) and P(still active) from the hazards of each step, all (…, steps)."""
    active = np.cumprod(1.0 - churn - other, axis=-1, dtype=np.float64)
    before = np.concatenate([np.ones_like(active[..., :1]), active[..., :-1]], axis=-1)
    # A sum of rounded numbers can end a digit above 1.
    churned: Floats = np.minimum(np.cumsum(before * churn, axis=-1), 1.0)
    return churned, active


def fit_hazards(
    features: Features,
    matrix: Floats,
    outcome: Mapping[str, NDArray[Any]],
    ends: NDArray[np.int64],
    kind: Estimator,
    seed: int,
    account: NDArray[np.int64] | None = None,
    weights: Floats | None = None,
) -> Hazards:
    """Fit the hazards on panel rows; ``outcome`` holds the arguments of `stack` but the steps.

    ``account`` (rows,) are codes: rows of one account stay together where some are held out.
    ``weights`` (rows,): for how many panel rows each stands, where they are a sample already.
    """
    rng = np.random.default_rng(seed)
    stacked = stack(**outcome, ends=ends)
    if weights is not None:
        stacked = replace(stacked, weight=stacked.weight * weights[stacked.row])
    stacked = stacked.sampled(MOST_ROWS, rng)
    account = np.arange(len(matrix)) if account is None else account
    task = _Task(features, matrix, outcome, Layout.of(features, ends), account, kind, seed)
    other = task.blend(stacked, rng, churn=False) if stacked.left.any() else None
    return Hazards(features, ends, task.blend(stacked, rng, churn=True), other)


@dataclass(frozen=True, eq=False)
class _Task:
    """What is fitted on what; ``churn`` says whether the hazard is of churn or of other ends."""

    features: Features
    matrix: Floats
    outcome: Mapping[str, NDArray[Any]]
    layout: Layout
    account: NDArray[np.int64]
    kind: Estimator
    seed: int

    def blend(self, stacked: Stacked, rng: np.random.Generator, *, churn: bool) -> StackedModel:
        """Return the learners fitted on all rows, weighted by what they say of held-out ones."""
        lesson = self.lesson(stacked, churn)
        members = tuple(
            kind(self._layout(churn), self.seed).fit(lesson) for kind in LEARNERS[self.kind]
        )
        few = stacked.sampled(MOST_CROSS_FITTED, rng)
        if few is not stacked:
            lesson = self.lesson(few, churn)
        intercept, weights = self.calibrated(lesson, self.account[few.row], churn, rng)
        return StackedModel(members, weights, intercept)

    def _layout(self, churn: bool) -> Layout:
        """What holds back churn need not hold back other ends."""
        if churn:
            return self.layout
        return replace(self.layout, signs=np.zeros_like(self.layout.signs))

    def lesson(self, stacked: Stacked, churn: bool) -> TrainingData:
        """Return the stacked rows as what a learner is given."""
        ended = stacked.churned if churn else stacked.left
        within = np.asarray(self.outcome["ended_within"], dtype=float)[stacked.row]
        last = self.layout.ends[stacked.step].astype(float)
        accounts = len(np.unique(self.account[stacked.row[ended]]))
        return TrainingData(
            design(self.features, self.matrix, self.layout.ends, stacked.row, stacked.step),
            ended,
            stacked.weight,
            self.layout.begins[stacked.step].astype(float),
            np.where(stacked.churned | stacked.left, within, last),
            # Where no end is seen, none is counted twice.
            float(stacked.weight[ended].sum() / max(accounts, 1)) or 1.0,
        )

    def calibrated(
        self,
        lesson: TrainingData,
        account: NDArray[np.int64],
        churn: bool,
        rng: np.random.Generator,
    ) -> tuple[float, Floats]:
        """Return intercept and weights of the members, learned from accounts held out in turn."""
        codes = np.unique(account, return_inverse=True)[1]
        fold = rng.permutation(codes.max() + 1)[codes] % FOLDS
        kinds = LEARNERS[self.kind]
        score = np.zeros((len(fold), len(kinds)))
        for number in range(FOLDS):
            held = fold == number
            given = lesson.part(~held)
            if not given.ended.any() or given.ended.all():
                return 0.0, np.full(len(kinds), 1 / len(kinds))
            for column, kind in enumerate(kinds):
                learner = kind(self._layout(churn), self.seed).fit(given)
                score[held, column] = learner.log_odds(lesson.rows[held])
        return _calibrate(_on_one_level(score, fold), lesson)


def _on_one_level(score: Floats, fold: NDArray[np.int64]) -> Floats:
    """Return the scores with each fold at the mean of all.

    Where a fold has few ends the others have many, and its scores are high: between folds, scores
    and ends run against each other even if the learner knows nothing.
    """
    level = np.array([score[fold == number].mean(axis=0) for number in range(FOLDS)])
    levelled: Floats = score - level[fold] + score.mean(axis=0)
    return levelled


def _calibrate(score: Floats, lesson: TrainingData) -> tuple[float, Floats]:
    """Return intercept and weights (members,) of a logistic regression on held-out log-odds.

    Platt's (1999) scaling for one member, Wolpert's (1992) stacking for more. Weights lie around
    equal shares before anything is seen; rows that see one end again count as one.
    """
    members = score.shape[1]
    columns = np.column_stack([np.ones(len(score)), score])
    prior = np.r_[0.0, np.full(members, 1 / members)]
    penalty = np.r_[0.0, np.full(members, PRIOR_SPREAD**-2)]
    weight = lesson.weight / max(lesson.overlap, 1.0)
    free = np.ones(members + 1, dtype=bool)
    found = _posterior_mode(columns, lesson.ended, weight, prior, penalty)
    while (found[1:] < 0).any() and free[1:].sum() > 1:
        free[1:] &= found[1:] > found[1:].min()
        found = np.zeros(members + 1)
        found[free] = _posterior_mode(
            columns[:, free], lesson.ended, weight, prior[free], penalty[free]
        )
    weights = np.where(free[1:], np.maximum(found[1:], LEAST_SLOPE), 0.0)
    fixed = np.column_stack([np.ones(len(score)), score @ weights])
    level = _posterior_mode(fixed, lesson.ended, weight, np.array([0.0, 1.0]), np.array([0, 1e9]))
    return float(level[0]), weights


def _posterior_mode(
    columns: Floats, ended: NDArray[np.bool_], weight: Floats, prior: Floats, penalty: Floats
) -> Floats:
    """Return the mode of a logistic regression's posterior under a normal prior, by Newton."""
    from scipy.special import expit

    found = prior.copy()
    for _ in range(50):
        chance = expit(columns @ found)
        curvature = (columns * (weight * chance * (1 - chance))[:, None]).T @ columns
        slope = columns.T @ (weight * (ended - chance)) - penalty * (found - prior)
        step = np.linalg.solve(curvature + np.diag(penalty + 1e-9), slope)
        found = found + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-8:
            break
    return found


def log_odds(risk: Floats) -> Floats:
    """Return the log-odds of risks (n,), of 0 and 1 as of the nearest that have any."""
    from scipy.special import logit

    odds: Floats = logit(np.clip(risk, NEAREST, 1 - NEAREST))
    return odds
