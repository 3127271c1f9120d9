"""Churn scores as a Dagster asset: one partition a week, scored once, then frozen.

Where things lie comes from the environment: CHURN_TABLES (a project folder), CHURN_MODEL (a model
folder), CHURN_SCORES (where the scores go, a folder).

    python examples/dagster/churn_scores.py 2025-12-01    # without a server
    dagster dev -f examples/dagster/churn_scores.py       # with one
"""

import os
import sys

import dagster as dg

import leadsignal as ls

WEEKS = dg.WeeklyPartitionsDefinition(start_date="2022-01-03", day_offset=1)


@dg.asset(partitions_def=WEEKS, retry_policy=dg.RetryPolicy(max_retries=3, delay=600))
def churn_scores(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Score the accounts active on the partition's Monday, with what was known that midnight."""
    model = ls.load_model(os.environ["CHURN_MODEL"])
    tables = ls.read_tables(os.environ["CHURN_TABLES"], as_of=context.partition_key)
    with ls.scoring.lock_scores(os.environ["CHURN_SCORES"]):
        (day,) = ls.score_into(model, tables, os.environ["CHURN_SCORES"])
    scores = ls.read_scores(day.path)
    feeds = [str(feed) for feed in day.scores.feeds] if day.scores else []
    for feed in feeds:
        context.log.warning(feed)
    return dg.MaterializeResult(
        metadata={
            "outcome": day.outcome,
            "accounts": len(scores),
            "alerts": int(scores["alert"].sum()),
            "expected_churns": float(scores["risk"].sum()),
            "model_version": model.version_,
            "feeds_at_fault": len(feeds),
            "path": dg.MetadataValue.path(str(day.path)),
        },
        data_version=dg.DataVersion(f"{model.version_}-{context.partition_key}"),
    )


weekly = dg.build_schedule_from_partitioned_job(
    dg.define_asset_job("weekly_churn_scores", [churn_scores], partitions_def=WEEKS),
    hour_of_day=5,
)
defs = dg.Definitions(assets=[churn_scores], schedules=[weekly])

if __name__ == "__main__":
    sys.exit(not dg.materialize([churn_scores], partition_key=sys.argv[1]).success)
