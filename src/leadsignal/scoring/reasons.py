"""Reasons of scores: the indicators that raise an account's risk most, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.model.explanation import telling_values, value_text

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.model.churn_model import ChurnModel

REASONS = 3
"""Number of reasons of an account."""
MIN_EFFECT = 0.05
"""Log-odds that a subject has to add to the risk to be a reason."""


@dataclass(frozen=True)
class Reason:
    """One reason of a risk: the subject's indicator that differs most from other accounts.

    Parameters
    ----------
    subject : str
        Family of indicators that raises the risk.
    indicator : str
        Its indicator that differs most.
    value : object
        Value of the indicator; None if it is missing.
    effect : float
        Log-odds that the subject adds to the risk.
    """

    subject: str
    indicator: str
    value: Any
    effect: float

    def __str__(self) -> str:
        return f"{self.subject}: {value_text(self.indicator, self.value)}"


def account_reasons(
    model: ChurnModel, rows: pd.DataFrame, others: pd.DataFrame
) -> Mapping[str, tuple[Reason, ...]]:
    """Return what raises the risk of each row most, by account_id, the largest effect first."""
    shares = model.reasons(rows, against=others)
    raised = shares.to_numpy()
    order = np.argsort(-raised, axis=1, kind="stable")[:, :REASONS]
    subjects = [str(subject) for subject in shares.columns]
    values = [telling_values(model, rows, others, subject) for subject in subjects]
    found = {}
    for row, account in enumerate(rows["account_id"]):
        reasons = []
        for column in order[row]:
            indicator, value = values[column][row]
            reason = Reason(subjects[column], indicator, value, float(raised[row, column]))
            if reason.effect >= MIN_EFFECT:
                reasons.append(reason)
        found[str(account)] = tuple(reasons)
    return found
