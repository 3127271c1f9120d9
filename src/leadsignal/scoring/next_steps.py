"""Next steps for an account: its open processes, the most urgent first, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.durations import days_in

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.success import Process
    from leadsignal.stats.estimates import Estimate

LAG = "90d"
"""Lag of a proven effect: time between the measurement of adoption and the day at risk."""
OPEN = ("overdue", "lapsed", "pending")
"""States of a process in which something remains to be done, the most urgent first."""
MAX_DAYS = 1_000_000
"""Upper limit on the days in a state, so that they fit into their part of a sort key."""


COLUMNS = ("account_id", "rank", "process", "state", "days_in_state", "text", "day", "effect",
           "low", "high")  # fmt: skip
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
        return pd.DataFrame(rows, columns=list(COLUMNS))

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
