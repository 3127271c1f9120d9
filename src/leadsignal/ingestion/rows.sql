-- Queries of checks.py, rows_of_accounts.py and selection.py. Each begins with its name; {names} are
-- filled in.

--- near_account
-- The account with the same id in another notation, and how the two differ.
(SELECT concat('accounts has ', min(n.account_id), CASE
    WHEN lower(min(n.account_id)) = lower(t.account_id) THEN ', with different capitals'
    WHEN trim(min(n.account_id)) = trim(t.account_id) THEN ', with different spaces around it'
    WHEN length(min(n.account_id)) IN (15, 18) AND length(t.account_id) IN (15, 18)
         AND length(min(n.account_id)) <> length(t.account_id)
    THEN concat(', in ', length(min(n.account_id)), ' characters')
    WHEN {whole_ours} = {whole_theirs} THEN ', written without .0'
    ELSE ', with different leading zeros' END)
 FROM {accounts} n WHERE {bare_ours} = {bare_theirs} HAVING count(*) > 0)

--- explained
-- Ids of a table, ids without what a rule removes, and those of them that one account has.
WITH ours AS (
    SELECT {bare} AS bare FROM {accounts} GROUP BY 1 HAVING count(*) = 1
), theirs AS (
    SELECT account_id, {bare} AS bare FROM {table} WHERE account_id IS NOT NULL GROUP BY ALL
)
SELECT count(*), count(DISTINCT bare), count(*) FILTER (WHERE bare IN (SELECT bare FROM ours))
FROM theirs

--- changed_hands
-- Rows whose key belongs to another account in an earlier row.
SELECT t.rowid
FROM {table} t
JOIN (SELECT {key}, arg_min(account_id, rowid) AS owner FROM {table} WHERE {key} IS NOT NULL
      GROUP BY {key} HAVING min(account_id) <> max(account_id)) k USING ({key})
WHERE t.account_id <> k.owner ORDER BY 1

--- later_of
-- Rows that repeat an earlier row in some columns.
SELECT row
FROM (SELECT rowid AS row, row_number() OVER (PARTITION BY {columns} ORDER BY rowid) AS place
      FROM {table} WHERE {where})
WHERE place > 1 ORDER BY row

--- chosen
-- What is left out of the rows of a table: by ``where``, sent again, or of an unknown user.
SELECT count(*), count(*) FILTER (WHERE NOT requested), count(*) FILTER (WHERE requested AND again),
       count(*) FILTER (WHERE requested AND NOT again AND unknown),
       count(DISTINCT owner) FILTER (WHERE requested AND NOT again AND unknown),
       min(owner) FILTER (WHERE requested AND NOT again AND unknown)
FROM chosen
