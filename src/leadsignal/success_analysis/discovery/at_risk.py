"""Rows at risk, with what was known about each account one warning time earlier.

A row of the panel at day s has the states of that day; its outcome is churn between s plus the
warning time and the next snapshot plus the warning time. Accounts about to leave stop everything,
so today's state may be a consequence of the decision to leave. A state one warning time earlier, in
accounts still active, may precede it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.cohorts.covariates import columns_of
from leadsignal.config.toml_files import one_of
from leadsignal.errors import OptionError
from leadsignal.model.effects.columns import SKEWED, skewness
from leadsignal.panel import Panel
from leadsignal.survival.inputs import Bools, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.indicators.declare import Indicator

LAGGED = ("activity", "usage")
"""Families of indicators of how active an account was; taken at the earlier day, like the
process."""
MATCHED = ("tenure_days", "term_months", "days_to_renewal")
"""Context that risk sets match on: tenure to the day, and the contract term."""
ONCE_IN = 0.01
"""A column is left out of the adjustment if a smaller share of its rows is nonzero."""


@dataclass(frozen=True, eq=False)
class AtRisk:
    """Rows at risk on (``start``, ``stop``] days of tenure, with the states a warning time earlier.

    ``accounts`` are ids and ``customers`` the codes of their customers; ``account`` (n) indexes
    both, ``row`` indexes the panel's rows sorted by account and day, and ``day`` is the earlier
    day. ``stratum`` encodes the contract term and other matched columns. ``adjusters`` (n × p) hold
    activity, usage, context and size on the earlier day as splines and dummy variables;
    ``adjusted_for`` names them.
    """

    accounts: np.ndarray
    customers: Ints
    account: Ints
    row: Ints
    day: Ints
    start: Floats
    stop: Floats
    event: Bools
    stratum: Ints
    adjusters: Floats
    adjusted_for: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.day)

    @property
    def cluster(self) -> Ints:
        """Code of each row's customer."""
        return self.customers[self.account]


@dataclass(frozen=True)
class KnownBefore:
    """The days on which the state of a process is known.

    It is known from day ``since`` for accounts that started on or after it, ``lookback`` days later
    for older accounts, and until day ``until`` (None: the as-of date).
    """

    since: int
    lookback: int
    until: int | None = None

    def at(self, day: Ints, started: Floats) -> Bools:
        """Return whether the state is known on ``day`` for accounts that started on ``started``."""
        known: Bools = (started >= self.since) | (day >= self.since + self.lookback)
        return known if self.until is None else known & (day <= self.until)


def rows_at_risk(
    panel: Panel, warning_time: int, known_before: KnownBefore, *, match: Sequence[str] = ()
) -> AtRisk:
    """Return the rows of ``panel`` whose accounts are still at risk a warning time later.

    Churn is dated by the day it was known. ``match`` names context columns that risk sets match on,
    in addition to the contract term. Raises OptionError for an unknown column.
    """
    import pandas as pd

    frame = in_order(panel)
    account, accounts, day = whose(frame)
    customers = pd.factorize(frame["customer_id"])[0][~frame["account_id"].duplicated()]
    tenure = frame["start"].to_numpy(dtype=float)
    same = np.append(account[1:] == account[:-1], False)
    length = np.where(same, np.append(np.diff(day), 0), panel.every)
    known = frame["known_within"].to_numpy(dtype=float, na_value=np.nan)
    follow = np.where(np.isnan(known), frame["days_observed"].to_numpy(dtype=float), known)
    left = follow - warning_time
    churns = ~np.isnan(known) & ~frame["end_cause"].isin(panel.project.not_churn).to_numpy()
    kept = np.flatnonzero((left > 0) & known_before.at(day, day - tenure) & (length > 0))
    rows = frame.iloc[kept]
    matrix, names = _adjusters(panel, rows, (*MATCHED, *match))
    start = tenure[kept] + warning_time
    return AtRisk(
        accounts,
        customers.astype(np.int64),
        account[kept],
        kept.astype(np.int64),
        day[kept],
        start,
        start + np.minimum(left, length)[kept],
        (churns & (left <= length))[kept],
        _strata(panel, rows, match),
        matrix,
        names,
    )


def _strata(panel: Panel, rows: pd.DataFrame, match: Sequence[str]) -> Ints:
    """Return codes of the combinations of contract term and values in ``match``."""
    allowed = [one.name for one in panel.indicators if one.role == "context"]
    for name in match:
        if name not in allowed or name in MATCHED:
            raise OptionError(f"match = {name!r}", one_of(set(allowed) - set(MATCHED), name))
    columns = [*match, *(["term_months"] if "term_months" in rows else [])]
    if not columns or not len(rows):
        return np.zeros(len(rows), dtype=np.int64)
    return np.asarray(rows.groupby(columns, dropna=False).ngroup(), dtype=np.int64)


def in_order(panel: Panel) -> pd.DataFrame:
    """Return the panel's rows sorted by account and day."""
    return panel.frame.sort_values(["account_id", "snapshot_on"], ignore_index=True)


def whose(frame: pd.DataFrame) -> tuple[Ints, np.ndarray, Ints]:
    """Return each row's account as a code, the account ids by code, and each row's day."""
    import pandas as pd

    account, accounts = pd.factorize(frame["account_id"])
    day = frame["snapshot_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return account.astype(np.int64), np.asarray(accounts, dtype=object), day


def is_compared(indicator: Indicator) -> bool:
    """Whether comparisons match on an indicator or adjust for it."""
    return indicator.family in LAGGED or indicator.role == "context"


def _adjusters(
    panel: Panel, rows: pd.DataFrame, matched: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Return the columns to adjust for, with mean 0 and standard deviation 1, and their names."""
    values: dict[str, np.ndarray] = {}
    for one in panel.indicators:
        if is_compared(one) and one.name not in matched:
            values[one.name] = _plain(rows[one.name], one.kind, log=one.family in LAGGED)
    if "arr" in rows and "arr_now" not in values and rows["arr"].notna().any():
        values["arr"] = _plain(rows["arr"], "number", log=True)
    if not values or not len(rows):
        return np.zeros((len(rows), 0)), ()
    matrix, _ = columns_of(values)
    spread = matrix.std(axis=0)
    common = (spread > 0) & ((matrix != 0).mean(axis=0) >= ONCE_IN)
    matrix = (matrix[:, common] - matrix[:, common].mean(axis=0)) / spread[common]
    return np.ascontiguousarray(matrix), tuple(values)


def _plain(values: pd.Series[Any], kind: str, *, log: bool) -> np.ndarray:
    if kind == "category":
        return values.astype(object).to_numpy()
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    skewed = len(known) > 0 and known.min() >= 0 and skewness(known) > SKEWED
    # Ratios of counts, amounts and sizes matter, hence logs; attributes may be negative.
    return np.log1p(np.maximum(numbers, 0)) if log or skewed else numbers
