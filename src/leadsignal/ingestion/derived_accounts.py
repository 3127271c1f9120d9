"""Accounts from contracts: one row a stay of a customer, as it was known from day to day.

A contract is paid from ``paid_on`` on: its start, or the end of its trial. Contracts that follow
each other within ``gap`` days are one stay, which is one account. It ends with its last contract.
If another follows within the gap, the account had not ended: its row gets a version that says so,
known from the day on which that contract begins. So `Tables.as_of` shows what the contracts known
by then give.
"""

from __future__ import annotations

from collections.abc import Callable

OPEN = "DATE '9999-01-01'"
"""The end of a contract that is open."""
RETURNED = "/"
"""What stands between the id of a customer who returned and the number of the stay."""

STAYS = """
WITH seen AS (
    SELECT p.customer, p.point, p.day, c.paid_on, c.arr, c.plan, c.term_months,
           CASE WHEN c.ended_on <= p.day THEN c.ended_on END AS ended_on,
           CASE WHEN c.cancelled_on <= p.day THEN c.cancelled_on END AS cancelled_on
    FROM {points} AS p JOIN paid_contracts AS c
    ON c.customer = p.customer AND c.known_on <= p.day
       AND (c.superseded_on IS NULL OR c.superseded_on > p.day)
), before AS (
    SELECT *, max(coalesce(ended_on, {open})) OVER (
        PARTITION BY customer, point ORDER BY paid_on, coalesce(ended_on, {open})
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_until
    FROM seen
), numbered AS (
    SELECT *, CAST(1 + sum(CASE WHEN paid_on - covered_until > {gap} THEN 1 ELSE 0 END) OVER (
        PARTITION BY customer, point ORDER BY paid_on, coalesce(ended_on, {open})
        ROWS UNBOUNDED PRECEDING) AS INTEGER) AS stay
    FROM before
)
SELECT *, customer || CASE WHEN stay > 1 THEN '{returned}' || stay ELSE '' END AS account_id,
       min(paid_on) OVER (PARTITION BY customer, point, stay) AS started_on,
       coalesce(ended_on > paid_on, true) AS covers
FROM numbered
"""
"""The contracts of each stay, as known after each day on which something became known."""

STATES = """
WITH stays AS ({stays}), dated AS (
    SELECT account_id, customer, point, day, stay, any_value(started_on) AS started_on,
           CASE WHEN count(ended_on) = count(*) THEN max(ended_on) END AS ended_on,
           CASE WHEN count(least(ended_on, cancelled_on)) = count(*)
                THEN max(least(ended_on, cancelled_on)) END AS end_known,
           max(cancelled_on) FILTER (WHERE cancelled_on <= coalesce(ended_on, {open})) AS cancelled,
           {first_arr} AS arr,
           max(term_months) FILTER (WHERE paid_on = started_on) AS term_months,
           string_agg(DISTINCT plan, ' + ' ORDER BY plan)
               FILTER (WHERE paid_on = started_on) AS plan
    FROM stays GROUP BY account_id, customer, point, day, stay
)
SELECT account_id, customer, point, day, stay, started_on, ended_on,
       CASE WHEN end_known < coalesce(ended_on, {open}) OR end_known = cancelled
            THEN greatest(end_known, started_on) END AS end_known_on, arr, term_months, plan
FROM dated
"""
"""What each account was, as known after each day; an end without notice is no notice."""

VERSIONS = """
WITH before AS (
    SELECT *, lag(point) OVER mine AS last_point, {lags}
    FROM account_states WINDOW mine AS (PARTITION BY account_id ORDER BY point)
), runs AS (
    SELECT *, sum(CASE WHEN last_point = point - 1 AND {same} THEN 0 ELSE 1 END)
        OVER (PARTITION BY account_id ORDER BY point ROWS UNBOUNDED PRECEDING) AS run
    FROM before
), versions AS (
    SELECT account_id, customer, stay, started_on, arr, term_months, plan,
           max(ended_on) AS ended_on, max(end_known_on) AS end_known_on,
           min(day) AS first_day, max(point) AS last_point, min(point) AS first_point
    FROM runs GROUP BY account_id, customer, stay, run, started_on, arr, term_months, plan
), followed AS (
    SELECT *, lead(first_point) OVER (PARTITION BY account_id ORDER BY first_point) AS next_point
    FROM versions
)
SELECT f.* EXCLUDE (last_point, first_point, next_point, first_day),
       CASE WHEN first_day > started_on THEN CAST(first_day AS TIMESTAMP) END AS recorded_at,
       CASE WHEN next_point IS NULL OR next_point > last_point + 1 THEN p.day END AS vanished_on
FROM followed AS f LEFT JOIN contract_points AS p
ON p.customer = f.customer AND p.point = f.last_point + 1
"""
"""The states of an account in as few versions as can be: a date that comes needs none.

An account that was there only until a contract was corrected has ``vanished_on``.
"""

POINTS = """
SELECT customer, day, row_number() OVER (PARTITION BY customer ORDER BY day) AS point
FROM (SELECT DISTINCT customer, day FROM (
    SELECT customer, unnest([known_on, superseded_on, ended_on, cancelled_on]) AS day
    FROM paid_contracts) WHERE day IS NOT NULL)
"""
"""The days on which something becomes known of a customer's contracts."""


def stays(points: str, gap: int) -> str:
    """Return SQL of the contracts of each stay, after each of the days in ``points``."""
    return STAYS.format(points=points, open=OPEN, gap=gap, returned=RETURNED)


def derive_accounts(run: Callable[[str], None], gap: int) -> None:
    """Make ``account_versions_of`` contracts out of ``paid_contracts``."""
    run(f"CREATE OR REPLACE TABLE contract_points AS {POINTS}")
    states = STATES.format(stays=stays("contract_points", gap), open=OPEN, first_arr=_first_arr())
    run(f"CREATE OR REPLACE TABLE account_states AS {states}")
    compared = ("started_on", "ended_on", "end_known_on", "arr", "term_months", "plan")
    lags = ", ".join(f"lag({name}) OVER mine AS last_{name}" for name in compared)
    run(
        "CREATE OR REPLACE TABLE derived_accounts AS "
        + VERSIONS.format(lags=lags, same=" AND ".join(map(_same, compared)))
    )


def _first_arr() -> str:
    """SQL: the sum over the contracts of the first day; empty if one is not known.

    A contract that covers no day counts only where there is no other.
    """
    first = "FILTER (WHERE paid_on = started_on{})"
    covering, every = first.format(" AND covers"), first.format("")
    sums = [
        f"CASE WHEN count(arr) {rows} = count(*) {rows} THEN sum(arr) {rows} END"
        for rows in (covering, every)
    ]
    return f"CASE WHEN count(*) {covering} > 0 THEN {sums[0]} ELSE {sums[1]} END"


def _same(name: str) -> str:
    """SQL: whether one row can stand for a state and the one before it."""
    same = f"{name} IS NOT DISTINCT FROM last_{name}"
    if name in ("ended_on", "end_known_on"):
        return f"({same} OR (last_{name} IS NULL AND {name} = day))"
    return same
