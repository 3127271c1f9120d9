"""Contract changes from contracts: what differs between one contract and the next.

On each day on which a contract of an account begins or ends, its ARR is the sum over the contracts
that cover the day. Where none does, that of the last covered day holds until the next contract. A
rise is an expansion, a fall a reduction. A contract that begins when, or at most ``gap`` days
after, another ended is a renewal, with its term; if it is of another plan, that is a plan change
too.
"""

from __future__ import annotations

from collections.abc import Callable

from leadsignal.ingestion.derived_accounts import stays

LAST_POINTS = """
SELECT * FROM contract_points QUALIFY point = max(point) OVER (PARTITION BY customer)
"""
"""Where no contract is corrected, what a day changes is known on it: the last day shows it all."""

LEVELS = """
WITH stays AS (
    SELECT * FROM ({stays}) WHERE covers
), days AS (
    SELECT DISTINCT account_id, customer, point, day, turn FROM (
        SELECT account_id, customer, point, day, unnest([paid_on, ended_on]) AS turn FROM stays)
    WHERE turn IS NOT NULL
), levels AS (
    SELECT d.*, CASE WHEN count(s.arr) = count(*) THEN sum(s.arr) END AS arr,
           count(*) FILTER (WHERE s.paid_on = turn) AS begun,
           max(s.term_months) FILTER (WHERE s.paid_on = turn) AS term_months,
           string_agg(DISTINCT s.plan, ' + ' ORDER BY s.plan)
               FILTER (WHERE s.paid_on = turn) AS plans
    FROM days AS d JOIN stays AS s
    ON s.account_id = d.account_id AND s.point = d.point
       AND s.paid_on <= turn AND (s.ended_on IS NULL OR s.ended_on > turn)
    GROUP BY ALL
), compared AS (
    SELECT *, arr - lag(arr IGNORE NULLS) OVER mine AS arr_delta,
           max(CASE WHEN begun > 0 THEN turn END) OVER (
               mine ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS last_begun
    FROM levels WINDOW mine AS (PARTITION BY account_id, point ORDER BY turn)
), followed AS (
    SELECT c.account_id, c.point, c.turn,
           string_agg(DISTINCT s.plan, ' + ' ORDER BY s.plan) AS last_plans
    FROM compared AS c JOIN stays AS s
    ON s.account_id = c.account_id AND s.point = c.point AND c.begun > 0
       AND s.ended_on <= turn AND s.ended_on > last_begun AND turn - s.ended_on <= {gap}
    GROUP BY ALL
)
SELECT c.account_id, customer, point, day, turn, coalesce(arr_delta, 0) AS arr_delta,
       term_months, f.turn IS NOT NULL AS renewed, coalesce(plans <> last_plans, false) AS replanned
FROM compared AS c LEFT JOIN followed AS f USING (account_id, point, turn)
"""
"""The days on which contracts of an account begin or end, as known after each day."""

CHANGES = """
WITH turns AS (
    SELECT account_id, customer, turn, min(point) AS first_point
    FROM contract_levels GROUP BY ALL
), revised AS (
    SELECT t.account_id, t.turn, p.day,
           coalesce(l.arr_delta, 0) - coalesce(lag(l.arr_delta) OVER (
               PARTITION BY t.account_id, t.turn ORDER BY p.point), 0) AS arr_delta
    FROM turns AS t JOIN {points} AS p ON p.customer = t.customer AND p.point >= t.first_point
    LEFT JOIN contract_levels AS l
    ON l.account_id = t.account_id AND l.turn = t.turn AND l.point = p.point
), found AS (
    SELECT account_id, turn, CASE WHEN arr_delta > 0 THEN 'expansion' ELSE 'reduction' END AS kind,
           arr_delta, CAST(NULL AS INTEGER) AS term_months, day
    FROM revised WHERE arr_delta <> 0
    UNION ALL
    SELECT account_id, turn, 'renewal', 0, term_months, min(day)
    FROM contract_levels WHERE renewed GROUP BY ALL
    UNION ALL
    SELECT account_id, turn, 'plan change', 0, NULL, min(day)
    FROM contract_levels WHERE renewed AND replanned GROUP BY account_id, turn
)
SELECT account_id, turn AS changed_at, kind, CAST(arr_delta AS DECIMAL(18,2)) AS arr_delta,
       term_months, CASE WHEN day > turn THEN CAST(day AS TIMESTAMP) END AS recorded_at
FROM found ORDER BY account_id, turn, kind
"""
"""A change as it was first known, and what later corrections of contracts add to it."""


def derive_changes(run: Callable[[str], None], stay_gap: int, gap: int, corrected: bool) -> None:
    """Make ``derived_changes`` out of ``paid_contracts``; ``corrected`` ones have versions."""
    points = "contract_points" if corrected else f"({LAST_POINTS})"
    levels = LEVELS.format(stays=stays(points, stay_gap), gap=gap)
    run(f"CREATE OR REPLACE TABLE contract_levels AS {levels}")
    run(f"CREATE OR REPLACE TABLE derived_changes AS {CHANGES.format(points=points)}")
