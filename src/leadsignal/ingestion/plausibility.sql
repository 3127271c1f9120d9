-- Queries of plausibility.py. Each begins with its name; {names} are filled in:
-- {started} are the accounts that had started, {ended} is whether one has ended, {churned} are
-- accounts with start, end and whether the end is churn, {cell} is a column and {table} its table.

--- ends_and_others
SELECT count(*) FILTER (WHERE {ended}), count(*) FILTER (WHERE NOT {ended}) FROM {started}

--- ends_by_day
-- The two days with the most ends.
SELECT ended_on, count(*) AS n FROM {started} WHERE {ended}
GROUP BY 1 ORDER BY n DESC, ended_on DESC LIMIT 2

--- lives
SELECT started_on, CASE WHEN {ended} THEN ended_on END, count(*) FROM {started} GROUP BY ALL

--- arr_known
SELECT count(*), count(arr), count(*) FILTER (WHERE {ended}), count(arr) FILTER (WHERE {ended})
FROM {started}

--- blank
-- The share of blank cells among ended accounts, and among the others.
SELECT avg({blank}::INT) FILTER (WHERE {ended}), avg({blank}::INT) FILTER (WHERE NOT {ended})
FROM {started}

--- value_of_ended
-- A value that many ended accounts have and almost no others.
WITH counted AS (
    SELECT {cell} AS value, count(*) AS n, count(*) FILTER (WHERE {ended}) AS gone
    FROM {started} GROUP BY 1
), totals AS (
    SELECT value, n, gone, sum(n) OVER () AS accounts, sum(gone) OVER () AS ends FROM counted
)
SELECT value, n, gone / n, (ends - gone) / nullif(accounts - n, 0) FROM totals
WHERE value IS NOT NULL AND n >= {least} AND gone >= {nearly_all} * n AND gone >= {of_ended} * ends
ORDER BY gone DESC, value LIMIT 1

--- auc
WITH seen AS (
    SELECT *, {ended} AS ended FROM {started}
), scored AS (
    SELECT ended, {score} AS score FROM seen
), levels AS (
    SELECT score, count(*) FILTER (WHERE ended) AS e, count(*) FILTER (WHERE NOT ended) AS a
    FROM scored GROUP BY score
), ranked AS (
    SELECT e, a, coalesce(sum(a) OVER (
        ORDER BY score ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS below
    FROM levels
)
SELECT sum(e * (below + 0.5 * a)) / (sum(e)::DOUBLE * sum(a)::DOUBLE) FROM ranked

--- hidden_accounts
-- Accounts not yet started, recorded later, and whose end is later or was recorded later.
SELECT count(*) FILTER (WHERE started >= {day}),
       count(*) FILTER (WHERE started < {day} AND known >= {day}),
       count(*) FILTER (WHERE known < {day} AND ended >= {day}),
       count(*) FILTER (WHERE known < {day} AND ended < {day} AND seen IS NULL)
FROM (SELECT min(started_on) AS started, min({known}) AS known,
             max({ended}) FILTER (WHERE {newest}) AS ended,
             max({ended}) FILTER (WHERE {then}) AS seen
      FROM accounts GROUP BY account_id)

--- recorded_late
-- The first day of each account with rows recorded late, and whether it had ended by then.
SELECT day, known, ended_on <= known
FROM (SELECT account_id, min({day}) AS day, arg_min(CAST({known_on} AS DATE), {day}) AS known
      FROM {table}
      WHERE CAST({known_on} AS DATE) - {day} > {late} AND {known_on} < DATE '{as_of}'
      GROUP BY account_id)
JOIN {churned} USING (account_id) ORDER BY ALL

--- first_rows
-- The first day of each account, by value, for values that almost only churned accounts have.
SELECT value, day, churned
FROM (SELECT {value} AS value, account_id, min({time}) AS day
      FROM {table} WHERE {known_on} < DATE '{as_of}' GROUP BY ALL)
JOIN {churned} USING (account_id)
QUALIFY sum(churned::INT) OVER (PARTITION BY value) >= {least}
        AND sum((NOT churned)::INT) OVER (PARTITION BY value)
            <= {exceptions} * count(*) OVER (PARTITION BY value)
ORDER BY ALL

--- closed_at_end
-- Churned accounts, those with the date at their end, and dates in the days before.
SELECT count(DISTINCT account_id),
       count(DISTINCT account_id) FILTER (WHERE ended_on - {cell} IN (0, 1)),
       count(DISTINCT (account_id, {cell})) FILTER (WHERE ended_on - {cell} BETWEEN 2 AND {before})
FROM {table} JOIN {churned} AS a USING (account_id)
WHERE a.churned AND {cell} < DATE '{as_of}'
