"""Columns that are explained by other columns, or by tenure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leadsignal.model.effects.columns import Column, LeftOut
from leadsignal.model.effects.cox_design import CoxDesign
from leadsignal.survival.inputs import Floats, Labels
from leadsignal.survival.partial_likelihood import PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

MAX_SHARED = 0.8
"""A column that earlier ones determine to this R² (variance inflation of 5) is left out."""
MIN_WITHIN = 0.05
"""So is one with less than this share of its variance between accounts of equal tenure."""


def without_collinear(
    columns: Sequence[Column], decisions: CoxDesign, strata: Labels | None
) -> tuple[list[Column], list[LeftOut]]:
    """Return the columns that carry information of their own, in order, and those left out.

    Judged by the information at ratios of one, that is within risk sets, where a Cox model
    compares; of a collinear set the first stay.
    """
    kept: list[int] = []
    left_out = []
    information = information_at_one(columns, decisions, strata)
    variance = np.diag(information)
    for j, column in enumerate(columns):
        overall = float(column.coded.var()) * decisions.churns
        if variance[j] <= MIN_WITHIN * overall:
            left_out.append(LeftOut(column.name, "accounts of equal tenure (and stratum) share it"))
            continue
        share, weights = _explained_by(information, kept, j)
        if share > MAX_SHARED:
            most = [columns[kept[k]].name for k in np.argsort(-weights)[:3] if weights[k] > 0.2]
            by = ", ".join(most) or "the others together"
            reason = f"{share:.1%} of its variance is explained by {by}"
            left_out.append(LeftOut(column.name, f"collinear: {reason}"))
            continue
        kept.append(j)
    return [columns[j] for j in kept], left_out


def information_at_one(
    columns: Sequence[Column], decisions: CoxDesign, strata: Labels | None
) -> Floats:
    """Return the information (p × p) of the columns where all hazard ratios are one."""
    X = np.column_stack([column.coded for column in columns])
    sets = RiskSets.of(decisions.stop, decisions.event, decisions.start, strata)
    likelihood = PartialLikelihood(X, sets, np.ones(len(X)), None, True)
    information: Floats = likelihood.evaluate(np.zeros(len(columns))).information
    return information


def _explained_by(information: Floats, kept: list[int], j: int) -> tuple[float, Floats]:
    """Return the R² of column j on the kept columns, and the weight of each of these."""
    if not kept:
        return 0.0, np.zeros(0)
    scale = 1 / np.sqrt(np.diag(information)[kept])
    inside = information[np.ix_(kept, kept)] * scale[:, None] * scale
    shared = information[kept, j] * scale / np.sqrt(information[j, j])
    weights = np.linalg.solve(inside, shared)
    return float(shared @ weights), np.abs(weights)
