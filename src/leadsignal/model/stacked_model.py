"""Discrete-time hazards of churn and other ends, calibrated on held-out and recent accounts.

If churn has risen or fallen, a model fitted on all years expects too few or too many churns. Its
hazards are multiplied by one factor, which does not change any ranking (Booth, Riley, Ensor,
Lambert and Rutherford 2020, International Journal of Epidemiology 49, 1316-1325).

The factor is shrunken towards 1 by a gamma prior (empirical Bayes). If O churns are observed and
the model expects E, then O is Poisson with mean f E, and f has a Gamma(a, a) prior with mean 1 and
variance 1 / a, so its posterior mean is (a + O) / (a + E). The variance is estimated from all
completed horizons by the method of moments: (sum of (O - E)² - d E) / (sum of E²), where d is the
mean number of churned accounts per churned customer; E and O are divided by d in the posterior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import ModelError
from leadsignal.files.writing import json_fields
from leadsignal.model.features import Features, Layout, Stacked, design, stack
from leadsignal.model.learners import (
    Classifier,
    ClassifierHazard,
    Learner,
    LearnerTypes,
    Prepared,
    TrainingData,
    learners_of,
)
from leadsignal.model.trees import by_blocks
from leadsignal.results import Result
from leadsignal.workers import one_thread

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


Estimator = Literal["ensemble", "boosting", "logistic", "cox"]
ESTIMATORS: tuple[Estimator, ...] = ("ensemble", "boosting", "logistic", "cox")


@dataclass(frozen=True)
class SampleSize:
    """Number of stacked rows used in a fit: all rows with an end, and a sample of the others.

    With k rows without an end per row with one, a fit keeps about k / (k + 1) of the information in
    all rows (Ury 1975). ``least`` and ``most`` bound the number.
    """

    per_end: int
    least: int
    most: int

    def of(self, stacked: Stacked) -> int:
        """Return the maximum number of rows in a fit."""
        ended = int((stacked.churned | stacked.left).sum())
        return min(self.most, max(self.least, (1 + self.per_end) * ended))


FITTED = SampleSize(per_end=20, least=20_000, most=200_000)
"""Sample size for fitting the members."""
CROSS_FITTED = SampleSize(per_end=10, least=10_000, most=40_000)
"""Sample size for cross-fitting, which only determines weights and calibration."""
FOLDS = 3
"""Number of folds in cross-fitting."""
PRIOR_SPREAD = 0.5
"""Prior standard deviation of a member's weight around an equal share."""
MIN_SLOPE = 0.05
"""Minimum weight of a member."""
MIN_RISK = 1e-9
"""Risks are clipped to this distance from 0 and 1 before taking log-odds."""


def sample_sizes() -> tuple[SampleSize, SampleSize]:
    """Return the sample sizes for fitting and for cross-fitting."""
    return FITTED, CROSS_FITTED


@dataclass(frozen=True, eq=False)
class StackedModel:
    """Learners and the coefficients of their log-odds: intercept + Σ weight · log-odds."""

    members: tuple[Learner | ClassifierHazard, ...]
    weights: Floats
    intercept: float

    def probability(self, rows: Floats) -> Floats:
        """Return the probability of an end in each row, shape (n,)."""
        from scipy.special import expit

        score = np.full(len(rows), self.intercept)
        for member, weight in zip(self.members, self.weights, strict=True):
            if weight:
                score += weight * member.log_odds(rows)
        chance: Floats = expit(score)
        return chance


@dataclass(frozen=True, eq=False)
class Hazards:
    """Fitted hazards of churn and, if accounts end otherwise, of other ends.

    ``held_out_auc`` is the AUC for churn in a step among held-out customers; None if unknown.
    """

    features: Features
    ends: NDArray[np.int64]
    churn: StackedModel
    other: StackedModel | None
    held_out_auc: float | None = None

    def moved(self, offset: float) -> Hazards:
        """Return hazards with the log-odds of churn shifted by ``offset``."""
        churn = replace(self.churn, intercept=self.churn.intercept + offset)
        return replace(self, churn=churn)

    def curves(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return P(churned by) and P(still active) at the end of each step, both (rows, steps).

        P(churned by step k) is the sum over steps of P(still active before) times the hazard of
        churn. It never falls over time, and P(still active) never rises.
        """
        return curves_of(*self.step_hazards(matrix))

    def step_hazards(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return the hazards of churn and of other ends in each step, both (rows, steps).

        Raises ModelError if a hazard is not a probability.
        """
        rows, steps = len(matrix), len(self.ends)
        churn, other = np.zeros((rows, steps)), np.zeros((rows, steps))

        def fill(part: slice) -> None:
            churn[part], other[part] = self._of_part(matrix[part])

        # Blocks run in threads, none of which should start threads of its own.
        if rows:
            with one_thread():
                by_blocks(fill, rows)
        check_chances(churn, other)
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


def check_chances(*chances: Floats) -> None:
    """Raise ModelError if numbers (rows, …) are not probabilities."""
    wrong = ~np.all([((one >= 0) & (one <= 1)).all(axis=1) for one in chances], axis=0)
    if wrong.any():
        raise ModelError(
            f"the model's forecasts of {wrong.sum():,} of {len(wrong):,} rows are no probabilities",
            "Fit the model again",
        )


def curves_of(churn: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return P(churned by) and P(still active) from the hazards of each step, all (…, steps)."""
    active = np.cumprod(1.0 - churn - other, axis=-1, dtype=np.float64)
    before = np.concatenate([np.ones_like(active[..., :1]), active[..., :-1]], axis=-1)
    # Because of rounding, a sum can slightly exceed 1.
    churned: Floats = np.minimum(np.cumsum(before * churn, axis=-1), 1.0)
    return churned, active


def cumulative_hazard(chance: Floats, at: Floats) -> Floats:
    """Return cumulative hazards (n, k) at times ``at`` (n, k) in steps, linear within a step.

    ``chance`` (n, steps) is the probability of churn in each step. After the last step, the mean
    hazard of the last quarter of steps is used.
    """
    steps = chance.shape[1]
    hazard = -np.log1p(-np.clip(chance, MIN_RISK, 1 - MIN_RISK))
    total = np.column_stack([np.zeros(len(chance)), np.cumsum(hazard, axis=1)])
    tail = hazard[:, -max(1, steps // 4) :].mean(axis=1)
    inside = np.minimum(at, steps)
    step = np.minimum(inside.astype(np.intp), steps - 1)
    before, here = (np.take_along_axis(values, step, axis=1) for values in (total, hazard))
    summed: Floats = before + here * (inside - step) + tail[:, None] * (at - inside)
    return summed


def fit_hazards(
    features: Features,
    matrix: Floats,
    outcome: Mapping[str, NDArray[Any]],
    ends: NDArray[np.int64],
    estimator: Estimator | Classifier,
    seed: int,
    account: NDArray[np.int64] | None = None,
    weights: Floats | None = None,
) -> Hazards:
    """Fit hazards on panel rows.

    Parameters
    ----------
    features : Features
        Names and kinds of the columns of ``matrix``.
    matrix : array of shape (rows, columns)
        Numeric panel rows.
    outcome : mapping
        Arguments of `stack` except ``ends``.
    ends : array of shape (steps,)
        Last day of each step.
    estimator : {"ensemble", "boosting", "logistic", "cox"} or classifier
        The learners to combine.
    seed : int
        Random state.
    account : array of shape (rows,), optional
        Integer codes; rows of the same account are held out together.
    weights : array of shape (rows,), optional
        Number of panel rows that each row represents, if they are already a sample.

    Returns
    -------
    Hazards
        Hazards of churn and, if accounts end otherwise, of other ends.
    """
    stacked = stack(**outcome, ends=ends)
    if weights is not None:
        stacked = replace(stacked, weight=stacked.weight * weights[stacked.row])
    within = np.asarray(outcome["ended_within"], dtype=float)
    learners = learners_of(estimator)
    return fit_stacked_rows(features, matrix, stacked, within, ends, learners, seed, account)


def fit_stacked_rows(
    features: Features,
    matrix: Floats,
    stacked: Stacked,
    ended_within: Floats,
    ends: NDArray[np.int64],
    learners: LearnerTypes,
    seed: int,
    account: NDArray[np.int64] | None = None,
) -> Hazards:
    """Fit hazards on rows of ``matrix`` that have already been stacked by step.

    ``ended_within`` (rows,) is the time to the end, NaN if censored; the other parameters
    are those of `fit_hazards`.
    """
    rng = np.random.default_rng(seed)
    stacked = stacked.sampled(FITTED.of(stacked), rng)
    account = np.arange(len(matrix)) if account is None else account
    layout = Layout.of(features, ends)
    rows = design(features, matrix, ends, stacked.row, stacked.step)
    prepared = Prepared(layout, rows, stacked.weight, stacked.row)
    fit = _HazardFit(prepared, ended_within, layout, account, learners, seed)
    other = fit.stacked_model(stacked, rng, churn=False)[0] if stacked.left.any() else None
    churn, auc = fit.stacked_model(stacked, rng, churn=True)
    return Hazards(features, ends, churn, other, auc)


@dataclass(frozen=True, eq=False)
class _HazardFit:
    """Data and learners of a fit."""

    prepared: Prepared
    ended_within: Floats
    layout: Layout
    account: NDArray[np.int64]
    learners: LearnerTypes
    seed: int

    def stacked_model(
        self, stacked: Stacked, rng: np.random.Generator, *, churn: bool
    ) -> tuple[StackedModel, float | None]:
        """Return learners fitted on all rows, weighted by their predictions for held-out accounts.

        Also returns the AUC of these predictions, None if there are none. ``churn`` selects the
        hazard of churn or that of other ends.
        """
        training = self.training_data(stacked, churn)
        # The expected signs are those of churn, not of other ends.
        layout = replace(self.layout, signs=self.layout.signs * churn)
        members = tuple(learner(layout, self.seed).fit(training) for learner in self.learners)
        training = training.part(*stacked.drawn(CROSS_FITTED.of(stacked), rng))
        score = self.held_out(training, members, rng)
        if score is None:
            equal = np.full(len(members), 1 / len(members))
            return StackedModel(members, equal, 0.0), None
        intercept, weights = _calibrate(score, training)
        auc = _auc_within_steps(score @ weights, training)
        return StackedModel(members, weights, intercept), auc

    def training_data(self, stacked: Stacked, churn: bool) -> TrainingData:
        """Return the stacked rows as training data for learners."""
        ended = stacked.churned if churn else stacked.left
        within = self.ended_within[stacked.row]
        last = self.layout.ends[stacked.step].astype(float)
        accounts = len(np.unique(self.account[stacked.row[ended]]))
        return TrainingData(
            self.prepared,
            np.arange(len(ended)),
            ended,
            stacked.weight,
            self.layout.begins[stacked.step].astype(float),
            np.where(stacked.churned | stacked.left, within, last),
            # Without ends, no end appears twice.
            float(stacked.weight[ended].sum() / max(accounts, 1)) or 1.0,
        )

    def held_out(
        self,
        training: TrainingData,
        members: tuple[Learner | ClassifierHazard, ...],
        rng: np.random.Generator,
    ) -> Floats | None:
        """Return the log-odds by each member from cross-fitting, shape (rows, members).

        None if all rows with an end, or all rows without one, are in the same fold.
        """
        codes = np.unique(self.account[training.owner], return_inverse=True)[1]
        fold = rng.permutation(codes.max() + 1)[codes] % FOLDS
        score = np.zeros((len(fold), len(members)))
        for number in range(FOLDS):
            held_out = fold == number
            others, rest = training.part(~held_out), training.part(held_out)
            if not others.ended.any() or others.ended.all():
                return None
            for column, member in enumerate(members):
                score[held_out, column] = member.again(others).held_out(rest)
        return _on_one_level(score, fold)


def _auc_within_steps(score: Floats, training: TrainingData) -> float | None:
    """Return the AUC for pairs of rows in the same step, averaged over the ends.

    Across steps, many pairs would be easy to rank by the step alone: few accounts end in the first
    months after a snapshot at which no notice had been given.
    """
    from leadsignal.stats import auc_of  # loads SciPy

    steps = [training.start == begin for begin in np.unique(training.start)]
    both = [rows for rows in steps if 0 < training.ended[rows].sum() < rows.sum()]
    if not both:
        return None
    aucs = [auc_of(training.ended[rows], score[rows]).estimate for rows in both]
    return float(np.average(aucs, weights=[training.ended[rows].sum() for rows in both]))


def _on_one_level(score: Floats, fold: NDArray[np.int64]) -> Floats:
    """Return the scores with every fold shifted to the same mean.

    A fold with few ends leaves many ends in its training data, and so gets high scores. Without the
    shift, scores and ends would be negatively correlated between folds even for an uninformative
    learner.
    """
    level = np.array([score[fold == number].mean(axis=0) for number in range(FOLDS)])
    levelled: Floats = score - level[fold] + score.mean(axis=0)
    return levelled


def _calibrate(score: Floats, training: TrainingData) -> tuple[float, Floats]:
    """Return intercept and weights (members,) of a logistic regression on held-out log-odds.

    This is Platt scaling (Platt 1999) for one member, stacking (Wolpert 1992) for more. The prior
    of the weights is centred at equal shares. Rows in which the same end appears count as one.
    """
    members = score.shape[1]
    columns = np.column_stack([np.ones(len(score)), score])
    prior = np.r_[0.0, np.full(members, 1 / members)]
    penalty = np.r_[0.0, np.full(members, PRIOR_SPREAD**-2)]
    weight = training.weight / max(training.overlap, 1.0)
    free = np.ones(members + 1, dtype=bool)
    found = _posterior_mode(columns, training.ended, weight, prior, penalty)
    while (found[1:] < 0).any() and free[1:].sum() > 1:
        free[1:] &= found[1:] > found[1:].min()
        found = np.zeros(members + 1)
        found[free] = _posterior_mode(
            columns[:, free], training.ended, weight, prior[free], penalty[free]
        )
    weights = np.where(free[1:], np.maximum(found[1:], MIN_SLOPE), 0.0)
    fixed = np.column_stack([np.ones(len(score)), score @ weights])
    level = _posterior_mode(fixed, training.ended, weight, np.array([0.0, 1.0]), np.array([0, 1e9]))
    return float(level[0]), weights


def _posterior_mode(
    columns: Floats, ended: NDArray[np.bool_], weight: Floats, prior: Floats, penalty: Floats
) -> Floats:
    """Return the posterior mode of a logistic regression with a normal prior (Newton's method)."""
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
    """Return the log-odds of risks (n,), clipped away from 0 and 1."""
    from scipy.special import logit

    odds: Floats = logit(np.clip(risk, MIN_RISK, 1 - MIN_RISK))
    return odds


MIN_HORIZONS = 3
"""Minimum number of completed horizons for estimating the prior's variance."""
USUAL_SPREAD = 0.25
"""Standard deviation of the prior if it is not estimated."""
MAX_OFFSET = 3.0
"""Maximum change of the log-odds, a factor of about 20."""


@dataclass(frozen=True)
class CompletedHorizon:
    """Expected and observed churns until ``ends_on``, among accounts active on ``begins_on``."""

    begins_on: date
    ends_on: date
    expected: float
    observed: int


@dataclass(frozen=True, repr=False, eq=False)
class Recalibration(Result):
    """Result of a recalibration.

    Attributes
    ----------
    factor : float
        Average factor by which the hazards are multiplied.
    offset : float
        Number added to the log-odds of the hazards.
    prior_spread : float
        Standard deviation of the factor's prior; 0 if the completed horizons differ by no more than
        chance, in which case nothing is changed.
    horizons : tuple of CompletedHorizon
        Completed horizons, the latest first. The first determines the factor, all of them the
        prior.

    Examples
    --------
    >>> day, later = date(2024, 1, 1), date(2024, 6, 29)
    >>> Recalibration(1.2, 0.19, 0.25, (CompletedHorizon(day, later, 30.0, 42),))
    recalibrated on 2024-01-01 to 2024-06-29: 42 churns where 30.0 were expected; hazards times
    1.20, after which 36.0 are expected (prior: 1 ± 0.25)
    """

    factor: float
    offset: float
    prior_spread: float
    horizons: tuple[CompletedHorizon, ...]

    def _table(self) -> pd.DataFrame:
        """Return one row per completed horizon, the latest first."""
        import pandas as pd

        return pd.DataFrame([vars(one) for one in self.horizons])

    def __repr__(self) -> str:
        last = self.horizons[0]
        return (
            f"recalibrated on {last.begins_on} to {last.ends_on}: {last.observed:,} churns where"
            f" {last.expected:,.1f} were expected; hazards times {self.factor:.2f}, after which"
            f" {self.factor * last.expected:,.1f} are expected (prior: 1 ± {self.prior_spread:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the recalibration as plain dictionaries and lists, ready for JSON."""
        return json_fields(self, "factor", "offset", "prior_spread", "horizons")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Recalibration:
        """Return the recalibration that `to_dict` wrote."""
        horizons = tuple(
            CompletedHorizon(
                date.fromisoformat(one["begins_on"]),
                date.fromisoformat(one["ends_on"]),
                one["expected"],
                one["observed"],
            )
            for one in content["horizons"]
        )
        return cls(content["factor"], content["offset"], content["prior_spread"], horizons)


def recalibrate(
    hazards: Hazards,
    matrix: Floats,
    outcome: Mapping[str, NDArray[Any]],
    customer: NDArray[np.int64],
    account: NDArray[np.int64],
    as_of: date,
    every: int,
) -> Recalibration:
    """Estimate the factor of the hazards from panel rows.

    Parameters
    ----------
    hazards : Hazards
    matrix : array of shape (rows, columns)
        Numeric panel rows of accounts that had not given notice.
    outcome : mapping
        Arguments of `stack` except ``ends``.
    customer, account : array of shape (rows,)
        Integer codes.
    as_of : date
        The day up to which outcomes are known.
    every : int
        Days between snapshots. The row used for a horizon is the account's latest within ``every``
        days before it begins.

    Raises
    ------
    ModelError
        If no horizon with expected churn has been completed.
    """
    horizon = int(hazards.ends[-1])
    observed = np.asarray(outcome["observed"], dtype=float)
    horizons, exposed, ended = [], [], []
    for number in range(1, int(observed.max(initial=0)) // horizon + 1):
        mine = _latest(observed, account, number * horizon, every)
        hazard, churned = _exposure(hazards, matrix, outcome, mine)
        if (expected := float(hazard.sum())) > 0:
            begins = as_of - timedelta(days=number * horizon)
            ends = begins + timedelta(days=horizon)
            horizons.append(CompletedHorizon(begins, ends, expected, len(churned)))
            exposed.append(hazard)
            ended.append(churned)
    if not horizons:
        raise ModelError(
            f"no horizon of {horizon} days has been completed by {as_of}",
            "Give a panel with a longer history, or a model with a shorter horizon",
        )
    churned = np.concatenate(ended)
    overlap = max(len(churned) / max(len(np.unique(customer[churned])), 1), 1.0)
    spread = prior_spread(horizons, overlap)
    factor = shrunken_factor(horizons[0], spread, overlap)
    return Recalibration(factor, _offset(exposed[0], factor), spread, tuple(horizons))


def _exposure(
    hazards: Hazards,
    matrix: Floats,
    outcome: Mapping[str, NDArray[Any]],
    rows: NDArray[np.int64],
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the hazards of the steps at risk of some rows, and the rows that churned."""
    mine = {name: np.asarray(values)[rows] for name, values in outcome.items()}
    steps = stack(**mine, ends=hazards.ends)
    hazard = hazards.step_hazards(matrix[rows])[0]
    return hazard[steps.row, steps.step], rows[steps.row[steps.churned]]


def _latest(
    observed: Floats, account: NDArray[np.int64], days: int, every: int
) -> NDArray[np.int64]:
    """Return each account's latest row that was followed for ``days`` to ``days + every`` days."""
    rows = np.flatnonzero((observed >= days) & (observed < days + every))
    rows = rows[np.lexsort((observed[rows], account[rows]))]
    latest: NDArray[np.int64] = rows[np.unique(account[rows], return_index=True)[1]]
    return latest


def prior_spread(horizons: Sequence[CompletedHorizon], overlap: float = 1.0) -> float:
    """Return the standard deviation of the factor's prior.

    Counts of 40, 40 and 80 with 50 expected differ by more than chance:

    >>> day = date(2024, 1, 1)
    >>> past = [CompletedHorizon(day, day, 50.0, observed) for observed in (80, 40, 40)]
    >>> round(prior_spread(past), 3)
    0.356
    """
    if len(horizons) < MIN_HORIZONS:
        return USUAL_SPREAD
    expected, observed = (
        np.array([getattr(one, name) for one in horizons], dtype=float)
        for name in ("expected", "observed")
    )
    beyond_chance = ((observed - expected) ** 2 - overlap * expected).sum()
    return float(np.sqrt(max(beyond_chance, 0.0) / (expected**2).sum()))


def shrunken_factor(horizon: CompletedHorizon, spread: float, overlap: float = 1.0) -> float:
    """Return the posterior mean of the factor, given the standard deviation of its prior.

    >>> day = date(2024, 1, 1)
    >>> round(shrunken_factor(CompletedHorizon(day, day, 50.0, 80), 0.35), 3)
    1.516
    """
    if not spread:
        return 1.0
    shape = spread**-2
    return (shape + horizon.observed / overlap) / (shape + horizon.expected / overlap)


def _offset(hazard: Floats, factor: float) -> float:
    """Return the offset of the log-odds that multiplies the sum of the hazards by ``factor``."""
    from scipy.optimize import brentq
    from scipy.special import expit

    odds, aim = log_odds(hazard), factor * hazard.sum()
    low, high = (expit(odds + sign * MAX_OFFSET).sum() for sign in (-1, 1))
    if not low < aim < high:
        return MAX_OFFSET if aim >= high else -MAX_OFFSET
    return float(brentq(lambda offset: expit(odds + offset).sum() - aim, -MAX_OFFSET, MAX_OFFSET))
