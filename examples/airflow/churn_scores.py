"""Churn scores as a DAG of Airflow 3: one run a week, each with what was known on its day.

The command runs in a process of its own, and the scheduler imports nothing of leadsignal. CHURN is
the folder that holds tables/ (a project) and models/current (leadsignal fit).

    airflow dags test churn_scores 2025-12-01    # without a server
"""

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

# Exit code 4: scored without a late feed, which the log names.
SCORE = """
code=0
leadsignal score tables --model models/current --out scores --as-of {{ data_interval_end | ds }} \
    --quiet || code=$?
[ $code -eq 4 ] || exit $code
"""


@dag(
    schedule="0 5 * * 1",
    start_date=datetime(2025, 10, 6, tzinfo=UTC),
    catchup=True,
    max_active_runs=1,
)
def churn_scores():
    """Score each Monday once; what is there is kept."""
    BashOperator(
        task_id="score",
        bash_command=SCORE,
        cwd=os.environ.get("CHURN", "/srv/churn"),
        retries=3,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=1),
    )


churn_scores()
