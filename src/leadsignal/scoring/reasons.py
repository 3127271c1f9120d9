"""Reasons of scores: the indicators that raise an account's risk most, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadsignal.indicators.declare import DaysSince, DaysSinceBest, Latest
from leadsignal.model.correlated_groups import behavior_of
from leadsignal.model.indicator_words import reason_text
from leadsignal.model.telling import (
    Moving,
    Part,
    known_value,
    moving_parts,
    parts_of,
    typical_value,
)

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.indicators.declare import Indicator
    from leadsignal.model.churn_model import ChurnModel

REASONS = 3
"""Maximum number of reasons per account."""
MIN_EFFECT = 0.05
"""Minimum log-odds that a subject must add to the risk to be a reason."""
MIN_DIFFERENCE = 0.4
"""Log-odds from the typical account beyond which an account without reasons is not typical."""
MAX_NAMES = 3
"""Maximum number of behaviours in a group that a reason names."""
RENEWAL = "days_to_renewal"
NEAR = 90
"""Days before a renewal within which the renewal is close."""
TYPICAL = "a typical account"
NEAR_RENEWAL = f"{TYPICAL} close to its renewal"
SEVERAL = "several"
"""Subject of a reason without an indicator: the risk is high, but no indicator stands out."""


@dataclass(frozen=True)
class Reason:
    """One reason for a risk: the subject, and its indicator that raises the risk most.

    Parameters
    ----------
    subject : str
        Family of indicators that raises the risk.
    indicator : str
        The member of the family that raises the risk most by itself, with a value on the side
        where more accounts churned.
    value : object
        Value of the indicator; None if it is missing.
    effect : float
        Log-odds that the subject adds to the risk.
    unit : str
        Unit of the indicator.
    reference : object
        Usual value of the indicator among the accounts on that day: the median of a number, the
        most frequent category. None if no account has a value.
    declared : Indicator or None
        Declaration of the indicator, used for its wording.
    group : tuple of str
        Behaviours that are too correlated to be separated, if the subject is a group of them;
        ``indicator`` is then the most unusual indicator of the group.
    """

    subject: str
    indicator: str
    value: Any
    effect: float
    unit: str = ""
    reference: Any = None
    declared: Indicator | None = None
    group: tuple[str, ...] = ()

    @property
    def direction(self) -> Literal["above", "below", "equal", "different", "missing"]:
        """Position of the value relative to the reference; "different" for categories."""
        if self.value is None:
            return "missing"
        if self.value == self.reference:
            return "equal"
        if self.reference is None or isinstance(self.value, str):
            return "different"
        return "above" if self.value > self.reference else "below"

    def __str__(self) -> str:
        if self.subject == SEVERAL:
            return "several small differences, none of which stands out"
        text = reason_text(self.indicator, self.value, self.declared, self.reference)
        if not self.group:
            return text
        fewer = (self.direction == "below") != ("days_since" in self.indicator)
        return f"{'less' if fewer else 'more'} of: {_some(self.group)} ({text})"


def _some(names: tuple[str, ...]) -> str:
    """Return the first names of a list, and the number of the others."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


COLUMNS = ("account_id", "rank", "subject", "indicator", "value", "unit", "reference", "direction",
           "effect", "group")  # fmt: skip
"""Columns of the table of reasons."""


def reason_table(reasons: Mapping[str, tuple[Reason, ...]]) -> pd.DataFrame:
    """Return reasons as a table, one row per account and reason."""
    import pandas as pd

    rows = [
        (account, rank, one.subject, one.indicator, one.value, one.unit, one.reference,
         one.direction, one.effect, ", ".join(one.group))
        for account, listed in reasons.items()
        for rank, one in enumerate(listed, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def reason_texts(reasons: tuple[Reason, ...] | None) -> list[str]:
    """Return an account's reasons as text, the strongest first.

    Empty if the reasons are unknown (None). For a typical account, or one that differs only by its
    close renewal, the text says so.

    >>> reason_texts(()), reason_texts(None)
    (['a typical account'], [])
    >>> reason_texts((Reason("context", "days_to_renewal", 20.0, 0.5, "days", 170.0),))
    ['a typical account close to its renewal']
    """
    if reasons is None:
        return []
    if not reasons:
        return [TYPICAL]
    if [one.indicator for one in reasons] == [RENEWAL] and reasons[0].value <= NEAR:
        return [NEAR_RENEWAL]
    return list(map(str, reasons))


def account_reasons(
    model: ChurnModel,
    rows: pd.DataFrame,
    others: pd.DataFrame,
    indicators: Mapping[str, Indicator] | None = None,
) -> Mapping[str, tuple[Reason, ...]]:
    """Return the reasons for the risk of each row, by account_id, the strongest first.

    A reason names an indicator that raises the risk by itself, with a value on the side where more
    accounts churned or against its expected sign. Account attributes are named only if nothing else
    stands out, and never if they may identify a person. A typical account has an empty tuple;
    accounts with a much lower risk are left out.

    ``others`` are the rows to compare with; ``indicators`` are the declarations of the indicators.
    """
    shares = model.reasons(rows, against=others)
    declared = indicators or {}
    found = _Reasons(model, rows, others, shares, declared, parts_of(model))
    listed = found.of_kinds("group", "indicator", "state")
    profile = found.of_kinds("segment")
    total = shares.sum(axis=1).to_numpy()
    reasons = {}
    for row, account in enumerate(rows["account_id"]):
        mine = listed[row] or profile[row][:1]
        if not mine and total[row] >= MIN_DIFFERENCE:
            mine = [Reason(SEVERAL, "", None, float(total[row]))]
        if mine or total[row] > -MIN_DIFFERENCE:
            reasons[str(account)] = tuple(mine)
    return reasons


@dataclass(frozen=True, eq=False)
class _Reasons:
    """Rows with the contributions of their subjects, and what is needed to name them."""

    model: ChurnModel
    rows: pd.DataFrame
    others: pd.DataFrame
    shares: pd.DataFrame
    declared: Mapping[str, Indicator]
    parts: list[Part]

    def of_kinds(self, *kinds: str) -> list[list[Reason]]:
        """Return the reasons of each row among parts of some kinds, the strongest first."""
        parts = [part for part in self.parts if part.kind in kinds and self._compares(part)]
        gaps = [n for n, i in self.declared.items() if isinstance(i.rule, GAPS_SPEAK)]
        requested = self.shares >= MIN_EFFECT
        if not parts:
            return [[] for _ in range(len(self.rows))]
        best = moving_parts(self.model, self.rows, self.others, parts, requested, with_gaps=gaps)
        effect = self.shares.to_numpy()
        order = np.argsort(-effect, axis=1, kind="stable")
        return [
            [
                self._reason(best, parts[best.part[row, at]], row, at, float(effect[row, at]))
                for at in order[row]
                if best.part[row, at] >= 0
            ][:REASONS]
            for row in range(len(self.rows))
        ]

    @cached_property
    def _known(self) -> dict[str, tuple[Any, Any]]:
        """The indicators named so far, each with its values and its usual value."""
        return {}

    def _values(self, name: str) -> tuple[Any, Any]:
        """Return the values of an indicator and its usual value."""
        if name not in self._known:
            self._known[name] = self.rows[name].array, typical_value(self.others[name])
        return self._known[name]

    def _compares(self, part: Part) -> bool:
        """Whether values are comparable between accounts; not if each has a metric of its own."""
        declared = self.declared.get(self.model.features_.names[part.columns[0]])
        return declared is None or declared.unit != "metric"

    def _reason(self, best: Moving, part: Part, row: int, at: int, effect: float) -> Reason:
        names = self.model.features_.names
        name = names[best.column[row, at]]
        declared = self.declared.get(name)
        together = [names[column] for column in part.named if best.on_side[row, column]]
        behaviors = tuple(dict.fromkeys(map(behavior_of, together)))
        values, usual = self._values(name)
        return Reason(
            part.subject,
            name,
            known_value(values[row]),
            effect,
            declared.unit if declared else "",
            usual,
            declared,
            behaviors if part.kind == "group" and len(behaviors) > 1 else (),
        )


GAPS_SPEAK = (DaysSince, DaysSinceBest, Latest)
"""Rules for which a missing value means that something never happened."""
