"""What a contract is worth in a year, from how its amount is given."""

from __future__ import annotations

from leadsignal.config.table_settings import TableSource
from leadsignal.durations import MONTHS_WRITTEN, PERIODS
from leadsignal.ingestion.loaded_table import Loaded
from leadsignal.sources.parts import literal

AMOUNTS = ("arr", "mrr", "amount")
"""The columns that may hold the amount, the first that is filled in counts."""


def months_in(period: str) -> str:
    """SQL: the months of a period of billing; NULL for what is no period."""
    text = f"lower(trim({period}))"
    named = " ".join(f"WHEN {literal(name)} THEN {months}" for name, months in PERIODS.items())
    written = f"TRY_CAST(regexp_extract({text}, {literal(MONTHS_WRITTEN)}, 1) AS INTEGER)"
    return f"CASE {text} {named} ELSE nullif({written}, 0) END"


def period_of(loaded: Loaded, source: TableSource) -> str:
    """SQL: the period of a contract's amount: its own, else that of the settings."""
    stated = literal(source.period) if source.period else "NULL"
    return f"coalesce(period, {stated})" if "period" in loaded.columns else stated


def annual_revenue(loaded: Loaded, source: TableSource) -> str:
    """SQL: the annual recurring revenue of a contract; NULL where it is not known."""
    yearly = {
        "arr": "arr",
        "mrr": "mrr * 12",
        "amount": f"amount * 12 / {months_in(period_of(loaded, source))}",
    }
    amounts = [yearly[name] for name in AMOUNTS if name in loaded.columns]
    first = f"coalesce({', '.join(amounts)})" if amounts else "NULL"
    return f"CAST(round({first}, 2) AS DECIMAL(18,2))"
