"""Rows at risk of a decision to leave: the end is moved to where the vendor came to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.errors import ModelError, OptionError
from leadsignal.survival.inputs import Bools, Floats

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.panel import Panel

Causes = str | Sequence[str] | None
LEAST_CHURNS = 10
"""Fewer churns than this say nothing about several indicators at once."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """Rows before notice, at risk on (start, stop] in days of tenure.

    ``frame`` are the panel rows; ``cause`` (n) is None where the row does not end; ``event`` (n)
    marks the ends asked for and ``churn`` (n) all churns; ``customer`` (n) are the clusters.
    ``pending`` counts accounts that had given notice and whose end is not known yet, ``unseen``
    those that ended and had given notice before their first row.
    """

    frame: pd.DataFrame
    start: Floats
    stop: Floats
    event: Bools
    churn: Bools
    customer: NDArray[Any]
    causes: tuple[str, ...]
    left_out: tuple[str, ...]
    pending: int
    unseen: int

    @property
    def days(self) -> Floats:
        """Days at risk of each row (n)."""
        return self.stop - self.start

    @property
    def churns(self) -> int:
        """How many of the ends asked for there are."""
        return int(self.event.sum())


def decisions_of(panel: Panel, cause: Causes = None, without: Causes = None) -> Decisions:
    """Return the rows at risk, an end standing in the last row before notice was given.

    Rows after notice know the end; without moving it, almost every churn would go with them.
    Raises OptionError for an unknown cause, ModelError where fewer than 10 ends are left.
    """
    panel.refuse_sample("a hazard ratio")
    every = _churn_causes(panel)
    causes = _asked(every, cause, without)
    frame, ended, pending, unseen = _before_notice(panel)
    event, churn = (np.isin(ended, list(names)) for names in (causes, every))
    if event.sum() < LEAST_CHURNS:
        named = f" ({', '.join(causes)})" if causes else ""
        raise ModelError(
            f"the panel holds {int(event.sum())} churns{named} before {panel.as_of_date}; "
            f"hazard ratios need {LEAST_CHURNS}",
            "Give a longer history or a later as_of, or group causes in leadsignal.toml",
        )
    customer = frame["customer_id"].fillna(frame["account_id"]).astype(str)
    return Decisions(
        frame,
        frame["start"].to_numpy(dtype=float),
        frame["stop"].to_numpy(dtype=float),
        event,
        churn,
        customer.to_numpy(),
        causes,
        tuple(name for name in every if name not in causes),
        pending,
        unseen,
    )


def _before_notice(panel: Panel) -> tuple[pd.DataFrame, NDArray[Any], int, int]:
    """Return the rows before notice, in one order, with the cause each ends by ("" for none)."""
    at_risk = (panel.frame["stop"] > panel.frame["start"]).to_numpy()
    known = panel.frame.loc[at_risk, ["account_id", "start", "cause", "notice_given"]]
    known = known.assign(place=np.flatnonzero(at_risk))
    known = known.sort_values(["account_id", "start"], kind="stable")
    last_cause = known.groupby("account_id")["cause"].last()
    noticed = known.groupby("account_id")["notice_given"].any()
    # The rows are copied once: a panel has many columns.
    kept = panel.frame.iloc[known["place"][~known["notice_given"]]].reset_index(drop=True)
    is_last = ~kept["account_id"].duplicated(keep="last")
    ended = kept["account_id"].map(last_cause).where(is_last).fillna("").astype(str)
    pending = int((noticed & last_cause.isna()).sum())
    unseen = int((~last_cause.dropna().index.isin(kept["account_id"])).sum())
    return kept, ended.to_numpy(dtype=str), pending, unseen


def _churn_causes(panel: Panel) -> tuple[str, ...]:
    seen = set(panel.frame["cause"].dropna().unique()) | set(panel.project.causes)
    return tuple(sorted(seen - set(panel.project.not_churn)))


def _asked(every: tuple[str, ...], cause: Causes, without: Causes) -> tuple[str, ...]:
    if cause is not None and without is not None:
        raise OptionError("cause and without are both given", "Name the causes to keep, or to drop")
    kept, dropped = names_of(cause), names_of(without)
    unknown = sorted({*kept, *dropped} - set(every))
    if unknown:
        raise OptionError(
            f"there is no churn by cause {', '.join(map(repr, unknown))}; "
            f"the causes are {', '.join(map(repr, every))}",
            "Name one of them, or group end reasons under [causes] in leadsignal.toml",
        )
    return tuple(name for name in every if name not in dropped and (not kept or name in kept))


def names_of(given: Causes) -> tuple[str, ...]:
    """Return one name or several as a tuple; none for None."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)
