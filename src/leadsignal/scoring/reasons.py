"""Reasons of scores: the indicators that raise an account's risk most, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadsignal.model.explanation import telling_values, typical_values, value_text

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
    unit : str
        Unit of the indicator.
    reference : object
        Typical value of the indicator among the accounts of that day: the median of numbers, the
        most frequent category; None if no account has a value.
    """

    subject: str
    indicator: str
    value: Any
    effect: float
    unit: str = ""
    reference: Any = None

    @property
    def direction(self) -> Literal["above", "below", "equal", "different", "missing"]:
        """The value relative to the reference; "different" for categories."""
        if self.value is None:
            return "missing"
        if self.value == self.reference:
            return "equal"
        if self.reference is None or isinstance(self.value, str):
            return "different"
        return "above" if self.value > self.reference else "below"

    def __str__(self) -> str:
        text = f"{self.subject}: {value_text(self.indicator, self.value)}"
        if self.direction not in ("above", "below"):
            return text
        return f"{text} (typically {value_text('', self.reference).strip()})"


COLUMNS = ("account_id", "rank", "subject", "indicator", "value", "unit", "reference", "direction",
           "effect")  # fmt: skip
"""Columns of a table of reasons."""


def reason_table(reasons: Mapping[str, tuple[Reason, ...]]) -> pd.DataFrame:
    """Return reasons as a table, one row per account and reason."""
    import pandas as pd

    rows = [
        (account, rank, one.subject, one.indicator, one.value, one.unit, one.reference,
         one.direction, one.effect)
        for account, listed in reasons.items()
        for rank, one in enumerate(listed, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def account_reasons(
    model: ChurnModel,
    rows: pd.DataFrame,
    others: pd.DataFrame,
    units: Mapping[str, str] | None = None,
) -> Mapping[str, tuple[Reason, ...]]:
    """Return what raises the risk of each row most, by account_id, the largest effect first.

    ``others`` are the rows that the rows are compared with, ``units`` the units of indicators.
    """
    shares = model.reasons(rows, against=others)
    raised = shares.to_numpy()
    order = np.argsort(-raised, axis=1, kind="stable")[:, :REASONS]
    subjects = [str(subject) for subject in shares.columns]
    values = [telling_values(model, rows, others, subject) for subject in subjects]
    typical = typical_values(others, model.features_.names)
    units, found = units or {}, {}
    for row, account in enumerate(rows["account_id"]):
        reasons = []
        for column in order[row]:
            indicator, value = values[column][row]
            reason = Reason(subjects[column], indicator, value, float(raised[row, column]),
                            units.get(indicator, ""), typical[indicator])  # fmt: skip
            if reason.effect >= MIN_EFFECT:
                reasons.append(reason)
        found[str(account)] = tuple(reasons)
    return found
