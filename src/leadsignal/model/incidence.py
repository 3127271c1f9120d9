"""Cumulative incidence of competing causes of an account's end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.accounts import at_risk
from leadsignal.arguments import checked, days_in
from leadsignal.engine.grid import HALF_A_DAY
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import json_fields
from leadsignal.formats import level_text
from leadsignal.panel import Panel
from leadsignal.results import Result, to_html
from leadsignal.survival.curves import Curves, aalen_johansen

if TYPE_CHECKING:
    from matplotlib.axes import Axes


ALL_CHURN = "all churn"
EVERYONE = "all accounts"


@dataclass(frozen=True, eq=False, repr=False)
class CumulativeIncidence(Result):
    """Cumulative incidence of each cause by each horizon, in days since the start.

    Attributes: ``table``, one row per group, cause and horizon: estimate, std_err, lower, upper,
    ended (number observed by then), at_risk (accounts still followed); ``curves`` of all causes,
    where cause k + 1 is ``causes[k]``; ``not_churn``, the causes that end an account but are not
    churn.
    """

    table: pd.DataFrame
    curves: Curves
    causes: tuple[str, ...]
    not_churn: tuple[str, ...]
    level: float

    def _table(self) -> pd.DataFrame:
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Return the table as a plain dictionary, ready for JSON, with None for unknown values."""
        return json_fields(self, "level", "causes", "not_churn", "incidence", incidence="table")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the cumulative incidence of each cause (and group) and return the Axes."""
        axes = Curves(self._ends(), self.level, self.curves.steps).plot(ax, at_risk=False)
        groups = len({curve.group for curve in self._ends()}) > 1
        for line, curve in zip(axes.get_lines(), self._ends(), strict=True):
            name = self.causes[curve.cause - 1]
            line.set_label(f"{curve.group}: {name}" if groups else name)
        axes.legend(frameon=False)
        top = max(float(curve.upper.max(initial=0.0)) for curve in self._ends())
        axes.set(
            xlabel="days since the start, until the end was known",
            ylabel="probability of an end by this cause",
        )
        axes.set_ylim(0, min(1.02, 1.1 * top + 0.01))
        return axes

    def _ends(self) -> tuple[Any, ...]:
        return tuple(curve for curve in self.curves if curve.cause)

    def __repr__(self) -> str:
        table = self.table.to_string(index=False, float_format=lambda x: f"{x:.3g}")
        head = "Probability of an end by cause, on the day it was known"
        return f"{head} ({level_text(self.level)} intervals)\n{table}"

    def _repr_html_(self) -> str:
        return to_html("Probability of an end by cause, on the day it was known", self.table)


@checked
def cumulative_incidence(
    panel: Panel,
    *,
    by: str | None = None,
    horizons: Sequence[str] = ("180d", "365d", "730d"),
    level: float = 0.95,
) -> CumulativeIncidence:
    """Return the cumulative incidence of each cause, and of all churn, by each horizon.

    The Aalen-Johansen estimator (1978) is used, from each account's start to the day its end was
    known: the day of notice, if one was given. Accounts that have given notice and whose contract
    still runs count as churn without a known reason. Accounts first observed later enter late;
    standard errors are clustered by customer. Ends that are not churn are competing events and are
    listed. ``by`` is a category, taken from an account's first row, because a later change would
    reveal time already survived. ``horizons`` are durations; values are missing where a group was
    not followed for that long. Raises OptionError for unknown names and ModelError if no account
    has ended.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ls.model.cumulative_incidence(panel, horizons=["365d"]).to_frame()["cause"].iloc[-1]
    'all churn'
    """
    panel.refuse_sample("a cumulative incidence")
    days = [days_in(horizon) for horizon in horizons]
    accounts = _accounts(panel, by)
    causes = tuple(sorted(accounts["cause"].dropna().unique()))
    if not causes:
        raise ModelError("no account in the panel has ended", "Give a longer history")
    not_churn = tuple(cause for cause in causes if cause in panel.project.not_churn)
    curves = _curves(accounts, {name: k + 1 for k, name in enumerate(causes)}, level)
    parts = [_at(curves, accounts, name, k + 1, days) for k, name in enumerate(causes)]
    if len(causes) > len(not_churn):
        kinds = {name: 1 + (name in not_churn) for name in causes}
        churn = accounts["cause"].isin([name for name in causes if name not in not_churn])
        together = accounts.assign(cause=accounts["cause"].where(~churn, ALL_CHURN))
        total = _curves(accounts, kinds, level)
        parts.append(_at(total, together, ALL_CHURN, 1, days))
    return CumulativeIncidence(
        pd.concat(parts, ignore_index=True), curves, causes, not_churn, level
    )


def _accounts(panel: Panel, by: str | None) -> pd.DataFrame:
    """Return one row per account: start, stop, cause (missing while active), group, customer."""
    categories = [i.name for i in panel.indicators if i.kind == "category"]
    if by is not None and by not in categories:
        raise OptionError(
            f"by is {by!r}, which is not a category of the panel",
            f"Choose one of {', '.join(categories) or '(there is none)'}",
        )
    days, cause = at_risk(panel.frame)
    frame = panel.frame.assign(stop=panel.frame["start"] + days, cause=cause)[days > 0]
    frame["cause"] = frame["cause"].mask(frame["cause"] == "")
    grouped = frame.sort_values(["account_id", "start"], kind="stable").groupby("account_id")
    accounts = grouped.agg(
        start=("start", "min"), stop=("stop", "max"), cause=("cause", "last"),
        customer=("customer_id", "first"),
    ).reset_index()  # fmt: skip
    if by is not None:
        accounts["group"] = grouped[by].nth(0).to_numpy()
    if panel.ended_at_once is not None:
        # Accounts that ended on the day of their start have a time of half a day.
        more = panel.ended_at_once.rename(columns={"customer_id": "customer", by or "": "group"})
        more = more.assign(start=0.0, stop=HALF_A_DAY).reindex(columns=accounts.columns)
        accounts = pd.concat([accounts, more], ignore_index=True)
    accounts["customer"] = accounts["customer"].fillna(accounts["account_id"]).astype(str)
    if by is None:
        return accounts.assign(group=EVERYONE)
    return accounts.assign(group=accounts["group"].fillna("no value").astype(str))


def _curves(accounts: pd.DataFrame, codes: dict[str, int], level: float) -> Curves:
    return aalen_johansen(
        accounts["stop"].to_numpy(dtype=float),
        accounts["cause"].map(codes).fillna(0).to_numpy(dtype=int),
        start=accounts["start"].to_numpy(dtype=float),
        group=accounts["group"].to_numpy(dtype=str),
        cluster=accounts["customer"].to_numpy(dtype=str),
        level=level,
    )


def _at(
    curves: Curves, accounts: pd.DataFrame, name: str, code: int, days: Sequence[int]
) -> pd.DataFrame:
    """Return one row per group and horizon; NaN if the group was not followed for that long."""
    rows = []
    for group, members in accounts.groupby("group"):
        curve = curves.of(group, code)
        for day in days:
            ended = (members["cause"] == name) & (members["stop"] <= day)
            there = (members["start"] <= day) & (members["stop"] > day)
            step = int(np.searchsorted(curve.time, day, side="right")) - 1
            seen = day <= curve.last
            values = [
                getattr(curve, part)[step] if step >= 0 else 0.0
                for part in ("estimate", "std_err", "lower", "upper")
            ]
            numbers = values if seen else [np.nan] * 4
            rows.append((group, name, day, *numbers, int(ended.sum()), int(there.sum())))
    head = ["group", "cause", "days", "estimate", "std_err", "lower", "upper"]
    return pd.DataFrame(rows, columns=[*head, "ended", "at_risk"])
