CREATE OR REPLACE TEMPORARY TABLE "leadsignal_source_accounts" AS
SELECT
  "account_id",
  CAST(NULL AS VARCHAR) AS "name",
  CAST(NULL AS VARCHAR) AS "owner",
  "started_on",
  CAST(NULL AS DATE) AS "ended_on",
  CAST(NULL AS DATE) AS "end_known_on",
  CAST(NULL AS VARCHAR) AS "end_reason",
  "term_months",
  CAST(NULL AS DECIMAL(18, 2)) AS "arr",
  CAST(NULL AS VARCHAR) AS "currency",
  CAST(NULL AS VARCHAR) AS "customer_id",
  CAST(NULL AS TIMESTAMPNTZ) AS "recorded_at",
  "started_on" AS "known_on",
  CAST(NULL AS DATE) AS "superseded_on"
FROM (
  SELECT
    "account_id",
    "started_on",
    "term_months"
  FROM (
    SELECT
      NULLIF(CAST("ACCOUNT_ID" AS STRING), '') AS "account_id",
      CAST("STARTED_ON" AS DATE) AS "started_on",
      CAST("TERM_MONTHS" AS INT) AS "term_months"
    FROM crm.accounts AS "raw"
  ) AS "r"
) AS "s"
WHERE
  "started_on" < CAST('2024-06-01' AS DATE);

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_source_behaviors" AS
SELECT
  "account_id",
  "occurred_at",
  "behavior",
  CAST(NULL AS VARCHAR) AS "user_id",
  CAST(1 AS DECIMAL(18, 6)) AS "quantity",
  CAST(NULL AS VARCHAR) AS "event_id",
  CAST(NULL AS TIMESTAMPNTZ) AS "recorded_at",
  "occurred_at" AS "known_on",
  CAST(NULL AS DATE) AS "superseded_on"
FROM (
  SELECT
    "account_id",
    "occurred_at",
    "behavior"
  FROM (
    SELECT
      "t"."account_id" AS "account_id",
      "t"."occurred_at" AS "occurred_at",
      "t"."behavior" AS "behavior"
    FROM (
      SELECT
        NULLIF(CAST("ACCOUNT_ID" AS STRING), '') AS "account_id",
        CAST("OCCURRED_AT" AS DATE) AS "occurred_at",
        NULLIF(CAST("BEHAVIOR" AS STRING), '') AS "behavior"
      FROM behaviors AS "raw"
    ) AS "t"
    LEFT JOIN (
      SELECT
        "account_id",
        "started_on",
        "ended_on"
      FROM (
        SELECT
          "account_id",
          "started_on",
          CAST(NULL AS DATE) AS "ended_on",
          ROW_NUMBER() OVER (PARTITION BY "account_id" ORDER BY "started_on") AS "nth"
        FROM (
          SELECT
            NULLIF(CAST("ACCOUNT_ID" AS STRING), '') AS "account_id",
            CAST("STARTED_ON" AS DATE) AS "started_on",
            CAST("TERM_MONTHS" AS INT) AS "term_months"
          FROM crm.accounts AS "raw"
        ) AS "c"
      ) AS "n"
      WHERE
        "nth" = 1
    ) AS "a"
      ON "t"."account_id" = "a"."account_id"
    WHERE
      NOT COALESCE("t"."occurred_at" < "a"."started_on", FALSE)
      AND NOT COALESCE("t"."occurred_at" > "a"."ended_on" AND "a"."ended_on" >= "a"."started_on", FALSE)
  ) AS "r"
) AS "s"
WHERE
  "occurred_at" < CAST('2024-06-01' AS DATE);

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_source_surveys" AS
SELECT
  "account_id",
  "answered_on",
  "score",
  CAST(NULL AS TIMESTAMPNTZ) AS "recorded_at",
  "answered_on" AS "known_on",
  CAST(NULL AS DATE) AS "superseded_on"
FROM (
  SELECT
    "account_id",
    "answered_on",
    "score"
  FROM (
    SELECT
      "t"."account_id" AS "account_id",
      "t"."answered_on" AS "answered_on",
      "t"."score" AS "score"
    FROM (
      SELECT
        NULLIF(CAST("ACCOUNT_ID" AS STRING), '') AS "account_id",
        CAST("ANSWERED_ON" AS DATE) AS "answered_on",
        CAST("SCORE" AS DOUBLE) AS "score"
      FROM surveys AS "raw"
    ) AS "t"
    LEFT JOIN (
      SELECT
        "account_id",
        "started_on",
        "ended_on"
      FROM (
        SELECT
          "account_id",
          "started_on",
          CAST(NULL AS DATE) AS "ended_on",
          ROW_NUMBER() OVER (PARTITION BY "account_id" ORDER BY "started_on") AS "nth"
        FROM (
          SELECT
            NULLIF(CAST("ACCOUNT_ID" AS STRING), '') AS "account_id",
            CAST("STARTED_ON" AS DATE) AS "started_on",
            CAST("TERM_MONTHS" AS INT) AS "term_months"
          FROM crm.accounts AS "raw"
        ) AS "c"
      ) AS "n"
      WHERE
        "nth" = 1
    ) AS "a"
      ON "t"."account_id" = "a"."account_id"
    WHERE
      NOT COALESCE("t"."answered_on" < "a"."started_on", FALSE)
      AND NOT COALESCE("t"."answered_on" > "a"."ended_on" AND "a"."ended_on" >= "a"."started_on", FALSE)
  ) AS "r"
) AS "s"
WHERE
  "answered_on" < CAST('2024-06-01' AS DATE);

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_spine" AS
SELECT
  *,
  CAST(ROW_NUMBER() OVER (ORDER BY "account_id") AS INT) AS "account_no",
  "entry" AS "first"
FROM (
  SELECT
    *,
    LEAST_IGNORE_NULLS(COALESCE("ended" - 1, 19875), 19875) AS "last"
  FROM (
    SELECT
      "account_id",
      COALESCE("customer_id", "account_id") AS "customer_id",
      DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "started_on") AS "started",
      DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "ended_on") AS "ended",
      DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "end_known_on") AS "notice",
      DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "end_known_on") AS "end_known",
      "end_reason",
      "term_months" AS "first_term",
      CAST(ROUND(CAST("arr" AS DECIMAL(38, 6)) * 100) AS BIGINT) AS "first_arr",
      GREATEST_IGNORE_NULLS(
        DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "started_on"),
        DATEDIFF(DAY, CAST('1970-01-01' AS DATE), CAST("recorded_at" AS DATE)) + 1
      ) AS "entry"
    FROM (
      SELECT
        *
      FROM "leadsignal_source_accounts" AS "source_accounts"
    ) AS "accounts"
  ) AS "dated"
) AS "bounded"
WHERE
  "entry" <= "last" AND "entry" <= "last";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_grid" AS
SELECT
  "account_no",
  "first" AS "t"
FROM "leadsignal_spine" AS "spine"
UNION ALL
SELECT
  "account_no",
  CAST("series".VALUE AS INT) AS "t"
FROM "leadsignal_spine" AS "spine"
CROSS JOIN TABLE(FLATTEN(INPUT => ARRAY_GENERATE_RANGE((
  CAST(FLOOR(("first" + 1 + 24) / 29) AS INT) * 29 + 4
), "last" + 1, 29))) AS "series"
UNION ALL
SELECT
  "account_no",
  19875 AS "t"
FROM "leadsignal_spine" AS "spine"
WHERE
  "last" = 19875
  AND "first" < 19875
  AND (
    CAST(FLOOR((19875 + 24) / 29) AS INT) * 29 + 4
  ) <> 19875;

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_rows_behaviors" AS
SELECT
  "account_no",
  "first",
  DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "known_on") AS "known",
  DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "occurred_at") AS "occurred_at_no",
  CAST(ROUND(CAST("quantity" AS DECIMAL(38, 10)) * 1000000) AS BIGINT) AS "quantity_whole",
  "behavior",
  CAST(CASE "counted_as" WHEN '' THEN 0 END AS SMALLINT) AS "counted_as_no",
  CAST(CASE "in_process" WHEN 'no' THEN 0 WHEN 'yes' THEN 1 END AS SMALLINT) AS "in_process_no"
FROM (
  SELECT
    *,
    '' AS "counted_as",
    CASE WHEN "behavior" IN ('it\'s met') THEN 'yes' ELSE 'no' END AS "in_process"
  FROM (
    SELECT
      *
    FROM "leadsignal_source_behaviors" AS "source_behaviors"
  ) AS "history"
) AS "source"
JOIN "leadsignal_spine" AS "spine"
  USING ("account_id");

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_counts_behaviors" AS
SELECT
  "account_no",
  "t",
  CAST(SUM(COALESCE("d0_0", 0) - COALESCE("d1_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m1",
  CAST(SUM(COALESCE("d2_0", 0) - COALESCE("d3_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m7",
  CAST(SUM(COALESCE("d2_0", 0) - COALESCE("d4_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m8",
  CAST(SUM(COALESCE("d5_0", 0) - COALESCE("d6_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m9",
  CAST(SUM(COALESCE("d5_0", 0) - COALESCE("d7_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m10",
  CAST(SUM(COALESCE("d5_0", 0) - COALESCE("d8_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m11",
  CAST(SUM(COALESCE("d5_0", 0) - COALESCE("d9_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "m13"
FROM "leadsignal_grid" AS "grid"
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 1
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d0_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL AND "behavior" IN ('it\'s met')
  ) AS "changes"
  WHERE
    (
      "day" + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g0"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 31
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d1_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL AND "behavior" IN ('it\'s met')
  ) AS "changes"
  WHERE
    (
      "day" + 31
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g1"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 1
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d2_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "in_process_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g2"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 31
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d3_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "in_process_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 31
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g3"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 91
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 91
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d4_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "in_process_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 91
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g4"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 1
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d5_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "counted_as_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g5"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 31
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 31
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d6_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "counted_as_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 31
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g6"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 91
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 91
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d7_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "counted_as_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 91
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g7"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 181
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 181
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d8_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "counted_as_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 181
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g8"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 211
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 211
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM(CASE WHEN "member" = 0 THEN "v0" END) AS BIGINT) AS "d9_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "counted_as_no" AS "member",
      "quantity_whole" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 211
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g9"
  USING ("account_no", "t");

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_latest_behaviors" AS
SELECT
  "account_no",
  "t",
  (
    MAX("d0_0") OVER (
      PARTITION BY "account_no"
      ORDER BY "t"
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
  ) AS "m2",
  (
    MAX("d1_0") OVER (
      PARTITION BY "account_no"
      ORDER BY "t"
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
  ) AS "m12"
FROM "leadsignal_grid" AS "grid"
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 1
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    MAX("v0") AS "d0_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "occurred_at_no" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL
      AND "behavior" IN ('it\'s met')
      AND NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g0"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 1
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 1
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    MAX(CASE WHEN "member" = 0 THEN "v0" END) AS "d1_0"
  FROM (
    SELECT
      "account_no",
      "first",
      "occurred_at_no" AS "day",
      "counted_as_no" AS "member",
      "occurred_at_no" AS "v0"
    FROM "leadsignal_rows_behaviors" AS "rows_behaviors"
    WHERE
      NOT "occurred_at_no" IS NULL AND NOT "occurred_at_no" IS NULL
  ) AS "changes"
  WHERE
    (
      "day" + 1
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g1"
  USING ("account_no", "t");

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_rows_surveys" AS
SELECT
  "account_no",
  "first",
  DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "known_on") AS "known",
  DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "answered_on") AS "answered_on_no",
  "score"
FROM (
  SELECT
    *
  FROM "leadsignal_source_surveys" AS "source_surveys"
) AS "source"
JOIN "leadsignal_spine" AS "spine"
  USING ("account_id");

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_latest_surveys_m14" AS
SELECT
  "account_no",
  "first",
  "day" + 1 AS "day",
  "p0" AS "a",
  "p1" AS "b",
  ROW_NUMBER() OVER (PARTITION BY "account_no" ORDER BY "p0", "p1") AS "n"
FROM (
  SELECT
    "account_no",
    "first",
    "answered_on_no" AS "day",
    CASE
      WHEN NOT "answered_on_no" IS NULL AND NOT "score" IS NULL
      THEN "answered_on_no"
    END AS "p0",
    CASE WHEN NOT "answered_on_no" IS NULL AND NOT "score" IS NULL THEN "score" END AS "p1"
  FROM "leadsignal_rows_surveys" AS "rows_surveys"
  WHERE
    NOT "answered_on_no" IS NULL
) AS "c"
WHERE
  NOT "p0" IS NULL AND "day" + 1 <= 19875;

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_latest_surveys" AS
SELECT
  "c"."account_no" AS "account_no",
  "c"."t" AS "t",
  "m15",
  "latest_surveys_m14"."b" AS "m14"
FROM (
  SELECT
    "account_no",
    "t",
    (
      MAX("d0_0") OVER (
        PARTITION BY "account_no"
        ORDER BY "t"
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    ) AS "m15",
    (
      MAX("d1_0") OVER (
        PARTITION BY "account_no"
        ORDER BY "t"
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    ) AS "m14"
  FROM "leadsignal_grid" AS "grid"
  LEFT JOIN (
    SELECT
      "account_no",
      CASE
        WHEN (
          "day" + 1
        ) <= "first"
        THEN "first"
        ELSE LEAST_IGNORE_NULLS((
          CAST(FLOOR(((
            "day" + 1
          ) + 24) / 29) AS INT) * 29 + 4
        ), 19875)
      END AS "t",
      MAX("v1") AS "d0_0"
    FROM (
      SELECT
        "account_no",
        "first",
        "answered_on_no" AS "day",
        CASE WHEN NOT "answered_on_no" IS NULL THEN "answered_on_no" END AS "v1"
      FROM "leadsignal_rows_surveys" AS "rows_surveys"
      WHERE
        NOT "answered_on_no" IS NULL
    ) AS "changes"
    WHERE
      (
        "day" + 1
      ) <= 19875
    GROUP BY
      1,
      2
  ) AS "g0"
    USING ("account_no", "t")
  LEFT JOIN (
    SELECT
      "account_no",
      CASE
        WHEN "day" <= "first"
        THEN "first"
        ELSE LEAST_IGNORE_NULLS((
          CAST(FLOOR(("day" + 24) / 29) AS INT) * 29 + 4
        ), 19875)
      END AS "t",
      MAX("n") AS "d1_0"
    FROM (
      SELECT
        "account_no",
        "first",
        "day",
        "n"
      FROM "leadsignal_latest_surveys_m14" AS "latest_surveys_m14"
    ) AS "changes"
    WHERE
      "day" <= 19875
    GROUP BY
      1,
      2
  ) AS "g1"
    USING ("account_no", "t")
) AS "c"
LEFT JOIN "leadsignal_latest_surveys_m14" AS "latest_surveys_m14"
  ON "latest_surveys_m14"."account_no" = "c"."account_no"
  AND "latest_surveys_m14"."n" = "c"."m14";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_process_0_rows" AS
SELECT
  "account_no",
  "user_id",
  DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "occurred_at") AS "day",
  DATEDIFF(DAY, CAST('1970-01-01' AS DATE), "known_on") AS "known",
  CAST(ROUND(CAST("quantity" AS DECIMAL(38, 10)) * 1000000) AS BIGINT) AS "quantity"
FROM (
  SELECT
    *,
    '' AS "counted_as",
    CASE WHEN "behavior" IN ('it\'s met') THEN 'yes' ELSE 'no' END AS "in_process"
  FROM (
    SELECT
      *
    FROM "leadsignal_source_behaviors" AS "source_behaviors"
  ) AS "history"
) AS "source"
JOIN "leadsignal_spine" AS "spine"
  USING ("account_id")
WHERE
  "behavior" IN ('it\'s met');

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_process_0_changes" AS
SELECT
  "account_no",
  "x",
  CAST(SUM(CASE WHEN "k" = 0 THEN "quantity" END) AS BIGINT) AS "quantity_0",
  CAST(SUM(CASE WHEN "k" = 0 THEN "users" END) AS BIGINT) AS "users_0"
FROM (
  SELECT
    "account_no",
    "k",
    "day" + "k" * 30 + CASE WHEN "sign" = 1 THEN 1 ELSE 31 END AS "x",
    "sign" * "quantity" AS "quantity",
    0 AS "users"
  FROM "leadsignal_process_0_rows" AS "process_0_rows"
  CROSS JOIN (
    SELECT
      CAST("series".VALUE AS INT) AS "k"
    FROM TABLE(FLATTEN(INPUT => ARRAY_GENERATE_RANGE(0, 0 + 1, 1))) AS "series"
  ) AS "k"
  CROSS JOIN (
    SELECT
      1 AS "sign"
    UNION ALL
    SELECT
      -1 AS "sign"
  ) AS "signs"
) AS "c"
WHERE
  "x" <= 19875
GROUP BY
  "account_no",
  "x";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_process_0_states" AS
SELECT
  "account_no",
  "x",
  SUM(COALESCE("quantity_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "x"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) >= 1000000 AS "adopted"
FROM "leadsignal_process_0_changes" AS "process_0_changes";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_process_0_adopted" AS
SELECT
  "account_no",
  "x",
  "next_x"
FROM (
  SELECT
    "account_no",
    "x",
    "adopted",
    LEAD("x") OVER (PARTITION BY "account_no" ORDER BY "x") AS "next_x"
  FROM (
    SELECT
      "account_no",
      "x",
      "adopted",
      LAG("adopted") OVER (PARTITION BY "account_no" ORDER BY "x") AS "was"
    FROM "leadsignal_process_0_states" AS "process_0_states"
  ) AS "r"
  WHERE
    "adopted" <> COALESCE("was", FALSE)
) AS "t"
WHERE
  "adopted";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_episodes_0" AS
SELECT
  "account_no",
  'p' AS "process",
  GREATEST_IGNORE_NULLS("x", CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END) AS "adopted",
  CASE WHEN "next_x" < LEAST_IGNORE_NULLS(19876, "ended") THEN "next_x" END AS "lapsed"
FROM "leadsignal_process_0_adopted" AS "process_0_adopted"
JOIN "leadsignal_spine" AS "spine"
  USING ("account_no")
WHERE
  COALESCE("next_x" > CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END, TRUE)
  AND GREATEST_IGNORE_NULLS("x", CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END) < LEAST_IGNORE_NULLS(19876, "ended");

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_episodes" AS
SELECT
  *
FROM "leadsignal_episodes_0" AS "episodes_0";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_last_episodes_m0" AS
SELECT
  "account_no",
  "first",
  "day" + 0 AS "day",
  "p0" AS "a",
  "p1" AS "b",
  ROW_NUMBER() OVER (PARTITION BY "account_no" ORDER BY "p0", "p1") AS "n"
FROM (
  SELECT
    "account_no",
    "first",
    "adopted" AS "day",
    CASE "process" WHEN 'p' THEN 0 END AS "member",
    "adopted" AS "p0",
    "lapsed" AS "p1"
  FROM "leadsignal_episodes" AS "episodes"
  JOIN "leadsignal_spine" AS "spine"
    USING ("account_no")
) AS "c"
WHERE
  NOT "p0" IS NULL AND "member" = 0 AND "day" + 0 <= 19875;

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_last_episodes" AS
SELECT
  "c"."account_no" AS "account_no",
  "c"."t" AS "t",
  "c"."m0" AS "m0",
  "last_episodes_m0"."a" AS "m0_a",
  "last_episodes_m0"."b" AS "m0_b"
FROM (
  SELECT
    "account_no",
    "t",
    (
      MAX("d0_0") OVER (
        PARTITION BY "account_no"
        ORDER BY "t"
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    ) AS "m0"
  FROM "leadsignal_grid" AS "grid"
  LEFT JOIN (
    SELECT
      "account_no",
      CASE
        WHEN "day" <= "first"
        THEN "first"
        ELSE LEAST_IGNORE_NULLS((
          CAST(FLOOR(("day" + 24) / 29) AS INT) * 29 + 4
        ), 19875)
      END AS "t",
      MAX("n") AS "d0_0"
    FROM (
      SELECT
        "account_no",
        "first",
        "day",
        "n"
      FROM "leadsignal_last_episodes_m0" AS "last_episodes_m0"
    ) AS "changes"
    WHERE
      "day" <= 19875
    GROUP BY
      1,
      2
  ) AS "g0"
    USING ("account_no", "t")
) AS "c"
LEFT JOIN "leadsignal_last_episodes_m0" AS "last_episodes_m0"
  ON "last_episodes_m0"."account_no" = "c"."account_no"
  AND "last_episodes_m0"."n" = "c"."m0";

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_dated_episodes" AS
SELECT
  "account_no",
  "first",
  "process",
  "adopted",
  "lapsed"
FROM "leadsignal_episodes" AS "episodes"
JOIN "leadsignal_spine" AS "spine"
  USING ("account_no");

CREATE OR REPLACE TEMPORARY TABLE "leadsignal_adoption_memory" AS
SELECT
  "account_no",
  "t",
  CAST(SUM(COALESCE("d0_0", 0) - COALESCE("d4_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "open_0_of_p",
  CAST(SUM(COALESCE("d0_1", 0) - COALESCE("d4_1", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "sums_0_of_p",
  CAST(SUM(COALESCE("d1_0", 0) - COALESCE("d5_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "open_90_of_p",
  CAST(SUM(COALESCE("d1_1", 0) - COALESCE("d5_1", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "sums_90_of_p",
  CAST(SUM(COALESCE("d2_0", 0) - COALESCE("d6_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "open_180_of_p",
  CAST(SUM(COALESCE("d2_1", 0) - COALESCE("d6_1", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "sums_180_of_p",
  CAST(SUM(COALESCE("d3_0", 0) - COALESCE("d7_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "open_365_of_p",
  CAST(SUM(COALESCE("d3_1", 0) - COALESCE("d7_1", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "sums_365_of_p",
  CAST(SUM(COALESCE("d4_2", 0) - COALESCE("d7_0", 0)) OVER (
    PARTITION BY "account_no"
    ORDER BY "t"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "lapses_365_of_p"
FROM "leadsignal_grid" AS "grid"
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN "day" <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(("day" + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d0_0",
    CAST(SUM("v1") AS BIGINT) AS "d0_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "adopted" AS "day",
      1 AS "v0",
      "adopted" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "adopted" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    "day" <= 19875
  GROUP BY
    1,
    2
) AS "g0"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 90
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 90
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d1_0",
    CAST(SUM("v1") AS BIGINT) AS "d1_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "adopted" AS "day",
      1 AS "v0",
      "adopted" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "adopted" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    (
      "day" + 90
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g1"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 180
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 180
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d2_0",
    CAST(SUM("v1") AS BIGINT) AS "d2_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "adopted" AS "day",
      1 AS "v0",
      "adopted" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "adopted" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    (
      "day" + 180
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g2"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 365
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 365
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d3_0",
    CAST(SUM("v1") AS BIGINT) AS "d3_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "adopted" AS "day",
      1 AS "v0",
      "adopted" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "adopted" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    (
      "day" + 365
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g3"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN "day" <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(("day" + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d4_0",
    CAST(SUM("v1") AS BIGINT) AS "d4_1",
    CAST(SUM("v0") AS BIGINT) AS "d4_2"
  FROM (
    SELECT
      "account_no",
      "first",
      "lapsed" AS "day",
      1 AS "v0",
      "lapsed" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "lapsed" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    "day" <= 19875
  GROUP BY
    1,
    2
) AS "g4"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 90
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 90
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d5_0",
    CAST(SUM("v1") AS BIGINT) AS "d5_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "lapsed" AS "day",
      1 AS "v0",
      "lapsed" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "lapsed" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    (
      "day" + 90
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g5"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 180
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 180
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d6_0",
    CAST(SUM("v1") AS BIGINT) AS "d6_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "lapsed" AS "day",
      1 AS "v0",
      "lapsed" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "lapsed" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    (
      "day" + 180
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g6"
  USING ("account_no", "t")
LEFT JOIN (
  SELECT
    "account_no",
    CASE
      WHEN (
        "day" + 365
      ) <= "first"
      THEN "first"
      ELSE LEAST_IGNORE_NULLS((
        CAST(FLOOR(((
          "day" + 365
        ) + 24) / 29) AS INT) * 29 + 4
      ), 19875)
    END AS "t",
    CAST(SUM("v0") AS BIGINT) AS "d7_0",
    CAST(SUM("v1") AS BIGINT) AS "d7_1"
  FROM (
    SELECT
      "account_no",
      "first",
      "lapsed" AS "day",
      1 AS "v0",
      "lapsed" AS "v1"
    FROM "leadsignal_dated_episodes" AS "dated_episodes"
    WHERE
      NOT "lapsed" IS NULL AND "process" = 'p'
  ) AS "changes"
  WHERE
    (
      "day" + 365
    ) <= 19875
  GROUP BY
    1,
    2
) AS "g7"
  USING ("account_no", "t");

CREATE TABLE crm.panel AS
SELECT
  "account_id",
  "customer_id",
  DATEADD(DAY, "t", CAST('1970-01-01' AS DATE)) AS "snapshot_on",
  CAST("t" - "started" AS BIGINT) AS "start",
  CAST(LEAST_IGNORE_NULLS(COALESCE("next_t", 19875), COALESCE("ended", 19875), 19875) - "started" AS BIGINT) AS "stop",
  CASE
    WHEN NOT "ended" IS NULL AND "ended" <= COALESCE("next_t", 19875) AND TRUE
    THEN 1
    ELSE 0
  END AS "event",
  CASE
    WHEN NOT "ended" IS NULL AND "ended" <= COALESCE("next_t", 19875)
    THEN 'churn'
  END AS "cause",
  CAST(LEAST_IGNORE_NULLS(COALESCE("ended", 19875), 19875) - "t" AS BIGINT) AS "days_observed",
  CAST("ended" - "t" AS BIGINT) AS "ended_within",
  CAST(LEAST_IGNORE_NULLS(COALESCE("end_known", "ended"), COALESCE("ended", "end_known")) - "t" AS BIGINT) AS "known_within",
  CASE WHEN NOT "ended" IS NULL THEN 'churn' END AS "end_cause",
  CAST(COALESCE("notice" < "t", FALSE) AS BOOLEAN) AS "notice_given",
  CAST("first_arr" / CAST(100 AS DOUBLE) AS DOUBLE) AS "arr",
  CAST(CASE
    WHEN NOT (
      TRUE
    )
    THEN 'not applicable'
    WHEN NOT COALESCE(
      "t" >= 19728
      AND "t" >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END,
      FALSE
    )
    THEN 'unknown'
    WHEN NOT "m0" IS NULL AND NOT COALESCE("m0_b" <= "t", FALSE)
    THEN 'adopted'
    WHEN NOT "m0" IS NULL
    THEN 'lapsed'
    WHEN FALSE
    THEN 'overdue'
    ELSE 'pending'
  END AS VARCHAR) AS "p_state",
  CAST(CASE
    WHEN NOT (
      TRUE
      AND COALESCE(
        "t" >= 19728
        AND "t" >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END,
        FALSE
      )
    )
    THEN NULL
    WHEN NOT "m0" IS NULL AND NOT COALESCE("m0_b" <= "t", FALSE)
    THEN "t" - "m0_a"
    WHEN NOT "m0" IS NULL
    THEN "t" - "m0_b"
    WHEN FALSE
    THEN NULL
    ELSE "t" - "started"
  END AS DOUBLE) AS "p_days_in_state",
  CAST("value_m1" AS DOUBLE) AS "p_events",
  CAST(CASE WHEN "t" >= 19728 THEN "t" - "m2" END AS DOUBLE) AS "p_days_since",
  CAST(CASE
    WHEN (
      TRUE
    )
    AND "t" >= 19728
    AND GREATEST_IGNORE_NULLS("t" - 89, "started") >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END
    THEN (
      (
        "open_0_of_p" * (
          "t" - -1
        ) - "sums_0_of_p"
      ) - (
        "open_90_of_p" * (
          "t" - 89
        ) - "sums_90_of_p"
      )
    ) / CAST(LEAST_IGNORE_NULLS(90, "t" - "started" + 1) AS DOUBLE)
  END AS DOUBLE) AS "p_adopted_share_90d",
  CAST(CASE
    WHEN (
      TRUE
    )
    AND "t" >= 19728
    AND GREATEST_IGNORE_NULLS("t" - 179, "started") >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END
    THEN (
      (
        "open_0_of_p" * (
          "t" - -1
        ) - "sums_0_of_p"
      ) - (
        "open_180_of_p" * (
          "t" - 179
        ) - "sums_180_of_p"
      )
    ) / CAST(LEAST_IGNORE_NULLS(180, "t" - "started" + 1) AS DOUBLE)
  END AS DOUBLE) AS "p_adopted_share_180d",
  CAST(CASE
    WHEN (
      TRUE
    )
    AND "t" >= 19728
    AND GREATEST_IGNORE_NULLS("t" - 364, "started") >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END
    THEN (
      (
        "open_0_of_p" * (
          "t" - -1
        ) - "sums_0_of_p"
      ) - (
        "open_365_of_p" * (
          "t" - 364
        ) - "sums_365_of_p"
      )
    ) / CAST(LEAST_IGNORE_NULLS(365, "t" - "started" + 1) AS DOUBLE)
  END AS DOUBLE) AS "p_adopted_share_365d",
  CAST((
    CASE
      WHEN (
        TRUE
      )
      AND "t" >= 19728
      AND GREATEST_IGNORE_NULLS("t" - 89, "started") >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END
      THEN (
        (
          "open_0_of_p" * (
            "t" - -1
          ) - "sums_0_of_p"
        ) - (
          "open_90_of_p" * (
            "t" - 89
          ) - "sums_90_of_p"
        )
      ) / CAST(LEAST_IGNORE_NULLS(90, "t" - "started" + 1) AS DOUBLE)
    END
  ) - (
    CASE
      WHEN (
        TRUE
      )
      AND "t" >= 19728
      AND GREATEST_IGNORE_NULLS("t" - 364, "started") >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END
      THEN (
        (
          "open_0_of_p" * (
            "t" - -1
          ) - "sums_0_of_p"
        ) - (
          "open_365_of_p" * (
            "t" - 364
          ) - "sums_365_of_p"
        )
      ) / CAST(LEAST_IGNORE_NULLS(365, "t" - "started" + 1) AS DOUBLE)
    END
  ) AS DOUBLE) AS "p_adopted_trend",
  CAST(CASE
    WHEN (
      TRUE
    )
    AND "t" >= 19728
    AND GREATEST_IGNORE_NULLS("t" - 364, "started") >= CASE WHEN "started" >= 19727 THEN "started" ELSE 19757 END
    THEN "lapses_365_of_p"
  END AS DOUBLE) AS "p_lapses_365d",
  CAST("value_m7" AS DOUBLE) AS "activity_events_30d",
  CAST("value_m8" AS DOUBLE) AS "activity_events_90d",
  CAST("value_m9" AS DOUBLE) AS "other_behaviors_events_30d",
  CAST("value_m10" AS DOUBLE) AS "other_behaviors_events_90d",
  CAST("value_m11" AS DOUBLE) AS "other_behaviors_events_180d",
  CAST(CASE WHEN "t" >= 19728 THEN "t" - "m12" END AS DOUBLE) AS "other_behaviors_days_since",
  CAST(CASE
    WHEN (
      LEAST_IGNORE_NULLS(210, "t" - "started") - 30
    ) >= 30
    THEN (
      (
        "value_m9"
      ) * (
        LEAST_IGNORE_NULLS(210, "t" - "started") - 30
      )
    ) / NULLIF(CAST((
      (
        "value_m13"
      ) - (
        "value_m9"
      )
    ) * 30 AS DOUBLE), 0)
  END AS DOUBLE) AS "other_behaviors_relative",
  CAST(CASE WHEN "t" >= 19728 THEN "m14" END AS DOUBLE) AS "survey_score",
  CAST(CASE WHEN "t" >= 19728 THEN "t" - "m15" END AS DOUBLE) AS "survey_days_since",
  CAST("t" - "started" AS DOUBLE) AS "tenure_days",
  CAST("first_term" AS DOUBLE) AS "term_months",
  CAST(CASE
    WHEN DATEDIFF(DAY, CAST('1970-01-01' AS DATE), DATEADD(MONTH, GREATEST_IGNORE_NULLS(
      CAST(FLOOR(((
        (
          YEAR(DATEADD(DAY, "t", CAST('1970-01-01' AS DATE))) - YEAR(DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))
        ) * 12 + MONTH(DATEADD(DAY, "t", CAST('1970-01-01' AS DATE))) - MONTH(DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))
      )) / (
        "first_term"
      )) AS INT),
      1
    ) * (
      "first_term"
    ), DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))) >= "t"
    THEN DATEDIFF(DAY, CAST('1970-01-01' AS DATE), DATEADD(MONTH, GREATEST_IGNORE_NULLS(
      CAST(FLOOR(((
        (
          YEAR(DATEADD(DAY, "t", CAST('1970-01-01' AS DATE))) - YEAR(DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))
        ) * 12 + MONTH(DATEADD(DAY, "t", CAST('1970-01-01' AS DATE))) - MONTH(DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))
      )) / (
        "first_term"
      )) AS INT),
      1
    ) * (
      "first_term"
    ), DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))) - "t"
    ELSE DATEDIFF(DAY, CAST('1970-01-01' AS DATE), DATEADD(MONTH, (
      GREATEST_IGNORE_NULLS(
        CAST(FLOOR(((
          (
            YEAR(DATEADD(DAY, "t", CAST('1970-01-01' AS DATE))) - YEAR(DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))
          ) * 12 + MONTH(DATEADD(DAY, "t", CAST('1970-01-01' AS DATE))) - MONTH(DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))
        )) / (
          "first_term"
        )) AS INT),
        1
      ) + 1
    ) * (
      "first_term"
    ), DATEADD(DAY, "started", CAST('1970-01-01' AS DATE)))) - "t"
  END AS DOUBLE) AS "days_to_renewal"
FROM (
  SELECT
    *,
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 30, "started") >= 19727
      THEN "m1" / CAST(1000000 AS DOUBLE)
    END AS "value_m1",
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 30, "started") >= 19727
      THEN "m7" / CAST(1000000 AS DOUBLE)
    END AS "value_m7",
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 90, "started") >= 19727
      THEN "m8" / CAST(1000000 AS DOUBLE)
    END AS "value_m8",
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 30, "started") >= 19727
      THEN "m9" / CAST(1000000 AS DOUBLE)
    END AS "value_m9",
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 90, "started") >= 19727
      THEN "m10" / CAST(1000000 AS DOUBLE)
    END AS "value_m10",
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 180, "started") >= 19727
      THEN "m11" / CAST(1000000 AS DOUBLE)
    END AS "value_m11",
    CASE
      WHEN "t" >= 19728 AND GREATEST_IGNORE_NULLS("t" - 210, "started") >= 19727
      THEN "m13" / CAST(1000000 AS DOUBLE)
    END AS "value_m13"
  FROM (
    SELECT
      *,
      LEAD("t") OVER (PARTITION BY "account_no" ORDER BY "t") AS "next_t"
    FROM "leadsignal_grid" AS "grid"
    JOIN "leadsignal_spine" AS "spine"
      USING ("account_no")
    LEFT JOIN "leadsignal_counts_behaviors" AS "counts_behaviors"
      USING ("account_no", "t")
    LEFT JOIN "leadsignal_latest_behaviors" AS "latest_behaviors"
      USING ("account_no", "t")
    LEFT JOIN "leadsignal_latest_surveys" AS "latest_surveys"
      USING ("account_no", "t")
    LEFT JOIN "leadsignal_last_episodes" AS "last_episodes"
      USING ("account_no", "t")
    LEFT JOIN "leadsignal_adoption_memory" AS "adoption_memory"
      USING ("account_no", "t")
  ) AS "joined"
) AS "counted";

DROP TABLE IF EXISTS "leadsignal_adoption_memory";

DROP TABLE IF EXISTS "leadsignal_dated_episodes";

DROP TABLE IF EXISTS "leadsignal_last_episodes";

DROP TABLE IF EXISTS "leadsignal_last_episodes_m0";

DROP TABLE IF EXISTS "leadsignal_episodes";

DROP TABLE IF EXISTS "leadsignal_episodes_0";

DROP TABLE IF EXISTS "leadsignal_process_0_adopted";

DROP TABLE IF EXISTS "leadsignal_process_0_states";

DROP TABLE IF EXISTS "leadsignal_process_0_changes";

DROP TABLE IF EXISTS "leadsignal_process_0_rows";

DROP TABLE IF EXISTS "leadsignal_latest_surveys";

DROP TABLE IF EXISTS "leadsignal_latest_surveys_m14";

DROP TABLE IF EXISTS "leadsignal_rows_surveys";

DROP TABLE IF EXISTS "leadsignal_latest_behaviors";

DROP TABLE IF EXISTS "leadsignal_counts_behaviors";

DROP TABLE IF EXISTS "leadsignal_rows_behaviors";

DROP TABLE IF EXISTS "leadsignal_grid";

DROP TABLE IF EXISTS "leadsignal_spine";

DROP TABLE IF EXISTS "leadsignal_source_surveys";

DROP TABLE IF EXISTS "leadsignal_source_behaviors";

DROP TABLE IF EXISTS "leadsignal_source_accounts";

