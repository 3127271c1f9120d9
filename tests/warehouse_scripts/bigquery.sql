CREATE OR REPLACE TEMP TABLE `leadsignal_source_accounts` AS
SELECT
  `account_id`,
  CAST(NULL AS STRING) AS `name`,
  CAST(NULL AS STRING) AS `owner`,
  `started_on`,
  CAST(NULL AS DATE) AS `ended_on`,
  CAST(NULL AS DATE) AS `end_known_on`,
  CAST(NULL AS STRING) AS `end_reason`,
  `term_months`,
  CAST(NULL AS NUMERIC) AS `arr`,
  CAST(NULL AS STRING) AS `currency`,
  CAST(NULL AS STRING) AS `customer_id`,
  CAST(NULL AS DATETIME) AS `recorded_at`,
  `started_on` AS `known_on`,
  CAST(NULL AS DATE) AS `superseded_on`
FROM (
  SELECT
    `account_id`,
    `started_on`,
    `term_months`
  FROM (
    SELECT
      NULLIF(CAST(`account_id` AS STRING), '') AS `account_id`,
      CAST(`started_on` AS DATE) AS `started_on`,
      CAST(`term_months` AS INT64) AS `term_months`
    FROM crm.accounts AS `raw`
  ) AS `r`
) AS `s`
WHERE
  `started_on` < CAST('2024-06-01' AS DATE);

CREATE OR REPLACE TEMP TABLE `leadsignal_source_behaviors` AS
SELECT
  `account_id`,
  `occurred_at`,
  `behavior`,
  CAST(NULL AS STRING) AS `user_id`,
  CAST(1 AS NUMERIC) AS `quantity`,
  CAST(NULL AS STRING) AS `event_id`,
  CAST(NULL AS DATETIME) AS `recorded_at`,
  `occurred_at` AS `known_on`,
  CAST(NULL AS DATE) AS `superseded_on`
FROM (
  SELECT
    `account_id`,
    `occurred_at`,
    `behavior`
  FROM (
    SELECT
      `t`.`account_id` AS `account_id`,
      `t`.`occurred_at` AS `occurred_at`,
      `t`.`behavior` AS `behavior`
    FROM (
      SELECT
        NULLIF(CAST(`account_id` AS STRING), '') AS `account_id`,
        CAST(`occurred_at` AS DATE) AS `occurred_at`,
        NULLIF(CAST(`behavior` AS STRING), '') AS `behavior`
      FROM behaviors AS `raw`
    ) AS `t`
    LEFT JOIN (
      SELECT
        `account_id`,
        `started_on`,
        `ended_on`
      FROM (
        SELECT
          `account_id`,
          `started_on`,
          CAST(NULL AS DATE) AS `ended_on`,
          ROW_NUMBER() OVER (PARTITION BY `account_id` ORDER BY `started_on` NULLS LAST) AS `nth`
        FROM (
          SELECT
            NULLIF(CAST(`account_id` AS STRING), '') AS `account_id`,
            CAST(`started_on` AS DATE) AS `started_on`,
            CAST(`term_months` AS INT64) AS `term_months`
          FROM crm.accounts AS `raw`
        ) AS `c`
      ) AS `n`
      WHERE
        `nth` = 1
    ) AS `a`
      ON `t`.`account_id` = `a`.`account_id`
    WHERE
      NOT COALESCE(`t`.`occurred_at` < `a`.`started_on`, FALSE)
      AND NOT COALESCE(`t`.`occurred_at` > `a`.`ended_on` AND `a`.`ended_on` >= `a`.`started_on`, FALSE)
  ) AS `r`
) AS `s`
WHERE
  `occurred_at` < CAST('2024-06-01' AS DATE);

CREATE OR REPLACE TEMP TABLE `leadsignal_source_surveys` AS
SELECT
  `account_id`,
  `answered_on`,
  `score`,
  CAST(NULL AS DATETIME) AS `recorded_at`,
  `answered_on` AS `known_on`,
  CAST(NULL AS DATE) AS `superseded_on`
FROM (
  SELECT
    `account_id`,
    `answered_on`,
    `score`
  FROM (
    SELECT
      `t`.`account_id` AS `account_id`,
      `t`.`answered_on` AS `answered_on`,
      `t`.`score` AS `score`
    FROM (
      SELECT
        NULLIF(CAST(`account_id` AS STRING), '') AS `account_id`,
        CAST(`answered_on` AS DATE) AS `answered_on`,
        CAST(`score` AS FLOAT64) AS `score`
      FROM surveys AS `raw`
    ) AS `t`
    LEFT JOIN (
      SELECT
        `account_id`,
        `started_on`,
        `ended_on`
      FROM (
        SELECT
          `account_id`,
          `started_on`,
          CAST(NULL AS DATE) AS `ended_on`,
          ROW_NUMBER() OVER (PARTITION BY `account_id` ORDER BY `started_on` NULLS LAST) AS `nth`
        FROM (
          SELECT
            NULLIF(CAST(`account_id` AS STRING), '') AS `account_id`,
            CAST(`started_on` AS DATE) AS `started_on`,
            CAST(`term_months` AS INT64) AS `term_months`
          FROM crm.accounts AS `raw`
        ) AS `c`
      ) AS `n`
      WHERE
        `nth` = 1
    ) AS `a`
      ON `t`.`account_id` = `a`.`account_id`
    WHERE
      NOT COALESCE(`t`.`answered_on` < `a`.`started_on`, FALSE)
      AND NOT COALESCE(`t`.`answered_on` > `a`.`ended_on` AND `a`.`ended_on` >= `a`.`started_on`, FALSE)
  ) AS `r`
) AS `s`
WHERE
  `answered_on` < CAST('2024-06-01' AS DATE);

CREATE OR REPLACE TEMP TABLE `leadsignal_spine` AS
SELECT
  *,
  CAST(ROW_NUMBER() OVER (ORDER BY `account_id` NULLS LAST) AS INT64) AS `account_no`,
  `entry` AS `first`
FROM (
  SELECT
    *,
    COALESCE(LEAST(COALESCE(`ended` - 1, 19875), 19875), COALESCE(`ended` - 1, 19875), 19875) AS `last`
  FROM (
    SELECT
      `account_id`,
      COALESCE(`customer_id`, `account_id`) AS `customer_id`,
      UNIX_DATE(`started_on`) AS `started`,
      UNIX_DATE(`ended_on`) AS `ended`,
      UNIX_DATE(`end_known_on`) AS `notice`,
      UNIX_DATE(`end_known_on`) AS `end_known`,
      `end_reason`,
      `term_months` AS `first_term`,
      CAST(ROUND(CAST(`arr` AS BIGNUMERIC) * 100) AS INT64) AS `first_arr`,
      COALESCE(GREATEST(UNIX_DATE(`started_on`), UNIX_DATE(CAST(`recorded_at` AS DATE)) + 1), UNIX_DATE(`started_on`), UNIX_DATE(CAST(`recorded_at` AS DATE)) + 1) AS `entry`
    FROM (
      SELECT
        *
      FROM `leadsignal_source_accounts` AS `source_accounts`
    ) AS `accounts`
  ) AS `dated`
) AS `bounded`
WHERE
  `entry` <= `last` AND `entry` <= `last`;

CREATE OR REPLACE TEMP TABLE `leadsignal_grid` AS
SELECT
  `account_no`,
  `first` AS `t`
FROM `leadsignal_spine` AS `spine`
UNION ALL
SELECT
  `account_no`,
  `series` AS `t`
FROM `leadsignal_spine` AS `spine`
CROSS JOIN UNNEST(GENERATE_ARRAY((
  CAST(FLOOR((`first` + 1 + 24) / 29) AS INT) * 29 + 4
), `last`, 29)) AS `series`
UNION ALL
SELECT
  `account_no`,
  19875 AS `t`
FROM `leadsignal_spine` AS `spine`
WHERE
  `last` = 19875
  AND `first` < 19875
  AND (
    CAST(FLOOR((19875 + 24) / 29) AS INT) * 29 + 4
  ) <> 19875;

CREATE OR REPLACE TEMP TABLE `leadsignal_rows_behaviors` AS
SELECT
  `account_no`,
  `first`,
  UNIX_DATE(`known_on`) AS `known`,
  UNIX_DATE(`occurred_at`) AS `occurred_at_no`,
  CAST(ROUND(CAST(`quantity` AS BIGNUMERIC) * 1000000) AS INT64) AS `quantity_whole`,
  `behavior`,
  CAST(CASE `counted_as` WHEN '' THEN 0 END AS INT64) AS `counted_as_no`,
  CAST(CASE `in_process` WHEN 'no' THEN 0 WHEN 'yes' THEN 1 END AS INT64) AS `in_process_no`
FROM (
  SELECT
    *,
    '' AS `counted_as`,
    CASE WHEN `behavior` IN ('it\'s met') THEN 'yes' ELSE 'no' END AS `in_process`
  FROM (
    SELECT
      *
    FROM `leadsignal_source_behaviors` AS `source_behaviors`
  ) AS `history`
) AS `source`
JOIN `leadsignal_spine` AS `spine`
  USING (`account_id`);

CREATE OR REPLACE TEMP TABLE `leadsignal_counts_behaviors` AS
SELECT
  `account_no`,
  `t`,
  CAST(SUM(COALESCE(`d0_0`, 0) - COALESCE(`d1_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m1`,
  CAST(SUM(COALESCE(`d2_0`, 0) - COALESCE(`d3_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m7`,
  CAST(SUM(COALESCE(`d2_0`, 0) - COALESCE(`d4_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m8`,
  CAST(SUM(COALESCE(`d5_0`, 0) - COALESCE(`d6_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m9`,
  CAST(SUM(COALESCE(`d5_0`, 0) - COALESCE(`d7_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m10`,
  CAST(SUM(COALESCE(`d5_0`, 0) - COALESCE(`d8_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m11`,
  CAST(SUM(COALESCE(`d5_0`, 0) - COALESCE(`d9_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `m13`
FROM `leadsignal_grid` AS `grid`
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 1
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d0_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL AND `behavior` IN ('it\'s met')
  ) AS `changes`
  WHERE
    (
      `day` + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g0`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 31
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d1_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL AND `behavior` IN ('it\'s met')
  ) AS `changes`
  WHERE
    (
      `day` + 31
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g1`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 1
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d2_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `in_process_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g2`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 31
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d3_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `in_process_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 31
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g3`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 91
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 91
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 91
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d4_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `in_process_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 91
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g4`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 1
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d5_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `counted_as_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g5`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 31
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d6_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `counted_as_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 31
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g6`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 91
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 91
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 91
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d7_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `counted_as_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 91
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g7`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 181
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 181
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 181
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d8_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `counted_as_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 181
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g8`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 211
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 211
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 211
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(CASE WHEN `member` = 0 THEN `v0` END) AS INT64) AS `d9_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `counted_as_no` AS `member`,
      `quantity_whole` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 211
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g9`
  USING (`account_no`, `t`);

CREATE OR REPLACE TEMP TABLE `leadsignal_latest_behaviors` AS
SELECT
  `account_no`,
  `t`,
  (
    MAX(`d0_0`) OVER (
      PARTITION BY `account_no`
      ORDER BY `t`
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
  ) AS `m2`,
  (
    MAX(`d1_0`) OVER (
      PARTITION BY `account_no`
      ORDER BY `t`
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
  ) AS `m12`
FROM `leadsignal_grid` AS `grid`
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 1
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    MAX(`v0`) AS `d0_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `occurred_at_no` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL
      AND `behavior` IN ('it\'s met')
      AND NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g0`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 1
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    MAX(CASE WHEN `member` = 0 THEN `v0` END) AS `d1_0`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `occurred_at_no` AS `day`,
      `counted_as_no` AS `member`,
      `occurred_at_no` AS `v0`
    FROM `leadsignal_rows_behaviors` AS `rows_behaviors`
    WHERE
      NOT `occurred_at_no` IS NULL AND NOT `occurred_at_no` IS NULL
  ) AS `changes`
  WHERE
    (
      `day` + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g1`
  USING (`account_no`, `t`);

CREATE OR REPLACE TEMP TABLE `leadsignal_rows_surveys` AS
SELECT
  `account_no`,
  `first`,
  UNIX_DATE(`known_on`) AS `known`,
  UNIX_DATE(`answered_on`) AS `answered_on_no`,
  `score`
FROM (
  SELECT
    *
  FROM `leadsignal_source_surveys` AS `source_surveys`
) AS `source`
JOIN `leadsignal_spine` AS `spine`
  USING (`account_id`);

CREATE OR REPLACE TEMP TABLE `leadsignal_latest_surveys_m14` AS
SELECT
  `account_no`,
  `first`,
  `day` + 1 AS `day`,
  `p0` AS `a`,
  `p1` AS `b`,
  ROW_NUMBER() OVER (PARTITION BY `account_no` ORDER BY `p0` NULLS LAST, `p1` NULLS LAST) AS `n`
FROM (
  SELECT
    `account_no`,
    `first`,
    `answered_on_no` AS `day`,
    CASE
      WHEN NOT `answered_on_no` IS NULL AND NOT `score` IS NULL
      THEN `answered_on_no`
    END AS `p0`,
    CASE WHEN NOT `answered_on_no` IS NULL AND NOT `score` IS NULL THEN `score` END AS `p1`
  FROM `leadsignal_rows_surveys` AS `rows_surveys`
  WHERE
    NOT `answered_on_no` IS NULL
) AS `c`
WHERE
  NOT `p0` IS NULL AND `day` + 1 <= 19875;

CREATE OR REPLACE TEMP TABLE `leadsignal_latest_surveys` AS
SELECT
  `c`.`account_no` AS `account_no`,
  `c`.`t` AS `t`,
  `m15`,
  `latest_surveys_m14`.`b` AS `m14`
FROM (
  SELECT
    `account_no`,
    `t`,
    (
      MAX(`d0_0`) OVER (
        PARTITION BY `account_no`
        ORDER BY `t`
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    ) AS `m15`,
    (
      MAX(`d1_0`) OVER (
        PARTITION BY `account_no`
        ORDER BY `t`
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    ) AS `m14`
  FROM `leadsignal_grid` AS `grid`
  LEFT JOIN (
    SELECT
      `account_no`,
      CASE
        WHEN (
          `day` + 1
        ) <= `first`
        THEN `first`
        ELSE COALESCE(LEAST((
          CAST(FLOOR(((
            `day` + 1
          ) + 24) / 29) AS INT) * 29 + 4
        ), 19875), (
          CAST(FLOOR(((
            `day` + 1
          ) + 24) / 29) AS INT) * 29 + 4
        ), 19875)
      END AS `t`,
      MAX(`v1`) AS `d0_0`
    FROM (
      SELECT
        `account_no`,
        `first`,
        `answered_on_no` AS `day`,
        CASE WHEN NOT `answered_on_no` IS NULL THEN `answered_on_no` END AS `v1`
      FROM `leadsignal_rows_surveys` AS `rows_surveys`
      WHERE
        NOT `answered_on_no` IS NULL
    ) AS `changes`
    WHERE
      (
        `day` + 1
      ) <= 19875
    GROUP BY
      1,
      2
  ) AS `g0`
    USING (`account_no`, `t`)
  LEFT JOIN (
    SELECT
      `account_no`,
      CASE
        WHEN `day` <= `first`
        THEN `first`
        ELSE COALESCE(LEAST((
          CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
        ), 19875), (
          CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
        ), 19875)
      END AS `t`,
      MAX(`n`) AS `d1_0`
    FROM (
      SELECT
        `account_no`,
        `first`,
        `day`,
        `n`
      FROM `leadsignal_latest_surveys_m14` AS `latest_surveys_m14`
    ) AS `changes`
    WHERE
      `day` <= 19875
    GROUP BY
      1,
      2
  ) AS `g1`
    USING (`account_no`, `t`)
) AS `c`
LEFT JOIN `leadsignal_latest_surveys_m14` AS `latest_surveys_m14`
  ON `latest_surveys_m14`.`account_no` = `c`.`account_no`
  AND `latest_surveys_m14`.`n` = `c`.`m14`;

CREATE OR REPLACE TEMP TABLE `leadsignal_process_0_rows` AS
SELECT
  `account_no`,
  `user_id`,
  UNIX_DATE(`occurred_at`) AS `day`,
  UNIX_DATE(`known_on`) AS `known`,
  CAST(ROUND(CAST(`quantity` AS BIGNUMERIC) * 1000000) AS INT64) AS `quantity`
FROM (
  SELECT
    *,
    '' AS `counted_as`,
    CASE WHEN `behavior` IN ('it\'s met') THEN 'yes' ELSE 'no' END AS `in_process`
  FROM (
    SELECT
      *
    FROM `leadsignal_source_behaviors` AS `source_behaviors`
  ) AS `history`
) AS `source`
JOIN `leadsignal_spine` AS `spine`
  USING (`account_id`)
WHERE
  `behavior` IN ('it\'s met');

CREATE OR REPLACE TEMP TABLE `leadsignal_process_0_changes` AS
SELECT
  `account_no`,
  `x`,
  CAST(SUM(CASE WHEN `k` = 0 THEN `quantity` END) AS INT64) AS `quantity_0`,
  CAST(SUM(CASE WHEN `k` = 0 THEN `users` END) AS INT64) AS `users_0`
FROM (
  SELECT
    `account_no`,
    `k`,
    `day` + `k` * 30 + CASE WHEN `sign` = 1 THEN 1 ELSE 31 END AS `x`,
    `sign` * `quantity` AS `quantity`,
    0 AS `users`
  FROM `leadsignal_process_0_rows` AS `process_0_rows`
  CROSS JOIN (
    SELECT
      `series` AS `k`
    FROM UNNEST(GENERATE_ARRAY(0, 0, 1)) AS `series`
  ) AS `k`
  CROSS JOIN (
    SELECT
      1 AS `sign`
    UNION ALL
    SELECT
      -1 AS `sign`
  ) AS `signs`
) AS `c`
WHERE
  `x` <= 19875
GROUP BY
  `account_no`,
  `x`;

CREATE OR REPLACE TEMP TABLE `leadsignal_process_0_states` AS
SELECT
  `account_no`,
  `x`,
  SUM(COALESCE(`quantity_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `x`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) >= 1000000 AS `adopted`
FROM `leadsignal_process_0_changes` AS `process_0_changes`;

CREATE OR REPLACE TEMP TABLE `leadsignal_process_0_adopted` AS
SELECT
  `account_no`,
  `x`,
  `next_x`
FROM (
  SELECT
    `account_no`,
    `x`,
    `adopted`,
    LEAD(`x`) OVER (PARTITION BY `account_no` ORDER BY `x` NULLS LAST) AS `next_x`
  FROM (
    SELECT
      `account_no`,
      `x`,
      `adopted`,
      LAG(`adopted`) OVER (PARTITION BY `account_no` ORDER BY `x` NULLS LAST) AS `was`
    FROM `leadsignal_process_0_states` AS `process_0_states`
  ) AS `r`
  WHERE
    `adopted` <> COALESCE(`was`, FALSE)
) AS `t`
WHERE
  `adopted`;

CREATE OR REPLACE TEMP TABLE `leadsignal_episodes_0` AS
SELECT
  `account_no`,
  'p' AS `process`,
  COALESCE(GREATEST(`x`, CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END), `x`, CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END) AS `adopted`,
  CASE
    WHEN `next_x` < COALESCE(LEAST(19876, `ended`), 19876, `ended`)
    THEN `next_x`
  END AS `lapsed`
FROM `leadsignal_process_0_adopted` AS `process_0_adopted`
JOIN `leadsignal_spine` AS `spine`
  USING (`account_no`)
WHERE
  COALESCE(`next_x` > CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END, TRUE)
  AND COALESCE(GREATEST(`x`, CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END), `x`, CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END) < COALESCE(LEAST(19876, `ended`), 19876, `ended`);

CREATE OR REPLACE TEMP TABLE `leadsignal_episodes` AS
SELECT
  *
FROM `leadsignal_episodes_0` AS `episodes_0`;

CREATE OR REPLACE TEMP TABLE `leadsignal_last_episodes_m0` AS
SELECT
  `account_no`,
  `first`,
  `day` + 0 AS `day`,
  `p0` AS `a`,
  `p1` AS `b`,
  ROW_NUMBER() OVER (PARTITION BY `account_no` ORDER BY `p0` NULLS LAST, `p1` NULLS LAST) AS `n`
FROM (
  SELECT
    `account_no`,
    `first`,
    `adopted` AS `day`,
    CASE `process` WHEN 'p' THEN 0 END AS `member`,
    `adopted` AS `p0`,
    `lapsed` AS `p1`
  FROM `leadsignal_episodes` AS `episodes`
  JOIN `leadsignal_spine` AS `spine`
    USING (`account_no`)
) AS `c`
WHERE
  NOT `p0` IS NULL AND `member` = 0 AND `day` + 0 <= 19875;

CREATE OR REPLACE TEMP TABLE `leadsignal_last_episodes` AS
SELECT
  `c`.`account_no` AS `account_no`,
  `c`.`t` AS `t`,
  `c`.`m0` AS `m0`,
  `last_episodes_m0`.`a` AS `m0_a`,
  `last_episodes_m0`.`b` AS `m0_b`
FROM (
  SELECT
    `account_no`,
    `t`,
    (
      MAX(`d0_0`) OVER (
        PARTITION BY `account_no`
        ORDER BY `t`
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    ) AS `m0`
  FROM `leadsignal_grid` AS `grid`
  LEFT JOIN (
    SELECT
      `account_no`,
      CASE
        WHEN `day` <= `first`
        THEN `first`
        ELSE COALESCE(LEAST((
          CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
        ), 19875), (
          CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
        ), 19875)
      END AS `t`,
      MAX(`n`) AS `d0_0`
    FROM (
      SELECT
        `account_no`,
        `first`,
        `day`,
        `n`
      FROM `leadsignal_last_episodes_m0` AS `last_episodes_m0`
    ) AS `changes`
    WHERE
      `day` <= 19875
    GROUP BY
      1,
      2
  ) AS `g0`
    USING (`account_no`, `t`)
) AS `c`
LEFT JOIN `leadsignal_last_episodes_m0` AS `last_episodes_m0`
  ON `last_episodes_m0`.`account_no` = `c`.`account_no`
  AND `last_episodes_m0`.`n` = `c`.`m0`;

CREATE OR REPLACE TEMP TABLE `leadsignal_dated_episodes` AS
SELECT
  `account_no`,
  `first`,
  `process`,
  `adopted`,
  `lapsed`
FROM `leadsignal_episodes` AS `episodes`
JOIN `leadsignal_spine` AS `spine`
  USING (`account_no`);

CREATE OR REPLACE TEMP TABLE `leadsignal_adoption_memory` AS
SELECT
  `account_no`,
  `t`,
  CAST(SUM(COALESCE(`d0_0`, 0) - COALESCE(`d4_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `open_0_of_p`,
  CAST(SUM(COALESCE(`d0_1`, 0) - COALESCE(`d4_1`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `sums_0_of_p`,
  CAST(SUM(COALESCE(`d1_0`, 0) - COALESCE(`d5_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `open_90_of_p`,
  CAST(SUM(COALESCE(`d1_1`, 0) - COALESCE(`d5_1`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `sums_90_of_p`,
  CAST(SUM(COALESCE(`d2_0`, 0) - COALESCE(`d6_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `open_180_of_p`,
  CAST(SUM(COALESCE(`d2_1`, 0) - COALESCE(`d6_1`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `sums_180_of_p`,
  CAST(SUM(COALESCE(`d3_0`, 0) - COALESCE(`d7_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `open_365_of_p`,
  CAST(SUM(COALESCE(`d3_1`, 0) - COALESCE(`d7_1`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `sums_365_of_p`,
  CAST(SUM(COALESCE(`d4_2`, 0) - COALESCE(`d7_0`, 0)) OVER (
    PARTITION BY `account_no`
    ORDER BY `t`
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS INT64) AS `lapses_365_of_p`
FROM `leadsignal_grid` AS `grid`
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN `day` <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d0_0`,
    CAST(SUM(`v1`) AS INT64) AS `d0_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `adopted` AS `day`,
      1 AS `v0`,
      `adopted` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `adopted` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    `day` <= 19875
  GROUP BY
    1,
    2
) AS `g0`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 90
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 90
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 90
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d1_0`,
    CAST(SUM(`v1`) AS INT64) AS `d1_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `adopted` AS `day`,
      1 AS `v0`,
      `adopted` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `adopted` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    (
      `day` + 90
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g1`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 180
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 180
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 180
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d2_0`,
    CAST(SUM(`v1`) AS INT64) AS `d2_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `adopted` AS `day`,
      1 AS `v0`,
      `adopted` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `adopted` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    (
      `day` + 180
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g2`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 365
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 365
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 365
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d3_0`,
    CAST(SUM(`v1`) AS INT64) AS `d3_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `adopted` AS `day`,
      1 AS `v0`,
      `adopted` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `adopted` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    (
      `day` + 365
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g3`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN `day` <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR((`day` + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d4_0`,
    CAST(SUM(`v1`) AS INT64) AS `d4_1`,
    CAST(SUM(`v0`) AS INT64) AS `d4_2`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `lapsed` AS `day`,
      1 AS `v0`,
      `lapsed` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `lapsed` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    `day` <= 19875
  GROUP BY
    1,
    2
) AS `g4`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 90
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 90
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 90
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d5_0`,
    CAST(SUM(`v1`) AS INT64) AS `d5_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `lapsed` AS `day`,
      1 AS `v0`,
      `lapsed` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `lapsed` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    (
      `day` + 90
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g5`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 180
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 180
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 180
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d6_0`,
    CAST(SUM(`v1`) AS INT64) AS `d6_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `lapsed` AS `day`,
      1 AS `v0`,
      `lapsed` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `lapsed` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    (
      `day` + 180
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g6`
  USING (`account_no`, `t`)
LEFT JOIN (
  SELECT
    `account_no`,
    CASE
      WHEN (
        `day` + 365
      ) <= `first`
      THEN `first`
      ELSE COALESCE(LEAST((
        CAST(FLOOR(((
          `day` + 365
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875), (
        CAST(FLOOR(((
          `day` + 365
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS `t`,
    CAST(SUM(`v0`) AS INT64) AS `d7_0`,
    CAST(SUM(`v1`) AS INT64) AS `d7_1`
  FROM (
    SELECT
      `account_no`,
      `first`,
      `lapsed` AS `day`,
      1 AS `v0`,
      `lapsed` AS `v1`
    FROM `leadsignal_dated_episodes` AS `dated_episodes`
    WHERE
      NOT `lapsed` IS NULL AND `process` = 'p'
  ) AS `changes`
  WHERE
    (
      `day` + 365
    ) <= 19875
  GROUP BY
    1,
    2
) AS `g7`
  USING (`account_no`, `t`);

CREATE TABLE crm.panel AS
SELECT
  `account_id`,
  `customer_id`,
  DATE_FROM_UNIX_DATE(`t`) AS `snapshot_on`,
  CAST(`t` - `started` AS INT64) AS `start`,
  CAST(COALESCE(LEAST(COALESCE(LEAST(COALESCE(`next_t`, 19875), COALESCE(`ended`, 19875)), COALESCE(`next_t`, 19875), COALESCE(`ended`, 19875)), 19875), COALESCE(LEAST(COALESCE(`next_t`, 19875), COALESCE(`ended`, 19875)), COALESCE(`next_t`, 19875), COALESCE(`ended`, 19875)), 19875) - `started` AS INT64) AS `stop`,
  CASE
    WHEN NOT `ended` IS NULL AND `ended` <= COALESCE(`next_t`, 19875) AND TRUE
    THEN 1
    ELSE 0
  END AS `event`,
  CASE
    WHEN NOT `ended` IS NULL AND `ended` <= COALESCE(`next_t`, 19875)
    THEN 'churn'
  END AS `cause`,
  CAST(COALESCE(LEAST(COALESCE(`ended`, 19875), 19875), COALESCE(`ended`, 19875), 19875) - `t` AS INT64) AS `days_observed`,
  CAST(`ended` - `t` AS INT64) AS `ended_within`,
  CAST(COALESCE(LEAST(COALESCE(`end_known`, `ended`), COALESCE(`ended`, `end_known`)), COALESCE(`end_known`, `ended`), COALESCE(`ended`, `end_known`)) - `t` AS INT64) AS `known_within`,
  CASE WHEN NOT `ended` IS NULL THEN 'churn' END AS `end_cause`,
  CAST(COALESCE(`notice` < `t`, FALSE) AS BOOL) AS `notice_given`,
  CAST(`first_arr` / CAST(100 AS FLOAT64) AS FLOAT64) AS `arr`,
  CAST(CASE
    WHEN NOT (
      TRUE
    )
    THEN 'not applicable'
    WHEN NOT COALESCE(
      `t` >= 19728
      AND `t` >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END,
      FALSE
    )
    THEN 'unknown'
    WHEN NOT `m0` IS NULL AND NOT COALESCE(`m0_b` <= `t`, FALSE)
    THEN 'adopted'
    WHEN NOT `m0` IS NULL
    THEN 'lapsed'
    WHEN FALSE
    THEN 'overdue'
    ELSE 'pending'
  END AS STRING) AS `p_state`,
  CAST(CASE
    WHEN NOT (
      TRUE
      AND COALESCE(
        `t` >= 19728
        AND `t` >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END,
        FALSE
      )
    )
    THEN NULL
    WHEN NOT `m0` IS NULL AND NOT COALESCE(`m0_b` <= `t`, FALSE)
    THEN `t` - `m0_a`
    WHEN NOT `m0` IS NULL
    THEN `t` - `m0_b`
    WHEN FALSE
    THEN NULL
    ELSE `t` - `started`
  END AS FLOAT64) AS `p_days_in_state`,
  CAST(`value_m1` AS FLOAT64) AS `p_events`,
  CAST(CASE WHEN `t` >= 19728 THEN `t` - `m2` END AS FLOAT64) AS `p_days_since`,
  CAST(CASE
    WHEN (
      TRUE
    )
    AND `t` >= 19728
    AND COALESCE(GREATEST(`t` - 89, `started`), `t` - 89, `started`) >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END
    THEN (
      (
        `open_0_of_p` * (
          `t` - -1
        ) - `sums_0_of_p`
      ) - (
        `open_90_of_p` * (
          `t` - 89
        ) - `sums_90_of_p`
      )
    ) / CAST(COALESCE(LEAST(90, `t` - `started` + 1), 90, `t` - `started` + 1) AS FLOAT64)
  END AS FLOAT64) AS `p_adopted_share_90d`,
  CAST(CASE
    WHEN (
      TRUE
    )
    AND `t` >= 19728
    AND COALESCE(GREATEST(`t` - 179, `started`), `t` - 179, `started`) >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END
    THEN (
      (
        `open_0_of_p` * (
          `t` - -1
        ) - `sums_0_of_p`
      ) - (
        `open_180_of_p` * (
          `t` - 179
        ) - `sums_180_of_p`
      )
    ) / CAST(COALESCE(LEAST(180, `t` - `started` + 1), 180, `t` - `started` + 1) AS FLOAT64)
  END AS FLOAT64) AS `p_adopted_share_180d`,
  CAST(CASE
    WHEN (
      TRUE
    )
    AND `t` >= 19728
    AND COALESCE(GREATEST(`t` - 364, `started`), `t` - 364, `started`) >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END
    THEN (
      (
        `open_0_of_p` * (
          `t` - -1
        ) - `sums_0_of_p`
      ) - (
        `open_365_of_p` * (
          `t` - 364
        ) - `sums_365_of_p`
      )
    ) / CAST(COALESCE(LEAST(365, `t` - `started` + 1), 365, `t` - `started` + 1) AS FLOAT64)
  END AS FLOAT64) AS `p_adopted_share_365d`,
  CAST((
    CASE
      WHEN (
        TRUE
      )
      AND `t` >= 19728
      AND COALESCE(GREATEST(`t` - 89, `started`), `t` - 89, `started`) >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END
      THEN (
        (
          `open_0_of_p` * (
            `t` - -1
          ) - `sums_0_of_p`
        ) - (
          `open_90_of_p` * (
            `t` - 89
          ) - `sums_90_of_p`
        )
      ) / CAST(COALESCE(LEAST(90, `t` - `started` + 1), 90, `t` - `started` + 1) AS FLOAT64)
    END
  ) - (
    CASE
      WHEN (
        TRUE
      )
      AND `t` >= 19728
      AND COALESCE(GREATEST(`t` - 364, `started`), `t` - 364, `started`) >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END
      THEN (
        (
          `open_0_of_p` * (
            `t` - -1
          ) - `sums_0_of_p`
        ) - (
          `open_365_of_p` * (
            `t` - 364
          ) - `sums_365_of_p`
        )
      ) / CAST(COALESCE(LEAST(365, `t` - `started` + 1), 365, `t` - `started` + 1) AS FLOAT64)
    END
  ) AS FLOAT64) AS `p_adopted_trend`,
  CAST(CASE
    WHEN (
      TRUE
    )
    AND `t` >= 19728
    AND COALESCE(GREATEST(`t` - 364, `started`), `t` - 364, `started`) >= CASE WHEN `started` >= 19727 THEN `started` ELSE 19757 END
    THEN `lapses_365_of_p`
  END AS FLOAT64) AS `p_lapses_365d`,
  CAST(`value_m7` AS FLOAT64) AS `activity_events_30d`,
  CAST(`value_m8` AS FLOAT64) AS `activity_events_90d`,
  CAST(`value_m9` AS FLOAT64) AS `other_behaviors_events_30d`,
  CAST(`value_m10` AS FLOAT64) AS `other_behaviors_events_90d`,
  CAST(`value_m11` AS FLOAT64) AS `other_behaviors_events_180d`,
  CAST(CASE WHEN `t` >= 19728 THEN `t` - `m12` END AS FLOAT64) AS `other_behaviors_days_since`,
  CAST(CASE
    WHEN (
      COALESCE(LEAST(210, `t` - `started`), 210, `t` - `started`) - 30
    ) >= 30
    THEN (
      (
        `value_m9`
      ) * (
        COALESCE(LEAST(210, `t` - `started`), 210, `t` - `started`) - 30
      )
    ) / NULLIF(CAST((
      (
        `value_m13`
      ) - (
        `value_m9`
      )
    ) * 30 AS FLOAT64), 0)
  END AS FLOAT64) AS `other_behaviors_relative`,
  CAST(CASE WHEN `t` >= 19728 THEN `m14` END AS FLOAT64) AS `survey_score`,
  CAST(CASE WHEN `t` >= 19728 THEN `t` - `m15` END AS FLOAT64) AS `survey_days_since`,
  CAST(`t` - `started` AS FLOAT64) AS `tenure_days`,
  CAST(`first_term` AS FLOAT64) AS `term_months`,
  CAST(CASE
    WHEN UNIX_DATE(DATE_ADD(DATE_FROM_UNIX_DATE(`started`), INTERVAL COALESCE(GREATEST(CAST(FLOOR(((
      (
        EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`started`))
      ) * 12 + EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`started`))
    )) / (
      `first_term`
    )) AS INT), 1), CAST(FLOOR(((
      (
        EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`started`))
      ) * 12 + EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`started`))
    )) / (
      `first_term`
    )) AS INT), 1) * (
      `first_term`
    ) MONTH)) >= `t`
    THEN UNIX_DATE(DATE_ADD(DATE_FROM_UNIX_DATE(`started`), INTERVAL COALESCE(GREATEST(CAST(FLOOR(((
      (
        EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`started`))
      ) * 12 + EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`started`))
    )) / (
      `first_term`
    )) AS INT), 1), CAST(FLOOR(((
      (
        EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`started`))
      ) * 12 + EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`started`))
    )) / (
      `first_term`
    )) AS INT), 1) * (
      `first_term`
    ) MONTH)) - `t`
    ELSE UNIX_DATE(DATE_ADD(DATE_FROM_UNIX_DATE(`started`), INTERVAL (
      COALESCE(GREATEST(CAST(FLOOR(((
        (
          EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`started`))
        ) * 12 + EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`started`))
      )) / (
        `first_term`
      )) AS INT), 1), CAST(FLOOR(((
        (
          EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(YEAR FROM DATE_FROM_UNIX_DATE(`started`))
        ) * 12 + EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`t`)) - EXTRACT(MONTH FROM DATE_FROM_UNIX_DATE(`started`))
      )) / (
        `first_term`
      )) AS INT), 1) + 1
    ) * (
      `first_term`
    ) MONTH)) - `t`
  END AS FLOAT64) AS `days_to_renewal`
FROM (
  SELECT
    *,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 30, `started`), `t` - 30, `started`) >= 19727
      THEN `m1` / CAST(1000000 AS FLOAT64)
    END AS `value_m1`,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 30, `started`), `t` - 30, `started`) >= 19727
      THEN `m7` / CAST(1000000 AS FLOAT64)
    END AS `value_m7`,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 90, `started`), `t` - 90, `started`) >= 19727
      THEN `m8` / CAST(1000000 AS FLOAT64)
    END AS `value_m8`,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 30, `started`), `t` - 30, `started`) >= 19727
      THEN `m9` / CAST(1000000 AS FLOAT64)
    END AS `value_m9`,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 90, `started`), `t` - 90, `started`) >= 19727
      THEN `m10` / CAST(1000000 AS FLOAT64)
    END AS `value_m10`,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 180, `started`), `t` - 180, `started`) >= 19727
      THEN `m11` / CAST(1000000 AS FLOAT64)
    END AS `value_m11`,
    CASE
      WHEN `t` >= 19728
      AND COALESCE(GREATEST(`t` - 210, `started`), `t` - 210, `started`) >= 19727
      THEN `m13` / CAST(1000000 AS FLOAT64)
    END AS `value_m13`
  FROM (
    SELECT
      *,
      LEAD(`t`) OVER (PARTITION BY `account_no` ORDER BY `t` NULLS LAST) AS `next_t`
    FROM `leadsignal_grid` AS `grid`
    JOIN `leadsignal_spine` AS `spine`
      USING (`account_no`)
    LEFT JOIN `leadsignal_counts_behaviors` AS `counts_behaviors`
      USING (`account_no`, `t`)
    LEFT JOIN `leadsignal_latest_behaviors` AS `latest_behaviors`
      USING (`account_no`, `t`)
    LEFT JOIN `leadsignal_latest_surveys` AS `latest_surveys`
      USING (`account_no`, `t`)
    LEFT JOIN `leadsignal_last_episodes` AS `last_episodes`
      USING (`account_no`, `t`)
    LEFT JOIN `leadsignal_adoption_memory` AS `adoption_memory`
      USING (`account_no`, `t`)
  ) AS `joined`
) AS `counted`;

