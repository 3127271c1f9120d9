"""Coefficients of a Cox model, with their covariance and the rows used in the fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.survival.by_risk_set import RiskSetTerms
from leadsignal.survival.inputs import Bools, Floats, Labels
from leadsignal.survival.partial_likelihood import GroupTerms, PartialLikelihood


@dataclass(frozen=True, eq=False)
class CoxRows:
    """The checked rows of a fit, kept without a copy for residuals, baseline and tests."""

    X: NDArray[Any]
    start: Floats | None
    stop: Floats
    event: Bools
    weights: Floats
    offset: Floats | None
    strata: Labels
    cluster: Labels | None
    likelihood: PartialLikelihood


@dataclass(frozen=True, eq=False, repr=False)
class CoxEstimate:
    """The maximum of the partial likelihood, with its covariance and the rows.

    Attributes: ``names`` (p), the names of the columns; ``coef`` (p), the log hazard ratios per
    unit; ``cov`` (p × p), the inverse (penalised) information, and ``se``, its standard errors;
    ``robust_cov`` and ``robust_se``, the cluster sandwich, None without clusters; ``loglik`` and
    ``loglik_null``, the log partial likelihood (without penalty) at ``coef`` and at zero; ``ridge``
    (p); ``ties``; ``evaluations``, how often the fit evaluated the likelihood; ``rows``, the data.
    """

    names: tuple[str, ...]
    coef: Floats
    cov: Floats
    robust_cov: Floats | None
    loglik: float
    loglik_null: float
    ridge: Floats
    ties: str
    evaluations: int
    score_statistic: float
    rows: CoxRows

    @property
    def se(self) -> Floats:
        """Model-based standard errors (p)."""
        return np.sqrt(np.diag(self.cov))

    @property
    def robust_se(self) -> Floats | None:
        """Cluster-robust standard errors (p); None without clusters."""
        return None if self.robust_cov is None else np.sqrt(np.diag(self.robust_cov))

    @property
    def influence(self) -> Floats | None:
        """Influence of each cluster on the coefficients (clusters × p); None without clusters."""
        if self.rows.cluster is None:
            return None
        scores: Floats = self.rows.likelihood.cluster_scores(self.terms, self.rows.cluster)
        return scores @ self.cov

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows.stop)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.rows.likelihood.sets.events)

    @cached_property
    def terms(self) -> GroupTerms | RiskSetTerms:
        """Risk-set sums at ``coef``, used for residuals and the baseline."""
        return self.rows.likelihood.terms(self.coef)
