"""An experiment: its sample size and duration, its arms, and its analysis by assigned arm."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.accounts import known_ends
from leadsignal.arguments import checked
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import json_fields, json_rows
from leadsignal.formats import level_text, share_between, share_text
from leadsignal.results import Result, to_html
from leadsignal.scoring.feeds import HELD_OUT, chance_of
from leadsignal.scoring.scores import Scores
from leadsignal.stats import ClusteredEstimate, Estimate, Share, normal_quantile
from leadsignal.survival.contrasts import logrank
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.inputs import Floats
from leadsignal.tables import Tables

__all__ = [
    "ExperimentPlan",
    "ExperimentResult",
    "analyse_experiment",
    "draw_arms",
    "plan_experiment",
    "simulated_power",
]

CONTROL, TREATED = "control", "treated"


@checked
def draw_arms(
    scores: Scores,
    tables: Tables,
    *,
    accounts: int | None = None,
    share: float | None = None,
    strata: int = 4,
    seed: int | None = None,
) -> pd.DataFrame:
    """Assign customers to a treated and a control arm.

    All accounts of a customer are in the same arm, because acting on one affects the others. Within
    strata of risk, customers are put in a random order that depends on the seed alone, and a
    ``share`` of them is treated, so the same call gives the same arms on every machine. If the
    scores have a hold-out, the held-out accounts are the control arm.

    Parameters
    ----------
    scores : Scores
        Scores on the day the experiment starts.
    tables : Tables
        The tables, which give the customer of each account.
    accounts : int, optional
        Number of eligible accounts, highest risk first. Default: all.
    share : float, optional
        Share of customers to treat. Default: 0.5.
    strata : int, default 4
        Number of equal-sized strata, by the highest risk among a customer's accounts.
    seed : int, optional
        Seed of the random order. Default: the project's ``holdout_seed``.

    Returns
    -------
    DataFrame
        One row per account: account_id, customer_id, stratum (0 is the riskiest), arm
        ("treated" or "control"), assigned_on, risk.

    Raises
    ------
    OptionError
        If the share is not between 0 and 1, there are too few customers for the strata, or the
        scores have a hold-out and a share or seed is given.
    """
    if share is not None and not 0 < share < 1:
        raise OptionError(f"share = {share!r} is not between 0 and 1", "Write 0.5 for half")
    has_arms = HELD_OUT in scores.frame
    if has_arms and (share is not None or seed is not None):
        raise OptionError(
            "the scores have a hold-out, which is the control arm",
            "Leave out share= and seed=, or score with holdout=0 to draw other arms",
        )
    chosen = eligible(scores, tables, accounts)
    top = chosen.groupby("customer_id")["risk"].max()
    if strata < 1 or len(top) < 2 * strata:
        raise OptionError(
            f"{len(top)} customers cannot be assigned in {strata} strata",
            "Give more accounts, or fewer strata: each needs at least two customers",
        )
    ordered = sorted(top.index, key=lambda name: (-top[name], name))
    stratum = {name: place * strata // len(ordered) for place, name in enumerate(ordered)}
    if has_arms:
        arm = _as_held_out(scores, chosen)
    else:
        seed = tables.project.holdout_seed if seed is None else seed
        arm = _assigned(ordered, stratum, 0.5 if share is None else share, seed)
    return chosen.assign(
        stratum=chosen["customer_id"].map(stratum),
        arm=chosen["customer_id"].map(arm),
        assigned_on=pd.Timestamp(scores.as_of_date),
    )[["account_id", "customer_id", "stratum", "arm", "assigned_on", "risk"]]


def eligible(scores: Scores, tables: Tables, accounts: int | None = None) -> pd.DataFrame:
    """Return account_id, customer_id and risk of the riskiest ``accounts``; all by default."""
    if accounts is not None and accounts < 1:
        raise OptionError(f"accounts = {accounts!r} is less than 1", "Leave it out for all")
    chosen = scores.frame.head(len(scores) if accounts is None else accounts)
    chosen = chosen[["account_id", "risk"]].assign(account_id=chosen["account_id"].astype(str))
    known = tables.frame("accounts")[["account_id", "customer_id"]].astype({"account_id": str})
    joined = chosen.merge(known, on="account_id", how="left")
    joined["customer_id"] = joined["customer_id"].fillna(joined["account_id"]).astype(str)
    return joined


def _assigned(
    customers: list[str], stratum: dict[str, int], share: float, seed: int
) -> dict[str, str]:
    """Return the arm of each customer; rounding is carried over from stratum to stratum."""
    arm: dict[str, str] = {}
    owed = 0.0
    for number in sorted(set(stratum.values())):
        mine = [name for name in customers if stratum[name] == number]
        mine.sort(key=lambda name: chance_of(name, seed), reverse=True)
        owed += share * len(mine)
        treated = int(np.floor(owed + 0.5))
        owed -= treated
        arm |= {name: TREATED if n < treated else CONTROL for n, name in enumerate(mine)}
    return arm


def _as_held_out(scores: Scores, chosen: pd.DataFrame) -> dict[str, str]:
    """Return the arm of each customer: control for held-out customers."""
    held_out = set(scores.frame.loc[scores.frame[HELD_OUT], "account_id"].astype(str))
    control = chosen["account_id"].isin(held_out)
    return dict(zip(chosen["customer_id"], np.where(control, CONTROL, TREATED), strict=True))


MONTHS = (3, 6, 9, 12, 18, 24)
"""Durations, in months, for which a plan gives the number of accounts."""
DAYS_A_MONTH = 365.25 / 12
STRATA = 4
"""Number of risk strata within which arms are assigned and compared."""
TIMES = 50
"""Number of time points at which the expected log-rank statistic is evaluated."""
MAX_RISK = 0.99
"""Risks are capped at this value before they are converted to hazards."""


@dataclass(frozen=True, repr=False, eq=False)
class ExperimentPlan(Result):
    """Sample size of an experiment.

    Parameters
    ----------
    frame : DataFrame
        One row per duration: months, accounts needed, expected churn without and with the action,
        expected number of churns in total, and whether that many accounts are available.
    months : int
        Planned duration.
    accounts : int
        Accounts needed for that duration, both arms together.
    reduction : float
        Reduction in the hazard of churn to detect, as a fraction.
    power, level : float
        Probability of detecting a reduction of that size, and the confidence level.
    share : float
        Share of accounts that is treated.
    hazards : ndarray of shape (available,)
        Hazard of churn per day of each eligible account without the action, highest first.
    available : int
        Number of eligible accounts.
    """

    frame: pd.DataFrame
    months: int
    accounts: int
    reduction: float
    power: float
    level: float
    share: float
    hazards: Floats = field(compare=False)
    available: int

    def to_dict(self) -> dict[str, Any]:
        """Return the plan ready for JSON."""
        names = ("months", "accounts", "available", "reduction", "power", "level", "share_treated")
        return {
            **json_fields(self, *names, share_treated="share"),
            "churns_per_account_year": float(self.hazards.mean()) * 365.25,
            "durations": json_rows(self.frame),
        }

    def __repr__(self) -> str:
        enough = f"{self.available:,} accounts are available"
        if self.accounts > self.available:
            enough = f"only {enough}: run it longer, or aim at a larger reduction"
        return (
            f"{self.accounts:,} accounts for {self.months} months detect a reduction in churn of"
            f" {share_text(self.reduction)} with a probability of {share_text(self.power)}"
            f" ({share_text(self.share)} of them treated, {level_text(self.level)} confidence);"
            f" {enough}.\n"
            f"{self.frame.to_string(index=False, float_format='{:.3f}'.format)}"
        )

    def _repr_html_(self) -> str:
        return to_html(repr(self).splitlines()[0], self.frame.round(3))


@checked
def plan_experiment(
    scores: Scores,
    tables: Tables,
    *,
    reduction: float,
    months: int = 12,
    accounts: int | None = None,
    power: float = 0.8,
    level: float = 0.95,
    share: float = 0.5,
) -> ExperimentPlan:
    """Return the number of accounts needed to detect a reduction in churn.

    An eligible account has the hazard h = −log(1 − risk) / horizon without the action and (1 − r) h
    with it, where r is the reduction. With n accounts, a share s of them treated, the log-rank
    statistic stratified by risk has mean n μ, and variance n σ² under no effect and n ω² under the
    reduction. Hence n = (z₁ σ + z₂ ω)² / μ², where z₁ and z₂ are the normal quantiles of (1 +
    level)/2 and of the power. For small reductions and short durations this is Schoenfeld's number
    of churns, (z₁ + z₂)² / (s (1 − s) log²(1 − r)); larger reductions need more, because the
    riskiest accounts of an arm leave first. Whole customers are assigned, so n is multiplied by the
    mean number of accounts per customer, weighted by accounts.

    Parameters
    ----------
    scores : Scores
        Scores on the day the experiment starts.
    tables : Tables
        The tables, which give the customer of each account.
    reduction : float
        Reduction in the hazard of churn to detect, as a fraction between 0 and 1.
    months : int, default 12
        Duration of the experiment.
    accounts : int, optional
        Number of eligible accounts, highest risk first. Default: all.
    power : float, default 0.8
        Probability of detecting a reduction of that size.
    level : float, default 0.95
        Confidence level.
    share : float, default 0.5
        Share of customers to treat.

    Returns
    -------
    ExperimentPlan

    Raises
    ------
    OptionError
        If a share is not between 0 and 1, or ``months`` is less than 1.

    References
    ----------
    Schoenfeld (1981), Biometrika 68: 316-319.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables))
    >>> scores = ls.score_accounts(model, tables)
    >>> plan = plan_experiment(scores, tables, reduction=0.3)
    >>> plan.accounts > plan_experiment(scores, tables, reduction=0.5).accounts
    True
    """
    for name, value in (("reduction", reduction), ("power", power), ("level", level),
                        ("share", share)):  # fmt: skip
        if not 0 < value < 1:
            raise OptionError(f"{name} = {value!r} is not between 0 and 1", "Write 0.3 for 30 %")
    if months < 1:
        raise OptionError(f"months = {months!r} is less than 1", "Give a number of months")
    chosen = eligible(scores, tables, accounts)
    risk = np.minimum(chosen["risk"].to_numpy(dtype=np.float64), MAX_RISK)
    hazards = np.sort(-np.log1p(-risk) / scores.horizon)[::-1]
    z = normal_quantile(level), normal_quantile(2 * power - 1)
    counts = chosen.groupby("customer_id").size().to_numpy(dtype=np.float64)
    design = float((counts**2).sum() / counts.sum())
    frame = _durations(hazards, sorted({*MONTHS, months}), reduction, share, z, design)
    needed = int(frame.loc[frame["months"] == months, "accounts"].iloc[0])
    return ExperimentPlan(frame, months, needed, reduction, power, level, share, hazards,
                          len(chosen))  # fmt: skip


def _durations(
    hazards: Floats, months: list[int], reduction: float, share: float, z: tuple[float, float],
    design: float,
) -> pd.DataFrame:  # fmt: skip
    rows = []
    for duration in months:
        days = duration * DAYS_A_MONTH
        without = float((1 - np.exp(-hazards * days)).mean())
        treated = float((1 - np.exp(-hazards * (1 - reduction) * days)).mean())
        mean, variance, actual = _log_rank_moments(hazards, days, reduction, share)
        least = (z[0] * np.sqrt(variance) + z[1] * np.sqrt(actual)) ** 2 / mean**2
        needed = int(np.ceil(design * least))
        churns = least * (share * treated + (1 - share) * without)
        rows.append((duration, needed, without, treated, churns, needed <= len(hazards)))
    names = ["months", "accounts", "churn_control", "churn_treated", "churns", "available"]
    return pd.DataFrame(rows, columns=names)


def _log_rank_moments(
    hazards: Floats, days: float, reduction: float, share: float
) -> tuple[float, float, float]:
    """Return the mean, null variance and variance of the stratified log-rank statistic per account.

    ``hazards`` are sorted. With numbers at risk Y₁, Y₀ and churns dN₁, dN₀ in the treated and
    control arms, the statistic is ∫ (Y₀ dN₁ − Y₁ dN₀) / (Y₁ + Y₀), summed over strata. The integral
    is taken by the midpoint rule.
    """
    step = days / TIMES
    time = (np.arange(TIMES) + 0.5) * step
    moments = np.zeros(3)
    for stratum in np.array_split(hazards, STRATA):
        control = np.exp(-np.outer(time, stratum))
        treated = control ** (1 - reduction)
        y0, y1 = (1 - share) * control.sum(axis=1), share * treated.sum(axis=1)
        n0 = (1 - share) * (control @ stratum) * step
        n1 = share * (treated @ stratum) * (1 - reduction) * step
        left, right = y0 / (y0 + y1), y1 / (y0 + y1)
        moments += (
            (left * n1 - right * n0).sum(),
            (left * right * (n0 + n1)).sum(),
            (left**2 * n1 + right**2 * n0).sum(),
        )
    mean, variance, actual = (moments / len(hazards)).tolist()
    return mean, variance, actual


@checked
def simulated_power(
    plan: ExperimentPlan, *, reduction: float | None = None, times: int = 1000, seed: int = 0
) -> float:
    """Return the share of simulated experiments of the planned size that detect a difference.

    Each experiment samples accounts from the eligible ones, treats a share of them at random within
    four strata of risk, and applies the stratified log-rank test.

    Parameters
    ----------
    plan : ExperimentPlan
        The plan.
    reduction : float, optional
        True reduction. Default: the plan's; 0 gives the false-positive rate.
    times : int, default 1000
        Number of simulated experiments.
    seed : int, default 0
        Seed of the random numbers.

    Returns
    -------
    float
    """
    rng = np.random.default_rng(seed)
    true = plan.reduction if reduction is None else reduction
    days, n = plan.months * DAYS_A_MONTH, plan.accounts
    found = 0
    for _ in range(times):
        hazard = np.sort(rng.choice(plan.hazards, n))
        treated = rng.permuted(np.arange(n) < plan.share * n)
        end = rng.exponential(1 / (hazard * np.where(treated, 1 - true, 1.0)))
        strata = np.arange(n) * STRATA // n
        test = logrank(np.minimum(end, days), end <= days, treated, strata=strata)
        found += test.p < 1 - plan.level
    return found / times


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
