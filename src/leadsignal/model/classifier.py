"""Use any classifier with fit and predict_proba as a hazard learner."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from leadsignal.config.toml_files import meant
from leadsignal.model.learners import LEARNERS, LearnerTypes, LinearColumns, TrainingData
from leadsignal.model.person_period import Layout

Floats = NDArray[np.float64]


FURTHEST = 7.0
"""Log-odds are clipped to this distance from the mean (a factor of about 1,100 in the odds). A
forest predicts 0 where no tree has an event, but calibration needs finite log-odds."""


class Classifier(Protocol):
    """Interface that `ChurnModel` requires; scikit-learn, LightGBM and XGBoost provide it."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit the classifier; ``y`` is 1 for rows with an event, else 0."""

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, shape (n, 2)."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, from which the classifier is cloned."""


class ClassifierHazard:
    """A clone of a classifier, fitted on `LinearColumns`, which have no missing values.

    If it does not accept sample weights, its log-odds are corrected for the subsampling of rows
    without an event (prior correction; King and Zeng 2001).
    """

    def __init__(self, template: Classifier, layout: Layout, seed: int) -> None:
        self.template, self.layout, self.seed = template, layout, seed
        self.columns = LinearColumns(layout)

    def fit(self, training: TrainingData) -> ClassifierHazard:
        """Fit the hazard of a step."""
        from sklearn.base import clone

        self.columns = training.prepared.columns
        columns = training.prepared.flat[training.places]
        self.classifier: Any = clone(self.template)
        _seed(self.classifier, self.seed)
        weighted = _weight_name(self.classifier)
        weights = {} if weighted is None else {weighted: training.weight}
        self.classifier.fit(columns, training.ended.astype(int), **weights)
        self.place = list(getattr(self.classifier, "classes_", (0, 1))).index(1)
        rate = float(np.average(training.ended, weights=training.weight))
        self.middle = float(_log_odds(np.array([rate]))[0])
        sampled = float(_log_odds(np.array([training.ended.mean()]))[0])
        self.correction = self.middle - sampled if weighted is None else 0.0
        return self

    def again(self, training: TrainingData) -> ClassifierHazard:
        """Return a learner like this, fitted on other rows of the same design."""
        return ClassifierHazard(self.template, self.layout, self.seed).fit(training)

    def held_out(self, training: TrainingData) -> Floats:
        """Return the log-odds of rows of the design that it was fitted on, shape (n,)."""
        return self.log_odds(training.rows)

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of an event in each row, shape (n,)."""
        chance = self.classifier.predict_proba(self.columns.columns(rows))[:, self.place]
        odds = _log_odds(np.asarray(chance, dtype=np.float64)) + self.correction
        return np.clip(odds, self.middle - FURTHEST, self.middle + FURTHEST)


def _log_odds(chance: Floats) -> Floats:
    from scipy.special import logit

    with np.errstate(divide="ignore"):
        odds: Floats = logit(chance)
    return odds


def _seed(classifier: Any, seed: int) -> None:
    """Set every ``random_state`` that is None, so that fits are reproducible."""
    unset = {
        name: seed
        for name, value in classifier.get_params().items()
        if value is None and name.rpartition("__")[2] == "random_state"
    }
    if unset:
        classifier.set_params(**unset)


def _weight_name(classifier: Any) -> str | None:
    """Return the name of the argument of ``fit`` for sample weights; None if there is none."""
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(classifier, "steps", None)
    if steps:
        name, last = steps[-1]
        inner = _weight_name(last)
        return None if inner is None else f"{name}__{inner}"
    return "sample_weight" if has_fit_parameter(classifier, "sample_weight") else None


def learners_of(estimator: str | Classifier) -> LearnerTypes:
    """Return the learners of a built-in estimator or of a classifier."""
    if isinstance(estimator, str):
        return LEARNERS[estimator]
    return (partial(ClassifierHazard, estimator),)


def estimator_problem(estimator: object) -> str | None:
    """Return why this estimator is invalid; None if it is valid."""
    allowed = f"it may be {' or '.join(LEARNERS)}, or a classifier with predict_proba"
    if isinstance(estimator, str):
        if estimator in LEARNERS:
            return None
        return f"estimator is {estimator!r}{meant(estimator, LEARNERS)}; {allowed}"
    if isinstance(estimator, type):
        return f"estimator is the class {estimator.__name__}; give an instance of it"
    kind = type(estimator).__name__
    missing = [
        name
        for name in ("fit", "predict_proba", "get_params", "set_params")
        if not callable(getattr(estimator, name, None))
    ]
    if missing:
        return f"estimator is a {kind}, which has no {' or '.join(missing)}; {allowed}"
    return None


def estimator_name(estimator: object) -> str:
    """Return the name of a built-in estimator, or the repr of a classifier.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> estimator_name("cox"), estimator_name(GaussianNB())
    ('cox', 'GaussianNB()')
    """
    if isinstance(estimator, str):
        return estimator
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(estimator).split()))
