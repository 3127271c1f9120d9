"""An audit as text: how many indicators lead and lag, and the strongest of each family."""

from __future__ import annotations

import pandas as pd

from leadsignal.readable_tables import text_table
from leadsignal.results import or_dash

VERDICTS = ("leading", "lagging", "undecided", "neither")
MEANING = {
    "leading": "differs {days} days before churn",
    "lagging": "differs only later",
    "undecided": "too few churns to say",
    "neither": "no difference that matters",
}
MAX_STRONGEST = 8
"""Maximum number of indicators that are named; the table has all."""


def verdict_counts(indicators: pd.DataFrame, warning_time: int) -> str:
    """Return the number of indicators with each verdict, as a table."""
    counts = indicators["verdict"].value_counts()
    rows = {
        "verdict": list(VERDICTS),
        "indicators": [int(counts.get(verdict, 0)) for verdict in VERDICTS],
        "meaning": [MEANING[verdict].format(days=warning_time) for verdict in VERDICTS],
    }
    return text_table(pd.DataFrame(rows))


def strongest(indicators: pd.DataFrame) -> pd.DataFrame:
    """Return the strongest leading or lagging indicator of each family, up to a maximum."""
    named = indicators[indicators["verdict"].isin(["leading", "lagging"])]
    auc = named["auc"].where(named["verdict"] == "leading", named["auc_last"])
    order = named.assign(far=(auc - 0.5).abs(), late=named["verdict"] == "lagging")
    order = order.sort_values(["late", "far"], ascending=[True, False], kind="stable")
    kept = order.drop_duplicates(["family", "verdict"]).head(MAX_STRONGEST)
    return kept.drop(columns=["far", "late"])


def strongest_table(indicators: pd.DataFrame, warning_time: int) -> str:
    """Return a table of the strongest indicators with their AUC, or a note that there are none."""
    named = strongest(indicators)
    if not len(named):
        return "no indicator leads or lags beyond chance"
    early = [
        f"{or_dash(auc, '.2f')} ({or_dash(low, '.2f')} to {or_dash(high, '.2f')})"
        for auc, low, high in zip(named["auc"], named["low"], named["high"], strict=True)
    ]
    rows = {
        "verdict": list(named["verdict"]),
        f"AUC {warning_time} days before": early,
        "at the last": [or_dash(auc, ".2f") for auc in named["auc_last"]],
        "family": list(named["family"]),
        "strongest indicator of the family": list(named["name"]),
    }
    return text_table(pd.DataFrame(rows))
