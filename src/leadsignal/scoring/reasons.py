"""Reasons of scores and next steps for an account, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadsignal.arguments import days_in
from leadsignal.indicators.declare import DaysSince, DaysSinceBest, Latest
from leadsignal.model.contributions import behavior_of
from leadsignal.model.reasons import (
    Moving,
    Part,
    known_value,
    moving_parts,
    parts_of,
    reason_text,
    typical_value,
)

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.success import Process
    from leadsignal.indicators.declare import Indicator
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats import Estimate


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


REASON_COLUMNS = (
    "account_id", "rank", "subject", "indicator", "value", "unit", "reference", "direction",
    "effect", "group",
)  # fmt: skip
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
    return pd.DataFrame(rows, columns=list(REASON_COLUMNS))


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


LAG = "90d"
"""Lag of a proven effect: time between the measurement of adoption and the day at risk."""
OPEN = ("overdue", "lapsed", "pending")
"""States of a process in which something remains to be done, the most urgent first."""
MAX_DAYS = 1_000_000
"""Upper limit on the days in a state, so that they fit into their part of a sort key."""


STEP_COLUMNS = (
    "account_id", "rank", "process", "state", "days_in_state", "text", "day", "effect",
    "low", "high",
)  # fmt: skip
"""Columns of the table of next steps."""


@dataclass(frozen=True)
class NextStep:
    """One thing to do for an account.

    Parameters
    ----------
    text : str
        What to do, up to the date.
    day : date, optional
        The date that ends the sentence.
    process, state : str
        The essential process and its state; empty for other steps.
    days : int
        Days in that state.
    effect : Estimate, optional
        Proven hazard ratio of the process, if any.
    """

    text: str
    day: date | None = None
    process: str = ""
    state: str = ""
    days: int = 0
    effect: Estimate | None = None

    @property
    def advice(self) -> str:
        """What to do, with the date but without the effect."""
        return self.text if self.day is None else f"{self.text} {self.day}"

    def __str__(self) -> str:
        return self.advice if self.effect is None else f"{self.advice}; {effect_text(self.effect)}"


def effect_text(effect: Estimate) -> str:
    """Return the proven effect of a process as text."""
    return (
        f"accounts that practise it leave {effect.estimate:.2f} times as often"
        f" ({effect.low:.2f} to {effect.high:.2f}), {days_in(LAG)} days later"
    )


@dataclass(frozen=True, eq=False)
class AccountSteps:
    """Next steps for many accounts, in the order in which to do them.

    ``places`` (accounts, processes) holds positions in ``distinct``, with ``len(distinct)`` for
    none. Accounts with the same process in the same state for the same time share one step.
    """

    account_ids: np.ndarray[Any, Any]
    distinct: tuple[NextStep, ...] = ()
    places: np.ndarray[Any, Any] | None = None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {str(account): row for row, account in enumerate(self.account_ids)}

    def of(self, account_id: str) -> list[NextStep]:
        """Return the steps of an account; empty if it is not among the accounts."""
        row = self._rows.get(account_id)
        if row is None or self.places is None:
            return []
        return [self.distinct[n] for n in self.places[row] if n != len(self.distinct)]

    def table(self) -> pd.DataFrame:
        """Return the steps as a table, one row per account and open process."""
        import pandas as pd

        rows = []
        for account in map(str, self.account_ids):
            for rank, step in enumerate(self.of(account), 1):
                ratio = step.effect
                numbers = (None,) * 3 if ratio is None else (ratio.estimate, ratio.low, ratio.high)
                rows.append((account, rank, step.process, step.state, step.days, step.text,
                             step.day, *numbers))  # fmt: skip
        return pd.DataFrame(rows, columns=list(STEP_COLUMNS))

    def texts(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the open processes and the first step of each account, as text."""
        import pandas as pd

        if self.places is None or not self.places.shape[1]:
            return (np.full(len(self.account_ids), "", dtype=object),) * 2
        none = len(self.distinct)
        # Accounts with the same open processes in the same order share one text.
        names = [*(f"{step.process} ({step.state})" for step in self.distinct), ""]
        label = pd.factorize(np.array(names, dtype=object))[0]
        alike = np.zeros(len(self.places), dtype=np.int64)
        for column in self.places.T:
            alike = pd.factorize(alike * (label.max() + 1) + label[column])[0]
        first = np.unique(alike, return_index=True)[1]
        listed = ["; ".join(names[n] for n in self.places[row] if n != none) for row in first]
        advice = np.array([*map(str, self.distinct), ""], dtype=object)
        return np.array(listed, dtype=object)[alike], advice[self.places[:, 0]]


def account_steps(
    rows: pd.DataFrame, processes: Sequence[Process], effects: Mapping[str, Estimate]
) -> AccountSteps:
    """Return the open processes in panel rows, with what to do about each.

    Processes with a proven effect come first, then overdue, lapsed and pending ones. Within a
    state, the process that has waited longest comes first.
    """
    opened = [_open(rows, process, effects.get(process.name)) for process in processes]
    distinct = sorted({step for steps, _ in opened for step in steps}, key=_urgency)
    rank = {step: place for place, step in enumerate(distinct)}
    none = len(distinct)
    ranks = [np.array([*(rank[step] for step in steps), none])[place] for steps, place in opened]
    places = np.sort(np.column_stack([*ranks, np.full(len(rows), none)]), axis=1)
    return AccountSteps(rows["account_id"].to_numpy(), tuple(distinct), places)


def _urgency(step: NextStep) -> tuple[bool, int, int, str, str]:
    return step.effect is None, OPEN.index(step.state), -step.days, step.process, step.advice


def _open(
    rows: pd.DataFrame, process: Process, effect: Estimate | None
) -> tuple[list[NextStep], np.ndarray[Any, Any]]:
    """Return the steps of a process where it is open, and their position for each row, else −1."""
    import pandas as pd

    states = rows[f"{process.name}_state"].to_numpy(dtype=object)
    state = pd.Index(OPEN).get_indexer(pd.Index(states))
    days = rows[f"{process.name}_days_in_state"].to_numpy(dtype=float, na_value=np.nan)
    dates = rows["snapshot_on"].to_numpy().astype("datetime64[D]")
    place = np.full(len(rows), -1)
    is_open = np.flatnonzero(state >= 0)
    waited = days[is_open].astype(np.int64)
    key = (dates[is_open].astype(np.int64) * MAX_DAYS + waited) * len(OPEN) + state[is_open]
    place[is_open], _ = pd.factorize(key)
    first = is_open[np.unique(place[is_open], return_index=True)[1]]
    steps = [_step(process, states[row], int(days[row]), dates[row].item(), effect)
             for row in first]  # fmt: skip
    return steps, place


def _step(process: Process, state: str, days: int, day: date, effect: Estimate | None) -> NextStep:
    since = day - timedelta(days=days)
    name, due = process.name, None
    if state == "overdue":
        text, due = f"start {name}: it was due on", since
    elif state == "lapsed":
        text, due = f"resume {name}: it lapsed on", since
    elif process.adopt_by is None:
        text = f"start {name}"
    else:
        text, due = f"adopt {name} by", since + timedelta(days=process.adopt_by)
    return NextStep(text, due, name, state, days, effect)
