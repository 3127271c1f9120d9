"""Derive accounts and contract changes from contracts, as they were known on each day.

A contract is paid from ``paid_on``: its start, or the end of its trial. Contracts that follow each
other within ``gap`` days form one stay, which is one account and ends with its last contract. If
another contract follows within the gap, the account did not end after all: its row gets a new
version, known from the day on which that contract begins. `Tables.as_of` therefore shows the
accounts that follow from the contracts known by then.

Whenever a contract begins or ends, the ARR of the account becomes the sum over the contracts that
cover the day. In a gap, the ARR of the last covered day is kept until the next contract. A rise is
an expansion, a fall a reduction. A contract that begins at most ``gap`` days after another ended
is a renewal, with its term, and also a plan change if its plan differs.
"""

from __future__ import annotations

from collections.abc import Callable

OPEN = "DATE '9999-01-01'"
"""End date of an open contract."""
RETURNED = "/"
"""Separator between the id of a returning customer and the number of the stay."""

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
"""The contracts of each stay, as known after each day that brought new information."""

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
"""The state of each account, as known after each day; without notice, end_known_on is NULL."""

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
"""The states of an account in as few versions as possible: a planned date that comes needs none.

An account that existed only until a contract was corrected has ``vanished_on``.
"""

POINTS = """
SELECT customer, day, row_number() OVER (PARTITION BY customer ORDER BY day) AS point
FROM (SELECT DISTINCT customer, day FROM (
    SELECT customer, unnest([known_on, superseded_on, ended_on, cancelled_on]) AS day
    FROM paid_contracts) WHERE day IS NOT NULL)
"""
"""The days that bring new information on a customer's contracts."""


def stays(points: str, gap: int) -> str:
    """Return SQL for the contracts of each stay, after each day in ``points``."""
    return STAYS.format(points=points, open=OPEN, gap=gap, returned=RETURNED)


def derive_accounts(run: Callable[[str], None], gap: int) -> None:
    """Create ``derived_accounts`` from ``paid_contracts``."""
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
    """SQL: the total ARR of the contracts of the first day; NULL if one of them is unknown.

    A contract that covers no day counts only if there is no other.
    """
    first = "FILTER (WHERE paid_on = started_on{})"
    covering, every = first.format(" AND covers"), first.format("")
    sums = [
        f"CASE WHEN count(arr) {rows} = count(*) {rows} THEN sum(arr) {rows} END"
        for rows in (covering, every)
    ]
    return f"CASE WHEN count(*) {covering} > 0 THEN {sums[0]} ELSE {sums[1]} END"


def _same(name: str) -> str:
    """SQL: whether a state and the one before it can share a row."""
    same = f"{name} IS NOT DISTINCT FROM last_{name}"
    if name in ("ended_on", "end_known_on"):
        return f"({same} OR (last_{name} IS NULL AND {name} = day))"
    return same


LAST_POINTS = """
SELECT * FROM contract_points QUALIFY point = max(point) OVER (PARTITION BY customer)
"""
"""The last day of each customer; unless contracts are corrected, it shows all changes."""

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
"""The days on which an account's contracts begin or end, as known after each day."""

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
"""Each change as it was first known, and the amounts added by later corrections of contracts."""


def derive_changes(run: Callable[[str], None], stay_gap: int, gap: int, corrected: bool) -> None:
    """Create ``derived_changes`` from ``paid_contracts``; ``corrected`` contracts have versions."""
    points = "contract_points" if corrected else f"({LAST_POINTS})"
    levels = LEVELS.format(stays=stays(points, stay_gap), gap=gap)
    run(f"CREATE OR REPLACE TABLE contract_levels AS {levels}")
    run(f"CREATE OR REPLACE TABLE derived_changes AS {CHANGES.format(points=points)}")
