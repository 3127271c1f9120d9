"""Accounts and contracts, where both are given: what they disagree on."""

from __future__ import annotations

from leadsignal.ingestion.loading import Intake
from leadsignal.phrases import count_of

ARR_DIFFERS = 0.01
"""Share of the larger of two amounts by which they may differ without a word."""

DIFFERENCES = """
WITH here AS (
    SELECT DISTINCT ON (account_id) account_id, started_on, ended_on, {arr} AS arr
    FROM accounts ORDER BY account_id{newest}
), there AS (
    SELECT DISTINCT ON (account_id) account_id, started_on, ended_on, arr
    FROM derived_accounts ORDER BY account_id, recorded_at DESC NULLS LAST
)
SELECT count(*) FILTER (WHERE t.account_id IS NULL),
       count(*) FILTER (WHERE h.account_id IS NULL),
       count(*) FILTER (WHERE abs(h.started_on - t.started_on) > {gap}),
       count(*) FILTER (WHERE abs(h.ended_on - t.ended_on) > {gap}),
       count(*) FILTER (WHERE h.ended_on IS NOT NULL AND t.started_on IS NOT NULL
                        AND t.ended_on IS NULL),
       count(*) FILTER (WHERE h.started_on IS NOT NULL AND h.ended_on IS NULL
                        AND t.ended_on IS NOT NULL),
       count(*) FILTER (WHERE abs(h.arr - t.arr) > {share} * greatest(h.arr, t.arr))
FROM here AS h FULL JOIN there AS t ON h.account_id = t.account_id
"""


def compare_with_accounts(intake: Intake, gap: int) -> None:
    """Note on what accounts and contracts disagree; accounts are used."""
    columns = intake.loaded["accounts"].columns
    newest = ", recorded_at DESC NULLS LAST" if "recorded_at" in columns else ""
    arr = "arr" if "arr" in columns else "CAST(NULL AS DECIMAL(18,2))"
    sql = DIFFERENCES.format(arr=arr, newest=newest, gap=gap, share=ARR_DIFFERS)
    counts = intake.store.query(sql)[0]
    whats = (
        "{} without a paid contract",
        "{} of contracts not listed in accounts: left out",
        f"{{}} started more than {gap} days before or after the first contract",
        f"{{}} ended more than {gap} days before or after the last contract",
        "{} ended, but with an open contract",
        "{} active, but without an open contract",
        "{} with another ARR at the start than the contracts of that day",
    )
    found = [
        what.format(count_of(count, "account"))
        for what, count in zip(whats, counts, strict=True)
        if count
    ]
    if found:
        message = f"{'; '.join(found)}. Start, end and ARR are those of accounts"
        intake.notices.append(("contracts", message))
