"""The arms of an experiment: customers assigned at random within strata of risk."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
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
    share: float = 0.5,
    strata: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Assign customers to a treated and a control arm.

    All accounts of a customer are in the same arm: acting on one acts on the others. Within strata
    of risk, customers are put in an order that only the seed determines, and the first ``share``
    of them is treated, so that the same call gives the same arms on every machine.

    Parameters
    ----------
    scores : Scores
        Scores of the day on which the experiment starts; the riskiest accounts are eligible.
    tables : Tables
        The tables, for the customers of the accounts.
    accounts : int, optional
        Number of eligible accounts, those with the highest risk. Default: all.
    share : float, default 0.5
        Share of the customers that is treated.
    strata : int, default 4
        Number of strata of equal size, by a customer's highest risk.
    seed : int, default 0
        Seed of the random order.

    Returns
    -------
    DataFrame
        One row per account: account_id, customer_id, stratum (0 is the riskiest), arm
        ("treated" or "control"), assigned_on, risk.

    Raises
    ------
    OptionError
        If the share is not between 0 and 1, or there are too few customers for the strata.
    """
    if not 0 < share < 1:
        raise OptionError(f"share = {share!r} is not between 0 and 1", "Write 0.5 for half")
    chosen = eligible(scores, tables, accounts)
    top = chosen.groupby("customer_id")["risk"].max()
    if strata < 1 or len(top) < 2 * strata:
        raise OptionError(
            f"{len(top)} customers cannot be assigned in {strata} strata",
            "Give more accounts, or fewer strata: each needs at least two customers",
        )
    ordered = sorted(top.index, key=lambda name: (-top[name], name))
    stratum = {name: place * strata // len(ordered) for place, name in enumerate(ordered)}
    arm = _assigned(ordered, stratum, share, seed)
    return chosen.assign(
        stratum=chosen["customer_id"].map(stratum),
        arm=chosen["customer_id"].map(arm),
        assigned_on=_day(scores.as_of_date),
    )[["account_id", "customer_id", "stratum", "arm", "assigned_on", "risk"]]


def eligible(scores: Scores, tables: Tables, accounts: int | None = None) -> pd.DataFrame:
    """Return account_id, customer_id and risk of the riskiest accounts, of all by default."""
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
    """Return the arm of each customer; strata of odd size take turns in rounding up."""
    arm: dict[str, str] = {}
    owed = 0.0
    for number in sorted(set(stratum.values())):
        mine = [name for name in customers if stratum[name] == number]
        mine.sort(key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        owed += share * len(mine)
        treated = int(np.floor(owed + 0.5))
        owed -= treated
        arm |= {name: TREATED if n < treated else CONTROL for n, name in enumerate(mine)}
    return arm


def _day(day: date) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(day)
