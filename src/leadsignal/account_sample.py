"""Samples of whole customers: who is in a sample, and how many customers each represents.

Sampling depends on a hash of the customer id and a seed, so that every engine draws the same
customers, whatever the order of the rows. If all churned customers are kept, each other one has the
weight N/n: of the N that have not churned, n were drawn (post-stratification; Holt & Smith 1979).
Unlike 1 / share, these weights add up to the number of customers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.config.toml_files import a_day
from leadsignal.errors import OptionError
from leadsignal.files.writing import json_fields
from leadsignal.ingestion.dialect import Dialect

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, repr=False, eq=False)
class AccountSample:
    """A sample of all churned customers and a share of the others, with sampling weights.

    Parameters
    ----------
    share : float
        Probability of selecting a customer that has not churned.
    customers : int
        Number of customers in the sample.
    of : int
        Number of customers from which the sample was drawn.
    churned : int
        Number of customers selected because they churned.
    drawn_on : date
        Date on which churn was assessed for sampling.
    weights : Series
        Number of customers that each account represents, by account_id: 1, or the number of
        customers that have not churned divided by how many of them were drawn.
    """

    share: float
    customers: int
    of: int
    churned: int
    drawn_on: date
    weights: pd.Series[float]

    def weight_of(self, accounts: Iterable[Any]) -> NDArray[np.float64]:
        """Return the weights of accounts."""
        import numpy as np

        return np.asarray(self.weights.reindex(list(accounts)), dtype=np.float64)

    @property
    def line(self) -> str:
        """A description of the sample, as printed in results."""
        return f"from a sample of {self.customers:,} of {self.of:,} customers"

    def __repr__(self) -> str:
        return (
            f"a sample of {self.customers:,} of {self.of:,} customers: all {self.churned:,} that"
            f" churned, and others with a chance of {self.share:g} each"
        )

    def to_dict(self) -> dict[str, float]:
        """Return the counts, ready for JSON."""
        return json_fields(self, "share", "customers", "of", "churned")


def day_to_cut(t: date | str, sample: AccountSample | None) -> date:
    """Return the day as of which to cut tables.

    Raises OptionError if ``t`` is no day, or after the day on which their sample was drawn, as more
    customers would have churned by then.
    """
    day = a_day(t)
    if sample is not None and day > sample.drawn_on:
        raise OptionError(
            f"{day} is after {sample.drawn_on}, the day as of which the sample was drawn",
            "Draw the sample from tables as of the later day, and cut it to earlier ones",
        )
    return day


def refuse_share(share: float) -> None:
    """Raise OptionError unless the share is in (0, 1]."""
    if not 0 < share <= 1:
        raise OptionError(
            f"share = {share!r} must be above 0 and at most 1", "Give a share such as 0.1"
        )


def hashed_below(text: str, share: float) -> str:
    """Return SQL for whether the hash of a text falls below a share."""
    below = f"{min(int(share * 16**8), 16**8 - 1):08x}"
    return f"SUBSTR(md5({text}), 1, 8) < '{below}'"


def customer_columns(share: float, seed: int, not_churn: Iterable[str], d: Dialect) -> list[str]:
    """Return SQL columns for accounts: their customer, whether it churned, whether it was drawn.

    An account without a customer is a customer of its own. A customer has churned if the churn of
    any of its accounts is known.
    """
    customer = "COALESCE(customer_id, account_id)"
    others = ", ".join(map(d.literal, not_churn))
    counts = f" AND (end_reason IS NULL OR end_reason NOT IN ({others}))" if others else ""
    left = f"(ended_on IS NOT NULL OR end_known_on IS NOT NULL){counts}"
    lucky = hashed_below(f"'{seed} ' || {customer}", share)
    return [
        "account_id",
        f"{customer} AS customer",
        f"MAX(CASE WHEN {left} THEN 1 ELSE 0 END) OVER (PARTITION BY {customer}) = 1 AS churned",
        f"{lucky} AS drawn",
    ]


def sample_of(kept: pd.DataFrame, share: float, of: int, drawn_on: date) -> AccountSample:
    """Return the sample of accounts with the columns of `customer_columns`, of ``of`` customers."""
    import numpy as np
    import pandas as pd

    churned = kept["churned"].to_numpy(dtype=bool)
    customers, left = (int(part["customer"].nunique()) for part in (kept, kept[churned]))
    weights = np.where(churned, 1.0, (of - left) / max(customers - left, 1))
    return AccountSample(
        share,
        customers,
        of,
        left,
        drawn_on,
        pd.Series(weights, index=kept["account_id"].astype(str)),
    )
