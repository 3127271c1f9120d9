"""Rows at risk for Cox models, with churn dated by the day the vendor learned of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.end_of_risk import NO_REASON, rows_at_risk
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.errors import ModelError, OptionError
from leadsignal.panel import Panel
from leadsignal.survival.inputs import Bools, Floats

Causes = str | Sequence[str] | None
MIN_CHURNS = 10
"""Minimum number of churns for hazard ratios."""


@dataclass(frozen=True, eq=False)
class CoxDesign:
    """Rows before the end was known, at risk on (start, stop] in days of tenure.

    ``frame`` has the panel rows; ``event`` (n) marks the requested churns and ``churn`` (n) all
    churns, each on the day it was known; ``customer`` (n) are the clusters; ``weight`` (n) is the
    number of rows that each represents: 1, unless the customers are a sample. ``pending`` is the
    number of accounts that have given notice and whose contract still runs: churns whose reason is
    not yet known. ``unseen`` is the number of accounts whose end was known before their first row.
    """

    frame: pd.DataFrame
    start: Floats
    stop: Floats
    event: Bools
    churn: Bools
    customer: NDArray[Any]
    weight: Floats
    causes: tuple[str, ...]
    left_out: tuple[str, ...]
    pending: int
    unseen: int

    @property
    def days(self) -> Floats:
        """Days at risk of each row (n)."""
        return self.stop - self.start

    @property
    def sampled(self) -> bool:
        """Whether rows represent different numbers of rows."""
        return bool((self.weight != 1).any())

    @property
    def churns(self) -> int:
        """Number of the requested churns."""
        return int(self.event.sum())


def decisions_of(panel: Panel, cause: Causes = None, without: Causes = None) -> CoxDesign:
    """Return the rows at risk until the day the end was known, which is the event time.

    Rows after notice are left out, so dating churn by the end of the contract would lose almost all
    events. Raises OptionError for an unknown cause, and ModelError if fewer than 10 churns are
    left.
    """
    panel.refuse_sample("a hazard ratio", of_rows=True)
    every = _churn_causes(panel)
    causes = _causes_to_keep(every, cause, without)
    frame, stop, ended, pending, unseen = _before_known(panel)
    event, churn = (np.isin(ended, list(names)) for names in (causes, every))
    if event.sum() < MIN_CHURNS:
        named = f" ({', '.join(causes)})" if causes else ""
        raise ModelError(
            f"the panel holds {int(event.sum())} churns{named} before {panel.as_of_date}; "
            f"hazard ratios need {MIN_CHURNS}",
            "Give a longer history or a later as_of, or group causes in leadsignal.toml",
        )
    customer = frame["customer_id"].fillna(frame["account_id"]).astype(str)
    return CoxDesign(
        frame,
        frame["start"].to_numpy(dtype=float),
        stop,
        event,
        churn,
        customer.to_numpy(),
        np.ones(len(frame)) if panel.weight is None else frame[SAMPLE_WEIGHT].to_numpy(float),
        causes,
        tuple(name for name in every if name not in causes),
        pending,
        unseen,
    )


def _before_known(panel: Panel) -> tuple[pd.DataFrame, Floats, NDArray[Any], int, int]:
    """Return the rows at risk, their stops and causes ("" for none), and the two counts."""
    kept, stop, ended = rows_at_risk(panel.frame)
    known = panel.frame[panel.frame["known_within"].notna()]
    pending = known.loc[known["end_cause"].isna(), "account_id"].nunique()
    unseen = int((~known["account_id"].drop_duplicates().isin(kept["account_id"])).sum())
    return kept, stop, ended, pending, unseen


def _churn_causes(panel: Panel) -> tuple[str, ...]:
    frame = panel.frame
    seen = set(frame["end_cause"].dropna().unique()) | set(panel.project.causes)
    if (frame["known_within"].notna() & frame["end_cause"].isna()).any():
        seen.add(NO_REASON)
    return tuple(sorted(seen - set(panel.project.not_churn)))


def _causes_to_keep(every: tuple[str, ...], cause: Causes, without: Causes) -> tuple[str, ...]:
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


def names_of(causes: Causes) -> tuple[str, ...]:
    """Return one or several names as a tuple; empty for None."""
    if causes is None:
        return ()
    return (causes,) if isinstance(causes, str) else tuple(causes)
