-- Queries of contracts.py. Each begins with its name; {names} are filled in.

--- points
-- The days that bring new information on a customer's contracts.
SELECT customer, day, row_number() OVER (PARTITION BY customer ORDER BY day) AS point
FROM (SELECT DISTINCT customer, day FROM (
    SELECT customer, unnest([known_on, superseded_on, ended_on, cancelled_on]) AS day
    FROM paid_contracts) WHERE day IS NOT NULL)

--- stays
-- The contracts of each stay, as known after each day that brought new information.
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

--- states
-- The state of each account, as known after each day; without notice, end_known_on is NULL. The
-- ARR is that of the contracts of the first day, NULL if one of them is unknown; a contract that
-- covers no day counts only if there is no other.
WITH stays AS ({stays}), dated AS (
    SELECT account_id, customer, point, day, stay, any_value(started_on) AS started_on,
           CASE WHEN count(ended_on) = count(*) THEN max(ended_on) END AS ended_on,
           CASE WHEN count(least(ended_on, cancelled_on)) = count(*)
                THEN max(least(ended_on, cancelled_on)) END AS end_known,
           max(cancelled_on) FILTER (WHERE cancelled_on <= coalesce(ended_on, {open})) AS cancelled,
           CASE WHEN count(*) FILTER (WHERE paid_on = started_on AND covers) > 0
                THEN CASE WHEN count(arr) FILTER (WHERE paid_on = started_on AND covers)
                               = count(*) FILTER (WHERE paid_on = started_on AND covers)
                          THEN sum(arr) FILTER (WHERE paid_on = started_on AND covers) END
                ELSE CASE WHEN count(arr) FILTER (WHERE paid_on = started_on)
                               = count(*) FILTER (WHERE paid_on = started_on)
                          THEN sum(arr) FILTER (WHERE paid_on = started_on) END
           END AS arr,
           max(term_months) FILTER (WHERE paid_on = started_on) AS term_months,
           string_agg(DISTINCT plan, ' + ' ORDER BY plan)
               FILTER (WHERE paid_on = started_on) AS plan
    FROM stays GROUP BY account_id, customer, point, day, stay
)
SELECT account_id, customer, point, day, stay, started_on, ended_on,
       CASE WHEN end_known < coalesce(ended_on, {open}) OR end_known = cancelled
            THEN greatest(end_known, started_on) END AS end_known_on, arr, term_months, plan
FROM dated

--- versions
-- The states of an account in as few versions as possible: a planned date that comes needs none.
-- An account that existed only until a contract was corrected has ``vanished_on``.
WITH before AS (
    SELECT *, lag(point) OVER mine AS last_point,
           lag(started_on) OVER mine AS last_started_on, lag(ended_on) OVER mine AS last_ended_on,
           lag(end_known_on) OVER mine AS last_end_known_on, lag(arr) OVER mine AS last_arr,
           lag(term_months) OVER mine AS last_term_months, lag(plan) OVER mine AS last_plan
    FROM account_states WINDOW mine AS (PARTITION BY account_id ORDER BY point)
), runs AS (
    SELECT *, sum(CASE WHEN last_point = point - 1
                        AND started_on IS NOT DISTINCT FROM last_started_on
                        AND (ended_on IS NOT DISTINCT FROM last_ended_on
                             OR (last_ended_on IS NULL AND ended_on = day))
                        AND (end_known_on IS NOT DISTINCT FROM last_end_known_on
                             OR (last_end_known_on IS NULL AND end_known_on = day))
                        AND arr IS NOT DISTINCT FROM last_arr
                        AND term_months IS NOT DISTINCT FROM last_term_months
                        AND plan IS NOT DISTINCT FROM last_plan THEN 0 ELSE 1 END)
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

--- last_points
-- The last day of each customer; unless contracts are corrected, it shows all changes.
SELECT * FROM contract_points QUALIFY point = max(point) OVER (PARTITION BY customer)

--- levels
-- The days on which an account's contracts begin or end, as known after each day.
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

--- changes
-- Each change as it was first known, and the amounts added by later corrections of contracts.
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

--- differences
-- The number of accounts for each way in which accounts and contracts disagree.
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

--- paid
-- The paid period of each contract, and the day its row became known.
SELECT * EXCLUDE (started_on, known), greatest(known, paid_on) AS known_on,
       coalesce(ended_on <= paid_on AND paid_on > started_on, false)
       OR coalesce(cancelled_on < paid_on AND coalesce(ended_on <= paid_on, true), false) AS unpaid
FROM (SELECT account_id AS customer, started_on, {facts}, {arr} AS arr,
             greatest(started_on, {trial}) AS paid_on, CAST({known} AS DATE) AS known, {replaced}
      FROM contracts)

--- states_of_contracts
-- The number of contracts of each status, without an end and in all.
SELECT status, count(*) FILTER (WHERE {ended} IS NULL), count(*) FROM contracts {newest}
GROUP BY 1 ORDER BY 3 DESC, 1

--- clashing
-- An account whose id is also that of a returning customer.
SELECT DISTINCT account_id FROM derived_accounts
WHERE stay > 1 AND account_id IN (SELECT customer FROM paid_contracts) ORDER BY 1 LIMIT 1

--- accounts_of_their_day
-- Assign each row of a returning customer to the account of its day.
UPDATE {name} AS t SET account_id = s.account_id
FROM (SELECT r.row, max_by(a.account_id, a.started_on) AS account_id
      FROM (SELECT rowid AS row, account_id, {time} AS day FROM {name}) AS r
      JOIN {accounts_now} AS a
      ON a.customer = r.account_id AND a.stays > 1 AND a.started_on <= r.day GROUP BY r.row) AS s
WHERE t.rowid = s.row

--- accounts_now
-- The latest version of each account, and the number of stays of its customer.
CREATE OR REPLACE TABLE {accounts_now} AS
SELECT account_id, customer, started_on, ended_on,
       count(*) OVER (PARTITION BY customer) AS stays
FROM (SELECT DISTINCT ON (account_id) * FROM derived_accounts
      ORDER BY account_id, recorded_at DESC NULLS LAST)
WHERE vanished_on IS NULL

--- lists_differ
-- The number of accounts without a paid contract, and of those with one that are not listed.
SELECT (SELECT count(DISTINCT account_id) FROM accounts_given
        WHERE account_id NOT IN (SELECT customer FROM paid_contracts)),
       (SELECT count(DISTINCT customer) FROM paid_contracts
        WHERE customer NOT IN (SELECT account_id FROM accounts_given))

--- fill_accounts
-- Fill a column that accounts lack from contracts.
UPDATE accounts AS a SET {name} = d.{name}
FROM (SELECT DISTINCT ON (account_id) * FROM derived_accounts
      ORDER BY account_id, recorded_at DESC NULLS LAST) AS d
WHERE d.account_id = a.account_id AND coalesce(d.end_known_on >= a.started_on, true)
