"""Analyse an experiment: churn by assigned arm, up to the planned last day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked
from leadsignal.end_of_risk import known_ends
from leadsignal.errors import ModelError, OptionError
from leadsignal.experiments.plan import CONTROL, TREATED
from leadsignal.files.records import json_fields
from leadsignal.phrases import share_between
from leadsignal.results import Result, to_html
from leadsignal.stats.estimates import ClusteredEstimate, Estimate
from leadsignal.stats.proportions import Share
from leadsignal.survival.contrasts import logrank
from leadsignal.survival.cox import fit_cox
from leadsignal.tables import Tables

COLUMNS = ("account_id", "customer_id", "stratum", "arm", "assigned_on")


@dataclass(frozen=True, repr=False, eq=False)
class ExperimentResult(Result):
    """Churn in the arms of an experiment, by intention to treat.

    Parameters
    ----------
    frame : DataFrame
        One row per arm: accounts, churned, churn with its 95 % interval.
    hazard_ratio : Estimate or None
        Treated versus control, stratified, with standard errors clustered by customer; None if
        nobody churned in one of the arms.
    p : float
        P-value of the stratified log-rank test.
    stop_on : date
        Last day of the experiment, fixed when it was planned.
    not_at_risk : int
        Accounts excluded because their end was known before they were assigned.
    """

    frame: pd.DataFrame
    hazard_ratio: Estimate | None
    p: float
    stop_on: date
    not_at_risk: int

    @property
    def shows_an_effect(self) -> bool:
        """Whether churn differs significantly between the arms (p < 0.05)."""
        return self.p < 0.05

    @property
    def finding(self) -> str:
        """The finding, with its uncertainty."""
        ratio, churn = self.hazard_ratio, self.frame.set_index("arm")["churn"]
        interval = "nobody churned in one of them"
        if ratio is not None:
            interval = f"hazard ratio {ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
        if not self.shows_an_effect:
            return f"Not proven: the arms differ by no more than chance ({interval})."
        way = "less" if churn[TREATED] < churn[CONTROL] else "more"
        return f"The experiment shows that treated accounts leave {way} often ({interval})."

    def to_dict(self) -> dict[str, Any]:
        """Return the result ready for JSON."""
        names = ("arms", "hazard_ratio", "p", "stop_on", "not_at_risk", "finding")
        return json_fields(self, *names, arms="frame")

    def __repr__(self) -> str:
        lines = [self.finding]
        lines += [
            f"  {row['arm']}: {row['churned']:,} of {row['accounts']:,} accounts churned by"
            f" {self.stop_on}: {share_between(row['churn'], row['low'], row['high'])}"
            for row in self.frame.to_dict("records")
        ]
        if self.not_at_risk:
            lines.append(f"  {self.not_at_risk:,} accounts had ended before they were assigned")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return to_html(self.finding, self.frame.round(3))


@checked
def analyse_experiment(
    arms: pd.DataFrame, tables: Tables, *, stop_on: date | str
) -> ExperimentResult:
    """Compare churn between the arms as assigned (intention to treat).

    Parameters
    ----------
    arms : DataFrame
        The arms, as returned by `draw_arms`.
    tables : Tables
        The tables, with an as-of date after ``stop_on``.
    stop_on : date or str
        Last day of the experiment, fixed when it was planned. Stopping earlier, or choosing the day
        after seeing results, inflates the false-positive rate.

    Returns
    -------
    ExperimentResult

    Raises
    ------
    OptionError
        If ``arms`` is not a valid assignment, or the as-of date is not after ``stop_on``.
    ModelError
        If nobody churned.
    """
    last = pd.Timestamp(stop_on)
    _refuse_arms(arms)
    if pd.Timestamp(tables.as_of_date) <= last:
        raise OptionError(
            f"the tables end at {tables.as_of_date}, and the experiment at {last:%Y-%m-%d}",
            "Wait until that day is over; an earlier result is not valid",
        )
    accounts = tables.frame("accounts")
    ends = known_ends(tables, accounts).assign(account_id=accounts["account_id"].astype(str))
    rows = arms.assign(account_id=arms["account_id"].astype(str)).merge(ends, on="account_id")
    if len(rows) != len(arms):
        raise OptionError(
            f"{len(arms) - len(rows):,} accounts of the arms are not in the tables",
            "Give the tables of the same accounts",
        )
    begun = rows["known_on"].isna() | (rows["known_on"] > rows["assigned_on"])
    mine = rows[begun]
    by_day = mine["known_on"].where(mine["known_on"] <= last)
    stop = (by_day.fillna(last) - mine["assigned_on"]).dt.days.to_numpy(dtype=np.float64)
    event = (by_day.notna() & mine["is_churn"]).to_numpy(dtype=bool)
    treated = (mine["arm"] == TREATED).to_numpy(dtype=np.float64)
    if not event.any():
        raise ModelError("nobody churned during the experiment", "Plan it longer or larger")
    strata = mine["stratum"].to_numpy()
    cluster = pd.factorize(mine["customer_id"].astype(str))[0]
    test = logrank(stop, event, treated, strata=strata)
    return ExperimentResult(
        _by_arm(mine["arm"], event), _hazard_ratio(treated, stop, event, strata, cluster), test.p,
        last.date(), int((~begun).sum()),
    )  # fmt: skip


def _refuse_arms(arms: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in arms]
    if missing:
        problem = f"the arms have no column {', '.join(missing)}"
        raise OptionError(problem, "Draw them with draw_arms")
    unknown = sorted(set(arms["arm"]) - {CONTROL, TREATED})
    if unknown:
        raise OptionError(
            f"{', '.join(map(repr, unknown))} is not an arm", f"Write {TREATED} or {CONTROL}"
        )
    if arms["account_id"].duplicated().any():
        raise OptionError("an account is in the arms twice", "Give one row per account")
    split = arms.groupby("customer_id")["arm"].nunique()
    if (split > 1).any():
        raise OptionError(
            f"{int((split > 1).sum())} customers are in both arms", "Draw the arms with draw_arms"
        )


def _by_arm(arm: pd.Series[str], event: np.ndarray[Any, np.dtype[np.bool_]]) -> pd.DataFrame:
    rows = []
    for name in (TREATED, CONTROL):
        inside = (arm == name).to_numpy()
        share = Share(int(event[inside].sum()), int(inside.sum()))
        rows.append((name, share.of, share.count, share.estimate, *share.interval))
    return pd.DataFrame(rows, columns=["arm", "accounts", "churned", "churn", "low", "high"])


def _hazard_ratio(
    treated: np.ndarray[Any, Any], stop: np.ndarray[Any, Any], event: np.ndarray[Any, Any],
    strata: np.ndarray[Any, Any], cluster: np.ndarray[Any, Any],
) -> Estimate | None:  # fmt: skip
    if len(np.unique(treated[event])) < 2:
        return None
    fit = fit_cox(treated[:, None], stop, event, strata=strata, cluster=cluster)
    if fit.influence is None:
        raise ModelError("the hazard ratio has no standard error by customer")
    return ClusteredEstimate(float(fit.coef[0]), fit.influence[:, 0]).ratio()
