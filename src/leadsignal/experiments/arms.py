"""The arms of an experiment: customers assigned at random within strata of risk."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
from leadsignal.scoring.holdout import HELD_OUT, chance_of
from leadsignal.scoring.scores import Scores
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

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
        assigned_on=_day(scores.as_of_date),
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


def _day(day: date) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(day)
